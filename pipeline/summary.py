"""Which sentences of a paged text are its summary: chosen from the text itself, each with its page.

Pages come one at a time and go again: of each are kept the few sentences that carry most of its frequent words (Luhn, "The automatic
creation of literature abstracts", 1958) and the counts of the words; so memory grows with the number of pages, not with their length. At the end the
weightiest are taken in the light of the whole text, from all of its parts, none that repeats another (maximal marginal relevance,
Carbonell and Goldstein 1998). Shortening what is chosen is left to `pipeline.agents`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pipeline.support import content_words, fold, sentences

MAX_SENTENCES = 20  # of a summary
MAX_PAGE = 60_000  # characters of a page that are read; a page of print has 2,000 to 5,000
MAX_SENTENCE = 400  # characters; what is longer is a table, or text without stops
LEAST_WORDS = 5  # of a sentence: what is shorter is a heading
REDUNDANT = 0.8  # share of words that two sentences have in common, from which on one is enough


@dataclass(frozen=True, slots=True)
class Cited:
    """A sentence of the text and the page that it stands on, counted from 1."""

    sentence: str
    page: int


@dataclass(frozen=True, slots=True)
class Extract:
    """What was chosen of a text."""

    cited: tuple[Cited, ...]  # in the order of the text
    pages: int  # that it has
    empty: tuple[int, ...]  # pages without text


@dataclass(frozen=True, slots=True)
class Wish:
    """How a request wants its summary."""

    sentences: int | None = None  # as many as it says; None leaves it to the length of the text
    brief: bool = False
    detailed: bool = False
    listed: bool = False  # as a list

    def count(self, pages: int) -> int:
        """Return how many sentences the summary of so many pages has."""
        if self.sentences is not None:
            return max(1, min(self.sentences, MAX_SENTENCES))
        usual = min(5 + pages // 10, 12)
        return 3 if self.brief else min(2 * usual, MAX_SENTENCES) if self.detailed else usual


def wish(request: str) -> Wish:
    """Return what a request says of the summary that it wants (English, Spanish, Portuguese)."""
    text = fold(request)
    number = _COUNT.search(text)
    said = (number[1] or number[2]) if number else ""
    return Wish(
        sentences=int(said) if said.isdecimal() else _ONES.get(said) if said else None,
        brief=bool(_BRIEF.search(text)),
        detailed=bool(_DETAILED.search(text)),
        listed=bool(_LISTED.search(text)),
    )


_ONES = {
    word: value
    for words in (
        "one two three four five six seven eight nine ten",
        "una dos tres cuatro cinco seis siete ocho nueve diez",
        "uma duas tres quatro cinco seis sete oito nove dez",
    )
    for value, word in enumerate(words.split(), 1)
} | {"un": 1, "um": 1, "a single": 1, "single": 1}
_UNIT = r"(?:short |key |main |bullet )*(?:sentences?|points?|bullets?|lines?|frases?|puntos?|lineas?|oraciones|pontos?|linhas?|topicos?)"
_COUNT = re.compile(rf"\b(?:(\d{{1,3}})|({'|'.join(sorted(_ONES, key=len, reverse=True))}))[ -]{_UNIT}\b")
_BRIEF = re.compile(
    r"\b(?:tl;?dr|gist|brief(?:ly)?|short|in short|quick(?:ly)?|nutshell|breve(?:mente)?|corto|curto|rapid[oa])\b"
)
_DETAILED = re.compile(
    r"\b(?:detail(?:ed|s)?|in depth|thorough(?:ly)?|long|full|detallad[oa]|detalle|detalhad[oa]|extens[oa]|longo)\b"
)
_LISTED = re.compile(r"\b(?:bullets?|bullet points?|points|list|puntos|lista|pontos|topicos)\b")


def extract(pages: Iterable[str], wanted: Wish, on_page: Callable[[int], None] = lambda page: None) -> Extract:
    """Choose the sentences of a summary.

    Args:
        pages: The text of each page; taken one at a time, none is kept.
        wanted: How long the summary is to be.
        on_page: Called with the number of each page as it is read; what it raises ends the reading.
    """
    keep = wanted.sentences or MAX_SENTENCES  # of a page: the text may have no other
    reading = _Reading(keep)
    number = 0
    for number, text in enumerate(pages, 1):
        on_page(number)
        reading.read(number, text)
        if number == 1 + MAX_SENTENCES // 2:
            reading.keep = 3  # a longer text has enough of them
    chosen = _chosen(reading, wanted.count(number), number)
    return Extract(tuple(chosen), number, tuple(reading.empty))


class _Reading:
    """What is kept of the pages so far."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.counts: Counter[str] = Counter()  # in how many sentences a word stands
        self.candidates: list[tuple[Cited, frozenset[str]]] = []  # in the order of the text
        self.empty: list[int] = []
        self._margins: set[str] = set()  # first and last lines of pages: running heads, if they come again

    def read(self, number: int, text: str) -> None:
        found = _prose(self._body(text[:MAX_PAGE]))
        if not text.strip():
            self.empty.append(number)
        words = [frozenset(content_words(sentence)) for sentence in found]
        here = Counter(word for sentence in words for word in sentence)
        self.counts.update(here)
        worth = [_weight(w, here) / (2 if _DANGLING.match(fold(s)) else 1) for w, s in zip(words, found, strict=True)]
        order = sorted(range(len(found)), key=lambda i: (-worth[i], i))[: self.keep]
        self.candidates += [(Cited(found[i], number), words[i]) for i in sorted(order)]

    def _body(self, text: str) -> str:
        """Return a page without its running head and foot, and without page numbers."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        lines = [line for line in lines if not _PAGE_NUMBER.fullmatch(fold(line))]
        for end in (0, -1):
            if len(lines) > 1:
                margin = re.sub(r"\d+", "#", fold(lines[end]))
                if margin in self._margins:
                    del lines[end]
                self._margins.add(margin)
        return re.sub(r"(?<=[a-zà-ÿ])-\n(?=[a-zà-ÿ])", "", "\n".join(lines))


# How a sentence begins that leans on the one before it.
_DANGLING = re.compile(
    r"(?:it|they|he|she|this|these|those|such|however|but|therefore|thus|also|esto|eso|pero|isto|isso|mas)\b"
)
_PAGE_NUMBER = re.compile(r"\W*(?:page|pagina|pag\.?|p\.)?\W*[\divxlc]+\W*(?:(?:of|de|/)\W*\d+)?\W*")


def _prose(text: str) -> list[str]:
    """Return the whole sentences of a page; where it has none, its lines of some length, or what it begins with."""
    found = [s for s in sentences(text) if _is_prose(s) and s[-1] in '.!?…"”’)']
    found = found or [line[:MAX_SENTENCE] for line in text.splitlines() if _is_prose(line[:MAX_SENTENCE])]
    return found or [beginning for beginning in (" ".join(text.split())[:MAX_SENTENCE],) if beginning]


def _is_prose(text: str) -> bool:
    letters = sum(c.isalpha() or c.isspace() for c in text)
    return len(text) <= MAX_SENTENCE and len(text.split()) >= LEAST_WORDS and letters >= 0.7 * len(text)


def _weight(words: frozenset[str], counts: Counter[str]) -> float:
    """Return how much of a text's frequent words a sentence has, for its length."""
    return sum(counts[word] for word in words) / (len(words) + 3)


def _chosen(reading: _Reading, count: int, pages: int) -> list[Cited]:
    """Take sentences one by one: the weightiest that repeats none and comes from a part of the text that has few yet."""
    weights = [_weight(words, reading.counts) for _, words in reading.candidates]
    heaviest = max(weights, default=1.0) or 1.0
    left = list(range(len(weights)))
    taken: list[int] = []
    repeated = [0.0] * len(weights)  # share of its words that the most similar one taken has
    parts: Counter[int] = Counter()

    def part(i: int) -> int:
        return (reading.candidates[i][0].page - 1) * count // max(pages, 1)

    def worth(i: int) -> float:
        return weights[i] / heaviest - parts[part(i)] - 2 * repeated[i]

    while left and len(taken) < count:
        best = max(left, key=lambda i: (worth(i), -i))
        left.remove(best)
        if repeated[best] > REDUNDANT:
            continue
        taken.append(best)
        parts[part(best)] += 1
        for i in left:
            repeated[i] = max(repeated[i], _overlap(reading.candidates[i][1], reading.candidates[best][1]))
    return [reading.candidates[i][0] for i in sorted(taken)]


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / (min(len(one), len(other)) or 1)


def with_pages(cited: Sequence[Cited], *, listed: bool) -> str:
    """Return sentences as text, each with its page: "Water losses fell (p. 12).", as a list or where they are many on lines of their own."""
    parts = [_with_page(c) for c in cited]
    if listed:
        return "\n".join(f"- {part}" for part in parts)
    return ("\n" if len(parts) > 5 else " ").join(parts)


def _with_page(cited: Cited) -> str:
    bare = cited.sentence.rstrip()
    end = bare[-1] if bare[-1:] in ".!?…" else ""
    return f"{bare.removesuffix(end)} (p. {cited.page}){end}"
