"""The macOS tools without a Mac: what reaches osascript, what its answers and errors become, and that no text is ever a program.

`osascript_standin` stands in for osascript; what only a Mac can show is in `tests/macos` and in docs/macos.md.
"""

from __future__ import annotations

import ast
import os
import random
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from applescript_lint import code, handlers, lint
from osascript_standin import StandIn

from pipeline.doctor import MAC_APPS
from pipeline.errors import ConfigError
from pipeline.tools.arguments import one_line, paragraphs
from pipeline.tools.context import (
    Ambiguous,
    InDoubt,
    InvalidArgument,
    Monitor,
    NotFound,
    ToolContext,
    ToolError,
    Unavailable,
    Unreachable,
    Written,
)
from pipeline.tools.desktop.sample import create_sample
from pipeline.tools.macos import markup, osascript
from pipeline.tools.macos.calendar import create_calendar_event
from pipeline.tools.macos.contacts import get_email_address, get_phone_number
from pipeline.tools.macos.files import open_and_get_file_path
from pipeline.tools.macos.mail import compose_new_email, forward_email, reply_to_email
from pipeline.tools.macos.maps import maps_open_location, maps_show_directions
from pipeline.tools.macos.messages import send_sms
from pipeline.tools.macos.notes import append_note_content, create_note, open_note
from pipeline.tools.macos.osascript import SCRIPTS, Script, ask
from pipeline.tools.macos.pdf import summarize_pdf
from pipeline.tools.macos.reminders import create_reminder

NOW = datetime(2024, 6, 3, 9, 30)  # a Monday
PACKAGE = Path(osascript.__file__).parent
ALL_SCRIPTS = sorted(SCRIPTS.glob("*.applescript"))

EVENT: dict[str, Any] = {
    "title": "Kick-off",
    "start_date": "2024-06-06 10:00:00",
    "end_date": "2024-06-06 11:30:00",
    "location": "",
    "invitees": [],
    "notes": "",
    "calendar": "",
}
REMINDER: dict[str, Any] = {
    "name": "Pay the rent",
    "due_date": "2024-06-05 17:00:00",
    "notes": "",
    "list_name": "",
    "priority": 0,
    "all_day": False,
}
MAIL: dict[str, Any] = {
    "recipients": ["priya@example.com"],
    "cc": [],
    "subject": "Thursday",
    "context": "Hello",
    "attachments": [],
}


class ContextWriter:
    """Stands in for the writing models: writes down what it is given to use."""

    def compose(
        self, *, request: str, context: str, recipients: list[str], thread: str = "", monitor: Monitor | None = None
    ) -> Written:
        return Written(context)

    def summarize(self, pages: Iterable[str], *, request: str = "", monitor: Monitor | None = None) -> Written:
        return Written("In short: " + " ".join(pages).splitlines()[0])


def rows(*fields: tuple[str, ...], word: str = "done") -> str:
    """An answer as scripts give it."""
    marks = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
    return "\n".join([word, *("\t".join(field.translate(marks) for field in row) for row in fields)])


CALENDARS = rows(("1", "Holidays", "false", ""), ("2", "Home", "true", ""), ("3", "Work", "true", "the office's"))
LISTS = rows(("r1", "Reminders", "iCloud", "yes"), ("r2", "Errands", "iCloud", "no"))
NOTES = rows(
    ("folder", "f1", "Notes", "acc", "iCloud", "yes"),
    ("folder", "f2", "Work", "acc", "iCloud", "no"),
    ("folder", "f3", "Minutes", "f2", "iCloud", "no"),
    ("folder", "f9", "Recently Deleted", "acc", "iCloud", "no"),
    ("note", "n1", "Shopping list", "f1", "", ""),
    ("note", "n2", "Standup", "f2", "", ""),
    ("note", "n3", "Standup", "f3", "", ""),
    ("note", "n9", "Old list", "f9", "", ""),
)
SELECTED = (
    "done\n77\nFrom: Priya Nair <priya@example.com>\nSubject: Kick-off\nMessage-ID: <a@b>\n\nHi Alex,\nThursday?\n"
)


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A Mac whose apps hold a little of everything, and a home without files."""
    stand_in = StandIn(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(stand_in.folder), prepend=os.pathsep)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for script, answer in {
        "calendars": CALENDARS,
        "create_calendar_event": "done\n0",
        "reminder_lists": LISTS,
        "create_reminder": "done",
        "notes": NOTES,
        "create_note": "done",
        "append_note_content": "done",
        "open_note": "done\nShopping list\noat milk",
        "selected_email": SELECTED,
        "compose_new_email": "done",
        "reply_to_email": "done",
        "open_url": "done",
        "open_file": "done",
    }.items():
        stand_in.says(script, answer)
    return stand_in


@pytest.fixture
def ctx(tmp_path: Path) -> ToolContext:
    create_sample(tmp_path / "data", NOW)
    return ToolContext(tmp_path / "data", NOW, "answer politely", ContextWriter())


def settings(ctx: ToolContext, **apps: dict[str, Any]) -> ToolContext:
    return replace(ctx, settings=apps)


def given(mac: StandIn) -> list[str]:
    """What the last script was given."""
    return mac.calls()[-1][1:]


# ── what reaches the scripts ─────────────────────────────────────────────────────────────────────────


def test_an_event_goes_as_numbers_texts_and_counted_lists(mac: StandIn, ctx: ToolContext) -> None:
    mac.says("create_calendar_event", "done\n2")
    event = EVENT | {"location": "Pier 4", "notes": "Bring it", "calendar": "WORK", "invitees": ["a@x.org", "b@x.org"]}
    assert create_calendar_event(ctx, **event) == "Added 'Kick-off' to Work, Thursday, 2024-06-06 10:00 to 11:30."
    listing, creating = mac.calls()
    assert listing == [str(SCRIPTS / "calendars.applescript")]
    assert creating == [
        str(SCRIPTS / "create_calendar_event.applescript"),
        *("3", "Work", "2024", "6", "6", "10", "0", "0", "2024", "6", "6", "11", "30", "0", "no"),
        *("Kick-off", "Pier 4", "Bring it", "no", "2", "a@x.org", "b@x.org"),
    ]


def test_calendars_are_chosen_made_and_told_apart(mac: StandIn, ctx: ToolContext) -> None:
    create_calendar_event(ctx, **EVENT)
    assert given(mac)[:2] == ["2", "Home"]  # the first that takes events
    create_calendar_event(settings(ctx, calendar={"default": "work"}), **EVENT)
    assert given(mac)[:2] == ["3", "Work"]
    create_calendar_event(ctx, **EVENT | {"calendar": "Climbing"})
    assert given(mac)[:2] == ["0", "Climbing"]  # made when missing, as on the desktop
    with pytest.raises(InvalidArgument, match="the calendar 'holidays' takes no events"):
        create_calendar_event(ctx, **EVENT | {"calendar": "holidays"})
    mac.says("calendars", rows(("1", "Work", "true", "mine"), ("2", "work", "true", "")))
    with pytest.raises(Ambiguous) as caught:
        create_calendar_event(ctx, **EVENT | {"calendar": "Work"})
    assert caught.value.candidates == ["Work (mine)", "work (calendar 2)"]
    create_calendar_event(ctx, **EVENT | {"calendar": "work (calendar 2)"})
    assert given(mac)[:2] == ["2", "work"]
    mac.says("calendars", rows(("1", "Holidays", "false", "")))
    with pytest.raises(Unavailable, match="no calendar that takes events"):
        create_calendar_event(ctx, **EVENT)


def test_whole_days_and_invitees_that_are_not_taken(mac: StandIn, ctx: ToolContext) -> None:
    days = {"start_date": "2024-06-07 00:00:00", "end_date": "2024-06-08 23:59:59", "invitees": ["a@x.org", "b@x.org"]}
    mac.says("create_calendar_event", "done\n1")
    said = create_calendar_event(ctx, **EVENT | days)
    assert said == (
        "Added 'Kick-off' to Home, 2024-06-07 to 2024-06-08. It took 1 of 2 invitees: invite the others in Calendar."
    )
    assert given(mac)[2:15] == ["2024", "6", "7", "0", "0", "0", "2024", "6", "8", "23", "59", "59", "yes"]


def test_a_call_made_again_after_a_crash_looks_first(mac: StandIn, ctx: ToolContext) -> None:
    keyed = replace(ctx, key="run-1:2")
    for looks in ("no", "yes", "yes"):
        create_calendar_event(keyed, **EVENT)
        assert given(mac)[18] == looks
    create_reminder(replace(ctx, key="run-1:3"), **REMINDER)
    assert given(mac)[12] == "no"
    create_reminder(replace(ctx, key="run-1:3"), **REMINDER)
    assert given(mac)[12] == "yes"
    create_reminder(ctx, **REMINDER)
    assert given(mac)[12] == "no"


def test_a_reminder_goes_to_its_list(mac: StandIn, ctx: ToolContext) -> None:
    said = create_reminder(ctx, **REMINDER | {"list_name": "errands", "priority": 1, "notes": "1,150"})
    assert said == "Added 'Pay the rent' to Errands, due Wednesday, 2024-06-05 17:00."
    assert given(mac) == ["r2", "Errands", "2024", "6", "5", "17", "0", "0", "no", "Pay the rent", "1,150", "1", "no"]
    create_reminder(ctx, **REMINDER | {"due_date": "2024-06-05", "all_day": True})
    assert given(mac)[:9] == ["r1", "Reminders", "2024", "6", "5", "0", "0", "0", "yes"]
    create_reminder(ctx, **REMINDER | {"list_name": "Bills"})
    assert given(mac)[:2] == ["", "Bills"]
    mac.says("reminder_lists", rows(("a", "Bills", "iCloud", "yes"), ("b", "Bills", "Work", "no")))
    with pytest.raises(Ambiguous) as caught:
        create_reminder(ctx, **REMINDER | {"list_name": "bills"})
    assert caught.value.candidates == ["iCloud/Bills", "Work/Bills"]
    create_reminder(ctx, **REMINDER | {"list_name": "work/bills"})
    assert given(mac)[0] == "b"


def test_notes_are_found_by_the_desktops_rules(mac: StandIn, ctx: ToolContext) -> None:
    assert open_note(ctx, name="SHOPPING list", folder="") == "oat milk"
    assert given(mac) == ["n1", "yes"]
    open_note(settings(ctx, notes={"open": False}), name="Standup", folder="Minutes")
    assert given(mac) == ["n3", "no"]
    with pytest.raises(Ambiguous) as caught:
        append_note_content(ctx, name="Standup", content="x", folder="")
    assert caught.value.candidates == ["Work/Standup", "Work/Minutes/Standup"]
    append_note_content(ctx, name="Work/Minutes/Standup", content="a < b\n\n  in", folder="")
    assert given(mac) == ["n3", "<div>a &lt; b</div><div><br></div><div>&nbsp;&nbsp;in</div>"]
    with pytest.raises(NotFound, match="no note 'Old list'"):  # deleted
        open_note(ctx, name="Old list", folder="")
    with pytest.raises(NotFound, match="no folder 'Wrok'") as missing:
        append_note_content(ctx, name="Standup", content="x", folder="Wrok")
    assert missing.value.fix == "did you mean Work or Work/Minutes?"
    assert open_note(settings(ctx, notes={"deleted": []}), name="Old list", folder="") is not None


def test_a_note_is_made_where_it_belongs(mac: StandIn, ctx: ToolContext) -> None:
    assert create_note(ctx, name="Ferry ideas", content="- night map", folder="work") == (
        "Created the note 'Work/Ferry ideas'."
    )
    assert given(mac) == ["f2", "Work", "<div><h1>Ferry ideas</h1></div><div>- night map</div>"]
    assert create_note(ctx, name="Ferry", content="", folder="") == "Created the note 'Ferry'."
    assert given(mac) == ["f1", "", "<div><h1>Ferry</h1></div>"]
    create_note(ctx, name="Ferry", content="x", folder="Trips")
    assert given(mac)[:2] == ["", "Trips"]
    with pytest.raises(InvalidArgument, match="there is a note Shopping list already"):
        create_note(ctx, name="shopping LIST", content="gone?", folder="")
    create_note(ctx, name="Shopping list", content="another folder", folder="Minutes")
    assert given(mac)[0] == "f3"


def test_folders_of_one_name_are_told_apart_by_account(mac: StandIn, ctx: ToolContext) -> None:
    folders = [("folder", f"f{n}", "Work", f"a{n}", account, "no") for n, account in enumerate(("iCloud", "Exchange"))]
    mac.says("notes", rows(*folders, ("note", "n", "Plan", "f1", "", "")))
    with pytest.raises(Ambiguous) as caught:
        create_note(ctx, name="x", content="y", folder="work")
    assert caught.value.candidates == ["iCloud/Work", "Exchange/Work"]
    create_note(ctx, name="x", content="y", folder="exchange/work")
    assert given(mac)[0] == "f1"
    assert append_note_content(ctx, name="Plan", content="z", folder="") == "Appended to the note 'Exchange/Work/Plan'."


@pytest.mark.parametrize(("word", "said"), [("locked", "is locked"), ("attachments", "has attachments")])
def test_a_note_that_must_not_be_touched(mac: StandIn, ctx: ToolContext, word: str, said: str) -> None:
    mac.says("append_note_content", word)
    with pytest.raises(Unavailable, match=said):
        append_note_content(ctx, name="Standup", content="x", folder="Minutes")


def test_a_draft_is_opened_with_all_that_belongs_to_it(mac: StandIn, ctx: ToolContext) -> None:
    mine = settings(ctx, mail={"from": "Alex <alex@work.example>"})
    said = compose_new_email(mine, **MAIL | {"cc": ["lena@x.net", "priya@example.com"], "attachments": ["budget.pdf"]})
    assert said == "Drafted 'Thursday' to priya@example.com, with budget.pdf."
    budget = str(ctx.data_dir / "files" / "Work" / "budget.pdf")
    assert given(mac) == [
        *("alex@work.example", "Thursday", "Hello", "1", "priya@example.com", "1", "lena@x.net", "1", budget)
    ]
    with pytest.raises(ConfigError, match="'alex' is none"):
        compose_new_email(settings(ctx, mail={"from": "alex"}), **MAIL)


def test_nothing_is_opened_where_an_attachment_or_address_is_wrong(mac: StandIn, ctx: ToolContext) -> None:
    for wrong, kind in (
        ({"attachments": ["none.pdf"]}, NotFound),
        ({"recipients": ["Priya"]}, InvalidArgument),
        ({"recipients": []}, InvalidArgument),
        ({"cc": ["x"]}, InvalidArgument),
    ):
        with pytest.raises(kind):
            compose_new_email(ctx, **MAIL | wrong)
    assert mac.calls() == []


def test_a_reply_is_to_the_message_that_was_read(mac: StandIn, ctx: ToolContext) -> None:
    said = reply_to_email(ctx, cc=["lena@x.net"], context="Fine", attachments=[])
    assert said == "Drafted 'Re: Kick-off' to priya@example.com."
    number, text, *rest = given(mac)
    assert (number, rest) == ("77", ["1", "lena@x.net", "0"])
    assert text.startswith("Fine\n\nPriya Nair <priya@example.com> wrote:")
    assert text.endswith("Priya Nair <priya@example.com> wrote:\n> Hi Alex,\n> Thursday?")
    mac.says("reply_to_email", "changed")
    with pytest.raises(Unavailable, match="another message was selected"):
        reply_to_email(ctx, cc=[], context="", attachments=[])


def test_a_forwarded_message_goes_along_whole(mac: StandIn, ctx: ToolContext) -> None:
    said = forward_email(ctx, recipients=["omar@example.com"], cc=[], context="", attachments=["lease"])
    assert said == "Drafted 'Fwd: Kick-off' to omar@example.com, with lease.pdf."
    sent = given(mac)
    assert sent[:2] == ["", "Fwd: Kick-off"]
    assert sent[3:7] == ["1", "omar@example.com", "0", "2"]
    assert Path(sent[7]).read_text() == SELECTED.partition("77\n")[2]
    assert Path(sent[8]).name == "lease.pdf"


def test_one_message_must_be_selected(mac: StandIn, ctx: ToolContext) -> None:
    mac.says("selected_email", "none")
    with pytest.raises(Unavailable, match="no message is selected"):
        reply_to_email(ctx, cc=[], context="", attachments=[])
    mac.says("selected_email", rows(("Rent, from Greta",), ("Hut, from\tLena",), word="ambiguous"))
    with pytest.raises(Ambiguous) as caught:
        forward_email(ctx, recipients=["a@x.org"], cc=[], context="", attachments=[])
    assert caught.value.candidates == ["Rent, from Greta", "Hut, from Lena"]


def test_messages_are_sent_one_by_one(mac: StandIn, ctx: ToolContext) -> None:
    both = {"recipients": ["555-0110", "+34 600 112 233"], "message": "Late 🙈"}
    sent, other = ("sent", "5550110", "0", ""), ("sent", "+34600112233", "0", "")
    mac.says("send_sms", rows(sent, other))
    assert send_sms(ctx, **both) == "Sent a message to 5550110 and +34600112233."
    assert given(mac) == ["auto", "Late 🙈", "2", "5550110", "+34600112233"]
    send_sms(settings(ctx, messages={"service": "iMessage"}), **both)
    assert given(mac)[0] == "iMessage"
    mac.says("send_sms", rows(sent, ("failed", "+34600112233", "-1728", "no such participant")))
    with pytest.raises(InDoubt, match=r"went to 5550110, and perhaps not to \+34600112233.*no such participant"):
        send_sms(ctx, **both)
    failed = [("failed", number, "-1728", "no such participant") for number in ("5550110", "+34600112233")]
    mac.says("send_sms", rows(*failed))
    with pytest.raises(NotFound, match="no such participant"):
        send_sms(ctx, **both)
    mac.says("send_sms", rows(("failed", "5550110", "-1712", "timed out")))
    with pytest.raises(InDoubt, match="nobody for certain"):
        send_sms(ctx, recipients=["5550110"], message="x")
    mac.says("send_sms", "no account")
    with pytest.raises(Unavailable, match="no account that sends"):
        send_sms(ctx, **both)
    with pytest.raises(ConfigError, match="pigeon"):
        send_sms(settings(ctx, messages={"service": "pigeon"}), **both)


def test_maps_are_opened_in_the_app(mac: StandIn, ctx: ToolContext) -> None:
    assert maps_open_location(ctx, location="Café & Bar #3") == "https://maps.apple.com/?q=Caf%C3%A9+%26+Bar+%233"
    assert given(mac) == ["maps://?q=Caf%C3%A9+%26+Bar+%233"]
    google = settings(ctx, maps={"provider": "google"})
    way = maps_show_directions(google, start_location="", end_location="Pier 4", transport="r")
    assert given(mac) == [way]
    assert way.startswith("https://www.google.com/maps/dir/?")
    maps_open_location(settings(ctx, maps={"open": False}), location="Pier 4")
    assert mac.calls() == []


def test_what_would_run_is_shown_and_not_opened(mac: StandIn, ctx: ToolContext) -> None:
    files = ctx.data_dir / "files"
    for name, how in (("a.txt", "open"), ("b.command", "reveal"), ("c.PKG", "reveal"), ("d", "reveal")):
        (files / name).write_text("x")
        (files / name).chmod(0o755 if name == "d" else 0o644)
        path = open_and_get_file_path(ctx, file_name=str(files / name))
        assert given(mac) == [path, how]
    open_and_get_file_path(settings(ctx, files={"open": False}), file_name="budget")
    assert mac.calls() == []


def test_files_are_searched_where_a_macs_user_keeps_them(mac: StandIn, ctx: ToolContext, tmp_path: Path) -> None:
    documents = tmp_path / "home" / "Documents"
    documents.mkdir(parents=True)
    (documents / "Thesis.odt").write_text("x")
    assert open_and_get_file_path(ctx, file_name="thesis") == str(documents.resolve() / "Thesis.odt")
    with pytest.raises(NotFound):
        open_and_get_file_path(settings(ctx, files={"folders": []}), file_name="thesis")
    assert summarize_pdf(ctx, pdf_path="lease") == "In short: Lease agreement"


# ── contacts ─────────────────────────────────────────────────────────────────────────────────────────


def card(identity: str, first: str, last: str = "", nickname: str = "", company: str = "", job: str = "") -> Any:
    return ("person", identity, f"{first} {last}".strip(), first, last, nickname, company, job)


def fact(kind: str, identity: str, first: str = "", second: str = "") -> Any:
    return (kind, identity, first, second, "", "", "", "")


PEOPLE = rows(
    card("1", "Priya", "Nair", job="Project manager"),
    fact("phone", "1", "_$!<Work>!$_", "555-0109"),
    fact("phone", "1", "_$!<Mobile>!$_", "555-0110"),
    fact("email", "1", "", "priya@example.com"),
    fact("email", "1", "", "other@example.com"),
    card("2", "Chris", "Doyle"),
    fact("phone", "2", "home", "555-0106"),
    fact("group", "2", "Climbing"),
    card("3", "Chris", "Nakamura", job="Researcher"),
    fact("phone", "3", "home", "555-0114"),
    card("4", "Rosa", "Moreno", nickname="Mom"),
    fact("phone", "4", "iPhone", "555-0101"),
    card("5", "Harbour Dental", company="Harbour Dental"),
    fact("phone", "5", "main", "555-0121"),
    card("6", "Alex", "Moreno"),
    fact("phone", "6", "iPhone", "555-0100"),
    fact("me", "6"),
    fact("relation", "6", "_$!<Sister>!$_", "Ana Moreno"),
    card("7", "Ana", "Moreno"),
    fact("phone", "7", "a\tb\\n", "555-0103"),
)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Priya Nair", "555-0110"),  # a mobile number before others
        ("mum", "555-0101"),
        ("the climbing", "555-0106"),  # a group
        ("dental", "555-0121"),
        ("project manager", "555-0110"),
        ("sister", "555-0103"),  # a relation on the own card
        ("me", "555-0100"),
    ],
)
def test_contacts_are_found_as_people_name_them(mac: StandIn, ctx: ToolContext, name: str, number: str) -> None:
    mac.says("people", PEOPLE)
    assert get_phone_number(ctx, name=name) == number
    assert mac.calls() == [[str(SCRIPTS / "people.applescript")]]  # whom we look for is nobody else's business


def test_which_contact_is_asked_when_several_match(mac: StandIn, ctx: ToolContext) -> None:
    mac.says("people", PEOPLE)
    assert get_email_address(ctx, name="Priya") == "priya@example.com"
    with pytest.raises(Ambiguous) as caught:
        get_phone_number(ctx, name="Chris")
    assert caught.value.candidates == ["Chris Doyle (Climbing)", "Chris Nakamura (Researcher)"]
    assert get_phone_number(ctx, name="Chris Nakamura (Researcher)") == "555-0114"
    with pytest.raises(NotFound) as missing:
        get_phone_number(ctx, name="Prya Nair")
    assert missing.value.fix == "did you mean Priya Nair?"
    with pytest.raises(NotFound, match="Chris Doyle has no email address"):
        get_email_address(ctx, name="Chris Doyle")
    mac.says("people", "done")
    with pytest.raises(Unavailable, match="nobody in Contacts"):
        get_phone_number(ctx, name="Priya")


# ── answers and errors ───────────────────────────────────────────────────────────────────────────────

READ, EFFECT = Script("notes", "Notes"), Script("create_note", "Notes", effect=True)


@pytest.mark.parametrize(
    ("number", "read", "effect", "said"),
    [
        (-1743, Unavailable, Unavailable, "does not let this program control Notes"),
        (-1744, Unavailable, Unavailable, "does not let this program control Notes"),
        (-600, Unreachable, Unreachable, "Notes does not run"),
        (-10810, Unreachable, Unreachable, "Notes does not run"),
        (-609, Unreachable, InDoubt, "Notes has ended meanwhile"),
        (-1712, Unavailable, InDoubt, "Notes does not answer"),
        (-1728, NotFound, NotFound, "no such thing"),
        (-1719, NotFound, NotFound, "no such thing"),
        (-128, Unavailable, Unavailable, "was cancelled"),
        (-1708, ToolError, ToolError, "no such thing"),
        (-2741, ToolError, ToolError, "no such thing"),
        (-10000, ToolError, ToolError, "no such thing"),
        (4711, ToolError, ToolError, "no such thing"),
    ],
)
def test_errors_of_apple_events_become_ours(
    mac: StandIn, ctx: ToolContext, number: int, read: type[ToolError], effect: type[ToolError], said: str
) -> None:
    for script, kind in ((READ, read), (EFFECT, effect)):
        mac.fails(script.name, number, "no such thing (really)")
        with pytest.raises(kind, match=said) as caught:
            ask(ctx, script)
        assert type(caught.value) is kind
        assert str(number) in caught.value.message
        assert caught.value.fix or kind is ToolError


def test_a_missing_permission_says_where_to_give_it(mac: StandIn, ctx: ToolContext) -> None:
    mac.fails("people", -1743)
    with pytest.raises(Unavailable) as caught:
        get_phone_number(ctx, name="Priya")
    assert "System Settings > Privacy & Security > Automation" in str(caught.value.fix)
    assert "Contacts" in str(caught.value.fix)


def test_the_number_at_the_end_counts(mac: StandIn, ctx: ToolContext) -> None:
    """What others wrote may stand in an error and look like one."""
    mac.fails("notes", -1728, "Can’t get note “execution error: x (-1743)\n(-600)”.")
    with pytest.raises(NotFound):
        ask(ctx, READ)


def test_without_a_number_it_is_an_error_all_the_same(mac: StandIn, ctx: ToolContext) -> None:
    (mac.folder / "notes.out").unlink()
    (mac.folder / "notes.err").write_text("osascript: no such component")
    with pytest.raises(ToolError, match="Notes: osascript: no such component"):
        ask(ctx, READ)


def sleeping(mac: StandIn, command: str) -> None:
    launcher = mac.folder / "osascript"
    launcher.write_text(f"#!/bin/sh\n{command}\n")


@pytest.mark.parametrize(("script", "kind"), [(READ, Unavailable), (EFFECT, InDoubt)])
def test_a_script_that_does_not_end_is_ended(
    mac: StandIn, ctx: ToolContext, script: Script, kind: type[ToolError], tmp_path: Path
) -> None:
    sleeping(mac, f'echo $$ > "{tmp_path}/pid"; exec sleep 60')
    with pytest.raises(kind, match=r"Notes does not answer within 0\.3 s"):
        ask(settings(ctx, macos={"timeout": 0.3}), script)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    sleeping(mac, "kill -9 $$")
    with pytest.raises(kind, match="ended by signal 9"):
        ask(ctx, script)


@pytest.mark.parametrize("timeout", [0, -1, "soon", True])
def test_a_wrong_timeout_is_named(mac: StandIn, ctx: ToolContext, timeout: object) -> None:
    with pytest.raises(ConfigError, match=r"macos\.timeout"):
        ask(settings(ctx, macos={"timeout": timeout}), READ)


def test_without_osascript_the_desktop_is_recommended(ctx: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match="not a Mac") as caught:
        create_note(ctx, name="x", content="y", folder="")
    assert caught.value.fix == 'set backend = "desktop"'


@pytest.mark.parametrize("answer", ["", "DONE", "odd\nx", "\ndone"])
def test_an_answer_that_is_none(mac: StandIn, ctx: ToolContext, answer: str) -> None:
    mac.says("notes", answer)
    mac.says("create_note", answer)
    with pytest.raises(ToolError, match="cannot be read") as read:
        ask(ctx, READ)
    assert type(read.value) is ToolError
    with pytest.raises(InDoubt, match="cannot be read"):
        ask(ctx, EFFECT)


def test_lines_of_other_lengths_are_refused(mac: StandIn, ctx: ToolContext) -> None:
    mac.says("calendars", "done\n1\tHome\ttrue\n")
    with pytest.raises(ToolError, match="cannot be read"):
        create_calendar_event(ctx, **EVENT)


def test_fields_come_back_as_they_were(mac: StandIn, ctx: ToolContext) -> None:
    odd = ("a\\b", "tab\there", "two\nlines\r\n", "\\t\\n", "\u2028🙈", "")
    mac.says("notes", rows(odd, odd))
    assert ask(ctx, READ).rows(6) == [odd, odd]


def test_what_cannot_be_given_to_a_program_is_refused(mac: StandIn, ctx: ToolContext) -> None:
    for text, said in (("a\0b", "NUL"), ("\ud800", "no Unicode"), ("x" * 8_000_000, "too long")):
        with pytest.raises(InvalidArgument, match=said):
            ask(ctx, EFFECT, [text])
    assert mac.calls() == []


def test_numbers_of_dates_and_days() -> None:
    assert osascript.numbers(datetime(2024, 2, 29, 7, 5, 9)) == ["2024", "2", "29", "7", "5", "9"]
    assert osascript.numbers(date(2024, 2, 29)) == ["2024", "2", "29", "0", "0", "0"]


# ── the HTML of notes ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "html"),
    [
        ("", ""),
        ("one\n\ntwo", "<div>one</div><div><br></div><div>two</div>"),
        ("a < b & c", "<div>a &lt; b &amp; c</div>"),
        ("say <b>this</b> aloud", "<div>say &lt;b&gt;this&lt;/b&gt; aloud</div>"),  # a text with a tag in it
        ("<p>a</p><ul><li>b</li></ul>", "<p>a</p><ul><li>b</li></ul>"),
        ("<div onclick='x()'>a<script>evil()</script><img src=http://x></div>", "<div>a</div>"),
        (
            '<p><a href="javascript:x">a</a> <a href="https://x.org/?a&amp;b">b</a></p>',
            '<p><a>a</a> <a href="https://x.org/?a&amp;b">b</a></p>',
        ),
        ("<div><b>a</div></b>", "<div><b>a</b></div>"),
        ("<div><p>a<br>b</div>", "<div><p>a<br>b</p></div>"),
        ("<b>a</b><h1>b</h1>", "<b>a</b><h1>b</h1>"),
    ],
)
def test_notes_are_plain_or_html(content: str, html: str) -> None:
    assert markup.to_html(content) == html


def test_the_text_of_a_note_is_without_its_title() -> None:
    assert markup.to_text("Ferry\n\n- night\xa0map\ufffc\n", "Ferry") == "- night map"
    assert markup.to_text("Ferry tales\nx", "Ferry") == "Ferry tales\nx"


# ── hostile texts ────────────────────────────────────────────────────────────────────────────────────


def hostile(canary: Path) -> list[str]:
    """300 texts, each of which would do something if it were ever taken for a program or cut at the wrong place."""
    touch = f'do shell script "touch {canary}"'
    listed = [
        f'" & ({touch}) & "',
        f'"\n{touch}\n"',
        f'\\" & ({touch}) & \\"',
        f"$(touch {canary})",
        f"`touch {canary}`",
        f"; touch {canary} #",
        f"| touch {canary}",
        f"'; touch {canary}; '",
        f'\nend tell\n{touch}\ntell application "Mail"',
        f'" as text)\n{touch}\n--',
        f'«event sysoexec» "touch {canary}"',
        f"-e {touch}",
        "-e",
        "--",
        "-",
        "-s",
        "-l JavaScript",
        "-i",
        f"ObjC.import('stdlib'); $.system('touch {canary}')",
        'tell application "Finder" to delete every item of desktop',
        "on run argv",
        "end run",
        "item 1 of argv",
        "missing value",
        "{1, 2}",
        "¬",
        "¬\n",
        '"',
        '""',
        "'",
        "\\",
        "\\\\",
        '\\"',
        "\\n",
        "\\t",
        "done",
        "ambiguous\n1",
        "a\nb",
        "a\r\nb",
        "a\rb",
        "a\tb",
        "a\u2028b",
        "a\u2029b",
        "a\u0085b",
        "a\x0bb\x0cc",
        "a\x1cb\x1dc\x1ed\x1fe",
        "a\x07\x1b[31mred\x1b[0m",
        "a\0b",
        "\ufeffbyte order mark",
        "\u202egnp.exe",
        "\u2066isolated\u2069",
        "zero\u200bwidth\u200djoiner",
        "e\u0301 and é",
        "🙈",
        "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",
        "日本語 العربية עברית हिन्दी",
        "\U0010ffff",
        "\ud800 lone surrogate",
        "%s %n %d {0} ${HOME} $HOME %PATH%",
        "{title} {notes}",
        "<script>alert(1)</script>",
        "<b>bold</b>",
        "<div>whole</div>",
        "&lt;&amp;&#0;",
        "https://example.org/?a=1&b=2#c",
        "maps://?q=x&saddr=y",
        "../../etc/passwd",
        "/etc/passwd",
        "~/x",
        "C:\\x",
        "0",
        "-1",
        "1e999",
        "yes",
        "no",
        " ",
        "  two  blanks  ",
        "\n\n",
        "x" * 100_000,
        "é" * 50_000,
        ("a b" * 400 + "\n") * 83,
    ]
    alphabet = "\"'\\\n\r\t\u2028\u2029 ab&()|;$`{}«»¬<>-–é\u0301🙈\u200d日\x00\x1f\x7f\u0085"
    random_ = random.Random(6)
    while len(listed) < 300:
        listed.append("".join(random_.choice(alphabet) for _ in range(random_.randint(1, 60))))
    return listed


def escaped_note(title: str, text: str) -> str:
    return markup.titled(one_line(title), paragraphs(text))


#: For each function: a call that has the text in every text argument, the script that gets it, and what it is to be given.
Hostile = tuple[Callable[[ToolContext, str], object], str, Callable[[ToolContext, str], list[str]]]
DATES = ["2024", "6", "6", "10", "0", "0", "2024", "6", "6", "11", "30", "0", "no"]
HOSTILE: dict[str, Hostile] = {
    "create_calendar_event": (
        lambda ctx, t: create_calendar_event(
            ctx, **EVENT | {"title": f"t {t}", "location": t, "notes": t, "calendar": f"c {t}"}
        ),
        "create_calendar_event",
        lambda ctx, t: [*("0", one_line(f"c {t}"), *DATES, one_line(f"t {t}"), one_line(t), paragraphs(t), "no", "0")],
    ),
    "create_reminder": (
        lambda ctx, t: create_reminder(ctx, **REMINDER | {"name": f"n {t}", "notes": t, "list_name": f"l {t}"}),
        "create_reminder",
        lambda ctx, t: [
            *("", one_line(f"l {t}"), "2024", "6", "5", "17", "0", "0", "no"),
            *(one_line(f"n {t}"), paragraphs(t), "0", "no"),
        ],
    ),
    "create_note": (
        lambda ctx, t: create_note(ctx, name=f"n {t}", content=t, folder=f"f {t}"),
        "create_note",
        lambda ctx, t: ["", one_line(f"f {t}"), escaped_note(f"n {t}", t)],
    ),
    "append_note_content": (
        lambda ctx, t: append_note_content(ctx, name="Shopping list", content=f"c {t}", folder=""),
        "append_note_content",
        lambda ctx, t: ["n1", markup.to_html(paragraphs(f"c {t}"))],
    ),
    "compose_new_email": (
        lambda ctx, t: compose_new_email(ctx, **MAIL | {"subject": f"s {t}", "context": t}),
        "compose_new_email",
        lambda ctx, t: ["", one_line(f"s {t}"), paragraphs(t), "1", "priya@example.com", "0", "0"],
    ),
    "reply_to_email": (
        lambda ctx, t: reply_to_email(ctx, cc=[], context=f"c {t}", attachments=[]),
        "reply_to_email",
        lambda ctx, t: [
            "77",
            paragraphs(f"{f'c {t}'.strip(chr(10))}\n\nPriya Nair <priya@example.com> wrote:\n> Hi Alex,\n> Thursday?"),
            *("0", "0"),
        ],
    ),
    "forward_email": (
        lambda ctx, t: forward_email(ctx, recipients=["a@x.org"], cc=[], context=f"c {t}", attachments=[]),
        "compose_new_email",
        lambda ctx, t: [
            *("", "Fwd: Kick-off"),
            paragraphs(f"c {t}"),
            *("1", "a@x.org", "0", "1", "FORWARDED"),
        ],
    ),
    "send_sms": (
        lambda ctx, t: send_sms(ctx, recipients=["5550110"], message=f"m {t}"),
        "send_sms",
        lambda ctx, t: ["auto", paragraphs(f"m {t}").strip(), "1", "5550110"],
    ),
    "maps_open_location": (
        lambda ctx, t: maps_open_location(ctx, location=f"l {t}"),
        "open_url",
        lambda ctx, t: [f"maps://?q={quote_plus(one_line(f'l {t}'))}"],
    ),
    "maps_show_directions": (
        lambda ctx, t: maps_show_directions(ctx, start_location=f"s {t}", end_location=f"e {t}", transport="w"),
        "open_url",
        lambda ctx, t: [
            f"maps://?saddr={quote_plus(one_line(f's {t}'))}&daddr={quote_plus(one_line(f'e {t}'))}&dirflg=w"
        ],
    ),
}


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that is there only if some text was taken for a program."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


@pytest.fixture
def listings_answer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the processes of those scripts that are given nothing."""
    canned = {"calendars": CALENDARS, "reminder_lists": LISTS, "notes": NOTES, "selected_email": SELECTED}
    run = osascript._run

    def answer(script: Script, arguments: Any, timeout_s: float) -> Any:
        if script.name in canned:
            assert not arguments
            return osascript.subprocess.CompletedProcess([], 0, canned[script.name].encode() + b"\n", b"")
        return run(script, arguments, timeout_s)

    monkeypatch.setattr(osascript, "_run", answer)


@pytest.mark.slow
@pytest.mark.usefixtures("listings_answer_at_once")
@pytest.mark.parametrize("function", HOSTILE)
def test_hostile_texts_arrive_as_they_are_and_nothing_else_runs(
    mac: StandIn, ctx: ToolContext, canary: Path, function: str
) -> None:
    """What arrives is what the desktop would write: the text, but for control characters and what breaks a line that must be one."""
    call, script, expected = HOSTILE[function]
    mac.says("send_sms", rows(("sent", "5550110", "0", "")))
    texts = hostile(canary)
    assert len(texts) == 300
    if os.name == "posix" and os.uname().sysname == "Linux":  # takes no argument of 128 KiB; a Mac does
        for text in [text for text in texts if max(map(len, map(str.encode, expected(ctx, text)))) >= 128 * 1024]:
            with pytest.raises(InvalidArgument, match="too long"):
                call(ctx, text)
            texts.remove(text)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda text: call(ctx, text), texts))
    calls = mac.calls()
    assert {path for path, *_ in calls} == {str(SCRIPTS / f"{script}.applescript")}
    forwarded = str(ctx.data_dir / "mail" / "forwarded")
    arrived = [["FORWARDED" if a.startswith(forwarded) else a for a in given] for _, *given in calls]
    assert sorted(arrived) == sorted(expected(ctx, text) for text in texts)


def test_hostile_file_names_arrive_as_they_are(mac: StandIn, ctx: ToolContext, canary: Path) -> None:
    folder = ctx.data_dir / "files"
    paths = []
    for n, text in enumerate(hostile(canary)):
        name = "".join(c for c in f"{n} {text}.txt" if c not in "/\0\ud800")  # which no file can have
        if len(name.encode()) < 250:
            (folder / name).write_text("x")
            paths.append(str(folder / name))
    assert len(paths) > 290
    compose_new_email(ctx, **MAIL | {"attachments": paths})
    assert given(mac)[-len(paths) :] == paths
    reply_to_email(ctx, cc=[], context="", attachments=paths)
    assert given(mac)[-len(paths) :] == paths
    forward_email(ctx, recipients=["a@x.org"], cc=[], context="", attachments=paths)
    assert given(mac)[-len(paths) :] == paths
    for path in paths[::20]:
        open_and_get_file_path(ctx, file_name=path)
        assert given(mac) == [path, "open"]


def test_names_that_are_looked_up_reach_no_script(mac: StandIn, ctx: ToolContext, canary: Path) -> None:
    mac.says("people", PEOPLE)
    for text in hostile(canary)[::15]:
        for look_up in (get_phone_number, get_email_address):
            with pytest.raises(ToolError):
                look_up(ctx, name=f"q {text}")
        with pytest.raises(ToolError):
            open_note(ctx, name=f"q {text}", folder="")
    assert {tuple(call) for call in mac.calls()} == {
        (str(SCRIPTS / "people.applescript"),),
        (str(SCRIPTS / "notes.applescript"),),
    }


def test_what_the_apps_say_is_only_ever_text(mac: StandIn, ctx: ToolContext, canary: Path) -> None:
    """Names of contacts, notes and mails are others' words, too."""
    for text in hostile(canary)[:70:3]:
        if "\0" in text or "\ud800" in text or not one_line(text):
            continue
        mac.says("people", rows(card("1", text, "Nair"), fact("phone", "1", text, "555-0110")))
        assert get_phone_number(ctx, name="Nair") == "555-0110"
        mac.says("notes", rows(("folder", "f1", text, "", text, "yes"), ("note", "n1", f"q {text}", "f1", "", "")))
        append_note_content(ctx, name=f"q {text}", content="x", folder="")
        assert given(mac) == ["n1", "<div>x</div>"]


# ── the scripts, and who runs them ───────────────────────────────────────────────────────────────────


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


MODULES = sorted(PACKAGE.glob("*.py"))


def test_one_function_starts_programs_and_only_fixed_files() -> None:
    """No script text is built: osascript is started in one place, with the path of a file in `scripts/` and then the arguments."""
    starts = []
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                if names & {"subprocess", "os.system", "pty", "ctypes", "runpy", "importlib", "asyncio"}:
                    assert (path.name, names - {None}) == ("osascript.py", {"subprocess"})
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"os.system", "os.popen", "os.execv", "os.posix_spawn", "eval", "exec", "compile"}
                if called.startswith("subprocess."):
                    starts.append((path.name, called, ast.unparse(node.args[0]), {k.arg for k in node.keywords}))
    [(where, called, argv, options)] = starts
    assert (where, called) == ("osascript.py", "subprocess.run")
    assert argv == "[program().encode(), str(script.path).encode(), *words]"
    assert "shell" not in options
    assert "SCRIPTS / f'{self.name}.applescript'" in ast.unparse(parsed(PACKAGE / "osascript.py"))


def test_no_python_file_holds_a_piece_of_a_script() -> None:
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in {"-e", "-l"}, path
                assert not re.search(r"\btell application\b|\bend tell\b|\bdo shell script\b", node.value), path


def test_every_script_is_there_and_used() -> None:
    used = {f"check_{app.lower()}" for app in MAC_APPS.values()}
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Script":
                name = node.args[0]
                assert isinstance(name, ast.Constant), "the name of a script stands in the program"
                used.add(name.value)
    assert used == {path.stem for path in ALL_SCRIPTS}
    modes = {path: path.stat().st_mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH) for path in ALL_SCRIPTS}
    assert not any(modes.values())


@pytest.mark.parametrize("path", ALL_SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_whole_and_runs_nothing_but_itself(path: Path) -> None:
    text = path.read_text("ascii")  # osascript guesses the encoding of anything else
    lines = [line for line in code(text) if line]
    assert lines[0] == "on run argv"
    assert "end run" in lines
    assert text.endswith("\n") and not text.endswith("\n\n")
    for forbidden in (
        "do shell script", "run script", "load script", "store script", "system events", "keystroke", "key code",
        "osascript", "using terms from", "framework", "clipboard", "as date", 'date "',
    ):  # fmt: skip
        assert forbidden not in "\n".join(lines).lower(), forbidden
    assert not re.search(r'\bdate ""', "\n".join(lines)), "a date from text depends on the locale"
    assert lint(text) == []
    assert len(re.findall(r"\btell application\b", "\n".join(lines))) <= 2


def test_handlers_of_one_name_are_the_same_everywhere() -> None:
    """A script cannot import another; so what several need stands in each, and must not drift."""
    bodies: dict[str, set[tuple[str, ...]]] = {}
    for path in ALL_SCRIPTS:
        for handler in handlers(path.read_text())[0]:
            if handler.name != "run":
                bodies.setdefault(handler.name, set()).add((*handler.parameters, *(line for _, line in handler.lines)))
    assert {name: len(kinds) for name, kinds in bodies.items() if len(kinds) > 1} == {}
    assert {"rowOf", "escapedText", "listOf", "dateOf"} <= bodies.keys()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ('on run argv\n\ttell application "Mail"\n\t\tactivate\nend run\n', "closes 'tell'"),
        ("on run argv\n\tif true then\n\t\tbeep\n\tend repeat\nend run\n", "closes 'if'"),
        ("on run argv\n\ttry\n\t\tbeep\n\tend try\n", "still open"),
        ("on run argv\n\tset theX to (item 1 of argv\nend run\n", "bracket stays open"),
        ("on run argv\n\treturn theX\nend run\n", "theX has no value"),
        ("on run argv\n\treturn my nobody(1)\nend run\n", "no handler nobody"),
        (
            "on run argv\n\treturn f(1, {2, 3})\nend run\non f(theA)\n\treturn theA\nend f\n",
            "takes 1 parameters, not 2",
        ),
        ("beep\non run argv\n\treturn 1\nend run\n", "outside of every handler"),
        ("on run argv\n\telse\nend run\n", "'else' within"),
        ("on run argv\n\tend tell\nend run\n", "'end tell' closes"),
    ],
)
def test_the_lint_finds_what_is_broken(broken: str, said: str) -> None:
    assert any(said in problem for problem in lint(broken)), lint(broken)


def test_the_lint_is_not_misled_by_strings_and_comments() -> None:
    text = 'on run argv -- tell application "x"\n\t(* if true then *)\n\treturn "end tell ( -- " & "\\""\nend run\n'
    assert lint(text) == []


def test_the_wheel_takes_the_scripts_along() -> None:
    """Everything in the packages is packed, whatever its suffix, unless a pattern leaves it out (hatchling's rule)."""
    import tomllib

    build = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert "pipeline" in build["targets"]["wheel"]["packages"]
    assert not {"exclude", "include", "only-include"} & build["targets"]["wheel"].keys()
    ignored = (Path(__file__).parent.parent / ".gitignore").read_text().split()
    assert not any(word in line for line in ignored for word in ("applescript", "scripts", "macos"))


def test_letters_keep_the_form_in_which_they_came() -> None:
    """A decomposed letter stays decomposed on its way: no argument is normalised."""
    assert one_line("e\u0301") != unicodedata.normalize("NFC", "e\u0301")
