"""Examples → rows of tokens: requests with one list of tools packed behind it, so that it is computed once for all."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.spec import Catalogue
from training.examples import Example

Encode = Callable[[str], Sequence[int]]
END = "<|im_end|>"  # of a completion


@dataclass(frozen=True, slots=True)
class Row:
    """Examples with one list of tools, packed: the tokens that all share once, then each one's own.

    What is computed is the same as with a row for each example: an example's tokens see the shared beginning and
    themselves, at the positions that they would have alone.
    """

    shared: tuple[int, ...]
    own: tuple[tuple[tuple[int, ...], int], ...]  # token ids, and how many of them are the prompt's

    def __len__(self) -> int:
        return len(self.shared) + sum(len(ids) for ids, _ in self.own)

    @property
    def learnt(self) -> int:
        """How many tokens there is loss on."""
        return sum(len(ids) - prompt for ids, prompt in self.own)


def pack(examples: Sequence[Example], tools: Catalogue, encode: Encode, most: int) -> Row:
    """Return examples as one row; the last ones are left out if it would have more than `most` tokens."""
    prompts = [encode(example.prompt(tools)) for example in examples]
    alike = itertools.takewhile(lambda tokens: len(set(tokens)) == 1, zip(*prompts, strict=False))
    shared = prompts[0][: min(sum(1 for _ in alike), min(map(len, prompts)) - 1)]
    own: list[tuple[tuple[int, ...], int]] = []
    length = len(shared)
    for example, prompt in zip(examples, prompts, strict=True):
        ids = (*prompt[len(shared) :], *encode(example.plan + END))
        if own and length + len(ids) > most:
            break
        length += len(ids)
        own.append((ids, len(prompt) - len(shared)))
    return Row(tuple(shared), tuple(own))


def batches(rows: Iterator[Row], size: int, rng: random.Random) -> Iterator[list[Row]]:
    """Group rows of like length, in random order of the groups."""
    while pool := list(itertools.islice(rows, size * 25)):
        pool.sort(key=len)
        groups = [pool[i : i + size] for i in range(0, len(pool), size)]
        rng.shuffle(groups)
        yield from groups


def parts(batch: Sequence[Row], most: int) -> Iterator[Sequence[Row]]:
    """Cut a batch so that each part, padded, has at most `most` tokens."""
    count = max(1, most // max(len(row) for row in batch))
    return (batch[i : i + count] for i in range(0, len(batch), count))
