"""How a run looks on a terminal: the selection and why, the plan as it is written, steps as they run.

Takes a run's events, prints with rich; also asks for approvals there. Knows no command and no stage's insides.
"""

from __future__ import annotations

import asyncio
import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from rich.console import Console
from rich.control import Control
from rich.markup import escape
from rich.segment import ControlType

from pipeline.effects import Approval, Proposal
from pipeline.events import Event, Finished, Planned, Progressed, Replanning, Selected, Started, Wrote
from pipeline.executor import Status
from pipeline.journal import StepRecord
from pipeline.pipeline import Doubt
from pipeline.selection import Route, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Hold = Callable[[], AbstractContextManager[None]]  # what keeps the terminal still while a question stands

_MARKS = {
    Status.DONE: "[green]✓[/]",
    Status.FAILED: "[red]✗[/]",
    Status.SKIPPED: "[yellow]–[/]",
    Status.DECLINED: "[yellow]○[/]",
    Status.IN_DOUBT: "[red]?[/]",
}
_WHY = {
    Route.CLASSIFIER: "the classifier is sure of them",
    Route.INDEX: "their descriptions and examples are like the request",
    Route.ALL: "all tools: nothing in the index is like the request",
}


class RunView:
    """Prints a run's events as they come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._writing = False
        self._passing = False  # whether a line stands that the next one takes the place of
        self._held: list[Event] | None = None  # while a question stands

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep what happens meanwhile to itself until the block ends: a question stands on the terminal."""
        self._wipe()
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            for event in held:
                self(event)

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if self._held is not None:
            if not isinstance(event, Progressed):  # it is old by the time that the question is answered
                self._held.append(event)
            return
        self._wipe()
        match event:
            case Selected(selection):
                self._heading("Tools", f"{_why(selection)}, {selection.milliseconds:.0f} ms")
                self._console.print(f"  {', '.join(selection.tools) or 'none'}", highlight=False, soft_wrap=True)
                if selection.implied:
                    self._console.print(
                        f"  [dim]and to look things up: {', '.join(sorted(selection.implied))}[/]", soft_wrap=True
                    )
            case Wrote(text):
                if not self._writing:
                    self._heading("Plan", "as the model writes it")
                    self._console.print("  ", end="")
                    self._writing = True
                indented = visible(text).replace("\n", "\n  ")
                self._console.print(indented, end="", markup=False, highlight=False, style="dim")
            case Planned(plan):
                self._end_writing()
                self._heading("Full plan", "lookups, dates and defaults worked out")
                for line in plan.text().splitlines():
                    self._console.print(f"  {escape(visible(line))}", highlight=False, soft_wrap=True)
                if plan.steps:
                    self._heading("Steps", "")
            case Started():
                pass  # a step's line stands when it is finished; the terminal keeps no line open
            case Progressed(step, said):
                self._pass(f"  … {step.number}. {step.tool}  {visible(' '.join(said.split()))}")
            case Finished(outcome):
                note = outcome.output if outcome.status is Status.DONE else str(outcome.error or "declined")
                short = visible(" ".join((note or "").split()))
                short = short if len(short) <= 160 else short[:159] + "…"
                line = f"  {_MARKS[outcome.status]} {outcome.step.number}. {outcome.step.tool}  [dim]{escape(short)}[/]"
                self._console.print(line, highlight=False, soft_wrap=True)
                for remark in outcome.remarks:
                    self._console.print(
                        f"      [yellow]![/] {escape(visible(remark))}", highlight=False, soft_wrap=True
                    )
            case Replanning(reason):
                self._end_writing()
                self._console.print(f"[yellow]Planning again:[/] {escape(reason)}", highlight=False)

    def _pass(self, line: str) -> None:
        """Show a line until the next one, where somebody looks on and no other line is open."""
        if self._console.is_terminal and not self._writing:
            cut = line[: max(0, self._console.width - 1)]
            self._console.print(
                cut, end="\r", markup=False, highlight=False, style="dim", no_wrap=True, overflow="crop"
            )
            self._passing = True

    def _wipe(self) -> None:
        if self._passing:
            self._console.control(Control((ControlType.ERASE_IN_LINE, 2)))
            self._passing = False

    def _heading(self, title: str, note: str) -> None:
        self._console.print(f"[bold]{title}[/]" + (f"  [dim]{escape(note)}[/]" if note else ""), highlight=False)

    def _end_writing(self) -> None:
        if self._writing:
            self._console.print()
            self._writing = False


class TerminalApprover:
    """Asks on the terminal before each write and send, showing the arguments as the tool will get them."""

    def __init__(self, console: Console, hold: Hold = nullcontext) -> None:
        self._console, self._hold = console, hold

    async def __call__(self, proposal: Proposal, /) -> Approval | None:
        """Ask; anything but a yes is a no."""
        self._console.print(f"  [bold yellow]?[/] [bold]{proposal.tool.name}[/]", highlight=False)
        _print_arguments(self._console, _shown(proposal.arguments, proposal.said))
        _print_arguments(self._console, proposal.preview.shown if proposal.preview else {})
        for warning in proposal.warnings:
            self._console.print(
                f"    [bold red]Careful:[/] {escape(visible(warning))}", highlight=False, soft_wrap=True
            )
        with self._hold():
            answer = await _answer(self._console, "    Do it? [y/n] (n): ")
        return proposal.approve() if answer.casefold() in ("y", "yes") else None


class TerminalChooser:
    """Asks on the terminal which of several things is meant."""

    def __init__(self, console: Console, hold: Hold = nullcontext) -> None:
        self._console, self._hold = console, hold

    async def __call__(self, question: str, candidates: Sequence[str], /) -> str | None:
        """Ask; anything but one of the numbers is none of them."""
        self._console.print(f"  [bold yellow]?[/] {escape(visible(question))}", highlight=False, soft_wrap=True)
        for number, candidate in enumerate(candidates, 1):
            self._console.print(f"      {number}. {escape(visible(candidate))}", highlight=False, soft_wrap=True)
        with self._hold():
            answer = await _answer(self._console, "    Which number? (none): ")
        numbers = {str(number): candidate for number, candidate in enumerate(candidates, 1)}
        return numbers.get(answer)


class TerminalDoubter:
    """Asks on the terminal whether a step that broke off was done."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def __call__(self, step: StepRecord, /) -> Doubt:
        """Show what is known of the step and ask."""
        self._console.print(
            f"  [bold yellow]?[/] [bold]{step.tool}[/] broke off; it may have been done. Look whether it was.",
            highlight=False,
        )
        _print_arguments(self._console, _shown(step.arguments or {}))
        answer = await _answer(
            self._console, "    Was it done, shall it be done again, or be left? [done/again/leave] (leave): "
        )
        return Doubt(answer) if answer in {choice.value for choice in Doubt} else Doubt.LEAVE


async def _answer(console: Console, question: str) -> str:
    """Ask and return the line that is typed, stripped; "" at the end of input.

    The event loop goes on meanwhile, and what was typed before the question stood there is no answer to it.
    """
    console.print(question, end="", markup=False, highlight=False)
    console.file.flush()
    handle = sys.stdin.fileno()
    with suppress(ImportError, OSError):
        import termios

        termios.tcflush(handle, termios.TCIFLUSH)
    loop = asyncio.get_running_loop()
    typed = bytearray()
    while b"\n" not in typed:
        ready = asyncio.Event()
        loop.add_reader(handle, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(handle)
        if not (piece := os.read(handle, 4096)):
            break
        typed += piece
    return typed.decode(errors="replace").partition("\n")[0].strip()


def visible(text: str) -> str:
    """Return a text with what a terminal would obey, or would turn around, made visible; line breaks and tabs stay."""
    return "".join(
        c
        if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp", "Cs") or c in _JOINERS
        else f"\\u{ord(c):04x}"
        for c in text
    )


_JOINERS = "\u200c\u200d"  # parts of words and of emoji


def can_ask() -> bool:
    """Whether somebody sits at the terminal to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def explain(selection: Selection, console: Console) -> None:
    """Print a selection with its scores."""
    console.print(f"[bold]Route[/]  {selection.route}: {_why(selection)}", highlight=False)
    for name, score in sorted(selection.scores.items(), key=lambda item: -item[1]):
        mark = (
            "[green]●[/]" if name in selection.tools else "[yellow]◐[/]" if name in selection.implied else "[dim]○[/]"
        )
        bar = "█" * max(0, round(score * 30))
        console.print(f"  {mark} {name:<26} {score:6.3f} [dim]{bar}[/]", highlight=False)
    if selection.threshold is not None:
        console.print(f"  [dim]offered from {selection.threshold:.4f} on[/]", highlight=False)
    if selection.miss_rate is not None:
        promise = (
            f"of requests like those of the calibration, at most {selection.miss_rate:.1%} lack a tool that they need"
        )
        console.print(f"  [dim]{promise}[/]", highlight=False)
    if selection.implied:
        console.print("  [dim]◐ looked up with, if needed[/]")
    console.print(f"  [dim]{selection.milliseconds:.1f} ms[/]", highlight=False)


def _why(selection: Selection) -> str:
    return _WHY[selection.route] if selection.tools else "no tool serves this"


def _shown(arguments: Mapping[str, object], said: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what is worth showing of the arguments, as text: what was looked up with the words that it was said in."""

    def text(value: object) -> str:
        words = (said or {}).get(str(value))
        return f"{value} ({words})" if words else str(value)

    return {
        name: ", ".join(map(text, value)) if isinstance(value, list) else text(value)
        for name, value in arguments.items()
        if value not in ("", [], None)
    }


def _print_arguments(console: Console, shown: Mapping[str, str]) -> None:
    """Print arguments, each line of a longer one behind a bar, so that none can pass for another."""
    for name, value in shown.items():
        first, *more = visible(value).split("\n")
        console.print(f"      {name}: {escape(first)}", highlight=False, soft_wrap=True)
        for line in more:
            console.print(f"      [dim]│[/] {escape(line)}", highlight=False, soft_wrap=True)
