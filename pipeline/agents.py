"""The writing models behind mail and PDF summaries.

First form: `PlainWriter` uses no model. A mail's body is what earlier steps brought, or else the person's own words for the
sender to finish in the draft; a summary is the sentences of the text that carry most of its frequent words
(extraction by word frequency: Luhn, "The automatic creation of literature abstracts", 1958). Nothing is invented, since
every sentence stands in the input.
"""

from __future__ import annotations

import re
from collections import Counter

SENTENCES = 5  # of a summary


class PlainWriter:
    """Writes without a model (see `pipeline.tools.context.Writer`)."""

    def compose(self, *, request: str, context: str, recipients: list[str]) -> str:
        """Return the context as the body, or a draft that holds the request's words."""
        if context.strip():
            return context.strip() + "\n"
        return f"{_message(request)}\n"

    def summarize(self, text: str) -> str:
        """Return the weightiest sentences, in the order of the text; a short text whole."""
        sentences = [
            s.strip() for s in re.split(r"(?<=[.!?])\s+(?=[A-ZÀ-Þ0-9\"“])", " ".join(text.split())) if s.strip()
        ]
        if len(sentences) <= SENTENCES:
            return " ".join(sentences)
        words = [re.findall(r"\w{4,}", sentence.casefold()) for sentence in sentences]
        counts = Counter(word for sentence in words for word in set(sentence))
        weights = [sum(counts[word] for word in set(found)) / (len(found) + 3) for found in words]
        best = sorted(range(len(sentences)), key=lambda i: -weights[i])[:SENTENCES]
        return " ".join(sentences[i] for i in sorted(best))


def _message(request: str) -> str:
    """Return what a request says that a mail should say: the words after "that", "saying" or a colon, else all."""
    said = re.search(
        r"(?:\bthat\b|\bsaying\b|\btelling (?:him|her|them)\b|:)\s+(.+)", request, re.IGNORECASE | re.DOTALL
    )
    text = (said[1] if said else request).strip().strip("\"“”'")
    return text[:1].upper() + text[1:]
