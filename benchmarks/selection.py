"""How well tools are selected: the shipped selector against what is usually done.

    python -m benchmarks.selection dev.jsonl [--rows 20000] [--classifier FOLDER]

Each way is asked for the tools of every row: of the evaluation files, and of seeds that no training saw. "All found" is the share of the
rows in scope with every tool of a right plan selected, lookups included; "tools" is how many are selected for one on average;
"refused" is the share of them with none; "nothing" is the share of the rows out of scope with none selected. A second table says by
which route ours decided on the rows in scope. Baselines that learn are trained on rows that the classifier's training makes of the same
seeds, and get their threshold by the same calibration. With a classifier that was trained without some tools, a third table says how
those are found.
Needs the extra `train`.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import click
import numpy as np

from benchmarks.asked import NOW, Asked, rows_of
from benchmarks.rankers import Rank, bm25, cosine
from classifiers import ARTEFACT, ToolClassifier
from classifiers.calibration import scores, threshold
from classifiers.data import Row, generated, split, written
from classifiers.train import Settings
from index import Embedder, ToolIndex
from pipeline.config import Config, builtin_tools
from pipeline.selection import Route, SelectionOptions, Selector, clauses
from pipeline.spec import Catalogue
from training.seeds import load_seeds

Select = Callable[[str], Iterable[str]]


@click.command()
@click.argument("files", type=click.Path(path_type=Path, dir_okay=False, exists=True), nargs=-1)
@click.option("--rows", default=20_000, show_default=True, help="To train the baselines on; 0 leaves them out.")
@click.option(
    "--classifier",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=ARTEFACT,
    help="Another artefact.",
)
def main(files: tuple[Path, ...], rows: int, folder: Path) -> None:
    """Select the tools of the rows of FILES in each way and print tables."""
    tools, settings = builtin_tools(), Settings()
    alpha = Config().selection.miss_rate
    parts = split(load_seeds(), calibration_pens=settings.calibration_pens, test_pens=settings.test_pens)
    groups = {file.stem: rows_of(file) for file in files}
    groups["unseen pens"] = [_row(row) for row in written(parts.test, tools)]
    groups["corpus, test"] = [_row(row) for row in written(parts.corpus, tools)]
    sets = {
        f"{name}, {language}": chosen
        for name, found in groups.items()
        for language, english in (("English", True), ("Portuguese and Spanish", False))
        if (chosen := [row for row in found if row.english is english])
    }

    click.echo(
        "| way | rows | in scope | all found | tools | refused | out of scope | nothing | ms |\n|---|---|---|---|---|---|---|---|---|"
    )
    classifier = ToolClassifier.load(folder, alpha=alpha)
    index = ToolIndex.build(tools, classifier)
    selector = Selector(tools, index, classifier=classifier)
    _report("ours", lambda text: selector.select(text).names, sets)
    if rows:
        train = list(itertools.islice(generated(parts.train, tools, seed=7), rows))
        calibrate = written(parts.calibrate, tools)
        embedder = Embedder()
        _report("TF-IDF, logistic regression", _learnt(_tfidf(), train, calibrate, tools, alpha), sets)
        _report("MiniLM, logistic regression", _learnt(embedder.embed, train, calibrate, tools, alpha), sets)
        for k in (3, 6):
            _report(f"BM25 over the specs, first {k}", _closed(bm25(tools), k, tools), sets)
            _report(f"cosine to the descriptions, first {k}", _closed(cosine(tools, embedder), k, tools), sets)
    _report_routes(selector, sets)
    if unknown := [name for name in tools if name not in classifier.labels]:
        _report_unknown(selector, index, unknown, sets)


def _row(row: Row) -> Asked:
    return Asked(row.text, NOW, (_needed(row),), row.language == "en")


def _needed(row: Row) -> frozenset[str]:
    return row.tools | (row.lookups or frozenset())


def _report(name: str, select: Select, sets: dict[str, list[Asked]]) -> None:
    for label, rows in sets.items():
        times, found, counts, nothing = [], [], [], []
        for row in rows:
            started = time.perf_counter()
            selected = set(select(row.text))
            times.append(time.perf_counter() - started)
            if row.in_scope:
                found.append(row.found(selected))
                counts.append(len(selected))
            else:
                nothing.append(not selected)
        click.echo(
            f"| {name} | {label} | {len(found)} | {mean(found):.1%} | {mean(counts):.2f} | {counts.count(0) / len(counts):.1%} "
            f"| {len(nothing)} | {f'{mean(nothing):.0%}' if nothing else '–'} | {median(times) * 1000:.1f} |"
        )


def _report_routes(selector: Selector, sets: dict[str, list[Asked]]) -> None:
    click.echo("\n| rows in scope | route | share of them | all found | tools |\n|---|---|---|---|---|")
    for label, rows in sets.items():
        asked = [row for row in rows if row.in_scope]
        by_route: dict[Route, list[tuple[bool, int]]] = defaultdict(list)
        for row in asked:
            selection = selector.select(row.text)
            by_route[selection.route].append((row.found(selection.names), len(selection.names)))
        for route, told in sorted(by_route.items()):
            found, counts = zip(*told, strict=True)
            click.echo(f"| {label} | {route} | {len(told) / len(asked):.1%} | {mean(found):.1%} | {mean(counts):.2f} |")


def _report_unknown(selector: Selector, index: ToolIndex, unknown: Sequence[str], sets: dict[str, list[Asked]]) -> None:
    """Print how tools are found that the classifier does not know, in the requests that need them."""
    first = SelectionOptions().strangers
    click.echo(f"\n| tool | rows | needing it | in the first {first} for a clause | selected |\n|---|---|---|---|---|")
    for name, (label, rows) in itertools.product(unknown, sets.items()):
        asked = [row.text for row in rows if all(name in tools for tools in row.golds)]
        if not asked:
            continue
        near = [any(name in _first(scores, first) for scores in index.search(text, clauses(text))) for text in asked]
        selected = [name in selector.select(text).names for text in asked]
        click.echo(f"| {name} | {label} | {len(asked)} | {mean(near):.1%} | {mean(selected):.1%} |")


def _first(found: Mapping[str, float], count: int) -> list[str]:
    return sorted(found, key=lambda name: -found[name])[:count]


def _tfidf() -> Callable[[Sequence[str]], Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    union = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=3, max_features=60_000),
    )
    fitted = False

    def features(texts: Sequence[str]) -> Any:
        nonlocal fitted
        if not fitted:
            union.fit(texts)
            fitted = True
        return union.transform(texts)

    return features


def _learnt(
    features: Callable[[Sequence[str]], Any],
    train: Sequence[Row],
    calibrate: Sequence[Row],
    tools: Catalogue,
    alpha: float,
) -> Select:
    """Train a logistic regression a tool, and calibrate it for the same miss rate as ours."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    names = list(tools)

    def needed(rows: Sequence[Row]) -> Any:
        return np.array([[name in _needed(row) for name in names] for row in rows])

    model = OneVsRestClassifier(LogisticRegression(C=10, max_iter=200))
    model.fit(features([row.text for row in train]), needed(train))
    said = model.predict_proba(features([row.text for row in calibrate]))
    at = threshold(scores(said, needed(calibrate)), alpha)

    def select(text: str) -> list[str]:
        (probabilities,) = model.predict_proba(features([text]))
        return [name for name, p in zip(names, probabilities, strict=True) if p >= at]

    return select


def _closed(rank: Rank, k: int, tools: Catalogue) -> Select:
    """Take the first tools of a ranking, and the lookups that they may need."""

    def closed(text: str) -> set[str]:
        chosen = set(rank(text)[:k])
        return chosen | tools.prerequisites(chosen)

    return closed


if __name__ == "__main__":
    main()
