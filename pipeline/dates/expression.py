"""What a time expression says, before any calendar is looked at.

`pipeline.dates.grammar` builds these values from words, `pipeline.dates.calendar` turns them into dates.
Every field is None where nothing was said; `merge` puts together what several words say of one thing.
Knows nothing of words, languages or the present time.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Literal, TypeVar

PeriodUnit = Literal["days", "seven days", "weeks", "weekends", "months", "years"]
Edge = Literal["start", "middle", "end"]
Part = Literal[
    "early",
    "morning",
    "noon",
    "lunch",
    "after lunch",
    "afternoon",
    "day's end",
    "evening",
    "night",
    "midnight",
]


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time."""

    months: int = 0
    time: timedelta = timedelta()
    exact: bool = False  # said in units shorter than a day: it counts from the minute, not from the date

    def __add__(self, other: Duration) -> Duration:
        return Duration(self.months + other.months, self.time + other.time, self.exact or other.exact)

    def __mul__(self, count: float) -> Duration:
        """Return `count` times this length; half a month is 15 days."""
        months, rest = divmod(self.months * count, 1)
        return Duration(int(months), self.time * count + timedelta(days=30) * rest, self.exact)

    def __neg__(self) -> Duration:
        return Duration(-self.months, -self.time, self.exact)


#: The units of time, by their English names.
UNITS = {
    "second": Duration(time=timedelta(seconds=1), exact=True),
    "minute": Duration(time=timedelta(minutes=1), exact=True),
    "hour": Duration(time=timedelta(hours=1), exact=True),
    "day": Duration(time=timedelta(days=1)),
    "week": Duration(time=timedelta(weeks=1)),
    "fortnight": Duration(time=timedelta(weeks=2)),
    "month": Duration(months=1),
    "year": Duration(months=12),
}


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of the day."""

    hour: int  # 0 to 24; 24 is the midnight that ends the day
    minute: int = 0
    second: int = 0
    literal: bool = False  # 24-hour, or am/pm said; else 1 to 12 with the half of the day to be worked out
    bare: bool = False  # said as a number and nothing else: it may be a day of the month


@dataclass(frozen=True, slots=True)
class Period:
    """A day, week, weekend, month or year, counted from the present one."""

    unit: PeriodUnit
    offset: int


@dataclass(frozen=True, slots=True)
class Day:
    """A date or span of dates: the first that has all these fields, within `period` if there is one."""

    weekday: int | None = None  # Monday is 0
    nth: int | None = None  # the nth such weekday of a month; -1 is the last
    day: int | None = None  # of the month; -1 is its last
    month: int | None = None
    year: int | None = None
    period: Period | None = None
    edge: Edge | None = None  # "end of June": which end of the span


@dataclass(frozen=True, slots=True)
class Point:
    """A point in time."""

    day: Day | None = None
    clock: Clock | None = None
    part: Part | None = None
    now: bool | None = None  # counted from the present moment
    shift: Duration | None = None  # "a week on Tuesday", "an hour before noon"
    length: Duration | None = None  # "for an hour"


@dataclass(frozen=True, slots=True)
class Expression:
    """A point in time, or a range from one to another."""

    start: Point
    end: Point | None = None
    adjacent: bool = False  # "Saturday and Sunday": a range only if nothing lies between


T = TypeVar("T", Day, Point)


def merge(a: T, b: T) -> T | None:
    """Return what `a` and `b` say together, or None where both say the same thing (twice, or two things)."""
    merged: dict[str, Any] = {}
    for field in fields(a):
        mine, theirs = getattr(a, field.name), getattr(b, field.name)
        if mine is not None and theirs is not None:
            mine = merge(mine, theirs) if isinstance(mine, Day) else None
            if mine is None:
                return None
        merged[field.name] = theirs if mine is None else mine
    return type(a)(**merged)
