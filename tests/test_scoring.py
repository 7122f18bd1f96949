"""Scoring: what makes two plans the same, and when arguments agree."""

from __future__ import annotations

import pytest

from pipeline.spec import Catalogue

pytest.importorskip("networkx")

from training.scoring import Gold, Score, score

GOLDS: list[Gold] = [
    [
        {"tool": "get_phone_number", "args": {"name": "Ruairí"}},
        {"tool": "get_phone_number", "args": {"name": "Omar"}},
        {"tool": "send_sms", "args": {"recipients": ["$1", "$2"], "message": {"contains": ["cake"]}}},
        {"tool": "create_note", "args": {"name": "Fees", "folder": ""}},
    ]
]
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
    found = score(GOLDS, made, tools)
    assert (found.well_formed, found.recall, found.tools) == (True, True, 3)
    assert (found.success, found.arguments) == (success, arguments)
    assert (found.distance == 0) == success


@pytest.mark.parametrize(
    ("words", "text", "right"),
    [
        (["late"], "I'm LATE!", True),
        (["late"], "bring chocolate", False),
        (["kinesi"], "la kinesióloga", True),  # gold words may be the stem that inflections share
        (["cafe"], "à côté du Café, ok?", True),
        (["oat milk", "tahini"], "tahini, oat milk", True),
        (["oat milk"], "oat and milk", False),
        (["oat milk"], "goat milk", False),
        (["5"], "5 cots", True),
        (["5"], "15 cots", False),
        (["6.30"], "at 6.30.", True),
        (["6.30"], "at 16.30", False),
        (["6.30"], "at 6:30", False),  # a full stop is no wild card
        (["o'clock"], "at 5 o'clock", True),
        (["Q3"], "the q3 figures", True),
        (["Q3"], "the q35 figures", False),
        (["C++"], "learn c++ now", True),
        (["$1"], "it is here: $1", True),
        (["$1", "here"], "$1 is here", True),
        (["$1"], "https://x.org/$1/map", True),
        (["$1"], "it's at($1)", True),
        (["$1"], "it costs \\$12", False),
    ],
)
def test_free_text_has_whole_words(tools: Catalogue, words: list[str], text: str, right: bool) -> None:
    gold: Gold = [
        {"tool": "get_phone_number", "args": {"name": "Omar"}},
        {"tool": "send_sms", "args": {"recipients": ["$1"], "message": {"contains": words}}},
    ]
    made = {"plan": f'1. get_phone_number("Omar")\n2. send_sms(["$1"], "{text}")\n3. join()', "tools": NEEDED}
    found = score([gold], made, tools)
    assert (found.success, found.arguments) == (True, right)


def test_a_failed_row_is_not_well_formed(tools: Catalogue) -> None:
    assert score(GOLDS, {"error": "…", "tools": NEEDED}, tools) == Score(False, True, False, False, 3, distance=6)
    assert not score(GOLDS, {"plan": "1. send_sms(", "tools": NEEDED}, tools).well_formed


def test_recall_asks_for_every_tool(tools: Catalogue) -> None:
    assert not score(GOLDS, {"plan": "1. join()", "tools": ["send_sms"]}, tools).recall


def test_nothing_to_do_is_a_plan_too(tools: Catalogue) -> None:
    nothing: list[Gold] = [[]]
    assert score(nothing, {"plan": "1. join()", "tools": []}, tools).arguments
    assert not score(nothing, {"plan": '1. open_note("x", "")\n2. join()', "tools": []}, tools).success


def test_the_distance_counts_steps_and_dependencies(tools: Catalogue) -> None:
    without_omar = (
        '1. get_phone_number("Ruairí")\n2. send_sms(["$1"], "cake")\n3. create_note("Fees", "x", "")\n4. join()'
    )
    assert score(GOLDS, {"plan": without_omar, "tools": NEEDED}, tools).distance == 2  # a step, and what depends on it
    another_tool = without_omar.replace("create_note", "open_note")
    assert score(GOLDS, {"plan": another_tool, "tools": NEEDED}, tools).distance == 3


def test_the_nearest_gold_plan_counts(tools: Catalogue) -> None:
    golds: list[Gold] = [*GOLDS, [{"tool": "create_note", "args": {"name": "Fees"}}]]
    made = {"plan": '1. create_note("Fees", "x", "")\n2. join()', "tools": NEEDED}
    assert score(golds, made, tools) == Score(True, True, True, True, 3, distance=0)
