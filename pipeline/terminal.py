"""How a run looks on a terminal: the selection and why, the plan as it is written, steps as they run.

Takes a run's events, prints with rich; also asks for approvals there. Knows no command and no stage's insides.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.prompt import Confirm, Prompt

from pipeline.effects import Approval, Proposal
from pipeline.events import Event, Finished, Planned, Replanning, Selected, Started, Wrote
from pipeline.executor import Status
from pipeline.journal import StepRecord
from pipeline.pipeline import Doubt
from pipeline.selection import Route, Selection

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    def __call__(self, event: Event) -> None:
        """Show one event."""
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
                indented = text.replace("\n", "\n  ")
                self._console.print(indented, end="", markup=False, highlight=False, style="dim")
            case Planned(plan):
                self._end_writing()
                self._heading("Full plan", "lookups, dates and defaults worked out")
                for line in plan.text().splitlines():
                    self._console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
                if plan.steps:
                    self._heading("Steps", "")
            case Started():
                pass  # a step's line stands when it is finished; the terminal keeps no line open
            case Finished(outcome):
                note = outcome.output if outcome.status is Status.DONE else str(outcome.error or "declined")
                short = " ".join((note or "").split())
                short = short if len(short) <= 160 else short[:159] + "…"
                line = f"  {_MARKS[outcome.status]} {outcome.step.number}. {outcome.step.tool}  [dim]{escape(short)}[/]"
                self._console.print(line, highlight=False, soft_wrap=True)
            case Replanning(reason):
                self._end_writing()
                self._console.print(f"[yellow]Planning again:[/] {escape(reason)}", highlight=False)

    def _heading(self, title: str, note: str) -> None:
        self._console.print(f"[bold]{title}[/]" + (f"  [dim]{escape(note)}[/]" if note else ""), highlight=False)

    def _end_writing(self) -> None:
        if self._writing:
            self._console.print()
            self._writing = False


class TerminalApprover:
    """Asks on the terminal before each write and send, showing the arguments as the tool will get them."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def __call__(self, proposal: Proposal, /) -> Approval | None:
        """Ask; Ctrl-C stops the run."""
        self._console.print(f"  [bold yellow]?[/] [bold]{proposal.tool.name}[/]", highlight=False)
        for name, value in _shown(proposal.arguments, proposal.said).items():
            self._console.print(f"      {name}: {escape(value)}", highlight=False, soft_wrap=True)
        for warning in proposal.warnings:
            self._console.print(f"    [bold red]Careful:[/] {escape(warning)}", highlight=False, soft_wrap=True)
        # The question is asked in the event loop's own thread: a thread that waits for a key cannot be cancelled.
        with _interruptible():
            return proposal.approve() if Confirm.ask("    Do it?", console=self._console, default=False) else None


class TerminalChooser:
    """Asks on the terminal which of several things is meant."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def __call__(self, question: str, candidates: Sequence[str], /) -> str | None:
        """Ask; an empty answer is none of them."""
        self._console.print(f"  [bold yellow]?[/] {escape(question)}", highlight=False, soft_wrap=True)
        for number, candidate in enumerate(candidates, 1):
            self._console.print(f"      {number}. {escape(candidate)}", highlight=False, soft_wrap=True)
        numbers = [str(number) for number in range(1, len(candidates) + 1)]
        with _interruptible():
            answer = Prompt.ask(
                "    Which?", console=self._console, choices=[*numbers, ""], default="", show_choices=False
            )
        return candidates[int(answer) - 1] if answer else None


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
        for name, value in _shown(step.arguments or {}).items():
            self._console.print(f"      {name}: {escape(value)}", highlight=False, soft_wrap=True)
        with _interruptible():
            answer = Prompt.ask(
                "    Was it done, shall it be done again, or be left?",
                console=self._console,
                choices=[choice.value for choice in Doubt],
                default=Doubt.LEAVE.value,
            )
        return Doubt(answer)


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


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a question at once; asyncio's own handler would wait for the answer."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
