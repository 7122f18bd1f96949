"""A small structural check of AppleScript, for want of a compiler elsewhere than on a Mac.

Pygments cuts a script into tokens; the check sees to it that blocks are closed by what opened them, brackets pair, each handler that is
called is there with so many parameters, and each variable of ours (`the…`, `is…`, `looks…`, one letter) gets a value in the
handler that uses it. It knows nothing of the apps' dictionaries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pygments.lexers import AppleScriptLexer
from pygments.token import Comment, String

_BLOCKS = ("tell", "if", "repeat", "try", "considering", "ignoring", "with timeout", "using terms from")
_OURS = re.compile(r"\b(?:the[A-Z]\w*|is[A-Z]\w*|looks[A-Z]\w*|[ij])\b")
_PAIRS = {")": "(", "}": "{"}


@dataclass
class Handler:
    """One handler: its name, the names of its parameters, and its lines of code with their numbers."""

    name: str
    parameters: list[str]
    lines: list[tuple[int, str]] = field(default_factory=list)


def code(text: str) -> list[str]:
    """Return the lines of a script without comments and with every string empty."""
    kept = []
    for kind, value in AppleScriptLexer(stripnl=False, ensurenl=False).get_tokens(text):
        if kind in Comment:
            kept.append("\n" * value.count("\n"))
        elif kind in String:
            kept.append('""' + "\n" * value.count("\n"))
        else:
            kept.append(value)
    return [line.strip() for line in "".join(kept).split("\n")]


def handlers(text: str) -> tuple[list[Handler], list[str]]:
    """Return the handlers of a script, and what is wrong with its blocks."""
    found: list[Handler] = []
    wrong: list[str] = []
    stack: list[str] = []
    for number, line in enumerate(code(text), 1):
        if not line:
            continue
        for problem in _brackets(line):
            wrong.append(f"{number}: {problem}: {line}")
        if (opened := re.fullmatch(r"on (\w+)(?:\((.*)\)| (\w+))?", line)) and opened[1] != "error":
            if stack:
                wrong.append(f"{number}: a handler within {stack[-1]}")
            names = [p.strip() for p in (opened[2] or opened[3] or "").split(",") if p.strip()]
            found.append(Handler(opened[1], names))
            stack = [f"on {opened[1]}"]
            continue
        if closed := re.fullmatch(r"end(?: (\w+))?", line):
            opener = stack.pop() if stack else "nothing"
            if (closed[1] or opener.removeprefix("on ")) != opener.removeprefix("on "):
                wrong.append(f"{number}: {line!r} closes {opener!r}")
            continue
        if not stack:
            wrong.append(f"{number}: outside of every handler: {line}")
            continue
        found[-1].lines.append((number, line))
        if line.startswith("on error") and stack[-1] != "try":
            wrong.append(f"{number}: 'on error' within {stack[-1]}")
        if re.match(r"else\b", line) and stack[-1] != "if":
            wrong.append(f"{number}: 'else' within {stack[-1]}")
        if opener := _opens(line):
            stack.append(opener)
    if stack:
        wrong.append(f"the end: {stack[-1]!r} is still open")
    return found, wrong


def lint(text: str) -> list[str]:
    """Return what is wrong with a script; nothing if all is well."""
    found, wrong = handlers(text)
    known = {handler.name: handler for handler in found}
    for handler in found:
        given = set(handler.parameters)
        body = "\n".join(line for _, line in handler.lines)
        given |= set(re.findall(r"\bset (\w+) to\b", body)) | set(
            re.findall(r"\brepeat with (\w+) (?:in|from)\b", body)
        )
        given |= {name for pair in re.findall(r"on error (\w+) number (\w+)", body) for name in pair}
        for number, line in handler.lines:
            for name in _OURS.findall(line):
                if name not in given:
                    wrong.append(f"{number}: {name} has no value: {line}")
            for name, arguments in _calls(line, known):
                if arguments != len(known[name].parameters):
                    wrong.append(f"{number}: {name} takes {len(known[name].parameters)} parameters, not {arguments}")
            for name in re.findall(r"\bmy (\w+)\(", line):
                if name not in known:
                    wrong.append(f"{number}: there is no handler {name}")
    return wrong


def _opens(line: str) -> str | None:
    """Return which block a line opens, if it is not whole in itself."""
    if line.startswith("if "):
        return "if" if line.endswith(" then") else None
    if line.startswith("tell "):
        return None if re.search(r" to \S", line) else "tell"
    return next((block for block in _BLOCKS if line == block or line.startswith(f"{block} ")), None)


def _brackets(line: str) -> list[str]:
    stack: list[str] = []
    for c in line:
        if c in "({":
            stack.append(c)
        elif c in ")}" and (not stack or stack.pop() != _PAIRS[c]):
            return ["a bracket closes what is not open"]
    return ["a bracket stays open"] if stack else []


def _calls(line: str, known: dict[str, Handler]) -> list[tuple[str, int]]:
    """Return the calls of handlers in a line, with how many arguments each has."""
    calls = []
    for match in re.finditer(r"\b(\w+)\(", line):
        if match[1] in known:
            depth, commas, some, position = 1, 0, False, match.end()
            while depth:
                c = line[position]
                depth += (c in "({") - (c in ")}")
                commas += c == "," and depth == 1
                some = some or (depth > 0 and not c.isspace())
                position += 1
            calls.append((match[1], commas + some))
    return calls
