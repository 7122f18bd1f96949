"""Whether an example may be learnt from: the sanity checks, and what is too like what.

The TinyAgent paper throws out generated plans with a wrong tool, wrong arity or a cycle (arXiv 2409.00608, section 3.2). Here a plan must
moreover become a full plan by the compiler that the pipeline uses (types, references of a fitting type, times that are
understood), run to its end in a dry run, and keep the planning conventions as far as words can show it: names, files, paths and
times are copied from the request, nothing is asked twice, no text is empty.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pipeline.agents import PlainWriter
from pipeline.effects import approve_all
from pipeline.elaborate import ElaborationError, bind, elaborate
from pipeline.errors import TinyAgentError
from pipeline.executor import Executor
from pipeline.plan import Plan, Value, parse_plan
from pipeline.spec import COERCIBLE, Catalogue, Effect, Parameter, Type
from pipeline.tools.context import ToolContext
from training.examples import Example

# When a request may have been made: "Monday the 9th" is understood in some months only.
NOWS = tuple(datetime(2026, month, 12, 10, 30) for month in range(1, 13))
NEAR = 0.8  # Jaccard similarity of word triples from which two requests are near-duplicates
BANDS, ROWS = 12, 5  # of the hashes that find them
LEAK = 0.5  # similarity from which a request is taken for one that must not be trained on
HELD = 0.8  # share of that one's triples from which it is held by a longer request, such as a joined one,
LONG = 5  # if it has so many: shorter ones are in many requests


def violations(example: Example, tools: Catalogue) -> list[str]:
    """Return what is wrong with an example; nothing for a sane one. The word before a colon says the kind."""
    if not example.query.strip():
        return ["request: empty"]
    offered = example.offer.catalogue(tools)
    try:
        plan = parse_plan(example.plan)
    except TinyAgentError as error:
        return [f"syntax: {error}"]
    foreign = [step.tool for step in plan.steps if step.tool not in offered]
    if foreign:
        return [f"tool: {', '.join(foreign)} is not offered"]
    known = with_lookups(offered, tools)
    try:
        full = elaborated(plan, known)
        _dry_run(full, known)
    except TinyAgentError as error:
        return [f"call: {error}"]
    return [*_broken_conventions(example, plan, full, offered)]


def with_lookups(offered: Catalogue, tools: Catalogue) -> Catalogue:
    """Return the offered tools and the lookups that plans with them may need."""
    missing = [t for t in tools.values() if t.coerces and offered.coercion_to(t.returns.type) is None]
    return Catalogue([*offered.values(), *missing])


def elaborated(plan: Plan, tools: Catalogue) -> Plan:
    """Return the full plan, made at the first time at which it can be."""
    for now in NOWS[:-1]:
        with suppress(ElaborationError):
            return elaborate(plan, tools, now)
    return elaborate(plan, tools, NOWS[-1])


def _dry_run(plan: Plan, tools: Catalogue) -> None:
    context = ToolContext(Path(), NOWS[0], "", PlainWriter())
    asyncio.run(Executor(tools, context, approve_all, dry_run=True).run(plan))


def _broken_conventions(example: Example, plan: Plan, full: Plan, offered: Catalogue) -> Iterator[str]:
    said = plain(" ".join((example.query, *example.instructions)))
    for step in plan.steps:
        tool = offered[step.tool]
        for name, value in bind(step, tool).items():
            parameter = tool.parameter(name)
            assert parameter is not None
            for text in _texts(value):
                if not _is_copied(text, parameter, said):
                    yield f"copy: {step.tool}.{name} {text!r} does not stand in the request"
        if tool.effect is Effect.SEND and "" in step.args:
            yield f"empty: {step.text()}"
    calls = [(step.tool, step.args) for step in full.steps]
    if len(set(calls)) < len(calls):
        yield "twice: one call stands twice in the plan"


def _is_copied(text: str, parameter: Parameter, said: str) -> bool:
    """Whether a text stands in what was said, if it has to; of a time, its words, which may be apart."""
    if parameter.type in (Type.DATETIME, Type.DURATION):
        return set(re.findall(r"\w+", plain(text))) <= set(re.findall(r"\w+", said))
    return not (parameter.verbatim or parameter.type in COERCIBLE) or plain(text) in said


def _texts(value: Value) -> Iterator[str]:
    """Yield the texts in a value that hold no reference."""
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)


def plain(text: str) -> str:
    """Return a text without case, accents and needless space."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())


def triples(query: str) -> frozenset[Hashable]:
    """Return the word triples of a request; of a shorter one, its words together."""
    words = re.findall(r"\w+", plain(query))
    return frozenset(zip(words, words[1:], words[2:], strict=False)) or frozenset([tuple(words)])


class Avoided:
    """Finds requests that are like, or that hold, one that must not be trained on.

    Exact: an index from word triples to all requests with them says how many a request shares with each.

    Args:
        queries: What must not be trained on.
    """

    def __init__(self, queries: Iterable[str]) -> None:
        self._known = [(query, triples(query)) for query in queries]
        self._with: defaultdict[Hashable, list[int]] = defaultdict(list)
        for number, (_, theirs) in enumerate(self._known):
            for triple in theirs:
                self._with[triple].append(number)

    def find(self, query: str) -> str | None:
        """Return the first of those that this request is like, or that it has in it beside another."""
        own = triples(query)
        shared = Counter(number for triple in own for number in self._with.get(triple, ()))
        for number, common in sorted(shared.items()):
            other, theirs = self._known[number]
            held = len(theirs) >= LONG and common >= HELD * len(theirs)
            if held or common >= LEAK * (len(own) + len(theirs) - common):
                return other
        return None


class Likeness:
    """Finds requests that are nearly the same as earlier ones, by MinHash and locality-sensitive hashing.

    Method: Broder 1997; `datasketch` keeps the hash tables. What the hashes find is compared exactly, so a pair is never
    called alike that is not. Of pairs at the threshold itself, (1 - `NEAR` ^ `ROWS`) ^ `BANDS` are missed, one in a hundred; of more
    alike ones, fewer.
    """

    def __init__(self) -> None:
        from datasketch import MinHash, MinHashLSH

        self._blank = MinHash(num_perm=BANDS * ROWS)
        self._tables = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
        self._known: list[tuple[str, frozenset[Hashable]]] = []

    def add(self, query: str) -> str | None:
        """Return an earlier request that this one is like, or remember it and return None."""
        own = triples(query)
        hashes = self._blank.copy()  # a new one would draw its permutations again
        hashes.update_batch([repr(triple).encode() for triple in own])
        found: list[int] = self._tables.query(hashes)
        for number in found:
            other, theirs = self._known[number]
            common = len(own & theirs)
            if common >= NEAR * (len(own) + len(theirs) - common):
                return other
        self._tables.insert(len(self._known), hashes, check_duplication=False)
        self._known.append((query, own))
        return None
