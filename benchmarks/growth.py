"""What a growing catalogue costs: with Tool-RAG, and with every tool in the prompt.

The built-in tools stand among generated ones. The line with every tool ends where the prompt no longer fits the model's context; its
tokens are counted on.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.asked import Asked
from benchmarks.figures import Ratio, Summary, table
from benchmarks.index_scale import generated
from classifiers import ToolClassifier
from index import ToolIndex
from pipeline.config import Config, builtin_tools
from pipeline.errors import TinyAgentError
from pipeline.pipeline import Pipeline
from pipeline.planners import make_planner
from pipeline.planners.base import PlannerError, PlanRequest
from pipeline.selection import Selector
from pipeline.spec import Catalogue


def measure(asked: Sequence[Asked], sizes: Sequence[int], tell: Callable[[], None]) -> dict[int, Any]:
    """Plan each request with catalogues of each size."""
    planner, classifier = make_planner(Config()), ToolClassifier.load(alpha=Config().selection.miss_rate)
    built_in = builtin_tools()
    made = list(itertools.islice(generated(), max(sizes) - len(built_in)))
    rows: dict[int, Any] = {}
    smallest: list[float] = []  # milliseconds to a plan, for each request
    for size in sizes:
        tools = Catalogue([*built_in.values(), *made[: size - len(built_in)]])
        with TemporaryDirectory() as folder:
            ToolIndex.build(tools, classifier).save(Path(folder) / "index")
            started = time.perf_counter()
            index = ToolIndex.load(Path(folder) / "index", classifier)
            loaded = time.perf_counter() - started
        pipeline = Pipeline(
            Config(), tools=tools, planner=planner, selector=Selector(tools, index, classifier=classifier)
        )
        selecting, plans, tokens, names, found, every = (
            list[float](),
            list[float](),
            list[float](),
            list[float](),
            [],
            list[float](),
        )
        for request in asked:
            selection = pipeline.select(request.text)
            selecting.append(selection.milliseconds)
            names.append(len(selection.names))
            if request.tools is not None:
                found.append(request.tools <= {*selection.names})
            started = time.perf_counter()
            try:
                planning = pipeline.plan(request.text, request.now)
                tokens.append(planning.prompt_tokens)
            except TinyAgentError:
                pass
            plans.append(1000 * (time.perf_counter() - started))
            tell()
        smallest = smallest or plans
        whole = PlanRequest(asked[0].text, tools)
        every_tokens = planner.count_tokens(planner.prompt(whole))
        try:
            for request in asked[: max(3, len(asked) // 5)]:
                started = time.perf_counter()
                "".join(planner.stream(PlanRequest(request.text, tools, now=request.now)))
                every.append(1000 * (time.perf_counter() - started))
        except PlannerError:
            pass  # it does not fit the context, or the model is lost among so many
        rows[size] = {
            "selection_ms": Summary.of(selecting),
            "plan_ms": Summary.of(plans),
            "to_smallest": Ratio.of(plans, smallest),
            "tokens": Summary.of(tokens),
            "tools": Summary.of(names),
            "recall": sum(found) / len(found) if found else None,
            "index_load_s": loaded,
            "every_tool_tokens": every_tokens,
            "every_tool_plan_ms": Summary.of(every) if every else None,
        }
    planner.close()
    return rows


def report(rows: dict[int, Any]) -> str:
    """Return the measurements as Markdown."""
    head = (
        "tools",
        "selected",
        "all needed selected",
        "selection",
        "prompt, tokens",
        "request to plan",
        "to the smallest",
        "index loaded",
        "every tool: tokens",
        "every tool: plan",
    )
    told = [
        (
            f"{size:,}",
            f"{row['tools'].mean:.2f}",
            "–" if row["recall"] is None else f"{row['recall']:.1%}",
            f"{row['selection_ms'].median:.1f} ms",
            f"{row['tokens'].mean:.0f}",
            f"{row['plan_ms'].median:.0f} ms",
            str(row["to_smallest"]),
            f"{1000 * row['index_load_s']:.0f} ms",
            f"{row['every_tool_tokens']:,}",
            f"{row['every_tool_plan_ms'].median:.0f} ms" if row["every_tool_plan_ms"] else "does not fit",
        )
        for size, row in rows.items()
    ]
    return table(head, told)
