"""Tools of MCP servers: a real server of the package `mcp`, and small programs that break the protocol where it can be broken."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import MissingExtra
from pipeline.spec import ToolSpec
from pipeline.tools import invoke as invoke_module
from pipeline.tools import mcp as mcp_module
from pipeline.tools.context import InDoubt, InvalidArgument, ToolContext, ToolError, Unavailable, Unreachable
from pipeline.tools.invoke import invoke
from tests.conftest import NOW

pytest.importorskip("mcp")

CONTEXT = ToolContext(Path("data"), NOW, request="", writer=SimpleNamespace())

SERVER = '''\
import os, signal, subprocess, sys, threading

from mcp.server import MCPServer
from mcp_types import CallToolResult, ImageContent, TextContent

if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what it starts inherits that

server = MCPServer("probe")


@server.tool()
def echo(text: str, people: list[str], count: int, loud: bool) -> str:
    return repr((text, people, count, loud))


@server.tool()
def several() -> CallToolResult:
    picture = ImageContent(type="image", data="AAAA", mime_type="image/png")
    texts = [TextContent(type="text", text=text) for text in ("one", "two")]
    return CallToolResult(content=[texts[0], picture, texts[1]], structured_content={"of": "no interest"})


@server.tool()
def data() -> CallToolResult:
    return CallToolResult(content=[], structured_content={"temperature": 7.5, "sky": "bedeckt, ä"})


@server.tool()
def nothing() -> CallToolResult:
    return CallToolResult(content=[])


@server.tool()
def fail() -> str:
    content = [TextContent(type="text", text="\\nno such place: Oz\\nTraceback ...")]
    return CallToolResult(content=content, is_error=True)


@server.tool()
def die() -> str:
    print("out of memory", file=sys.stderr)
    os._exit(1)


@server.tool()
def hang(fifo: str) -> str:
    """Hold the FIFO open, here and in a program."""
    alive = os.open(fifo, os.O_WRONLY)
    subprocess.Popen(["sleep", "60"], pass_fds=[alive])
    os.write(alive, b"started\\n")
    threading.Event().wait(60)


server.run()
'''

# Answers each request with what its argument says for the method; at a method of which it says nothing, it ends.
PUPPET = """\
import json, sys

answers = json.loads(sys.argv[1])
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    if asked["method"] not in answers:
        sys.exit("no more to say")
    answer = answers[asked["method"]]
    if isinstance(answer, dict):
        answer = json.dumps({"jsonrpc": "2.0", "id": asked["id"], **answer})
    print(answer, flush=True)
"""
HELLO = {
    "result": {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "puppet", "version": "1"},
    }
}
DONE = {"result": {"content": [{"type": "text", "text": "done"}]}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of a real server."""
    path = tmp_path_factory.mktemp("mcp") / "server.py"
    path.write_text(SERVER, encoding="utf-8")
    return [sys.executable, str(path)]


def puppet(**answers: object) -> list[str]:
    """Return the command of a server that answers so; `_` in a name stands for `/`."""
    return [sys.executable, "-c", PUPPET, json.dumps({name.replace("_", "/"): said for name, said in answers.items()})]


def tool(command: list[str], name: str, **types: str) -> ToolSpec:
    return ToolSpec.model_validate(
        {
            "name": "probe",
            "app": "tests",
            "description": "A tool made up for a test.",
            "parameters": [{"name": name, "type": kind} for name, kind in types.items()],
            "effect": "read",
            "implementation": {"mcp": {"command": command, "tool": name}},
        }
    )


def run(spec: ToolSpec, *, timeout: float | None = 30, **arguments: object) -> str:
    """Call a tool, wait for it, and see that it leaves no task."""

    async def main() -> str:
        try:
            async with asyncio.timeout(timeout):
                return await invoke(spec, arguments, CONTEXT, backend="desktop")
        finally:
            assert asyncio.all_tasks() == {asyncio.current_task()}

    return asyncio.run(main())


# --- What a server's tool gives -----------------------------------------------------------------------------


def test_a_tool_gets_its_arguments_by_name_and_with_their_types(server: list[str]) -> None:
    spec = tool(server, "echo", text="string", people="list[string]", count="integer", loud="boolean")
    text = "{loud}; $(rm -rf /) 'x' \"ä\"\n\u2028\0🙂" + 100_000 * "x"
    said = run(spec, text=text, people=["Ana", "Bo Li"], count=3, loud=True)
    assert said == repr((text, ["Ana", "Bo Li"], 3, True))


@pytest.mark.parametrize(
    ("name", "text"),
    [("several", "one\ntwo"), ("data", '{"temperature": 7.5, "sky": "bedeckt, ä"}'), ("nothing", "")],
)
def test_the_output_is_the_text_or_else_the_structured_content(server: list[str], name: str, text: str) -> None:
    assert run(tool(server, name)) == text


def test_a_tool_that_fails_says_why_on_its_first_line(server: list[str]) -> None:
    with pytest.raises(ToolError, match=r"^probe: no such place: Oz$") as caught:
        run(tool(server, "fail"))
    assert type(caught.value) is ToolError


def test_a_server_that_has_only_versions_without_a_handshake_is_spoken_to_in_them() -> None:
    known = {"supportedVersions": ["2026-07-28"], "capabilities": {}, "ttlMs": 0, "cacheScope": "public"}
    command = puppet(
        initialize={"error": {"code": -32601, "message": "Method not found"}},
        server_discover={"result": {"resultType": "complete", **known}},
        tools_call={"result": {"resultType": "complete", "content": [{"type": "text", "text": "new"}]}},
    )
    assert run(tool(command, "x")) == "new"


def test_lines_that_are_no_messages_are_passed_over() -> None:
    """As of a server that greets, or of a tool that prints."""
    answer = json.dumps({"jsonrpc": "2.0", "id": 2, **DONE})
    assert run(tool(puppet(initialize=HELLO, tools_call=f"working ...\n\n{{}}\n{answer}"), "x")) == "done"


# --- What goes wrong ----------------------------------------------------------------------------------------


def test_a_missing_server_is_unavailable(server: list[str]) -> None:
    with pytest.raises(Unavailable, match="'no-such-server', which cannot be started: No such file") as caught:
        run(tool(["no-such-server"], "x"))
    assert type(caught.value) is Unavailable  # and is not tried again


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["sh", "-c", "echo bad key >&2; exit 3"], "sh ended without an answer: bad key"),
        (["sh", "-c", "sleep 60 & echo out of memory >&2; exit 1"], "sh ended without an answer: out of memory"),
        (["echo", "hello"], "echo ended without an answer: it does not say why"),
        (["yes", "nonsense"], "yes does not speak MCP but says 'nonsense'"),
        (["cat"], "cat does not answer as MCP wants it: Method not found"),
        (puppet(initialize='{"jsonrpc": "2.0"}'), r"does not speak MCP but says '\{"),
        (puppet(initialize={"result": {}}), "does not answer as MCP wants it: "),
        (puppet(initialize={"result": HELLO["result"] | {"protocolVersion": "1.0"}}), "version from the server: 1.0"),
    ],
    ids=[
        "dead",
        "dead with a child that lives",
        "talkative and dead",
        "talkative",
        "echo",
        "a wrong message",
        "a wrong answer",
        "a wrong version",
    ],
)
def test_what_goes_wrong_before_the_call_may_be_tried_again(command: list[str], said: str) -> None:
    with pytest.raises(Unreachable, match=said):
        run(tool(command, "x"))


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({}, "ended without an answer: no more to say"),
        ({"tools_call": '{"jsonrpc": "2.0", "id": 2, "result": nil}'}, r"does not speak MCP but says '\{"),
        ({"tools_call": {"result": {"content": "done"}}}, "does not answer as MCP wants it: "),
        ({"tools_call": DONE | {"padding": 100_000 * "x"}}, "says a message of more than 50000 bytes"),
    ],
    ids=["dead", "a wrong message", "a wrong answer", "a message without end"],
)
def test_what_goes_wrong_after_the_call_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, object], said: str
) -> None:
    monkeypatch.setattr(mcp_module, "LONGEST", 50_000)
    with pytest.raises(InDoubt, match=said):
        run(tool(puppet(initialize=HELLO, **answers), "x"))


def test_a_server_that_dies_of_a_call_leaves_it_in_doubt(server: list[str]) -> None:
    with pytest.raises(InDoubt, match="ended without an answer: out of memory"):
        run(tool(server, "die"))


def test_a_call_that_the_server_refuses_is_an_error_like_any_other() -> None:
    error = {"error": {"code": -32000, "message": "no such tool\nat line 7"}}
    with pytest.raises(ToolError, match="refused the call: no such tool \\(check 'tool'") as caught:
        run(tool(puppet(initialize=HELLO, tools_call=error), "x"))
    assert type(caught.value) is ToolError


def test_half_a_character_is_an_invalid_argument(server: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="cannot be sent"):
        run(tool(server, "echo", text="string"), text="\ud83d")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingExtra, match=r"pip install 'tinyagent-edge\[mcp\]'"):
        run(tool(["true"], "x"))


# --- Its end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["sleep", "60"], puppet(initialize=HELLO, tools_call="hm")], ids=["mute", "busy"])
def test_a_time_out_of_the_callers_stays_one(command: list[str]) -> None:
    with pytest.raises(TimeoutError):
        run(tool(command, "x"), timeout=1)


@pytest.mark.parametrize(
    ("on_term", "grace_s", "cancellations"),
    [("obedient", 60, 1), ("deaf", 0.05, 1), ("deaf", 60, 2)],
    ids=["obedient", "deaf", "deaf and cancelled twice"],
)
def test_a_cancelled_server_ends_with_all_that_it_started(
    server: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_term: str,
    grace_s: float,
    cancellations: int,
) -> None:
    """A FIFO that the server and its child hold open ends when, and only when, both are gone."""
    monkeypatch.setattr(invoke_module, "GRACE_S", grace_s)
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    spec = tool([*server, on_term], "hang", fifo="path")

    async def main() -> None:
        task: asyncio.Task[Any] = asyncio.create_task(invoke(spec, {"fifo": str(fifo)}, CONTEXT, backend="desktop"))
        alive = await asyncio.to_thread(fifo.open, "rb")
        assert await asyncio.to_thread(alive.readline) == b"started\n"
        for _ in range(cancellations):
            task.cancel()
            await asyncio.sleep(0.2)  # so that it takes notice
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(alive.read) == b""
        alive.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
