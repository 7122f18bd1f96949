"""Tokens to what they say: a recursive-descent parser of time expressions, the same for all languages.

Every rule is a generator of `(what was understood, index of the next token)`, the likeliest first, so that
what goes wrong further on is taken back: in "4 to 445" the four is an hour, in "4 to 6 May" a day. A point
in time is whatever its words say, put together in any order ("at 8 on Friday", "Friday at 8"), as long as
nothing is said twice. Knows nothing of the present time: the caller takes the first expression that exists
in the calendar (`pipeline.dates.resolve`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from pipeline.dates.expression import (
    UNITS,
    Clock,
    Day,
    Duration,
    Expression,
    Part,
    Period,
    PeriodUnit,
    Point,
    merge,
)
from pipeline.dates.words import Kind, Token

T = TypeVar("T")
Rule = Iterator[tuple[T, int]]


def expressions(tokens: Sequence[Token]) -> Iterator[Expression]:
    """Yield the readings of `tokens` as a time expression, the likeliest first."""
    opened = any(Kind.FROM in token.readings for token in tokens)
    # "Ten to four" is a time of day, "from ten to four" a range.
    if not opened:
        yield from _Parser(tokens, fillers={Kind.FILLER}).single()
    yield from _Parser(tokens, fillers={Kind.FILLER, Kind.TO}).ranges()
    # What stands between the ends of a range may also just introduce a time: "lunes a las 8", "Fri - 3pm".
    yield from _Parser(tokens, fillers={Kind.FILLER, Kind.TO, Kind.HYPHEN}).single()


def durations(tokens: Sequence[Token]) -> Iterator[Duration]:
    """Yield the readings of `tokens` as a length of time, the likeliest first."""
    parser = _Parser(tokens, fillers={Kind.FILLER})
    for start in range(len(tokens)):
        for length, end in parser.duration(start):
            if all(Kind.FILLER in token.readings for token in tokens[end:]):
                yield length
        # "Às 22h30" is no length.
        if Kind.AT in tokens[start].readings or not {Kind.FILLER, Kind.FOR} & tokens[start].readings.keys():
            break


class _Parser:
    def __init__(self, tokens: Sequence[Token], *, fillers: Set[Kind]) -> None:
        self.tokens = tokens
        self.fillers = fillers

    # Tokens

    def get(self, at: int, kind: Kind) -> Any:
        """Return the value of the token at `at` as a `kind`, None if it is not one."""
        return self.tokens[at].readings.get(kind) if 0 <= at < len(self.tokens) else None

    def has(self, at: int, *kinds: Kind) -> bool:
        return any(self.get(at, kind) is not None for kind in kinds)

    def past(self, at: int, *kinds: Kind) -> int:
        """Return the index of the first token from `at` that is none of `kinds`."""
        while self.has(at, *kinds):
            at += 1
        return at

    # Whole expressions

    def single(self) -> Iterator[Expression]:
        for point, end in self.point(0, Point()):
            if end == len(self.tokens):
                yield Expression(point)

    def ranges(self) -> Iterator[Expression]:
        for start, at in self.point(0, Point()):
            joined = self.has(at, Kind.AND)
            if not joined and not self.has(at, Kind.TO, Kind.HYPHEN):
                continue
            between = any(self.has(before, Kind.BETWEEN) for before in range(at))
            for end, stop in self.point(at if self.has(at, Kind.NUMBER) else at + 1, Point()):  # "à uma"
                if stop != len(self.tokens):
                    continue
                # "9-12 March", "March 3 to 5": the number at the other end is a day too.
                first = _as_date(start) if _is_date(end) and start.clock and not start.day else start
                last = _as_date(end) if _is_date(start) and end.clock and not end.day else end
                adjacent = joined and not between
                # "Segunda de manhã às 8": the word that may stand in a range introduces a time here.
                if last.clock and not first.clock and not first.now and self.has(at, Kind.FILLER):
                    continue
                if Point() in (first, last) or (adjacent and not (_is_date(first) and _is_date(last))):
                    continue
                yield Expression(first, last, adjacent)

    # A point in time

    def point(self, at: int, said: Point) -> Rule[Point]:
        """Yield `said` with all that can be understood from `at` on, the longest understanding first."""
        for item, end in self.items(at):
            if (both := merge(said, item)) is not None:
                yield from self.point(end, both)
        if self.fills(at):
            yield from self.point(at + 1, said)
        for number, end in self.bare_day(at):
            if (both := merge(said, number)) is not None:
                yield from self.point(end, both)
        yield said, at

    def fills(self, at: int) -> bool:
        """Return whether the token at `at` may be passed over."""
        if self.has(at, Kind.BEFORE, Kind.AFTER):
            # "Before noon" is noon; "ten minutes before" says too little.
            return not self.has(at - 1, Kind.UNIT) and at + 1 < len(self.tokens)
        if self.has(at, Kind.HYPHEN):
            return Kind.HYPHEN in self.fillers
        if self.has(at, Kind.TO):
            leads = at == 0 and Kind.HYPHEN in self.fillers
            return Kind.TO in self.fillers and (leads or self.has(at, Kind.FILLER))
        if self.has(at, Kind.DAY_WORD, Kind.THE) and self.has(at + 1, Kind.NUMBER):
            # "The 3" is a day, "the 3 pm" is not.
            return not self.has(at, Kind.DAY_WORD) and self.has(at + 2, Kind.MERIDIEM, Kind.OCLOCK, Kind.UNIT)
        if self.get(at, Kind.PERIOD) == "months":
            # "The last Friday of the month"
            return self.has(at - 1, Kind.FILLER) and not self.has(at - 1, Kind.ARTICLE)
        return self.has(at, Kind.FILLER) or self.get(at, Kind.PART) == "early"

    def items(self, at: int) -> Rule[Point]:
        for day, end in self.day(at):
            # "Friday in two weeks"
            if self.has(end, Kind.IN) and self.has(end - 1, Kind.WEEKDAY):
                for length, stop in self.duration(end + 1):
                    if not length.exact:
                        yield Point(day=day, shift=length), stop
            yield Point(day=day), end
            # "Tuesday week", "tomorrow fortnight"
            unit: Duration | None = self.get(end, Kind.UNIT)
            weeks = unit in (UNITS["week"], UNITS["fortnight"])
            if weeks and self.has(end - 1, Kind.WEEKDAY, Kind.NAMED_DAY):
                yield Point(day=day, shift=unit), end + 1
        yield from self.shifted(at)
        for clock, end in self.clock(at):
            yield Point(clock=clock), end
        yield from self.part(at)
        for length, end in self.duration(at + 1 if self.has(at, Kind.FOR) else at):
            yield Point(length=length), end

    def part(self, at: int) -> Rule[Point]:
        if self.has(at, Kind.TODAYS_PART):
            days, part = self.get(at, Kind.TODAYS_PART)
            yield Point(day=Day(period=Period("days", days)), part=part), at + 1
        if self.has(at, Kind.PART):
            yield Point(part=self.get(at, Kind.PART)), at + 1
        if self.has(at, Kind.MERIDIEM):
            # "Thursday pm"
            yield Point(part="afternoon" if self.get(at, Kind.MERIDIEM) else "morning"), at + 1
        if self.has(at, Kind.OFFSET) and self.has(at + 1, Kind.PART):
            # "This evening", "last night"
            day = Day(period=Period("days", self.get(at, Kind.OFFSET)))
            yield Point(day=day, part=self.get(at + 1, Kind.PART)), at + 2

    def shifted(self, at: int) -> Rule[Point]:
        """Now, and what is counted from now or from another point in time."""
        if self.has(at, Kind.NOW):
            yield Point(now=True), at + 1
        if self.has(at, Kind.SOON):
            yield Point(now=True, shift=UNITS["hour"]), at + 1
        if self.has(at, Kind.IN):
            for length, end in self.duration(at + 1):
                yield Point(now=True, shift=length), end
            number = self.get(at + 1, Kind.NUMBER)
            if number and number % 5 == 0 and at + 2 == len(self.tokens):
                yield Point(now=True, shift=UNITS["minute"] * number), at + 2
        if self.has(at, Kind.SINCE):
            for length, end in self.duration(at + 1):
                yield Point(now=True, shift=-length), end
        for length, end in self.duration(at):
            if self.has(end, Kind.AGO):
                yield Point(now=True, shift=-length), end + 1
            if self.has(end, Kind.AFTER):
                yield Point(shift=length), end + 1
            if self.has(end, Kind.BEFORE):
                yield Point(shift=-length), end + 1
            if not length.exact and self.has(end, Kind.ON):
                yield Point(shift=length), end + 1
            if self.has(end, Kind.ON) and self.has(end + 1, Kind.NOW):
                yield Point(shift=length), end + 1
            if not length.exact and self.has(end, Kind.NAMED_DAY):
                yield Point(shift=length), end
        if self.has(at, Kind.THE) and self.has(at + 1, Kind.UNIT):
            # "The day after Christmas"
            if self.has(at + 2, Kind.AFTER):
                yield Point(shift=self.get(at + 1, Kind.UNIT)), at + 3
            if self.has(at + 2, Kind.BEFORE):
                yield Point(shift=-self.get(at + 1, Kind.UNIT)), at + 3

    # Days

    def day(self, at: int) -> Rule[Day]:
        yield from self.period(at)
        yield from self.edge(at)
        yield from self.nth(at)
        yield from self.weekday(at)
        yield from self.date(at)
        if self.has(at, Kind.NAMED_DAY):
            yield Day(period=Period("days", self.get(at, Kind.NAMED_DAY))), at + 1
        if self.has(at, Kind.HOLIDAY):
            month, day = self.get(at, Kind.HOLIDAY)
            for year, end in self.year(at + 1):
                yield Day(day=day, month=month, year=year), end

    def period(self, at: int) -> Rule[Day]:
        """ "This weekend", "next month", "la semana que viene", "the week after next"."""
        if self.has(at, Kind.COMING) and self.has(at + 1, Kind.PERIOD):
            unit = self.get(at + 1, Kind.PERIOD)
            yield Day(period=Period(unit, 0 if unit == "weekends" else 1)), at + 2
        if self.has(at, Kind.OFFSET) and self.has(at + 1, Kind.PERIOD):
            yield Day(period=Period(self.get(at + 1, Kind.PERIOD), self.get(at, Kind.OFFSET))), at + 2
        if self.has(at, Kind.PERIOD):
            if self.has(at + 1, Kind.OFFSET):
                yield Day(period=Period(self.get(at, Kind.PERIOD), self.get(at + 1, Kind.OFFSET))), at + 2
            if self.get(at, Kind.PERIOD) == "weekends":
                yield Day(period=Period("weekends", 0)), at + 1

    def edge(self, at: int) -> Rule[Day]:
        """ "End of June", "the middle of next week", "fim do mês"."""
        if not self.has(at, Kind.EDGE):
            return
        edge = self.get(at, Kind.EDGE)
        inner = self.past(at + 1, Kind.THE, Kind.FILLER, Kind.HYPHEN)
        for day, end in self.period(inner):
            yield replace(day, edge=edge), end
        if self.has(inner, Kind.PERIOD):
            yield Day(period=Period(self.get(inner, Kind.PERIOD), 0), edge=edge), inner + 1
        if self.has(inner, Kind.MONTH):
            for year, end in self.year(inner + 1):
                yield Day(month=self.get(inner, Kind.MONTH), year=year, edge=edge), end

    def nth(self, at: int) -> Rule[Day]:
        """ "The first Monday", "the last day": of a month."""
        for number, end in self.ordinal(at):
            if self.has(end, Kind.WEEKDAY) and number <= 5:
                yield Day(weekday=self.get(end, Kind.WEEKDAY), nth=number), end + 1
            if number == 1 and self.get(end, Kind.UNIT) == UNITS["day"]:
                yield Day(day=1), end + 1
        if self.has(at, Kind.LAST):
            if self.has(at + 1, Kind.WEEKDAY) and self.of_month(at + 2):
                yield Day(weekday=self.get(at + 1, Kind.WEEKDAY), nth=-1), at + 2
            if self.get(at + 1, Kind.UNIT) == UNITS["day"]:
                yield Day(day=-1), at + 2

    def of_month(self, at: int) -> bool:
        """Return whether a month is named at `at`: "of the month", "of next month", "of June"."""
        month = self.past(at, Kind.THE, Kind.FILLER)
        return self.has(month, Kind.MONTH, Kind.OFFSET) or self.get(month, Kind.PERIOD) == "months"

    def weekday(self, at: int) -> Rule[Day]:
        """ "Friday", "next Friday", "sexta que vem", "Friday 14"."""
        before = 0 if self.has(at, Kind.COMING) else self.get(at, Kind.OFFSET)
        name = at if before is None else at + 1
        if not self.has(name, Kind.WEEKDAY):
            return
        weekday, end = self.get(name, Kind.WEEKDAY), name + 1
        after = self.get(end, Kind.OFFSET) if before is None else None
        offset = before or after
        end += after is not None
        if offset:
            # "Next Friday" is of the calendar week after this, "last Friday" the one that was last.
            unit: PeriodUnit = "weeks" if offset > 0 else "seven days"
            yield Day(weekday=weekday, period=Period(unit, offset)), end
            if before:
                return
            # "Friday next week"
            end -= 1
        # "Friday 9" is an hour, "Friday 13" and "martes 9" are dates, "Friday 13-15" are hours.
        dated = self.has(name, Kind.NUMBERED_WEEKDAY)
        is_range = self.has(end + 1, Kind.HYPHEN) and self.has(end + 2, Kind.NUMBER, Kind.HOURS, Kind.CLOCK)
        hour = self.has(end, Kind.TO) or self.has(end + 1, Kind.MERIDIEM)  # "sexta à uma", "jueves 9 am"
        if self.get(end, Kind.NUMBER) in range(1 if dated else 13, 32) and not is_range and not hour:
            yield Day(weekday=weekday, day=self.get(end, Kind.NUMBER)), end + 1
            is_hour = self.has(end + 1, Kind.MERIDIEM, Kind.WITH, Kind.UNIT)
            if dated and not is_hour and not self.has(self.past(end + 1, Kind.FILLER), Kind.PART):
                return
        yield Day(weekday=weekday), end

    def date(self, at: int) -> Rule[Day]:
        """ "16 oct", "June 3rd 2027", "the 14th", "3/2/2026"."""
        token_date = self.get(at, Kind.DATE)
        if token_date and (not self.has(at, Kind.CLOCK) or self.tokens[at].text.endswith(".")):
            yield _day_of(token_date), at + 1
        for number, end in [*self.ordinal(at), *self.number(at)]:
            month = self.past(end, Kind.FILLER)
            if 1 <= number <= 31 and self.has(month, Kind.MONTH):
                for year, after in self.year(month + 1):
                    yield Day(day=number, month=self.get(month, Kind.MONTH), year=year), after
        if self.get(at, Kind.OFFSET) in (0, 1) and self.has(at + 1, Kind.MONTH):
            yield Day(month=self.get(at + 1, Kind.MONTH)), at + 2
        if self.has(at, Kind.MONTH):
            month = self.get(at, Kind.MONTH)
            dot = at + 2 if self.tokens[at + 1 : at + 2] and self.tokens[at + 1].text == "." else at + 1
            after_the = self.past(dot, Kind.THE)
            for number, end in [*self.ordinal(after_the), *self.number(after_the)]:
                if 1 <= number <= 31 and not self.has(end, Kind.MERIDIEM):
                    for year, after in self.year(end):
                        yield Day(day=number, month=month, year=year), after
            for year, after in self.year(at + 1):
                yield Day(month=month, year=year), after
        for number, end in self.ordinal(at):
            if 1 <= number <= 31:
                yield Day(day=number), end
        if self.has(at, Kind.THE, Kind.DAY_WORD):
            # "the twenty third" is no twentieth with something after it
            for number, end in [*self.ordinal(at + 1)] or self.number(at + 1):
                if 1 <= number <= 31 and not self.has(end, Kind.MERIDIEM):
                    yield Day(day=number), end

    def year(self, at: int) -> Rule[int | None]:
        """The year of a date, if there is one."""
        # "of" and commas may stand before it; "at" may not: "3 June at 2030".
        number = at
        while self.has(number, Kind.FILLER) and not self.has(number, Kind.AT):
            number += 1
        value = self.get(number, Kind.NUMBER)
        if value is not None and 2000 <= value < 2100:
            yield value, number + 1
            return
        if self.tokens[number : number + 1] and self.tokens[number].text == "twenty":
            for rest, end in self.number(number + 1):
                if rest > 23:
                    yield 2000 + rest, end
        yield None, at

    def bare_day(self, at: int) -> Rule[Point]:
        """A date that would rather be a time of day: "22.06 at 9"."""
        if self.has(at, Kind.DATE) and self.has(at, Kind.CLOCK):
            yield Point(day=_day_of(self.get(at, Kind.DATE))), at + 1

    # Times of day

    def clock(self, at: int) -> Rule[Clock]:
        for clock, end in self.face(at):
            end = self.past(end, Kind.OCLOCK)
            if self.has(end, Kind.MERIDIEM) and 1 <= clock.hour <= 23:
                add = self.get(end, Kind.MERIDIEM)
                hour = clock.hour if clock.hour > 12 else clock.hour % 12 + add
                if clock.hour <= 12 or add:
                    yield replace(clock, hour=hour, literal=True, bare=False), end + 1
            yield clock, end

    def face(self, at: int) -> Rule[Clock]:
        """A time of day as it is read from a clock's face."""
        if self.has(at, Kind.CLOCK):
            hour, minute, second = self.get(at, Kind.CLOCK)
            if hour < 24 and minute < 60 and (second or 0) < 60:
                is_iso = second is not None or (self.has(at - 1, Kind.DATE) and "-" in self.tokens[at - 1].text)
                end = at + 2 if self.get(at + 1, Kind.UNIT) == UNITS["hour"] else at + 1
                yield Clock(hour, minute, second or 0, is_iso or self.is_literal(at, hour)), end
        if self.has(at, Kind.HOURS):
            hour, minute = self.get(at, Kind.HOURS)
            if hour <= 24 and (minute or 0) < 60:
                clock = Clock(hour, minute or 0, literal=self.is_literal(at, hour))
                yield from self.minutes_past(clock, at + 1)
                named = minute is not None and self.get(at + 1, Kind.UNIT) == UNITS["minute"]
                yield clock, at + 2 if named else at + 1
        if self.has(at, Kind.HALF):
            # "Half past seven", and the British "half seven".
            for hour_clock, end in self.hour(self.past(at + 1, Kind.HYPHEN, Kind.PAST)):
                yield replace(hour_clock, minute=30), end
        for minutes, end in self.minutes(at):
            if self.has(end, Kind.PAST):
                for hour_clock, stop in self.hour(end + 1):
                    yield replace(hour_clock, minute=minutes), stop
            if self.has(end, Kind.TOWARD) and minutes > 0 and self.are_minutes(minutes, at, end):
                for hour_clock, stop in self.hour(self.past(end + 1, Kind.AT, Kind.FILLER)):
                    if hour_clock.hour in (*range(1, 13), 24):
                        yield _earlier(hour_clock, minutes), stop
        for hour_clock, end in self.hour(at):
            yield from self.minutes_past(hour_clock, end)
            if self.has(end, Kind.MINUS):
                for minutes, stop in self.minutes(end + 1):
                    yield _earlier(hour_clock, minutes), stop
            if self.has(at - 1, Kind.AT) and self.get(end, Kind.UNIT) == UNITS["hour"]:
                yield hour_clock, end + 1
            bare = (
                self.has(at, Kind.NUMBER)
                and not self.has(at, Kind.TO)
                and not self.has(at - 1, Kind.AT)
                and not self.has(end - 1, Kind.PART)
            )
            yield replace(hour_clock, bare=bare), end
        number = self.get(at, Kind.NUMBER)
        if number is not None and len(text := self.tokens[at].text) in (3, 4) and text.isdigit():
            hour, minute = divmod(number, 100)
            if hour < 24 and minute < 60:
                end = at + 2 if self.get(at + 1, Kind.UNIT) == UNITS["hour"] else at + 1
                yield Clock(hour, minute, literal=self.is_literal(at, hour)), end

    def is_literal(self, at: int, hour: int) -> bool:
        """Return whether the hour that is written at `at` can only be one of 24."""
        return not 1 <= hour <= 12 or self.tokens[at].text.startswith("0")

    def are_minutes(self, number: int, at: int, end: int) -> bool:
        """Return whether the number before a "to" is one of minutes rather than the start of a range."""
        # "Ten to four" is 3:50, "two to four" and "10 to 4" are ranges, "at 10 to 4" is 3:50 again.
        if not self.has(end, Kind.TO) or self.has(end - 1, Kind.UNIT) or self.has(at - 1, Kind.AT):
            return True
        return number % 5 == 0 and (number > 12 or not self.tokens[at].text.isdigit())

    def minutes_past(self, hour: Clock, at: int) -> Rule[Clock]:
        """Minutes after an hour that was just said: "seven fifteen", "sete e meia", "nine oh five"."""
        joined = self.has(at, Kind.WITH)
        first = at + 1 if joined else at
        if joined and self.has(first, Kind.HALF):
            yield replace(hour, minute=30), first + 1
        if self.has(at, Kind.OH):
            for number, end in self.number(at + 1):
                if 1 <= number <= 9:
                    yield replace(hour, minute=number), end
        if self.has(at, Kind.HYPHEN) and not self.tokens[at - 1].text.isdigit():
            # "Two-thirty"; but "ten-twelve" is a range.
            for number, end in self.number(at + 1):
                if number in range(15, 60, 5) and not self.tokens[at + 1].text.isdigit():
                    yield replace(hour, minute=number), end
        for minutes, end in self.minutes(first):
            # Without an "and" only a full number of minutes follows: "seven fifteen", not "seven quarter".
            if joined or (minutes >= 10 and not self.has(end - 1, Kind.QUARTER)):
                yield replace(hour, minute=minutes), end

    def minutes(self, at: int) -> Rule[int]:
        """A number of minutes, or a quarter of an hour, as part of a time of day."""
        article = at + 1 if self.has(at, Kind.ARTICLE) else at
        if self.has(article, Kind.QUARTER):
            yield 15, article + 1
        for number, end in self.number(at):
            if number < 60:
                if self.get(end, Kind.UNIT) == UNITS["minute"]:
                    yield number, end + 1
                yield number, end

    def hour(self, at: int) -> Rule[Clock]:
        for number, end in self.number(at):
            if number <= 24:
                if self.has(end, Kind.PART) and self.get(end, Kind.PART) in _FIXED and number == 12:
                    yield Clock(_FIXED[self.get(end, Kind.PART)], literal=True), end + 1
                yield Clock(number, literal=self.is_literal(at, number)), end
        part: Part | None = self.get(at, Kind.PART)
        if part in _FIXED:
            yield Clock(_FIXED[part], literal=True), at + 1

    # Lengths

    def duration(self, at: int) -> Rule[Duration]:
        """ "An hour and a half", "1h30", "two hours and fifteen minutes"."""
        for term, end in self.term(at):
            next_term = end + 1 if self.has(end, Kind.AND) else end
            for rest, stop in self.duration(next_term):
                if rest.time < term.time or rest.months < term.months:
                    yield term + rest, stop
            if term.exact and term.time % UNITS["hour"].time == timedelta():
                # "An hour twenty": minutes need no name after hours.
                for number, stop in self.number(next_term):
                    if number in range(10, 60) and not self.has(stop, Kind.MERIDIEM, Kind.MONTH, Kind.UNIT):
                        yield term + UNITS["minute"] * number, stop
            yield term, end

    def term(self, at: int) -> Rule[Duration]:
        if self.has(at, Kind.HOURS):
            hours, minutes = self.get(at, Kind.HOURS)
            length = UNITS["hour"] * hours + UNITS["minute"] * (minutes or 0)
            minute_unit = minutes is not None and self.get(at + 1, Kind.UNIT) == UNITS["minute"]
            yield from self.with_fraction(length, UNITS["hour"], at + 1)
            yield length, at + 2 if minute_unit else at + 1
        for count, end in self.count(at):
            if self.has(end, Kind.UNIT):
                unit = self.get(end, Kind.UNIT)
                yield from self.with_fraction(unit * count, unit, end + 1)
                yield unit * count, end + 1
        if self.has(at, Kind.UNIT):
            # "Hora y media": the one may be left out.
            yield from self.with_fraction(self.get(at, Kind.UNIT), self.get(at, Kind.UNIT), at + 1)

    def with_fraction(self, length: Duration, unit: Duration, at: int) -> Rule[Duration]:
        """ "... and a half", "... e um quarto"."""
        if self.has(at, Kind.AND):
            fraction = self.past(at + 1, Kind.ARTICLE)
            if self.has(fraction, Kind.HALF):
                yield length + unit * 0.5, fraction + 1
            if self.has(fraction, Kind.QUARTER):
                yield length + unit * 0.25, fraction + 1

    def count(self, at: int) -> Rule[float]:
        """How many of a unit: "2", "1.5", "a couple of", "half an", "three quarters of an"."""
        if self.has(at, Kind.DECIMAL):
            yield self.get(at, Kind.DECIMAL), at + 1
        for number, end in self.number(at):
            if self.has(end, Kind.AND) and self.has(half := self.past(end + 1, Kind.ARTICLE), Kind.HALF):
                yield number + 0.5, half + 1
            if self.has(end, Kind.QUARTER):
                yield number / 4, self.past(end + 1, Kind.FILLER, Kind.ARTICLE)
            yield number, self.past(end, Kind.HYPHEN)
        article = self.past(at, Kind.ARTICLE)
        if self.has(article, Kind.COUPLE):
            yield self.get(article, Kind.COUPLE), self.past(article + 1, Kind.FILLER)
        if self.has(article, Kind.HALF):
            yield 0.5, self.past(article + 1, Kind.ARTICLE, Kind.HYPHEN)
        if self.has(article, Kind.QUARTER):
            yield 0.25, self.past(article + 1, Kind.FILLER, Kind.ARTICLE)
        if article > at:
            yield 1, article

    # Numbers

    def number(self, at: int) -> Rule[int]:
        """A whole number: a word, digits, or tens and ones ("twenty-five", "vinte e cinco")."""
        tens = self.get(at, Kind.NUMBER)
        if tens is None:
            return
        if tens in range(20, 100, 10) and not self.tokens[at].text.isdigit():
            ones = self.past(at + 1, Kind.WITH, Kind.HYPHEN)
            value = self.get(ones, Kind.NUMBER)
            if value in range(1, 10) and not self.tokens[ones].text.isdigit():
                yield tens + value, ones + 1
        yield tens, at + 1

    def ordinal(self, at: int) -> Rule[int]:
        """ "14th", "third", "twenty-second"."""
        tens = self.get(at, Kind.NUMBER)
        if tens in (20, 30) and not self.tokens[at].text.isdigit():
            ones = self.past(at + 1, Kind.HYPHEN)
            if self.get(ones, Kind.ORDINAL) in range(1, 10):
                yield tens + self.get(ones, Kind.ORDINAL), ones + 1
        if self.has(at, Kind.ORDINAL):
            yield self.get(at, Kind.ORDINAL), at + 1


#: The parts of the day that are minutes rather than stretches.
_FIXED: dict[Part, int] = {"noon": 12, "midnight": 24}


def _is_date(point: Point) -> bool:
    return point.day is not None and point.clock is None and point.part is None


def _as_date(point: Point) -> Point:
    """Return `point` with its hour taken as a day of the month, if it is a number and nothing else."""
    clock = point.clock
    if clock is None or not clock.bare or point != Point(clock=clock) or not 1 <= clock.hour <= 31:
        return Point()
    return Point(day=Day(day=clock.hour))


def _day_of(date: tuple[int | None, int, int]) -> Day:
    year, month, day = date
    return Day(day=day, month=month, year=year)


def _earlier(clock: Clock, minutes: int) -> Clock:
    """Return the time of day `minutes` before a full hour."""
    hour = clock.hour - 1
    if hour == 0 and not clock.literal:
        hour = 12
    return replace(clock, hour=hour % 24, minute=60 - minutes)
