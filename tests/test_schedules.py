"""Any plan, any delays, failures, time-outs, answers and cancellations, against a reference that does one step after another."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.effects import Approval, Proposal, needs_approval
from pipeline.executor import Executor, Outcome, Status
from pipeline.plan import Plan, Ref, Step
from pipeline.spec import Catalogue, ToolSpec
from pipeline.tools.context import Change, ToolContext, ToolError, Unreachable

KINDS = ("read", "open", "write", "send")
BEHAVIOURS = ("works", "works", "works", "fails", "hangs", "is away once")


def spec(effect: str, *, hangs: bool) -> ToolSpec:
    return ToolSpec.model_validate(
        {
            "name": f"{effect}_{'hanging' if hangs else 'thing'}",
            "app": effect,
            "description": "A tool made up for a test.",
            "parameters": [{"name": "number", "type": "string"}, {"name": "inputs", "type": "list[string]"}],
            "returns": {"type": "string"},
            "effect": effect,
            "timeout": 0.01 if hangs else 30,
            "implementation": {"python": f"{__name__}:act"},
        }
    )


TOOLS = Catalogue(spec(effect, hangs=hangs) for effect in KINDS for hangs in (False, True))


@dataclass(frozen=True)
class Act:
    """What a step is and does."""

    effect: str
    behaviour: str
    delay: int  # milliseconds
    approved: bool
    inputs: tuple[int, ...]


@dataclass
class World:
    acts: Sequence[Act]
    began: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def plan(self) -> Plan:
        return Plan(
            tuple(
                Step(
                    number,
                    f"{a.effect}_{'hanging' if a.behaviour == 'hangs' else 'thing'}",
                    (str(number), tuple(map(Ref, a.inputs))),
                )
                for number, a in enumerate(self.acts, 1)
            )
        )


def act(context: ToolContext, /, *, number: str, inputs: list[str]) -> str:
    world: World = context.settings["test"]["world"]  # type: ignore[assignment]
    mine = world.acts[int(number) - 1]
    world.began.append(int(number))
    time.sleep(mine.delay / 1000)
    if mine.behaviour == "hangs":
        world.gate.wait(30)
    if mine.behaviour == "fails":
        raise ToolError("as it was told to")
    if mine.behaviour == "is away once" and world.began.count(int(number)) == 1:
        raise Unreachable("away")
    world.ended.append(int(number))
    return output(number, inputs)


def output(number: object, inputs: Sequence[str]) -> str:
    return f"{number}({','.join(inputs)})"


@st.composite
def worlds(draw: st.DrawFn) -> World:
    acts: list[Act] = []
    for number in range(1, draw(st.integers(1, 7)) + 1):
        earlier = st.lists(st.integers(1, number - 1), max_size=3, unique=True) if number > 1 else st.just([])
        acts.append(
            Act(
                draw(st.sampled_from(KINDS)),
                draw(st.sampled_from(BEHAVIOURS)),
                draw(st.integers(0, 2)),
                draw(st.integers(0, 4)) > 0,
                tuple(draw(earlier)),
            )
        )
    return World(acts)


def reference(world: World) -> list[tuple[Status, str | None]]:
    """Return what should become of each step, worked out one after another."""
    found: list[tuple[Status, str | None]] = []
    for number, mine in enumerate(world.acts, 1):
        given = [found[k - 1] for k in mine.inputs]
        effect = mine.effect in ("write", "send")
        if any(status is not Status.DONE for status, _ in given):
            found.append((Status.SKIPPED, None))
        elif effect and not mine.approved:
            found.append((Status.DECLINED, None))
        elif mine.behaviour == "hangs":
            found.append((Status.IN_DOUBT if effect else Status.FAILED, None))
        elif mine.behaviour == "fails" or (mine.behaviour == "is away once" and mine.effect != "read"):
            found.append((Status.FAILED, None))
        else:
            found.append((Status.DONE, output(number, [text or "" for _, text in given])))
    return found


class Log:
    """Keeps what a journal would."""

    run = "a run"

    def __init__(self, began: list[int]) -> None:
        self._began = began
        self.intended: list[int] = []
        self.finished: dict[int, Outcome] = {}

    def key(self, step: Step) -> str:
        return f"key-{step.number}"

    def intend(self, proposal: Proposal) -> None:
        assert proposal.step.number not in self._began  # on record before the effect
        self.intended.append(proposal.step.number)

    def finish(self, outcome: Outcome, changes: Sequence[Change] = ()) -> None:
        assert outcome.step.number not in self.finished
        self.finished[outcome.step.number] = outcome


@pytest.mark.slow
@given(worlds(), st.none() | st.integers(1, 6), st.booleans())
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_schedule(world: World, cancelled_at: int | None, early: bool) -> None:
    """The run is cancelled when its `cancelled_at`-th step starts, if ever; `early`, its reads start beforehand."""
    plan, log = world.plan(), Log(world.began)
    starts = 0

    async def approve(proposal: Proposal, /) -> Approval | None:
        await asyncio.sleep(0)
        return proposal.approve() if world.acts[proposal.step.number - 1].approved else None

    async def main() -> tuple[Outcome, ...] | None:
        reached = asyncio.Event()

        def started(step: Step) -> None:
            nonlocal starts
            starts += 1
            if starts == cancelled_at:
                reached.set()

        writer: Any = SimpleNamespace()
        context = ToolContext(Path(), datetime(2026, 5, 13), "", writer, {"test": {"world": world}})
        async with Executor(TOOLS, context, approve, on_start=started) as executor:
            if early:
                executor.foresee(plan)
                await asyncio.sleep(0)
            task = asyncio.create_task(executor.run(plan, log=log))
            stop = asyncio.create_task(reached.wait())
            await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            await asyncio.gather(stop, return_exceptions=True)
            if not task.done():
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}  # nothing is left running
        return None if task.cancelled() else task.result()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.executor.BACKOFF_S", 0.0)
        outcomes = asyncio.run(main())
    world.gate.set()

    expected = reference(world)
    if outcomes is not None:
        assert [(outcome.status, outcome.output) for outcome in outcomes] == expected
        assert sorted(log.finished) == list(range(1, len(plan.steps) + 1))
    for number, outcome in log.finished.items():  # also of a run that was cancelled
        assert (outcome.status, outcome.output) == expected[number - 1]

    began = Counter(world.began)
    for number, mine in enumerate(world.acts, 1):
        assert began[number] <= (2 if mine.effect == "read" and mine.behaviour == "is away once" else 1)
        if needs_approval(TOOLS[plan.steps[number - 1].tool].effect) and began[number]:
            assert mine.approved
            assert number in log.intended
        for needed in mine.inputs:
            if began[number]:
                assert needed in world.ended
                assert world.began.index(needed) < world.began.index(number)
    assert len(log.intended) == len(set(log.intended))
