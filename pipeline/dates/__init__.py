"""Time expressions as people say them, to dates: "next friday at 3", "2 till half three on the 14th".

English, Portuguese and Spanish, spoken, typed and abbreviated, by the planning conventions (see
`resolve`). Takes the words and the time at which they were said; gives naive local times. Leaves to others
what the times are for: the default length of an event, an all-day reminder's format.

    text ── words ──> tokens ── grammar ──> Expression ── resolve ──> Moment

The calendar arithmetic is python-dateutil's `relativedelta`, which is small, settled and quick to import. The
ready-made parsers (dateparser, parsedatetime) were left out: they guess by conventions of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache, partial
from itertools import chain
from typing import TypeVar

from pipeline.dates.english import ENGLISH
from pipeline.dates.expression import UNITS, Day, Duration, Point
from pipeline.dates.grammar import durations, expressions
from pipeline.dates.portuguese import PORTUGUESE
from pipeline.dates.resolve import ImpossibleDate, Moment, after, resolve, resolve_end
from pipeline.dates.spanish import SPANISH
from pipeline.dates.words import Kind, Token, UnknownWord
from pipeline.errors import TinyAgentError

__all__ = ["DateError", "Moment", "find_times", "parse_duration", "parse_end", "parse_moment"]

# One language explains an expression, or, failing that, a mixture: "el viernes at 3".
_VOCABULARIES = (ENGLISH, PORTUGUESE, SPANISH, ENGLISH | PORTUGUESE | SPANISH)
# Nobody takes more words than this to say a time; it bounds the parser's work.
_MOST_CHARACTERS = 120
_FIX = 'say it like "next Friday at 3", "14 May 15:30" or "2026-02-03 07:20"'
_MOST_WORDS = 14  # of a time expression that is searched for
_AROUND = " ,.;:!?\"'“”‘’()[]"
T = TypeVar("T")


class DateError(TinyAgentError):
    """A time expression that was not understood; the message says which words of it were not."""


def parse_moment(text: str, now: datetime) -> Moment:
    """Return when `text` is.

    Args:
        text: A time expression in English, Portuguese or Spanish, or `YYYY-MM-DD[ HH:MM:SS]`.
        now: When it was said, local time without a zone.

    Raises:
        DateError: It is not understood, or there is no such date.
    """
    return _first_possible(
        text, (partial(resolve, said, now) for tokens in _readings(text) for said in expressions(tokens))
    )


def parse_end(text: str, start: Moment, now: datetime) -> datetime:
    """Return when something ends that begins at `start`, never before it.

    Args:
        text: A length ("90 minutes", "2h") or an end ("5", "until half three", "the 16th").
        start: When it begins.
        now: When it was said, local time without a zone.

    Returns:
        The end; 23:59:59 where it is a date without a time, and of whole days.

    Raises:
        DateError: It is not understood, or it is before the start.
    """

    begin = start.start

    def candidates() -> Iterator[Callable[[], datetime]]:
        number = int(text) if re.fullmatch(r"\s*\d{1,4}\s*", text, re.ASCII) else 0
        if start.all_day and 12 < number <= 31:
            # "14 May", until "16"
            yield partial(resolve_end, Point(day=Day(day=number)), start, now)
        for tokens in _readings(text):
            lengths = (partial(after, begin, length, all_day=start.all_day) for length in durations(tokens))
            ends = (partial(resolve_end, said.end or said.start, start, now) for said in expressions(tokens))
            # From 14h, "2h" is two hours and "18h" a time of day.
            hours = max((token.readings.get(Kind.HOURS, (0,))[0] for token in tokens), default=0)
            by_clock = hours > max(5, begin.hour)
            yield from chain(ends, lengths) if by_clock else chain(lengths, ends)
        if number:
            # "90", which is no time of day
            yield partial(after, begin, UNITS["minute"] * number, all_day=start.all_day)

    return _first_possible(text, candidates())


def parse_duration(text: str) -> timedelta:
    """Return the length of time that `text` says; a number alone is minutes, "1:30" is an hour and a half.

    Raises:
        DateError: It is not understood, or has no fixed length ("a month").
    """

    def candidates() -> Iterator[Callable[[], timedelta]]:
        if match := re.fullmatch(r"\s*(?:(\d{1,2}):)?(\d{1,4})\s*", text, re.ASCII):
            hours, minutes = (int(part or 0) for part in match.groups())
            yield partial(timedelta, hours=hours, minutes=minutes)
        for tokens in _readings(text):
            for length in durations(tokens):
                yield partial(_fixed, length)

    return _first_possible(text, candidates())


@lru_cache(maxsize=32)
def find_times(text: str, now: datetime) -> tuple[str, ...]:
    """Return the time expressions that stand in a text, and those that two of them make together.

    "Friday lunch with Omar at noon" has "Friday", "at noon" and "Friday at noon". A time expression is a run of words that
    `parse_moment` understands and that no longer one contains. Lengths of time are not among them.
    """
    words = text.split()
    found: list[str] = []
    reached = 0
    for start in range(len(words)):
        for end in range(min(len(words), start + _MOST_WORDS), max(start, reached), -1):
            said = " ".join(words[start:end]).strip(_AROUND)
            if said and _understood(said, now):
                found.append(said)
                reached = end
                break
    pairs = (f"{a} {b}" for a in found for b in found if a != b)
    return tuple(dict.fromkeys([*found, *(pair for pair in pairs if _understood(pair, now))]))


def _understood(text: str, now: datetime) -> bool:
    try:
        parse_moment(text, now)
    except DateError:
        return False
    return True


def _fixed(length: Duration) -> timedelta:
    if length.months:
        raise ImpossibleDate("months and years have no fixed length")
    return length.time


def _first_possible(text: str, candidates: Iterable[Callable[[], T]]) -> T:
    """Return the value of the first candidate that the calendar has."""
    problem = "its words do not make a time together"
    impossible = False
    for candidate in candidates:
        try:
            return candidate()
        except (ValueError, OverflowError) as error:
            # The likeliest reading has the most telling error.
            if not impossible:
                problem, impossible = str(error), True
    raise DateError(f"the time {text!r} is not understood: {problem}", fix=_FIX)


def _readings(text: str) -> Iterator[list[Token]]:
    """Yield the tokens of `text` in each language that knows its words, and last with misspellings."""
    if len(text) > _MOST_CHARACTERS:
        raise DateError(f"{text[:20]!r}... is too long for a time", fix=_FIX)
    unknown: list[UnknownWord] = []
    understood = False
    for guess in (False, True):
        for vocabulary in _VOCABULARIES:
            try:
                yield vocabulary.tokenize(text, guess=guess)
                understood = True
            except UnknownWord as error:
                unknown.append(error)
    if not understood:
        # The language that knows most of the words is the one that it was said in.
        word = max(unknown, key=lambda error: error.known).word
        raise DateError(f"the time {text!r} is not understood: {word!r} is not known", fix=_FIX)
