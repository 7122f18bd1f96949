"""Questions on a terminal: a real pseudo-terminal, with somebody typing at its other end."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Iterator

import pytest
from rich.console import Console
from test_executor import SEND

from pipeline.effects import Proposal
from pipeline.events import Finished, Progressed, Replanning
from pipeline.executor import Outcome, Status
from pipeline.journal import StepRecord
from pipeline.pipeline import Doubt
from pipeline.plan import Step
from pipeline.terminal import RunView, TerminalApprover, TerminalChooser, TerminalDoubter

pty = pytest.importorskip("pty")

PROPOSAL = Proposal(
    Step(1, "send"), SEND, {"to": ["+1 Ana"], "text": "Hi\nto: everybody\x1b[1A"}, said={"+1 Ana": "Ana"}
)


class Terminal:
    """A terminal and the keyboard that belongs to it."""

    def __init__(self) -> None:
        self._keyboard, self.input = pty.openpty()
        self.screen = io.StringIO()
        self.console = Console(file=self.screen, width=200)

    def type(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def hang_up(self) -> None:
        self.type("\x04")  # Ctrl-D at the beginning of a line: the end of input


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    made = Terminal()
    with os.fdopen(made.input) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield made
    os.close(made._keyboard)


def answered(question: object, terminal: Terminal, *typed: str) -> object:
    """Return what comes of a question when lines are typed a little later."""

    async def main() -> object:
        loop = asyncio.get_running_loop()
        for number, text in enumerate(typed, 1):
            loop.call_later(0.05 * number, terminal.type, text)
        return await question  # type: ignore[misc]

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("typed", "approved"), [("y\n", True), ("Yes\n", True), ("n\n", False), ("\n", False), ("yep\n", False)]
)
def test_only_a_yes_approves(terminal: Terminal, typed: str, approved: bool) -> None:
    approval = answered(TerminalApprover(terminal.console)(PROPOSAL), terminal, typed)
    assert (approval is not None) is approved
    shown = terminal.screen.getvalue()
    assert "to: +1 Ana (Ana)" in shown
    assert "│ to: everybody\\u001b[1A" in shown and "\x1b[1A" not in shown


def test_an_answer_may_come_in_pieces(terminal: Terminal) -> None:
    assert answered(TerminalApprover(terminal.console)(PROPOSAL), terminal, "ye", "s", "\n") is not None


def test_what_was_typed_before_the_question_is_no_answer(terminal: Terminal) -> None:
    terminal.type("y\n")
    assert answered(TerminalApprover(terminal.console)(PROPOSAL), terminal, "n\n") is None


def test_the_end_of_input_is_a_no(terminal: Terminal) -> None:
    assert answered(TerminalApprover(terminal.console)(PROPOSAL), terminal, "\x04") is None


def test_the_loop_goes_on_while_a_question_stands_and_the_screen_waits(terminal: Terminal) -> None:
    view = RunView(terminal.console)

    async def main() -> None:
        asked = asyncio.create_task(TerminalApprover(terminal.console, view.hold)(PROPOSAL))
        while "Do it?" not in terminal.screen.getvalue():  # noqa: ASYNC110 — it is printed, not signalled
            await asyncio.sleep(0)
        view(Replanning("something else"))
        assert "something else" not in terminal.screen.getvalue()
        terminal.type("y\n")
        assert await asked is not None
        assert "something else" in terminal.screen.getvalue()

    asyncio.run(main())


def test_progress_stands_until_the_next_line_and_only_on_a_terminal() -> None:
    step, erase = Step(1, "sum_up"), "\x1b[2K"
    for seen in (True, False):
        screen = io.StringIO()
        view = RunView(Console(file=screen, width=40, force_terminal=seen, color_system=None))
        view(Progressed(step, "page 3 \x1b[1A"))
        view(Progressed(step, "page 4"))
        assert ("page 3 \\u001b[1A\r" in screen.getvalue()) is seen
        with view.hold():
            assert screen.getvalue().endswith(erase) is seen
            view(Progressed(step, "page 5"))
        view(Finished(Outcome(step, Status.DONE, "It is short.", remarks=("by no model",))))
        assert "page 5" not in screen.getvalue()
        assert "It is short." in screen.getvalue() and "! by no model" in screen.getvalue()


def test_one_of_several_is_chosen_by_its_number(terminal: Terminal) -> None:
    choose = TerminalChooser(terminal.console)
    assert answered(choose("which Omar?", ["Omar A.", "Omar B."]), terminal, "2\n") == "Omar B."
    assert answered(choose("which Omar?", ["Omar A.", "Omar B."]), terminal, "3\n") is None


def test_a_doubt_is_left_unless_it_is_settled(terminal: Terminal) -> None:
    step = StepRecord(3, "send", "begun", {"to": ["+1 Ana"]}, None, None, "", 0)
    doubt = TerminalDoubter(terminal.console)
    assert answered(doubt(step), terminal, "done\n") is Doubt.DONE
    assert answered(doubt(step), terminal, "again\n") is Doubt.AGAIN
    assert answered(doubt(step), terminal, "what?\n") is Doubt.LEAVE
