"""One request through the pipeline as far as its plan, and what that took.

Nothing is selected beforehand: the classifier keeps its last readings, so that the selection in a plan would cost next to nothing after
another one for the same text. Who asks a text again has others read in between (`read_others`); the planner's cache is left to its own
`forget`.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from benchmarks.asked import NOW, Asked
from classifiers.inference import KEPT
from pipeline.errors import TinyAgentError
from pipeline.events import Event, Selected, Wrote
from pipeline.pipeline import Pipeline, Planning
from pipeline.selection import Selection

FIRST = Asked("text Omar that the boat is ready", NOW)  # planned before what is measured, and never itself


@dataclass(frozen=True, slots=True)
class Taken:
    """What one request took."""

    selection: Selection  # the first one: where that gives no plan, the pipeline tries another
    planning: Planning | None  # None where no plan could be made,
    error: TinyAgentError | None  # and why
    selecting: float  # seconds, of the selection; 0 where the tools were given
    plan: float  # seconds from the selection to the plan, or to where it was given up
    read: float  # seconds from the selection until the planner wrote something
    first_step: float  # seconds from the selection until the first step stands

    @property
    def whole(self) -> float:
        """Seconds from the request to the plan, the selection in it."""
        return self.selecting + self.plan


def plan(pipeline: Pipeline, request: Asked, *, offered: Collection[str] | None = None) -> Taken:
    """Plan a request, in this thread.

    Args:
        pipeline: What plans.
        request: What it is asked.
        offered: Tools to offer in place of those selected.
    """
    selections, read, steps = list[Selection](), list[float](), list[float]()
    planning = failure = None
    started = time.perf_counter()

    def on_event(event: Event) -> None:
        if isinstance(event, Selected):
            selections.append(event.selection)
        elif isinstance(event, Wrote) and not read:
            read.append(time.perf_counter() - started)

    try:
        planning = pipeline.plan(
            request.text,
            request.now,
            offered=offered,
            on_event=on_event,
            on_beginning=lambda _: steps.append(time.perf_counter() - started),
        )
    except TinyAgentError as error:
        if not selections:  # the request itself is refused
            raise
        failure = error
    ended = time.perf_counter() - started
    selecting = selections[0].milliseconds / 1000
    return Taken(
        selections[0],
        planning,
        failure,
        selecting,
        ended - selecting,
        (read[0] if read else ended) - selecting,
        (steps[0] if steps else ended) - selecting,
    )


def read_others(pipeline: Pipeline) -> None:
    """Have the classifier read as many other texts as it keeps readings of."""
    for number in range(KEPT):
        pipeline.select(f"text Omar that boat {number} is ready")
