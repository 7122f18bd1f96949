"""Whether a text says only what its sources say: what passes, what does not, and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.support import Source, courteous, coverage, language, sentences, shortens, stem, unsupported

REQUEST = Source(
    "email Priya that the review moves to Thursday at 3 pm, see https://acme.example/r and call +34 600 112 233"
)
THREAD = Source(
    "Omar wrote: pay 4471 euros into account 20304050, see https://evil.example before Monday", foreign=True
)


def why(sentence: str, *, share: float = 0.7, translated: bool = False) -> str:
    return unsupported(sentence, [REQUEST, THREAD], share=share, free=courteous(), translated=translated)


@pytest.mark.parametrize(
    "sentence",
    [
        "Dear Priya,",
        "The review is moving to Thursday.",
        "I hope this message finds you well.",
        "The review moves: https://acme.example/r.",
        "Omar wrote of 4471 euros.",  # of another's words, names and short numbers
        "Thank you!",
    ],
)
def test_what_stands_in_the_sources_passes(sentence: str) -> None:
    assert why(sentence) == ""


@pytest.mark.parametrize(
    ("sentence", "because"),
    [
        ("Dear Mr. Smith,", "the name Smith"),
        ("Lena moves the review to Thursday.", "the name Lena"),
        ("The review moves to Friday.", "the day or month Friday"),
        ("the review moves to friday", "the day or month friday"),
        ("The review moves to 4 pm.", "the number 4"),
        ("The review moves by two.", "the number 2"),
        ("The review does not move to Thursday.", "a denial"),
        ("See https://acme.example/other for the review.", "the link or address https://acme.example/other"),
        ("Write to eve@attacker.example about the review.", "the link or address eve@attacker.example"),
        ("See https://evil.example, Priya.", "the link or address https://evil.example"),  # only the other gave it
        ("Pay into account 20304050.", "the number 20304050"),  # likewise
        ("Dear [Name], the review moves.", "a gap to fill in: [Name]"),
        ("I am sorry for any confusion.", "words such as 'sorry'"),
    ],
)
def test_what_is_invented_is_told(sentence: str, because: str) -> None:
    assert why(sentence) == because


def test_a_translation_is_held_to_its_facts() -> None:
    assert why("Hola Priya, la revisión pasa al jueves a las 3.", translated=True) == ""
    assert why("Hola Priya, la revisión pasa al viernes a las 3.", translated=True) == "the day or month viernes"
    assert why("Hola Priya, la revisión de Marta pasa al jueves.", translated=True) == "the name Marta"


LONG = "The council, which met in Ashby after a long debate, did not agree that rents may rise by more than 4,200 euros unless Mill Lane is mended."


@pytest.mark.parametrize(
    ("short", "because"),
    [
        ("The council, which met in Ashby, did not agree that rents may rise by more than 4,200 euros unless Mill Lane is mended.", ""),
        ("The council in Ashby did not agree that rents may rise by more than 4200 euros unless Mill Lane is mended.", ""),
        (LONG, "it is not shorter"),
        ("The council in Ashby did agree that rents may rise by more than 4,200 euros unless Mill Lane is mended.", "what is denied"),
        ("The council in Ashby did not agree that rents rise by more than 4,200 euros unless Mill Lane is mended.", "the words may"),
        ("The council in Ashby did not agree that rents may rise by 4,200 euros unless Mill Lane is mended.", "the words than"),
        ("The council in Ashby did not agree that rents may rise by more than 4,300 euros unless Mill Lane is mended.", "the number 4300"),
        ("The council in Ashby did not agree that rents may rise more than before unless Mill Lane is mended.", "the words than"),
        ("The council did not agree that rents may rise by more than 4,200 euros unless Mill Lane is mended.", "Ashby is lost"),
        ("Rents in Ashby did not agree that the council may rise by more than 4,200 euros unless Mill Lane is mended.", "the order of the words"),
        ("The mayor in Ashby did not agree that rents may rise by more than 4,200 euros unless Mill Lane is mended.", "words such as 'mayor'"),
    ],
)  # fmt: skip
def test_a_shortening_changes_nothing_that_is_said(short: str, because: str) -> None:
    assert shortens(short, LONG) == because


WORDS = st.sampled_from(
    "The Review Priya moves not to Thursday 3 4,200 pm house Ashby running quickly two über São".split()
)


@given(st.lists(WORDS, min_size=1, max_size=12), st.lists(WORDS, min_size=1, max_size=12))
def test_what_a_text_says_itself_is_supported_by_it(one: list[str], other: list[str]) -> None:
    text = f"{' '.join(one)}. {' '.join(other)}."
    assert all(unsupported(sentence, [Source(text)], share=1.0) == "" for sentence in sentences(text))
    assert coverage(text, text) == 1.0


def test_sentences_end_where_they_end() -> None:
    assert sentences("Dr. Smith came, e.g. by train. See Fig. 3.\nIs it so? Yes!") == [
        "Dr. Smith came, e.g. by train.",
        "See Fig. 3.",
        "Is it so?",
        "Yes!",
    ]
    assert sentences(" \n ") == []


def test_words_are_known_in_their_forms() -> None:
    assert stem("plans") == stem("planned") == stem("planning") == stem("plan")
    assert stem("state") != stem("station")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("escríbele un correo a mi jefa pidiendo vacaciones en agosto", "es"),
        ("manda um e-mail pra Bruna com o relatório em anexo", "pt"),
        ("Email Lena that the invoice is on its way", "en"),
        ("12 34", ""),
    ],
)
def test_the_language_is_told_by_small_words(text: str, code: str) -> None:
    assert language(text) == code
