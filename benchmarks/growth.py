"""What a growing catalogue costs: with Tool-RAG, and with every tool in the prompt.

The built-in tools stand among generated ones. Every request is planned with each catalogue in several rounds, one catalogue after the other in
each, and the lowest time counts, so that noise does not pass for growth. What is measured with every tool ends where the prompt no longer
fits the model's context; its tokens are counted on. Requests without a plan are left out of the times of plans, and told.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.asked import Asked
from benchmarks.figures import Ratio, Summary, table
from benchmarks.index_scale import generated
from benchmarks.timing import FIRST, Taken, plan, read_others
from classifiers import ToolClassifier
from index import ToolIndex
from pipeline.config import Config, builtin_tools
from pipeline.pipeline import Pipeline
from pipeline.planners import make_planner
from pipeline.planners.base import PlanRequest
from pipeline.planners.llama import CONTEXT, MAX_STEP_TOKENS
from pipeline.selection import Selector
from pipeline.spec import Catalogue

ROUNDS = 2


def measure(asked: Sequence[Asked], sizes: Sequence[int], tell: Callable[[], None]) -> dict[int, Any]:
    """Plan each request with catalogues of each size."""
    planner, classifier = make_planner(Config()), ToolClassifier.load(alpha=Config().selection.miss_rate)
    built_in = builtin_tools()
    made = list(itertools.islice(generated(), max(sizes) - len(built_in)))
    pipelines: dict[int, Pipeline] = {}
    loaded: dict[int, float] = {}  # seconds
    for size in sizes:
        tools = Catalogue([*built_in.values(), *made[: size - len(built_in)]])
        with TemporaryDirectory() as folder:
            ToolIndex.build(tools, classifier).save(Path(folder) / "index")
            started = time.perf_counter()
            index = ToolIndex.load(Path(folder) / "index", classifier)
            loaded[size] = time.perf_counter() - started
        selector = Selector(tools, index, classifier=classifier)
        pipelines[size] = Pipeline(Config(), tools=tools, planner=planner, selector=selector)
    every_tokens = {
        size: planner.count_tokens(planner.prompt(PlanRequest(asked[0].text, pipeline.tools)))
        for size, pipeline in pipelines.items()
    }
    # Of each request, what each round took.
    selected: dict[int, list[list[Taken]]] = {size: [[] for _ in asked] for size in sizes}
    every: dict[int, list[list[Taken]]] = {
        size: [[] for _ in asked] for size in sizes if every_tokens[size] <= CONTEXT - MAX_STEP_TOKENS
    }
    for _ in range(ROUNDS):
        for size, pipeline in pipelines.items():
            _round(pipeline, asked, selected[size], None, tell)
            if size in every:
                _round(pipeline, asked, every[size], pipeline.tools, tell)
    rows: dict[int, Any] = {}
    smallest = _lowest(selected[sizes[0]])
    for size in sizes:
        plans, every_plans = _lowest(selected[size]), _lowest(every.get(size, []))
        both = [number for number in plans if number in smallest]
        selections = [rounds[0].selection for rounds in selected[size]]
        plannings = [planning for rounds in selected[size] if (planning := rounds[0].planning)]
        found = [
            request.found(selection.names)
            for request, selection in zip(asked, selections, strict=True)
            if request.golds
        ]
        rows[size] = {
            "selection_ms": Summary.of([1000 * min(one.selecting for one in rounds) for rounds in selected[size]]),
            "plan_ms": Summary.of([*plans.values()]),
            "failed": len(asked) - len(plans),
            "to_smallest": Ratio.of([plans[number] for number in both], [smallest[number] for number in both]),
            "tokens": Summary.of([planning.prompt_tokens for planning in plannings]),
            "tools": Summary.of([len(selection.names) for selection in selections]),
            "recall": sum(found) / len(found) if found else None,
            "index_load_s": loaded[size],
            "every_tool_tokens": every_tokens[size],
            "every_tool_plan_ms": Summary.of([*every_plans.values()]) if every_plans else None,
            "every_tool_failed": len(asked) - len(every_plans) if size in every else None,
        }
    planner.close()
    return rows


def _round(
    pipeline: Pipeline,
    asked: Sequence[Asked],
    taken: Sequence[list[Taken]],
    offered: Collection[str] | None,
    tell: Callable[[], None],
) -> None:
    """Plan each request once more, with the one before it in the planner's cache."""
    plan(pipeline, FIRST, offered=offered)
    for request, rounds in zip(asked, taken, strict=True):
        read_others(pipeline)
        rounds.append(plan(pipeline, request, offered=offered))
        tell()


def _lowest(taken: Sequence[Sequence[Taken]]) -> dict[int, float]:
    """Return the lowest time from each request to its plan, in milliseconds by the request's number; those without a plan are left out."""
    planned = {number: [one.whole for one in rounds if one.planning] for number, rounds in enumerate(taken)}
    return {number: 1000 * min(times) for number, times in planned.items() if times}


def report(rows: dict[int, Any]) -> str:
    """Return the measurements as Markdown."""
    head = (
        "tools",
        "selected",
        "all needed selected",
        "selection",
        "prompt, tokens",
        "requests planned",
        "request to plan",
        "to the smallest",
        "index loaded",
        "every tool: tokens",
        "every tool: requests planned",
        "every tool: request to plan",
    )
    told = [
        (
            f"{size:,}",
            f"{row['tools'].mean:.2f}",
            "–" if row["recall"] is None else f"{row['recall']:.1%}",
            f"{row['selection_ms'].median:.1f} ms",
            f"{row['tokens'].mean:.0f}",
            _planned(row["plan_ms"], row["failed"]),
            f"{row['plan_ms'].median:.0f} ms",
            str(row["to_smallest"]),
            f"{1000 * row['index_load_s']:.0f} ms",
            f"{row['every_tool_tokens']:,}",
            "–" if row["every_tool_failed"] is None else _planned(row["every_tool_plan_ms"], row["every_tool_failed"]),
            _every(row),
        )
        for size, row in rows.items()
    ]
    return table(head, told)


def _planned(times: Summary | None, failed: int) -> str:
    """Return how many of the requests got a plan."""
    count = times.count if times else 0
    return f"{count} of {count + failed}"


def _every(row: dict[str, Any]) -> str:
    if row["every_tool_failed"] is None:
        return "does not fit"
    return f"{row['every_tool_plan_ms'].median:.0f} ms" if row["every_tool_plan_ms"] else "–"
