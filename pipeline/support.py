"""Whether a text says only what its sources say: deterministic checks on what a writing model wrote.

A sentence is taken apart into facts (numbers, dates, names, links, addresses, the words that turn a meaning round) and content words.
Facts must stand in a source as they are; of content words, a share. It errs on the side of refusing: what is refused is replaced by
the source's own words, and what is let through goes out in the person's name. What such a check cannot see is a sentence whose words
are all there and whose meaning is another; that is why a shortened sentence must also keep the order of the words, and its "not" and
"unless". Method: precision of content words and entities against the source, as in the extractiveness of summaries (Grusky et al.,
arXiv 1804.11283) and entity-level factual precision (Nan et al., arXiv 2102.09130). No model takes part, and nothing is written here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

# Words that carry no content, in English, Spanish and Portuguese, folded as `fold` does.
_FUNCTION = frozenset(
    """
    a about above after again all also am an and any are as at be because been before being below between both but by can could did do
    does doing down during each few for from further had has have having he her here hers him his how i if in into is it its itself
    just me more most my of off on once only or other our ours out over own same she should so some such than that the their theirs
    them then there these they this those through to too under until up upon us very was we were what when where which while who whom
    whose why will with within would you your yours shall may might must let lets ll re ve one
    el la los las un una unos unas de del al y e o u que en a con por para se su sus lo le les me te nos mi mis tu tus es son era fue
    ha han he hay como mas pero si ya este esta estos estas ese esa eso esto aquel sobre entre desde hasta cuando donde quien cual muy
    ser estar esta estan puede pueden podria
    o a os as um uma uns umas do da dos das no na nos nas ao aos pelo pela pelos pelas e ou que em com por para se seu sua seus suas lhe
    lhes me te meu minha teu tua foi sao tem ter ha mais mas ja este esta esse essa isso isto aquele sobre entre ate quando onde quem
    qual muito ser estar pode podem poderia voce voces
    """.split()
)
# What a mail may say of its own accord: it claims nothing.
_COURTESY = frozenset(
    """
    dear hi hello hey good morning afternoon evening thank thanks thankyou please kind kindly best warm regards sincerely yours wishes
    cheers hope find finds well know write writing wrote mail email message letter forward hearing hear reply sir madam team everyone all below following mr mrs ms dr soon congratulations felicidades enhorabuena parabens
    hola buenos buenas dias tardes noches gracias saludos cordial cordiales atentamente estimado estimada querido querida
    correo mensaje favor
    ola bom boa dia tarde noite obrigado obrigada abraco abracos cumprimentos atenciosamente prezado prezada caro cara
    """.split()
)
# Words that turn a meaning round or narrow it: neither added nor dropped.
_NEGATIONS = frozenset(
    "not no never none nobody nothing neither nor without cannot nunca jamas sin ninguno ninguna nada nem sem nao non".split()
)
_QUALIFIERS = frozenset(
    """
    only unless except if until may might could should must almost nearly hardly barely approximately least most provided excluding
    solo salvo excepto aunque apenas exceto embora
    """.split()
)
_BEFORE_NUMBER = re.compile(
    r"\b(about|around|over|under|above|below|than|up to|at least|at most)\s+(?=\W?\d)", re.IGNORECASE
)
_NUMBERS = {
    word: str(value)
    for words in (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty",
        "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis diecisiete dieciocho diecinueve veinte",
        "zero um dois tres quatro cinco seis sete oito nove dez onze doze treze catorze quinze dezesseis dezessete dezoito dezenove vinte",
    )
    for value, word in enumerate(words.split())
    if value > 1
} | {
    word: word
    for word in """
    thirty forty fifty sixty seventy eighty ninety hundred thousand million billion dozen half quarter double twice third
    treinta cuarenta cincuenta cien ciento mil millon millones docena mitad doble trinta quarenta cinquenta cem cento milhao milhoes
    """.split()
}
# Days and months to what they are in all three languages.
_CALENDAR = {
    word: kind + str(place)
    for kind, rows in (
        (
            "day",
            (
                "monday tuesday wednesday thursday friday saturday sunday today tomorrow yesterday tonight weekend noon midnight",
                "lunes martes miercoles jueves viernes sabado domingo hoy manana ayer",
                "segunda terca quarta quinta sexta sabado domingo hoje amanha ontem",
            ),
        ),
        (
            "month",
            (
                "january february march april - june july august september october november december",
                "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
                "janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro",
            ),
        ),
    )
    for row in rows
    for place, word in enumerate(row.split())
}

_LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>()\"']+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|\b[\w-]+\.(?:com|org|net|io|example|es|pt|br|de|eu)\b(?:/\S*)?",
    re.I,
)
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_PLACEHOLDER = re.compile(r"\[[^\]]{0,80}\]|\{[^}]{0,80}\}|<[^>]{0,80}>|_{3,}|\bX{3,}\b|</?data")
_ENDING = re.compile(r"(?:ies|es|s|ed|ing|ly)$")
LONG_NUMBER = 5  # digits from which on a number may be an account's, a telephone's or a code


def fold(text: str) -> str:
    """Return a text in small letters without accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def stem(word: str) -> str:
    """Return what a folded word shares with its inflected forms, for words of the languages named above.

    An ending is taken off where three letters are left, then a last "e" and a doubled consonant: plans, planned, planning → plan.
    """
    bare = word.removesuffix("'s").removesuffix("’s")
    cut = _ENDING.sub(lambda m: "y" if m[0] == "ies" else "", bare)
    bare = cut if len(cut) >= 3 else bare
    bare = bare[:-1] if bare.endswith("e") and len(bare) > 3 else bare
    return bare[:-1] if len(bare) > 3 and bare[-1] == bare[-2] else bare


def content_words(text: str) -> list[str]:
    """Return the stems of the words that carry content, in order: no function words, no numbers."""
    words = (fold(m[0]) for m in _WORD.finditer(_LINK.sub(" ", text)))
    return [stem(w) for w in words if len(w) > 1 and w not in _FUNCTION and w not in _NEGATIONS and not _contracted(w)]


def language(text: str) -> str:
    """Return "en", "es" or "pt", by the function words of a text; "" where they do not tell."""
    words = [fold(m[0]) for m in _WORD.finditer(text)]
    counts = {code: sum(word in typical for word in words) for code, typical in _TYPICAL.items()}
    best = max(counts, key=lambda code: counts[code])
    return best if counts[best] > max((n for code, n in counts.items() if code != best), default=0) else ""


_TYPICAL = {
    "en": frozenset("the of and to is are in it that for with on you he she we they was were this my your will not from at".split()),
    "es": frozenset("el los las del y es en que con una por para mi un su al se lo como pero esta este son muy".split()),
    "pt": frozenset("o os as do da dos das e em que com uma um para por meu minha ao pra pro nao voce no na sao este esta".split()),
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A text that may be drawn on.

    Args:
        text: What it says.
        foreign: Others wrote it, who are not the one that asks. It lends words, names and dates, but no link, address or long number.
    """

    text: str
    foreign: bool = False

    @cached_property
    def words(self) -> frozenset[str]:
        """The stems of all its words, function words too."""
        return frozenset(stem(fold(m[0])) for m in _WORD.finditer(self.text))

    @cached_property
    def days(self) -> frozenset[str]:
        """Its days and months, whatever their language."""
        return frozenset(_CALENDAR[word] for m in _WORD.finditer(self.text) if (word := fold(m[0])) in _CALENDAR)

    @cached_property
    def numbers(self) -> frozenset[str]:
        """Its numbers, written in figures or out, as `_figure` writes them."""
        return frozenset(_numbers(self.text))

    @cached_property
    def links(self) -> frozenset[str]:
        """Its links and addresses, folded."""
        return frozenset(_links(self.text))

    @cached_property
    def negative(self) -> bool:
        """Whether anything in it is denied."""
        return _negations(self.text) > 0


def unsupported(
    sentence: str, sources: Sequence[Source], *, share: float, free: Collection[str] = (), translated: bool = False
) -> str:
    """Return why a sentence says what its sources do not say, in a few words; "" where it does not.

    Args:
        sentence: What was written.
        sources: What may be drawn on.
        share: Of the content words that must stand in a source, 0 to 1.
        free: Folded words that need no source.
        translated: It is in another language than the sources, so that only facts can be compared.
    """
    if found := _PLACEHOLDER.search(sentence):
        return f"a gap to fill in: {found[0]}"
    own = [source for source in sources if not source.foreign]
    numbers = frozenset[str]().union(*(s.numbers for s in sources))
    own_numbers = frozenset[str]().union(*(s.numbers for s in own))
    for number in _numbers(_LINK.sub(" ", sentence)):
        if number not in (own_numbers if len(re.sub(r"\D", "", number)) >= LONG_NUMBER else numbers):
            return f"the number {number}"
    for link in _links(sentence):
        if not any(link in source.links for source in own):
            return f"the link or address {link}"
    days = frozenset[str]().union(*(s.days for s in sources))
    if stray := next(
        (m[0] for m in _WORD.finditer(sentence) if _CALENDAR.get(fold(m[0]), "") not in {*days, ""}), None
    ):
        return f"the day or month {stray}"
    words = frozenset[str]().union(*(s.words for s in sources))
    if stray := next((n for n in _names(sentence, free, first=not translated) if stem(fold(n)) not in words), None):
        return f"the name {stray}"
    if translated:
        return ""
    if _negations(sentence) and not any(source.negative for source in sources):
        return "a denial"
    loose = {stem(word) for word in free}
    content = [word for word in content_words(sentence) if word not in loose]
    missing = [word for word in content if word not in words]
    if content and 1 - len(missing) / len(content) < share:
        return f"words such as {missing[0]!r}"
    return ""


def courteous() -> frozenset[str]:
    """Return the words that a mail needs no source for."""
    return _COURTESY


def shortens(short: str, long: str) -> str:
    """Return why a sentence is no faithful shortening of another, in a few words; "" where it is one.

    It is shorter. All its content words stand in the other, in the same order. Numbers, names, and what turns or narrows the meaning ("not",
    "only", "unless") are the same in both.
    """
    if len(short) >= len(long):
        return "it is not shorter"
    if why := unsupported(short, [Source(long)], share=1.0):
        return why
    if _negations(short) != _negations(long):
        return "what is denied"
    kept, whole = _qualifiers(short), _qualifiers(long)
    if kept != whole:
        return f"the words {' '.join(sorted(kept ^ whole))}"
    told = {*_numbers(short), *_names(short, (), first=True)}
    if lost := [fact for fact in (*_numbers(long), *_names(long, (), first=False)) if fact not in told]:
        return f"{lost[0]} is lost"
    if not _in_order(_sequence(short), _sequence(long)):
        return "the order of the words"
    return "" if content_words(short) else "nothing is left"


def coverage(text: str, wanted: str, *, free: Collection[str] = ()) -> float:
    """Return which share of what is wanted a text says, by content words and numbers; 1 where nothing is wanted."""
    loose = {stem(word) for word in free}
    asked = {w for w in content_words(wanted) if w not in loose} | set(_numbers(wanted))
    said = set(content_words(text)) | set(_numbers(text))
    return len(asked & said) / len(asked) if asked else 1.0


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, each on one line; a line break ends none."""
    flat = " ".join(text.split())
    found: list[str] = []
    for piece in _BREAK.split(flat):
        if found and _ABBREVIATION.search(found[-1]):
            found[-1] += f" {piece}"
        elif piece:
            found.append(piece)
    return found


_BREAK = re.compile(r"(?<=[.!?…])[\"”’)]*\s+(?=[\"“‘(¿¡]?[A-ZÀ-Þ0-9])")
_ABBREVIATION = re.compile(
    r"(?:^|\s|\()(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|No|Nos|Fig|Figs|Eq|Sec|Art|Vol|pp?|vs|etc|e\.g|i\.e|cf|al|approx|Sr|Sra|Dra|núm|pág)\.$"
)


def _figure(text: str) -> str:
    """Return a number as it is compared: "4,200" is 4200, "4.20" is 4.20."""
    return (
        re.sub(r"[.,](?=\d{3}(?:\D|$))", "", text)
        if re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", text)
        else text.replace(",", ".")
    )


def _numbers(text: str) -> Iterator[str]:
    for found in _NUMBER.finditer(text):
        yield _figure(found[0])
    for found in _WORD.finditer(text):
        if value := _NUMBERS.get(fold(found[0])):
            yield value


def _links(text: str) -> Iterator[str]:
    return (fold(m[0]).rstrip(".,;:!?") for m in _LINK.finditer(text))


def _names(sentence: str, free: Collection[str], *, first: bool) -> Iterator[str]:
    """Yield what may be a name: words with a capital letter; of the first one, if `first`."""
    for found in _WORD.finditer(_LINK.sub(" ", sentence)):
        word, folded = found[0], fold(found[0])
        begins, first = not first, True
        if folded in _FUNCTION or folded in free or folded in _NEGATIONS or folded in _NUMBERS or folded in _CALENDAR:
            continue
        if word[0].isupper() and not begins and not _contracted(folded):
            yield word


def _contracted(word: str) -> bool:
    """Whether a word is one like "I'm", which carries no content."""
    return bool(re.search(r"['’]", word)) and re.split(r"['’]", word)[0] in _FUNCTION | {"don", "isn", "won", "doesn"}


def _negations(text: str) -> int:
    words = [fold(m[0]) for m in _WORD.finditer(text)]
    return sum(word in _NEGATIONS or word.replace("’", "'").endswith("n't") for word in words)


def _qualifiers(text: str) -> frozenset[str]:
    words = frozenset(fold(m[0]) for m in _WORD.finditer(text)) & _QUALIFIERS
    return words | {m[1].casefold() for m in _BEFORE_NUMBER.finditer(text)}


def _sequence(text: str) -> list[str]:
    """Return content words and numbers of a text in their order."""
    parts = re.finditer(rf"{_NUMBER.pattern}|{_WORD.pattern}", text)
    found: list[str] = []
    for part in parts:
        found += [_figure(part[0])] if part[0][0].isdigit() else content_words(part[0])
    return found


def _in_order(few: Iterable[str], many: Iterable[str]) -> bool:
    rest = iter(many)
    return all(word in rest for word in few)
