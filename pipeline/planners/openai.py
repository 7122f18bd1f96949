"""The planner on a server: any endpoint that speaks OpenAI's chat completions.

llama-server, LM Studio, Ollama, vLLM and the cloud do. Takes a `PlanRequest`, sends it in the chat layout of
`pipeline.prompt`, and yields the plan's text as the server streams it. There is no grammar: what comes is
checked where every plan is, in `pipeline.plan` and `pipeline.elaborate`. If the endpoint is elsewhere, the
request leaves this machine.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from httpx_sse import EventSource, SSEError

from pipeline.errors import ConfigError
from pipeline.planners.base import PlannerError, PlannerUnavailable, PlanRequest
from pipeline.prompt import chat_system, chat_user

ATTEMPTS = 3  # to get an answer begun; what has begun is never asked for again
LONGEST_WAIT = 30.0  # seconds between attempts; a server that wants more is not waited for
CHARACTERS_PER_TOKEN = 4  # of English text, by the rule of thumb of OpenAI's tokenizers

# Failures before anything was answered, that the next attempt may not meet.
_PASSING = (httpx.NetworkError, httpx.ConnectTimeout, httpx.RemoteProtocolError)


class ChatEndpoint:
    """A model behind an endpoint that speaks OpenAI's chat completions.

    Args:
        base_url: Where the API begins, such as `http://localhost:8080/v1`.
        model: The model's name there.
        api_key: Sent as a bearer token; None takes TINYAGENT_API_KEY from the environment, if it is set.
        timeout: Seconds without a sign of life after which the server is given up.
        max_tokens: The longest answer, in the model's tokens, its thinking included.
        sleep: Waits that many seconds between two attempts.
        section: Of the settings, which errors name.

    Raises:
        ConfigError: `base_url` is not an address, or the key cannot be one.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        max_tokens: int = 1024,
        sleep: Callable[[float], None] = time.sleep,
        section: str = "planner",
    ) -> None:
        self._section = section
        self._url = _checked(base_url, section).rstrip("/") + "/chat/completions"
        self._model, self._timeout, self._max_tokens, self._sleep = model, timeout, max_tokens, sleep
        key = (api_key if api_key is not None else os.environ.get("TINYAGENT_API_KEY", "")).strip()
        if not (key.isascii() and key.isprintable()):
            raise ConfigError("the API key has characters that no key has", fix="set TINYAGENT_API_KEY anew")
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
        )

    def chat(self, messages: list[dict[str, str]]) -> Iterator[str]:
        """Yield the answer as it is written; closing the iterator closes the connection.

        Raises:
            PlannerUnavailable: The server cannot be reached, refuses, or does not answer as such a server does.
            PlannerError: The answer is too long.
        """
        try:
            with closing(self._begin(messages)) as response:
                yield from self._pieces(response)
        except SSEError as error:
            raise self._malformed(str(error)) from error
        except httpx.TimeoutException as error:
            raise PlannerUnavailable(
                f"{self._url} gave no sign of life for {self._timeout:g} seconds",
                fix=f"set {self._section}.timeout higher, or take a faster model",
            ) from error
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise PlannerUnavailable(
                f"no server answers at {self._url}: {error}", fix=f"start it, or correct {self._section}.base_url"
            ) from error
        except httpx.HTTPError as error:
            raise PlannerUnavailable(f"the answer of {self._url} broke off: {error}", fix="try again") from error

    def close(self) -> None:
        """Close the connections; an answer that is being written breaks off."""
        self._client.close()

    def _begin(self, messages: list[dict[str, str]]) -> httpx.Response:
        """Return an answer that has begun, its body unread."""
        body: dict[str, Any] = {
            "model": self._model,
            "messages": messages,
            "stream": True,
            "temperature": 0,
            "max_tokens": self._max_tokens,
        }
        attempt = 1
        while True:
            wait = 0.5 * 2 ** (attempt - 1)
            try:
                response = self._client.send(self._client.build_request("POST", self._url, json=body), stream=True)
            except _PASSING:
                if attempt == ATTEMPTS:
                    raise
            else:
                if response.status_code == httpx.codes.OK:
                    return response
                with closing(response):
                    error = _error(_json(response.read()))
                if response.status_code == httpx.codes.BAD_REQUEST and _adapt(body, error):
                    continue
                wait = _asked_wait(response, wait)
                if wait > LONGEST_WAIT or attempt == ATTEMPTS:
                    raise self._refusal(response, error.get("message", ""))
            self._sleep(wait)
            attempt += 1

    def _pieces(self, response: httpx.Response) -> Iterator[str]:
        """Yield the text of a streamed answer."""
        ended = ""
        for event in EventSource(response).iter_sse():
            if event.data == "[DONE]":
                ended = ended or "stop"
                break
            data = _json(event.data)
            if error := _error(data):
                raise PlannerUnavailable(f"{self._url} gave up: {error['message']}")
            try:
                text, reason = _delta(data)
            except (TypeError, LookupError, AttributeError) as problem:
                raise self._malformed(f"{event.data[:100]!r}") from problem
            ended = reason or ended
            if text:
                yield text
        if ended == "length":
            raise PlannerError(f"the answer takes more than {self._max_tokens} tokens", fix="ask for less at a time")
        if not ended:
            raise PlannerUnavailable(f"the answer of {self._url} broke off", fix="try again")

    def _malformed(self, what: str) -> PlannerUnavailable:
        return PlannerUnavailable(
            f"{self._url} does not stream chat completions: {what}",
            fix=f"{self._section}.base_url has to be that of an OpenAI-compatible API, often ending in /v1",
        )

    def _refusal(self, response: httpx.Response, said: str) -> PlannerError:
        """Return what a status other than 200 means to the person; `said` is the server's own word on it."""
        said = f": {said}" if said else ""
        match response.status_code:
            case 401 | 403:  # the server's word may repeat a part of the key
                return PlannerUnavailable(
                    f"{self._url} refuses the API key", fix="set TINYAGENT_API_KEY to a key that it takes"
                )
            case 404:
                return PlannerUnavailable(
                    f"{self._url} has no model {self._model!r}, or there is no such address{said}",
                    fix=f"correct {self._section}.model, or {self._section}.base_url, which often ends in /v1",
                )
            case 429:
                return PlannerUnavailable(f"{self._url} has had too many requests{said}", fix="try again later")
            case status:
                # The first are the request's own fault, such as a prompt that is too long.
                kind = PlannerError if status in (400, 413, 422) else PlannerUnavailable
                return kind(f"{self._url} answers {status} {response.reason_phrase}{said}")


class OpenAIPlanner(ChatEndpoint):
    """Plans with a model behind an OpenAI-compatible endpoint; the arguments are those of `ChatEndpoint`."""

    def prompt(self, request: PlanRequest) -> str:
        """Return the system's and the user's message, one below the other."""
        return "\n\n".join(message["content"] for message in _messages(request))

    def count_tokens(self, text: str) -> int:
        """Return an estimate, a token for every four characters: the model's tokenizer is on the server."""
        return -(-len(text) // CHARACTERS_PER_TOKEN)

    def stream(self, request: PlanRequest) -> Iterator[str]:
        """Yield the plan's text as it is written; closing the iterator closes the connection.

        Raises:
            PlannerError: As in `chat`.
        """
        yield from self.chat(_messages(request))


def _checked(base_url: str, section: str) -> str:
    """Return the address, which has to be one."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(
            f"{section}.base_url: {base_url!r} is not an address", fix="write it like http://localhost:8080/v1"
        )
    return base_url


def _messages(request: PlanRequest) -> list[dict[str, str]]:
    asked = chat_user(request.request, instructions=request.instructions, feedback=request.feedback)
    return [{"role": "system", "content": chat_system(request.tools)}, {"role": "user", "content": asked}]


def _json(text: str | bytes) -> Any:
    """Return what the JSON says, or None if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _delta(data: Any) -> tuple[str, str]:
    """Return the text of one streamed event and why the answer ends with it, each empty if there is none."""
    if not data["choices"]:  # the count of tokens, which some servers send last
        return "", ""
    choice = data["choices"][0]
    text = choice["delta"].get("content") or ""
    if not isinstance(text, str):
        raise TypeError("content is not text")
    return text, choice.get("finish_reason") or ""


def _error(data: Any) -> dict[str, str]:
    """Return the error that an answer tells of, `message` and `param`, in the forms that servers give it."""
    if not isinstance(data, dict) or "choices" in data:
        return {}
    error = data.get("error", data)
    if not isinstance(error, dict):
        error = {"message": error}
    message = error.get("message") or error.get("detail")
    if not message:
        return {}
    return {"message": " ".join(str(message).split())[:300], "param": str(error.get("param"))}


def _adapt(body: dict[str, Any], error: dict[str, str]) -> bool:
    """Take out the parameter that the model refuses; OpenAI's newer ones have another name for the limit."""
    refused = error.get("param", "")
    if refused not in ("temperature", "max_tokens") or refused not in body:
        return False
    value = body.pop(refused)
    if refused == "max_tokens":
        body["max_completion_tokens"] = value
    return True


def _asked_wait(response: httpx.Response, default: float) -> float:
    """Return the seconds to wait before another attempt, by Retry-After (RFC 9110), or infinity."""
    if response.status_code != httpx.codes.TOO_MANY_REQUESTS and response.status_code < 500:
        return math.inf
    asked = response.headers.get("Retry-After", "")
    if asked.isdecimal():
        return float(asked)
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return default
