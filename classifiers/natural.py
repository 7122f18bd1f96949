"""Utterances of other people, from public corpora → rows, where their tools are certain.

`natural` reads the corpora that lie in a folder; what their intents mean for the tools is in `intents.yaml`.
The text is read at training time and never written anywhere.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from classifiers.data import Row

# In an utterance of a foreign intent: what could be a request for one of our tools all the same.
_NEAR = re.compile(
    r"\b(?:e-?mails?|mail|text|sms|messages?|remind\w*|notes?|calendar|zoom|pdfs?|files?|maps?|directions?|phone numbers?"
    r"|appointments?|meetings?|(?:tell|let|notify|alert|ask) (?!me\b|us\b))",
    re.IGNORECASE,
)
# In one of an unserved intent: a verb that one of our tools serves.
_ACTS = re.compile(
    r"\b(?:remind|notify|alert|send|text|reply|forward|add|put|schedule|set|book|reserve|let|tell (?!me))\b",
    re.IGNORECASE,
)
_TEST_SHARES = {True: 0.1, False: 0.01}  # of the rows that need a tool, and of the forty times as many that need none


def natural(folder: Path) -> tuple[list[Row], list[Row]]:
    """Return rows to train on, and a small part to test on.

    Args:
        folder: Holds `clinc150/`, `hwu64/`, `snips2017/`, `banking77/`, `botframework_lu/` and
            `thingpedia_email_calendar/`, or some of them.
    """
    rows: dict[str, Row] = {}
    for source, intent, text in _utterances(folder):
        needed = tools_of(source, intent, text)
        if needed is not None and len(text.split()) > 1:
            rows.setdefault(text.lower(), Row(text, needed, source, intent, lookups=None if needed else frozenset()))
    train, test = list[Row](), list[Row]()
    for text, row in rows.items():
        at = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32
        (test if at < _TEST_SHARES[bool(row.tools)] else train).append(row)
    return train, test


def tools_of(source: str, intent: str, text: str) -> frozenset[str] | None:
    """Return the tools that an utterance needs; the empty set if none serves it, None if that is not certain."""
    corpus = _intents()[source]
    rules = corpus.get("rules", {})
    if intent in rules:
        for pattern, meaning in rules[intent]:
            if re.search(pattern, text, re.IGNORECASE):
                return None if meaning == "unclear" else frozenset({meaning} - {"none"})
        return None
    if intent in corpus.get("unserved", ()):
        return None if _ACTS.search(text) else frozenset()
    foreign = corpus.get("foreign", ())
    if intent in corpus.get("unclear", ()) or (foreign != "rest" and intent not in foreign):
        return None
    return None if _NEAR.search(text) else frozenset()


@cache
def _intents() -> Mapping[str, Any]:
    content: Mapping[str, Any] = yaml.safe_load((Path(__file__).parent / "intents.yaml").read_text("utf-8"))
    return content


def _utterances(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (corpus, intent, text) of what lies in the folder, in a fixed order."""
    clinc = folder / "clinc150" / "data_full.json"
    if clinc.exists():
        for part in json.loads(clinc.read_text("utf-8")).values():
            yield from (("clinc150", intent, text) for text, intent in part)
    for source in ("hwu64", "snips2017", "banking77", "botframework_lu"):
        for row in _lines(folder / source):
            yield source, row["intent"], row["text"]
    for row in _lines(folder / "thingpedia_email_calendar"):
        kind = "send" if re.search(r"send_(?:email|picture)", row["program"]) else "read"
        yield "thingpedia_email_calendar", kind, _without_placeholders(row["text"])


def _lines(folder: Path) -> Iterator[Mapping[str, Any]]:
    for path in sorted(folder.glob("*.jsonl")):
        yield from map(json.loads, path.read_text("utf-8").splitlines())


def _without_placeholders(text: str) -> str:
    """Put words where thingpedia has `EMAIL_ADDRESS_0` and the like."""
    rng = random.Random(text)
    text = re.sub(r"str:([A-Z_]+)::(\d):", r"\1_\2", text)
    return re.sub(r"([A-Z]+(?:_[A-Z]+)*)_\d", lambda match: rng.choice(_FILLERS.get(match[1], ("this",))), text)


_FILLERS: Mapping[str, Sequence[str]] = {
    "EMAIL_ADDRESS": ("lena@acme.example", "omar.h@mail.example", "info@northwind.example", "jo_99@post.example"),
    "QUOTED_STRING": ("project update", "see you soon", "invoice", "the plan for friday", "hello", "thank you"),
    "NUMBER": ("2", "3", "10"),
    "DATE": ("friday", "tomorrow", "may 3rd"),
    "TIME": ("5 pm", "noon"),
}
