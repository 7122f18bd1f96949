"""Accuracy against tokens, as the number of tools that are kept for the planner varies.

Ours by its scores, the cosine to the descriptions, and BM25 rank all tools, and the first k of each are kept; the lookups that those may
need come with them unshown, as the pipeline adds them. Beside them stand ours as it decides by itself, and all tools. Of the
requests, those count whose right plan is known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from statistics import mean
from typing import Any, NamedTuple

from benchmarks.asked import Asked
from benchmarks.figures import table
from benchmarks.rankers import bm25, cosine
from classifiers import ToolClassifier
from index import Embedder, ToolIndex
from pipeline.config import Config, builtin_tools
from pipeline.planners import make_planner
from pipeline.planners.base import PlanRequest
from pipeline.selection import Selector

KEPT = (1, 2, 3, 4, 5, 6, 8, 12)
DECIDES, EVERY = "ours, as it decides", "all tools"


class Kept(NamedTuple):
    """Of one request."""

    shown: Collection[str]  # in the prompt
    usable: Collection[str]  # by the plan: with the lookups


def measure(asked: Sequence[Asked], tell: Callable[[], None]) -> list[dict[str, Any]]:
    """Select for each request in each way; return a row for each way and number of tools."""
    tools, planner = builtin_tools(), make_planner(Config())
    classifier = ToolClassifier.load(alpha=Config().selection.miss_rate)
    selector = Selector(tools, ToolIndex.build(tools, classifier), classifier=classifier)

    def ours(text: str) -> list[str]:
        scores = selector.select(text).scores
        return sorted(scores, key=lambda name: -scores[name])

    rankings = {"ours": ours, "cosine to the descriptions": cosine(tools, Embedder()), "BM25": bm25(tools)}
    known = [request for request in asked if request.golds]
    kept: dict[tuple[str, int | None], list[Kept]] = {}
    for request in known:
        for way, rank in rankings.items():
            ranked = rank(request.text)
            for k in KEPT:
                kept.setdefault((way, k), []).append(Kept(ranked[:k], {*ranked[:k], *tools.prerequisites(ranked[:k])}))
        selection = selector.select(request.text)
        kept.setdefault((DECIDES, None), []).append(Kept(selection.tools, selection.names))
        kept.setdefault((EVERY, None), []).append(Kept(tools, tools))
        tell()
    rows = []
    for (way, k), each in kept.items():
        prompts = [
            planner.prompt(PlanRequest(request.text, tools.only(shown)))
            for request, (shown, _) in zip(known, each, strict=True)
        ]
        rows.append(
            {
                "way": way,
                "kept": k,
                "found": mean(request.found(usable) for request, (_, usable) in zip(known, each, strict=True)),
                "tools": mean(len(shown) for shown, _ in each),
                "tokens": mean(planner.count_tokens(prompt) for prompt in prompts),
            }
        )
    planner.close()
    return rows


def report(rows: Sequence[dict[str, Any]]) -> str:
    """Return the measurements as Markdown."""
    told = [
        (
            row["way"] + (f", first {row['kept']}" if row["kept"] else ""),
            f"{row['tools']:.2f}",
            f"{row['found']:.1%}",
            f"{row['tokens']:.0f}",
        )
        for row in rows
    ]
    return table(("way", "tools in the prompt", "all needed selected", "prompt, tokens"), told)
