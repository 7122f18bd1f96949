"""Real servers on this machine, in threads of the test's process: IMAP (pymap), SMTP (aiosmtpd), CalDAV and CardDAV (Radicale).

They listen on the loopback interface only, at ports that the system chooses, and keep everything in memory or in a temporary folder.
`Breaking` is no real server: it says lines that were written down, and hangs up, to show what a broken one does to us.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import threading
from argparse import ArgumentParser
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from socketserver import ThreadingMixIn
from types import SimpleNamespace
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from proxyprotocol.sock import SocketInfoLocal

os.environ.setdefault("FQDN", "mail.example")  # else pymap looks this machine's name up

HOST = "127.0.0.1"
USER, PASSWORD = "alex@example.com", 'pass w\\ord"ü'


class Loop:
    """An event loop in a thread, for servers."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def close(self) -> None:
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    @staticmethod
    async def _end() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def authority() -> trustme.CA:
    """A certificate authority that nobody knows."""
    return trustme.CA()


def server_tls(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*(names or (HOST,))).configure_cert(context)
    return context


# ── IMAP ─────────────────────────────────────────────────────────────────────────────────────────────


class Imap:
    """pymap with one user, in memory.

    Args:
        loop: Where it runs.
        folders: Names of folders besides INBOX, each with the mark (RFC 6154) that LIST gives it, or "". pymap knows no marks: they are put
            into what it lists.
        tls: Of a server that speaks TLS from the start.
        starttls: Of one that offers STARTTLS.
        without: Capabilities that are not offered.
    """

    def __init__(
        self,
        loop: Loop,
        folders: dict[str, str] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
        without: Sequence[bytes] = (),
    ) -> None:
        self._loop, self._folders, self._tls, self._starttls, self._without = (
            loop,
            folders or {},
            tls,
            starttls,
            without,
        )
        self.port: int = loop.run(self._start())

    async def _start(self) -> int:
        from pymap.backend.dict import DictBackend
        from pymap.imap import IMAPServer, IMAPService
        from pysasl.hashing import BuiltinHash

        parser = ArgumentParser()
        IMAPService.add_arguments(parser)
        DictBackend.add_subparser("dict", parser.add_subparsers())
        args = parser.parse_args(["dict", "--demo-user", USER, "--demo-password", PASSWORD])
        args.debug, args.passlib_cfg, args.tls = False, None, self._starttls is not None
        quick = BuiltinHash(hash_name="sha256", rounds=1)
        backend, config = await DictBackend.init(args, ssl_context=self._starttls, hash_context=quick)
        config.__class__ = _less(type(config), self._without)
        imap = IMAPServer(backend.login, config)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            config.apply_context()
            with suppress(ConnectionError, ssl.SSLError):
                await imap(reader, writer, SocketInfoLocal(writer))

        self._server = await asyncio.start_server(serve, HOST, 0, ssl=self._tls)
        async with backend.login.demo_user_identity.new_session() as session:
            for name in self._folders:
                await session.create_mailbox(name)
            session.mailbox_set.list_mailboxes = self._marking(session.mailbox_set.list_mailboxes)
        return int(self._server.sockets[0].getsockname()[1])

    def _marking(self, listed: Callable[[], Coroutine[Any, Any, Any]]) -> Callable[[], Coroutine[Any, Any, Any]]:
        async def marked() -> Any:
            tree = await listed()

            def matching(*pattern: str) -> Iterator[Any]:
                for entry in tree.list_matching(*pattern):
                    mark = self._folders.get(entry.name)
                    attributes = [*entry.attributes, *([mark.encode()] if mark else [])]
                    yield SimpleNamespace(name=entry.name, attributes=attributes)

            return SimpleNamespace(list_matching=matching)

        return marked

    def close(self) -> None:
        self._loop.run(self._stop())

    async def _stop(self) -> None:
        self._server.close()


def _less(kind: type[Any], without: Sequence[bytes]) -> type[Any]:
    """Return a configuration of pymap that does not offer some capabilities."""

    class Config(kind):  # type: ignore[misc]
        @property
        def login_capability(self) -> list[bytes]:
            return [name for name in super().login_capability if name not in without]

    return Config


# ── SMTP ─────────────────────────────────────────────────────────────────────────────────────────────


class Smtp:
    """aiosmtpd, which keeps what it is sent in `received`.

    Args:
        loop: Where it runs.
        refused: What is answered to some recipients.
        tls: Of a server that speaks TLS from the start.
        starttls: Of one that wants STARTTLS.
        limit: The largest mail that it takes, in bytes.
    """

    def __init__(
        self,
        loop: Loop,
        *,
        refused: dict[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
        limit: int = 2**24,
    ) -> None:
        self.received: list[Envelope] = []
        self.hello = ""  # by which the client called itself
        self.after_data = "250 OK"  # the answer to a mail; "" hangs up in its place
        self.on_data: Callable[[], None] | None = None  # done when a mail has come
        self._loop, self._refused = loop, refused or {}
        self._options = {"tls_context": starttls, "require_starttls": starttls is not None, "data_size_limit": limit}
        self._tls = tls
        self.port: int = loop.run(self._start())

    async def _start(self) -> int:
        def protocol() -> SMTP:
            return SMTP(
                self,
                hostname="mail.example",
                authenticator=self._check,
                auth_required=True,
                auth_require_tls=False,
                **self._options,
            )

        self._server = await asyncio.get_running_loop().create_server(protocol, HOST, 0, ssl=self._tls)
        return int(self._server.sockets[0].getsockname()[1])

    @staticmethod
    def _check(server: SMTP, session: Any, envelope: Envelope, mechanism: str, data: LoginPassword) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()), handled=False)

    async def handle_EHLO(
        self, server: SMTP, session: Any, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = self.hello = hostname
        return responses

    async def handle_RCPT(
        self, server: SMTP, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self._refused:
            return self._refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:
        self.received.append(envelope)
        if self.on_data:
            await asyncio.to_thread(self.on_data)
        if not self.after_data:
            server.transport.abort()
        return self.after_data or "250 OK"

    def close(self) -> None:
        self._loop.run(self._stop())

    async def _stop(self) -> None:
        self._server.close()


# ── CalDAV and CardDAV ───────────────────────────────────────────────────────────────────────────────


class Radicale:
    """Radicale with one user, in a folder.

    Args:
        folder: Where it keeps everything.
        tls: Of a server that speaks TLS.
    """

    def __init__(self, folder: Path, *, tls: ssl.SSLContext | None = None) -> None:
        import radicale
        from radicale import config

        folder.mkdir(parents=True)
        users = folder / "users"
        users.write_text(f"{USER}:{PASSWORD}\n", encoding="utf-8")
        settings = config.load()
        settings.update(
            {
                "auth": {
                    "type": "htpasswd",
                    "htpasswd_filename": str(users),
                    "htpasswd_encryption": "plain",
                    "delay": "0",
                },
                "storage": {"filesystem_folder": str(folder / "collections")},
                "logging": {"level": "critical"},
            },
            "test",
        )
        logging.getLogger("radicale").setLevel(logging.CRITICAL)
        self.requests: list[tuple[str, str]] = []  # method and path
        self.lose: set[str] = set()  # methods to which no answer comes, though they are carried out
        application = radicale.Application(settings)

        def recorded(environ: dict[str, Any], start_response: Any) -> Any:
            self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
            answer = application(environ, start_response)
            if environ["REQUEST_METHOD"] in self.lose:
                raise ConnectionAbortedError("the answer is lost")
            return answer

        self._server = make_server(HOST, 0, recorded, server_class=_Threading, handler_class=_Quiet)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://{HOST}:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(20)


class _Threading(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return

    def get_stderr(self) -> Any:
        return StringIO()


# ── broken ones ──────────────────────────────────────────────────────────────────────────────────────


class Web:
    """An HTTP server that answers as it is told.

    Args:
        answer: Returns status, headers and body for a method, path and body.
    """

    def __init__(self, answer: Callable[[str, str, bytes], tuple[int, dict[str, str], bytes]]) -> None:
        requests: list[tuple[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self.respond
                raise AttributeError(name)

            def respond(self) -> None:
                requests.append((self.command, self.path))
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, headers, data = answer(self.command, self.path, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                return

        self.requests = requests
        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(20)


class Breaking:
    """Says what it is told to say.

    Args:
        greeting: What it begins with.
        answer: Returns what is said to a line, or None to hang up.
    """

    def __init__(self, greeting: bytes, answer: Callable[[bytes], bytes | None]) -> None:
        self._greeting, self._answer = greeting, answer
        self.lines: list[bytes] = []
        self._socket = socket.create_server((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, suppress(OSError), connection.makefile("rb") as lines:
                connection.sendall(self._greeting)
                for line in lines:
                    self.lines.append(line)
                    said = self._answer(line)
                    if said is None:
                        break
                    connection.sendall(said)
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(20)
