"""Says what became of a request: a plan's outcomes → an `Answer`.

The words are those of the tools: the status that a tool gives back is a sentence already, what was asked
for is shown under the description of what the tool returns, and what failed is said with how to mend it. No
model takes part, so nothing is said that did not happen. Replanning itself is left to the caller.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.executor import InputMissing, Outcome, Status
from pipeline.plan import Plan
from pipeline.spec import Catalogue, Effect, ToolSpec, Type
from pipeline.tools.context import ToolError

NOTHING_TO_DO = "There is nothing that I can do for this request."


@dataclass(frozen=True, slots=True)
class Answer:
    """What the person is told."""

    text: str
    complete: bool  # whether there was something to do and all of it is done
    replan: str | None  # why another plan could do better, in one line


def join(request: str, plan: Plan, outcomes: Sequence[Outcome], tools: Catalogue) -> Answer:
    """Return the answer.

    Args:
        request: The person's words; for joiners that write with a model, this one does not read them.
        plan: The full plan.
        outcomes: What became of its steps, in their order.
        tools: The tools that it calls.
    """
    if not plan.steps:
        return Answer(NOTHING_TO_DO, complete=False, replan=None)
    served = frozenset[int]().union(*plan.dependencies.values())
    lines: list[str] = []
    for outcome in outcomes:
        tool = tools[outcome.step.tool]
        match outcome.status:
            case Status.DONE:
                # A look-up for another step is no answer; what was changed or sent is always told.
                if tool.effect in (Effect.WRITE, Effect.SEND) or outcome.step.number not in served:
                    lines.append(_result(tool, outcome))
            case Status.FAILED:
                lines.append(f"I could not {_deed(tool)}: {outcome.error}{_consequence(outcome, outcomes, tools)}.")
            case Status.DECLINED:
                lines.append(f"I did not {_deed(tool)}, as you declined it{_consequence(outcome, outcomes, tools)}.")
            case Status.SKIPPED:
                pass  # told with its cause
    return Answer(
        "\n".join(lines),
        complete=all(outcome.status is Status.DONE for outcome in outcomes),
        replan=next(
            (_one_line(o.error) for o in outcomes if isinstance(o.error, ToolError) and o.error.mendable),
            None,
        ),
    )


def _result(tool: ToolSpec, outcome: Outcome) -> str:
    """Say what a step gave: a tool's own status, or its output with what that is."""
    output = (outcome.output or "").strip()
    if tool.returns.type is Type.STATUS:
        return output or f"Done: {_deed(tool)}."
    label = tool.returns.description.rstrip(". ") or tool.name
    if tool.coerces:  # there may be several, told apart by what was looked up
        label += "".join(f" ({value})" for value in outcome.step.args if isinstance(value, str))
    return f"{label}:\n{output}" if "\n" in output else f"{label}: {output or 'nothing'}"


def _deed(tool: ToolSpec) -> str:
    """Return what a tool does, as words after "I could not": the first clause of its summary."""
    return re.split(r"[,;.(]", tool.summary)[0].strip() or f"run {tool.name}"


def _consequence(cause: Outcome, outcomes: Sequence[Outcome], tools: Catalogue) -> str:
    """Say what was not started because of `cause`."""
    skipped = [o for o in outcomes if isinstance(o.error, InputMissing) and o.error.cause is cause]
    deeds = dict.fromkeys(_deed(tools[o.step.tool]) for o in skipped)
    return f"; so I did not {' or '.join(deeds)}" if deeds else ""


def _one_line(error: ToolError) -> str:
    return " ".join(str(error).split())
