"""A request's way through the stages; the only file that knows them all.

    request → select → prompt → planner → parse → ground → elaborate → execute → join → answer

`Pipeline.plan` goes as far as the full plan and touches nothing; `Pipeline.run` goes all the way. Both may be called from
several threads; the planner takes one request at a time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING

from pipeline.agents import PlainWriter
from pipeline.config import Config, cache_path
from pipeline.dates import find_times
from pipeline.effects import Approver, decline_all
from pipeline.elaborate import ElaborationError, elaborate
from pipeline.errors import TinyAgentError
from pipeline.events import Event, Finished, OnEvent, Planned, Replanning, Selected, Started, Wrote, ignore
from pipeline.executor import Executor, Outcome, Status
from pipeline.grounding import ground
from pipeline.joiner import Answer, join
from pipeline.plan import Plan, PlanError, PlanParser, parse_plan
from pipeline.planners.base import Planner, PlanRequest
from pipeline.selection import Selection, Selector
from pipeline.spec import Catalogue, Effect
from pipeline.tools.context import ToolContext, ToolError

if TYPE_CHECKING:
    from classifiers.inference import ToolClassifier
    from index import ToolIndex

MAX_REQUEST = 4000  # characters; what is longer is a document, not a request


class RequestError(TinyAgentError):
    """The request itself cannot be worked on."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Planning:
    """What came of planning a request."""

    selection: Selection
    surface: str  # what the planner wrote
    plan: Plan  # the full plan
    prompt_tokens: int
    full_prompt_tokens: int  # of the same prompt with all tools
    milliseconds: float  # from the prompt to the full plan


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a request."""

    planning: Planning  # the last one, if there was a replan
    outcomes: tuple[Outcome, ...]
    answer: Answer


class Pipeline:
    """Selects, plans and executes.

    Args:
        config: The settings; the user's own by default.
        planner: What writes plans; by default the one that the settings name.
        selector: What selects tools; by default one with the catalogue's index, if the settings want one.
        tools: The catalogue; by default that of the settings.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        planner: Planner | None = None,
        selector: Selector | None = None,
        tools: Catalogue | None = None,
    ) -> None:
        self.config = config or Config.load()
        self.tools = tools if tools is not None else self.config.catalogue()
        self._given_planner, self._given_selector = planner, selector

    def select(self, request: str) -> Selection:
        """Return the tools that a request needs.

        Raises:
            RequestError: The request is empty or far too long.
        """
        return self._selector.select(_checked(request))

    def plan(
        self,
        request: str,
        now: datetime | None = None,
        *,
        offered: Collection[str] | None = None,
        on_event: OnEvent = ignore,
    ) -> Planning:
        """Return the full plan for a request; nothing is run.

        Args:
            request: The person's words.
            now: When they were said, local time without a zone; the present by default.
            offered: Names of the tools to offer to the planner; by default the selector selects them.
            on_event: Told what happens, in this thread.

        Raises:
            RequestError: The request is empty or far too long.
            TinyAgentError: No plan could be made; the message says why.
        """
        now = now or datetime.now()
        selection = self.select(request) if offered is None else Selection.given(offered, self.tools)
        on_event(Selected(selection))
        try:
            return self._plan(_checked(request), now, selection, on_event=on_event)
        except (PlanError, ElaborationError) as error:
            on_event(Replanning(str(error)))
            return self._replan(request, now, str(error), on_event)

    def run(
        self,
        request: str,
        now: datetime | None = None,
        *,
        approve: Approver = decline_all,
        on_event: OnEvent = ignore,
        dry_run: bool = False,
    ) -> Result:
        """Plan a request and execute the plan. See `arun`."""
        return asyncio.run(self.arun(request, now, approve=approve, on_event=on_event, dry_run=dry_run))

    async def arun(
        self,
        request: str,
        now: datetime | None = None,
        *,
        approve: Approver = decline_all,
        on_event: OnEvent = ignore,
        dry_run: bool = False,
    ) -> Result:
        """Plan a request and execute the plan.

        Args:
            request: The person's words.
            now: When they were said; the present by default.
            approve: Asked before each write and send; declines all by default.
            on_event: Told what happens, in the event loop's thread.
            dry_run: Run no tool; results are placeholders.

        Raises:
            RequestError: The request is empty or far too long.
            TinyAgentError: No plan could be made. What goes wrong with a step is in the result instead.
        """
        now = now or datetime.now()
        planning = await _in_thread(lambda tell: self.plan(request, now, on_event=tell), on_event)
        for attempt in range(self.config.max_replans + 1):
            outcomes = await self._execute(planning.plan, request, now, approve, on_event, dry_run)
            answer = join(request, planning.plan, outcomes, self.tools)
            changed = any(self._may_have_changed(outcome) for outcome in outcomes)
            # Nothing is done twice: after a first effect, the person decides how to go on.
            if answer.replan is None or changed or attempt == self.config.max_replans:
                break
            on_event(Replanning(answer.replan))
            try:
                again = await _in_thread(partial(self._replan, request, now, answer.replan), on_event)
            except TinyAgentError:
                break  # the first plan's failure is the one that helps
            if again.plan == planning.plan:
                break
            planning = again
        return Result(planning, outcomes, answer)

    def close(self) -> None:
        """Free the models."""
        if "planner" in self.__dict__:
            self.planner.close()

    def _replan(self, request: str, now: datetime, feedback: str, on_event: OnEvent) -> Planning:
        """Plan once more: with all tools that there is room for, and with times only as they stand in the request."""
        selection = self._selector.everything(request)
        on_event(Selected(selection))
        return self._plan(request, now, selection, feedback=feedback, on_event=on_event)

    def _plan(
        self, request: str, now: datetime, selection: Selection, *, feedback: str = "", on_event: OnEvent
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
        surface = self._write(asked, on_event) if asked.tools else ""
        written = ground(parse_plan(surface), available, request, now) if surface else Plan()
        plan = elaborate(written, available, now)
        milliseconds = (time.perf_counter() - started) * 1000
        on_event(Planned(plan))
        everything = replace(asked, tools=self.tools)
        return Planning(
            selection=selection,
            surface=surface,
            plan=plan,
            prompt_tokens=self.planner.count_tokens(self.planner.prompt(asked)),
            full_prompt_tokens=self.planner.count_tokens(self.planner.prompt(everything)),
            milliseconds=milliseconds,
        )

    def _write(self, asked: PlanRequest, on_event: OnEvent) -> str:
        """Return what the planner writes, up to the plan's end; a text that cannot become a plan ends it early."""
        parser, written = PlanParser(), ""
        with closing(_generator(self.planner.stream(asked))) as pieces:
            for piece in pieces:
                written += piece
                on_event(Wrote(piece))
                list(parser.feed(piece))
                if parser.done:
                    break
        return written

    async def _execute(
        self, plan: Plan, request: str, now: datetime, approve: Approver, on_event: OnEvent, dry_run: bool
    ) -> tuple[Outcome, ...]:
        context = ToolContext(self.config.data_dir, now, request, PlainWriter(), self.config.apps)
        executor = Executor(
            self.tools,
            context,
            approve,
            backend=self.config.backend,
            on_start=lambda step: on_event(Started(step)),
            on_outcome=lambda outcome: on_event(Finished(outcome)),
            dry_run=dry_run,
        )
        return await executor.run(plan)

    def _may_have_changed(self, outcome: Outcome) -> bool:
        """Whether a step wrote or sent something, or was declined, or broke off where it may have."""
        if self.tools[outcome.step.tool].effect not in (Effect.WRITE, Effect.SEND):
            return False
        harmless = isinstance(outcome.error, ToolError) and outcome.error.mendable
        return outcome.status is not Status.SKIPPED and not harmless

    @cached_property
    def _selector(self) -> Selector:
        if self._given_selector is not None:
            return self._given_selector
        if self.config.selection.route == "all":
            return Selector(self.tools, None)
        classifier = self._classifier if self.config.selection.route == "auto" else None
        return Selector(self.tools, _LazyIndex(self.tools), classifier=classifier)

    @cached_property
    def _classifier(self) -> ToolClassifier:
        from classifiers.inference import ToolClassifier

        return ToolClassifier.load(alpha=self.config.selection.miss_rate)

    @cached_property
    def planner(self) -> Planner:
        """What writes plans; made at its first use."""
        if self._given_planner is not None:
            return self._given_planner
        from pipeline.planners import make_planner

        return make_planner(self.config)


class _LazyIndex:
    """The catalogue's index, loaded or built at the first search: with the classifier, most requests need none."""

    def __init__(self, tools: Catalogue) -> None:
        self._tools = tools

    def search(self, texts: list[str]) -> Mapping[str, float]:
        return self._index.search(texts)

    @cached_property
    def _index(self) -> ToolIndex:
        from index import Embedder, ToolIndex

        return ToolIndex.load_or_build(self._tools, Embedder(), cache_path() / "index")


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


async def _in_thread(work: Callable[[OnEvent], Planning], on_event: OnEvent) -> Planning:
    """Plan in a thread; events come back to the loop's thread, and cancellation stops the decoding."""
    loop = asyncio.get_running_loop()
    cancelled = threading.Event()

    def forward(event: Event) -> None:
        if cancelled.is_set():
            raise _Cancelled
        loop.call_soon_threadsafe(on_event, event)

    task = loop.run_in_executor(None, work, forward)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait([task])
        task.exception()  # looked at, so that asyncio does not report it: it is our own `_Cancelled`
        raise


class _Cancelled(Exception):
    """The run was cancelled while a plan was being written."""
