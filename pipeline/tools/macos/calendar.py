"""Calendar: events in Calendar.app.

A calendar is found by its name in any case, and made when there is none of that name; without one said it is the one of the
setting `calendar.default`, else the first that takes events. Invitees are put on the event; what the account does with an
event that has some, such as sending invitations, is its own way.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.tools.arguments import one_line
from pipeline.tools.context import Ambiguous, InvalidArgument, ToolContext, Unavailable
from pipeline.tools.desktop import names
from pipeline.tools.desktop.calendar import checked
from pipeline.tools.macos.once import begun_before
from pipeline.tools.macos.osascript import Script, ask, counted, flag, numbers

APP = "Calendar"
_LIST = Script("calendars", APP)
_CREATE = Script("create_calendar_event", APP, effect=True)
_CHANGED = Unavailable("the calendars have changed meanwhile", fix="try again")


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
    """Add an event and return a status line; the arguments are those of the desktop's.

    Raises:
        InvalidArgument: No title, no such date, an end before the start or before now, an invitee without
            address, or a calendar that takes no events.
        Ambiguous: Several calendars have the name.
        Unavailable: Calendar cannot be used, or has no calendar that takes events.
        InDoubt: It broke off where the event may have been added.
    """
    wanted = checked(ctx, title, start_date, end_date, location, invitees, notes)
    place = _calendar(ctx, one_line(calendar))
    answer = ask(
        ctx,
        _CREATE,
        [
            str(place.position),
            place.name,
            *numbers(wanted.start),
            *numbers(wanted.end),
            flag(wanted.whole_day),
            wanted.title,
            wanted.location,
            wanted.notes,
            flag(begun_before(ctx.data_dir, ctx.key)),
            *counted(wanted.invitees),
        ],
        refusals={"changed": _CHANGED},
    )
    [(taken,)] = answer.rows(1)
    status = wanted.status(place.name)
    if taken.isdecimal() and int(taken) < len(wanted.invitees):
        status += f" It took {taken} of {len(wanted.invitees)} invitees: invite the others in Calendar."
    return status


@dataclass(frozen=True, slots=True)
class _Calendar:
    position: int  # among all, from 1; 0 for one that is to be made
    name: str
    description: str = ""
    writable: bool = True

    def __str__(self) -> str:
        return f"{self.name} ({self.description or f'calendar {self.position}'})"


def _calendar(ctx: ToolContext, asked: str) -> _Calendar:
    """Return the calendar that a name means, or the default one."""
    every = [
        _Calendar(int(position), one_line(name), one_line(description), writes == "true")
        for position, name, writes, description in ask(ctx, _LIST).rows(4)
    ]
    writable = [place for place in every if place.writable]
    wanted = asked or one_line(str(ctx.settings.get("calendar", {}).get("default", "")))
    if not wanted:
        if not writable:
            raise Unavailable("Calendar has no calendar that takes events", fix="make one in Calendar, or name one")
        return writable[0]
    found = [place for place in writable if names.fold(wanted) in (names.fold(place.name), names.fold(str(place)))]
    if len(found) > 1:
        candidates = [str(place) for place in found]
        raise Ambiguous(
            f"{wanted!r} may be the calendar {names.listed(candidates)}",
            candidates=candidates,
            fix="give them different names in Calendar",
        )
    if not found and any(names.fold(place.name) == names.fold(wanted) for place in every):
        raise InvalidArgument(f"the calendar {wanted!r} takes no events", fix="name another calendar")
    return found[0] if found else _Calendar(0, wanted)
