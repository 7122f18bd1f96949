"""The tool classifier: its thresholds keep their promise, its encoder is what it says, its artefact answers anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from classifiers import ARTEFACT, ClassifierError, ToolClassifier
from classifiers.calibration import Scaling, best_scores, fit_scaling, measure, scores, threshold
from pipeline.config import builtin_tools
from pipeline.errors import TinyAgentError

# ── calibration ──────────────────────────────────────────────────────────────────────────────────


def test_a_score_is_the_lowest_probability_among_the_needed_tools():
    probabilities = np.array([[0.9, 0.2, 0.6], [0.1, 0.8, 0.3], [0.2, 0.1, 0.1]])
    needed = np.array([[True, False, True], [False, True, False], [False, False, False]])
    assert scores(probabilities, needed) == [0.6, 0.8]  # the request out of scope has none


@pytest.mark.parametrize(
    ("n", "alpha", "misses"),
    [(99, 0.01, 0), (199, 0.01, 1), (200, 0.01, 1), (98, 0.01, None), (39, 0.05, 1), (0, 0.5, None)],
)
def test_the_threshold_lets_as_few_requests_miss_a_tool_as_was_promised(n, alpha, misses):
    ascending = [(k + 1) / (n + 1) for k in range(n)]
    found = threshold(ascending, alpha)
    if misses is None:
        assert found == 0.0  # too few requests to promise so much: every tool is selected
    else:
        assert sum(score < found for score in ascending) == misses


@given(st.lists(st.floats(0, 1), min_size=2, max_size=60), st.floats(0.02, 0.9))
def test_the_miss_rate_is_bounded_for_a_request_that_calibration_did_not_see(values, alpha):
    """Each of n + 1 exchangeable requests in turn is the unseen one: on average it misses at most alpha."""
    missed = [values[i] < threshold(sorted(values[:i] + values[i + 1 :]), alpha) for i in range(len(values))]
    assert np.mean(missed) <= alpha + 1e-9


@settings(max_examples=200, deadline=None)
@given(
    arrays.arrays(np.float64, st.tuples(st.integers(2, 30), st.just(3)), elements=st.floats(0.01, 1)),
    st.floats(0.02, 0.9),
    st.floats(0.02, 0.9),
    st.integers(0, 2**32 - 1),
)
def test_the_miss_rate_is_bounded_with_those_that_are_refused(probabilities, alpha, refusals, seed):
    """As above, of two tools and a lookup, where a request without a likely tool is refused."""
    needed = np.random.default_rng(seed).random(probabilities.shape) < 0.5
    needed[~needed[:, :2].any(1), 0] = True
    missed = []
    for i in range(len(needed)):
        seen, truth = np.delete(probabilities, i, 0), np.delete(needed, i, 0)
        nothing_below = threshold(best_scores(seen[:, :2], truth[:, :2]), refusals)
        at = threshold(scores(seen, truth, nothing_below, tools=2), alpha)
        found = measure(probabilities[i : i + 1], needed[i : i + 1], at, nothing_below, tools=2)
        missed.append(1 - found.recall_all)
    assert np.mean(missed) <= alpha + 1e-9


def test_a_refused_request_lacks_its_tools_at_any_threshold_but_0():
    probabilities = np.array([[0.05, 0.9], [0.2, 0.8], [0.1, 0.7], [0.01, 0.01]])  # a tool and a lookup
    needed = np.array([[True, True], [True, False], [True, True], [False, True]])
    assert scores(probabilities, needed, 0.1, tools=1) == [0, 0, 0.2]  # the one at the bound counts too
    assert measure(probabilities, needed, 0.01, 0.1, tools=1).recall_all == pytest.approx(2 / 3)
    assert measure(probabilities, needed, 0.0, 0.1, tools=1).recall_all == 1


@settings(max_examples=25, deadline=None)
@given(st.floats(0.3, 4.0), arrays.arrays(np.float64, 3, elements=st.floats(-0.8, 0.8)))
def test_scaling_finds_back_how_logits_were_distorted(temperature, shifts):
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (4000, 3))
    needed = rng.random((4000, 3)) < 1 / (1 + np.exp(-honest))
    fitted = fit_scaling(((honest - shifts) * temperature).astype(np.float32), needed)
    assert fitted.temperatures == pytest.approx((temperature,) * 3, rel=0.15)
    assert fitted.shifts == pytest.approx(tuple(shifts), abs=0.3)


def test_a_label_of_its_own_temperature_gets_it_and_a_rare_one_the_common_one():
    rng = np.random.default_rng(1)
    honest = rng.normal(0, 2, (4000, 4))
    needed = rng.random((4000, 4)) < 1 / (1 + np.exp(-honest))
    few = np.zeros(4000, bool)
    few[:8] = True
    distorted = honest * [1, 1, 1.5, 1]
    distorted[~few, 3], needed[~few, 3] = -9, False  # hardly ever asked about
    fitted = fit_scaling(distorted.astype(np.float32), needed)
    assert fitted.temperatures[2] == pytest.approx(1.5, rel=0.15)
    assert fitted.temperatures[:2] == pytest.approx((1, 1), rel=0.15)
    assert 0.6 < fitted.temperatures[3] < 1.6


def test_a_lookup_alone_brings_no_request_into_scope():
    probabilities = np.array([[0.1, 0.9], [0.2, 0.8], [0.9, 0.1]])  # a tool and a lookup
    needed = np.array([[False, True], [True, True], [True, False]])
    found = measure(probabilities, needed, 0.05, nothing_below=0.15, tools=1)
    assert (found.requests, found.out_of_scope) == (2, 1)
    assert (found.nothing, found.refused) == (1.0, 0.0)


def test_metrics_count_requests_not_tools():
    probabilities = np.array([[0.9, 0.7], [0.9, 0.1], [0.2, 0.1], [0.1, 0.3], [0.8, 0.1]])
    needed = np.array([[True, True], [True, True], [True, False], [False, False], [False, False]])
    found = measure(probabilities, needed, 0.5)
    assert (found.requests, found.out_of_scope) == (3, 2)
    assert found.recall_all == pytest.approx(1 / 3)
    assert found.tools == pytest.approx(1.0)
    assert found.refused == pytest.approx(1 / 3)
    assert found.nothing == pytest.approx(1 / 2)


def test_what_is_unknown_is_not_measured():
    pytest.importorskip("faker", reason="rows are made with faker (extra `train`)")
    from classifiers.data import Row
    from classifiers.evaluation import HeldOut, evaluate

    labels = ("send_sms", "implied:get_phone_number")
    sure = [Row("text Omar", frozenset({"send_sms"}), "pen", lookups=frozenset({"get_phone_number"}))] * 60
    sure += [Row("what is jazz", frozenset(), "pen")] * 60
    corpus = [Row("text Omar", frozenset({"send_sms"}), "corpus", lookups=None)] * 60  # whether by name is unknown

    def predict(texts):
        return np.array([[9, 9] if "Omar" in text else [-9, -9] for text in texts], np.float32)

    found = evaluate(predict, HeldOut(sure, sure, {"sure": sure, "corpus": corpus}), labels, alpha=0.1, refusals=0.05)
    assert found.metrics["corpus"].recall_all == 1
    assert found.metrics["corpus"].calibration_error < 0.05  # of the lookup, which it says is sure, nothing is known


def test_probabilities_of_extreme_logits_are_finite():
    assert Scaling((0.5, 0.5), (0.0, 0.0))(np.array([-4000, 4000], np.float32)).tolist() == [0.0, 1.0]


# ── the encoder (needs torch) ────────────────────────────────────────────────────────────────────


def test_a_bert_encoder_becomes_an_equal_deberta_one():
    torch = pytest.importorskip("torch", reason="the encoder is converted with torch (extra `train`)")
    transformers = pytest.importorskip("transformers", reason="the encoder is converted with transformers")
    from classifiers.model import pad, to_deberta

    def difference(bert, ids, mask):
        with torch.no_grad():
            before = bert(input_ids=ids, attention_mask=mask).last_hidden_state
            after = to_deberta(bert)(input_ids=ids, attention_mask=mask).last_hidden_state
        return (before - after)[mask.bool()].abs().max().item()

    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=99, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64
    )
    small = transformers.BertModel(config).eval()
    for weight in small.parameters():  # biases of a new model are zero, which would prove too little
        torch.nn.init.normal_(weight, std=0.3)
    assert difference(small, *pad([list(range(1, 70)), [5, 6, 7]], 0)) < 1e-4


@pytest.mark.parametrize("kinds", [["p2c", "c2p"], ["c2p"], ["p2c"]])
@pytest.mark.parametrize("shared", [True, False])
def test_what_is_exported_computes_what_was_trained(kinds, shared):
    torch = pytest.importorskip("torch", reason="the network needs torch (extra `train`)")
    transformers = pytest.importorskip("transformers", reason="the network needs transformers")
    from classifiers.model import OneRequest, ToolModel

    torch.manual_seed(0)
    config = transformers.DebertaV2Config(
        vocab_size=99, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=80, type_vocab_size=2, relative_attention=True, pos_att_type=kinds, share_att_key=shared,
        norm_rel_ebd="layer_norm", position_buckets=8,
    )  # fmt: skip
    model = ToolModel(transformers.DebertaV2Model(config), 5).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    lean = OneRequest(model, 70).eval()
    for length in (2, 9, 70):
        ids = torch.randint(1, 99, (1, length))
        with torch.no_grad():
            (trained, whole), (exported, tokens) = model(ids, torch.ones_like(ids)), lean(ids)
        assert (trained - exported).abs().max() < 1e-4
        assert (whole - torch.nn.functional.normalize(tokens.mean(0, keepdim=True))).abs().max() < 1e-4


def test_the_packaged_encoder_becomes_an_equal_deberta_one():
    torch = pytest.importorskip("torch", reason="the encoder is converted with torch (extra `train`)")
    from classifiers.model import load_encoder, pad, to_deberta

    try:
        encoder = load_encoder()
    except ClassifierError as error:
        pytest.skip(str(error))
    texts = [
        "Text Priya that I'm ten minutes late",
        "Remind me to call mum tomorrow at 6 and mail the lease to Omar",
    ]
    ids, mask = pad([encoder.tokenizer.encode(text).ids for text in texts], 0)
    with torch.no_grad():
        before = encoder.original(input_ids=ids, attention_mask=mask).last_hidden_state
        after = to_deberta(encoder.original)(input_ids=ids, attention_mask=mask).last_hidden_state
    assert (before - after)[mask.bool()].abs().max().item() < 1e-5


def test_before_training_the_embedding_is_the_original_one():
    torch = pytest.importorskip("torch", reason="the model is built with torch (extra `train`)")
    from classifiers.model import ToolModel, load_encoder, pad, sentence_embedding

    try:
        encoder = load_encoder()
    except ClassifierError as error:
        pytest.skip(str(error))
    model = ToolModel(encoder.model, 16).eval()
    ids, mask = pad([encoder.tokenizer.encode(text).ids for text in ("Reply that I agree", "forward this to Omar")], 0)
    with torch.no_grad():
        logits, embedding = model(ids, mask)
        original = sentence_embedding(encoder.original, ids, mask)
    assert logits.shape == (2, 16)
    assert torch.allclose((embedding * original).sum(1), torch.ones(2), atol=1e-5)


# ── the data (needs faker) ───────────────────────────────────────────────────────────────────────


def test_rows_name_the_tools_of_the_surface_plan_and_held_out_seeds_stay_out():
    pytest.importorskip("faker", reason="slots are refilled with faker (extra `train`)")
    from classifiers.data import generated, split, written
    from training.seeds import load_seeds, side_of

    seeds, tools = load_seeds(), builtin_tools()
    parts = split(seeds, calibration_pens=("s7", "s22"), test_pens=("s2", "s8"))
    ids = [seed.id for part in parts for seed in part]
    assert len(ids) == len(set(ids))  # no seed is in two parts
    assert {seed.pen for seed in [*parts.tune, *parts.calibrate]} == {"s7", "s22"}
    assert {seed.pen for seed in parts.test} == {"s2", "s8"}
    assert not {seed.pen for seed in [*parts.train, *parts.corpus]} & {"s7", "s22", "s2", "s8"}
    assert {side_of(seed.id) for seed in parts.train} == {"train"}
    assert {side_of(seed.id) for seed in parts.corpus} == {"test"}
    assert min(map(len, parts)) > 30

    (row,) = written([seed for seed in seeds if seed.id == "s1-001"], tools)
    assert row.tools == {"send_sms"}
    assert row.lookups == {"get_phone_number"}  # that the compiler will add
    stream = generated(parts.train, tools, seed=3)
    rows = [next(stream) for _ in range(200)]
    assert {name for r in rows for name in r.tools} <= set(tools)
    assert any(len(r.tools) > 2 for r in rows)
    assert any(not r.tools for r in rows)


def test_foreign_utterances_are_mapped_only_where_it_is_certain():
    from classifiers.natural import tools_of

    assert tools_of("clinc150", "text", "text mom i landed") == {"send_sms"}
    assert tools_of("clinc150", "calendar_update", "put the staff party on my calendar") == {"create_calendar_event"}
    assert tools_of("clinc150", "calendar_update", "remove fishing from my calendar") == set()
    assert tools_of("clinc150", "shopping_list_update", "add eggs to my list") is None  # a note? a reminder?
    assert tools_of("hwu64", "email_sendemail", "reply to the latest email") == {"reply_to_email"}
    assert tools_of("snips2017", "GetWeather", "will it rain in Porto") == set()


# ── the artefact ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def classifier() -> ToolClassifier:
    if not (ARTEFACT / "labels.json").exists():
        pytest.skip("no artefact: make it with `tinyagent train classifier --export`")
    return ToolClassifier.load()


def test_the_labels_are_the_built_in_tools(classifier):
    assert set(classifier.labels) == set(builtin_tools())
    assert set(classifier("text Omar").lookups) == {"get_phone_number", "get_email_address", "open_and_get_file_path"}


@pytest.mark.parametrize(
    ("request_", "needed"),
    [
        ("Text Priya that I'm ten minutes late", {"send_sms"}),
        ("remind me to water the plants tomorrow at 8", {"create_reminder"}),
        ("Summarise lease.pdf and email the gist to Omar", {"summarize_pdf", "compose_new_email"}),
        ("how do I get to the airport by train", {"maps_show_directions"}),
    ],
)
def test_plain_requests_get_their_tools(classifier, request_, needed):
    probabilities = classifier(request_).probabilities
    assert needed <= {name for name, p in probabilities.items() if p >= classifier.threshold}


def test_a_lower_miss_rate_never_takes_a_tool_away(classifier):
    assert classifier.threshold_at(0.01) <= classifier.threshold_at(0.1)
    with pytest.raises(ClassifierError):
        classifier.threshold_at(1.5)


@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_is_classified(classifier, text):
    found = classifier(text)
    assert all(0 <= p <= 1 for p in found.probabilities.values())
    assert np.linalg.norm(found.embedding) == pytest.approx(1, abs=1e-3)


def test_clauses_are_embedded_by_one_pass_with_the_whole(classifier):
    text = "text Omar that I am late and add milk to my Shopping note"
    at = text.index("and")
    first, second = (0, at), (at + 4, len(text))
    whole, texting, noting = classifier.embed_parts(text, [first, second])
    assert np.allclose(whole, classifier(text).embedding)
    note, message = classifier.embed(["add an item to a note", "send somebody a text message"])
    assert noting @ note > max(whole @ note, texting @ note)
    assert texting @ message > max(whole @ message, noting @ message)
    passes = []
    run = classifier._session.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "_session", SimpleNamespace(run=lambda *args: passes.append(1) or run(*args)))
        classifier("another request, and one more")
        classifier.embed_parts("another request, and one more", [(0, 15)])
    assert len(passes) == 1


def test_a_part_without_tokens_is_embedded_as_the_whole(classifier):
    long = "water the plants and then " * 500
    whole, cut_off, blank = classifier.embed_parts(long, [(len(long) - 20, len(long)), (3, 3)])
    assert np.allclose(whole, cut_off) and np.allclose(whole, blank)


def test_a_request_that_was_cut_says_so(classifier):
    assert not classifier("Reply that I agree").truncated
    assert classifier("and water the plants " * 500).truncated
    classifier("\ud800 half a character")


@pytest.mark.parametrize(
    "damage",
    [
        "missing",
        "truncated model",
        "another format",
        "not json",
        "tokenizer",
        "another tokenizer",
        "a label more",
        "no threshold",
        "a threshold of text",
        "no temperature",
        "unsorted",
    ],
)
def test_a_damaged_artefact_is_refused_with_its_mend(classifier, tmp_path: Path, damage: str):
    folder = tmp_path / "artefact"
    shutil.copytree(ARTEFACT, folder)
    labels = folder / "labels.json"
    match damage:
        case "missing":
            labels.unlink()
        case "truncated model":
            (folder / "model.int8.onnx").write_bytes((folder / "model.int8.onnx").read_bytes()[:-100])
        case "another format":
            labels.write_text(json.dumps(json.loads(labels.read_text()) | {"format": 0}))
        case "not json":
            labels.write_text("{")
        case "tokenizer":
            (folder / "tokenizer.json").write_text("{}")
        case "another tokenizer":  # that works, and would give every word another meaning
            text = (folder / "tokenizer.json").read_text("utf-8")
            (folder / "tokenizer.json").write_text(text.replace('"omar"', '"o_ar"'), "utf-8")
        case "a label more":
            labels.write_text(
                json.dumps((facts := json.loads(labels.read_text())) | {"labels": [*facts["labels"], "x"]})
            )
        case "no threshold":
            facts = json.loads(labels.read_text())
            del facts["threshold"]
            labels.write_text(json.dumps(facts))
        case "a threshold of text":
            labels.write_text(json.dumps(json.loads(labels.read_text()) | {"threshold": "0.1"}))
        case "no temperature":
            labels.write_text(
                json.dumps((facts := json.loads(labels.read_text())) | {"temperatures": [0.0] * len(facts["labels"])})
            )
        case "unsorted":
            labels.write_text(json.dumps(json.loads(labels.read_text()) | {"calibration_scores": [0.2, 0.1]}))
    with pytest.raises(TinyAgentError) as caught:
        ToolClassifier.load(folder)
    assert caught.value.fix


def test_a_trained_network_and_its_artefact_agree(tmp_path: Path):
    torch = pytest.importorskip("torch", reason="training needs torch (extra `train`)")
    transformers = pytest.importorskip("transformers", reason="training needs transformers")
    pytest.importorskip("onnx", reason="the export needs onnx")
    from classifiers.export import export
    from classifiers.train import Settings, train

    torch.manual_seed(0)
    words = transformers.PreTrainedTokenizerFast(tokenizer_file=str(ARTEFACT / "tokenizer.json"), pad_token="[PAD]")
    words.save_pretrained(tmp_path / "encoder")
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "encoder")

    left_out = ("open_note", "summarize_pdf")
    settings = Settings(
        minutes=0.05,
        batch=8,
        encoder=str(tmp_path / "encoder"),
        test_pens=("s2",),
        without=left_out,
        alpha=0.1,
        checkpoint_every=2,
    )
    train(settings, None, tmp_path / "run")
    evaluation = export(tmp_path / "run", None, tmp_path / "artefact")  # which holds the formats against each other
    classifier = ToolClassifier.load(tmp_path / "artefact", alpha=0.1)
    assert set(classifier.labels) == set(builtin_tools()) - set(left_out)
    assert (classifier.threshold, classifier.alpha) == (evaluation.threshold, 0.1)
    assert classifier.embed_parts("text Omar, then Priya", [(0, 9), (11, 21)]).shape == (3, 32)
    steps = json.loads((tmp_path / "run" / "evaluation.json").read_text())["steps"]
    train(settings, None, tmp_path / "run")  # is over, and does nothing but measure
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["steps"] == steps
