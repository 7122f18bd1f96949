"""Seeds → the examples that the planner is trained on: the offline source, by composition.

From a seed an example comes in stages, each a function below: slots are refilled, requests are joined to longer ones,
typing errors are put in, and the tool list is made as a selector makes it: the needed tools among likely wrong ones,
sometimes under other names or other signatures, sometimes with tools that were invented for a seed, sometimes without the one that is needed. One to
four requests share a tool list, which a trainer needs to compute once for all of them.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.plan import Plan, Step, Value, escape_dollars, renumber
from pipeline.spec import Catalogue, ToolSpec
from training.banks import Banks
from training.examples import CorpusError, Example, Offer
from training.seeds import Seed, Slot, styles
from training.surface import to_surface
from training.wordings import ALIASES, CALENDARS, FOLDERS, GREETINGS, LINKS, LISTS, PARAMETERS, SENTENCES

_NEAR = 6  # places apart in their writer's file: tools that a family of tools is of
_A_PERSON = Slot("person", "Nick Owen")


@dataclass(frozen=True, slots=True)
class Request:
    """A request in words, with its surface plan."""

    query: str
    plan: Plan
    tools: tuple[ToolSpec, ...]  # the tools that the plan calls, and invented ones that it could
    seeds: tuple[Seed, ...]  # what it was made from
    mistyped: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """How often what is done to a seed."""

    refill: float = 0.7  # a slot gets another value
    join: float = 0.5  # two or three requests are joined
    typos: float = 0.08  # the words around the slots are mistyped
    small: float = 0.1  # all is typed in small letters
    greet: float = 0.06  # it begins as speech does, with "hey" or "so"
    invented: float = 0.3  # a seed is one with invented tools
    siblings: float = 0.7  # beside a tool of such a seed, others of the same writer are offered
    rename: float = 0.06  # an offered tool has another name
    reshape: float = 0.08  # or another signature too
    describe: float = 0.12  # known tools come with their summary
    drop: float = 0.1  # a needed tool is not offered
    instruct: float = 0.04  # a standing instruction is given


class Composition:
    """An endless stream of examples.

    Args:
        seeds: What to make them from.
        tools: The catalogue.
        rankings: For each seed's id, the catalogue's tools from likely to unlikely, as a selector sees them.
        seed: Of the random numbers; the same one gives the same examples.
        recipe: How often what is done to a seed.
        split: What the examples are for: `train`, `validation`, `test` or `unseen`.

    Raises:
        CorpusError: There is no seed to begin with.
    """

    def __init__(
        self,
        seeds: Sequence[Seed],
        tools: Catalogue,
        rankings: Mapping[str, Sequence[str]],
        *,
        seed: int | str = 0,
        recipe: Recipe | None = None,
        split: str = "train",
    ) -> None:
        self._split = split
        self._rng = random.Random(seed)
        self._tools = tools
        self._rankings = rankings
        self._recipe = recipe or Recipe()
        self._banks = Banks(seeds, self._rng)
        self._own = [s for s in seeds if not s.tools]
        self._foreign = [s for s in seeds if s.tools]
        if not (self._own if self._recipe.invented < 1 else self._foreign):
            raise CorpusError("no seeds to make examples from")
        self._invented = list({tool.name: tool for s in self._foreign for tool in s.tools}.values())
        self._by_language: dict[str, list[Seed]] = {}
        for s in self._own:
            self._by_language.setdefault(s.language, []).append(s)
        self._foreign_by_language: dict[str, list[Seed]] = {}
        self._by_pen: dict[str, list[ToolSpec]] = {}
        for s in self._foreign:
            self._foreign_by_language.setdefault(s.language, []).append(s)
            of_pen = self._by_pen.setdefault(s.pen, [])
            of_pen += [tool for tool in s.tools if tool not in of_pen[-_NEAR:]]

    def __iter__(self) -> Iterator[Example]:
        return itertools.chain.from_iterable(self.groups())

    def groups(self) -> Iterator[list[Example]]:
        """Yield examples that share their list of tools, one to four at a time."""
        while True:
            size = self._rng.choices(range(1, 5), weights=[2, 4, 5, 3])[0]
            requests = [self._request() for _ in range(size)]
            while not _one_spec_a_name(requests):
                requests.pop()
            yield self.examples(requests)

    def requests(self) -> Iterator[Request]:
        """Yield requests without tools to choose from, for what learns to select them."""
        while True:
            yield self._request()

    def examples(self, requests: Sequence[Request]) -> list[Example]:
        """Return the requests with one list of tools to choose from."""
        rng, recipe = self._rng, self._recipe
        offered = self._offer(requests)
        if rng.random() < recipe.drop:
            offered, requests = self._drop(offered, requests)
        described = set[str]()
        if rng.random() < recipe.describe:
            described = set(rng.sample(sorted(self._tools), rng.randrange(1, len(self._tools))))
        if reshaped := rng.random() < recipe.reshape:
            offered, requests = self._reshape(offered, requests)
        names = self._aliases(offered) if rng.random() < recipe.rename else {}
        offer = Offer(
            names=tuple(sorted(tool.name for tool in offered if tool.name in self._tools)),
            aliases=names,
            described=tuple(sorted(described & {tool.name for tool in offered})),
            invented=tuple(tool for tool in offered if tool.name not in self._tools),
        )
        return [self._example(request, offer, instructs=not reshaped) for request in requests]

    def _example(self, request: Request, offer: Offer, *, instructs: bool) -> Example:
        plan, instructions = request.plan, []
        if instructs and self._rng.random() < self._recipe.instruct:
            text, plan = self._instruct(plan)
            instructions.append(text)
        plan = Plan(tuple(replace(step, tool=offer.aliases.get(step.tool, step.tool)) for step in plan.steps))
        told = frozenset.intersection(*(styles(seed) for seed in request.seeds))
        return Example(
            request.query,
            plan.text(),
            offer,
            tuple(instructions),
            family="+".join(seed.id for seed in request.seeds),
            styles=tuple(sorted(told | ({"typo"} if request.mistyped else set()))),
            language=request.seeds[0].language,
            split=self._split,
        )

    # ── the request ──────────────────────────────────────────────────────────────────────────────

    def _request(self) -> Request:
        foreign = self._foreign if self._rng.random() < self._recipe.invented else []
        first = self.fill(self._rng.choice(foreign or self._own))
        if self._rng.random() < self._recipe.greet:
            greeting = self._rng.choice(GREETINGS[first.seeds[0].language])
            first = replace(first, query=greeting + _in_mid_sentence(first, self._rng))
        if self._rng.random() >= self._recipe.join or len(first.plan.steps) > 3:
            return first
        language = first.seeds[0].language
        for _ in range(self._rng.choice([1, 1, 1, 2])):
            of_language = self._foreign_by_language if self._rng.random() < self._recipe.invented else self._by_language
            mates = of_language.get(language) or self._by_language.get(language)
            if not mates:
                break
            mate = self.fill(self._rng.choice(mates))
            if (
                len(mate.plan.steps) <= 2
                and (mate.plan.steps or first.plan.steps)
                and not _taken_back(mate, first)
                and _one_spec_a_name((first, mate))
            ):
                first = self._join(first, mate)
        return first

    def fill(self, seed: Seed) -> Request:
        """Return the request of one seed, other values in its slots."""
        rng = self._rng
        values = {
            name: self._banks.draw(slot, seed.language) if rng.random() < self._recipe.refill else slot.value
            for name, slot in seed.slots.items()
        }
        mistyped = rng.random() < self._recipe.typos
        frame = self._mistype(seed) if mistyped else seed.query
        if rng.random() < self._recipe.small and not _copies_capitals(seed):
            values = {name: value.lower() for name, value in values.items()}
            frame = re.sub(r"\{\w+\}|.", lambda m: m[0] if len(m[0]) > 1 else m[0].lower(), frame)
        query = re.sub(r"\{(\w+)\}", lambda m: values[m[1]], frame)

        def said(match: re.Match[str]) -> str:
            return json.dumps(escape_dollars(values[match[1]]), ensure_ascii=False)[1:-1]

        calls = json.loads(re.sub(r"\{(\w+)\}", said, json.dumps(seed.calls, ensure_ascii=False)))
        tools = Catalogue([*self._tools.values(), *seed.tools]) if seed.tools else self._tools
        plan = to_surface(calls, tools)
        needed = {step.tool: tools[step.tool] for step in plan.steps} | {tool.name: tool for tool in seed.tools}
        return Request(query, plan, tuple(needed.values()), (seed,), mistyped)

    def _join(self, first: Request, second: Request) -> Request:
        """Ask two things in one breath."""
        rng = self._rng
        language = first.seeds[0].language
        head, tail = first.query.rstrip(), second.query.strip()
        if head[-1:] in ".?!" and rng.random() < 0.5:
            link = rng.choice(SENTENCES[language])
        else:
            head = head.rstrip(".")
            link = rng.choice(LINKS[language])
            tail = _in_mid_sentence(second, rng)
        shift = len(first.plan.steps)
        numbers = {n: n + shift for n in range(1, len(second.plan.steps) + 1)}
        moved = tuple(
            Step(
                step.number + shift,
                step.tool,
                tuple(renumber(v, numbers) for v in step.args),
                {k: renumber(v, numbers) for k, v in step.named.items()},
            )
            for step in second.plan.steps
        )
        tools = {tool.name: tool for tool in (*first.tools, *second.tools)}
        return Request(
            head + link + tail,
            Plan(first.plan.steps + moved),
            tuple(tools.values()),
            first.seeds + second.seeds,
            first.mistyped or second.mistyped,
        )

    def _mistype(self, seed: Seed) -> str:
        """Mistype a word or two of a seed; never in a slot, nor one that the plan copies."""
        copied = set(re.findall(r"\w+", json.dumps(seed.calls, ensure_ascii=False).casefold()))
        parts = re.split(r"(\{\w+\}|\W+)", seed.query)
        words = [
            i for i, part in enumerate(parts) if len(part) > 3 and part.isalpha() and part.casefold() not in copied
        ]
        for i in self._rng.sample(words, min(len(words), self._rng.choice([1, 1, 2, 3]))):
            word, at = parts[i], self._rng.randrange(1, len(parts[i]) - 1)
            parts[i] = self._rng.choice(
                [
                    word[:at] + word[at + 1 :],
                    word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                    word[:at] + word[at] + word[at:],
                ]
            )
        return "".join(parts)

    # ── the tools that are offered ───────────────────────────────────────────────────────────────

    def _offer(self, requests: Sequence[Request]) -> list[ToolSpec]:
        """Return the needed tools among wrong ones, mostly those that a selector would confuse them with."""
        rng, recipe = self._rng, self._recipe
        offered = {tool.name: tool for request in requests for tool in request.tools}
        seeds = [s for request in requests for s in request.seeds]
        ranked = [[n for n in self._rankings.get(s.id, ()) if n not in offered] for s in seeds]
        extra = rng.choices(range(13), weights=[4, 7, 8, 9, 9, 8, 6, 4, 3, 2, 1, 1, 2])[0]
        extra = max(0, extra - 2 * (len(requests) > 2))  # the others' tools are wrong ones already
        for _ in range(max(extra, 0 if offered else 1)):
            likely = [name for name in rng.choice(ranked) if name not in offered]
            others = [name for name in self._tools if name not in offered]
            if likely and rng.random() < 0.65:
                name = likely[min(int(rng.expovariate(0.5)), len(likely) - 1)]
            elif others:
                name = rng.choice(others)
            else:
                break
            offered[name] = self._tools[name]
        wrong = rng.sample(self._invented, rng.choice([1, 2, 3])) if self._invented and rng.random() < 0.1 else []
        of_writers = [s for s in seeds if s.pen in self._by_pen]
        if of_writers and rng.random() < recipe.siblings:
            chosen = rng.choice(of_writers)
            of_pen = self._by_pen[chosen.pen]
            at = of_pen.index(chosen.tools[0]) if chosen.tools else rng.randrange(len(of_pen))
            near = of_pen[max(0, at - _NEAR) : at + _NEAR + 1]
            wrong += rng.sample(near, min(len(near), rng.choice([1, 1, 2, 2, 3, 4])))
        for tool in wrong:
            offered.setdefault(tool.name, tool)
        return list(offered.values())

    def _drop(self, offered: list[ToolSpec], requests: Sequence[Request]) -> tuple[list[ToolSpec], list[Request]]:
        """Take away a needed tool: who asks for it and nothing else gets no plan, who asks for more is left out."""
        needed = sorted({step.tool for r in requests if len(r.seeds) == 1 for step in r.plan.steps})
        if not needed:
            return offered, list(requests)
        gone = self._rng.choice(needed)
        left = [tool for tool in offered if tool.name != gone] or self._rng.sample(self._invented, 2)
        names = {tool.name for tool in left}
        kept = []
        for request in requests:
            served = [step.tool in names for step in request.plan.steps]
            if all(served):
                kept.append(request)
            elif not any(served):
                kept.append(replace(request, plan=Plan()))
        return left, kept

    def _aliases(self, offered: Sequence[ToolSpec]) -> dict[str, str]:
        """Give offered tools other names, as another author would; unknown names come with their summary."""
        taken = {tool.name for tool in offered}
        names: dict[str, str] = {}
        for tool in offered:
            choices = [name for name in ALIASES.get(tool.name, ()) if name not in taken]
            if choices and self._rng.random() < 0.6:
                names[tool.name] = self._rng.choice(choices)
        return names

    def _reshape(
        self, offered: Sequence[ToolSpec], requests: Sequence[Request]
    ) -> tuple[list[ToolSpec], list[Request]]:
        """Give known tools another signature, so that nobody learns one by heart: other names, another order."""
        rng = self._rng
        taken = {tool.name for tool in offered}
        specs: dict[str, ToolSpec] = {}
        names: dict[str, dict[str, str]] = {}
        for tool in offered:
            choices = [name for name in ALIASES.get(tool.name, ()) if name not in taken]
            if tool.name in self._tools and choices and rng.random() < 0.7:
                names[tool.name] = renamed = self._other_names(tool)
                parameters = [p.model_copy(update={"name": renamed.get(p.name, p.name)}) for p in tool.parameters]
                rng.shuffle(parameters)
                specs[tool.name] = tool.model_copy(
                    update={"name": rng.choice(choices), "parameters": tuple(parameters), "rules": (), "examples": ()}
                )

        def moved(step: Step) -> Step:
            if step.tool not in specs:
                return step
            old, new, renamed = self._tools[step.tool], specs[step.tool], names[step.tool]
            said = dict(zip((p.name for p in old.required), step.args, strict=True)) | dict(step.named)
            said = {renamed.get(name, name): value for name, value in said.items()}
            written = {p.name: said[p.name] for p in new.parameters if p.name in said}
            return Step(step.number, new.name, tuple(written.pop(p.name) for p in new.required), written)

        changed = [replace(r, plan=Plan(tuple(moved(step) for step in r.plan.steps))) for r in requests]
        return [specs.get(tool.name, tool) for tool in offered], changed

    def _other_names(self, tool: ToolSpec) -> dict[str, str]:
        """Return other names for some of a tool's parameters; what a lookup looks up is a name to everybody."""
        taken = {p.name for p in tool.parameters}
        names: dict[str, str] = {}
        for p in () if tool.coerces else tool.parameters:
            choices = [name for name in PARAMETERS.get(p.name, ()) if name not in taken]
            if choices and self._rng.random() < 0.5:
                names[p.name] = self._rng.choice(choices)
                taken.add(names[p.name])
        return names

    def _instruct(self, plan: Plan) -> tuple[str, Plan]:
        """Make up a standing instruction, and do in the plan what it asks."""
        rng = self._rng
        name = self._banks.draw(_A_PERSON, "en")
        text, parameter, value = rng.choice(
            [
                (rng.choice(["always cc {}", "copy {} on every email", "put {} in cc when mailing"]), "cc", name),
                (rng.choice(["invite {} to all my events", "add {} to every calendar event"]), "invitees", name),
                (rng.choice(['save notes in the "{}" folder', "my notes go into {}"]), "folder", rng.choice(FOLDERS)),
                (
                    rng.choice(['put reminders into the "{}" list', "my {} list is for reminders"]),
                    "list_name",
                    rng.choice(LISTS),
                ),
                (rng.choice(["use the {} calendar", 'events go into "{}"']), "calendar", rng.choice(CALENDARS)),
            ]
        )
        steps = []
        for step in plan.steps:
            tool = self._tools.get(step.tool)
            declared = tool.parameter(parameter) if tool else None
            named: dict[str, Value] = dict(step.named)
            if tool and declared and (parameter != "folder" or tool.name == "create_note"):
                if declared.list:
                    present = named.get(parameter, ())
                    named[parameter] = (*(present if isinstance(present, tuple) else ()), value)
                else:
                    named.setdefault(parameter, value)
                named = {p.name: named[p.name] for p in tool.parameters if p.name in named}
            steps.append(replace(step, named=named))
        return text.format(value), Plan(tuple(steps))


def _in_mid_sentence(request: Request, rng: random.Random) -> str:
    """Return the query as something stands before it: mostly in a small letter, but for a name and for "I"."""
    query = request.query.strip()
    begins_with_a_slot = request.seeds[0].query.lstrip().startswith("{")
    copied = re.search(rf"\b{re.escape(query.split()[0])}\b", request.plan.text()) is not None
    if query[1:2].islower() and not begins_with_a_slot and not copied and rng.random() < 0.85:
        return query[0].lower() + query[1:]
    return query


def _copies_capitals(seed: Seed) -> bool:
    """Whether the plan copies words in capitals that are in no slot: the request must keep them."""
    pieces = re.split(r"\{\w+\}|\"", json.dumps(seed.calls, ensure_ascii=False))
    return any(piece != piece.lower() and piece.strip() in seed.query for piece in pieces)


def _one_spec_a_name(requests: Sequence[Request]) -> bool:
    """Whether requests bring no two tools of one name."""
    tools = [tool for request in requests for tool in request.tools]
    known = {tool.name: tool for tool in tools}
    return all(tool == known[tool.name] for tool in tools)


def _taken_back(mate: Request, first: Request) -> bool:
    """Whether one of two requests is out of scope by taking itself back, which would take back both."""
    words = re.compile(
        r"\b(?:no|never ?mind|don't|dont|forget|scratch|cancel|wait|actually|deixa|olvida|esquece)\b", re.I
    )
    return any(not r.plan.steps and words.search(r.query) for r in (mate, first))


def rank_tools(seeds: Sequence[Seed], tools: Catalogue) -> dict[str, list[str]]:
    """Return for each seed's id the tools from likely to unlikely, as the index sees them."""
    from index import Embedder, ToolIndex

    index = ToolIndex.build(tools, Embedder())
    rankings = {}
    for seed in seeds:
        [scores] = index.search(seed.as_written)
        rankings[seed.id] = sorted(scores, key=lambda name: -scores[name])
    return rankings
