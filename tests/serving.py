"""What the tests of the service share: a planner that writes what a request names, the tools that it calls, and a client below HTTP.

As a program, `python tests/serving.py FOLDER`, it is the whole service with that planner, on a free port.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pipeline import Config, Pipeline
from pipeline.config import SelectionConfig, ServiceConfig, SpeechConfig
from pipeline.planners.base import PlanRequest
from pipeline.selection import Selector
from pipeline.spec import Catalogue, ToolSpec
from pipeline.tools.context import ToolContext

TOKEN = "t" * 43
HOST = "127.0.0.1:8765"


class Planner:
    """Writes as a plan what stands in a request after "plan:", calls parted by ";", or else one call of `echo`."""

    def prompt(self, request: PlanRequest) -> str:
        return request.request

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def stream(self, request: PlanRequest) -> Iterator[str]:
        _, _, calls = request.request.partition("plan:")
        lines = [call.strip() for call in calls.split(";") if call.strip()] or [
            f"echo({json.dumps(request.request[:80])})"
        ]
        yield from (f"{i}. {line}\n" for i, line in enumerate([*lines, "join()"], 1))

    def close(self) -> None: ...


def echo(context: ToolContext, /, *, text: str) -> str:
    return text


def tool(name: str, effect: str, command: list[str], *parameters: str, **more: Any) -> ToolSpec:
    return ToolSpec.model_validate(
        {
            "name": name,
            "app": more.pop("app", name),
            "description": "A tool made up for a test.",
            "parameters": [{"name": p, "type": "string"} for p in parameters],
            "effect": effect,
            "returns": {"type": "string", "description": "what it says", "trusted": True},
            "implementation": {"command": command} if command else {"python": f"serving:{name}"},
            **more,
        }
    )


#: `write` leaves a file when it begins and adds to it when it has ended, `wait` only ends when it is killed.
TOOLS = Catalogue(
    [
        tool("echo", "read", [], "text"),
        tool("wait", "read", ["sh", "-c", 'echo $$ > "$1"; exec sleep 60', "sh", "{file}"], "file"),
        tool("note", "write", ["sh", "-c", 'echo "$2" >> "$1"', "sh", "{file}", "{text}"], "file", "text"),
        tool(
            "write",
            "write",
            ["sh", "-c", 'echo begun > "$1"; sleep "$2"; echo ended >> "$1"', "sh", "{file}", "{seconds}"],
            "file",
            "seconds",
        ),
    ]
)


def pipeline(data_dir: Path, **settings: Any) -> Pipeline:
    """Return a pipeline with these tools and that planner, and settings of the service."""
    given = {"rate": 1e5, "burst": 100_000, "leave_seconds": 0.0, "answer_seconds": 10.0, "port": 0, **settings}
    approvals, speech = given.pop("approvals", ()), given.pop("speech", SpeechConfig())
    planner = given.pop("planner", None) or Planner()
    config = Config(
        data_dir=data_dir,
        selection=SelectionConfig(route="all"),
        service=ServiceConfig(**given),
        approvals=approvals,
        speech=speech,
    )
    return Pipeline(config, planner=planner, selector=Selector(TOOLS, None), tools=TOOLS)


# ── a client below HTTP ──────────────────────────────────────────────────────────────────────────────


class Exchange:
    """One request to an ASGI application, whose answer is read as it comes, and whose client can go away."""

    def __init__(self, app: Any, method: str, path: str, body: object = None, **headers: str) -> None:
        sent = {
            "host": HOST,
            "authorization": f"Bearer {TOKEN}",
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if raw:
            sent = {"content-type": "application/json", "content-length": str(len(raw)), **sent}
        path, _, query = path.partition("?")
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(k.encode(), v.encode()) for k, v in sent.items() if v],
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", 8765),
        }
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._incoming.put_nowait({"type": "http.request", "body": raw, "more_body": False})
        self._outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._task = asyncio.create_task(self._serve(app))
        self.status = 0
        self.headers: Mapping[str, str] = {}

    async def _serve(self, app: Any) -> None:
        try:
            await app(self._scope, self._receive, self._outgoing.put)
        finally:
            self._outgoing.put_nowait({"type": "end"})

    async def _receive(self) -> dict[str, Any]:
        return await self._incoming.get()

    def disconnect(self) -> None:
        self._incoming.put_nowait({"type": "http.disconnect"})

    async def begin(self) -> Exchange:
        """Wait until the answer begins."""
        async with asyncio.timeout(20):
            message = await self._outgoing.get()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        return self

    async def pieces(self) -> AsyncIterator[bytes]:
        while True:
            async with asyncio.timeout(20):
                message = await self._outgoing.get()
            if message["type"] == "end":
                return
            yield message.get("body", b"")

    async def body(self) -> bytes:
        return b"".join([piece async for piece in self.pieces()])

    async def json(self) -> Any:
        return json.loads(await self.body())

    async def events(self) -> AsyncIterator[Event]:
        """Yield the events of a stream."""
        rest = b""
        async for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n\n")
            for block in whole:
                fields = dict(line.split(": ", 1) for line in block.decode().splitlines() if ": " in line)
                if "data" in fields:
                    yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))

    async def ended(self) -> None:
        async with asyncio.timeout(20):
            await asyncio.gather(self._task, return_exceptions=True)


class Event:
    """An event of a stream."""

    def __init__(self, number: int, kind: str, data: dict[str, Any]) -> None:
        self.number, self.kind, self.data = number, kind, data

    def __repr__(self) -> str:
        return f"{self.number} {self.kind} {self.data}"


class Client:
    """Asks one application."""

    def __init__(self, app: Any) -> None:
        self.app, self.hub = app, app.state.hub

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> Exchange:
        return await Exchange(self.app, method, path, body, **headers).begin()

    async def post(self, path: str, body: object, **headers: str) -> Exchange:
        return await self.ask("POST", path, body, **headers)

    async def run(self, request: str, **headers: str) -> tuple[str, list[Event]]:
        """Run a request to its end, and return its id and events."""
        exchange = await self.post("/v1/runs", {"request": request}, **headers)
        assert exchange.status == 200, await exchange.body()
        return exchange.headers["location"].rpartition("/")[2], [event async for event in exchange.events()]


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Client]:
    """Yield a client of a service in this process; at its end nothing is left running."""
    from pipeline.service.app import create_app

    app = create_app(pipeline(folder, **settings), TOKEN)
    async with app.router.lifespan_context(app):
        yield Client(app)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, left


def served(folder: Path, work: Callable[[Client], Coroutine[Any, Any, None]], **settings: Any) -> None:
    """Do `work` with a client of a service."""

    async def main() -> None:
        async with serving(folder, **settings) as client:
            await work(client)

    asyncio.run(main())


if __name__ == "__main__":
    from pipeline.effects import Rule, Verdict
    from pipeline.service.commands import run

    run(pipeline(Path(sys.argv[1]), approvals=(Rule(do=Verdict.ALLOW, tool="write"),)), lines="json")
