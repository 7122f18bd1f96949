"""Who is let in to the page, below the browser: codes, sessions, and what is served without either."""

from __future__ import annotations

import stat
import sys
import webbrowser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from serving import TOKEN, Client, served

from pipeline.errors import ConfigError
from pipeline.service.commands import page
from pipeline.service.page import PLACES, WEB
from pipeline.service.sessions import CODE_S, SESSION_S, SESSIONS, Sessions, code

START = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def test_a_code_counts_once() -> None:
    sessions = Sessions(TOKEN, Clock())
    given = code(TOKEN, now=START + 1)
    session = sessions.begin(given)
    assert session is not None and sessions.accepts(session)
    assert sessions.begin(given) is None
    assert sessions.begin(code(TOKEN, now=START + 1)) not in (None, session)


def test_a_code_is_good_for_a_while_and_not_from_before_the_service() -> None:
    clock = Clock()
    sessions = Sessions(TOKEN, clock)
    assert sessions.begin(code(TOKEN, now=START - 1)) is None  # it may have been used with the service before this one
    assert sessions.begin(code(TOKEN, now=START + 60)) is None  # nobody makes codes in the future
    kept = code(TOKEN, now=START)
    clock.now += CODE_S + 1
    assert sessions.begin(kept) is None


@given(st.text(max_size=120) | st.binary(max_size=90).map(lambda raw: raw.decode("latin-1")))
def test_what_is_no_code_lets_nobody_in(text: str) -> None:
    assert Sessions(TOKEN).begin(text) is None


@given(st.integers(0, 71), st.sampled_from("AQgw_-09z"))
def test_a_code_that_was_changed_lets_nobody_in(at: int, other: str) -> None:
    clock = Clock()
    good = code(TOKEN, now=START)
    changed = good[:at] + other + good[at + 1 :]
    assert (Sessions(TOKEN, clock).begin(changed) is None) == (changed != good)
    assert Sessions("another " * 6, clock).begin(good) is None


def test_a_session_ends_when_it_is_not_used_or_is_closed_or_others_need_its_place() -> None:
    clock = Clock()
    sessions = Sessions(TOKEN, clock)
    used, idle, closed = (sessions.begin(code(TOKEN, now=clock.now)) or "" for _ in range(3))
    sessions.end(closed)
    clock.now += SESSION_S / 2
    assert sessions.accepts(used) and not sessions.accepts(closed)
    clock.now += SESSION_S / 2 + 1
    assert sessions.accepts(used) and not sessions.accepts(idle)
    for _ in range(SESSIONS):
        sessions.begin(code(TOKEN, now=clock.now))
    assert not sessions.accepts(used)


# ── over HTTP ────────────────────────────────────────────────────────────────────────────────────────

VISIT = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}


def test_the_page_is_served_without_a_token_and_may_do_nothing_but_ask_its_service(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        for place, name in PLACES.items():
            exchange = await client.ask("GET", place, authorization="")
            assert exchange.status == 200, place
            assert await exchange.body() == (WEB / name).read_bytes()
            policy = exchange.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
            assert "frame-ancestors 'none'" in policy and "require-trusted-types-for 'script'" in policy
            assert exchange.headers["referrer-policy"] == "no-referrer"
            assert exchange.headers["x-content-type-options"] == "nosniff"
            again = await client.ask("GET", place, authorization="", if_none_match=exchange.headers["etag"])
            assert again.status == 304
        for outside in ("/web/", "/web/../access.py", "/web/%2e%2e/access.py", "/web/index.html", "/web/none.js"):
            assert (await client.ask("GET", outside)).status == 404, outside

    served(tmp_path, work)


def test_a_link_on_any_page_leads_to_it_and_to_nothing_else(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        assert (await client.ask("GET", "/", authorization="", **VISIT)).status == 200
        for method, path, headers in (
            ("GET", "/v1/tools", VISIT),
            (
                "GET",
                "/web/app.js",
                {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors", "sec_fetch_dest": "script"},
            ),
            ("GET", "/", {**VISIT, "sec_fetch_dest": "iframe"}),
            ("GET", "/", {**VISIT, "origin": "https://evil.example"}),
        ):
            assert (await client.ask(method, path, **headers)).status == 403, (path, headers)
        assert (await client.ask("GET", "/", authorization="", host="evil.example:8765")).status == 421

    served(tmp_path, work)


def test_a_code_is_changed_for_a_session_that_is_as_good_as_the_token(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        async def begin(given: str, **headers: str) -> Any:
            return await client.post("/v1/session", {"code": given}, authorization="", **headers)

        other_page = {"origin": "https://evil.example", "sec_fetch_site": "cross-site"}
        for headers in (other_page, VISIT, {"host": "evil.example:8765"}, {"content_type": "text/plain"}):
            assert (await begin(code(TOKEN), **headers)).status in (403, 415, 421), headers
        exchange = await begin(code(TOKEN))
        assert exchange.status == 200 and "set-cookie" not in exchange.headers
        bearing = {"authorization": f"Bearer {(await exchange.json())['session']}"}
        assert (await client.ask("GET", "/v1/tools", **bearing)).status == 200
        assert (await client.ask("GET", "/v1/tools", **bearing, **other_page)).status == 403
        assert (await client.ask("DELETE", "/v1/session", **bearing)).status == 204
        assert (await client.ask("GET", "/v1/tools", **bearing)).status == 401
        for wrong in ("x", "é", code("w" * 43)):
            refused = await begin(wrong)
            assert refused.status == 401 and (await refused.json())["error"]["fix"]

    served(tmp_path, work)


def test_guesses_are_few(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        statuses = [(await client.post("/v1/session", {"code": "x"}, authorization="")).status for _ in range(4)]
        assert statuses == [401, 401, 429, 429]

    served(tmp_path, work, rate=0.001, burst=2)


# ── `tinyagent page` ─────────────────────────────────────────────────────────────────────────────────


def test_the_link_goes_to_the_browser_by_a_file_that_only_its_owner_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The browser is a program that takes down what it is started with.
    told = tmp_path / "told"
    browser = tmp_path / "browser"
    browser.write_text(
        f'#!{sys.executable}\nimport sys, pathlib\npathlib.Path({str(told)!r}).write_text(" ".join(sys.argv[1:]))\n'
    )
    browser.chmod(0o700)
    monkeypatch.setenv("TINYAGENT_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    monkeypatch.setattr(webbrowser, "_tryorder", None)  # it is looked for anew
    result = CliRunner().invoke(page, ["--data-dir", str(tmp_path / "data"), "--port", "4711"], standalone_mode=False)
    assert result.exception is None
    assert "code=" not in told.read_text()
    way = Path(told.read_text().removeprefix("file://"))
    assert stat.S_IMODE(way.stat().st_mode) == 0o600
    assert "url=http://127.0.0.1:4711/#code=" in way.read_text()


def test_where_there_is_no_browser_the_link_can_be_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYAGENT_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.setattr(webbrowser, "_tryorder", [])
    options = ["--data-dir", str(tmp_path)]
    result = CliRunner().invoke(page, options, standalone_mode=False)
    assert isinstance(result.exception, ConfigError) and "--print" in (result.exception.fix or "")
    printed = CliRunner().invoke(page, [*options, "--print"], standalone_mode=False)
    given = printed.output.strip().rpartition("code=")[2]
    secret = (tmp_path / ".tinyagent" / "token").read_text().strip()
    assert Sessions(secret).begin(given) is not None
