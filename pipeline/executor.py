"""Runs a full plan: each step the moment its inputs are there, independent steps in parallel.

Takes a plan as `pipeline.elaborate` makes it, gives an `Outcome` a step. A step that fails takes with it
the steps that need its output and no others; the text of an error is never an argument. While a plan is still being written, what only
reads may start (`Executor.foresee`); all else waits for the whole, valid plan. Calls that write or
send are approved first (`pipeline.effects`) and put on record before and after (`pipeline.journal`), so that each is made at most
once. How a tool runs is `pipeline.tools.invoke`'s, what is said of the outcomes `pipeline.joiner`'s.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, Self

from pipeline.effects import Approvals, Approver, Proposal, Rule, Source, Verdict, chooses, needs_approval, verdict
from pipeline.elaborate import ElaborationError, settle
from pipeline.errors import TinyAgentError
from pipeline.plan import Plan, PlanError, Ref, Step, Template, Value, references
from pipeline.spec import Catalogue, Effect, ToolSpec
from pipeline.tools.context import Ambiguous, Change, InDoubt, ToolContext, ToolError, Unreachable, recording
from pipeline.tools.invoke import invoke

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
    output: str | None = None  # of a step that is done
    error: TinyAgentError | None = None  # of one that failed or was skipped
    seconds: float = 0.0  # that its tool ran
    digest: str = ""  # of the call that was proposed, if it was; see `Proposal.digest`


@dataclass(frozen=True, slots=True)
class Limits:
    """How much runs at a time, and for how long."""

    steps: int = 16  # at a time
    per_app: int = 4
    run_s: float = 600.0  # seconds for all steps of a plan, the time that questions stand not counted


class StepTimeout(ToolError):
    """A tool that only reads took longer than its spec allows."""

    mendable = True

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
    """A call was not made because a rule of the user's forbids it, or because its approval did not hold."""


class InputMissing(TinyAgentError):
    """A step was not started, because another that it needs failed or was declined: `cause`."""

    def __init__(self, step: Step, missing: Outcome) -> None:
        # What is missing may itself have been skipped; the cause is what went wrong first.
        self.cause: Outcome = missing.error.cause if isinstance(missing.error, InputMissing) else missing
        at_fault = self.cause.step
        what = {Status.DECLINED: "was declined", Status.IN_DOUBT: "is in doubt"}.get(self.cause.status, "failed")
        super().__init__(f"{step.tool} was not started: it needs step {at_fault.number}, {at_fault.tool}, which {what}")


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
        on_outcome: Callable[[Outcome], None] | None = None,
        dry_run: bool = False,
    ) -> None:
        self._tools, self._context, self._approve, self._backend = tools, context, approve, backend
        self._rules, self._limits, self._choose = rules, limits or Limits(), choose
        self._on_start, self._on_outcome, self._dry_run = on_start, on_outcome, dry_run
        self._approvals = Approvals()
        self._early: dict[_Key, asyncio.Task[Outcome]] = {}
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
        for step in plan.steps:
            tool = self._tools.get(step.tool)
            if tool is None or tool.effect is not Effect.READ or not step.references <= keys.keys():
                continue
            trusted[step.number] = tool.returns.trusted and all(trusted[n] for n in step.references)
            if any(
                chooses(parameter, tool.effect) and any(not trusted[ref.step] for ref in references(value))
                for parameter, value in zip(tool.parameters, step.args, strict=False)
            ):
                continue  # it will be asked about
            key = keys[step.number] = _key(step, keys)
            if key not in self._early:
                inputs = [self._early[keys[number]] for number in sorted(step.references)]
                self._early[key] = asyncio.create_task(self._read_early(step, inputs))

    async def _read_early(self, step: Step, inputs: Sequence[asyncio.Task[Outcome]]) -> Outcome:
        given = await asyncio.gather(*inputs)
        if missing := next((outcome for outcome in given if outcome.status is not Status.DONE), None):
            return Outcome(step, Status.SKIPPED, error=InputMissing(step, missing))
        # The early steps' numbers may be others than those of the plan that is run.
        outputs = dict(zip(sorted(step.references), (outcome.output or "" for outcome in given), strict=True))
        try:
            arguments = settle(step, self._tools[step.tool], outputs, self._context.now)
        except ElaborationError as wrong:
            return Outcome(step, Status.FAILED, error=wrong)
        outcome, _ = await self._invoked(step, arguments, "")
        return outcome

    async def run(
        self,
        plan: Plan,
        *,
        log: Log | None = None,
        finished: Mapping[int, Outcome] | None = None,
        earlier: Sequence[Outcome] = (),
    ) -> tuple[Outcome, ...]:
        """Run a plan and return the outcomes, in the order of the steps.

        When cancelled it cancels its steps, waits for them and leaves no task and no child process; so it
        does when the approver or a callback raises, and then raises that. A Python tool's thread cannot be
        stopped: after a time-out or a cancellation it may run on, and its result is discarded.

        Args:
            plan: A full plan.
            log: Where effects are put on record before and after; nowhere by default.
            finished: What became of some of its steps before, by number; those are not run.
            earlier: What became of another plan for the same request: an effect that it had is not had again.

        Raises:
            PlanError: It is not a full plan of these tools; nothing was run.
            RunTimeout: It took too long. What was running is cancelled.
        """
        for step in plan.steps:
            tool = self._tools.get(step.tool)
            if tool is None or step.named or len(step.args) != len(tool.parameters):
                raise PlanError("this is not a full call of one of the tools", step=step.number, text=step.text())
        effects = [o for o in earlier if o.digest and needs_approval(self._tools[o.step.tool].effect)]
        run = _Run(log or _NoLog(), effects)
        keys: dict[int, _Key] = {}
        try:
            async with asyncio.timeout(self._limits.run_s) as run.timer, asyncio.TaskGroup() as group:
                for step in plan.steps:
                    inputs = [run.tasks[number] for number in sorted(step.references)]
                    keys[step.number] = _key(step, keys)
                    known = (finished or {}).get(step.number)
                    work = (
                        self._known(known, run)
                        if known
                        else self._step(step, inputs, run, self._early.get(keys[step.number]))
                    )
                    run.tasks[step.number] = group.create_task(work)
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        except TimeoutError:
            raise RunTimeout(
                f"the plan was not done within {self._limits.run_s:g} s", fix="'tinyagent runs' tells how far it came"
            ) from None
        return tuple(task.result() for task in run.tasks.values())

    async def _known(self, outcome: Outcome, run: _Run) -> Outcome:
        self._trust(outcome.step, run)
        return outcome

    def _trust(self, step: Step, run: _Run) -> None:
        """Remember out of which apps others' words went into a step's result."""
        tool = self._tools[step.tool]
        own = frozenset() if tool.returns.trusted else frozenset({tool.app})
        run.others[step.number] = own.union(*(run.others[number] for number in step.references))

    async def _step(
        self, step: Step, inputs: Sequence[asyncio.Task[Outcome]], run: _Run, early: asyncio.Task[Outcome] | None
    ) -> Outcome:
        if inputs:
            await asyncio.wait(inputs)
        given = [task.result() for task in inputs]
        missing = next((outcome for outcome in given if outcome.status is not Status.DONE), None)
        changes: Sequence[Change] = ()
        if missing is not None:
            outcome = Outcome(step, Status.SKIPPED, error=InputMissing(step, missing))
        elif early is not None:
            if self._on_start:
                self._on_start(step)
            outcome = replace(await asyncio.shield(early), step=step)
            if isinstance(outcome.error, Ambiguous):
                outcome, changes = await self._call(step, given, run)  # now somebody can be asked
        else:
            outcome, changes = await self._call(step, given, run)
        self._trust(step, run)
        if not self._dry_run:
            run.log.finish(outcome, changes)
        if self._on_outcome:
            self._on_outcome(outcome)
        return outcome

    async def _call(self, step: Step, given: Sequence[Outcome], run: _Run) -> tuple[Outcome, Sequence[Change]]:
        tool = self._tools[step.tool]
        if self._dry_run:
            return Outcome(step, Status.DONE, output=f"<{tool.name}>"), ()
        outputs = {outcome.step.number: outcome.output or "" for outcome in given}
        try:
            arguments = settle(step, tool, outputs, self._context.now)
        except ElaborationError as wrong:
            return Outcome(step, Status.FAILED, error=wrong), ()
        proposal = self._proposal(step, tool, arguments, given, run)
        has_effect = needs_approval(tool.effect)
        if has_effect and (same := next((o for o in run.earlier if o.digest == proposal.digest), None)):
            return replace(same, step=step), ()  # done already, or declined: not again
        refused = await self._refusal(proposal, run)
        if refused is not None:
            return refused, ()
        if has_effect:
            run.log.intend(proposal)
        if self._on_start:
            self._on_start(step)
        outcome, changes = await self._invoked(step, arguments, run.log.key(step))
        if isinstance(outcome.error, Ambiguous) and tool.coerces and self._choose:
            [name] = [parameter.name for parameter in tool.required]
            async with self._question(run):
                meant = await self._choose(outcome.error.message, outcome.error.candidates)
            if meant is not None:
                outcome, changes = await self._invoked(step, arguments | {name: meant}, run.log.key(step))
        return replace(outcome, digest=proposal.digest), changes

    async def _refusal(self, proposal: Proposal, run: _Run) -> Outcome | None:
        """Return the outcome of a call that must not be made; None if it may."""
        step = proposal.step
        match verdict(proposal, self._rules):
            case Verdict.ALLOW:
                return None
            case Verdict.DENY:
                error = NotApproved(f"a rule of yours forbids this call of {proposal.tool.name}")
                return Outcome(step, Status.DECLINED, error=error, digest=proposal.digest)
            case Verdict.ASK:
                async with self._question(run):
                    approval = await self._approve(proposal)
                if approval is None:
                    return Outcome(step, Status.DECLINED, digest=proposal.digest)
                try:
                    self._approvals.redeem(approval, proposal)
                except TinyAgentError as error:
                    return Outcome(step, Status.DECLINED, error=NotApproved(str(error)), digest=proposal.digest)
                return None

    def _proposal(
        self, step: Step, tool: ToolSpec, arguments: Mapping[str, object], given: Sequence[Outcome], run: _Run
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
        like = next((o.step for o in run.earlier if o.step.tool == tool.name and o.status in _MADE), None)
        return Proposal(
            step, tool, arguments, sources, said, run.log.run, like if needs_approval(tool.effect) else None
        )

    @asynccontextmanager
    async def _question(self, run: _Run) -> AsyncIterator[None]:
        """Ask one question at a time; the run's time stands still meanwhile."""
        async with run.asking:
            with _paused(run.timer):
                yield

    async def _invoked(self, step: Step, arguments: Mapping[str, object], key: str) -> tuple[Outcome, Sequence[Change]]:
        """Run a step's tool, a read several times if need be; return the outcome and what it changed."""
        tool = self._tools[step.tool]
        context = replace(self._context, key=key) if key else self._context
        start = time.perf_counter()
        output: str | None = None
        error: TinyAgentError | None = None
        changes: Sequence[Change] = ()
        for attempt in range(1 + tool.retries if tool.effect is Effect.READ else 1):
            output, error = None, None
            try:
                async with self._places, self._app_places[tool.app]:
                    with recording() as changes:
                        async with asyncio.timeout(tool.timeout):
                            output = await invoke(tool, arguments, context, backend=self._backend)
                break
            except TimeoutError:
                error = EffectTimeout(tool) if needs_approval(tool.effect) else StepTimeout(tool)
                break
            except Unreachable as raised:
                error = raised
            except TinyAgentError as raised:
                error = raised
                break
            if attempt < tool.retries and tool.effect is Effect.READ:
                await asyncio.sleep(BACKOFF_S * 2**attempt * random.uniform(0.5, 1.5))
        doubtful = isinstance(error, InDoubt) and needs_approval(tool.effect)
        status = Status.IN_DOUBT if doubtful else Status.FAILED if error else Status.DONE
        return Outcome(step, status, output, error, time.perf_counter() - start), changes


class _Run:
    """One plan's run: its tasks, and what they share."""

    def __init__(self, log: Log, earlier: Sequence[Outcome]) -> None:
        self.log, self.earlier = log, earlier
        self.tasks: dict[int, asyncio.Task[Outcome]] = {}
        self.others: dict[int, frozenset[str]] = {}  # by step; see `Source.others`
        self.asking = asyncio.Lock()
        self.timer: asyncio.Timeout


_MADE = (Status.DONE, Status.IN_DOUBT)

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
    timer.reschedule(None)
    try:
        yield
    finally:
        with suppress(RuntimeError):  # it has expired, or is cancelled
            timer.reschedule(None if left is None else loop.time() + left)
