"""The tools' descriptions and example requests as embeddings, searched with FAISS.

`ToolIndex.build` embeds them, `update` follows a changed catalogue at the cost of what changed, `save` and `load` keep the index as
one folder, and `load_or_build` does what is needed. A search gives each tool the score of its best entry. It knows nothing of thresholds; what
a score means is for `pipeline.selection` to say.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self
from zipfile import BadZipFile

import numpy as np

from pipeline.spec import Catalogue, ToolSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 4
KEPT = 4  # indexes of earlier catalogues that stay on disk
GONE = ""  # owner of an entry whose tool is gone, or says something else now
MOST_GONE = 0.25  # share of the entries; with more, all is built anew without them
NEAREST = 256  # entries that a search looks at: a tool has a handful, a request needs a handful of tools
# From so many entries on, the search is by a graph of neighbours (HNSW) and no longer over all of them: see `benchmarks.index_scale`.
GRAPH_FROM = 20_000


class Encoder(Protocol):
    """What embeds texts: `index.Embedder`, or the classifier with its second head."""

    @property
    def digest(self) -> str:
        """Of the model: embeddings of another one cannot be compared with this one's."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimensions)."""
        ...

    def embed_parts(self, text: str, parts: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        """Return unit vectors of a text and of parts of it (from character to character), shape (1 + len(parts), dimensions)."""
        ...


class ToolIndex:
    """A searchable set of (tool, text) entries.

    Args:
        embedder: Embeds the queries, and embedded the entries.
        owners: The tool of each entry; "" of one that is gone.
        vectors: Unit vectors, shape (entries, dimensions).
        texts: A digest of each entry's text.
        catalogue: The digest of the catalogue that was embedded.
        graph: The search structure, if it was kept.
    """

    def __init__(
        self,
        embedder: Encoder,
        owners: Sequence[str],
        vectors: NDArray[np.float32],
        texts: Sequence[str],
        catalogue: str,
        graph: Any = None,
    ) -> None:
        self._embedder = embedder
        self.owners = tuple(owners)
        self.vectors = vectors
        self.texts = tuple(texts)
        self.catalogue = catalogue
        self._faiss: Any = graph or _searchable(vectors)
        self._pass_over_what_is_gone()

    @classmethod
    def build(cls, tools: Catalogue, embedder: Encoder) -> Self:
        """Embed the tools' descriptions and examples."""
        index = cls(embedder, (), embedder.embed([]), (), "")
        index.update(tools)
        return index

    def update(self, tools: Catalogue) -> None:
        """Make this the index of other tools: what is gone is not found any more, what is new is embedded and added.

        What stays costs nothing, in a graph too, which is not built again. Not for use while another thread searches.

        Args:
            tools: The whole new catalogue.
        """
        wanted = {
            (tool.name, hashlib.sha256(text.encode()).hexdigest()[:24]): text
            for tool in tools.values()
            for text in entries(tool)
        }
        before = list(zip(self.owners, self.texts, strict=True))
        old = set(before)
        new = [entry for entry in wanted if entry not in old]
        rows = dict(zip(self.texts, self.vectors, strict=True))  # also of what is gone: a tool may have been renamed
        unknown = {text: wanted[owner, text] for owner, text in new if text not in rows}
        rows |= zip(unknown, self._embedder.embed(list(unknown.values())), strict=True)
        owners = [owner if (owner, text) in wanted else GONE for owner, text in before]
        added = np.stack([rows[text] for _, text in new]) if new else self.vectors[:0]
        grown = np.concatenate([self.vectors, added])

        self.owners = (*owners, *(owner for owner, _ in new))
        self.texts = (*self.texts, *(text for _, text in new))
        self.vectors, self.catalogue = grown, tools.digest
        if self.owners.count(GONE) > len(self.owners) * MOST_GONE:
            there = [i for i, owner in enumerate(self.owners) if owner != GONE]
            self.owners = tuple(self.owners[i] for i in there)
            self.texts = tuple(self.texts[i] for i in there)
            self.vectors = self.vectors[there]
            self._faiss = _searchable(self.vectors)
        elif len(before) < GRAPH_FROM <= len(self.owners):
            self._faiss = _searchable(self.vectors)
        elif new:
            self._faiss.add(added)
        self._pass_over_what_is_gone()

    @classmethod
    def load_or_build(cls, tools: Catalogue, embedder: Encoder, folder: Path) -> Self:
        """Return the saved index if it is of these tools and this encoder; else build it from what there is, and save it."""
        path = folder / f"{embedder.digest[:16]}-{tools.digest[:16]}"
        if (index := cls.load(path, embedder)) and index.catalogue == tools.digest:
            return index
        earlier = sorted(folder.glob(f"{embedder.digest[:16]}-*"), key=lambda p: p.stat().st_mtime, reverse=True)
        known = next((found for old in earlier if (found := cls.load(old, embedder))), None)
        index = known or cls.build(Catalogue([]), embedder)
        index.update(tools)
        with suppress(OSError):  # an index that cannot be kept (a read-only or full disk) serves this process
            index.save(path)
            for old in earlier[KEPT:]:
                shutil.rmtree(old, ignore_errors=True)
        return index

    @classmethod
    def load(cls, folder: Path, embedder: Encoder) -> Self | None:
        """Read a saved index; None if there is none, or not a readable one of this format and encoder."""
        try:
            meta = json.loads((folder / "entries.json").read_text("utf-8"))
            vectors = np.load(folder / "vectors.npy", allow_pickle=False)
            if meta["format"] != FORMAT or meta["encoder"] != embedder.digest:
                return None
            owners, texts = meta["owners"], meta["texts"]
            if vectors.ndim != 2 or not len(vectors) == len(owners) == len(texts):
                return None
            if hashlib.sha256(vectors.tobytes()).hexdigest() != meta["vectors"]:
                return None
            return cls(embedder, owners, vectors, texts, meta["catalogue"], _read_graph(folder, len(vectors)))
        except (
            OSError,
            EOFError,
            ValueError,
            KeyError,
            TypeError,
            BadZipFile,
        ):  # what a file that was cut off may raise
            return None

    def save(self, folder: Path) -> None:
        """Write the index as a folder that appears whole or not at all; a broken one that stands there goes."""
        import faiss

        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".index-") as scratch:
            made = Path(scratch) / "index"
            made.mkdir()
            meta = {
                "format": FORMAT,
                "encoder": self._embedder.digest,
                "catalogue": self.catalogue,
                "owners": self.owners,
                "texts": self.texts,
                "vectors": hashlib.sha256(self.vectors.tobytes()).hexdigest(),
            }
            (made / "entries.json").write_text(json.dumps(meta), "utf-8")
            np.save(made / "vectors.npy", self.vectors, allow_pickle=False)
            if len(self.owners) >= GRAPH_FROM:
                faiss.write_index(self._faiss, str(made / "graph.faiss"))
            if folder.exists():
                os.replace(folder, Path(scratch) / "old")
            os.replace(made, folder)

    def search(self, text: str, parts: Sequence[tuple[int, int]] = ()) -> list[Mapping[str, float]]:
        """Return for a text, and then for each part of it, the tools with entries near it and the highest cosine of such an entry.

        In a catalogue of up to 256 entries these are all tools.

        Args:
            text: A request.
            parts: Clauses of it, each from a character to before another.

        Returns:
            A mapping each from tools to cosines (-1 to 1).
        """
        if not self._there:
            return [{} for _ in range(1 + len(parts))]
        vectors = self._embedder.embed_parts(text, parts)
        scores, found = self._faiss.search(vectors, min(NEAREST, self._there), params=self._params)
        return [self._best(*row) for row in zip(scores.tolist(), found.tolist(), strict=True)]

    def _best(self, scores: Sequence[float], entries: Sequence[int]) -> Mapping[str, float]:
        best: dict[str, float] = {}
        for score, entry in zip(scores, entries, strict=True):
            if entry >= 0:  # a graph may find fewer than were asked for
                name = self.owners[entry]
                best[name] = max(best.get(name, -1.0), score)
        return best

    def _pass_over_what_is_gone(self) -> None:
        """Have searches look at the entries that are there alone."""
        import faiss

        library: Any = faiss  # whose stubs do not know the parameters of a search
        gone = np.array([i for i, owner in enumerate(self.owners) if owner == GONE], np.int64)
        self._there = len(self.owners) - len(gone)
        self._params: Any = None
        if len(gone):
            there = library.IDSelectorNot(library.IDSelectorBatch(gone))
            if isinstance(self._faiss, faiss.IndexHNSW):
                self._params = library.SearchParametersHNSW(sel=there, efSearch=NEAREST)
            else:
                self._params = library.SearchParameters(sel=there)


def entries(tool: ToolSpec) -> Iterator[str]:
    """Yield what a request may be like: the description with the parameters' names, and the example requests."""
    yield described(tool.description, [parameter.name for parameter in tool.parameters])
    yield from (example.request for example in tool.examples)


def described(description: str, parameters: Sequence[str]) -> str:
    """Return what is embedded of a tool's description and the names of its parameters."""
    names = ", ".join(name.replace("_", " ") for name in parameters)
    return f"{description.rstrip('.')} ({names})" if names else description


def _searchable(vectors: NDArray[np.float32]) -> Any:
    """Return the vectors in a structure that finds the nearest: all of them looked at, or by a graph if they are many."""
    import faiss

    width = vectors.shape[1]
    if len(vectors) < GRAPH_FROM:
        flat = faiss.IndexFlatIP(width)
        flat.add(vectors)
        return flat
    graph = faiss.IndexHNSWFlat(width, 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efSearch = NEAREST
    graph.add(vectors)
    return graph


def _read_graph(folder: Path, entries: int) -> Any:
    """Return the graph that was kept; None where there is none, or not one of so many entries."""
    import faiss

    path = folder / "graph.faiss"
    if not path.is_file():
        return None
    try:
        graph = faiss.read_index(str(path))
    except RuntimeError:  # faiss's only error
        return None
    return graph if graph.ntotal == entries else None
