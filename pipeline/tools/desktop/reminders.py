"""Reminders: to-dos (VTODO with a VALARM, RFC 5545) in one `.ics` file a list under `reminders/`, or in an account by CalDAV."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from icalendar import Alarm, Todo

from pipeline.tools.arguments import day, moment, one_line, paragraphs, required_line
from pipeline.tools.context import InvalidArgument, ToolContext
from pipeline.tools.desktop import ical

DEFAULT_LIST = "Reminders"
_PRIORITIES = range(10)  # 0 none, 1 highest, 5 medium, 9 lowest (RFC 5545, 3.8.1.9)
_ALL_DAY_ALARM = timedelta(hours=9)  # midnight, where such a day starts, is no time to be rung


def create_reminder(
    ctx: ToolContext, /, *, name: str, due_date: str, notes: str, list_name: str, priority: int, all_day: bool
) -> str:
    """Add a reminder that rings when it is due (at 9:00 for a whole day) and return a status line.

    Args:
        ctx: What the run lends.
        name: What to be reminded of.
        due_date: `YYYY-MM-DD HH:MM:SS`, local time, or `YYYY-MM-DD` with `all_day`.
        notes: A longer text, or "".
        list_name: Which list, in any case; made when missing. "" is the default one.
        priority: 0 (none), 1 (high), 5 (medium) or 9 (low); what lies between is kept.
        all_day: Whether it is due on a day and not at a time.

    Raises:
        InvalidArgument: No name, no such date, a date in the past, a priority outside 0 to 9.
        Unavailable: The list cannot be written, or its file is none.
        TinyAgentError: What an account's server may answer (see `caldav.add`).
    """
    wanted = checked(ctx, name, due_date, notes, priority, all_day)
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("description", wanted.name)
    alarm.add("trigger", _ALL_DAY_ALARM if all_day else timedelta(0), parameters={"RELATED": "END"})
    todo = ical.stamped(Todo(), ctx)
    todo.add("summary", wanted.name)
    todo.add("due", wanted.due)
    todo.add("status", "NEEDS-ACTION")
    if priority:
        todo.add("priority", priority)
    if wanted.notes:
        todo.add("description", wanted.notes)
    todo.add_component(alarm)
    return wanted.status(ical.keep(ctx, "reminders", "reminders", one_line(list_name), DEFAULT_LIST, todo))


@dataclass(frozen=True, slots=True)
class WantedReminder:
    """A reminder that can be meant as it is, whatever keeps it."""

    name: str
    due: date  # with a time, that is a datetime, unless it is for the whole day
    notes: str
    priority: int

    def status(self, list_name: str) -> str:
        """Return the line that says it was added to a list."""
        time = f" {self.due:%H:%M}" if isinstance(self.due, datetime) else ""
        return f"Added {self.name!r} to {list_name}, due {self.due:%A, %Y-%m-%d}{time}."


def checked(ctx: ToolContext, name: str, due_date: str, notes: str, priority: int, all_day: bool) -> WantedReminder:
    """Return the reminder that the arguments of `create_reminder` mean.

    Raises:
        InvalidArgument: No name, no such date, a date in the past, a priority outside 0 to 9.
    """
    summary = required_line(name, "name")
    if priority not in _PRIORITIES:
        raise InvalidArgument(f"the priority {priority} is not from 0 to 9", fix="0 none, 1 high, 5 medium, 9 low")
    due = day(due_date, "due date") if all_day else moment(due_date, "due date")
    if due < (ctx.now.date() if all_day else ctx.now):
        raise InvalidArgument(
            f"the reminder is due in the past: {due}", fix=f"give a date after {ctx.now:%Y-%m-%d %H:%M}"
        )
    return WantedReminder(summary, due, paragraphs(notes), priority)
