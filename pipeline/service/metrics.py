"""Counts for Prometheus: requests, runs, plans, steps, the queue, and what the selection saves.

Labels have few values, and none that a person said: routes, statuses, names of tools that the catalogue has.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from pipeline.events import Event, Finished, Planned, Selected
from pipeline.service.turns import Turns

#: Seconds: from a selection on a fast machine to a plan of a large model on a slow one.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The counts of one service.

    Args:
        turns: The queue.
        runs: Gives the number of runs under way.
    """

    def __init__(self, turns: Turns, runs: Callable[[], int]) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Gauge("tinyagent_waiting", "Requests that wait for the model.", registry=registry).set_function(
            lambda: turns.waiting
        )
        Gauge("tinyagent_runs_under_way", "Runs under way.", registry=registry).set_function(runs)
        self.requests = Counter(
            "tinyagent_http_requests", "Requests over HTTP.", ["method", "route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "tinyagent_http_seconds",
            "Time to the end of an answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.refused = Counter("tinyagent_refused", "Requests that the guard refused.", ["why"], registry=registry)
        self.work = Counter(
            "tinyagent_work", "Runs and plans, by how they ended.", ["what", "status"], registry=registry
        )
        self.select_seconds = Histogram(
            "tinyagent_select_seconds", "Time to a selection.", ["route"], buckets=SECONDS, registry=registry
        )
        self.plan_seconds = Histogram(
            "tinyagent_plan_seconds", "Time from a selection to its plan.", buckets=SECONDS, registry=registry
        )
        self.steps = Counter("tinyagent_steps", "Steps, by how they ended.", ["tool", "status"], registry=registry)
        self.step_seconds = Histogram(
            "tinyagent_step_seconds", "Time that a step's tool ran.", ["tool"], buckets=SECONDS, registry=registry
        )
        self.offered = Counter("tinyagent_tools_offered", "Tools offered to the planner, in sum.", registry=registry)

    def text(self) -> bytes:
        """Return all counts in Prometheus' text format."""
        return generate_latest(self.registry)

    def watch(self, what: str, run: str, request: str) -> MetricsWatch:
        """Return what counts one piece of work."""
        return MetricsWatch(self, what)


class MetricsWatch:
    """Counts one piece of work."""

    def __init__(self, metrics: Metrics, what: str) -> None:
        self._metrics, self._what = metrics, what
        self._own = what != "chat"  # tools that come with a request are not named: their number knows no bounds
        self._selected = time.perf_counter()

    def event(self, event: Event) -> None:
        """Count what happens."""
        match event:
            case Selected(selection):
                self._selected = time.perf_counter()
                self._metrics.select_seconds.labels(str(selection.route)).observe(selection.milliseconds / 1000)
                self._metrics.offered.inc(len(selection.tools))
            case Planned():
                self._metrics.plan_seconds.observe(time.perf_counter() - self._selected)
            case Finished(outcome) if self._own:
                self._metrics.steps.labels(outcome.step.tool, str(outcome.status)).inc()
                self._metrics.step_seconds.labels(outcome.step.tool).observe(outcome.seconds)

    def end(self, status: str) -> None:
        """Count how it ended."""
        self._metrics.work.labels(self._what, status).inc()
