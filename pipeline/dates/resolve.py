"""What a time expression says to dates: the calendar, the present time and the conventions.

The conventions, in one place: a day is the first such day after today; "next Friday" is that of the
following calendar week (Monday first); an hour without am/pm is pm from 1 to 6, am from 7 to 11, and 12
is noon, unless a part of the day or the other end of a range says otherwise; a part of the day without an
hour has the hour of `PART_HOURS`; a time without a day is its next occurrence.
Takes `pipeline.dates.expression` values, knows nothing of words. Raises `ImpossibleDate`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

from dateutil.relativedelta import MO, relativedelta, weekday

from pipeline.dates.expression import Clock, Day, Duration, Expression, Part, Period, Point

#: When a part of the day is, in hours since midnight, where no clock time is said.
PART_HOURS: dict[Part, int] = {
    "early": 9,
    "morning": 9,
    "noon": 12,
    "lunch": 12,
    "after lunch": 13,
    "afternoon": 15,
    "day's end": 17,
    "evening": 18,
    "night": 20,
    "midnight": 24,
}
_DAY = timedelta(days=1)
_REACH = relativedelta(years=8)  # 29 February is found within that
_LAST_SECOND = timedelta(hours=23, minutes=59, seconds=59)


class ImpossibleDate(ValueError):
    """The expression says what the calendar does not have: 31 June, a Friday 13 March that is none."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time expression's meaning, in local time without a zone."""

    start: datetime  # midnight if all_day
    all_day: bool  # no clock time and no part of the day was said
    end: datetime | None  # if the expression itself says an end; 23:59:59 where that end is a date


def resolve(said: Expression, now: datetime) -> Moment:
    """Return what `said` means at `now`.

    Raises:
        ImpossibleDate: There is no such time, or the end is before the start.
    """
    if said.end is not None:
        span = _range(said.start, said.end, now)
        if said.adjacent and span.end is not None and span.end - span.start > 2 * _DAY:
            raise ImpossibleDate("two days that do not follow each other")
        return span
    point = said.start
    if point.length is not None and point == Point(length=point.length):
        # "20 minutes", with its "in" left out.
        point = Point(now=True, shift=point.length)
    start, all_day, last = _start(point, now)
    end = None
    if point.length is not None:
        end = after(start, point.length, all_day=all_day)
    elif last > start.date():
        end = _midnight(last) + _LAST_SECOND
    return Moment(start, all_day, end)


def resolve_end(point: Point, start: Moment, now: datetime) -> datetime:
    """Return the time after `start` that `point` says.

    Raises:
        ImpossibleDate: It is before the start, or there is no such time.
    """
    if point.now or point.shift:
        end, all_day, last = _start(point, now)
        end = _midnight(last) + _LAST_SECOND if all_day else end
    elif point.day is not None:
        first, last = _dates(point.day, now.date(), start.start.date() - _DAY)
        if _is_day(point):
            end = _midnight(last) + _LAST_SECOND
        else:
            _check_day(point.day)
            ends = [_midnight(first) + hours for hours in _hours(point)]
            end = next((end for end in ends if end > start.start), ends[0])
    else:
        options = _hours(point)[:1] if start.all_day else _hours(point)
        days = (_midnight(start.start.date()) + _DAY * n for n in range(-1, 3))
        end = min(end for day in days for hours in options if (end := day + hours) > start.start)
    if end < start.start:
        raise ImpossibleDate(f"the end, {end}, is before the start, {start.start}")
    return end


def after(start: datetime, length: Duration, *, all_day: bool) -> datetime:
    """Return the end of what lasts `length` from `start`: whole days end at 23:59:59."""
    end = start + relativedelta(months=length.months) + length.time
    if all_day and not length.exact:
        end -= timedelta(seconds=1)
    if end < start:
        raise ImpossibleDate("a length of nothing")
    return end


def _start(point: Point, now: datetime) -> tuple[datetime, bool, date]:
    """Return when `point` is, whether that is a whole day, and the last day of the span if it is one."""
    shift = point.shift or Duration()
    step = relativedelta(months=shift.months, seconds=int(shift.time.total_seconds()))
    timed = point.clock is not None or point.part is not None
    today = now.date()
    if point.now:
        if point.day is not None or (timed and shift.exact):
            raise ImpossibleDate("a time counted from now, and a day or a time of day besides")
        if shift.exact or not step:
            moment = now.replace(microsecond=0) + step
            return moment, False, moment.date()
        first = last = (now + step).date()
        step = relativedelta()
    elif point.day is not None:
        first, last = _dates(point.day, today, today)
        if timed:
            _check_day(point.day)
    else:
        moment = _next(_hours(point)[0], now) + step
        return moment, False, moment.date()
    if not timed:
        start = _midnight(first) + step
        return start, not shift.exact, max(start.date(), last + (start.date() - first))
    start = _midnight(first) + _not_past(_hours(point), _midnight(first), now) + step
    return start, False, start.date()


def _range(first: Point, last: Point, now: datetime) -> Moment:
    """Return the range from `first` to `last`; what is said at one end only holds for both."""
    if first.clock and last.clock and (first.day is None or last.day is None):
        return _hours_between(first, last, now)
    if _is_day(first) and last.day is None:
        raise ImpossibleDate("a range from a day to a time of day")
    if first.day is None and not first.now and _is_day(last):
        raise ImpossibleDate("a range from a time of day to a day")
    start = resolve(Expression(first), now)
    if first.day is not None and last.day is not None and _says_more(last.day, first.day):
        # "The 30th to the 2nd of June", "Monday to Wednesday next week": the last such day before the end.
        end = resolve(Expression(last), now).start.date()
        days = (end - _DAY * n for n in range(366))
        begin = next((day for day in days if _matches(first.day, day)), start.start.date())
        start = replace(start, start=datetime.combine(begin, start.start.time()))
    return Moment(start.start, start.all_day, resolve_end(last, start, now))


def _is_day(point: Point) -> bool:
    return point.day is not None and point.clock is None and point.part is None


def _says_more(day: Day, other: Day) -> bool:
    """Return whether `day` names a week, month or year and `other` needs it."""
    if other.period or other.year:
        return False
    longer = day.period is not None and day.period.unit != "days"
    return longer or day.year is not None or (day.month is not None and other.month is None)


def _hours_between(first: Point, last: Point, now: datetime) -> Moment:
    """Return the range between two times of day, on a day that is said with one of them or not at all."""
    starts, ends = _hours(first), _hours(last)
    day = first.day or last.day
    if day is not None:
        _check_day(day)
    base = _midnight(_dates(day, now.date(), now.date())[0]) if day else None
    if len(starts) > 1 and len(ends) == 1:
        # "2-4pm", "11 to 1pm": the latest such hour before the end.
        end = ends[0]
        start = max(start if start < end else start - _DAY for start in starts)
    else:
        start = _not_past(starts, base, now) if base else starts[0]
        end = min(end if end > start else end + _DAY for end in ends)
    if base is None:
        base = _next(start, now) - start
    else:
        # Past midnight it is still Friday in "10pm to 2am on Friday"; in "9pm to 10am tomorrow" it is not.
        small_hours = ends[0] < timedelta(hours=6)
        if start < timedelta() and (first.day or small_hours):
            base += _DAY
        elif start >= timedelta() and end not in ends and last.day and not small_hours:
            base -= _DAY
    return Moment(base + start, False, base + end)


def _next(hours: timedelta, now: datetime) -> datetime:
    """Return the next time after `now` that is `hours` after a midnight."""
    midnight = _midnight(now.date()) - _DAY
    while midnight + hours <= now:
        midnight += _DAY
    return midnight + hours


def _not_past(hours: list[timedelta], midnight: datetime, now: datetime) -> timedelta:
    """Return what the conventions say, unless it is over today and the other half of the day is not."""
    today = midnight.date() == now.date()
    if today and midnight + hours[0] <= now < midnight + hours[-1]:
        return hours[-1]
    return hours[0]


def _hours(point: Point) -> list[timedelta]:
    """Return the time since midnight that `point` says, by the conventions, and what else it may mean."""
    if point.clock is not None:
        rest = timedelta(minutes=point.clock.minute, seconds=point.clock.second)
        return [timedelta(hours=hour) + rest for hour in _clock_hours(point.clock, point.part)]
    if point.part is not None:
        return [timedelta(hours=PART_HOURS[point.part])]
    raise ImpossibleDate("neither a day nor a time of day")


def _clock_hours(clock: Clock, part: Part | None) -> list[int]:
    """Return the hours since midnight that a time of day may be, by the conventions first."""
    hour = clock.hour
    if part == "night":
        # The night goes on after midnight: "Saturday night at 1" is Sunday.
        after_midnight = hour < 5 or (hour == 12 and not clock.literal)
        return [24 + hour % 12] if after_midnight else [hour if clock.literal else hour + 12]
    if clock.literal:
        return [hour]
    match part:
        case None:
            by_convention = hour if hour >= 7 else hour + 12
            return [by_convention, (by_convention + 12) % 24]
        case "early" | "morning":
            return [hour]
        case _:
            return [hour % 12 + 12]


def _dates(day: Day, today: date, since: date) -> tuple[date, date]:
    """Return the first and last day of the first span after `since` that is as `day` says."""
    if day.period is not None:
        first, last = _period(day.period, today)
    elif day.year is not None:
        first, last = date(day.year, 1, 1), date(day.year, 12, 31)
    else:
        first = since + _DAY
        last = first + _REACH
        if day.weekday is not None and day.day is not None:
            # The weekday is a check, not a search for the year in which both agree.
            last = first + (relativedelta(years=1) if day.month else relativedelta(months=2))
    if day.month is not None and day.day is None and day.weekday is None:
        # The month as a whole; the one that it is now counts until it is over.
        last = _first_match(replace(day, day=-1), first, last)
        first = last.replace(day=1)
    elif day.day is not None or day.weekday is not None:
        first = last = _first_match(day, first, last)
    elif day.period is None and day.year is None:
        raise ImpossibleDate("no day")
    if day.edge is not None:
        return _edge(day, first, last, today)
    if first < today <= last and not (day.period and day.period.offset < 0):
        first = today
    return first, last


def _check_day(day: Day) -> None:
    """Raise if `day` is a month, of which no day is said."""
    if day.month is not None and day.day is None and day.weekday is None and day.edge is None:
        raise ImpossibleDate("a month and a time of day, but no day")


def _first_match(day: Day, first: date, last: date) -> date:
    """Return the first day from `first` to `last` that has the fields of `day`."""
    if day.weekday is not None and day.month is not None and day.day is None and day.nth is None:
        raise ImpossibleDate("a weekday and a month, but no day of the month")
    days = [first + _DAY * n for n in range((last - first).days + 1)]
    found = next((date for date in days if _matches(day, date)), None)
    if found is None:
        other = next((date for date in days if _matches(replace(day, weekday=None), date)), None)
        raise ImpossibleDate(f"{other} is a {other:%A}" if other else "the calendar has no such day")
    return found


def _matches(day: Day, on: date) -> bool:
    """Return whether the date `on` has all the fields of `day`."""
    if day.month not in (None, on.month) or day.weekday not in (None, on.weekday()):
        return False
    if day.day not in (None, on.day) and not (day.day == -1 and (on + _DAY).day == 1):
        return False
    if day.nth is None or day.weekday is None:
        return day.nth is None
    nth = weekday(day.weekday, day.nth)
    return on == on + relativedelta(day=1 if day.nth > 0 else 31, weekday=nth)


def _edge(day: Day, first: date, last: date, today: date) -> tuple[date, date]:
    week = day.period is not None and day.period.unit == "weeks"
    match day.edge:
        case "start":
            found = first
        case "middle":
            found = first + timedelta(days=2 if week else 14)
        case _:
            # The end of the week is Friday until that is over.
            found = last - _DAY * 2 if week and last - _DAY * 2 >= today else last
    if found < today and day.period is not None and day.period.offset == 0:
        return _dates(replace(day, period=Period(day.period.unit, 1)), today, today)
    if found < today and day.period is None and day.year is None:
        return _dates(day, today, last)
    return found, found


def _period(period: Period, today: date) -> tuple[date, date]:
    monday = today + relativedelta(weekday=MO(-1))
    match period.unit:
        case "days":
            day = today + _DAY * period.offset
            return day, day
        case "seven days":
            first = today + timedelta(weeks=period.offset)
            return first, first + _DAY * 6
        case "weeks":
            monday += timedelta(weeks=period.offset)
            return monday, monday + _DAY * 6
        case "weekends":
            monday += timedelta(weeks=period.offset)
            return monday + _DAY * 5, monday + _DAY * 6
        case "months":
            first = today + relativedelta(day=1, months=period.offset)
            return first, first + relativedelta(day=31)
        case "years":
            first = today + relativedelta(month=1, day=1, years=period.offset)
            return first, first + relativedelta(month=12, day=31)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())
