"""What the planners read: the prompt in its three layouts."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import builtin_tools
from pipeline.elaborate import elaborate
from pipeline.plan import END_OF_PLAN, parse_plan
from pipeline.prompt import chat_system, chat_user, compact, signature, tinyagent
from pipeline.spec import Catalogue, ToolSpec

TOOLS = builtin_tools()
NOW = datetime(2026, 3, 2, 9, 30)  # a Monday

WEATHER = ToolSpec.model_validate(
    {
        "name": "get_weather",
        "app": "weather",
        "description": "Tell the weather of a city on a day.",
        "parameters": [
            {"name": "city", "type": "string", "description": "Where."},
            {"name": "unit", "type": "enum", "choices": ["c", "f"], "default": "c"},
            {"name": "days", "type": "list[integer]", "default": []},
            {"name": "within", "type": "duration", "default": "1 hour"},
        ],
        "returns": {"type": "string", "description": "The forecast."},
        "effect": "read",
        "rules": ["One call a city."],
        "implementation": {"python": "weather:get"},
    }
)


def test_a_signature_says_how_a_call_is_written() -> None:
    assert signature(TOOLS["create_note"]) == "create_note(name, content, folder=)"
    assert signature(WEATHER) == "get_weather(city, unit=c|f, days=, within=)"


def test_a_parameter_that_a_date_decides_is_not_written() -> None:
    assert "all_day" not in signature(TOOLS["create_reminder"])


# --- Of the adapter ---


def test_the_compact_prompt_has_a_line_a_tool_and_describes_only_unknown_ones() -> None:
    tools = Catalogue([WEATHER, TOOLS["open_note"]])
    prompt = compact("is it raining?", tools, known=["open_note"], instructions=["use\nLisbon"])
    assert prompt == (
        "Tools:\n"
        "get_weather(city, unit=c|f, days=, within=)  Tell the weather of a city on a day\n"
        "open_note(name, folder=)\n"
        "Note: use Lisbon\n"
        "Request: is it raining?\n"
        "Plan:\n"
    )


# --- Of models that follow instructions ---


def chat_examples() -> list[tuple[str, str]]:
    head = chat_system(TOOLS).partition("\nTools:\n")[0]
    return re.findall(r"^Request: (.*)\n((?:\d+\. .*\n?)+)", head, re.MULTILINE)


def test_the_chat_examples_are_right_plans() -> None:
    plans = [elaborate(parse_plan(text), TOOLS, NOW) for _, text in chat_examples()]
    assert [[step.tool for step in plan.steps] for plan in plans] == [
        ["get_phone_number", "get_phone_number", "send_sms"],
        [
            "open_and_get_file_path",
            "summarize_pdf",
            "get_email_address",
            "get_email_address",
            "compose_new_email",
            "create_reminder",
        ],
        [],
    ]
    assert plans[1].steps[-1].args[:2] == ("pay the $5 fee", "2026-03-06 15:00:00")


def test_the_chat_examples_show_requests_as_they_are_shown() -> None:
    assert all(chat_user(request.replace("\\", "")) == f"Request: {request}" for request, _ in chat_examples())


def test_the_system_message_lists_the_tools_with_what_they_give_and_their_rules() -> None:
    text = chat_system(Catalogue([WEATHER, TOOLS["send_sms"]])).partition("\nTools:\n")[2]
    assert text.splitlines() == [
        "- get_weather(city, unit=c|f, days=, within=) -> string: Tell the weather of a city on a day.",
        "- send_sms(recipients, message): Send a text message (SMS) to one or more people.",
        "",
        "Rules:",
        "- get_weather: One call a city.",
        *(f"- send_sms: {rule}" for rule in TOOLS["send_sms"].rules),
    ]


def test_tools_without_rules_have_no_heading_for_them() -> None:
    assert "Rules:" not in chat_system(Catalogue([WEATHER.model_copy(update={"rules": ()})]))


def test_all_system_messages_begin_alike_so_that_a_server_can_keep_the_beginning() -> None:
    some, all_tools = chat_system(TOOLS.only(["open_note"])), chat_system(TOOLS)
    assert some.partition("Tools:")[0] == all_tools.partition("Tools:")[0]
    assert len(some.partition("Tools:")[0]) > 1000


def test_the_users_message_says_why_a_replan_is_made() -> None:
    assert chat_user("call $1 late", instructions=["cc Nick"], feedback="no note 'a'\nor 'b'").splitlines() == [
        "Note: cc Nick",
        "Request: call \\$1 late",
        "An earlier plan for this failed: no note 'a' or 'b'. Write one that does not.",
    ]


@given(st.text(max_size=80), st.text(max_size=40))
def test_what_the_user_says_stays_on_its_line_and_refers_to_nothing(request: str, instruction: str) -> None:
    for prompt in (
        chat_user(request, instructions=[instruction]),
        compact(request, Catalogue([]), instructions=[instruction]).removesuffix("Plan:\n").rstrip(),
    ):
        assert len(re.findall("^(?:Note|Request): ?", prompt, re.MULTILINE)) == 2
        assert not re.search(r"(?<!\\)\$\{?[0-9]", prompt)


# --- Of the published TinyAgent models ---


def test_the_tinyagent_prompt_has_the_parts_that_its_models_know() -> None:
    tools = TOOLS.only(["get_phone_number", "send_sms"])
    prompt = tinyagent("text Ana $1", tools, NOW, instructions=["always be polite"])
    parts = [
        "one of these 3 types of action:\n1. get_phone_number(name: str) -> str\n - ",
        "2. send_sms(recipients: list[str], message: str) -> str\n - ",
        "3. join():\n - ",
        "\nGuidelines:\n - ",
        f"'{END_OF_PLAN}'",
        " - Today's date is Monday 2026-03-02 09:30\n",
        *(f" - send_sms: {rule}\n" for rule in TOOLS["send_sms"].rules),
        " - always be polite\n",
        "Here are some examples:\n\nQuestion: ",
        f"join(){END_OF_PLAN}\n###\n",
    ]
    places = [prompt.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)
    assert prompt.endswith("###\nQuestion: text Ana \\$1\n")


def test_the_tinyagent_layout_says_how_every_argument_is_written() -> None:
    text = tinyagent("x", Catalogue([WEATHER, TOOLS["create_reminder"], TOOLS["send_sms"]]), NOW)
    assert "get_weather(city: str, unit: str, days: list[int], within: str) -> str\n" in text
    assert " - unit: One of 'c', 'f'. If unsaid, 'c'.\n" in text
    assert " - days: If unsaid, [].\n" in text
    assert " - within: As in '45 minutes'. If unsaid, '1 hour'.\n" in text
    assert " - Returns: The forecast.\n" in text
    assert "As 'YYYY-MM-DD HH:MM:SS'. As 'YYYY-MM-DD' if all_day is True.\n" in text
    assert " - recipients: Who gets the message. Each is a phone number.\n" in text


def tinyagent_examples(tools: Catalogue) -> list[str]:
    shown = tinyagent("x", tools, NOW).partition("Here are some examples:\n\n")[2]
    return [example.partition("\n")[2] for example in shown.split("###\n")[:-1]]


def test_the_tinyagent_examples_are_full_plans() -> None:
    examples = tinyagent_examples(TOOLS)
    assert len(examples) == 4
    for text in examples:
        assert elaborate(parse_plan(text), TOOLS, NOW) == parse_plan(text)


@pytest.mark.parametrize("names", [["open_note"], ["maps_show_directions", "send_sms"], ["summarize_pdf"]])
def test_the_tinyagent_examples_call_only_offered_tools(names: list[str]) -> None:
    examples = tinyagent_examples(TOOLS.only(names))
    assert examples
    for text in examples:
        assert {step.tool for step in parse_plan(text).steps} <= set(names)


def test_a_tinyagent_replan_is_asked_for_as_its_models_know_it() -> None:
    prompt = tinyagent("text Ana", TOOLS, NOW, feedback="no contact 'Ana'")
    assert prompt.endswith("Question: text Ana\nPrevious Plan:\n\nObservation: no contact 'Ana'\n\nCurrent Plan:\n\n")
