"""Runs a full plan: each step the moment its inputs are there, independent steps in parallel.

Takes a plan as `pipeline.elaborate` makes it, gives an `Outcome` a step. A step that fails takes with it
the steps that need its output and no others; the text of an error is never an argument. Calls that write or
send are put before an approver first (`pipeline.effects`). How a tool runs is `pipeline.tools.invoke`'s,
what is said of the outcomes `pipeline.joiner`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.effects import Approver, Proposal, needs_approval
from pipeline.elaborate import ElaborationError, settle
from pipeline.errors import TinyAgentError
from pipeline.plan import Plan, PlanError, Step
from pipeline.spec import Catalogue, ToolSpec
from pipeline.tools.context import ToolContext, ToolError
from pipeline.tools.invoke import invoke


class Status(StrEnum):
    """How a step ended."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"  # a step that it needs was not done
    DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step."""

    step: Step
    status: Status
    output: str | None = None  # of a step that is done
    error: TinyAgentError | None = None  # of one that failed or was skipped
    seconds: float = 0.0  # that its tool ran


class StepTimeout(ToolError):
    """A tool took longer than its spec allows. It is mendable where a second call does no harm."""

    def __init__(self, tool: ToolSpec) -> None:
        harmless = not needs_approval(tool.effect)
        fix = "try again" if harmless else "it may have been done all the same: look before trying again"
        super().__init__(f"{tool.name} did not finish within {tool.timeout:g} s", fix=fix)
        self.mendable = harmless


class InputMissing(TinyAgentError):
    """A step was not started, because another that it needs failed or was declined: `cause`."""

    def __init__(self, step: Step, missing: Outcome) -> None:
        # What is missing may itself have been skipped; the cause is what went wrong first.
        self.cause: Outcome = missing.error.cause if isinstance(missing.error, InputMissing) else missing
        at_fault = self.cause.step
        super().__init__(
            f"{step.tool} was not started: it needs step {at_fault.number}, {at_fault.tool}, which "
            + ("was declined" if self.cause.status is Status.DECLINED else "failed")
        )


class Executor:
    """Runs plans.

    Args:
        tools: The tools that may be called.
        context: What the run lends to its tools.
        approve: Asked before each call that writes or sends.
        backend: The Python tools' backend, such as "desktop".
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
        on_start: Callable[[Step], None] | None = None,
        on_outcome: Callable[[Outcome], None] | None = None,
        dry_run: bool = False,
    ) -> None:
        self._tools, self._context, self._approve, self._backend = tools, context, approve, backend
        self._on_start, self._on_outcome, self._dry_run = on_start, on_outcome, dry_run

    async def run(self, plan: Plan) -> tuple[Outcome, ...]:
        """Run a plan and return the outcomes, in the order of the steps.

        When cancelled it cancels its steps, waits for them and leaves no task and no child process; so it
        does when the approver or a callback raises, and then raises that. A Python tool's thread cannot be
        stopped: after a time-out or a cancellation it may run on, and its result is discarded.

        Raises:
            PlanError: It is not a full plan of these tools; nothing was run.
        """
        for step in plan.steps:
            tool = self._tools.get(step.tool)
            if tool is None or step.named or len(step.args) != len(tool.parameters):
                raise PlanError("this is not a full call of one of the tools", step=step.number, text=step.text())
        asking = asyncio.Lock()
        tasks: dict[int, asyncio.Task[Outcome]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                for step in plan.steps:
                    inputs = [tasks[number] for number in sorted(step.references)]
                    tasks[step.number] = group.create_task(self._step(step, inputs, asking))
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        return tuple(task.result() for task in tasks.values())

    async def _step(self, step: Step, inputs: Sequence[asyncio.Task[Outcome]], asking: asyncio.Lock) -> Outcome:
        if inputs:
            await asyncio.wait(inputs)
        given = [task.result() for task in inputs]
        missing = next((outcome for outcome in given if outcome.status is not Status.DONE), None)
        if missing is None:
            outputs = {outcome.step.number: outcome.output or "" for outcome in given}
            outcome = await self._call(step, outputs, asking)
        else:
            outcome = Outcome(step, Status.SKIPPED, error=InputMissing(step, missing))
        if self._on_outcome:
            self._on_outcome(outcome)
        return outcome

    async def _call(self, step: Step, outputs: Mapping[int, str], asking: asyncio.Lock) -> Outcome:
        tool = self._tools[step.tool]
        if self._dry_run:
            return Outcome(step, Status.DONE, output=f"<{tool.name}>")
        try:
            arguments = settle(step, tool, outputs, self._context.now)
        except ElaborationError as wrong:
            return Outcome(step, Status.FAILED, error=wrong)
        if needs_approval(tool.effect):
            async with asking:
                if not await self._approve(Proposal(step, tool, arguments)):
                    return Outcome(step, Status.DECLINED)
        if self._on_start:
            self._on_start(step)
        start = time.perf_counter()
        output: str | None = None
        error: TinyAgentError | None = None
        try:
            async with asyncio.timeout(tool.timeout):
                output = await invoke(tool, arguments, self._context, backend=self._backend)
        except TimeoutError:
            error = StepTimeout(tool)
        except TinyAgentError as raised:
            error = raised
        status = Status.FAILED if error else Status.DONE
        return Outcome(step, status, output, error, time.perf_counter() - start)
