"""OpenTelemetry spans of each stage: select, plan, every step; without anything that a person said.

Only with `service.trace`: nothing of OpenTelemetry is imported otherwise. Spans go where the environment says (OTEL_EXPORTER_OTLP_ENDPOINT and
its kin), or to the provider that the process has already, such as under `opentelemetry-instrument`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.errors import MissingExtra
from pipeline.events import Event, Finished, Planned, Replanning, Selected, Started

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer


def tracer() -> Tracer:
    """Return what makes spans, set up to send them.

    Raises:
        MissingExtra: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise MissingExtra("opentelemetry-exporter-otlp-proto-http", "otel") from None
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider(resource=Resource.create({"service.name": "tinyagent"}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
    return trace.get_tracer("tinyagent")


def watcher(tracer: Tracer) -> Callable[[str, str, str], SpanWatch]:
    """Return what makes the spans of one piece of work."""
    return lambda what, run, request: SpanWatch(tracer, what, run)


class SpanWatch:
    """Makes the spans of one piece of work: one of the whole, and under it one of each stage."""

    def __init__(self, tracer: Tracer, what: str, run: str) -> None:
        from opentelemetry.trace import set_span_in_context

        self._tracer = tracer
        self._whole = tracer.start_span(what, attributes={"tinyagent.run": run} if run else {})
        self._under = set_span_in_context(self._whole)
        self._plan: Span | None = None
        self._steps: dict[int, Span] = {}

    def event(self, event: Event) -> None:
        """Begin and end spans."""
        match event:
            case Selected(selection):
                began = time.time_ns() - int(selection.milliseconds * 1e6)
                facts = {"tinyagent.route": str(selection.route), "tinyagent.tools": list(selection.names)}
                self._begin("select", facts, began).end()
                self._plan = self._begin("plan")
            case Planned(plan) if self._plan:
                self._plan.set_attribute("tinyagent.steps", len(plan.steps))
                self._end_plan()
            case Replanning():
                self._end_plan()
            case Started(step):
                self._steps[step.number] = self._begin(f"step {step.tool}", {"tinyagent.step": step.number})
            case Finished(outcome):
                number = outcome.step.number
                span = self._steps.pop(number, None) or self._begin(
                    f"step {outcome.step.tool}", {"tinyagent.step": number}
                )
                span.set_attribute("tinyagent.status", str(outcome.status))
                span.end()

    def end(self, status: str) -> None:
        """End what is open."""
        self._end_plan()
        for span in self._steps.values():
            span.end()
        self._whole.set_attribute("tinyagent.status", status)
        self._whole.end()

    def _begin(self, name: str, facts: dict[str, Any] | None = None, began: int | None = None) -> Span:
        return self._tracer.start_span(name, context=self._under, attributes=facts, start_time=began)

    def _end_plan(self) -> None:
        if self._plan:
            self._plan.end()
            self._plan = None
