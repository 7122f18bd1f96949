"""The corpus: every example is a prompt and the plan that should be written for it."""

from __future__ import annotations

import itertools
import re

import pytest

from pipeline.plan import escape_dollars, parse_plan
from pipeline.spec import Catalogue
from training.corpus import Corpus, Example
from training.planner import held_out
from training.seeds import load_seeds

pytest.importorskip("faker")

SEEDS = load_seeds()


@pytest.fixture(scope="module")
def examples(tools: Catalogue) -> list[Example]:
    rankings = {seed.id: list(tools) for seed in SEEDS}
    return list(itertools.islice(Corpus(SEEDS, tools, rankings, seed=7), 3000))


def test_there_are_seeds_of_many_pens() -> None:
    assert len(SEEDS) >= 2900
    assert len({seed.pen for seed in SEEDS}) >= 14
    assert len({seed.id for seed in SEEDS}) == len(SEEDS)
    assert len({seed.query.casefold() for seed in SEEDS}) == len(SEEDS)


def test_the_same_seed_gives_the_same_examples(tools: Catalogue, examples: list[Example]) -> None:
    rankings = {seed.id: list(tools) for seed in SEEDS}
    again = itertools.islice(Corpus(SEEDS, tools, rankings, seed=7), 50)
    assert list(again) == examples[:50]
    other = itertools.islice(Corpus(SEEDS, tools, rankings, seed=8), 50)
    assert list(other) != examples[:50]


def test_every_completion_is_a_plan_of_offered_tools(examples: list[Example]) -> None:
    for example in examples:
        plan = parse_plan(example.completion)
        assert plan.text() == example.completion
        offered = set(re.findall(r"^(\w+)\(", example.prompt, re.MULTILINE))
        assert {step.tool for step in plan.steps} <= offered, example


def test_names_and_files_in_the_plan_stand_in_the_request(examples: list[Example]) -> None:
    """A model that learns from these learns to copy."""
    copied = 0
    for example in examples:
        for step in parse_plan(example.completion).steps:
            if step.tool in ("summarize_pdf", "open_and_get_file_path"):
                [name] = step.args
                if isinstance(name, str):
                    copied += 1
                    assert escape_dollars(name).casefold() in example.prompt.casefold(), example
    assert copied > 100


def test_tool_lists_are_of_many_lengths(examples: list[Example]) -> None:
    lengths = [len(re.findall(r"^\w+\(", example.prompt, re.MULTILINE)) for example in examples]
    assert min(lengths) == 1
    assert max(lengths) >= 12
    assert 3 < sum(lengths) / len(lengths) < 9


def test_held_out_seeds_are_few_and_never_change_sides() -> None:
    kept = {seed.id for seed in SEEDS if held_out(seed, 0.04)}
    assert 0.02 < len(kept) / len(SEEDS) < 0.06
    assert kept == {seed.id for seed in reversed(SEEDS) if held_out(seed, 0.04)}
