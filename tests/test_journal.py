"""What is on disk of a run, whatever happens to it: at most once for every effect."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from icalendar import Calendar

from pipeline import Config, Pipeline, approve_all, decline_all
from pipeline.config import SelectionConfig
from pipeline.executor import Status
from pipeline.journal import Journal, JournalError, StepRecord
from pipeline.pipeline import Doubt, Resumption
from pipeline.planners.base import PlanRequest
from pipeline.tools.desktop.undo import CannotUndo, take_back

REQUEST = "text Priya and Omar that I'm late, remind me tomorrow to call mum, and note the new gate code 7719"
PLAN = """\
1. send_sms(["Priya", "Omar"], "I'm late")
2. create_reminder("call mum", due_date="tomorrow")
3. create_note("gate code", "7719")
4. join()"""  # with the lookups of two numbers, five steps


class Scripted:
    """A planner that writes one plan."""

    def __init__(self, plan: str = PLAN) -> None:
        self._plan = plan

    def prompt(self, request: PlanRequest) -> str:
        return request.request

    def count_tokens(self, text: str) -> int:
        return len(text)

    def stream(self, request: PlanRequest) -> Iterator[str]:
        yield self._plan

    def close(self) -> None: ...


@pytest.fixture
def pipeline(data_dir: Path) -> Pipeline:
    return scripted(data_dir)


def scripted(data_dir: Path, plan: str = PLAN) -> Pipeline:
    return Pipeline(Config(data_dir=data_dir, selection=SelectionConfig(route="all")), planner=Scripted(plan))


def effects(data_dir: Path) -> dict[str, int]:
    """Count what the plan's three effects left behind."""
    outbox = [json.loads(path.read_text()) for path in (data_dir / "messages" / "outbox").glob("*.json")]
    reminders = [
        todo
        for path in (data_dir / "reminders").glob("*.ics")
        for todo in Calendar.from_ical(path.read_bytes()).walk("VTODO")
        if todo["summary"] == "call mum"
    ]
    notes = list((data_dir / "notes").glob("gate code*.md"))
    return {"send_sms": len(outbox), "create_reminder": len(reminders), "create_note": len(notes)}


def test_a_run_is_on_record(pipeline: Pipeline, data_dir: Path, now: datetime) -> None:
    result = pipeline.run(REQUEST, now, approve=approve_all)
    assert result.answer.complete, result.answer.text
    record = Journal.of(data_dir).run(result.run)
    assert (record.request, record.now, record.status) == (REQUEST, now, "done")
    assert record.answer == result.answer.text
    assert [step.status for step in record.steps] == ["done"] * 5
    [sent] = [step for step in record.steps if step.tool == "send_sms"]
    assert sent.arguments is not None
    assert sent.arguments["message"] == "I'm late"
    assert sent.output is not None and "outbox" in sent.output
    assert Journal.of(data_dir).run("last") == record


def test_the_journal_is_for_the_users_eyes(pipeline: Pipeline, data_dir: Path, now: datetime) -> None:
    pipeline.run(REQUEST, now, approve=decline_all)
    path = Journal.of(data_dir).path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_dry_run_and_a_plan_without_steps_leave_no_record(data_dir: Path, now: datetime) -> None:
    scripted(data_dir).run(REQUEST, now, dry_run=True)
    scripted(data_dir, "1. join()").run("tell me a joke", now)
    assert Journal.of(data_dir).runs() == []
    with pytest.raises(JournalError, match="nothing has been run yet"):
        Journal.of(data_dir).run("last")


def test_what_is_done_is_not_gone_on_with(pipeline: Pipeline, now: datetime) -> None:
    result = pipeline.run(REQUEST, now, approve=approve_all)
    with pytest.raises(JournalError, match="nothing is left to do"):
        asyncio.run(pipeline.aresume(result.run, approve=approve_all))


def test_a_run_that_is_under_way_is_not_gone_on_with(pipeline: Pipeline, data_dir: Path, now: datetime) -> None:
    journal = Journal.of(data_dir)
    log = journal.begin(REQUEST, now)
    assert journal.run(log.run).status == "running"
    with pytest.raises(JournalError, match="under way"):
        journal.reopen(log.run)
    log.leave()
    assert journal.run(log.run).status == "interrupted"


def test_the_last_run_stays_the_one_that_was_meant(
    data_dir: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run begins while the last one's lock is waited for."""
    journal = Journal.of(data_dir)
    first = journal.begin(REQUEST, now)
    first.leave()
    lock, begun = journal._lock, []

    def slow(run: str) -> Any:
        if not begun:
            monkeypatch.setattr(journal, "_lock", lock)
            begun.append(journal.begin(REQUEST, now))
        return lock(run)

    monkeypatch.setattr(journal, "_lock", slow)
    log, record = journal.reopen("last")
    assert log.run == record.id == first.run != begun[0].run
    log.leave()
    begun[0].leave()


def test_without_a_journal_nothing_is_done(pipeline: Pipeline, data_dir: Path, now: datetime) -> None:
    (data_dir / ".tinyagent").write_text("a file where the folder should be")
    with pytest.raises(JournalError, match="cannot be written"):
        pipeline.run(REQUEST, now, approve=approve_all)
    assert effects(data_dir) == {"send_sms": 0, "create_reminder": 0, "create_note": 0}


def test_what_only_looks_something_up_needs_no_journal(data_dir: Path, now: datetime) -> None:
    (data_dir / ".tinyagent").write_text("a file where the folder should be")
    result = scripted(data_dir, '1. open_note("Shopping list")\n2. join()').run("show me my shopping list", now)
    assert result.answer.complete, result.answer.text
    assert result.run == ""


def test_an_effect_that_cannot_be_announced_is_not_had(
    pipeline: Pipeline, data_dir: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when the first intent is to be put down."""

    def full(self: object, proposal: object) -> None:
        raise JournalError("the disk is full") from sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("pipeline.journal.RunLog.intend", full)
    with pytest.raises(JournalError, match="the disk is full"):
        pipeline.run(REQUEST, now, approve=approve_all)
    assert effects(data_dir) == {"send_sms": 0, "create_reminder": 0, "create_note": 0}


# --- crashes -------------------------------------------------------------------------------------------------


def killed_at(transition: int, moment: str, data_dir: Path, now: datetime, pipeline: Pipeline | None = None) -> bool:
    """Run the plan in a process that kills itself around one transaction of the journal; return whether it did."""
    child = os.fork()
    if child == 0:
        original, count = Journal._writing, 0

        @contextmanager
        def writing(self: Journal, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
            nonlocal count
            count += 1
            mine = count == transition
            if mine and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            with original(self, durable=durable) as db:
                yield db
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)

        Journal._writing = writing  # type: ignore[method-assign]
        try:
            (pipeline or scripted(data_dir)).run(REQUEST, now, approve=approve_all)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_at_any_transition_loses_nothing_and_repeats_nothing(moment: str, tmp_path: Path, now: datetime) -> None:
    from pipeline.tools.desktop.sample import create_sample

    transition = 0
    while True:
        transition += 1
        data_dir = tmp_path / f"{moment}-{transition}"
        create_sample(data_dir, now)
        if not killed_at(transition, moment, data_dir, now):
            break
        journal = Journal.of(data_dir)
        known = journal.runs()
        if not known or not known[0].plan.steps:  # nothing had begun
            assert set(effects(data_dir).values()) == {0}
            continue
        if all(step.status == "done" for step in known[0].steps):
            continue
        assert known[0].status == "interrupted"
        resumed = asyncio.run(scripted(data_dir).aresume("last", approve=approve_all))
        found = effects(data_dir)
        for outcome in resumed.outcomes:
            if outcome.step.tool not in found:
                assert outcome.status is Status.DONE
            elif outcome.status is Status.IN_DOUBT:
                assert found[outcome.step.tool] <= 1
            else:
                assert outcome.status is Status.DONE
                assert found[outcome.step.tool] == 1
        # A reminder is told by its UID, so it is never in doubt.
        assert {o.step.tool for o in resumed.outcomes if o.status is Status.IN_DOUBT} <= {"send_sms", "create_note"}
        assert journal.run("last").status == ("done" if resumed.answer.complete else "in doubt")
    assert transition > 10
    assert effects(data_dir) == {"send_sms": 1, "create_reminder": 1, "create_note": 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize(("said", "messages"), [(Doubt.DONE, 0), (Doubt.AGAIN, 1), (Doubt.LEAVE, 0)])
def test_the_person_decides_about_a_step_in_doubt(said: Doubt, messages: int, data_dir: Path, now: datetime) -> None:
    """The process dies right after it has put down that it is going to send."""
    transition = next(n for n in range(1, 20) if _announces(n, data_dir, now))
    [step] = [step for step in Journal.of(data_dir).run("last").steps if step.in_doubt and step.tool == "send_sms"]
    before = effects(data_dir)["send_sms"]
    asked: list[StepRecord] = []

    async def doubt(step: StepRecord, /) -> Doubt:
        asked.append(step)
        return said

    resumed: Resumption = asyncio.run(scripted(data_dir).aresume("last", approve=approve_all, doubt=doubt))
    assert step in asked, transition
    assert effects(data_dir)["send_sms"] == before + messages
    [outcome] = [outcome for outcome in resumed.outcomes if outcome.step.tool == "send_sms"]
    assert outcome.status is (Status.IN_DOUBT if said is Doubt.LEAVE else Status.DONE)


def _announces(transition: int, data_dir: Path, now: datetime) -> bool:
    killed_at(transition, "after", data_dir, now)
    return any(step.tool == "send_sms" and step.status == "begun" for step in Journal.of(data_dir).run("last").steps)


class PlansTwice(Scripted):
    """A first plan with a message and a note that is not there, and a second one with the right note."""

    def stream(self, request: PlanRequest) -> Iterator[str]:
        note = "Shopping list" if request.feedback else "Nonsense"
        yield f'1. send_sms(["Priya"], "Hi")\n2. append_note_content("{note}", "milk")\n3. join()'


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_while_a_second_plan_runs_repeats_nothing_of_the_first(
    moment: str, tmp_path: Path, now: datetime
) -> None:
    from pipeline.tools.desktop.sample import create_sample

    transition, second = 0, 0
    while True:
        transition += 1
        data_dir = tmp_path / str(transition)
        create_sample(data_dir, now)
        config = Config(data_dir=data_dir, selection=SelectionConfig(route="all"))
        if not killed_at(transition, moment, data_dir, now, Pipeline(config, planner=PlansTwice())):
            break
        known = Journal.of(data_dir).runs()
        if not known or len(known[0].attempts) < 2:
            continue
        second += 1
        with suppress(JournalError):  # where the kill came after the last step, nothing is left
            asyncio.run(Pipeline(config, planner=PlansTwice()).aresume("last", approve=approve_all))
        assert effects(data_dir)["send_sms"] == 1
        assert (data_dir / "notes" / "Shopping list.md").read_text().count("milk") <= 2  # the sample has one
    assert second > 3
    assert len(Journal.of(data_dir).run("last").attempts) == 2


# --- taking back ---------------------------------------------------------------------------------------------


def undo(data_dir: Path, run: str) -> None:
    journal = Journal.of(data_dir)
    for row, change, _ in journal.changes(run):
        take_back(change, data_dir, {})
        journal.taken_back(row)


def test_a_run_can_be_taken_back(pipeline: Pipeline, data_dir: Path, now: datetime) -> None:
    def content() -> dict[Path, bytes]:
        hidden = (".tinyagent", ".lock")
        return {
            p: p.read_bytes()
            for p in data_dir.rglob("*")
            if p.is_file() and not set(hidden) & set(p.relative_to(data_dir).parts)
        }

    pipeline.run("remind me", now, approve=approve_all)  # so that the list of reminders is there
    before = content()
    result = scripted(data_dir, PLAN.replace("gate code", "code")).run(REQUEST, now, approve=approve_all)
    assert content() != before
    undo(data_dir, result.run)
    assert content() == before
    assert Journal.of(data_dir).changes(result.run) == []


def test_what_was_added_since_stays(pipeline: Pipeline, data_dir: Path, now: datetime) -> None:
    reminder = '1. create_reminder("{}", due_date="tomorrow")\n2. join()'
    first = scripted(data_dir, reminder.format("first")).run("remind me", now, approve=approve_all)
    scripted(data_dir, reminder.format("second")).run("remind me", now, approve=approve_all)
    undo(data_dir, first.run)
    [todo] = [
        todo
        for path in (data_dir / "reminders").glob("*.ics")
        for todo in Calendar.from_ical(path.read_bytes()).walk("VTODO")
        if todo["summary"] in ("first", "second")
    ]
    assert todo["summary"] == "second"


def test_a_short_insertion_is_known_by_its_place(data_dir: Path, now: datetime) -> None:
    """The letter that was added is gone again; the one in another word is not it."""
    [note] = (data_dir / "notes").glob("Shopping*.md")
    note.write_text("# Shopping list\n\ntea\n")
    plan = '1. append_note_content("Shopping list", "x")\n2. join()'
    result = scripted(data_dir, plan).run("note", now, approve=approve_all)
    note.write_text("# Shopping list\n\ntax\n")
    [(_, change, _)] = Journal.of(data_dir).changes(result.run)
    with pytest.raises(CannotUndo):
        take_back(change, data_dir, {})
    assert note.read_text() == "# Shopping list\n\ntax\n"


def test_an_event_that_was_found_done_after_a_crash_can_be_taken_back(data_dir: Path, now: datetime) -> None:
    plan = '1. create_reminder("call mum", due_date="tomorrow")\n2. join()'
    assert killed_at(4, "before", data_dir, now, scripted(data_dir, plan))  # begun, planned, announced, and done
    assert effects(data_dir)["create_reminder"] == 1
    resumed = asyncio.run(scripted(data_dir, plan).aresume("last", approve=approve_all))
    assert resumed.answer.complete
    undo(data_dir, resumed.run.id)
    assert effects(data_dir)["create_reminder"] == 0


def test_a_call_that_may_be_done_stays_in_doubt_when_nobody_approves_it_again(data_dir: Path, now: datetime) -> None:
    plan = '1. create_reminder("call mum", due_date="tomorrow")\n2. join()'
    assert killed_at(4, "before", data_dir, now, scripted(data_dir, plan))
    resumed = asyncio.run(scripted(data_dir, plan).aresume("last"))
    assert [outcome.status for outcome in resumed.outcomes] == [Status.IN_DOUBT]


def test_what_was_changed_since_is_not_touched(pipeline: Pipeline, data_dir: Path, now: datetime) -> None:
    result = scripted(data_dir, '1. create_note("gate code", "7719")\n2. join()').run("note", now, approve=approve_all)
    [note] = (data_dir / "notes").glob("gate code*.md")
    note.write_text("something else")
    [(_, change, _)] = Journal.of(data_dir).changes(result.run)
    with pytest.raises(CannotUndo, match="has been changed since"):
        take_back(change, data_dir, {})
    assert note.read_text() == "something else"
