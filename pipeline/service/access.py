"""Who may ask: the token, and the guard that every request passes before anything of it is read.

The guard refuses, in this order: a request that came by another name than this machine's (a DNS rebinding: a page whose name suddenly
means 127.0.0.1), one that a page of another origin sent (CSRF), too many, one without the token, a body that is not JSON, one that
is too long. What comes without the token is counted by itself, so that it locks nobody out who has it. A page of another origin cannot
read what is refused either, since no CORS header is ever sent. It knows nothing of what is asked.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline.config import ServiceConfig
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pipeline.service.sessions import Sessions

TOKEN_FILE = Path(".tinyagent") / "token"  # below the data folder
LOOPBACK = ("127.0.0.1", "localhost", "::1")
OPEN = frozenset({"/healthz", "/readyz"})  # without a token: they tell whether the service lives, and nothing more
ADDRESSES = 1024  # whose rates are remembered


def token(data_dir: Path, *, new: bool = False) -> tuple[str, Path]:
    """Return the token of a data folder, made if there is none, and the file that it is in.

    Args:
        data_dir: The data folder.
        new: Make another one; what was told the old one is locked out.

    Raises:
        ConfigError: The file cannot be read or written, others can read it, or no token is in it.
    """
    path = data_dir / TOKEN_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if new:
            path.unlink(missing_ok=True)
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(f"others can read the token in {path}", fix="'tinyagent serve --new-token' makes another")
        found = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the token in {path} cannot be read or written: {error}", fix="mend the rights") from error
    if len(found) < 32:
        raise ConfigError(f"there is no token in {path}", fix="'tinyagent serve --new-token' makes one")
    return found, path


class Guard:
    """ASGI middleware that lets through what may be asked, and answers all else itself.

    Args:
        app: What answers the rest.
        token: What a request must bear.
        settings: The service's.
        refused: Told why a request was refused, in a word.
        sessions: Of browsers, which bear theirs in the token's place.
        no_token: What needs neither, by method and path; a browser may come to it by a link on any page.
        recordings: Paths whose bodies are sound and no JSON.
        clock: Gives seconds, for the rates.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        settings: ServiceConfig,
        refused: Callable[[str], None],
        sessions: Sessions,
        no_token: Collection[tuple[str, str]] = (),
        recordings: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._token, self._settings, self._refused = app, token.encode(), settings, refused
        self._sessions, self._no_token, self._recordings = sessions, no_token, frozenset(recordings)
        own = {settings.host} - {"0.0.0.0", "::", ""}
        self._names = frozenset(name.casefold() for name in (*LOOPBACK, *own, *settings.hosts))
        self._rates = {bears: _Rates(settings.rate, settings.burst, clock) for bears in (True, False)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _Headers(scope)
        if refusal := self._refusal(scope, headers):
            await self._refuse(send, *refusal)
            return
        if scope["method"] in ("POST", "PUT", "PATCH"):
            body = await self._body(receive, self._most(scope))
            if body is None:
                await self._refuse(send, *_too_large(self._most(scope)))
                return
            receive = _with_body(body, receive)
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: _Headers) -> tuple[int, str, str, str] | None:
        """Return why a request is refused: status, word, message and mend; None if it is not."""
        host = headers.only("host")
        if host is None or _name(host) not in self._names:
            fix = "call it http://127.0.0.1, or name it in service.hosts"
            return 421, "wrong_host", "this service is not known by that name", fix
        without = (scope["method"], scope["path"]) in self._no_token
        if not _same_origin(headers, host) and not (without and _is_visit(scope, headers)):
            return (
                403,
                "wrong_origin",
                "a page of another origin may not ask this service",
                "open the page of the service",
            )
        if scope["path"] in OPEN:
            return None
        address = scope["client"][0] if scope.get("client") else ""
        bears = self._bears_token(headers)
        if wait := self._rates[bears].wait(address):
            return 429, "too_many", f"more than {self._settings.rate:g} requests a second", f"wait {wait} s"
        if not without and not bears:
            fix = f"send 'Authorization: Bearer …' with what is in {TOKEN_FILE} of the data folder"
            return 401, "no_token", "the token is missing or wrong", fix
        length = headers.only("content-length")
        if length is not None and length.isdecimal() and int(length) > self._most(scope):
            return _too_large(self._most(scope))
        has_body = (length not in (None, "0")) or headers.only("transfer-encoding") is not None
        kind = (headers.only("content-type") or "").partition(";")[0].strip().casefold()
        if scope["path"] in self._recordings:
            # None of these kinds can come from a page of another origin unasked, as a form's could.
            if has_body and not kind.startswith(("audio/", "video/")) and kind != "application/octet-stream":
                return 415, "no_recording", "the body is no recording", "send 'Content-Type: audio/…'"
        elif has_body and kind != "application/json":
            return 415, "not_json", "the body is not application/json", "send 'Content-Type: application/json'"
        return None

    def _bears_token(self, headers: _Headers) -> bool:
        given = bearer(headers.only("authorization") or "")
        return hmac.compare_digest(given.encode("latin-1"), self._token) or self._sessions.accepts(given)

    def _most(self, scope: Scope) -> int:
        """Return how many bytes a body may have."""
        recording = scope["path"] in self._recordings
        return self._settings.recording_bytes if recording else self._settings.body_bytes

    async def _body(self, receive: Receive, most: int) -> bytes | None:
        """Return the body; None if it is too long."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return bytes(body)  # gone in between; what answers it will see so
            body += message.get("body", b"")
            if len(body) > most:
                return None
            if not message.get("more_body"):
                return bytes(body)

    async def _refuse(self, send: Send, status: int, word: str, message: str, fix: str) -> None:
        self._refused(word)
        headers = {}
        if status == 401:
            headers["www-authenticate"] = "Bearer"
        if status == 429:
            headers["retry-after"] = fix.split()[1]
        await answer(send, status, problem(word, message, fix), headers)


def _too_large(most: int) -> tuple[int, str, str, str]:
    return 413, "too_large", f"the body has more than {most:,} bytes", "ask for less at a time"


def bearer(authorization: str) -> str:
    """Return what an Authorization header bears (RFC 6750), "" if it bears nothing."""
    scheme, _, given = authorization.partition(" ")
    return given.strip() if scheme.casefold() == "bearer" else ""


def problem(kind: str, message: str, fix: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Return what every answer that is an error has in it; the form is OpenAI's, with how to mend it."""
    return {"error": {"type": kind, "message": message, "fix": fix, "param": param, "code": kind}}


async def answer(send: Send, status: int, data: Any, headers: Mapping[str, str]) -> None:
    """Send a JSON answer over bare ASGI."""
    body = json.dumps(data).encode()
    sent = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


class _Headers:
    def __init__(self, scope: Scope) -> None:
        self._raw: Collection[tuple[bytes, bytes]] = scope["headers"]

    def only(self, name: str) -> str | None:
        """Return a header's value; of one that comes twice, which no honest client sends, something that fits nothing."""
        found = [value.decode("latin-1") for key, value in self._raw if key == name.encode()]
        return found[0] if len(found) == 1 else None if not found else "\0"


def _name(host: str) -> str:
    """Return the name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _same_origin(headers: _Headers, host: str) -> bool:
    """Whether no page sent a request, or one of the service's own; browsers say so (Fetch Metadata, RFC 6454)."""
    origin = headers.only("origin")
    if origin is not None and _netloc(origin) != host.casefold():
        return False
    return headers.only("sec-fetch-site") in (None, "same-origin", "none")


def _is_visit(scope: Scope, headers: _Headers) -> bool:
    """Whether a person's browser goes to an address, by a link on whatever page; that page learns nothing by it."""
    return (
        scope["method"] == "GET"
        and headers.only("origin") is None
        and headers.only("sec-fetch-mode") == "navigate"
        and headers.only("sec-fetch-dest") == "document"
    )


def _netloc(origin: str) -> str:
    """Return host and port of an origin, "" if it has none."""
    try:
        return urlsplit(origin).netloc.casefold()
    except ValueError:
        return ""


def _with_body(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that is read already, and then what comes after it: that the client went away."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


class _Rates:
    """A token bucket for each address, those seen last."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, float(burst), clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # requests that are left, when that was

    def wait(self, address: str) -> int:
        """Take one request from an address's bucket; return 0, or the whole seconds to wait if it is empty."""
        now = self._clock()
        left, then = self._left.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        allowed = left >= 1
        self._left[address] = (left - allowed, now)
        if len(self._left) > ADDRESSES:
            self._left.popitem(last=False)
        return 0 if allowed else max(1, round((1 - left) / self._rate))
