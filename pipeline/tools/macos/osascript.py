"""Runs the AppleScripts in `scripts/`: the name of one and its arguments → its answer, or a typed error.

The scripts are fixed files. What the person or anyone else wrote reaches one only as an argument (`on run argv`) and never as
part of its text, so that no note, name or mail can be a program. Dates go as six numbers, lists as a count and the items.

A script's answer is text: a word on the first line ("done", "ambiguous", or why not), then what it found. Where that is several
things, each is a line of fields with tabs between, in which a backslash, tab, line feed and carriage return are written `\\\\`, `\\t`,
`\\n` and `\\r`. Errors of Apple events come from osascript's last words, `… execution error: … (-1743)`. What a script does is the
script's business; this module knows none of the apps.
"""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.tools.arguments import one_line
from pipeline.tools.context import (
    Ambiguous,
    InDoubt,
    InvalidArgument,
    NotFound,
    ToolContext,
    ToolError,
    Unavailable,
    Unreachable,
)
from pipeline.tools.desktop.names import listed

SCRIPTS = Path(__file__).resolve().parent / "scripts"
TIMEOUT_S = 25.0  # less than a tool's own, so that the error says what was the matter
DONE, AMBIGUOUS = "done", "ambiguous"  # first words of an answer
_SAID = 200  # characters of what an app says that an error repeats

_NUMBER = re.compile(r"\((-?\d+)\)\s*\Z")  # of the error, at the end of the last words
_ESCAPES = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}
_ESCAPED = re.compile(r"\\(.)")

#: What errors of Apple events mean (Apple, "AppleScript Language Guide", appendix B; MacErrors.h).
NOT_PERMITTED = frozenset({-1743, -1744, -10004})  # by the user; not asked yet; by a sandbox
NOT_RUNNING = frozenset({-600, -10810, -10827})  # no such process; it cannot be started; it has no program
LOST = -609  # the connection: the app has ended meanwhile
TIMED_OUT = -1712
MISSING = frozenset({-1728, -1719, -43})  # no such object; no such index; no such file
CANCELLED = -128
NOT_UNDERSTOOD = frozenset(
    {-1708, -2740, -2741, -2753}
)  # by the app; by the compiler, which lacks a word of its dictionary


@dataclass(frozen=True, slots=True)
class Script:
    """One of the fixed scripts, and what to expect of it."""

    name: str  # of the file, without `.applescript`
    app: str  # which it drives, as macOS shows the name
    effect: bool = False  # whether a call that broke off may have changed something

    @property
    def path(self) -> Path:
        """Where it lies."""
        return SCRIPTS / f"{self.name}.applescript"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a script printed after the word "done"."""

    script: Script
    text: str

    def rows(self, fields: int) -> list[tuple[str, ...]]:
        """Return the lines, each as its fields.

        Raises:
            ToolError: A line has another number of fields than it should.
        """
        rows = _rows(self.text)
        if any(len(row) != fields for row in rows):
            raise _unreadable(self.script, self.text)
        return rows


def ask(
    ctx: ToolContext, script: Script, arguments: Sequence[str] = (), *, refusals: Mapping[str, ToolError] | None = None
) -> Answer:
    """Run a script and return its answer.

    Args:
        ctx: What the run lends; the setting `macos.timeout` is how many seconds a script may take.
        script: Which one.
        arguments: What `on run argv` gets.
        refusals: The errors to raise for answers that are neither "done" nor several things, by their first word.

    Raises:
        InvalidArgument: An argument has a NUL or is no Unicode, or all of them are too long for a program.
        Unavailable: There is no osascript, the app may not be driven, does not run or does not answer.
        NotFound: What the script was to use is not there.
        Ambiguous: Several things are what it was to use.
        InDoubt: It broke off where it may have had its effect.
        ToolError: Anything else that the app refuses.
    """
    done = _run(script, arguments, _timeout(ctx))
    if done.returncode < 0:
        raise _broke_off(script, f"osascript was ended by signal {-done.returncode}")
    if done.returncode:
        raise _error(script, done.stderr.decode(errors="replace"))
    # osascript prints the result and ends the line.
    word, _, text = done.stdout.decode(errors="replace").removesuffix("\n").partition("\n")
    if word == DONE:
        return Answer(script, text)
    if word == AMBIGUOUS:
        candidates = [one_line(row[0]) for row in _rows(text)]
        raise Ambiguous(
            f"in {script.app} it may be {listed(candidates)}",
            candidates=candidates,
            fix=f"say or select one in {script.app}",
        )
    if refusals and word in refusals:
        meant = refusals[word]
        raise type(meant)(meant.message, fix=meant.fix)  # a new one: raised twice, one would keep the frames of both
    raise _unreadable(script, word)


def numbers(when: date) -> list[str]:
    """Return a local date, or date and time, as the six numbers that scripts make a date of."""
    time = (when.hour, when.minute, when.second) if isinstance(when, datetime) else (0, 0, 0)
    return [str(number) for number in (when.year, when.month, when.day, *time)]


def counted(items: Iterable[str]) -> list[str]:
    """Return a list as scripts read it: how many there are, then each."""
    all_of_them = list(items)
    return [str(len(all_of_them)), *all_of_them]


def flag(value: bool) -> str:
    """Return a truth as scripts read it."""
    return "yes" if value else "no"


def program() -> str:
    """Return the path of osascript.

    Raises:
        Unavailable: There is none.
    """
    found = shutil.which("osascript")
    if found is None:
        raise Unavailable("there is no osascript here: this is not a Mac", fix='set backend = "desktop"')
    return found


def error_of(app: str, number: int, said: str, *, effect: bool) -> ToolError:
    """Return what the error of an Apple event means.

    Args:
        app: Whose it is, as macOS shows the name.
        number: Of the error.
        said: Its text.
        effect: Whether the call may have changed something before it broke off.
    """
    told = f"{app}: {one_line(said)[:_SAID]} ({number})"
    if number in NOT_PERMITTED:
        return Unavailable(
            f"macOS does not let this program control {app} ({number})",
            fix="allow it under System Settings > Privacy & Security > Automation, for the app that you run tinyagent "
            f"in (such as Terminal), with {app} ticked; if that is not listed: tccutil reset AppleEvents",
        )
    if number in NOT_RUNNING:
        return Unreachable(f"{app} does not run ({number})", fix=f"open {app} and try again")
    if number in (LOST, TIMED_OUT):
        why = "has ended meanwhile" if number == LOST else "does not answer"
        if effect:
            return InDoubt(f"{app} {why} ({number})", fix=f"it may have been done all the same: look in {app} first")
        kind = Unreachable if number == LOST else Unavailable
        return kind(f"{app} {why} ({number})", fix=f"look whether {app} shows a question, and try again")
    if number in MISSING:
        return NotFound(told, fix=f"look in {app} whether it is there")
    if number == CANCELLED:
        return Unavailable(f"{app}: the call was cancelled ({number})", fix="try again, and confirm what macOS asks")
    if number in NOT_UNDERSTOOD:
        return ToolError(told, fix=f"this version of {app} cannot do it by script; do it by hand")
    return ToolError(told)


def _run(script: Script, arguments: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    if any("\0" in argument for argument in arguments):
        raise InvalidArgument(f"a text for {script.app} has a NUL character in it", fix="leave it out")
    try:
        words = [argument.encode() for argument in arguments]  # as bytes, so that no locale has a say
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"a text for {script.app} is no Unicode: {error.reason}", fix="leave it out") from error
    try:
        return subprocess.run(
            [program().encode(), str(script.path).encode(), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:  # osascript is killed
        raise _broke_off(script, f"{script.app} does not answer within {timeout_s:g} s") from None
    except OSError as error:
        if error.errno == errno.E2BIG:
            raise InvalidArgument(f"the text for {script.app} is too long", fix="give it in parts") from error
        raise Unavailable(f"osascript cannot be started: {error.strerror}") from error


def _timeout(ctx: ToolContext) -> float:
    value = ctx.settings.get("macos", {}).get("timeout", TIMEOUT_S)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ConfigError(f"the setting macos.timeout is {value!r}", fix="set it to a number of seconds")
    return float(value)


def _error(script: Script, stderr: str) -> ToolError:
    """Return the error that osascript's last words tell of."""
    if found := _NUMBER.search(stderr):
        said = stderr[: found.start()].partition(" error: ")[2] or stderr[: found.start()]
        return error_of(script.app, int(found[1]), said, effect=script.effect)
    return ToolError(f"{script.app}: {one_line(stderr)[:_SAID] or 'osascript failed and does not say why'}")


def _broke_off(script: Script, why: str) -> ToolError:
    if script.effect:
        return InDoubt(why, fix=f"it may have been done all the same: look in {script.app} first")
    return Unavailable(why, fix=f"look whether macOS or {script.app} shows a question, and try again")


def _unreadable(script: Script, said: str) -> ToolError:
    """Return the error for an answer that is none. An effect may have been had, since the script has run."""
    kind = InDoubt if script.effect else ToolError
    return kind(f"{script.name} answered what cannot be read: {one_line(said)[:_SAID]!r}")


def _rows(text: str) -> list[tuple[str, ...]]:
    return [
        tuple(_ESCAPED.sub(lambda m: _ESCAPES.get(m[1], m[0]), field) for field in line.split("\t"))
        for line in text.split("\n")
        if line
    ]
