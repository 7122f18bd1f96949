"""The hand-written seeds: requests with their plans, the replaceable parts marked.

`training/seeds/*.jsonl` holds them, a pen a file; their format is described in `training/seeds/README.md`. `load_seeds`
reads them into `Seed` objects. Seeds of `invented.jsonl` bring tools of their own, so that a planner learns to read a
signature that it never saw.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.spec import ToolSpec
from training.surface import Call


@dataclass(frozen=True, slots=True)
class Slot:
    """A part of a request that another value of the same kind could replace."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Seed:
    """A request as a person wrote it, and its plan, with `{slot}` where a slot's value stands."""

    id: str
    pen: str  # the file: one writer each
    voice: str
    query: str
    slots: Mapping[str, Slot]
    calls: tuple[Call, ...]
    tools: tuple[ToolSpec, ...] = ()  # invented tools that it brings

    @property
    def as_written(self) -> str:
        """The request with its own values in the slots."""
        return re.sub(r"\{(\w+)\}", lambda match: self.slots[match[1]].value, self.query)

    @property
    def language(self) -> str:
        """`pt`, `es` or `en`."""
        return self.voice[:2] if self.voice[:3] in ("pt-", "es-") else "en"


def seed_folder() -> Path:
    """Return the folder of the seeds that come with the project."""
    return Path(__file__).parent / "seeds"


def load_seeds(paths: Iterable[Path] | None = None) -> list[Seed]:
    """Read seed files; all of the project's by default."""
    chosen = sorted(seed_folder().glob("*.jsonl")) if paths is None else paths
    return [_seed(json.loads(line), path.stem) for path in chosen for line in path.open(encoding="utf-8")]


def _seed(data: Mapping[str, Any], pen: str) -> Seed:
    return Seed(
        id=data["id"],
        pen=pen,
        voice=data["voice"],
        query=data["query"],
        slots={name: Slot(*slot) for name, slot in data["slots"].items()},
        calls=tuple((tool, args) for tool, args in data["plan"]),
        tools=tuple(_invented(tool) for tool in data.get("tools", ())),
    )


def _invented(data: Mapping[str, Any]) -> ToolSpec:
    """Return the spec of a tool that nobody has to implement."""
    parameters = []
    for parameter in data["parameters"]:
        kind = parameter["type"].replace("person", "string")
        entry = {**parameter, "type": kind}
        if kind == "enum" and not parameter.get("required", True):
            entry["default"] = parameter["choices"][0]
        if kind == "datetime" and not parameter.get("required", True):
            entry["default"] = "60 minutes"
        parameters.append(entry)
    description = data["description"]
    return ToolSpec.model_validate(
        {
            "name": data["name"],
            "app": "invented",
            "description": description if len(description) >= 10 else f"{description} (a tool)",
            "summary": description[0].lower() + description[1:79].rstrip("."),
            "parameters": parameters,
            "returns": {"type": data.get("returns", "string")},
            "effect": "open",
            "implementation": {"command": ["true"]},
        }
    )
