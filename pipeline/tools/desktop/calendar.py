"""Calendar: events (VEVENT, RFC 5545) in one `.ics` file a calendar under `calendars/`.

Times are floating local times, as the person meant them. Invitees are recorded; nobody is sent anything.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta

from icalendar import Event

from pipeline.tools.arguments import email_addresses, moment, one_line, paragraphs, required_line
from pipeline.tools.context import InvalidArgument, ToolContext
from pipeline.tools.desktop import ical

DEFAULT_CALENDAR = "Calendar"
_LAST_SECOND = time(23, 59, 59)


def create_calendar_event(
    ctx: ToolContext,
    /,
    *,
    title: str,
    start_date: str,
    end_date: str,
    location: str,
    invitees: list[str],
    notes: str,
    calendar: str,
) -> str:
    """Add an event and return a status line.

    Args:
        ctx: What the run lends.
        title: The event's name.
        start_date: `YYYY-MM-DD HH:MM:SS`, local time.
        end_date: Likewise. From 00:00:00 to 23:59:59 (of the last day) is a whole-day event.
        location: Where it is, or "".
        invitees: Email addresses.
        notes: A longer text, or "".
        calendar: Which calendar, in any case; made when missing. "" is the default one.

    Raises:
        InvalidArgument: No title, no such date, an end before the start or before now, an invitee without
            address.
        Unavailable: The calendar cannot be written, or its file is none.
    """
    summary = required_line(title, "title")
    start, end = moment(start_date, "start date"), moment(end_date, "end date")
    if end <= start:
        raise InvalidArgument(f"the event would end ({end}) before it starts ({start})", fix="give a later end")
    if end <= ctx.now:
        raise InvalidArgument(
            f"the event is over: it would end {end} and it is {ctx.now:%Y-%m-%d %H:%M}",
            fix="give a date to come",
        )
    attendees = email_addresses(invitees)

    event = ical.stamped(Event(), ctx)
    event.add("summary", summary)
    whole_day = start.time() == time.min and end.time() == _LAST_SECOND
    event.add("dtstart", start.date() if whole_day else start)
    event.add("dtend", end.date() + timedelta(days=1) if whole_day else end)  # exclusive (RFC 5545, 3.6.1)
    if place := one_line(location):
        event.add("location", place)
    if text := paragraphs(notes):
        event.add("description", text)
    for address in attendees:
        event.add(
            "attendee",
            f"mailto:{address}",
            parameters={"ROLE": "REQ-PARTICIPANT", "PARTSTAT": "NEEDS-ACTION"},
        )
    added_to = ical.add(ctx.data_dir, "calendars", one_line(calendar) or DEFAULT_CALENDAR, event)
    return f"Added {summary!r} to {added_to}, {_span(start, end, whole_day=whole_day)}."


def _span(start: datetime, end: datetime, *, whole_day: bool) -> str:
    """Return when the event is, as a person would write it."""
    one_day = start.date() == end.date()
    if whole_day:
        return f"{start:%A, %Y-%m-%d}, all day" if one_day else f"{start:%Y-%m-%d} to {end:%Y-%m-%d}"
    return (
        f"{start:%A, %Y-%m-%d %H:%M} to {end:%H:%M}" if one_day else f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
    )
