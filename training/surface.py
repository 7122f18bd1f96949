"""Full plans of the seeds → the surface plans that the planner learns to write.

The inverse of `pipeline.elaborate`: lookups that a coercion implies are taken out again and their names put where their
result was used, defaults and whatever a date decides are left out. `elaborate(to_surface(plan))` gives the plan's
graph back; `tests/test_surface.py` holds it to that for every seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.plan import Plan, Ref, Step, Template, Value, parse_text, references, renumber
from pipeline.prompt import writable
from pipeline.spec import Catalogue, Parameter

Call = tuple[str, Mapping[str, Any]]


def to_surface(calls: Sequence[Call], tools: Catalogue) -> Plan:
    """Return the surface plan of a full plan given as calls with named arguments (values of JSON, `$k` in text)."""
    steps = [
        _Call(tools[name].name, {k: _value(v, n) for k, v in args.items()})
        for n, (name, args) in enumerate(calls, 1)
    ]
    inlined = {n: _said(step, tools) for n, step in enumerate(steps, 1) if tools[step.tool].coerces}
    needed = set()  # lookups whose result is used as text, or which are asked for their own sake
    used = set()
    for step in steps:
        for parameter in tools[step.tool].parameters:
            for ref in references(step.args.get(parameter.name)):
                used.add(ref.step)
                if not _coercible(parameter, ref, steps, tools):
                    needed.add(ref.step)
    dropped = {n for n in inlined if n in used and n not in needed}

    numbers: dict[int, int] = {}
    result: list[Step] = []
    for n, step in enumerate(steps, 1):
        if n in dropped:
            continue
        tool = tools[step.tool]
        numbers[n] = len(result) + 1
        written: dict[str, Value] = {}
        for parameter in writable(tool):
            value = _inline(step.args.get(parameter.name), parameter, inlined, steps, tools)
            if parameter.required:
                written[parameter.name] = "" if value is None else renumber(value, numbers)
            elif value not in (None, "", (), _frozen(parameter.default)):
                written[parameter.name] = renumber(value, numbers)
        required = tuple(written.pop(p.name) for p in tool.required)
        result.append(Step(len(result) + 1, tool.name, required, written))
    return Plan(tuple(result))


class _Call:
    def __init__(self, tool: str, args: dict[str, Value]) -> None:
        self.tool, self.args = tool, args


def _value(value: Any, step: int) -> Value:
    if isinstance(value, str):
        return parse_text(value, step)
    if isinstance(value, list):
        return tuple(_value(item, step) for item in value)
    return value  # type: ignore[no-any-return]


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _said(step: _Call, tools: Catalogue) -> Value:
    return step.args[tools[step.tool].required[0].name]


def _coercible(parameter: Parameter, ref: Ref, steps: Sequence[_Call], tools: Catalogue) -> bool:
    target = tools[steps[ref.step - 1].tool]
    return target.coerces is not None and target.returns.type is parameter.type


def _inline(
    value: Value, parameter: Parameter, inlined: Mapping[int, Value], steps: Sequence[_Call], tools: Catalogue
) -> Value:
    if isinstance(value, Ref) and _coercible(parameter, value, steps, tools):
        return inlined[value.step]
    if isinstance(value, tuple):
        return tuple(_inline(item, parameter, inlined, steps, tools) for item in value)
    if isinstance(value, Template):
        return value
    return value
