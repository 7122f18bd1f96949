"""What the planner wrote → the full plan: "the model says what, the compiler works out how".

A planner may write a *surface plan*: the calls that the person asked for, with arguments in the person's
words (`send_sms(["Priya"], "Late")`, `create_reminder("call mum", due_date="next friday at 3")`). `elaborate`
makes it the full LLMCompiler plan from nothing but the types in the tool specs: a name where an email, phone
number or path is wanted becomes a lookup, equal lookups are shared, dates are resolved, defaults filled in,
every argument written out by position. A plan that spells all of this out passes through unchanged, so both
forms of a request give the same graph. It also checks what the plan language cannot: names, arity, types,
references of a fitting type.

It knows nothing of models, and of the user's data only the words in the plan.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pipeline.dates import DateError, Moment, parse_duration, parse_end, parse_moment
from pipeline.errors import TinyAgentError
from pipeline.plan import Plan, Ref, Step, Template, Value, references, renumber, substitute, template
from pipeline.spec import COERCIBLE, Catalogue, Effect, Parameter, ToolSpec, Type, fits

DATETIME_FORMAT = "%Y-%m-%d %H:%M:%S"
DATE_FORMAT = "%Y-%m-%d"


class ElaborationError(TinyAgentError):
    """A call does not fit its tool. `step` is its number in the plan as written, `parameter` its argument."""

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
        ElaborationError: A call names no tool, has arguments that its tool does not take, or values that
            cannot become what the tool wants.
    """
    return _Elaboration(tools, now).run(_without_needless_lookups(plan, tools))


def _without_needless_lookups(plan: Plan, tools: Catalogue) -> Plan:
    """Return the plan with what was given already in place of its lookup, such as of an address or a number."""
    given: dict[int, str | Ref] = {}
    kept: list[Step] = []
    for step in plan.steps:
        tool = tools.get(step.tool)
        if tool and tool.coerces and tool.effect is Effect.READ and [*map(type, step.args)] == [str] and not step.named:
            text = str(step.args[0]).strip()
            if (literal := _LITERAL.get(tool.returns.type)) and literal.fullmatch(text):
                given[step.number] = text
                continue
        args = tuple(_put(value, given) for value in step.args)
        named = {name: _put(value, given) for name, value in step.named.items()}
        kept.append(Step(len(kept) + 1, step.tool, args, named))
        given[step.number] = Ref(len(kept))
    return Plan(tuple(kept)) if len(kept) < len(plan.steps) else plan


def _put(value: Value, given: Mapping[int, str | Ref]) -> Value:
    """Return a value with other references, or text, in place of its references."""
    match value:
        case Ref(step):
            return given[step]
        case Template(parts):
            return template(given[part.step] if isinstance(part, Ref) else part for part in parts)
        case tuple():
            return tuple(_put(item, given) for item in value)
        case _:
            return value


def settle(step: Step, tool: ToolSpec, outputs: Mapping[int, str], now: datetime) -> dict[str, object]:
    """Return the arguments of a full call, by name, with the outputs of other steps in their place.

    Where a tool's words stand for a number, a choice or a time (see `pipeline.spec.fits`), they become one now, by
    the rules of `elaborate`; so does an end that had to wait for its start.

    Args:
        step: A call as `elaborate` writes it.
        tool: Its tool.
        outputs: What the steps that it refers to gave, by number.
        now: When the request was made, local time.

    Raises:
        ElaborationError: An output cannot become what is wanted.
    """
    given = dict(zip((p.name for p in tool.parameters), step.args, strict=True))
    arguments = {name: substitute(value, outputs) for name, value in given.items()}
    late = [p for p in tool.parameters if p.type not in _AS_THEY_ARE and any(references(given[p.name]))]
    if not late:
        return arguments
    flags = {p.all_day for p in late}
    names = ({p.name for p in late} | {p.ends for p in late} | flags) - {""}
    wanted = tuple(p for p in tool.parameters if p.name in names or p.ends in names)
    said = {p.name: _frozen(arguments[p.name]) for p in wanted if p.name not in flags}
    elaboration = _Elaboration(Catalogue([tool.model_copy(update={"parameters": wanted, "coerces": None})]), now)
    elaboration.call(Step(step.number, tool.name, named=said))
    settled = zip(wanted, elaboration.steps[0].args, strict=True)
    return arguments | {p.name: substitute(value, {}) for p, value in settled}


def bind(step: Step, tool: ToolSpec) -> dict[str, Value]:
    """Return a call's arguments by name.

    Up to as many positional arguments as the tool has required parameters are those, in order; more are taken
    in the order of the signature. The short prompt and the grammar write required arguments by position and
    the others by name.

    Raises:
        ElaborationError: Too many arguments, an unknown name, or one argument given twice.
    """
    order = tool.required if len(step.args) <= len(tool.required) else tool.parameters
    if len(step.args) > len(order):
        raise ElaborationError(
            f"{tool.name} takes at most {len(order)} arguments, not {len(step.args)}", step=step.number
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
            self.numbers[step.number] = self.call(step)
        return Plan(tuple(self.steps))

    def call(self, step: Step) -> int:
        """Add a call to the full plan, after what it needs; return its number there."""
        tool = self.tools.get(step.tool)
        if tool is None:
            raise ElaborationError(
                f"there is no tool {step.tool!r} to call",
                step=step.number,
                fix=f"there are {', '.join(self.tools)}",
            )
        bound = bind(step, tool)
        given = {
            parameter.name: renumber(value, self.numbers)
            for parameter in tool.parameters
            if (value := _said(bound.get(parameter.name), parameter)) is not None
        }
        dates = _Dates()
        values: dict[str, Value] = {}
        for parameter in sorted(tool.parameters, key=lambda p: p.ends + p.lasts != ""):  # a start before its end
            where = _Where(step.number, parameter)
            value = given.get(parameter.name)
            if value is None and parameter.required:
                raise where.error("is missing")
            if parameter.type is Type.DATETIME and not parameter.list:
                values[parameter.name] = self._datetime(value, where, dates)
            elif value is None:
                start = dates.moments.get(parameter.lasts)
                values[parameter.name] = (
                    _in_minutes(start.end - start.start) if start and start.end else _default(where)
                )
            elif isinstance(value, tuple) and parameter.list:
                values[parameter.name] = self._list(value, where)
            else:
                values[parameter.name] = self._single(value, where)
        values |= {name: flag for name, flag in dates.flags.items() if name not in given}
        if tool.coerces and tool.coerces.source == "person":
            (named,) = tool.required
            values[named.name] = _bare(values[named.name])
        return self._add(tool, tuple(values[parameter.name] for parameter in tool.parameters))

    def _add(self, tool: ToolSpec, args: tuple[Value, ...]) -> int:
        """Append a call, or find the equal lookup that was made already; return its number."""
        key = (tool.name, _folded(args) if tool.coerces else args)
        lookup = tool.effect is Effect.READ or tool.coerces is not None
        if lookup and key in self.shared:
            return self.shared[key]
        number = len(self.steps) + 1
        self.steps.append(Step(number, tool.name, args))
        if lookup:
            self.shared[key] = number
        return number

    def _list(self, items: tuple[Value, ...], where: _Where) -> Value:
        if where.parameter.required and not items:
            raise where.error("nobody is named" if where.parameter.type in _PEOPLE else "is empty")
        values = dict.fromkeys(self._single(item, where) for item in items)
        return tuple(value for value in values if value != "")

    def _single(self, value: Value, where: _Where) -> Value:
        kind = where.parameter.type
        if kind is Type.STRING:
            value = _text(value)
        if isinstance(value, Ref | Template):
            return self._referring(value, where)
        if isinstance(value, tuple):
            raise where.error("one value is wanted, not a list")
        match kind:
            case Type.STRING:
                return value
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
            case Type.DATETIME:
                return self._moment(value, where).start.strftime(DATETIME_FORMAT)
            case Type.STATUS:
                raise AssertionError("no parameter is a status")

    def _referring(self, value: Ref | Template, where: _Where) -> Value:
        """Check that each reference is to a step whose output fits."""
        wanted = where.parameter.type
        if isinstance(value, Template) and wanted is not Type.STRING:
            raise where.error(f"text around a reference cannot be {_article(wanted)}")
        for ref in references(value):
            tool = self.tools[self.steps[ref.step - 1].tool]
            if tool.returns.type is Type.STATUS:
                raise where.error(f"{tool.name} gives nothing to refer to")
            if not fits(tool.returns.type, wanted):
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
        return Ref(self.call(Step(where.step, lookup.name, (text,))))

    def _datetime(self, value: Value, where: _Where, dates: _Dates) -> Value:
        """Resolve a time as said (None if unsaid); what it says beside the time goes to `dates`."""
        parameter = where.parameter
        if isinstance(value, Ref | Template):
            dates.moments[parameter.name] = None
            return self._referring(value, where)
        if parameter.ends:
            return self._end(value, where, dates)
        if value is not None:
            moment = self._moment(value, where)
            if parameter.all_day:
                dates.flags[parameter.all_day] = moment.all_day
        elif parameter.default:
            moment = Moment(self.now + where.duration(parameter.default), all_day=False, end=None)
        else:
            return ""
        dates.moments[parameter.name] = moment
        whole_day = moment.all_day and parameter.all_day
        return moment.start.strftime(DATE_FORMAT if whole_day else DATETIME_FORMAT)

    def _end(self, value: Value, where: _Where, dates: _Dates) -> str:
        """Resolve the end of another time."""
        parameter = where.parameter
        start = dates.moments.get(parameter.ends)
        end: datetime | None = None
        if start is None and parameter.ends in dates.moments:
            return "" if value is None else where.words(value)  # settled when its start is
        if value is None:
            end = _last_second(start) if start else None
            if start and end is None and parameter.default:
                end = start.start + where.duration(parameter.default)
        elif start:
            with where.understanding():
                end = parse_end(where.words(value), start, self.now)
        else:
            moment = self._moment(value, where)
            end = _last_second(moment) or moment.start
        return end.strftime(DATETIME_FORMAT) if end else ""

    def _moment(self, value: Value, where: _Where) -> Moment:
        with where.understanding():
            return parse_moment(where.words(value), self.now)


@dataclass
class _Dates:
    """What is known of a call's dates so far, by parameter."""

    moments: dict[str, Moment | None] = field(default_factory=dict)  # None: known only when the plan runs
    flags: dict[str, bool] = field(default_factory=dict)  # parameters that a date decides, such as all_day


@dataclass(frozen=True, slots=True)
class _Where:
    """The argument at hand, for error messages."""

    step: int
    parameter: Parameter

    def error(self, message: str, *, fix: str | None = None) -> ElaborationError:
        return ElaborationError(message, step=self.step, parameter=self.parameter.name, fix=fix)

    def words(self, value: Value) -> str:
        if not isinstance(value, str):
            raise self.error("a time is written in words or as YYYY-MM-DD HH:MM:SS")
        return value

    def duration(self, words: object) -> timedelta:
        with self.understanding():
            return parse_duration(str(words))

    @contextmanager
    def understanding(self) -> Iterator[None]:
        """Let what is wrong with a date be said of this argument."""
        try:
            yield
        except DateError as error:
            raise self.error(error.message, fix=error.fix) from error


_LITERAL: Mapping[Type, re.Pattern[str]] = {
    Type.EMAIL: re.compile(r"[^@\s<>]+@[^@\s<>]+"),
    Type.PHONE: re.compile(r"\(?\+?(?=(?:\D*\d){3})[\d\s().\-/]+"),
    Type.PATH: re.compile(r"(?:[/~]|[A-Za-z]:[\\/]).*", re.DOTALL),
    Type.URL: re.compile(r"\w+:\S+"),
}

# What another tool's output is without being read: text, and what only a tool of just that type gives.
_AS_THEY_ARE = COERCIBLE | {Type.STRING}
_PEOPLE = (Type.EMAIL, Type.PHONE)
# The user, who is never looked up or invited (convention 1).
_THE_USER = frozenset({"me", "myself", "i", "us", "eu", "mim", "comigo", "yo", "mí", "conmigo"})

# "my dentist" is looked up as "dentist", "a minha mãe" as "mãe" (convention 1); a capitalised article may be
# part of a name.
_ARTICLES = re.compile(
    r"(?:(?:[Mm]y|[Oo]ur|the|"
    r"o|a|os|as|[Mm]eus?|[Mm]inhas?|[Nn]oss[oa]|"
    r"el|la|los|las|[Mm]is?|[Nn]uestr[oa])\s+)+(?=\S)"
)


def _bare(name: Value) -> Value:
    if isinstance(name, str) and (articles := _ARTICLES.match(name)):
        return name[articles.end() :]
    return name


def _said(value: Value, parameter: Parameter) -> Value:
    """Return an argument as its parameter takes it, a tuple for a list only; None if it says nothing."""
    if parameter.list:
        items = value if isinstance(value, tuple) else (value,)
        said = tuple(item for item in items if not _says_nothing(item, parameter.type))
        return said if said or isinstance(value, tuple) else None
    if isinstance(value, tuple) and len(value) < 2:
        return _said(value[0], parameter) if value else None
    return None if parameter.type is not Type.STRING and _says_nothing(value, parameter.type) else value


def _says_nothing(value: Value, kind: Type) -> bool:
    if not isinstance(value, str):
        return value is None
    return not value.strip() or (kind in _PEOPLE and value.strip().casefold() in _THE_USER)


def _text(value: Value) -> Value:
    """Return a value as text; a list's items with commas between, references among them kept."""
    if not isinstance(value, tuple):
        return value if isinstance(value, str | Ref | Template) else str(value)
    items = [_text(item) for item in value if item is not None]
    parts = [part for item in items for part in (", ", *(item.parts if isinstance(item, Template) else [item]))]
    return template(parts[1:])


def _last_second(moment: Moment) -> datetime | None:
    """Return the end that a time itself has: a range's, or a whole day's."""
    if moment.end is None and moment.all_day:
        return moment.start + timedelta(days=1, seconds=-1)
    return moment.end


def _folded(value: Value) -> Any:
    """Return a key under which equal lookups meet: names without regard to case and spacing."""
    if isinstance(value, str):
        return " ".join(value.casefold().split())
    if isinstance(value, tuple):
        return tuple(_folded(item) for item in value)
    return value


def _frozen(value: Any) -> Value:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _default(where: _Where) -> Value:
    default: Value = where.parameter.default
    if isinstance(default, list):
        return tuple(default)
    return _minutes(default, where) if where.parameter.type is Type.DURATION and default else default


def _integer(value: Value, where: _Where) -> int:
    number = _number(value, where)
    if number != int(number):
        raise where.error(f"{value!r} is not a whole number")
    return int(number)


def _number(value: Value, where: _Where) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise where.error(f"{value!r} is not a number")
    return number


def _minutes(value: Value, where: _Where) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return _in_minutes(where.duration(value))


def _in_minutes(length: timedelta) -> int | float:
    minutes = length / timedelta(minutes=1)
    return int(minutes) if minutes.is_integer() else minutes


def _article(kind: Type) -> str:
    names = {
        Type.EMAIL: "an email address",
        Type.PHONE: "a phone number",
        Type.PATH: "a file's path",
        Type.URL: "a URL",
    }
    return names.get(kind, f"{'an' if kind.value[0] in 'aeiou' else 'a'} {kind.value}")
