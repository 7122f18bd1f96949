"""Request → the few tools that it needs (Tool-RAG).

The index scores each tool by the best likeness of the request, and of each of its clauses, to the tool's description
and example requests; a request for several things is like several examples, each in one of its clauses. The best-scored tools are
offered to the planner; what they may need to look things up is added. Where no tool is like the request at
all, and where the index cannot be used, all tools are offered: a route that costs tokens, never a tool.

The result says by which route it came, with the scores: a selection is never silently wrong.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from pipeline.spec import Catalogue


class Route(StrEnum):
    """Which part of the selector decided."""

    CLASSIFIER = "classifier"
    INDEX = "index"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class SelectionOptions:
    """How the selector weighs tokens against a missed tool."""

    most: int = 11  # tools that are offered at most, prerequisites not counted
    least: int = 6  # tools that are offered at least: a small model chooses better among several
    margin: float = 0.3  # offered are tools whose score is within this of the best one
    floor: float = 0.12  # a best score below this says that the index knows nothing like it: all tools


@dataclass(frozen=True, slots=True)
class Selection:
    """The tools for one request."""

    tools: tuple[str, ...]  # what the planner may call, in the catalogue's order
    implied: frozenset[str]  # lookups that elaboration may add, not shown to the planner
    route: Route
    scores: Mapping[str, float] = field(default_factory=dict)  # cosine by tool; empty on the route `all`
    milliseconds: float = 0.0

    @classmethod
    def given(cls, names: Collection[str], tools: Catalogue) -> Selection:
        """Return the selection of tools that somebody else chose."""
        chosen = tuple(name for name in tools if name in names)
        return cls(chosen, tools.prerequisites(chosen), Route.ALL)

    @property
    def names(self) -> tuple[str, ...]:
        """All tools that a plan of this selection may call, in alphabetical order."""
        return tuple(sorted({*self.tools, *self.implied}))


class Scorer(Protocol):
    """What a selector needs of an index."""

    def search(self, texts: list[str]) -> Mapping[str, float]:
        """Return a score for each tool, the best over the texts."""
        ...


class Selector:
    """Selects tools with an index; without one, takes all."""

    def __init__(self, tools: Catalogue, index: Scorer | None, options: SelectionOptions | None = None) -> None:
        self._tools, self._index = tools, index
        self._options = options or SelectionOptions()

    def select(self, request: str) -> Selection:
        """Return the tools for a request. Takes milliseconds; changes nothing."""
        started = time.perf_counter()
        scores = self._index.search(clauses(request)) if self._index and self._tools else {}
        best = max(scores.values(), default=0.0)
        if best < self._options.floor:
            chosen, route = set(self._tools), Route.ALL
        else:
            ranked = sorted(scores, key=lambda name: -scores[name])[: self._options.most]
            near = {name for name in ranked if scores[name] >= best - self._options.margin}
            chosen = near.union(ranked[: self._options.least])
            route = Route.INDEX
        return Selection(
            tools=tuple(name for name in self._tools if name in chosen),
            implied=self._tools.prerequisites(chosen),
            route=route,
            scores=scores,
            milliseconds=(time.perf_counter() - started) * 1000,
        )

    def everything(self) -> Selection:
        """Return the selection of all tools."""
        return Selection(tuple(self._tools), frozenset(), Route.ALL)


# Where one thing that is asked for ends and the next may begin, in English, Portuguese and Spanish.
_JOINED = r"(?:and|then|also|plus|n|e|y|depois|luego|también|também)"
_BORDER = re.compile(rf"(?:[.;!?\n]+\s+|[,:]\s+|\s[-–—/&]\s)(?:{_JOINED}\s+)*|\s(?:{_JOINED}\s+)+", re.IGNORECASE)


def clauses(request: str) -> list[str]:
    """Return the request and, where it has several, its clauses of at least two words."""
    parts = [part.strip() for part in _BORDER.split(request)]
    long = [part for part in parts if len(part.split()) >= 2]
    return [request, *long] if len(long) > 1 else [request]
