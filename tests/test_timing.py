"""What the benchmarks measure: the selection that stands in a plan, the lower of two times, and no plan that is none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest
from serving import TOOLS, Planner

from benchmarks import growth
from benchmarks.asked import Asked
from benchmarks.figures import Ratio, Summary
from benchmarks.timing import Taken, plan, read_others
from classifiers import ToolClassifier
from pipeline import Config, Pipeline
from pipeline.planners.base import PlannerError, PlanRequest
from pipeline.selection import Route, Selection, Selector

NOTHING = Selection((), frozenset(), Route.ALL)


def _taken(seconds: float, now: datetime, *, planned: bool = True) -> Taken:
    pipeline = Pipeline(Config(), planner=Planner(), selector=Selector(TOOLS, None), tools=TOOLS)
    planning = pipeline.plan("hello", now) if planned else None
    return Taken(NOTHING, planning, None, 0.25, seconds, 0.0, 0.0)


def test_the_selection_is_timed_in_the_plan_that_it_is_for(now: datetime) -> None:
    asked: list[str] = []

    class Seen(Selector):
        def select(self, request: str, *, earlier: object = ()) -> Selection:
            asked.append(request)
            return super().select(request)

    pipeline = Pipeline(Config(), planner=Planner(), selector=Seen(TOOLS, None), tools=TOOLS)
    taken = plan(pipeline, Asked("hello", now))
    assert asked == ["hello"]
    assert taken.planning
    assert taken.selecting == taken.selection.milliseconds / 1000 > 0
    assert 0 <= taken.read <= taken.first_step <= taken.plan < taken.whole

    given = plan(pipeline, Asked("hello", now), offered=["echo"])
    assert asked == ["hello"]
    assert (given.selecting, given.selection.tools) == (0, ("echo",))


def test_a_plan_that_fails_is_none(now: datetime) -> None:
    class Lost(Planner):
        def stream(self, request: PlanRequest) -> Iterator[str]:
            raise PlannerError("lost")

    taken = plan(Pipeline(Config(), planner=Lost(), selector=Selector(TOOLS, None), tools=TOOLS), Asked("hello", now))
    assert taken.planning is None
    assert str(taken.error) == "lost"
    assert taken.plan == taken.read == taken.first_step


def test_others_are_read_so_that_a_request_is_selected_for_anew() -> None:
    passes: list[None] = []
    classifier = ToolClassifier.load()
    session = classifier._session

    class Counting:
        def run(self, *arguments: object) -> object:
            passes.append(None)
            return session.run(*arguments)

    classifier._session = Counting()
    pipeline = Pipeline(Config(), planner=Planner(), selector=Selector(TOOLS, None, classifier=classifier), tools=TOOLS)
    pipeline.select("text Omar")
    pipeline.select("text Omar")
    assert len(passes) == 1
    read_others(pipeline)
    passes.clear()
    pipeline.select("text Omar")
    assert len(passes) == 1


def test_of_each_request_the_lowest_time_to_a_plan_counts(now: datetime) -> None:
    rounds = [
        [_taken(2, now), _taken(1, now)],
        [_taken(1, now, planned=False), _taken(3, now)],
        [_taken(1, now, planned=False)],
    ]
    assert growth._lowest(rounds) == {0: 1250, 1: 3250}


def test_a_growing_catalogues_table_tells_of_how_many_requests() -> None:
    row = {
        "selection_ms": Summary.of([8.0]),
        "plan_ms": Summary.of([400.0, 500.0]),
        "failed": 1,
        "to_smallest": Ratio(1.0, 1.0, 1.0),
        "tokens": Summary.of([101]),
        "tools": Summary.of([3]),
        "recall": None,
        "index_load_s": 0.001,
        "every_tool_tokens": 305,
        "every_tool_plan_ms": Summary.of([420.0, 440.0, 460.0]),
        "every_tool_failed": 0,
    }
    told = growth.report({16: row, 256: row | {"every_tool_plan_ms": None, "every_tool_failed": None}})
    fits, larger = ([cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines()[2:])
    assert (fits[5], fits[6], fits[-2], fits[-1]) == ("2 of 3", "450 ms", "3 of 3", "440 ms")
    assert larger[-2:] == ["–", "does not fit"]


@pytest.mark.parametrize(
    "selected, found", [({"a", "b"}, True), ({"c", "d"}, True), ({"a", "c"}, False), (set(), False)]
)
def test_a_row_is_found_by_any_of_its_right_plans(selected: set[str], found: bool, now: datetime) -> None:
    assert Asked("x", now, (frozenset("ab"), frozenset("cd"))).found(selected) is found


def test_a_row_of_the_classifier_is_asked_with_its_lookups() -> None:
    pytest.importorskip("faker")
    from benchmarks.selection import _row
    from classifiers.data import Row

    asked = _row(Row("texto", frozenset({"send_sms"}), "s1", language="pt", lookups=frozenset({"get_phone_number"})))
    assert (asked.in_scope, asked.english) == (True, False)
    assert asked.found(["send_sms", "get_phone_number"])
    assert not asked.found(["send_sms"])
