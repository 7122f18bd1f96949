"""Rows to train and test the classifier on: a request and the tools of its surface plan.

Labels are the tools of the surface plan, which the planner writes, and apart from them the lookups that the compiler adds
to it: "implied:get_phone_number" for a text to somebody by name. Of an utterance of a public corpus only the tools are known.

`split` divides the seeds into those to train on and those held out, whole pens among them, `generated` makes endless rows of seeds
as `training.composition` makes requests, `written` gives each seed once as it was written, `mixed` adds natural
utterances.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from classifiers.inference import IMPLIED
from pipeline.errors import TinyAgentError
from pipeline.spec import Catalogue
from training.checks import elaborated
from training.composition import Composition, Recipe, Request
from training.seeds import Seed, side_of

RECIPE = Recipe(refill=0.75, join=0.35, typos=0.1, invented=0.1)
LINKS = (" and ", ", and ", ". ", ", then ", " and then ", " also ", ", ", "; ", " plus ")  # between two requests
AS_WRITTEN = Recipe(refill=0.0, join=0.0, typos=0.0, small=0.0, invented=0.0)


@dataclass(frozen=True, slots=True)
class Row:
    """A request and what it needs."""

    text: str
    tools: frozenset[str]  # of the known ones; empty for a request that none of them serves
    source: str  # a pen, or a public corpus
    intent: str = ""  # in that corpus
    language: str = "en"
    lookups: frozenset[str] | None = frozenset()  # that the plan's values imply; None is unknown


def labels_of(tools: Catalogue) -> tuple[str, ...]:
    """Return the labels of a catalogue: its tools, then the lookups that the types of their parameters may imply."""
    return (*tools, *(f"{IMPLIED}{name}" for name in sorted(tools.prerequisites([*lookups_apart(tools)]))))


def lookups_apart(tools: Catalogue) -> list[str]:
    """Return the tools that are no lookups."""
    return [tool.name for tool in tools.values() if not tool.coerces]


class Parts(NamedTuple):
    """The seeds, divided so that none ever moves from one part to another."""

    train: list[Seed]
    tune: list[Seed]  # temperatures and shifts are fitted on these
    calibrate: list[Seed]  # thresholds come from these
    test: list[Seed]  # of pens that none of the above has: figures come from these
    corpus: list[Seed]  # of the pens trained on, those that the corpus keeps for its test: more figures


def split(seeds: Sequence[Seed], *, calibration_pens: Collection[str], test_pens: Collection[str]) -> Parts:
    """Divide the seeds by who wrote them: thresholds must hold for requests of people whom the model never read.

    Args:
        seeds: All of them.
        calibration_pens: Kept from training; one seed in five of theirs tunes, the others calibrate.
        test_pens: Kept from all of that.
    """
    parts = Parts([], [], [], [], [])
    for seed in seeds:
        side = side_of(seed.id)
        if seed.pen in test_pens:
            parts.test.append(seed)
        elif seed.pen in calibration_pens:
            (parts.tune if _place(seed.id) < 0.2 else parts.calibrate).append(seed)
        elif side == "train":
            parts.train.append(seed)
        elif side == "test" and not seed.tools:  # nothing is promised of requests for invented tools
            parts.corpus.append(seed)
    return parts


def _place(name: str) -> float:
    """Return a number from 0 to 1 that a name always has, and that is not the one by which `side_of` decides."""
    return int(hashlib.sha256(f"part {name}".encode()).hexdigest()[:8], 16) / 2**32


def generated(seeds: Sequence[Seed], tools: Catalogue, *, seed: int) -> Iterator[Row]:
    """Yield endless rows: slots refilled, requests joined, words mistyped."""
    for request in Composition(seeds, tools, {}, seed=seed, recipe=RECIPE).requests():
        yield _row(request, tools)


def written(seeds: Sequence[Seed], tools: Catalogue) -> list[Row]:
    """Return each seed once, as it was written."""
    composition = Composition(seeds, tools, {}, recipe=AS_WRITTEN)
    return [_row(composition.fill(seed), tools) for seed in seeds]


def mixed(seeds: Sequence[Seed], tools: Catalogue, others: Sequence[Row], *, share: float, seed: int) -> Iterator[Row]:
    """Yield generated rows, a share of natural ones among them.

    Half of the natural rows that need a tool are joined to another such row: people ask for two things in a
    breath, public corpora hardly ever do. Intents come up by the square root of their size, so that a large
    one does not drown the rest.
    """
    rng = random.Random(seed)
    fresh = generated(seeds, tools, seed=seed)
    intents: dict[tuple[str, str, frozenset[str]], list[Row]] = defaultdict(list)
    for row in others:
        intents[row.source, row.intent, row.tools].append(row)
    useful = [rows for (_, _, needed), rows in intents.items() if needed]
    foreign = [rows for (_, _, needed), rows in intents.items() if not needed]

    def draw(groups: Sequence[Sequence[Row]]) -> Row:
        return rng.choice(rng.choices(groups, [math.sqrt(len(group)) for group in groups])[0])

    while True:
        if not foreign or rng.random() >= share:
            yield next(fresh)
        elif not useful or rng.random() < 0.45:
            yield draw(foreign)
        elif rng.random() < 0.5:
            yield draw(useful)
        else:
            generated_mate = next(row for row in fresh if row.tools and row.language == "en")
            mate = draw(useful) if rng.random() < 0.6 else generated_mate
            first, second = rng.sample([draw(useful), mate], 2)
            yield _join(first, second, rng)


def _join(first: Row, second: Row, rng: random.Random) -> Row:
    known = first.lookups is not None and second.lookups is not None
    return Row(
        first.text.rstrip(" .!?") + rng.choice(LINKS) + second.text,
        first.tools | second.tools,
        first.source,
        lookups=(first.lookups or frozenset()) | (second.lookups or frozenset()) if known else None,
    )


def _row(request: Request, tools: Catalogue) -> Row:
    first = request.seeds[0]
    needed = frozenset(step.tool for step in request.plan.steps if step.tool in tools)
    return Row(request.query, needed, first.pen, language=first.language, lookups=_implied(request, tools))


def _implied(request: Request, tools: Catalogue) -> frozenset[str] | None:
    """Return the lookups that the compiler adds to the request's plan; None where it cannot make the full plan."""
    try:
        full = elaborated(request.plan, Catalogue([*tools.values(), *request.tools]))
    except TinyAgentError:
        return None
    written = Counter(step.tool for step in request.plan.steps)
    return frozenset(name for name, n in Counter(step.tool for step in full.steps).items() if n > written[name])
