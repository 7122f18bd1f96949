"""A training run → the artefact: the network as int8 ONNX, its calibration, and a card that says what it is.

    tinyagent train classifier --out runs/classifier --natural corpora --export classifiers/artefact

Exports with torch.onnx, quantises the weights to int8 by ONNX Runtime (dynamic quantisation), and then
calibrates and measures *the int8 model* as it will run: one request at a time. The agreement with torch is
measured and must hold, else nothing is written. `labels.json` is written last and carries the model's hash: a
half-written artefact does not load.
"""

from __future__ import annotations

import itertools
import json
import shutil
import statistics
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classifiers.evaluation import Evaluation, Predict, evaluate
from classifiers.inference import (
    FORMAT,
    IMPLIED,
    LABELS,
    MODEL,
    TOKENIZER,
    ClassifierError,
    ToolClassifier,
    digest,
    words_of,
)
from classifiers.train import Data, Settings, load_data

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from classifiers.model import Encoder, ToolModel

OPSET = 17
MOST_BYTES = 25_000_000
ONNX_TOLERANCE = 1e-3  # of logits, before quantisation
LEAST_COSINE = 0.98  # of an int8 embedding to torch's, on average


def export(run: Path, natural: Path | None, out: Path) -> Evaluation:
    """Write the artefact of a training run.

    Args:
        run: Folder of the run, with `checkpoint.pt` and `settings.json`.
        natural: Folder of the public corpora that the run was trained with, to measure on the part held out.
        out: Folder to write.

    Raises:
        ClassifierError: The run has no checkpoint, or the exported model does not do what the trained one
        does.
    """
    import torch

    from classifiers.model import ToolModel, load_encoder

    try:
        told = json.loads((run / "settings.json").read_text("utf-8"))
        state = torch.load(run / "checkpoint.pt", weights_only=True)
    except FileNotFoundError as error:
        raise ClassifierError(f"{error.filename} is missing", fix="train first: tinyagent train classifier") from None
    try:
        settings = Settings(**{name: told[name] for name in Settings.__dataclass_fields__})
    except KeyError as error:
        raise ClassifierError(
            f"{run} is a run of another version: it says nothing of {error}", fix="train again"
        ) from None
    encoder, data = load_encoder(settings.encoder), load_data(settings, natural)
    if list(data.labels) != told.pop("labels"):
        raise ClassifierError("the tools are not those that the run was trained on", fix="train again")
    model = ToolModel(encoder.model, len(data.labels))
    model.load_state_dict(state["model"])
    model.eval()

    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        _write_onnx(model, encoder, settings.max_tokens, made / "model.onnx")
        _quantize(made / "model.onnx", made / MODEL)
        (made / TOKENIZER).write_text(encoder.tokenizer.to_str(), "utf-8")
        content = (made / MODEL).read_bytes()
        size = len(content) + (made / TOKENIZER).stat().st_size
        if size > MOST_BYTES:
            raise ClassifierError(f"the artefact has {size / 1e6:.1f} MB", fix="take a smaller encoder")
        facts = {
            "format": FORMAT,
            "labels": data.labels,
            "max_tokens": settings.max_tokens,
            "encoder": {
                "sha256": digest(content),
                "tokenizer_sha256": digest((made / TOKENIZER).read_bytes()),
                "base": encoder.name,
                "base_sha256": encoder.sha256,
            },
            "words": _words(data),
            "training": told | {"steps": state["step"], "minutes": round(state["spent"] / 60, 1)},
        }
        none = {"alpha": 0.5, "threshold": 0.5, "nothing_below": 0.0, "calibration_scores": []}
        flat = {"temperatures": [1.0] * len(data.labels), "shifts": [0.0] * len(data.labels)}
        (made / LABELS).write_text(json.dumps(facts | none | flat), "utf-8")
        classifier = ToolClassifier.load(made)

        texts = [row.text for rows in data.held_out.test.values() for row in rows][:200]
        parity = compare(model, encoder, made / "model.onnx", classifier, texts)
        evaluation = evaluate(_predictor(classifier), data.held_out, data.labels, **settings.rates())
        facts |= evaluation.facts() | {"parity": parity}
        out.mkdir(parents=True, exist_ok=True)
        for name in (MODEL, TOKENIZER):
            shutil.copyfile(made / name, out / name)
        (out / "README.md").write_text(card(facts, evaluation, len(content), _latency(classifier, texts)), "utf-8")
        (out / LABELS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return evaluation


def compare(
    model: ToolModel, encoder: Encoder, onnx: Path, classifier: ToolClassifier, texts: Sequence[str]
) -> Mapping[str, float]:
    """Hold the exports against torch; return how far they are.

    Raises:
        ClassifierError: They are further than rounding and quantisation explain.
    """
    import onnxruntime
    import torch

    from classifiers.model import pad

    session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    plain = classifier.scaling  # not calibrated yet: the logits' own probabilities
    apart, moved, cosines = 0.0, list[float](), list[float]()
    for text in texts:
        ids, mask = pad([encoder.encode(text, classifier.max_tokens)], encoder.padding)
        with torch.no_grad():
            logits, embedding = (output[0].numpy() for output in model(ids, mask))
        exported = session.run(["logits"], {"input_ids": ids.numpy()})[0][0]
        apart = max(apart, float(np.abs(exported - logits).max()))
        small = classifier.read(text)
        moved.append(float(np.abs(plain(small.logits) - plain(logits)).mean()))
        cosines.append(float(small.embedding() @ embedding))
    cosine = statistics.mean(cosines)
    if apart > ONNX_TOLERANCE or cosine < LEAST_COSINE:
        raise ClassifierError(
            f"the export is not the trained model: logits {apart:.4f} apart in float, embeddings at a cosine of "
            f"{cosine:.4f} in int8"
        )
    return {
        "onnx_logits_apart": round(apart, 6),
        "int8_probabilities_moved": round(statistics.mean(moved), 5),
        "int8_embedding_cosine": round(cosine, 5),
    }


def card(facts: Mapping[str, Any], evaluation: Evaluation, size: int, milliseconds: float) -> str:
    """Return the model card."""
    training, parity = facts["training"], facts["parity"]
    return f"""# Tool classifier

Says for a request which tools it needs, of {sum(not label.startswith(IMPLIED) for label in facts["labels"])}, and which
lookups its plan will imply; gives its sentence embedding in the same pass.
`tinyagent train classifier --export` wrote this folder, this card and its figures.

- **Architecture**: a DeBERTa-v2 encoder (from {facts["encoder"]["base"]}, fine-tuned), a head of {len(facts["labels"])}
  logits, and an embedding head that was trained to find tools by their descriptions.
- **Files**: `{MODEL}` ({size / 1e6:.1f} MB, SHA-256 `{facts["encoder"]["sha256"]}`),
  `{TOKENIZER}`, `{LABELS}` (labels, threshold, temperature, calibration scores, training settings).
- **Training**: {training["steps"]} steps of {training["batch"]} requests in {training["minutes"]:g} minutes of CPU.
- **Calibration**: threshold {evaluation.threshold:.4f} for a miss rate of {evaluation.alpha:.1%}, by conformal risk control
  on {len(evaluation.scores)} requests of {_listed(training["calibration_pens"])}, which training never saw; temperatures of
  {min(evaluation.scaling.temperatures):.2f} to {max(evaluation.scaling.temperatures):.2f}, and a shift for each label. The bound holds
  for requests like these, and counts those for which no tool reaches {evaluation.nothing_below:.4f}, which get none.
- **Speed**: {milliseconds:.1f} ms a request (median, one thread, tokenisation included, on the machine of the export).
- **Parity**: logits of the float export within {parity["onnx_logits_apart"]:.0e} of torch; int8 moves a probability by
  {parity["int8_probabilities_moved"]:.4f} on average, the embedding to a cosine of {parity["int8_embedding_cosine"]:.4f}.

## Measured

On requests that neither training nor calibration saw (the unseen pens are {_listed(training["test_pens"])}), by this int8 model, one
request at a time:

{evaluation.table()}

"Refused" is a request in scope for which nothing is selected. ECE is the expected calibration error over all pairs
of request and label of which the truth is known: of public corpora the tools are, the lookups mostly not.

## Data

The seeds of `training/seeds` (written for this project), refilled, joined and mistyped by `training.composition`, and the tools with requests
of `training/tool_requests` (so too).
{_CORPORA if training["natural"] else "No public corpus."}

## Limits

English first; Portuguese and Spanish are a smaller part of the seeds. It reads {facts["max_tokens"]} tokens and says when a
request was longer. It knows its own tools only: new ones are found by the index. In a language that it does not know it errs;
the share of words that it knows, of {len(facts["words"]):,}, tells such a request.

## Licence

Of the project; the encoder that it starts from, all-MiniLM-L6-v2, is under Apache-2.0.
"""


def _listed(pens: Sequence[str]) -> str:
    return f"{', '.join(pens[:-1])} and {pens[-1]}" if len(pens) > 1 else "".join(pens)


_CORPORA = """Beside them, utterances of public corpora whose intents name their tools for certain; their text is not
part of this project: CLINC150 (Larson et al., 2019, CC BY 3.0), HWU64 (Liu et al., 2019, CC BY 4.0), SNIPS 2017
(Coucke et al., 2018, CC0), BANKING77 (Casanueva et al., 2020, CC BY 4.0), Bot Framework Skills (Microsoft, MIT) and
Thingpedia (Stanford OVAL, BSD-style)."""


def _words(data: Data) -> list[str]:
    """Return the words that occur more than once in what the model was trained on."""
    texts = itertools.chain(
        (seed.as_written for seed in data.train), (row.text for row in (*data.natural, *data.foreign))
    )
    counts = Counter(word for text in texts for word in words_of(text))
    return sorted(word for word, count in counts.items() if count > 1)


def _write_onnx(model: ToolModel, encoder: Encoder, max_tokens: int, path: Path) -> None:
    import torch

    from classifiers.model import OneRequest

    positions = model.encoder.embeddings.position_embeddings
    if positions is not None:  # those that no request reaches are left out
        positions.weight = torch.nn.Parameter(positions.weight[:max_tokens])
    ids = torch.tensor([encoder.encode("Reply that I agree", max_tokens)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what tracing might get wrong; `compare` looks at what it got
        torch.onnx.export(
            OneRequest(model, max_tokens).eval(),
            (ids,),
            str(path),
            input_names=["input_ids"],
            output_names=["logits", "tokens"],
            dynamic_axes={"input_ids": {1: "tokens"}},
            opset_version=OPSET,
            dynamo=False,  # the graph of the newer exporter does not load in ONNX Runtime
        )


def _quantize(source: Path, target: Path) -> None:
    """Quantise the weights to eight bits, a scale a column.

    Unsigned, because products of unsigned activations and signed weights of full range saturate on processors
    with AVX2 and no VNNI, and of the seven bits that would be left the embedding feels the loss. Products of two activations, as in
    attention, and with projected positions stay in float.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = source.with_name("prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    graph = onnx.load(prepared).graph
    flat = {weight.name for weight in graph.initializer if len(weight.dims) == 2}
    others = [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] not in flat]
    quantize_dynamic(
        str(prepared), str(target), per_channel=True, weight_type=QuantType.QUInt8, nodes_to_exclude=others
    )


def _predictor(classifier: ToolClassifier) -> Predict:
    def predict(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([classifier.read(text).logits for text in texts])

    return predict


def _latency(classifier: ToolClassifier, texts: Sequence[str]) -> float:
    """Return the median time of a request in milliseconds."""
    times = []
    for text in texts:
        started = time.perf_counter()
        classifier(text)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000
