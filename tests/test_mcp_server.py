"""The pipeline as an MCP server: the official client, unmodified, over real pipes, in both ways in which the protocol asks.

The planner writes what it is told, so that the plans are known: a request is its plan. One test has the real one.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest
import serving

from pipeline.config import Config
from pipeline.effects import Rule, approve_all
from pipeline.journal import Journal
from pipeline.pipeline import Pipeline, RequestError

mcp = pytest.importorskip("mcp")

from mcp import Client  # noqa: E402
from mcp.client.stdio import StdioServerParameters  # noqa: E402
from mcp.server.mcpserver.exceptions import ToolError  # noqa: E402
from mcp_types import (  # noqa: E402
    CallToolResult,
    ClientCapabilities,
    ElicitationCapability,
    ElicitResult,
    InputRequiredResult,
)

from pipeline import mcp_server  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
TEXT = '1. send_sms(["Priya Nair"], "Running late")\n2. join()'
TWO = '1. send_sms(["Priya Nair"], "Running late")\n2. create_note("Trip log", "Pack the tent")\n3. join()'
SLOW = '1. ring_bell("loud")\n2. send_sms(["Priya Nair"], "Running late")\n3. join()'

SERVER = """\
import asyncio, sys
from pathlib import Path

from pipeline import Config, Pipeline
from pipeline.mcp_server import make_server, strict
from pipeline.selection import Selector


class Scripted:
    def prompt(self, request):
        return request.request

    def count_tokens(self, text):
        return len(text.split())

    def stream(self, request):
        yield request.request

    def close(self):
        pass


config = strict(Config.model_validate_json(sys.argv[1]))
pipeline = Pipeline(config, planner=Scripted(), selector=Selector(config.catalogue(), None))
asyncio.run(make_server(pipeline).run_stdio_async())
"""
BELL = """\
name: ring_bell
app: bells
description: Ring the bell at the door, which takes a while.
effect: send
parameters:
  - {{name: how, type: string, description: How.}}
implementation:
  command: [sh, -c, "echo rung >> {folder}/rung; echo > {folder}/bell; sleep 60"]
"""

pytestmark = pytest.mark.parametrize("mode", ["legacy", "auto"])


@pytest.fixture
def settings(data_dir: Path, tmp_path: Path) -> Config:
    """A data folder, and a tool that takes long and leaves a line each time that it begins."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "ring_bell.yaml").write_text(BELL.format(folder=tmp_path))
    return Config(data_dir=data_dir, tools=(tmp_path / "tools",))


def parameters(settings: Config) -> StdioServerParameters:
    command = ["-c", SERVER, settings.model_dump_json()]
    return StdioServerParameters(
        command=sys.executable, args=command, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=str(ROOT)
    )


class Person:
    """Answers what is asked, by the name of the tool that stands first in the question, and keeps it."""

    def __init__(
        self,
        answer: ElicitResult | None = None,
        on_asked: Callable[[], Awaitable[None]] | None = None,
        **answers: ElicitResult,
    ) -> None:
        self.answer, self.answers, self.on_asked = answer, answers, on_asked
        self.asked: list[str] = []

    async def __call__(self, context: Any, params: Any) -> ElicitResult:
        self.asked.append(params.message)
        assert params.requested_schema["required"] == ["answer"]
        if self.on_asked:
            await self.on_asked()
        answer = self.answers.get(params.message.partition(":")[0], self.answer)
        assert answer is not None
        return answer


YES = ElicitResult(action="accept", content={"answer": True})
NO = ElicitResult(action="decline")


def called(settings: Config, mode: str, request: str, person: Person | None, tool: str = "run") -> CallToolResult:
    """Call a tool once."""

    async def main() -> CallToolResult:
        async with Client(parameters(settings), mode=mode, elicitation_callback=person) as client:
            return await client.call_tool(
                tool, {"request": request, **({} if tool == "select" else {"now": "2026-05-13T09:30"})}
            )

    return asyncio.run(main())


def sent(settings: Config) -> list[dict[str, Any]]:
    folder = settings.data_dir / "messages" / "outbox"
    return [json.loads(path.read_text()) for path in folder.iterdir()] if folder.exists() else []


def statuses(settings: Config) -> list[str]:
    [record] = Journal.of(settings.data_dir).runs(5)
    return [record.status, *(step.status for step in record.steps)]


def test_select_and_plan_touch_nothing(settings: Config, mode: str) -> None:
    before = sorted(settings.data_dir.rglob("*"))

    async def main() -> None:
        async with Client(parameters(settings), mode=mode) as client:
            offered = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(offered) == {"select", "plan", "run"}
            assert offered["plan"].annotations.read_only_hint and offered["run"].annotations.destructive_hint
            selected = await client.call_tool("select", {"request": TEXT})
            assert "send_sms" in selected.structured_content["tools"]
            planned = await client.call_tool("plan", {"request": TEXT})
            assert 'get_phone_number("Priya Nair")' in planned.content[0].text
            wrong = await client.call_tool("plan", {"request": "  "})
            assert wrong.is_error and wrong.content[0].text.startswith("the request is empty")

    asyncio.run(main())
    assert sorted(settings.data_dir.rglob("*")) == before


def test_what_is_approved_is_done_once_and_was_shown(settings: Config, mode: str) -> None:
    person = Person(send_sms=YES, create_note=NO)
    result = called(settings, mode, TWO, person)
    assert [m["text"] for m in sent(settings)] == ["Running late"]
    first, second = sorted(person.asked, key=lambda asked: "create_note" in asked)
    assert (
        "send_sms" in first and "(Priya Nair)" in first and "text: Running late" in first.replace("message:", "text:")
    )
    assert "create_note" in second
    assert not (settings.data_dir / "notes" / "Trip log.md").exists()
    steps = {step["tool"]: step["status"] for step in result.structured_content["steps"]}
    assert steps == {"get_phone_number": "done", "send_sms": "done", "create_note": "declined"}
    assert not result.structured_content["complete"]


def test_a_client_that_declines_gets_nothing_done(settings: Config, mode: str) -> None:
    result = called(settings, mode, TEXT, Person(NO))
    assert not result.is_error and not sent(settings)
    assert statuses(settings) == ["in part", "done", "declined"]


def test_only_a_plain_yes_is_one(settings: Config, mode: str) -> None:
    answers = [
        ElicitResult(action="accept", content={"answer": False}),
        ElicitResult(action="accept", content={"answer": "yes"}),
        ElicitResult(action="accept"),
        ElicitResult(action="cancel"),
    ]

    async def main() -> None:
        person = Person()
        async with Client(parameters(settings), mode=mode, elicitation_callback=person) as client:
            for answer in answers:
                person.answer = answer
                await client.call_tool("run", {"request": TEXT})

    asyncio.run(main())
    assert not sent(settings)


def test_a_client_that_cannot_ask_gets_no_effects_whatever_rules_the_user_has(settings: Config, mode: str) -> None:
    lax = settings.model_copy(update={"approvals": (Rule.model_validate({"do": "allow", "tool": "send_sms"}),)})
    result = called(lax, mode, TEXT, None)
    assert not sent(lax)
    assert [step["status"] for step in result.structured_content["steps"]] == ["done", "declined"]
    assert "nobody was there to approve it" in result.structured_content["steps"][1]["error"]
    assert not result.structured_content["complete"]


def test_a_client_is_told_how_a_run_goes_on(settings: Config, mode: str) -> None:
    told: list[str] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    async def main() -> None:
        async with Client(parameters(settings), mode=mode, elicitation_callback=Person(YES)) as client:
            await client.call_tool("run", {"request": TEXT}, progress_callback=on_progress)

    asyncio.run(main())
    assert told[0].endswith("tools selected")
    assert "planned 2 steps" in told
    assert not any("Running late" in message for message in told)


def test_a_client_that_goes_while_it_is_asked_gets_nothing_done(settings: Config, mode: str) -> None:
    async def main() -> None:
        asked = asyncio.Event()

        async def wait() -> None:
            asked.set()
            await asyncio.Event().wait()

        async with Client(parameters(settings), mode=mode, elicitation_callback=Person(YES, wait)) as client:
            call = asyncio.create_task(client.call_tool("run", {"request": TEXT}))
            await asked.wait()
            call.cancel()
            await asyncio.wait([call])

    asyncio.run(main())
    assert not sent(settings)
    assert statuses(settings) == ["interrupted", "done", "not begun"]


def test_a_client_that_goes_in_the_middle_leaves_a_whole_journal(settings: Config, mode: str, tmp_path: Path) -> None:
    """It goes while the bell rings: whether it rang is in doubt, and nothing of the run is done behind its back or twice."""
    rung, bell = tmp_path / "rung", tmp_path / "bell"
    os.mkfifo(bell)

    async def main() -> None:
        async with Client(parameters(settings), mode=mode, elicitation_callback=Person(YES)) as client:
            call = asyncio.create_task(client.call_tool("run", {"request": SLOW}))
            await asyncio.to_thread(bell.read_text)  # until it rings
            call.cancel()
            await asyncio.wait([call])

    asyncio.run(asyncio.wait_for(main(), 60))
    [record] = Journal.of(settings.data_dir).runs(5)
    assert next(step for step in record.steps if step.tool == "ring_bell").in_doubt
    assert rung.read_text() == "rung\n"
    already = len(sent(settings))

    asyncio.run(Pipeline(settings).aresume("last", approve=approve_all))
    assert rung.read_text() == "rung\n", "what is in doubt is not done again unasked"
    assert len(sent(settings)) == 1 >= already


def test_an_answer_counts_once(settings: Config, mode: str) -> None:
    """From 2026-07-28 on, an answer comes with the call again: a second time it is none, and begins no run."""
    if mode == "legacy":
        pytest.skip("the server asks, and has one answer")

    async def main() -> None:
        async with Client(parameters(settings), mode=mode, elicitation_callback=Person()) as client:
            arguments = {"request": TEXT}
            asked = await client.session.call_tool("run", arguments, allow_input_required=True)
            answer = {"input_responses": {"answer": YES}, "request_state": asked.request_state}
            done = await client.session.call_tool("run", arguments, **answer)
            assert done.structured_content["complete"]
            again = await client.session.call_tool("run", arguments, **answer)
            assert again.is_error and "answered already" in again.content[0].text

    asyncio.run(main())
    assert len(sent(settings)) == 1


def test_a_run_whose_client_does_not_come_back_ends_and_is_forgotten(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its questions, those to come as well, are answered by nobody; nothing of it is kept."""
    if mode == "legacy":
        pytest.skip("the server asks, and hears when the client goes")
    monkeypatch.setattr(mcp_server, "EXPIRY_S", 0.05)
    context: Any = SimpleNamespace(
        request_state=None,
        protocol_version="2026-07-28",
        client_capabilities=ClientCapabilities(elicitation=ElicitationCapability()),
        report_progress=AsyncMock(),
    )

    async def main() -> None:
        runs = mcp_server._Runs(serving.pipeline(tmp_path))
        request = f'plan: note("{tmp_path / "a"}", "x"); note("{tmp_path / "b"}", "y")'
        asked = await runs.call(context, request, None)
        assert isinstance(asked, InputRequiredResult)
        async with asyncio.timeout(20):
            while runs._runs:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        context.request_state = asked.request_state
        late = await runs.call(context, request, None)
        assert isinstance(late, CallToolResult) and late.is_error

    asyncio.run(main())
    [record] = Journal.of(tmp_path).runs(5)
    assert [step.status for step in record.steps] == ["declined", "declined"]
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


def test_a_time_with_a_zone_is_taken_as_local_time(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mode == "legacy":
        pytest.skip("one form is enough")
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    told: list[datetime | None] = []

    def plan(request: str, now: datetime | None) -> Any:
        told.append(now)
        raise RequestError("not planned")

    async def main() -> None:
        server = mcp_server.make_server(cast(Pipeline, SimpleNamespace(plan=plan)))
        for now in ("2026-05-13T09:30:00Z", "2026-05-13T09:30"):
            await server.call_tool("plan", {"request": "x", "now": now})
        with pytest.raises(ToolError, match="a year between 1970 and 2200"):
            await server.call_tool("plan", {"request": "x", "now": "0001-01-01T00:00:00+14:00"})

    try:
        asyncio.run(main())
    finally:
        monkeypatch.undo()
        time.tzset()
    assert told == [datetime(2026, 5, 13, 11, 30), datetime(2026, 5, 13, 9, 30)]


def test_sigterm_in_the_middle_leaves_a_whole_journal(settings: Config, mode: str, tmp_path: Path) -> None:
    """Spoken to by hand, since the official client keeps its server's process to itself."""
    if mode != "legacy":
        pytest.skip("one form is enough")
    os.mkfifo(tmp_path / "bell")
    command = [sys.executable, "-c", SERVER, settings.model_dump_json()]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as server:
        assert server.stdin and server.stdout

        def send(**message: Any) -> None:
            assert server.stdin
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            server.stdin.flush()

        client = {"clientInfo": {"name": "test", "version": "1"}, "capabilities": {"elicitation": {}}}
        send(id=1, method="initialize", params={"protocolVersion": "2025-06-18", **client})
        send(method="notifications/initialized")
        send(id=2, method="tools/call", params={"name": "run", "arguments": {"request": SLOW}})
        while "ring_bell" not in (asked := server.stdout.readline()):
            if '"elicitation/create"' in asked:
                send(id=json.loads(asked)["id"], result={"action": "cancel"})
        send(id=json.loads(asked)["id"], result={"action": "accept", "content": {"answer": True}})
        (tmp_path / "bell").read_text()  # until it rings
        server.terminate()
        assert server.wait(30) == -signal.SIGTERM
    [record] = Journal.of(settings.data_dir).runs(5)
    assert record.status != "running"
    assert next(step for step in record.steps if step.tool == "ring_bell").in_doubt


@pytest.mark.model
def test_the_command_serves_the_real_pipeline(config: Config, mode: str) -> None:
    """`tinyagent mcp serve`, from words to a message."""
    command = ["-c", "from pipeline.cli import main; main()", "mcp", "serve", "--data-dir", str(config.data_dir)]
    server = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ), cwd=str(ROOT))
    person = Person(YES)

    async def main() -> None:
        async with Client(server, mode=mode, elicitation_callback=person) as client:
            result = await client.call_tool("run", {"request": "Text Priya that I'm ten minutes late"})
            assert not result.is_error and result.structured_content["complete"], result.content

    asyncio.run(main())
    assert len(sent(config)) == len(person.asked) == 1
