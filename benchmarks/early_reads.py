"""What it saves that lookups start while the plan is still being written.

    python -m benchmarks.early_reads

The real planner writes; each tool is a program that takes as long as a scripted app does (`DELAYS`, seconds) and does nothing. The same
requests are run in three ways: one step after another once the plan is written, all that can run in parallel once the plan is written,
and with early reads. Measured is the time from the request to the end of its last step; nobody is asked. Each way selects and reads the
whole prompt anew: nothing of the way before is in a cache. Plans are written in a thread that ends with them, never in the main thread:
llama.cpp slows down where two threads have decoded.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track

from benchmarks.timing import read_others
from pipeline.agents import PlainWriter
from pipeline.config import Config, builtin_tools
from pipeline.effects import approve_all
from pipeline.executor import Executor, Limits
from pipeline.pipeline import Pipeline
from pipeline.plan import Plan
from pipeline.planners.llama import LlamaPlanner
from pipeline.spec import Catalogue, CommandTool
from pipeline.tools.context import ToolContext

NOW = datetime(2026, 5, 13, 9, 30)
# By app: what a call by AppleScript, a search, or a service takes.
DELAYS = {
    "contacts": 0.3,
    "files": 0.4,
    "pdf": 1.5,
    "notes": 0.4,
    "maps": 0.3,
    "calendar": 0.5,
    "reminders": 0.4,
    "mail": 0.6,
    "messages": 0.5,
    "zoom": 0.8,
}
REQUESTS = (
    "text Priya and Omar that I'm ten minutes late and remind me at 6 to call the landlord",
    "email Lena and my boss that the review moves to Thursday, and put the review into my calendar on Thursday at 3",
    "summarize ~/files/budget.pdf and text it to Priya, then show me the way to the harbour",
    "what does my note Trip say? mail it to Omar and Ana",
    "invite Priya, Omar and Helen to lunch on Friday at noon and text Dad that I can't come",
    "forward this to my accountant and remind me tomorrow to pay the invoice",
)
WAYS = ("one after another", "in parallel, plan first", "early reads")


def slow_tools() -> Catalogue:
    """Return the sixteen tools, each a program that takes its app's time."""
    return Catalogue(
        spec.model_copy(
            update={
                "implementation": CommandTool(command=("sh", "-c", f"sleep {DELAYS.get(spec.app, 0.4)}; echo 5550100"))
            }
        )
        for spec in builtin_tools().values()
    )


async def timed(pipeline: Pipeline, request: str, way: str) -> float:
    """Return the seconds from the request to the end of its last step."""
    context = ToolContext(Path(), NOW, request, PlainWriter())
    limits = Limits(steps=1) if way == WAYS[0] else Limits()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    executor = Executor(pipeline.tools, context, approve_all, limits=limits)

    def foresee(plan: Plan) -> None:
        loop.call_soon_threadsafe(executor.foresee, plan)

    async with executor if way == WAYS[2] else nullcontext():
        beginning = foresee if way == WAYS[2] else None
        planning = await asyncio.to_thread(pipeline.plan, request, NOW, on_beginning=beginning)
        await executor.run(planning.plan)
    return time.perf_counter() - started


def main(rounds: int = 3) -> None:
    """Measure and print a table; with --json, the times."""
    with TemporaryDirectory() as folder:
        pipeline = Pipeline(Config(data_dir=Path(folder)), tools=slow_tools())
        for request in REQUESTS:
            pipeline.select(request)  # loads the classifier, and the index where one needs it
        asyncio.run(pipeline.aplan(REQUESTS[0], NOW))  # loads the planner
        planner = pipeline.planner
        assert isinstance(planner, LlamaPlanner)
        times: dict[str, list[list[float]]] = {way: [[] for _ in REQUESTS] for way in WAYS}
        for _ in track(range(rounds), "Running", console=Console(stderr=True), disable=not sys.stderr.isatty()):
            for number, request in enumerate(REQUESTS):
                for way in WAYS:
                    planner.forget()
                    read_others(pipeline)
                    times[way][number].append(asyncio.run(timed(pipeline, request, way)))
    medians = {way: [statistics.median(found) for found in times[way]] for way in WAYS}
    if "--json" in sys.argv:
        print(json.dumps({"delays": DELAYS, "requests": REQUESTS, "seconds": medians}, indent=2))
        return
    print(f"| request | {' | '.join(WAYS)} |\n|---|{'---|' * len(WAYS)}")
    for number, request in enumerate(REQUESTS):
        print(f"| {request} | {' | '.join(f'{medians[way][number]:.2f} s' for way in WAYS)} |")
    print(f"| mean | {' | '.join(f'{statistics.fmean(medians[way]):.2f} s' for way in WAYS)} |")


if __name__ == "__main__":
    main()
