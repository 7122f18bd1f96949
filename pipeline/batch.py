"""Requests from a file, plans to a file: the batch interface, JSON lines both ways.

A request is `{"id", "now", "query"}`; other keys are let pass. Its plan is `{"id", "tools", "route", "plan", "prompt_tokens",
"full_prompt_tokens", "retrieval_ms", "plan_ms"}`, with `"error"` in place of all but the id where none could be made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError, TinyAgentError

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.engine import Engine
    from pipeline.pipeline import Pipeline, Planning


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a batch."""

    id: str
    now: datetime  # when it was made, local time without a zone
    query: str
    data: Mapping[str, Any]  # the line as it was read


def read_requests(path: Path) -> Iterator[Request]:
    """Yield the requests of a file.

    Raises:
        ConfigError: It cannot be read, or a line is no request.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            yield Request(data["id"], datetime.fromisoformat(data["now"]), str(data["query"]), data)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}:{number}: not a request: {error!r}",
                fix='a line is {"id": …, "now": "YYYY-MM-DD HH:MM:SS", "query": "…"}',
            ) from None


def plan_all(config: Config, requests: Iterable[Request], engine: Engine) -> Iterator[dict[str, Any]]:
    """Yield the line of output for each request, planned by an engine whose workers each have a planner."""
    return engine.map(partial(_planner, shared(config, engine)), requests)


def _planner(config: Config) -> Callable[[Request], dict[str, Any]]:
    from pipeline.pipeline import Pipeline

    return partial(planned, Pipeline(config))


def shared(config: Config, engine: Engine) -> Config:
    """Return the settings with which each of several planners on a machine leaves the others their cores."""
    if engine.workers == 1 or config.planner.threads:
        return config
    return config.model_copy(update={"planner": config.planner.model_copy(update={"threads": engine.cores})})


def planned(pipeline: Pipeline, request: Request, offered: Collection[str] | None = None) -> dict[str, Any]:
    """Return the line of output for a request; what goes wrong stands in it. For `offered` see `Pipeline.plan`."""
    try:
        return {"id": request.id, **summary(pipeline.plan(request.query, request.now, offered=offered))}
    except TinyAgentError as error:
        return {"id": request.id, "error": str(error)}


def summary(planning: Planning) -> dict[str, Any]:
    """Return a planning as a JSON object; its tools are those that were selected, also where they gave no plan and all were offered."""
    return {
        "tools": list(planning.selected.names),
        "route": planning.selected.route,
        "plan": planning.plan.text(),
        "prompt_tokens": planning.prompt_tokens,
        "full_prompt_tokens": planning.full_prompt_tokens,
        "retrieval_ms": round(planning.selected.milliseconds, 2),
        "plan_ms": round(planning.milliseconds, 2),
    }


def write_lines(lines: Iterable[Mapping[str, Any]], out: Path) -> int:
    """Write JSON lines to a file that appears when it is whole; return how many there are.

    Raises:
        ConfigError: It cannot be written.
    """
    scratch, count = out.with_name(out.name + ".part"), 0
    with _writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        file = scratch.open("w", encoding="utf-8")
    try:
        for line in lines:
            count += 1
            with _writing(out):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        with _writing(out):
            file.close()
            scratch.replace(out)
    finally:
        with suppress(OSError):
            file.close()
            scratch.unlink(missing_ok=True)
    return count


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Tell what the system says about writing, and nothing of what the lines come from, as such."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{out} cannot be written: {error.strerror}", fix="free some space, or name another file with --out"
        ) from error
