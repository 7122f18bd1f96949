"""A request → the probability of each known tool, and its sentence embedding, in one pass of the exported model.

`ToolClassifier.load` opens the artefact: a folder with `model.int8.onnx`, `tokenizer.json` and `labels.json`
as `classifiers.export` writes them. Needs onnxruntime, tokenizers and numpy, nothing of torch. It decides
nothing: which tools a probability is enough for, and what happens to a request that was cut, is for
`pipeline.selection` to say; the calibrated threshold is here for it to use.

Clauses of a request are embedded by the same pass as the whole, each as the mean of its own tokens, which have read all the others
(late chunking, arXiv 2409.04701).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from classifiers.calibration import Scaling, threshold
from pipeline.errors import TinyAgentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 5
IMPLIED = "implied:"  # begins the label of a lookup that the values of a plan imply
ARTEFACT = Path(__file__).parent / "artefact"
MODEL, TOKENIZER, LABELS = "model.int8.onnx", "tokenizer.json", "labels.json"
KEPT = 2  # readings: of a request, and of it together with those before


class ClassifierError(TinyAgentError):
    """The classifier's files are missing, damaged, or not of one export."""


@dataclass(frozen=True, slots=True)
class Classification:
    """What the model says of one request."""

    probabilities: Mapping[str, float]  # by tool, in the labels' order, each of 0 to 1
    lookups: Mapping[str, float]  # probabilities of the lookups that the compiler will add to the plan
    embedding: NDArray[np.float32]  # unit vector, shape (384,) for the shipped model
    known: float  # share of the request's words that training had: of a language it does not know, few
    truncated: bool  # the request was longer than the model reads: what its end asks for is not in the probabilities


@dataclass(frozen=True, slots=True)
class Reading:
    """What one pass of the model gives for a text."""

    text: str
    logits: NDArray[np.float32]  # shape (labels,)
    tokens: NDArray[np.float32]  # an embedding a token, shape (tokens, dimensions)
    places: Sequence[tuple[int, int]]  # of the tokens in the text, in characters; (0, 0) for one that stands for none
    truncated: bool  # whether the text was cut

    def embedding(self, part: tuple[int, int] | None = None) -> NDArray[np.float32]:
        """Return the unit vector of the text or of a part of it, from one character to before another.

        A part that has no token, because it was cut off or is blank, has the vector of the whole.
        """
        of_it = [at for at, (begin, end) in enumerate(self.places) if part and part[0] <= begin < end <= part[1]]
        mean = (self.tokens[of_it] if of_it else self.tokens).mean(0)
        unit: NDArray[np.float32] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return unit


class ToolClassifier:
    """The exported model. Reads nothing from disk after `load`. It embeds texts for an index as well, with its second head.

    Args:
        session: The ONNX Runtime session.
        tokenizer: Cuts what is longer than the model reads.
        facts: The content of `labels.json`.
    """

    def __init__(self, session: Any, tokenizer: Any, facts: Mapping[str, Any]) -> None:
        self._session, self._tokenizer = session, tokenizer
        self._labels: tuple[str, ...] = tuple(facts["labels"])
        self.labels = tuple(label for label in self._labels if not label.startswith(IMPLIED))
        self.max_tokens: int = facts["max_tokens"]  # what is longer is cut
        self.scaling = Scaling(tuple(facts["temperatures"]), tuple(facts["shifts"]))
        self.alpha: float = facts["alpha"]  # the miss rate that `threshold` is for
        self.threshold: float = facts["threshold"]  # tools and lookups are selected from this probability on
        self.nothing_below: float = facts["nothing_below"]  # below it all, no tool is needed (unless `threshold` is 0)
        self.encoder: str = facts["encoder"]["sha256"]  # of the model: embeddings of another cannot be compared
        self._scores: list[float] = facts["calibration_scores"]
        self._words = frozenset(facts["words"])
        self._kept: tuple[Reading, ...] = ()  # the last ones, the newest first

    @classmethod
    def load(cls, folder: Path = ARTEFACT, *, threads: int = 1, alpha: float | None = None) -> Self:
        """Open an artefact.

        Args:
            folder: Where it lies.
            threads: How many threads a call may use.
            alpha: The miss rate for `threshold`, if another than that of the export.

        Raises:
            ClassifierError: A file is missing, damaged, or belongs to another export.
        """
        import onnxruntime
        from tokenizers import Tokenizer

        try:
            facts = json.loads((folder / LABELS).read_text("utf-8"))
            model = (folder / MODEL).read_bytes()
            cutter = (folder / TOKENIZER).read_text("utf-8")
            tokenizer = Tokenizer.from_str(cutter)
        except FileNotFoundError as error:
            raise ClassifierError(f"no classifier: {error.filename} is missing", fix=_MEND) from None
        except Exception as error:  # the tokenizers library raises bare Exception for a file that it cannot read
            raise ClassifierError(f"the classifier in {folder} cannot be read: {error}", fix=_MEND) from error
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise ClassifierError(f"{folder / LABELS} is not of format {FORMAT}", fix=_MEND)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            _check(facts, folder, {MODEL: digest(model), TOKENIZER: digest(cutter.encode())})
            tokenizer.enable_truncation(facts["max_tokens"])
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            classifier = cls(session, tokenizer, facts)
        except (KeyError, TypeError, ValueError) as error:
            raise ClassifierError(f"{folder / LABELS} is damaged: {error!r}", fix=_MEND) from None
        if alpha is not None and alpha != classifier.alpha:
            classifier.threshold, classifier.alpha = classifier.threshold_at(alpha), alpha
        return classifier

    def __call__(self, text: str) -> Classification:
        """Classify one request. Takes any text, the empty one included."""
        reading = self.read(text)
        said = dict(zip(self._labels, self.scaling(reading.logits).tolist(), strict=True))
        lookups = {label.removeprefix(IMPLIED): p for label, p in said.items() if label.startswith(IMPLIED)}
        words = words_of(text)
        known = sum(word in self._words for word in words) / len(words) if words else 0.0
        tools = {name: said[name] for name in self.labels}
        return Classification(tools, lookups, reading.embedding(), known, reading.truncated)

    @property
    def digest(self) -> str:
        """Of the model: embeddings of another one cannot be compared with this one's."""
        return self.encoder

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimensions), as an index wants them."""
        vectors = [self.read(text).embedding() for text in texts]
        return np.stack(vectors) if vectors else np.zeros((0, self.read("").tokens.shape[1]), np.float32)

    def embed_parts(self, text: str, parts: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        """Return unit vectors of a text and of parts of it (from character to character), shape (1 + len(parts), dimensions).

        One pass for all, and none for a text that was classified just before.
        """
        reading = self.read(text)
        return np.stack([reading.embedding(), *map(reading.embedding, parts)])

    def threshold_at(self, alpha: float) -> float:
        """Return the threshold for another miss rate: the share of requests in scope that may lack a needed tool, the refused included.

        It is 0 for a rate that refusals alone would exceed: then every tool is selected, and nothing is to be refused.

        Raises:
            ClassifierError: `alpha` is not between 0 and 1.
        """
        if not 0 < alpha < 1:
            raise ClassifierError(f"a miss rate of {alpha}", fix="take one between 0 and 1, such as 0.01")
        return threshold(self._scores, alpha)

    def read(self, text: str) -> Reading:
        """Return what the model gives for a text; of the last texts, what it gave."""
        if kept := next((reading for reading in self._kept if reading.text == text), None):
            return kept
        encoding = self._tokenizer.encode(text.encode("utf-8", "replace").decode("utf-8"))  # no lone surrogates
        inputs = {"input_ids": np.array([encoding.ids], np.int64)}
        logits, tokens = self._session.run(["logits", "tokens"], inputs)
        reading = Reading(text, logits[0], tokens, encoding.offsets, bool(encoding.overflowing))
        self._kept = (reading, *self._kept[: KEPT - 1])
        return reading


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file of the artefact, as `labels.json` has it."""
    return hashlib.sha256(content).hexdigest()


def _check(facts: Mapping[str, Any], folder: Path, files: Mapping[str, str]) -> None:
    """Hold `labels.json` against itself and against the files beside it, whose digests are given."""
    if len(facts["temperatures"]) != len(facts["labels"]) or len(facts["shifts"]) != len(facts["labels"]):
        raise ValueError("a label without its calibration")
    if not 0 <= facts["threshold"] <= 1 or min(facts["temperatures"], default=1) <= 0:
        raise ValueError("a calibration that no probabilities have")
    if list(facts["calibration_scores"]) != sorted(facts["calibration_scores"]):
        raise ValueError("scores that are not in ascending order")
    for name, expected in ((MODEL, facts["encoder"]["sha256"]), (TOKENIZER, facts["encoder"]["tokenizer_sha256"])):
        if files[name] != expected:
            raise ClassifierError(f"{folder / name} is not the one that {LABELS} is for", fix=_MEND)


def words_of(text: str) -> list[str]:
    """Return the words of a text as the artefact's list of known words has them; numbers are none."""
    return re.findall(r"[^\W\d_]+", text.casefold())


_MEND = "reinstall tinyagent-edge, or make it anew with 'tinyagent train classifier --export'"
