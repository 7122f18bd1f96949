"""The service put together: guard, routes, errors as answers, health, metrics, and its beginning and end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from pipeline.elaborate import ElaborationError
from pipeline.errors import TinyAgentError
from pipeline.journal import JournalError
from pipeline.pipeline import Pipeline, RequestError
from pipeline.plan import PlanError
from pipeline.planners.base import PlannerError, PlannerUnavailable
from pipeline.service import api, completions, logs, page, recordings, tracing
from pipeline.service.access import Guard, answer, problem
from pipeline.service.completions import NoModel
from pipeline.service.functions import FunctionError
from pipeline.service.hub import Closing, Hub, NotAsked, Watcher
from pipeline.service.metrics import Metrics
from pipeline.service.sessions import Sessions
from pipeline.service.turns import Busy
from pipeline.service.wire import Health, kind_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("tinyagent")

#: By kind of error, the status of the answer; the first that fits counts. Others are the service's own state: 503.
STATUSES: tuple[tuple[type[TinyAgentError], int], ...] = (
    (Busy, 429),
    (page.WrongCode, 401),
    (recordings.UnreadableRecording, 422),
    (recordings.LongRecording, 413),
    (Closing, 503),
    (NotAsked, 409),
    (JournalError, 404),
    (NoModel, 404),
    (RequestError, 422),
    (FunctionError, 422),
    (PlanError, 422),
    (ElaborationError, 422),
    (PlannerUnavailable, 502),
    (PlannerError, 422),
)


def create_app(pipeline: Pipeline, token: str) -> FastAPI:
    """Return the service as an ASGI application; `app.state.hub` has its runs.

    Args:
        pipeline: What does the work; its settings have those of the service.
        token: What requests must bear.

    Raises:
        MissingExtra: Traces are wanted, and OpenTelemetry is not installed.
    """
    settings = pipeline.config.service
    watchers: list[Watcher] = [
        lambda what, run, request: logs.LogWatch(what, run, request, content=settings.log_content)
    ]
    if settings.trace:
        watchers.append(tracing.watcher(tracing.tracer()))
    hub = Hub(pipeline, settings, watchers)
    metrics = Metrics(hub.turns, lambda: len(hub.live))
    watchers.append(metrics.watch)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        hub.load()
        yield
        await hub.close()
        hub.free()
        pipeline.close()

    app = FastAPI(
        title="TinyAgent at the edge",
        summary="A request in plain words becomes an executed plan, on this machine.",
        version=version("tinyagent-edge"),
        lifespan=life,
        docs_url=None,  # the pages that show the document load scripts from another host
        redoc_url=None,
    )
    # For the document only: the guard has looked at the token before.
    bearer = [Depends(HTTPBearer(auto_error=False, description="What is in .tinyagent/token of the data folder."))]
    app.state.hub, app.state.metrics = hub, metrics
    app.include_router(api.routes(hub), dependencies=bearer)
    app.include_router(completions.routes(hub), dependencies=bearer)
    if hears := recordings.offered(pipeline.config.speech):
        app.include_router(recordings.routes(hub), dependencies=bearer)
    sessions = Sessions(token)
    app.include_router(page.routes(sessions, bearer))

    @app.get("/healthz", tags=["service"])
    async def healthz() -> Health:
        """Tell that the service lives."""
        return Health(status="ok")

    @app.get("/readyz", tags=["service"], responses={503: {"model": Health, "description": "Not yet."}})
    async def readyz() -> Response:
        """Tell whether the models are loaded and requests are taken on."""
        status = hub.readiness
        return JSONResponse({"status": status}, 200 if status == "ready" else 503)

    @app.get(
        "/metrics",
        tags=["service"],
        response_class=PlainTextResponse,
        responses=api.problems(),
        dependencies=bearer,
    )
    async def prometheus() -> Response:
        """Tell the counts, in Prometheus' text format."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    app.add_exception_handler(TinyAgentError, _told)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(
        Guard,
        token=token,
        settings=settings,
        refused=lambda why: metrics.refused.labels(why).inc(),
        sessions=sessions,
        no_token=page.NO_TOKEN,
        recordings=(recordings.PATH,) if hears else (),
    )
    app.add_middleware(Outermost, metrics=metrics)
    return app


class Outermost:
    """ASGI middleware that counts and logs what is asked, and answers where something is wrong inside, without telling what.

    Args:
        app: What answers.
        metrics: The counts.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) and task.cancelling():
                raise  # the server is stopping
            status = status or 499  # its client went away; the number is nginx's
        except Exception as error:
            log.error("a request failed inside", extra={"fields": logs.where(error)})
            if not status:
                await answer(noted, 500, problem("internal", "something went wrong inside; the log tells where"), {})
        finally:
            # The pattern of the route, never the address: that is the client's words.
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.perf_counter() - began
            self._metrics.requests.labels(_method(scope), route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            fields = {"method": _method(scope), "route": route, "status": status, "ms": round(seconds * 1000, 1)}
            log.info("request", extra={"fields": fields})


_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)


def _method(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return str(scope["method"]) if scope["method"] in known else "other"


async def _told(_: Request, error: Exception) -> Response:
    """Answer with an error of this project: what is wrong, and how to mend it."""
    assert isinstance(error, TinyAgentError)
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 503)
    headers: dict[str, str] = {}
    if isinstance(error, Busy):
        headers["Retry-After"] = str(error.seconds)
    elif status == 503:
        headers["Retry-After"] = "5"
    param = error.param if isinstance(error, FunctionError) else None
    return JSONResponse(problem(kind_of(error), error.message, error.fix, param), status, headers)


async def _invalid(_: Request, error: Exception) -> Response:
    """Answer a request that is not as it should be: what of it, and why; never with what was sent."""
    assert isinstance(error, RequestValidationError)
    first: Mapping[str, Any] = error.errors()[0]
    place = [str(part) for part in first["loc"] if part != "body"]
    param = ".".join(place).encode("utf-8", "replace").decode() or None
    message = first["msg"].removeprefix("Value error, ")
    return JSONResponse(problem("invalid_request", f"{param}: {message}" if param else message, None, param), 422)


async def _http(_: Request, error: Exception) -> Response:
    """Answer what no route takes."""
    assert isinstance(error, HTTPException)
    words = {404: "not_found", 405: "wrong_method"}
    fix = "/openapi.json tells what there is"
    data = problem(words.get(error.status_code, "invalid_request"), str(error.detail), fix)
    return JSONResponse(data, error.status_code, error.headers)
