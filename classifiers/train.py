"""Trains the tool classifier on the seeds, and on natural utterances where they are given.

    tinyagent train classifier --out runs/classifier --natural corpora

Weighted, focused binary cross-entropy on the tools, so that a missed tool costs more than a needless one and
what is long known costs nothing; beside it the sentence embedding learns to find tools by their descriptions
(`classifiers.contrast`), and a distillation keeps it near to where the original model has it. Batches of requests
of like length, bfloat16 matrix products, a length in minutes that the learning rate follows, and a checkpoint that
a killed run resumes from. `classifiers.export` turns the result into the artefact.

Loss: asymmetric focusing after Ridnik et al. (arXiv 2009.14119), on the negatives only.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classifiers.contrast import Contrast, Described, contrast_loss, described_tools, foreign_rows, written_tools
from classifiers.data import Row, labels_of, mixed, split
from classifiers.evaluation import Evaluation, HeldOut, Predict, evaluate, held_out_rows, known, targets
from classifiers.inference import ClassifierError
from classifiers.natural import natural
from pipeline.config import builtin_tools
from training.seeds import Seed, load_seeds
from training.tool_requests import KEPT, combined_seeds

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from classifiers.model import Encoder, ToolModel


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is made of; saved beside its result."""

    minutes: float = 24.0  # of training, evaluation not counted
    batch: int = 32  # rows a step
    encoder: str = ""  # a folder or a name on the model hub, of BERT or DeBERTa; "" is the packaged MiniLM
    learning_rate: float = 1e-4  # of the encoder
    head_rate: float = 1e-3  # of the two heads
    weight_decay: float = 0.01
    warmup: float = 0.06  # of the time
    positive_weight: float = 3.0  # of a needed tool, against one that is not
    focus: float = 1.0  # how much less a negative counts that is known to be one; 0 is plain cross-entropy
    contrast: float = 1.0  # weight of the loss of tools found by their descriptions
    contrast_every: int = 2  # steps
    contrasted: int = 48  # tools of such a batch
    temperature: float = 0.05  # of the cosines in it
    distillation: float = 0.5  # weight of 1 - cosine to the original embedding
    distilled: int = 8  # rows of a batch that are distilled: a pass of the original model costs time
    natural_share: float = 0.3  # of natural rows, where there are any
    calibration_pens: tuple[str, ...] = ("s7", "s22", "s23", "s25", "s33")  # kept from training
    test_pens: tuple[str, ...] = ("s2", "s8", "s32")  # and from calibration too
    without: tuple[str, ...] = ()  # tools to leave out, as if they had not been there yet
    alpha: float = 0.02  # miss rate to calibrate for
    refusals: float = 0.0075  # share of requests in scope that may be taken to be out of it
    max_tokens: int = 160
    report_every: int = 50  # steps
    checkpoint_every: int = 100
    seed: int = 0

    def rates(self) -> dict[str, float]:
        """Return what `evaluate` is to calibrate for."""
        return {"alpha": self.alpha, "refusals": self.refusals}


@dataclass(frozen=True, slots=True)
class Data:
    """What a run trains and is measured on."""

    labels: tuple[str, ...]  # see `classifiers.data`
    train: list[Seed]
    natural: list[Row]
    foreign: list[Row]  # requests for tools that nobody has, which none of ours serves
    described: list[Described]
    held_out: HeldOut


def load_data(settings: Settings, folder: Path | None) -> Data:
    """Read seeds and public corpora, and divide them as the settings say."""
    tools = builtin_tools()
    if strange := [name for name in settings.without if name not in tools]:
        raise ClassifierError(f"no tool {strange[0]!r} to leave out", fix=f"the tools are {', '.join(tools)}")
    tools = tools.only([name for name in tools if name not in settings.without])
    seeds = [
        seed
        for seed in (*load_seeds(), *combined_seeds())
        if not {tool for tool, _ in seed.calls} & {*settings.without}
    ]
    parts = split(seeds, calibration_pens=settings.calibration_pens, test_pens=settings.test_pens)
    others, others_held_out = natural(folder) if folder else ([], [])
    rows = held_out_rows(parts, tools, [row for row in others_held_out if row.tools <= {*tools}])
    others = [row for row in others if row.tools <= {*tools}]
    foreign = foreign_rows(tool for tool in written_tools() if tool.source not in KEPT)
    return Data(labels_of(tools), parts.train, others, foreign, described_tools(parts.train, tools, others), rows)


def train(settings: Settings, folder: Path | None, out: Path) -> Evaluation:
    """Train until the minutes are over, from the last checkpoint in `out` if there is one; return how it does."""
    import torch

    from classifiers.model import ToolModel, load_encoder

    torch.manual_seed(settings.seed)
    data, encoder = load_data(settings, folder), load_encoder(settings.encoder)
    out.mkdir(parents=True, exist_ok=True)
    facts = asdict(settings) | {"natural": len(data.natural), "labels": data.labels}
    (out / "settings.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    print(
        f"{len(data.train)} seeds, {len(data.natural)} natural rows and {len(data.described)} tools to train on",
        flush=True,
    )

    model = ToolModel(encoder.model, len(data.labels))
    optimizer = torch.optim.AdamW(_groups(model, settings), betas=(0.9, 0.98))
    spent, step = _resume(out, model, optimizer)
    batches = _batches(data, encoder, settings, seed=settings.seed + step)
    contrasts = iter(Contrast(data.described, size=settings.contrasted, seed=settings.seed + step))
    model.train()
    losses: list[tuple[float, float]] = []
    found: list[float] = []
    while spent < settings.minutes * 60:
        started = time.monotonic()
        for group, name in zip(optimizer.param_groups, ("learning_rate", "head_rate"), strict=True):
            group["lr"] = getattr(settings, name) * _schedule(spent / settings.minutes / 60, settings.warmup)
        tools, distance = _losses(model, encoder, next(batches), data.labels, settings)
        loss = tools + settings.distillation * distance
        if step % settings.contrast_every == 0 and (batch := next(contrasts, None)):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                told = contrast_loss(
                    model, encoder, batch, temperature=settings.temperature, max_tokens=settings.max_tokens
                )
            loss = loss + settings.contrast * told
            found.append(told.item())
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        losses.append((tools.item(), distance.item()))
        spent += time.monotonic() - started
        if step % settings.report_every == 0:
            of_tools, away = np.mean(losses[-settings.report_every :], 0)
            of_contrast = np.mean(found[-settings.report_every // settings.contrast_every :] or [np.nan])
            print(
                f"step {step}  {spent / 60:.1f} min  loss {of_tools:.4f}  contrast {of_contrast:.3f}  1 - cosine {away:.4f}",
                flush=True,
            )
        if step % settings.checkpoint_every == 0:
            _checkpoint(out, model, optimizer, spent, step)
    _checkpoint(out, model, optimizer, spent, step)

    evaluation = evaluate(
        predictor(model, encoder, settings.max_tokens), data.held_out, data.labels, **settings.rates()
    )
    facts = {"steps": step, "seconds": round(spent), **evaluation.facts()}
    (out / "evaluation.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    return evaluation


def predictor(model: ToolModel, encoder: Encoder, max_tokens: int) -> Predict:
    """Return the trained network as a function from texts to logits."""
    import torch

    from classifiers.model import pad

    def predict(texts: Sequence[str]) -> NDArray[np.float32]:
        model.eval()
        tokens = [encoder.encode(text, max_tokens) for text in texts]
        order = sorted(range(len(texts)), key=lambda i: len(tokens[i]))
        logits = np.zeros((len(texts), model.labels), np.float32)
        with torch.no_grad():
            for at in range(0, len(order), 32):
                chosen = order[at : at + 32]
                logits[chosen] = model(*pad([tokens[i] for i in chosen], encoder.padding))[0].numpy()
        return logits

    return predict


def _groups(model: ToolModel, settings: Settings) -> list[dict[str, Any]]:
    encoder = [weight for weight in model.encoder.parameters() if weight.requires_grad]
    heads = [*model.tools.parameters(), *model.embedding.parameters()]
    return [
        {"params": encoder, "lr": settings.learning_rate, "weight_decay": settings.weight_decay},
        {"params": heads, "lr": settings.head_rate, "weight_decay": settings.weight_decay},
    ]


def _batches(data: Data, encoder: Encoder, settings: Settings, *, seed: int) -> Iterator[list[tuple[list[int], Row]]]:
    """Yield batches of (token ids, row) of like length, in random order."""
    rng = random.Random(seed)
    rows = mixed(data.train, builtin_tools(), [*data.natural, *data.foreign], share=settings.natural_share, seed=seed)
    items = ((encoder.encode(row.text, settings.max_tokens), row) for row in rows)
    while pool := list(itertools.islice(items, settings.batch * 25)):
        pool.sort(key=lambda item: len(item[0]))
        groups = [pool[i : i + settings.batch] for i in range(0, len(pool), settings.batch)]
        rng.shuffle(groups)
        yield from groups


def _schedule(progress: float, warmup: float) -> float:
    """Return the learning rate's factor: a linear warm-up, then a cosine to zero."""
    if progress < warmup:
        return 0.02 + progress / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))


def _losses(
    model: ToolModel,
    encoder: Encoder,
    batch: Sequence[tuple[list[int], Row]],
    labels: Sequence[str],
    settings: Settings,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of the tools, summed over labels, and the distance of the embeddings from the original ones."""
    import torch
    import torch.nn.functional as F

    from classifiers.model import pad, sentence_embedding

    ids, mask = pad([ids for ids, _ in batch], encoder.padding)
    needed = torch.from_numpy(targets([row for _, row in batch], labels)).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, embeddings = model(ids, mask)
        with torch.no_grad():
            chosen = slice(settings.distilled)
            original = sentence_embedding(encoder.original, ids[chosen], mask[chosen])
    logits = logits.float()
    weights = needed * settings.positive_weight + (1 - needed) * logits.detach().sigmoid() ** settings.focus
    weights = weights * torch.from_numpy(known([row for _, row in batch], labels))
    tools = F.binary_cross_entropy_with_logits(logits, needed, weights, reduction="none").sum(1).mean()
    return tools, 1 - (embeddings[chosen].float() * original.float()).sum(1).mean()


def _checkpoint(out: Path, model: ToolModel, optimizer: Any, spent: float, step: int) -> None:
    """Save the state so that a kill at any moment leaves the old one or the new one."""
    import torch

    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "spent": spent, "step": step}
    torch.save(state, out / "checkpoint.tmp")
    (out / "checkpoint.tmp").replace(out / "checkpoint.pt")


def _resume(out: Path, model: ToolModel, optimizer: Any) -> tuple[float, int]:
    """Load the checkpoint, if there is one; return the seconds spent and the step reached.

    Raises:
        ClassifierError: It is of another network.
    """
    import torch

    if not (out / "checkpoint.pt").exists():
        return 0.0, 0
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    try:
        model.load_state_dict(state["model"])
    except RuntimeError:
        raise ClassifierError(f"{out} holds a run of another encoder", fix="name another folder") from None
    optimizer.load_state_dict(state["optimizer"])
    return state["spent"], state["step"]
