"""Meetings: creates one by Zoom's REST API (https://developers.zoom.us/docs/api/meetings/) and gives its link; or names a room of Jitsi.

The settings `zoom` hold either a `token`, or `account_id`, `client_id` and `client_secret` of a
Server-to-Server OAuth app, from which a token is made for each meeting. Nothing is retried: a request whose
answer got lost may have made one. With `provider = "jitsi"` the link is that of a room at a Jitsi Meet server, which comes into being
when somebody enters it: that needs no account and no network.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC
from typing import Any
from urllib.parse import urlsplit

import httpx

from pipeline.errors import ConfigError, did_you_mean
from pipeline.tools.arguments import email_addresses, moment, required_line
from pipeline.tools.context import InDoubt, InvalidArgument, ToolContext, Unavailable, Unreachable
from pipeline.tools.desktop import names

PROVIDERS = ("zoom", "jitsi")
JITSI_URL = "https://meet.jit.si"
API_URL = "https://api.zoom.us/v2"
TOKEN_URL = "https://zoom.us/oauth/token"
TIMEOUT_S = 20.0
_SCHEDULED = 2  # the API's number for a meeting with a fixed time
_MAX_MINUTES = 24 * 60
_MAX_TOPIC = 200  # characters
_MAX_ROOM = 60  # characters of the topic in a room's name
_ROOM_BYTES = 12  # of chance in it: who knows the name is let in
_MEETINGS_PAGE = "https://zoom.us/meeting"
_HOW_TO_GET_ONE = (
    "make a Server-to-Server OAuth app at https://marketplace.zoom.us with the scope "
    "meeting:write:meeting:admin and put its account_id, client_id and client_secret into the settings"
)


def get_zoom_meeting_link(
    ctx: ToolContext, /, *, topic: str, start_time: str, duration: int, meeting_invitees: list[str]
) -> str:
    """Create a meeting and return the URL by which people join it.

    Args:
        ctx: What the run lends; its settings `zoom` may also set `provider`, `base_url`, `token_url` and `timeout`
            (seconds).
        topic: The meeting's name.
        start_time: `YYYY-MM-DD HH:MM:SS`, local time.
        duration: Minutes.
        meeting_invitees: Email addresses.

    Raises:
        InvalidArgument: No topic, no such date, a date in the past, a duration that is none, an invitee
            without address, or what else Zoom refuses.
        Unavailable: There is no token, it has run out, or Zoom cannot be reached.
        ConfigError: A URL in the settings is not https, or there is no such provider.
    """
    name = required_line(topic, "topic")[:_MAX_TOPIC]
    start = moment(start_time, "start time")
    if start < ctx.now:
        raise InvalidArgument(
            f"the meeting would start in the past: {start}", fix=f"give a time after {ctx.now:%Y-%m-%d %H:%M}"
        )
    if not 1 <= duration <= _MAX_MINUTES:
        raise InvalidArgument(f"a meeting cannot last {duration} minutes", fix=f"give 1 to {_MAX_MINUTES} minutes")
    invitees = [{"email": address} for address in email_addresses(meeting_invitees)]
    settings = ctx.settings.get("zoom", {})
    provider = settings.get("provider", "zoom")
    if provider not in PROVIDERS:
        fix = did_you_mean(str(provider), PROVIDERS, f"the providers are {names.listed(list(PROVIDERS))}")
        raise ConfigError(f"the setting zoom.provider is {provider!r}", fix=fix)
    if provider == "jitsi":
        return f"{_secure(settings.get('base_url', JITSI_URL))}/{_room(name)}"
    meeting = {
        "topic": name,
        "type": _SCHEDULED,
        # In UTC, because the account may be set to another time zone than this machine.
        "start_time": f"{start.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "duration": duration,
        "settings": {"meeting_invitees": invitees},
    }
    with httpx.Client(timeout=float(settings.get("timeout", TIMEOUT_S))) as client:
        answer = _post(
            client,
            f"{_secure(settings.get('base_url', API_URL))}/users/me/meetings",
            if_lost=f"the meeting may exist: see {_MEETINGS_PAGE} before trying again",
            acts=True,
            headers={"Authorization": f"Bearer {_token(client, settings)}"},
            json=meeting,
        )
    url = answer.get("join_url")
    if not isinstance(url, str) or urlsplit(url).scheme != "https":
        raise InDoubt("Zoom made the meeting and gave no link to it", fix=f"see {_MEETINGS_PAGE}")
    return url


def _room(topic: str) -> str:
    """Return a room's name: the topic's words as far as they are ASCII, and what nobody can guess."""
    said = "-".join(word for word in names.words(topic) if word.isascii())[:_MAX_ROOM].strip("-")
    return f"{said or 'meeting'}-{secrets.token_hex(_ROOM_BYTES)}"


def _token(client: httpx.Client, settings: Mapping[str, Any]) -> str:
    """Return the token of the settings, or a new one by the grant of Server-to-Server OAuth."""
    if token := settings.get("token"):
        return str(token)
    account, client_id, secret = (settings.get(key) for key in ("account_id", "client_id", "client_secret"))
    if not (account and client_id and secret):
        raise Unavailable("Zoom needs an access token", fix=_HOW_TO_GET_ONE)
    answer = _post(
        client,
        _secure(settings.get("token_url", TOKEN_URL)),
        if_lost="try again later",
        acts=False,
        auth=(str(client_id), str(secret)),
        data={"grant_type": "account_credentials", "account_id": str(account)},
    )
    if "access_token" not in answer:
        raise Unavailable("Zoom gave no access token", fix=_HOW_TO_GET_ONE)
    return str(answer["access_token"])


def _post(client: httpx.Client, url: str, *, if_lost: str, acts: bool, **request: Any) -> dict[str, Any]:
    """POST and return the JSON object of the answer. No error tells the token.

    Args:
        client: The connection.
        url: Where to.
        if_lost: The fix to name where the request went out and no answer came.
        acts: Whether it may then have had an effect.
        **request: As `httpx.Client.post` takes it.

    Raises:
        InvalidArgument: Zoom refuses what is in the request.
        Unavailable: Zoom cannot be reached or refuses to serve us.
        InDoubt: It did not answer, and may have acted.
    """
    try:
        response = client.post(url, **request)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Unreachable(f"Zoom cannot be reached: {error}", fix="check the network and try again") from error
    except httpx.HTTPError as error:
        kind = InDoubt if acts else Unreachable
        raise kind(f"Zoom did not answer: {type(error).__name__}", fix=if_lost) from error
    try:
        body = response.json()
    except ValueError:
        body = None
    answer: dict[str, Any] = body if isinstance(body, dict) else {}
    if response.is_success:
        return answer
    status = response.status_code
    said = f"Zoom refused ({status}): {answer.get('message') or answer.get('reason') or response.reason_phrase}"
    if status in {401, 403} or "error" in answer:  # the latter is an answer of OAuth (RFC 6749, 5.2)
        raise Unavailable(said, fix=f"the credentials are wrong or have run out: {_HOW_TO_GET_ONE}")
    if status in {400, 422}:
        raise InvalidArgument(said)
    if status >= 500 and acts:
        raise InDoubt(said, fix=if_lost)
    raise Unavailable(said, fix="try again later")


def _secure(url: str) -> str:
    """Return `url` without a final slash; only https may carry a token, but for a server on this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
        raise ConfigError(
            f"the URL {url} of the setting zoom is not https", fix="use https, or a server on this machine"
        )
    return url.rstrip("/")
