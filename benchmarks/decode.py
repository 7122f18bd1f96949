"""How fast the planner reads and writes, by the weights' type, by the number of threads, and with the adapter merged or beside.

Every row plans the same requests with the same tools. "Of bandwidth" is how much of what the memory can deliver a pass for one
token takes, which reads all weights once: what is left is the room that a faster program could win.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.asked import Asked
from benchmarks.figures import Summary, table
from pipeline import models
from pipeline.config import Config, PlannerConfig
from pipeline.errors import TinyAgentError
from pipeline.pipeline import Pipeline
from pipeline.planners import make_planner
from pipeline.planners.cache import KeyValueCache
from pipeline.planners.llama import LlamaPlanner
from pipeline.planners.loading import open_model

TOKENS = 64  # read and written, one at a time, to measure the model alone


@dataclass(frozen=True, slots=True)
class Speed:
    """Of a model alone."""

    prefill: float  # tokens a second, read together
    decode: float  # tokens a second, one after another


def ways(cores: int) -> dict[str, tuple[PlannerConfig, bool]]:
    """Return the settings to compare and whether the planner guesses, the shipped ones first."""
    threads = sorted({1, max(1, cores // 2), cores})
    found = {f"Q8_0, merged, {cores} threads (shipped)": (PlannerConfig(threads=cores), True)}
    found["the same without guesses"] = (PlannerConfig(threads=cores), False)
    found |= {f"{kind}, merged": (PlannerConfig(weights=kind, threads=cores), True) for kind in ("Q4_0", "F16")}
    found |= {f"Q8_0, merged, {n} threads": (PlannerConfig(threads=n), True) for n in threads if n != cores}
    return found


def measure(asked: Sequence[Asked], bandwidth: float, cores: int, tell: Callable[[], None]) -> dict[str, Any]:
    """Plan each request in each way.

    Args:
        asked: Requests.
        bandwidth: Of the memory, gigabytes a second.
        cores: Of the machine.
        tell: Called after each request.
    """
    rows: dict[str, Any] = {}
    for name, (settings, guessing) in ways(cores).items():
        planner = make_planner(Config(planner=settings))
        assert isinstance(planner, LlamaPlanner)
        shaped = LlamaPlanner(planner.model, known=planner.known, threads=planner.threads, speculate=guessing)
        pipeline = Pipeline(Config(planner=settings), planner=shaped)
        plans, written, forced, guessed, right, passes = list[float](), 0, 0, 0, 0, 0
        pipeline.plan(asked[0].text, asked[0].now)  # loads
        for request in asked:
            shaped.forget()
            started = time.perf_counter()
            try:
                pipeline.plan(request.text, request.now)
            except TinyAgentError:
                continue
            finally:
                tell()
            plans.append(time.perf_counter() - started)
            counts = shaped.counts
            written, forced, passes = written + counts.written, forced + counts.forced, passes + counts.passes
            guessed, right = guessed + counts.guessed, right + counts.right
        pipeline.close()
        speed = alone(planner.model, None, planner.threads)
        size = planner.model.stat().st_size / 1e9
        rows[name] = {
            "plan_ms": Summary.of([1000 * seconds for seconds in plans]),
            "prefill_tokens_s": speed.prefill,
            "decode_tokens_s": speed.decode,
            "of_bandwidth": speed.decode * size / bandwidth,
            "megabytes": size * 1000,
            "forced": forced / written,
            "guessed_right": right / guessed if guessed else 0.0,
            "passes_a_token": passes / written,
        }
    rows |= _beside(cores, bandwidth)
    return rows


def report(rows: dict[str, Any]) -> str:
    """Return the measurements as Markdown."""
    head = (
        "way",
        "MB",
        "read, tokens/s",
        "write, tokens/s",
        "of bandwidth",
        "plan, cold",
        "forced",
        "guesses right",
        "passes a token",
    )
    told = []
    for name, row in rows.items():
        plan = row.get("plan_ms")
        told.append(
            (
                name,
                f"{row['megabytes']:.0f}",
                f"{row['prefill_tokens_s']:.0f}",
                f"{row['decode_tokens_s']:.0f}",
                f"{row['of_bandwidth']:.0%}",
                *(
                    (f"{plan.median:.0f} ms", *(f"{row[k]:.0%}" for k in ("forced", "guessed_right")))
                    if plan
                    else "–––"
                ),
                f"{row['passes_a_token']:.2f}" if plan else "–",
            )
        )
    return table(head, told)


def alone(model: Path, adapter: Path | None, threads: int) -> Speed:
    """Return how fast a model reads and writes."""
    llama = open_model(
        model,
        lora_path=str(adapter) if adapter else None,
        n_ctx=512,
        n_threads=threads,
        n_threads_batch=threads,
        verbose=False,
    )
    cache = KeyValueCache(llama)
    tokens = llama.tokenize(
        b"The way to the harbour leads past the old mill and the two bridges over the canal. " * 8, add_bos=False
    )
    tokens = tokens[:TOKENS]
    cache.hold(tokens)  # warms up
    cache.hold(())
    started = time.perf_counter()
    cache.hold(tokens)
    read = time.perf_counter()
    for token in tokens:
        cache.extend([token])
        cache.logits().argmax()
    ended = time.perf_counter()
    cache.close()
    llama.close()
    return Speed(len(tokens) / (read - started), len(tokens) / (ended - read))


def _beside(cores: int, bandwidth: float) -> dict[str, Any]:
    """Return how fast the base is with its adapter beside it, as it is when nothing is merged."""
    base, adapter = models.base_model_path(), models.adapter_path()
    if adapter is None:
        return {}
    rows = {}
    for name, lora in (("Q4_1 as published, adapter at run time", adapter), ("Q4_1 as published, no adapter", None)):
        speed, size = alone(base, lora, cores), (base.stat().st_size + (lora.stat().st_size if lora else 0)) / 1e9
        rows[name] = {
            "prefill_tokens_s": speed.prefill,
            "decode_tokens_s": speed.decode,
            "of_bandwidth": speed.decode * size / bandwidth,
            "megabytes": size * 1000,
        }
    return rows
