"""Calendar: events (VEVENT, RFC 5545) in one `.ics` file a calendar under `calendars/`, or in an account by CalDAV.

Times in files are floating local times, as the person meant them. Invitees are recorded; nobody is sent anything.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        TinyAgentError: What an account's server may answer (see `caldav.add`).
    """
    wanted = checked(ctx, title, start_date, end_date, location, invitees, notes)
    event = ical.stamped(Event(), ctx)
    event.add("summary", wanted.title)
    event.add("dtstart", wanted.start.date() if wanted.whole_day else wanted.start)
    last = wanted.end.date() + timedelta(days=1) if wanted.whole_day else wanted.end  # exclusive (RFC 5545, 3.6.1)
    event.add("dtend", last)
    if wanted.location:
        event.add("location", wanted.location)
    if wanted.notes:
        event.add("description", wanted.notes)
    for address in wanted.invitees:
        event.add(
            "attendee",
            f"mailto:{address}",
            parameters={"ROLE": "REQ-PARTICIPANT", "PARTSTAT": "NEEDS-ACTION"},
        )
    return wanted.status(ical.keep(ctx, "calendar", "calendars", one_line(calendar), DEFAULT_CALENDAR, event))


@dataclass(frozen=True, slots=True)
class WantedEvent:
    """An event that can be meant as it is, whatever keeps it."""

    title: str
    start: datetime
    end: datetime  # of a whole day, its last second
    whole_day: bool
    location: str
    invitees: list[str]  # email addresses
    notes: str

    def status(self, calendar: str) -> str:
        """Return the line that says it was added to a calendar."""
        return f"Added {self.title!r} to {calendar}, {self._span()}."

    def _span(self) -> str:
        """Return when it is, as a person would write it."""
        start, end = self.start, self.end
        one_day = start.date() == end.date()
        if self.whole_day:
            return f"{start:%A, %Y-%m-%d}, all day" if one_day else f"{start:%Y-%m-%d} to {end:%Y-%m-%d}"
        if one_day:
            return f"{start:%A, %Y-%m-%d %H:%M} to {end:%H:%M}"
        return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"


def checked(
    ctx: ToolContext, title: str, start_date: str, end_date: str, location: str, invitees: list[str], notes: str
) -> WantedEvent:
    """Return the event that the arguments of `create_calendar_event` mean.

    Raises:
        InvalidArgument: No title, no such date, an end before the start or before now, an invitee without
            address.
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
    whole_day = start.time() == time.min and end.time() == _LAST_SECOND
    attendees = email_addresses(invitees)
    return WantedEvent(summary, start, end, whole_day, one_line(location), attendees, paragraphs(notes))
