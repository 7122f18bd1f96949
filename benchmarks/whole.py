"""The pipeline as a program: cold starts, memory of each part, and how many callers one model serves.

A cold start is a new process of the command, with the files in the system's cache: from its start to its end, the interpreter's own
start and all imports in it. Memory is the most that the process ever held (maximum resident set size), as it says itself at its end: what the
system tells a parent of its child begins with the parent's own. Callers ask one pipeline; one thread writes all plans, a request at a time
as in the service.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.asked import Asked
from benchmarks.figures import Summary, table
from benchmarks.timing import FIRST, read_others
from pipeline.config import Config
from pipeline.errors import TinyAgentError
from pipeline.pipeline import Pipeline

REQUEST = "text Priya that I'm ten minutes late and remind me at 6 to call the landlord"
CALLERS = (1, 2, 4, 8)
_COMMAND = "from pipeline.cli import main; main()"
_PRELUDE = """
import atexit, os, sys
def peak():
    if sys.platform == "linux":
        lines = open("/proc/self/status").read().splitlines()
        megabytes = next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM"))
    else:
        import resource
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    open(os.environ["PEAK"], "w").write(str(megabytes))
atexit.register(peak)
"""
_PARTS = {
    "the interpreter alone": "pass",
    "import pipeline": "import pipeline",
    "with the classifier": "from classifiers import ToolClassifier; ToolClassifier.load()('text Omar')",
    "with the planner": "from pipeline import Config; from pipeline.planners import make_planner; p = make_planner(Config()); p.complete('x', stop='y', most=1)",
}


def measure(asked: Sequence[Asked], rounds: int, tell: Callable[[], None]) -> dict[str, Any]:
    """Start the command some times, and let callers share a pipeline."""
    with TemporaryDirectory() as folder:
        place = ["--data-dir", folder]
        _process(_COMMAND, ["init", "--sample", *place])
        runs = {
            "tinyagent select": ["select", REQUEST, *place],
            "tinyagent plan": ["plan", REQUEST, *place],
            "tinyagent run": ["run", "--yes", REQUEST, *place],
        }
        starts = {name: _repeated(_COMMAND, arguments, rounds, tell) for name, arguments in runs.items()}
    parts = {name: _repeated(program, [], rounds, tell) for name, program in _PARTS.items()}
    # A process of its own: where a thread has decoded before, as for other sections, llama.cpp's threads do not wait for each other as
    # they should (libgomp keeps a team for each such thread, and with more of them than cores none spins).
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        callers = process.submit(_callers, asked).result()
    tell()
    return {"starts": starts, "parts": parts, "callers": callers}


def report(found: dict[str, Any]) -> str:
    """Return the measurements as Markdown."""
    rows = [
        (name, f"{each['seconds'].median:.2f} s", f"{each['megabytes']:.0f} MB")
        for name, each in (found["starts"] | found["parts"]).items()
    ]
    callers = [
        (
            count,
            f"{each['plans_a_second']:.2f}",
            f"{1000 * each['seconds'].median:.0f} ms",
            f"{1000 * each['seconds'].p90:.0f} ms",
        )
        for count, each in found["callers"].items()
    ]
    return "\n\n".join(
        [
            table(("process", "start to end", "memory, at most"), rows),
            table(("callers", "plans a second", "wait, median", "wait, p90"), callers),
        ]
    )


def _repeated(program: str, arguments: Sequence[str], rounds: int, tell: Callable[[], None]) -> dict[str, Any]:
    measured = []
    for _ in range(rounds):
        measured.append(_process(program, arguments))
        tell()
    seconds, megabytes = zip(*measured, strict=True)
    return {"seconds": Summary.of(seconds), "megabytes": statistics.median(megabytes)}


def _process(program: str, arguments: Sequence[str]) -> tuple[float, float]:
    """Run a program; return its seconds and the megabytes that it held at most."""
    with TemporaryDirectory() as folder:
        told = Path(folder) / "peak"
        command = [sys.executable, "-c", _PRELUDE + program, *arguments]
        started = time.perf_counter()
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "PEAK": str(told)}
        )
        spent = time.perf_counter() - started
        if done.returncode:
            raise RuntimeError(f"{' '.join([program, *arguments])} failed with exit status {done.returncode}")
        return spent, float(told.read_text())


def _callers(asked: Sequence[Asked]) -> dict[int, Any]:
    """Have several threads ask one pipeline for plans at once; one thread writes them all, and each caller waits for its turn."""
    pipeline, rows = Pipeline(Config()), {}

    def plan(request: Asked) -> None:
        with contextlib.suppress(TinyAgentError):
            pipeline.plan(request.text, request.now)

    with ThreadPoolExecutor(1) as planning:

        def wait(request: Asked) -> float:
            started = time.perf_counter()
            planning.submit(plan, request).result()
            return time.perf_counter() - started

        for request in asked:
            pipeline.select(request.text)  # loads the classifier, and the index where one needs it
        wait(FIRST)  # loads the planner, in the thread that writes
        for count in CALLERS:
            read_others(pipeline)
            started = time.perf_counter()
            with ThreadPoolExecutor(count) as callers:
                times = [*callers.map(wait, asked)]
            rows[count] = {"plans_a_second": len(asked) / (time.perf_counter() - started), "seconds": Summary.of(times)}
    pipeline.close()
    return rows
