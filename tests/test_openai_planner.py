"""The planner on a server, against a stand-in of an OpenAI-compatible endpoint on the loopback interface."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Event, Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import builtin_tools
from pipeline.elaborate import elaborate
from pipeline.errors import ConfigError
from pipeline.plan import parse_plan
from pipeline.planners.base import Planner, PlannerError, PlanRequest
from pipeline.planners.openai import ChatEndpoint, OpenAIPlanner
from pipeline.text_models import EndpointText, Message

PLAN = '1. send_sms(["Priya"], "J\'ai du retard — désolé \u2028 🙂")\n2. join()'
ASKED = PlanRequest("text Priya that I'm late, I owe her $5", builtin_tools().only(["send_sms"]))


def chunk(text: str | None = None, reason: str | None = None) -> bytes:
    """One event of a streamed chat completion."""
    delta = {} if text is None else {"content": text}
    data = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


DONE = b"data: [DONE]\n\n"


@dataclass
class Reply:
    """What the stand-in answers to one request."""

    pieces: Sequence[bytes] = (chunk(PLAN), chunk(reason="stop"), DONE)
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/event-stream"})
    then: str = "close"  # or "hang", or "repeat" the pieces until the client hangs up


def refusal(status: int, body: object = None, **headers: str) -> Reply:
    content = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return Reply([json.dumps(body).encode()] if body else [], status, content)


@dataclass
class Endpoint:
    """The stand-in: answers with `replies` in order, the last again and again."""

    replies: list[Reply] = field(default_factory=lambda: [Reply()])
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    hung_up: Event = field(default_factory=Event)
    over: Event = field(default_factory=Event)
    url: str = ""

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(json.loads(request.rfile.read(int(request.headers["Content-Length"]))))
        self.keys.append(request.headers.get("Authorization"))
        self.paths.append(request.path)
        reply = self.replies[min(len(self.asked), len(self.replies)) - 1]
        request.send_response(reply.status)
        for name, value in reply.headers.items():
            request.send_header(name, value)
        request.end_headers()
        try:
            for piece in reply.pieces:
                request.wfile.write(piece)
            while reply.then == "repeat":
                request.wfile.write(b"".join(reply.pieces))
        except ConnectionError:
            self.hung_up.set()
        if reply.then == "hang":
            self.over.wait()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            endpoint.handle(self)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
        yield endpoint
        endpoint.over.set()
        server.shutdown()


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the planner waited, in place of waiting."""
    return []


@pytest.fixture
def planner(endpoint: Endpoint, waits: list[float]) -> Iterator[OpenAIPlanner]:
    planner = OpenAIPlanner(endpoint.url, "a-model", timeout=5, max_tokens=64, sleep=waits.append)
    yield planner
    planner.close()


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYAGENT_API_KEY", raising=False)


def plan(planner: Planner, request: PlanRequest = ASKED) -> str:
    return "".join(planner.stream(request))


def test_a_plan_comes_as_it_is_written_and_elaborates(planner: Planner, endpoint: Endpoint) -> None:
    endpoint.replies = [
        Reply([chunk(""), *(chunk(c) for c in PLAN), chunk(reason="stop"), b'data: {"choices": []}\n\n', DONE])
    ]
    pieces = list(planner.stream(ASKED))
    assert len(pieces) == len(PLAN)
    full = elaborate(parse_plan("".join(pieces)), builtin_tools(), datetime(2026, 3, 2, 9))
    assert [step.tool for step in full.steps] == ["get_phone_number", "send_sms"]


def test_what_is_sent_is_what_prompt_shows(planner: Planner, endpoint: Endpoint) -> None:
    request = PlanRequest(ASKED.request, ASKED.tools, ("always be polite",), feedback="there is no contact 'Pria'")
    plan(planner, request)
    (body,) = endpoint.asked
    assert endpoint.paths == ["/v1/chat/completions"]
    assert (body["model"], body["stream"], body["max_tokens"], body["temperature"]) == (
        "a-model",
        True,
        64,
        0,
    )
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert "\n\n".join(m["content"] for m in body["messages"]) == planner.prompt(request)
    assert "I owe her \\$5" in planner.prompt(request)
    assert "no contact 'Pria'" in planner.prompt(request)


def test_tokens_are_estimated(planner: Planner) -> None:
    assert [planner.count_tokens(text) for text in ("", "a", "four", "fiver")] == [0, 1, 1, 2]


def test_a_key_is_sent_only_if_there_is_one(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    plan(OpenAIPlanner(endpoint.url, "m"))
    monkeypatch.setenv("TINYAGENT_API_KEY", "from-environment\n")
    plan(OpenAIPlanner(endpoint.url + "/", "m"))
    plan(OpenAIPlanner(endpoint.url, "m", api_key="given"))
    assert endpoint.keys == [None, "Bearer from-environment", "Bearer given"]


@pytest.mark.parametrize("url", ["localhost:8080/v1", "", "ftp://host/v1", "http://", "http://host:port/v1"])
def test_an_address_that_is_none_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ConfigError, match=r"planner\.base_url"):
        OpenAIPlanner(url, "m")


def test_a_key_that_is_none_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError) as caught:
        OpenAIPlanner("http://localhost/v1", "m", api_key="schlüssel")
    assert "schlüssel" not in str(caught.value)


# --- Streams, whole and broken ---


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 400), max_size=8), newline=st.sampled_from([b"\n", b"\r\n"]))
def test_however_the_stream_is_cut_the_text_is_the_same(
    planner: Planner, endpoint: Endpoint, cuts: list[int], newline: bytes
) -> None:
    whole = b": a comment\n\n" + b"".join([chunk(PLAN[:20]), chunk(PLAN[20:]), chunk(reason="stop"), DONE])
    whole = whole.replace(b"\n", newline)
    bounds = [0, *sorted(cuts), len(whole)]
    pieces = [whole[a:b] for a, b in pairwise(bounds)]
    endpoint.replies = [Reply(pieces)]
    assert plan(planner) == PLAN


@pytest.mark.parametrize("last", [[chunk(reason="stop")], [DONE]])
def test_either_end_mark_is_enough(planner: Planner, endpoint: Endpoint, last: list[bytes]) -> None:
    endpoint.replies = [Reply([chunk(PLAN), *last])]
    assert plan(planner) == PLAN


def test_closing_the_iterator_hangs_up(planner: Planner, endpoint: Endpoint) -> None:
    endpoint.replies = [Reply([chunk("1. ")], then="repeat")]
    pieces = planner.stream(ASKED)
    assert next(pieces) == "1. "
    pieces.close()  # type: ignore[attr-defined]
    assert endpoint.hung_up.wait(10)


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "100000"}])
def test_a_stream_that_breaks_off_is_no_plan(planner: Planner, endpoint: Endpoint, headers: dict[str, str]) -> None:
    endpoint.replies = [Reply([chunk("1. send_sms(")], headers={"Content-Type": "text/event-stream", **headers})]
    pieces = planner.stream(ASKED)
    assert next(pieces) == "1. send_sms("
    with pytest.raises(PlannerError, match="broke off"):
        next(pieces)
    assert len(endpoint.asked) == 1  # what has begun is not asked for again


def test_a_plan_that_is_cut_at_the_limit_is_no_plan(planner: Planner, endpoint: Endpoint) -> None:
    endpoint.replies = [Reply([chunk("1. send_sms("), chunk(reason="length"), DONE])]
    with pytest.raises(PlannerError, match="more than 64 tokens"):
        plan(planner)


@pytest.mark.parametrize(
    "piece",
    [
        b"data: <html>\n\n",
        b"data: []\n\n",
        b"data: {}\n\n",
        b'data: {"choices": [{}]}\n\n',
        b'data: {"choices": [{"delta": null}]}\n\n',
        b'data: {"choices": [{"delta": {"content": 7}}]}\n\n',
        b'data: {"choices": {"a": 1}}\n\n',
    ],
)
def test_a_stream_of_something_else_is_named(planner: Planner, endpoint: Endpoint, piece: bytes) -> None:
    endpoint.replies = [Reply([piece, DONE])]
    with pytest.raises(PlannerError, match="does not stream chat completions") as caught:
        plan(planner)
    assert "OpenAI-compatible" in (caught.value.fix or "")


def test_an_answer_that_is_no_stream_is_named(planner: Planner, endpoint: Endpoint) -> None:
    endpoint.replies = [Reply([b"<html>"], headers={"Content-Type": "text/html"})]
    with pytest.raises(PlannerError, match="does not stream chat completions"):
        plan(planner)


def test_an_error_in_the_stream_is_told(planner: Planner, endpoint: Endpoint) -> None:
    endpoint.replies = [Reply([chunk("1. "), b'data: {"error": {"message": "out of memory"}}\n\n'])]
    with pytest.raises(PlannerError, match="gave up: out of memory"):
        plan(planner)


def test_silence_ends_after_the_timeout(endpoint: Endpoint) -> None:
    endpoint.replies = [Reply([chunk("1. ")], then="hang")]
    planner = OpenAIPlanner(endpoint.url, "m", timeout=0.2)
    with pytest.raises(PlannerError, match=r"no sign of life for 0\.2 seconds"):
        plan(planner)


# --- Refusals and retries ---


def test_a_closed_door_is_tried_three_times(waits: list[float]) -> None:
    with socket.socket() as taken:  # bound and not listening: refuses connections
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(PlannerError, match="no server answers at http") as caught:
            plan(OpenAIPlanner(url, "m", sleep=waits.append))
    assert caught.value.fix == "start it, or correct planner.base_url"
    assert waits == [0.5, 1.0]


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (refusal(401, {"error": {"message": "Incorrect key: sk-ab**"}}), "refuses the API key"),
        (refusal(403), "refuses the API key"),
        (refusal(404, {"error": {"message": "model not found"}}), "no model 'a-model'.*: model not found"),
        (
            refusal(400, {"error": "the prompt\nis too long"}),
            "answers 400 Bad Request: the prompt is too long",
        ),
        (refusal(422, {"detail": "no messages"}), "answers 422 .*: no messages"),
        (refusal(307, Location="http://elsewhere.example/"), "answers 307"),
    ],
)
def test_a_refusal_is_final_and_told_in_the_servers_words(
    planner: Planner, endpoint: Endpoint, waits: list[float], reply: Reply, says: str
) -> None:
    endpoint.replies = [reply]
    with pytest.raises(PlannerError, match=says) as caught:
        plan(planner)
    assert "sk-ab" not in str(caught.value)
    assert (len(endpoint.asked), waits) == (1, [])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_refusal_is_waited_out(planner: Planner, endpoint: Endpoint, waits: list[float], status: int) -> None:
    endpoint.replies = [refusal(status), refusal(status, Retry_After="7"), Reply()]
    assert plan(planner) == PLAN
    assert waits == [0.5, 7.0]


def test_a_date_to_wait_for_is_understood(planner: Planner, endpoint: Endpoint, waits: list[float]) -> None:
    soon, past = datetime.now(UTC) + timedelta(seconds=20), datetime.now(UTC) - timedelta(hours=1)
    endpoint.replies = [
        refusal(503, Retry_After=format_datetime(soon, usegmt=True)),
        refusal(503, Retry_After=format_datetime(past, usegmt=True)),
        Reply(),
    ]
    assert plan(planner) == PLAN
    assert 0 < waits[0] <= 20
    assert waits[1] == 0


def test_three_attempts_are_enough(planner: Planner, endpoint: Endpoint) -> None:
    endpoint.replies = [refusal(500, {"error": {"message": "no slot"}})]
    with pytest.raises(PlannerError, match="answers 500 Internal Server Error: no slot"):
        plan(planner)
    assert len(endpoint.asked) == 3


def test_an_hour_is_not_waited_for(planner: Planner, endpoint: Endpoint, waits: list[float]) -> None:
    endpoint.replies = [refusal(429, {"message": "quota"}, Retry_After="3600")]
    with pytest.raises(PlannerError, match="too many requests: quota"):
        plan(planner)
    assert (len(endpoint.asked), waits) == (1, [])


def test_a_model_that_refuses_a_parameter_is_asked_without_it(planner: Planner, endpoint: Endpoint) -> None:
    endpoint.replies = [
        refusal(400, {"error": {"message": "use max_completion_tokens", "param": "max_tokens"}}),
        refusal(400, {"error": {"message": "only 1 is supported", "param": "temperature"}}),
        Reply(),
    ]
    assert plan(planner) == PLAN
    assert endpoint.asked[-1].keys() == {"model", "messages", "stream", "max_completion_tokens"}
    endpoint.replies = [refusal(400, {"error": {"message": "no", "param": "messages"}})]
    with pytest.raises(PlannerError, match="answers 400 Bad Request: no"):
        plan(planner)


def test_an_endpoint_writes_prose_too(endpoint: Endpoint) -> None:
    endpoint.replies = [Reply([chunk("Dear "), chunk("Priya"), chunk(reason="stop"), DONE]), refusal(404)]
    model = EndpointText(ChatEndpoint(endpoint.url, "m", section="writer"))
    assert list(model.write([Message("user", "hello")], most=50)) == ["Dear ", "Priya"]
    assert endpoint.asked[0]["messages"] == [{"role": "user", "content": "hello"}]
    with pytest.raises(PlannerError) as caught:
        list(model.write([Message("user", "hello")], most=50))
    assert "writer.model" in str(caught.value.fix)
