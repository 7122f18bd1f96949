"""Full plans of the seeds → the surface plans that the planner learns to write.

The inverse of `pipeline.elaborate`: lookups that a coercion implies are taken out again and their names put
where their result was used, defaults and whatever a date decides are left out. `elaborate(to_surface(plan))`
gives the plan's graph back; `tests/test_surface.py` holds it to that for every seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.plan import Plan, Ref, Step, Template, Value, escape_dollars, parse_text, references, renumber
from pipeline.prompt import writable
from pipeline.spec import Catalogue, Parameter

Call = tuple[str, Mapping[str, Any]]


def to_surface(calls: Sequence[Call], tools: Catalogue) -> Plan:
    """Return the surface plan of a full plan.

    Args:
        calls: The calls in order, with named arguments (values of JSON, `$k` in text).
        tools: The tools that are called.
    """
    full = [
        Step(number, tool, named={name: _value(value, number) for name, value in args.items()})
        for number, (tool, args) in enumerate(calls, 1)
    ]
    names = {step.number: name for step in full if (name := _looked_up(step, tools)) is not None}

    def coerced(ref: Ref, parameter: Parameter) -> bool:
        return ref.step in names and tools[full[ref.step - 1].tool].returns.type is parameter.type

    def inlined(value: Value, parameter: Parameter) -> Value:
        if isinstance(value, tuple):
            return tuple(inlined(item, parameter) for item in value)
        return names[value.step] if isinstance(value, Ref) and coerced(value, parameter) else value

    uses = [
        (ref, parameter)
        for step in full
        for parameter in tools[step.tool].parameters
        for ref in references(step.named.get(parameter.name))
    ]
    # A lookup that is asked for its own sake, or whose result is used as text, stays.
    dropped = {ref.step for ref, parameter in uses if coerced(ref, parameter)} - {
        ref.step for ref, parameter in uses if not coerced(ref, parameter)
    }

    numbers: dict[int, int] = {}
    surface: list[Step] = []
    for step in full:
        if step.number in dropped:
            continue
        tool = tools[step.tool]
        numbers[step.number] = len(surface) + 1
        written: dict[str, Value] = {}
        for parameter in writable(tool):
            value = inlined(step.named.get(parameter.name), parameter)
            if parameter.required:
                written[parameter.name] = "" if value is None else renumber(value, numbers)
            elif value not in (None, "", (), _frozen(parameter.default)):
                written[parameter.name] = renumber(value, numbers)
        required = tuple(written.pop(p.name) for p in tool.required)
        surface.append(Step(len(surface) + 1, tool.name, required, written))
    return Plan(tuple(surface))


def as_json(value: Value) -> Any:
    """Return a value as seeds and evaluation files write it: references within text."""
    match value:
        case Ref(step):
            return f"${step}"
        case Template(parts):
            return "".join(f"${part.step}" if isinstance(part, Ref) else escape_dollars(part) for part in parts)
        case tuple():
            return [as_json(item) for item in value]
        case str():
            return escape_dollars(value)
        case _:
            return value


def _looked_up(step: Step, tools: Catalogue) -> str | None:
    """Return the name that a lookup looks up, None of any other call."""
    tool = tools[step.tool]
    name = step.named.get(tool.required[0].name) if tool.coerces else None
    return name if isinstance(name, str) else None  # a result of another step cannot be said as a name


def _value(value: Any, step: int) -> Value:
    if isinstance(value, str):
        return parse_text(value, step)
    if isinstance(value, list):
        return tuple(_value(item, step) for item in value)
    return value  # type: ignore[no-any-return]


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
