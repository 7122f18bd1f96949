"""What the planner wrote → the full plan: "the model says what, the compiler works out how".

A planner may write a *surface plan*: the calls that the person asked for, with arguments in the person's words
(`send_sms(["Priya"], "Late")`, `create_reminder("call mum", due_date="next friday at 3")`). `elaborate` makes it the
full LLMCompiler plan from nothing but the types in the tool specs: a name where an email, phone number or path is
wanted becomes a lookup, equal lookups are shared, dates are resolved, defaults filled in, every argument written out by
position. A plan that spells all of this out passes through unchanged, so both forms of a request give the same
graph. It also checks what the plan language cannot: names, arity, types, references of a fitting type.

It knows nothing of models, and of the user's data only the words in the plan.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pipeline.dates import DateError, Moment, parse_duration, parse_end, parse_moment
from pipeline.errors import TinyAgentError
from pipeline.plan import Plan, Ref, Step, Template, Value, references, renumber
from pipeline.spec import Catalogue, Effect, Parameter, ToolSpec, Type

DATETIME_FORMAT = "%Y-%m-%d %H:%M:%S"
DATE_FORMAT = "%Y-%m-%d"


class ElaborationError(TinyAgentError):
    """A call does not fit its tool. `step` is its number in the plan as written, `parameter` the argument's name."""

    def __init__(self, message: str, *, step: int, parameter: str = "", fix: str | None = None) -> None:
        where = f"step {step}, {parameter}" if parameter else f"step {step}"
        super().__init__(f"{where}: {message}", fix=fix)
        self.step, self.parameter = step, parameter


def elaborate(plan: Plan, tools: Catalogue, now: datetime) -> Plan:
    """Return the full plan of a surface plan.

    Args:
        plan: What the planner wrote.
        tools: The tools that may be called, lookups for coercions included.
        now: When the request was made, local time.

    Raises:
        ElaborationError: A call names no tool, has arguments that its tool does not take, or values that cannot
            become what the tool wants.
    """
    return _Elaboration(tools, now).run(plan)


def bind(step: Step, tool: ToolSpec) -> dict[str, Value]:
    """Return a call's arguments by name.

    Up to as many positional arguments as the tool has required parameters are those, in order; more are taken in
    the order of the signature. The short prompt and the grammar write required arguments by position and the
    others by name.

    Raises:
        ElaborationError: Too many arguments, an unknown name, or one argument given twice.
    """
    order = tool.required if len(step.args) <= len(tool.required) else tool.parameters
    if len(step.args) > len(order):
        raise ElaborationError(
            f"{tool.name} takes {len(order)} arguments, not {len(step.args)}", step=step.number
        )
    bound = {parameter.name: value for parameter, value in zip(order, step.args, strict=False)}
    for name, value in step.named.items():
        if tool.parameter(name) is None:
            raise ElaborationError(
                f"{tool.name} has no parameter {name!r}",
                step=step.number,
                fix=f"it has {', '.join(p.name for p in tool.parameters)}",
            )
        if name in bound:
            raise ElaborationError("given twice", step=step.number, parameter=name)
        bound[name] = value
    return bound


@dataclass
class _Elaboration:
    """The full plan so far."""

    tools: Catalogue
    now: datetime
    steps: list[Step] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)  # of the surface plan → of the full plan
    shared: dict[tuple[str, Any], int] = field(default_factory=dict)  # lookups made, by call

    def run(self, plan: Plan) -> Plan:
        for step in plan.steps:
            self.numbers[step.number] = self._call(step)
        return Plan(tuple(self.steps))

    def _call(self, step: Step) -> int:
        tool = self.tools.get(step.tool)
        if tool is None:
            raise ElaborationError(
                f"there is no tool {step.tool!r} to call",
                step=step.number,
                fix=f"there are {', '.join(self.tools)}",
            )
        given = {name: renumber(value, self.numbers) for name, value in bind(step, tool).items()}
        moments: dict[str, Moment] = {}
        flags: dict[str, bool] = {}  # parameters that a date decides, such as all_day
        values: dict[str, Value] = {}
        for parameter in tool.parameters:
            where = _Where(step.number, parameter)
            value = given.get(parameter.name)
            if value is None and parameter.required:
                raise where.error("is missing")
            unsaid = value is None or (value == "" and parameter.type is not Type.STRING)
            if parameter.type is Type.DATETIME:
                values[parameter.name] = self._datetime(None if unsaid else value, where, moments, flags)
            elif unsaid:
                values[parameter.name] = _constant(parameter.default)
            elif parameter.list:
                items = value if isinstance(value, tuple) else (value,)
                values[parameter.name] = self._list(items, where)
            else:
                values[parameter.name] = self._single(value, where)
        for name, flag in flags.items():
            if given.get(name) is None:
                values[name] = flag
        return self._add(tool, tuple(values.values()))

    def _add(self, tool: ToolSpec, args: tuple[Value, ...]) -> int:
        """Append a call, or find the equal lookup that was made already; return its number."""
        key = (tool.name, _folded(args))
        lookup = tool.effect is Effect.READ or tool.coerces is not None
        if lookup and key in self.shared:
            return self.shared[key]
        number = len(self.steps) + 1
        self.steps.append(Step(number, tool.name, args))
        if lookup:
            self.shared[key] = number
        return number

    def _list(self, items: tuple[Value, ...], where: _Where) -> Value:
        people = where.parameter.type in (Type.EMAIL, Type.PHONE)
        kept = [
            item for item in items if not (people and isinstance(item, str) and item.casefold() in _THE_USER)
        ]
        if where.parameter.required and not kept:
            raise where.error("nobody is named" if people else "is empty")
        return tuple(dict.fromkeys(self._single(item, where) for item in kept))

    def _single(self, value: Value, where: _Where) -> Value:
        kind = where.parameter.type
        if isinstance(value, Ref | Template):
            return self._referring(value, where)
        match kind:
            case Type.STRING:
                if isinstance(value, tuple):
                    return ", ".join(str(item) for item in value)
                return value if isinstance(value, str) else str(value)
            case Type.EMAIL | Type.PHONE | Type.PATH | Type.URL:
                return self._coerced(str(value).strip(), where)
            case Type.INTEGER:
                return _integer(value, where)
            case Type.NUMBER:
                return _number(value, where)
            case Type.BOOLEAN:
                if isinstance(value, bool):
                    return value
                if (word := str(value).casefold()) in ("true", "false"):
                    return word == "true"
                raise where.error(f"{value!r} is neither true nor false")
            case Type.ENUM:
                for choice in where.parameter.choices:
                    if str(value).casefold() == choice.casefold():
                        return choice
                raise where.error(f"{value!r} is not one of {', '.join(where.parameter.choices)}")
            case Type.DURATION:
                return _minutes(value, where)
            case _:
                raise AssertionError(f"{kind} is handled elsewhere")

    def _referring(self, value: Ref | Template, where: _Where) -> Value:
        """Check that each reference is to a step whose output fits."""
        wanted = where.parameter.type
        if isinstance(value, Template) and wanted is not Type.STRING:
            raise where.error(f"text around a reference cannot be {_article(wanted)}")
        for ref in references(value):
            tool = self.tools[self.steps[ref.step - 1].tool]
            if tool.returns.type is Type.STATUS:
                raise where.error(f"{tool.name} gives nothing to refer to")
            if wanted is not Type.STRING and tool.returns.type is not wanted:
                raise where.error(f"the result of {tool.name} is not {_article(wanted)}")
        return value

    def _coerced(self, text: str, where: _Where) -> Value:
        """Return a literal of the wanted type as it is, and of anything else the result of a lookup."""
        kind = where.parameter.type
        if _LITERAL[kind].fullmatch(text):
            return text
        lookup = self.tools.coercion_to(kind)
        if lookup is None or not text:
            raise where.error(f"{text!r} is not {_article(kind)}")
        said = _bare(text) if lookup.coerces and lookup.coerces.source == "person" else text
        return Ref(self._add(lookup, (said,)))

    def _datetime(
        self, value: Value, where: _Where, moments: dict[str, Moment], flags: dict[str, bool]
    ) -> Value:
        """Resolve a time as said; what it says beside the time goes to `moments` and `flags`."""
        parameter = where.parameter
        if value is not None and not isinstance(value, str):
            raise where.error("a time is written in words or as YYYY-MM-DD HH:MM:SS")
        try:
            if parameter.ends:
                return self._end(value, parameter, moments[parameter.ends]).strftime(DATETIME_FORMAT)
            if value is None:
                return (self.now + parse_duration(str(parameter.default))).strftime(DATETIME_FORMAT)
            moment = parse_moment(value, self.now)
        except DateError as error:
            raise where.error(error.message, fix=error.fix) from error
        moments[parameter.name] = moment
        if parameter.all_day:
            flags[parameter.all_day] = moment.all_day
            if moment.all_day:
                return moment.start.strftime(DATE_FORMAT)
        return moment.start.strftime(DATETIME_FORMAT)

    def _end(self, value: str | None, parameter: Parameter, start: Moment) -> datetime:
        if value is not None:
            return parse_end(value, start, self.now)
        if start.end is not None:
            return start.end
        if start.all_day:
            return start.start + timedelta(days=1, seconds=-1)
        return start.start + parse_duration(str(parameter.default))


@dataclass(frozen=True, slots=True)
class _Where:
    """The argument at hand, for error messages."""

    step: int
    parameter: Parameter

    def error(self, message: str, *, fix: str | None = None) -> ElaborationError:
        return ElaborationError(message, step=self.step, parameter=self.parameter.name, fix=fix)


_LITERAL: Mapping[Type, re.Pattern[str]] = {
    Type.EMAIL: re.compile(r"[^@\s<>]+@[^@\s<>]+"),
    Type.PHONE: re.compile(r"\+?(?=(?:\D*\d){3})[\d\s().\-/]+"),
    Type.PATH: re.compile(r"(?:[/~]|[A-Za-z]:[\\/]).*", re.DOTALL),
    Type.URL: re.compile(r"\w+:\S+"),
}

# The user, who is never looked up or invited (convention 1).
_THE_USER = frozenset({"me", "myself", "i", "us", "eu", "mim", "comigo", "yo", "mí", "conmigo"})

# "my dentist" is looked up as "dentist" (convention 1); a capitalised article may be part of a name.
_POSSESSIVE = re.compile(
    r"(?:my|our|the|meu|minha|meus|minhas|nosso|nossa|o|a|os|as|mi|mis|nuestro|nuestra|el|la|los|las)\s+(?=\S)"
)


def _bare(name: str) -> str:
    return _POSSESSIVE.sub("", name, count=1) if _POSSESSIVE.match(name) else name


def _folded(value: Value) -> Any:
    """Return a key under which equal lookups meet: names without regard to case and spacing."""
    if isinstance(value, str):
        return " ".join(value.casefold().split())
    if isinstance(value, tuple):
        return tuple(_folded(item) for item in value)
    return value


def _constant(default: Any) -> Value:
    return tuple(default) if isinstance(default, list) else default


def _integer(value: Value, where: _Where) -> int:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise where.error(f"{value!r} is not a whole number") from None
    if number != int(number):
        raise where.error(f"{value!r} is not a whole number")
    return int(number)


def _number(value: Value, where: _Where) -> int | float:
    if isinstance(value, int | float):
        return value
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise where.error(f"{value!r} is not a number") from None


def _minutes(value: Value, where: _Where) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return round(parse_duration(str(value)).total_seconds() / 60)
    except DateError as error:
        raise where.error(error.message, fix=error.fix) from error


def _article(kind: Type) -> str:
    names = {
        Type.EMAIL: "an email address",
        Type.PHONE: "a phone number",
        Type.PATH: "a file's path",
        Type.URL: "a URL",
    }
    return names.get(kind, f"{'an' if kind.value[0] in 'aeiou' else 'a'} {kind.value}")
