"""The plan language, by example: what can be written, what it means, and what is said when it is wrong."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.plan import (
    Plan,
    PlanError,
    PlanParser,
    Ref,
    Step,
    Template,
    Value,
    escape_dollars,
    parse_plan,
    parse_text,
    references,
    renumber,
    substitute,
    template,
)


def parsed(*calls: str) -> tuple[Step, ...]:
    """Return the steps of a plan of these calls."""
    numbered = [f"{number}. {call}" for number, call in enumerate([*calls, "join()"], 1)]
    return parse_plan("\n".join(numbered)).steps


def argument(written: str, *, step: int = 3) -> Value:
    """Return what an argument of step number `step` means."""
    return parsed(*["look()"] * (step - 1), f"f({written})")[-1].args[0]


def text_of(*args: Value, step: int = 3) -> str:
    """Return how step number `step` is written."""
    return Step(step, "f", args).text()


# --- A plan is a numbered list of calls ---


def test_a_plan_is_a_numbered_list_of_calls_that_ends_with_join() -> None:
    plan = parse_plan(
        """\
1. get_phone_number("Priya Nair")
2. send_sms(["$1"], "Running ten minutes late, sorry!")
3. join()
"""
    )
    assert plan == Plan(
        (
            Step(1, "get_phone_number", ("Priya Nair",)),
            Step(2, "send_sms", ((Ref(1),), "Running ten minutes late, sorry!")),
        )
    )


def test_its_references_make_it_a_graph() -> None:
    plan = parse_plan(
        """\
1. get_email_address("Ana")
2. get_zoom_meeting_link("Review", "2026-03-05 10:00:00", 60, ["$1"])
3. create_calendar_event("Review", notes="Join at $2, see you", invitees=["$1"])
4. create_note("Review", "is on")
5. join()"""
    )
    assert plan.dependencies == {1: set(), 2: {1}, 3: {1, 2}, 4: set()}


def test_the_empty_plan_is_join_alone() -> None:
    assert parse_plan("1. join()") == Plan()
    assert Plan().text() == "1. join()"


def test_the_canonical_text_is_what_a_plan_is_trained_and_cached_as() -> None:
    plan = parse_plan("1) look( 'Ana' , )\n 2.send ( [ $1 ,${1}], flag = TRUE, sum=-1.50, to=null )\n3. join()")
    assert plan.text() == (
        '1. look("Ana")\n'
        '2. send(["$1", "$1"], flag=True, sum=-1.5, to=None)\n'
        "3. join()"
    )  # fmt: skip
    assert parse_plan(plan.text()) == plan


def test_arguments_stand_by_position_or_by_name() -> None:
    (step,) = parsed('note("Ideas", folder="Work", content="")')
    assert step.args == ("Ideas",)
    assert step.named == {"folder": "Work", "content": ""}


# --- Values ---


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"text"', "text"),
        ("'it is \"text\"'", 'it is "text"'),
        ('""', ""),
        ("7", 7),
        ("-7", -7),
        ("+7", 7),
        ("2.50", 2.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("True", True),
        ("false", False),
        ("None", None),
        ("null", None),
        ("[]", ()),
        ('["a", 1, [True]]', ("a", 1, (True,))),
        ("$2", Ref(2)),
        ("${2}", Ref(2)),
        ('"$2"', Ref(2)),
        ('["$1", $2]', (Ref(1), Ref(2))),
    ],
)
def test_a_value_is_text_a_number_a_constant_a_list_or_a_reference(written: str, value: Value) -> None:
    assert argument(written) == value
    assert type(argument(written)) is type(value)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r'"say \"hi\""', 'say "hi"'),
        (r"'it\'s'", "it's"),
        (r'"a\nb\tc"', "a\nb\tc"),
        (r'"C:\\notes"', r"C:\notes"),
        (r'"ol\u00e9"', "olé"),
        (r'"\ud83d\ude42"', "🙂"),  # as JSON writes what is beyond 16 bits
        (r'"\ud83d"', "\ufffd"),  # half of that
        (r'"\u12"', "u12"),  # no code: the backslash is dropped
        ('"two\nlines"', "two\nlines"),
        ('"brackets ) ] } and, commas"', "brackets ) ] } and, commas"),
    ],
)
def test_strings_have_the_escapes_of_json_and_python(written: str, text: str) -> None:
    assert argument(written) == text


def test_special_characters_are_written_escaped_and_letters_as_they_are() -> None:
    assert text_of('naïve "🙂"\n\\') == r'f("naïve \"🙂\"\n\\")'


# --- References in text, and dollars ---


def test_a_reference_inside_text_makes_a_template() -> None:
    assert argument('"Join at $1 or call $2."') == Template(("Join at ", Ref(1), " or call ", Ref(2), "."))


@pytest.mark.parametrize(
    "written",
    [
        '"$1.50"',
        '"$1,000"',
        '"it was $1.50"',
        '"$2k a month"',
        '"$2 million"',
        '"a $1bn loss"',
        '"the $20 deposit"',  # there is no step 20
        '"the $3 deposit"',  # this is step 3
        '"$0 fee"',
        '"US$ and $x"',
        '"$12345678901"',
    ],
)
def test_money_is_not_a_reference(written: str) -> None:
    assert argument(written) == written.strip('"')


def test_a_backslash_makes_any_dollar_a_dollar() -> None:
    assert argument(r'"the \$1 coin"') == "the $1 coin"
    assert argument(r'"\$1"') == "$1"


def test_text_that_is_only_a_reference_must_point_to_an_earlier_step() -> None:
    with pytest.raises(PlanError, match="step 3: refers to \\$20, which is not an earlier step"):
        argument('"$20"')
    assert argument(r'"\$20"') == "$20"
    assert argument(r'"\"$20"') == '"$20'  # a quotation mark stands before it: not alone


def test_literal_dollars_are_written_so_that_they_stay_dollars() -> None:
    assert text_of("the $1 coin, $20, ${1} and US$") == r'f("the \$1 coin, \$20, \${1} and US$")'


def test_braces_part_a_reference_from_what_would_change_its_meaning() -> None:
    assert text_of(Template((Ref(1), "0 euros"))) == 'f("${1}0 euros")'
    assert text_of(Template(("$", Ref(1), ".50"))) == 'f("$${1}.50")'
    assert text_of(Template((Ref(1), "k"))) == 'f("${1}k")'
    assert text_of(Template((Ref(1), " million"))) == 'f("${1} million")'
    assert text_of(Template((Ref(1), Ref(2), " and more"))) == 'f("$1$2 and more")'


def test_the_users_text_is_shown_with_its_dollars_escaped() -> None:
    shown = escape_dollars("split the $1 fee, US$ 5 and ${2}")
    assert shown == r"split the \$1 fee, US$ 5 and \${2}"
    assert argument(f'"{shown}"') == "split the $1 fee, US$ 5 and ${2}"


def test_text_can_be_read_without_quotes() -> None:
    assert parse_text('say "hi"\\ $1', 2) == Template(('say "hi"\\ ', Ref(1)))
    assert parse_text("$1", 1) == Ref(1)  # which a plan then refuses
    assert parse_text(r"\$1 off", 2) == "$1 off"


# --- What is done with values ---


def test_references_are_found_from_left_to_right() -> None:
    assert list(references(("a", (Ref(2),), Template(("x", Ref(1), Ref(3)))))) == [Ref(2), Ref(1), Ref(3)]
    assert list(references(7)) == []


def test_outputs_take_the_place_of_references() -> None:
    value = ((Ref(1), "b"), Template(("see ", Ref(2))), 7, None)
    assert substitute(value, {1: "a", 2: "$1"}) == [["a", "b"], "see $1", 7, None]


def test_references_follow_the_steps_when_these_are_renumbered() -> None:
    value = (Ref(1), Template((Ref(2), "!")), "text")
    assert renumber(value, {1: 5, 2: 6}) == (Ref(5), Template((Ref(6), "!")), "text")


def test_a_template_is_made_only_where_there_is_text_and_a_reference() -> None:
    assert template([]) == ""
    assert template(["a", "", "b"]) == "ab"
    assert template(["", Ref(1), ""]) == Ref(1)
    assert template(["a", "b", Ref(1), "", Ref(2)]) == Template(("ab", Ref(1), Ref(2)))


# --- What other planners write ---


def test_what_the_published_tinyagent_models_write_is_read() -> None:
    plan = parse_plan(
        """\
Thought: I need Sid's address, then (maybe) "the" link.
1. get_email_address("Sid")
2. get_zoom_meeting_link("Project", "2026-03-05 10:00:00", 60, ["$1"])
3. create_calendar_event('Project', "2026-03-05 10:00:00", "2026-03-05 11:00:00", "", ["${1}"], "$2", None)
Thought: I have done what was asked, so I can call join() now.
4. join()<END_OF_PLAN>
5. whatever comes after it
"""
    )
    assert plan.steps[2].args == (
        "Project",
        "2026-03-05 10:00:00",
        "2026-03-05 11:00:00",
        "",
        (Ref(1),),
        Ref(2),
        None,
    )


def test_fences_remarks_and_blank_lines_are_passed_over() -> None:
    plan = parse_plan("Plan:\n```python\n\n1. look('Ana')  # her number\n2. look('Bo');\n```\n3. join()\n```")
    assert [step.args for step in plan.steps] == [("Ana",), ("Bo",)]


# --- Errors say where ---


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "step 1: the plan breaks off before join()"),
        ('1. look("Ana")', "step 2: the plan breaks off before join()"),
        ('1. look("Ana', "step 1: the plan breaks off before join() in '1. look(\"Ana'"),
        ("I cannot do that.", "step 1: expected a numbered call in 'I cannot do that.'"),
        ("1. look()\nlook()\n", "step 2: expected a numbered call in 'look()'"),
        ("2. look()\n", "step 2: expected step 1, found 2 in 'look()'"),
        ("1. look()\n1. look()\n", "step 1: expected step 2, found 1 in 'look()'"),
        ("1.\nlook()\n", "step 1: expected a numbered call in '1.'"),
        ('1. f("$1")\n', "step 1: refers to $1, which is not an earlier step in 'f(\"$1\")'"),
        ("1. f($0)\n", "step 1: refers to $0, which is not an earlier step in 'f(\"$0\")'"),
        ("1. f(Ana)\n", "step 1: expected a string, a number, a list or a $reference in 'Ana'"),
        ("1. f(,)\n", "step 1: expected a string, a number, a list or a $reference in ','"),
        ("1. f(1 2)\n", "step 1: expected a comma in '1 2'"),
        ("1. f(1.2.3)\n", "step 1: expected a string, a number, a list or a $reference in '1.2.3'"),
        ("1. f([1)\n", "step 1: the plan breaks off before join() in '1. f([1)'"),
        ("1. f({1: 2})\n", "step 1: expected a string, a number, a list or a $reference in '{1: 2}'"),
        ("1. f(a=1, 2)\n", "step 1: an argument by position follows one by name in 'a=1, 2'"),
        ("1. f(a=1, a=2)\n", "step 1: argument 'a' is given twice in 'a=1, a=2'"),
        ("1. f(1e999)\n", "step 1: a number is too large in '1e999'"),
        ("1. f([1})\n", "step 1: expected a comma in '[1}'"),
    ],
)
def test_an_error_says_which_step_and_what_stands_there(text: str, said: str) -> None:
    with pytest.raises(PlanError) as error:
        parse_plan(text)
    assert str(error.value) == said
    assert f"step {error.value.step}:" in said and error.value.text in text.replace("$", '"$') + said


def test_lists_are_not_nested_without_end() -> None:
    with pytest.raises(PlanError, match="nested too deeply"):
        parse_plan("1. f(" + "[" * 5000 + "]" * 5000 + ")\n")


def test_a_plan_made_by_hand_is_checked_too() -> None:
    with pytest.raises(PlanError, match=r"step 2: expected step 1, found 2 in 'look\(\)'"):
        Plan((Step(2, "look"),))
    with pytest.raises(PlanError, match="step 1: refers to \\$1, which is not an earlier step"):
        Plan((Step(1, "look", (Ref(1),)),))


# --- A plan can be read while it is being written ---


def test_a_step_is_there_as_soon_as_its_bracket_closes() -> None:
    parser = PlanParser()
    assert list(parser.feed('1. look("A')) == []
    assert list(parser.feed('na")')) == [Step(1, "look", ("Ana",))]
    assert not parser.done
    assert list(parser.feed("\n2. jo")) == []
    assert list(parser.feed("in()")) == []
    assert parser.done
    assert list(parser.feed("\n3. look()\nand so on")) == []
    parser.close()


def read(pieces: list[str]) -> tuple[list[Step], str]:
    """Return the steps that a parser finds in these pieces, and the error that it ends with."""
    parser, steps = PlanParser(), list[Step]()
    try:
        for piece in pieces:
            steps.extend(parser.feed(piece))  # what comes before an error stays
        parser.close()
    except PlanError as error:
        return steps, str(error)
    return steps, ""


# Text that is nearly a plan, so that all of the language is met.
SHREDS = st.lists(
    st.sampled_from(
        [
            *"\n\n\n  \t\r.)(\"'[]{},=$\\#;-",
            *"1 2 3 1. 2. 3. $1 ${1} \\$1 $1.50 1e9 None True".split(),
            *["look(", "f()", 'f("$1")', "join()", "Thought: 1. f(", "<END_OF_PLAN>", "```", "é", "\u2028"],
        ]
    ),
    max_size=30,
).map("".join)


@settings(deadline=None)
@given(st.data(), SHREDS)
def test_how_the_text_is_cut_never_changes_what_is_read(data: st.DataObject, shreds: str) -> None:
    text = f'1. look("$5, )", [1])\n2. send(["$1"], \'it\\\'s "$1"\', {shreds}\n3. join()\n' if shreds else ""
    for whole in (text, shreds):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
        pieces = [whole[a:b] for a, b in pairwise([0, *cuts, len(whole)])]
        assert read(pieces) == read([whole]) == read(list(whole))


@settings(deadline=None)
@given(SHREDS | st.text())
def test_nothing_but_a_plan_error_comes_of_any_text(text: str) -> None:
    for body in (text, f"1. look()\n2. f({text})\n3. join()", f'1. look()\n2. f("{text}")\n3. join()'):
        for end in range(len(body) + 1):
            try:
                plan = parse_plan(body[:end])
            except PlanError:
                continue
            assert parse_plan(plan.text()) == plan


@pytest.mark.parametrize("number", ["9" * 5000, "1" + "0" * 400, "-" + "9" * 5000])
def test_numbers_of_any_length_are_read_or_refused(number: str) -> None:
    for text in (f"1. f({number})\n2. join()", f"1. f(${number})\n2. join()", f"{number}. f()\n2. join()"):
        with pytest.raises(PlanError):
            parse_plan(text)
    assert argument(f'"${number}"') == f"${number}"


# --- What is written is read back ---

STEPS = 4
CHARACTERS = st.sampled_from("$12.,km {}\\\"'\n()[]é") | st.characters(exclude_categories=["Cs"])
TEXTS = st.text(CHARACTERS)
REFS = st.integers(1, STEPS - 1).map(Ref)
TEMPLATES = st.lists(TEXTS | REFS).map(template)
VALUES: st.SearchStrategy[Value] = st.recursive(
    TEMPLATES
    | TEXTS
    | REFS
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none(),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=8,
)
NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)


@settings(deadline=None)
@given(st.lists(VALUES, max_size=4), st.dictionaries(NAMES, VALUES, max_size=3))
def test_the_canonical_text_of_any_plan_is_read_back(args: list[Value], named: dict[str, Value]) -> None:
    plan = Plan((*(Step(n, "look") for n in range(1, STEPS)), Step(STEPS, "f", tuple(args), named)))
    again = parse_plan(plan.text())
    assert again == plan
    assert again.text() == plan.text()


@settings(deadline=None)
@given(TEXTS)
def test_the_users_words_never_become_references(words: str) -> None:
    shown = escape_dollars(re.sub(r"[\\\"\n]", "", words))
    assert argument(f'"{shown}"') == shown.replace("\\$", "$")
    assert list(references(parse_text(shown, STEPS))) == []
