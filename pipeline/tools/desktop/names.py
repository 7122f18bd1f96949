"""Compares names as people do: without regard to case, accents and separators.

Contacts, files, notes, calendars and reminder lists are all found by name; this module says when two names
are the same, which of several fits best, and what may have been meant where none fits.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from typing import TypeVar

_T = TypeVar("_T")

#: Letters that Unicode does not decompose, as they are typed on a keyboard without them.
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"})
_SUGGESTIONS = 3
_NEAR = 0.6  # difflib's own default cutoff


def fold(text: str) -> str:
    """Return `text` without case, accents and surplus white space."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    return " ".join(bare.translate(_PLAIN).split())


def words(text: str) -> list[str]:
    """Return the words of `text`, folded; whatever is no letter or digit separates them."""
    return "".join(c if c.isalnum() else " " for c in fold(text)).split()


def best(name: str, choices: Iterable[tuple[str, _T]]) -> list[_T]:
    """Return what `name` fits best, of `choices` by their labels: all of the first kind of fit that any has.

    The kinds, best first: the same name; the same but for separators ("q3 report", "Q3_report"); all words of
    the name in the label.
    """
    pairs = list(choices)
    wanted = words(name)
    fits: tuple[Callable[[str], bool], ...] = (
        lambda label: fold(label) == fold(name),
        lambda label: "".join(words(label)) == "".join(wanted) != "",
        lambda label: set() < set(wanted) <= set(words(label)),
    )
    for fit in fits:
        if found := [item for label, item in pairs if fit(label)]:
            return found
    return []


def did_you_mean(name: str, labels: Iterable[str]) -> str | None:
    """Return a question with the few labels nearest to `name`, or None where none is near.

    A label is as near as the whole of it or its nearest word is (ratio of `difflib`).
    """
    wanted = fold(name)

    def nearness(label: str) -> float:
        return max(SequenceMatcher(None, wanted, part).ratio() for part in (fold(label), *words(label)))

    ranked = sorted({label: nearness(label) for label in labels}.items(), key=lambda pair: (-pair[1], pair[0]))
    near = [label for label, score in ranked[:_SUGGESTIONS] if score >= _NEAR]
    return f"did you mean {' or '.join(near)}?" if near else None


def listed(items: list[str]) -> str:
    """Return `items` as a sentence lists them: "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
