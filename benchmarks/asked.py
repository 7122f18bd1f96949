"""The requests that a benchmark asks: rows of a file, or those of the corpus that no training saw."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from training.seeds import load_seeds, split

NOW = datetime(2026, 5, 13, 9, 30)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and the moment at which it is made."""

    text: str
    now: datetime
    golds: tuple[frozenset[str], ...] = ()  # the tools of each right plan, lookups included, where that is known
    english: bool = True

    @property
    def in_scope(self) -> bool:
        """Whether it needs a tool."""
        return all(self.golds)

    def found(self, names: Collection[str]) -> bool:
        """Return whether all tools of one of its right plans are among these."""
        return any(tools <= {*names} for tools in self.golds)


def rows_of(file: Path) -> list[Asked]:
    """Return the rows with gold plans of a file, such as `tinyagent eval` reads."""
    from training.evaluation import read_cases

    return [
        Asked(
            case.request.query,
            case.request.now or NOW,
            tuple(frozenset(step["tool"] for step in gold) for gold in case.golds),
            not {"pt", "es"} & set(case.tags),
        )
        for case in read_cases(file)
    ]


def read(files: tuple[Path, ...], count: int | None) -> list[Asked]:
    """Return requests that need a tool.

    Args:
        files: Rows with gold plans; without any, the English test seeds.
        count: At most so many, drawn at random but always the same; None is all.
    """
    if files:
        found = [row for file in files for row in rows_of(file) if row.in_scope]
    else:
        seeds = [seed for seed in split(load_seeds())["test"] if seed.calls and not seed.tools]
        found = [
            Asked(seed.as_written, NOW, (frozenset(tool for tool, _ in seed.calls),))
            for seed in seeds
            if seed.language == "en"
        ]
    return random.Random(0).sample(found, count) if count and count < len(found) else found
