"""Who may ask the service, and how it says no: the guard, the token, the queue, the logs."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from serving import TOKEN, Client, served

from pipeline.errors import ConfigError
from pipeline.service.access import token
from pipeline.service.commands import serve
from pipeline.service.turns import Busy, Ticket, Turns


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"host": "evil.example"}, 421, "wrong_host"),
        ({"host": "127.0.0.1.evil.example:8765"}, 421, "wrong_host"),
        ({"host": ""}, 421, "wrong_host"),
        ({"origin": "https://evil.example"}, 403, "wrong_origin"),
        ({"origin": "http://127.0.0.1:9999"}, 403, "wrong_origin"),  # another port is another origin
        ({"origin": "null"}, 403, "wrong_origin"),
        ({"sec_fetch_site": "cross-site"}, 403, "wrong_origin"),
        ({"sec_fetch_site": "same-site"}, 403, "wrong_origin"),
        ({"authorization": ""}, 401, "no_token"),
        ({"authorization": "Bearer"}, 401, "no_token"),
        ({"authorization": f"Bearer {TOKEN}x"}, 401, "no_token"),
        ({"authorization": f"Bearer {TOKEN[:-1]}"}, 401, "no_token"),
        ({"authorization": f"Basic {TOKEN}"}, 401, "no_token"),
        ({"authorization": "Bearer ÿ"}, 401, "no_token"),
        ({"content_type": "text/plain"}, 415, "not_json"),  # which a page could send anywhere, unasked
        ({"content_type": "application/x-www-form-urlencoded"}, 415, "not_json"),
        ({"content_type": ""}, 415, "not_json"),
        ({"content_length": "2000000"}, 413, "too_large"),
    ],
)
def test_what_may_not_be_asked_is_refused_and_nothing_is_done(
    tmp_path: Path, headers: dict[str, str], status: int, kind: str
) -> None:
    async def work(client: Client) -> None:
        exchange = await client.post("/v1/runs", {"request": "hello"}, **headers)
        assert exchange.status == status
        error = (await exchange.json())["error"]
        assert error["type"] == kind and error["fix"]
        assert "access-control-allow-origin" not in exchange.headers
        assert not client.hub.live and client.hub.journal.runs() == []
        assert f'tinyagent_refused_total{{why="{kind}"}} 1.0'.encode() in client.app.state.metrics.text()

    served(tmp_path, work)


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "LOCALHOST:8765", "localhost", "[::1]:8765", "agent.lan:8765"])
def test_its_own_names_and_its_own_page_may_ask(tmp_path: Path, host: str) -> None:
    async def work(client: Client) -> None:
        origin = f"http://{host}"
        for headers in ({"host": host}, {"host": host, "origin": origin, "sec_fetch_site": "same-origin"}):
            assert (await client.ask("GET", "/v1/tools", **headers)).status == 200

    served(tmp_path, work, hosts=("agent.lan",))


def test_a_body_that_grows_too_long_is_not_read_to_its_end(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        exchange = await client.post("/v1/plan", b'{"request": "' + b"x" * 300 + b'"}', content_length="20")
        assert exchange.status == 413

    served(tmp_path, work, body_bytes=256)


def test_only_that_it_lives_is_told_without_the_token(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.hub.loaded()
        for path, status in {"/healthz": 200, "/readyz": 200, "/metrics": 401, "/openapi.json": 401, "/": 200}.items():
            assert (await client.ask("GET", path, authorization="")).status == status, path
        assert (await client.ask("POST", "/quit")).status == 404
        assert (await client.ask("GET", "/docs")).status == 404  # it would load scripts from another host

    served(tmp_path, work)


def test_who_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        statuses = [(await client.ask("GET", "/v1/tools")).status for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        refused = await client.ask("GET", "/v1/tools")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await client.ask("GET", "/healthz")).status == 200

    served(tmp_path, work, rate=0.001, burst=3)


def test_who_has_no_token_cannot_lock_out_who_has(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        statuses = [(await client.ask("GET", "/v1/tools", authorization="Bearer x")).status for _ in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        assert [(await client.ask("GET", "/v1/tools")).status for _ in range(4)] == [200, 200, 200, 429]

    served(tmp_path, work, rate=0.001, burst=3)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"\xff", b"null", b"[" * 100_000),
        *(b'{"request": ""}', b'{"request": "  "}', b'{"request": "\\ud800"}', b'{"request": "x", "more": 1}'),
        b'{"request": "x", "now": "0001-01-01T00:00:00Z", "earlier": 1}',
        json.dumps({"request": "x" * 5000}).encode(),
    ],
)
def test_a_body_that_is_none_is_named_and_not_repeated(tmp_path: Path, body: bytes) -> None:
    async def work(client: Client) -> None:
        for path in ("/v1/runs", "/v1/plan", "/v1/select"):
            exchange = await client.post(path, body)
            assert exchange.status in (400, 422), path
            said = await exchange.json()
            assert said["error"]["message"] and "x" * 100 not in json.dumps(said)

    served(tmp_path, work)


def test_the_token_is_made_once_for_the_users_eyes(tmp_path: Path) -> None:
    first, path = token(tmp_path)
    assert len(first) >= 43 and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert token(tmp_path)[0] == first
    assert token(tmp_path, new=True)[0] != first
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="others can read"):
        token(tmp_path)
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(ConfigError, match="no token"):
        token(tmp_path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "no such host"])
def test_another_address_than_this_machines_needs_a_word_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("TINYAGENT_CONFIG", str(tmp_path / "none.toml"))
    options = ["--host", host, "--port", "0", "--data-dir", str(tmp_path)]
    result = CliRunner().invoke(serve, options, standalone_mode=False)
    assert isinstance(result.exception, ConfigError) and result.exception.fix
    assert not (tmp_path / ".tinyagent").exists()


# ── turns ────────────────────────────────────────────────────────────────────────────────────────────


def test_clients_take_turns_and_each_keeps_its_order() -> None:
    async def main() -> None:
        turns, order = Turns(16), []
        first = turns.ticket("z")

        async def take(ticket: Ticket, name: str) -> None:
            async with ticket:
                order.append(name)

        tickets = [(turns.ticket(name[0]), name) for name in ("a1", "a2", "a3", "b1", "c1", "b2")]
        ahead = {name: turns.ahead(ticket) for ticket, name in tickets}
        tasks = [asyncio.create_task(take(*pair)) for pair in tickets]
        gone = asyncio.create_task(take(turns.ticket("d"), "d1"))
        await asyncio.sleep(0)
        gone.cancel()
        async with first:
            pass
        await asyncio.gather(*tasks, gone, return_exceptions=True)
        assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]
        assert [ahead[name] for name in order] == [1, 2, 3, 4, 5, 6]
        assert turns.waiting == 0
        async with turns.ticket("a"):  # the turn of the one that went away is not lost
            pass

    asyncio.run(main())


def test_nobody_takes_all_places() -> None:
    async def main() -> None:
        turns = Turns(4)
        turns.ticket("greedy")
        for _ in range(2):
            turns.ticket("greedy")
        with pytest.raises(Busy):
            turns.ticket("greedy")
        turns.ticket("a")
        turns.ticket("b")
        with pytest.raises(Busy) as busy:
            turns.ticket("c")
        assert busy.value.seconds >= 1
        turns.ticket("c", bounded=False)  # more work on what was taken on already

    asyncio.run(main())


# ── what is told of it ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("told", [False, True])
def test_logs_tell_nothing_private_unless_told_to(
    tmp_path: Path, told: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.service import logs

    before = [(logging.getLogger(n), [*logging.getLogger(n).handlers]) for n in ("tinyagent", "uvicorn", "asyncio")]
    logs.configure(lines="json")
    secret = "Wednesday-plum"

    async def work(client: Client) -> None:
        await client.run(f'plan: echo("{secret}"); no_tool("{secret}")')
        await client.run(f'plan: echo("{secret}")')
        await client.post("/v1/plan", {"request": secret, secret: 1})
        await client.ask("GET", f"/{secret}?{secret}")
        with monkeypatch.context() as patch:
            patch.setattr(client.hub.pipeline, "select", lambda *_, **__: 1 / len("" * len(secret)))
            failed = await client.post("/v1/select", {"request": secret})
            assert failed.status == 500 and secret.encode() not in await failed.body()

    try:
        served(tmp_path, work, log_content=told)
    finally:
        for logger, handlers in before:
            logger.handlers, logger.propagate = handlers, True
    text = capsys.readouterr().err
    lines = [json.loads(line) for line in text.splitlines()]
    assert (secret in text) == told
    assert {"begun", "selected", "planned", "step started", "step finished", "ended", "request"} <= {
        line["event"] for line in lines
    }
    [inside] = [line for line in lines if line["event"] == "a request failed inside"]
    assert inside["error"] == "ZeroDivisionError" and any("test_service_access" in place for place in inside["at"])


def test_counts_are_kept_without_what_clients_say(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.run('plan: echo("a"); echo("b")')
        await client.ask("GET", "/v1/secret-path")
        text = (await (await client.ask("GET", "/metrics")).body()).decode()
        for line in (
            'tinyagent_steps_total{status="done",tool="echo"} 2.0',
            'tinyagent_work_total{status="done",what="run"} 1.0',
            'tinyagent_http_requests_total{method="POST",route="/v1/runs",status="200"} 1.0',
            "tinyagent_runs_under_way 0.0",
            "process_resident_memory_bytes",
        ):
            assert line in text
        assert "secret-path" not in text

    served(tmp_path, work)


def test_each_stage_is_a_span(tmp_path: Path) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from pipeline.service.tracing import watcher

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def work(client: Client) -> None:
        client.hub._watchers.append(watcher(provider.get_tracer("test")))
        await client.run('plan: echo("plum"); echo("$1 more")')

    served(tmp_path, work)
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["select", "plan", "step echo", "step echo", "run"]
    whole = spans[-1]
    assert {span.parent.span_id for span in spans[:-1] if span.parent} == {whole.context.span_id}
    assert whole.attributes is not None and whole.attributes["tinyagent.status"] == "done"
    assert "plum" not in str([span.to_json() for span in spans])
