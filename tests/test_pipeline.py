"""The whole way with the real model: from words to files on disk."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import icalendar
import pytest

from pipeline import Config, Pipeline, approve_all, decline_all
from pipeline.batch import summary
from pipeline.config import LimitsConfig, PlannerConfig
from pipeline.elaborate import ElaborationError
from pipeline.events import Event, Finished, Planned, Selected, Wrote
from pipeline.pipeline import RequestError
from pipeline.planners.base import PlannerError, PlanRequest
from pipeline.selection import Selection
from pipeline.spec import Catalogue, load_catalogue

REQUEST = "Text Priya that I'm ten minutes late and put lunch with Omar on Friday at noon into my calendar"


@pytest.fixture
def pipeline(config: Config) -> Iterator[Pipeline]:
    made = Pipeline(config)
    yield made
    made.close()


@pytest.mark.model
def test_a_request_leaves_a_message_and_an_event(pipeline: Pipeline, data_dir: Path, now: datetime) -> None:
    events: list[Event] = []
    result = pipeline.run(REQUEST, now, approve=approve_all, on_event=events.append)

    assert result.answer.complete, result.answer.text
    [message] = [json.loads(p.read_text()) for p in (data_dir / "messages" / "outbox").iterdir()]
    assert "late" in message["text"]
    calendars = [icalendar.Calendar.from_ical(p.read_bytes()) for p in (data_dir / "calendars").glob("*.ics")]
    [event] = [e for c in calendars for e in c.walk("VEVENT") if "lunch" in str(e["SUMMARY"]).lower()]
    assert event["DTSTART"].dt == datetime(2026, 5, 15, 12)
    assert event["DTEND"].dt == datetime(2026, 5, 15, 13)

    kinds = [type(event) for event in events]
    assert kinds[0] is Selected
    assert kinds.index(Wrote) < kinds.index(Planned) < kinds.index(Finished)


@pytest.mark.model
def test_the_prompt_with_all_tools_is_counted_right(
    pipeline: Pipeline, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [REQUEST, "what's on my note Trip?", "água às 6"]
    counted = [pipeline.plan(request, now).full_prompt_tokens for request in requests]
    monkeypatch.setattr("pipeline.pipeline.COUNTED_ANEW", 0)  # as if it were a large catalogue
    assert [pipeline.plan(request, now).full_prompt_tokens for request in requests] == counted


@pytest.mark.model
def test_what_is_declined_is_not_done(pipeline: Pipeline, data_dir: Path, now: datetime) -> None:
    before = sorted(data_dir.rglob("*"))
    result = pipeline.run(REQUEST, now, approve=decline_all)
    assert not result.answer.complete
    assert sorted(path for path in data_dir.rglob("*") if ".tinyagent" not in path.parts) == before


@pytest.mark.model
def test_a_dry_run_changes_nothing(pipeline: Pipeline, data_dir: Path, now: datetime) -> None:
    before = sorted(data_dir.rglob("*"))
    result = pipeline.run(REQUEST, now, approve=approve_all, dry_run=True)
    assert result.outcomes
    assert sorted(data_dir.rglob("*")) == before


@pytest.mark.model
def test_a_new_yaml_file_is_a_tool_at_once(config: Config, tmp_path: Path, now: datetime) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "water_plant.yaml").write_text(
        """
name: water_plant
app: garden
description: Water a plant in the greenhouse.
summary: water a plant
effect: write
parameters:
  - {name: plant, type: string, description: Which plant.}
returns: {type: status}
examples: [Water the basil, give the tomatoes in the greenhouse some water]
implementation:
  command: [echo, "Watered the {plant}."]
"""
    )
    pipeline = Pipeline(config.model_copy(update={"tools": (tmp_path / "mine",)}))
    result = pipeline.run("Please water the orchid", now, approve=approve_all)
    [outcome] = result.outcomes
    assert outcome.step.tool == "water_plant"
    assert outcome.output is not None and "orchid" in outcome.output.lower()


@pytest.mark.model
@pytest.mark.parametrize(
    "request_",
    [
        "🎉🎉🎉",
        "text " + "very " * 700 + "late",
        "把这个发给我妈妈",
        'send "$1" and ${2} to \\"Omar\\"',
        "1. join()\n2. send_sms(",
    ],
)
def test_any_text_gives_a_plan_or_a_clear_error(pipeline: Pipeline, now: datetime, request_: str) -> None:
    try:
        planning = pipeline.plan(request_, now)
    except PlannerError as error:
        assert error.fix
    else:
        assert planning.plan.text().endswith("join()")


@pytest.mark.parametrize("request_", ["", "  \n ", "x" * 10_000])
def test_empty_and_endless_requests_are_refused(request_: str, tools: object) -> None:
    with pytest.raises(RequestError):
        Pipeline(Config()).plan(request_)


class Scripted:
    """A planner that writes what it is told, for what a small model does not do on demand."""

    def __init__(self, *plans: str) -> None:
        self.plans = list(plans)
        self.asked: list[PlanRequest] = []
        self.stopped = threading.Event()

    def prompt(self, request: PlanRequest) -> str:
        return request.request

    def count_tokens(self, text: str) -> int:
        return len(text)

    def stream(self, request: PlanRequest) -> Iterator[str]:
        self.asked.append(request)
        try:
            yield from self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]
        finally:
            self.stopped.set()

    def close(self) -> None: ...


def test_the_planner_is_loaded_while_tools_are_selected(
    data_dir: Path, now: datetime, tools: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = threading.Event()

    class Slow(Scripted):
        def load(self) -> None:
            loaded.set()

    class Waiting:
        labels = ()

        def select(self, request: str, *, earlier: object = ()) -> Selection:
            assert loaded.wait(20), "nothing is loaded before the tools are selected"
            return Selection.given(["open_note"], tools)

    planner = Slow('1. open_note("Shopping list")\n2. join()')
    monkeypatch.setattr("pipeline.planners.make_planner", lambda config: planner)
    planning = Pipeline(Config(data_dir=data_dir), selector=Waiting()).plan("what is on my shopping list note", now)  # type: ignore[arg-type]
    assert [step.tool for step in planning.plan.steps] == ["open_note"]


def test_what_goes_wrong_in_loading_is_told_where_the_planner_is_used(
    data_dir: Path, tmp_path: Path, now: datetime
) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"no model")
    config = Config(data_dir=data_dir, planner=PlannerConfig(model=str(tmp_path / "broken.gguf"), adapter=""))
    with pytest.raises(PlannerError, match=r"not a model that llama\.cpp can load"):
        Pipeline(config).plan("what is on my shopping list note", now)


def test_an_invalid_plan_is_planned_again_with_all_tools(data_dir: Path, now: datetime) -> None:
    planner = Scripted("1. no_such_tool()\n2. join()", '1. open_note("Shopping list")\n2. join()')
    result = Pipeline(Config(data_dir=data_dir), planner=planner).run("what is on my shopping list note", now)
    assert result.answer.complete, result.answer.text
    first, second = planner.asked
    assert len(first.tools) < len(second.tools) == 16
    assert "no_such_tool" in second.feedback


def test_a_second_attempt_hides_nothing_of_the_first(data_dir: Path, now: datetime) -> None:
    """What is measured is what the selector chose, and the time of both."""
    planner = Scripted("1. send_sms()\n2. join()", '1. open_note("Shopping list")\n2. join()')
    planning = Pipeline(Config(data_dir=data_dir), planner=planner).plan("text Priya", now)
    assert "open_note" in planning.selection.tools
    line = summary(planning)
    assert "open_note" not in line["tools"] and "send_sms" in line["tools"]
    assert line["route"] == "classifier" and line["retrieval_ms"] > 0


def test_a_mendable_error_gets_one_more_plan(data_dir: Path, now: datetime) -> None:
    planner = Scripted('1. open_note("Nonsense")\n2. join()', '1. open_note("Shopping list")\n2. join()')
    result = Pipeline(Config(data_dir=data_dir), planner=planner).run("what is on my shopping list note", now)
    assert result.answer.complete, result.answer.text


def test_another_plan_does_not_repeat_what_the_first_did(data_dir: Path, now: datetime) -> None:
    first = '1. create_reminder("Milk", due_date="tomorrow")\n2. open_note("Nonsense")\n3. join()'
    planner = Scripted(first, first.replace("Nonsense", "Shopping list"))
    result = Pipeline(Config(data_dir=data_dir), planner=planner).run(
        "remind me to buy milk tomorrow and open my note Nonsense", now, approve=approve_all
    )
    assert result.answer.complete, result.answer.text
    assert [outcome.status for outcome in result.outcomes] == ["done", "done"]
    [feedback] = [request.feedback for request in planner.asked if request.feedback]
    assert feedback == (
        'open_note("Nonsense", ""): nothing is called that; '
        'done already: create_reminder("Milk", "2026-05-14", "", "", 0, True)'
    )
    [reminders] = (data_dir / "reminders").glob("*.ics")
    assert reminders.read_text().count("SUMMARY:Milk") == 1


def test_another_plan_is_offered_no_other_effects(data_dir: Path, now: datetime) -> None:
    planner = Scripted('1. open_note("Nonsense")\n2. join()', '1. open_note("Shopping list")\n2. join()')
    Pipeline(Config(data_dir=data_dir), planner=planner).run("what is on my shopping list note", now)
    first, second = planner.asked
    effects = {name for name, tool in second.tools.items() if tool.effect in ("write", "send")}
    assert effects <= set(first.tools)
    assert len(second.tools) > len(first.tools)


def test_a_plan_that_turns_invalid_in_its_last_line_has_no_effect(data_dir: Path, now: datetime) -> None:
    before = sorted(data_dir.rglob("*"))
    bad = '1. send_sms(["Priya"], "Hi")\n2. create_reminder("Milk")\n3. no_such_tool("x")\n4. join()'
    with pytest.raises(ElaborationError, match="no_such_tool"):
        Pipeline(Config(data_dir=data_dir), planner=Scripted(bad)).run("text Priya hi", now, approve=approve_all)
    assert sorted(data_dir.rglob("*")) == before


class Broken(Scripted):
    """A planner that begins well and then goes wrong, in one of three ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def stream(self, request: PlanRequest) -> Iterator[str]:
        yield '1. send_sms(["Priya"], "Hi")\n'
        if self.how == "raises":
            raise PlannerError("the model is gone")
        while self.how == "floods":
            yield "# and on and on\n"
        self.stopped.wait(5)


@pytest.mark.parametrize(
    ("how", "said"), [("raises", "is gone"), ("stalls", "did not finish within 0.5 s"), ("floods", "come to an end")]
)
def test_a_planner_that_goes_wrong_ends_the_run_with_an_error_and_no_effect(
    how: str, said: str, data_dir: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.pipeline.GRACE_S", 0.1)
    before = sorted(data_dir.rglob("*"))
    limits = LimitsConfig(plan_seconds=0.5 if how == "stalls" else 60)
    planner = Broken(how)
    with pytest.raises(PlannerError, match=said):
        Pipeline(Config(data_dir=data_dir, limits=limits), planner=planner).run(
            "text Priya hi", now, approve=approve_all
        )
    planner.stopped.set()
    assert sorted(data_dir.rglob("*")) == before


def test_lookups_start_while_the_plan_is_being_written(data_dir: Path, now: datetime) -> None:
    """The planner's second step is written only when the first step's lookup has run."""
    looked_up = threading.Event()

    class Waiting(Scripted):
        def stream(self, request: PlanRequest) -> Iterator[str]:
            yield '1. send_sms(["Priya"], "Hi")\n'
            assert looked_up.wait(10), "the lookup did not start"
            yield "2. join()"

    config = Config(data_dir=data_dir)
    pipeline = Pipeline(config, planner=Waiting())
    import pipeline.tools.desktop.contacts as contacts

    original = contacts.get_phone_number

    def watched(*args: object, **kwargs: object) -> object:
        looked_up.set()
        return original(*args, **kwargs)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contacts, "get_phone_number", watched)
        result = pipeline.run("text Priya hi", now, approve=approve_all)
    assert result.answer.complete, result.answer.text


def test_cancelling_stops_the_planner(data_dir: Path, now: datetime) -> None:
    planner = Scripted("Thought: " + "on and on " * 100_000)

    async def cancelled_soon() -> None:
        task = asyncio.create_task(Pipeline(Config(data_dir=data_dir), planner=planner).arun("text Omar hello", now))
        while not planner.asked:  # noqa: ASYNC110 — the planner runs in a thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert planner.stopped.is_set()

    asyncio.run(cancelled_soon())


def test_switched_off_apps_are_not_offered(data_dir: Path) -> None:
    config = Config(data_dir=data_dir, disabled_apps=("messages", "mail"))
    assert not {"send_sms", "compose_new_email"} & set(Pipeline(config).select("text Omar that I am late").names)


def test_the_builtin_tools_have_an_implementation(tools: object) -> None:
    import importlib

    from pipeline.config import BUILTIN_TOOLS
    from pipeline.spec import PythonTool

    for spec in load_catalogue([BUILTIN_TOOLS]).values():
        assert isinstance(spec.implementation, PythonTool)
        module, function = spec.implementation.python.format(backend="desktop").split(":")
        assert callable(getattr(importlib.import_module(module), function))
