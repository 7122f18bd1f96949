"""What writes prose: a GGUF model in llama.cpp or an OpenAI-compatible endpoint, behind one interface.

Takes a conversation of chat messages, yields the model's answer piece by piece. Knows nothing of mails and summaries, nor of what is true in
an answer: that is left to `pipeline.agents` and `pipeline.support`. A model is loaded at its first use, used by one caller at a time,
and can be freed and used again.
"""

from __future__ import annotations

import codecs
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from pipeline.errors import TinyAgentError
from pipeline.planners.loading import open_model

if TYPE_CHECKING:
    from pipeline.planners.openai import ChatEndpoint

LOCAL_CONTEXT = 2048  # tokens: what is asked and the answer
ENDPOINT_CONTEXT = 8192  # tokens, of which any server's model has as many
CHARACTERS_PER_TOKEN = 3  # at least, of prose in languages with Latin letters


class TextModelError(TinyAgentError):
    """The writing model cannot be loaded or does not answer."""


class Message(NamedTuple):
    """One turn of a conversation."""

    role: str  # "system", "user" or "assistant"
    content: str


class TextModel(Protocol):
    """Writes prose."""

    @property
    def context(self) -> int:
        """How many tokens the question and the answer may take together."""
        ...

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text takes, about."""
        ...

    def write(self, messages: Sequence[Message], *, most: int) -> Generator[str, None, None]:
        """Yield the answer as it is written, at most `most` tokens; closing the generator stops it.

        Raises:
            TinyAgentError: While iterating: the model cannot be had, or does not answer.
        """
        ...

    def release(self) -> None:
        """Free what the model takes, unless it is in use; it is loaded again when it is needed."""
        ...


class LlamaText:
    """A GGUF model on this machine, by its own chat template; greedy.

    The longest common beginning of a question with the one before is kept in the KV cache, so that examples are read once.

    Args:
        model: Gives the GGUF file when it is needed.
        threads: How many llama.cpp may use; None takes half of the cores, since a planner may be at work beside it.
        gpu_layers: How many layers to offload; -1 is all.
    """

    def __init__(self, model: Callable[[], Path], *, threads: int | None = None, gpu_layers: int = -1) -> None:
        self._model = model
        self._threads = threads or max(1, (os.cpu_count() or 1) // 2)
        self._gpu_layers = gpu_layers
        self._lock = threading.Lock()

    @property
    def context(self) -> int:
        """How many tokens the question and the answer may take together."""
        return LOCAL_CONTEXT

    def count_tokens(self, text: str) -> int:
        """Return how many of the model's tokens a text takes."""
        with self._lock:
            return len(self._llama.tokenize(text.encode(), add_bos=False, special=False))

    def write(self, messages: Sequence[Message], *, most: int) -> Generator[str, None, None]:
        """Yield the answer as it is written; see `TextModel`."""
        with self._lock:
            llama = self._llama
            tokens = self._tokens(messages)
            if len(tokens) > LOCAL_CONTEXT - most:
                raise TextModelError(
                    f"what is asked takes {len(tokens)} tokens, and there is room for {LOCAL_CONTEXT - most}"
                )
            self._prefill(tokens)
            utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
            for _ in range(most):
                token = int(self._logits().argmax())
                if self._ends(token):
                    return
                yield utf8.decode(llama.detokenize([token]))
                self._eval([token])

    def release(self) -> None:
        """Free the model, unless it is in use."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if "_llama" in self.__dict__:
                self._llama.close()
                del self.__dict__["_llama"]
        finally:
            self._lock.release()

    def _tokens(self, messages: Sequence[Message]) -> list[int]:
        """Return the conversation in the model's template. The template's marks are tokens of their own; in what is said, nothing is."""
        template = self._llama.metadata.get("tokenizer.chat_template")
        gaps = [f"\x00{number}\x00" for number in range(len(messages))]
        if template:
            from llama_cpp.llama_chat_format import Jinja2ChatFormatter

            formatter = Jinja2ChatFormatter(template, eos_token="", bos_token="")
            frame = formatter(
                messages=[{"role": m.role, "content": gap} for m, gap in zip(messages, gaps, strict=True)]
            ).prompt
        else:
            frame = "\n\n".join(gaps) + "\n"
        tokens: list[int] = []
        for message, gap in zip(messages, gaps, strict=True):
            before, _, frame = frame.partition(gap)
            tokens += self._llama.tokenize(before.encode(), add_bos=not tokens, special=True)
            tokens += self._llama.tokenize(message.content.encode(), add_bos=False, special=False)
        tokens += self._llama.tokenize(frame.encode(), add_bos=False, special=True)
        return tokens

    def _prefill(self, tokens: list[int]) -> None:
        llama = self._llama
        held = llama.input_ids[: llama.n_tokens]
        shared = 0
        for old, new in zip(held, tokens[:-1], strict=False):
            if old != new:
                break
            shared += 1
        llama.n_tokens = shared
        self._eval(tokens[shared:])

    def _eval(self, tokens: list[int]) -> None:
        try:
            self._llama.eval(tokens)
        except RuntimeError as error:
            self._llama.reset()
            raise TextModelError(f"llama.cpp failed: {error}", fix="close some programs, and try again") from error

    def _logits(self) -> Any:
        import llama_cpp

        pointer = llama_cpp.llama_get_logits_ith(self._llama.ctx, -1)
        return np.ctypeslib.as_array(pointer, shape=(self._llama.n_vocab(),))

    def _ends(self, token: int) -> bool:
        import llama_cpp

        return bool(llama_cpp.llama_vocab_is_eog(llama_cpp.llama_model_get_vocab(self._llama.model), token))

    @cached_property
    def _llama(self) -> Any:
        path = self._model()
        try:
            return open_model(
                path,
                n_ctx=LOCAL_CONTEXT,
                n_threads=self._threads,
                n_threads_batch=self._threads,
                n_gpu_layers=self._gpu_layers,
                verbose=False,
            )
        except (ValueError, RuntimeError) as error:
            raise TextModelError(
                f"{path} is not a model that llama.cpp can load: {error}",
                fix="set writer.model to another GGUF file",
            ) from error


class EndpointText:
    """A model behind an OpenAI-compatible endpoint. If that is elsewhere, what is written about leaves this machine."""

    def __init__(self, endpoint: ChatEndpoint) -> None:
        self._endpoint = endpoint

    @property
    def context(self) -> int:
        """How many tokens the question and the answer may take together."""
        return ENDPOINT_CONTEXT

    def count_tokens(self, text: str) -> int:
        """Return an estimate that is rather too high: the model's tokenizer is on the server."""
        return -(-len(text) // CHARACTERS_PER_TOKEN)

    def write(self, messages: Sequence[Message], *, most: int) -> Generator[str, None, None]:
        """Yield the answer as the server streams it; see `TextModel`. The server's own limit holds, not `most`."""
        with closing(_generator(self._endpoint.chat([m._asdict() for m in messages]))) as pieces:
            yield from pieces

    def release(self) -> None:
        """Keep the connections: they take little."""


def _generator(pieces: Iterator[str]) -> Generator[str, None, None]:
    yield from pieces
