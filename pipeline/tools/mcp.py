"""Calls a tool of an MCP server: the server's command and a call's arguments → the tool's text.

The server is a program that speaks the Model Context Protocol on its standard input and output, one JSON message a line
(https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio). It is started for one call and ended after
it: no call meets what an earlier one left in memory. The package `mcp` knows the messages. The process is ours: a call is
cancelled as any asyncio task is, at any moment and more than once, and must leave nothing running.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Self

from pipeline.errors import MissingExtra
from pipeline.spec import McpServer
from pipeline.tools.context import InDoubt, InvalidArgument, ToolError, Unavailable, Unreachable
from pipeline.tools.invoke import GRACE_S, end, last_line, signal_group

if TYPE_CHECKING:
    from mcp import ClientSession
    from mcp.shared.message import SessionMessage
    from mcp_types import CallToolResult

LONGEST = 32 * 2**20  # bytes of a message; a picture comes on one line
STRAY = 100  # lines that are no messages, after which what speaks is no MCP server


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
        from mcp import ClientSession  # takes longer to import than all the rest
        from mcp_types import Implementation
    except ImportError as error:
        raise MissingExtra("mcp", "mcp") from error
    try:
        json.dumps(dict(arguments), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # a lone surrogate
        raise InvalidArgument(f"{tool}: an argument cannot be sent: {error}") from error
    name = Implementation(name="tinyagent-edge", version=version("tinyagent-edge"))
    with TemporaryFile() as errors:
        async with _started(tool, server, errors) as lines:
            async with ClientSession(lines, lines, client_info=name) as session:
                answer = await _ask(tool, server, arguments, session, lines, errors)
            if isinstance(answer, ToolError):
                raise answer
    return answer


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


async def _ask(
    tool: str,
    server: McpServer,
    arguments: Mapping[str, object],
    session: ClientSession,
    lines: _Lines,
    errors: IO[bytes],
) -> str | ToolError:
    """Greet the server and call its tool. An error is returned: raised within the session, it would come out in a group."""
    from mcp import MCPError
    from mcp_types import CONNECTION_CLOSED, CallToolRequest, CallToolRequestParams, CallToolResult

    program = server.command[0]
    call = CallToolRequest(params=CallToolRequestParams(name=server.tool, arguments=dict(arguments)))
    try:
        await _greet(session)
        # Not `session.call_tool`, which afterwards asks for the list of tools to check the result against: with the effect
        # done and the result there, another question could only lose it.
        return _output(tool, await session.send_request(call, CallToolResult))
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
