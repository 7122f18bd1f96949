"""The plan language: a plan is a numbered list of calls, a DAG by its `$k` references.

    1. get_phone_number("Priya Nair")
    2. send_sms(["$1"], "Running ten minutes late, sorry!")
    3. join()

`parse_plan` reads text, `PlanParser` reads it as it is written, `Plan.text` writes the canonical form.
What LLMCompiler and the published TinyAgent models write parses too: `Thought:` lines, `<END_OF_PLAN>`,
`${1}`, single quotes, Python and JSON constants, arguments by name. This module knows no tools: names,
arity and types are checked in `pipeline.elaborate`.

References and dollars. Inside a string, `$k` is a reference if and only if 1 <= k < the number of the step
that it stands in, it is not written `\\$k`, and it is no amount of money such as `$1.50`, `$1,000` or `$1k`.
A string that is nothing but `$k` always is one, so that a wrong number is an error and not a text. A `\\$` is
always a dollar, and `Plan.text` writes every literal dollar before a digit so; a plan's text therefore says
all, and nothing depends on the request. Text of the user's that is shown to a planner passes through
`escape_dollars` first, so that a planner that copies "split the \\$1 fee" copies a dollar, not a reference.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import TypeAlias

from pipeline.errors import TinyAgentError

END_OF_PLAN = "<END_OF_PLAN>"
JOIN = "join"


class PlanError(TinyAgentError):
    """A text is not a plan. `step` is the number of the step at fault, 0 if none; `text` stands there."""

    def __init__(self, message: str, *, step: int = 0, text: str = "") -> None:
        where = f"step {step}: " if step else ""
        shown = f" in {text[:80]!r}" if text else ""
        super().__init__(f"{where}{message}{shown}")
        self.step, self.text = step, text


@dataclass(frozen=True, slots=True)
class Ref:
    """The output of step `step` (from 1)."""

    step: int


@dataclass(frozen=True, slots=True)
class Template:
    """Text with outputs of other steps in it: at least one `Ref`, and at least one other part."""

    parts: tuple[str | Ref, ...]


Value: TypeAlias = "str | int | float | bool | Ref | Template | tuple[Value, ...] | None"


@dataclass(frozen=True, slots=True)
class Step:
    """One call. Arguments stand by position, by name, or the first by position and the rest by name."""

    number: int  # from 1, as other steps refer to it
    tool: str
    args: tuple[Value, ...] = ()
    named: Mapping[str, Value] = field(default_factory=dict)

    @property
    def references(self) -> frozenset[int]:
        """The numbers of the steps whose outputs this one needs."""
        return frozenset(ref.step for value in (*self.args, *self.named.values()) for ref in references(value))

    def text(self) -> str:
        """Return the call as a line of a plan, without its number."""
        written = [_write(value) for value in self.args]
        written += [f"{name}={_write(value)}" for name, value in self.named.items()]
        return f"{self.tool}({', '.join(written)})"


@dataclass(frozen=True)
class Plan:
    """Calls in order, each referring only to earlier ones; the final `join()` is implied."""

    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        for position, step in enumerate(self.steps, 1):
            if step.number != position:
                raise PlanError(f"expected step {position}, found {step.number}", step=step.number, text=step.text())
            if wrong := sorted(k for k in step.references if not 1 <= k < position):
                raise PlanError(f"refers to ${wrong[0]}, which is not an earlier step", step=position, text=step.text())

    @cached_property
    def dependencies(self) -> Mapping[int, frozenset[int]]:
        """For each step, the steps whose outputs it needs: the DAG that the executor runs."""
        return {step.number: step.references for step in self.steps}

    def text(self) -> str:
        """Return the canonical text; `parse_plan` of it gives an equal plan."""
        lines = [f"{step.number}. {step.text()}" for step in self.steps]
        return "\n".join([*lines, f"{len(self.steps) + 1}. {JOIN}()"])


def references(value: Value) -> Iterator[Ref]:
    """Yield the references in a value, from left to right."""
    match value:
        case Ref():
            yield value
        case Template(parts):
            yield from (part for part in parts if isinstance(part, Ref))
        case tuple():
            for item in value:
                yield from references(item)


def substitute(value: Value, outputs: Mapping[int, str]) -> object:
    """Return the value as a tool gets it: references replaced by `outputs`, tuples as lists."""
    match value:
        case Ref(step):
            return outputs[step]
        case Template(parts):
            return "".join(outputs[p.step] if isinstance(p, Ref) else p for p in parts)
        case tuple():
            return [substitute(item, outputs) for item in value]
        case _:
            return value


def renumber(value: Value, numbers: Mapping[int, int]) -> Value:
    """Return the value with each reference to step k made one to step `numbers[k]`."""
    match value:
        case Ref(step):
            return Ref(numbers[step])
        case Template(parts):
            return Template(tuple(Ref(numbers[p.step]) if isinstance(p, Ref) else p for p in parts))
        case tuple():
            return tuple(renumber(item, numbers) for item in value)
        case _:
            return value


def template(parts: Iterable[str | Ref]) -> str | Ref | Template:
    """Return texts and references, one after another, as one value; a `Template` only if it takes one."""
    merged: list[str | Ref] = []
    for is_text, run in groupby(parts, key=lambda part: isinstance(part, str)):
        if is_text:
            merged.append("".join(map(str, run)))
        else:
            merged.extend(run)
    match [part for part in merged if part != ""]:
        case []:
            return ""
        case [single]:
            return single
        case several:
            return Template(tuple(several))


def escape_dollars(text: str) -> str:
    """Return the user's text with `\\` before each dollar that a plan could take for a reference."""
    return re.sub(r"\$(?=\{?\d)", r"\\$", text)


def parse_text(text: str, step: int) -> Value:
    """Read text of step number `step`: `$k` may refer to an earlier step, `\\$` is a dollar."""
    return _ArgumentReader(json.dumps(text, ensure_ascii=False).replace("\\\\$", "\\$"), step).read()[0][0]


def parse_plan(text: str) -> Plan:
    """Read a whole plan.

    Raises:
        PlanError: The text is not a plan, or breaks off before `join()`.
    """
    parser = PlanParser()
    steps = list(parser.feed(text + "\n"))
    parser.close()
    return Plan(tuple(steps))


class PlanParser:
    """Reads a plan while it is being written.

    `feed` takes the next piece of text, cut anywhere, and yields the steps that it completes; `done` turns
    true with `join()`, what follows it is ignored. The pieces' cuts never change the result.
    """

    def __init__(self) -> None:
        self.done = False
        self._buffer = ""
        self._count = 0

    def feed(self, text: str) -> Iterator[Step]:
        """Yield the steps that are complete now.

        Raises:
            PlanError: What has been written so far cannot become a plan.
        """
        self._buffer += text
        while not self.done and (call := self._next_call()):
            number, tool, body = call
            self._count += 1
            if tool == JOIN:
                self.done = True
                return
            if number != self._count:
                raise PlanError(f"expected step {self._count}, found {number}", step=number, text=f"{tool}({body})")
            args, named = _ArgumentReader(body, number).read()
            step = Step(number, tool, args, named)
            if wrong := sorted(k for k in step.references if not 1 <= k < number):
                raise PlanError(f"refers to ${wrong[0]}, which is not an earlier step", step=number, text=step.text())
            yield step

    def close(self) -> None:
        """Raise `PlanError` if the plan is not complete."""
        if not self.done:
            left = self._buffer.strip()
            raise PlanError(f"the plan breaks off before {JOIN}()", step=self._count + 1, text=left)

    def _next_call(self) -> tuple[int, str, str] | None:
        """Take the next complete call off the buffer, as number, tool and the text between the brackets."""
        while True:
            if head := _HEAD.match(self._buffer):
                end = _closing_bracket(self._buffer, head.end())
                if end is None:
                    return None
                body, self._buffer = self._buffer[head.end() : end], self._buffer[end + 1 :]
                return int(head[1]), head[2], body
            line, newline, rest = self._buffer.partition("\n")
            if not newline:
                return None  # the line may yet become a call
            if not _IGNORED.fullmatch(line.strip()):
                raise PlanError("expected a numbered call", step=self._count + 1, text=line.strip())
            self._buffer = rest


# How a call begins. It stays on one line, so that a piece may end with any line.
_HEAD = re.compile(r"\s*(\d{1,9})[ \t]*[.)][ \t]*([A-Za-z_]\w*)[ \t]*\(")
# Lines that planners write between the calls: thoughts, end marks, fences, a remark after a call.
_IGNORED = re.compile(r"|thought:.*|plan:|answer:.*|<END_OF_PLAN>|```\w*|#.*|;", re.IGNORECASE)


def _closing_bracket(text: str, start: int) -> int | None:
    """Return where a bracket opened before `start` closes, outside of strings, or None if it does not."""
    depth, quote, position = 1, "", start
    while position < len(text):
        char = text[position]
        if quote:
            if char == "\\":
                position += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return None


_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"([A-Za-z_]\w*)\s*=(?!=)")
_REF = re.compile(r"\$(?:(\d{1,9})(?!\d)|\{(\d{1,9})\})")
_NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?(?![\w.])")
_WORD = re.compile(r"[A-Za-z_]+")
_MAX_DEPTH = 20  # of lists in lists
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "none": None, "null": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
# `$1.50`, `$1,000`, `$5k`, `$2 million`: money, not a reference.
_MONEY = re.compile(r"\$\d+(?:[.,]\d|(?:k|m|bn)\b|\s(?:million|billion)\b)", re.IGNORECASE)


class _ArgumentReader:
    """Recursive descent over the text between a call's brackets."""

    def __init__(self, text: str, step: int) -> None:
        self._text, self._step, self._at = text, step, 0

    def read(self) -> tuple[tuple[Value, ...], dict[str, Value]]:
        args: list[Value] = []
        named: dict[str, Value] = {}
        self._skip_space()
        while self._at < len(self._text):
            if name := self._match(_NAME):
                self._skip_space()
                if name[1] in named:
                    raise self._error(f"argument {name[1]!r} is given twice")
                named[name[1]] = self._value()
            elif named:
                raise self._error("an argument by position follows one by name")
            else:
                args.append(self._value())
            self._skip_comma("")
        return tuple(args), named

    def _value(self, depth: int = 0) -> Value:
        char = self._text[self._at : self._at + 1]
        if char and char in "\"'":
            return self._string(char)
        if char == "[":
            return self._list(depth + 1)
        if ref := self._match(_REF):
            return Ref(int(ref[1] or ref[2]))
        if number := self._match(_NUMBER):
            if not math.isfinite(value := float(number[0])):
                raise self._error("a number is too large")
            return value if re.search(r"[.eE]", number[0]) else int(number[0])
        start = self._at
        word = self._match(_WORD)
        if word and word[0].lower() in _CONSTANTS:
            return _CONSTANTS[word[0].lower()]
        self._at = start
        raise self._error("expected a string, a number, a list or a $reference")

    def _list(self, depth: int) -> tuple[Value, ...]:
        if depth > _MAX_DEPTH:
            raise self._error("lists are nested too deeply")
        self._at += 1
        items: list[Value] = []
        self._skip_space()
        while not self._text.startswith("]", self._at):
            items.append(self._value(depth))
            self._skip_comma("]")
        self._at += 1
        return tuple(items)

    def _string(self, quote: str) -> Value:
        self._at += 1
        parts: list[str | Ref] = []
        while not self._text.startswith(quote, self._at):
            if self._at >= len(self._text):
                raise self._error("a string is not closed")
            char = self._text[self._at]
            if char == "\\":
                parts.append(self._escape())
            elif char == "$" and (ref := self._reference_in_string(quote, first=not parts)):
                parts.append(ref)
            else:
                parts.append(char)
                self._at += 1
        self._at += 1
        return template(parts)

    def _reference_in_string(self, quote: str, *, first: bool) -> Ref | None:
        """Read a `$k` that is a reference by the module's rule; leave anything else where it is."""
        match = _REF.match(self._text, self._at)
        if match is None or _MONEY.match(self._text, self._at):
            return None
        step = int(match[1] or match[2])
        alone = first and self._text.startswith(quote, match.end())
        # A string that is nothing but `$k` was meant as one; the parser then says that it points nowhere.
        if not alone and not 1 <= step < self._step:
            return None
        self._at = match.end()
        return Ref(step)

    def _escape(self) -> str:
        char = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        if char == "u" and (code := re.match(r"[0-9a-fA-F]{4}", self._text[self._at : self._at + 4])):
            self._at += 4
            unit = int(code[0], 16)
            low = re.match(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})", self._text[self._at : self._at + 6])
            if 0xD800 <= unit < 0xDC00 and low:  # a surrogate pair, as JSON writes characters beyond the BMP
                self._at += 6
                return chr(0x10000 + ((unit - 0xD800) << 10) + (int(low[1], 16) - 0xDC00))
            return "\ufffd" if 0xD800 <= unit < 0xE000 else chr(unit)
        return _ESCAPES.get(char, char)

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        if match := pattern.match(self._text, self._at):
            self._at = match.end()
        return match

    def _skip_space(self) -> None:
        self._match(_SPACE)

    def _skip_comma(self, closing: str) -> None:
        """Pass the comma after a value; only the end of the list may stand there instead."""
        self._skip_space()
        rest = self._text[self._at : self._at + 1]
        if rest == ",":
            self._at += 1
            self._skip_space()
        elif rest != closing:
            raise self._error("expected a comma" if rest else "a list is not closed")

    def _error(self, message: str) -> PlanError:
        return PlanError(message, step=self._step, text=self._text[max(0, self._at - 30) : self._at + 30])


def _write(value: Value) -> str:
    match value:
        case Ref(number):
            return f'"${number}"'
        case Template(parts):
            return f'"{_write_template(parts)}"'
        case str():
            return f'"{quoted(value)}"'
        case tuple():
            return f"[{', '.join(_write(item) for item in value)}]"
        case None | bool():
            return str(value)
        case _:
            return json.dumps(value)


def quoted(text: str) -> str:
    """Return text as it stands between quotes in a plan."""
    return escape_dollars(json.dumps(text, ensure_ascii=False)[1:-1])


def _write_template(parts: tuple[str | Ref, ...]) -> str:
    written = ""
    for part, following in zip(parts, (*parts[1:], ""), strict=True):
        if isinstance(part, str):
            written += quoted(part)
        else:  # braces where what follows would make it another number, or money
            plain = isinstance(following, Ref) or not re.match(r"[\d.,kmb]|\s(?:mill|bill)", following, re.IGNORECASE)
            written += f"${part.step}" if plain else f"${{{part.step}}}"
    return written
