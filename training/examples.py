"""One example of the corpus: what a planner is given and what it should write; and the file that examples are kept in.

A corpus file is JSON lines, one example each, written by `tinyagent corpus generate` and read by `tinyagent corpus check` and
`tinyagent train planner --corpus`. It keeps what the prompt is made of, not the prompt, so that a change of the prompt's layout needs
no new corpus. Examples that stand next to each other and offer the same tools make up a *group*: a trainer computes their
common beginning once.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.batch import write_lines
from pipeline.errors import TinyAgentError
from pipeline.prompt import compact
from pipeline.spec import Catalogue, ToolSpec


class CorpusError(TinyAgentError):
    """A corpus file cannot be read, or a line of it is no example."""


@dataclass(frozen=True)
class Offer:
    """The tools that a planner may choose from.

    Attributes:
        names: Known tools, by their own names.
        aliases: Other names that some of them go by in the prompt.
        described: Known tools whose summary stands beside their signature, as that of an unknown tool does.
        invented: Tools that are in no catalogue.
    """

    names: tuple[str, ...]
    aliases: Mapping[str, str]
    described: tuple[str, ...]
    invented: tuple[ToolSpec, ...]

    def catalogue(self, tools: Catalogue) -> Catalogue:
        """Return the specs of what is offered, under the names that they have in the prompt."""
        known = (tools[name] for name in self.names)
        renamed = (spec.model_copy(update={"name": self.aliases.get(spec.name, spec.name)}) for spec in known)
        return Catalogue([*renamed, *self.invented])


@dataclass(frozen=True)
class Example:
    """What the planner is given, and what it should write."""

    query: str
    plan: str  # in the surface form, with the names that the tools have in the prompt
    offer: Offer
    instructions: tuple[str, ...] = ()
    family: str = ""  # whose phrasing it is: ids of seeds, joined by '+'; no family is in two splits
    styles: tuple[str, ...] = ()  # terse, dictated, formal, non-native, typo
    language: str = "en"
    source: str = "composition"
    split: str = "train"

    def prompt(self, tools: Catalogue) -> str:
        """Return what the planner is given.

        Args:
            tools: The catalogue that the known tools are from.
        """
        known = set(tools) - set(self.offer.described)
        return compact(self.query, self.offer.catalogue(tools), known=known, instructions=self.instructions)


def groups(examples: Iterable[Example]) -> Iterator[list[Example]]:
    """Yield runs of examples that offer the same tools."""
    return (list(run) for _, run in itertools.groupby(examples, key=lambda example: example.offer))


def write(examples: Iterable[Example], path: Path) -> int:
    """Write a corpus file, which appears when it is whole; return the number of examples.

    Raises:
        ConfigError: The disk is full, or the folder cannot be written to.
    """
    return write_lines(map(to_json, examples), path)


def read(path: Path) -> Iterator[Example]:
    """Yield the examples of a corpus file.

    Raises:
        CorpusError: There is no such file, or a line is no example.
    """
    reader = _Reader()
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    yield reader.example(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
                    raise CorpusError(
                        f"{path}:{number}: not an example: {error!r}"[:400],
                        fix="'tinyagent corpus generate' writes such files; 'corpus import' reads TinyAgent's",
                    ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error


def to_json(example: Example) -> dict[str, Any]:
    """Return an example as a JSON object; what is empty is left out."""
    offer = example.offer
    return {
        "split": example.split,
        "source": example.source,
        "family": example.family,
        "language": example.language,
        "query": example.query,
        "plan": example.plan,
        "tools": list(offer.names),
        **({"instructions": list(example.instructions)} if example.instructions else {}),
        **({"styles": list(example.styles)} if example.styles else {}),
        **({"aliases": dict(offer.aliases)} if offer.aliases else {}),
        **({"described": list(offer.described)} if offer.described else {}),
        **({"invented": [_spec_json(spec) for spec in offer.invented]} if offer.invented else {}),
    }


def _spec_json(spec: ToolSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)


class _Reader:
    """Makes examples of JSON; a spec that comes again is read once."""

    def __init__(self) -> None:
        self._specs: dict[str, ToolSpec] = {}

    def example(self, data: Mapping[str, Any]) -> Example:
        offer = Offer(
            names=tuple(data["tools"]),
            aliases=dict(data.get("aliases", {})),
            described=tuple(data.get("described", ())),
            invented=tuple(self._spec(spec) for spec in data.get("invented", ())),
        )
        return Example(
            query=str(data["query"]),
            plan=str(data["plan"]),
            offer=offer,
            instructions=tuple(data.get("instructions", ())),
            family=str(data.get("family", "")),
            styles=tuple(data.get("styles", ())),
            language=str(data.get("language", "en")),
            source=str(data.get("source", "")),
            split=str(data.get("split", "train")),
        )

    def _spec(self, data: Mapping[str, Any]) -> ToolSpec:
        key = json.dumps(data, sort_keys=True)
        if key not in self._specs:
            self._specs[key] = ToolSpec.model_validate(data)
        return self._specs[key]
