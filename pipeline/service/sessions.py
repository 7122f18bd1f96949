"""How a browser is let in: a code that counts once, and the session that it begins.

A browser cannot read the token's file and is not given the token, which holds for good and would lie in its history or its storage. It is given a
*code* instead, in the fragment of a link, which no browser sends anywhere: good for ten minutes, once, and only with a service that was
there already when it was made. Whoever can read the token can make one, without asking the service (HMAC, RFC 2104). The page changes it for a
*session*, which it sends as any client sends the token. No cookie carries it: browsers send cookies to every port of a host (RFC 6265, 8.5), so that
another user's service on this machine would be sent ours, and send them along with whatever a page asks (CSRF).

It knows nothing of HTTP.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
import time
from collections import OrderedDict
from collections.abc import Callable

CODE_S = 600  # that a code is good for
SESSION_S = 12 * 3600.0  # that a session is kept without a request
SESSIONS = 32  # at a time; the one that was idle for longest makes room
_NONCE, _MAC = 14, 32  # bytes


def code(token: str, *, now: float | None = None) -> str:
    """Return a new code.

    Args:
        token: That of the service.
        now: Seconds since the epoch; the present by default.
    """
    ticket = struct.pack(">Q", int(time.time() if now is None else now)) + secrets.token_bytes(_NONCE)
    return base64.urlsafe_b64encode(ticket + _mac(token, ticket)).decode()


def _mac(token: str, ticket: bytes) -> bytes:
    return hmac.digest(token.encode(), b"tinyagent page\0" + ticket, "sha256")


class Sessions:
    """The sessions of one service, in memory only.

    Args:
        token: That of the service.
        clock: Gives seconds since the epoch.
    """

    def __init__(self, token: str, clock: Callable[[], float] = time.time) -> None:
        self._token, self._clock = token, clock
        self._begun = int(clock())
        self._used: dict[bytes, float] = {}  # codes by their nonce, to when they were made
        self._seen: OrderedDict[bytes, float] = OrderedDict()  # sessions by their digest, to their last request

    def begin(self, code: str) -> str | None:
        """Return a new session for a code; None if it is none, is too old, or was used before."""
        try:
            raw = base64.b64decode(code.encode("ascii"), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            return None
        ticket, mac = raw[:-_MAC], raw[-_MAC:]
        if len(ticket) != 8 + _NONCE or not hmac.compare_digest(mac, _mac(self._token, ticket)):
            return None
        now, nonce = self._clock(), ticket[8:]
        [made] = struct.unpack(">Q", ticket[:8])
        self._used = {known: when for known, when in self._used.items() if when > now - CODE_S}
        if not max(self._begun, now - CODE_S) <= made <= now + 1 or nonce in self._used:
            return None
        self._used[nonce] = made
        session = secrets.token_urlsafe(32)
        self._seen[_digest(session)] = now
        if len(self._seen) > SESSIONS:
            self._seen.popitem(last=False)
        return session

    def accepts(self, session: str) -> bool:
        """Return whether a session is open, and keep it open."""
        key, now = _digest(session), self._clock()
        last = self._seen.pop(key, None)
        if last is None or now - last > SESSION_S:
            return False
        self._seen[key] = now
        return True

    def end(self, session: str) -> None:
        """Close a session, if it is open."""
        self._seen.pop(_digest(session), None)


def _digest(session: str) -> bytes:
    return hashlib.sha256(session.encode("utf-8", "replace")).digest()
