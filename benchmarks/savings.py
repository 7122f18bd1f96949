"""What Tool-RAG and a short prompt save: tokens and time of the same plans, from four prompts, on the same requests in one run.

TinyAgent's prompt with all tools and with the selected ones, and ours with all and with the selected ones. Ours are measured as they run.
TinyAgent's layout asks for the full plan, each lookup a step, without a grammar, and this model never learnt it: there the time is
that of reading the prompt and of one pass for each token of the right full plan, as if the model wrote it. Each way is measured cold, with
nothing in the cache, and warm, with the prompt of the request before in it.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.asked import Asked
from benchmarks.figures import Ratio, Summary, table
from benchmarks.timing import FIRST, plan, read_others
from pipeline.config import Config
from pipeline.pipeline import Pipeline
from pipeline.planners.cache import KeyValueCache
from pipeline.planners.llama import LlamaPlanner
from pipeline.planners.loading import open_model
from pipeline.prompt import tinyagent

THEIRS_ALL, THEIRS, OURS_ALL, OURS = (
    "TinyAgent's prompt, all tools",
    "TinyAgent's prompt, selected tools",
    "our prompt, all tools",
    "our prompt, selected tools",
)
WAYS = (THEIRS_ALL, THEIRS, OURS_ALL, OURS)
CONTEXT = 4096  # TinyAgent's prompt with all tools takes more than half of it


@dataclass(frozen=True, slots=True)
class Timed:
    """One plan."""

    prompt: int  # tokens
    reused: int  # of them, from the cache
    written: int  # tokens of the plan
    prefill: float  # seconds from the selection on, of reading the prompt; for ours until the first token is written
    first_step: float  # seconds from the selection until the first step stands
    plan: float  # seconds from the selection until the plan stands
    selecting: float = 0.0  # seconds, of the selection; none where all tools are offered

    @property
    def end_to_end(self) -> float:
        """Seconds from the request to the plan."""
        return self.selecting + self.plan


def measure(asked: Sequence[Asked], tell: Callable[[], None]) -> dict[str, Any]:
    """Plan all requests in each way, warm and cold, one way after the other, and return what they took."""
    pipeline = Pipeline(Config())
    planner = pipeline.planner
    assert isinstance(planner, LlamaPlanner)
    forced = _Forced(planner)
    times: dict[str, dict[str, list[Timed]]] = {"cold": defaultdict(list), "warm": defaultdict(list)}
    selecting, failed, passes = list[float](), 0, list[float]()
    # With TinyAgent's prompts, the right full plan, and the seconds of the selection.
    works: list[tuple[Asked, dict[str, str], str, float]] = []
    for request in asked:
        pipeline.select(request.text)  # loads the classifier, and the index where one needs it
    plan(pipeline, FIRST)
    for request in asked:
        read_others(pipeline)
        taken = plan(pipeline, request)
        tell()
        if taken.planning is None:
            failed += 1
            continue
        selecting.append(taken.selecting)
        passes.append(planner.counts.passes / max(1, planner.counts.written))
        prompts = {
            THEIRS_ALL: tinyagent(request.text, pipeline.tools, request.now),
            THEIRS: tinyagent(request.text, pipeline.tools.only(taken.selection.names), request.now),
        }
        works.append((request, prompts, taken.planning.plan.text(), taken.selecting))
    for state, way in itertools.product(("warm", "cold"), WAYS):  # a way at a time: the cache holds its own last prompt
        for request, prompts, full, spent in works:
            if way in prompts:
                timed = forced(prompts[way], full, way, cold=state == "cold")
                timed = replace(timed, selecting=spent if way == THEIRS else 0.0)
            else:
                offered = pipeline.tools if way == OURS_ALL else None
                timed = _ours(pipeline, planner, request, offered, cold=state == "cold")
            times[state][way].append(timed)
            tell()
    model = planner.model
    forced.close()
    pipeline.close()
    return {
        "model": model,
        "requests": len(asked),
        "failed": failed,
        "selection_ms": Summary.of([1000 * seconds for seconds in selecting]),
        "passes_a_token": Summary.of(passes),
        "ways": {state: {way: _summary(ways[way]) for way in WAYS} for state, ways in times.items()},
        "ratios": {state: _ratios(ways) for state, ways in times.items()},
        "prompt_share_of_theirs": Ratio.of(*([t.prompt for t in times["cold"][way]] for way in (OURS, THEIRS_ALL))),
    }


def report(found: dict[str, Any]) -> str:
    """Return the measurements as Markdown."""
    lines = [f"{found['requests']} requests, {found['failed']} of which got no plan and are left out."]
    head = (
        "way",
        "prompt, tokens",
        "of these cached",
        "plan, tokens",
        "prefill",
        "first step",
        "plan",
        "plan, p90",
        "end to end",
    )
    for state, ways in found["ways"].items():
        rows = [
            (
                way,
                f"{f['prompt'].mean:.0f}",
                f"{f['reused'].mean:.0f}",
                f"{f['written'].mean:.0f}",
                *(f"{1000 * f[name].median:.0f} ms" for name in ("prefill", "first_step", "plan")),
                f"{1000 * f['plan'].p90:.0f} ms",
                f"{1000 * f['end_to_end'].median:.0f} ms",
            )
            for way, f in ways.items()
        ]
        lines += [
            "",
            f"**{'Cold: nothing in the cache' if state == 'cold' else 'Warm: the request before in the cache'}**",
            "",
        ]
        lines.append(table(head, rows))
        lines += ["", *(f"- {name}: {ratio}" for name, ratio in found["ratios"][state].items())]
    lines += ["", f"Tokens of our prompt as a share of TinyAgent's with all tools: {found['prompt_share_of_theirs']}."]
    lines.append(
        f"Selection: {found['selection_ms'].median:.1f} ms (median); passes a token: {found['passes_a_token'].median:.2f}."
    )
    return "\n".join(lines)


class _Forced:
    """The same weights with a context that is long enough for TinyAgent's prompt, made to write a given plan."""

    def __init__(self, planner: LlamaPlanner) -> None:
        self._llamas = {
            way: open_model(
                planner.model,
                n_ctx=CONTEXT,
                n_threads=planner.threads,
                n_threads_batch=planner.threads,
                n_gpu_layers=-1,
                verbose=False,
            )
            for way in (THEIRS_ALL, THEIRS)
        }
        self._caches = {way: KeyValueCache(llama) for way, llama in self._llamas.items()}

    def __call__(self, prompt: str, plan: str, way: str, *, cold: bool) -> Timed:
        """Read a prompt and write a plan."""
        cache, llama = self._caches[way], self._llamas[way]
        tokens = llama.tokenize(prompt.encode(), add_bos=True, special=True)
        written = llama.tokenize(plan.encode(), add_bos=False, special=False)
        first = len(llama.tokenize(plan.split("\n", 1)[0].encode(), add_bos=False, special=False))
        if cold:
            cache.hold(())
        started = time.perf_counter()
        reused = cache.hold(tokens)
        read = time.perf_counter() - started
        step = read
        for place, token in enumerate(written):
            cache.logits().argmax()  # as the greedy choice would
            cache.extend([token])
            if place + 1 == first:
                step = time.perf_counter() - started
        return Timed(len(tokens), reused, len(written), read, step, time.perf_counter() - started)

    def close(self) -> None:
        for way, llama in self._llamas.items():
            self._caches[way].close()
            llama.close()


def _ours(pipeline: Pipeline, planner: LlamaPlanner, request: Asked, offered: Any, *, cold: bool) -> Timed:
    read_others(pipeline)
    if cold:
        planner.forget()
    taken = plan(pipeline, request, offered=offered)
    if taken.error and offered is None:
        raise taken.error  # there was a plan before
    counts = planner.counts
    return Timed(
        counts.prompt, counts.reused, counts.written, taken.read, taken.first_step, taken.plan, taken.selecting
    )


def _summary(timed: Sequence[Timed]) -> dict[str, Summary]:
    names = (*Timed.__dataclass_fields__, "end_to_end")
    return {name: Summary.of([getattr(each, name) for each in timed]) for name in names}


def _ratios(ways: dict[str, list[Timed]]) -> dict[str, Ratio]:
    def plans(way: str) -> list[float]:
        return [each.plan for each in ways[way]]

    whole = [each.end_to_end for each in ways[OURS]]
    return {
        "plan, ours selected to TinyAgent's all": Ratio.of(plans(OURS), plans(THEIRS_ALL)),
        "the same, with the time of selection": Ratio.of(whole, plans(THEIRS_ALL)),
        "plan, ours selected to ours all": Ratio.of(plans(OURS), plans(OURS_ALL)),
        "plan, TinyAgent's selected to its all": Ratio.of(plans(THEIRS), plans(THEIRS_ALL)),
    }
