"""The hand-written seeds: requests with their plans, the replaceable parts marked.

`training/seeds/*.jsonl` holds them, a pen a file; their format is described in `training/seeds/README.md`. `load_seeds`
reads them into `Seed` objects. Seeds of `invented.jsonl` and `invented2.jsonl` bring tools of their own, so that a planner
learns to read a signature that it never saw.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.spec import ToolSpec
from training.surface import Call

_SUMMARY = 80  # characters that a summary may have
VALIDATION, TEST = 0.02, 0.05  # shares of the seeds


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
        return self.voice[:2] if re.match(r"(?:pt|es)\b", self.voice) else "en"


def seed_folder() -> Path:
    """Return the folder of the seeds that come with the project."""
    return Path(__file__).parent / "seeds"


def load_seeds(paths: Iterable[Path] | None = None) -> list[Seed]:
    """Read seed files; all of the project's by default."""
    chosen = sorted(seed_folder().glob("*.jsonl")) if paths is None else paths
    told = ((path.stem, json.loads(line)) for path in chosen for line in path.open(encoding="utf-8"))
    return [seed_of(data, pen, [invented_tool(tool) for tool in data.get("tools", ())]) for pen, data in told]


def styles(seed: Seed) -> frozenset[str]:
    """Return how a seed is said: `terse`, `dictated`, `formal`, `typo` or `non-native`, none of them or several.

    The pen tells, where a whole file was written in one way, or the voice.
    """
    voice = seed.voice.casefold()
    said = {style for style, words in _STYLES.items() if any(word in voice for word in words)}
    return frozenset(said | {style for style, pens in _PENS.items() if seed.pen in pens})


_STYLES = {
    "terse": ("terse", "telegraphic", "texter"),
    "dictated": ("dictat",),
    "formal": ("formal", "lawyer", "diplomat"),
    "typo": ("thumb", "typo"),
    "non-native": ("non-native", "nonnative", "non native"),
}
_PENS = {"terse": ("s1", "s9"), "dictated": ("s4",), "formal": ("s10",)}


def side_of(family: str) -> str:
    """Return whether a family of phrasings trains, validates or tests; decided by its name."""
    place = _place(family)
    return "validation" if place < VALIDATION else "test" if place < VALIDATION + TEST else "train"


def split(seeds: Iterable[Seed]) -> dict[str, list[Seed]]:
    """Divide seeds into `train`, `validation` and `test`, so that no phrasing is on two sides."""
    parts: dict[str, list[Seed]] = {"train": [], "validation": [], "test": []}
    for seed in seeds:
        parts[side_of(seed.id)].append(seed)
    return parts


def _place(name: str) -> float:
    """Return a number from 0 to 1 that a name always has."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32


def seed_of(data: Mapping[str, Any], pen: str, tools: Iterable[ToolSpec]) -> Seed:
    """Return the seed that an object of a file tells of, with the tools that it brings."""
    return Seed(
        id=data["id"],
        pen=pen,
        voice=data["voice"],
        query=data["query"],
        slots={name: Slot(*slot) for name, slot in data["slots"].items()},
        calls=tuple((tool, args) for tool, args in data["plan"]),
        tools=tuple(tools),
    )


def invented_tool(data: Mapping[str, Any]) -> ToolSpec:
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
    short = description[0].lower() + description[1:].rstrip(".")  # many authors write no summary
    return ToolSpec.model_validate(
        {
            "name": data["name"],
            "app": "invented",
            "description": description if len(description) >= 10 else f"{description} (a tool)",
            "summary": short if len(short) <= _SUMMARY and _place(data["name"]) < 0.5 else "",
            "parameters": parameters,
            "returns": {"type": data.get("returns", "string")},
            "effect": "open",
            "implementation": {"command": ["true"]},
        }
    )
