"""The corpus: examples of a source, checked, none nearly the same as another, divided for training, validation and test.

`generate` makes the corpus of the project's seeds by composition; `collect` does the same to the examples of any source, such as
a teacher model or an imported data set. `check` reads a corpus file and reports what is in it and what is wrong with it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.plan import parse_plan
from pipeline.spec import Catalogue
from training.checks import LEAK, Likeness, violations
from training.composition import Composition, rank_tools
from training.examples import CorpusError, Example, read
from training.seeds import load_seeds, split

SPLITS = ("test", "validation", "train")  # in the order in which they are made
# A source that gives this many examples in a row that are all left out has nothing new to say.
PATIENCE = 20_000


@dataclass
class Collected:
    """What came of a source so far."""

    kept: int = 0
    left_out: Counter[str] = field(default_factory=Counter)  # by reason: exact, near, leak, or a kind of violation


def generate(
    sizes: Mapping[str, int],
    tools: Catalogue,
    *,
    seed: int = 0,
    avoid: Sequence[str] = (),
    on_progress: Callable[[Collected], None] = lambda _: None,
) -> Iterator[Example]:
    """Yield a corpus composed from the seeds; the same seed gives the same one.

    Args:
        sizes: How many examples of each split.
        tools: The catalogue.
        seed: Of the random numbers.
        avoid: Requests of which nothing alike may be in the corpus: those that are evaluated on.
        on_progress: Told after each example how far it is.

    Raises:
        CorpusError: The seeds do not give that many different examples.
    """
    seeds = load_seeds()
    parts, rankings = split(seeds), rank_tools(seeds, tools)
    likeness, collected = Likeness(), Collected()
    for number, name in enumerate(SPLITS):
        source = Composition(parts[name], tools, rankings, seed=seed * len(SPLITS) + number, split=name)
        fresh = collect(source, tools, avoid=avoid, on_progress=on_progress, likeness=likeness, collected=collected)
        yield from itertools.islice(fresh, sizes.get(name, 0))


def collect(
    source: Iterable[Example],
    tools: Catalogue,
    *,
    avoid: Sequence[str] = (),
    on_progress: Callable[[Collected], None] = lambda _: None,
    likeness: Likeness | None = None,
    collected: Collected | None = None,
) -> Iterator[Example]:
    """Yield the examples of a source that are sane, unlike each other, and unlike what is evaluated on.

    Args:
        source: Where they come from.
        tools: The catalogue.
        avoid: Requests of which nothing alike is let through.
        on_progress: Told after each example that is kept.
        likeness: Of what earlier sources gave, to go on from.
        collected: Likewise.

    Raises:
        CorpusError: An endless source has nothing new to say.
    """
    likeness, collected = likeness or Likeness(), collected or Collected()
    banned = _banned(avoid)
    vain = 0
    for example in source:
        wrong = violations(example, tools)
        reason = wrong[0].partition(":")[0] if wrong else ""
        if not reason and banned.find(example.query) is not None:
            reason = "leak"
        if not reason and (alike := likeness.add(example.query)) is not None:
            reason = "exact" if alike == example.query else "near"
        if reason:
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
        on_progress(collected)
        yield example


def _banned(queries: Iterable[str]) -> Likeness:
    banned = Likeness(LEAK)
    for query in queries:
        banned.add(query)
    return banned


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
    report, likeness, banned = Report(), Likeness(), _banned(avoid)
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
        if (alike := banned.find(example.query)) is not None:
            report.leaks.append((example.query, alike))
        if (alike := likeness.add(example.query)) is not None:
            report.exact += alike == example.query
            report.near += alike != example.query
        on_progress(report.examples)
    return report
