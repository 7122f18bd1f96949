"""Selection: the index, its clauses, its routes, and its keeping on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from classifiers.inference import Classification
from index import Embedder, EncoderError, ToolIndex
from index.tool_index import KEPT
from pipeline.selection import Route, SelectionOptions, Selector, Span, clauses
from pipeline.spec import Catalogue


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture(scope="module")
def index(tools: Catalogue, embedder: Embedder) -> ToolIndex:
    return ToolIndex.build(tools, embedder)


def test_embeddings_are_unit_vectors_that_know_likeness(embedder: Embedder) -> None:
    cat, kitten, invoice = embedder.embed(["a cat on the sofa", "a kitten on the couch", "invoice 231 is overdue"])
    assert np.linalg.norm(cat) == pytest.approx(1, abs=1e-5)
    assert cat @ kitten > 0.5 > cat @ invoice


def test_a_text_embeds_the_same_alone_and_among_others(embedder: Embedder) -> None:
    alone = embedder.embed(["open my note"])[0]
    among = embedder.embed(["open my note", "a much longer text that makes the batch be padded to its length"])[0]
    assert alone @ among > 0.98  # int8 activations are scaled by the batch


def test_a_missing_encoder_says_how_to_mend_it(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no encoder at"):
        Embedder(tmp_path / "none.onnx").embed(["x"])


@pytest.mark.parametrize(
    ("request_", "needed"),
    [
        ("Text Omar that I am late", {"send_sms", "get_phone_number"}),
        ("Where is the Louvre? Show it on the map", {"maps_open_location"}),
        ("remind me to water the plants tomorrow", {"create_reminder"}),
        ("give me a summary of lease.pdf", {"summarize_pdf", "open_and_get_file_path"}),
        ("text Omar I'm late, then remind me to buy milk", {"send_sms", "create_reminder"}),
    ],
)
def test_what_is_needed_is_selected(index: ToolIndex, tools: Catalogue, request_: str, needed: set[str]) -> None:
    selection = Selector(tools, index).select(request_)
    assert selection.route is Route.INDEX
    assert needed <= set(selection.names)
    assert len(selection.tools) <= SelectionOptions().most


def test_lookups_are_closed_over(index: ToolIndex, tools: Catalogue) -> None:
    class OnlyMail:
        def search(self, text: str, parts: Sequence[Span] = ()) -> list[Mapping[str, float]]:
            return [{"compose_new_email": 0.9}]

    selection = Selector(tools, OnlyMail()).select("write a mail")
    assert selection.tools == ("compose_new_email",)
    assert selection.implied == {"get_email_address", "open_and_get_file_path"}


def test_all_tools_where_nothing_is_alike_or_there_is_no_index(tools: Catalogue) -> None:
    class Unsure:
        def search(self, text: str, parts: Sequence[Span] = ()) -> list[Mapping[str, float]]:
            return [dict.fromkeys(tools, 0.01)]

    for scorer in (Unsure(), None):
        selection = Selector(tools, scorer).select("zzz")
        assert selection.route is Route.ALL
        assert selection.tools == tuple(tools)


class Says:
    """A classifier that knows two tools and gives them the probabilities that a test wants."""

    labels = ("send_sms", "create_note")
    threshold = 0.4
    alpha = 0.02
    nothing_below = 0.1

    def __init__(
        self, sms: float, note: float, *, phone: float = 0.9, known: float = 1, truncated: bool = False
    ) -> None:
        probabilities = {"send_sms": sms, "create_note": note}
        self._said = Classification(
            probabilities, {"get_phone_number": phone}, np.zeros(384, np.float32), known, truncated
        )

    def __call__(self, text: str) -> Classification:
        return self._said


class Ranks:
    """An index that ranks the tools as a test wants."""

    def __init__(self, **scores: float) -> None:
        self._scores = scores

    def search(self, text: str, parts: Sequence[Span] = ()) -> list[Mapping[str, float]]:
        return [self._scores]


class ByText(ABC):
    """An index that scores each text, and each part of it, as a test wants."""

    @abstractmethod
    def scores(self, text: str) -> Mapping[str, float]: ...

    def search(self, text: str, parts: Sequence[Span] = ()) -> list[Mapping[str, float]]:
        return [self.scores(text), *(self.scores(text[begin:end]) for begin, end in parts)]


def test_the_classifier_selects_what_it_is_sure_of(tools: Catalogue) -> None:
    known = tools.only(Says.labels)
    selection = Selector(known, Ranks(create_note=0.9), classifier=Says(0.98, 0.39)).select("text Omar")
    assert (selection.route, selection.tools) == (Route.CLASSIFIER, ("send_sms",))
    assert selection.scores == {"send_sms": 0.98, "create_note": 0.39}
    assert selection.probabilities == selection.scores


def test_lookups_that_the_request_does_not_imply_are_left_out(tools: Catalogue) -> None:
    known = tools.only([*Says.labels, "get_phone_number"])

    def implied(phone: float) -> frozenset[str]:
        return Selector(known, Ranks(), classifier=Says(0.9, 0, phone=phone)).select("x").implied

    assert implied(phone=0.5) == {"get_phone_number"}
    assert implied(phone=0.1) == frozenset()  # the number is given


def test_what_none_of_the_tools_serves_gets_none(tools: Catalogue) -> None:
    known = tools.only(Says.labels)
    selection = Selector(known, Ranks(create_note=0.9), classifier=Says(0.05, 0.09)).select("play some jazz")
    assert (selection.route, selection.tools, selection.implied) == (Route.CLASSIFIER, (), frozenset())


def test_nothing_is_refused_where_the_threshold_promises_that_no_tool_is_missed(tools: Catalogue) -> None:
    classifier = Says(0.05, 0.09)
    classifier.threshold = 0.0
    selection = Selector(tools.only(Says.labels), None, classifier=classifier).select("play some jazz")
    assert (selection.route, set(selection.tools)) == (Route.CLASSIFIER, set(Says.labels))


def test_the_index_decides_where_the_classifier_is_unsure(tools: Catalogue) -> None:
    known = tools.only([*Says.labels, "open_note"])  # one of which it does not know
    options = SelectionOptions(least=1)
    selector = Selector(known, Ranks(send_sms=0.3, create_note=0.9, open_note=0.7), options, classifier=Says(0.2, 0.3))
    selection = selector.select("x")
    assert (selection.route, selection.tools) == (Route.INDEX, ("create_note", "open_note"))
    assert selection.miss_rate is None


@pytest.mark.parametrize(
    "classifier",
    [
        Says(0.99, 0.99, truncated=True),
        Says(0.01, 0.01, known=0.3),
        Says(0.45, 0, known=0.4),
        Says(0.9, 0, known=0.1),
        Says(0, 0, known=0),
    ],
)
def test_all_tools_where_the_classifier_cannot_read_the_request(tools: Catalogue, classifier: Says) -> None:
    known = tools.only([*Says.labels, "open_note"])
    for index in (Ranks(send_sms=0.9, create_note=0.1, open_note=0.1), None):
        selection = Selector(known, index, classifier=classifier).select("x")
        assert (selection.route, selection.tools) == (Route.ALL, tuple(known))
    # Of a large catalogue, what is most like it.
    options = SelectionOptions(whole=2, most=1)
    ranks = Ranks(send_sms=0.9, create_note=0.1, open_note=0.2)
    selection = Selector(known, ranks, options, classifier=classifier).select("x")
    assert (selection.route, selection.tools) == (Route.INDEX, ("open_note", "send_sms"))


def test_a_likely_tool_in_a_request_of_names_is_believed(tools: Catalogue) -> None:
    selection = Selector(tools.only(Says.labels), None, classifier=Says(0.9, 0, known=0.3)).select("x")
    assert (selection.route, selection.tools, selection.miss_rate) == (Route.CLASSIFIER, ("send_sms",), 0.02)


def test_a_tool_that_is_gone_from_the_catalogue_is_not_selected(tools: Catalogue) -> None:
    """An index of before a spec was removed may still name it."""
    known = tools.only(["open_note"])
    selection = Selector(known, Ranks(send_sms=0.9, open_note=0.8)).select("x")
    assert selection.tools == ("open_note",)


def test_a_tool_that_the_classifier_does_not_know_is_found_by_the_index(tools: Catalogue) -> None:
    known = tools.only([*Says.labels, "open_note", "maps_open_location"])
    index = Ranks(open_note=0.5, send_sms=0.2, create_note=0.9, maps_open_location=0.05)
    selection = Selector(known, index, classifier=Says(0.98, 0.01)).select("text Omar what is in my note")
    assert (selection.route, selection.tools) == (Route.CLASSIFIER, ("open_note", "send_sms"))
    # Alone, without anything that the classifier knows; and not where the index knows nothing like it.
    assert Selector(known, index, classifier=Says(0.01, 0.01)).select("x").tools == ("open_note",)
    assert Selector(known, Ranks(open_note=0.1), classifier=Says(0.01, 0.01)).select("x").tools == ()


def test_a_stranger_is_looked_for_by_each_clause(tools: Catalogue) -> None:
    """What the whole request is most like leaves no place for it; a clause of its own does."""

    class ByClause(ByText):
        def scores(self, text: str) -> Mapping[str, float]:
            mine = 0.9 if text == "show my note" else 0.3
            return dict.fromkeys(tools, 0.5) | {"open_note": mine}

    selector = Selector(tools, ByClause(), classifier=Says(0.98, 0.01))
    assert "open_note" in selector.select("text Omar hello, then show my note").tools
    assert "open_note" not in selector.select("text Omar hello").tools


def test_a_stranger_far_behind_what_the_classifier_chose_is_not_offered(tools: Catalogue) -> None:
    known = tools.only([*Says.labels, "open_note"])
    assert Selector(known, Ranks(send_sms=0.7, open_note=0.66), classifier=Says(0.9, 0.0)).select("x").tools == (
        "open_note",
        "send_sms",
    )
    assert Selector(known, Ranks(send_sms=0.7, open_note=0.5), classifier=Says(0.9, 0.0)).select("x").tools == (
        "send_sms",
    )
    # What it ruled out says nothing.
    assert Selector(known, Ranks(send_sms=0.9, open_note=0.5), classifier=Says(0.0, 0.0)).select("x").tools == (
        "open_note",
    )


def test_what_the_classifier_rules_out_takes_no_place_from_a_stranger(tools: Catalogue) -> None:
    known, index = tools.only([*Says.labels, "open_note"]), Ranks(create_note=0.9, send_sms=0.7, open_note=0.5)
    options = SelectionOptions(strangers=1)
    assert Selector(known, index, options, classifier=Says(0.0, 0.0)).select("x").tools == ("open_note",)
    assert Selector(known, index, options, classifier=Says(0.9, 0.0)).select("x").tools == ("send_sms",)


def test_of_many_strangers_each_clause_gets_its_first(tools: Catalogue) -> None:
    class ByClause(ByText):
        def scores(self, text: str) -> Mapping[str, float]:
            if text == "show my note":
                return {"open_note": 0.4, "maps_open_location": 0.3}
            return {"create_reminder": 0.9, "summarize_pdf": 0.8, "reply_to_email": 0.7, "forward_email": 0.6}

    options = SelectionOptions(together=4)
    selector = Selector(tools, ByClause(), options, classifier=Says(0.98, 0.01))
    selection = selector.select("text Omar hello, then show my note")
    assert set(selection.tools) == {"send_sms", "create_reminder", "open_note", "summarize_pdf"}
    assert selection.scores["open_note"] == 0.4


def test_a_follow_up_is_read_together_with_what_was_asked_before(tools: Catalogue) -> None:
    class Reads(Says):
        def __call__(self, text: str) -> Classification:
            sms = 0.9 if "text Omar" in text else 0.2
            return Classification({"send_sms": sms, "create_note": 0.3}, {}, np.zeros(384, np.float32), 1.0, False)

    selector = Selector(tools.only(Says.labels), None, classifier=Reads(0, 0))
    assert selector.select("and Priya too", earlier=["text Omar that I am late"]).tools == ("send_sms",)
    assert selector.select("and Priya too").route is Route.ALL  # on its own it says nothing
    old = ["text Omar that I am late", "what is in my note", "thanks"]
    assert selector.select("and Priya too", earlier=old).route is Route.ALL  # that was long ago


def test_a_catalogue_that_is_too_large_is_never_offered_whole(tools: Catalogue) -> None:
    options = SelectionOptions(whole=4, most=3)
    selector = Selector(tools, Ranks(**{name: 0.01 * i for i, name in enumerate(tools)}), options)
    selection = selector.select("zzz")
    assert (selection.route, len(selection.tools)) == (Route.INDEX, 3)
    assert len(selector.everything("zzz").tools) == 4


def test_without_an_index_a_tool_that_the_classifier_does_not_know_is_always_offered(tools: Catalogue) -> None:
    known = tools.only([*Says.labels, "open_note"])
    assert Selector(known, None, classifier=Says(0.98, 0.01)).select("x").tools == ("open_note", "send_sms")


def test_a_request_for_several_things_is_searched_by_its_clauses() -> None:
    request = "Text Omar I'm late, then remind me to buy milk. And where is the zoo?"
    found = [request[begin:end] for begin, end in clauses(request)]
    assert found == ["Text Omar I'm late", "remind me to buy milk", "where is the zoo?"]
    assert clauses("Text Omar hello") == clauses("Text Omar hello, please") == clauses("") == []


class Counts:
    """An embedder that remembers what it embedded."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.digest = embedder.digest
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += texts
        return self._embedder.embed(texts)

    def embed_parts(self, text: str, parts: Sequence[Span]) -> NDArray[np.float32]:
        return self._embedder.embed_parts(text, parts)


def test_a_changed_catalogue_costs_only_its_new_texts(tools: Catalogue, embedder: Embedder, tmp_path: Path) -> None:
    counts = Counts(embedder)
    first = ToolIndex.load_or_build(tools, counts, tmp_path)
    assert len(counts.texts) == len(first.owners)
    counts.texts.clear()
    again = ToolIndex.load_or_build(tools, counts, tmp_path)
    assert not counts.texts
    assert again.owners == first.owners
    np.testing.assert_array_equal(again.vectors, first.vectors)

    fewer = [spec for spec in tools.values() if spec.name != "open_note"]
    fewer[0] = fewer[0].model_copy(update={"description": "Say something else."})
    changed = ToolIndex.load_or_build(Catalogue(fewer), counts, tmp_path)
    [text] = counts.texts
    assert text.startswith("Say something else")
    assert "open_note" not in changed.search("open my note")[0]


def test_only_the_latest_indexes_stay_on_disk(tools: Catalogue, embedder: Embedder, tmp_path: Path) -> None:
    for n in range(KEPT + 3):
        spec = tools["open_note"].model_copy(update={"description": f"Open note {n}."})
        ToolIndex.load_or_build(Catalogue([spec]), embedder, tmp_path)
    assert len(list(tmp_path.iterdir())) == KEPT + 1


def test_many_entries_are_searched_by_a_graph(
    tools: Catalogue, embedder: Embedder, index: ToolIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.tool_index.GRAPH_FROM", 1)
    graph = ToolIndex.build(tools, embedder)
    assert isinstance(graph._faiss, faiss.IndexHNSW)
    assert graph.search("text Omar")[0] == pytest.approx(index.search("text Omar")[0])
    graph.save(tmp_path / "index")
    loaded = ToolIndex.load(tmp_path / "index", embedder)
    assert loaded is not None
    assert loaded.search("text Omar")[0] == pytest.approx(index.search("text Omar")[0])
    (tmp_path / "index" / "graph.faiss").write_bytes(b"half")
    repaired = ToolIndex.load(tmp_path / "index", embedder)
    assert repaired is not None
    assert repaired.search("text Omar")[0] == pytest.approx(index.search("text Omar")[0])


@pytest.mark.parametrize("graph_from", [1, 50_000])
def test_an_index_follows_its_catalogue_as_one_built_anew_would_be(
    tools: Catalogue, embedder: Embedder, monkeypatch: pytest.MonkeyPatch, graph_from: int
) -> None:
    monkeypatch.setattr("index.tool_index.GRAPH_FROM", graph_from)
    monkeypatch.setattr("index.tool_index.MOST_GONE", 0.5)
    other = tools["open_note"].model_copy(update={"description": "Play a tune on the harmonica."})
    changed = [
        Catalogue([spec for spec in tools.values() if spec.name not in {"open_note", "send_sms"}]),  # two are removed,
        Catalogue(
            [*(spec for spec in tools.values() if spec.name != "open_note"), other]
        ),  # one comes back, one changed
        tools.only(["send_sms"]),  # so few are left that the others are cleared away
        Catalogue([]),
        tools,
    ]
    queries = ["text Omar that I am late", "play something on the harmonica", "open my note"]
    counts = Counts(embedder)
    index = ToolIndex.build(tools, counts)
    lengths = []
    for catalogue in changed:
        index.update(catalogue)
        lengths.append(len(index.owners))
        assert index.catalogue == catalogue.digest
        anew = ToolIndex.build(catalogue, embedder)
        for query in queries:
            assert index.search(query)[0] == pytest.approx(anew.search(query)[0], abs=1e-5)
    entries = lengths[-1]
    assert lengths[0] == entries  # nothing was built anew for two tools that went
    assert lengths[2] < entries / 4
    assert sum(text.startswith("Play a tune on the harmonica") for text in counts.texts) == 1


def test_a_changed_index_is_the_same_after_it_was_kept(tools: Catalogue, embedder: Embedder, tmp_path: Path) -> None:
    index = ToolIndex.build(tools, embedder)
    index.update(Catalogue([spec for spec in tools.values() if spec.name != "open_note"]))
    index.save(tmp_path / "index")
    loaded = ToolIndex.load(tmp_path / "index", embedder)
    assert loaded is not None
    assert loaded.search("open my note")[0] == pytest.approx(index.search("open my note")[0])
    assert "open_note" not in loaded.search("open my note")[0]


def test_an_empty_catalogue_has_an_index(embedder: Embedder) -> None:
    assert ToolIndex.build(Catalogue([]), embedder).search("text Omar and Priya", [(0, 9), (10, 19)]) == [{}, {}, {}]


@pytest.mark.parametrize("content", [b"\x00half a fi", b"", b"PK\x03\x04", None])
@pytest.mark.parametrize("file", ["entries.json", "vectors.npy"])
def test_a_broken_index_is_made_anew(
    tools: Catalogue, embedder: Embedder, tmp_path: Path, file: str, content: bytes | None
) -> None:
    ToolIndex.load_or_build(tools, embedder, tmp_path)
    [folder] = tmp_path.iterdir()
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: len(whole) - 40] + b"0" * 40 if content is None else content)
    assert ToolIndex.load_or_build(tools, embedder, tmp_path).search("text Omar")[0]["send_sms"] > 0.3


def test_a_folder_that_cannot_be_written_costs_only_time(tools: Catalogue, embedder: Embedder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert ToolIndex.load_or_build(tools, embedder, tmp_path / "file" / "index").owners
