"""OpenAI's chat interface: a conversation with the caller's tools in it → the calls that the last request needs.

So an existing client works unchanged. The tools of the request are selected from and planned with like those of the service; nothing is run here: the
plan's calls go back as `tool_calls`, first those that need no other's result. When the client comes back with the results, the calls that
need them follow, and when there is none left, the results are the answer. Of the conversation the last thing that the user said is
planned; what the system said is for models that hold conversations. Interface: platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.elaborate import bind, settle
from pipeline.errors import TinyAgentError
from pipeline.grounding import ground
from pipeline.joiner import NOTHING_TO_DO
from pipeline.pipeline import Pipeline, RequestError
from pipeline.plan import Plan, parse_plan
from pipeline.service.api import client_of, problems, while_connected
from pipeline.service.functions import Function, FunctionError, catalogue, functions
from pipeline.service.hub import Hub
from pipeline.service.wire import Problem

K = TypeVar("K")
V = TypeVar("V")

MODEL = "tinyagent"
KEPT_PLANS = 256  # whose calls may still come back with results; of older ones the plan is made anew
KEPT_CATALOGUES = 16  # sets of tools whose embeddings are kept
PIECE = 24  # characters of a call's arguments in one chunk of a stream


def _sound(text: str) -> str:
    """Return a text that every encoding can have: JSON's escapes allow half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode()


def _sound_schema(schema: dict[str, Any] | None) -> dict[str, Any] | None:
    try:
        made: dict[str, Any] | None = json.loads(_sound(json.dumps(schema, ensure_ascii=False)))
    except RecursionError:
        raise ValueError("it is too deep") from None
    return made


class _Part(BaseModel):
    type: str
    text: str = ""


class _Called(BaseModel):
    name: str = ""
    arguments: str = ""


class _ToolCall(BaseModel):
    id: str
    type: str = "function"
    function: _Called = _Called()


class Message(BaseModel):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """What it says."""
        if isinstance(self.content, list):
            return _sound("\n".join(part.text for part in self.content if part.type in ("text", "input_text")))
        return _sound(self.content or "")


class _Declared(BaseModel):
    name: Annotated[str, Field(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    description: Annotated[str, Field(max_length=20_000)] | None = None
    parameters: Annotated[dict[str, Any] | None, AfterValidator(_sound_schema)] = None


class _Tool(BaseModel):
    type: Literal["function"]
    function: _Declared


class _Named(BaseModel):
    name: str


class _Choice(BaseModel):
    type: Literal["function"]
    function: _Named


class _StreamOptions(BaseModel):
    include_usage: bool | None = False


class ChatRequest(BaseModel):
    """A chat request, as far as it counts here; what else OpenAI's clients send, such as a temperature, is let pass."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": MODEL,
                "messages": [{"role": "user", "content": "What is the weather in Lisbon?"}],
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "get_weather",
                            "description": "Tell the weather in a city.",
                            "parameters": {
                                "type": "object",
                                "properties": {"city": {"type": "string"}},
                                "required": ["city"],
                            },
                        },
                    }
                ],
            }
        }
    )

    model: Annotated[str, Field(max_length=200)] = MODEL
    messages: Annotated[list[Message], Field(min_length=1, max_length=512)]
    tools: Annotated[list[_Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | _Choice | None = None
    parallel_tool_calls: bool | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    stream: bool | None = False
    stream_options: _StreamOptions | None = None


class ModelAnswer(BaseModel):
    """A model that can be asked."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "tinyagent-edge"


class ModelList(BaseModel):
    """The models that can be asked."""

    object: Literal["list"] = "list"
    data: list[ModelAnswer]


class ChatAnswer(BaseModel):
    """A chat completion."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Planned:
    """A plan over a caller's functions."""

    plan: Plan
    said: Sequence[Sequence[str]]  # for each step, the parameters that it gives
    now: datetime
    usage: tuple[int, int]  # tokens of prompt and plan
    request: str
    tools: str  # the digest of those that it was made with


class _Kept(Generic[K, V]):
    """What was used last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: K, value: V) -> V:
        self._values[key] = value
        if len(self._values) > self._most:
            self._values.popitem(last=False)
        return value


class Completions:
    """Answers chat requests.

    Args:
        hub: Has the models, and the turns at them.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._plans: _Kept[str, _Planned] = _Kept(KEPT_PLANS)
        self._pipelines: _Kept[str, Pipeline] = _Kept(KEPT_CATALOGUES)

    async def answer(self, asked: ChatRequest, client: str) -> tuple[dict[str, Any], tuple[int, int]]:
        """Return the message that answers a conversation, and the tokens of its prompt and of the plan.

        Raises:
            FunctionError: A tool of the request cannot be planned with.
            TinyAgentError: No plan can be made.
        """
        request, results = _conversation(asked.messages)
        given = functions([tool.function.model_dump() for tool in asked.tools or ()])
        if not given:
            planning = await self._hub.plan(request, None, client=client, what="chat")
            tokens = self._hub.pipeline.planner.count_tokens(planning.surface)
            return _text(planning.plan.text()), (planning.prompt_tokens, tokens)
        if asked.tool_choice == "none":
            return _text(_results(results) or "No tool may be called, and calling tools is all that I do."), (0, 0)
        if results and not any(_CALL.fullmatch(call) for call in results):
            return _text(_results(results)), (0, 0)  # calls of another model's, which no plan of ours goes on from
        key, planned = await self._planned(request, given, asked, client, results)
        done = {int(m[2]): text for call, text in results.items() if (m := _CALL.fullmatch(call)) and m[1] == key}
        ready = [s for s in planned.plan.steps if s.number not in done and s.references <= done.keys()]
        if not ready:
            return _text(_results(results) or NOTHING_TO_DO), planned.usage
        calls = []
        for step in ready[:1] if asked.parallel_tool_calls is False else ready:
            function = given[step.tool]
            values = settle(step, function.spec, done, planned.now)
            arguments = function.arguments(values, planned.said[step.number - 1])
            called = {"name": function.name, "arguments": json.dumps(arguments, ensure_ascii=False)}
            calls.append({"id": f"call_{key}_{step.number}", "type": "function", "function": called})
        return {"role": "assistant", "content": None, "tool_calls": calls}, planned.usage

    async def _planned(
        self, request: str, given: Mapping[str, Function], asked: ChatRequest, client: str, results: dict[str, str]
    ) -> tuple[str, _Planned]:
        """Return the plan for a request and its key: the one that the results belong to, if it is still there, or a new one.

        Where it was made of another request or of other tools, the results are none of the new one's.
        """
        tools = catalogue(given)
        key = next((m[1] for call in reversed(results) if (m := _CALL.fullmatch(call))), "") or secrets.token_hex(8)
        if kept := self._plans.get(key):
            if (kept.request, kept.tools) == (request, tools.digest):
                return key, kept
            key = secrets.token_hex(8)
        pipeline = self._pipelines.get(tools.digest) or self._pipelines.put(
            tools.digest, self._hub.pipeline.with_tools(tools)
        )
        now = datetime.now()
        planning = await self._hub.plan(
            request, now, client=client, what="chat", pipeline=pipeline, offered=_offered(asked, given)
        )
        # No coercion adds a step to a caller's plan, so that the steps as written and in full are the same.
        written = ground(parse_plan(planning.surface), tools, request, now) if planning.surface else Plan()
        said = [list(bind(step, tools[step.tool])) for step in written.steps]
        usage = planning.prompt_tokens, pipeline.planner.count_tokens(planning.surface)
        return key, self._plans.put(key, _Planned(planning.plan, said, now, usage, request, tools.digest))


_CALL = re.compile(r"call_([0-9a-f]{16})_(\d{1,3})")


def _conversation(messages: Sequence[Message]) -> tuple[str, dict[str, str]]:
    """Return the last thing that the user said, and the results of the calls made since, by the calls' ids."""
    last = max((i for i, message in enumerate(messages) if message.role == "user"), default=None)
    if last is None:
        raise RequestError("nobody said anything: there is no message of the role 'user'", fix="add one")
    results = {m.tool_call_id or "": m.text for m in messages[last + 1 :] if m.role == "tool"}
    return messages[last].text, results


def _offered(asked: ChatRequest, given: Mapping[str, Function]) -> list[str] | None:
    if not isinstance(asked.tool_choice, _Choice):
        return None
    wanted = asked.tool_choice.function.name
    found = [name for name, function in given.items() if function.name == wanted]
    if not found:
        raise FunctionError(f"there is no function {wanted!r} among the tools", "tool_choice.function.name")
    return found


def _text(words: str) -> dict[str, Any]:
    return {"role": "assistant", "content": words}


def _results(results: Mapping[str, str]) -> str:
    return "\n".join(text for text in results.values() if text)


def routes(hub: Hub) -> APIRouter:
    """Return the routes."""
    api = APIRouter(prefix="/v1", tags=["openai"])
    completions = Completions(hub)

    @api.post(
        "/chat/completions",
        responses={
            200: {
                "model": ChatAnswer,
                "description": "The completion; with `stream`, in chunks.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            **problems(413, 415, 422, 502, 503),
        },
    )
    async def complete(body: ChatRequest, request: Request) -> Response:
        """Plan what the user said last with the tools of the request, and return the calls to make."""
        await hub.loaded()
        message, usage = await while_connected(request, completions.answer(body, client_of(request)))
        head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": MODEL}
        if body.stream:
            counted = usage if body.stream_options and body.stream_options.include_usage else None
            chunks = _chunks(head | {"object": "chat.completion.chunk"}, message, counted)
            return StreamingResponse(_sent(chunks), media_type="text/event-stream")
        reason = "tool_calls" if "tool_calls" in message else "stop"
        choice = {"index": 0, "message": {"refusal": None, **message}, "logprobs": None, "finish_reason": reason}
        return JSONResponse(head | {"object": "chat.completion", "choices": [choice], "usage": _usage(usage)})

    @api.get("/models", responses=problems())
    async def models() -> ModelList:
        """Tell the models that can be asked: one."""
        return ModelList(data=[ModelAnswer(id=MODEL)])

    @api.get("/models/{model}", responses={**problems(422), 404: {"model": Problem, "description": "No such model."}})
    async def model(model: str) -> ModelAnswer:
        """Tell of one model."""
        if model != MODEL:
            raise NoModel(model)
        return ModelAnswer(id=MODEL)

    return api


class NoModel(TinyAgentError):
    """A model is asked about that is not here."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no model {name!r}", fix=f"there is {MODEL!r}")


def _usage(usage: tuple[int, int]) -> dict[str, int]:
    return {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}


def _chunks(
    head: Mapping[str, Any], message: Mapping[str, Any], usage: tuple[int, int] | None
) -> Iterator[dict[str, Any]]:
    """Yield a message as the chunks that a stream has."""

    def chunk(delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**head, "choices": [choice], **({"usage": None} if usage else {})}

    yield chunk({"role": "assistant", "content": message["content"]})
    for i, call in enumerate(message.get("tool_calls", ())):
        arguments = call["function"]["arguments"]
        begun = {**call, "function": {"name": call["function"]["name"], "arguments": ""}}
        yield chunk({"tool_calls": [{"index": i, **begun}]})
        for at in range(0, len(arguments), PIECE):
            piece = {"index": i, "function": {"arguments": arguments[at : at + PIECE]}}
            yield chunk({"tool_calls": [piece]})
    yield chunk({}, "tool_calls" if "tool_calls" in message else "stop")
    if usage:
        yield {**head, "choices": [], "usage": _usage(usage)}


async def _sent(chunks: Iterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield f"data: {json.dumps(chunk)}\n\n".encode()
    yield b"data: [DONE]\n\n"
