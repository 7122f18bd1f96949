"""What was done, on disk, before and after: the journal of runs.

A run's request and plan are put down before its first step; each write or send right before it is made (the *intent*, with its
resolved arguments) and when it has ended (the *outcome*, with what it changed). After a crash, a step with an intent and no
outcome is *in doubt*: nobody can tell whether it was done, and it is never made again unasked. One SQLite file in WAL mode,
on the disk before each effect and after it, readable by the user alone. What the service tells of a run is here as well. The executor writes it, `tinyagent runs` reads it; this module runs nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.effects import Proposal
from pipeline.errors import TinyAgentError
from pipeline.executor import Outcome, Status
from pipeline.plan import Plan, Step, parse_plan
from pipeline.spec import Catalogue
from pipeline.tools.context import Change, InDoubt

FILE = Path(".tinyagent") / "journal.sqlite3"  # below the data folder
VERSION = 2
LOCK_S = 1.0  # how long one waits for a run that another looks at


class JournalError(TinyAgentError):
    """The journal cannot be read or written, or has no such run."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What the journal knows of a step."""

    number: int
    tool: str
    status: str  # as `Status`, or "begun" for an intent without outcome, or "not begun"
    arguments: Mapping[str, Any] | None  # resolved; of effects only
    output: str | None
    error: str | None
    digest: str
    changes: int  # that can be taken back

    @property
    def in_doubt(self) -> bool:
        """Whether nobody can tell if it was done."""
        return self.status in ("begun", Status.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A plan of a run, and what became of its steps."""

    plan: Plan
    steps: tuple[StepRecord, ...]

    def outcomes(self) -> Iterator[Outcome]:
        """Yield what is known of the steps that have begun."""
        for step, found in zip(self.plan.steps, self.steps, strict=True):
            if found.in_doubt:
                error = InDoubt("it broke off where it may have been done", fix="look whether it was")
                yield Outcome(step, Status.IN_DOUBT, error=error, digest=found.digest)
            elif found.status != "not begun":
                error_ = TinyAgentError(found.error) if found.error else None
                yield Outcome(step, Status(found.status), found.output, error_, digest=found.digest)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What the journal knows of a run."""

    id: str
    request: str
    now: datetime  # when the request was made
    begun: datetime
    status: str  # "running", "interrupted", "done", "in part", "in doubt", "not done", "taken back"
    answer: str
    attempts: tuple[Attempt, ...]  # several, if it was planned again

    @property
    def plan(self) -> Plan:
        """The last plan."""
        return self.attempts[-1].plan if self.attempts else Plan()

    @property
    def steps(self) -> tuple[StepRecord, ...]:
        """What became of the last plan's steps."""
        return self.attempts[-1].steps if self.attempts else ()

    @property
    def earlier(self) -> tuple[Outcome, ...]:
        """What became of the steps of the plans before the last."""
        return tuple(outcome for attempt in self.attempts[:-1] for outcome in attempt.outcomes())


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Something that happened in a run, as the service told it."""

    number: int  # from 1, in the run
    kind: str
    data: str  # a JSON object


class Journal:
    """The runs of one data folder.

    Args:
        path: The file; made at the first run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    @classmethod
    def of(cls, data_dir: Path) -> Journal:
        """Return the journal of a data folder."""
        return cls(data_dir / FILE)

    def begin(self, request: str, now: datetime) -> RunLog:
        """Put down that a run begins.

        Raises:
            JournalError: It cannot be written.
        """
        run = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        lock = self._lock(run)
        with self._writing(durable=False) as db:
            db.execute(
                "INSERT INTO runs (id, request, now, begun) VALUES (?, ?, ?, ?)",
                (run, _sound(request), now.isoformat(), datetime.now().isoformat(timespec="seconds")),
            )
        return RunLog(self, run, 0, lock)

    def reopen(self, run: str) -> tuple[RunLog, RunRecord]:
        """Return the log of a run, to go on with or to take back, and what became of it so far.

        Raises:
            JournalError: There is none, or it is under way.
        """
        found = self.run(run).id  # "last" may be another one by the time that the lock is there
        lock = self._lock(found)
        record = self.run(found)  # as it is now that nobody else can go on with it
        return RunLog(self, record.id, max(0, len(record.attempts) - 1), lock, record.status), record

    def runs(self, limit: int = 20) -> list[RunRecord]:
        """Return the latest runs, the last one first."""
        if not self.path.exists():
            return []
        found = self._rows("SELECT id FROM runs ORDER BY rowid DESC LIMIT ?", limit)
        return [self.run(run) for (run,) in found]

    def run(self, prefix: str) -> RunRecord:
        """Return the run whose id begins so; "last" is the last one.

        Raises:
            JournalError: There is none, or there are several.
        """
        if not self.path.exists():
            raise JournalError("nothing has been run yet", fix="'tinyagent run' runs a request")
        columns = "id, request, now, begun, status, answer"
        if prefix == "last":
            found = self._rows(f"SELECT {columns} FROM runs ORDER BY rowid DESC LIMIT 1")
        else:
            found = self._rows(f"SELECT {columns} FROM runs WHERE substr(id, 1, ?) = ?", len(prefix), prefix)
        if len(found) != 1:
            what = "several runs'" if found else "no run's"
            raise JournalError(f"{what} id begins with {prefix!r}", fix="'tinyagent runs list' shows them")
        [(run, request, now, begun, status, answer)] = found
        if status == "running" and not self._is_held(run):
            status = "interrupted"
        plans = self._rows("SELECT attempt, plan FROM plans WHERE run = ? ORDER BY attempt", run)
        attempts = (self._attempt(run, attempt, parse_plan(text)) for attempt, text in plans)
        return RunRecord(
            run, request, datetime.fromisoformat(now), datetime.fromisoformat(begun), status, answer, tuple(attempts)
        )

    def changes(self, run: str) -> list[tuple[int, Change, int]]:
        """Return what a run changed and has not taken back, the last change first: row, change, step."""
        rows = self._rows(
            "SELECT rowid, number, path, created, removed, inserted, before, digest, account, place FROM changes "
            "WHERE run = ? AND NOT undone ORDER BY rowid DESC",
            run,
        )
        return [
            (row, Change(Path(os.fsdecode(path)), bool(created), removed, inserted, before, digest, *server), number)
            for row, number, path, created, removed, inserted, before, digest, *server in rows
        ]

    def taken_back(self, row: int) -> None:
        """Put down that a change was taken back, and forget what it was."""
        with self._writing() as db:
            db.execute(
                "UPDATE changes SET undone = 1, removed = x'', inserted = x'', before = x'' WHERE rowid = ?", (row,)
            )

    def tell(self, run: str, event: EventRecord) -> None:
        """Put down something that happened in a run.

        Raises:
            JournalError: It cannot be written.
        """
        with self._writing(durable=False) as db:
            db.execute(
                "INSERT INTO events (run, number, kind, data) VALUES (?, ?, ?, ?)",
                (run, event.number, event.kind, event.data),
            )

    def events(self, run: str, after: int = 0) -> list[EventRecord]:
        """Return what happened in a run, in order, from after the event of that number on."""
        rows = self._rows(
            "SELECT number, kind, data FROM events WHERE run = ? AND number > ? ORDER BY number", run, after
        )
        return [EventRecord(*row) for row in rows]

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _attempt(self, run: str, attempt: int, plan: Plan) -> Attempt:
        rows = self._rows(
            "SELECT number, status, arguments, output, error, digest FROM steps WHERE run = ? AND attempt = ?",
            run,
            attempt,
        )
        known = {row[0]: row[1:] for row in rows}
        counts = dict(
            self._rows(
                "SELECT number, count(*) FROM changes WHERE run = ? AND attempt = ? AND NOT undone GROUP BY number",
                run,
                attempt,
            )
        )
        steps = []
        for step in plan.steps:
            status, arguments, output, error, digest = known.get(step.number, ("not begun", None, None, None, ""))
            given = json.loads(arguments) if arguments else None
            changes = counts.get(step.number, 0)
            steps.append(StepRecord(step.number, step.tool, status, given, output, error, digest, changes))
        return Attempt(plan, tuple(steps))

    def _lock(self, run: str) -> FileLock:
        """Return the held lock of a run, which a process that dies lets go."""
        self._folder()
        lock = FileLock(self.path.with_name(f"{run}.lock"), timeout=LOCK_S, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise JournalError(f"the run {run} is under way", fix="wait for it, or stop it") from None
        except OSError as error:
            raise self._unwritable(error) from error
        return lock

    def _is_held(self, run: str) -> bool:
        path = self.path.with_name(f"{run}.lock")
        if not path.exists():
            return False
        lock = FileLock(path, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except (Timeout, OSError):
            return True
        _let_go(lock)
        return False

    def _folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> JournalError:
        return JournalError(
            f"the journal {self.path} cannot be written: {error}",
            fix="nothing is done without it: make room, or mend the rights",
        )

    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            self._folder()
            new = not self.path.exists()
            try:
                if new:
                    os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
                db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=10)
                db.execute("PRAGMA journal_mode = WAL")
                [(version,)] = db.execute("PRAGMA user_version").fetchall()
                if version > VERSION:
                    raise JournalError(f"{self.path} is of a newer version of this program", fix="update it")
                if version < VERSION:
                    _add_columns(db)
                    db.executescript(_SCHEMA)
            except (sqlite3.Error, OSError) as error:
                raise self._unwritable(error) from error
            self._connection = db
        return self._connection

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._db().execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self.path} cannot be read: {error}") from error

    @contextmanager
    def _writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Lend the file for one transaction, which is safe from a crash of the program when the block has ended.

        `durable`, it is safe from a power cut as well, and so is all that was written before it. What an effect does not hang on need
        not wait for the disk: its own intent comes after it and takes it along.
        """
        db = self._db()
        try:
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except BaseException as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._unwritable(error) from error
            raise


class RunLog:
    """The record of one run as it goes on; see `pipeline.executor.Log`."""

    def __init__(self, journal: Journal, run: str, attempt: int, lock: FileLock, status: str = "running") -> None:
        self._journal, self.run, self._attempt, self._lock = journal, run, attempt, lock
        self._status = status  # that it had when it was opened
        self._intended: set[tuple[int, int]] = set()  # attempt and step of effects that are announced

    def key(self, step: Step) -> str:
        """Return what tells this call from all others, now and when it is made again."""
        return f"{self.run}.{self._attempt}.{step.number}"

    def planned(self, plan: Plan) -> None:
        """Put down the plan that is going to be run; a second one is a replan."""
        with self._journal._writing(durable=False) as db:
            [(count,)] = db.execute("SELECT count(*) FROM plans WHERE run = ?", (self.run,)).fetchall()
            self._attempt = count
            db.execute(
                "INSERT INTO plans (run, attempt, plan) VALUES (?, ?, ?)", (self.run, count, _sound(plan.text()))
            )

    def goes_on(self) -> None:
        """Put down that the run is under way again."""
        with self._journal._writing() as db:
            db.execute("UPDATE runs SET status = 'running' WHERE id = ?", (self.run,))

    def intend(self, proposal: Proposal) -> None:
        """Put down that an effect is about to be had.

        Raises:
            JournalError: It cannot be written; the call must not be made.
        """
        row = (
            self.run,
            self._attempt,
            proposal.step.number,
            proposal.tool.name,
            _sound(json.dumps(dict(proposal.arguments))),
        )
        with self._journal._writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO steps (run, attempt, number, tool, status, arguments, digest) "
                "VALUES (?, ?, ?, ?, 'begun', ?, ?)",
                (*row, proposal.digest),
            )
        self._intended.add((self._attempt, proposal.step.number))

    def finish(self, outcome: Outcome, changes: Sequence[Change] = ()) -> None:
        """Put down how a step ended, and what it changed, in one transaction."""
        number = outcome.step.number
        error = _sound(str(outcome.error)) if outcome.error else None
        output = None if outcome.output is None else _sound(outcome.output)
        with self._journal._writing(durable=(self._attempt, number) in self._intended) as db:
            db.execute(
                "INSERT INTO steps (run, attempt, number, tool, status, output, error, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET status = excluded.status, output = excluded.output, error = excluded.error",
                (
                    self.run,
                    self._attempt,
                    number,
                    outcome.step.tool,
                    str(outcome.status),
                    output,
                    error,
                    outcome.digest,
                ),
            )
            db.executemany(
                "INSERT INTO changes (run, attempt, number, path, created, removed, inserted, before, digest, account, place) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        self.run,
                        self._attempt,
                        number,
                        os.fsencode(c.path),
                        c.created,
                        c.removed,
                        c.inserted,
                        c.before,
                        c.digest,
                        c.account,
                        c.place,
                    )
                    for c in changes
                ],
            )

    def end(self, status: str, answer: str) -> None:
        """Put down how the run ended, and let it go."""
        with self._journal._writing(durable=False) as db:
            db.execute("UPDATE runs SET status = ?, answer = ? WHERE id = ?", (status, _sound(answer), self.run))
        self.leave()

    def leave(self) -> None:
        """Let the run go as it is: it can be gone on with."""
        _let_go(self._lock)


def _add_columns(db: sqlite3.Connection) -> None:
    """Give the table of changes what version 1 had not: accounts at servers. Two processes may come to it at a time."""
    db.execute("BEGIN IMMEDIATE")
    columns = {row[1] for row in db.execute("PRAGMA table_info(changes)")}
    if columns and "account" not in columns:
        db.execute("ALTER TABLE changes ADD COLUMN account TEXT NOT NULL DEFAULT ''")
        db.execute("ALTER TABLE changes ADD COLUMN place TEXT NOT NULL DEFAULT ''")
    db.execute("COMMIT")


def _let_go(lock: FileLock) -> None:
    """Release a lock, its file removed while it is still held, so that nobody is left holding a file that is gone."""
    if lock.is_locked:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _sound(text: str) -> str:
    """Return a text that can be stored: without the halves of characters that file names may have."""
    return text.encode("utf-8", "replace").decode()


def finished(record: RunRecord, tools: Catalogue) -> dict[int, Outcome]:
    """Return what became of the last plan's steps that are not to be run when a run is gone on with, by number.

    Those are the ones that are done, those that the person declined, and those in doubt, which stay so. Steps that failed, were skipped
    or that nobody was there to approve are tried again, and so are calls in doubt that may be made again with the key that they had.
    """
    if not record.attempts:
        return {}
    repeatable = {step.number for step in record.plan.steps if step.tool in tools and tools[step.tool].repeatable}
    return {
        outcome.step.number: outcome
        for outcome in record.attempts[-1].outcomes()
        if outcome.status is Status.DONE
        or (outcome.status is Status.DECLINED and outcome.error is None)
        or (outcome.status is Status.IN_DOUBT and outcome.step.number not in repeatable)
    }


_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, request TEXT NOT NULL, now TEXT NOT NULL, begun TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'running', answer TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS plans (
    run TEXT NOT NULL REFERENCES runs, attempt INTEGER NOT NULL, plan TEXT NOT NULL, PRIMARY KEY (run, attempt)
);
CREATE TABLE IF NOT EXISTS steps (
    run TEXT NOT NULL REFERENCES runs, attempt INTEGER NOT NULL, number INTEGER NOT NULL, tool TEXT NOT NULL,
    status TEXT NOT NULL, arguments TEXT, output TEXT, error TEXT, digest TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run, attempt, number)
);
CREATE TABLE IF NOT EXISTS changes (
    run TEXT NOT NULL REFERENCES runs, attempt INTEGER NOT NULL, number INTEGER NOT NULL, path BLOB NOT NULL,
    created INTEGER NOT NULL, removed BLOB NOT NULL, inserted BLOB NOT NULL, before BLOB NOT NULL, digest TEXT NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0, account TEXT NOT NULL DEFAULT '', place TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS events (
    run TEXT NOT NULL REFERENCES runs, number INTEGER NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (run, number)
);
PRAGMA user_version = {VERSION};
"""
