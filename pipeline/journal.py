"""What was done, on disk, before and after: the journal of runs.

A run's request and plan are put down before its first step; each write or send right before it is made (the *intent*, with its
resolved arguments) and when it has ended (the *outcome*, with what it changed). After a crash, a step with an intent and no
outcome is *in doubt*: nobody can tell whether it was done, and it is never made again unasked. One SQLite file in WAL mode with
full synchronisation, readable by the user alone. The executor writes it, `tinyagent runs` reads it; this module runs nothing.
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

from pipeline.effects import Proposal, needs_approval
from pipeline.errors import TinyAgentError
from pipeline.executor import Outcome, Status
from pipeline.plan import Plan, Step, parse_plan
from pipeline.spec import Catalogue
from pipeline.tools.context import Change, ToolError

FILE = Path(".tinyagent") / "journal.sqlite3"  # below the data folder
VERSION = 1


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


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What the journal knows of a run."""

    id: str
    request: str
    now: datetime  # when the request was made
    begun: datetime
    plan: Plan  # the last one, if there was a replan
    status: str  # "running", "interrupted", "done", "in part", "not done", "taken back"
    answer: str
    steps: tuple[StepRecord, ...]  # of that plan

    @property
    def in_doubt(self) -> tuple[StepRecord, ...]:
        """The steps of which nobody can tell whether they were done."""
        return tuple(step for step in self.steps if step.status in ("begun", Status.IN_DOUBT))


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
        with self._writing() as db:
            db.execute(
                "INSERT INTO runs (id, request, now, begun) VALUES (?, ?, ?, ?)",
                (run, request, now.isoformat(), datetime.now().isoformat(timespec="seconds")),
            )
        return RunLog(self, run, 0, lock)

    def reopen(self, run: str) -> RunLog:
        """Return the log of a run that was interrupted, to go on with.

        Raises:
            JournalError: There is none, or it is under way.
        """
        record = self.run(run)
        lock = self._lock(record.id)
        [(attempt,)] = self._rows("SELECT attempt FROM runs WHERE id = ?", record.id)
        return RunLog(self, record.id, attempt, lock)

    def runs(self, limit: int = 20) -> list[RunRecord]:
        """Return the latest runs, the last one first."""
        if not self.path.exists():
            return []
        found = self._rows("SELECT id FROM runs ORDER BY begun DESC, rowid DESC LIMIT ?", limit)
        return [self.run(run) for (run,) in found]

    def run(self, prefix: str) -> RunRecord:
        """Return the run whose id begins so; "last" is the last one.

        Raises:
            JournalError: There is none, or there are several.
        """
        if not self.path.exists():
            raise JournalError("nothing has been run yet", fix="'tinyagent run' runs a request")
        columns = "id, request, now, begun, plan, status, answer, attempt"
        if prefix == "last":
            found = self._rows(f"SELECT {columns} FROM runs ORDER BY begun DESC, rowid DESC LIMIT 1")
        else:
            found = self._rows(f"SELECT {columns} FROM runs WHERE substr(id, 1, ?) = ?", len(prefix), prefix)
        if len(found) != 1:
            what = "several runs'" if found else "no run's"
            raise JournalError(f"{what} id begins with {prefix!r}", fix="'tinyagent runs list' shows them")
        [(run, request, now, begun, plan_text, status, answer, attempt)] = found
        plan = parse_plan(plan_text) if plan_text else Plan()
        if status == "running" and not self._is_held(run):
            status = "interrupted"
        return RunRecord(
            run,
            request,
            datetime.fromisoformat(now),
            datetime.fromisoformat(begun),
            plan,
            status,
            answer,
            tuple(self._steps(run, attempt, plan)),
        )

    def changes(self, run: str) -> list[tuple[int, Change, int]]:
        """Return what a run changed and has not taken back, the last change first: row, change, step."""
        rows = self._rows(
            "SELECT rowid, path, created, removed, inserted, number FROM changes WHERE run = ? AND NOT undone "
            "ORDER BY rowid DESC",
            run,
        )
        return [
            (row, Change(Path(path), bool(created), old, new), number) for row, path, created, old, new, number in rows
        ]

    def taken_back(self, run: str, row: int, *, all_of_it: bool) -> None:
        """Put down that a change was taken back."""
        with self._writing() as db:
            db.execute("UPDATE changes SET undone = 1 WHERE rowid = ?", (row,))
            if all_of_it:
                db.execute("UPDATE runs SET status = 'taken back' WHERE id = ?", (run,))

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _steps(self, run: str, attempt: int, plan: Plan) -> Iterator[StepRecord]:
        rows = self._rows(
            "SELECT number, status, arguments, output, error, digest FROM steps WHERE run = ? AND attempt = ?",
            run,
            attempt,
        )
        counts = dict(
            self._rows(
                "SELECT number, count(*) FROM changes WHERE run = ? AND attempt = ? AND NOT undone GROUP BY number",
                run,
                attempt,
            )
        )
        known = {row[0]: row[1:] for row in rows}
        for step in plan.steps:
            status, arguments, output, error, digest = known.get(step.number, ("not begun", None, None, None, ""))
            yield StepRecord(
                step.number,
                step.tool,
                status,
                json.loads(arguments) if arguments else None,
                output,
                error,
                digest,
                counts.get(step.number, 0),
            )

    def _lock(self, run: str) -> FileLock:
        """Return the held lock of a run, which a process that dies lets go."""
        self._folder()
        lock = FileLock(self.path.with_name(f"{run}.lock"), timeout=0, thread_local=False)
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
        lock.release()
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
                db.execute("PRAGMA synchronous = FULL")
                [(version,)] = db.execute("PRAGMA user_version").fetchall()
                if version > VERSION:
                    raise JournalError(f"{self.path} is of a newer version of this program", fix="update it")
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
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Lend the file for one transaction, which is on the disk when the block has ended."""
        db = self._db()
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise self._unwritable(error) from error


class RunLog:
    """The record of one run as it goes on; see `pipeline.executor.Log`."""

    def __init__(self, journal: Journal, run: str, attempt: int, lock: FileLock) -> None:
        self._journal, self.run, self._attempt, self._lock = journal, run, attempt, lock

    def key(self, step: Step) -> str:
        """Return what tells this call from all others, now and when it is made again."""
        return f"{self.run}.{self._attempt}.{step.number}"

    def planned(self, plan: Plan) -> None:
        """Put down the plan that is going to be run; a second one is a replan."""
        with self._journal._writing() as db:
            [(before,)] = db.execute("SELECT plan FROM runs WHERE id = ?", (self.run,)).fetchall()
            self._attempt += bool(before)
            db.execute("UPDATE runs SET plan = ?, attempt = ? WHERE id = ?", (plan.text(), self._attempt, self.run))

    def intend(self, proposal: Proposal) -> None:
        """Put down that an effect is about to be had.

        Raises:
            JournalError: It cannot be written; the call must not be made.
        """
        self._put(proposal.step.number, "begun", dict(proposal.arguments), None, None, proposal.digest)

    def finish(self, outcome: Outcome, changes: Sequence[Change] = ()) -> None:
        """Put down how a step ended, and what it changed, in one transaction."""
        number = outcome.step.number
        with self._journal._writing() as db:
            error = str(outcome.error) if outcome.error else None
            db.execute(
                "INSERT INTO steps (run, attempt, number, tool, status, output, error, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET status = excluded.status, output = excluded.output, error = excluded.error",
                (
                    self.run,
                    self._attempt,
                    number,
                    outcome.step.tool,
                    str(outcome.status),
                    outcome.output,
                    error,
                    outcome.digest,
                ),
            )
            db.executemany(
                "INSERT INTO changes (run, attempt, number, path, created, removed, inserted) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(self.run, self._attempt, number, str(c.path), c.created, c.removed, c.inserted) for c in changes],
            )

    def end(self, status: str, answer: str) -> None:
        """Put down how the run ended, and let it go."""
        with self._journal._writing() as db:
            db.execute("UPDATE runs SET status = ?, answer = ? WHERE id = ?", (status, answer, self.run))
        self.leave()

    def leave(self) -> None:
        """Let the run go as it is: it can be gone on with."""
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)

    def _put(
        self, number: int, status: str, arguments: object, output: str | None, error: str | None, digest: str
    ) -> None:
        with self._journal._writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO steps (run, attempt, number, tool, status, arguments, output, error, digest) "
                "VALUES (?, ?, ?, '', ?, ?, ?, ?, ?)",
                (self.run, self._attempt, number, status, json.dumps(arguments), output, error, digest),
            )


def finished(record: RunRecord, tools: Catalogue) -> dict[int, Outcome]:
    """Return what became of the steps that are not to be run when a run is gone on with, by number.

    Those are the ones that are done or were declined, and those in doubt, which stay so. Steps that failed or were skipped are tried
    again, and so are reads, and calls in doubt that may be made again with the key that they had.
    """
    known: dict[int, Outcome] = {}
    for step, found in zip(record.plan.steps, record.steps, strict=True):
        tool = tools.get(step.tool)
        if found.status in (Status.DONE, Status.DECLINED):
            known[step.number] = Outcome(step, Status(found.status), found.output, digest=found.digest)
        elif found in record.in_doubt and tool and needs_approval(tool.effect) and not tool.repeatable:
            error = ToolError("it broke off where it may have been done", fix="look whether it was")
            known[step.number] = Outcome(step, Status.IN_DOUBT, error=error, digest=found.digest)
    return known


_SCHEMA = f"""
PRAGMA user_version = {VERSION};
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, request TEXT NOT NULL, now TEXT NOT NULL, begun TEXT NOT NULL, plan TEXT NOT NULL DEFAULT '',
    attempt INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL DEFAULT 'running', answer TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS steps (
    run TEXT NOT NULL REFERENCES runs, attempt INTEGER NOT NULL, number INTEGER NOT NULL, tool TEXT NOT NULL,
    status TEXT NOT NULL, arguments TEXT, output TEXT, error TEXT, digest TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run, attempt, number)
);
CREATE TABLE IF NOT EXISTS changes (
    run TEXT NOT NULL REFERENCES runs, attempt INTEGER NOT NULL, number INTEGER NOT NULL, path TEXT NOT NULL,
    created INTEGER NOT NULL, removed BLOB NOT NULL, inserted BLOB NOT NULL, undone INTEGER NOT NULL DEFAULT 0
);
"""
