"""How each kind of implementation is run: Python functions, real programs, a real HTTP server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.spec import ToolSpec
from pipeline.tools import invoke as invoke_module
from pipeline.tools.context import (
    Ambiguous,
    InvalidArgument,
    NotFound,
    ToolContext,
    ToolError,
    Unavailable,
    recording,
)
from pipeline.tools.invoke import invoke

WRITER: Any = SimpleNamespace()  # no tool of this file writes prose
CONTEXT = ToolContext(Path("data"), datetime(2025, 3, 4, 9), request="", writer=WRITER)


def tool(implementation: Mapping[str, Any], **types: str) -> ToolSpec:
    """Return a spec with these parameters."""
    return ToolSpec.model_validate(
        {
            "name": "probe",
            "app": "tests",
            "description": "A tool made up for a test.",
            "parameters": [{"name": name, "type": kind} for name, kind in types.items()],
            "effect": "read",
            "implementation": implementation,
        }
    )


def run(spec: ToolSpec, *, backend: str = "desktop", **arguments: object) -> str:
    """Invoke a tool and wait for it."""
    return asyncio.run(invoke(spec, arguments, CONTEXT, backend=backend))


# --- Python functions ---------------------------------------------------------------------------------------


def greet(context: ToolContext, /, *, name: str) -> str:
    return f"Hello {name}, it is {context.now:%H:%M} (main thread: {in_main_thread()})"


def in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def give(context: ToolContext, /, *, what: str) -> object:
    values: dict[str, object] = {"list": ["ä", 1], "dict": {"a": None}, "none": None, "odd": object()}
    return values[what]


def go_wrong(context: ToolContext, /, *, how: str) -> str:
    errors: dict[str, BaseException] = {
        "typed": NotFound("there is no such note", fix="say another"),
        "bug": ZeroDivisionError("by nought"),
        "exit": SystemExit(1),
        "stop": StopIteration(),
    }
    raise errors[how]


def python(function: str, **types: str) -> ToolSpec:
    return tool({"python": f"{__name__}:{function}"}, **types)


def test_a_function_runs_in_a_thread_with_the_context_and_arguments_by_name() -> None:
    assert run(python("greet", name="string"), name="Ana") == "Hello Ana, it is 09:00 (main thread: False)"


@pytest.mark.parametrize(("what", "text"), [("list", '["ä", 1]'), ("dict", '{"a": null}'), ("none", "")])
def test_what_is_not_text_becomes_json(what: str, text: str) -> None:
    assert run(python("give", what="string"), what=what) == text


def test_a_typed_error_comes_through_as_it_is() -> None:
    with pytest.raises(NotFound, match="no such note"):
        run(python("go_wrong", how="string"), how="typed")


@pytest.mark.parametrize(
    ("how", "said"),
    [("bug", "ZeroDivisionError: by nought"), ("exit", "SystemExit"), ("stop", "StopIteration")],
)
def test_any_other_error_becomes_a_tool_error(how: str, said: str) -> None:
    with pytest.raises(ToolError, match=f"probe failed: {said}"):
        run(python("go_wrong", how="string"), how=how)


def test_a_result_that_is_no_data_is_an_error() -> None:
    with pytest.raises(ToolError, match="not JSON serializable"):
        run(python("give", what="string"), what="odd")


# --- Python functions in a process of their own --------------------------------------------------------------


def apart(function: str, **types: str) -> ToolSpec:
    return tool({"python": f"{__name__}:{function}", "process": True}, **types)


def tell(context: ToolContext, /, *, name: str) -> str:
    print("this is no part of the answer")
    return f"{name} {os.getpid()} {context.data_dir} {context.now:%H:%M} {context.key}"


def write_note(context: ToolContext, /, *, folder: str) -> str:
    from pipeline.tools.desktop import store

    store.create(Path(folder) / "note.md", b"# Note")
    return "made"


def die(context: ToolContext, /) -> str:
    os._exit(7)


def hang_apart(context: ToolContext, /, *, fifo: str) -> str:
    with Path(fifo).open("w") as pipe:
        print("started", file=pipe, flush=True)
        threading.Event().wait(60)
    return ""


def choose(context: ToolContext, /) -> str:
    raise Ambiguous("which Omar?", candidates=["Omar A.", "Omar B."])


def test_a_function_may_run_in_a_process() -> None:
    name, pid, *rest = run(apart("tell", name="string"), name="Ana").split()
    assert (name, rest) == ("Ana", ["data", "09:00"])
    assert int(pid) != os.getpid()


def test_a_processs_errors_are_those_of_the_tool() -> None:
    with pytest.raises(NotFound, match="no such note") as caught:
        run(apart("go_wrong", how="string"), how="typed")
    assert caught.value.fix == "say another"
    with pytest.raises(Ambiguous) as several:
        run(apart("choose"))
    assert several.value.candidates == ["Omar A.", "Omar B."]
    with pytest.raises(ToolError, match="its process ended with status 7 and no answer"):
        run(apart("die"))


def test_what_a_process_changed_is_known_here(tmp_path: Path) -> None:
    with recording() as changes:
        assert run(apart("write_note", folder="string"), folder=str(tmp_path)) == "made"
    [change] = changes
    assert (change.path, change.created) == (tmp_path / "note.md", True)
    assert change.digest == hashlib.sha256(b"# Note").hexdigest()


def test_a_process_that_hangs_is_killed(tmp_path: Path) -> None:
    """The FIFO that it holds open ends when it is gone."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)

    async def main() -> None:
        call = asyncio.create_task(
            invoke(apart("hang_apart", fifo="string"), {"fifo": str(fifo)}, CONTEXT, backend="desktop")
        )
        pipe = await asyncio.to_thread(fifo.open)
        assert await asyncio.to_thread(pipe.readline) == "started\n"
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await asyncio.to_thread(pipe.read) == ""
        pipe.close()

    asyncio.run(main())


def test_the_backend_is_part_of_the_module() -> None:
    with pytest.raises(ToolError, match=r"the module pipeline\.tools\.abacus\.notes cannot be imported") as caught:
        run(tool({"python": "pipeline.tools.{backend}.notes:open_note"}), backend="abacus")
    assert "backend" in str(caught.value.fix)


def test_a_function_that_does_not_exist_is_named() -> None:
    with pytest.raises(ToolError, match=f"the module {__name__} has no function nobody"):
        run(python("nobody"))


def test_a_thread_that_is_cancelled_is_left_alone_and_its_result_discarded() -> None:
    started, finish, finished = threading.Event(), threading.Event(), threading.Event()
    context = ToolContext(
        CONTEXT.data_dir, CONTEXT.now, "", CONTEXT.writer, {"test": {"events": (started, finish, finished)}}
    )

    async def main() -> None:
        task = asyncio.create_task(invoke(python("hang"), {}, context, backend="desktop"))
        await asyncio.to_thread(started.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    finish.set()  # with the loop closed
    assert finished.wait(10)


def hang(context: ToolContext, /) -> str:
    started, finish, finished = context.settings["test"]["events"]
    started.set()
    finish.wait(10)
    finished.set()
    return "too late"


# --- programs -----------------------------------------------------------------------------------------------

SHOW_ARGUMENTS = [sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))"]


def test_a_program_gets_its_arguments_one_by_one_and_its_output_is_stripped() -> None:
    spec = tool(
        {"command": [*SHOW_ARGUMENTS, "--loud={loud}", "{people}", "to {people}: {text}", "{count}"]},
        loud="boolean",
        people="list[string]",
        text="string",
        count="integer",
    )
    output = run(spec, loud=True, people=["Ana", "Bo Li"], text="{loud}; $(rm -rf /) 'x' \"y\"\n*", count=3)
    assert not output.endswith("\n")
    assert json.loads(output) == [
        "--loud=true",
        "Ana",
        "Bo Li",
        "to Ana,Bo Li: {loud}; $(rm -rf /) 'x' \"y\"\n*",
        "3",
    ]


def test_a_program_has_nothing_on_its_input() -> None:
    assert (
        run(
            tool(
                {
                    "command": [
                        sys.executable,
                        "-c",
                        "import sys; print(len(sys.stdin.read()))",
                    ]
                }
            )
        )
        == "0"
    )


def test_a_program_that_fails_says_why_on_its_last_line() -> None:
    spec = tool(
        {
            "command": [
                sys.executable,
                "-c",
                "print('ignored'); raise SystemExit('first\\nno such printer\\n')",
            ]
        }
    )
    with pytest.raises(ToolError, match="failed with status 1: no such printer"):
        run(spec)


def test_a_missing_program_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="'no-such-program-at-all'") as caught:
        run(tool({"command": ["no-such-program-at-all"]}))
    assert "install it" in str(caught.value.fix)


def test_a_zero_byte_is_an_invalid_argument() -> None:
    with pytest.raises(InvalidArgument, match="null byte"):
        run(tool({"command": [*SHOW_ARGUMENTS, "{text}"]}, text="string"), text="a\0b")


def test_a_program_that_leaves_another_behind_is_done_when_it_ends_itself(tmp_path: Path) -> None:
    """As one that opens a viewer does; the viewer holds the output open."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    spec = tool({"command": ["sh", "-c", 'cat "$1" & echo opened', "sh", str(fifo)]})
    assert run(spec) == "opened"
    fifo.write_bytes(b"")  # lets the viewer end


@pytest.mark.parametrize(
    ("on_term", "grace_s", "cancellations"),
    [("exit", 60, 1), ("", 0.05, 1), ("", 60, 2)],
    ids=["obedient", "deaf", "deaf and cancelled twice"],
)
def test_a_cancelled_program_ends_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_term: str, grace_s: float, cancellations: int
) -> None:
    """A FIFO that the program and its child hold open ends when, and only when, both are gone."""
    monkeypatch.setattr(invoke_module, "GRACE_S", grace_s)
    script = f"trap '{on_term}' TERM; exec 3>\"$1\"; echo started >&3; sleep 60 & wait; sleep 60"
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    spec = tool({"command": ["sh", "-c", script, "sh", str(fifo)]})

    async def main() -> None:
        task = asyncio.create_task(invoke(spec, {}, CONTEXT, backend="desktop"))
        alive = await reader_of(fifo)
        assert await asyncio.wait_for(alive.readline(), 10) == b"started\n"
        for _ in range(cancellations):
            task.cancel()
            await asyncio.sleep(0)  # so that it takes notice
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.wait_for(alive.read(), 10) == b""

    asyncio.run(main())


async def reader_of(fifo: Path) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


# --- HTTP ---------------------------------------------------------------------------------------------------


class Echo(BaseHTTPRequestHandler):
    """Answers with what it got; a path `/status/N…` with that status."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        got = {
            "method": self.command,
            "path": self.path,
            "key": self.headers.get("X-Key"),
            "body": json.loads(body) if body else None,
        }
        answer = json.dumps(got).encode()
        status = re.match(r"/status/(\d+)", self.path)
        self.send_response(int(status[1]) if status else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


def test_arguments_stay_the_part_of_the_url_that_they_stand_in(server: str) -> None:
    spec = tool(
        {"url": f"{server}/city/{{city}}?days={{days}}", "headers": {"X-Key": "k"}},
        city="string",
        days="integer",
    )
    got = json.loads(run(spec, city="São Tomé/../?x=1&y#z", days=3))
    assert got == {
        "method": "GET",
        "path": "/city/S%C3%A3o%20Tom%C3%A9%2F..%2F%3Fx%3D1%26y%23z?days=3",
        "key": "k",
        "body": None,
    }


@pytest.mark.parametrize("text", [".", ".."])
def test_an_argument_cannot_climb_in_the_path(server: str, text: str) -> None:
    with pytest.raises(InvalidArgument):
        run(tool({"url": f"{server}/notes/{{name}}/text"}, name="string"), name=text)


def test_a_body_is_json_and_keeps_the_types_of_whole_values(server: str) -> None:
    spec = tool(
        {
            "url": server,
            "method": "POST",
            "body": {"to": "{people}", "text": "Hi {people}, {text}", "n": ["{n}", 7]},
        },
        people="list[string]",
        text="string",
        n="integer",
    )
    got = json.loads(run(spec, people=["Ana", "Bo"], text='say "{n}"', n=2))
    assert got["method"] == "POST"
    assert got["body"] == {"to": ["Ana", "Bo"], "text": 'Hi Ana,Bo, say "{n}"', "n": [2, 7]}


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_answer_that_is_no_success_is_an_error(server: str, status: int) -> None:
    with pytest.raises(ToolError, match=rf"127\.0\.0\.1 answered {status}: "):
        run(tool({"url": f"{server}/status/{status}?key=secret"}))


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        run(tool({"url": "http://127.0.0.1:9/?key=secret"}))
    assert "secret" not in str(caught.value)


def test_a_call_has_its_key_where_the_service_takes_one(server: str) -> None:
    spec = tool({"url": server, "method": "POST", "headers": {"X-Key": "k"}, "idempotency_header": "X-Key"})
    context = replace(CONTEXT, key="run.0.1")
    assert json.loads(asyncio.run(invoke(spec, {}, context, backend="desktop")))["key"] == "run.0.1"
    assert json.loads(run(spec))["key"] == "k"  # outside of a run there is none
    assert spec.repeatable
