"""Selection → what the decoder may emit: the plan language, narrowed to the offered tools, as a Lark grammar.

The grammar is made for one step at a time, because what a step may refer to depends on the steps before it: only
offered tools, the right number and types of arguments, `$k` only to earlier steps of a fitting type, names, files, places
and times only as words of the request, `join()` last. So what is decoded under it always parses and always elaborates,
dates aside. `pipeline.planners.llama` gives it to llguidance, whose Lark dialect this is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from pipeline.plan import JOIN, quoted
from pipeline.prompt import writable
from pipeline.spec import Catalogue, Parameter, ToolSpec, Type, fits

MAX_STEPS = 16

# A character of a string: anything but quotes, control characters, backslashes and dollars; an escape; or a dollar
# that no digit follows.
_CHAR = r'[^"\\\x00-\x1f\x7f$]|\\["\\nt$]|\$[^0-9{"\\\x00-\x1f$]'
# Strings that become lookups or times have no references inside and are not empty.
_NAME_CHAR = r'[^"\\\x00-\x1f\x7f$]|\\["\\$]'


def step_grammar(
    tools: Catalogue,
    earlier: Sequence[Type],
    *,
    longest: int = 400,
    said: Sequence[str] = (),
    times: Sequence[str] | None = None,
) -> str:
    """Return the grammar of the next step, with its number and the newline after it.

    Args:
        tools: The tools that may be called.
        earlier: What the steps so far return, in order.
        longest: Of a string, in characters: a model that repeats itself comes to an end.
        said: The request and standing instructions, one after another: names, files, places and times are words of one of them.
            Without any, they may be any words.
        times: The only words that times may be said in, if not None; where there are none, no time need be said.
    """
    number = len(earlier) + 1
    rules = _Rules(earlier, longest, said, times)
    calls = [rules.call(tool) for tool in tools.values()] if number <= MAX_STEPS else []
    steps = [f'"{call.name}(" {call.body} ")\\n"' if call.body else f'"{call.name}()\\n"' for call in calls]
    alternatives = "\n     | ".join([f'"{JOIN}()"', *steps])
    return f'start: "{number}. " step\nstep: {alternatives}\n' + rules.text()


class _Call:
    def __init__(self, name: str, body: str) -> None:
        self.name, self.body = name, body


class _Rules:
    """The rules for argument values that the calls so far have asked for."""

    def __init__(self, earlier: Sequence[Type], longest: int, said: Sequence[str], times: Sequence[str] | None) -> None:
        self._longest, self._said, self._times = longest, said, times
        self._earlier = list(enumerate(earlier, 1))
        self._rules: dict[str, str] = {}

    def text(self) -> str:
        return "".join(f"{name}: {body}\n" for name, body in self._rules.items())

    def call(self, tool: ToolSpec) -> _Call:
        """Return the rule for a tool's arguments: the required by position, then any others by name, in order."""
        required = ' ", " '.join(self._value(p) for p in tool.required)
        untimed = self._times is not None and not self._times
        optional = [p for p in writable(tool) if not p.required and not (untimed and p.type is Type.DATETIME)]
        named = [f'"{p.name}=" {self._value(p)}' for p in optional]
        if required:
            return _Call(tool.name, " ".join([required, *(f'(", " {item})?' for item in named)]))
        first = [" ".join([item, *(f'(", " {other})?' for other in named[i + 1 :])]) for i, item in enumerate(named)]
        if not first:
            return _Call(tool.name, "")
        rule = f"args_{len(self._rules)}"
        self._rules[rule] = "\n     | ".join(first)
        return _Call(tool.name, f"{rule}?")

    def _value(self, parameter: Parameter) -> str:
        if not parameter.list:
            return self._single(parameter)
        item = self._single(parameter)
        name = f"list_{item.lower()}"
        self._rules.setdefault(name, f'"[" {item} (", " {item})* "]"')  # an empty one is left out
        return name

    def _single(self, parameter: Parameter) -> str:
        """Return the name of the rule for one value of the parameter's type."""
        kind = parameter.type
        match kind:
            case Type.INTEGER:
                return self._rule("integer", "INTEGER", {"INTEGER": r"/-?[0-9]{1,9}/"}, kind)
            case Type.NUMBER:
                return self._rule("number", "NUMBER", {"NUMBER": r"/-?[0-9]{1,9}(\.[0-9]{1,6})?/"}, kind)
            case Type.BOOLEAN:
                return self._rule("boolean", '"True" | "False"', {}, kind)
            case Type.ENUM:
                choices = " | ".join(f'"\\"{choice}\\""' for choice in parameter.choices)
                return self._rule(f"enum_{len(self._rules)}", choices, {}, kind)
            case Type.STRING if not (parameter.verbatim and self._said):
                return self._text()
            case Type.DATETIME if self._times:
                return self._rule(
                    "datetime", " | ".join(json.dumps(json.dumps(time)) for time in self._times), {}, kind
                )
            case _ if self._said:
                return self._rule(kind.value, "NAME", self._words(), kind)
            case _:
                return self._rule(kind.value, "NAME", {"NAME": rf'/"({_NAME_CHAR}){{1,{self._longest}}}"/'}, kind)

    def _rule(self, name: str, body: str, terminals: dict[str, str], kind: Type) -> str:
        if name not in self._rules:
            refs = [f'"\\"${n}\\""' for n, returned in self._earlier if fits(returned, kind)]
            self._rules[name] = " | ".join([body, *refs])
            self._rules.update(terminals)
        return name

    def _words(self) -> dict[str, str]:
        """Quoted words of what was said, as terminals."""
        spans = {f"SPAN_{n}": _span(text) for n, text in enumerate(self._said)}
        return {"NAME": f'"\\"" ({" | ".join(spans)}) "\\""', **spans}

    def _text(self) -> str:
        """A string that may have results of earlier steps in it."""
        steps = [str(n) for n, returned in self._earlier if returned is not Type.STATUS]
        refs = rf"|\$({'|'.join(reversed(steps))})" if steps else ""
        self._rules.setdefault("TEXT", rf'/"({_CHAR}{refs}){{0,{self._longest}}}"/')
        return "TEXT"


def _span(text: str) -> str:
    """Return the terminal of the runs of words in a text that neither begin nor end with space.

    A word's last "s" may be left out: "rosalinds number" asks for Rosalind's.
    """
    words = re.findall(r"\\.|[^\W_]+(?=s\b)|[^\W_]+|\s+|[\W_]", quoted(text))
    chunks = json.dumps({"substring_chunks": words})
    return rf"%regex {chunks} & /[^ ]|[^ ](.|\n)*[^ ]/"
