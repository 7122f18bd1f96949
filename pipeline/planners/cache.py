"""What a llama.cpp context holds: the tokens whose keys and values are in its cache, and the logits after the last of them.

Of a new prompt only what differs from what is held is evaluated. Tokens that were evaluated on a guess are dropped again at no cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class KeyValueCache:
    """The cache of one context, for one sequence.

    Args:
        llama: A `llama_cpp.Llama`.
    """

    def __init__(self, llama: Any) -> None:
        import llama_cpp

        self._llama, self._width = llama, llama.n_vocab()
        self._memory = llama_cpp.llama_get_memory(llama.ctx)
        self._batch = llama_cpp.llama_batch_init(llama.n_batch, 0, 1)
        self._tokens: list[int] = []
        self._rows = 0  # of logits, that the last evaluation left

    def __len__(self) -> int:
        return len(self._tokens)

    def hold(self, prompt: Sequence[int]) -> int:
        """Hold a prompt and nothing else; return how many of its tokens did not have to be evaluated."""
        shared = 0
        for old, new in zip(self._tokens, prompt[:-1], strict=False):  # the last one is evaluated for its logits
            if old != new:
                break
            shared += 1
        self.drop(len(self._tokens) - shared)
        if prompt:
            self.extend(prompt[shared:])
        return shared

    def extend(self, tokens: Sequence[int], *, rows: int = 1) -> None:
        """Evaluate more tokens, in one pass where they fit a batch.

        Args:
            tokens: At least one.
            rows: For how many of them, the last ones, logits are wanted.

        Raises:
            RuntimeError: llama.cpp cannot.
        """
        import llama_cpp

        batch, last = self._batch, len(tokens) - rows
        for start in range(0, len(tokens), self._llama.n_batch):
            piece = tokens[start : start + self._llama.n_batch]
            batch.n_tokens = len(piece)
            for i, token in enumerate(piece):
                batch.token[i] = token
                batch.pos[i] = len(self._tokens) + i
                batch.n_seq_id[i] = 1
                batch.seq_id[i][0] = 0
                batch.logits[i] = start + i >= last
            if code := llama_cpp.llama_decode(self._llama.ctx, batch):
                self.drop(0)  # of what it may have begun
                raise RuntimeError(f"llama_decode returned {code}")
            self._tokens += piece
        self._rows = rows

    def drop(self, count: int) -> None:
        """Forget the last `count` tokens."""
        import llama_cpp

        del self._tokens[len(self._tokens) - count :]
        llama_cpp.llama_memory_seq_rm(self._memory, 0, len(self._tokens), -1)

    def logits(self, row: int = -1) -> NDArray[np.float32]:
        """Return the logits after a token, shape (vocabulary,): a view that the next evaluation overwrites.

        Args:
            row: Which of those that the last evaluation left, the first being 0 and the last -1.
        """
        import llama_cpp

        pointer = llama_cpp.llama_get_logits_ith(self._llama.ctx, row if row < 0 else row - self._rows)
        return np.ctypeslib.as_array(pointer, shape=(self._width,))

    def close(self) -> None:
        """Free the batch; the context is the model's own."""
        import llama_cpp

        llama_cpp.llama_batch_free(self._batch)
