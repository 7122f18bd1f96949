"""The corpus: examples of a source, checked, none nearly the same as another, divided for training, validation and test.

`generate` makes the corpus of the project's seeds by composition; `collect` does the same to the examples of any source, such as
a teacher model or an imported data set. `check` reads a corpus file and reports what is in it and what is wrong with it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.engine import Engine, Local
from pipeline.plan import parse_plan
from pipeline.spec import Catalogue
from training.checks import Avoided, Likeness, violations
from training.composition import Composition, Recipe, rank_tools
from training.examples import CorpusError, Example, read
from training.seeds import Seed, load_seeds, split
from training.tool_requests import tool_seeds

SPLITS = ("unseen", "test", "validation", "train")  # in the order in which they are made
# A source that gives this many examples in a row that are all left out has nothing new to say.
PATIENCE = 20_000
# Examples that are composed and checked at a time, from random numbers of their own: whoever makes which, the corpus is the same.
PART = 400

# An example, and the kind of the first thing that is wrong with it, if anything is.
Judged = tuple[Example, str]


@dataclass
class Collected:
    """What came of a source so far."""

    kept: int = 0
    left_out: Counter[str] = field(default_factory=Counter)  # by reason: exact, near, leak, or a kind of violation


def generate(
    sizes: Mapping[str, int],
    tools: Catalogue,
    *,
    recipe: Recipe | None = None,
    seed: int = 0,
    avoid: Sequence[str] = (),
    engine: Engine | None = None,
    on_progress: Callable[[Collected], None] = lambda _: None,
) -> Iterator[Example]:
    """Yield a corpus composed from the seeds; the same seed gives the same one, whatever the engine.

    Args:
        sizes: How many examples of each split; "unseen" ones are for tools that are kept from all training.
        tools: The catalogue.
        recipe: How often what is done to a seed.
        seed: Of the random numbers.
        avoid: Requests of which nothing alike may be in the corpus, and nothing that holds one: those that are evaluated on.
        engine: Composes and checks; what is like what is found in this process, since it needs all that came before.
        on_progress: Told after each example how far it is.

    Raises:
        CorpusError: The seeds do not give that many different examples.
    """
    seeds, kept, recipe = [*load_seeds(), *tool_seeds()], tool_seeds(kept=True), recipe or Recipe()
    parts, rankings = split(seeds) | {"unseen": kept}, rank_tools([*seeds, *kept], tools)
    sift = _Sift(avoid, on_progress)
    for name in SPLITS:
        of_split = replace(recipe, invented=1.0) if name == "unseen" else recipe
        make = partial(_composer, parts[name], tools, rankings, of_split, f"{seed} {name}", name)
        composed = (engine or Local()).map(make, itertools.count())
        fresh = sift.keep(itertools.chain.from_iterable(composed))
        yield from itertools.islice(fresh, sizes.get(name, 0))


def _composer(
    seeds: Sequence[Seed],
    tools: Catalogue,
    rankings: Mapping[str, Sequence[str]],
    recipe: Recipe,
    source: str,
    split: str,
) -> Callable[[int], list[Judged]]:
    """Return what composes and checks a part of a split by its number."""

    def part(number: int) -> list[Judged]:
        composition = Composition(seeds, tools, rankings, seed=f"{source} {number}", recipe=recipe, split=split)
        return [(example, _fault(example, tools)) for example in itertools.islice(composition, PART)]

    return part


def collect(
    source: Iterable[Example],
    tools: Catalogue,
    *,
    avoid: Sequence[str] = (),
    on_progress: Callable[[Collected], None] = lambda _: None,
) -> Iterator[Example]:
    """Yield the examples of a source that are sane, unlike each other, and unlike what is evaluated on.

    Args:
        source: Where they come from.
        tools: The catalogue.
        avoid: Requests of which nothing alike is let through.
        on_progress: Told after each example that is kept.

    Raises:
        CorpusError: An endless source has nothing new to say.
    """
    return _Sift(avoid, on_progress).keep((example, _fault(example, tools)) for example in source)


def _fault(example: Example, tools: Catalogue) -> str:
    wrong = violations(example, tools)
    return wrong[0].partition(":")[0] if wrong else ""


class _Sift:
    """Keeps what is sane, unlike all that it kept before, and unlike what is evaluated on."""

    def __init__(self, avoid: Sequence[str], on_progress: Callable[[Collected], None]) -> None:
        self._avoided, self._likeness, self._collected = Avoided(avoid), Likeness(), Collected()
        self._on_progress = on_progress

    def keep(self, judged: Iterable[Judged]) -> Iterator[Example]:
        """Yield the examples that are kept; raise `CorpusError` after `PATIENCE` in a row that are not."""
        collected, vain = self._collected, 0
        for example, fault in judged:
            if reason := fault or self._alike(example.query):
                collected.left_out[reason] += 1
                vain += 1
                if vain >= PATIENCE:
                    raise CorpusError(
                        f"after {collected.kept} examples, {PATIENCE} in a row were like earlier ones or not sane",
                        fix="ask for fewer, or add seeds",
                    )
                continue
            vain = 0
            collected.kept += 1
            self._on_progress(collected)
            yield example

    def _alike(self, query: str) -> str:
        if self._avoided.find(query) is not None:
            return "leak"
        if (alike := self._likeness.add(query)) is not None:
            return "exact" if alike == query else "near"
        return ""


@dataclass
class Report:
    """What is in a corpus file."""

    examples: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    styles: Counter[str] = field(default_factory=Counter)
    steps: Counter[int] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)  # calls
    families: set[str] = field(default_factory=set)
    violations: Counter[str] = field(default_factory=Counter)  # by kind
    exact: int = 0
    near: int = 0
    leaks: list[tuple[str, str]] = field(default_factory=list)  # a request, and the one that it is like
    strayed: set[str] = field(default_factory=set)  # families that are in two splits
    samples: list[str] = field(default_factory=list)  # the first things that are wrong, in words

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong: no violation, no leak, no family on two sides, under 5 % near-duplicates."""
        alike = self.exact + self.near
        return not (self.violations or self.leaks or self.strayed) and alike < 0.05 * max(1, self.examples)

    def facts(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "examples": self.examples,
            "splits": dict(self.splits),
            "sources": dict(self.sources),
            "languages": dict(self.languages),
            "styles": dict(self.styles),
            "steps": {str(k): v for k, v in sorted(self.steps.items())},
            "calls": dict(self.tools.most_common()),
            "families": len(self.families),
            "violations": dict(self.violations),
            "exact_duplicates": self.exact,
            "near_duplicates": self.near,
            "leaks": len(self.leaks),
            "families_in_two_splits": len(self.strayed),
            "sound": self.sound,
        }


def check(
    path: Path,
    tools: Catalogue,
    *,
    avoid: Sequence[str] = (),
    on_progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Read a corpus file and check every example of it.

    Args:
        path: The file.
        tools: The catalogue.
        avoid: Requests of which nothing alike may be in it.
        on_progress: Told after each example how many there were.

    Raises:
        CorpusError: The file cannot be read, or a line is no example.
    """
    report, likeness, avoided = Report(), Likeness(), Avoided(avoid)
    sides: dict[str, str] = {}
    for example in read(path):
        report.examples += 1
        report.splits[example.split] += 1
        report.sources[example.source] += 1
        report.languages[example.language] += 1
        report.styles.update(example.styles)
        for family in filter(None, example.family.split("+")):
            report.families.add(family)
            if sides.setdefault(family, example.split) != example.split:
                report.strayed.add(family)
        wrong = violations(example, tools)
        report.violations.update(violation.partition(":")[0] for violation in wrong)
        report.samples += [f"line {report.examples}: {violation}" for violation in wrong][: 20 - len(report.samples)]
        if not wrong:
            plan = parse_plan(example.plan)
            own = {alias: name for name, alias in example.offer.aliases.items()}
            report.steps[len(plan.steps)] += 1
            report.tools.update(own.get(step.tool, step.tool) for step in plan.steps)
        if (alike := avoided.find(example.query)) is not None:
            report.leaks.append((example.query, alike))
        if (alike := likeness.add(example.query)) is not None:
            report.exact += alike == example.query
            report.near += alike != example.query
        on_progress(report.examples)
    return report
