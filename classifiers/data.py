"""Rows to train and test the classifier on: a request and the tools of its surface plan.

`split` divides the seeds into those to train on and those held out, `generated` makes endless rows of seeds
as `training.composition` makes requests, `written` gives each seed once as it was written, `mixed` adds natural
utterances. Lookups that a tool needs are no label of it: the selector closes over them from the types.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.spec import Catalogue
from training.composition import Composition, Recipe, Request
from training.seeds import Seed, held_out

RECIPE = Recipe(refill=0.75, join=0.35, typos=0.1, invented=0.06)
AS_WRITTEN = Recipe(refill=0.0, join=0.0, typos=0.0, invented=0.0)


@dataclass(frozen=True, slots=True)
class Row:
    """A request and what it needs."""

    text: str
    tools: frozenset[str]  # of the known ones; empty for a request that none of them serves
    source: str  # a pen, or a public corpus
    intent: str = ""  # in that corpus
    language: str = "en"


class Parts(NamedTuple):
    """The seeds, divided by their ids, so that a seed never moves from one part to another."""

    train: list[Seed]
    tune: list[Seed]  # temperature and shifts are fitted on these
    calibrate: list[Seed]  # thresholds come from these
    test: list[Seed]  # figures come from these


def split(seeds: Sequence[Seed], *, share: float, pen: str) -> Parts:
    """Divide the seeds; one part in five of those held out tunes, three calibrate, one tests.

    Args:
        seeds: All of them.
        share: Of the seeds to hold out, from every pen.
        pen: Held out whole, for requests of a writer that the model never read; "" for none.
    """
    parts = Parts([], [], [], [])
    for seed in seeds:
        if seed.pen != pen and not held_out(seed, share):
            parts.train.append(seed)
        elif not seed.tools:  # a seed with invented tools is no request that thresholds promise anything for
            at = int(hashlib.sha256(f"part {seed.id}".encode()).hexdigest()[:8], 16) / 2**32
            (parts.tune if at < 0.2 else parts.calibrate if at < 0.8 else parts.test).append(seed)
    return parts


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
        if not (useful and foreign) or rng.random() >= share:
            yield next(fresh)
        elif rng.random() < 0.45:
            yield draw(foreign)
        elif rng.random() < 0.5:
            yield draw(useful)
        else:
            generated_mate = next(row for row in fresh if row.tools and row.language == "en")
            mate = draw(useful) if rng.random() < 0.6 else generated_mate
            first, second = rng.sample([draw(useful), mate], 2)
            yield _join(first, second, rng)


def _join(first: Row, second: Row, rng: random.Random) -> Row:
    link = rng.choice([" and ", ", and ", ". ", ", then ", " and then ", " also ", ", ", "; ", " plus "])
    return Row(first.text.rstrip(" .!?") + link + second.text, first.tools | second.tools, first.source)


def _row(request: Request, tools: Catalogue) -> Row:
    first = request.seeds[0]
    needed = frozenset(step.tool for step in request.plan.steps if step.tool in tools)
    return Row(request.query, needed, first.pen, language=first.language)
