"""Twelve hundred tools that nobody has, with requests for them and the calls that these need.

`training/tool_requests/*.jsonl` holds them, a writer and a field a file; their format is described in `training/tool_requests/README.md`.
`tool_seeds` reads them as seeds, so that the planner learns to read a signature that it never saw; `classifiers.contrast` has the
embedding learn to find a tool by its description.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.spec import ToolSpec
from training.seeds import Seed, invented_tool, seed_of

FOLDER = Path(__file__).parent / "tool_requests"
INTENTS = "public_intents"  # descriptions for the intents of public corpora, which bring the requests
KEPT = ("mixed",)  # writers whose tools nothing is trained on: to choose on, and to measure with


def written() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each writer's name with each of their tools, those that are kept from training too."""
    for path in sorted(FOLDER.glob("*.jsonl")):
        if path.stem != INTENTS:
            for told in lines(path):
                yield path.stem, told


def tool_seeds(*, kept: bool = False) -> list[Seed]:
    """Return the requests as seeds: those for one tool, and those that join several or built-in ones.

    Args:
        kept: Those of the writers that are kept from training, in place of the others.
    """
    single = [seed for pen, told in written() if (pen in KEPT) == kept for seed in _for_one(pen, told)]
    return [*single, *combined_seeds(kept=kept)]


def combined_seeds(*, kept: bool = False) -> list[Seed]:
    """Return those of the seeds that join several tools of a writer, or one of them and built-in ones."""
    specs: defaultdict[str, dict[str, ToolSpec]] = defaultdict(dict)
    for pen, told in written():
        if (pen in KEPT) == kept:
            specs[pen][told["name"]] = invented_tool(told)
    return [
        seed_of(told, pen, [own[name] for name in dict.fromkeys(name for name, _ in told["plan"]) if name in own])
        for pen, own in specs.items()
        for told in lines(FOLDER / "combined" / f"{pen}.jsonl")
    ]


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _for_one(pen: str, told: dict[str, Any]) -> Iterator[Seed]:
    """Yield a tool's requests, but for those that it cannot serve."""
    spec, languages = invented_tool(told), told.get("languages", {})
    for number, (request, calls) in enumerate(zip(told["requests"], told["calls"], strict=True), 1):
        if calls:
            yield Seed(
                id=f"{pen}-{spec.name}-{number}",
                pen=pen,
                voice=languages.get(str(number), "en"),
                query=request,
                slots={},
                calls=tuple((spec.name, arguments) for arguments in calls),
                tools=(spec,),
            )
