"""Text to tokens: the words and numbers of a time expression, with all that each may mean.

A language is a `Vocabulary`; its words stand in a table of their own (`english`, `portuguese`,
`spanish`). Case, accents and apostrophes do not count, a phrase of several words is one token, and a
token keeps every reading ("second": a unit, an ordinal) for `pipeline.dates.grammar` to choose from.
Raises `UnknownWord` where a word means nothing to do with time.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property, lru_cache
from typing import Any


class Kind(Enum):
    """What a token may be; the comment says what its value is."""

    NUMBER = auto()  # the number
    DECIMAL = auto()  # the number as a float
    ORDINAL = auto()  # the number
    CLOCK = auto()  # (hour, minute, second or None) of "15:30"
    HOURS = auto()  # (hours, minutes) of "15h30", "2h": a time of day or a length
    DATE = auto()  # (year, month, day); year None where it was not written
    UNIT = auto()  # the unit's Duration
    PERIOD = auto()  # the PeriodUnit that "next" and "this" go with
    WEEKDAY = auto()  # 0 to 6, Monday is 0
    NUMBERED_WEEKDAY = auto()  # a number after it is a day of the month: "martes 10"
    MONTH = auto()  # 1 to 12
    NAMED_DAY = auto()  # days from today
    HOLIDAY = auto()  # (month, day)
    PART = auto()  # the Part
    TODAYS_PART = auto()  # (days from today, Part): "tonight"
    MERIDIEM = auto()  # hours to add: 0 or 12
    OFFSET = auto()  # periods from this one: -1 for "last", 0 for "this", 1 for "next", 2 for "after next"
    COMING = auto()  # this of a day, next of a week
    LAST = auto()  # "the last Friday of June"
    EDGE = auto()  # "start", "middle" or "end"
    COUPLE = auto()  # 2 for "a couple", 3 for "a few"
    HALF = auto()
    QUARTER = auto()
    AND = auto()
    WITH = auto()  # "seven *and* a half" as a time of day, "vinte *e* cinco"
    PAST = auto()  # "quarter past"
    TOWARD = auto()  # "quarter to"
    MINUS = auto()  # "nueve menos cuarto"
    OH = auto()  # "nine oh five"
    OCLOCK = auto()
    FROM = auto()  # opens a range
    BETWEEN = auto()  # opens a range that goes on with AND
    TO = auto()  # stands between the ends of a range
    HYPHEN = auto()
    IN = auto()  # before a length that counts from now
    FOR = auto()  # before a length that counts from the start
    ON = auto()  # "a week on Tuesday"
    AGO = auto()  # after a length that counts back from now
    SINCE = auto()  # before such a length: "hace"
    BEFORE = auto()
    AFTER = auto()
    NOW = auto()
    SOON = auto()  # "later": some time from now
    ARTICLE = auto()  # "a": one of a unit
    THE = auto()  # a number after it is a day of the month
    AT = auto()  # a number after it is an hour
    DAY_WORD = auto()  # "dia 10"
    FILLER = auto()  # tolerated anywhere


@dataclass(frozen=True, slots=True)
class Token:
    """A word, phrase or number, and what it may mean."""

    text: str
    readings: Mapping[Kind, Any]


class UnknownWord(ValueError):
    """`word` of the text has no meaning in the vocabulary; `known` tokens before it have."""

    def __init__(self, word: str, known: int) -> None:
        super().__init__(word)
        self.word = word
        self.known = known


class Vocabulary:
    """The words of a language, with their readings.

    Args:
        table: By kind and value, the words and phrases that mean it, separated by commas.
    """

    def __init__(self, table: Mapping[Kind, Mapping[Any, str]]) -> None:
        self._readings: dict[str, dict[Kind, Any]] = {}
        for kind, by_value in table.items():
            for value, phrases in by_value.items():
                for phrase in phrases.split(","):
                    key = " ".join(normalise(phrase).split())
                    self._readings.setdefault(key, {}).setdefault(kind, value)
        self._longest = max((phrase.count(" ") + 1 for phrase in self._readings), default=0)

    def __or__(self, other: Vocabulary) -> Vocabulary:
        """Return a vocabulary with the words of both; where they disagree, the first one's reading."""
        union = Vocabulary({})
        for phrase in self._readings | other._readings:
            union._readings[phrase] = other._readings.get(phrase, {}) | self._readings.get(phrase, {})
        union._longest = max(self._longest, other._longest)
        return union

    def tokenize(self, text: str, *, guess: bool = False) -> list[Token]:
        """Return the tokens of `text`.

        Args:
            text: A time expression.
            guess: Whether a long word that is unknown may stand for the one known word that it resembles.

        Raises:
            UnknownWord: A word is not in the vocabulary.
        """
        pieces = [match.group() for match in _PIECE.finditer(normalise(text))]
        tokens: list[Token] = []
        while pieces:
            found, used = self._phrase(pieces)
            found = found or _mark(pieces[0]) or _number(pieces[0]) or self._attached(pieces[0])
            if guess and not found:
                found = self._alike(pieces[0])
            if not found:
                raise UnknownWord(pieces[0], len(tokens))
            tokens.extend(found)
            del pieces[:used]
        return tokens

    def _phrase(self, pieces: list[str]) -> tuple[list[Token], int]:
        """Return the longest known phrase that `pieces` begin with (or nothing), and its number of pieces."""
        # A hyphen or a full stop may stand between the words of a phrase: "quinta-feira", "a.m.".
        words: list[str] = []
        found: list[Token] = []
        length = 1
        for used, piece in enumerate(pieces, 1):
            if words and piece in _JOINTS:
                continue
            words.append(piece)
            if len(words) > self._longest:
                break
            phrase = " ".join(words)
            if phrase in self._readings:
                found, length = [Token(phrase, self._readings[phrase])], used
        return found, length

    def _attached(self, piece: str) -> list[Token]:
        """Return the tokens of a number with its unit, "830pm", "45min", or of a word in -ish."""
        match = re.fullmatch(r"(\d+)([a-z]+)|([a-z]+)(ish)", piece)
        left, right = [part for part in match.groups() if part] if match else ("", "")
        number, word = _number(left) or self._phrase([left])[0], self._phrase([right])[0]
        return [*number, *word] if number and word else []

    def _alike(self, piece: str) -> list[Token]:
        """Return the one day, month or part of the day that `piece` may misspell: "wendsday", "febuary"."""
        # "Yearly" and "nightly" say something else.
        if len(piece) < 5 or piece.endswith("ly"):
            return []
        readings = [self._readings[word] for word in _closest(piece, self._names)]
        if not readings or any(other != readings[0] for other in readings):
            return []
        return [Token(piece, readings[0])]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """The days, months and parts of the day that may be misspelt."""
        return tuple(word for word, reading in self._readings.items() if len(word) > 4 and _NAMES & reading.keys())


@lru_cache(maxsize=4096)  # a search for times asks for each word of a request again and again
def _closest(piece: str, names: tuple[str, ...]) -> list[str]:
    """Return the names that are most like `piece`, if they are alike enough."""
    close = difflib.get_close_matches(piece, names, n=len(names), cutoff=_ALIKE)
    likeness = {name: difflib.SequenceMatcher(None, name, piece).ratio() for name in close}
    return [name for name, ratio in likeness.items() if ratio == max(likeness.values())]


def normalise(text: str) -> str:
    """Return `text` in lower case, without accents and apostrophes, with plain hyphens and no ISO "T"."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    plain = re.sub(r"['’‘`´]", "", re.sub(r"[‐‑‒–—―−~→]", "-", plain))
    return re.sub(r"(?<=\d)t(?=\d\d:)", " ", plain)


def _mark(piece: str) -> list[Token]:
    """Return the token of a punctuation mark, or nothing."""
    if piece == "-":
        return [Token(piece, {Kind.HYPHEN: True})]
    return [Token(piece, {Kind.FILLER: True})] if piece in ",.;!?()@" else []


def _number(piece: str) -> list[Token]:
    """Return the token of a number, with all that its shape may mean, or nothing if it is none."""
    readings: dict[Kind, Any] = {}
    for kind, shape, value in _SHAPES:
        match = re.fullmatch(shape, piece, re.ASCII)
        if match and kind not in readings:
            readings[kind] = value(*match.groups(default=""))
    return [Token(piece, readings)] if readings else []


def _ymd(year: str, month: str, day: str) -> tuple[int | None, int, int]:
    return (2000 + int(year) if len(year) == 2 else int(year)), int(month), int(day)


def _dmy(day: str, month: str, year: str = "") -> tuple[int | None, int, int]:
    # The day comes first unless that gives no date: 25/7, 7/25.
    if int(month) > 12 >= int(day):
        day, month = month, day
    return _ymd(year, month, day) if year else (None, int(month), int(day))


def _integers(*parts: str) -> tuple[int | None, ...]:
    return tuple(int(part) if part else None for part in parts)


# How numbers are written, the longest first.
_SHAPES: tuple[tuple[Kind, str, Callable[..., Any]], ...] = (
    (Kind.DATE, r"(\d{4})[-/](\d\d?)[-/](\d\d?)", _ymd),
    (Kind.DATE, r"(\d\d?)/(\d\d?)/(\d{4}|\d\d)", _dmy),
    (Kind.DATE, r"(\d\d?)\.(\d\d?)\.(\d{4}|\d\d)", _dmy),
    (Kind.DATE, r"(\d\d?)-(\d\d?)-(\d{4})", _dmy),
    (Kind.DATE, r"(\d\d?)/(\d\d?)", _dmy),
    (Kind.DATE, r"(\d\d?)\.(\d\d)\.?", _dmy),
    (Kind.CLOCK, r"(\d\d?)[:.](\d\d)(?::(\d\d))?h?\.?", _integers),
    (Kind.DECIMAL, r"(\d+[.,]\d\d?)", lambda number: float(number.replace(",", "."))),
    (Kind.HOURS, r"(\d\d?)h(\d\d)", _integers),
    (Kind.HOURS, r"(\d\d?) ?hs?(?![a-z\d])", lambda hour: (int(hour), None)),
    (Kind.ORDINAL, r"(\d\d?)(?:st|nd|rd|th|o|a|ro|do|er)(?![a-z])", int),
    (Kind.NUMBER, r"(\d{1,6})", int),
)
_JOINTS = frozenset("-.")
_ALIKE = 0.8  # of 1, by difflib: one letter wrong, left out or swapped in a word of six
_NAMES = {Kind.WEEKDAY, Kind.MONTH, Kind.NAMED_DAY, Kind.PART, Kind.TODAYS_PART}
_PIECE = re.compile("|".join(f"{shape}(?!\\d)" for _, shape, _ in _SHAPES[:-2]) + r"|\d+[a-z]*|[a-z]+|[^\s]", re.ASCII)
