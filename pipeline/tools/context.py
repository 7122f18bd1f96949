"""What a tool's implementation is given, and the errors that it may raise.

A Python tool is a plain blocking function `tool(context, **arguments) -> str | list | dict`; the
executor runs it in a thread with a time-out. Arguments arrive as the full plan has them: text,
numbers, booleans and lists; a date and time as `YYYY-MM-DD HH:MM:SS`, a date as `YYYY-MM-DD`. A tool
knows nothing of plans, planners or approvals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import TinyAgentError


class Writer(Protocol):
    """Writes the prose that tools need: mail bodies and summaries (see `pipeline.agents`)."""

    def compose(self, *, request: str, context: str, recipients: list[str]) -> str:
        """Return the body of a mail that answers to `request`, using `context` (may be empty)."""
        ...

    def summarize(self, text: str) -> str:
        """Return a short summary of `text`."""
        ...


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What one run lends to its tools."""

    data_dir: Path  # the folder under which the desktop tools keep the user's data
    now: datetime  # when the request was made, local time without a zone
    request: str  # the person's words, for the writing models
    writer: Writer  # writes mail bodies and summaries
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by app: {"zoom": {...}}


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


class InvalidArgument(ToolError):
    """An argument cannot be meant as it is: an end before its start, a note without a name."""

    mendable = True


class Unavailable(ToolError):
    """What the tool works with cannot be reached: no token, no program, a folder that is read-only."""
