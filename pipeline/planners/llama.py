"""The on-device planner: a small model in llama.cpp that writes a plan under the plan language's grammar.

Takes a `PlanRequest`, yields the plan's text as it is written. Decoding is greedy: the model's own best token is taken when the
grammar admits it, and only when it does not is the mask over the vocabulary computed (llguidance). Tokens that the grammar
forces are appended without asking the model, and words that the plan seems to copy from the request are guessed and checked several in
one pass (`pipeline.planners.speculation`), which changes nothing but the time. While a tool's name is written, what the classifier
thinks of the tools weighs beside the model's own opinion. The prompt's longest common prefix with the one before is kept in the KV
cache. One request at a time: a second one waits for the lock.
"""

from __future__ import annotations

import codecs
import os
import re
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.grammar import MAX_STEPS, step_grammar
from pipeline.plan import END_OF_PLAN, JOIN, PlanParser
from pipeline.planners.base import PlannerError, PlanRequest
from pipeline.planners.cache import KeyValueCache
from pipeline.planners.loading import open_model
from pipeline.planners.speculation import guess
from pipeline.prompt import chat_system, chat_user, compact, tinyagent
from pipeline.spec import ToolSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRUST = 0.7  # in the classifier, while a tool's name is written; see `LlamaPlanner`
LEAST_WEIGHT = 0.01  # of a tool's name in the eyes of the classifier, which may err
# Of a tool, in the eyes of the classifier: a plan does not end without it. At 0.8, plans of the development set get needless calls.
CERTAIN = 0.98
MORE_CHARACTERS = 40  # that a string of the plan may have beyond the request's length
CONTEXT = 2048  # tokens: prompt and plan
MAX_STEP_TOKENS = 400  # a step that is longer is a model that repeats itself

_NUMBER = re.compile(r"\d+\. ?")  # of a step
_NEVER = 1e-12  # a weight that no model outbids


@dataclass(slots=True)
class Counts:
    """What a plan took, in tokens and in passes of the model."""

    prompt: int = 0
    reused: int = 0  # of the prompt: they were in the cache
    written: int = 0
    forced: int = 0  # of these: the grammar left no choice
    guessed: int = 0  # checked beside others in one pass
    right: int = 0  # of the guessed ones
    passes: int = 0  # of the model, after the prompt's


class LlamaPlanner:
    """Plans with a GGUF model.

    Args:
        model: The GGUF file, with any adapter merged in.
        layout: Of the prompt: "compact" for models that we tuned, "chat" for others that follow instructions, by their
            own chat template; "tinyagent" for the published TinyAgent models, which write full plans, without grammar.
        known: The tools that the model was trained on; the compact prompt describes only others.
        threads: How many threads llama.cpp may use; None takes the number of cores.
        gpu_layers: How many layers to offload (Metal, CUDA); -1 is all.
        trust: In the probabilities of tools that a request comes with: the exponent that they get beside the model's own (shallow
            fusion, arXiv 1712.01996); 0 leaves the choice to the model.
        speculate: Whether words that the plan may copy are guessed.
    """

    def __init__(
        self,
        model: Path,
        *,
        layout: Literal["compact", "chat", "tinyagent"] = "compact",
        known: Collection[str] = (),
        threads: int | None = None,
        gpu_layers: int = -1,
        trust: float = TRUST,
        speculate: bool = True,
    ) -> None:
        self.model = model  # the GGUF file
        self._layout = layout
        self.known = frozenset(known)
        self.threads = threads or os.cpu_count() or 1
        self._gpu_layers = gpu_layers
        self._trust, self._speculate = trust, speculate
        self.counts = Counts()  # of the last plan
        self._lock = threading.Lock()

    def prompt(self, request: PlanRequest) -> str:
        """Return the prompt in the planner's layout."""
        asked, tools, instructions = request.request, request.tools, request.instructions
        match self._layout:
            case "compact":
                return compact(asked, tools, known=self.known, instructions=instructions)
            case "tinyagent":
                return tinyagent(asked, tools, request.now, instructions=instructions, feedback=request.feedback)
            case "chat":
                user = chat_user(asked, instructions=instructions, feedback=request.feedback)
                return self._in_template(chat_system(tools), user)

    def count_tokens(self, text: str) -> int:
        """Return the number of the model's tokens in `text`."""
        return len(self._tokenize(text))

    def stream(self, request: PlanRequest) -> Iterator[str]:
        """Yield the plan's text as it is written; closing the iterator stops the decoding.

        Raises:
            PlannerError: The model cannot be loaded, the prompt does not fit its context, or the plan does not end.
        """
        with self._lock:
            yield from self._decode(request)

    def complete(self, prompt: str, *, stop: str, most: int) -> str:
        """Return what the model writes after `prompt`, greedily, up to `stop` or `most` tokens; for joiners.

        Raises:
            PlannerError: The model cannot be loaded, or the prompt does not fit its context.
        """
        with self._lock:
            tokens = self._llama.tokenize(prompt.encode(), add_bos=True, special=False)
            if len(tokens) > CONTEXT - most:
                raise PlannerError(
                    f"what is to be joined takes {len(tokens)} tokens, and there is room for {CONTEXT - most}"
                )
            cache = self._cache
            cache.hold(tokens)
            utf8, text = codecs.getincrementaldecoder("utf-8")(), ""
            for _ in range(most):
                token = int(cache.logits().argmax())
                if token == self._llama.token_eos():
                    break
                text += utf8.decode(self._vocabulary.decode_bytes([token]))
                if stop in text:
                    break
                cache.extend([token])
            return text.partition(stop)[0]

    def load(self) -> None:
        """Load the model, its cache and its vocabulary. See `Loadable`."""
        with self._lock:
            self._cache, self._vocabulary  # noqa: B018

    def forget(self) -> None:
        """Empty the cache, so that the next prompt is evaluated whole; for measurements."""
        with self._lock:
            self._cache.hold(())

    def close(self) -> None:
        """Free the model."""
        with self._lock:
            if "_cache" in self.__dict__:
                self._cache.close()
                del self.__dict__["_cache"]
            if "_llama" in self.__dict__:
                self._llama.close()
                del self.__dict__["_llama"]

    def _decode(self, request: PlanRequest) -> Iterator[str]:
        prompt = self._tokenize(self.prompt(request))
        if len(prompt) > CONTEXT - MAX_STEP_TOKENS:
            raise PlannerError(
                f"the request and its tools take {len(prompt)} tokens, and the model has room for {CONTEXT}",
                fix="shorten the request, or select fewer tools",
            )
        try:
            self.counts = Counts(len(prompt), self._cache.hold(prompt))
            yield from self._freely() if self._layout == "tinyagent" else self._by_grammar(request, prompt)
        except RuntimeError as error:
            raise PlannerError(
                f"the model failed: {error}", fix="try again; 'tinyagent doctor' looks at the model"
            ) from error

    def _by_grammar(self, request: PlanRequest, prompt: Sequence[int]) -> Iterator[str]:
        """Decode step by step, each under the grammar that the steps before it allow."""
        cache, counts = self._cache, self.counts
        written: list[int] = []
        pending: list[int] = []  # written, but not yet given to the model
        ahead: list[int] = []  # given to the model on a guess, but not yet written
        row = -1  # of the logits, after the last token that is written and given to the model
        called: list[ToolSpec] = []
        calls: set[str] = set()
        utf8 = codecs.getincrementaldecoder("utf-8")()  # a character may be cut between two tokens
        for _ in range(MAX_STEPS + 1):
            matcher = self._matcher(request, called)
            weights = _weights(request, called)
            text = ""
            for _ in range(MAX_STEP_TOKENS):
                tokens = matcher.compute_ff_tokens()
                counts.forced += len(tokens)
                if not tokens:
                    if pending:
                        room = CONTEXT - len(cache) - len(pending)
                        if room < 0:
                            raise PlannerError(
                                "the plan is longer than the model can hold", fix="ask for less at a time"
                            )
                        copying = self._speculate and text.count('"') % 2 == 1  # in a string
                        ahead = guess(written, prompt)[:room] if copying else []
                        cache.extend([*pending, *ahead], rows=1 + len(ahead))
                        counts.passes, counts.guessed = counts.passes + 1, counts.guessed + len(ahead)
                        pending, row = [], 0
                    tokens = [self._best(matcher, weights, text, cache.logits(row))]
                if not matcher.consume_tokens(tokens):
                    raise PlannerError(f"the grammar refused its own token: {matcher.get_error()}")
                for token in tokens:
                    if not pending and ahead and ahead[0] == token:
                        del ahead[0]
                        counts.right, row = counts.right + 1, row + 1
                        continue
                    if ahead:
                        cache.drop(len(ahead))
                        ahead = []
                    pending.append(token)
                written += tokens
                counts.written = len(written)
                piece = utf8.decode(self._vocabulary.decode_bytes(tokens))
                text += piece
                yield piece
                if matcher.is_stopped() or (text.endswith("\n") and matcher.is_accepting()):
                    break
            else:
                raise PlannerError("the model does not come to the end of a step", fix="word the request differently")
            if not text.endswith("\n"):
                return
            call = _NUMBER.sub("", text)
            called.append(request.tools[call.split("(", 1)[0]])
            if call in calls:  # the model repeats itself: nothing new will come
                yield f"{len(called) + 1}. {JOIN}()"
                return
            calls.add(call)
        raise PlannerError(f"the plan has more than {MAX_STEPS} steps", fix="ask for less at a time")

    def _freely(self) -> Iterator[str]:
        """Decode until the plan ends."""
        cache, counts = self._cache, self.counts
        parser, utf8 = PlanParser(), codecs.getincrementaldecoder("utf-8")()
        for _ in range(CONTEXT - len(cache)):
            token = int(cache.logits().argmax())
            if token == self._llama.token_eos():
                return
            piece = utf8.decode(self._vocabulary.decode_bytes([token]))
            yield piece
            list(parser.feed(piece))
            if parser.done or END_OF_PLAN in piece:
                return
            cache.extend([token])
            counts.passes, counts.written = counts.passes + 1, counts.written + 1
        raise PlannerError("the model does not come to the end of the plan", fix="word the request differently")

    def _in_template(self, system: str, user: str) -> str:
        """Return the two messages in the model's own chat template."""
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        template = self._llama.metadata.get("tokenizer.chat_template")
        if not template:
            return f"{system}\n\n{user}\n"
        end = self._vocabulary.decode_str([self._llama.token_eos()])
        formatter = Jinja2ChatFormatter(template, eos_token=end, bos_token="")
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        text: str = formatter(messages=messages).prompt
        return text

    def _best(self, matcher: Any, weights: Mapping[str, float], text: str, logits: NDArray[np.float32]) -> int:
        """Return the most likely token that the grammar admits, the tool's name weighed by what the classifier says."""
        best = int(logits.argmax())
        choosing = weights and "(" not in text
        if not choosing and matcher.validate_tokens([best]) == 1:
            return best
        mask = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(mask, bitorder="little")[: len(logits)].astype(bool)
        if not allowed.any():
            raise PlannerError(f"the grammar admits nothing: {matcher.get_error()}")
        if choosing:
            (admitted,) = allowed.nonzero()
            pieces = (self._vocabulary.decode_bytes([int(token)]).decode(errors="replace") for token in admitted)
            begun = [_NUMBER.sub("", text + piece) for piece in pieces]
            reached = [
                max((w for name, w in weights.items() if name.startswith(b[: len(name)])), default=1.0) for b in begun
            ]
            return int(admitted[(logits[admitted] + self._trust * np.log(reached)).argmax()])
        return int(np.where(allowed, logits, -np.inf).argmax())

    def _matcher(self, request: PlanRequest, called: list[ToolSpec]) -> Any:
        from llguidance import LLMatcher

        # What a planner writes are the person's words: no string is much longer than all of them.
        grammar = step_grammar(
            request.tools,
            [tool.returns.type for tool in called],
            longest=len(request.request) + MORE_CHARACTERS,
            said=[" ".join(text.split()) for text in (request.request, *request.instructions)],
            times=request.times,
            named=request.named,
        )
        matcher = LLMatcher(self._vocabulary, LLMatcher.grammar_from_lark(grammar))
        if matcher.is_error():
            raise PlannerError(f"the grammar of the selected tools is not accepted: {matcher.get_error()}")
        return matcher

    def _tokenize(self, text: str) -> list[int]:
        # A template's marks are tokens of their own; in the compact prompt nothing is, least of all the user's text.
        special = self._layout != "compact"
        tokens: list[int] = self._llama.tokenize(text.encode(), add_bos=special, special=special)
        return tokens

    @cached_property
    def _llama(self) -> Any:
        if not self.model.is_file():
            raise PlannerError(f"no model at {self.model}", fix="'tinyagent models list' shows what can be had")
        try:
            return open_model(
                self.model,
                n_ctx=CONTEXT,
                n_threads=self.threads,
                n_threads_batch=self.threads,
                n_gpu_layers=self._gpu_layers,
                verbose=False,
            )
        except (ValueError, RuntimeError) as error:
            raise PlannerError(
                f"{self.model} is not a model that llama.cpp can load: {error}",
                fix="'tinyagent models pull' fetches it anew",
            ) from error

    @cached_property
    def _cache(self) -> KeyValueCache:
        return KeyValueCache(self._llama)

    @cached_property
    def _vocabulary(self) -> Any:
        import llama_cpp
        from llguidance.llamacpp import lltokenizer_from_vocab

        return lltokenizer_from_vocab(llama_cpp.llama_model_get_vocab(self._llama.model))


def _weights(request: PlanRequest, called: Sequence[ToolSpec]) -> Mapping[str, float]:
    """Return for each tool, and for the end of the plan, how likely the classifier makes it the next; empty if it says nothing.

    A tool that was called already may well be called again; the plan is at its end when nothing likely is missing, and not before what is
    certain is there: a small model likes to take "and put lunch into my calendar" for a part of the message before it.
    """
    if not request.probabilities:
        return {}
    done = {tool.name for tool in called}
    missing = {name: request.probabilities.get(name, 0.5) for name in request.tools if name not in done}
    likeliest = max(missing.values(), default=0.0)
    weights = dict.fromkeys(done, 0.5) | missing | {JOIN: 1 - likeliest}
    bounded = {f"{name}(": min(max(weight, LEAST_WEIGHT), 1 - LEAST_WEIGHT) for name, weight in weights.items()}
    return bounded | ({f"{JOIN}(": _NEVER} if likeliest >= CERTAIN else {})
