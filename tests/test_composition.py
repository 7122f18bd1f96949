"""Composition: every example is a request, an offer of tools, and the plan that should be written for it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.elaborate import bind
from pipeline.plan import Value, escape_dollars, parse_plan
from pipeline.spec import Catalogue, ToolSpec
from training.composition import Composition, Recipe
from training.examples import Example, groups, read, write
from training.seeds import load_seeds, split
from training.tool_requests import tool_seeds
from training.wordings import ALIASES

pytest.importorskip("faker")

SEEDS = [*load_seeds(), *tool_seeds()]
AS_WRITTEN = Recipe(
    refill=0, join=0, typos=0, small=0, greet=0, invented=0, siblings=0, rename=0, reshape=0, drop=0, instruct=0
)


@pytest.fixture(scope="module")
def examples(tools: Catalogue) -> list[Example]:
    rankings = {seed.id: list(tools) for seed in SEEDS}
    return list(itertools.islice(Composition(SEEDS, tools, rankings, seed=7), 3000))


def test_there_are_seeds_of_many_pens() -> None:
    assert len(SEEDS) >= 4100
    assert len({seed.pen for seed in SEEDS}) >= 20
    assert len({seed.id for seed in SEEDS}) == len(SEEDS)
    assert len({seed.query.casefold() for seed in SEEDS}) == len(SEEDS)


def test_the_same_seed_gives_the_same_examples(tools: Catalogue, examples: list[Example]) -> None:
    rankings = {seed.id: list(tools) for seed in SEEDS}
    again = itertools.islice(Composition(SEEDS, tools, rankings, seed=7), 50)
    assert list(again) == examples[:50]
    other = itertools.islice(Composition(SEEDS, tools, rankings, seed=8), 50)
    assert list(other) != examples[:50]


def test_every_plan_calls_offered_tools(tools: Catalogue, examples: list[Example]) -> None:
    for example in examples:
        plan = parse_plan(example.plan)
        assert plan.text() == example.plan
        assert {step.tool for step in plan.steps} <= set(example.offer.catalogue(tools)), example


def test_names_and_files_in_the_plan_stand_in_the_request(examples: list[Example]) -> None:
    """A model that learns from these learns to copy."""
    copied = 0
    for example in examples:
        for step in parse_plan(example.plan).steps:
            if step.tool in ("summarize_pdf", "open_and_get_file_path"):
                [name] = step.args
                if isinstance(name, str):
                    copied += 1
                    assert escape_dollars(name).casefold() in escape_dollars(example.query).casefold(), example
    assert copied > 100


def test_tool_lists_are_of_many_lengths(tools: Catalogue, examples: list[Example]) -> None:
    lengths = [len(example.offer.catalogue(tools)) for example in examples]
    assert min(lengths) == 1
    assert max(lengths) >= 12
    assert 4 < sum(lengths) / len(lengths) < 10


def test_requests_share_a_list_of_tools(tools: Catalogue, examples: list[Example]) -> None:
    sizes = [len(group) for group in groups(examples[:1000])]
    assert 2 < sum(sizes) / len(sizes) < 4
    for group in groups(examples[:100]):
        beginnings = {example.prompt(tools).partition("Request: ")[0].partition("Note: ")[0] for example in group}
        assert len(beginnings) == 1


def test_prompts_are_those_of_the_planner(tools: Catalogue, examples: list[Example]) -> None:
    renamed = next(example for example in examples if example.offer.aliases)
    [(own, alias), *_] = renamed.offer.aliases.items()
    assert re.search(rf"^{alias}\(", renamed.prompt(tools), re.MULTILINE)
    assert own not in renamed.prompt(tools)


def test_no_phrasing_is_in_two_splits() -> None:
    parts = split(SEEDS)
    assert 0.01 < len(parts["validation"]) / len(SEEDS) < 0.035
    assert 0.03 < len(parts["test"]) / len(SEEDS) < 0.07
    assert sum(map(len, parts.values())) == len(SEEDS)
    backwards = split(SEEDS[::-1])
    assert all(parts[name] == backwards[name][::-1] for name in parts)  # order and company decide nothing


def test_another_signature_takes_the_same_values(tools: Catalogue) -> None:
    """Names and order of a known tool's parameters change, and what a plan gives each of them does not."""
    seeds = {seed.id: seed for seed in SEEDS if not seed.tools}
    recipe = replace(AS_WRITTEN, reshape=1.0)
    composition = Composition([*seeds.values()], tools, {}, seed=3, recipe=recipe)
    own = {alias: name for name, aliases in ALIASES.items() for alias in aliases}
    moved = 0
    for example in itertools.islice(composition, 1000):
        offered, wanted = example.offer.catalogue(tools), composition.fill(seeds[example.family]).plan
        for made, step in zip(parse_plan(example.plan).steps, wanted.steps, strict=True):
            assert own.get(made.tool, made.tool) == step.tool
            before, after = bind(step, tools[step.tool]), bind(made, offered[made.tool])
            assert _by_meaning(before, tools[step.tool]) == _by_meaning(after, offered[made.tool])
            moved += [*before.values()] != [*after.values()] or [*before] != [*after]
    assert moved > 300


def _by_meaning(arguments: Mapping[str, Value], tool: ToolSpec) -> dict[str, Value]:
    """Return arguments by what their parameters' descriptions say: these stay when names change."""
    return {p.description: arguments[p.name] for p in tool.parameters if p.name in arguments}


def test_examples_come_back_from_a_file(tools: Catalogue, examples: list[Example], tmp_path: Path) -> None:
    write(examples, tmp_path / "corpus.jsonl")
    back = [*read(tmp_path / "corpus.jsonl")]
    assert [example.prompt(tools) for example in back] == [example.prompt(tools) for example in examples]


def test_capitals_that_the_plan_copies_stay_in_the_request(tools: Catalogue) -> None:
    seeds = {seed.id: seed for seed in tool_seeds() if not seed.slots}
    recipe = Recipe(small=1.0, typos=0, join=0, greet=0.5, invented=1.0, reshape=0, rename=0, drop=0)
    composition = Composition([*seeds.values()], tools, {}, seed=5, recipe=recipe)
    smalled = 0
    for request in itertools.islice(composition.requests(), 500):
        [seed] = request.seeds
        for text in re.findall(r'"([^"]*)"', request.plan.text()):
            assert text in request.query or text not in seed.query, request
        smalled += request.query.islower() and not seed.query.islower()
    assert smalled > 50


def test_unknown_tools_stand_beside_known_ones(examples: list[Example]) -> None:
    both = 0
    for example in examples:
        foreign = {tool.name for tool in example.offer.invented if tool.app == "invented"}
        called = {step.tool for step in parse_plan(example.plan).steps}
        both += "+" in example.family and bool(called & foreign) and bool(called - foreign)
    assert both > 50


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_others_of_the_same_writer_are_offered_beside_an_unknown_tool(tools: Catalogue, share: float) -> None:
    seeds = tool_seeds()
    pens = {tool.name: seed.pen for seed in seeds for tool in seed.tools}
    composition = Composition(seeds, tools, {}, seed=9, recipe=replace(AS_WRITTEN, invented=1.0, siblings=share))
    alone = 0
    for request in itertools.islice(composition.requests(), 200):
        [example] = composition.examples([request])
        offered = [tool.name for tool in example.offer.invented]
        alone += sum(pens[name] == request.seeds[0].pen for name in offered) <= len(request.seeds[0].tools)
    assert (alone < 80) is bool(share)
