"""What a planner is: the interface that the pipeline plans through, whatever model is behind it.

A planner takes a `PlanRequest` and writes a plan as text, bit by bit. It does not choose the tools, and it
neither reads nor runs what it writes: parsing is left to `pipeline.plan`, filling in to `pipeline.elaborate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from pipeline.errors import TinyAgentError
from pipeline.spec import Catalogue, Type


class PlannerError(TinyAgentError):
    """The planner cannot write a plan: no model, no server, no end, an answer that is none."""


class PlannerUnavailable(PlannerError):
    """The planner's server cannot be reached, refuses, or does not answer as such a server does."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What a planner is asked."""

    request: str  # the person's words
    tools: Catalogue  # the tools that it may call
    instructions: tuple[str, ...] = ()  # the person's standing instructions, such as "always cc Nick"
    probabilities: Mapping[str, float] = field(default_factory=dict)  # of tools, that the plan calls them, where known
    named: frozenset[Type] | None = None  # the types for which a name may stand that is looked up; None is all
    feedback: str = ""  # why a replan is made; empty the first time
    times: tuple[str, ...] | None = None  # the only words for times, where the first ones were not understood
    now: datetime = field(default_factory=datetime.now)  # for models that work dates out themselves


class Planner(Protocol):
    """Writes plans."""

    def prompt(self, request: PlanRequest) -> str:
        """Return what the model will read, as text."""
        ...

    def count_tokens(self, text: str) -> int:
        """Return how many of the model's tokens `text` takes."""
        ...

    def stream(self, request: PlanRequest) -> Iterator[str]:
        """Yield the plan's text as it is written; closing the iterator cancels the generation.

        Raises:
            PlannerError: While iterating: no plan, or no whole one, can be written.
        """
        ...

    def close(self) -> None:
        """Free what the planner holds: a model, a connection."""
        ...


@runtime_checkable
class Loadable(Protocol):
    """A planner with something to load before it can write."""

    def load(self) -> None:
        """Load it now, so that the next plan does not wait for it.

        Raises:
            PlannerError: It is not here, or cannot be loaded.
        """
        ...
