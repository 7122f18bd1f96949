"""Requests beside the tools that they are for, to train the embedding on: it must find tools that nobody trained it for.

`described_tools` gathers tools with requests for them: those of `training.tool_requests`, the seeds' invented
tools, the built-in ones, and what public corpora call intents. `Contrast` makes batches of them, requests joined as people join
them, and `contrast_loss` has each clause find its own tool among those of the batch.

Loss: InfoNCE (van den Oord et al., arXiv 1807.03748), both ways. Half of a batch's tools are of one writer: in one field tools
are alike, and the action alone tells them apart. A clause's embedding is the mean over its tokens of the one pass of its text (late
chunking, Günther et al., arXiv 2409.04701), as at run time.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from classifiers.data import LINKS, Row
from index.tool_index import described, entries
from pipeline.spec import Catalogue
from training.seeds import Seed
from training.tool_requests import FOLDER, INTENTS, KEPT, lines, written

if TYPE_CHECKING:
    import torch

    from classifiers.model import Encoder, ToolModel

BUILT_IN = "built-in"
_LEAST = 3  # requests that a tool must have
_BUILT_IN_SHARE = 0.1  # of a batch's tools


@dataclass(frozen=True, slots=True)
class Described:
    """A tool as an index may hold it, and requests for it."""

    name: str
    source: str  # who wrote it
    entries: tuple[str, ...]  # each of them alone could be the tool's entry
    requests: tuple[str, ...]


class Batch(NamedTuple):
    """Clauses and entries: the k-th clause is for the tool of the k-th entry and for no other."""

    texts: list[str]
    clauses: list[tuple[int, int, int]]  # of which text, from which character, to before which
    entries: list[str]


def written_tools() -> list[Described]:
    """Return the tools of `training.tool_requests`, those that are kept from training too."""
    return [Described(told["name"], pen, _entries(told), tuple(told["requests"])) for pen, told in written()]


def described_tools(seeds: Iterable[Seed], tools: Catalogue, natural: Iterable[Row]) -> list[Described]:
    """Return what there is to train on.

    Args:
        seeds: Those that need one tool, lookups apart, are requests for it.
        tools: The built-in ones.
        natural: Utterances of public corpora; those that need none of `tools` are requests for their intent.
    """
    said: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in natural:
        if not row.tools:
            said[row.source, row.intent].append(row.text)
    intents = [
        Described(told["intent"], told["corpus"], _entries(told), tuple(said[told["corpus"], told["intent"]]))
        for told in lines(FOLDER / f"{INTENTS}.jsonl")
    ]
    found = [*(tool for tool in written_tools() if tool.source not in KEPT), *_of_seeds(seeds, tools), *intents]
    return [tool for tool in found if len(tool.requests) >= _LEAST]


def foreign_rows(written: Iterable[Described]) -> list[Row]:
    """Return the requests as rows that need no tool of the classifier's."""
    return [Row(text, frozenset(), tool.source, tool.entries[0]) for tool in written for text in tool.requests]


class Contrast:
    """An endless stream of batches.

    Args:
        tools: What to make them from.
        size: Tools of a batch.
        seed: Of the random numbers.
    """

    def __init__(self, tools: Sequence[Described], *, size: int, seed: int) -> None:
        self._rng = random.Random(f"contrast {seed}")
        self._tools, self._size = tools, size
        self._of_source: dict[str, list[Described]] = defaultdict(list)
        for tool in tools:
            self._of_source[tool.source].append(tool)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches without end; none where there are no tools."""
        while self._tools:
            yield self._batch()

    def _batch(self) -> Batch:
        rng = self._rng
        batch = Batch([], [], [])
        waiting = self._draw()
        while waiting:
            count = rng.choices((1, 2, 3), (5, 3.5, 1.5))[0]
            together, waiting = waiting[:count], waiting[count:]
            text = ""
            for tool in together:
                request, *others = rng.sample(tool.requests, min(2, len(tool.requests)))
                if tool is not together[-1]:
                    request = request.rstrip(" .!?")
                batch.clauses.append((len(batch.texts), len(text), len(text) + len(request)))
                batch.entries.append(
                    rng.choice(others or tool.entries) if rng.random() < 0.2 else rng.choice(tool.entries)
                )
                text += request + (rng.choice(LINKS) if tool is not together[-1] else "")
            batch.texts.append(text)
        return batch

    def _draw(self) -> list[Described]:
        """Return tools of different names: half of one writer, a few built-in ones, and others."""
        rng = self._rng
        sources = [*self._of_source]
        source = self._of_source[rng.choices(sources, [len(self._of_source[name]) for name in sources])[0]]
        built_in = self._of_source.get(BUILT_IN, [])
        drawn = rng.sample(source, min(len(source), self._size // 2))
        drawn += rng.sample(built_in, min(len(built_in), round(self._size * _BUILT_IN_SHARE)))
        drawn += rng.sample(self._tools, min(len(self._tools), self._size))
        different = list({tool.name: tool for tool in drawn}.values())[: self._size]
        rng.shuffle(different)
        return different


def contrast_loss(
    model: ToolModel, encoder: Encoder, batch: Batch, *, temperature: float, max_tokens: int
) -> torch.Tensor:
    """Return the mean of InfoNCE from clauses to entries and from entries to clauses."""
    import torch
    import torch.nn.functional as F

    from classifiers.model import pad

    ids, mask = pad([encoder.encode(text, max_tokens) for text in batch.texts], encoder.padding)
    places = [encoder.tokenizer.encode(text).offsets[: ids.shape[1]] for text in batch.texts]
    parts = torch.zeros(len(batch.clauses), ids.shape[1])
    for part, (row, begin, end) in zip(parts, batch.clauses, strict=True):
        of_it = [at for at, (first, last) in enumerate(places[row]) if begin <= first < last <= end]
        if of_it and end - begin < len(batch.texts[row]):
            part[of_it] = 1
        else:
            part += mask[row]
    told, told_mask = pad([encoder.encode(text, max_tokens) for text in batch.entries], encoder.padding)
    clauses = model.embed(ids, mask, [row for row, _, _ in batch.clauses], parts)
    entries = model.embed(told, told_mask, range(len(told)), told_mask)
    scores, own = clauses @ entries.T / temperature, torch.arange(len(told))
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


def _of_seeds(seeds: Iterable[Seed], tools: Catalogue) -> list[Described]:
    said: dict[tuple[str, ...], list[str]] = defaultdict(list)
    names: dict[tuple[str, ...], tuple[str, str]] = {}
    for seed in seeds:
        called = {name for name, _ in seed.calls}
        meant = {name for name in called if name not in tools or not tools[name].coerces} or called
        spec = {tool.name: tool for tool in (*tools.values(), *seed.tools)}
        if len(meant) == 1 and (tool := spec.get(meant.pop())):
            told = tuple(entries(tool))
            said[told].append(seed.as_written)
            names[told] = tool.name, BUILT_IN if tool.name in tools else seed.pen
    return [Described(*names[told], told, tuple(requests)) for told, requests in said.items()]


def _entries(told: Mapping[str, Any]) -> tuple[str, ...]:
    names = [parameter if isinstance(parameter, str) else parameter["name"] for parameter in told["parameters"]]
    return described(told["description"], names), described(told["also"], names), told["also"]
