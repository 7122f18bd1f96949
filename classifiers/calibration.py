"""Logits → probabilities that mean what they say, and the threshold that keeps a promised miss rate.

`fit_scaling` finds a temperature and a shift for each label; the shift of a tool is its own threshold, since one threshold
then serves all. `scores` says of each held-out request
how low the threshold must be for all its tools to be selected, the refused ones counted in, and `threshold` takes from these scores the
highest one that still bounds the miss rate. `measure` counts what a threshold does. Knows nothing of models
and texts: arrays in, numbers out.

Method: temperature scaling (Guo et al., arXiv 1706.04599), a temperature and a shift a label, both drawn towards common
ones, since the rarer tools have few requests (partial pooling: Gelman and Hill, 2006); conformal risk control (Angelopoulos et
al., arXiv 2208.02814) with the loss "a needed tool is missing", which falls as the threshold falls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHIFT_DEVIATION = 0.5  # a priori, of a label's shift, in logits
_TEMPERATURE_DEVIATION = 0.2  # a priori, of the logarithm of a label's temperature from the common one
_BINS = 15  # of the expected calibration error


@dataclass(frozen=True, slots=True)
class Scaling:
    """How logits become probabilities."""

    temperatures: tuple[float, ...]  # one a label
    shifts: tuple[float, ...]  # one a label, added after the division

    def __call__(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Map logits, shape (…, labels), to probabilities."""
        scaled = np.asarray(logits, np.float64) / np.array(self.temperatures) + np.array(self.shifts)
        probabilities: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -scaled))
        return probabilities


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a threshold does to a set of requests; shares are of 1."""

    requests: int  # in scope
    recall_all: float  # share of the requests in scope with all needed tools selected
    tools: float  # selected on average for a request in scope
    refused: float  # share of the requests in scope with nothing selected
    out_of_scope: int
    nothing: float  # share of the requests out of scope with nothing selected
    calibration_error: float  # expected calibration error over all (request, label) pairs of which the truth is known


def fit_scaling(logits: NDArray[np.float32], needed: NDArray[np.bool_]) -> Scaling:
    """Fit temperatures and shifts on held-out requests by maximum a posteriori.

    Args:
        logits: Shape (requests, labels).
        needed: Whether a request needs a tool, of the same shape.
    """
    from scipy.optimize import minimize  # type: ignore[import-not-found,import-untyped,unused-ignore]

    signs = np.where(needed, 1.0, -1.0)
    labels = logits.shape[1]

    def loss(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        common, apart, shifts = x[0], x[1 : 1 + labels], x[1 + labels :]
        inverse = np.exp(-common - apart)
        margins = signs * (logits * inverse + shifts)
        slope = -signs * np.exp(-np.logaddexp(0.0, margins))
        by_label = -(slope * logits).sum(0) * inverse
        gradient = np.concatenate(
            [
                [by_label.sum()],
                by_label + apart / _TEMPERATURE_DEVIATION**2,
                slope.sum(0) + shifts / _SHIFT_DEVIATION**2,
            ]
        )
        prior = (apart**2).sum() / _TEMPERATURE_DEVIATION**2 + (shifts**2).sum() / _SHIFT_DEVIATION**2
        return float(np.logaddexp(0.0, -margins).sum() + prior / 2), gradient

    found = minimize(loss, np.zeros(1 + 2 * labels), jac=True, method="L-BFGS-B").x
    temperatures = np.exp(found[0] + found[1 : 1 + labels])
    return Scaling(tuple(map(float, temperatures)), tuple(map(float, found[1 + labels :])))


def scores(
    probabilities: NDArray[np.float64],
    needed: NDArray[np.bool_],
    nothing_below: float = 0.0,
    *,
    tools: int | None = None,
) -> list[float]:
    """Return for each request in scope the lowest probability of what it needs, in ascending order.

    All that it needs is selected just when the threshold is not above this score. A refused request has 0: it lacks its tools at
    any threshold but 0, where nothing is refused. That at `nothing_below` itself counts as refused too, for that bound is its own
    probability: so `threshold` of these scores keeps its promise for a new request, although both bounds come from the same ones.

    Args:
        probabilities: Shape (requests, labels).
        needed: Of the same shape.
        nothing_below: What the likeliest tool must reach for a request not to be refused.
        tools: How many of the labels, the first ones, are tools; the others are lookups. None is all.
    """
    lowest = np.where(needed, probabilities, np.inf).min(1)
    refused = probabilities[:, :tools].max(1) <= nothing_below
    return sorted(float(score) for score in np.where(refused, 0.0, lowest)[needed[:, :tools].any(1)])


def threshold(ascending: Sequence[float], alpha: float) -> float:
    """Return the highest threshold whose miss rate is at most `alpha` in expectation, for requests like the scored ones.

    With k of n scores below it, the bound is (k + 1) / (n + 1). Fewer than 1 / alpha - 1 scores cannot bear
    out the promise; then it is 0, which selects every tool.
    """
    misses = int(np.floor(alpha * (len(ascending) + 1) + 1e-9)) - 1
    return ascending[min(misses, len(ascending) - 1)] if misses >= 0 and ascending else 0.0


def best_scores(probabilities: NDArray[np.float64], needed: NDArray[np.bool_]) -> list[float]:
    """Return the probability of the likeliest tool of each request in scope, in ascending order.

    `threshold` of them for a refusal rate is what that probability must reach: a request below it is taken to be out of scope, and
    one in scope is refused no more often than that, by the exchangeability that conformal risk control rests on.
    """
    return sorted(float(best) for best in probabilities.max(1)[needed.any(1)])


def measure(
    probabilities: NDArray[np.float64],
    needed: NDArray[np.bool_],
    at: float,
    nothing_below: float = 0.0,
    *,
    tools: int | None = None,
    known: NDArray[np.bool_] | None = None,
) -> Metrics:
    """Count what selecting everything with a probability of `at` or more gives.

    Args:
        probabilities: Shape (requests, labels).
        needed: Of the same shape.
        at: The threshold.
        nothing_below: Where no tool's probability reaches it, nothing is selected; at a threshold of 0 all is, in any case.
        tools: How many of the labels, the first ones, are tools; the others are lookups. None is all.
        known: Whether `needed` is known, of the same shape. What is not is neither missed nor part of the calibration error. None is
            all.
    """
    best = probabilities[:, :tools].max(1, keepdims=True)
    sure = np.ones_like(needed) if known is None else known
    needed = needed & sure
    selected: NDArray[np.bool_] = (probabilities >= at) & ((best >= nothing_below) | (at <= 0))
    in_scope: NDArray[np.bool_] = np.any(needed[:, :tools], axis=1)
    missed: NDArray[np.bool_] = np.any(needed & ~selected, axis=1)
    empty: NDArray[np.bool_] = ~np.any(selected, axis=1)
    return Metrics(
        requests=int(in_scope.sum()),
        recall_all=_mean(~missed[in_scope]),
        tools=_mean(selected[in_scope].sum(1)),
        refused=_mean(empty[in_scope]),
        out_of_scope=int((~in_scope).sum()),
        nothing=_mean(empty[~in_scope]),
        calibration_error=_calibration_error(probabilities[sure], needed[sure]),
    )


def _calibration_error(probabilities: NDArray[np.float64], true: NDArray[np.bool_]) -> float:
    bins = np.minimum((probabilities * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, probabilities - true, _BINS)
    return float(np.abs(gaps).sum() / max(1, len(true)))


def _mean(values: NDArray[np.generic]) -> float:
    return float(values.mean()) if len(values) else float("nan")
