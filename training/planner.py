"""Fine-tunes the planner: LoRA on a small language model, from corpus to adapter.

    tinyagent train planner --out runs/planner --export planner.gguf

Completion-only loss, with the LM head run only where there is loss; requests with one list of tools packed behind it,
so that it is computed once for all; batches of rows of like length; bfloat16 matrix products; a checkpoint that a
killed run resumes from. The base is read from its GGUF file, and tokens are those of
llama.cpp, so that the adapter meets at run time just what it was trained on. `training.export` turns the result into
a GGUF adapter.

Method: LoRA (arXiv 2106.09685) on all linear layers.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.spec import Catalogue
from training.checks import violations
from training.composition import Composition, rank_tools
from training.examples import CorpusError, Example, groups, read
from training.packing import Encode, Row, batches, pack, parts
from training.seeds import load_seeds, split
from training.tool_requests import tool_seeds

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is made of; saved beside its result."""

    steps: int = 1500
    batch: int = 5  # rows a step, each of one to four examples
    rank: int = 32
    alpha: int = 64
    learning_rate: float = 1e-3
    warmup: int = 60  # steps
    decay: float = 0.2  # share of the steps, the last ones, in which the learning rate falls
    floor: float = 0.02  # of the learning rate, at the end
    seed: int = 0
    without: tuple[str, ...] = ()  # tools that are left out of all training
    validate_every: int = 400  # steps
    checkpoint_every: int = 100
    max_tokens: int = 640  # of a row; from longer ones examples are left out
    part_tokens: int = 2048  # of a batch that are in memory at once
    dropout: float = 0.05  # of the adapters' inner activations
    start: str = ""  # the adapter to begin with: a GGUF file, or the folder of an earlier run
    int8: bool = False  # products with frozen weights: half as fast again where the CPU has VNNI; see `training.lora`
    compile: bool = False  # the layers by torch.compile: a fifth faster, but needs a C++ compiler and two minutes


def train(
    settings: Settings,
    base: Path,
    out: Path,
    corpus: Path | None = None,
    *,
    measure: Callable[[Path], Mapping[str, float]] | None = None,
) -> None:
    """Train until `settings.steps`, from the last checkpoint in `out` if there is one.

    Args:
        settings: What the run is made of.
        base: A GGUF file of a model of the llama or the qwen2 architecture, in F16 or better.
        out: The folder of the run.
        corpus: A corpus file to train on; without one, examples are composed from the seeds as they are needed.
        measure: Called with `out` after each validation, its checkpoint written; its figures go into the curve.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from training.lora import add_lora, lora_parameters

    torch.manual_seed(settings.seed)
    out.mkdir(parents=True, exist_ok=True)
    (out / "settings.json").write_text(json.dumps(asdict(settings) | {"base": base.name}, indent=2) + "\n")
    model = AutoModelForCausalLM.from_pretrained(  # eager: torch's fused attention is slower on short rows
        base.parent, gguf_file=base.name, dtype=torch.float32, attn_implementation="eager"
    )
    add_lora(model, settings.rank, settings.alpha, settings.dropout, int8=settings.int8)
    weights = [weight for _, weight in lora_parameters(model)]
    if settings.compile:
        for layer in model.model.layers:
            layer.compile(dynamic=True)
    optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)

    encode = tokenizer(base)
    fresh, validation = _data(settings, encode, corpus)
    step, log = _resume(out, model, optimizer)
    if not step and settings.start:
        _start_from(Path(settings.start), model, base, settings.alpha)
    ahead = itertools.islice(batches(fresh, settings.batch, random.Random(settings.seed)), step, settings.steps)
    print(f"{sum(p.numel() for p in weights) / 1e6:.1f} M weights to train, from step {step}", flush=True)
    started, seen = time.monotonic(), 0
    model.train()
    for batch in ahead:
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _schedule(step, settings)
        loss = 0.0
        learnt = sum(row.learnt for row in batch)
        for part in parts(batch, settings.part_tokens):
            mean, _ = _loss(model, part)
            share = mean * (sum(row.learnt for row in part) / learnt)
            share.backward()
            loss += share.item()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        seen += sum(len(row.own) for row in batch)
        log.append({"step": step, "loss": round(loss, 4)})
        if step % 20 == 0:
            mean = sum(entry["loss"] for entry in log[-20:]) / 20
            speed = seen / (time.monotonic() - started)
            print(f"step {step}/{settings.steps}  loss {mean:.3f}  {speed:.1f} examples/s", flush=True)
        validates = step % settings.validate_every == 0 or step == settings.steps
        if validates:
            log[-1] |= _validate(model, validation)
        if validates or step % settings.checkpoint_every == 0:
            _checkpoint(out, model, optimizer, step, log)
        if validates:
            log[-1] |= measure(out) if measure else {}
            _write_curve(out, log)
            print(f"step {step}  {log[-1]}", flush=True)


def tokenizer(base: Path) -> Encode:
    """Return a function from text to llama.cpp's token ids, special tokens read."""
    from llama_cpp import Llama

    vocabulary = Llama(str(base), vocab_only=True, verbose=False)
    return lambda text: vocabulary.tokenize(text.encode(), add_bos=False, special=True)


def _data(settings: Settings, encode: Encode, corpus: Path | None) -> tuple[Iterator[Row], list[Row]]:
    """Return endless rows to train on and a fixed number to validate on: of a corpus file, or composed as they are needed."""
    from pipeline.config import builtin_tools

    tools = Catalogue(tool for tool in builtin_tools().values() if tool.name not in settings.without)
    train: Iterator[list[Example]]
    if corpus:
        train = itertools.chain.from_iterable(groups(_of_split("train", corpus)) for _ in itertools.count())
        validation = groups(_of_split("validation", corpus))
    else:
        everyone = [*load_seeds(), *tool_seeds()]
        seeds = [s for s in everyone if not any(tool in settings.without for tool, _ in s.calls)]
        sides, rankings = split(seeds), rank_tools(seeds, tools)
        print(f"{len(sides['train'])} seeds to train on, {len(sides['validation'])} to validate", flush=True)
        train = Composition(sides["train"], tools, rankings, seed=settings.seed).groups()
        validation = Composition(sides["validation"], tools, rankings, seed=1234, split="validation").groups()

    def rows(found: Iterator[list[Example]]) -> Iterator[Row]:
        for examples in found:
            if sane := [example for example in examples if not violations(example, tools)]:
                yield pack(sane, tools, encode, settings.max_tokens)

    return rows(train), list(itertools.islice(rows(validation), 60))


def _of_split(split: str, corpus: Path) -> Iterator[Example]:
    found = False
    for example in read(corpus):
        if example.split == split:
            found = True
            yield example
    if not found:
        raise CorpusError(
            f"{corpus} has no examples of the split {split!r}", fix="'tinyagent corpus generate' makes some"
        )


def _schedule(step: int, settings: Settings) -> float:
    """Return the learning rate's factor: a linear warm-up, a constant, and a linear fall to the floor at the end.

    The constant part may be made longer afterwards: a run that was resumed with more steps is the one that had them from
    the start, if its fall had not begun. Method: warmup-stable-decay (arXiv 2404.06395).
    """
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    falling = settings.decay * settings.steps
    left = max(0.0, min(1.0, (settings.steps - step) / falling)) if falling else 1.0
    return settings.floor + (1 - settings.floor) * left


def _loss(model: Any, rows: Sequence[Row]) -> tuple[torch.Tensor, int]:
    """Return the mean loss of the completions' tokens, and how many completions are right in every token."""
    import torch
    import torch.nn.functional as F

    length = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    positions = torch.zeros(len(rows), length, dtype=torch.long)
    owner = torch.full((len(rows), length), -1)  # which of all examples a token is of: -1 is padding
    common = torch.zeros(len(rows), length, dtype=torch.bool)
    wanted = torch.zeros(len(rows), length, dtype=torch.bool)  # positions whose next token is learnt
    examples = 0
    for at, row in enumerate(rows):
        begin = len(row.shared)
        ids[at, :begin] = torch.tensor(row.shared)
        positions[at, :begin] = torch.arange(begin)
        common[at, :begin] = True
        for own, prompt in row.own:
            end = begin + len(own)
            ids[at, begin:end] = torch.tensor(own)
            positions[at, begin:end] = torch.arange(len(row.shared), len(row.shared) + len(own))
            owner[at, begin:end] = examples
            wanted[at, begin + prompt - 1 : end - 1] = True
            examples, begin = examples + 1, end
    seen = (owner[:, :, None] == owner[:, None, :]) | common[:, None, :]
    seen &= torch.ones(length, length, dtype=torch.bool).tril()
    mask = torch.zeros(seen.shape, dtype=torch.bfloat16).masked_fill_(~seen, torch.finfo(torch.bfloat16).min)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = model.model(
            input_ids=ids, attention_mask=mask[:, None], position_ids=positions, use_cache=False
        ).last_hidden_state
        logits = model.lm_head(states[wanted])
    targets = ids.roll(-1, dims=1)[wanted]
    wrong = torch.zeros(examples).index_add_(0, owner[wanted], (logits.argmax(-1) != targets).float())
    return F.cross_entropy(logits.float(), targets), int((wrong == 0).sum())


def _validate(model: Any, rows: Sequence[Row]) -> dict[str, float]:
    """Return loss and share of exact plans on held-out seeds.

    All tokens right under teacher forcing is the same as greedy decoding giving the very plan.
    """
    import torch

    model.eval()
    total, right = 0.0, 0
    with torch.no_grad():
        for part in parts(sorted(rows, key=len), 2048):
            loss, exact = _loss(model, part)
            total += loss.item() * sum(row.learnt for row in part)
            right += exact
    model.train()
    examples, learnt = sum(len(row.own) for row in rows), sum(row.learnt for row in rows)
    return {"validation_loss": round(total / learnt, 4), "exact": round(right / examples, 4)}


def _checkpoint(out: Path, model: Any, optimizer: Any, step: int, log: list[dict[str, Any]]) -> None:
    """Save the state so that a kill at any moment leaves the old one or the new one."""
    import torch

    from training.lora import lora_parameters

    state = {"step": step, "adapter": dict(lora_parameters(model)), "optimizer": optimizer.state_dict()}
    torch.save(state, out / "checkpoint.tmp")
    (out / "checkpoint.tmp").replace(out / "checkpoint.pt")
    _write_curve(out, log)


def _write_curve(out: Path, log: Sequence[Mapping[str, float]]) -> None:
    (out / "curve.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))


def _start_from(start: Path, model: Any, base: Path, alpha: float) -> None:
    """Load the adapter of a GGUF file, or the one that another run ended with; the optimizer begins anew, so that its warm-up is one."""
    import torch

    from training.export import adapter_weights
    from training.lora import lora_parameters

    if start.is_file():
        weights = adapter_weights(start, base, alpha)
    elif (start / "checkpoint.pt").exists():
        weights = torch.load(start / "checkpoint.pt", weights_only=True)["adapter"]
    else:
        raise CorpusError(
            f"{start} has no checkpoint.pt to start from",
            fix="name the --out folder of a run, or a file that --export wrote",
        )
    own = {name: weight.shape for name, weight in lora_parameters(model)}
    if {name: weight.shape for name, weight in weights.items()} != own:
        raise CorpusError(
            f"the adapter of {start} has another rank, or is for another base", fix="see --rank and --base"
        )
    model.load_state_dict(weights, strict=False)


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
