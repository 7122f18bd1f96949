"""A model's logits on held-out requests → its calibration, and figures of requests that calibration did not see.

`held_out_rows` says which requests; `evaluate` takes any function from texts to logits, so that the trained
network and the exported int8 model are measured by the same hand. What is shipped is calibrated on what is
shipped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from classifiers.calibration import Metrics, Scaling, best_scores, fit_scaling, measure, scores, threshold
from classifiers.data import Parts, Row, generated, written
from classifiers.inference import IMPLIED
from pipeline.spec import Catalogue

if TYPE_CHECKING:
    from numpy.typing import NDArray

Predict = Callable[[Sequence[str]], "NDArray[np.float32]"]  # texts → logits, shape (texts, labels)
_GENERATED = 400  # rows of a part's seeds, where refilled and joined ones are wanted


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Rows that the model was not trained on."""

    tune: list[Row]
    calibrate: list[Row]  # each seed once, as written: rows of one seed would not be independent
    test: Mapping[str, list[Row]]  # by what they are


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a model's logits are to be read, and what comes of it."""

    scaling: Scaling
    scores: list[float]  # of the calibration requests, 0 for the refused; the threshold for any miss rate follows
    alpha: float
    threshold: float
    nothing_below: float  # with no probability above it, a request is taken to be out of scope
    metrics: Mapping[str, Metrics]  # by group of test rows

    def facts(self) -> dict[str, Any]:
        """Return the evaluation as values of JSON."""
        return {
            "alpha": self.alpha,
            "threshold": self.threshold,
            "nothing_below": self.nothing_below,
            "temperatures": list(self.scaling.temperatures),
            "shifts": list(self.scaling.shifts),
            "calibration_scores": self.scores,
            "metrics": {
                name: {key: None if np.isnan(value) else round(value, 5) for key, value in asdict(metrics).items()}
                for name, metrics in self.metrics.items()
            },
        }

    def table(self) -> str:
        """Return the metrics as a table in Markdown."""
        lines = [
            "| requests | in scope | all needed tools selected | tools on average | refused | out of scope "
            "| nothing selected | ECE |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name, m in self.metrics.items():
            lines.append(
                f"| {name} | {m.requests} | {_percent(m.recall_all)} | {_number(m.tools)} | {_percent(m.refused)} "
                f"| {m.out_of_scope} | {_percent(m.nothing)} | {m.calibration_error:.4f} |"
            )
        return "\n".join(lines)


def held_out_rows(parts: Parts, tools: Catalogue, natural: Sequence[Row]) -> HeldOut:
    """Return the rows to calibrate and test on.

    Args:
        parts: The divided seeds.
        tools: The catalogue.
        natural: Rows of public corpora to test on.
    """
    test = written(parts.test, tools)
    groups = {
        "of unseen pens, English": [row for row in test if row.language == "en"],
        "of unseen pens, Portuguese and Spanish": [row for row in test if row.language != "en"],
        "generated from seeds of unseen pens": _take(parts.test, tools),
        "the corpus's test seeds": written(parts.corpus, tools),
        "public corpora": list(natural),
    }
    tune = written(parts.tune, tools) + _take(parts.tune, tools)
    return HeldOut(tune, written(parts.calibrate, tools), {name: rows for name, rows in groups.items() if rows})


def evaluate(predict: Predict, rows: HeldOut, labels: Sequence[str], *, alpha: float, refusals: float) -> Evaluation:
    """Calibrate a model and measure it.

    Args:
        predict: The model.
        rows: Held-out rows.
        labels: What the logits stand for, in their order: tools, then lookups.
        alpha: The share of requests in scope that may lack a needed tool, the refused ones among them.
        refusals: The share of them for which nothing at all may be selected; less than `alpha`, or everything is selected.
    """

    def run(group: Sequence[Row]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return predict([row.text for row in group]), targets(group, labels)

    scaling = fit_scaling(*run(rows.tune))
    logits, needed = run(rows.calibrate)
    probabilities = scaling(logits)
    tools = sum(not label.startswith(IMPLIED) for label in labels)  # it is these that a request is in scope for
    nothing_below = threshold(best_scores(probabilities[:, :tools], needed[:, :tools]), refusals)
    ascending = scores(probabilities, needed, nothing_below, tools=tools)
    at = threshold(ascending, alpha)
    metrics = {}
    for name, group in rows.test.items():
        logits, needed = run(group)
        sure = known(group, labels)
        metrics[name] = measure(scaling(logits), needed, at, nothing_below, tools=tools, known=sure)
    return Evaluation(scaling, ascending, alpha, at, nothing_below, metrics)


def targets(rows: Sequence[Row], labels: Sequence[str]) -> NDArray[np.bool_]:
    """Return whether a row needs what a label stands for, shape (rows, labels); what is not known counts as no."""
    needed = [{*row.tools, *(f"{IMPLIED}{name}" for name in row.lookups or ())} for row in rows]
    return np.array([[label in each for label in labels] for each in needed], bool).reshape(-1, len(labels))


def known(rows: Sequence[Row], labels: Sequence[str]) -> NDArray[np.bool_]:
    """Return whether it is known if a row needs what a label stands for, shape (rows, labels)."""
    unknown = [[row.lookups is None and label.startswith(IMPLIED) for label in labels] for row in rows]
    return ~np.array(unknown, bool).reshape(-1, len(labels))


def _take(seeds: Sequence[Any], tools: Catalogue) -> list[Row]:
    return list(itertools.islice(generated(seeds, tools, seed=1234), _GENERATED)) if seeds else []


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{share:.1%}"


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"
