"""What the embedding is trained on: every clause beside its own tool, and nothing in it that something is measured on."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from benchmarks.own_tools import REQUESTS
from classifiers.contrast import (
    BUILT_IN,
    FOLDER,
    INTENTS,
    KEPT,
    Contrast,
    Described,
    contrast_loss,
    described_tools,
    foreign_rows,
    written_tools,
)
from classifiers.data import LINKS, Row
from pipeline.config import builtin_tools
from training.seeds import load_seeds

WRITTEN = written_tools()


def test_each_written_tool_has_requests_of_its_own() -> None:
    texts = [text for tool in WRITTEN for text in tool.requests]
    assert len({text.casefold() for text in texts}) == len(texts) > 2_500
    assert all(len(tool.requests) >= 3 and all(map(str.strip, tool.requests)) for tool in WRITTEN)
    names = [
        json.loads(line)["name"] for path in FOLDER.glob("*.jsonl") if path.stem != INTENTS for line in path.open()
    ]
    assert not {*names} & {*builtin_tools()}


def test_nothing_is_trained_on_that_own_tools_are_measured_with() -> None:
    measured = load_seeds([REQUESTS])
    described = described_tools(load_seeds(), builtin_tools(), [])
    entries = {entry for tool in described for entry in tool.entries}
    assert not {seed.as_written.casefold() for seed in measured} & {text.casefold() for text in _requests(described)}
    assert not {tool.description for seed in measured for tool in seed.tools} & entries


def test_what_is_kept_is_not_trained_on() -> None:
    described = described_tools([], builtin_tools(), [])
    assert {tool.source for tool in described}.isdisjoint(KEPT)
    assert {tool.source for tool in WRITTEN} > {*KEPT}


def test_seeds_and_public_utterances_bring_requests_for_their_tools() -> None:
    told = json.loads((FOLDER / f"{INTENTS}.jsonl").read_text("utf-8").splitlines()[0])
    row = Row("", frozenset(), told["corpus"], told["intent"])
    natural = [Row(f"utterance {k}", row.tools, row.source, row.intent) for k in range(3)]
    described = described_tools(load_seeds(), builtin_tools(), natural)
    of = {source: [tool for tool in described if tool.source == source] for source in (BUILT_IN, told["corpus"])}
    assert len(of[BUILT_IN]) == len(builtin_tools())
    assert [tool.requests for tool in of[told["corpus"]]] == [("utterance 0", "utterance 1", "utterance 2")]


def test_a_clause_stands_where_it_is_said_to_and_beside_its_own_tool() -> None:
    tools = [tool for tool in WRITTEN if tool.source not in KEPT]
    owner = {text.rstrip(" .!?"): tool for tool in tools for text in tool.requests}
    joined = 0
    for batch in itertools.islice(Contrast(tools, size=12, seed=1), 40):
        met = []
        for (row, begin, end), entry in zip(batch.clauses, batch.entries, strict=True):
            tool = owner[batch.texts[row][begin:end].rstrip(" .!?")]
            assert entry in tool.entries or entry in tool.requests
            met.append(tool)
            between = batch.texts[row][:begin]
            assert not begin or between.endswith(LINKS)
            joined += begin > 0
        assert len({tool.name for tool in met}) == len(met) == 12
    assert joined > 40


def test_half_of_a_batch_is_in_one_field() -> None:
    tools = [Described(f"tool {k}", f"writer {k // 20}", (f"does {k}",), tuple("abc")) for k in range(200)]
    for batch in itertools.islice(Contrast(tools, size=20, seed=2), 10):
        sources = [int(entry.removeprefix("does ")) // 20 for entry in batch.entries if entry.startswith("does ")]
        assert max(map(sources.count, sources)) >= len(sources) // 2 - 3


def test_without_tools_there_are_no_batches() -> None:
    assert not [*Contrast([], size=4, seed=0)]


def test_requests_for_other_tools_are_out_of_the_classifiers_scope() -> None:
    rows = foreign_rows(WRITTEN[:2])
    assert [row.text for row in rows] == [*WRITTEN[0].requests, *WRITTEN[1].requests]
    assert not any(row.tools or row.lookups for row in rows)


def test_a_clause_is_embedded_in_training_as_at_run_time() -> None:
    torch = pytest.importorskip("torch", reason="training needs torch (extra `train`)")
    pytest.importorskip("transformers", reason="training needs transformers")
    from classifiers.inference import Reading
    from classifiers.model import OneRequest, ToolModel, load_encoder, pad

    encoder = load_encoder()
    model = ToolModel(encoder.model, 3).eval()
    lean = OneRequest(model, 64).eval()
    text = "Dim the lamp, then play some jazz"
    encoding = encoder.tokenizer.encode(text)
    with torch.no_grad():
        logits, tokens = lean(torch.tensor([encoding.ids]))
    reading = Reading(text, logits[0].numpy(), tokens.numpy(), encoding.offsets, False)

    batches = iter(Contrast([Described("dim_lamp", "w", ("Dims a lamp",), ("a", "b", "c"))], size=1, seed=0))
    batch = next(batches)._replace(
        texts=[text], clauses=[(0, 0, 12), (0, 19, 33)], entries=["Dims a lamp.", "Plays music."]
    )
    with torch.no_grad():
        loss = contrast_loss(model, encoder, batch, temperature=0.05, max_tokens=64)
        entries = model.embed(
            *pad([encoder.encode(entry, 64) for entry in batch.entries], encoder.padding),
            range(2),
            pad([encoder.encode(entry, 64) for entry in batch.entries], encoder.padding)[1],
        )
    scores = np.stack([reading.embedding((0, 12)), reading.embedding((19, 33))]) @ entries.numpy().T / 0.05
    log_softmax = [scores - np.log(np.exp(scores).sum(axis, keepdims=True)) for axis in (0, 1)]
    assert loss.item() == pytest.approx(-np.mean([np.diag(one).mean() for one in log_softmax]), rel=1e-3)


def _requests(tools: list[Described]) -> list[str]:
    return [text for tool in tools for text in tool.requests]
