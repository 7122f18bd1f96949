"""Reminders: in Reminders.app, which also rings, on the person's other devices too.

A list is found by its name in any case, or as "account/list", and made when there is none of that name; without one said it is
the default one.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.tools.arguments import one_line
from pipeline.tools.context import Ambiguous, ToolContext, Unavailable
from pipeline.tools.desktop import names
from pipeline.tools.desktop.reminders import checked
from pipeline.tools.macos.once import begun_before
from pipeline.tools.macos.osascript import Script, ask, flag, numbers

APP = "Reminders"
_LIST = Script("reminder_lists", APP)
_CREATE = Script("create_reminder", APP, effect=True)


def create_reminder(
    ctx: ToolContext, /, *, name: str, due_date: str, notes: str, list_name: str, priority: int, all_day: bool
) -> str:
    """Add a reminder and return a status line; the arguments are those of the desktop's.

    Raises:
        InvalidArgument: No name, no such date, a date in the past, a priority outside 0 to 9.
        Ambiguous: Several lists have the name.
        Unavailable: Reminders cannot be used, or has no list.
        InDoubt: It broke off where the reminder may have been added.
    """
    wanted = checked(ctx, name, due_date, notes, priority, all_day)
    place = _list(ctx, one_line(list_name))
    ask(
        ctx,
        _CREATE,
        [
            place.id,
            place.name,
            *numbers(wanted.due),
            flag(all_day),
            wanted.name,
            wanted.notes,
            str(wanted.priority),
            flag(begun_before(ctx.data_dir, ctx.key)),
        ],
    )
    return wanted.status(place.name)


@dataclass(frozen=True, slots=True)
class _List:
    id: str  # "" for one that is to be made
    name: str
    account: str = ""
    default: bool = False

    def __str__(self) -> str:
        return f"{self.account}/{self.name}"


def _list(ctx: ToolContext, wanted: str) -> _List:
    """Return the list that a name means, or the default one."""
    rows = ask(ctx, _LIST).rows(4)
    lists = [
        _List(identity, one_line(name), one_line(account), is_it == "yes") for identity, name, account, is_it in rows
    ]
    if not wanted:
        if not lists:
            raise Unavailable("Reminders has no list", fix="make one in Reminders, or name one")
        return next((found for found in lists if found.default), lists[0])
    found = [place for place in lists if names.fold(wanted) in (names.fold(place.name), names.fold(str(place)))]
    if len(found) > 1:
        candidates = [str(place) for place in found]
        raise Ambiguous(
            f"{wanted!r} may be the list {names.listed(candidates)}", candidates=candidates, fix="say which account's"
        )
    return found[0] if found else _List("", wanted)
