"""The teacher: a local server plays the endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from pipeline.spec import Catalogue

pytest.importorskip("tenacity")

from training.examples import CorpusError, Example
from training.teacher import Ledger, Teacher, TeacherSettings

SMS = {
    "query": "text Priya that the pump is fixed",
    "plan": [
        ["get_phone_number", {"name": "Priya"}],
        ["send_sms", {"recipients": ["$1"], "message": "The pump is fixed"}],
    ],
}


class Endpoint(BaseHTTPRequestHandler):
    """Answers each call with the next of `answers`: a text, or a status and its headers; the last one again and again."""

    answers: ClassVar[list[str | tuple[int, dict[str, str]]]] = []
    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        status, headers = (200, {}) if isinstance(answer, str) else answer
        usage = {"prompt_tokens": 1000, "completion_tokens": 500}
        body = json.dumps({"choices": [{"message": {"content": answer}}], "usage": usage}).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    Endpoint.asked, Endpoint.answers = [], []
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def reply(*requests: object) -> str:
    return "Here you are:\n```json\n" + json.dumps({"requests": requests}) + "\n```"


def teacher(tools: Catalogue, url: str, ledger: Path, waits: list[float] | None = None, **settings: Any) -> Teacher:
    slept = waits if waits is not None else []
    chosen = TeacherSettings(url, "large", **{"price_in": 1.0, "price_out": 2.0, "budget": 0.014, **settings})
    return Teacher(chosen, tools, Ledger(ledger), sleep=slept.append, clock=lambda: 0.0)


def test_replies_become_examples_until_the_budget_is_spent(tools: Catalogue, endpoint: str, tmp_path: Path) -> None:
    Endpoint.answers = [reply(SMS, {"query": "?", "plan": [["fly", {}]]}, {"query": "x"}), "no JSON", reply()]
    asked = teacher(tools, endpoint, tmp_path / "ledger.jsonl")
    [example] = list(asked)
    assert isinstance(example, Example)
    assert (example.query, example.plan) == (
        SMS["query"],
        '1. send_sms(["Priya"], "The pump is fixed")\n2. join()',
    )
    assert example.source == "teacher"
    assert asked.unread == {"not a plan": 2, "not JSON": 1}
    # Each call costs 0.002 dollars, and could cost over 0.004: the fifth no longer starts within 0.014.
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert ledger.spent == pytest.approx(0.002 * len(Endpoint.asked))
    assert ledger.spent <= 0.014 < ledger.spent + 0.0061
    assert len({json.dumps(body["messages"]) for body in Endpoint.asked}) == len(Endpoint.asked)


def test_what_is_in_the_ledger_is_not_asked_again(tools: Catalogue, endpoint: str, tmp_path: Path) -> None:
    Endpoint.answers = [reply(SMS)]
    first = list(teacher(tools, endpoint, tmp_path / "ledger.jsonl"))
    calls = len(Endpoint.asked)
    assert list(teacher(tools, endpoint, tmp_path / "ledger.jsonl")) == first
    assert len(Endpoint.asked) == calls


def test_a_torn_ledger_loses_its_last_line_only(tools: Catalogue, endpoint: str, tmp_path: Path) -> None:
    Endpoint.answers = [reply(SMS)]
    path = tmp_path / "ledger.jsonl"
    first = list(teacher(tools, endpoint, path))
    calls = len(Endpoint.asked)
    path.write_bytes(path.read_bytes()[:-40])
    assert list(teacher(tools, endpoint, path)) == first
    assert len(Endpoint.asked) == calls + 1
    assert len(Ledger(path).replies) == calls


def test_a_file_that_is_no_ledger_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    with pytest.raises(CorpusError, match="not a teacher's ledger"):
        Ledger(path)
    assert path.read_text() == "my notes\n"


def test_a_busy_endpoint_is_asked_again(tools: Catalogue, endpoint: str, tmp_path: Path) -> None:
    Endpoint.answers = [(429, {"Retry-After": "7"}), (500, {}), reply(SMS)]
    waits: list[float] = []
    asked = iter(teacher(tools, endpoint, tmp_path / "ledger.jsonl", waits))
    assert next(asked).query == SMS["query"]
    assert waits == [7.0, 2.0]


def test_calls_keep_their_distance(tools: Catalogue, endpoint: str, tmp_path: Path) -> None:
    Endpoint.answers = [reply(SMS)]
    waits: list[float] = []
    list(teacher(tools, endpoint, tmp_path / "ledger.jsonl", waits, calls_per_minute=20.0))
    assert waits == [3.0] * (len(Endpoint.asked) - 1)


def test_an_endpoint_that_gives_up_says_what_to_do(
    tools: Catalogue, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Endpoint.answers = [(401, {})]
    with pytest.raises(CorpusError, match="401") as caught:
        list(teacher(tools, endpoint, tmp_path / "a"))
    assert "TINYAGENT_API_KEY" in str(caught.value.fix)
    Endpoint.answers = [(503, {})]
    with pytest.raises(CorpusError, match="3 tries") as caught:
        list(teacher(tools, endpoint, tmp_path / "b", tries=3))
    assert "ledger" in str(caught.value.fix)
    with pytest.raises(CorpusError):
        list(teacher(tools, "http://127.0.0.1:1/v1", tmp_path / "c", tries=1))
