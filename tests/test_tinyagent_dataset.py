"""The importer: entries of the published data set's form, made up here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.spec import Catalogue

pytest.importorskip("ijson")

from training.checks import violations
from training.examples import CorpusError
from training.tinyagent_dataset import TinyAgentDataset

PROMPT = (
    "1. get_phone_number(name: str) -> str\n2. send_sms(…)\n3. create_calendar_event(…)\n"
    "- Today's date is Wednesday 2026-05-13 09:30\n"
)


def entry(query: str, plan: str) -> dict[str, Any]:
    output = {"type": "plan", "raw_input": PROMPT, "raw_output": plan + "<END_OF_PLAN>", "parsed_output": []}
    return {"input": query, "output": [{"type": "join", "raw_output": "Finish"}, output]}


def imported(tmp_path: Path, tools: Catalogue, **entries: Any) -> TinyAgentDataset:
    path = tmp_path / "training_data.json"
    path.write_text(json.dumps(entries))
    return TinyAgentDataset(path, tools)


def test_lookups_and_computed_times_are_taken_back(tools: Catalogue, tmp_path: Path) -> None:
    plan = (
        '1. get_email_address("Sid")\n2. create_calendar_event("Lunch", "2026-05-15 12:00:00", '
        '"2026-05-15 13:00:00", "", ["$1"], "", None)\n3. join()'
    )
    [example] = imported(tmp_path, tools, a=entry("Plan Lunch with Sid Friday at noon", plan))
    assert example.plan == '1. create_calendar_event("Lunch", "Friday at noon", invitees=["Sid"])\n2. join()'
    assert example.offer.names == ("create_calendar_event", "send_sms")
    assert violations(example, tools) == []


def test_what_cannot_be_used_is_counted(tools: Catalogue, tmp_path: Path) -> None:
    event = '1. create_calendar_event("Run", "2026-06-01 07:00:00", "2026-06-01 08:00:00", "", [], "", None)\n2. join()'
    source = imported(
        tmp_path,
        tools,
        a=entry("Plan a run before work", event),
        b=entry("Fly", '1. fly("x")\n2. join()'),
        c=entry("Text", '1. send_sms(["x"'),
        d={"input": "x", "output": []},
        e=["x"],
    )
    assert list(source) == []
    assert source.left_out == {
        "a time that the request does not say": 1,
        "not a plan of our tools": 2,
        "no plan": 2,
    }


def test_another_file_is_refused(tools: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("not json")
    with pytest.raises(CorpusError, match=r"x\.json"):
        list(TinyAgentDataset(tmp_path / "x.json", tools))
    with pytest.raises(CorpusError, match="none"):
        list(TinyAgentDataset(tmp_path / "none.json", tools))
