"""Evaluation: from rows with gold plans to a report, and from corpus files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.pipeline import Pipeline
from pipeline.spec import Catalogue

pytest.importorskip("networkx")
pytest.importorskip("faker")

from training.evaluation import Evaluation, compare, evaluate, read_cases
from training.examples import Example, Offer, write

ROWS: list[dict[str, Any]] = [
    {
        "id": "r1",
        "now": "2026-05-13 09:30:00",
        "query": "text Omar hello",
        "tags": ["sms", "terse"],
        "plans": [
            {
                "steps": [
                    {"tool": "get_phone_number", "args": {"name": "Omar"}},
                    {"tool": "send_sms", "args": {"recipients": ["$1"], "message": {"contains": ["hello"]}}},
                ]
            }
        ],
    },
    {"id": "r2", "now": "2026-05-13 09:30:00", "query": "how are you?", "plans": [{"steps": []}]},
]
SMS = '1. get_phone_number("Omar")\n2. send_sms(["$1"], "Hello")\n3. join()'


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_given_plans_are_compared(tools: Catalogue, rows: Path) -> None:
    lines = [
        {"id": "r1", "plan": SMS, "tools": ["send_sms", "get_phone_number"], "prompt_tokens": 90}
        | {"full_prompt_tokens": 300, "retrieval_ms": 1.0, "plan_ms": 200.0},
        {"id": "r2", "error": "no plan"},
    ]
    evaluation = Evaluation(compare(read_cases(rows), lines, tools))
    assert evaluation.figures.count == 2
    assert evaluation.figures.success == evaluation.figures.well_formed == 0.5
    assert evaluation.by_tag()["terse"].arguments == 1.0
    assert evaluation.by_steps()["0 steps"].success == 0.0
    assert evaluation.costs()["prompt_tokens"] == 90
    assert "[malformed] r2" in evaluation.failures()
    assert "r1" not in evaluation.failures()
    assert "| terse | 1 | 100.0% |" in evaluation.markdown("rows")


def test_a_row_without_a_plan_counts(tools: Catalogue, rows: Path) -> None:
    assert Evaluation(compare(read_cases(rows), [], tools)).figures.well_formed == 0.0


def test_an_id_that_stands_for_two_is_refused(tools: Catalogue, rows: Path) -> None:
    cases, line = read_cases(rows), {"id": "r1", "plan": SMS, "tools": []}
    with pytest.raises(ConfigError, match="'r1' stands for more than one: requests 2, plans 1"):
        compare([*cases, *cases], [line], tools)
    with pytest.raises(ConfigError, match="'r1' stands for more than one: requests 1, plans 2"):
        compare(cases, [line, line], tools)
    assert compare(cases, [line, {"id": "r9"}, {"id": "r9"}], tools)[0].score.success  # of ids that are not asked for


class NoPlanner:
    """Stands for the pipeline where a test plans by itself."""

    def __init__(self, tools: Catalogue) -> None:
        self.tools = tools


def test_rows_of_two_files_with_equal_ids_keep_their_own_plans(
    tools: Catalogue, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps(ROWS[1] | {"id": "r1"}) + "\n")
    plans = {ROWS[0]["query"]: SMS, ROWS[1]["query"]: "1. join()"}
    monkeypatch.setattr(
        "training.evaluation.planned", lambda _, request: {"id": request.id, "plan": plans[request.query], "tools": []}
    )
    cases = [*read_cases(rows), *read_cases(other)]
    outcomes = evaluate(cases, lambda: NoPlanner(tools))  # type: ignore[arg-type, return-value]
    assert [outcome.score.arguments for outcome in outcomes] == [True, True, True]


def test_of_a_text_in_words_of_its_own_only_the_references_are_demanded(tools: Catalogue, tmp_path: Path) -> None:
    offer = Offer(("maps_show_directions", "send_sms"), {}, (), ())
    query = "text Omar directions to the pier, the way to the pier that is"
    route = '1. maps_show_directions("", "the pier", "d")\n2. send_sms(["Omar"], "{}")\n3. join()'
    texts = ("Here is the link: $1", "the way: $1", "the way $1")
    write([Example(query, route.format(text), offer, split="test") for text in texts], tmp_path / "corpus.jsonl")
    cases = read_cases(tmp_path / "corpus.jsonl")
    messages = [case.golds[0][-1]["args"]["message"] for case in cases]
    [made] = {message["contains"][0] for message in messages[:2]}
    assert messages == [{"contains": [made]}, {"contains": [made]}, f"the way {made}"]
    first = int(made.removeprefix("$"))
    assert first in (1, 2)
    ways = {1: 'maps_show_directions("", "the pier", "d")', 2: 'get_phone_number("Omar")'}
    order = [1, 2] if first == 1 else [2, 1]
    plan = "\n".join(
        [
            *(f"{n}. {ways[k]}" for n, k in enumerate(order, 1)),
            f'3. send_sms(["${3 - first}"], "This way: {made}")',
            "4. join()",
        ]
    )
    lines = [{"id": case.request.id, "plan": plan, "tools": []} for case in cases]
    [right, _, wrong] = compare(cases, lines, tools)
    assert (right.score.arguments, wrong.score.success, wrong.score.arguments) == (True, True, False)


def test_plans_are_made_by_the_pipeline(config: Config, rows: Path) -> None:
    evaluation = Evaluation(evaluate(read_cases(rows), lambda: Pipeline(config)))
    assert evaluation.figures.well_formed == 1.0
    assert evaluation.costs()["plan_ms_median"] > 0


def test_examples_of_a_corpus_are_cases(config: Config, tmp_path: Path) -> None:
    renamed = Offer(("create_reminder", "send_sms"), {"send_sms": "text_message"}, (), ())
    example = Example(
        "text Omar hello from the $5 stall",
        '1. text_message(["Omar"], "hello from the \\$5 stall")\n2. join()',
        renamed,
        split="test",
        styles=("terse",),
    )
    unsaid = Example("how are you today?", "1. join()", Offer(("open_note",), {}, (), ()), split="train")
    write([example, unsaid], tmp_path / "corpus.jsonl")
    [case] = read_cases(tmp_path / "corpus.jsonl")
    assert case.tags == ("terse", "en")
    assert [step["tool"] for step in case.golds[0]] == ["get_phone_number", "text_message"]
    assert case.golds[0][1]["args"] == {"recipients": ["$1"], "message": "hello from the \\$5 stall"}
    [outcome] = evaluate([case], lambda: Pipeline(config))
    assert outcome.line["tools"] == ["create_reminder", "get_phone_number", "text_message"]


def test_what_cannot_be_evaluated_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "r1", "now": "2026-05-13 09:30:00", "query": "hi"}\n')
    with pytest.raises(ConfigError, match="no gold plans"):
        read_cases(path)
    path.write_text("not json\n")
    with pytest.raises(ConfigError, match="JSON"):
        read_cases(path)
    with pytest.raises(ConfigError):
        read_cases(tmp_path / "none.jsonl")
