"""The tools' descriptions and example requests as embeddings, searched with FAISS.

`ToolIndex.build` embeds them, `save` and `load` keep the result as one folder, `load_or_build` does what is needed: the
index is built once and again when a spec or the encoder changes. A search gives each tool the score of its best entry.
It knows nothing of thresholds; what a score means is for `pipeline.selection` to say.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from index.embedder import DIMENSIONS, Embedder
from pipeline.spec import Catalogue

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1


class ToolIndex:
    """A searchable set of (tool, text) entries."""

    def __init__(self, embedder: Embedder, owners: Sequence[str], vectors: NDArray[np.float32], digest: str) -> None:
        import faiss

        self._embedder = embedder
        self.owners = tuple(owners)  # the tool of each entry
        self.vectors = vectors  # unit vectors, shape (entries, 384)
        self.digest = digest  # of the catalogue that was embedded
        self._faiss: Any = faiss.IndexFlatIP(DIMENSIONS)
        self._faiss.add(vectors)

    @classmethod
    def build(cls, tools: Catalogue, embedder: Embedder) -> Self:
        """Embed the tools' descriptions and examples."""
        entries = [
            (tool.name, text)
            for tool in tools.values()
            for text in (tool.description, *(example.request for example in tool.examples))
        ]
        vectors = embedder.embed([text for _, text in entries])
        return cls(embedder, [name for name, _ in entries], vectors, tools.digest)

    @classmethod
    def load_or_build(cls, tools: Catalogue, embedder: Embedder, folder: Path) -> Self:
        """Return the saved index if it is of these tools and this encoder; else build and save it."""
        path = folder / f"{tools.digest[:16]}-{embedder.digest[:16]}"
        if (index := cls.load(path, embedder)) and index.digest == tools.digest:
            return index
        index = cls.build(tools, embedder)
        with suppress(OSError):  # an index that cannot be kept (a read-only or full disk) serves this process
            index.save(path)
        return index

    @classmethod
    def load(cls, folder: Path, embedder: Embedder) -> Self | None:
        """Read a saved index; None if there is none, or not a readable one of this format and encoder."""
        try:
            meta = json.loads((folder / "entries.json").read_text("utf-8"))
            vectors = np.load(folder / "vectors.npy", allow_pickle=False)
        except (OSError, ValueError):
            return None
        fits = meta["format"] == FORMAT and meta["encoder"] == embedder.digest
        if not fits or vectors.shape != (len(meta["owners"]), DIMENSIONS):
            return None
        return cls(embedder, meta["owners"], vectors, meta["catalogue"])

    def save(self, folder: Path) -> None:
        """Write the index as a folder that appears whole or not at all."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".index-") as scratch:
            made = Path(scratch) / "index"
            made.mkdir()
            meta = {
                "format": FORMAT,
                "encoder": self._embedder.digest,
                "catalogue": self.digest,
                "owners": self.owners,
            }
            (made / "entries.json").write_text(json.dumps(meta), "utf-8")
            np.save(made / "vectors.npy", self.vectors, allow_pickle=False)
            if not folder.exists():
                os.replace(made, folder)

    def search(self, texts: Sequence[str]) -> Mapping[str, float]:
        """Return for each tool the highest cosine (-1 to 1) of one of its entries with one of the texts."""
        scores, found = self._faiss.search(self._embedder.embed(texts), len(self.owners))
        best: dict[str, float] = {}
        for row, entries in zip(scores, found, strict=True):
            for score, entry in zip(row, entries, strict=True):
                name = self.owners[entry]
                best[name] = max(best.get(name, -1.0), float(score))
        return best
