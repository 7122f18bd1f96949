"""A request's way through the stages; the only file that knows them all.

    request → select → prompt → planner → parse → elaborate → execute → join → answer

`Pipeline.plan` goes as far as the full plan and touches nothing; `Pipeline.run` goes all the way. Both may be called from
several threads; the planner takes one request at a time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.agents import PlainWriter
from pipeline.config import Config, cache_path
from pipeline.effects import Approver, decline_all
from pipeline.elaborate import ElaborationError, elaborate
from pipeline.errors import TinyAgentError
from pipeline.events import Finished, OnEvent, Planned, Replanning, Selected, Started, Wrote, ignore
from pipeline.executor import Executor, Outcome, Status
from pipeline.joiner import Answer, join
from pipeline.plan import Plan, PlanError, PlanParser
from pipeline.planners.base import Planner, PlanRequest
from pipeline.selection import Selection, Selector
from pipeline.spec import Catalogue, Effect
from pipeline.tools.context import ToolContext

if TYPE_CHECKING:
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
        tools: The catalogue; by default that of the settings.
    """

    def __init__(
        self, config: Config | None = None, *, planner: Planner | None = None, tools: Catalogue | None = None
    ) -> None:
        self.config = config or Config.load()
        self.tools = tools if tools is not None else self.config.catalogue()
        self._given_planner = planner

    def select(self, request: str) -> Selection:
        """Return the tools that a request needs.

        Raises:
            RequestError: The request is empty or far too long.
        """
        return self._selector.select(_checked(request))

    def plan(self, request: str, now: datetime | None = None, *, on_event: OnEvent = ignore) -> Planning:
        """Return the full plan for a request; nothing is run.

        Args:
            request: The person's words.
            now: When they were said, local time without a zone; the present by default.
            on_event: Told what happens, in this thread.

        Raises:
            RequestError: The request is empty or far too long.
            TinyAgentError: No plan could be made; the message says why.
        """
        selection = self.select(request)
        on_event(Selected(selection))
        try:
            return self._plan(request, now or datetime.now(), selection, on_event=on_event)
        except (PlanError, ElaborationError) as error:
            if len(selection.tools) == len(self.tools):
                raise
            on_event(Replanning(str(error)))
            widened = self._selector.everything()
            on_event(Selected(widened))
            return self._plan(request, now or datetime.now(), widened, feedback=str(error), on_event=on_event)

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
        planning = await _in_thread(self.plan, request, now, on_event)
        for attempt in range(self.config.max_replans + 1):
            outcomes = await self._execute(planning.plan, request, now, approve, on_event, dry_run)
            answer = join(request, planning.plan, outcomes, self.tools)
            changed = any(o.status is Status.DONE and self._lasting(o) for o in outcomes)
            # What was done is never done twice: after a first effect, the person decides how to go on.
            if answer.replan is None or changed or attempt == self.config.max_replans:
                break
            on_event(Replanning(answer.replan))
            try:
                again = await _in_thread(self._replan, request, now, on_event, answer.replan)
            except TinyAgentError:
                break  # the first plan's failure is the one that helps
            if again.plan == planning.plan:
                break
            planning = again
        return Result(planning, outcomes, answer)

    def close(self) -> None:
        """Free the models."""
        if "_planner" in self.__dict__:
            self._planner.close()

    def _replan(self, request: str, now: datetime, *, on_event: OnEvent, feedback: str) -> Planning:
        selection = self._selector.everything()
        on_event(Selected(selection))
        return self._plan(request, now, selection, feedback=feedback, on_event=on_event)

    def _plan(
        self, request: str, now: datetime, selection: Selection, *, feedback: str = "", on_event: OnEvent
    ) -> Planning:
        started = time.perf_counter()
        offered = self.tools.only(selection.tools)
        asked = PlanRequest(request, offered, self.config.instructions, feedback)
        everything = PlanRequest(request, self.tools, self.config.instructions)
        parser, steps, written = PlanParser(), [], ""
        if offered:
            with closing(_generator(self._planner.stream(asked))) as pieces:
                for piece in pieces:
                    written += piece
                    on_event(Wrote(piece))
                    steps += parser.feed(piece)
                    if parser.done:
                        break
            steps += parser.feed("\n")
            parser.close()
        plan = elaborate(Plan(tuple(steps)), self.tools.only(selection.names), now)
        milliseconds = (time.perf_counter() - started) * 1000
        on_event(Planned(plan))
        return Planning(
            selection=selection,
            surface=written,
            plan=plan,
            prompt_tokens=self._planner.count_tokens(self._planner.prompt(asked)),
            full_prompt_tokens=self._planner.count_tokens(self._planner.prompt(everything)),
            milliseconds=milliseconds,
        )

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

    def _lasting(self, outcome: Outcome) -> bool:
        return self.tools[outcome.step.tool].effect in (Effect.WRITE, Effect.SEND)

    @cached_property
    def _selector(self) -> Selector:
        return Selector(self.tools, None if self.config.selection.route == "all" else self._index)

    @cached_property
    def _index(self) -> ToolIndex:
        from index import Embedder, ToolIndex

        return ToolIndex.load_or_build(self.tools, Embedder(), cache_path() / "index")

    @cached_property
    def _planner(self) -> Planner:
        if self._given_planner is not None:
            return self._given_planner
        from pipeline.planners import make_planner

        return make_planner(self.config)


def _checked(request: str) -> str:
    if not request.strip():
        raise RequestError("the request is empty", fix='say what to do, such as "text Priya that I am late"')
    if len(request) > MAX_REQUEST:
        raise RequestError(
            f"the request has {len(request):,} characters; {MAX_REQUEST:,} is the most",
            fix="put long text into a file or a note, and ask for that",
        )
    return request


def _generator(pieces: Iterator[str]) -> Iterator[str]:
    """Make any iterator a generator, which can be closed."""
    yield from pieces


async def _in_thread(work, request: str, now: datetime, on_event: OnEvent, feedback: str | None = None) -> Planning:  # type: ignore[no-untyped-def]
    """Plan in a thread; events come back to the loop's thread, and cancellation stops the decoding."""
    loop = asyncio.get_running_loop()
    cancelled = threading.Event()

    def forward(event) -> None:  # type: ignore[no-untyped-def]
        if cancelled.is_set():
            raise _Cancelled
        loop.call_soon_threadsafe(on_event, event)

    extra = {} if feedback is None else {"feedback": feedback}
    task = loop.run_in_executor(None, lambda: work(request, now, on_event=forward, **extra))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait([task])
        raise


class _Cancelled(Exception):
    """The run was cancelled while a plan was being written."""
