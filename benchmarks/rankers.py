"""How tools are usually ranked for a request, without learning from requests: by their descriptions' cosine, and by BM25."""

from __future__ import annotations

import re
from collections.abc import Callable
from statistics import mean

import numpy as np

from index import Embedder
from pipeline.spec import Catalogue

#: Returns the names of all tools for a request, the likeliest first.
Rank = Callable[[str], list[str]]


def cosine(tools: Catalogue, embedder: Embedder) -> Rank:
    """Rank by how near a tool's description is to the request, as RAG usually has it."""
    names = list(tools)
    vectors = embedder.embed([tool.description for tool in tools.values()])
    return lambda text: [names[i] for i in np.argsort(-(vectors @ embedder.embed([text])[0]))]


def bm25(tools: Catalogue) -> Rank:
    """Rank by BM25 over descriptions and examples (Robertson and Zaragoza, 2009; k1 1.5, b 0.75)."""
    texts = {tool.name: " ".join((tool.description, *(e.request for e in tool.examples))) for tool in tools.values()}
    words = {name: re.findall(r"\w+", text.casefold()) for name, text in texts.items()}
    usual = mean(len(each) for each in words.values())

    def rank(text: str) -> list[str]:
        ranked = dict.fromkeys(words, 0.0)
        for word in set(re.findall(r"\w+", text.casefold())):
            having = sum(word in each for each in words.values())
            rarity = np.log(1 + (len(words) - having + 0.5) / (having + 0.5))
            for name, each in words.items():
                count = each.count(word)
                ranked[name] += rarity * count * 2.5 / (count + 1.5 * (0.25 + 0.75 * len(each) / usual))
        return sorted(ranked, key=lambda name: -ranked[name])

    return rank
