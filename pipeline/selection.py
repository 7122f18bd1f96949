"""Request → the few tools that it needs (Tool-RAG).

The classifier says how likely each tool is that it knows; those above its calibrated threshold are offered to the planner,
and what they may need to look things up is added. A request that it is sure none of them serves gets none. Tools that
the classifier does not know, a user's own, and requests that it is unsure of are for the index, which scores each tool by
the best likeness of the request, and of each of its clauses, to the tool's description and example requests. Where no tool
is like the request at all, or the request is longer than the classifier reads or in a language that it does not, all are offered: a
route that costs tokens, never a tool.

The result says by which route it came, with the scores: a selection is never silently wrong.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from pipeline.spec import Catalogue

if TYPE_CHECKING:
    from classifiers.inference import Classification


Span = tuple[int, int]  # from one character of a text to before another
FOLLOWED = 2  # earlier requests that a follow-up is read together with


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
    whole: int = 48  # a catalogue with more tools is never offered whole: they would not fit the planner's context
    readable: float = 0.5  # share of its words that the classifier must know: with fewer, it is of another language,
    guessable: float = 0.2  # unless some tool is likely all the same, and at least so many words are known
    likely: float = 0.5  # …by this probability
    # For tools that the classifier does not know; `benchmarks.own_tools` measures what these find and cost.
    strangers: int = 4  # ranks of the index, for a clause, in which such a tool is offered
    near: float = 0.2  # cosine that it must reach
    behind: float = 0.05  # and it must not be further behind the best tool of the classifier's choice
    together: int = 5  # tools that such ones fill up to, where there are many: the first of each clause first
    strangers_least: int = 2  # that find room in any case


@dataclass(frozen=True, slots=True)
class Selection:
    """The tools for one request."""

    tools: tuple[str, ...]  # what the planner may call, in the catalogue's order
    implied: frozenset[str]  # lookups that elaboration may add, not shown to the planner
    route: Route
    scores: Mapping[str, float] = field(default_factory=dict)  # by tool: probability, or cosine where the index decided
    milliseconds: float = 0.0
    probabilities: Mapping[str, float] = field(default_factory=dict)  # of the tools that the classifier knows
    threshold: float | None = None  # of the scores, where the classifier decided
    miss_rate: float | None = None  # share of requests like those of the calibration that lack a needed tool, at most

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

    def search(self, text: str, parts: Sequence[Span] = ()) -> Sequence[Mapping[str, float]]:
        """Return a score for each tool: for the text, and then for each part of it."""
        ...


class Classifier(Protocol):
    """What a selector needs of a classifier."""

    @property
    def labels(self) -> Sequence[str]:
        """The tools that it knows."""
        ...

    @property
    def threshold(self) -> float:
        """From which probability on a tool is selected."""
        ...

    @property
    def alpha(self) -> float:
        """The miss rate that the threshold is for."""
        ...

    @property
    def nothing_below(self) -> float:
        """With no probability above this, a request needs none of the tools; it says nothing where the threshold is 0."""
        ...

    def __call__(self, text: str) -> Classification:
        """Classify one request."""
        ...


class Selector:
    """Selects tools with a classifier and an index, or with one of them; without both, takes all.

    Args:
        tools: The catalogue.
        index: Of the catalogue's tools.
        classifier: Of some or all of them.
        options: How tokens are weighed against a missed tool.
    """

    def __init__(
        self,
        tools: Catalogue,
        index: Scorer | None,
        options: SelectionOptions | None = None,
        *,
        classifier: Classifier | None = None,
    ) -> None:
        self._tools, self._index, self._classifier = tools, index, classifier
        self._options = options or SelectionOptions()
        known = classifier.labels if classifier else ()
        self._strangers = frozenset(tools) - frozenset(known)

    def select(self, request: str, *, earlier: Sequence[str] = ()) -> Selection:
        """Return the tools for a request. Takes milliseconds; changes nothing.

        Args:
            request: The person's words.
            earlier: Requests of the same conversation, the oldest first: "and to Omar too" needs what they needed.
        """
        started = time.perf_counter()
        texts = [request, ". ".join([*earlier[-FOLLOWED:], request])] if earlier else [request]
        said = [self._classifier(text) for text in texts] if self._classifier and self._tools else []
        if said and not all(map(self._is_readable, said)):
            found = self._by_index(texts, whole=True)
        else:
            found = (self._by_classifier(said, texts) if said else None) or self._by_index(texts)
        chosen = tuple(name for name in self._tools if name in found.tools)
        return Selection(
            tools=chosen,
            implied=self._tools.prerequisites(chosen) - found.needless,
            route=found.route,
            scores=found.scores,
            milliseconds=(time.perf_counter() - started) * 1000,
            probabilities=found.probabilities,
            threshold=found.threshold,
            miss_rate=self._classifier.alpha if self._classifier and found.route is Route.CLASSIFIER else None,
        )

    def everything(self, request: str) -> Selection:
        """Return the selection of all tools; of a large catalogue, those that are most like the request."""
        if len(self._tools) <= self._options.whole or self._index is None:
            return Selection(tuple(self._tools), frozenset(), Route.ALL)
        scores = highest(self._index.search(request, clauses(request)))
        first = sorted(scores, key=lambda name: -scores[name])[: self._options.whole]
        chosen = tuple(name for name in self._tools if name in first)
        return Selection(chosen, self._tools.prerequisites(chosen), Route.INDEX, scores)

    def _is_readable(self, said: Classification) -> bool:
        """Whether the classifier read all of a request, in a language that it knows."""
        options = self._options
        best = max(said.probabilities.values(), default=0.0)
        guessed = said.known >= options.guessable and best >= options.likely
        return not said.truncated and (said.known >= options.readable or guessed)

    def _by_classifier(self, said: Sequence[Classification], texts: Sequence[str]) -> _Found | None:
        """Return what the classifier is sure enough of, and what the index adds of tools that it does not know; None if it is unsure."""
        assert self._classifier is not None
        known = [name for name in said[0].probabilities if name in self._tools]
        scores = {name: max(classification.probabilities[name] for classification in said) for name in known}
        lookups = {name: max(classification.lookups[name] for classification in said) for name in said[0].lookups}
        threshold = self._classifier.threshold
        best = max((p for classification in said for p in classification.probabilities.values()), default=0.0)
        nothing = threshold > 0 and best < self._classifier.nothing_below  # at 0, it promises that no tool is missed
        chosen = set() if nothing else {name for name in known if scores[name] >= threshold}
        if not nothing and not chosen:
            return None
        needless = frozenset(name for name, p in lookups.items() if p < threshold)
        strange = self._strangers_for(texts, chosen)
        needless -= self._tools.prerequisites(strange)
        return _Found(chosen | set(strange), Route.CLASSIFIER, scores | strange, scores, needless, threshold)

    def _strangers_for(self, texts: Sequence[str], chosen: Collection[str]) -> dict[str, float]:
        """Return tools that the classifier does not know and that the index ranks high for some clause, with their scores.

        They stand beside each other and beside what the classifier chose; what it knows and did not choose takes no place from them. A clause that
        is plainly more like a tool that it chose needs none of them.
        """
        if not self._strangers or self._index is None:
            return dict.fromkeys(self._strangers, 0.0)
        options, room = self._options, self._options.together - len(chosen)
        ranked: list[list[tuple[str, float]]] = []
        for scores in self._by_clause(texts):
            rivals = [name for name in scores if name in self._strangers or name in chosen]
            first = sorted(rivals, key=lambda name: -scores[name])[: options.strangers]
            served = max((scores[name] for name in chosen if name in scores), default=-1.0)
            least = max(options.near, served - options.behind)
            ranked.append([(n, scores[n]) for n in first if n in self._strangers and scores[n] >= least])
        found: dict[str, float] = {}
        for rank in itertools.zip_longest(*ranked):
            for name, score in sorted(filter(None, rank), key=lambda one: -one[1]):
                if name in found or len(found) < max(room, options.strangers_least):
                    found[name] = max(found.get(name, -1.0), score)
        return found

    def _by_clause(self, texts: Sequence[str]) -> list[Mapping[str, float]]:
        """Return the index's scores for each text and each clause of it."""
        return [scores for text in texts for scores in self._index.search(text, clauses(text))] if self._index else []

    def _by_index(self, texts: Sequence[str], *, whole: bool = False) -> _Found:
        """Return the tools that are most like the request; of a catalogue that is not too large all, if `whole` or if none is like it."""
        found = highest(self._by_clause(texts)) if self._tools else {}
        scores = {name: score for name, score in found.items() if name in self._tools}
        best = max(scores.values(), default=0.0)
        if (whole or best < self._options.floor) and len(self._tools) <= self._options.whole:
            return _Found(set(self._tools), Route.ALL, scores)
        ranked = sorted(scores, key=lambda name: -scores[name])[: self._options.whole if whole else self._options.most]
        near = {name for name in ranked if whole or scores[name] >= best - self._options.margin}
        return _Found(near.union(ranked[: self._options.least]), Route.INDEX, scores)


@dataclass(frozen=True, slots=True)
class _Found:
    tools: set[str]
    route: Route
    scores: Mapping[str, float]
    probabilities: Mapping[str, float] = field(default_factory=dict)
    needless: frozenset[str] = frozenset()  # lookups that the types may imply, and this request does not
    threshold: float | None = None


# Where one thing that is asked for ends and the next may begin, in English, Portuguese and Spanish.
_JOINED = r"(?:and|then|also|plus|n|e|y|depois|luego|también|também)"
_BORDER = re.compile(rf"(?:[.;!?\n]+\s+|[,:]\s+|\s[-–—/&]\s)(?:{_JOINED}\s+)*|\s(?:{_JOINED}\s+)+", re.IGNORECASE)


def highest(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return each tool's best score."""
    best: dict[str, float] = {}
    for scores in found:
        best |= {name: max(score, best.get(name, score)) for name, score in scores.items()}
    return best


def clauses(request: str) -> list[Span]:
    """Return where the clauses of a request stand that have at least two words each; none where it has only one."""
    borders = [(0, 0), *(match.span() for match in _BORDER.finditer(request)), (len(request), len(request))]
    between = [(before[1], after[0]) for before, after in itertools.pairwise(borders)]
    long = [(begin, end) for begin, end in between if len(request[begin:end].split()) >= 2]
    return long if len(long) > 1 else []
