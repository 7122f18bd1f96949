"""Adds components to iCalendar files (RFC 5545) and leaves every byte of what is there as it is.

A calendar or reminder list is one file, named for it and found without regard to case; it is made when it is
first written to. The new component is put before the last `END:VCALENDAR`, so what other programs wrote, odd
properties included, stays theirs.
"""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from icalendar import Calendar, Component

from pipeline.tools.context import Change, ToolContext, Unavailable, report
from pipeline.tools.desktop import names, store
from pipeline.tools.desktop.accounts import calendar_account

PRODID = "-//TinyAgent at the edge//desktop tools//EN"
_END = b"END:VCALENDAR"

_C = TypeVar("_C", bound=Component)


def stamped(component: _C, ctx: ToolContext) -> _C:
    """Return the component with the UID and the DTSTAMP (UTC) that the RFC asks for; the UID is the call's key, if it has one."""
    component.add("uid", ctx.key or str(uuid4()))
    component.add("dtstamp", ctx.now.astimezone(UTC))
    return component


def keep(ctx: ToolContext, app: str, folder: str, title: str, default: str, component: Component) -> str:
    """Put `component` into the calendar `title`, in the app's account if the settings name one, else in a file; return its name.

    Args:
        ctx: What the run lends.
        app: "calendar" or "reminders".
        folder: Where the files are, below the data folder.
        title: The calendar's name, or "".
        default: Which file is meant by "".
        component: As `stamped` returns it.

    Raises:
        TinyAgentError: As in `add`, or `caldav.add`.
    """
    if account := calendar_account(ctx.settings, app):
        from pipeline.tools.desktop import caldav

        return caldav.add(ctx, account, app, title, component)
    return add(ctx.data_dir, folder, title or default, component)


def add(data_dir: Path, folder: str, title: str, component: Component) -> str:
    """Add `component` to the calendar `title` in a folder of the data folder; return its name as it stands.

    One with a UID that is there already is not added again: the call is made anew after a crash.

    Raises:
        Unavailable: The file is no calendar, or cannot be written.
    """
    with store.locked(data_dir):
        path = _file_of(data_dir / folder, title)
        empty = _empty(title)
        before = store.read_bytes(path) if store.is_file(path) else empty
        _check(path, before)
        head, end, tail = before.rpartition(_END)
        if f"UID:{component['uid']}\r\n".encode() in before:
            report(
                Change(path, created=False, inserted=component.to_ical())
            )  # so that it can be taken back all the same
        else:
            store.replace(path, head + component.to_ical() + end + tail, empty=empty)
    return store.title_of(path.stem)


def _file_of(folder: Path, title: str) -> Path:
    """Return the file of the calendar: the one that is there under that name in any case, or a new one."""
    existing = store.files_in(folder, "*.ics")
    same = (path for path in existing if names.fold(store.title_of(path.stem)) == names.fold(title))
    return next(same, folder / f"{store.stem_of(title)}.ics")


def _empty(title: str) -> bytes:
    calendar = Calendar()
    calendar.add("prodid", PRODID)
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", title)
    return bytes(calendar.to_ical())


def _check(path: Path, data: bytes) -> None:
    """Refuse a file that would not be a calendar with one more component in it."""
    try:
        calendars = Calendar.from_ical(data, multiple=True)
    except ValueError:
        calendars = []
    if not calendars or _END not in data:
        raise Unavailable(f"{path} is not an iCalendar file", fix="mend it or move it away; nothing was changed")
