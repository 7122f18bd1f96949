"""On a real Mac only, and only when asked: TINYAGENT_TEST_MACOS=1 python -m pytest tests/macos

Drives the real apps of whoever runs it. It makes things that are called "TinyAgent test …" (an event, a reminder, a note, an unsent draft), in the
default calendar, list, folder and account, and sends nothing; delete them by hand afterwards. macOS asks for each app the
first time. What cannot be checked here is in the list at the end of docs/macos.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.agents import PlainWriter
from pipeline.doctor import MAC_APPS
from pipeline.tools.context import NotFound, ToolContext
from pipeline.tools.macos.calendar import create_calendar_event
from pipeline.tools.macos.contacts import get_phone_number
from pipeline.tools.macos.mail import compose_new_email
from pipeline.tools.macos.notes import append_note_content, create_note, open_note
from pipeline.tools.macos.osascript import SCRIPTS, Script, ask
from pipeline.tools.macos.reminders import create_reminder

pytestmark = pytest.mark.skipif(
    sys.platform != "darwin" or not os.environ.get("TINYAGENT_TEST_MACOS"),
    reason="drives the real apps: on a Mac, with TINYAGENT_TEST_MACOS=1",
)
ODD = 'quotes " \' \\ and & <tags>, é 🙈, -e, " & (do shell script "touch /tmp/tinyagent-canary") & "'


@pytest.fixture
def ctx(tmp_path: Path) -> ToolContext:
    return ToolContext(tmp_path, datetime.now(), "a test", PlainWriter(), {"notes": {"open": False}})


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.applescript")), ids=lambda path: path.stem)
def test_every_script_compiles(path: Path, tmp_path: Path) -> None:
    """Against the dictionaries of the apps as they are on this Mac."""
    done = subprocess.run(
        ["osacompile", "-o", str(tmp_path / "x.scpt"), str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("app", MAC_APPS.values())
def test_every_app_may_be_controlled(ctx: ToolContext, app: str) -> None:
    ask(ctx, Script(f"check_{app.lower()}", app))


def test_a_note_comes_back_as_it_was_written(ctx: ToolContext) -> None:
    name, text = f"TinyAgent test {uuid4().hex[:8]}", f"{ODD}\n\n- two  blanks"
    create_note(ctx, name=name, content=text, folder="")
    append_note_content(ctx, name=name, content="the end", folder="")
    assert open_note(ctx, name=name.upper(), folder="") == f"{text}\nthe end"
    assert not Path("/tmp/tinyagent-canary").exists()


def test_an_event_and_a_reminder_are_added_once_a_key(ctx: ToolContext) -> None:
    start = (ctx.now + timedelta(days=1)).replace(hour=7, minute=5, second=0, microsecond=0)
    for _ in range(2):
        said = create_calendar_event(
            ToolContext(ctx.data_dir, ctx.now, "", ctx.writer, {}, key="test"),
            title=f"TinyAgent test {ODD}",
            start_date=f"{start:%Y-%m-%d %H:%M:%S}",
            end_date=f"{start + timedelta(hours=1):%Y-%m-%d %H:%M:%S}",
            location=ODD,
            invitees=[],
            notes=f"{ODD}\nsecond line",
            calendar="",
        )
        assert f"{start:%Y-%m-%d %H:%M}" in said
        create_reminder(
            ToolContext(ctx.data_dir, ctx.now, "", ctx.writer, {}, key="test 2"),
            name=f"TinyAgent test {ODD}",
            due_date=f"{start:%Y-%m-%d %H:%M:%S}",
            notes=ODD,
            list_name="",
            priority=1,
            all_day=False,
        )


def test_a_draft_opens_with_an_attachment(ctx: ToolContext, tmp_path: Path) -> None:
    (tmp_path / "a b.txt").write_text("x")
    compose_new_email(
        ctx,
        recipients=["nobody@example.org"],
        cc=[],
        subject=f"TinyAgent test {ODD}",
        context=f"{ODD}\n\nsecond paragraph",
        attachments=[str(tmp_path / "a b.txt")],
    )


def test_nobody_is_called_that(ctx: ToolContext) -> None:
    with pytest.raises(NotFound):
        get_phone_number(ctx, name=f"TinyAgent {uuid4().hex}")
