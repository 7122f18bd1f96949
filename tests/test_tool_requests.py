"""Tools that nobody has: each request's calls are sane, and what measures is kept from what trains."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("faker")

from pipeline.spec import Catalogue
from training.checks import Avoided, violations
from training.composition import Composition, Recipe
from training.examples import Example, Offer
from training.seeds import load_seeds
from training.tool_requests import FOLDER, KEPT, tool_seeds, written

SEEDS, UNSEEN = tool_seeds(), tool_seeds(kept=True)
PENS = sorted({seed.pen for seed in (*SEEDS, *UNSEEN)})


def test_each_tool_has_a_list_of_calls_for_each_request() -> None:
    for pen, told in written():
        assert len(told["calls"]) == len(told["requests"]) >= 3, (pen, told["name"])
        assert any(told["calls"]), (pen, told["name"])


def test_there_are_requests_for_one_tool_and_for_several() -> None:
    assert len({tool.name for seed in SEEDS for tool in seed.tools}) >= 1_000
    assert Counter(seed.language for seed in SEEDS)["en"] < 0.9 * len(SEEDS)
    several = [seed for seed in SEEDS if len({name for name, _ in seed.calls}) > 1]
    assert len(several) >= 500
    assert len({seed.id for seed in (*load_seeds(), *SEEDS, *UNSEEN)}) == len(load_seeds()) + len(SEEDS) + len(UNSEEN)


def test_what_is_kept_shares_no_tool_with_what_trains() -> None:
    assert {seed.pen for seed in UNSEEN} == {*KEPT}
    assert {path.stem for path in FOLDER.glob("combined/*.jsonl")} == {*PENS}
    trained = {tool.name for seed in (*SEEDS, *load_seeds()) for tool in seed.tools}
    assert not {tool.name for seed in UNSEEN for tool in seed.tools} & trained


@pytest.mark.parametrize("pen", PENS)
def test_every_call_is_sane(tools: Catalogue, pen: str) -> None:
    composition = Composition(SEEDS, tools, {}, recipe=Recipe(refill=0, typos=0, small=0))
    for seed in (*SEEDS, *UNSEEN):
        if seed.pen == pen:
            request = composition.fill(seed)
            offer = Offer(tuple(tools), {}, (), seed.tools)
            assert not violations(Example(request.query, request.plan.text(), offer), tools), seed.id


def test_nothing_is_trained_on_the_kept_requests() -> None:
    rows = (Path(__file__).parents[1] / "benchmarks" / "kept_requests.jsonl").read_text("utf-8").splitlines()
    avoided = Avoided(json.loads(row)["query"] for row in rows)
    assert [seed.id for seed in (*load_seeds(), *SEEDS) if avoided.find(seed.as_written)] == []
