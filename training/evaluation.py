"""How good plans are: rows with gold plans, planned by the pipeline or read from a file of plans, scored and reported.

    tinyagent eval dev.jsonl --out results

A row is `{"id", "now", "query", "plans", "tags"}` with `plans` a list of equally right plans, or an example of a corpus file; then its
own plan is the gold one, and it is offered the tools that it names. `training.scoring` says what right means.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.batch import Request, planned, read_requests
from pipeline.elaborate import elaborate
from pipeline.engine import Engine, Local
from pipeline.errors import ConfigError, TinyAgentError
from pipeline.plan import Plan, Template, parse_plan, references
from pipeline.spec import Catalogue, Type
from training.checks import NOWS, plain, with_lookups
from training.examples import Example, read
from training.scoring import Gold, Score, score
from training.surface import as_json

if TYPE_CHECKING:
    from pipeline.pipeline import Pipeline


@dataclass(frozen=True)
class Case:
    """A request and the plans that are right for it."""

    request: Request
    golds: Sequence[Gold]
    tags: tuple[str, ...]
    tools: Catalogue | None = None  # what is offered; None leaves it to the selector

    @property
    def steps(self) -> int:
        """The number of steps of the longest right plan."""
        return max(len(gold) for gold in self.golds)


@dataclass(frozen=True)
class Outcome:
    """What came of a case."""

    case: Case
    line: Mapping[str, Any]  # as the batch interface writes it
    score: Score

    @property
    def fault(self) -> str:
        """What is wrong: `malformed`, `plan`, `arguments`, or nothing."""
        if not self.score.well_formed:
            return "malformed"
        return "" if self.score.arguments else "arguments" if self.score.success else "plan"


def read_cases(path: Path, *, split: str = "test", limit: int | None = None) -> list[Case]:
    """Read an evaluation file or a split of a corpus file.

    Raises:
        ConfigError: It is neither.
        CorpusError: A line of a corpus file is no example.
    """
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(next((line for line in file if line.strip()), "{}"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", fix="it should be JSON lines") from error
    cases = _of_corpus(path, split) if isinstance(first, dict) and "plan" in first else _of_evaluation(path)
    found = [case for case, _ in zip(cases, range(limit), strict=False)] if limit else list(cases)
    if not found:
        raise ConfigError(f"{path} has nothing to evaluate", fix=f"is the split {split!r} in it?")
    return found


def _of_evaluation(path: Path) -> Iterator[Case]:
    for request in read_requests(path):
        try:
            golds = [plan["steps"] for plan in request.data["plans"]]
            yield Case(request, golds, tuple(request.data.get("tags", ())))
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}: {request.id} has no gold plans: {error!r}",
                fix='a row is {"id", "now", "query", "plans": [{"steps": [{"tool", "args"}]}]}',
            ) from None


def _of_corpus(path: Path, split: str) -> Iterator[Case]:
    from pipeline.config import builtin_tools

    tools = builtin_tools()
    for number, example in enumerate(read(path)):
        if example.split == split:
            case = _case(example, f"{split}-{number}", tools)
            if case is not None:
                yield case


def _case(example: Example, identity: str, tools: Catalogue) -> Case | None:
    """Return an example as a case, to be planned with the tools that it offers."""
    offered = example.offer.catalogue(tools)
    data = {"instructions": list(example.instructions)}
    case = case_of(identity, example.query, parse_plan(example.plan), with_lookups(offered, tools), data)
    return case and replace(case, tags=(*example.styles, example.language), tools=offered)


def case_of(
    identity: str, query: str, plan: Plan, tools: Catalogue, data: Mapping[str, Any] | None = None
) -> Case | None:
    """Return a request as a case, asked at the first time at which its own times are understood; None if they never are.

    Args:
        identity: The case's id.
        query: The person's words.
        plan: The surface plan that is right.
        tools: Those that it calls, and the lookups that it needs.
        data: What the request's line would have beside.
    """
    for now in NOWS:
        with suppress(TinyAgentError):
            full = elaborate(plan, tools, now)
            return Case(Request(identity, now, query, data or {}), [_gold(full, tools, query)], ())
    return None


def _gold(plan: Plan, tools: Catalogue, query: str) -> Gold:
    """Return a full plan as a gold plan; free text that the request does not hold word by word is left open, but for its references."""
    said, steps = plain(query), []
    for step in plan.steps:
        args: dict[str, Any] = {}
        for parameter, value in zip(tools[step.tool].parameters, step.args, strict=True):
            parts = value.parts if isinstance(value, Template) else (value,)
            words = [plain(part) for part in parts if isinstance(part, str)]
            if parameter.type is not Type.STRING or all(part in said for part in words):
                args[parameter.name] = as_json(value)
            elif referred := [f"${ref.step}" for ref in references(value)]:
                args[parameter.name] = {"contains": referred}
        steps.append({"tool": step.tool, "args": args})
    return steps


def evaluate(
    cases: Sequence[Case],
    make: Callable[[], Pipeline],
    *,
    engine: Engine | None = None,
    on_progress: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """Plan each case and score it.

    Args:
        cases: What is planned.
        make: Makes a pipeline, of which each of the engine's workers has its own.
        engine: Does the planning; in this process by default.
        on_progress: Told after each plan.
    """
    lines = []
    for line in (engine or Local()).map(partial(_planner, make), cases):
        lines.append(line)
        on_progress()
    tools = make().tools  # not by `compare`: the ids of several files may be equal
    return [_outcome(case, line, tools) for case, line in zip(cases, lines, strict=True)]


def _planner(make: Callable[[], Pipeline]) -> Callable[[Case], dict[str, Any]]:
    """Return what plans a case; it makes its first plan twice, since the first time it loads the models."""
    pipeline, loaded = make(), False

    def plan(case: Case) -> dict[str, Any]:
        nonlocal loaded
        if not loaded:
            _plan(case, pipeline)
            loaded = True
        return _plan(case, pipeline)

    return plan


def _plan(case: Case, pipeline: Pipeline) -> dict[str, Any]:
    if case.tools is None:
        return planned(pipeline, case.request)
    config = pipeline.config.model_copy(update={"instructions": tuple(case.request.data["instructions"])})
    own = type(pipeline)(config, planner=pipeline.planner, tools=with_lookups(case.tools, pipeline.tools))
    return planned(own, case.request, offered=tuple(case.tools))


def compare(cases: Sequence[Case], lines: Iterable[Mapping[str, Any]], tools: Catalogue) -> list[Outcome]:
    """Score plans that are there already, as the batch interface wrote them; a missing one counts as malformed.

    Raises:
        ConfigError: Two requests have one id, or two plans have that of a request: which belongs to which is not to be told.
    """
    by_id: defaultdict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        by_id[line.get("id")].append(line)
    asked = Counter(case.request.id for case in cases)
    for identity, count in asked.items():
        if count > 1 or len(by_id[identity]) > 1:
            raise ConfigError(
                f"the id {identity!r} stands for more than one: requests {count}, plans {len(by_id[identity])}",
                fix="give each request an id of its own, and evaluate files whose ids are equal one at a time",
            )
    missing = {"error": "no plan was given"}
    return [_outcome(case, next(iter(by_id[case.request.id]), missing), tools) for case in cases]


def _outcome(case: Case, line: Mapping[str, Any], tools: Catalogue) -> Outcome:
    known = tools if case.tools is None else with_lookups(case.tools, tools)
    return Outcome(case, line, score(case.golds, line, known))


# ── the report ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Figures:
    """What a set of outcomes comes to; rates from 0 to 1."""

    count: int
    well_formed: float
    recall: float  # all needed tools were selected
    tools: float  # selected, on average
    success: float
    arguments: float
    distance: float  # graph edit distance, on average

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Figures:
        """Average over outcomes, of which there is at least one."""
        scores = [outcome.score for outcome in outcomes]

        def mean(field: str) -> float:
            return statistics.fmean(getattr(score, field) for score in scores)

        return cls(
            len(scores),
            *(mean(field) for field in ("well_formed", "recall", "tools", "success", "arguments", "distance")),
        )

    def facts(self) -> dict[str, float]:
        """Return them as a JSON object."""
        return {name: round(getattr(self, name), 4) for name in self.__slots__}

    def row(self, name: str) -> str:
        """Return them as a row of the report's table."""
        return (
            f"| {name} | {self.count} | {self.well_formed:.1%} | {self.recall:.1%} | {self.tools:.2f} "
            f"| {self.success:.1%} | {self.arguments:.1%} | {self.distance:.2f} |"
        )


HEAD = (
    "| rows | n | well-formed | recall | tools | success | arguments | edit distance |\n"
    "|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Evaluation:
    """The outcomes of a file, and what they come to."""

    outcomes: Sequence[Outcome]

    @property
    def figures(self) -> Figures:
        """Over all rows."""
        return Figures.of(self.outcomes)

    def by_steps(self) -> dict[str, Figures]:
        """By the number of steps of the right plan."""
        return self._by(lambda case: [f"{case.steps} step{'s' * (case.steps != 1)}"])

    def by_tag(self) -> dict[str, Figures]:
        """By tag; a row counts under each of its tags."""
        return self._by(lambda case: case.tags)

    def _by(self, names: Callable[[Case], Iterable[str]]) -> dict[str, Figures]:
        found: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in self.outcomes:
            for name in names(outcome.case):
                found[name].append(outcome)
        return {name: Figures.of(outcomes) for name, outcomes in sorted(found.items())}

    def costs(self) -> dict[str, float]:
        """Tokens of the prompt, and milliseconds, over the rows that were planned."""
        lines = [outcome.line for outcome in self.outcomes if "prompt_tokens" in outcome.line]
        if not lines:
            return {}
        times = sorted(line["plan_ms"] for line in lines)
        return {
            "prompt_tokens": round(statistics.fmean(line["prompt_tokens"] for line in lines), 1),
            "full_prompt_tokens": round(statistics.fmean(line["full_prompt_tokens"] for line in lines), 1),
            "retrieval_ms_median": round(statistics.median(line["retrieval_ms"] for line in lines), 2),
            "plan_ms_median": round(statistics.median(times), 1),
            "plan_ms_p95": round(times[min(len(times) - 1, int(0.95 * len(times)))], 1),
        }

    def facts(self) -> dict[str, Any]:
        """Return everything but the failures as a JSON object."""
        return {
            "all": self.figures.facts(),
            "costs": self.costs(),
            "by_steps": {name: figures.facts() for name, figures in self.by_steps().items()},
            "by_tag": {name: figures.facts() for name, figures in self.by_tag().items()},
        }

    def table(self) -> str:
        """Return the figures as a Markdown table."""
        parts = {"all": self.figures, **self.by_steps(), **self.by_tag()}
        return "\n".join([HEAD, *(figures.row(name) for name, figures in parts.items())])

    def failures(self) -> str:
        """Return each row that is not right, with the plan that was made and one that is right."""
        return "\n\n".join(_failure(outcome) for outcome in self.outcomes if outcome.fault)

    def markdown(self, title: str) -> str:
        """Return the whole report."""
        costs = "\n".join(f"- {name.replace('_', ' ')}: {value}" for name, value in self.costs().items())
        return f"# {title}\n\n{self.table()}\n\n{costs}\n\n## What failed\n\n```\n{self.failures()}\n```\n"


def _failure(outcome: Outcome) -> str:
    case, line = outcome.case, outcome.line
    gold = "\n        ".join(
        f"{number}. {step['tool']} {json.dumps(step['args'], ensure_ascii=False)}"
        for number, step in enumerate(case.golds[0], 1)
    )
    made = line.get("plan") or f"({line.get('error', 'nothing')})"
    return "\n".join(
        [
            f"[{outcome.fault}] {case.request.id}, {case.request.now:%a %Y-%m-%d %H:%M}: {case.request.query}",
            "  made  " + made.replace("\n", "\n        "),
            "  gold  " + (gold or "join()"),
        ]
    )
