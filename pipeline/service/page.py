"""The page at `/`: its files, and the sessions of the browsers that show it.

The files are in `pipeline/web`, as they are written: a browser needs no build of them, and nothing from another host. They hold no secret, so that
they are served without the token; all that they show, they ask for as any other client does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.params import Depends
from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import TinyAgentError
from pipeline.service.access import bearer
from pipeline.service.api import problems
from pipeline.service.sessions import Sessions

WEB = Path(__file__).resolve().parent.parent / "web"
PLACES = {"/": "index.html"} | {f"/web/{p.name}": p.name for p in sorted(WEB.iterdir()) if p.suffix != ".html"}
NO_TOKEN = frozenset({("GET", place) for place in PLACES} | {("POST", "/v1/session")})

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

#: Scripts and styles are the files' own and no others, text is never taken for markup (Trusted Types), nobody puts the page into a frame, and it
#: asks nobody but this service.
_HEADERS = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(self)",
    "Cache-Control": "no-cache",  # asked for again each time, and sent if it has changed
}


class WrongCode(TinyAgentError):
    """A code lets nobody in: it is none, is too old, or was used before."""

    def __init__(self) -> None:
        super().__init__("this link was used already, or is too old", fix="'tinyagent page' makes another")


class Code(BaseModel):
    """A code out of a link that `tinyagent page` or `tinyagent serve` made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: Annotated[str, Field(min_length=1, max_length=200)]


class Session(BaseModel):
    """A session, to be sent as the token is."""

    session: str


def routes(sessions: Sessions, bearing: Sequence[Depends]) -> APIRouter:
    """Return the routes.

    Args:
        sessions: Those of the service.
        bearing: For the OpenAPI document, what says that a route needs the token or a session.
    """
    api = APIRouter()

    for place, name in PLACES.items():
        api.get(place, include_in_schema=False)(_file(WEB / name))

    @api.post("/v1/session", tags=["page"], responses=problems(413, 415, 422))
    async def begin_session(body: Code) -> Session:
        """Change a code for a session; this needs no token."""
        session = sessions.begin(body.code)
        if session is None:
            raise WrongCode
        return Session(session=session)

    @api.delete("/v1/session", tags=["page"], status_code=204, responses=problems(), dependencies=bearing)
    async def end_session(request: Request) -> None:
        """Close the session with which this is asked."""
        sessions.end(bearer(request.headers.get("authorization", "")))

    return api


def _file(path: Path) -> Callable[..., Awaitable[Response]]:
    body = path.read_bytes()
    kind = _TYPES[path.suffix]
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'

    async def file(if_none_match: Annotated[str, Header()] = "") -> Response:
        if if_none_match == tag:
            return Response(status_code=304, headers={**_HEADERS, "ETag": tag})
        return Response(body, media_type=kind, headers={**_HEADERS, "ETag": tag})

    return file
