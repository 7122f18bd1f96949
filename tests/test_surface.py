"""Surface plans: what the planner learns to write, held to the full plan of every seed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import pytest

from pipeline.config import builtin_tools
from pipeline.plan import Plan, Ref, Template, Value, escape_dollars, parse_plan, parse_text, references
from pipeline.prompt import compact
from pipeline.spec import Catalogue, ToolSpec, Type
from training.checks import elaborated
from training.seeds import Seed, load_seeds
from training.surface import Call, to_surface

TOOLS = builtin_tools()
SEEDS = load_seeds()


def surface(*calls: Call) -> list[str]:
    return [step.text() for step in to_surface(calls, TOOLS).steps]


# --- By example ---


def test_a_lookup_goes_and_its_name_stands_where_its_result_did() -> None:
    assert surface(
        ("get_phone_number", {"name": "Priya Nair"}),
        ("get_phone_number", {"name": "Rui"}),
        ("send_sms", {"recipients": ["$1", "$2", "555 0134"], "message": "Late"}),
    ) == ['send_sms(["Priya Nair", "Rui", "555 0134"], "Late")']


def test_a_lookup_that_is_asked_for_or_read_stays() -> None:
    assert surface(("open_and_get_file_path", {"file_name": "a.pdf"})) == ['open_and_get_file_path("a.pdf")']
    assert surface(
        ("get_phone_number", {"name": "Ana"}),
        ("create_note", {"name": "Ana", "content": "$1"}),
        ("send_sms", {"recipients": ["$1"], "message": "Hi"}),
    ) == ['get_phone_number("Ana")', 'create_note("Ana", "$1")', 'send_sms(["Ana"], "Hi")']


def test_a_lookup_of_a_result_stays() -> None:
    assert surface(
        ("open_note", {"name": "Latest report"}),
        ("open_and_get_file_path", {"file_name": "$1"}),
        ("summarize_pdf", {"pdf_path": "$2"}),
    ) == ['open_note("Latest report")', 'open_and_get_file_path("$1")', 'summarize_pdf("$2")']


def test_references_follow_the_steps_that_are_left() -> None:
    assert surface(
        ("open_and_get_file_path", {"file_name": "a.pdf"}),
        ("summarize_pdf", {"pdf_path": "$1"}),
        ("get_email_address", {"name": "Lena"}),
        ("compose_new_email", {"recipients": ["$3"], "subject": "Sum", "context": "$2", "attachments": ["$1"]}),
    ) == [
        'summarize_pdf("a.pdf")',
        'compose_new_email(["Lena"], "Sum", context="$1", attachments=["a.pdf"])',
    ]


def test_defaults_and_what_a_date_decides_are_left_out() -> None:
    assert surface(
        ("maps_show_directions", {"start_location": "", "end_location": "York", "transport": "d"}),
        ("create_reminder", {"name": "Pack", "due_date": "tomorrow", "priority": 0, "all_day": True}),
        ("reply_to_email", {}),
    ) == ['maps_show_directions("York")', 'create_reminder("Pack", due_date="tomorrow")', "reply_to_email()"]


def test_the_adapter_was_trained_on_this_form() -> None:
    """A change here wants a new adapter."""
    calls: list[Call] = [
        ("get_email_address", {"name": "Lena"}),
        ("get_zoom_meeting_link", {"topic": "Budget", "start_time": "fri at 3", "meeting_invitees": ["$1"]}),
        (
            "create_calendar_event",
            {"title": "Budget", "start_date": "fri at 3", "invitees": ["$1"], "notes": "$2"},
        ),
    ]
    plan = to_surface(calls, TOOLS)
    prompt = compact("zoom w/ Lena fri at 3, $2 budget", TOOLS.only(s.tool for s in plan.steps), known=TOOLS)
    assert prompt + plan.text() == (
        "Tools:\n"
        "create_calendar_event(title, start_date, end_date=, location=, invitees=, notes=, calendar=)\n"
        "get_zoom_meeting_link(topic, start_time, duration=, meeting_invitees=)\n"
        "Request: zoom w/ Lena fri at 3, \\$2 budget\n"
        "Plan:\n"
        '1. get_zoom_meeting_link("Budget", "fri at 3", meeting_invitees=["Lena"])\n'
        '2. create_calendar_event("Budget", "fri at 3", invitees=["Lena"], notes="$1")\n'
        "3. join()"
    )


# --- By every seed ---


def filled(seed: Seed) -> list[Call]:
    """Return a seed's calls with its own values in its slots."""

    def said(match: re.Match[str]) -> str:
        return json.dumps(escape_dollars(seed.slots[match[1]].value), ensure_ascii=False)[1:-1]

    return [
        (tool, json.loads(re.sub(r"\{(\w+)\}", said, json.dumps(args, ensure_ascii=False))))
        for tool, args in seed.calls
    ]


def value_of(given: Any, step: int) -> Value:
    if isinstance(given, list):
        return tuple(value_of(item, step) for item in given)
    return parse_text(given, step) if isinstance(given, str) else given


def without_numbers(value: Value) -> Value:
    """Return a value with its references alike and its list items in order of their text."""
    match value:
        case Ref():
            return Ref(0)
        case Template(parts):
            return Template(tuple(Ref(0) if isinstance(part, Ref) else part for part in parts))
        case tuple():
            return tuple(sorted((without_numbers(item) for item in value), key=repr))
        case _:
            return value


def graph(calls: Sequence[tuple[ToolSpec, Mapping[str, Value]]]) -> nx.DiGraph[int]:
    """Return a full plan as a graph: a node a call, an edge a reference.

    A node's label is its tool and its arguments but times; an edge's is the parameters that the result goes into.
    """
    made: nx.DiGraph[int] = nx.DiGraph()
    for number, (tool, args) in enumerate(calls, 1):
        decided = {p.all_day for p in tool.parameters}
        timed = {Type.DATETIME, Type.DURATION}
        shown = [p for p in tool.parameters if p.type not in timed and p.name not in decided]
        made.add_node(number, label=(tool.name, [(p.name, without_numbers(args[p.name])) for p in shown]))
        for parameter in tool.parameters:
            for ref in references(args[parameter.name]):
                into = made.edges.get((ref.step, number), {}).get("into", frozenset[str]())
                made.add_edge(ref.step, number, into=into | {parameter.name})
    return made


def graph_of_calls(calls: Sequence[Call], tools: Catalogue) -> nx.DiGraph[int]:
    full = []
    for number, (name, args) in enumerate(calls, 1):
        defaults: dict[str, Any] = {
            p.name: [] if p.list else "" if p.default is None else p.default for p in tools[name].parameters
        }
        given = {key: value for key, value in args.items() if value != ""}
        full.append((tools[name], {key: value_of(value, number) for key, value in (defaults | given).items()}))
    return graph(full)


def graph_of_plan(plan: Plan, tools: Catalogue) -> nx.DiGraph[int]:
    full = []
    for step in plan.steps:
        names = [p.name for p in tools[step.tool].parameters]
        full.append((tools[step.tool], dict(zip(names, step.args, strict=True))))
    return graph(full)


def alike(one: nx.DiGraph[int], other: nx.DiGraph[int]) -> bool:
    matcher = nx.isomorphism.DiGraphMatcher(
        one,
        other,
        node_match=lambda a, b: a["label"] == b["label"],
        edge_match=lambda a, b: a["into"] == b["into"],
    )
    return bool(matcher.is_isomorphic())


@pytest.mark.parametrize("pen", sorted({seed.pen for seed in SEEDS}))
def test_elaboration_gives_the_plan_of_every_seed_back(pen: str) -> None:
    different = {}
    for seed in SEEDS:
        if seed.pen == pen:
            tools = Catalogue([*TOOLS.values(), *seed.tools])
            calls = filled(seed)
            plan = to_surface(calls, tools)
            assert parse_plan(plan.text()) == plan
            full = elaborated(plan, tools)
            if not alike(graph_of_plan(full, tools), graph_of_calls(calls, tools)):
                different[seed.id] = (calls, full.text())
    assert not different


def test_graphs_that_differ_are_told_apart() -> None:
    two = [("get_phone_number", {"name": "Ana"}), ("get_phone_number", {"name": "Rui"})]
    to_ana: Call = ("send_sms", {"recipients": ["$1"], "message": "Hi"})
    to_rui: Call = ("send_sms", {"recipients": ["$2"], "message": "Hi"})
    said: Call = ("send_sms", {"recipients": ["$1"], "message": "$1"})
    plan = graph_of_calls([*two, to_ana], TOOLS)
    assert alike(plan, graph_of_calls([*reversed(two), to_rui], TOOLS))
    assert not alike(plan, graph_of_calls([*two, to_rui], TOOLS))
    assert not alike(plan, graph_of_calls([*two, said], TOOLS))
    assert not alike(plan, graph_of_calls([*two], TOOLS))
