"""A large model as a source of examples: it makes up requests and their plans, the way of the TinyAgent paper.

Each call samples a few tools, a voice, a language and how many things are asked, shows some hand-written examples, and asks for
requests with plans in the seeds' own form (arXiv 2409.00608, section 3.2, where GPT-3.5 and GPT-4 did this for about $500). The model
sits behind any OpenAI-compatible endpoint. Replies are kept in a ledger, so that a run that was interrupted, or is made again, pays for none of
them twice. Whether an example is sane is for `training.corpus` to say; here only what cannot be read is left out.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from pipeline.errors import TinyAgentError
from pipeline.prompt import signature
from pipeline.spec import Catalogue
from training.examples import CorpusError, Example, Offer
from training.seeds import Seed, load_seeds, side_of
from training.surface import to_surface

CHARACTERS_PER_TOKEN = 4  # of an endpoint that does not say what was used
VOICES = {
    "terse": "someone who texts: no capitals, hardly any punctuation, abbreviations",
    "dictated": "someone who dictates: no punctuation, fillers, self-corrections",
    "formal": "someone formal and indirect, in whole sentences",
    "non-native": "a non-native speaker, with the mistakes of one",
    "": "a busy person in the middle of the day",
}
LANGUAGES = {"en": "English", "pt": "Portuguese", "es": "Spanish"}


@dataclass(frozen=True, slots=True)
class TeacherSettings:
    """What is asked of the teacher, and what it may cost."""

    base_url: str
    model: str
    budget: float = 10.0  # dollars
    price_in: float = 0.0  # dollars for a million tokens of prompt
    price_out: float = 0.0  # … and of reply
    calls_per_minute: float = 30.0
    per_call: int = 6  # requests to write
    temperature: float = 1.0
    max_tokens: int = 2000  # of a reply
    timeout: float = 120.0  # seconds
    tries: int = 6
    seed: int = 0


@dataclass
class Ledger:
    """The replies so far and what they cost, as JSON lines; a line is on the disk before its reply is used.

    Args:
        path: The file. A last line that was torn by a crash is dropped, and its call made again.
    """

    path: Path
    replies: dict[int, str] = field(default_factory=dict, init=False)
    spent: float = field(default=0.0, init=False)  # dollars

    def __post_init__(self) -> None:
        if not self.path.exists():
            return
        whole = 0
        for line in self.path.read_bytes().splitlines(keepends=True):
            try:
                entry = json.loads(line)
                self.replies[int(entry["call"])] = str(entry["reply"])
                self.spent += float(entry["dollars"])
            except (ValueError, KeyError, TypeError) as error:
                if whole + len(line) < self.path.stat().st_size or line.endswith(b"\n"):
                    raise CorpusError(f"{self.path} is not a teacher's ledger", fix="name another file") from error
                os.truncate(self.path, whole)
                break
            whole += len(line)

    def add(self, call: int, reply: str, tokens_in: int, tokens_out: int, dollars: float) -> None:
        """Write down a reply."""
        entry = {"call": call, "tokens_in": tokens_in, "tokens_out": tokens_out, "dollars": dollars, "reply": reply}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise CorpusError(f"{self.path} cannot be written: {error.strerror}", fix="free some space") from error
        self.replies[call] = reply
        self.spent += dollars


class Teacher:
    """An endless source of examples, until the budget is spent.

    Args:
        settings: What is asked, and what it may cost. The key is read from TINYAGENT_API_KEY.
        tools: The catalogue.
        ledger: Where replies are kept.
        sleep: Waits that many seconds.
        clock: Seconds that have passed.

    Attributes:
        unread: What could not be made an example, by reason.
    """

    def __init__(
        self,
        settings: TeacherSettings,
        tools: Catalogue,
        ledger: Ledger,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._tools, self._ledger = settings, tools, ledger
        self._sleep, self._clock = sleep, clock
        self._seeds = [seed for seed in load_seeds() if not seed.tools and side_of(seed.id) == "train"]
        self._last_call = float("-inf")
        self.unread: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Example]:
        key = os.environ.get("TINYAGENT_API_KEY", "").strip()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with httpx.Client(headers=headers, timeout=self._settings.timeout) as client:
            call = 0
            while (reply := self._reply(client, call)) is not None:
                yield from self._examples(reply, _Task.of(call, self._settings.seed, self._tools, self._seeds))
                call += 1

    def _reply(self, client: httpx.Client, call: int) -> str | None:
        """Return the reply to a call, from the ledger if it is there; None when the budget does not reach for it."""
        if call in self._ledger.replies:
            return self._ledger.replies[call]
        settings = self._settings
        prompt = _Task.of(call, settings.seed, self._tools, self._seeds).prompt(self._tools, settings.per_call)
        dearest = self._price(len(prompt) // CHARACTERS_PER_TOKEN, settings.max_tokens)
        if self._ledger.spent + dearest > settings.budget:
            return None
        self._pace()
        data = self._ask(client, prompt)
        try:
            reply = str(data["choices"][0]["message"]["content"])
        except (LookupError, TypeError) as error:
            raise CorpusError(
                f"{settings.base_url} does not answer as chat completions do", fix="the address often ends in /v1"
            ) from error
        usage = data.get("usage") or {}
        tokens_in = int(usage.get("prompt_tokens", len(prompt) // CHARACTERS_PER_TOKEN))
        tokens_out = int(usage.get("completion_tokens", len(reply) // CHARACTERS_PER_TOKEN))
        self._ledger.add(call, reply, tokens_in, tokens_out, self._price(tokens_in, tokens_out))
        return reply

    def _price(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self._settings.price_in + tokens_out * self._settings.price_out) / 1e6

    def _pace(self) -> None:
        """Wait until another call may be made."""
        wait = self._last_call + 60 / self._settings.calls_per_minute - self._clock()
        if wait > 0:
            self._sleep(wait)
        self._last_call = self._clock()

    def _ask(self, client: httpx.Client, prompt: str) -> Mapping[str, Any]:
        from tenacity import RetryError, Retrying, retry_if_exception, stop_after_attempt

        retrying = Retrying(
            retry=retry_if_exception(_is_passing),
            stop=stop_after_attempt(self._settings.tries),
            wait=lambda state: _wait(state.outcome.exception() if state.outcome else None, state.attempt_number),
            sleep=self._sleep,
        )
        try:
            return retrying(self._post, client, prompt)
        except RetryError as error:
            cause = error.last_attempt.exception()
            raise CorpusError(
                f"{self._settings.base_url} did not answer in {self._settings.tries} tries: {cause}",
                fix="start again later: the ledger keeps what there is",
            ) from cause
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            mends = {401: "set TINYAGENT_API_KEY", 403: "set TINYAGENT_API_KEY", 404: "correct --base-url or --model"}
            raise CorpusError(f"{self._settings.base_url} answers {status}", fix=mends.get(status)) from error
        except httpx.HTTPError as error:
            raise CorpusError(f"{self._settings.base_url}: {error}", fix="correct --base-url") from error

    def _post(self, client: httpx.Client, prompt: str) -> Mapping[str, Any]:
        settings = self._settings
        body = {
            "model": settings.model,
            "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": prompt}],
            "temperature": settings.temperature,
            "max_tokens": settings.max_tokens,
        }
        response = client.post(settings.base_url.rstrip("/") + "/chat/completions", json=body)
        response.raise_for_status()
        try:
            data = response.json()
        except ValueError:
            data = None
        return data if isinstance(data, dict) else {}

    def _examples(self, reply: str, task: _Task) -> Iterator[Example]:
        """Yield what can be read of a reply."""
        found = re.search(r"\{.*\}", reply, re.DOTALL)
        try:
            requests = json.loads(found[0] if found else reply)["requests"]
        except (ValueError, KeyError, TypeError):
            self.unread["not JSON"] += 1
            return
        for request in requests if isinstance(requests, list) else ():
            try:
                calls = [(str(tool), dict(args)) for tool, args in request["plan"]]
                plan = to_surface(calls, self._tools)
                query = str(request["query"]).strip()
            except (KeyError, TypeError, ValueError, AttributeError, TinyAgentError):
                self.unread["not a plan"] += 1
                continue
            words = "-".join(re.findall(r"\w+", query.casefold()))
            family = f"teacher:{words[:80]}"
            yield Example(
                query,
                plan.text(),
                Offer(task.tools, {}, (), ()),
                family=family,
                styles=(task.voice,) if task.voice else (),
                language=task.language,
                source="teacher",
                split=side_of(family),
            )


@dataclass(frozen=True, slots=True)
class _Task:
    """What one call asks for; the same call of the same seed always asks for the same."""

    tools: tuple[str, ...]
    voice: str
    language: str
    things: int
    shown: tuple[Seed, ...]

    @classmethod
    def of(cls, call: int, seed: int, tools: Catalogue, seeds: list[Seed]) -> _Task:
        rng = random.Random(f"{seed}:{call}")
        language = rng.choices(list(LANGUAGES), weights=[8, 1, 1])[0]
        shown = rng.sample([seed for seed in seeds if seed.language == language], 3)
        return cls(
            tools=tuple(sorted(rng.sample(list(tools), rng.randint(3, 7)))),
            voice=rng.choice(list(VOICES)),
            language=language,
            things=rng.choice([1, 1, 2, 2, 3, 4]),
            shown=tuple(shown),
        )

    def prompt(self, tools: Catalogue, count: int) -> str:
        offered = [tools[name] for name in self.tools]
        lookups = [tool for tool in tools.values() if tool.coerces and tool.name not in self.tools]
        lines = ["Tools:", *(f"- {signature(t)}: {t.description}" for t in (*offered, *lookups))]
        rules = [rule for tool in offered for rule in tool.rules]
        lines += ["", "Rules:", *(f"- {rule}" for rule in rules)] if rules else []
        lines += ["", "Examples of the form (not of the wording):"]
        lines += [
            json.dumps({"query": seed.as_written, "plan": _filled(seed)}, ensure_ascii=False) for seed in self.shown
        ]
        things = "one thing" if self.things == 1 else f"{self.things} things in one breath"
        lines += [
            "",
            f"Write {count} requests in {LANGUAGES[self.language]} that these tools serve, each asking for {things}, as said by "
            f"{VOICES[self.voice]}. Each from another life, each built differently.",
        ]
        return "\n".join(lines)


def _filled(seed: Seed) -> Any:
    """Return a seed's plan with its own values in the slots."""

    def said(match: re.Match[str]) -> str:
        return json.dumps(seed.slots[match[1]].value, ensure_ascii=False)[1:-1]

    return json.loads(re.sub(r"\{(\w+)\}", said, json.dumps(seed.calls, ensure_ascii=False)))


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == httpx.codes.TOO_MANY_REQUESTS or error.response.is_server_error
    return isinstance(error, httpx.TimeoutException | httpx.NetworkError | httpx.RemoteProtocolError)


def _wait(error: BaseException | None, attempt: int) -> float:
    """Return the seconds to wait before the next try: what the server asks for, or 1, 2, 4 … up to a minute."""
    if isinstance(error, httpx.HTTPStatusError):
        asked = error.response.headers.get("Retry-After", "")
        if asked.isdigit():
            return min(float(asked), 300.0)
    return min(2.0 ** (attempt - 1), 60.0)


_SYSTEM = """\
You write training data for a small model that turns a person's request into calls of tools.

Answer with one JSON object: {"requests": [{"query": "...", "plan": [["tool", {"argument": value}], ...]}, ...]}.

- A query is what a real person says, with believable names, places, files and times.
- A plan has every call that the query needs and no other, in an order in which results come before they are used: "$1" is the result of the first call.
- Names, file names, places and times stand in the plan word by word as they stand in the query; times are never computed.
- Where an address or a phone number is wanted and a name is said, a lookup comes first. Arguments that were not said are left out.
- Free text, such as the words of a message, is short and says what the query says.
"""
