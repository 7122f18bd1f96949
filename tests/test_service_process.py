"""The service as a process: the official client, its own OpenAPI document, and its end by a signal."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.journal import Journal

HERE = Path(__file__).resolve().parent


@dataclass
class Process:
    """A running service."""

    popen: subprocess.Popen[str]
    url: str
    token: str
    folder: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def started(folder: Path) -> Process:
    popen = subprocess.Popen(
        [sys.executable, str(HERE / "serving.py"), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    assert popen.stdout is not None
    line = popen.stdout.readline()
    assert "http://127.0.0.1:" in line, line
    token = (folder / ".tinyagent" / "token").read_text().strip()
    return Process(popen, line.split()[-1], token, folder)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = started(tmp_path_factory.mktemp("served") / "data")
    yield process
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(30) == 0


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def test_the_official_openai_client_works_unchanged(service: Process) -> None:
    import openai

    client = openai.OpenAI(base_url=f"{service.url}/v1", api_key=service.token, max_retries=0)
    [model] = client.models.list().data
    assert client.models.retrieve(model.id).id == model.id
    messages = [{"role": "user", "content": 'plan: get_weather("Lisbon"); get_weather("Porto")'}]
    completion = client.chat.completions.create(model=model.id, messages=messages, tools=[WEATHER])  # type: ignore[call-overload]
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert [json.loads(call.function.arguments) for call in choice.message.tool_calls] == [
        {"city": "Lisbon"},
        {"city": "Porto"},
    ]
    messages.append(choice.message.model_dump(exclude_none=True))
    for call in choice.message.tool_calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": f"sun for {call.function.arguments}"})
    last = client.chat.completions.create(model=model.id, messages=messages, tools=[WEATHER])  # type: ignore[call-overload]
    assert last.choices[0].finish_reason == "stop" and "Lisbon" in last.choices[0].message.content

    with client.chat.completions.stream(model=model.id, messages=messages[:1], tools=[WEATHER]) as stream:  # type: ignore[arg-type, list-item]
        kinds = {event.type for event in stream}
        final = stream.get_final_completion().choices[0]
    assert "tool_calls.function.arguments.done" in kinds
    calls = final.message.tool_calls or []
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Lisbon"}, {"city": "Porto"}]

    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.chat.completions.create(model=model.id, messages=messages[:1], n=3)  # type: ignore[call-overload]
    assert refused.value.param == "n"


def test_the_token_file_is_for_the_users_eyes(service: Process) -> None:
    mode = stat.S_IMODE((service.folder / ".tinyagent" / "token").stat().st_mode)
    assert mode == 0o600
    assert httpx.get(f"{service.url}/v1/tools").status_code == 401
    assert httpx.get(f"{service.url}/v1/tools", headers=service.headers).status_code == 200


@pytest.mark.filterwarnings("ignore")
def test_nothing_that_fits_the_openapi_document_or_not_fails_inside(service: Process) -> None:
    import schemathesis
    from schemathesis import GenerationMode

    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json", headers=service.headers)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 14
    for operation in operations:
        for mode in GenerationMode:
            takes = operation.body or operation.query or operation.path_parameters
            if mode is GenerationMode.POSITIVE or takes:
                try_out(operation, mode, service)


def try_out(operation: Any, mode: Any, service: Process) -> None:
    """Ask what schemathesis makes up for an operation."""
    from hypothesis import HealthCheck, Phase, given, settings

    # 400, 404 and 405 are of what no route takes, such as a path with a slash in its parameter.
    expected = {*operation.definition.raw["responses"], "400", "404", "405"}

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=8,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Any) -> None:
        response = case.call(base_url=service.url, headers=service.headers)
        assert response.status_code < 500, (case, response.text)
        assert str(response.status_code) in expected, (case, response.text)

    check()


def test_a_signal_stops_lookups_lets_effects_end_and_leaves_a_whole_journal(tmp_path: Path) -> None:
    """Under way are a lookup that would take a minute, a write, and behind it one that nobody has approved."""
    process = started(tmp_path / "data")
    pid, written, unapproved = tmp_path / "pid", tmp_path / "written", tmp_path / "unapproved"
    requests = [
        f'plan: wait("{pid}"); note("{unapproved}", "$1")',
        f'plan: write("{written}", "1"); note("{unapproved}", "$1"); write("{unapproved}", "$2")',
        f'plan: note("{unapproved}", "x")',
    ]
    with httpx.Client(base_url=process.url, headers=process.headers, timeout=30) as client:
        runs = [
            client.post("/v1/runs", json={"request": request}, headers={"Prefer": "respond-async"}).json()["run"]
            for request in requests
        ]
        with client.stream("GET", f"/v1/runs/{runs[0]}/events") as stream:
            lines = stream.iter_lines()
            while not (pid.exists() and pid.read_text().strip() and written.exists()):
                time.sleep(0.01)
            process.popen.send_signal(signal.SIGTERM)
            told = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
        assert told[-1]["type"] == "cancelled" and "closing" in told[-1]["message"]
    assert process.popen.wait(30) == 0  # what takes longer than 9 s ends with 1
    assert written.read_text() == "begun\nended\n"
    assert not unapproved.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    journal = Journal.of(process.folder)
    records = [journal.run(run) for run in runs]
    assert [record.status for record in records] == ["interrupted"] * 3
    assert [[step.status for step in record.steps] for record in records] == [
        ["not begun", "not begun"],
        ["done", "not begun", "not begun"],
        ["not begun"],
    ]
    assert all(journal.events(run)[-1].kind == "error" for run in runs)
    with sqlite3.connect(journal.path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    journal.close()
    assert not list(journal.path.parent.glob("*.lock"))
