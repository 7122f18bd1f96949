"""What goes over the wire: the bodies of requests and answers, and a run's events as JSON.

Requests are checked here, so that what comes further is sound; answers are described here, for the OpenAPI document. Nothing here does anything.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.batch import summary
from pipeline.effects import Proposal
from pipeline.errors import TinyAgentError
from pipeline.events import Drafted, Event, Finished, Planned, Progressed, Replanning, Selected, Started
from pipeline.executor import Status
from pipeline.pipeline import MAX_REQUEST, Planning, Result
from pipeline.plan import Step
from pipeline.selection import Selection
from pipeline.spec import ToolSpec

RUN_ID = r"^[0-9]{8}-[0-9]{6}-[0-9a-f]{6}$"


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError('the request is empty; say what to do, such as "text Priya that I am late"')
    return text


def _local(moment: datetime) -> datetime:
    """Return a moment as local time without a zone, as the pipeline has it."""
    if not 1970 < moment.year < 2200:
        raise ValueError("a year between 1970 and 2200 is wanted")
    return moment.astimezone().replace(tzinfo=None) if moment.tzinfo else moment


Words = Annotated[
    str, Field(min_length=1, max_length=MAX_REQUEST, description="What the person says."), AfterValidator(_said)
]
Now = Annotated[
    datetime | None,
    AfterValidator(lambda moment: _local(moment) if moment else None),
    Field(description="When it is said; the present by default. Without a zone, local time."),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SelectRequest(_Body):
    """A request whose tools are asked for."""

    request: Words = Field(examples=["Text Priya that I'm ten minutes late"])
    earlier: Annotated[list[Words], Field(max_length=8)] = []  # of the same conversation, the oldest first


class PlanRequest(_Body):
    """A request that is to be planned, or carried out."""

    request: Words = Field(examples=["Text Priya that I'm ten minutes late"])
    now: Now = None


class PlanOnlyRequest(PlanRequest):
    """A request that is to be planned and no more."""

    offered: Annotated[
        Literal["selected", "all"],
        Field(description="Which tools the planner may use; all, to see what a selection saves."),
    ] = "selected"


class Approval(_Body):
    """A person's yes or no to one call."""

    step: Annotated[int, Field(ge=1, le=10_000)]
    digest: Annotated[
        str, Field(pattern="^[0-9a-f]{64}$", description="Of the question, as `approval_needed` gave it.")
    ]
    approved: bool


class Choice(_Body):
    """A person's word on which of several is meant."""

    question: Annotated[int, Field(ge=1, le=1_000_000, description="As `choice_needed` gave it.")]
    choice: Annotated[str | None, Field(max_length=1000, description="One of the candidates; null for none.")]


class ErrorBody(BaseModel):
    """What went wrong."""

    type: str
    message: str
    fix: str | None = None  # how to mend it
    param: str | None = None  # what of the request is wrong
    code: str | None = None  # the same as `type`, where OpenAI's clients look for it


class Problem(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorBody


class SelectionAnswer(BaseModel):
    """The tools for a request, and why."""

    tools: list[str]
    prerequisites: list[str]  # lookups that the plan may need besides
    route: str
    miss_rate: float | None  # share of requests like those of the calibration that lack a needed tool, at most
    scores: dict[str, float]
    threshold: float | None
    milliseconds: float


class Heard(BaseModel):
    """What is said in a recording."""

    text: str  # "" where nothing was heard
    language: str  # ISO 639-1; "" where nothing was heard
    seconds: float  # of the recording
    why_nothing: str  # "" where something was heard


class PlanAnswer(BaseModel):
    """A plan; nothing was run."""

    surface_plan: str  # as the planner wrote it
    tools: list[str]
    route: str
    plan: str  # with lookups, dates and defaults worked out
    prompt_tokens: int
    full_prompt_tokens: int  # of the same prompt with all tools
    retrieval_ms: float
    plan_ms: float


class StepAnswer(BaseModel):
    """What the journal knows of a step."""

    number: int
    tool: str
    call: str  # as it stands in the plan
    needs: list[int]  # the steps whose results it needs
    status: str
    arguments: dict[str, Any] | None
    output: str | None
    error: str | None


class AttemptAnswer(BaseModel):
    """A plan of a run, and its steps."""

    plan: str
    steps: list[StepAnswer]


class RunAnswer(BaseModel):
    """What the journal knows of a run."""

    run: str
    request: str
    now: str
    begun: str
    status: str
    plans: list[AttemptAnswer]
    answer: str


class RunList(BaseModel):
    """The last runs, the latest first."""

    runs: list[RunAnswer]


class Accepted(BaseModel):
    """A run that goes on without its client."""

    run: str
    events: str  # where they are to be had


class Answered(BaseModel):
    """That an answer was taken."""

    run: str
    accepted: bool = True


class ToolAnswer(BaseModel):
    """A tool that can be called."""

    name: str
    app: str
    description: str
    effect: str
    parameters: list[dict[str, Any]]


class ToolList(BaseModel):
    """The tools that can be called."""

    tools: list[ToolAnswer]


class Health(BaseModel):
    """Whether the service lives, or is ready."""

    status: str


# ── events ───────────────────────────────────────────────────────────────────────────────────────────


def selection_json(selection: Selection) -> dict[str, Any]:
    """Return a selection as `SelectionAnswer` has it."""
    return {
        "tools": list(selection.names),
        "prerequisites": sorted(selection.implied),
        "route": str(selection.route),
        "miss_rate": selection.miss_rate,
        "scores": {name: round(score, 4) for name, score in selection.scores.items()},
        "threshold": selection.threshold,
        "milliseconds": round(selection.milliseconds, 2),
    }


def planning_json(planning: Planning) -> dict[str, Any]:
    """Return a planning as `PlanAnswer` has it."""
    return {"surface_plan": planning.surface, **summary(planning)}


def tool_json(tool: ToolSpec) -> dict[str, Any]:
    """Return a tool as `ToolAnswer` has it."""
    return tool.model_dump(mode="json", include={"name", "app", "description", "effect", "parameters"})


class Telling:
    """Makes a run's events messages: a kind and an object each.

    The steps of a draft are told one by one, each again if it changed: one with the same number takes the place of the one before.
    """

    def __init__(self) -> None:
        self._drafted: list[Step] = []

    def of(self, event: Event) -> list[tuple[str, dict[str, Any]]]:
        """Return what an event is told as; nothing for the planner's single pieces of text."""
        match event:
            case Selected(selection):
                self._drafted = []
                return [("selected", selection_json(selection))]
            case Drafted(plan):
                fresh = [step for i, step in enumerate(plan.steps) if self._drafted[i : i + 1] != [step]]
                self._drafted = list(plan.steps)
                return [("step_planned", _step(step)) for step in fresh]
            case Planned(plan):
                return [("planned", {"plan": plan.text(), "steps": [_step(step) for step in plan.steps]})]
            case Started(step):
                return [("started", {"step": step.number, "tool": step.tool})]
            case Progressed(step, said):
                return [("progress", {"step": step.number, "tool": step.tool, "said": said})]
            case Finished(outcome):
                data = {
                    "step": outcome.step.number,
                    "tool": outcome.step.tool,
                    "status": str(outcome.status),
                    "output": outcome.output if outcome.status is Status.DONE else None,
                    "error": outcome.error.message if outcome.error else None,
                    "fix": outcome.error.fix if outcome.error else None,
                    "remarks": list(outcome.remarks),
                    "seconds": round(outcome.seconds, 4),
                }
                return [("finished", data)]
            case Replanning(reason):
                return [("replanning", {"reason": reason})]
        return []


def _step(step: Step) -> dict[str, Any]:
    return {"step": step.number, "tool": step.tool, "call": step.text(), "needs": sorted(step.references)}


def proposal_json(proposal: Proposal, digest: str, expires: float) -> dict[str, Any]:
    """Return what a person is shown before they approve a call; `digest` is by what their answer is known."""
    return {
        "step": proposal.step.number,
        "tool": proposal.tool.name,
        "app": proposal.tool.app,
        "effect": str(proposal.tool.effect),
        "arguments": dict(proposal.arguments),
        "said": dict(proposal.said),
        "preview": dict(proposal.preview.shown) if proposal.preview else {},
        "warnings": list(proposal.warnings),
        "digest": digest,
        "expires": moment(expires),
    }


def moment(seconds: float) -> str:
    """Return seconds since the epoch as local time in ISO 8601, with the zone."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def result_json(result: Result) -> dict[str, Any]:
    """Return how a run ended."""
    planning = result.planning
    return {
        "text": result.answer.text,
        "complete": result.answer.complete,
        "prompt_tokens": planning.prompt_tokens,
        "full_prompt_tokens": planning.full_prompt_tokens,
        "plan_ms": round(planning.milliseconds, 2),
    }


def error_json(error: TinyAgentError) -> dict[str, Any]:
    """Return why a run did not come to an answer."""
    return {"type": kind_of(error), "message": error.message, "fix": error.fix}


def kind_of(error: TinyAgentError) -> str:
    """Return an error's type as a word: `PlannerError` is "planner_error"."""
    name = type(error).__name__
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


def sse(kind: str, data: str, number: int | None = None) -> bytes:
    """Return one server-sent event (WHATWG HTML, 9.2); `data` is one line of JSON."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {kind}\ndata: {data}\n\n".encode()
