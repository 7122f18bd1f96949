"""The routes of our own: runs and their events, answers to their questions, plans, selections, tools.

They take and give what `wire` describes, and leave the work to the hub. A run's events come as server-sent events (SSE, WHATWG HTML 9.2), made
here in three lines: what libraries for it bring beyond that, pings and the end of a stream when the server stops, is the hub's business already.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from pipeline.runs import record_json
from pipeline.service.hub import Hub, Listener
from pipeline.service.wire import (
    RUN_ID,
    Accepted,
    Answered,
    Approval,
    Choice,
    PlanAnswer,
    PlanOnlyRequest,
    PlanRequest,
    Problem,
    RunAnswer,
    RunList,
    SelectionAnswer,
    SelectRequest,
    ToolList,
    planning_json,
    selection_json,
    sse,
    tool_json,
)

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

T = TypeVar("T")

RETRY_MS = 1000  # after which a browser connects again
PING = b": \n\n"

Answers = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Answers:
    """Return for the OpenAPI document what may go wrong with a route: beside these, what the guard refuses."""
    said = {
        401: "The token is missing or wrong.",
        403: "A page of another origin asks.",
        404: "There is no such run.",
        409: "That question does not stand, or not any more.",
        413: "The body is too long.",
        415: "The body is not JSON.",
        421: "The service is not known by that name.",
        422: "The request cannot be worked on.",
        429: "Too much waits or is under way; Retry-After says when to come again.",
        502: "The planner's server cannot be reached, refuses, or does not answer as it should.",
        503: "The service is closing, or its models cannot be loaded.",
    }
    return {
        status: {"model": Problem, "description": said[status]} for status in sorted({401, 403, 421, 429, *statuses})
    }


_EVENTS: Answers = {
    200: {
        "description": "The run's events, as docs/service.md describes them.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 2\nevent: selected\ndata: {"run": "20260513-093000-a1b2c3", "tools": ["send_sms"]}\n\n',
            }
        },
    }
}
RunId = Annotated[str, Path(pattern=RUN_ID, description="A run's id.", examples=["20260513-093000-a1b2c3"])]


class EventStream(StreamingResponse):
    """A run's events for one listener, who is gone when the connection is.

    Args:
        listener: Gives them.
        headers: More of the answer's.
    """

    def __init__(self, listener: Listener, headers: Mapping[str, str] | None = None) -> None:
        self._listener = listener
        super().__init__(self._bytes(), media_type="text/event-stream", headers={**_UNCACHED, **(headers or {})})

    async def _bytes(self) -> AsyncIterator[bytes]:
        yield f"retry: {RETRY_MS}\n\n".encode()
        async for event in self._listener:
            yield PING if event is None else sse(event.kind, event.data, event.number)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them; the body may never be begun where the client is gone already, so the end is seen to here."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._listener.close()


_UNCACHED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def client_of(request: Request) -> str:
    """Return by what a client is known, for its turns: the name that it gives itself, or its connection."""
    if name := request.headers.get("x-client-id"):
        return name[:200]
    return f"{request.client.host}:{request.client.port}" if request.client else ""


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """Return what comes of `work`; where the client goes away before, cancel it, and wait until it has stopped.

    Raises:
        CancelledError: The client went away.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
        return await task
    finally:
        for left in (task, gone):
            left.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    """Return when the client has gone; the body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def routes(hub: Hub) -> APIRouter:
    """Return the routes."""
    api = APIRouter(prefix="/v1")

    @api.post(
        "/runs",
        tags=["runs"],
        response_class=StreamingResponse,
        responses={
            **_EVENTS,
            202: {"model": Accepted, "description": "It goes on by itself, as `Prefer: respond-async` asks."},
            **problems(413, 415, 422, 503),
        },
    )
    async def begin_run(
        body: PlanRequest,
        request: Request,
        prefer: Annotated[str, Header(description="`respond-async`: the run goes on without this client.")] = "",
    ) -> Response:
        """Carry a request out, and tell what happens in it as it happens.

        The run stops when nobody listens to it any more, unless `Prefer: respond-async` (RFC 7240) detached it.
        """
        detached = "respond-async" in (word.strip().casefold() for word in prefer.split(","))
        run, listener = hub.start(body.request, body.now, client=client_of(request), detached=detached)
        place = {"Location": f"/v1/runs/{run.id}"}
        if listener is None:
            accepted = Accepted(run=run.id, events=f"/v1/runs/{run.id}/events")
            return JSONResponse(accepted.model_dump(), 202, {**place, "Preference-Applied": "respond-async"})
        return EventStream(listener, place)

    @api.get("/runs", tags=["runs"], responses=problems(422))
    async def list_runs(limit: Annotated[int, Query(ge=1, le=100)] = 20) -> RunList:
        """Tell the last runs, the latest first."""
        return RunList.model_validate({"runs": [record_json(record) for record in hub.journal.runs(limit)]})

    @api.get("/runs/{run}", tags=["runs"], responses=problems(404, 422))
    async def show_run(run: RunId) -> RunAnswer:
        """Tell what the journal knows of a run."""
        return RunAnswer.model_validate(record_json(hub.record(run)))

    @api.delete("/runs/{run}", tags=["runs"], responses=problems(404, 422))
    async def stop_run(run: RunId) -> RunAnswer:
        """Stop a run. When this answers, nothing of it runs any more; of one that has ended, it tells how."""
        if found := hub.live.get(run):
            await hub.stop(found, "you stopped it")
        return RunAnswer.model_validate(record_json(hub.record(run)))

    @api.get(
        "/runs/{run}/events",
        tags=["runs"],
        response_class=StreamingResponse,
        responses={**_EVENTS, **problems(404, 422)},
    )
    async def replay(
        run: RunId,
        last_event_id: Annotated[
            int, Header(ge=0, le=2**31, description="The number of the last event that was seen.")
        ] = 0,
    ) -> Response:
        """Tell the events of a run from after `Last-Event-ID` on: those on record, and those to come."""
        found = hub.listen(run, last_event_id)
        if isinstance(found, Listener):
            return EventStream(found)
        body = b"".join(sse(event.kind, event.data, event.number) for event in found)
        return Response(body, media_type="text/event-stream", headers=_UNCACHED)

    @api.post("/runs/{run}/approvals", tags=["runs"], responses=problems(404, 409, 413, 415, 422))
    async def approve(run: RunId, body: Approval) -> Answered:
        """Say yes or no to the call that the run asks about. It counts once, and for just that call."""
        hub.of(run).answer_approval(body.step, body.digest, body.approved)
        return Answered(run=run)

    @api.post("/runs/{run}/choices", tags=["runs"], responses=problems(404, 409, 413, 415, 422))
    async def choose(run: RunId, body: Choice) -> Answered:
        """Say which one is meant, where the run asks."""
        hub.of(run).answer_choice(body.question, body.choice)
        return Answered(run=run)

    @api.post("/select", tags=["pipeline"], responses=problems(413, 415, 422, 503))
    async def select(body: SelectRequest) -> SelectionAnswer:
        """Tell which tools a request needs, and why."""
        await hub.loaded()
        selection = await asyncio.to_thread(hub.pipeline.select, body.request, earlier=body.earlier)
        return SelectionAnswer.model_validate(selection_json(selection))

    @api.post("/plan", tags=["pipeline"], responses=problems(413, 415, 422, 502, 503))
    async def plan(body: PlanOnlyRequest, request: Request) -> PlanAnswer:
        """Tell the plan for a request; nothing is run."""
        await hub.loaded()
        offered = tuple(hub.pipeline.tools) if body.offered == "all" else None
        work = hub.plan(body.request, body.now, client=client_of(request), offered=offered)
        planning = await while_connected(request, work)
        return PlanAnswer.model_validate(planning_json(planning))

    @api.get("/tools", tags=["pipeline"], responses=problems())
    async def tools() -> ToolList:
        """Tell the tools that can be called."""
        return ToolList.model_validate({"tools": [tool_json(tool) for tool in hub.pipeline.tools.values()]})

    return api
