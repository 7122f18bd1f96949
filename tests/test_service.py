"""Runs over HTTP: what their events tell, who may answer, how they end, and that no client sees another's."""

from __future__ import annotations

import asyncio
import gc
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from serving import TOOLS, Client, Event, Exchange, served

from pipeline.effects import Proposal
from pipeline.journal import EventRecord, Journal
from pipeline.plan import Step
from pipeline.planners.openai import OpenAIPlanner
from pipeline.service.hub import NotAsked, Run
from pipeline.tools.context import Preview, Written


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def until(exchange: Exchange, kind: str) -> list[Event]:
    """Return the events up to the first of a kind."""
    found = []
    async for event in exchange.events():
        found.append(event)
        if event.kind == kind:
            return found
    raise AssertionError(f"no {kind} among {found}")


async def begun(client: Client, request: str, kind: str, **headers: str) -> tuple[Exchange, str, list[Event]]:
    """Begin a run and return it when an event of a kind has come."""
    exchange = await client.post("/v1/runs", {"request": request}, **headers)
    return exchange, exchange.headers["location"].rpartition("/")[2], await until(exchange, kind)


def test_a_run_tells_its_way_from_the_queue_to_the_answer(folder: Path) -> None:
    async def work(client: Client) -> None:
        run, events = await client.run('plan: echo("one"); echo("$1 two")')
        kinds = [event.kind for event in events]
        assert kinds == [
            *("queued", "selected", "step_planned", "step_planned", "planned"),
            *("started", "finished", "started", "finished", "answer"),
        ]
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        assert {event.data["run"] for event in events} == {run}
        planned = next(event.data for event in events if event.kind == "planned")
        assert [(step["tool"], step["needs"]) for step in planned["steps"]] == [("echo", []), ("echo", [1])]
        assert [event.data["output"] for event in events if event.kind == "finished"] == ["one", "one two"]
        assert events[-1].data["complete"] and events[-1].data["status"] == "done"
        assert events[-1].data["text"] == "what it says: one two"

    served(folder, work)


def test_a_planner_that_cannot_be_reached_is_a_bad_gateway(folder: Path) -> None:
    async def work(client: Client) -> None:
        asked = {
            "/v1/plan": {"request": "say it"},
            "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
        }
        for path, body in asked.items():
            exchange = await client.post(path, body)
            assert exchange.status == 502
            error = (await exchange.json())["error"]
            assert error["type"] == "planner_unavailable"
            assert "no server answers at http://127.0.0.1:9/" in error["message"]

    served(folder, work, planner=OpenAIPlanner("http://127.0.0.1:9", "any", sleep=lambda _: None))


def test_what_was_told_can_be_heard_again_from_any_event_on(folder: Path) -> None:
    async def first(client: Client) -> None:
        run, events = await client.run("say it")
        told.update(run=run, events=[(event.number, event.kind, event.data) for event in events])

    async def second(client: Client) -> None:
        for after in ("", "0", "3", str(len(told["events"])), "99"):
            exchange = await client.ask("GET", f"/v1/runs/{told['run']}/events", last_event_id=after)
            heard = [(event.number, event.kind, event.data) async for event in exchange.events()]
            assert heard == told["events"][int(after or 0) :]

    told: dict[str, Any] = {}
    served(folder, first)
    served(folder, second)  # another process would do the same: all is in the journal


def test_a_connection_that_was_lost_misses_nothing(folder: Path) -> None:
    async def work(client: Client) -> None:
        note = folder / "note"
        exchange, run, heard = await begun(client, f'plan: echo("x"); note("{note}", "it")', "approval_needed")
        exchange.disconnect()
        await exchange.ended()
        again = await client.ask("GET", f"/v1/runs/{run}/events", last_event_id="3")
        rest = await until(again, "approval_needed")
        assert [event.number for event in rest] == list(range(4, heard[-1].number + 1))
        await approve(client, run, rest[-1])
        assert (await until(again, "answer"))[-1].data["complete"]
        assert note.read_text() == "it\n"

    served(folder, work, leave_seconds=30.0)


async def approve(client: Client, run: str, asked: Event, **changed: object) -> Exchange:
    answer = {"step": asked.data["step"], "digest": asked.data["digest"], "approved": True, **changed}
    return await client.post(f"/v1/runs/{run}/approvals", answer)


def test_a_write_waits_for_its_own_approval_which_counts_once(folder: Path) -> None:
    async def work(client: Client) -> None:
        notes = folder / "notes"
        request = f'plan: note("{notes}", "one"); note("{notes}", "two")'
        exchange, run, events = await begun(client, request, "approval_needed")
        asked = events[-1]
        assert asked.data["arguments"] == {"file": str(notes), "text": "one"}
        assert asked.data["effect"] == "write" and asked.data["warnings"] == []
        assert not notes.exists()
        for wrong in ({"digest": "0" * 64}, {"step": 2}):
            refused = await approve(client, run, asked, **wrong)
            assert refused.status == 409
        assert not notes.exists()
        assert (await approve(client, run, asked)).status == 200
        [second] = [event for event in await until(exchange, "approval_needed") if event.kind == "approval_needed"]
        assert second.data["arguments"]["text"] == "two"
        for used in (asked, Event(0, "", {**asked.data, "step": 2})):  # the first yes is none to the second call
            assert (await approve(client, run, used)).status == 409
        assert (await approve(client, run, second, approved=False)).status == 200
        rest = [event async for event in exchange.events()]
        assert [event.data["status"] for event in rest if event.kind == "finished"] == ["declined"]
        assert not rest[-1].data["complete"]
        assert notes.read_text() == "one\n"
        assert (await approve(client, run, second)).status == 409  # the run has ended

    served(folder, work)


def test_an_approval_is_for_one_question_and_for_the_text_that_was_shown(folder: Path) -> None:
    """Of two questions about one call, and of the same call with another text written for it, each has its own digest."""
    tool = TOOLS["note"]

    def proposal(text: str) -> Proposal:
        preview = Preview({"text": text}, written=Written(text))
        return Proposal(Step(1, "note"), tool, {"file": "x"}, preview=preview)

    async def main() -> None:
        journal = Journal.of(folder)
        run = Run(journal.begin("hello", datetime.now()), journal, client="", detached=True, answer_s=10)
        used: list[str] = []
        for text in ("one", "two", "two"):
            asking = asyncio.create_task(run.approve(proposal(text)))
            await asyncio.sleep(0)
            for digest in used:
                with pytest.raises(NotAsked):
                    run.answer_approval(1, digest, True)
            used.append(json.loads(run.events[-1].data)["digest"])
            run.answer_approval(1, used[-1], True)
            assert await asking
        assert len(set(used)) == 3
        run.log.leave()
        journal.close()

    asyncio.run(main())


def test_what_nobody_answers_is_not_done(folder: Path) -> None:
    async def work(client: Client) -> None:
        _, events = await client.run(f'plan: note("{folder / "note"}", "one")')
        [finished] = [event.data for event in events if event.kind == "finished"]
        assert finished["status"] == "declined" and "nobody was there" in finished["error"]
        assert not (folder / "note").exists()

    served(folder, work, answer_seconds=0.01)


def test_a_client_that_goes_away_stops_its_run(folder: Path) -> None:
    async def work(client: Client) -> None:
        exchange, run, _ = await begun(client, f'plan: wait("{folder / "pid"}")', "queued")
        hub_run = client.hub.live[run]
        exchange.disconnect()
        await exchange.ended()
        async with asyncio.timeout(20):
            await asyncio.wait([hub_run.task])
        assert run not in client.hub.live
        replay = await client.ask("GET", f"/v1/runs/{run}/events")
        last = [event async for event in replay.events()][-1]
        assert (last.kind, last.data["type"]) == ("error", "cancelled")
        assert "went away" in last.data["message"]

    served(folder, work)


def test_a_run_goes_on_by_itself_where_its_client_said_so(folder: Path) -> None:
    async def work(client: Client) -> None:
        body = {"request": f'plan: note("{folder / "note"}", "one")'}
        exchange = await client.post("/v1/runs", body, prefer="respond-async")
        assert exchange.status == 202 and exchange.headers["preference-applied"] == "respond-async"
        accepted = await exchange.json()
        for _ in range(2):  # one that listens may go away, and it goes on
            listening = await client.ask("GET", accepted["events"])
            asked = (await until(listening, "approval_needed"))[-1]
            listening.disconnect()
            await listening.ended()
        listening = await client.ask("GET", accepted["events"])
        assert (await approve(client, accepted["run"], asked)).status == 200
        await until(listening, "answer")
        assert (folder / "note").exists()

    served(folder, work)


def test_stopping_waits_until_nothing_runs_and_an_effect_has_ended(folder: Path) -> None:
    async def work(client: Client) -> None:
        file, later = folder / "file", folder / "later"
        request = f'plan: wait("{folder / "pid"}"); write("{file}", "0.3"); note("{later}", "$2")'
        exchange, run, events = await begun(client, request, "approval_needed")
        await approve(client, run, events[-1])
        while not file.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        stopped = await client.ask("DELETE", f"/v1/runs/{run}")
        record = await stopped.json()
        assert file.read_text() == "begun\nended\n"
        assert record["status"] == "interrupted"
        [plan] = record["plans"]
        assert [step["status"] for step in plan["steps"]] == ["not begun", "done", "not begun"]
        assert not later.exists() and run not in client.hub.live
        last = [event async for event in exchange.events()][-1]
        assert last.data["type"] == "cancelled" and "you stopped it" in last.data["message"]
        again = await client.ask("DELETE", f"/v1/runs/{run}")
        assert again.status == 200

    served(folder, work)


def test_which_of_several_is_asked_back(data_dir: Path) -> None:
    """The address book of the sample has several that "Sam" fits, if one is added."""
    (data_dir / "contacts" / "more.vcf").write_text(
        "".join(
            f"BEGIN:VCARD\nVERSION:3.0\nFN:Zed {n}\nN:{n};Zed;;;\nTEL:+1 555 010{i}\nEND:VCARD\n"
            for i, n in enumerate("AB")
        )
    )

    async def work(client: Client) -> None:
        from pipeline import Pipeline
        from pipeline.config import builtin_tools

        old = client.hub.pipeline
        client.hub.pipeline = Pipeline(old.config, planner=old.planner, tools=builtin_tools())
        exchange, run, events = await begun(client, 'plan: get_phone_number("Zed")', "choice_needed")
        asked = events[-1].data
        assert len(asked["candidates"]) == 2
        wrong = await client.post(f"/v1/runs/{run}/choices", {"question": asked["question"], "choice": "Nobody"})
        assert wrong.status == 409
        body = {"question": asked["question"], "choice": asked["candidates"][1]}
        assert (await client.post(f"/v1/runs/{run}/choices", body)).status == 200
        answer = (await until(exchange, "answer"))[-1]
        assert "0101" in answer.data["text"]

    served(data_dir, work)


def test_what_goes_wrong_is_the_last_event(folder: Path) -> None:
    async def work(client: Client) -> None:
        run, events = await client.run('plan: no_such_tool("x")')
        assert events[-1].kind == "error"
        assert "no_such_tool" in events[-1].data["message"] and events[-1].data["fix"]
        shown = await (await client.ask("GET", f"/v1/runs/{run}")).json()
        assert shown["status"] == "not done" and shown["plans"] == []

    served(folder, work)


def test_what_broke_off_is_told_to_have_an_end(folder: Path) -> None:
    """Of a run whose last event is not on record, as after a crash, its state in the journal is told instead."""
    journal = Journal.of(folder)
    log = journal.begin("a request", datetime(2026, 5, 13))
    journal.tell(log.run, EventRecord(1, "queued", "{}"))
    log.leave()

    async def work(client: Client) -> None:
        exchange = await client.ask("GET", f"/v1/runs/{log.run}/events")
        events = [event async for event in exchange.events()]
        assert [(event.number, event.kind) for event in events] == [(1, "queued"), (2, "error")]
        assert events[-1].data["type"] == "interrupted"

    served(folder, work)


def test_runs_are_listed_and_shown(folder: Path) -> None:
    async def work(client: Client) -> None:
        first, _ = await client.run("one")
        second, _ = await client.run("two")
        listed = await (await client.ask("GET", "/v1/runs?limit=1")).json()
        assert [run["run"] for run in listed["runs"]] == [second]
        shown = await (await client.ask("GET", f"/v1/runs/{first}")).json()
        assert (shown["request"], shown["status"]) == ("one", "done")
        for path in ("/v1/runs/20000101-000000-abcdef", "/v1/runs/20000101-000000-abcdef/events"):
            missing = await client.ask("GET", path)
            assert missing.status == 404
            assert (await missing.json())["error"]["fix"]

    served(folder, work)


def test_plans_selections_and_tools_are_told_and_nothing_is_run(folder: Path) -> None:
    async def work(client: Client) -> None:
        note = folder / "note"
        planned = await (await client.post("/v1/plan", {"request": f'plan: note("{note}", "x")'})).json()
        assert planned["plan"].startswith("1. note(") and planned["tools"] == ["echo", "note", "wait", "write"]
        selected = await (await client.post("/v1/select", {"request": "anything"})).json()
        assert selected["route"] == "all"
        tools = await (await client.ask("GET", "/v1/tools")).json()
        assert [tool["name"] for tool in tools["tools"]] == ["echo", "note", "wait", "write"]
        assert not note.exists()
        assert json.loads(await (await client.ask("GET", "/v1/runs")).body())["runs"] == []

    served(folder, work)


@pytest.mark.parametrize("settings", [{"waiting": 2}, {"runs": 3}], ids=["queue", "runs"])
def test_what_is_beyond_the_bounds_is_refused_with_when_to_come_again(folder: Path, settings: dict[str, int]) -> None:
    async def work(client: Client) -> None:
        held = client.hub.turns.ticket("somebody")
        exchanges = [
            await client.post("/v1/runs", {"request": "hello"}, x_client_id=str(i), prefer="respond-async")
            for i in range(6)
        ]
        statuses = [exchange.status for exchange in exchanges]
        taken = 2 if "waiting" in settings else 3
        assert statuses == [202] * taken + [429] * (6 - taken)
        assert int(exchanges[-1].headers["retry-after"]) >= 1
        plan = await client.post("/v1/plan", {"request": "hello"}, x_client_id="other")
        assert plan.status == 429
        held.discard()
        for exchange in exchanges[:taken]:
            events = (await exchange.json())["events"]
            await until(await client.ask("GET", events), "answer")

    async def loaded(client: Client) -> None:
        await client.hub.loaded()
        await work(client)

    served(folder, loaded, **settings)


def test_five_hundred_runs_of_fifty_clients_neither_lose_nor_cross_events(folder: Path) -> None:
    """Each client tells its own runs by their words; some are refused and come again."""

    async def work(client: Client) -> None:
        await client.hub.loaded()
        refused = 0

        async def one(name: int) -> None:
            nonlocal refused
            for n in range(10):
                word = f"client {name} run {n}"
                while True:
                    exchange = await client.post("/v1/runs", {"request": word}, x_client_id=str(name))
                    if exchange.status == 200:
                        break
                    assert exchange.status == 429 and exchange.headers["retry-after"]
                    refused += 1
                    await exchange.ended()
                    await asyncio.sleep(0.1)
                assert len(client.hub.live) <= 20
                run = exchange.headers["location"].rpartition("/")[2]
                events = [event async for event in exchange.events()]
                await exchange.ended()
                assert [event.number for event in events] == list(range(1, len(events) + 1))
                assert {event.data["run"] for event in events} == {run}
                assert events[-1].kind == "answer" and events[-1].data["text"] == f"what it says: {word}"
                if n == 9:
                    replay = await client.ask("GET", f"/v1/runs/{run}/events")
                    assert [event.data async for event in replay.events()] == [event.data for event in events]

        await asyncio.gather(*map(one, range(50)))
        assert refused > 0  # there were more clients than places
        assert not client.hub.live and client.hub.turns.waiting == 0
        shown = Journal.of(folder).runs(1000)
        assert len(shown) == 500 and {record.status for record in shown} == {"done"}
        gc.collect()
        assert not any(isinstance(found, Run) for found in gc.get_objects())  # nothing is kept of a run in memory

    served(folder, work, waiting=16, runs=20)
