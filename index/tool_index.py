"""The tools' descriptions and example requests as embeddings, searched with FAISS.

`ToolIndex.build` embeds them, `save` and `load` keep the result as one folder, `load_or_build` does what is needed: a
changed catalogue is a new index, for which only texts that the last one did not have are embedded. A search gives each tool
the score of its best entry. It knows nothing of thresholds; what a score means is for `pipeline.selection` to say.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self
from zipfile import BadZipFile

import numpy as np

from pipeline.spec import Catalogue

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 3
KEPT = 4  # indexes of earlier catalogues that stay on disk
NEAREST = 256  # entries that a search looks at: a tool has a handful, a request needs a handful of tools
# From so many entries on, the search is by a graph of neighbours (HNSW) and no longer over all of them: see `benchmarks.index_scale`.
GRAPH_FROM = 50_000


class Encoder(Protocol):
    """What embeds texts: `index.Embedder`, or the classifier with its second head."""

    @property
    def digest(self) -> str:
        """Of the model: embeddings of another one cannot be compared with this one's."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimensions)."""
        ...


class ToolIndex:
    """A searchable set of (tool, text) entries.

    Args:
        embedder: Embeds the queries, and embedded the entries.
        owners: The tool of each entry.
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

    @classmethod
    def build(cls, tools: Catalogue, embedder: Encoder, *, known: ToolIndex | None = None) -> Self:
        """Embed the tools' descriptions and examples.

        Args:
            tools: The catalogue.
            embedder: Embeds texts.
            known: An index by the same embedder, whose entries need not be embedded again.
        """
        entries = [
            (tool.name, text)
            for tool in tools.values()
            for text in (tool.description, *(example.request for example in tool.examples))
        ]
        digests = [hashlib.sha256(text.encode()).hexdigest()[:24] for _, text in entries]
        rows = dict(zip(known.texts, known.vectors, strict=True)) if known else {}
        new = {digest: text for digest, (_, text) in zip(digests, entries, strict=True) if digest not in rows}
        rows |= zip(new, embedder.embed(list(new.values())), strict=True)
        vectors = np.stack([rows[digest] for digest in digests]) if entries else embedder.embed([])
        return cls(embedder, [name for name, _ in entries], vectors, digests, tools.digest)

    @classmethod
    def load_or_build(cls, tools: Catalogue, embedder: Encoder, folder: Path) -> Self:
        """Return the saved index if it is of these tools and this encoder; else build it from what there is, and save it."""
        path = folder / f"{embedder.digest[:16]}-{tools.digest[:16]}"
        if (index := cls.load(path, embedder)) and index.catalogue == tools.digest:
            return index
        earlier = sorted(folder.glob(f"{embedder.digest[:16]}-*"), key=lambda p: p.stat().st_mtime, reverse=True)
        known = next((found for old in earlier if (found := cls.load(old, embedder))), None)
        index = cls.build(tools, embedder, known=known)
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

    def search(self, texts: Sequence[str]) -> Mapping[str, float]:
        """Return for the tools with entries near one of the texts the highest cosine (-1 to 1) of such an entry.

        In a catalogue of up to 256 entries these are all tools.
        """
        if not self.owners:
            return {}
        scores, found = self._faiss.search(self._embedder.embed(texts), min(NEAREST, len(self.owners)))
        best: dict[str, float] = {}
        for row, entries in zip(scores.tolist(), found.tolist(), strict=True):
            for score, entry in zip(row, entries, strict=True):
                if entry >= 0:  # a graph may find fewer than were asked for
                    name = self.owners[entry]
                    best[name] = max(best.get(name, -1.0), score)
        return best


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
