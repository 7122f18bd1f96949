"""Runs a tool: its spec and a call's arguments → its output as text.

One function a kind of implementation: a Python function in a thread or a process, a program without a shell, an HTTP
request; tools of MCP servers are in `pipeline.tools.mcp`. Whether and when a tool may run, and for how long, is its
caller's to say (see `pipeline.executor`); here it ends when it is done or cancelled.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from tempfile import TemporaryFile
from threading import Thread
from typing import IO, Any
from urllib.parse import quote, urlsplit

from pipeline.errors import TinyAgentError
from pipeline.spec import CommandTool, HttpTool, McpTool, PythonTool, ToolSpec
from pipeline.tools.context import (
    InDoubt,
    InvalidArgument,
    Monitor,
    Preview,
    ToolContext,
    ToolError,
    Unavailable,
    Unreachable,
)

GRACE_S = 1.0  # that what is cancelled has to end of itself

_PARAMETER = re.compile(r"\{(\w+)\}")


async def invoke(spec: ToolSpec, arguments: Mapping[str, object], context: ToolContext, *, backend: str) -> str:
    """Run a tool and return its output.

    When cancelled, a program, process or server is ended with all that it started, and a request is dropped. A Python
    thread cannot be stopped: its monitor tells it to, and if it looks there, it is waited for a little; else it is left to itself and
    its result is discarded.

    Args:
        spec: The tool.
        arguments: A value for each of its parameters.
        context: What the run lends to Python tools.
        backend: What `{backend}` stands for in a Python tool's module.

    Raises:
        ToolError: It could not be run, or it failed.
        MissingExtra: It is a tool of an MCP server, and the package `mcp` is not installed.
        TinyAgentError: What else a Python tool raises of this kind.
    """
    match spec.implementation:
        case PythonTool(python=path, process=apart):
            place = path.replace("{backend}", backend)
            if apart:
                return await _in_process(spec.name, place, arguments, context)
            return await _in_thread(lambda: call_python(spec.name, place, arguments, context), context.monitor)
        case CommandTool() as command:
            return await _command(spec.name, command, arguments)
        case HttpTool() as request:
            return await _http(spec.name, request, arguments, context.key)
        case McpTool(mcp=server):
            from pipeline.tools import mcp

            return await mcp.call(spec.name, server, arguments)


async def preview(
    spec: ToolSpec, arguments: Mapping[str, object], context: ToolContext, *, backend: str
) -> Preview | None:
    """Return what a call will act on that is not in its arguments; None for a tool that tells nothing of it.

    Raises:
        ToolError: The call could not be made.
    """
    if not isinstance(spec.implementation, PythonTool) or not spec.implementation.preview:
        return None
    place = spec.implementation.preview.replace("{backend}", backend)
    found: list[Preview] = []

    def look() -> str:
        try:
            found.append(_function(spec.name, place)(context, **arguments))
        except TinyAgentError:
            raise
        except BaseException as error:  # a fault in the tool; nothing has been done yet
            raise ToolError(f"{spec.name} failed: {type(error).__name__}: {error}") from error
        return ""

    await _in_thread(look, context.monitor)
    return found[0]


def call_python(tool: str, place: str, arguments: Mapping[str, object], context: ToolContext) -> str:
    """Import `module:function` and call it; return text as it is, None as no text, all else as JSON."""
    function = _function(tool, place)
    try:
        result = function(context, **arguments)
        return "" if result is None else result if isinstance(result, str) else _json(result)
    except TinyAgentError:
        raise
    except BaseException as error:  # a fault in the tool: who knows how far it came
        raise InDoubt(f"{tool} failed: {type(error).__name__}: {error}") from error


def _function(tool: str, place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    fix = "check 'python' in its spec, and the backend"
    try:
        function = getattr(importlib.import_module(module), name, None)
    except BaseException as error:  # a script taken for a module may call sys.exit()
        raise ToolError(f"{tool}: the module {module} cannot be imported: {error}", fix=fix) from error
    if function is None:
        raise ToolError(f"{tool}: the module {module} has no function {name}", fix=fix)
    found: Callable[..., Any] = function
    return found


async def _in_thread(work: Callable[[], str], monitor: Monitor) -> str:
    """Do `work` in a thread of its own.

    Not `asyncio.to_thread`: its pool is small, so that a few tools that hang would hold up all others, and
    the interpreter waits for its threads before it ends.
    """
    result: Future[str] = Future()
    result.set_running_or_notify_cancel()  # a result that comes after a cancellation goes nowhere, in silence

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    Thread(target=copy_context().run, args=(run,), daemon=True).start()
    task = asyncio.wrap_future(result)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        monitor.call_off()
        if monitor.watched:
            await asyncio.wait([task], timeout=GRACE_S)
        if task.done():
            task.exception()  # looked at, so that asyncio does not report it
        task.cancel()
        raise


async def _in_process(tool: str, place: str, arguments: Mapping[str, object], context: ToolContext) -> str:
    """Call a Python function in a fresh interpreter (see `pipeline.tools.worker`), which dies with the call."""
    from pipeline.tools.worker import answer, question

    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the folder that one happens to be in is no place to import from
            "-m",
            "pipeline.tools.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
    except OSError as error:
        raise Unavailable(f"{tool}: no process can be started: {error.strerror}", fix="close some programs") from error
    try:
        said, _ = await process.communicate(question(tool, place, arguments, context))
    except asyncio.CancelledError:
        await end(process)
        raise
    return answer(tool, said, process.returncode)


async def _command(tool: str, command: CommandTool, arguments: Mapping[str, object]) -> str:
    """Run a program with nothing on its input; what it prints, stripped, is the output."""
    argv = [word for template in command.command for word in _words(template, arguments)]
    # Files rather than pipes: a pipe ends only when everything that the program started has ended too, which
    # for one that opens a document's viewer is when the user closes it.
    with TemporaryFile() as output, TemporaryFile() as errors:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
            )
        except OSError as error:
            raise Unavailable(
                f"{tool} needs the program {argv[0]!r}, which cannot be started: {error.strerror}",
                fix="install it, or correct 'command' in the tool's spec",
            ) from error
        except ValueError as error:  # a zero byte, or a lone surrogate
            raise InvalidArgument(f"{tool}: an argument cannot be given to a program: {error}") from error
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            await end(process)
            raise
        output.seek(0)
        if status:
            raise ToolError(f"{tool}: {argv[0]} failed with status {status}: {last_line(errors)}")
        return output.read().decode(errors="replace").strip()


def last_line(errors: IO[bytes]) -> str:
    """Return the last line that a program wrote there: mostly what was wrong."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it does not say why")


async def end(process: asyncio.subprocess.Process) -> None:
    """End a program and all that it started: ask, and after `GRACE_S` or at a second cancellation kill."""
    try:
        signal_group(process, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await process.wait()
    finally:
        signal_group(process, signal.SIGKILL)  # the group may outlive the program that leads it
        await process.wait()


def signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal to a program that leads a session of its own, and to all that it started."""
    with suppress(ProcessLookupError, PermissionError):  # macOS answers the latter when only zombies are left
        os.killpg(process.pid, number)


async def _http(tool: str, request: HttpTool, arguments: Mapping[str, object], key: str) -> str:
    """Make a request; the text of the response is the output. Redirections are not followed.

    Where it is not known whether the service has acted, the error is `InDoubt`.
    """
    import httpx  # takes as long to import as all the rest

    host = urlsplit(request.url).hostname  # errors name no more, for the rest may hold a key
    try:
        url = _PARAMETER.sub(lambda m: _url_part(m[1], arguments), request.url)
        body = None if request.body is None else _filled(request.body, arguments)
        headers = dict(request.headers)
        if request.idempotency_header and key:
            headers[request.idempotency_header] = key
        async with httpx.AsyncClient(timeout=None) as client:
            response = await client.request(request.method, url, headers=headers, json=body)
    except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:
        raise Unreachable(
            f"{tool}: {host} cannot be reached: {error}", fix="check the network and try again"
        ) from error
    except httpx.HTTPError as error:
        raise InDoubt(
            f"{tool}: {host} did not answer: {str(error) or type(error).__name__}",
            fix="it may have done what was asked: look before trying again",
        ) from error
    except (httpx.InvalidURL, ValueError) as error:  # the latter of lone surrogates
        raise InvalidArgument(f"{tool}: an argument cannot be sent: {error}") from error
    if not response.is_success:
        said = response.text.strip().split("\n")[0][:200] or response.reason_phrase
        # A refusal (4xx) has no effect; with anything else, a service may have come some way.
        refused = 400 <= response.status_code < 500 and response.status_code != httpx.codes.REQUEST_TIMEOUT
        kind = (
            Unreachable if response.status_code == httpx.codes.TOO_MANY_REQUESTS else ToolError if refused else InDoubt
        )
        raise kind(f"{tool}: {host} answered {response.status_code}: {said}")
    return response.text


def _words(template: str, arguments: Mapping[str, object]) -> list[str]:
    """Return what an item of a command becomes: one word, or one for each item where it is just a list."""
    if alone := _PARAMETER.fullmatch(template):
        value = arguments[alone[1]]
        return [_text(item) for item in value] if isinstance(value, list) else [_text(value)]
    return [_PARAMETER.sub(lambda m: _text(arguments[m[1]]), template)]


def _filled(template: Any, arguments: Mapping[str, object]) -> Any:
    """Return a JSON body with its strings filled in; one that is just `{parameter}` becomes the value."""
    match template:
        case str():
            if alone := _PARAMETER.fullmatch(template):
                return arguments[alone[1]]
            return _PARAMETER.sub(lambda m: _text(arguments[m[1]]), template)
        case Mapping():
            return {key: _filled(value, arguments) for key, value in template.items()}
        case list():
            return [_filled(item, arguments) for item in template]
        case _:
            return template


def _url_part(name: str, arguments: Mapping[str, object]) -> str:
    """Return an argument percent-encoded (RFC 3986): it stays within the part of the URL where it stands."""
    text = _text(arguments[name])
    if text in {".", ".."}:  # encoding leaves these as they are, and they would lead to another resource
        raise InvalidArgument(f"{name} cannot be {text!r}")
    return quote(text, safe="")


def _text(value: object) -> str:
    """Return an argument as text: a list's items with commas between, what is not text as JSON writes it."""
    match value:
        case str():
            return value
        case list():
            return ",".join(_text(item) for item in value)
        case None:
            return ""
        case _:
            return _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
