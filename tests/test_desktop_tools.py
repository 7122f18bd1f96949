"""The desktop tools on the sample data: what each does, and that bad input changes nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar
from pypdf import PdfReader, PdfWriter

from pipeline.errors import ConfigError, TinyAgentError
from pipeline.tools import arguments
from pipeline.tools.context import Ambiguous, InvalidArgument, Monitor, NotFound, ToolContext, Unavailable, Written
from pipeline.tools.desktop import names, store
from pipeline.tools.desktop.calendar import create_calendar_event
from pipeline.tools.desktop.contacts import get_email_address, get_phone_number
from pipeline.tools.desktop.files import open_and_get_file_path
from pipeline.tools.desktop.mail import compose_new_email, forward_email, received, reply_to_email
from pipeline.tools.desktop.maps import maps_open_location, maps_show_directions
from pipeline.tools.desktop.messages import send_sms
from pipeline.tools.desktop.notes import append_note_content, create_note, open_note
from pipeline.tools.desktop.pdf import summarize_pdf
from pipeline.tools.desktop.reminders import create_reminder
from pipeline.tools.desktop.sample import create_sample

NOW = datetime(2024, 6, 3, 9, 30)  # a Monday
on_disk = settings(max_examples=40, deadline=None)
TRICKY = st.text(st.characters(codec="utf-8"), max_size=60)  # controls, separators and all


class EchoWriter:
    """Stands in for the writing models: says what it was asked."""

    def compose(
        self, *, request: str, context: str, recipients: list[str], thread: str = "", monitor: Monitor | None = None
    ) -> Written:
        told = f"\nSeeing: {thread}" if thread else ""
        return Written(f"Asked: {request}\nKnowing: {context}{told}\nFor: {', '.join(recipients)}")

    def summarize(self, pages: Iterable[str], *, request: str = "", monitor: Monitor | None = None) -> Written:
        return Written("In short: " + " ".join(pages).splitlines()[0])


def sampled(data_dir: Path, **settings: dict[str, Any]) -> ToolContext:
    create_sample(data_dir, NOW)
    return ToolContext(data_dir, NOW, "answer politely", EchoWriter(), settings)


@pytest.fixture
def ctx(tmp_path: Path) -> ToolContext:
    return sampled(tmp_path / "data")


def tree(folder: Path) -> dict[str, bytes]:
    """Every file with its content, but for the lock."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != store.LOCK_NAME)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def draft(ctx: ToolContext) -> EmailMessage:
    """The only draft there is."""
    (path,) = (ctx.data_dir / "mail" / "drafts").glob("*.eml")
    return message_from_bytes(path.read_bytes(), policy=policy.default)


def body(message: EmailMessage) -> str:
    part = message.get_body(preferencelist=("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def event(**changes: Any) -> dict[str, Any]:
    return {
        "title": "Kick-off",
        "start_date": "2024-06-06 10:00:00",
        "end_date": "2024-06-06 11:00:00",
        "location": "",
        "invitees": [],
        "notes": "",
        "calendar": "",
    } | changes


def reminder(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Pay the rent",
        "due_date": "2024-06-05 17:00:00",
        "notes": "",
        "list_name": "",
        "priority": 0,
        "all_day": False,
    } | changes


def mail(**changes: Any) -> dict[str, Any]:
    return {
        "recipients": ["priya.nair@example.com"],
        "cc": [],
        "subject": "Thursday",
        "context": "",
        "attachments": [],
    } | changes


# --- contacts


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Priya Nair", "555-0110"),  # full name
        ("PRIYA", "555-0110"),  # given name, in any case
        ("haddad", "555-0111"),  # family name
        ("jose", "555-0105"),  # without the accent of José
        ("mom", "555-0101"),  # nickname
        ("mum", "555-0101"),  # another word for it
        ("my landlord", "555-0120"),  # role, article and all
        ("Dr Vance", "555-0121"),  # title and family name
        ("the design team", "555-0115"),  # a group that is one contact
        ("yoga", "555-0124"),  # a word of a role
        ("boss", "555-0112"),  # a relation on the user's own card
        ("sister", "555-0103"),
        ("me", "555-0100"),
    ],
)
def test_a_contact_is_found_as_people_name_it(ctx: ToolContext, name: str, number: str) -> None:
    assert get_phone_number(ctx, name=name) == number


def test_an_address_is_looked_up_likewise(ctx: ToolContext) -> None:
    assert get_email_address(ctx, name="Lena") == "lena@example.net"


def test_an_unknown_contact_brings_near_names(ctx: ToolContext) -> None:
    with pytest.raises(NotFound, match="no contact 'Omar Hadad'") as caught:
        get_phone_number(ctx, name="Omar Hadad")
    assert caught.value.fix == "did you mean Omar Haddad?"


def test_two_people_of_one_name_are_not_guessed_between(ctx: ToolContext) -> None:
    with pytest.raises(Ambiguous) as caught:
        get_phone_number(ctx, name="Chris")
    assert caught.value.candidates == ["Chris Doyle (climbing)", "Chris Nakamura (Researcher)"]
    for candidate, number in zip(caught.value.candidates, ("555-0106", "555-0114"), strict=True):
        assert get_phone_number(ctx, name=candidate) == number  # a candidate says enough to be asked for


def test_a_number_that_tells_two_people_apart_finds_each(ctx: ToolContext) -> None:
    for number in ("+34 600 333 444", "+34 600 555 666"):
        card = f"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Kim Park\r\nN:Park;Kim;;;\r\nTEL:{number}\r\nEND:VCARD\r\n"
        (ctx.data_dir / "contacts" / f"{number}.vcf").write_text(card)
    with pytest.raises(Ambiguous) as caught:
        get_phone_number(ctx, name="Kim")
    assert caught.value.candidates[0] == "Kim Park (+34 600 333 444)"
    assert get_phone_number(ctx, name=caught.value.candidates[1]) == "+34 600 555 666"


def test_a_card_may_lack_what_is_wanted(ctx: ToolContext) -> None:
    with pytest.raises(NotFound, match="Jonas Weber has no phone number"):
        get_phone_number(ctx, name="Jonas")
    with pytest.raises(NotFound, match="Tomás Herrera has no email address"):
        get_email_address(ctx, name="plumber")


VCARD_4 = """\
BEGIN:VCARD
VERSION:4.0
FN:Dr. Rosalind Ōta
item1.NICKNAME:Roz,Rosie
TEL;TYPE="home,voice";VALUE=uri:tel:+1-555-0150
TEL;TYPE=cell;VALUE=uri:tel:+1-555-0151
EMAIL:old@example.org
EMAIL;PREF=1:new@example.org
END:VCARD
BEGIN:VCARD
VERSION:2.1
N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;J=C3=B6rg
TEL;CELL:555-0152
a line that is none
END:VCARD
BEGIN:VCARD
VERSION:3.0
FN:Cut off
"""


@pytest.fixture
def exported(tmp_path: Path) -> ToolContext:
    """Contacts as three programs export them, the last one broken off."""
    (tmp_path / "contacts").mkdir()
    (tmp_path / "contacts" / "all.vcf").write_text(VCARD_4, encoding="utf-8")
    return ToolContext(tmp_path, NOW, "", EchoWriter())


@pytest.mark.parametrize(
    ("name", "number"),
    [("Rosalind Ota", "+1-555-0151"), ("rosie", "+1-555-0151"), ("jorg muller", "555-0152")],
)
def test_cards_of_all_versions_are_read(exported: ToolContext, name: str, number: str) -> None:
    assert get_phone_number(exported, name=name) == number  # a mobile number before others


def test_the_preferred_address_is_given(exported: ToolContext) -> None:
    assert get_email_address(exported, name="Roz") == "new@example.org"


def test_two_cards_of_one_person_complete_each_other(exported: ToolContext) -> None:
    more = exported.data_dir / "contacts" / "more.vcf"
    more.write_text("BEGIN:VCARD\nVERSION:3.0\nFN:Jörg Müller\nEMAIL:jm@example.org\nEND:VCARD\n", encoding="utf-8")
    assert get_phone_number(exported, name="Jörg Müller") == "555-0152"
    assert get_email_address(exported, name="Jörg Müller") == "jm@example.org"
    more.write_text("BEGIN:VCARD\nVERSION:3.0\nFN:Jörg Müller\nTEL:555-0153\nEND:VCARD\n", encoding="utf-8")
    with pytest.raises(Ambiguous) as caught:
        get_phone_number(exported, name="Jörg Müller")
    assert caught.value.candidates == ["Jörg Müller (555-0152)", "Jörg Müller (555-0153)"]


@pytest.mark.parametrize(
    "wrong",
    [
        "N;ENCODING=QUOTED-PRINTABLE:M=FCller;X",
        "N;CHARSET=no-such;ENCODING=QUOTED-PRINTABLE:M=C3;X",
        "TEL;ENCODING=b:AAAA",
        "NOTE;ENCODING=b:A",
    ],
)
def test_a_card_that_cannot_be_read_spoils_no_other(ctx: ToolContext, wrong: str) -> None:
    (ctx.data_dir / "contacts" / "aaa.vcf").write_text(
        f"BEGIN:VCARD\nVERSION:2.1\nFN:Broken Card\n{wrong}\nEND:VCARD\n", "latin-1"
    )
    assert get_phone_number(ctx, name="Priya") == "555-0110"


def test_no_contacts_at_all(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no contacts in"):
        get_phone_number(ToolContext(tmp_path, NOW, "", EchoWriter()), name="Ana")


# --- calendar and reminders


def events(ctx: ToolContext, calendar: str = "Calendar") -> list[Any]:
    path = ctx.data_dir / "calendars" / f"{calendar}.ics"
    return list(Calendar.from_ical(path.read_bytes()).walk("VEVENT"))


def test_an_event_can_be_read_back(ctx: ToolContext) -> None:
    status = create_calendar_event(
        ctx,
        **event(
            location="Pier 4, Café",
            invitees=["Omar Haddad <omar.haddad@example.com>", "omar.haddad@example.com"],
            notes="Bring the brief;\nhttps://zoom.example/j/1",
        ),
    )
    assert status == "Added 'Kick-off' to Calendar, Thursday, 2024-06-06 10:00 to 11:00."
    (added,) = events(ctx)
    assert added.decoded("dtstart") == datetime(2024, 6, 6, 10)  # floating local time
    assert added.decoded("dtend") == datetime(2024, 6, 6, 11)
    assert added["summary"] == "Kick-off"
    assert added["location"] == "Pier 4, Café"
    assert added["description"] == "Bring the brief;\nhttps://zoom.example/j/1"
    assert added["attendee"] == "mailto:omar.haddad@example.com"
    assert added["uid"]
    assert added["dtstamp"]


def test_a_whole_day_is_a_date_and_its_end_is_exclusive(ctx: ToolContext) -> None:
    create_calendar_event(ctx, **event(start_date="2024-06-07 00:00:00", end_date="2024-06-08 23:59:59"))
    (added,) = events(ctx)
    assert added.decoded("dtstart") == date(2024, 6, 7)
    assert added.decoded("dtend") == date(2024, 6, 9)


def test_what_other_programs_wrote_stays_byte_for_byte(ctx: ToolContext) -> None:
    theirs = b'BEGIN:VEVENT\r\nUID:1\r\nX-ODD;P="a:b":kept\r\nDTSTART:not a date\r\nEND:VEVENT\r\n'
    path = ctx.data_dir / "calendars" / "Climbing Club.ics"
    path.parent.mkdir()
    path.write_bytes(b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n" + theirs + b"END:VCALENDAR\r\n")
    create_calendar_event(ctx, **event(calendar="climbing club"))
    assert theirs in path.read_bytes()
    assert len(events(ctx, "Climbing Club")) == 2


@on_disk
@given(title=TRICKY, notes=TRICKY)
def test_no_text_breaks_a_calendar(title: str, notes: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ctx = ToolContext(Path(folder), NOW, "", EchoWriter())
        create_calendar_event(ctx, **event(title=f"x{title}", notes=notes))
        create_calendar_event(ctx, **event(title="y"))
        first, second = events(ctx)
        assert first["summary"] == arguments.one_line(f"x{title}")
        assert first.get("description", "") == arguments.paragraphs(notes)
        assert second["summary"] == "y"


def test_events_added_at_once_are_all_there(ctx: ToolContext) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: create_calendar_event(ctx, **event(title=f"Event {n}")), range(16)))
    assert {str(e["summary"]) for e in events(ctx)} == {f"Event {n}" for n in range(16)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"end_date": "2024-06-06 10:00:00"}, "before it starts"),
        ({"start_date": "2023-06-06 10:00:00", "end_date": "2023-06-06 11:00:00"}, "is over"),
        ({"start_date": "next Thursday"}, "not a date"),
        ({"start_date": "2024-06-06 10:00:00Z"}, "not a date"),
        ({"title": " \n"}, "title is empty"),
        ({"invitees": ["Omar"]}, "not an email address"),
    ],
)
def test_an_event_that_cannot_be_meant(ctx: ToolContext, changes: dict[str, Any], said: str) -> None:
    before = tree(ctx.data_dir)
    with pytest.raises(InvalidArgument, match=said):
        create_calendar_event(ctx, **event(**changes))
    assert tree(ctx.data_dir) == before


def test_a_broken_calendar_is_left_alone(ctx: ToolContext) -> None:
    path = ctx.data_dir / "calendars" / "Calendar.ics"
    path.parent.mkdir()
    path.write_text("BEGIN:VCALENDAR\nthe rest is lost")
    with pytest.raises(Unavailable, match="not an iCalendar file"):
        create_calendar_event(ctx, **event())
    assert path.read_text() == "BEGIN:VCALENDAR\nthe rest is lost"


def todos(ctx: ToolContext, name: str = "Reminders") -> list[Any]:
    return list(Calendar.from_ical((ctx.data_dir / "reminders" / f"{name}.ics").read_bytes()).walk("VTODO"))


def test_a_reminder_rings_when_it_is_due(ctx: ToolContext) -> None:
    create_reminder(ctx, **reminder(priority=1, notes="1,150"))
    (todo,) = todos(ctx)
    assert todo.decoded("due") == datetime(2024, 6, 5, 17)
    assert todo["priority"] == 1
    (alarm,) = todo.walk("VALARM")
    assert alarm.decoded("trigger") == timedelta(0)
    assert alarm["trigger"].params["RELATED"] == "END"


def test_an_all_day_reminder_is_due_on_a_date(ctx: ToolContext) -> None:
    create_reminder(ctx, **reminder(due_date="2024-06-03", all_day=True, list_name="Errands"))  # today
    (todo,) = todos(ctx, "Errands")
    assert todo.decoded("due") == NOW.date()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"due_date": "2024-06-03 09:00:00"}, "in the past"),
        ({"due_date": "2024-06-02", "all_day": True}, "in the past"),
        ({"priority": 10}, "not from 0 to 9"),
        ({"name": ""}, "name is empty"),
    ],
)
def test_a_reminder_that_cannot_be_meant(ctx: ToolContext, changes: dict[str, Any], said: str) -> None:
    before = tree(ctx.data_dir)
    with pytest.raises(InvalidArgument, match=said):
        create_reminder(ctx, **reminder(**changes))
    assert tree(ctx.data_dir) == before


# --- files and PDFs


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("budget.pdf", "Work/budget.pdf"),
        ("Budget", "Work/budget.pdf"),  # in any case, without extension
        ("project-brief.pdf", "Work/project brief.pdf"),  # with other separators
        ("insurance", "Documents/insurance policy.txt"),  # some of its words
        ("2024/receipt", "Documents/Receipts/2024/receipt.txt"),  # with its folder
    ],
)
def test_a_file_is_found_by_what_people_say(ctx: ToolContext, name: str, path: str) -> None:
    assert open_and_get_file_path(ctx, file_name=name) == str((ctx.data_dir / "files" / path).resolve())


def test_the_better_fit_wins(ctx: ToolContext) -> None:
    for name in ("Budget draft.pdf", "budget.pdf.txt"):
        (ctx.data_dir / "files" / name).write_text("x")
    assert open_and_get_file_path(ctx, file_name="budget.pdf").endswith("Work/budget.pdf")


def test_a_name_that_three_files_have(ctx: ToolContext) -> None:
    (ctx.data_dir / "files" / "Receipt.txt").write_text("x")
    with pytest.raises(Ambiguous) as caught:
        open_and_get_file_path(ctx, file_name="receipt")
    root = (ctx.data_dir / "files").resolve()
    named = ["Receipt.txt", "Documents/Receipts/2023/receipt.txt", "Documents/Receipts/2024/receipt.txt"]
    assert caught.value.candidates == [str(root / "Receipt.txt"), *named[1:]]  # the first's name is that of all
    for candidate, path in zip(caught.value.candidates, named, strict=True):
        assert open_and_get_file_path(ctx, file_name=candidate) == str(root / path)


def test_a_name_that_no_file_has(ctx: ToolContext) -> None:
    with pytest.raises(NotFound) as caught:
        open_and_get_file_path(ctx, file_name="bugdet.pdf")
    assert caught.value.fix == "did you mean budget.pdf?"


def test_configured_folders_are_searched_and_hidden_files_are_not(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / ".cache").mkdir(parents=True)
    for path in (elsewhere / "Thesis.odt", elsewhere / ".cache" / "secret.txt"):
        path.write_text("x")
    ctx = sampled(tmp_path / "data", files={"folders": [str(elsewhere)]})
    assert open_and_get_file_path(ctx, file_name="thesis") == str((elsewhere / "Thesis.odt").resolve())
    with pytest.raises(NotFound):
        open_and_get_file_path(ctx, file_name="secret")


def test_a_path_means_itself(ctx: ToolContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("here.txt", "two  blanks.txt"):
        (tmp_path / name).write_text("x")
        assert open_and_get_file_path(ctx, file_name=f"~/{name}") == str(tmp_path / name)
    with pytest.raises(NotFound, match="no file ~/gone"):
        open_and_get_file_path(ctx, file_name="~/gone.txt")
    with pytest.raises(NotFound):  # only compared with what the folders hold
        open_and_get_file_path(ctx, file_name="../contacts/me.vcf")


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="xdg-open is what the test plays")
def test_opening_is_off_unless_set_and_uses_no_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = tmp_path / "opened"
    opener = tmp_path / "bin" / "xdg-open"
    opener.parent.mkdir()
    opener.write_text(f'#!/bin/sh\nprintf %s "$1" > "{opened}.part" && mv "{opened}.part" "{opened}"\n')
    opener.chmod(0o755)
    monkeypatch.setenv("PATH", str(opener.parent), prepend=os.pathsep)
    ctx = sampled(tmp_path / "data")
    name = "$(touch x); a'b.txt"
    (ctx.data_dir / "files" / name).write_text("x")
    open_and_get_file_path(ctx, file_name=name)
    assert not opened.exists()
    path = open_and_get_file_path(replace(ctx, settings={"files": {"open": True}}), file_name=name)
    for _ in range(1000):
        if opened.exists():
            break
        time.sleep(0.01)
    assert opened.read_text() == path
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="nothing here can open"):
        open_and_get_file_path(replace(ctx, settings={"files": {"open": True}}), file_name=name)


def test_a_pdf_is_summarised_from_its_text(ctx: ToolContext) -> None:
    path = open_and_get_file_path(ctx, file_name="lease")
    assert summarize_pdf(ctx, pdf_path=path) == "In short: Lease agreement"
    assert summarize_pdf(ctx, pdf_path="lease.pdf") == "In short: Lease agreement"  # a name will do


def written(path: Path, make: Callable[[PdfWriter], None]) -> Path:
    writer = PdfWriter()
    make(writer)
    writer.write(path)
    return path


def test_pdfs_without_text_to_give(ctx: ToolContext, tmp_path: Path) -> None:
    def scan(writer: PdfWriter) -> None:
        writer.add_blank_page(100, 100)

    def protected(writer: PdfWriter) -> None:
        writer.append(ctx.data_dir / "files" / "Documents" / "lease.pdf")
        writer.encrypt("secret", algorithm="RC4-128")

    cut = tmp_path / "cut.pdf"
    cut.write_bytes((ctx.data_dir / "files" / "Work" / "budget.pdf").read_bytes()[:300])
    for path, said in (
        (written(tmp_path / "scan.pdf", scan), "pages are pictures"),
        (written(tmp_path / "locked.pdf", protected), "protected by a password"),
        (cut, "cannot be read as a PDF"),
    ):
        with pytest.raises(Unavailable, match=said):
            summarize_pdf(ctx, pdf_path=str(path))
    with pytest.raises(NotFound):
        summarize_pdf(ctx, pdf_path=str(tmp_path / "none.pdf"))


# --- mail


def test_a_draft_can_be_opened_by_a_mail_program(ctx: ToolContext) -> None:
    status = compose_new_email(
        ctx,
        **mail(cc=["Lena <lena@example.net>"], subject="Budget", context="48,200", attachments=["budget.pdf"]),
    )
    assert status == "Drafted 'Budget' to priya.nair@example.com, with budget.pdf."
    message = draft(ctx)
    assert message["From"] == "alex.moreno@example.org"
    assert message["To"] == "priya.nair@example.com"
    assert message["Cc"] == "lena@example.net"
    assert message["X-Unsent"] == "1"
    assert body(message) == "Asked: answer politely\nKnowing: 48,200\nFor: priya.nair@example.com\n"
    (attached,) = message.iter_attachments()
    assert (attached.get_content_type(), attached.get_filename()) == ("application/pdf", "budget.pdf")
    assert attached.get_content() == (ctx.data_dir / "files" / "Work" / "budget.pdf").read_bytes()


def test_a_reply_goes_to_the_selected_message(ctx: ToolContext) -> None:
    reply_to_email(ctx, cc=[], context="Thursday suits me", attachments=[])
    message = draft(ctx)
    (original,) = (ctx.data_dir / "mail" / "inbox").glob("Kick-off*")
    its_id = message_from_bytes(original.read_bytes(), policy=policy.default)["Message-ID"]
    assert message["To"] == "priya.nair@example.com"
    assert message["Subject"] == "Re: Kick-off of the harbour project"
    assert message["In-Reply-To"] == message["References"] == its_id
    text = body(message)
    assert "Knowing: Thursday suits me\nSeeing: From: Priya Nair" in text
    assert "Priya Nair <priya.nair@example.com> wrote:\n> Hi Alex,\n>" in text


def test_a_forward_carries_the_message(ctx: ToolContext) -> None:
    (ctx.data_dir / "mail" / "selected").write_text("Boiler inspection.eml\n")
    forward_email(ctx, recipients=["ana.moreno@example.org"], cc=[], context="", attachments=["lease"])
    message = draft(ctx)
    assert message["Subject"] == "Fwd: Boiler inspection"
    original, lease = message.iter_attachments()
    assert original.get_content()["Subject"] == "Boiler inspection"
    assert lease.get_filename() == "lease.pdf"


def test_without_a_selection_the_newest_is_meant(ctx: ToolContext) -> None:
    (ctx.data_dir / "mail" / "selected").unlink()
    (ctx.data_dir / "mail" / "inbox" / "undated.eml").write_text("From: x@example.org\n\nhello")
    reply_to_email(ctx, cc=[], context="", attachments=[])
    assert draft(ctx)["Subject"] == "Re: Kick-off of the harbour project"


def test_the_selection_cannot_lead_out_of_the_inbox(ctx: ToolContext) -> None:
    (ctx.data_dir / "mail" / "selected").write_text("../../contacts/me.vcf")
    with pytest.raises(Unavailable, match="not in"):
        reply_to_email(ctx, cc=[], context="", attachments=[])
    shutil.rmtree(ctx.data_dir / "mail")
    with pytest.raises(Unavailable, match="no message is selected"):
        forward_email(ctx, recipients=["a@example.org"], cc=[], context="", attachments=[])


THREAD = " ".join(f"<{'x' * 90}.{n}@example.org>" for n in range(30))
FOREIGN = f"""\
From: =?utf-8?q?R=C3=B3isin?= <roisin@example.org>, <second@example.org>
Reply-To: not an address, "List" <list@example.org>
Subject: RE: Plans =?utf-8?q?=0D=0ABcc:_evil=40example.org?=
Message-ID: <{"y" * 120}@example.org>
References: {THREAD}
Content-Type: text/html; charset=no-such-charset

<head><title>no</title></head><p>Caf\xe9&nbsp;at <b>ten</b>?<br>Bring cash<script>no()</script></p>
"""


def test_a_foreign_message_is_quoted_and_never_trusted(ctx: ToolContext) -> None:
    (ctx.data_dir / "mail" / "inbox" / "odd.eml").write_bytes(FOREIGN.encode("latin-1"))
    (ctx.data_dir / "mail" / "selected").write_text("odd.eml")
    reply_to_email(ctx, cc=[], context="", attachments=[])
    message = draft(ctx)
    assert message["To"] == "list@example.org"
    assert message["Bcc"] is None
    assert str(message["Subject"]).startswith("RE: Plans")
    assert message["In-Reply-To"] == f"<{'y' * 120}@example.org>"
    assert message["References"].split() == [*THREAD.split()[-10:], f"<{'y' * 120}@example.org>"]
    assert "> Café at ten?\n> Bring cash\n" in body(message)
    forward_email(ctx, recipients=["ana@example.org"], cc=[], context="", attachments=[])


@pytest.mark.parametrize("inner", ["hi=0D=0ABcc:_evil=40evil.example", "s=0D=0A=0D=0AOTHER_BODY"])
def test_an_encoded_word_within_one_adds_no_header(ctx: ToolContext, inner: str) -> None:
    word = f"=?utf-8?q?{inner}?="
    nested = f"=?utf-8?b?{b64encode(word.encode()).decode()}?="
    (ctx.data_dir / "mail" / "inbox" / "odd.eml").write_text(
        f"From: a@example.org\nSubject: {nested}\nMessage-ID: <=?utf-8?q?x=0D=0ABcc:_evil=40evil.example?=@y>\n\nhello\n"
    )
    (ctx.data_dir / "mail" / "selected").write_text("odd.eml")
    reply_to_email(ctx, cc=[], context="", attachments=[])
    message = draft(ctx)
    assert message["Bcc"] is None and message["In-Reply-To"] is None
    assert str(message["Subject"]) == f"Re: {word.replace('=?', '= ?')}"
    assert body(message).startswith("Asked: ")


def test_an_encoded_word_in_an_address_or_a_files_name_is_none(ctx: ToolContext) -> None:
    with pytest.raises(InvalidArgument, match="not an email address"):
        compose_new_email(ctx, **mail(recipients=["=?utf-8?q?evil=40evil.org=2C?=x@example.com"]))
    carried = "=?utf-8?q?a=0D=0AX-Evil:_1?=.txt"
    (ctx.data_dir / "files" / carried).write_text("x")
    compose_new_email(ctx, **mail(attachments=[carried]))
    (attached,) = draft(ctx).iter_attachments()
    assert attached.get_filename() == carried.replace("=?", "= ?")
    assert "X-Evil" not in attached


def test_a_date_without_a_zone_is_of_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        unknown, utc = (
            received("x", f"Date: Wed, 3 Jun 2026 17:00:00 {zone}\n\nx".encode()) for zone in ("-0000", "+0000")
        )
        assert unknown.sent == utc.sent == datetime(2026, 6, 3, 13)
    finally:
        monkeypatch.undo()
        time.tzset()


@on_disk
@given(data=st.binary(max_size=300))
def test_any_bytes_in_the_inbox_are_a_message_or_an_error(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        inbox = Path(folder, "mail", "inbox")
        inbox.mkdir(parents=True)
        (inbox / "x.eml").write_bytes(b"From: a@example.org\n" + data)
        ctx = ToolContext(Path(folder), NOW, "", EchoWriter())
        with suppress(TinyAgentError):
            reply_to_email(ctx, cc=[], context="", attachments=[])
        with suppress(TinyAgentError):
            forward_email(ctx, recipients=["b@example.org"], cc=[], context="", attachments=[])


@on_disk
@given(subject=TRICKY, address=TRICKY)
def test_no_argument_can_add_a_header(subject: str, address: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ctx = ToolContext(Path(folder), NOW, "", EchoWriter())
        carrier = Path(folder, "files", f"a{store.stem_of(subject)}.txt")
        carrier.parent.mkdir()
        carrier.write_text("x")
        try:
            compose_new_email(ctx, **mail(subject=f"s\r\nBcc: evil@example.org\r\n{subject}", cc=[address]))
        except InvalidArgument:
            compose_new_email(
                ctx, **mail(subject=f"s\r\nBcc: evil@example.org\r\n{subject}", attachments=[str(carrier)])
            )
        names_of_headers = {name.casefold() for name, _ in draft(ctx).items()}
        assert names_of_headers <= {
            "to", "cc", "subject", "date", "message-id", "x-unsent",
            "mime-version", "content-type", "content-transfer-encoding",
        }  # fmt: skip


@pytest.mark.parametrize(
    "address",
    ["", "priya", "priya@", "@example.com", "a@b", "a@example.com, b@example.com", "a b@example.com",
     "a@example.com\nBcc: e@example.com", "a@example.com\u2028Bcc: e@example.com", "josé@example.com", "$1"],
)  # fmt: skip
def test_what_is_no_address_is_refused(ctx: ToolContext, address: str) -> None:
    with pytest.raises(InvalidArgument, match="email address"):
        compose_new_email(ctx, **mail(recipients=[address]))
    assert not (ctx.data_dir / "mail" / "drafts").exists()


def test_an_address_may_have_a_name_and_a_domain_in_any_script() -> None:
    assert arguments.email_address(" Ana Kovač <ana@kovač.example> ") == "ana@xn--kova-jua.example"


def test_any_kind_of_file_can_be_attached(ctx: ToolContext) -> None:
    kinds = {"a.eml": b"From: x\n\nhi", "b.tar.gz": b"\x1f\x8b", "c": b"\x00", "d.txt": "é".encode("latin-1")}
    for name, data in kinds.items():
        (ctx.data_dir / "files" / name).write_bytes(data)
    compose_new_email(ctx, **mail(attachments=list(kinds)))
    attached = {part.get_filename(): part.get_payload(decode=True) for part in draft(ctx).iter_attachments()}
    assert attached == kinds


def test_the_sender_is_configured_or_on_the_own_card(ctx: ToolContext) -> None:
    compose_new_email(replace(ctx, settings={"mail": {"from": "alex@work.example"}}), **mail())
    assert draft(ctx)["From"] == "alex@work.example"
    with pytest.raises(ConfigError, match="your own address 'alex' is none"):
        compose_new_email(replace(ctx, settings={"mail": {"from": "alex"}}), **mail())


def test_nothing_is_written_where_an_attachment_is_missing(ctx: ToolContext) -> None:
    before = tree(ctx.data_dir)
    with pytest.raises(NotFound):
        compose_new_email(ctx, **mail(attachments=["budget.pdf", "none.pdf"]))
    with pytest.raises(InvalidArgument, match="no recipient"):
        compose_new_email(ctx, **mail(recipients=[]))
    assert tree(ctx.data_dir) == before


def test_a_second_draft_does_not_overwrite_the_first(ctx: ToolContext) -> None:
    for _ in range(3):
        compose_new_email(ctx, **mail())
    assert len(list((ctx.data_dir / "mail" / "drafts").iterdir())) == 3


# --- maps


def query_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)


def test_maps_urls_follow_the_documented_scheme(ctx: ToolContext) -> None:
    place = maps_open_location(ctx, location="Café & Bar #3, Ávila")
    assert place.startswith("https://www.google.com/maps/search/?")
    assert query_of(place) == {"api": ["1"], "query": ["Café & Bar #3, Ávila"]}
    way = maps_show_directions(ctx, start_location="", end_location="Pier 4", transport="r")
    assert way.startswith("https://www.google.com/maps/dir/?")
    assert query_of(way) == {"api": ["1"], "destination": ["Pier 4"], "travelmode": ["transit"]}


def test_apple_maps_by_setting(ctx: ToolContext) -> None:
    apple = replace(ctx, settings={"maps": {"provider": "apple"}})
    way = maps_show_directions(apple, start_location="Home", end_location="Pier 4", transport="w")
    assert query_of(way) == {"saddr": ["Home"], "daddr": ["Pier 4"], "dirflg": ["w"]}
    assert query_of(maps_open_location(apple, location="Pier 4")) == {"q": ["Pier 4"]}


def test_maps_refuse_what_cannot_be_meant(ctx: ToolContext) -> None:
    with pytest.raises(InvalidArgument, match="destination is empty"):
        maps_show_directions(ctx, start_location="Home", end_location="", transport="d")
    with pytest.raises(InvalidArgument, match="transport 'bike'"):
        maps_show_directions(ctx, start_location="", end_location="Pier 4", transport="bike")
    with pytest.raises(ConfigError, match=r"maps\.provider"):
        maps_open_location(replace(ctx, settings={"maps": {"provider": "atlas"}}), location="Pier 4")


# --- notes


def test_a_note_lies_in_the_nested_folder_that_is_there(ctx: ToolContext) -> None:
    nested = ctx.data_dir / "notes" / "Work" / "Projects"
    nested.mkdir(parents=True)
    (nested / "Plan.md").write_text("# Plan\n")
    assert (
        create_note(ctx, name="Tides", content="", folder="work/projects") == "Created the note 'Work/Projects/Tides'."
    )
    assert (nested / "Tides.md").exists()


def test_a_note_is_a_markdown_file_with_its_title(ctx: ToolContext) -> None:
    assert create_note(ctx, name="Ferry ideas", content="- night map", folder="work") == (
        "Created the note 'Work/Ferry ideas'."  # into the folder that is there
    )
    path = ctx.data_dir / "notes" / "Work" / "Ferry ideas.md"
    assert path.read_text() == "# Ferry ideas\n\n- night map\n"
    append_note_content(ctx, name="ferry ideas", content="- tides", folder="")
    assert path.read_text() == "# Ferry ideas\n\n- night map\n- tides\n"
    assert open_note(ctx, name="FERRY IDEAS", folder="Work") == "- night map\n- tides"


def test_creating_never_overwrites(ctx: ToolContext) -> None:
    before = tree(ctx.data_dir)
    with pytest.raises(InvalidArgument) as caught:
        create_note(ctx, name="shopping LIST", content="gone?", folder="")
    assert caught.value.fix == "append to it, or choose another name"
    assert tree(ctx.data_dir) == before
    create_note(ctx, name="Shopping list", content="- chalk", folder="Climbing")  # another folder, another note
    with pytest.raises(Ambiguous) as both:
        open_note(ctx, name="Shopping list", folder="")
    assert both.value.candidates == ["Climbing/Shopping list", "Shopping list"]
    assert open_note(ctx, name="Climbing/Shopping list", folder="") == "- chalk"


def test_appending_never_creates(ctx: ToolContext) -> None:
    before = tree(ctx.data_dir)
    with pytest.raises(NotFound) as caught:
        append_note_content(ctx, name="Shoping lst", content="- milk", folder="")
    assert "Shopping list" in str(caught.value.fix)
    with pytest.raises(NotFound, match="no folder 'Wrok'") as folder:
        append_note_content(ctx, name="Q3 goals", content="4. Rest", folder="Wrok")
    assert folder.value.fix == "did you mean Work?"
    with pytest.raises(InvalidArgument, match="nothing to append"):
        append_note_content(ctx, name="Q3 goals", content=" ", folder="")
    assert tree(ctx.data_dir) == before


def test_notes_of_other_programs_are_found(ctx: ToolContext) -> None:
    root = ctx.data_dir / "notes"
    (root / ".trash").mkdir()
    (root / ".trash" / "old.md").write_text("# Old\n")
    (root / "plain.md").write_bytes(b"no heading\r\n")
    (root / "latin.md").write_bytes(b"# Caf\xe9\n")
    assert open_note(ctx, name="plain", folder="") == "no heading"
    with pytest.raises(NotFound):
        open_note(ctx, name="old", folder="")
    with pytest.raises(Unavailable, match="not UTF-8"):
        append_note_content(ctx, name="latin", content="x", folder="")


@on_disk
@given(name=TRICKY.filter(lambda text: arguments.one_line(text) != ""), folder=TRICKY)
def test_no_name_leaves_the_folder_and_each_is_found_again(name: str, folder: str) -> None:
    with tempfile.TemporaryDirectory() as base:
        ctx = ToolContext(Path(base, "data"), NOW, "", EchoWriter())
        create_note(ctx, name=name, content="found", folder=folder)
        outside = [path for path in Path(base).rglob("*") if path.is_file() and path.suffix == ".md"]
        assert [path.relative_to(ctx.data_dir / "notes").suffix for path in outside] == [".md"]
        assert open_note(ctx, name=name, folder="") == "found"


@pytest.mark.parametrize(
    "title", ["../../etc/passwd", "a/b", "C:\\x", "NUL", "con.txt", ".hidden", "100 %", "é" * 200, "~"]
)
def test_file_names_are_safe_on_every_system(title: str) -> None:
    stem = store.stem_of(title)
    assert not set(stem) & set('/\\:*?"<>|')
    assert not stem.startswith((".", "~"))
    assert stem.casefold().split(".")[0] not in {"nul", "con"}
    assert len(stem.encode()) <= 140
    assert store.title_of(stem) == title or len(title) == 200


@on_disk
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=10))
def test_file_names_give_the_title_back(title: str) -> None:
    assert store.title_of(store.stem_of(title)) == title


# --- messages


def test_a_message_waits_in_the_outbox(ctx: ToolContext) -> None:
    send_sms(ctx, recipients=["555-0110", "+34 600 112 233", "(555) 0110"], message="Ten minutes late, sorry! 🙈")
    (path,) = (ctx.data_dir / "messages" / "outbox").iterdir()
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document.pop("id")
    assert document == {
        "created": "2024-06-03T09:30:00",
        "recipients": ["5550110", "+34600112233"],
        "text": "Ten minutes late, sorry! 🙈",
    }


@pytest.mark.parametrize("recipient", ["Priya", "", "12", "+", "555-0110x3", "1" * 16, "٥٥٥٠١١٠"])
def test_what_is_no_phone_number_is_refused(ctx: ToolContext, recipient: str) -> None:
    with pytest.raises(InvalidArgument, match="not a phone number"):
        send_sms(ctx, recipients=["555-0110", recipient], message="hi")
    assert not (ctx.data_dir / "messages").exists()


def test_a_message_needs_a_recipient_and_a_text(ctx: ToolContext) -> None:
    with pytest.raises(InvalidArgument, match="no recipient"):
        send_sms(ctx, recipients=[], message="hi")
    with pytest.raises(InvalidArgument, match="message is empty"):
        send_sms(ctx, recipients=["555-0110"], message=" \n")


# --- every tool that writes, when it cannot

WRITES: list[tuple[Callable[..., str], dict[str, Any]]] = [
    (create_calendar_event, event()),
    (create_reminder, reminder()),
    (compose_new_email, mail(attachments=["budget.pdf"])),
    (reply_to_email, {"cc": [], "context": "", "attachments": []}),
    (forward_email, {"recipients": ["a@example.org"], "cc": [], "context": "", "attachments": []}),
    (create_note, {"name": "New", "content": "x", "folder": "Work"}),
    (append_note_content, {"name": "Shopping list", "content": "- tofu", "folder": ""}),
    (send_sms, {"recipients": ["555-0110"], "message": "hi"}),
]
each_write = pytest.mark.parametrize(("tool", "arguments_"), WRITES, ids=lambda v: getattr(v, "__name__", ""))


READS: list[tuple[Callable[..., str], dict[str, Any]]] = [
    (get_phone_number, {"name": "Priya"}),
    (get_email_address, {"name": "Priya"}),
    (open_and_get_file_path, {"file_name": "budget"}),
    (summarize_pdf, {"pdf_path": "budget"}),
    (open_note, {"name": "Shopping list", "folder": ""}),
]


def closed(mode_of_folders: int, mode_of_files: int) -> Iterator[ToolContext]:
    """Sample data without some rights, also where the tests run as root, who has them all."""
    base = Path(tempfile.mkdtemp())
    ctx = sampled(base / "data")
    base.chmod(0o755)
    everything = [ctx.data_dir, *ctx.data_dir.rglob("*")]
    for path in reversed(everything):
        path.chmod(mode_of_folders if path.is_dir() else mode_of_files)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield ctx
    finally:
        if root:
            os.seteuid(0)
        for path in everything:
            path.chmod(0o755)
        shutil.rmtree(base)


@pytest.fixture
def read_only() -> Iterator[ToolContext]:
    yield from closed(0o555, 0o444)


@pytest.fixture
def unreadable() -> Iterator[ToolContext]:
    yield from closed(0o000, 0o000)


posix = pytest.mark.skipif(sys.platform == "win32", reason="folders have no such permission there")


@posix
@each_write
def test_a_read_only_folder(read_only: ToolContext, tool: Callable[..., str], arguments_: dict[str, Any]) -> None:
    before = tree(read_only.data_dir)
    with pytest.raises(Unavailable, match=r"cannot write .*: Permission denied") as caught:
        tool(read_only, **arguments_)
    assert str(read_only.data_dir) in caught.value.message
    assert "data folder" in str(caught.value.fix)
    assert tree(read_only.data_dir) == before


@posix
@pytest.mark.parametrize(("tool", "arguments_"), READS + WRITES, ids=lambda v: getattr(v, "__name__", ""))
def test_an_unreadable_folder(unreadable: ToolContext, tool: Callable[..., str], arguments_: dict[str, Any]) -> None:
    with pytest.raises(TinyAgentError):
        tool(unreadable, **arguments_)


@each_write
def test_a_full_disk_leaves_nothing_half_written(
    ctx: ToolContext, tool: Callable[..., str], arguments_: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(ctx.data_dir)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left") as caught:
        tool(ctx, **arguments_)
    assert caught.value.fix == "free some space"
    assert tree(ctx.data_dir) == before


@each_write
def test_a_file_where_a_folder_should_be(
    ctx: ToolContext, tool: Callable[..., str], arguments_: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    nowhere = replace(ctx, data_dir=tmp_path / "file")
    with pytest.raises(TinyAgentError):
        tool(nowhere, **arguments_)


def test_a_new_file_never_overwrites_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: object, target: object) -> None:
        raise OSError(errno.EPERM, "no hard links on FAT")

    monkeypatch.setattr(os, "link", refuse)
    assert store.create_unique(tmp_path, "a", ".txt", b"1").name == "a.txt"
    assert store.create_unique(tmp_path, "a", ".txt", b"2").name == "a-2.txt"
    assert tree(tmp_path) == {"a.txt": b"1", "a-2.txt": b"2"}


# --- sample data


def test_the_sample_is_whole_and_believable(tmp_path: Path) -> None:
    made = create_sample(tmp_path / "new", NOW)
    assert all(path.is_file() for path in made)
    pdfs = [path for path in made if path.suffix == ".pdf"]
    assert len(pdfs) == 4
    assert all(page.extract_text() for path in pdfs for page in PdfReader(path).pages)
    people = sum(path.read_text().count("BEGIN:VCARD") for path in made if path.suffix == ".vcf")
    assert people >= 16


def test_the_sample_touches_no_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="not empty"):
        create_sample(tmp_path, NOW)
    assert tree(tmp_path) == {"mine.txt": b"x"}


def test_a_sample_that_fails_leaves_the_folder_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create = store.create

    def fail_at_notes(path: Path, data: bytes) -> None:
        if path.suffix == ".md":
            raise Unavailable("the disk is full")
        create(path, data)

    monkeypatch.setattr(store, "create", fail_at_notes)
    with pytest.raises(Unavailable):
        create_sample(tmp_path, NOW)
    assert list(tmp_path.iterdir()) == []


# --- names


@pytest.mark.parametrize(("one", "other"), [("Łukasz  Ødegård", "lukasz odegard"), ("STRASSE", "Straße")])
def test_names_are_compared_as_they_are_typed(one: str, other: str) -> None:
    assert names.fold(one) == names.fold(other)


@on_disk
@given(TRICKY)
def test_folding_twice_is_folding_once(text: str) -> None:
    assert names.fold(names.fold(text)) == names.fold(text)
