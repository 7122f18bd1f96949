"""Numbers of one run → what a report may say of them: medians, tails, and ratios with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Summary:
    """Of one quantity over some requests."""

    median: float
    p90: float
    mean: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Summarise values, at least one."""
        return cls(float(np.median(values)), float(np.quantile(values, 0.9)), float(np.mean(values)), len(values))


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of one way's median to another's, over the same requests in one run."""

    value: float
    low: float  # 95 % confidence, by a paired bootstrap over the requests (Efron and Tibshirani, 1993)
    high: float

    @classmethod
    def of(cls, ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
        """Compare two ways that were measured on the same requests, in the same order."""
        a, b = np.asarray(ours, float), np.asarray(theirs, float)
        drawn = np.random.default_rng(0).integers(0, len(a), (_RESAMPLES, len(a)))
        ratios = np.median(a[drawn], 1) / np.median(b[drawn], 1)
        low, high = np.quantile(ratios, [0.025, 0.975])
        return cls(float(np.median(a) / np.median(b)), float(low), float(high))

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def plain(value: Any) -> Any:
    """Return figures as values of JSON."""
    if isinstance(value, Summary | Ratio):
        return {key: round(number, 4) for key, number in asdict(value).items()}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])
