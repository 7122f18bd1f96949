"""Structured logs: one line an event, without anything private unless the user wants it.

What a person said, what a tool was given and what it gave back are private; so is the text of most errors, which repeats some of
that. Logged are ids, names of tools, counts, durations and the kinds of errors. With `service.log_content`, for debugging, the words too.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline.events import Event, Finished, Planned, Replanning, Selected, Started

log = logging.getLogger("tinyagent")


class JsonLines(logging.Formatter):
    """A record as a JSON object on a line; its fields come as `extra={"fields": {…}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return json.dumps(_facts(record), default=str)


class PlainLines(logging.Formatter):
    """A record as a line to be read: time, level, what happened, and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        facts = _facts(record)
        head = f"{facts.pop('time')} {facts.pop('level'):7} {facts.pop('event')}"
        return "  ".join([head, *(f"{name}={json.dumps(value, default=str)}" for name, value in facts.items())])


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    facts = {
        "time": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "event": record.getMessage() if record.name == log.name else record.name,
        **fields,
    }
    if record.exc_info and record.exc_info[1]:
        facts |= where(record.exc_info[1])
    elif record.name.startswith("uvicorn"):
        facts["message"] = record.getMessage()  # what the server does, never what a request has in it
    return facts


def configure(*, lines: str) -> None:
    """Send the logs to standard error, as "json" or "text"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if lines == "json" else PlainLines())
    # Others' words may repeat what they were given (asyncio a callback's arguments, contacts a card's line); the formatters leave them out.
    for name, level in ((log.name, logging.INFO), ("uvicorn", logging.WARNING), ("", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def where(error: BaseException) -> dict[str, Any]:
    """Return an error's kind and the places that it came by, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "at": [f"{f.filename}:{f.lineno} {f.name}" for f in frames[-8:]]}


class LogWatch:
    """Logs one piece of work.

    Args:
        what: What is done.
        run: The run's id; "" where there is none.
        request: The person's words.
        content: Whether those and others may be told.
    """

    def __init__(self, what: str, run: str, request: str, *, content: bool) -> None:
        self._about = {"what": what, **({"run": run} if run else {})}
        self._content, self._began = content, time.perf_counter()
        self._say("begun", {}, {"request": request})

    def event(self, event: Event) -> None:
        """Log what happens."""
        match event:
            case Selected(selection):
                facts = {"tools": selection.names, "route": str(selection.route)}
                self._say("selected", facts | {"ms": round(selection.milliseconds, 1)})
            case Planned(plan):
                self._say("planned", {"calls": [step.tool for step in plan.steps]}, {"plan": plan.text()})
            case Replanning(reason):
                self._say("replanning", {}, {"reason": reason})
            case Started(step):
                self._say("step started", {"step": step.number, "tool": step.tool}, {"call": step.text()})
            case Finished(outcome):
                ended = {"step": outcome.step.number, "tool": outcome.step.tool, "status": str(outcome.status)}
                kind = {"error": type(outcome.error).__name__} if outcome.error else {}
                words = {"output": outcome.output, "said": str(outcome.error) if outcome.error else None}
                self._say("step finished", ended | kind | {"ms": round(outcome.seconds * 1000, 1)}, words)

    def end(self, status: str) -> None:
        """Log how it ended."""
        self._say("ended", {"status": status, "ms": round((time.perf_counter() - self._began) * 1000, 1)})

    def _say(self, what: str, facts: Mapping[str, Any], words: Mapping[str, Any] | None = None) -> None:
        fields = {**self._about, **facts, **((words or {}) if self._content else {})}
        log.info(what, extra={"fields": fields})
