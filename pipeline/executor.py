"""Runs a full plan: each step the moment its inputs are there, independent steps in parallel.

Takes a plan as `pipeline.elaborate` makes it, gives an `Outcome` a step. A step that fails takes with it
the steps that need its output and no others; the text of an error is never an argument. While a plan is still being written, what only
reads may start (`Executor.foresee`); all else waits for the whole, valid plan. Calls that write or
send are approved first (`pipeline.effects`) and put on record before and after (`pipeline.journal`), so that each is made at most
once. How a tool runs is `pipeline.tools.invoke`'s, what is said of the outcomes `pipeline.joiner`'s.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, Self

from pipeline.effects import (
    Approval,
    ApprovalError,
    Approvals,
    Approver,
    Proposal,
    Rule,
    Source,
    Verdict,
    chooses,
    needs_approval,
    verdict,
)
from pipeline.elaborate import ElaborationError, settle
from pipeline.errors import TinyAgentError
from pipeline.plan import Plan, PlanError, Ref, Step, Template, Value, references
from pipeline.spec import Catalogue, Effect, ToolSpec
from pipeline.tools.context import (
    Ambiguous,
    Change,
    InDoubt,
    Monitor,
    Preview,
    ToolContext,
    ToolError,
    Unreachable,
    recording,
)
from pipeline.tools.invoke import invoke, preview

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BACKOFF_S = 0.25  # before the second try of a read; twice that before the third


class Status(StrEnum):
    """How a step ended."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"  # a step that it needs was not done
    DECLINED = "declined"
    IN_DOUBT = "in doubt"  # it broke off where it may have had its effect


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step."""

    step: Step
    status: Status
    output: str | None = None  # of a step that is done; None if that is known of it and no more
    error: TinyAgentError | None = None  # of one that failed or was skipped
    seconds: float = 0.0  # that its tool ran
    digest: str = ""  # of the call that was proposed, if it was; see `Proposal.digest`
    remarks: tuple[str, ...] = ()  # on how it was done, for the person; no part of the output


@dataclass(frozen=True, slots=True)
class Limits:
    """How much runs at a time, and for how long."""

    steps: int = 16  # at a time
    per_app: int = 4
    run_s: float = 600.0  # seconds for all steps of a plan, the time that questions stand not counted
    finish_s: float = 0.0  # seconds that a write or send under way has to come to its end when the run is cancelled


class StepTimeout(ToolError):
    """A tool that only reads took longer than its spec allows."""

    def __init__(self, tool: ToolSpec) -> None:
        super().__init__(f"{tool.name} did not finish within {tool.timeout:g} s", fix="try again")


class EffectTimeout(InDoubt):
    """A tool that has an effect took longer than its spec allows."""

    def __init__(self, tool: ToolSpec) -> None:
        super().__init__(
            f"{tool.name} did not finish within {tool.timeout:g} s",
            fix="it may have been done all the same: look before trying again",
        )


class RunTimeout(TinyAgentError):
    """All steps of a plan together took longer than `Limits.run_s`."""


class NotApproved(TinyAgentError):
    """A call was not made because a rule of the user's forbids it."""


class InputMissing(TinyAgentError):
    """A step was not started, because another that it needs failed or was declined: `cause`."""

    def __init__(self, step: Step, missing: Outcome) -> None:
        # What is missing may itself have been skipped; the cause is what went wrong first.
        self.cause: Outcome = missing.error.cause if isinstance(missing.error, InputMissing) else missing
        at_fault = self.cause.step
        what = _WHY_MISSING.get(self.cause.status, "failed")
        super().__init__(f"{step.tool} was not started: it needs step {at_fault.number}, {at_fault.tool}, which {what}")


_WHY_MISSING = {
    Status.DECLINED: "was not approved",
    Status.IN_DOUBT: "is in doubt",
    Status.DONE: "is done, but what it gave is not known",
}


class Log(Protocol):
    """What an executor needs of a journal."""

    @property
    def run(self) -> str:
        """The id of the run."""
        ...

    def key(self, step: Step) -> str:
        """Return the idempotency key of a step's call."""
        ...

    def intend(self, proposal: Proposal) -> None:
        """Put on record, safe from a crash, that a call is about to be made."""
        ...

    def finish(self, outcome: Outcome, changes: Sequence[Change] = ()) -> None:
        """Put on record how a step ended and what it changed."""
        ...


class _NoLog:
    run = ""

    def key(self, step: Step) -> str:
        return ""

    def intend(self, proposal: Proposal) -> None: ...

    def finish(self, outcome: Outcome, changes: Sequence[Change] = ()) -> None: ...


class Chooser(Protocol):
    """Asks the person which of several things is meant."""

    async def __call__(self, question: str, candidates: Sequence[str], /) -> str | None:
        """Return one of the candidates, or None."""
        ...


class Executor:
    """Runs plans.

    Used as an asynchronous context manager, it may be told of a plan's beginning with `foresee`; without, `run` is all.

    Args:
        tools: The tools that may be called.
        context: What the run lends to its tools.
        approve: Asked before each call that writes or sends, unless a rule answers.
        backend: The Python tools' backend, such as "desktop".
        rules: The user's, on what is asked about.
        limits: On how much runs at a time, and for how long.
        choose: Asked which one is meant where a lookup fits several.
        on_start: Called as a step's tool starts, after any approval.
        on_progress: Called with what a step says of how far it is, in the event loop's thread.
        on_outcome: Called as a step ends, however it ends.
        dry_run: Run and ask nothing; every step is done, with `<tool name>` for its output.
    """

    def __init__(
        self,
        tools: Catalogue,
        context: ToolContext,
        approve: Approver,
        *,
        backend: str = "desktop",
        rules: Sequence[Rule] = (),
        limits: Limits | None = None,
        choose: Chooser | None = None,
        on_start: Callable[[Step], None] | None = None,
        on_progress: Callable[[Step, str], None] | None = None,
        on_outcome: Callable[[Outcome], None] | None = None,
        dry_run: bool = False,
    ) -> None:
        self._tools, self._context, self._approve, self._backend = tools, context, approve, backend
        self._rules, self._limits, self._choose = rules, limits or Limits(), choose
        self._on_start, self._on_outcome, self._dry_run = on_start, on_outcome, dry_run
        self._on_progress = on_progress
        self._approvals = Approvals()
        self._early: dict[_Key, asyncio.Task[Outcome | None]] = {}
        self._reading: set[asyncio.Task[Any] | None] = set()  # those of them whose tools run
        self._places = asyncio.Semaphore(self._limits.steps)
        self._app_places: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(self._limits.per_app))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel the early reads that no plan took up, and wait for them."""
        tasks, self._early = list(self._early.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def foresee(self, plan: Plan) -> None:
        """Start those reads of a plan that needs no other steps than such reads; call it in the event loop's thread.

        Args:
            plan: A full plan, or the beginning of one. If a plan that is run later has the same calls, they are not made again.
        """
        if self._dry_run:
            return
        keys: dict[int, _Key] = {}
        trusted: dict[int, bool] = {}
        changing: set[str] = set()  # apps in which an earlier step changes something
        for step in plan.steps:
            tool = self._tools.get(step.tool)
            if tool is None:
                continue
            if needs_approval(tool.effect):
                changing.add(tool.app)
            if tool.effect is not Effect.READ or tool.app in changing or not step.references <= keys.keys():
                continue
            trusted[step.number] = tool.returns.trusted and all(trusted[n] for n in step.references)
            if any(
                chooses(parameter, tool) and any(not trusted[ref.step] for ref in references(value))
                for parameter, value in zip(tool.parameters, step.args, strict=False)
            ):
                continue  # it will be asked about
            key = keys[step.number] = _key(step, keys)
            if key not in self._early:
                inputs = [self._early[keys[number]] for number in sorted(step.references)]
                self._early[key] = asyncio.create_task(self._read_early(step, inputs))

    async def _read_early(self, step: Step, inputs: Sequence[asyncio.Task[Outcome | None]]) -> Outcome | None:
        """Return the outcome of a read; None where it has to wait: for a question, or for one that has or may yet be answered."""
        given = [o for o in await asyncio.gather(*inputs) if o is not None and o.status is Status.DONE]
        if len(given) < len(inputs):
            return None
        tool = self._tools[step.tool]
        outputs = dict(zip(sorted(step.references), (outcome.output or "" for outcome in given), strict=True))
        try:
            arguments = settle(step, tool, outputs, self._context.now)
        except ElaborationError as wrong:
            return Outcome(step, Status.FAILED, error=wrong)
        if verdict(Proposal(step, tool, arguments), self._rules) is not Verdict.ALLOW:
            return None
        task = asyncio.current_task()
        try:
            outcome, _ = await self._invoked(step, arguments, "", lambda: self._reading.add(task))
        finally:
            self._reading.discard(task)
        return outcome

    async def run(
        self,
        plan: Plan,
        *,
        log: Log | None = None,
        finished: Mapping[int, Outcome] | None = None,
        begun: Collection[int] = (),
        earlier: Sequence[Outcome] = (),
    ) -> tuple[Outcome, ...]:
        """Run a plan and return the outcomes, in the order of the steps.

        When cancelled it cancels its steps, waits for them and leaves no task and no child process; so it
        does when the approver or a callback raises, and then raises that. A write or send that is under way then has
        `Limits.finish_s` to come to its end, and is put on record if it does. A Python tool's thread cannot be
        stopped: after a time-out or a cancellation it may run on, and its result is discarded.

        Args:
            plan: A full plan.
            log: Where effects are put on record before and after; nowhere by default.
            finished: What became of some of its steps before, by number; those are not run.
            begun: Numbers of steps that may have been done before, and are done again with the same key. Declined, they stay in doubt.
            earlier: What became of another plan for the same request: an effect that it had is not had again.

        Raises:
            PlanError: It is not a full plan of these tools; nothing was run.
            RunTimeout: It took too long. What was running is cancelled.
        """
        for step in plan.steps:
            tool = self._tools.get(step.tool)
            if tool is None or step.named or len(step.args) != len(tool.parameters):
                raise PlanError("this is not a full call of one of the tools", step=step.number, text=step.text())
        effects = [o for o in earlier if o.digest and o.status in _SETTLED and self._has_effect(o.step)]
        run = _Run(log or _NoLog(), effects, frozenset(begun))
        keys: dict[int, _Key] = {}
        try:
            async with asyncio.timeout(self._limits.run_s) as run.timer, asyncio.TaskGroup() as group:
                for step in plan.steps:
                    keys[step.number] = _key(step, keys)
                    known = (finished or {}).get(step.number)
                    early = self._early.get(keys[step.number])
                    work = self._known(known, run) if known else self._step(step, plan, run, early)
                    run.tasks[step.number] = group.create_task(work)
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        except TimeoutError:
            raise RunTimeout(
                f"the plan was not done within {self._limits.run_s:g} s", fix="'tinyagent runs' tells how far it came"
            ) from None
        await self._forget({self._tools[step.tool].app for step in plan.steps if self._has_effect(step)})
        return tuple(task.result() for task in run.tasks.values())

    def _has_effect(self, step: Step) -> bool:
        return needs_approval(self._tools[step.tool].effect)

    async def _forget(self, apps: Collection[str]) -> None:
        """Drop the early reads of apps in which something was changed since."""
        for key in [key for key in self._early if self._tools[key[0]].app in apps]:
            task = self._early.pop(key)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _known(self, outcome: Outcome, run: _Run) -> Outcome:
        self._trust(outcome.step, run)
        return outcome

    def _trust(self, step: Step, run: _Run) -> None:
        """Remember out of which apps others' words went into a step's result."""
        tool = self._tools[step.tool]
        own = frozenset() if tool.returns.trusted else frozenset({tool.app})
        run.others[step.number] = own.union(*(run.others[number] for number in step.references))

    async def _step(self, step: Step, plan: Plan, run: _Run, early: asyncio.Task[Outcome | None] | None) -> Outcome:
        if before := [run.tasks[number] for number in self._waits_for(step, plan)]:
            await asyncio.wait(before)
        given = [run.tasks[number].result() for number in sorted(step.references)]
        missing = next((o for o in given if o.status is not Status.DONE or o.output is None), None)
        changes: Sequence[Change] = ()
        begun = early in self._reading and missing is None
        if begun and self._on_start:
            self._on_start(step)
        read = await asyncio.shield(early) if early is not None and missing is None else None
        if missing is not None:
            outcome = Outcome(step, Status.SKIPPED, error=InputMissing(step, missing))
        elif read is not None and not isinstance(read.error, Ambiguous):
            if self._on_start and not begun:
                self._on_start(step)
            outcome = replace(read, step=step)
        else:  # also where the early read found several, since now somebody can be asked
            outcome, changes = await self._call(step, given, run, told=begun)
        self._trust(step, run)
        if not self._dry_run:
            run.log.finish(outcome, changes)
        if self._on_outcome:
            self._on_outcome(outcome)
        return outcome

    def _waits_for(self, step: Step, plan: Plan) -> list[int]:
        """Return the steps that end before a step starts: those it refers to, and those before it in its app, if it or they change things there."""
        app, changes = self._tools[step.tool].app, self._has_effect(step)
        earlier = (other for other in plan.steps if other.number < step.number)
        return [
            o.number
            for o in earlier
            if o.number in step.references or ((changes or self._has_effect(o)) and self._tools[o.tool].app == app)
        ]

    async def _call(
        self, step: Step, given: Sequence[Outcome], run: _Run, *, told: bool
    ) -> tuple[Outcome, Sequence[Change]]:
        """Make a step's call, once it is approved; `told` is whether its start has been told already."""
        tool = self._tools[step.tool]
        if self._dry_run:
            return Outcome(step, Status.DONE, output=f"<{tool.name}>"), ()
        outputs = {outcome.step.number: outcome.output or "" for outcome in given}
        try:
            arguments = settle(step, tool, outputs, self._context.now)
        except ElaborationError as wrong:
            return Outcome(step, Status.FAILED, error=wrong), ()
        try:
            async with asyncio.timeout(tool.timeout):
                context = replace(self._context, monitor=self._monitor(step))
                seen = await preview(tool, arguments, context, backend=self._backend)
        except TimeoutError:
            return Outcome(step, Status.FAILED, error=StepTimeout(tool)), ()
        except TinyAgentError as error:
            return Outcome(step, Status.FAILED, error=error), ()
        proposal = self._proposal(step, tool, arguments, given, run, seen)
        has_effect = needs_approval(tool.effect)
        if has_effect and (same := next((o for o in run.earlier if o.digest == proposal.digest), None)):
            return replace(same, step=step), ()  # done already, or declined: not again
        try:
            approval = await self._approval(proposal, run)
        except TinyAgentError as refused:
            return self._refused(proposal, refused, run), ()
        if approval is None:
            return self._refused(proposal, None, run), ()

        def begin() -> None:
            self._approvals.redeem(approval, proposal)
            if has_effect:
                run.log.intend(proposal)
            if self._on_start and not told:
                self._on_start(step)

        outcome, changes = await self._invoked(step, arguments, run.log.key(step), begin, seen)
        if isinstance(outcome.error, ApprovalError):
            return self._refused(proposal, outcome.error, run), ()
        if isinstance(outcome.error, Ambiguous) and tool.coerces and not has_effect and self._choose:
            [name] = [parameter.name for parameter in tool.required]
            async with self._question(run):
                meant = await self._choose(outcome.error.message, outcome.error.candidates)
            if meant is not None:
                outcome, changes = await self._invoked(step, arguments | {name: meant}, run.log.key(step), lambda: None)
        return replace(outcome, digest=proposal.digest), changes

    async def _approval(self, proposal: Proposal, run: _Run) -> Approval | None:
        """Return the approval of a call, a rule's or the person's; None if they decline.

        Raises:
            TinyAgentError: A rule forbids it, or nobody can answer.
        """
        match verdict(proposal, self._rules):
            case Verdict.ALLOW:
                return proposal.approve(math.inf)
            case Verdict.DENY:
                raise NotApproved(f"a rule of yours forbids this call of {proposal.tool.name}")
            case Verdict.ASK:
                async with self._question(run):
                    return await self._approve(proposal)

    @staticmethod
    def _refused(proposal: Proposal, error: TinyAgentError | None, run: _Run) -> Outcome:
        """Return the outcome of a call that is not made."""
        if proposal.step.number in run.begun:
            doubt = InDoubt(
                "it broke off where it may have been done, and was not made again", fix="look whether it was"
            )
            return Outcome(proposal.step, Status.IN_DOUBT, error=doubt, digest=proposal.digest)
        return Outcome(proposal.step, Status.DECLINED, error=error, digest=proposal.digest)

    def _proposal(
        self,
        step: Step,
        tool: ToolSpec,
        arguments: Mapping[str, object],
        given: Sequence[Outcome],
        run: _Run,
        seen: Preview | None,
    ) -> Proposal:
        by_number = {outcome.step.number: outcome for outcome in given}
        sources: dict[str, tuple[Source, ...]] = {}
        said: dict[str, str] = {}
        for parameter, value in zip(tool.parameters, step.args, strict=True):
            found = []
            for number in sorted({ref.step for ref in references(value)}):
                origin = self._tools[by_number[number].step.tool]
                found.append(Source(number, origin.name, run.others[number]))
                words = by_number[number].step.args
                if origin.coerces and words and isinstance(words[0], str):
                    said[by_number[number].output or ""] = words[0]
            if found:
                sources[parameter.name] = tuple(found)
        like = next((o.step for o in run.earlier if o.step.tool == tool.name and o.status is not Status.DECLINED), None)
        return Proposal(
            step, tool, arguments, sources, said, run.log.run, seen, like if needs_approval(tool.effect) else None
        )

    @asynccontextmanager
    async def _question(self, run: _Run) -> AsyncIterator[None]:
        """Ask one question at a time; the run's time stands still meanwhile."""
        async with run.asking:
            with _paused(run.timer):
                yield

    async def _invoked(
        self,
        step: Step,
        arguments: Mapping[str, object],
        key: str,
        begin: Callable[[], None],
        seen: Preview | None = None,
    ) -> tuple[Outcome, Sequence[Change]]:
        """Run a step's tool, a read several times if need be; return the outcome and what it changed.

        `begin` is called when there is a place for it, right before; what it raises of this project's kind is the step's error.
        """
        tool = self._tools[step.tool]
        monitor = self._monitor(step)
        context = replace(self._context, key=key, monitor=monitor)
        if seen:
            context = replace(context, previewed=seen.identity, written=seen.written)
        output: str | None = None
        error: TinyAgentError | None = None
        changes: Sequence[Change] = ()
        async with self._app_places[tool.app], self._places:
            try:
                begin()
            except ApprovalError as raised:
                return Outcome(step, Status.DECLINED, error=raised), ()
            start = time.perf_counter()
            for attempt in range(1 + tool.retries):
                output, error = None, None
                try:
                    with recording() as changes:
                        call = self._timed(tool, arguments, context)
                        output = await (self._to_its_end(call) if needs_approval(tool.effect) else call)
                except TimeoutError:
                    error = EffectTimeout(tool) if needs_approval(tool.effect) else StepTimeout(tool)
                except TinyAgentError as raised:
                    error = raised
                again = isinstance(error, Unreachable | InDoubt) and tool.effect is Effect.READ
                if not again or attempt == tool.retries:
                    break
                await asyncio.sleep(BACKOFF_S * 2**attempt * random.uniform(0.5, 1.5))
        doubtful = isinstance(error, InDoubt) and needs_approval(tool.effect)
        status = Status.IN_DOUBT if doubtful else Status.FAILED if error else Status.DONE
        seconds = time.perf_counter() - start
        return Outcome(step, status, output, error, seconds, remarks=tuple(monitor.remarks)), changes

    def _monitor(self, step: Step) -> Monitor:
        """Return what a call of this step tells its progress to; after the loop's end, nobody hears it."""
        if self._on_progress is None:
            return Monitor()
        loop, tell = asyncio.get_running_loop(), self._on_progress

        def forward(said: str) -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, step, said)

        return Monitor(forward)

    async def _timed(self, tool: ToolSpec, arguments: Mapping[str, object], context: ToolContext) -> str:
        async with asyncio.timeout(tool.timeout):
            return await invoke(tool, arguments, context, backend=self._backend)

    async def _to_its_end(self, call: Coroutine[Any, Any, str]) -> str:
        """Await a call that has an effect; when cancelled, give it time to end, since one that is cut off is in doubt.

        If it does end, the cancellation goes no further here: all that is left for the step is to be put on record.
        """
        task = asyncio.create_task(call)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            with suppress(asyncio.CancelledError):  # told once more, it waits no longer
                await asyncio.wait([task], timeout=self._limits.finish_s)
            task.cancel()
            while not task.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
            return task.result()


class _Run:
    """One plan's run: its tasks, and what they share."""

    def __init__(self, log: Log, earlier: Sequence[Outcome], begun: frozenset[int]) -> None:
        self.log, self.earlier, self.begun = log, earlier, begun
        self.tasks: dict[int, asyncio.Task[Outcome]] = {}
        self.others: dict[int, frozenset[str]] = {}  # by step; see `Source.others`
        self.asking = asyncio.Lock()
        self.timer: asyncio.Timeout


_SETTLED = (Status.DONE, Status.IN_DOUBT, Status.DECLINED)

_Key = tuple[Any, ...]


def _key(step: Step, keys: Mapping[int, _Key]) -> _Key:
    """Return under which key equal calls of several plans meet: references as the calls that they stand for."""

    def part(value: Value) -> Any:
        match value:
            case Ref(number):
                return ("$", keys.get(number))
            case Template(parts):
                return tuple(part(p) for p in parts)
            case tuple():
                return ("[]", *(part(item) for item in value))
            case _:
                return (type(value).__name__, value)

    return (step.tool, *(part(value) for value in step.args))


@contextmanager
def _paused(timer: asyncio.Timeout) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    left = None if (when := timer.when()) is None else when - loop.time()
    with suppress(RuntimeError):  # it has expired just now, and the cancellation is on its way
        timer.reschedule(None)
    try:
        yield
    finally:
        with suppress(RuntimeError):  # it has expired, or is cancelled
            timer.reschedule(None if left is None else loop.time() + left)
