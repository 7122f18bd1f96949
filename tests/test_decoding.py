"""Decoding: what the cache holds, what is guessed, and that guessing changes nothing but the passes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from pipeline.config import Config, builtin_tools
from pipeline.pipeline import Pipeline
from pipeline.planners import make_planner
from pipeline.planners.base import PlanRequest
from pipeline.planners.llama import LlamaPlanner, _weights
from pipeline.planners.speculation import guess

NOW = datetime(2026, 5, 13, 9, 30)
REQUESTS = (
    "Text Priya that I'm ten minutes late and the keys are under the mat by the back door",
    'make a note called "Boat list" that says two ropes, the old anchor and a spare fuel can',
    "remind me tomorrow at 6 to water the tomatoes in the greenhouse, and where is the harbour office?",
    "envie uma mensagem para a Ana dizendo que o jantar mudou para as nove horas",
)


@pytest.mark.parametrize(
    ("written", "prompt", "guessed"),
    [
        ([7], [1, 7, 2, 3, 4], [2, 3]),
        ([9, 1, 7], [1, 7, 2, 3, 4, 5], [2, 3, 4]),
        ([6, 1, 7], [6, 1, 7, 2, 3, 4, 5, 8], [2, 3, 4, 5]),
        ([7], [7, 1, 1, 7, 2, 2], [2, 2]),  # the last place counts
        ([7], [1, 2, 7], []),  # nothing follows
        ([7], [1, 2, 3], []),
        ([], [1, 2, 3], []),
    ],
)
def test_what_follows_in_the_prompt_is_guessed(written: list[int], prompt: list[int], guessed: list[int]) -> None:
    assert guess(written, prompt) == guessed


@pytest.fixture(scope="module")
def planners() -> Iterator[tuple[LlamaPlanner, LlamaPlanner]]:
    guessing = make_planner(Config())
    assert isinstance(guessing, LlamaPlanner)
    plain = LlamaPlanner(guessing.model, known=guessing.known, speculate=False)
    yield guessing, plain
    guessing.close()
    plain.close()


@pytest.mark.model
def test_a_guess_changes_no_token_and_saves_passes(planners: tuple[LlamaPlanner, LlamaPlanner]) -> None:
    guessing, plain = planners
    written = passes = plain_passes = 0
    for request in REQUESTS:
        asked = _asked(guessing, request)
        text = "".join(guessing.stream(asked))
        counts = guessing.counts
        assert text == "".join(plain.stream(asked))
        assert plain.counts.guessed == 0
        assert counts.right <= counts.guessed
        assert counts.reused == counts.prompt - 1  # the same prompt again: its last token is asked about anew
        written, passes = written + counts.written, passes + counts.passes
        plain_passes += plain.counts.passes
    assert passes < 0.9 * plain_passes
    assert passes <= 0.6 * written


def _asked(planner: LlamaPlanner, request: str) -> PlanRequest:
    """Return what a pipeline asks the planner."""
    asked: list[PlanRequest] = []

    class Asked(LlamaPlanner):
        def stream(self, request: PlanRequest) -> Iterator[str]:
            asked.append(request)
            return planner.stream(request)

    Pipeline(Config(), planner=Asked(planner.model, known=planner.known)).plan(request, NOW)
    return asked[0]


@pytest.mark.model
def test_a_plan_that_is_broken_off_leaves_a_cache_that_serves_the_next(
    planners: tuple[LlamaPlanner, LlamaPlanner],
) -> None:
    guessing, _ = planners
    first, second = (_asked(guessing, request) for request in REQUESTS[:2])
    whole = "".join(guessing.stream(first))
    for pieces in range(1, 30, 7):
        begun = guessing.stream(second)
        for _ in range(pieces):
            next(begun, None)
        begun.close()  # type: ignore[attr-defined]
        assert "".join(guessing.stream(first)) == whole


def test_a_plan_does_not_end_before_what_is_certain_is_called() -> None:
    tools = builtin_tools().only(["send_sms", "create_calendar_event"])

    def end(event: float, *called: str) -> float:
        request = PlanRequest("x", tools, probabilities={"send_sms": 0.99, "create_calendar_event": event})
        return _weights(request, [tools[name] for name in called])["join("]

    assert end(0.99, "send_sms") < 1e-9
    assert end(0.6, "send_sms") == pytest.approx(0.4)
    assert end(0.02, "send_sms") == pytest.approx(0.98)
    assert end(0.99, "send_sms", "create_calendar_event") == pytest.approx(0.99)  # nothing is missing
