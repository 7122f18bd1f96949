"""From what a planner wrote to the full plan: lookups, dates and defaults, and what is said when a call is wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import builtin_tools
from pipeline.elaborate import ElaborationError, bind, elaborate, settle
from pipeline.plan import Plan, Ref, Step, parse_plan
from pipeline.spec import Catalogue, ToolSpec

TOOLS = builtin_tools()
NOW = datetime(2026, 3, 4, 10, 20)  # a Wednesday
LEAVES = st.sampled_from(["", " ", "Ana", "me", "friday at 3", "90 minutes", "a.pdf", "/a", "a@b.c", "nan", "1e999"])


def tool(name: str, parameters: list[dict[str, Any]], **fields: Any) -> ToolSpec:
    return ToolSpec.model_validate(
        {
            "name": name,
            "app": "tests",
            "description": "A tool made up for a test.",
            "parameters": parameters,
            "effect": "write",
            "implementation": {"python": f"tests:{name}"},
            **fields,
        }
    )


def parameter(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **fields}


def plan(*calls: str) -> Plan:
    return parse_plan("\n".join(f"{number}. {call}" for number, call in enumerate([*calls, "join()"], 1)))


def full(*calls: str, tools: Catalogue = TOOLS) -> list[str]:
    """Return the calls of the full plan."""
    return [step.text() for step in elaborate(plan(*calls), tools, NOW).steps]


def wrong(*calls: str, tools: Catalogue = TOOLS) -> str:
    with pytest.raises(ElaborationError) as error:
        elaborate(plan(*calls), tools, NOW)
    assert str(error.value).startswith(f"step {error.value.step}")
    return str(error.value)


# --- People and files: names become lookups ---


def test_a_name_where_a_phone_number_is_wanted_is_looked_up() -> None:
    assert full('send_sms(["Priya"], "Running late")') == [
        'get_phone_number("Priya")',
        'send_sms(["$1"], "Running late")',
    ]


def test_a_file_name_where_a_path_is_wanted_is_looked_up() -> None:
    assert full('summarize_pdf("budget.pdf")') == [
        'open_and_get_file_path("budget.pdf")',
        'summarize_pdf("$1")',
    ]


def test_what_is_given_whole_is_used_as_it_is() -> None:
    assert full('send_sms(["+351 912 345 678", "(555) 010-1234", "112"], "Hi")') == [
        'send_sms(["+351 912 345 678", "(555) 010-1234", "112"], "Hi")'
    ]
    assert full('summarize_pdf("~/Papers/a b.pdf")') == ['summarize_pdf("~/Papers/a b.pdf")']
    assert full(r'summarize_pdf("C:\\Papers\\a.pdf")') == [r'summarize_pdf("C:\\Papers\\a.pdf")']
    assert full('forward_email(["info@acme.example"])') == ['forward_email(["info@acme.example"], [], "", [])']


def test_equal_lookups_are_made_once() -> None:
    assert full(
        'send_sms(["Ana", "Rui"], "It starts")',
        'compose_new_email(["ana "], "Start", cc=["Ana"], attachments=["Plan.pdf"])',
        'summarize_pdf("plan.pdf")',
        'send_sms(["Ana"], "$3")',
    ) == [
        'get_phone_number("Ana")',
        'get_phone_number("Rui")',
        'send_sms(["$1", "$2"], "It starts")',
        'get_email_address("ana")',
        'open_and_get_file_path("Plan.pdf")',
        'compose_new_email(["$4"], ["$4"], "Start", "", ["$5"])',
        'summarize_pdf("$5")',
        'send_sms(["$1"], "$7")',
    ]


def test_a_lookup_that_was_asked_for_is_shared_too() -> None:
    assert full('get_phone_number("Ana")', 'create_note("Ana", "$1")', 'send_sms(["Ana"], "Hi")') == [
        'get_phone_number("Ana")',
        'create_note("Ana", "$1", "")',
        'send_sms(["$1"], "Hi")',
    ]


def test_equal_reads_are_shared_and_equal_writes_are_not() -> None:
    read = tool("look", [parameter("at", "string")], effect="read", returns={"type": "string"})
    write = tool("note", [parameter("text", "string")])
    assert full('look("a")', 'look("a")', 'look("A")', 'note("$2")', 'note("$1")', tools=Catalogue([read, write])) == [
        'look("a")',
        'look("A")',  # only names are the same in any case
        'note("$1")',
        'note("$1")',
    ]


@pytest.mark.parametrize(
    ("said", "looked_up"),
    [
        ("my dentist", "dentist"),
        ("the plumber", "plumber"),
        ("mom", "mom"),
        ("a minha mãe", "mãe"),
        ("el fontanero", "fontanero"),
        ("The Rock", "The Rock"),
        ("La Toya", "La Toya"),
        ("mya", "mya"),
    ],
)
def test_relations_are_looked_up_without_my_or_the(said: str, looked_up: str) -> None:
    assert full(f'send_sms(["{said}"], "Hi")')[0] == f'get_phone_number("{looked_up}")'
    assert full(f'get_email_address("{said}")') == [f'get_email_address("{looked_up}")']


def test_a_file_keeps_its_article() -> None:
    assert full('summarize_pdf("the plan.pdf")')[0] == 'open_and_get_file_path("the plan.pdf")'


def test_the_user_is_never_looked_up_or_invited() -> None:
    assert full('create_calendar_event("Sync", "friday at 9", invitees=["Ana", "me", "Me"])') == [
        'get_email_address("Ana")',
        'create_calendar_event("Sync", "2026-03-06 09:00:00", "2026-03-06 10:00:00", "", ["$1"], "", "")',
    ]
    assert full('reply_to_email(cc=["myself"])') == ['reply_to_email([], "", [])']
    assert wrong('send_sms(["me"], "Buy milk")') == "step 1, recipients: nobody is named"


def test_a_lookup_gets_its_own_defaults() -> None:
    tools = Catalogue(
        [
            tool(
                "find_person",
                [parameter("who", "string"), parameter("at_most", "integer", default=1)],
                effect="read",
                returns={"type": "email"},
                coerces={"from": "person"},
            ),
            tool("invite", [parameter("guest", "email"), parameter("host", "email", required=False)]),
        ]
    )
    assert full('invite("my boss", host="me")', tools=tools) == ['find_person("boss", 1)', 'invite("$1", "")']


def test_a_name_needs_a_lookup_among_the_tools() -> None:
    only_sms = TOOLS.only(["send_sms"])
    assert wrong('send_sms(["Ana"], "Hi")', tools=only_sms) == "step 1, recipients: 'Ana' is not a phone number"
    browse = Catalogue([tool("browse", [parameter("page", "url")])])
    assert full('browse("https://a.example")', tools=browse) == ['browse("https://a.example")']
    assert wrong('browse("the news")', tools=browse) == "step 1, page: 'the news' is not a URL"


# --- Dates, by the conventions ---


def event(arguments: str) -> tuple[object, ...]:
    """Return start and end of an event."""
    return elaborate(plan(f'create_calendar_event("E", {arguments})'), TOOLS, NOW).steps[0].args[1:3]


@pytest.mark.parametrize(
    ("arguments", "start", "end"),
    [
        ('"next friday at 3"', "2026-03-13 15:00:00", "2026-03-13 16:00:00"),  # an hour if nothing is said
        ('"friday at 3", end_date="90 minutes"', "2026-03-06 15:00:00", "2026-03-06 16:30:00"),
        ('"friday at 3", end_date="until half past four"', "2026-03-06 15:00:00", "2026-03-06 16:30:00"),
        ('"friday 2 to 5"', "2026-03-06 14:00:00", "2026-03-06 17:00:00"),  # the start says the end
        ('"on the 14th"', "2026-03-14 00:00:00", "2026-03-14 23:59:59"),  # a whole day
        ('"from the 14th to the 16th"', "2026-03-14 00:00:00", "2026-03-16 23:59:59"),
        ('"on the 14th", end_date="the 16th"', "2026-03-14 00:00:00", "2026-03-16 23:59:59"),
        ('"at 9", end_date=""', "2026-03-05 09:00:00", "2026-03-05 10:00:00"),  # 9 has passed today
        (
            '"2026-04-01 23:30:00", end_date="2026-04-02 00:30:00"',
            "2026-04-01 23:30:00",
            "2026-04-02 00:30:00",
        ),
    ],
)
def test_an_event_has_a_start_and_an_end(arguments: str, start: str, end: str) -> None:
    assert event(arguments) == (start, end)


@pytest.mark.parametrize(
    ("arguments", "due", "all_day"),
    [
        ('"call mum", due_date="tomorrow at 6"', "2026-03-05 18:00:00", "False"),
        ('"call mum", due_date="tomorrow evening"', "2026-03-05 18:00:00", "False"),
        ('"call mum", due_date="tomorrow"', "2026-03-05", "True"),  # a date and no time
        ('"call mum"', "2026-03-04 11:20:00", "False"),  # neither: in an hour
        ('"call mum", due_date=None', "2026-03-04 11:20:00", "False"),
        ('"call mum", due_date="2026-03-05 00:00:00", all_day=True', "2026-03-05 00:00:00", "True"),
        ('"call mum", due_date="2026-03-05", all_day=True', "2026-03-05", "True"),
    ],
)
def test_a_reminder_is_all_day_where_its_date_has_no_time(arguments: str, due: str, all_day: str) -> None:
    assert full(f"create_reminder({arguments})") == [f'create_reminder("call mum", "{due}", "", "", 0, {all_day})']


def test_a_time_that_is_not_understood_is_told_of_its_argument() -> None:
    said = wrong('create_reminder("call mum", due_date="when hell freezes")')
    assert said.startswith("step 1, due_date: the time 'when hell freezes' is not understood")
    assert "next Friday at 3" in said
    assert wrong('create_calendar_event("E", "friday", end_date="2026-03-05")').startswith("step 1, end_date: ")
    assert wrong('create_reminder("call mum", due_date=9)') == (
        "step 1, due_date: a time is written in words or as YYYY-MM-DD HH:MM:SS"
    )


def test_dates_of_other_tools() -> None:
    tools = Catalogue(
        [
            tool(
                "book",
                [  # the end may come first, and nothing has to be said
                    parameter("until", "datetime", ends="begin", default="2 hours"),
                    parameter("begin", "datetime", default="30 minutes"),
                    parameter("breaks", "list[datetime]", default=[]),
                    parameter("alarm", "datetime", required=False),
                    parameter("length", "duration", default="1 hour"),
                ],
            )
        ]
    )
    assert full("book()", tools=tools) == ['book("2026-03-04 12:50:00", "2026-03-04 10:50:00", [], "", 60)']
    assert full(
        'book(begin="friday 9am", breaks=["friday 10am", "friday at noon"], length="six and a half minutes")',
        tools=tools,
    ) == ['book("2026-03-06 11:00:00", "2026-03-06 09:00:00", ["2026-03-06 10:00:00", "2026-03-06 12:00:00"], "", 6.5)']


# --- Values of the other types ---

KINDS = Catalogue(
    [
        tool(
            "f",
            [
                parameter("text", "string", required=False),
                parameter("whole", "integer", required=False),
                parameter("number", "number", required=False),
                parameter("flag", "boolean", required=False),
                parameter("mode", "enum", choices=["d", "w"], default="d"),
                parameter("length", "duration", required=False),
                parameter("words", "list[string]", required=False),
            ],
        )
    ]
)


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ('text="as it is"', '"as it is", 0, 0, False, "d", "", []'),
        ("text=7", '"7", 0, 0, False, "d", "", []'),
        ('text=["a", 7]', '"a, 7", 0, 0, False, "d", "", []'),
        ("text=[]", '"", 0, 0, False, "d", "", []'),
        ('whole="12"', '"", 12, 0, False, "d", "", []'),
        ("whole=12.0", '"", 12, 0, False, "d", "", []'),
        (f"whole={10**400 // 10**100}", f'"", {10**300}, 0, False, "d", "", []'),
        ('number="2.5"', '"", 0, 2.5, False, "d", "", []'),
        ('flag="True"', '"", 0, 0, True, "d", "", []'),
        ('mode="W"', '"", 0, 0, False, "w", "", []'),
        ('length="an hour and a half"', '"", 0, 0, False, "d", 90, []'),
        ('length="30 seconds"', '"", 0, 0, False, "d", 0.5, []'),
        ("length=45", '"", 0, 0, False, "d", 45, []'),
        ('words="one"', '"", 0, 0, False, "d", "", ["one"]'),
        ('words=["a", None, "b", "a"]', '"", 0, 0, False, "d", "", ["a", "b"]'),
    ],
)
def test_a_value_becomes_what_its_parameter_is(written: str, becomes: str) -> None:
    assert full(f"f({written})", tools=KINDS) == [f"f({becomes})"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('whole="many"', "step 1, whole: 'many' is not a number"),
        ("whole=1.5", "step 1, whole: 1.5 is not a whole number"),
        ('whole="nan"', "step 1, whole: 'nan' is not a number"),
        ("number=True", "step 1, number: True is not a number"),
        ('number="inf"', "step 1, number: 'inf' is not a number"),
        ('flag="maybe"', "step 1, flag: 'maybe' is neither true nor false"),
        ('mode="fly"', "step 1, mode: 'fly' is not one of d, w"),
        ("whole=[1, 2]", "step 1, whole: one value is wanted, not a list"),
    ],
)
def test_a_value_that_cannot_become_it_is_told(written: str, said: str) -> None:
    assert wrong(f"f({written})", tools=KINDS) == said


def test_a_list_of_one_is_that_one_where_no_list_is_wanted() -> None:
    assert full('summarize_pdf(["~/a.pdf"])') == ['summarize_pdf("~/a.pdf")']


# --- References ---


def test_a_result_goes_where_it_fits() -> None:
    assert full(
        'get_zoom_meeting_link("Sync", "friday at 9", meeting_invitees=["Ana"])',
        'create_calendar_event("Sync", "friday at 9", invitees=["Ana"], notes="Join: $1")',
    ) == [
        'get_email_address("Ana")',
        'get_zoom_meeting_link("Sync", "2026-03-06 09:00:00", 60, ["$1"])',
        'create_calendar_event("Sync", "2026-03-06 09:00:00", "2026-03-06 10:00:00", "", ["$1"], "Join: $2", "")',
    ]


def test_results_in_a_list_stay_references_where_text_is_wanted() -> None:
    assert full('summarize_pdf("/a.pdf")', 'open_note("b")', 'forward_email(["a@b.c"], context=["$1", "$2"])')[2] == (
        'forward_email(["a@b.c"], [], "${1}, $2", [])'
    )


def test_the_result_of_another_kind_is_refused() -> None:
    assert wrong('get_email_address("Ana")', 'send_sms(["$1"], "Hi")') == (
        "step 2, recipients: the result of get_email_address is not a phone number"
    )
    assert wrong('open_note("Plan")', 'summarize_pdf("$1")') == (
        "step 2, pdf_path: the result of open_note is not a file's path"
    )
    assert wrong('open_and_get_file_path("a.pdf")', 'summarize_pdf("$1.old")') == (
        "step 2, pdf_path: text around a reference cannot be a file's path"
    )


@pytest.mark.parametrize("argument", ['"$1"', '"see $1"', '["$1"]'])
def test_a_status_is_never_a_value(argument: str) -> None:
    said = wrong('create_note("a", "b")', f"create_note({argument}, {argument})")
    assert said == "step 2, name: create_note gives nothing to refer to"


ANSWERS = Catalogue(
    [
        tool("ask", [], effect="read", returns={"type": "string"}),
        tool("count", [], effect="read", returns={"type": "integer"}),
        tool("free_slot", [], effect="read", returns={"type": "datetime"}),
        *KINDS.values(),
        *TOOLS.values(),
    ]
)


@pytest.mark.parametrize("name", ["text", "whole", "number", "flag", "mode", "length"])
def test_a_result_in_words_may_be_a_number_a_choice_or_a_time(name: str) -> None:
    assert '"$1"' in full("ask()", f'f({name}="$1")', tools=ANSWERS)[1]


def test_a_result_of_just_that_type_goes_there_and_nowhere_else() -> None:
    assert full("count()", 'f(whole="$1")', tools=ANSWERS)[1] == 'f("", "$1", 0, False, "d", "", [])'
    assert wrong("count()", 'f(flag="$1")', tools=ANSWERS) == "step 2, flag: the result of count is not a boolean"


def test_a_date_may_be_known_only_when_the_plan_runs() -> None:
    assert full("ask()", 'create_reminder("x", due_date="$1")', tools=ANSWERS)[1] == (
        'create_reminder("x", "$1", "", "", 0, False)'
    )
    assert full("free_slot()", 'create_calendar_event("x", "$1", end_date="2026-03-06 10:00:00")', tools=ANSWERS)[
        1
    ].startswith('create_calendar_event("x", "$1", "2026-03-06 10:00:00", ')
    for said in ("", "90 minutes"):  # an end waits for its start
        assert full("free_slot()", f'create_calendar_event("x", "$1", end_date="{said}")', tools=ANSWERS)[1] == (
            f'create_calendar_event("x", "$1", "{said}", "", [], "", "")'
        )
    assert wrong("count()", 'create_reminder("x", due_date="$1")', tools=ANSWERS) == (
        "step 2, due_date: the result of count is not a datetime"
    )


# --- What was only known when the plan runs is settled then ---


def settled(call: str, output: str) -> dict[str, object]:
    """Return the arguments of a call that refers to step 1, which gave `output`."""
    return settle(
        elaborate(plan("ask()", call), ANSWERS, NOW).steps[1], ANSWERS[call.partition("(")[0]], {1: output}, NOW
    )


def test_outputs_in_words_become_what_is_wanted() -> None:
    assert settled('f(whole="$1")', "12")["whole"] == 12
    assert settled('f(flag="$1")', "true")["flag"] is True
    assert settled('f(mode="$1")', "W")["mode"] == "w"
    assert settled('f(length="$1")', "two hours")["length"] == 120
    assert settled('f(text="$1", words=["$1", "b"])', "12")["words"] == ["12", "b"]


@pytest.mark.parametrize(
    ("end", "output", "until"),
    [
        ("", "2026-03-06 09:00:00", "2026-03-06 10:00:00"),
        ("90 minutes", "friday at 9", "2026-03-06 10:30:00"),
        ("until 5", "friday at 2", "2026-03-06 17:00:00"),
    ],
)
def test_an_end_is_settled_with_its_start(end: str, output: str, until: str) -> None:
    assert settled(f'create_calendar_event("$1", "$1", end_date="{end}")', output)["end_date"] == until


def test_an_end_alone_is_settled_by_its_start() -> None:
    arguments = settled('create_calendar_event("x", "friday at 2", end_date="$1")', "until 5")
    assert (arguments["start_date"], arguments["end_date"]) == ("2026-03-06 14:00:00", "2026-03-06 17:00:00")


def test_a_date_that_is_settled_says_whether_it_is_all_day() -> None:
    arguments = settled('create_reminder("x", due_date="$1")', "tomorrow")
    assert (arguments["due_date"], arguments["all_day"]) == ("2026-03-05", True)


def test_only_what_was_late_is_settled() -> None:
    step = elaborate(plan("ask()", 'create_reminder("x", due_date="$1", notes="$1")'), ANSWERS, NOW).steps[1]
    assert settle(step, TOOLS["create_reminder"], {1: "friday"}, NOW) == {
        "name": "x",
        "due_date": "2026-03-06",
        "notes": "friday",
        "list_name": "",
        "priority": 0,
        "all_day": True,
    }


def test_an_output_that_cannot_become_it_is_told() -> None:
    with pytest.raises(ElaborationError, match="step 2, whole: 'a dozen' is not a number"):
        settled('f(whole="$1")', "a dozen")


@settings(deadline=None)
@given(LEAVES | st.text(), st.sampled_from(["whole", "number", "flag", "mode", "length"]))
def test_any_output_is_settled_or_refused(output: str, name: str) -> None:
    for call in (f'f({name}="$1")', 'create_calendar_event("x", "$1", end_date="$1")'):
        try:
            arguments = settled(call, output)
        except ElaborationError as error:
            assert error.step == 2
        else:
            assert "$1" not in str(arguments) or "$1" in output


def test_text_and_addresses_are_used_as_they_came() -> None:
    step = elaborate(plan('send_sms(["Ana"], "Hi")'), TOOLS, NOW).steps[1]
    assert settle(step, TOOLS["send_sms"], {1: "ext. 12"}, NOW) == {"recipients": ["ext. 12"], "message": "Hi"}


# --- Arguments by position and by name ---


def test_few_arguments_are_the_required_ones_and_many_are_all_in_order() -> None:
    directions = TOOLS["maps_show_directions"]
    assert bind(Step(1, "d", ("York",)), directions) == {"end_location": "York"}
    assert bind(Step(1, "d", ("Leeds", "York")), directions) == {
        "start_location": "Leeds",
        "end_location": "York",
    }
    assert bind(Step(1, "d", ("York",), {"transport": "w"}), directions) == {
        "end_location": "York",
        "transport": "w",
    }


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ('send_fax("Ana")', "step 1: there is no tool 'send_fax' to call (there are append_note_content, "),
        ('open_note("a", "b", "c")', "step 1: open_note takes at most 2 arguments, not 3"),
        ('open_note("a", colour="red")', "step 1: open_note has no parameter 'colour' (it has name, folder)"),
        ('open_note("a", name="b")', "step 1, name: given twice"),
        ("open_note()", "step 1, name: is missing"),
        ("open_note(None)", "step 1, name: is missing"),
        ('summarize_pdf("")', "step 1, pdf_path: is missing"),
        ('create_calendar_event("x", "")', "step 1, start_date: is missing"),
        ('send_sms([], "Hi")', "step 1, recipients: nobody is named"),
    ],
)
def test_a_call_that_does_not_fit_its_tool_is_told(call: str, said: str) -> None:
    assert wrong(call).startswith(said)


def test_an_error_names_the_step_of_the_plan_as_it_was_written() -> None:
    assert wrong('send_sms(["Ana", "Rui"], "Hi")', 'open_note("a", "b", "c")').startswith("step 2: ")


# --- Both forms of a plan give the same full plan ---

PAIRS = [
    (
        ['send_sms(["Priya Nair"], "Late")'],
        ['get_phone_number("Priya Nair")', 'send_sms(["$1"], "Late")'],
    ),
    (
        ['maps_show_directions("the airport")'],
        ['maps_show_directions("", "the airport", "d")'],
    ),
    (
        ['summarize_pdf("a.pdf")', 'compose_new_email(["Lena"], "Summary", context="$1")'],
        [
            'open_and_get_file_path("a.pdf")',
            'summarize_pdf("$1")',
            'get_email_address("Lena")',
            'compose_new_email(["$3"], [], "Summary", "$2", [])',
        ],
    ),
    (
        [
            'get_zoom_meeting_link("Sync", "friday at 9", duration=30, meeting_invitees=["Ana"])',
            'create_calendar_event("Sync", "friday at 9", end_date="30 minutes", invitees=["Ana"], notes="$1")',
        ],
        [
            'get_email_address("Ana")',
            'get_zoom_meeting_link("Sync", "2026-03-06 09:00:00", 30, ["$1"])',
            'create_calendar_event("Sync", "2026-03-06 09:00:00", "2026-03-06 09:30:00", "", ["$1"], "$2", "")',
        ],
    ),
    (
        ['create_calendar_event("Fair", "from the 14th to the 16th")', 'create_reminder("Pack", due_date="the 13th")'],
        [
            'create_calendar_event("Fair", "2026-03-14 00:00:00", "2026-03-16 23:59:59", "", [], "", "")',
            'create_reminder("Pack", "2026-03-13", "", "", 0, True)',
        ],
    ),
]


@pytest.mark.parametrize(("surface", "explicit"), PAIRS, ids=lambda calls: calls[-1].partition("(")[0])
def test_both_forms_of_a_plan_are_one_and_a_full_plan_stays_as_it_is(surface: list[str], explicit: list[str]) -> None:
    assert full(*surface) == explicit
    assert full(*explicit) == explicit
    assert elaborate(plan(*surface), TOOLS, NOW) == elaborate(plan(*explicit), TOOLS, NOW)


# --- Whatever a planner writes, a plan or an ElaborationError comes of it ---

VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES | st.text(max_size=5) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans() | st.none() | st.just(Ref(1)) | st.just(Ref(2)),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from(sorted(ANSWERS)), st.lists(VALUES, max_size=7), st.data())
def test_any_call_is_elaborated_or_refused(name: str, args: list[Any], data: st.DataObject) -> None:
    names = st.sampled_from([p.name for p in ANSWERS[name].parameters] or ["x"])
    named = data.draw(st.dictionaries(names, VALUES, max_size=3))
    written = Plan((Step(1, "ask"), Step(2, "free_slot"), Step(3, name, tuple(args), named)))
    try:
        elaborated = elaborate(written, ANSWERS, NOW)
    except ElaborationError as error:
        assert error.step == 3
        return
    for step in elaborated.steps:
        assert not step.named and len(step.args) == len(ANSWERS[step.tool].parameters)
    assert elaborate(elaborated, ANSWERS, NOW) == elaborated
    assert parse_plan(elaborated.text()) == elaborated


def test_what_was_given_is_not_looked_up() -> None:
    surface = parse_plan(
        '1. get_phone_number("555-0134")\n2. get_phone_number("Ana")\n'
        '3. send_sms(["$1", "$2"], "call $1")\n4. create_note("x", "$2 $1")\n5. join()'
    )
    assert [step.text() for step in elaborate(surface, TOOLS, NOW).steps] == [
        'get_phone_number("Ana")',
        'send_sms(["555-0134", "$1"], "call 555-0134")',
        'create_note("x", "$1 555-0134", "")',
    ]


@pytest.mark.parametrize(
    ("arguments", "minutes"),
    [
        ('"Rights", "on Friday from 2 to 3:30"', 90),
        ('"Rights", "Friday at 2 for 45 minutes"', 45),
        ('"Rights", "Friday from 2 to 3:30", duration=30', 30),
        ('"Rights", "Friday at 2"', 60),
    ],
)
def test_a_length_may_be_said_with_the_start(arguments: str, minutes: int) -> None:
    (step,) = elaborate(plan(f"get_zoom_meeting_link({arguments})"), builtin_tools(), NOW).steps
    assert step.args[2] == minutes


@pytest.mark.parametrize("number", ["(+44) 7700 900123", "(555) 010-4477"])
def test_a_number_may_begin_with_a_bracket(number: str) -> None:
    assert full(f'send_sms(["{number}"], "here")', tools=builtin_tools()) == [f'send_sms(["{number}"], "here")']


def test_a_capital_makes_no_name_of_my() -> None:
    assert full('get_phone_number("My dentist")', tools=builtin_tools()) == ['get_phone_number("dentist")']
    assert full('get_phone_number("The Rock")', tools=builtin_tools()) == ['get_phone_number("The Rock")']
