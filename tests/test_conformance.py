"""One list of examples for all sixteen tools, on both backends: a plan means the same on the desktop and on a Mac.

The desktop has the sample data; for macOS the same people, notes and mail are in the model of the apps in `osascript_standin`. Each story is
a few calls, made the way the executor makes them. What each call gives, or by which error it fails, is written down
here; what the story leaves behind (events, reminders, drafts, messages, notes) must be the same on both. `python -m tests.test_conformance`
prints the table of docs/macos.md.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

try:
    from osascript_standin import StandIn, _lines
except ImportError:  # run as a module, for the table
    from tests.osascript_standin import StandIn, _lines

import vobject
from icalendar import Calendar

from pipeline.config import builtin_tools
from pipeline.spec import PythonTool
from pipeline.tools.context import (
    Ambiguous,
    InvalidArgument,
    Monitor,
    NotFound,
    ToolContext,
    ToolError,
    Unavailable,
    Written,
)
from pipeline.tools.desktop import store
from pipeline.tools.invoke import invoke

NOW = datetime(2026, 5, 13, 9, 30)  # a Wednesday, as in conftest
TOOLS = builtin_tools()
BACKENDS = ("desktop", "macos")


class Letter:
    """Stands in for the writing models: says what it was told."""

    def compose(
        self, *, request: str, context: str, recipients: list[str], thread: str = "", monitor: Monitor | None = None
    ) -> Written:
        return Written(f"To {', '.join(recipients)}: {context or request}")

    def summarize(self, pages: Iterable[str], *, request: str = "", monitor: Monitor | None = None) -> Written:
        return Written("In short: " + " ".join(pages).splitlines()[0])


# ── the examples ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Several:
    """The call is ambiguous between these."""

    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Call:
    """A call, its arguments where they are not the defaults of its spec, and what must come back."""

    tool: str
    arguments: Mapping[str, object]
    gives: str | re.Pattern[str] | type[ToolError] | Several


def call(tool: str, gives: str | re.Pattern[str] | type[ToolError] | Several, **arguments: object) -> Call:
    return Call(tool, arguments, gives)


def event(gives: Any, **changes: object) -> Call:
    usual = {"title": "Kick-off", "start_date": "2026-05-14 10:00:00", "end_date": "2026-05-14 11:00:00"}
    return Call("create_calendar_event", usual | changes, gives)


def reminder(gives: Any, **changes: object) -> Call:
    return Call("create_reminder", {"name": "Pay the rent", "due_date": "2026-05-15 17:00:00"} | changes, gives)


def mail(gives: Any, **changes: object) -> Call:
    return Call("compose_new_email", {"recipients": ["priya.nair@example.com"], "subject": "Thursday"} | changes, gives)


def sms(gives: Any, **changes: object) -> Call:
    return Call("send_sms", {"recipients": ["555-0110"], "message": "Late"} | changes, gives)


SENT = re.compile(r"(Put a message to 5550110 into the outbox|Sent a message to 5550110)\.")
PLACE = re.compile(r"https://(www\.google\.com/maps/search/\?api=1&query|maps\.apple\.com/\?q)=Caf%C3%A9\+%26\+Bar")
WAY = re.compile(r"https://(www\.google\.com/maps/dir/\?api=1&destination|maps\.apple\.com/\?daddr)=Pier\+4&.+")
BUDGET = re.compile(r"/.*/files/Work/budget\.pdf")

STORIES: dict[str, list[Call]] = {
    "a number is looked up": [
        call("get_phone_number", "555-0110", name="Priya Nair"),
        call("get_phone_number", "555-0111", name="haddad"),
        call("get_phone_number", "555-0105", name="jose"),
        call("get_phone_number", "555-0101", name="mum"),
        call("get_phone_number", "555-0120", name="my landlord"),
        call("get_phone_number", "555-0103", name="sister"),
        call("get_phone_number", "555-0100", name="me"),
        call("get_phone_number", "555-0115", name="the design team"),
    ],
    "an address is looked up": [
        call("get_email_address", "lena@example.net", name="Lena"),
        call("get_email_address", "helen.okafor@example.com", name="boss"),
        call("get_email_address", "desk@dental.example", name="Harbour Dental"),
    ],
    "a contact is not there, or not alone": [
        call("get_phone_number", NotFound, name="Omar Hadad"),
        call("get_phone_number", NotFound, name="Jonas"),
        call("get_email_address", NotFound, name="plumber"),
        call("get_phone_number", InvalidArgument, name=" \n"),
        call("get_phone_number", Several(("Chris Doyle (climbing)", "Chris Nakamura (Researcher)")), name="Chris"),
        call("get_email_address", "chris.n@example.com", name="Chris Nakamura (Researcher)"),
    ],
    "an event is added": [
        event("Added 'Kick-off' to Calendar, Thursday, 2026-05-14 10:00 to 11:00."),
        event(
            "Added 'Offsite' to Work, 2026-05-18 to 2026-05-20.",
            title=" Offsite\t",
            start_date="2026-05-18 00:00:00",
            end_date="2026-05-20 23:59:59",
            calendar="Work",
            location="Pier 4, Café",
            notes='Bring "it";\r\nhttps://zoom.example/j/1',
            invitees=["Omar Haddad <omar.haddad@example.com>", "omar.haddad@example.com", "lena@example.net"],
        ),
        event("Added 'Talk' to Work, Friday, 2026-05-15, all day.", title="Talk", calendar="WORK",
              start_date="2026-05-15 00:00:00", end_date="2026-05-15 23:59:59"),
        event("Added 'Night' to Calendar, 2026-05-14 23:00 to 2026-05-15 02:00.", title="Night",
              start_date="2026-05-14 23:00:00", end_date="2026-05-15 02:00:00"),
    ],
    "an event that cannot be meant": [
        event(InvalidArgument, end_date="2026-05-14 10:00:00"),
        event(InvalidArgument, start_date="2026-05-12 10:00:00", end_date="2026-05-12 11:00:00"),
        event(InvalidArgument, start_date="next Thursday"),
        event(InvalidArgument, title="\u2028"),
        event(InvalidArgument, invitees=["Omar"]),
    ],
    "a reminder is added": [
        reminder("Added 'Pay the rent' to Reminders, due Friday, 2026-05-15 17:00."),
        reminder("Added 'Bins' to Errands, due Wednesday, 2026-05-13.", name="Bins", due_date="2026-05-13",
                 all_day=True, list_name="Errands", priority=1, notes="the blue\n\none"),
        reminder("Added 'Glass' to Errands, due Thursday, 2026-05-14.", name="Glass", due_date="2026-05-14",
                 all_day=True, list_name="errands"),
    ],
    "a reminder that cannot be meant": [
        reminder(InvalidArgument, due_date="2026-05-13 09:00:00"),
        reminder(InvalidArgument, due_date="2026-05-12", all_day=True),
        reminder(InvalidArgument, priority=10),
        reminder(InvalidArgument, name=""),
    ],
    "a note is made, added to and read": [
        call("create_note", "Created the note 'Work/Ferry ideas'.", name="Ferry ideas", content="- night map",
             folder="work"),
        call("append_note_content", "Appended to the note 'Work/Ferry ideas'.", name="ferry ideas",
             content="- tides & <b>tags</b>\n\n- \"quotes\""),
        call("open_note", '- night map\n- tides & <b>tags</b>\n\n- "quotes"', name="FERRY IDEAS", folder="Work"),
        call("create_note", "Created the note 'Wifi'.", name="Wifi", content="on the router"),
        call("create_note", "Created the note 'Trips/Wifi'.", name="Wifi", content="", folder="Trips"),
    ],
    "notes of the sample are read": [
        call("open_note", "- oat milk\n- rye bread\n- lemons\n- coffee beans", name="shopping list"),
        call("open_note", re.compile(r"1\. Ship the first release.*", re.DOTALL), name="goals"),
        call("open_note", re.compile(r"- sleeping bag\n.*", re.DOTALL), name="Packing list", folder="home"),
    ],
    "a note is not there, or not alone": [
        call("open_note", NotFound, name="Shoping lst"),
        call("append_note_content", NotFound, name="Q3 goals", content="x", folder="Wrok"),
        call("append_note_content", InvalidArgument, name="Q3 goals", content=" "),
        call("create_note", InvalidArgument, name="shopping LIST", content="gone?"),
        call("create_note", InvalidArgument, name="", content="x"),
        call("create_note", "Created the note 'Home/Shopping list'.", name="Shopping list", content="- chalk",
             folder="Home"),
        call("open_note", Several(("Home/Shopping list", "Shopping list")), name="Shopping list"),
        call("open_note", "- chalk", name="Home/Shopping list"),
    ],
    "a mail is drafted": [
        mail("Drafted 'Thursday' to priya.nair@example.com."),
        mail("Drafted 'Budget' to priya.nair@example.com and omar.haddad@example.com, with budget.pdf and lease.pdf.",
             recipients=["priya.nair@example.com", "Omar <omar.haddad@example.com>", "priya.nair@example.com"],
             cc=["lena@example.net", "priya.nair@example.com"], subject="Budget\u2029",
             context="48,200 is\nthe total", attachments=["budget.pdf", "lease"]),
    ],
    "a mail that cannot be meant": [
        mail(InvalidArgument, recipients=[]),
        mail(InvalidArgument, recipients=["Priya"]),
        mail(InvalidArgument, cc=["a@x.org\nBcc: b@x.org"]),
        mail(InvalidArgument, subject=" "),
        mail(NotFound, attachments=["budget.pdf", "none.pdf"]),
        mail(Several(("Documents/Receipts/2023/receipt.txt", "Documents/Receipts/2024/receipt.txt")),
             attachments=["receipt"]),
    ],
    "the selected mail is answered": [
        call("reply_to_email", "Drafted 'Re: Kick-off of the harbour project' to priya.nair@example.com.",
             context="Thursday suits me"),
        call("reply_to_email",
             "Drafted 'Re: Kick-off of the harbour project' to priya.nair@example.com, with budget.pdf.",
             cc=["omar.haddad@example.com"], attachments=["budget"]),
        call("reply_to_email", NotFound, attachments=["none.pdf"]),
        call("reply_to_email", InvalidArgument, cc=["Omar"]),
    ],
    "the selected mail is forwarded": [
        call("forward_email",
             "Drafted 'Fwd: Kick-off of the harbour project' to omar.haddad@example.com, with lease.pdf.",
             recipients=["omar.haddad@example.com"], cc=["lena@example.net"], attachments=["lease"], context="FYI"),
        call("forward_email", InvalidArgument, recipients=[]),
    ],
    "a message is sent": [
        sms(SENT),
        sms(re.compile(r".* 5550110 and \+34600112233( into the outbox)?\."), message="Ten minutes late, sorry! 🙈",
            recipients=["(555) 0110", "+34 600 112 233", "555-0110"]),
    ],
    "a message that cannot be meant": [
        sms(InvalidArgument, recipients=[]),
        sms(InvalidArgument, recipients=["555-0110", "Priya"]),
        sms(InvalidArgument, message=" \n"),
    ],
    "a file is found": [
        call("open_and_get_file_path", BUDGET, file_name="budget.pdf"),
        call("open_and_get_file_path", BUDGET, file_name="Work/BUDGET"),
        call("open_and_get_file_path", NotFound, file_name="thesis"),
        call("open_and_get_file_path", InvalidArgument, file_name=""),
        call("open_and_get_file_path",
             Several(("Documents/Receipts/2023/receipt.txt", "Documents/Receipts/2024/receipt.txt")),
             file_name="receipt.txt"),
        call("open_and_get_file_path", re.compile(r"/.*/2024/receipt\.txt"), file_name="2024/receipt.txt"),
    ],
    "a PDF is summed up": [
        call("summarize_pdf", re.compile("In short: Lease agreement"), pdf_path="lease.pdf"),
        call("summarize_pdf", NotFound, pdf_path="/nowhere/none.pdf"),
        call("summarize_pdf", Unavailable, pdf_path="team roster.csv"),
    ],
    "a map is shown": [
        call("maps_open_location", PLACE, location="Café & Bar"),
        call("maps_open_location", InvalidArgument, location=" "),
    ],
    "a way is shown": [
        call("maps_show_directions", WAY, end_location="Pier 4", transport="r"),
        call("maps_show_directions", InvalidArgument, start_location="Home", end_location=""),
        call("maps_show_directions", InvalidArgument, end_location="Pier 4", transport="bike"),
    ],
    "a Zoom meeting needs a token": [
        call("get_zoom_meeting_link", Unavailable, topic="Kick-off", start_time="2026-05-14 10:00:00"),
        call("get_zoom_meeting_link", InvalidArgument, topic="Kick-off", start_time="2026-05-12 10:00:00"),
    ],
}  # fmt: skip


# ── the two worlds ───────────────────────────────────────────────────────────────────────────────────


def on_a_mac(data_dir: Path) -> dict[str, Any]:
    """The sample's people, notes and selected mail as the apps would hold them."""
    people, me, relations = [], "", []
    for path in sorted((data_dir / "contacts").glob("*.vcf")):
        for card in vobject.readComponents(path.read_text("utf-8")):
            person: dict[str, Any] = {"id": card.uid.value, "full": card.fn.value}
            person |= {"first": card.n.value.given, "last": card.n.value.family}
            person["nickname"] = card.nickname.value[0] if "nickname" in card.contents else ""
            person["company"] = card.org.value[0] if "org" in card.contents else ""
            person["job"] = card.role.value if "role" in card.contents else ""
            person["groups"] = card.categories.value if "categories" in card.contents else []
            person["phones"] = [["_$!<Mobile>!$_", line.value] for line in card.contents.get("tel", [])]
            person["emails"] = [line.value for line in card.contents.get("email", [])]
            people.append(person)
            if path.name == "me.vcf":
                me = person["id"]
                relations = [[line.params["TYPE"][0], line.value] for line in card.contents["related"]]
    folders = [{"id": "f0", "name": "Notes", "account": "iCloud", "default": True}]
    notes = []
    for path in sorted((data_dir / "notes").glob("**/*.md")):
        name = path.parent.relative_to(data_dir / "notes").as_posix()
        folder = next((f for f in folders if f["name"] == ("Notes" if name == "." else name)), None)
        if folder is None:
            folder = {"id": f"f{len(folders)}", "name": name, "account": "iCloud"}
            folders.append(folder)
        title, _, text = path.read_text("utf-8").partition("\n")
        body = "".join(f"<div>{line or '<br>'}</div>" for line in text.strip().split("\n"))
        notes.append({"id": path.name, "folder": folder["id"], "body": f"<div><h1>{title[2:]}</h1></div>{body}"})
    source = (data_dir / "mail" / "inbox" / (data_dir / "mail" / "selected").read_text().strip()).read_bytes()
    message = message_from_bytes(source, policy=policy.default)
    selected = {"id": 501, "source": source.decode(), "subject": message["Subject"], "sender": message["From"]}
    return {
        "people": people, "me": me, "relations": relations, "folders": folders, "notes": notes,
        "calendars": [{"name": "Birthdays", "writable": False, "events": []},
                      {"name": "Calendar", "writable": True, "events": []}],
        "lists": [{"id": "r0", "name": "Reminders", "account": "iCloud", "default": True, "items": []}],
        "selected": [selected], "services": ["SMS", "iMessage"],
        "drafts": [], "sent": [], "shown": [], "opened": [],
    }  # fmt: skip


@dataclass(frozen=True)
class Effects:
    """What there is after a story, in words that both backends have."""

    events: list[Any]
    reminders: list[Any]
    drafts: list[Any]
    messages: list[Any]
    notes: dict[str, str]


def desktop_effects(data_dir: Path) -> Effects:
    events, reminders, drafts, messages = [], [], [], []
    for path in sorted((data_dir / "calendars").glob("*.ics")):
        for e in Calendar.from_ical(path.read_bytes()).walk("VEVENT"):
            start, end, whole = e.decoded("dtstart"), e.decoded("dtend"), not isinstance(e.decoded("dtstart"), datetime)
            last = datetime.combine(end, datetime.min.time()) - timedelta(seconds=1) if whole else end
            guests = e.get("attendee", [])
            guests = [str(g)[7:] for g in (guests if isinstance(guests, list) else [guests])]
            told = (str(e.get("location", "")), str(e.get("description", "")))
            events.append([path.stem, str(e["summary"]), _when(start), _when(last), whole, *told, guests])
    for path in sorted((data_dir / "reminders").glob("*.ics")):
        for t in Calendar.from_ical(path.read_bytes()).walk("VTODO"):
            due = t.decoded("due")
            what = [path.stem, str(t["summary"]), _when(due), not isinstance(due, datetime)]
            reminders.append([*what, str(t.get("description", "")), int(t.get("priority", 0))])
    for path in sorted((data_dir / "mail" / "drafts").glob("*.eml")):
        m = message_from_bytes(path.read_bytes(), policy=policy.default)
        to, cc = ([a.addr_spec for a in m[n].addresses] if m[n] else [] for n in ("To", "Cc"))
        text = str(m.get_body(preferencelist=("plain",)).get_content()).replace("\r\n", "\n").strip()
        files = [part.get_filename() or "the message" for part in m.iter_attachments()]
        drafts.append([str(m["Subject"]), to, cc, text, files])
    for path in sorted((data_dir / "messages" / "outbox").glob("*.json")):
        document = json.loads(path.read_text("utf-8"))
        messages += [[number, document["text"]] for number in document["recipients"]]
    notes = {}
    for path in (data_dir / "notes").glob("**/*.md"):
        title, _, text = path.read_text("utf-8").partition("\n")
        folder = path.parent.relative_to(data_dir / "notes").as_posix()
        notes[f"{'' if folder == '.' else store.title_of(folder) + '/'}{title[2:]}"] = text.strip()
    return Effects(sorted(events), sorted(reminders), sorted(drafts), sorted(messages), notes)


def mac_effects(state: dict[str, Any]) -> Effects:
    events = [
        [c["name"], *(e[k] for k in ("title", "start", "end", "whole_day", "location", "notes", "invitees"))]
        for c in state["calendars"]
        for e in c["events"]
    ]
    reminders = [
        [x["name"], *(i[key] for key in ("name", "due", "all_day", "notes", "priority"))]
        for x in state["lists"]
        for i in x["items"]
    ]
    drafts = []
    for draft in state["drafts"]:
        subject = draft.get("subject") or f"Re: {state['selected'][0]['subject']}"
        to = [re.sub(r".*<(.*)>", r"\1", address) for address in draft["to"]]
        files = ["the message" if "/forwarded/" in path else Path(path).name for path in draft["files"]]
        drafts.append([subject, to, draft["cc"], draft["text"].strip(), files])
    folders = {f["id"]: "" if f.get("default") else f"{f['name']}/" for f in state["folders"]}
    notes = {}
    for note in state["notes"]:
        title, *lines = _lines(note["body"])
        notes[f"{folders[note['folder']]}{title}"] = "\n".join(lines).strip()
    messages = [[sent["to"], sent["text"]] for sent in state["sent"]]
    return Effects(sorted(events), sorted(reminders), sorted(drafts), sorted(messages), notes)


def _when(moment: date) -> str:
    return f"{moment:%Y-%m-%d} {moment:%H:%M:%S}" if isinstance(moment, datetime) else f"{moment:%Y-%m-%d} 00:00:00"


# ── telling the stories ──────────────────────────────────────────────────────────────────────────────


def came(example: Call, backend: str, ctx: ToolContext) -> str:
    """Make a call; return "" if what must come back does, else what came."""
    spec = TOOLS[example.tool]
    given = {p.name: p.default for p in spec.parameters if not p.required}
    if example.tool == "create_calendar_event" or example.tool == "create_reminder":
        given = {name: value for name, value in given.items() if name not in ("end_date", "due_date")}
    arguments = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    try:
        result = asyncio.run(invoke(spec, arguments | dict(example.arguments), ctx, backend=backend))
    except ToolError as error:
        if isinstance(example.gives, Several):
            fits = isinstance(error, Ambiguous) and tuple(sorted(error.candidates)) == example.gives.candidates
        else:
            fits = isinstance(example.gives, type) and type(error) is example.gives
        return "" if fits else f"{type(error).__name__}: {error}"
    if isinstance(example.gives, re.Pattern):
        return "" if example.gives.fullmatch(result) else result
    return "" if result == example.gives else result


@contextmanager
def world(backend: str, folder: Path) -> Iterator[tuple[ToolContext, Callable[[], Effects], StandIn]]:
    """Lend a context with the sample in it, what tells the effects, and the stand-in of a Mac."""
    from pipeline.tools.desktop.sample import create_sample

    data_dir = folder / backend / "data"
    create_sample(data_dir, NOW)
    ctx = ToolContext(data_dir, NOW, "answer politely", Letter())
    stand_in = StandIn(folder / backend / "bin")
    stand_in.plays(on_a_mac(data_dir))
    before = {name: os.environ.get(name) for name in ("PATH", "HOME")}
    os.environ["HOME"] = str(folder / "home")  # where a Mac's user keeps files
    if backend == "macos":
        os.environ["PATH"] = f"{stand_in.folder}{os.pathsep}{os.environ['PATH']}"
    try:
        yield (
            ctx,
            lambda: mac_effects(stand_in.state) if backend == "macos" else desktop_effects(data_dir),
            stand_in,
        )
    finally:
        os.environ.update({name: value for name, value in before.items() if value is not None})


@pytest.mark.parametrize("story", STORIES)
def test_a_plan_means_the_same_on_both(story: str, tmp_path: Path) -> None:
    left = {}
    for backend in BACKENDS:
        with world(backend, tmp_path) as (ctx, effects, _):
            for example in STORIES[story]:
                assert came(example, backend, ctx) == "", (backend, example)
            left[backend] = effects()
    assert left["desktop"] == left["macos"]


def test_the_stories_are_about_all_sixteen_tools() -> None:
    told = Counter(example.tool for calls in STORIES.values() for example in calls)
    assert set(told) == set(TOOLS)
    assert len(told) == 16
    both = {name for name, spec in TOOLS.items() if isinstance(spec.implementation, PythonTool)}
    assert both == set(TOOLS)


def test_the_table_in_the_docs_is_this_one() -> None:
    """That all examples hold is what the test of the stories shows."""
    told = Counter(example.tool for calls in STORIES.values() for example in calls)
    lines = (Path(__file__).parent.parent / "docs" / "macos.md").read_text("utf-8").splitlines()
    for name, number in [(f"`{tool}`", told[tool]) for tool in TOOLS] + [("all 16", told.total())]:
        assert f"| {name} | {number} | {number} | {number} |" in lines


@pytest.mark.parametrize("example", [event(re.compile("Added .*")), reminder(re.compile("Added .*"))])
def test_a_call_made_again_with_its_key_acts_once(example: Call, tmp_path: Path) -> None:
    """What the specs promise with `idempotent: true`, so that a call broken off by a crash can simply be made again."""
    assert TOOLS[example.tool].idempotent
    left = {}
    for backend in BACKENDS:
        with world(backend, tmp_path) as (ctx, effects, _):
            for key in ("run-1:1", "run-1:1", "run-1:2"):
                assert came(example, backend, replace(ctx, key=key)) == ""
            left[backend] = effects()
    assert left["desktop"] == left["macos"]
    assert len(left["macos"].events) + len(left["macos"].reminders) == 2


def test_nothing_selected_is_refused_on_a_mac_and_the_newest_on_the_desktop(tmp_path: Path) -> None:
    """The one difference that is meant: a real inbox is too full to guess at its newest message."""
    reply = call("reply_to_email", Unavailable)
    with world("macos", tmp_path) as (ctx, _, mac):
        mac.plays(mac.state | {"selected": []})
        assert came(reply, "macos", ctx) == ""
    with world("desktop", tmp_path) as (ctx, *_):
        (ctx.data_dir / "mail" / "selected").unlink()
        assert came(reply, "desktop", ctx).startswith("Drafted 'Re: Kick-off")


def table() -> str:
    """Return, for each tool, how many examples there are and how many hold on each backend."""
    from tempfile import TemporaryDirectory

    held: dict[str, Counter[str]] = {backend: Counter() for backend in BACKENDS}
    told: Counter[str] = Counter()
    for calls in STORIES.values():
        told.update(example.tool for example in calls)
        for backend in BACKENDS:
            with TemporaryDirectory() as folder, world(backend, Path(folder)) as (ctx, *_):
                held[backend].update(e.tool for e in calls if came(e, backend, ctx) == "")
    rows = ["| tool | examples | desktop | macos |", "|---|---|---|---|"]
    for tool in TOOLS:
        rows.append(f"| `{tool}` | {told[tool]} | {held['desktop'][tool]} | {held['macos'][tool]} |")
    rows.append(f"| all 16 | {told.total()} | {held['desktop'].total()} | {held['macos'].total()} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
