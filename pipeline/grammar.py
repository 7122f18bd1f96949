"""Selection → what the decoder may emit: the plan language, narrowed to the offered tools, as a Lark grammar.

The grammar is made for one step at a time, because what a step may refer to depends on the steps before it: only
offered tools, the right number and types of arguments, `$k` only to earlier steps of a fitting type, names, files, places
and times only as words of the request, other texts only of such words and a few that join them, `join()` last. So what is decoded under it always parses and always elaborates,
dates aside. `pipeline.planners.llama` gives it to llguidance, whose Lark dialect this is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence

from pipeline.plan import JOIN, quoted
from pipeline.prompt import writable
from pipeline.spec import Catalogue, Parameter, ToolSpec, Type, fits

MAX_STEPS = 16

# A character of a string: anything but quotes, control characters, backslashes and dollars; an escape; or a dollar
# that no digit follows.
_CHAR = r'[^"\\\x00-\x1f\x7f$]|\\["\\nt$]|\$[^0-9{"\\\x00-\x1f$]'
# Strings that become lookups or times have no references inside and are not empty.
_NAME_CHAR = r'[^"\\\x00-\x1f\x7f$]|\\["\\$]'

# Words of texts are of these letters; of other scripts, whose words nothing parts, each character stands for itself.
_LETTERS = r"A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
_WORD = re.compile(rf"[{_LETTERS}]+")
_BETWEEN = rf'[^{_LETTERS}"\\\x00-\x1f\x7f$]|\\["\\nt$]'

# What is copied whole or not at all: an address, a number to call, a file's name or path.
_ADDRESS = r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
_NUMBER = r"\+?\(?\d[\d().\-/ ]{5,}\d"
_EXTENSION = (
    r"\.(?:pdf|docx?|xlsx?|pptx?|csv|tsv|txt|md|rtf|od[tps]|key|pages|numbers|png|jpe?g|gif|heic|svg|zip|html?|json|xml"
    r"|mp[34]|m4a|wav|eml|ics|vcf|tex|ai|psd|dwg|py)"
)
_FILE = rf"[^\s\"'“”‘’«»(),;:]+{_EXTENSION}(?!\w)"
_WHOLE = re.compile(rf"{_ADDRESS}|{_FILE}|{_NUMBER}|\\.|[^\W_]+(?=s\b)|[^\W_]+|\s+|[\W_]", re.IGNORECASE)
# What a name in each place cannot be, as llguidance's regular expressions.
_NO_FILE = rf"~/(?i:(.|\n)*{_EXTENSION.replace('(?:', '(')})/"
_NO_ADDRESS = r"~/(.|\n)*@(.|\n)*/"
_NO_NUMBER = r"~/[+0-9][0-9().\-\/ ]*/"


def step_grammar(
    tools: Catalogue,
    earlier: Sequence[Type],
    *,
    longest: int = 400,
    said: Sequence[str] = (),
    times: Sequence[str] | None = None,
    named: Collection[Type] | None = None,
) -> str:
    """Return the grammar of the next step, with its number and the newline after it.

    Args:
        tools: The tools that may be called.
        earlier: What the steps so far return, in order.
        longest: Of a string, in characters: a model that repeats itself comes to an end.
        said: The request and standing instructions, one after another: names, files, places and times are words of one of them.
            Without any, they may be any words.
        times: The only words that times may be said in, if not None; where there are none, no time need be said.
        named: The types for which a name may stand that is looked up; a value of another is given in the request or comes from
            an earlier step. None is all.
    """
    number = len(earlier) + 1
    rules = _Rules(earlier, longest, said, times, named)
    calls = [rules.call(tool) for tool in tools.values()] if number <= MAX_STEPS else []
    steps = [f'"{call.name}(" {call.body} ")\\n"' if call.body else f'"{call.name}()\\n"' for call in calls]
    alternatives = "\n     | ".join([f'"{JOIN}()"', *steps])
    return f'start: "{number}. " step\nstep: {alternatives}\n' + rules.text()


class _Call:
    def __init__(self, name: str, body: str) -> None:
        self.name, self.body = name, body


class _Rules:
    """The rules for argument values that the calls so far have asked for."""

    def __init__(
        self,
        earlier: Sequence[Type],
        longest: int,
        said: Sequence[str],
        times: Sequence[str] | None,
        named: Collection[Type] | None,
    ) -> None:
        self._longest, self._said, self._times = longest, said, times
        self._named = frozenset(Type) if named is None or not said else frozenset(named)
        self._earlier = list(enumerate(earlier, 1))
        self._rules: dict[str, str] = {}

    def text(self) -> str:
        return "".join(f"{name}: {body}\n" for name, body in self._rules.items())

    def call(self, tool: ToolSpec) -> _Call:
        """Return the rule for a tool's arguments: the required by position, then any others by name, in order."""
        required = ' ", " '.join(self._value(p) for p in tool.required)
        untimed = self._times is not None and not self._times
        optional = [p for p in writable(tool) if not p.required and not (untimed and p.type is Type.DATETIME)]
        optional = [p for p in optional if p.type in self._named or self._values_of(p.type)]
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
            case _ if not self._said:
                return self._rule(kind.value, "NAME", {"NAME": rf'/"({_NAME_CHAR}){{1,{self._longest}}}"/'}, kind)
            case _ if kind not in _GIVEN or kind in self._named or not self._values_of(kind):
                return self._words(kind, _UNLIKE.get(kind, ()))
            case _ if self._given(kind):
                return self._words(kind, [_GIVEN[kind][1]])
            case _:
                return self._rule(kind.value, "", {}, kind)  # only what an earlier step gives

    def _rule(self, name: str, body: str, terminals: dict[str, str], kind: Type) -> str:
        if name not in self._rules:
            self._rules[name] = " | ".join([*filter(None, [body]), *self._refs(kind)])
            self._rules.update(terminals)
        return name

    def _refs(self, kind: Type) -> list[str]:
        """Return the references to earlier steps that give a value of the type."""
        return [f'"\\"${n}\\""' for n, returned in self._earlier if fits(returned, kind)]

    def _given(self, kind: Type) -> bool:
        """Whether a value of the type stands in what was said, itself and not by name."""
        return kind in _GIVEN and any(_GIVEN[kind][0].search(text) for text in self._said)

    def _values_of(self, kind: Type) -> bool:
        """Whether there is a value of the type without a lookup; of other types than those looked up there is."""
        return kind not in _GIVEN or self._given(kind) or bool(self._refs(kind))

    def _words(self, kind: Type, unlike: Sequence[str]) -> str:
        """Quoted words of what was said, but for what is unlike a value of that type."""
        terminal = f"{kind.upper()}_SAID"
        spans = {f"{terminal}_{n}": " & ".join([_span(text), *unlike]) for n, text in enumerate(self._said)}
        return self._rule(kind.value, terminal, {terminal: f'"\\"" ({" | ".join(spans)}) "\\""', **spans}, kind)

    def _text(self) -> str:
        """A string that may have results of earlier steps in it, in words that were said or that join such words."""
        if "TEXT" not in self._rules:
            steps = [str(n) for n, returned in self._earlier if returned is not Type.STATUS]
            refs = rf"|\$({'|'.join(reversed(steps))})" if steps else ""
            if self._said:
                between, most = rf"({_BETWEEN}{refs})", self._longest // 3
                words = "|".join(sorted(_words_for(self._said)))
                body = rf'"{between}{{0,8}}(({words})({between}{{1,8}}({words})){{0,{most}}}{between}{{0,8}})?"'
            else:
                body = rf'"({_CHAR}{refs}){{0,{self._longest}}}"'
            self._rules["TEXT"] = f"/{body}/"
        return "TEXT"


# Names that stand for an address or a number to call, and an address or number itself.
_UNLIKE: Mapping[Type, Sequence[str]] = {
    Type.EMAIL: (_NO_FILE, _NO_NUMBER),
    Type.PHONE: (_NO_FILE, _NO_ADDRESS),
    Type.PATH: (_NO_ADDRESS,),
}


def _words_for(said: Sequence[str]) -> set[str]:
    """Return patterns of the words that a text may have: those that were said, other forms of them, and such as join words.

    Most texts are the person's own words; where they are turned, as in "ask her if she can" → "Can you", the new ones
    are few. A small model that may write any letters misspells what it copies. A word is written as it was said, or in small
    letters with or without a capital.
    """
    written = {word for text in said for word in _WORD.findall(text)}
    words = {word.lower() for word in written}
    stems = {word: _ENDING.sub("", word) for word in words if len(word) > 3 and word.isalpha()}
    forms = {stem + ending for stem in stems.values() for ending in ("", "e", "s", "es", "ed", "ing")}
    return written | {_in_either_case(word) for word in words | forms | _JOINING}


def _in_either_case(word: str) -> str:
    first = word[0].upper()
    return f"[{word[0]}{first}]{word[1:]}" if len(first) == 1 and first != word[0] else word


_ENDING = re.compile(r"(?<=[^\W\d_]{3})(?:ing|ies|ied|ed|es|e|s|y)$")

# Of the words that the re-worded texts of our seeds have and their requests do not, those that come more than once, with
# their like; parts of them after an apostrophe.
_JOINING = frozenset(
    """
    a about after again all am an and are as at back be because been before bring but by call can could d did do does done
    don draft due file first for from get getting give go going got had has have he hello her here hey hi him his how i if in info
    interview is isn it its just lesson let link list ll m make meeting menu minutes more much my need needs new no not note notes
    now number of off ok on one only or our out over please question re reminder renew s said send she should so soon
    still summaries summary t take than thank thanks that the their them then there these they this those time to today
    too two three up us ve very visit was we well were what when where which who why will with won would yes you
    your yourself appointment birthday party trip dinner lunch walk walking driving route documents details report request
    confirmation agenda introduction collect buy pick prescription
    ao aos as até com como da das de do dos e é ela ele em entre essa esse esta está estou eu foi já lembrete mais mas me
    meu minha na nas no nos não o os ou para pelo pela por pra que quando se sem ser seu sua são só sobre te tem tenho
    um uma vai vou você resumo reunião aniversário envio pedido consulta visita documentos
    al con cuando del el ella en es eso está estoy fue ha hay la las le lo los más mi muy ni no nos para pero
    por que qué se sea si sí sin sobre son soy su sus también te tengo tu tú un una va voy y ya yo resumen reunión cumpleaños
    envío cita
    """.split()
)


# Where a value of a type is given in a text, and what such a value is like.
_GIVEN: Mapping[Type, tuple[re.Pattern[str], str]] = {
    Type.EMAIL: (re.compile(_ADDRESS), r"/(.|\n)*@(.|\n)*/"),
    Type.PHONE: (re.compile(_NUMBER), r"/[+0-9(][0-9().\-\/ ]*/"),
    Type.PATH: (re.compile(r"(?:^|[\s\"'(:])(?:~|/|[A-Za-z]:[\\/])\S"), r"/[~\/](.|\n)*|[A-Za-z]:(.|\n)*/"),
}


def _span(text: str) -> str:
    """Return the terminal of the runs of words in a text that neither begin nor end with space.

    A word's last "s" may be left out: "rosalinds number" asks for Rosalind's.
    """
    chunks = json.dumps({"substring_chunks": _WHOLE.findall(quoted(text))})
    return rf"%regex {chunks} & /[^ ]|[^ ](.|\n)*[^ ]/"
