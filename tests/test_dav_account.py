"""Calendars, reminders and contacts in an account: through a real server (Radicale), with another client (vdirsyncer) at the other end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from icalendar import Calendar, Component
from local_servers import HOST, PASSWORD, USER, Radicale, Web, authority, server_tls
from vdirsyncer.storage.dav import CalDAVStorage, CardDAVStorage, DAVStorage
from vdirsyncer.vobject import Item

from pipeline.errors import ConfigError, TinyAgentError
from pipeline.tools.context import (
    Ambiguous,
    Change,
    InDoubt,
    InvalidArgument,
    Monitor,
    NotFound,
    ToolContext,
    Unavailable,
    Unreachable,
    Written,
    recording,
)
from pipeline.tools.desktop import carddav, dav
from pipeline.tools.desktop.calendar import create_calendar_event
from pipeline.tools.desktop.contacts import get_email_address, get_phone_number
from pipeline.tools.desktop.reminders import create_reminder
from pipeline.tools.desktop.undo import CannotUndo, take_back

NOW = datetime(2026, 5, 13, 9, 30)
LISBON = ZoneInfo("Europe/Lisbon")


class NoWriter:
    def compose(
        self, *, request: str, context: str, recipients: list[str], thread: str = "", monitor: Monitor | None = None
    ) -> Written:
        raise AssertionError("calendars need no prose")

    def summarize(self, pages: Iterable[str], *, request: str = "", monitor: Monitor | None = None) -> Written:
        raise AssertionError("calendars need no prose")


class Reader:
    """vdirsyncer, as the user at the same server."""

    def __init__(self, url: str) -> None:
        self._login = {"url": url, "username": USER, "password": PASSWORD}

    def make(self, kind: type[DAVStorage], name: str) -> str:
        """Make a collection and return its URL."""

        async def go(connector: aiohttp.TCPConnector) -> str:
            made = await kind.create_collection(name, connector=connector, **self._login)
            await kind(connector=connector, **self._login | {"url": made["url"]}).set_meta("displayname", name)
            return str(made["url"])

        return str(self._run(go))

    def upload(self, kind: type[DAVStorage], url: str, *texts: str) -> None:
        async def go(connector: aiohttp.TCPConnector) -> None:
            storage = kind(connector=connector, **self._login | {"url": url})
            for text in texts:
                await storage.upload(Item(text))

        self._run(go)

    def items(self, kind: type[DAVStorage]) -> dict[str, list[str]]:
        """Return what is in all collections, by their names in the URL."""

        async def go(connector: aiohttp.TCPConnector) -> dict[str, list[str]]:
            found = {}
            async for place in kind.discover(connector=connector, **self._login):
                storage = kind(connector=connector, **self._login | {"url": place["url"]})
                hrefs = [href async for href, _ in _each(storage.list())]
                texts = [(await storage.get(href))[0].raw for href in hrefs]
                found[await storage.get_meta("displayname") or place["collection"]] = texts
            return found

        return dict(self._run(go))

    def components(self, name: str = "VEVENT") -> dict[str, list[Component]]:
        return {
            place: [found for text in texts for found in Calendar.from_ical(text).walk(name)]
            for place, texts in self.items(CalDAVStorage).items()
        }

    @staticmethod
    def _run(go: Callable[[aiohttp.TCPConnector], Any]) -> Any:
        async def connected() -> Any:
            async with aiohttp.TCPConnector() as connector:
                return await go(connector)

        return asyncio.run(connected())


async def _each(listed: Any) -> Any:
    if hasattr(listed, "__aiter__"):
        async for item in listed:
            yield item
    else:
        for item in await listed:
            yield item


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Radicale]:
    server = Radicale(tmp_path / "radicale")
    yield server
    server.close()


@pytest.fixture
def other(server: Radicale) -> Reader:
    return Reader(server.url)


@pytest.fixture
def home(other: Reader) -> str:
    """The URL of a calendar named "personal"."""
    return other.make(CalDAVStorage, "personal")


@pytest.fixture
def ctx(server: Radicale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToolContext:
    monkeypatch.setenv("DAV_PASSWORD", PASSWORD)
    login = {"user": USER, "password_env": "DAV_PASSWORD", "timeout": 10}
    settings = {
        "calendar": {"caldav": server.url, "timezone": "Europe/Lisbon"} | login,
        "reminders": {"caldav": server.url, "timezone": "Europe/Lisbon"} | login,
        "contacts": {"carddav": server.url} | login,
    }
    return ToolContext(tmp_path / "data", NOW, "", NoWriter(), settings)


def with_settings(ctx: ToolContext, app: str, **changes: Any) -> ToolContext:
    return replace(ctx, settings={**ctx.settings, app: {**ctx.settings[app], **changes}})


def event(**changes: Any) -> dict[str, Any]:
    return {
        "title": "Kick-off",
        "start_date": "2026-05-14 10:00:00",
        "end_date": "2026-05-14 11:00:00",
        "location": "",
        "invitees": [],
        "notes": "",
        "calendar": "",
    } | changes


def reminder(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Pay the rent",
        "due_date": "2026-05-15 17:00:00",
        "notes": "",
        "list_name": "",
        "priority": 0,
        "all_day": False,
    } | changes


# ── events ───────────────────────────────────────────────────────────────────────────────────────────


def test_an_event_lies_in_the_account_as_it_was_meant(ctx: ToolContext, home: str, other: Reader) -> None:
    notes = "https://meet.example/x?a=1,2;b\nBring: ☕\\n"
    status = create_calendar_event(
        ctx,
        **event(
            title="Grüße; 会議, 🎉",
            location='Room 5, "left"',
            notes=notes,
            invitees=["omar@example.com", "a@b.example"],
        ),
    )
    assert status == "Added 'Grüße; 会議, 🎉' to personal, Thursday, 2026-05-14 10:00 to 11:00."
    [found] = other.components()["personal"]
    assert str(found["summary"]) == "Grüße; 会議, 🎉"
    assert str(found["location"]) == 'Room 5, "left"'
    assert str(found["description"]) == notes
    assert found.decoded("dtstart") == datetime(2026, 5, 14, 10, tzinfo=LISBON)
    assert found["dtstart"].params["TZID"] == "Europe/Lisbon"
    assert [str(attendee) for attendee in found["attendee"]] == ["mailto:omar@example.com", "mailto:a@b.example"]
    assert {attendee.params["SCHEDULE-AGENT"] for attendee in found["attendee"]} == {
        "NONE"
    }  # the server invites nobody
    assert not (ctx.data_dir / "calendars").exists()


@pytest.mark.parametrize(
    ("zone", "start", "meant"),
    [
        ("Europe/Lisbon", "2026-07-01 10:00:00", "2026-07-01 09:00"),
        ("Europe/Lisbon", "2026-12-01 10:00:00", "2026-12-01 10:00"),
        ("America/New_York", "2026-10-31 10:00:00", "2026-10-31 14:00"),
        ("America/New_York", "2026-11-02 10:00:00", "2026-11-02 15:00"),  # the clocks went back the day before
        ("Asia/Kathmandu", "2026-07-01 10:00:00", "2026-07-01 04:15"),
        ("<-03>3", "2026-07-01 10:00:00", "2026-07-01 13:00"),  # a rule without a name
    ],
)
def test_the_moment_is_right_wherever_it_is_read(
    ctx: ToolContext, home: str, other: Reader, monkeypatch: pytest.MonkeyPatch, zone: str, start: str, meant: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        end = f"{start[:11]}11:30:00"
        create_calendar_event(with_settings(ctx, "calendar", timezone=None), **event(start_date=start, end_date=end))
    finally:
        monkeypatch.undo()
        time.tzset()
    [text] = other.items(CalDAVStorage)["personal"]
    [found] = Calendar.from_ical(text).walk("VEVENT")
    begins, ends = (found.decoded(name) for name in ("dtstart", "dtend"))
    assert f"{begins.astimezone(UTC):%Y-%m-%d %H:%M}" == meant
    assert ends - begins == timedelta(minutes=90)
    assert ("BEGIN:VTIMEZONE" in text) == ("/" in zone)


def test_a_whole_day_is_a_date(ctx: ToolContext, home: str, other: Reader) -> None:
    create_calendar_event(ctx, **event(start_date="2026-05-14 00:00:00", end_date="2026-05-15 23:59:59"))
    [found] = other.components()["personal"]
    assert (found.decoded("dtstart"), found.decoded("dtend")) == (date(2026, 5, 14), date(2026, 5, 16))


def test_a_call_made_again_finds_its_event(ctx: ToolContext, server: Radicale, home: str, other: Reader) -> None:
    keyed = replace(ctx, key="20260513-093000-abc123.0.1")
    with recording() as changes:
        assert create_calendar_event(keyed, **event()) == create_calendar_event(keyed, **event())
    [found] = other.components()["personal"]
    assert "20260513" not in found["uid"]
    assert changes[0] == changes[1]  # so that either can be taken back
    create_calendar_event(replace(ctx, key="20260513-093000-abc123.0.2"), **event())
    create_calendar_event(ctx, **event())
    create_calendar_event(ctx, **event())
    assert len(other.components()["personal"]) == 4


def test_an_answer_that_is_lost_leaves_a_doubt_that_the_next_call_settles(
    ctx: ToolContext, server: Radicale, home: str, other: Reader
) -> None:
    keyed = replace(ctx, key="run.0.1")
    server.lose = {"PUT"}
    with pytest.raises(InDoubt, match="not known whether") as caught:
        create_calendar_event(keyed, **event())
    assert "changes nothing if it was done" in str(caught.value.fix)
    server.lose = set()
    create_calendar_event(keyed, **event())
    assert len(other.components()["personal"]) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "x\r\nATTENDEE:mailto:eve@evil.example\r\nSUMMARY:y"},
        {"notes": "x\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nSUMMARY:evil\u2028\x00"},
        {"location": "x\nURL:https://evil.example"},
        {"title": "x" * 20_000, "notes": "line\n" * 50_000},
    ],
)
def test_a_text_stays_a_text(ctx: ToolContext, home: str, other: Reader, changes: dict[str, Any]) -> None:
    create_calendar_event(ctx, **event(**changes))
    [found] = other.components()["personal"]
    assert "attendee" not in found and "url" not in found
    assert set(found) <= {"UID", "DTSTAMP", "SUMMARY", "DTSTART", "DTEND", "LOCATION", "DESCRIPTION"}


def test_a_calendar_is_found_by_its_name_or_made(ctx: ToolContext, home: str, other: Reader) -> None:
    other.make(CalDAVStorage, "work")
    assert "to work," in create_calendar_event(ctx, **event(calendar="WORK"))
    assert "to Família & Co," in create_calendar_event(ctx, **event(calendar="Família & Co"))
    assert "to Família & Co," in create_calendar_event(ctx, **event(calendar="familia & co"))
    counts = {name: len(found) for name, found in other.components().items()}
    assert counts == {"personal": 0, "work": 1, "Família & Co": 2}
    assert "to work," in create_calendar_event(with_settings(ctx, "calendar", default="Work"), **event())


def test_two_calendars_of_one_name(ctx: ToolContext, home: str, other: Reader) -> None:
    create_calendar_event(ctx, **event(calendar="Personal!"))

    async def rename(connector: aiohttp.TCPConnector) -> None:
        storage = CalDAVStorage(connector=connector, url=home, username=USER, password=PASSWORD)
        await storage.set_meta("displayname", "Personal!")

    other._run(rename)
    with pytest.raises(Ambiguous) as caught:
        create_calendar_event(ctx, **event(calendar="personal!"))
    assert len(caught.value.candidates) == 2
    assert "/personal/)" in "".join(caught.value.candidates)  # what tells them apart


def test_in_an_empty_account_a_calendar_is_made(ctx: ToolContext, other: Reader) -> None:
    assert "to Calendar," in create_calendar_event(ctx, **event())
    assert "to Calendar," in create_calendar_event(ctx, **event())
    assert {name: len(found) for name, found in other.components().items()} == {"Calendar": 2}


@pytest.mark.parametrize("where", ["", "alex%40example.com/", "alex%40example.com/personal/"])
def test_the_url_may_be_that_of_server_user_or_calendar(
    ctx: ToolContext, server: Radicale, home: str, other: Reader, where: str
) -> None:
    create_calendar_event(with_settings(ctx, "calendar", caldav=server.url + where), **event())
    assert len(other.components()["personal"]) == 1


def test_nothing_is_asked_of_the_server_for_an_event_that_cannot_be_meant(
    ctx: ToolContext, server: Radicale, home: str
) -> None:
    before = list(server.requests)
    with pytest.raises(InvalidArgument):
        create_calendar_event(ctx, **event(end_date="2026-05-14 09:00:00"))
    with pytest.raises(ConfigError, match="no time zone 'Lisboa'"):
        create_calendar_event(with_settings(ctx, "calendar", timezone="Lisboa"), **event())
    assert server.requests == before


# ── reminders ────────────────────────────────────────────────────────────────────────────────────────


def test_a_reminder_lies_in_the_account_and_rings(ctx: ToolContext, other: Reader) -> None:
    status = create_reminder(ctx, **reminder(priority=1, notes="1,150"))
    assert status == "Added 'Pay the rent' to Reminders, due Friday, 2026-05-15 17:00."
    [todo] = other.components("VTODO")["Reminders"]
    assert todo.decoded("due") == datetime(2026, 5, 15, 17, tzinfo=LISBON)
    assert (todo["priority"], str(todo["description"])) == (1, "1,150")
    [alarm] = todo.walk("VALARM")
    assert alarm.decoded("trigger") == timedelta(0)


def test_a_list_takes_no_events_and_a_calendar_no_reminders_if_they_say_so(ctx: ToolContext, other: Reader) -> None:
    create_reminder(ctx, **reminder(list_name="Errands"))
    with pytest.raises(InvalidArgument, match="'Errands' does not take this"):
        create_calendar_event(ctx, **event(calendar="Errands"))
    create_calendar_event(ctx, **event(calendar="Work"))
    create_reminder(ctx, **reminder(due_date="2026-05-15", all_day=True))
    assert {name: len(found) for name, found in other.components("VTODO").items()} == {"Errands": 2, "Work": 0}
    assert other.components("VTODO")["Errands"][1].decoded("due") in (
        date(2026, 5, 15),
        datetime(2026, 5, 15, 17, tzinfo=LISBON),
    )


# ── taking back ──────────────────────────────────────────────────────────────────────────────────────


def made(ctx: ToolContext) -> Change:
    with recording() as changes:
        create_calendar_event(ctx, **event())
    [change] = changes
    return change


def test_an_event_is_taken_back(ctx: ToolContext, home: str, other: Reader) -> None:
    change = made(ctx)
    create_calendar_event(ctx, **event(title="Other"))
    assert take_back(change, ctx.data_dir, ctx.settings) == f"removed {change.place}"
    assert [str(found["summary"]) for found in other.components()["personal"]] == ["Other"]
    with pytest.raises(CannotUndo, match="not there any more"):
        take_back(change, ctx.data_dir, ctx.settings)


def test_an_event_that_was_changed_since_is_left(ctx: ToolContext, home: str, other: Reader) -> None:
    change = made(ctx)
    [text] = other.items(CalDAVStorage)["personal"]

    async def edit(connector: aiohttp.TCPConnector) -> None:
        storage = CalDAVStorage(connector=connector, url=home, username=USER, password=PASSWORD)
        [(href, etag)] = [pair async for pair in _each(storage.list())]
        await storage.update(href, Item(text.replace("Kick-off", "Moved")), etag)

    other._run(edit)
    with pytest.raises(CannotUndo, match="changed since"):
        take_back(change, ctx.data_dir, ctx.settings)
    [found] = other.components()["personal"]
    assert str(found["summary"]) == "Moved"
    with pytest.raises(CannotUndo, match="do not name any more"):
        take_back(change, ctx.data_dir, {})


# ── contacts ─────────────────────────────────────────────────────────────────────────────────────────


def card(name: str, number: str, *lines: str) -> str:
    given, _, family = name.partition(" ")
    start = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{name}\r\nFN:{name}\r\nN:{family};{given};;;\r\n"
    return start + "".join(f"{line}\r\n" for line in (f"TEL;TYPE=CELL:{number}", *lines)) + "END:VCARD\r\n"


@pytest.fixture
def book(other: Reader) -> str:
    return other.make(CardDAVStorage, "people")


def test_names_are_looked_up_in_the_address_books(ctx: ToolContext, book: str, other: Reader) -> None:
    more = other.make(CardDAVStorage, "club")
    other.upload(
        CardDAVStorage, book, card("José Nuñez", "555-0105", "EMAIL:jose@example.com"), card("Zoë Quinn", "555-0106")
    )
    other.upload(CardDAVStorage, more, card("Zoe Adams", "555-0107", "TITLE:trainer"))
    assert get_phone_number(ctx, name="jose") == "555-0105"
    assert get_email_address(ctx, name="José Nuñez") == "jose@example.com"
    assert get_phone_number(ctx, name="the trainer") == "555-0107"
    with pytest.raises(Ambiguous, match=r"Zoë Quinn .* and Zoe Adams|Zoe Adams .* and Zoë Quinn"):
        get_phone_number(ctx, name="Zoe")
    with pytest.raises(NotFound) as caught:
        get_phone_number(ctx, name="Jose Nunes")
    assert "José Nuñez" in str(caught.value.fix)


def test_who_sister_is_stands_on_ones_own_card_here(ctx: ToolContext, book: str, other: Reader) -> None:
    own = ctx.data_dir / "contacts" / "me.vcf"
    own.parent.mkdir(parents=True)
    own.write_text(card("Alex Costa", "555-0100", "RELATED;TYPE=sister;VALUE=text:Inês Costa"), encoding="utf-8")
    other.upload(CardDAVStorage, book, card("Inês Costa", "555-0103"), card("Alex Costa", "555-0100"))
    assert get_phone_number(ctx, name="my sister") == "555-0103"
    assert get_phone_number(ctx, name="me") == "555-0100"
    assert get_phone_number(ctx, name="Costa") == "555-0103"  # one's own card fits no other name


def test_cards_are_asked_for_in_batches(
    ctx: ToolContext, server: Radicale, book: str, other: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.upload(CardDAVStorage, book, *(card(f"Person {n}", f"555-{n:04d}") for n in range(7)))
    monkeypatch.setattr(carddav, "_BATCH", 3)
    server.requests.clear()
    assert get_phone_number(ctx, name="Person 6") == "555-0006"
    assert [method for method, _ in server.requests].count("REPORT") == 3


def test_an_address_book_with_nobody(ctx: ToolContext, book: str) -> None:
    with pytest.raises(Unavailable, match="nobody in the address books"):
        get_phone_number(ctx, name="Zoe")


def test_no_address_book(ctx: ToolContext) -> None:
    with pytest.raises(Unavailable, match="there is no address book at"):
        get_phone_number(ctx, name="Zoe")


# ── what a server may do ─────────────────────────────────────────────────────────────────────────────


def test_a_certificate_is_checked(tmp_path: Path, ctx: ToolContext) -> None:
    ca = authority()
    trusted = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(trusted))
    server = Radicale(tmp_path / "secure", tls=server_tls(ca))
    try:
        here = with_settings(ctx, "calendar", caldav=server.url)
        with pytest.raises(Unavailable, match=r"certificate .* is not trusted"):
            create_calendar_event(here, **event())
        assert server.requests == []  # nobody was told the password
        create_calendar_event(with_settings(here, "calendar", ca_file=str(trusted)), **event())
        named = with_settings(here, "calendar", ca_file=str(trusted), caldav=server.url.replace(HOST, "localhost"))
        with pytest.raises(Unavailable, match=r"certificate .* is not trusted"):
            create_calendar_event(named, **event())
    finally:
        server.close()


def test_a_wrong_password_is_told_and_not_shown(ctx: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAV_PASSWORD", "not-the-password")
    for call in (
        lambda: create_calendar_event(ctx, **event()),
        lambda: create_reminder(ctx, **reminder()),
        lambda: get_phone_number(ctx, name="Zoe"),
    ):
        with pytest.raises(Unavailable, match=f"refuses the user {USER} or the password") as caught:
            call()
        assert "not-the-password" not in f"{caught.value} {caught.value.__cause__!r}"


MULTISTATUS = {"Content-Type": "application/xml"}


def response(href: str, *properties: str) -> bytes:
    inner = "".join(properties)
    return (
        f'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav"><d:response><d:href>{href}</d:href>'
        f"<d:propstat><d:prop>{inner}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"
    ).encode()


CALENDAR = "<d:resourcetype><d:collection/><c:calendar/></d:resourcetype><d:displayname>Work</d:displayname>"
BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>' + response("/", "&b;")


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ((207, MULTISTATUS, b"no XML"), Unavailable, "no XML"),
        ((207, MULTISTATUS, BOMB), Unavailable, "document type"),
        ((207, MULTISTATUS, BOMB.decode().encode("utf-16")), Unavailable, "no XML"),
        ((207, MULTISTATUS, response("http://[bad", CALENDAR)), Unavailable, "no safe URL"),
        ((207, MULTISTATUS, response("file:///etc/passwd", CALENDAR)), Unavailable, "no safe URL"),
        ((207, MULTISTATUS, response("/")), Unavailable, "there is no calendar at"),
        ((207, MULTISTATUS, b'<multistatus xmlns="DAV:"/>'), Unavailable, "says nothing of"),
        ((200, {}, b"<html>hello</html>"), Unavailable, "no place for this"),
        ((404, {}, b""), Unavailable, "404 Not Found"),
        ((403, {}, b""), Unavailable, "403 Forbidden"),
        ((503, {}, b""), Unreachable, "503"),
        ((301, {"Location": "/again"}, b""), Unavailable, "301"),
        ((301, {"Location": "gopher://x/"}, b""), Unavailable, "no safe URL"),
        ((207, MULTISTATUS, b"x" * 200_000), Unavailable, "answers with more than"),
    ],
)
def test_what_a_server_may_answer(
    ctx: ToolContext,
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, dict[str, str], bytes],
    error: type[TinyAgentError],
    said: str,
) -> None:
    monkeypatch.setattr(dav, "MAX_BYTES", 100_000)
    web = Web(lambda method, path, body: answer)
    try:
        with pytest.raises(error, match=said):
            create_calendar_event(with_settings(ctx, "calendar", caldav=web.url), **event())
    finally:
        web.close()
    assert {method for method, _ in web.requests} == {"PROPFIND"}  # nothing was changed
    assert len(web.requests) <= 10


@pytest.mark.parametrize(
    ("put", "error", "said"),
    [
        ((403, {}, b""), Unavailable, "Work does not take it.*403"),
        ((507, {}, b""), Unavailable, "make room"),
        ((500, {}, b""), InDoubt, "not known whether"),
        ((401, {}, b""), Unavailable, "refuses the user"),
    ],
)
def test_what_a_server_may_say_to_an_event(
    ctx: ToolContext, put: tuple[int, dict[str, str], bytes], error: type[TinyAgentError], said: str
) -> None:
    web = Web(lambda method, path, body: put if method == "PUT" else (207, MULTISTATUS, response("/", CALENDAR)))
    try:
        with pytest.raises(error, match=said):
            create_calendar_event(with_settings(ctx, "calendar", caldav=web.url), **event())
    finally:
        web.close()
    assert [method for method, _ in web.requests].count("PUT") == 1


def test_an_event_that_is_there_is_made_even_if_nothing_more_is_heard_of_it(ctx: ToolContext) -> None:
    """The server tells no ETag, which it may, and then none when it is asked."""
    put = []

    def answer(method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if method == "PUT":
            put.append(path)
            return 201, {}, b""
        return (503, {}, b"") if path in put else (207, MULTISTATUS, response("/", CALENDAR))

    web = Web(answer)
    settings = with_settings(ctx, "calendar", caldav=web.url)
    try:
        with recording() as changes:
            assert "Work" in create_calendar_event(settings, **event())
        (change,) = changes
        assert change.created and not change.digest
        with pytest.raises(CannotUndo, match="by hand"):
            take_back(change, settings.data_dir, settings.settings)
    finally:
        web.close()
    assert "DELETE" not in {method for method, _ in web.requests}


def test_a_calendar_that_may_not_be_written_is_passed_by(ctx: ToolContext) -> None:
    readable = "<d:current-user-privilege-set><d:privilege><d:read/></d:privilege></d:current-user-privilege-set>"

    def answer(method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        return (207, MULTISTATUS, response("/", CALENDAR, readable)) if path == "/" else (403, {}, b"")

    web = Web(answer)
    try:
        with pytest.raises(Unavailable, match="no calendar 'Calendar' can be made"):
            create_calendar_event(with_settings(ctx, "calendar", caldav=web.url), **event())
        with pytest.raises(InvalidArgument, match="'work' does not take this"):
            create_calendar_event(with_settings(ctx, "calendar", caldav=web.url), **event(calendar="work"))
    finally:
        web.close()


def test_the_path_that_a_server_is_known_to_have_is_tried(ctx: ToolContext) -> None:
    """Many servers say nothing at their root but lead on from /.well-known/caldav (RFC 6764)."""

    def answer(method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if method == "PUT":
            return 201, {"ETag": '"1"'}, b""
        if path == "/.well-known/caldav":
            return 301, {"Location": "/dav/agenda/"}, b""
        return (207, MULTISTATUS, response(path, CALENDAR)) if path == "/dav/agenda/" else (405, {}, b"")

    web = Web(answer)
    try:
        assert "to Work," in create_calendar_event(with_settings(ctx, "calendar", caldav=web.url), **event())
    finally:
        web.close()
    assert web.requests[-1][0] == "PUT" and web.requests[-1][1].startswith("/dav/agenda/")


def test_nobody_answers(ctx: ToolContext) -> None:
    nobody = with_settings(ctx, "contacts", carddav=f"http://{HOST}:9/")  # the discard port
    with pytest.raises(Unreachable, match="port 9 refuses the connection"):
        get_phone_number(nobody, name="Zoe")


def test_without_encryption_no_server_but_this_machine_is_told_the_password(ctx: ToolContext) -> None:
    with pytest.raises(ConfigError, match=r"apps\.contacts\.carddav: must be an https URL"):
        get_phone_number(with_settings(ctx, "contacts", carddav="http://dav.example.org/"), name="Zoe")
    with pytest.raises(Unavailable, match="no safe URL"):
        dav.joined("https://dav.example.org/", "http://dav.example.org/calendars/")
    assert dav.joined("https://dav.example.org/", "https://p34-dav.example.org/x/") == "https://p34-dav.example.org/x/"
