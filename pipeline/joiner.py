"""Says what became of a request: a plan's outcomes → an `Answer`.

The words are those of the tools: the status that a tool gives back is a sentence already, what was asked
for is shown under the description of what the tool returns, and what failed is said with how to mend it. No
model takes part, so nothing is said that did not happen. Replanning itself is left to the caller, who is told why in words of the
plan and of this module: what tools gave back, which others may have written, never reaches a planner.

`join_by_model` lets a model have a word, by the contract of the TinyAgent models: it sees the request, the calls and what became of
them, and says `Finish(answer)` or `Replan`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from pipeline.executor import InputMissing, Outcome, Status
from pipeline.plan import END_OF_PLAN, Plan
from pipeline.spec import Catalogue, Effect, ToolSpec, Type
from pipeline.tools.context import Ambiguous, InvalidArgument, NotFound, ToolError

NOTHING_TO_DO = "There is nothing that I can do for this request."


@dataclass(frozen=True, slots=True)
class Answer:
    """What the person is told."""

    text: str
    complete: bool  # whether there was something to do and all of it is done
    replan: str | None  # why another plan could do better and what is done already, in one line


def join(
    request: str, plan: Plan, outcomes: Sequence[Outcome], tools: Catalogue, *, before: Sequence[Outcome] = ()
) -> Answer:
    """Return the answer.

    Args:
        request: The person's words; for joiners that write with a model, this one does not read them.
        plan: The full plan.
        outcomes: What became of its steps, in their order.
        tools: The tools that it calls.
        before: What became of an earlier plan's calls that had an effect, or may have had, and are not in this one.
    """
    if not plan.steps and not before:
        return Answer(NOTHING_TO_DO, complete=False, replan=None)
    served = frozenset[int]().union(*plan.dependencies.values())
    lines: list[str] = []
    for outcome in (*before, *outcomes):
        tool = tools[outcome.step.tool]
        match outcome.status:
            case Status.DONE:
                # A look-up for another step is no answer; what was changed or sent is always told.
                if tool.effect in _EFFECTS or outcome.step.number not in served:
                    lines.append(_result(tool, outcome))
                lines += [f"({remark[:1].upper()}{remark[1:]}.)" for remark in outcome.remarks]
            case Status.FAILED:
                lines.append(f"I could not {_deed(tool)}: {outcome.error}{_consequence(outcome, outcomes, tools)}.")
            case Status.DECLINED:
                why = str(outcome.error) if outcome.error else "you declined it"
                lines.append(f"I did not {_deed(tool)}: {why}{_consequence(outcome, outcomes, tools)}.")
            case Status.IN_DOUBT:
                lines.append(
                    f"I do not know whether I could {_deed(tool)}: {outcome.error}{_consequence(outcome, outcomes, tools)}."
                )
            case Status.SKIPPED:
                pass  # told with its cause
    return Answer(
        "\n".join(lines),
        complete=bool(outcomes) and all(outcome.status is Status.DONE for outcome in (*before, *outcomes)),
        replan=_reason((*before, *outcomes), tools),
    )


def _reason(outcomes: Sequence[Outcome], tools: Catalogue) -> str | None:
    """Say why another plan could do better; None if none could."""
    mendable = [o for o in outcomes if isinstance(o.error, ToolError) and o.error.mendable]
    if not mendable:
        return None
    reasons = [f"{o.step.text()}: {_kind(o.error)}" for o in mendable]
    effects = [o for o in outcomes if tools[o.step.tool].effect in _EFFECTS]
    for words, status in (("done already", Status.DONE), ("perhaps done already", Status.IN_DOUBT)):
        if calls := [o.step.text() for o in effects if o.status is status]:
            reasons.append(f"{words}: {', '.join(calls)}")
    return "; ".join(reasons)


def _kind(error: BaseException | None) -> str:
    return next((words for kind, words in _KINDS if isinstance(error, kind)), "it failed")


_KINDS: Sequence[tuple[type[ToolError], str]] = (
    (NotFound, "nothing is called that"),
    (Ambiguous, "several are called that"),
    (InvalidArgument, "an argument cannot be meant so"),
)
_EFFECTS = (Effect.WRITE, Effect.SEND)


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


# ── a model's word ───────────────────────────────────────────────────────────────────────────────────


@runtime_checkable
class Completer(Protocol):
    """What `join_by_model` needs of a model."""

    def complete(self, prompt: str, *, stop: str, most: int) -> str:
        """Return what follows `prompt`, up to `stop` or `most` tokens."""
        ...


def join_by_model(
    request: str, outcomes: Sequence[Outcome], tools: Catalogue, plain: Answer, model: Completer
) -> Answer:
    """Return the answer with what a model has to say on top, or with its wish for another plan.

    Args:
        request: The person's words.
        outcomes: What became of the plan's steps.
        tools: The tools that it calls.
        plain: What `join` says; it stays part of the answer, since a model may claim what did not happen.
        model: What completes the prompt.
    """
    said = model.complete(joiner_prompt(request, outcomes, tools), stop=END_OF_PLAN, most=ANSWER_TOKENS)
    if re.search(r"Action:\s*Replan", said):
        return replace(plain, replan=plain.replan or "the plan does not do all that was asked")
    finish = re.search(r"Finish\((.*)\)", said, re.DOTALL)
    words = " ".join(finish[1].split()).strip("\"'") if finish else ""
    if not words or words.casefold().rstrip("!.") in _SAYS_NOTHING:
        return replace(plain, replan=None)
    return replace(plain, text=f"{words}\n{plain.text}".strip(), replan=None)


def joiner_prompt(request: str, outcomes: Sequence[Outcome], tools: Catalogue) -> str:
    """Return what a joining model reads. Of what others wrote, it learns only that it is there and how long it is."""
    lines = [_JOINER_HEAD, f"Question: {' '.join(request.split())}"]
    for outcome in outcomes:
        lines += [outcome.step.text(), f"Observation: {_observation(outcome, tools[outcome.step.tool])}"]
    return "\n".join([*lines, "Thought:"])


def _observation(outcome: Outcome, tool: ToolSpec) -> str:
    match outcome.status:
        case Status.DONE if tool.returns.type is Type.STATUS:
            return "Done"
        case Status.DONE if tool.returns.trusted and _PLAIN_VALUE.fullmatch(outcome.output or ""):
            return str(outcome.output)
        case Status.DONE:
            return f"[data from {tool.app}, {len(outcome.output or ''):,} characters]"
        case Status.FAILED if isinstance(outcome.error, ToolError) and outcome.error.mendable:
            return f"Error: {_kind(outcome.error)}. Please fix the plan and proceed."
        case Status.FAILED:
            return "Error: it cannot be done"
        case _:
            return f"The step was {outcome.status}"


ANSWER_TOKENS = 200
# A number to call or an address, and nothing that could be read as words.
_PLAIN_VALUE = re.compile(r"\+?[\d\s().\-/]{3,30}|[\w.+-]{1,64}@[\w.-]{1,100}")
_SAYS_NOTHING = frozenset({"task completed", "summary", "done"})
_JOINER_HEAD = f"""\
Given a question and the calls that were made for it, each with its observation, decide how to go on.
- Write a thought and then either 'Action: Finish(<your answer>){END_OF_PLAN}' or 'Action: Replan{END_OF_PLAN}', and nothing else.
- If no question has to be answered, write 'Action: Finish(Task completed!)'. If the result of a summary or other data is
  what was asked for, write 'Action: Finish(Summary)'; it will be put in.
- If an observation is an error that a better plan could mend, write 'Action: Replan'; otherwise say in Finish what went wrong.

Question: Text Sid that I am here.
get_phone_number("Sid")
Observation: 555-0199
send_sms(["$1"], "I am here")
Observation: Done
Thought: Everything that was asked for is done.
Action: Finish(Task completed!){END_OF_PLAN}

Question: Text Sid that I am here.
get_phone_number("Sid")
Observation: Error: nothing is called that. Please fix the plan and proceed.
Thought: The name was not found, and another plan could look it up differently.
Action: Replan{END_OF_PLAN}
"""
