"""Scoring: what makes two plans the same, and when arguments agree."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.spec import Catalogue

pytest.importorskip("networkx")

from training.evaluation import Score, score

GOLD: dict[str, Any] = {
    "plans": [
        {
            "steps": [
                {"tool": "get_phone_number", "args": {"name": "Ruairí"}},
                {"tool": "get_phone_number", "args": {"name": "Omar"}},
                {"tool": "send_sms", "args": {"recipients": ["$1", "$2"], "message": {"contains": ["cake"]}}},
                {"tool": "create_note", "args": {"name": "Fees", "folder": ""}},
            ]
        }
    ]
}
NEEDED = ["get_phone_number", "send_sms", "create_note"]
NOTE = 'create_note("fees", "x", "")'


@pytest.mark.parametrize(
    ("plan", "success", "arguments"),
    [
        # the order of independent steps, case and accents do not matter
        (
            f'1. {NOTE}\n2. get_phone_number("omar")\n3. get_phone_number("Ruairi")\n4. send_sms(["$2", "$3"], "The CAKE!")\n5. join()',
            True,
            True,
        ),
        # the right graph, another person
        (
            f'1. get_phone_number("Tadhg")\n2. get_phone_number("Omar")\n3. send_sms(["$1", "$2"], "cake")\n4. {NOTE}\n5. join()',
            True,
            False,
        ),
        # the right graph, without the word that the message must have
        (
            f'1. get_phone_number("Ruairí")\n2. get_phone_number("Omar")\n3. send_sms(["$1", "$2"], "pie")\n4. {NOTE}\n5. join()',
            True,
            False,
        ),
        # a dependency is missing
        (
            f'1. get_phone_number("Ruairí")\n2. get_phone_number("Omar")\n3. send_sms(["$1"], "cake")\n4. {NOTE}\n5. join()',
            False,
            False,
        ),
        # a step is missing, or too many, or all
        (
            '1. get_phone_number("Ruairí")\n2. get_phone_number("Omar")\n3. send_sms(["$1", "$2"], "cake")\n4. join()',
            False,
            False,
        ),
        ("1. join()", False, False),
    ],
)
def test_success_and_arguments(tools: Catalogue, plan: str, success: bool, arguments: bool) -> None:
    made = {"plan": plan, "tools": NEEDED}
    assert score(GOLD, made, tools) == Score(True, True, success, arguments, 3)


def test_a_failed_row_is_not_well_formed(tools: Catalogue) -> None:
    assert score(GOLD, {"error": "…", "tools": NEEDED}, tools) == Score(False, True, False, False, 3)
    assert not score(GOLD, {"plan": "1. send_sms(", "tools": NEEDED}, tools).well_formed


def test_recall_asks_for_every_tool(tools: Catalogue) -> None:
    assert not score(GOLD, {"plan": "1. join()", "tools": ["send_sms"]}, tools).recall


def test_nothing_to_do_is_a_plan_too(tools: Catalogue) -> None:
    nothing = {"plans": [{"steps": []}]}
    assert score(nothing, {"plan": "1. join()", "tools": []}, tools).arguments
    assert not score(nothing, {"plan": '1. open_note("x", "")\n2. join()', "tools": []}, tools).success
