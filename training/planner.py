"""Fine-tunes the planner: LoRA on a small language model, from corpus to adapter.

    python -m training.planner --out runs/planner --steps 960

Completion-only loss, with the LM head run only where there is loss; batches of requests of like length; bfloat16
matrix products; a checkpoint that a killed run resumes from. The base is read from its GGUF file, and tokens are those of
llama.cpp, so that the adapter meets at run time just what it was trained on. `training.export` turns the result into
a GGUF adapter.

Method: LoRA (arXiv 2106.09685) on all linear layers.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.corpus import Corpus, Example, rank_tools
from training.seeds import Seed, load_seeds

if TYPE_CHECKING:
    import torch

END = "<|im_end|>"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is made of; saved beside its result."""

    steps: int = 960
    batch: int = 12  # examples a step
    rank: int = 32
    alpha: int = 64
    learning_rate: float = 1e-3
    warmup: int = 60  # steps
    floor: float = 0.05  # of the learning rate, at the end
    seed: int = 0
    held_out: float = 0.04  # of the seeds, for validation
    validate_every: int = 200  # steps
    checkpoint_every: int = 100
    max_tokens: int = 448  # of an example; longer ones are left out
    part_tokens: int = 2048  # of a batch that are in memory at once


@dataclass(frozen=True, slots=True)
class Tokens:
    """An example as token ids; the loss is on what follows the first `prompt` of them."""

    ids: tuple[int, ...]
    prompt: int


def held_out(seed: Seed, share: float) -> bool:
    """Whether a seed is kept for validation; decided by its id, so that it never moves to the other side."""
    return int(hashlib.sha256(seed.id.encode()).hexdigest()[:8], 16) / 2**32 < share


def train(settings: Settings, base: Path, out: Path) -> None:
    """Train until `settings.steps`, from the last checkpoint in `out` if there is one."""
    import torch
    from transformers import AutoModelForCausalLM

    from training.lora import add_lora, lora_parameters

    torch.manual_seed(settings.seed)
    out.mkdir(parents=True, exist_ok=True)
    (out / "settings.json").write_text(json.dumps(asdict(settings) | {"base": base.name}, indent=2) + "\n")
    model = AutoModelForCausalLM.from_pretrained(  # eager: torch's fused attention is slower on short rows
        base.parent, gguf_file=base.name, dtype=torch.float32, attn_implementation="eager"
    )
    add_lora(model, settings.rank, settings.alpha)
    weights = [weight for _, weight in lora_parameters(model)]
    optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)

    encode = tokenizer(base)
    fresh, validation = _data(settings, encode)
    step, log = _resume(out, model, optimizer)
    batches = itertools.islice(_batches(fresh, settings), step, settings.steps)
    print(f"{sum(p.numel() for p in weights) / 1e6:.1f} M weights to train, from step {step}", flush=True)
    started, seen = time.monotonic(), 0
    model.train()
    for batch in batches:
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _schedule(step, settings)
        loss = 0.0
        learnt = sum(len(item.ids) - item.prompt for item in batch)
        for part in _parts(batch, settings.part_tokens):
            mean, _ = _loss(model, part)
            share = mean * (sum(len(item.ids) - item.prompt for item in part) / learnt)
            share.backward()
            loss += share.item()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        seen += sum(len(t.ids) for t in batch)
        log.append({"step": step, "loss": round(loss, 4)})
        if step % 20 == 0:
            mean = sum(entry["loss"] for entry in log[-20:]) / 20
            speed = seen / (time.monotonic() - started)
            print(f"step {step}/{settings.steps}  loss {mean:.3f}  {speed:.0f} tokens/s", flush=True)
        if step % settings.validate_every == 0 or step == settings.steps:
            log[-1] |= _validate(model, validation)
            print(f"step {step}  {log[-1]}", flush=True)
        if step % settings.checkpoint_every == 0 or step == settings.steps:
            _checkpoint(out, model, optimizer, step, log)


def tokenizer(base: Path) -> Any:
    """Return a function from text to llama.cpp's token ids, special tokens read."""
    from llama_cpp import Llama

    vocabulary = Llama(str(base), vocab_only=True, verbose=False)
    return lambda text: vocabulary.tokenize(text.encode(), add_bos=False, special=True)


def _data(settings: Settings, encode: Any) -> tuple[Iterator[Tokens], list[Tokens]]:
    from pipeline.config import builtin_tools

    seeds, tools = load_seeds(), builtin_tools()
    rankings = rank_tools(seeds, tools)
    kept = [s for s in seeds if not held_out(s, settings.held_out)]
    unseen = [s for s in seeds if held_out(s, settings.held_out)]
    print(f"{len(kept)} seeds to train on, {len(unseen)} held out", flush=True)

    def tokens(example: Example) -> Tokens:
        prompt = encode(example.prompt)
        return Tokens((*prompt, *encode(example.completion + END)), len(prompt))

    def fits(item: Tokens) -> bool:
        return len(item.ids) <= settings.max_tokens

    fresh = filter(fits, map(tokens, Corpus(kept, tools, rankings, seed=settings.seed)))
    fixed = filter(fits, map(tokens, Corpus(unseen, tools, rankings, seed=1234)))
    return fresh, list(itertools.islice(fixed, 120))


def _batches(examples: Iterator[Tokens], settings: Settings) -> Iterator[list[Tokens]]:
    """Group examples of like length, in random order of the groups."""
    rng = random.Random(settings.seed)
    while pool := list(itertools.islice(examples, settings.batch * 25)):
        pool.sort(key=lambda item: len(item.ids))
        groups = [pool[i : i + settings.batch] for i in range(0, len(pool), settings.batch)]
        rng.shuffle(groups)
        yield from groups


def _parts(batch: list[Tokens], most: int) -> Iterator[list[Tokens]]:
    """Cut a batch so that each part, padded, has at most `most` tokens."""
    longest = max(len(item.ids) for item in batch)
    rows = max(1, most // longest)
    return (batch[i : i + rows] for i in range(0, len(batch), rows))


def _schedule(step: int, settings: Settings) -> float:
    """Return the learning rate's factor: a linear warm-up, then a cosine to the floor."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    progress = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.floor + (1 - settings.floor) * 0.5 * (1 + math.cos(math.pi * progress))


def _loss(model: Any, batch: Sequence[Tokens]) -> tuple[torch.Tensor, int]:
    """Return the mean loss of the completions' tokens, and how many completions are right in every token."""
    import torch
    import torch.nn.functional as F

    length = max(len(item.ids) for item in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    mask = torch.zeros(len(batch), length, dtype=torch.long)
    wanted = torch.zeros(len(batch), length, dtype=torch.bool)  # positions whose next token is learnt
    for row, item in enumerate(batch):
        ids[row, : len(item.ids)] = torch.tensor(item.ids)
        mask[row, : len(item.ids)] = 1
        wanted[row, item.prompt - 1 : len(item.ids) - 1] = True
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        logits = model.lm_head(hidden[wanted])
    targets = ids.roll(-1, dims=1)[wanted]
    rows = torch.arange(len(batch))[:, None].expand_as(ids)[wanted]
    wrong = torch.zeros(len(batch)).index_add_(0, rows, (logits.argmax(-1) != targets).float())
    return F.cross_entropy(logits.float(), targets), int((wrong == 0).sum())


def _validate(model: Any, items: Sequence[Tokens]) -> dict[str, float]:
    """Return loss and share of exact plans on held-out seeds.

    All tokens right under teacher forcing is the same as greedy decoding giving the very plan.
    """
    import torch

    model.eval()
    ordered = sorted(items, key=lambda item: len(item.ids))
    losses, right = [], 0
    with torch.no_grad():
        for part in _parts(ordered, 4096):
            loss, exact = _loss(model, part)
            losses.append(loss.item())
            right += exact
    model.train()
    return {"validation_loss": round(sum(losses) / len(losses), 4), "exact": round(right / len(items), 4)}


def _checkpoint(out: Path, model: Any, optimizer: Any, step: int, log: list[dict[str, Any]]) -> None:
    """Save the state so that a kill at any moment leaves the old one or the new one."""
    import torch

    from training.lora import lora_parameters

    state = {"step": step, "adapter": dict(lora_parameters(model)), "optimizer": optimizer.state_dict()}
    torch.save(state, out / "checkpoint.tmp")
    (out / "checkpoint.tmp").replace(out / "checkpoint.pt")
    (out / "curve.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))


def _resume(out: Path, model: Any, optimizer: Any) -> tuple[int, list[dict[str, Any]]]:
    """Load the checkpoint, if there is one; return the step reached and the curve so far."""
    import torch

    if not (out / "checkpoint.pt").exists():
        return 0, []
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    model.load_state_dict(state["adapter"], strict=False)
    optimizer.load_state_dict(state["optimizer"])
    curve = [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]
    return state["step"], curve[: state["step"]]


def main() -> None:
    """Train from the command line."""
    from pipeline.models import base_model_path

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an interrupted one is resumed")
    parser.add_argument("--base", type=Path, help="GGUF file of the base model (default: SmolLM2-135M-Instruct)")
    for name, default in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default, help=f"[{default}]")
    arguments = vars(parser.parse_args())
    out, base = arguments.pop("out"), arguments.pop("base") or base_model_path()
    train(Settings(**arguments), base, out)


if __name__ == "__main__":
    main()
