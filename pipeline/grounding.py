"""A plan as the planner wrote it → the same plan, held against the words of the request.

A small model forgets and makes up in ways that the request itself gives away. These are mended here, before elaboration: a
time that was cut off ("Friday 2" of "Friday 2 to 3:30", "Thursday" of "Thursday at 5 pm"), a person or file that is only the
call's own title again, a call that stands twice, a text that runs on into what another call does, and one message that is sent to several people one by one. What is mended is
in the plan that the user sees and approves.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from pipeline.dates import DateError, Moment, find_times, parse_moment
from pipeline.elaborate import ElaborationError, bind
from pipeline.plan import Plan, Ref, Step, Value, renumber
from pipeline.spec import COERCIBLE, Catalogue, Effect, ToolSpec, Type


def ground(plan: Plan, tools: Catalogue, request: str, now: datetime) -> Plan:
    """Return the plan with what the request shows to be cut off or made up set right.

    Args:
        plan: What the planner wrote.
        tools: The tools that may be called.
        request: The person's words.
        now: When they were said, local time.
    """
    times = find_times(request, now)
    said = " ".join(request.split())
    steps = (_grounded(step, tools[step.tool], times, now, said) if step.tool in tools else step for step in plan.steps)
    return _joined(_apart(list(steps), tools, request), tools)


def _apart(steps: list[Step], tools: Catalogue, request: str) -> list[Step]:
    """Return steps whose texts do not run on into what another step does.

    In "text Priya that I'm late and put lunch on Friday at noon into my calendar", the message ends before "and": what follows is the
    other call's title with its time right behind it, which are nowhere else in the request.
    """
    said = " ".join(request.casefold().split())
    calls = {step.number: _said_in(step, tools) for step in steps if step.tool in tools}
    cut = []
    for step in steps:
        tool = tools.get(step.tool)
        others = [pair for number, pairs in calls.items() if number != step.number for pair in pairs]
        once = [pair for pair in others if said.count(pair) == 1]
        texts = [p.type is Type.STRING and not p.verbatim for p in tool.required] if tool else []
        args = tuple(
            _cut_before(value, once) if i < len(texts) and texts[i] and isinstance(value, str) else value
            for i, value in enumerate(step.args)
        )
        cut.append(replace(step, args=args))
    return cut


def _said_in(step: Step, tools: Catalogue) -> list[str]:
    """Return each text of a call with each of its times right behind it, as they would be said in one breath."""
    try:
        bound = bind(step, tools[step.tool])
    except ElaborationError:
        return []
    values = [
        (p.type, value.casefold()) for p in tools[step.tool].parameters if isinstance(value := bound.get(p.name), str)
    ]
    texts = [" ".join(value.split()) for kind, value in values if kind is Type.STRING and value]
    times = [" ".join(value.split()) for kind, value in values if kind is Type.DATETIME and value]
    return [f"{text} {time}" for text in texts for time in times]


_BORDER = re.compile(r"\s*(?:[,;.]\s+|\s)(?:and|then|also|plus|e|y|depois|luego)\s+", re.IGNORECASE)


def _cut_before(text: str, pairs: Collection[str]) -> str:
    """Return a text up to the last border before one of these, if anything stands before it."""
    plain = " ".join(text.split())
    for pair in pairs:
        at = plain.casefold().find(pair)
        borders = [border for border in _BORDER.finditer(plain) if border.end() <= at] if at > 0 else []
        if borders and borders[-1].start() > 0:
            return plain[: borders[-1].start()]
    return text


def _joined(steps: Iterable[Step], tools: Catalogue) -> Plan:
    """Return the plan with equal calls as one, and with calls that differ only in whom they go to."""
    kept: list[Step] = []
    numbers: dict[int, int] = {}
    for step in steps:
        moved = replace(
            step,
            args=tuple(renumber(value, numbers) for value in step.args),
            named={name: renumber(value, numbers) for name, value in step.named.items()},
        )
        tool = tools.get(step.tool)
        for i, earlier in enumerate(kept):
            if tool and earlier.tool == step.tool and (both := _both(earlier, moved, tool)):
                kept[i] = both
                numbers[step.number] = i + 1
                break
        else:
            numbers[step.number] = len(kept) + 1
            kept.append(replace(moved, number=len(kept) + 1))
    return Plan(tuple(kept))


def _both(first: Step, second: Step, tool: ToolSpec) -> Step | None:
    """Return the call that does what two do; None if they do different things."""
    if first.args == second.args and first.named == second.named:
        return first
    if tool.effect is not Effect.SEND or len(first.args) != len(second.args) or first.named != second.named:
        return None
    differing = [i for i, (a, b) in enumerate(zip(first.args, second.args, strict=True)) if _plain(a) != _plain(b)]
    if len(differing) != 1:
        return None
    [i] = differing
    mine, others = first.args[i], second.args[i]
    if not isinstance(mine, tuple) or not isinstance(others, tuple) or any(isinstance(item, Ref) for item in others):
        return None  # an earlier step cannot refer to what comes after it
    together = (*mine, *(item for item in others if item not in mine))
    return replace(first, args=(*first.args[:i], together, *first.args[i + 1 :]))


def _plain(value: Value) -> Value:
    return value.casefold().strip() if isinstance(value, str) else value


def _grounded(step: Step, tool: ToolSpec, times: Collection[str], now: datetime, said: str) -> Step:
    try:
        bound = bind(step, tool)
    except ElaborationError:
        return step  # elaboration will say what is wrong
    changed = (
        _whole_times(bound, tool, [t for t in times if t in said], now)
        | _clock_times(bound, tool, times, now)
        | _without_titles(bound, tool, said)
    )
    if not changed:
        return step
    at = {parameter.name: i for i, parameter in enumerate(tool.required[: len(step.args)])}
    if len(step.args) > len(tool.required):
        at = {parameter.name: i for i, parameter in enumerate(tool.parameters[: len(step.args)])}
    args, named = list(step.args), dict(step.named)
    for name, value in changed.items():
        if name in at:
            args[at[name]] = value
        else:
            named[name] = value
    return replace(step, args=tuple(args), named=named)


def _whole_times(bound: Mapping[str, Value], tool: ToolSpec, times: Collection[str], now: datetime) -> dict[str, Value]:
    """Return starts with the end that stands behind them in the request, where the call has none."""
    changed: dict[str, Value] = {}
    for end in tool.parameters:
        begins = end.ends or end.lasts
        start = bound.get(begins) if begins and not bound.get(end.name) else None
        if not isinstance(start, str) or not (moment := _moment(start, now)) or moment.end:
            continue
        for time in times:
            whole = _moment(time, now)
            if whole and whole.end and whole.start == moment.start and _begins(time, start):
                changed[begins] = time
    return changed


def _clock_times(bound: Mapping[str, Value], tool: ToolSpec, times: Collection[str], now: datetime) -> dict[str, Value]:
    """Return days with the time of day that stands with them in the request, where the call has none."""
    changed: dict[str, Value] = {}
    for parameter in tool.parameters:
        said = bound.get(parameter.name)
        if parameter.type is not Type.DATETIME or parameter.ends or not isinstance(said, str) or said in times:
            continue
        moment = _moment(said, now)
        around = [time for time in times if re.search(rf"\b{re.escape(said)}\b", time, re.IGNORECASE)]
        if moment and moment.all_day and len(around) == 1:
            whole, rest = _moment(around[0], now), around[0].casefold().replace(said.casefold(), "", 1)
            if (
                whole
                and not whole.all_day
                and not _TOPIC.search(rest)
                and (_CLOCK.search(rest) or not _COUNT.search(rest))
            ):
                changed[parameter.name] = around[0]
    return changed


_ONES = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|uma?|dois|duas|três|quatro|cinco|seis|sete|oito|nove|dez|onze"
    "|doze|una?|dos|tres|cuatro|siete|ocho|nueve|diez|once|doce"
)
# A bare number beside a day may count something: "Friday 2 kids come", "dinner for four on Saturday".
_COUNT = re.compile(rf"\d|\b(?:{_ONES})\b", re.IGNORECASE)
# A part of the day may belong to what it is about: "tomorrow about the evening class".
_TOPIC = re.compile(r"\b(?:about|of|sobre|lo)\s+(?:the|my|our|an?|o|a|el|la|las|los|de)\b", re.IGNORECASE)
_CLOCK = re.compile(
    rf"\b(?:at|às?|las?|@)\s*(?:\d|(?:half|quarter|{_ONES})\b)|\d(?::|\.|h)\d\d|\d\s*(?:[ap]\.?m\b|h\b|o'?clock)",
    re.IGNORECASE,
)


def _without_titles(bound: Mapping[str, Value], tool: ToolSpec, said: str) -> dict[str, Value]:
    """Return lists of people or files without those that are only the call's own text again.

    A file may have the name that the mail about it has as its subject: it goes only where the request says that this is what the mail is about, or its subject.
    """
    texts = {_key(v) for p in tool.parameters if p.type is Type.STRING and isinstance(v := bound.get(p.name), str)}

    def is_title(item: Value, kind: Type) -> bool:
        if not isinstance(item, str) or _is_literal(item) or _key(item) not in texts:
            return False
        about = rf"\b(?:about|re|regarding|sobre|subject(?: line)?|assunto|asunto|titled?|título)\W+(?:(?:the|my|our|o|a|el|la|mi)\s+)?{re.escape(item)}\b"
        return kind is not Type.PATH or re.search(about, said, re.IGNORECASE) is not None

    changed: dict[str, Value] = {}
    for parameter in tool.parameters:
        value = bound.get(parameter.name)
        if parameter.required or parameter.type not in COERCIBLE or not isinstance(value, tuple):
            continue
        kept = tuple(item for item in value if not is_title(item, parameter.type))
        if len(kept) < len(value):
            changed[parameter.name] = kept
    return changed


def _moment(said: str, now: datetime) -> Moment | None:
    try:
        return parse_moment(said, now)
    except DateError:
        return None


def _begins(whole: str, part: str) -> bool:
    return re.match(rf"{re.escape(' '.join(part.split()))}\b", " ".join(whole.split()), re.IGNORECASE) is not None


def _key(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _is_literal(text: str) -> bool:
    """Whether a text is an address, a path or the name of a file, which may well be the subject too."""
    return re.search(r"@|^[/~]|^[A-Za-z]:|\.\w{1,5}$", text) is not None
