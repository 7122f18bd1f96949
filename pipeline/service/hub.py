"""The runs under way: their events, the questions that stand, and how each comes to its end.

A run is a task of its own. What happens in it is numbered, put on record (`pipeline.journal`) and then told to whoever listens, so that a
client that lost its connection gets the rest by the number of the last event that it saw. A run that has no listener any more stops, after
a while in which they may come back, unless its client said that it is to go on by itself. To stop is always the same: lookups
end, a write or send under way comes to its end, nothing else begins, and one waits until that is so.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Protocol

from pipeline.config import ServiceConfig
from pipeline.effects import Approval, Proposal, Unanswered
from pipeline.errors import TinyAgentError
from pipeline.events import Event
from pipeline.journal import EventRecord, Journal, JournalError, RunLog, RunRecord
from pipeline.pipeline import Pipeline, Planning, Result
from pipeline.service.logs import where
from pipeline.service.turns import Busy, Ticket, Turns
from pipeline.service.wire import Telling, error_json, moment, proposal_json, result_json

log = logging.getLogger("tinyagent")

PING_S = 15.0  # without an event, a sign of life is sent
LAST = ("answer", "error")  # the kinds of event with which a run ends


class Closing(TinyAgentError):
    """The service is about to end and takes on nothing new."""

    def __init__(self) -> None:
        super().__init__("the service is closing", fix="try again when it is back")


class NotAsked(TinyAgentError):
    """An answer came to a question that does not stand: never asked, answered already, or expired."""


class Watch(Protocol):
    """Watches one piece of work: a run, or a plan that is only made."""

    def event(self, event: Event) -> None:
        """See what happens."""
        ...

    def end(self, status: str) -> None:
        """See how it ends: the status of a run, "done", or a word for what went wrong."""
        ...


Watcher = Callable[[str, str, str], Watch]  # (what is done, its id, the request) → who watches


class Run:
    """A run under way.

    Args:
        log: Of the run, in the journal.
        journal: Where events are put on record.
        client: Who asked.
        detached: Whether it goes on without listeners.
        answer_s: Seconds in which a question is to be answered.
    """

    def __init__(self, log: RunLog, journal: Journal, *, client: str, detached: bool, answer_s: float) -> None:
        self.log, self.client, self.detached = log, client, detached
        self.id = log.run
        self.events: list[EventRecord] = []
        self.news = asyncio.Event()  # set, and another one put in its place, when there is more in `events`
        self.listeners = 0
        self.task: asyncio.Task[None]
        self.why = "it was stopped"  # where it is cancelled
        self.leaving: asyncio.Task[None] | None = None
        self._journal, self._answer_s = journal, answer_s
        self._telling = Telling()
        self._questions: dict[tuple[str, int, str], asyncio.Future[Any]] = {}  # by kind, number, digest
        self._candidates: Sequence[str] = ()  # of the last choice that was asked for
        self._asked = 0  # questions

    @property
    def ended(self) -> bool:
        """Whether its last event is there."""
        return bool(self.events) and self.events[-1].kind in LAST

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        """Put an event on record, and wake who listens."""
        event = EventRecord(len(self.events) + 1, kind, json.dumps({"run": self.id, **data}))
        try:
            self._journal.tell(self.id, event)
        except JournalError as error:
            # Whoever listens hears it all the same, and no effect is had that cannot be put on record (`RunLog.intend`).
            log.error("event not on record", extra={"fields": {"run": self.id, "error": type(error).__name__}})
        self.events.append(event)
        self.news.set()
        self.news = asyncio.Event()

    def on_event(self, event: Event) -> None:
        """Tell what happens."""
        for kind, data in self._telling.of(event):
            self.tell(kind, data)

    async def approve(self, proposal: Proposal, /) -> Approval | None:
        """Ask whether a call is to be made; see `pipeline.effects.Approver`."""
        expires = time.time() + self._answer_s
        self._asked += 1
        # The seal has the text that was written for the call, and the number keeps one answer from counting for two questions.
        digest = hashlib.sha256(f"{proposal.seal} {self._asked}".encode()).hexdigest()
        key = ("approval", proposal.step.number, digest)
        try:
            yes = await self._answer(key, "approval_needed", proposal_json(proposal, digest, expires))
        except TimeoutError:
            raise Unanswered(proposal) from None
        return proposal.approve() if yes else None

    async def choose(self, question: str, candidates: Sequence[str], /) -> str | None:
        """Ask which of several is meant; see `pipeline.executor.Chooser`."""
        self._asked += 1
        key = ("choice", self._asked, "")
        self._candidates = tuple(candidates)
        data = {"question": self._asked, "text": question, "candidates": list(candidates)}
        try:
            expires = moment(time.time() + self._answer_s)
            chosen = await self._answer(key, "choice_needed", {**data, "expires": expires})
        except TimeoutError:
            return None
        return None if chosen is None else str(chosen)

    async def _answer(self, key: tuple[str, int, str], kind: str, data: dict[str, Any]) -> Any:
        future = self._questions[key] = asyncio.get_running_loop().create_future()
        try:
            self.tell(kind, data)
            async with asyncio.timeout(self._answer_s):
                return await future
        finally:
            del self._questions[key]

    def answer_approval(self, step: int, digest: str, approved: bool) -> None:
        """Take a person's yes or no.

        Raises:
            NotAsked: That call is not asked about, or not any more.
        """
        self._take(("approval", step, digest), approved, "this call is not asked about, or not any more")

    def answer_choice(self, question: int, choice: str | None) -> None:
        """Take a person's word on which of several is meant.

        Raises:
            NotAsked: That question does not stand, or the choice is none of its candidates.
        """
        if choice is not None and ("choice", question, "") in self._questions and choice not in self._candidates:
            raise NotAsked("that is none of the candidates", fix="give one of them, or null")
        self._take(("choice", question, ""), choice, "this question does not stand, or not any more")

    def _take(self, key: tuple[str, int, str], answer: Any, otherwise: str) -> None:
        future = self._questions.get(key)
        if future is None or future.done():
            raise NotAsked(otherwise, fix="answer the last question among the run's events; an answer counts once")
        future.set_result(answer)


class Listener:
    """Gives a run's events as they come, from a number on; as long as one is open, the run has somebody who listens."""

    def __init__(self, hub: Hub, run: Run, after: int) -> None:
        self._hub, self._run, self._next = hub, run, after
        self._open = True
        run.listeners += 1
        if run.leaving:
            run.leaving.cancel()
            run.leaving = None

    async def __aiter__(self) -> AsyncIterator[EventRecord | None]:
        """Yield the events, and None as a sign of life where nothing happens."""
        run = self._run
        while True:
            news = run.news
            while self._next < len(run.events):
                self._next += 1
                yield run.events[self._next - 1]
            if run.ended:
                return
            try:
                async with asyncio.timeout(PING_S):
                    await news.wait()
            except TimeoutError:
                yield None

    def close(self) -> None:
        """Listen no more; once is enough."""
        if self._open:
            self._open = False
            self._run.listeners -= 1
            self._hub.left(self._run)


class Hub:
    """All runs under way, and the turns at the model.

    Args:
        pipeline: What carries them out.
        settings: The service's.
        watchers: Who watches.
    """

    def __init__(self, pipeline: Pipeline, settings: ServiceConfig, watchers: Sequence[Watcher] = ()) -> None:
        self.pipeline, self._settings, self._watchers = pipeline, settings, watchers
        self.turns = Turns(settings.waiting)
        self.journal = Journal.of(pipeline.config.data_dir)
        self.live: dict[str, Run] = {}
        self._closing = False
        self._stops: set[asyncio.Task[None]] = set()
        self._loading: asyncio.Task[None] | None = None

    @property
    def readiness(self) -> str:
        """Whether requests are taken on: "ready", "loading", "failed" or "closing"."""
        if self._closing:
            return "closing"
        if self._loading is None or not self._loading.done():
            return "loading"
        return "failed" if self._loading.exception() else "ready"

    def load(self) -> None:
        """Begin to load the models."""
        self._loading = asyncio.create_task(self._load(), name="load")

    async def loaded(self) -> None:
        """Wait until the models are loaded; where that failed, it is tried again, for what was missing may be there now.

        Raises:
            TinyAgentError: They cannot be loaded.
        """
        if self._loading is None or (self._loading.done() and self._loading.exception()):
            self.load()
        assert self._loading is not None
        await asyncio.shield(self._loading)

    async def _load(self) -> None:
        try:
            await self.pipeline.aload(lambda: self.turns.ticket("", bounded=False))
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            log.error("the models cannot be loaded", extra={"fields": where(error)})
            raise

    def start(self, request: str, now: datetime | None, *, client: str, detached: bool) -> tuple[Run, Listener | None]:
        """Begin a run; return it, with somebody who listens unless it is detached.

        Raises:
            Busy: Too many are under way or wait.
            Closing: The service is about to end.
            JournalError: It cannot be put on record.
        """
        ticket = self._admit(client)
        now = now or datetime.now()
        try:
            begun = self.journal.begin(request, now)
        except BaseException:
            ticket.discard()
            raise
        run = Run(begun, self.journal, client=client, detached=detached, answer_s=self._settings.answer_seconds)
        listener = None if detached else Listener(self, run, 0)
        run.tell("queued", {"ahead": self.turns.ahead(ticket), "begun": moment(time.time())})
        self.live[run.id] = run
        run.task = asyncio.create_task(self._carry_out(run, request, now, ticket), name=run.id)
        return run, listener

    async def plan(
        self,
        request: str,
        now: datetime | None,
        *,
        client: str,
        what: str = "plan",
        pipeline: Pipeline | None = None,
        offered: Sequence[str] | None = None,
    ) -> Planning:
        """Return a plan, made when it is the client's turn.

        Args:
            request: The person's words.
            now: When they were said.
            client: Who asks.
            what: What is done, for those who watch.
            pipeline: Of other tools than the service's.
            offered: Tools to offer in place of those selected.

        Raises:
            Busy: Too many wait.
            Closing: The service is about to end.
            TinyAgentError: No plan can be made.
        """
        ticket = self._admit(client)
        watching = self._watching(what, "", request)
        try:
            planning = await (pipeline or self.pipeline).aplan(
                request, now, offered=offered, on_event=watching.event, turn=self._turn(ticket, client)
            )
        except BaseException as error:
            watching.end("cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__)
            raise
        finally:
            ticket.discard()
        watching.end("done")
        return planning

    def listen(self, run: str, after: int) -> Listener | list[EventRecord]:
        """Return a run's events after that number: those to come as well, if it is under way, else all that are on record.

        Raises:
            JournalError: There is no such run.
        """
        if found := self.live.get(run):
            return Listener(self, found, min(after, len(found.events)))
        record = self.record(run)
        told = self.journal.events(run)
        if not told or told[-1].kind not in LAST:  # it broke off, or was another program's
            told.append(_end_of(record, told[-1].number + 1 if told else 1))
        return [event for event in told if event.number > after]

    def record(self, run: str) -> RunRecord:
        """Return what the journal knows of a run.

        Raises:
            JournalError: There is no such run.
        """
        return self.journal.run(run)

    def of(self, run: str) -> Run:
        """Return a run under way.

        Raises:
            JournalError: There is no such run.
            NotAsked: It is not under way, so that no question of its stands.
        """
        if found := self.live.get(run):
            return found
        self.record(run)
        raise NotAsked(f"the run {run} is not under way", fix="'tinyagent runs resume' goes on with it")

    async def stop(self, run: Run, why: str) -> None:
        """Stop a run and wait until nothing of it runs any more."""
        await asyncio.sleep(0)  # a task that is cancelled before its first step never comes to its `finally`
        if not run.task.done():
            run.why = why
            run.task.cancel()
        await asyncio.wait([run.task])

    def left(self, run: Run) -> None:
        """See that a listener has gone; a run without any stops after a while, unless it is detached."""
        if run.listeners or run.detached or run.ended or self._closing:
            return

        async def later() -> None:
            await asyncio.sleep(self._settings.leave_seconds)
            run.leaving = None  # from here on it is too late to come back
            await self.stop(run, "its client went away")

        run.leaving = asyncio.create_task(later())
        self._stops.add(run.leaving)
        run.leaving.add_done_callback(self._stops.discard)

    async def close(self) -> None:
        """Take on nothing more, stop all runs and wait for them."""
        self._closing = True
        for run in self.live.values():
            if run.leaving:
                run.leaving.cancel()
        await asyncio.gather(*(self.stop(run, "the service is closing") for run in list(self.live.values())))
        if self._loading and not self._loading.done():
            self._loading.cancel()
        await asyncio.gather(*self._stops, *filter(None, [self._loading]), return_exceptions=True)

    def free(self) -> None:
        """Let go of the files."""
        self.journal.close()

    def _admit(self, client: str) -> Ticket:
        if self._closing:
            raise Closing
        if len(self.live) >= self._settings.runs:
            raise Busy(f"{len(self.live)} runs are under way already", self.turns.come_again())
        return self.turns.ticket(client)

    def _turn(self, ticket: Ticket, client: str) -> Callable[[], Any]:
        """Return what is entered when the model is needed: at first the place that is kept already, then others, which are never refused."""
        kept: list[Ticket] = [ticket]

        @asynccontextmanager
        async def turn() -> AsyncIterator[None]:
            async with kept.pop() if kept else self.turns.ticket(client, bounded=False):
                yield

        return turn

    def _watching(self, what: str, run: str, request: str) -> _All:
        return _All([watcher(what, run, request) for watcher in self._watchers])

    def _status(self, run: str) -> str:
        try:
            return self.record(run).status
        except JournalError:
            return "unknown"

    async def _carry_out(self, run: Run, request: str, now: datetime, ticket: Ticket) -> None:
        """Do a run from its beginning to its last event."""
        watching = self._watching("run", run.id, request)

        def on_event(event: Event) -> None:
            watching.event(event)
            run.on_event(event)

        status, last = "error", ("error", {"type": "internal", "message": "something went wrong inside", "fix": None})
        try:
            result: Result = await self.pipeline.arun(
                request,
                now,
                approve=run.approve,
                choose=run.choose,
                on_event=on_event,
                log=run.log,
                turn=self._turn(ticket, run.client),
            )
            status = self._status(run.id)
            last = ("answer", {**result_json(result), "status": status})
        except asyncio.CancelledError:
            status = "interrupted"
            fix = f"'tinyagent runs resume {run.id}' goes on with it, if anything is left to do"
            last = ("error", {"type": "cancelled", "message": f"the run was stopped: {run.why}", "fix": fix})
        except TinyAgentError as error:
            status = type(error).__name__
            last = ("error", error_json(error))
            with suppress(JournalError):
                if not self.record(run.id).attempts:  # with no plan there is nothing to go on with
                    run.log.end("not done", str(error))
        except Exception as error:
            status = type(error).__name__
            log.error("a run failed inside", extra={"fields": {"run": run.id, **where(error)}})
        finally:
            run.log.leave()
            ticket.discard()
            run.tell(*last)
            del self.live[run.id]
            watching.end(status)


class _All:
    def __init__(self, watches: Sequence[Watch]) -> None:
        self._watches = watches

    def event(self, event: Event) -> None:
        for watch in self._watches:
            watch.event(event)

    def end(self, status: str) -> None:
        for watch in self._watches:
            watch.end(status)


def _end_of(record: RunRecord, number: int) -> EventRecord:
    """Return the last event of a run whose own is not on record."""
    if record.status in ("running", "interrupted"):
        message = "the run is another program's" if record.status == "running" else "the run broke off"
        fix = f"'tinyagent runs show {record.id}' tells how far it came"
        data: dict[str, Any] = {"type": record.status, "message": message, "fix": fix}
        return EventRecord(number, "error", json.dumps({"run": record.id, **data}))
    data = {"text": record.answer, "complete": record.status == "done", "status": record.status}
    return EventRecord(number, "answer", json.dumps({"run": record.id, **data}))
