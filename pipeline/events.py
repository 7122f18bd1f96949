"""What happens in a run, as it happens: for a terminal, a page or a log to show.

A run calls its `on_event` with these, in the event loop's thread, in order. They carry no behaviour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from pipeline.executor import Outcome
from pipeline.plan import Plan, Step
from pipeline.selection import Selection


@dataclass(frozen=True, slots=True)
class Selected:
    """The tools are selected."""

    selection: Selection


@dataclass(frozen=True, slots=True)
class Wrote:
    """The planner wrote a piece of the plan."""

    text: str


@dataclass(frozen=True, slots=True)
class Drafted:
    """One more step is written: the full plan of what is there so far, which may yet change."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Planned:
    """The full plan is there and valid."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Started:
    """A step runs."""

    step: Step


@dataclass(frozen=True, slots=True)
class Progressed:
    """A step that takes long tells how far it is."""

    step: Step
    said: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A step came to its end, good or bad."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Replanning:
    """Another plan is made, because of `reason`."""

    reason: str


Event: TypeAlias = Selected | Wrote | Drafted | Planned | Started | Progressed | Finished | Replanning
OnEvent: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Show nothing."""
