"""Puts events and to-dos into an account's calendars by CalDAV (RFC 4791), each at most once.

The UID and the URL of what is made hang on the call's key, and it is made only where nothing is yet (`If-None-Match`): a call made again finds
what the first one left. It is removed only as it was made (`If-Match`). Times are those of the user's time zone, by its name, so that
they are right on devices elsewhere. The server is told to invite nobody (RFC 6638, 7.1): invitees are recorded.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin
from uuid import NAMESPACE_URL, uuid4, uuid5
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement
from zoneinfo import ZoneInfo

from icalendar import Calendar, Component

from pipeline.errors import ConfigError
from pipeline.tools.context import Ambiguous, Change, InvalidArgument, ToolContext, ToolError, Unavailable, report
from pipeline.tools.desktop import dav, ical, names
from pipeline.tools.desktop.accounts import CalendarAccount
from pipeline.tools.desktop.undo import CannotUndo

_ETAG = f"{dav.DAV}getetag"
_COMPONENTS = f"{dav.CALDAV}supported-calendar-component-set"
_TIMES = ("dtstart", "dtend", "due")
_FIRST = {"VEVENT": "Calendar", "VTODO": "Reminders"}  # the name of the one that is made where there is none
_YEAR = timedelta(days=366)
_GONE = (404, 410)
_TAKEN = 412  # Precondition Failed


def add(ctx: ToolContext, account: CalendarAccount, app: str, title: str, component: Component) -> str:
    """Put a component into the calendar of a name, made when missing; "" is the default one. Return the calendar's name.

    Args:
        ctx: What the run lends.
        account: Which has the calendars.
        app: Which the account is of: "calendar" or "reminders".
        title: The calendar's name, in any case.
        component: With floating times; its UID and times become those that a server needs.

    Raises:
        Ambiguous: Several calendars have the name.
        InvalidArgument: The calendar takes no such things.
        Unreachable: The server does not answer; nothing was changed.
        Unavailable: It is not to be trusted, or refuses.
        InDoubt: It did not answer when it may have acted.
        ConfigError: The time zone in the settings is none.
    """
    uid = str(uuid5(NAMESPACE_URL, f"tinyagent:{ctx.key}") if ctx.key else uuid4())
    data = document(component, uid, zone_of(account))
    with dav.connected(account) as connection:
        place = _calendar(connection, account, title or account.default, str(component.name))
        url = urljoin(_folder(place.url), f"{uid}.ics")
        headers = {"Content-Type": "text/calendar; charset=utf-8", "If-None-Match": "*"}
        answer = connection.request("PUT", url, headers=headers, body=data, acts=True)
        if not answer.ok and answer.status != _TAKEN:
            raise dav.refused(answer, f"{_name(place)} does not take it", fix="name another calendar")
        etag = answer.headers.get("etag", "") if answer.ok else ""
        if not etag:  # the server changed what it was given (RFC 4791, 5.3.4), or it was there already
            with suppress(ToolError):  # it is there, whatever becomes of this question
                etag = next(
                    (found.text(_ETAG) for found in connection.ask("PROPFIND", url, dav.propfind(_ETAG), depth=0)), ""
                )
    report(Change(Path(), created=True, digest=etag, account=app, place=url))
    return _name(place)


def remove(account: CalendarAccount, change: Change) -> None:
    """Remove what `add` made.

    Raises:
        CannotUndo: It is not there any more as it was made.
        Unavailable: The server refuses, or does not answer.
    """
    if not change.digest:  # the server did not say as what it was kept
        raise CannotUndo(f"nobody can tell whether {change.place} has been changed since", fix="take it back by hand")
    with dav.connected(account) as connection:
        answer = connection.request("DELETE", change.place, headers={"If-Match": change.digest}, acts=True)
    if answer.status in _GONE:
        raise CannotUndo(f"{change.place} is not there any more", fix="nothing is left to take back there")
    if answer.status == _TAKEN:
        raise CannotUndo(f"{change.place} has been changed since", fix="take it back by hand")
    if not answer.ok:
        raise dav.refused(answer, f"{change.place} cannot be removed", fix="remove it by hand")


def calendars(account: CalendarAccount, component: str) -> list[str]:
    """Return the names of the calendars that take a component ("VEVENT", "VTODO") and that we may write to.

    Raises:
        Unavailable: There is no calendar, or the server refuses or does not answer.
    """
    with dav.connected(account) as connection:
        found = connection.collections(account.caldav, dav.CALENDARS)
    return [_name(place) for place in found if _takes(place, component)]


def document(component: Component, uid: str, zone: ZoneInfo | None) -> bytes:
    """Return the calendar object (RFC 4791, 4.1) of a component with floating times.

    Args:
        component: An event or to-do; it is changed.
        uid: The UID that it gets.
        zone: The time zone of its times; without one they become UTC by this machine's rules.
    """
    component["uid"] = uid
    times = [component.decoded(name) for name in _TIMES if name in component]
    for name in _TIMES:
        if name in component and isinstance(time := component.decoded(name), datetime) and time.tzinfo is None:
            component.pop(name)
            component.add(name, time.replace(tzinfo=zone) if zone else time.astimezone(UTC))
    attendees = component.get("attendee", [])
    for attendee in attendees if isinstance(attendees, list) else [attendees]:
        attendee.params["SCHEDULE-AGENT"] = "NONE"
    calendar = Calendar()
    calendar.add("prodid", ical.PRODID)
    calendar.add("version", "2.0")
    calendar.add_component(component)
    if zone:
        first, last = (_date(pick(times)) for pick in (min, max))
        calendar.add_missing_timezones(first - _YEAR, last + _YEAR)
    return bytes(calendar.to_ical())


def zone_of(account: CalendarAccount) -> ZoneInfo | None:
    """Return the time zone of the settings, else this machine's, or None where its name cannot be found out.

    Raises:
        ConfigError: There is no such zone.
    """
    if account.timezone:
        try:
            return ZoneInfo(account.timezone)
        except (OSError, ValueError, LookupError):
            fix = 'name it as the IANA does: "Europe/Lisbon"'
            raise ConfigError(f"there is no time zone {account.timezone!r}", fix=fix) from None
    named = os.environ.get("TZ", "").removeprefix(":")
    name = named or os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    try:
        return ZoneInfo(name) if name else None
    except (OSError, ValueError, LookupError):  # a rule in POSIX's notation, or a system without the table
        return None


def _date(time: date) -> date:
    return time.date() if isinstance(time, datetime) else time


def _calendar(connection: dav.Connection, account: CalendarAccount, title: str, component: str) -> dav.Resource:
    """Return the calendar that a name means, made when there is none, or the first one."""
    try:
        every = connection.collections(account.caldav, dav.CALENDARS)
    except dav.NoCollection as none:
        if none.home is None:
            raise
        return _made(connection, none.home, title or _FIRST.get(component, component), component)
    takes = [place for place in every if _takes(place, component)]
    if not title:
        if takes:
            return takes[0]
        title = _FIRST.get(component, component)
    found = [place for place in takes if names.fold(_name(place)) == names.fold(title)]
    if len(found) > 1:
        candidates = [f"{_name(place)} ({place.url})" for place in found]
        raise Ambiguous(
            f"{title!r} may be {names.listed(candidates)}",
            candidates=candidates,
            fix="give them different names on the server",
        )
    if found:
        return found[0]
    if any(names.fold(_name(place)) == names.fold(title) for place in every):
        raise InvalidArgument(f"the calendar {title!r} does not take this", fix="name another calendar")
    return _made(connection, urljoin(_folder(every[0].url), ".."), title, component)


def _made(connection: dav.Connection, home: str, title: str, component: str) -> dav.Resource:
    """Make a calendar, unless a call that broke off has made it already."""
    url = urljoin(_folder(home), f"{uuid5(NAMESPACE_URL, f'tinyagent:{component}:{names.fold(title)}')}/")
    question = Element(f"{dav.CALDAV}mkcalendar")
    properties = SubElement(SubElement(question, f"{dav.DAV}set"), f"{dav.DAV}prop")
    SubElement(properties, f"{dav.DAV}displayname").text = title
    SubElement(SubElement(properties, _COMPONENTS), f"{dav.CALDAV}comp", name=component)
    headers = {"Content-Type": "application/xml; charset=utf-8"}
    body = ElementTree.tostring(question, "utf-8", xml_declaration=True)
    answer = connection.request("MKCALENDAR", url, headers=headers, body=body, acts=True)
    if not answer.ok:
        try:
            return connection.collections(url, dav.CALENDARS)[0]
        except Unavailable:
            raise dav.refused(answer, f"no calendar {title!r} can be made", fix="name one that is there") from None
    name = Element(f"{dav.DAV}displayname")
    name.text = title
    return dav.Resource(url, {name.tag: name})


def _takes(place: dav.Resource, component: str) -> bool:
    supported = place.properties.get(_COMPONENTS)
    listed = [item.get("name", "").upper() for item in supported] if supported is not None else []
    return place.writable() and (not listed or component in listed)


def _name(place: dav.Resource) -> str:
    return place.text(f"{dav.DAV}displayname") or place.url.rstrip("/").rpartition("/")[2]


def _folder(url: str) -> str:
    return url if url.endswith("/") else f"{url}/"
