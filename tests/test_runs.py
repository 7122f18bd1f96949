"""`tinyagent runs`: what the journal holds, as the command line shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from test_journal import PLAN, REQUEST, Scripted, effects, scripted

from pipeline import Config, Pipeline, approve_all, decline_all
from pipeline.config import SelectionConfig
from pipeline.errors import TinyAgentError
from pipeline.journal import JournalError
from pipeline.planners.base import PlanRequest
from pipeline.runs import runs


@pytest.fixture
def command(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What calls `tinyagent runs …` on the sample data."""
    monkeypatch.setenv("TINYAGENT_CONFIG", str(data_dir / "none.toml"))

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(runs, [*arguments, "--data-dir", str(data_dir)], standalone_mode=False)

    return call


def test_runs_are_listed_and_shown(command: Any, data_dir: Path, now: datetime) -> None:
    assert json.loads(command("list", "--json").stdout) == []
    run = scripted(data_dir).run(REQUEST, now, approve=approve_all).run
    declined = scripted(data_dir).run(REQUEST, now, approve=decline_all).run
    listed = json.loads(command("list", "--json").stdout)
    assert [(entry["run"], entry["status"]) for entry in listed] == [(declined, "in part"), (run, "done")]
    assert run in command("list").stdout

    shown = json.loads(command("show", run, "--json").stdout)
    assert shown["request"] == REQUEST
    [plan] = shown["plans"]
    assert [step["status"] for step in plan["steps"]] == ["done"] * 5
    assert plan["steps"][2]["arguments"]["message"] == "I'm late"
    text = command("show").stdout  # the last one
    assert declined in text and "nobody was there to approve it" in text and "join" not in text


def test_what_nobody_was_there_to_approve_is_asked_about_again(command: Any, data_dir: Path, now: datetime) -> None:
    scripted(data_dir).run(REQUEST, now, approve=decline_all)
    result = command("resume", "--yes", "--json")
    assert result.return_value == 0, result.output
    assert effects(data_dir) == {"send_sms": 1, "create_reminder": 1, "create_note": 1}


def test_a_run_is_gone_on_with(command: Any, data_dir: Path, now: datetime) -> None:
    """A step that failed is tried again, and what is done is not."""
    plan = PLAN.replace('"gate code", "7719"', '"gate code", "7719", folder="Shed"')
    (data_dir / "notes" / "Shed").write_text("a file where the folder should be")
    first = scripted(data_dir, plan).run(REQUEST, now, approve=approve_all)
    assert [o.status for o in first.outcomes] == ["done", "done", "done", "done", "failed"]
    (data_dir / "notes" / "Shed").unlink()
    result = command("resume", "--yes", "--json")
    assert result.return_value == 0, result.output
    assert [step["status"] for step in json.loads(result.stdout)["steps"]] == ["done"] * 5
    assert effects(data_dir) | {"create_note": 1} == {"send_sms": 1, "create_reminder": 1, "create_note": 1}
    assert (data_dir / "notes" / "Shed" / "gate code.md").exists()


def test_a_run_is_taken_back_once(command: Any, data_dir: Path, now: datetime) -> None:
    scripted(data_dir).run(REQUEST, now, approve=approve_all)
    result = command("undo", "--json")
    assert result.return_value == 0, result.output
    assert effects(data_dir) == {"send_sms": 0, "create_reminder": 0, "create_note": 0}
    assert len(json.loads(result.stdout)["changes"]) == 3
    assert json.loads(command("list", "--json").stdout)[0]["status"] == "taken back"
    for again in ("undo", "resume"):
        assert isinstance(command(again).exception, TinyAgentError)


def test_what_cannot_be_taken_back_is_said(command: Any, data_dir: Path, now: datetime) -> None:
    scripted(data_dir).run(REQUEST, now, approve=approve_all)
    [message] = (data_dir / "messages" / "outbox").glob("*.json")
    message.unlink()  # the bridge has taken it
    result = command("undo")
    assert result.return_value == 3
    assert "✗ 3." in result.stdout and "not there any more" in result.stdout
    assert effects(data_dir) == {"send_sms": 0, "create_reminder": 0, "create_note": 0}


def test_markup_in_a_request_is_text(command: Any, data_dir: Path, now: datetime) -> None:
    scripted(data_dir).run("make a note: use [/usr/bin] for [red]the path", now, approve=approve_all)
    shown = " ".join(command("list").stdout.split())
    assert "use [/usr/bin] for [red]the path" in shown


def test_a_run_can_be_taken_back_from_another_folder(
    command: Any, data_dir: Path, now: datetime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(data_dir.parent)
    scripted(Path(data_dir.name)).run(REQUEST, now, approve=approve_all)
    assert effects(data_dir)["create_note"] == 1
    monkeypatch.chdir(tmp_path)
    assert command("undo").return_value == 0
    assert effects(data_dir) == {"send_sms": 0, "create_reminder": 0, "create_note": 0}


class Again(Scripted):
    """A planner that writes another plan when its first one failed."""

    def __init__(self, *plans: str) -> None:
        super().__init__()
        self._plans = iter(plans)

    def stream(self, request: PlanRequest) -> Iterator[str]:
        yield next(self._plans)


def test_what_two_plans_did_is_taken_back_as_one(command: Any, data_dir: Path, now: datetime) -> None:
    """The second plan has the first one's note once more, which is not made twice."""
    note = '1. create_note("gate code", "7719")\n'
    plans = f'{note}2. open_note("Lst")\n3. join()', f'{note}2. open_note("Shopping list")\n3. join()'
    pipeline = Pipeline(Config(data_dir=data_dir, selection=SelectionConfig(route="all")), planner=Again(*plans))
    assert pipeline.run("note the gate code 7719, and show my list", now, approve=approve_all).answer.complete
    assert len(json.loads(command("show", "--json").stdout)["plans"]) == 2
    result = command("undo", "--json")
    assert result.return_value == 0, result.output
    assert [change["done"] for change in json.loads(result.stdout)["changes"]] == [True]
    assert json.loads(command("list", "--json").stdout)[0]["status"] == "taken back"


def test_a_run_whose_tool_is_gone_is_not_gone_on_with(command: Any, data_dir: Path, now: datetime) -> None:
    scripted(data_dir).run(REQUEST, now, approve=decline_all)
    result = command("resume", "--yes", "--disable", "messages")
    assert isinstance(result.exception, JournalError)
    assert "send_sms" in str(result.exception)
    assert effects(data_dir) == {"send_sms": 0, "create_reminder": 0, "create_note": 0}


@pytest.mark.parametrize("arguments", [("show", "nothing-like-this"), ("resume", "x"), ("undo", "x")])
def test_a_run_that_is_not_there_is_named(
    command: Any, data_dir: Path, now: datetime, arguments: tuple[str, ...]
) -> None:
    scripted(data_dir).run(REQUEST, now, approve=approve_all)
    result = command(*arguments)
    assert isinstance(result.exception, TinyAgentError)
    assert "'tinyagent runs list' shows them" in str(result.exception)
