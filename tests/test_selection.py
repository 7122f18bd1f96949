"""Selection: the index, its clauses, its routes, and its keeping on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from index import Embedder, EncoderError, ToolIndex
from pipeline.selection import Route, Selector, clauses
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
    assert len(selection.tools) < len(tools)


def test_lookups_are_closed_over(index: ToolIndex, tools: Catalogue) -> None:
    class OnlyMail:
        def search(self, texts: list[str]) -> Mapping[str, float]:
            return {"compose_new_email": 0.9}

    selection = Selector(tools, OnlyMail()).select("write a mail")
    assert selection.tools == ("compose_new_email",)
    assert selection.implied == {"get_email_address", "open_and_get_file_path"}


def test_all_tools_where_nothing_is_alike_or_there_is_no_index(tools: Catalogue) -> None:
    class Unsure:
        def search(self, texts: list[str]) -> Mapping[str, float]:
            return dict.fromkeys(tools, 0.01)

    for scorer in (Unsure(), None):
        selection = Selector(tools, scorer).select("zzz")
        assert selection.route is Route.ALL
        assert selection.tools == tuple(tools)


def test_a_request_for_several_things_is_searched_by_its_clauses() -> None:
    request = "Text Omar I'm late, then remind me to buy milk. And where is the zoo?"
    assert clauses(request) == [request, "Text Omar I'm late", "remind me to buy milk", "where is the zoo?"]
    assert clauses("Text Omar hello") == ["Text Omar hello"]


def test_the_index_is_kept_and_made_anew_when_a_spec_changes(
    tools: Catalogue, embedder: Embedder, tmp_path: Path
) -> None:
    first = ToolIndex.load_or_build(tools, embedder, tmp_path)
    [folder] = tmp_path.iterdir()
    written = (folder / "vectors.npy").stat().st_mtime_ns
    again = ToolIndex.load_or_build(tools, embedder, tmp_path)
    assert (folder / "vectors.npy").stat().st_mtime_ns == written
    assert again.owners == first.owners
    np.testing.assert_array_equal(again.vectors, first.vectors)

    changed = [spec.model_copy(update={"description": spec.description + " Now."}) for spec in tools.values()]
    ToolIndex.load_or_build(Catalogue(changed), embedder, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("file", ["entries.json", "vectors.npy"])
def test_a_broken_index_is_made_anew(tools: Catalogue, embedder: Embedder, tmp_path: Path, file: str) -> None:
    ToolIndex.load_or_build(tools, embedder, tmp_path)
    [folder] = tmp_path.iterdir()
    (folder / file).write_bytes(b"\x00half a fi")
    assert ToolIndex.load_or_build(tools, embedder, tmp_path).search(["text Omar"])["send_sms"] > 0.3


def test_a_folder_that_cannot_be_written_costs_only_time(tools: Catalogue, embedder: Embedder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert ToolIndex.load_or_build(tools, embedder, tmp_path / "file" / "index").owners
