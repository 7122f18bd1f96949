"""What a tool's implementation is given, and the errors that it may raise.

A Python tool is a plain blocking function `tool(context, **arguments) -> str | list | dict`; the
executor runs it in a thread with a time-out. Arguments arrive as the full plan has them: text,
numbers, booleans and lists; a date and time as `YYYY-MM-DD HH:MM:SS`, a date as `YYYY-MM-DD`. A tool
knows nothing of plans, planners or approvals.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import TinyAgentError


class CalledOff(TinyAgentError):
    """The call was cancelled, or ran out of time, and ends here."""


class Monitor:
    """What a call that takes long tells while it runs, and by what it hears that it was called off.

    Used by the tool's thread and the executor's at once.

    Args:
        on_progress: Told in a few words how far the call is, in the tool's thread.
    """

    def __init__(self, on_progress: Callable[[str], None] = lambda said: None) -> None:
        self._on_progress = on_progress
        self._called_off = threading.Event()
        self.watched = False  # whether the tool looks, so that it is worth waiting for it
        self.remarks: list[str] = []

    def progress(self, said: str) -> None:
        """Tell how far the call is.

        Raises:
            CalledOff: See there.
        """
        self.check()
        self._on_progress(said)

    def remark(self, said: str) -> None:
        """Say what the person should know of how the call was made; it is no part of what the tool gives."""
        if said and said not in self.remarks:
            self.remarks.append(said)

    def check(self) -> None:
        """Return if the call is to go on.

        Raises:
            CalledOff: It is not.
        """
        self.watched = True
        if self._called_off.is_set():
            raise CalledOff("the call was called off")

    def call_off(self) -> None:
        """Have the call end at its next look."""
        self._called_off.set()


@dataclass(frozen=True, slots=True)
class Written:
    """What a writer wrote."""

    text: str
    note: str = ""  # what the person should know of how: that no model took part, and why


class Writer(Protocol):
    """Writes the prose that tools need: mail bodies and summaries (see `pipeline.agents`)."""

    def compose(
        self, *, request: str, context: str, recipients: list[str], thread: str = "", monitor: Monitor | None = None
    ) -> Written:
        """Return the body of a mail.

        Args:
            request: The person's words.
            context: What earlier steps found that the mail is to use; may be empty.
            recipients: Their addresses.
            thread: The message that is answered or forwarded, which others wrote; "" for a new mail.
            monitor: Told how far it is, and asked whether to go on.

        Raises:
            CalledOff: The call that it is for was cancelled.
        """
        ...

    def summarize(self, pages: Iterable[str], *, request: str = "", monitor: Monitor | None = None) -> Written:
        """Return a summary, each sentence with the number of its page, of a text whose pages are taken one at a time.

        Raises:
            CalledOff: The call that it is for was cancelled.
        """
        ...


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What one run lends to its tools."""

    data_dir: Path  # the folder under which the desktop tools keep the user's data
    now: datetime  # when the request was made, local time without a zone
    request: str  # the person's words, for the writing models
    writer: Writer  # writes mail bodies and summaries
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by app: {"zoom": {...}}
    key: str = ""  # of this call, the same when it is made again after a crash: an idempotency key
    previewed: str = ""  # what the person was shown before they approved the call: see `Preview`
    written: Written | None = None  # likewise, the text that was written for it
    monitor: Monitor = field(default_factory=Monitor)  # of this call


@dataclass(frozen=True, slots=True)
class Preview:
    """What a call will act on that is not in its arguments, such as the mail that is selected; shown before it is approved."""

    shown: Mapping[str, str]  # in words, by what it is
    warnings: tuple[str, ...] = ()  # with any, no rule approves in the person's place
    identity: str = ""  # given to the call as `ToolContext.previewed`, so that it acts on this and nothing else
    written: Written | None = None  # given to the call as `ToolContext.written`: it uses this text and no other


class ToolError(TinyAgentError):
    """A tool could not do what it was asked; nothing was changed.

    `mendable` says whether another plan could do better (another name, another date). The joiner
    replans on mendable errors only.
    """

    mendable = False


class NotFound(ToolError):
    """A contact, file, note, message or place that the request names does not exist."""

    mendable = True


class Ambiguous(ToolError):
    """A name fits several things. `candidates` lists them as the person would tell them apart."""

    mendable = True

    def __init__(self, message: str, *, candidates: list[str], fix: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.candidates = candidates


class InDoubt(ToolError):
    """The call broke off where it may have had its effect all the same. It is never made again unasked."""


class InvalidArgument(ToolError):
    """An argument cannot be meant as it is: an end before its start, a note without a name."""

    mendable = True


class Unavailable(ToolError):
    """What the tool works with cannot be reached: no token, no program, a folder that is read-only."""


class Unreachable(Unavailable):
    """A service does not answer for now. What only reads tries again."""


# ── what a tool changed ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Change:
    """What a call changed in one file of the user's, or made at a server of theirs, kept so that it can be taken back."""

    path: Path  # of the file; empty for what is at a server
    created: bool  # the file was not there before
    removed: bytes = b""  # what stood in the file where `inserted` stands now
    inserted: bytes = b""
    before: bytes = b""  # what stands right before it, a little of it
    digest: str = (
        ""  # SHA-256 of a file that was created, in hexadecimal; of what is at a server, what tells it unchanged
    )
    account: str = ""  # the app whose account has it, such as "calendar", if it is at a server
    place: str = ""  # where it is there: a URL, a folder of mails


CONTEXT = 32  # bytes before an insertion, by which its place is known again

_changes: ContextVar[list[Change] | None] = ContextVar("changes", default=None)


@contextmanager
def recording() -> Iterator[list[Change]]:
    """Collect the changes that tools report while the block runs, in its thread or in threads that copy its context."""
    changes: list[Change] = []
    token = _changes.set(changes)
    try:
        yield changes
    finally:
        _changes.reset(token)


def record(path: Path, before: bytes | None, after: bytes) -> None:
    """Report that the content of a file, None where there was no file, became another."""
    if _changes.get() is None:
        return
    if before is None:
        report(Change(path, created=True, digest=hashlib.sha256(after).hexdigest()))
        return
    start = _common(before, after)
    end = min(_common(before[::-1], after[::-1]), len(before) - start, len(after) - start)
    removed, inserted = before[start : len(before) - end], after[start : len(after) - end]
    report(Change(path, False, removed, inserted, after[max(0, start - CONTEXT) : start]))


def _common(one: bytes, other: bytes) -> int:
    """Return how many bytes two texts begin with in common, by halving."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def report(change: Change) -> None:
    """Report a change to whoever is recording."""
    if (changes := _changes.get()) is not None:
        changes.append(change)
