"""The Zoom tool against a small HTTP server on this machine that answers as the documented API does."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from pipeline.errors import ConfigError, TinyAgentError
from pipeline.tools.context import InDoubt, InvalidArgument, Monitor, ToolContext, Unavailable, Written
from pipeline.tools.zoom import get_zoom_meeting_link

NOW = datetime(2024, 6, 3, 9, 30)
JOIN_URL = "https://zoom.example/j/93412345678?pwd=abc"
MEETING: dict[str, Any] = {
    "topic": "Kick-off",
    "start_time": "2024-06-06 10:00:00",
    "duration": 45,
    "meeting_invitees": ["omar.haddad@example.com"],
}


class NoWriter:
    def compose(
        self, *, request: str, context: str, recipients: list[str], thread: str = "", monitor: Monitor | None = None
    ) -> Written:
        raise AssertionError("Zoom needs no prose")

    def summarize(self, pages: Iterable[str], *, request: str = "", monitor: Monitor | None = None) -> Written:
        raise AssertionError("Zoom needs no prose")


@dataclass
class Zoom:
    """The stand-in: knows one token, keeps what it is asked, and may be told what to answer."""

    url: str = ""
    token: str = "good-token"
    answer: tuple[int, Any] = (201, {"id": 93412345678, "join_url": JOIN_URL})
    requests: list[tuple[str, dict[str, str], str]] = field(default_factory=list)

    def respond(self, path: str, headers: dict[str, str], body: str) -> tuple[int, Any]:
        self.requests.append((path, headers, body))
        if path == "/oauth/token":
            expected = base64.b64encode(b"client:secret").decode()
            if headers.get("authorization") != f"Basic {expected}":
                return 400, {"reason": "Invalid client_id or client_secret", "error": "invalid_client"}
            return 200, {"access_token": self.token, "token_type": "bearer", "expires_in": 3599}
        if headers.get("authorization") != f"Bearer {self.token}":
            return 401, {"code": 124, "message": "Invalid access token."}
        return self.answer


@pytest.fixture
def zoom() -> Iterator[Zoom]:
    stand_in = Zoom()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = stand_in.respond(self.path, headers, body)
            if status == 0:  # hangs up
                return
            data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield stand_in
    server.shutdown()
    server.server_close()


def context(zoom: Zoom, **settings: Any) -> ToolContext:
    urls = {"base_url": f"{zoom.url}/v2", "token_url": f"{zoom.url}/oauth/token"}
    return ToolContext(Path("unused"), NOW, "", NoWriter(), {"zoom": urls | settings})


def test_a_meeting_is_made_and_its_link_returned(zoom: Zoom) -> None:
    assert get_zoom_meeting_link(context(zoom, token="good-token"), **MEETING) == JOIN_URL
    ((path, headers, body),) = zoom.requests
    assert path == "/v2/users/me/meetings"
    assert headers["authorization"] == "Bearer good-token"
    start = datetime(2024, 6, 6, 10).astimezone(UTC)
    assert json.loads(body) == {
        "topic": "Kick-off",
        "type": 2,
        "start_time": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "duration": 45,
        "settings": {"meeting_invitees": [{"email": "omar.haddad@example.com"}]},
    }


def test_an_app_of_the_account_makes_its_own_token(zoom: Zoom) -> None:
    app = {"account_id": "acc", "client_id": "client", "client_secret": "secret"}
    assert get_zoom_meeting_link(context(zoom, **app), **MEETING) == JOIN_URL
    asked_for_token, made = zoom.requests
    assert parse_qs(asked_for_token[2]) == {"grant_type": ["account_credentials"], "account_id": ["acc"]}
    assert made[1]["authorization"] == "Bearer good-token"


def test_without_a_token_the_error_says_how_to_get_one(zoom: Zoom) -> None:
    with pytest.raises(Unavailable, match="needs an access token") as caught:
        get_zoom_meeting_link(context(zoom), **MEETING)
    assert "marketplace.zoom.us" in str(caught.value.fix)
    assert zoom.requests == []


@pytest.mark.parametrize(
    "settings",
    [{"token": "old-token"}, {"account_id": "acc", "client_id": "client", "client_secret": "not-the-secret"}],
    ids=["token", "app"],
)
def test_wrong_credentials_are_told_and_not_shown(zoom: Zoom, settings: dict[str, str]) -> None:
    with pytest.raises(Unavailable, match="Zoom refused") as caught:
        get_zoom_meeting_link(context(zoom, **settings), **MEETING)
    assert "credentials are wrong or have run out" in str(caught.value)
    assert not any(secret in str(caught.value) for secret in ("old-token", "not-the-secret"))


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ((400, {"code": 300, "message": "Validation Failed."}), InvalidArgument, "Validation Failed"),
        ((429, {"code": 429, "message": "You have reached the limit."}), Unavailable, "reached the limit"),
        ((500, "<html>oops</html>"), InDoubt, "500"),
        ((201, {"id": 1}), InDoubt, "no link"),
        ((201, ["not", "an", "object"]), InDoubt, "no link"),
        ((201, {"join_url": "javascript:alert(1)"}), InDoubt, "no link"),
        ((0, None), InDoubt, "did not answer"),
    ],
)
def test_what_zoom_may_answer(zoom: Zoom, answer: tuple[int, Any], error: type[TinyAgentError], said: str) -> None:
    zoom.answer = answer
    with pytest.raises(error, match=said):
        get_zoom_meeting_link(context(zoom, token="good-token"), **MEETING)
    assert len(zoom.requests) == 1  # never retried: a second request could make a second meeting


def test_a_lost_answer_says_that_the_meeting_may_exist(zoom: Zoom) -> None:
    zoom.answer = (0, None)
    with pytest.raises(InDoubt) as caught:
        get_zoom_meeting_link(context(zoom, token="good-token"), **MEETING)
    assert "the meeting may exist" in str(caught.value.fix)


def test_no_network(zoom: Zoom) -> None:
    nobody = context(zoom, token="good-token", base_url="http://127.0.0.1:9")  # the discard port
    with pytest.raises(Unavailable, match="cannot be reached"):
        get_zoom_meeting_link(nobody, **MEETING)


def test_a_token_goes_over_https_only(zoom: Zoom) -> None:
    with pytest.raises(ConfigError, match="not https"):
        get_zoom_meeting_link(context(zoom, token="good-token", base_url="http://api.zoom.example/v2"), **MEETING)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"topic": ""}, "topic is empty"),
        ({"start_time": "2024-06-02 10:00:00"}, "in the past"),
        ({"start_time": "soon"}, "not a date"),
        ({"duration": 0}, "cannot last 0"),
        ({"meeting_invitees": ["Omar"]}, "not an email address"),
    ],
)
def test_a_meeting_that_cannot_be_meant(zoom: Zoom, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        get_zoom_meeting_link(context(zoom, token="good-token"), **(MEETING | changes))
    assert zoom.requests == []


def jitsi(**settings: Any) -> ToolContext:
    return ToolContext(Path("unused"), NOW, "", NoWriter(), {"zoom": {"provider": "jitsi"} | settings})


def test_a_room_of_jitsi_needs_no_account_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("it went to the network"))
    links = [get_zoom_meeting_link(jitsi(), **MEETING) for _ in range(20)]
    assert all(re.fullmatch(r"https://meet\.jit\.si/kick-off-[0-9a-f]{24}", link) for link in links)
    assert len(set(links)) == 20  # who knows a room's name is let in, so nobody may guess the next one


@pytest.mark.parametrize(
    ("topic", "room"),
    [
        ("Réunion d'équipe: Q3/Q4?", "reunion-d-equipe-q3-q4-"),
        ("../../settings?x=1#y\r\nHost: evil", "settings-x-1-y-host-evil-"),
        ("会議", "meeting-"),
        ("word " * 100, "word-" * 12),
    ],
)
def test_a_room_is_named_for_the_topic_and_stays_one_part_of_the_url(topic: str, room: str) -> None:
    link = get_zoom_meeting_link(jitsi(base_url="https://meet.example.org/"), **(MEETING | {"topic": topic}))
    path = link.removeprefix("https://meet.example.org/")
    assert path.startswith(room)
    assert re.fullmatch(r"[a-z0-9-]+", path)
    assert len(path) <= 90


def test_jitsi_checks_what_zoom_checks() -> None:
    with pytest.raises(InvalidArgument, match="in the past"):
        get_zoom_meeting_link(jitsi(), **(MEETING | {"start_time": "2024-06-02 10:00:00"}))
    with pytest.raises(ConfigError, match="not https"):
        get_zoom_meeting_link(jitsi(base_url="http://meet.example.org"), **MEETING)
    with pytest.raises(ConfigError, match="'jitsy'") as caught:
        get_zoom_meeting_link(jitsi(provider="jitsy"), **MEETING)
    assert caught.value.fix == "did you mean 'jitsi'?"
