"""A plan as the planner wrote it → the same plan, held against the words of the request.

A small model forgets and makes up in ways that the request itself gives away. Two are mended here, before elaboration:
the end of a time that was cut off ("Friday 2" of "Friday 2 to 3:30"), and a person or file that is only the call's own
title again. What is mended is in the plan that the user sees and approves.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from pipeline.dates import DateError, Moment, find_times, parse_moment
from pipeline.elaborate import ElaborationError, bind
from pipeline.plan import Plan, Step, Value
from pipeline.spec import COERCIBLE, Catalogue, ToolSpec, Type


def ground(plan: Plan, tools: Catalogue, request: str, now: datetime) -> Plan:
    """Return the plan with what the request shows to be cut off or made up set right.

    Args:
        plan: What the planner wrote.
        tools: The tools that may be called.
        request: The person's words.
        now: When they were said, local time.
    """
    times = find_times(request, now)
    return Plan(
        tuple(_grounded(step, tools[step.tool], times, now) if step.tool in tools else step for step in plan.steps)
    )


def _grounded(step: Step, tool: ToolSpec, times: Collection[str], now: datetime) -> Step:
    try:
        bound = bind(step, tool)
    except ElaborationError:
        return step  # elaboration will say what is wrong
    changed = _whole_times(bound, tool, times, now) | _without_titles(bound, tool)
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
        start = bound.get(end.ends) if end.ends and not bound.get(end.name) else None
        if not isinstance(start, str) or not (moment := _moment(start, now)) or moment.end:
            continue
        for time in times:
            whole = _moment(time, now)
            if whole and whole.end and whole.start == moment.start and _begins(time, start):
                changed[end.ends] = time
    return changed


def _without_titles(bound: Mapping[str, Value], tool: ToolSpec) -> dict[str, Value]:
    """Return lists of people or files without those that are called just as the call's own text."""
    texts = {_key(v) for p in tool.parameters if p.type is Type.STRING and isinstance(v := bound.get(p.name), str)}
    changed: dict[str, Value] = {}
    for parameter in tool.parameters:
        value = bound.get(parameter.name)
        if parameter.required or parameter.type not in COERCIBLE or not isinstance(value, tuple):
            continue
        kept = tuple(
            item for item in value if not isinstance(item, str) or _is_literal(item) or _key(item) not in texts
        )
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
