"""A request's way through the stages; the only file that knows them all.

    request → select → prompt → planner → parse → ground → elaborate → execute → join → answer

`Pipeline.plan` goes as far as the full plan and touches nothing; `Pipeline.run` goes all the way. Both may be called from
several threads; the planner takes one request at a time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from pipeline.agents import ModelWriter, make_writer
from pipeline.config import Config, cache_path
from pipeline.dates import find_times
from pipeline.effects import Approver, decline_all, needs_approval
from pipeline.elaborate import ElaborationError, elaborate
from pipeline.errors import ConfigError, TinyAgentError
from pipeline.events import (
    Drafted,
    Event,
    Finished,
    OnEvent,
    Planned,
    Progressed,
    Replanning,
    Selected,
    Started,
    Wrote,
    ignore,
)
from pipeline.executor import Chooser, Executor, Limits, Outcome, Status
from pipeline.grounding import ground
from pipeline.joiner import Answer, Completer, join, join_by_model
from pipeline.journal import Journal, JournalError, RunLog, RunRecord, StepRecord, finished
from pipeline.plan import Plan, PlanError, PlanParser, Step, parse_plan
from pipeline.planners.base import Loadable, Planner, PlannerError, PlanRequest
from pipeline.selection import Selection, Selector, Span
from pipeline.spec import Catalogue, Effect, Type
from pipeline.tools.context import ToolContext, Writer

if TYPE_CHECKING:
    from classifiers.inference import ToolClassifier
    from index import ToolIndex
    from index.tool_index import Encoder

T = TypeVar("T")
Turn: TypeAlias = Callable[[], AbstractAsyncContextManager[object]]  # entered while the planner works for a request

MAX_REQUEST = 4000  # characters; what is longer is a document, not a request
MAX_PLAN = 40_000  # characters; a planner that writes more does not come to an end
COUNTED_ANEW = 64  # tools up to which the prompt with all of them is counted for each request
GRACE_S = 2.0  # that a planner has to stop when it is told to
WARM_UP = "text Priya that I am late"  # a request that is selected for and never planned


class RequestError(TinyAgentError):
    """The request itself cannot be worked on."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Planning:
    """What came of planning a request."""

    selection: Selection  # of the tools that were offered
    surface: str  # what the planner wrote
    plan: Plan  # the full plan
    prompt_tokens: int
    full_prompt_tokens: int  # of the same prompt with all tools
    milliseconds: float  # from the prompt to the full plan, an earlier attempt that gave none included
    selected: Selection  # what the selector chose; all tools are offered where that gave no plan


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a request."""

    planning: Planning  # the last one, if there was a replan
    outcomes: tuple[Outcome, ...]
    answer: Answer
    run: str = ""  # its id in the journal; a run without steps has none
    before: tuple[
        Outcome, ...
    ] = ()  # of a first plan: effects that it had, or may have had, and that are not in the last one


@dataclass(frozen=True, slots=True)
class Resumption:
    """What came of going on with a run."""

    run: RunRecord  # as it was left
    outcomes: tuple[Outcome, ...]
    answer: Answer


class Doubt(StrEnum):
    """What is to become of a step in doubt."""

    DONE = "done"  # it was done; go on from there, as far as what it gave is not needed
    AGAIN = "again"  # it was not; make the call
    LEAVE = "leave"  # leave it, and what needs it


class Doubter(Protocol):
    """Asks the person whether a step that broke off was done."""

    async def __call__(self, step: StepRecord, /) -> Doubt:
        """Return what they say."""
        ...


async def leave(step: StepRecord, /) -> Doubt:
    """Leave what is in doubt as it is, where nobody can answer."""
    return Doubt.LEAVE


class Pipeline:
    """Selects, plans and executes.

    Args:
        config: The settings; the user's own by default.
        planner: What writes plans; by default the one that the settings name.
        writer: What words mails and summaries; by default the one that the settings name.
        selector: What selects tools; by default one with the catalogue's index, if the settings want one.
        tools: The catalogue; by default that of the settings.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        planner: Planner | None = None,
        writer: Writer | None = None,
        selector: Selector | None = None,
        tools: Catalogue | None = None,
    ) -> None:
        self.config = config or Config.load()
        self.tools = tools if tools is not None else self.config.catalogue()
        self._given_planner, self._given_selector, self._given_writer = planner, selector, writer
        self._making = threading.Lock()
        self._tools_tokens: int | None = None  # of a prompt with all tools and no request

    def select(self, request: str, *, earlier: Sequence[str] = ()) -> Selection:
        """Return the tools that a request needs.

        Args:
            request: The person's words.
            earlier: Requests of the same conversation, the oldest first, which it may follow up.

        Raises:
            RequestError: The request is empty or far too long.
        """
        return self._selector.select(_checked(request), earlier=earlier)

    def plan(
        self,
        request: str,
        now: datetime | None = None,
        *,
        offered: Collection[str] | None = None,
        on_event: OnEvent = ignore,
        on_beginning: Callable[[Plan], None] | None = None,
    ) -> Planning:
        """Return the full plan for a request; nothing is run.

        Args:
            request: The person's words.
            now: When they were said, local time without a zone; the present by default.
            offered: Names of the tools to offer to the planner; by default the selector selects them.
            on_event: Told what happens, in this thread.
            on_beginning: Given the full plan of what is written so far, after each step; it may yet change.

        Raises:
            RequestError: The request is empty or far too long.
            TinyAgentError: No plan could be made; the message says why.
        """
        request, now = _checked(request), now or datetime.now()
        with self._loading():
            selection = self.select(request) if offered is None else Selection.given(offered, self.tools)
        on_event(Selected(selection))
        started = time.perf_counter()
        try:
            return self._plan(request, now, selection, on_event=on_event, on_beginning=on_beginning)
        except (PlanError, ElaborationError) as error:
            on_event(Replanning(str(error)))
            again = self._replan(request, now, str(error), on_event)
            return replace(again, milliseconds=(time.perf_counter() - started) * 1000, selected=selection)

    async def aplan(
        self,
        request: str,
        now: datetime | None = None,
        *,
        offered: Collection[str] | None = None,
        on_event: OnEvent = ignore,
        turn: Turn = nullcontext,
    ) -> Planning:
        """Return the full plan for a request; nothing is run. See `plan`; `on_event` is called in the event loop's thread."""
        work = partial(self.plan, request, now, offered=offered)
        return await self._in_time(lambda tell: work(on_event=tell), on_event, turn)

    def run(
        self,
        request: str,
        now: datetime | None = None,
        *,
        approve: Approver = decline_all,
        choose: Chooser | None = None,
        on_event: OnEvent = ignore,
        dry_run: bool = False,
    ) -> Result:
        """Plan a request and execute the plan. See `arun`."""
        return asyncio.run(self.arun(request, now, approve=approve, choose=choose, on_event=on_event, dry_run=dry_run))

    async def arun(
        self,
        request: str,
        now: datetime | None = None,
        *,
        approve: Approver = decline_all,
        choose: Chooser | None = None,
        on_event: OnEvent = ignore,
        dry_run: bool = False,
        log: RunLog | None = None,
        turn: Turn = nullcontext,
    ) -> Result:
        """Plan a request and execute the plan.

        What only looks something up starts while the plan is still being written; what has an effect waits until the plan is whole
        and valid and the call is approved, and is put on record (`pipeline.journal`) before and after.

        Args:
            request: The person's words.
            now: When they were said; the present by default.
            approve: Asked before each write and send; declines all by default.
            choose: Asked which one is meant where a lookup fits several; without one, the step fails.
            on_event: Told what happens, in the event loop's thread.
            dry_run: Run no tool; results are placeholders.
            log: Of this run, if it is on record already; by default one is begun when there is a plan with steps.
            turn: Entered each time that the planner works for this request, where several share it.

        Raises:
            RequestError: The request is empty or far too long.
            TinyAgentError: No plan could be made. What goes wrong with a step is in the result instead.
        """
        now = now or datetime.now()
        if self.config.joiner == "model":
            self._completer()  # better now than when the effects are had
        async with self._executor(request, now, approve, choose, on_event, dry_run) as executor:
            loop = asyncio.get_running_loop()

            def foresee(plan: Plan) -> None:
                loop.call_soon_threadsafe(executor.foresee, plan)

            try:
                planning = await self._in_time(
                    lambda tell: self.plan(request, now, on_event=tell, on_beginning=foresee), on_event, turn
                )
                earlier: tuple[Outcome, ...] = ()
                for attempt in range(self.config.max_replans + 1):
                    if planning.plan.steps and not dry_run:
                        log = self._on_record(log, request, now, planning.plan)
                    outcomes = await executor.run(planning.plan, log=log, earlier=earlier)
                    before = self._not_in(outcomes, earlier)
                    answer = await self._joined(request, planning.plan, outcomes, before, turn)
                    if answer.replan is None or attempt == self.config.max_replans:
                        break
                    again = await self._planned_again(request, now, answer.replan, planning, on_event, turn)
                    if again is None:
                        break
                    planning, earlier = again, (*earlier, *outcomes)
                if log:
                    log.end(_status((*before, *outcomes), answer), answer.text)
            except BaseException:
                if log:
                    log.leave()
                raise
            finally:
                self._release()
        return Result(planning, outcomes, answer, log.run if log else "", before)

    async def aresume(
        self,
        run: str,
        *,
        approve: Approver = decline_all,
        choose: Chooser | None = None,
        doubt: Doubter = leave,
        on_event: OnEvent = ignore,
    ) -> Resumption:
        """Go on with a run that was interrupted: what is done is not done again, what is left is asked about anew.

        Args:
            run: Its id, or how that begins; "last" is the last run.
            approve: Asked before each write and send; declines all by default.
            choose: Asked which one is meant where a lookup fits several.
            doubt: Asked about each step that broke off where it may have been done; leaves it by default.
            on_event: Told what happens, in the event loop's thread.

        Raises:
            JournalError: There is no such run, it is under way, or nothing is left of it to do.
        """
        log, record = Journal.of(self.config.data_dir).reopen(run)
        try:
            known = finished(record, self.tools)
            settled = all(o.status in (Status.DONE, Status.DECLINED) for o in known.values())
            if record.status == "taken back" or (settled and len(known) == len(record.plan.steps)):
                raise JournalError(f"nothing is left to do of {record.id}", fix="'tinyagent run' runs a new request")
            if gone := next((step.tool for step in record.plan.steps if step.tool not in self.tools), None):
                raise JournalError(
                    f"{record.id} needs the tool {gone}, which is not there any more",
                    fix="enable its app, or add its spec",
                )
            log.goes_on()
            for found in record.steps:
                if found.number in known and known[found.number].status is Status.IN_DOUBT:
                    match await doubt(found):
                        case Doubt.DONE:
                            step = known[found.number].step
                            says = self.tools[step.tool].returns.type is Type.STATUS
                            outcome = Outcome(
                                step, Status.DONE, "Done, as you say." if says else None, digest=found.digest
                            )
                            known[found.number] = outcome
                            log.finish(outcome)
                        case Doubt.AGAIN:
                            del known[found.number]
            on_event(Planned(record.plan))
            begun = [found.number for found in record.steps if found.in_doubt and found.number not in known]
            earlier = tuple(outcome for outcome in record.earlier if outcome.step.tool in self.tools)
            async with self._executor(record.request, record.now, approve, choose, on_event, False) as executor:
                outcomes = await executor.run(record.plan, log=log, finished=known, begun=begun, earlier=earlier)
            before = self._not_in(outcomes, earlier)
            answer = await self._joined(record.request, record.plan, outcomes, before)
            log.end(_status((*before, *outcomes), answer), answer.text)
        except BaseException:
            log.leave()
            raise
        finally:
            self._release()
        return Resumption(record, outcomes, answer)

    def _not_in(self, outcomes: Sequence[Outcome], earlier: Sequence[Outcome]) -> tuple[Outcome, ...]:
        """Return the earlier effects, had or in doubt, that are not among the outcomes of the last plan."""
        told = {outcome.digest for outcome in outcomes}
        return tuple(
            outcome
            for outcome in earlier
            if outcome.status in (Status.DONE, Status.IN_DOUBT)
            and needs_approval(self.tools[outcome.step.tool].effect)
            and outcome.digest not in told
        )

    def _on_record(self, log: RunLog | None, request: str, now: datetime, plan: Plan) -> RunLog | None:
        """Put a plan on record before it is run; what only looks things up needs none, if the journal cannot be written."""
        try:
            log = log or Journal.of(self.config.data_dir).begin(request, now)
            log.planned(plan)
        except JournalError:
            if any(needs_approval(self.tools[step.tool].effect) for step in plan.steps):
                raise
        return log

    async def _joined(
        self,
        request: str,
        plan: Plan,
        outcomes: tuple[Outcome, ...],
        before: tuple[Outcome, ...],
        turn: Turn = nullcontext,
    ) -> Answer:
        """Return the answer, with a model's word if the settings want one and it has one to say in time."""
        answer = join(request, plan, outcomes, self.tools, before=before)
        if self.config.joiner == "plain" or not outcomes:
            return answer
        model = self._completer()
        with suppress(TinyAgentError):  # the effects are had, and the plain answer tells them
            return await self._in_time(
                lambda _: join_by_model(request, outcomes, self.tools, answer, model), ignore, turn
            )
        return answer

    def _completer(self) -> Completer:
        if isinstance(self.planner, Completer):
            return self.planner
        raise ConfigError("this planner cannot join", fix='set joiner = "plain", or a planner of kind "llama"')

    def with_tools(self, tools: Catalogue) -> Pipeline:
        """Return a pipeline over other tools that shares this one's models.

        Its tools are selected by an index in memory alone: the classifier may take a stranger's tool for the one that it knows by that name.
        """
        index = _LazyIndex(
            tools, lambda: self._classifier if self.config.selection.route == "auto" else None, keep=False
        )
        selector = Selector(tools, None if self.config.selection.route == "all" else index)
        return Pipeline(self.config, planner=self.planner, selector=selector, tools=tools)

    async def aload(self, turn: Turn = nullcontext) -> None:
        """Load the models now instead of at the first request. See `warm_up`.

        Raises:
            TinyAgentError: One is not here, or cannot be loaded.
        """
        async with turn():
            await _in_thread(lambda _: self.warm_up(), ignore)

    def warm_up(self) -> None:
        """Load the models, so that the next request does not wait for them; touches nothing of the user's.

        Raises:
            TinyAgentError: A model is not here, or is not what it should be.
        """
        selection = self._selector.select(WARM_UP)
        asked = PlanRequest(WARM_UP, self.tools.only(selection.tools), self.config.instructions)
        if isinstance(self.planner, Loadable):
            self.planner.load()
        self.planner.count_tokens(self.planner.prompt(asked))

    @contextmanager
    def _loading(self) -> Iterator[None]:
        """Load the planner meanwhile, the first time: most of a cold start. What goes wrong is told where it is used."""
        if "planner" in self.__dict__:
            yield
            return

        def load() -> None:
            with suppress(Exception):
                if isinstance(self.planner, Loadable):
                    self.planner.load()

        thread = threading.Thread(target=load, daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def close(self) -> None:
        """Free the models."""
        if "planner" in self.__dict__:
            self.planner.close()
        self._release()

    def _release(self) -> None:
        """Free the writing model: it is needed by few requests, and loaded again in a second."""
        if "writer" in self.__dict__ and isinstance(self.writer, ModelWriter):
            self.writer.release()

    async def _planned_again(
        self, request: str, now: datetime, reason: str, first: Planning, on_event: OnEvent, turn: Turn
    ) -> Planning | None:
        """Return another plan after one that was run; None if there is none."""
        on_event(Replanning(reason))
        try:
            again = await self._in_time(
                lambda tell: self._replan(request, now, reason, tell, effects_of=first.selection), on_event, turn
            )
        except TinyAgentError:
            return None  # the first plan's failure is the one that helps
        return None if again.plan == first.plan else again

    def _replan(
        self, request: str, now: datetime, feedback: str, on_event: OnEvent, *, effects_of: Selection | None = None
    ) -> Planning:
        """Plan once more: with all tools that there is room for, and with times only as they stand in the request.

        After a first plan was run, the second may look other things up, but has no effects that the first was not offered.
        """
        selection = self._selector.everything(request)
        if effects_of is not None:
            allowed = set(effects_of.tools)
            kept = (n for n in selection.tools if n in allowed or self.tools[n].effect is Effect.READ)
            selection = replace(selection, tools=tuple(kept))
        on_event(Selected(selection))
        return self._plan(request, now, selection, feedback=feedback, on_event=on_event)

    def _plan(
        self,
        request: str,
        now: datetime,
        selection: Selection,
        *,
        feedback: str = "",
        on_event: OnEvent,
        on_beginning: Callable[[Plan], None] | None = None,
    ) -> Planning:
        started = time.perf_counter()
        available = self.tools.only(selection.names)
        asked = PlanRequest(
            request,
            self.tools.only(selection.tools),
            self.config.instructions,
            selection.probabilities,
            frozenset(available[name].returns.type for name in available if available[name].coerces),
            feedback,
            times=find_times(request, now) if feedback else None,
            now=now,
        )

        def begun(written: Plan) -> None:
            with suppress(TinyAgentError):  # the whole plan will tell
                draft = elaborate(written, available, now)
                on_event(Drafted(draft))
                if on_beginning:
                    on_beginning(draft)

        surface = self._write(asked, on_event, begun) if asked.tools else ""
        written = ground(parse_plan(surface), available, request, now) if surface else Plan()
        plan = elaborate(written, available, now)
        milliseconds = (time.perf_counter() - started) * 1000
        on_event(Planned(plan))
        return Planning(
            selection=selection,
            surface=surface,
            plan=plan,
            prompt_tokens=self.planner.count_tokens(self.planner.prompt(asked)),
            full_prompt_tokens=self._full_prompt_tokens(asked),
            milliseconds=milliseconds,
            selected=selection,
        )

    def _full_prompt_tokens(self, asked: PlanRequest) -> int:
        """Return the tokens of the prompt that offers all tools; of a large catalogue, the tools are counted once and for all."""

        def count(request: PlanRequest) -> int:
            return self.planner.count_tokens(self.planner.prompt(request))

        whole = replace(asked, tools=self.tools)
        if len(self.tools) <= COUNTED_ANEW:
            return count(whole)
        if self._tools_tokens is None:
            self._tools_tokens = count(replace(whole, request=""))
        return self._tools_tokens + count(asked) - count(replace(asked, request=""))

    def _write(self, asked: PlanRequest, on_event: OnEvent, on_steps: Callable[[Plan], None]) -> str:
        """Return what the planner writes, up to the plan's end; a text that cannot become a plan ends it early."""
        parser, written = PlanParser(), ""
        steps: list[Step] = []
        with closing(_generator(self.planner.stream(asked))) as pieces:
            for piece in pieces:
                written += piece
                on_event(Wrote(piece))
                if fresh := list(parser.feed(piece)):
                    steps += fresh
                    on_steps(Plan(tuple(steps)))
                if parser.done:
                    break
                if len(written) > MAX_PLAN:
                    raise PlannerError("the planner writes and does not come to an end", fix="word it differently")
        return written

    def _executor(
        self,
        request: str,
        now: datetime,
        approve: Approver,
        choose: Chooser | None,
        on_event: OnEvent,
        dry_run: bool,
    ) -> Executor:
        limits = self.config.limits
        return Executor(
            self.tools,
            ToolContext(self.config.data_dir, now, request, self.writer, self.config.apps),
            approve,
            backend=self.config.backend,
            rules=self.config.approvals,
            limits=Limits(limits.steps, limits.steps_per_app, limits.run_seconds, limits.finish_seconds),
            choose=choose,
            on_start=lambda step: on_event(Started(step)),
            on_progress=lambda step, said: on_event(Progressed(step, said)),
            on_outcome=lambda outcome: on_event(Finished(outcome)),
            dry_run=dry_run,
        )

    async def _in_time(self, work: Callable[[OnEvent], T], on_event: OnEvent, turn: Turn = nullcontext) -> T:
        """Have the planner work in a thread, within the time that the settings allow from the turn's beginning on."""
        seconds = self.config.limits.plan_seconds
        try:
            async with turn(), asyncio.timeout(seconds):
                return await _in_thread(work, on_event)
        except TimeoutError:
            raise PlannerError(
                f"the planner did not finish within {seconds:g} s",
                fix="word it differently, or set limits.plan_seconds",
            ) from None

    @cached_property
    def _selector(self) -> Selector:
        if self._given_selector is not None:
            return self._given_selector
        if self.config.selection.route == "all":
            return Selector(self.tools, None)
        classifier = self._classifier if self.config.selection.route == "auto" else None
        return Selector(self.tools, _LazyIndex(self.tools, lambda: classifier), classifier=classifier)

    @cached_property
    def _classifier(self) -> ToolClassifier:
        from classifiers.inference import ToolClassifier

        return ToolClassifier.load(alpha=self.config.selection.miss_rate)

    @cached_property
    def planner(self) -> Planner:
        """What writes plans; made at its first use."""
        from pipeline.planners import make_planner

        with self._making:  # one, though several threads ask for it at once
            if "planner" not in self.__dict__:
                self.__dict__["planner"] = self._given_planner or make_planner(self.config)
            made: Planner = self.__dict__["planner"]
            return made

    @cached_property
    def writer(self) -> Writer:
        """What words mails and summaries; its model is loaded at its first use."""
        return self._given_writer if self._given_writer is not None else make_writer(self.config)


class _LazyIndex:
    """The catalogue's index, loaded or built at the first search: with the classifier, most requests need none.

    Args:
        tools: The catalogue.
        encoder: Gives what embeds, or None for the index's own model.
        keep: Whether it is kept on disk.
    """

    def __init__(self, tools: Catalogue, encoder: Callable[[], Encoder | None], *, keep: bool = True) -> None:
        self._tools, self._encoder, self._keep = tools, encoder, keep

    def search(self, text: str, parts: Sequence[Span] = ()) -> Sequence[Mapping[str, float]]:
        return self._index.search(text, parts)

    @cached_property
    def _index(self) -> ToolIndex:
        from index import Embedder, ToolIndex

        encoder = self._encoder() or Embedder()
        if not self._keep:
            return ToolIndex.build(self._tools, encoder)
        return ToolIndex.load_or_build(self._tools, encoder, cache_path() / "index")


def _checked(request: str) -> str:
    if not request.strip():
        raise RequestError("the request is empty", fix='say what to do, such as "text Priya that I am late"')
    if len(request) > MAX_REQUEST:
        raise RequestError(
            f"the request has {len(request):,} characters; {MAX_REQUEST:,} is the most",
            fix="put long text into a file or a note, and ask for that",
        )
    return request


def _generator(pieces: Iterator[str]) -> Generator[str, None, None]:
    """Make any iterator a generator, which can be closed."""
    yield from pieces


def _status(outcomes: Sequence[Outcome], answer: Answer) -> str:
    """Return how a run ended, as the journal keeps it."""
    if any(outcome.status is Status.IN_DOUBT for outcome in outcomes):
        return "in doubt"
    return "done" if answer.complete else "in part" if any(o.status is Status.DONE for o in outcomes) else "not done"


async def _in_thread(work: Callable[[OnEvent], T], on_event: OnEvent) -> T:
    """Work in a thread of its own; events come back to the loop's thread, and cancellation stops the decoding.

    A planner that does not heed it is left to itself after `GRACE_S`; what it writes goes nowhere.
    """
    loop = asyncio.get_running_loop()
    cancelled = threading.Event()
    result: Future[T] = Future()
    result.set_running_or_notify_cancel()

    def forward(event: Event) -> None:
        if cancelled.is_set():
            raise _Cancelled
        loop.call_soon_threadsafe(on_event, event)

    def plan() -> None:
        try:
            result.set_result(work(forward))
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=plan, daemon=True).start()
    task = asyncio.wrap_future(result)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait([task], timeout=GRACE_S)
        if task.done():
            task.exception()  # looked at, so that asyncio does not report it: it is our own `_Cancelled`
        task.cancel()
        raise


class _Cancelled(Exception):
    """The run was cancelled while a plan was being written."""
