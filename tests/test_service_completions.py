"""OpenAI's chat interface: functions in JSON schema become tools, plans become calls, results go on."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import Client, pipeline, served

from pipeline.config import SelectionConfig
from pipeline.service.functions import FunctionError, catalogue, functions

WEATHER = {
    "name": "get_weather",
    "description": "Tell the weather in a city. Only for cities that there are.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
        "required": ["city"],
    },
}
NOTE = {
    "name": "add-note",
    "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}


async def chat(client: Client, messages: list[dict[str, Any]], *tools: dict[str, Any], **more: Any) -> Any:
    declared = [{"type": "function", "function": tool} for tool in tools]
    exchange = await client.post("/v1/chat/completions", {"messages": messages, "tools": declared, **more})
    assert exchange.status == more.pop("status", 200), await exchange.body()
    return await exchange.json()


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "system", "content": "You are helpful."}, {"role": "user", "content": text}]


def calls_of(answer: Any) -> list[tuple[str, Any]]:
    [choice] = answer["choices"]
    calls = choice["message"].get("tool_calls", [])
    assert choice["finish_reason"] == ("tool_calls" if calls else "stop")
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


def test_calls_follow_when_the_results_that_they_need_are_there(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        messages = user('plan: get_weather("Lisbon", unit="celsius"); get_weather("Porto"); add_note("Now: $1")')
        first = await chat(client, messages, WEATHER, NOTE)
        assert calls_of(first) == [
            ("get_weather", {"city": "Lisbon", "unit": "celsius"}),
            ("get_weather", {"city": "Porto"}),
        ]
        assert first["usage"]["prompt_tokens"] > 0
        message = first["choices"][0]["message"]
        ids = [call["id"] for call in message["tool_calls"]]
        messages += [message, {"role": "tool", "tool_call_id": ids[0], "content": "18 degrees"}]
        messages += [{"role": "tool", "tool_call_id": ids[1], "content": [{"type": "text", "text": "rain"}]}]
        second = await chat(client, messages, WEATHER, NOTE)
        assert calls_of(second) == [("add-note", {"text": "Now: 18 degrees"})]
        message = second["choices"][0]["message"]
        messages += [message, {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "noted"}]
        last = await chat(client, messages, WEATHER, NOTE)
        assert calls_of(last) == []
        assert last["choices"][0]["message"]["content"] == "18 degrees\nrain\nnoted"

    served(tmp_path, work)


def test_a_conversation_goes_on_after_the_service_forgot_its_plan(tmp_path: Path) -> None:
    async def first(client: Client) -> None:
        answer = await chat(client, messages, WEATHER, NOTE)
        message = answer["choices"][0]["message"]
        messages.extend(
            [message, {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "18 degrees"}]
        )

    async def second(client: Client) -> None:
        assert calls_of(await chat(client, messages, WEATHER, NOTE)) == [("add-note", {"text": "18 degrees"})]

    messages = user('plan: get_weather("Lisbon"); add_note("$1")')
    served(tmp_path, first)
    served(tmp_path, second)


def test_a_plan_is_made_anew_where_the_tools_or_the_request_are_others(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        messages = user('plan: get_weather("Lisbon"); add_note("$1")')
        answer = (await chat(client, messages, WEATHER, NOTE))["choices"][0]["message"]
        called = answer["tool_calls"][0]["id"]
        messages += [answer, {"role": "tool", "tool_call_id": called, "content": "18 degrees"}]
        more = {**NOTE["parameters"]["properties"], "title": {"type": "string"}}
        other = {**NOTE, "parameters": {**NOTE["parameters"], "properties": more}}
        anew = await chat(client, messages, WEATHER, other)
        assert calls_of(anew) == [("get_weather", {"city": "Lisbon"})]
        assert anew["choices"][0]["message"]["tool_calls"][0]["id"] != called
        tools = [{"type": "function", "function": WEATHER}]
        fewer = await client.post("/v1/chat/completions", {"messages": messages, "tools": tools})
        assert fewer.status == 422
        said = [{"role": "user", "content": 'plan: add_note("x")'}, *messages[2:]]
        assert calls_of(await chat(client, said, WEATHER, NOTE)) == [("add-note", {"text": "x"})]
        assert calls_of(await chat(client, messages, WEATHER, NOTE)) == [("add-note", {"text": "18 degrees"})]

    served(tmp_path, work)


def test_half_of_a_surrogate_pair_is_no_fault_inside(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        messages = user('plan: get_weather("Lisbon")')
        answer = (await chat(client, messages, WEATHER))["choices"][0]["message"]
        called = {"role": "tool", "tool_call_id": answer["tool_calls"][0]["id"]}
        for content in ("18 \ud800", [{"type": "text", "text": "18 \ud800"}]):
            last = await chat(client, [*messages, answer, {**called, "content": content}], WEATHER)
            assert last["choices"][0]["message"]["content"] == "18 ?"
        tools = [{"type": "function", "function": function({"\udc80": {"type": "array"}}, "\udc80")}]
        body = {"messages": messages, "tools": tools}
        assert (await client.post("/v1/chat/completions", body)).status == 422

    served(tmp_path, work)


def test_what_a_client_may_ask_for(tmp_path: Path) -> None:
    two = user('plan: get_weather("Lisbon"); add_note("x")')

    async def work(client: Client) -> None:
        assert len(calls_of(await chat(client, two, WEATHER, NOTE, parallel_tool_calls=False))) == 1
        assert calls_of(await chat(client, two, WEATHER, NOTE, tool_choice="none")) == []
        assert calls_of(await chat(client, user("plan: "), temperature=0.2, user="me")) == []
        only = {"type": "function", "function": {"name": "add-note"}}
        named = await chat(client, user('plan: add_note("x")'), WEATHER, NOTE, tool_choice=only)
        assert calls_of(named) == [("add-note", {"text": "x"})]
        without = await chat(client, user('plan: echo("x")'))  # the service's own tools, planned and not run
        assert without["choices"][0]["message"]["content"] == '1. echo("x")\n2. join()'
        other = [*two, {"role": "assistant", "content": "?", "tool_calls": [{"id": "call_abc"}]}]
        other.append({"role": "tool", "tool_call_id": "call_abc", "content": "of another model"})
        assert calls_of(await chat(client, other, WEATHER)) == []

    served(tmp_path, work)


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, None),
        ({"tool_choice": {"type": "function", "function": {"name": "nothing"}}}, "tool_choice.function.name"),
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools.0.function.name"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(tmp_path: Path, changed: dict[str, Any], param: str | None) -> None:
    async def work(client: Client) -> None:
        body = {"messages": user("hello"), "tools": [{"type": "function", "function": WEATHER}], **changed}
        exchange = await client.post("/v1/chat/completions", body)
        assert exchange.status == 422
        assert (await exchange.json())["error"]["param"] == param

    served(tmp_path, work)


def test_a_client_that_goes_away_leaves_no_turn_behind(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        from serving import Exchange

        await client.hub.loaded()
        held = client.hub.turns.ticket("somebody")
        exchange = Exchange(client.app, "POST", "/v1/plan", {"request": "hello"})
        while not client.hub.turns.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        exchange.disconnect()
        await exchange.ended()
        assert client.hub.turns.waiting == 0
        held.discard()

    served(tmp_path, work)


# ── functions ────────────────────────────────────────────────────────────────────────────────────────


def function(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    return {"name": "f", "parameters": {"type": "object", "properties": properties, "required": [*required], **more}}


def test_parameters_of_every_kind_come_back_as_the_function_takes_them() -> None:
    schema = function(
        {
            "address": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}},
                "required": ["city"],
            },
            "when": {"type": "string", "format": "date-time"},
            "day": {"type": "string", "format": "date"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "kind": {"$ref": "#/$defs/Kind"},
            "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "on": {"type": ["boolean", "null"]},
            "2nd-line": {"type": "string"},
            "rows": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        },
        *("address", "when", "tags", "maybe"),
        **{"$defs": {"Kind": {"type": "string", "enum": ["home", "work"]}}},
    )
    [made] = functions([schema]).values()
    assert [(p.name, p.type, p.list, p.required) for p in made.spec.parameters] == [
        ("address_city", "string", False, True),
        ("when", "datetime", False, True),
        ("tags", "string", True, True),
        ("address_zip", "integer", False, False),
        ("day", "datetime", False, False),
        ("kind", "enum", False, False),
        ("maybe", "number", False, False),
        ("on", "boolean", False, False),
        ("f_2nd_line", "string", False, False),
    ]
    values = {"address_city": "Faro", "when": "2026-05-13 09:30:00", "tags": ("a", "b"), "on": False}
    values |= {"address_zip": 0, "day": "2026-05-14 00:00:00", "kind": "home", "maybe": 0, "f_2nd_line": "x"}
    said = ["address_city", "when", "tags", "on", "day", "f_2nd_line"]
    arguments = made.arguments(values, said)
    assert arguments == {
        "address": {"city": "Faro"},
        "when": "2026-05-13T09:30:00",
        "tags": ["a", "b"],
        "on": False,
        "day": "2026-05-14",
        "maybe": None,
        "2nd-line": "x",
    }
    jsonschema.validate(arguments, schema["parameters"])


@pytest.mark.parametrize(
    "properties",
    [
        {"x": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}},
        {"x": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
        {"x": {"$ref": "#/$defs/none"}},
        {"x": {"$ref": "#/properties/x"}},
        {"x": 7},
        {
            "x": {
                "type": "object",
                "properties": {"y": {"type": "array", "items": {"type": "array"}}},
                "required": ["y"],
            }
        },
    ],
)
def test_what_no_plan_can_say_is_named(properties: dict[str, Any]) -> None:
    with pytest.raises(FunctionError) as error:
        functions([function(properties, "x")])
    assert error.value.param.startswith("tools[0].function.parameters.x")


def test_a_short_schema_that_means_very_many_parameters_is_refused() -> None:
    inner = {"type": "object", "properties": {f"p{i}": {"$ref": "#/$defs/A"} for i in range(12)}}
    with pytest.raises(FunctionError, match="more than 200 parameters"):
        functions([function({"x": {"$ref": "#/$defs/A"}}, **{"$defs": {"A": inner}})])
    words = {"enum": [f"word{i}" for i in range(1000)]}
    with pytest.raises(FunctionError, match="more than 2000 choices"):
        functions([function({f"p{i}": {"$ref": "#/$defs/W"} for i in range(3)}, **{"$defs": {"W": words}})])
    [made] = functions([function({f"p{i}": {"type": "string"} for i in range(200)})]).values()
    assert len(made.spec.parameters) == 200


def test_a_list_of_itself_is_left_out_or_named() -> None:
    itself = {"A": {"type": "array", "items": {"$ref": "#/$defs/A"}}}
    properties = {"x": {"$ref": "#/$defs/A"}, "y": {"type": "string"}}
    [made] = functions([function(properties, **{"$defs": itself})]).values()
    assert [parameter.name for parameter in made.spec.parameters] == ["y"]
    with pytest.raises(FunctionError, match="a plan cannot have such a value"):
        functions([function(properties, "x", **{"$defs": itself})])


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=5)
        | st.sampled_from(["object", "string", "array"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "properties", "items", "anyOf", "required", "enum", "$ref", "const", "format", "x"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
@settings(max_examples=150, deadline=None)
def test_any_schema_is_taken_or_refused(schema: Any) -> None:
    with suppress(FunctionError):
        catalogue(functions([function({"p": schema}, "p")]))


def test_of_many_functions_those_that_are_like_the_request_are_offered(tmp_path: Path) -> None:
    """By an index in memory: no other text than these is embedded, and nothing is left on disk."""
    deeds = "bake bread, water plants, play music, lock the door, feed the cat, wash the car, book a flight, "
    deeds += "order a pizza, translate a text, convert money, measure a distance, roll dice, mix paint"
    given = [
        {"name": deed.strip().replace(" ", "_"), "description": f"Can {deed.strip()}."} for deed in deeds.split(",")
    ]
    base = pipeline(tmp_path)
    base.config = base.config.model_copy(update={"selection": SelectionConfig()})
    tools = catalogue(functions(given))
    selection = base.with_tools(tools).select("get me a pizza with mushrooms, please")
    assert "order_a_pizza" in selection.tools and len(selection.tools) < len(given)
    assert not list(tmp_path.iterdir())
