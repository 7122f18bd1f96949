"""Calls a tool of an MCP server: the server's command and a call's arguments → the tool's text; and lists a server's tools.

The server is a program that speaks the Model Context Protocol on its standard input and output, one JSON message a line
(https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio). It is started for one call and ended after
it: no call meets what an earlier one left in memory. A tool whose spec has a digest is only called if the server still says of it what
it said when the tool was imported. The package `mcp` knows the messages. The process is ours: a call is
cancelled as any asyncio task is, at any moment and more than once, and must leave nothing running.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from importlib.metadata import version
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar

from pipeline.errors import MissingExtra
from pipeline.spec import McpServer
from pipeline.tools.context import InDoubt, InvalidArgument, ToolError, Unavailable, Unreachable
from pipeline.tools.invoke import GRACE_S, end, last_line, signal_group

if TYPE_CHECKING:
    from mcp import ClientSession
    from mcp.shared.message import SessionMessage
    from mcp_types import CallToolResult, Tool

T = TypeVar("T")

LONGEST = 32 * 2**20  # bytes of a message; a picture comes on one line
STRAY = 100  # lines that are no messages, after which what speaks is no MCP server
PAGES = 100  # of a server's list of tools; one with more does not come to an end
LIST_S = 30.0  # seconds in which a server lists its tools


@dataclass(frozen=True, slots=True)
class Definition:
    """What a server says of one of its tools, as far as it bears on what the tool does and how it is called."""

    name: str
    description: str
    input_schema: Mapping[str, Any]  # JSON Schema of the arguments
    output_schema: Mapping[str, Any] | None = None
    annotations: Mapping[str, Any] = field(default_factory=dict)  # hints: readOnlyHint, destructiveHint, …

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, in hexadecimal."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Changed(ToolError):
    """A server says something else of its tool than what was accepted."""


async def definitions(command: tuple[str, ...]) -> tuple[str, list[Definition]]:
    """Start a server and return its name and its tools, in its order.

    Raises:
        MissingExtra: The package `mcp` is not installed.
        ToolError: The server cannot be started, does not speak the protocol, or does not answer in time.
    """
    server, program = McpServer(command=command, tool="*"), command[0]
    with TemporaryFile() as errors:
        try:
            async with asyncio.timeout(LIST_S), _session(program, server, errors) as (session, lines):
                found = await _talked(program, server, session, lines, errors, _listed)
                name = session.server_info.name if session.server_info else ""
        except TimeoutError:
            raise Unreachable(
                f"{program} does not list its tools within {LIST_S:g} s", fix="see whether it starts"
            ) from None
    if isinstance(found, ToolError):
        raise found
    return name, found


async def call(tool: str, server: McpServer, arguments: Mapping[str, object]) -> str:
    """Start the server, call its tool, end the server, and return the tool's text.

    Of a result without text it is the structured content as JSON; pictures and sounds are left out. When cancelled, the
    server is ended with all that it started.

    Args:
        tool: The name of our tool, for errors.
        server: How the server is started, and the name of its tool.
        arguments: By the names that the server's tool has for them.

    Raises:
        MissingExtra: The package `mcp` is not installed.
        InvalidArgument: An argument is text that cannot be encoded.
        Unavailable: The server cannot be started.
        Unreachable: It ended, or does not speak the protocol, before the call was sent.
        InDoubt: Likewise, after the call was sent.
        ToolError: Its tool failed, or it refused the call.
    """
    try:
        json.dumps(dict(arguments), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # a lone surrogate
        raise InvalidArgument(f"{tool}: an argument cannot be sent: {error}") from error
    with TemporaryFile() as errors:
        async with _session(tool, server, errors) as (session, lines):
            talk = partial(_called, tool, server, arguments)
            answer = await _talked(tool, server, session, lines, errors, talk)
    if isinstance(answer, ToolError):
        raise answer
    return answer


@asynccontextmanager
async def _session(tool: str, server: McpServer, errors: IO[bytes]) -> AsyncIterator[tuple[ClientSession, _Lines]]:
    """Start a server and open a session with it."""
    try:
        from mcp import ClientSession  # takes longer to import than all the rest
        from mcp_types import Implementation
    except ImportError as error:
        raise MissingExtra("mcp", "mcp") from error
    name = Implementation(name="tinyagent-edge", version=version("tinyagent-edge"))
    async with (
        _started(tool, server, errors) as lines,
        ClientSession(lines, lines, client_info=name) as session,
    ):
        yield session, lines


@asynccontextmanager
async def _started(tool: str, server: McpServer, errors: IO[bytes]) -> AsyncIterator[_Lines]:
    """Start a server, and end it with all that it started; what it writes on its error output goes to `errors`."""
    # A socket rather than asyncio's pipes, with which a process counts as running for as long as anything that it started
    # holds them open.
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LONGEST)
        try:
            try:
                process = await asyncio.create_subprocess_exec(
                    *server.command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=errors,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:  # the latter of a zero byte
                raise Unavailable(
                    f"{tool} needs the MCP server {server.command[0]!r}, which cannot be started: "
                    f"{getattr(error, 'strerror', None) or error}",
                    fix="install it, or correct 'command' in the tool's spec",
                ) from error
            theirs.close()
            leader = asyncio.create_task(process.wait())
            # What a server that dies leaves behind holds the connection open, and would be waited for in vain.
            leader.add_done_callback(lambda _: signal_group(process, signal.SIGKILL))
            try:
                yield _Lines(reader, writer)
                writer.close()  # at which the server ends, by the protocol
                await asyncio.wait([leader], timeout=GRACE_S)
            finally:
                await end(process)
                await leader  # which the loop may not have come to yet
        finally:
            writer.transport.abort()


class _Lines:
    """A connection to a server as `ClientSession` wants its two streams: one message of JSON a line, in UTF-8."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._stray = 0
        self.called = False  # the call may have reached the server
        self.ended = False  # nothing more will be read
        self.nonsense = ""  # what it was ended for

    async def send(self, item: SessionMessage, /) -> None:
        """Send a message. It is not waited for: a server that does not read must not hold up a cancellation."""
        from anyio import BrokenResourceError

        if self._writer.is_closing():
            raise BrokenResourceError
        self.called |= getattr(item.message, "method", "") == "tools/call"
        self._writer.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")

    async def receive(self) -> SessionMessage:
        """Return the next message.

        Lines that are none are passed over, within measure: many a server greets, and many a tool prints.

        Raises:
            StopAsyncIteration: The server has ended, or speaks something else.
        """
        from mcp.shared.message import SessionMessage
        from mcp_types import jsonrpc_message_adapter

        while not self.ended:
            try:
                line = await self._reader.readline()
            except ValueError:
                line, self.nonsense = b"", f"a message of more than {LONGEST} bytes"
            except OSError:  # it ended with something of ours unread
                line = b""
            if not line.endswith(b"\n"):
                break
            try:
                return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
            except ValueError:
                self._stray += bool(line.strip())
                # A message of a wrong form may have been the answer: no other will come in its stead.
                if b'"jsonrpc"' in line or self._stray > STRAY:
                    self.nonsense = repr(line.decode(errors="replace").strip()[:100])
                    break
        self.ended = True
        raise StopAsyncIteration

    __anext__ = receive

    def __aiter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """Close the server's input, once all is sent."""
        self._writer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.aclose()


async def _talked(
    tool: str,
    server: McpServer,
    session: ClientSession,
    lines: _Lines,
    errors: IO[bytes],
    talk: Callable[[ClientSession], Awaitable[T | ToolError]],
) -> T | ToolError:
    """Greet the server and talk with it. An error is returned: raised within the session, it would come out in a group."""
    from mcp import MCPError
    from mcp_types import CONNECTION_CLOSED

    program = server.command[0]
    try:
        await _greet(session)
        return await talk(session)
    except MCPError as error:
        said = _first_line(error.message)
        if lines.called and not (lines.ended and error.code == CONNECTION_CLOSED):
            return ToolError(
                f"{tool}: {program} refused the call: {said}",
                fix="check 'tool' in the tool's spec, and that its parameters have the names that the server wants",
            )
    except (ValueError, RuntimeError) as error:  # an answer of another form, or of a version that nobody knows
        said = _first_line(str(error))
    if lines.nonsense:
        wrong = f"{program} does not speak MCP but says {lines.nonsense}"
    elif lines.ended:
        wrong = f"{program} ended without an answer: {last_line(errors)}"
    else:
        wrong = f"{program} does not answer as MCP wants it: {said}"
    if lines.called:
        return InDoubt(f"{tool}: {wrong}", fix="it may have done what was asked: look before trying again")
    return Unreachable(f"{tool}: {wrong}", fix="check 'command' in the tool's spec")


async def _called(
    tool: str, server: McpServer, arguments: Mapping[str, object], session: ClientSession
) -> str | ToolError:
    """Call the server's tool, if it is still what was accepted."""
    from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult

    if server.digest:
        defined = next((found for found in await _listed(session) if found.name == server.tool), None)
        if defined is None or defined.digest != server.digest:
            gone = "is not offered any more" if defined is None else "is described otherwise than when it was accepted"
            return Changed(
                f"{tool}: the tool {server.tool!r} of {server.command[0]} {gone}",
                fix="'tinyagent tools import mcp --accept' and the spec's path shows the change and accepts it",
            )
        arguments = as_wanted(arguments, defined.input_schema)
    call = CallToolRequest(params=CallToolRequestParams(name=server.tool, arguments=dict(arguments)))
    # Not `session.call_tool`, which afterwards asks for the list of tools to check the result against: with the effect
    # done and the result there, another question could only lose it.
    return _output(tool, await session.send_request(call, CallToolResult))


async def _listed(session: ClientSession) -> list[Definition]:
    """Return what the server says of its tools."""
    from mcp_types import ListToolsRequest, ListToolsResult, PaginatedRequestParams

    found: list[Definition] = []
    cursor = None
    for _ in range(PAGES):
        params = PaginatedRequestParams(cursor=cursor) if cursor else None
        page = await session.send_request(ListToolsRequest(params=params), ListToolsResult)
        found += map(_definition, page.tools)
        if not (cursor := page.next_cursor):
            return found
    raise ValueError(f"its list of tools has more than {PAGES} pages")


def _definition(tool: Tool) -> Definition:
    hints = tool.annotations.model_dump(by_alias=True, exclude_none=True) if tool.annotations else {}
    return Definition(tool.name, tool.description or "", tool.input_schema, tool.output_schema, hints)


def as_wanted(arguments: Mapping[str, object], schema: Mapping[str, Any]) -> dict[str, object]:
    """Return arguments as a tool's JSON Schema wants them.

    What was not said and need not be is left out, unless the schema has a default; yes and no always count, as they were shown. Dates and times take the forms of RFC 3339,
    with the local zone.
    """
    properties, needed = schema.get("properties", {}), schema.get("required", ())
    wanted: dict[str, object] = {}
    for name, value in arguments.items():
        declared = properties.get(name)
        declared = declared if isinstance(declared, dict) else {}
        empty = value in ("", 0, []) and not isinstance(value, bool)
        if empty and name not in needed and declared.get("default") is None:
            continue
        match declared.get("format"), value:
            case "date-time", str(text) if text:
                wanted[name] = datetime.fromisoformat(text).astimezone().isoformat()
            case "date", str(text):
                wanted[name] = text[:10]
            case _:
                wanted[name] = value
    return wanted


async def _greet(session: ClientSession) -> None:
    """Agree on a version of the protocol.

    With the handshake first: nearly all servers know it, and some end at any other word. Versions from 2026-07-28 on have none.
    """
    from mcp import MCPError
    from mcp_types import METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION

    try:
        await session.initialize()
    except MCPError as error:
        if error.code not in (METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION):
            raise
        await session.discover()


def _output(tool: str, result: CallToolResult) -> str | ToolError:
    """Return what a result says, or the error that it is."""
    text = "\n".join(block.text for block in result.content if block.type == "text")
    if result.is_error:
        return ToolError(f"{tool}: {_first_line(text)}")
    if not text and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return text


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.split("\n") if line.strip()), "it does not say why")
