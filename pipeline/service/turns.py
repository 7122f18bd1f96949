"""Whose turn it is at the model: a fair, bounded queue of those who wait for it.

One model context serves one request at a time. Clients take turns (round robin); the requests of one client keep their order. At most so many
wait, at most half of them of one client, so that none can shut out the others; what is beyond is refused with when to come again. It knows
nothing of what is done in a turn.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from typing import Self

from pipeline.errors import TinyAgentError

LONGEST_S = 60  # that anybody is told to wait before they come again


class Busy(TinyAgentError):
    """More is under way or waits than the service takes on. `seconds` is when to come again."""

    def __init__(self, what: str, seconds: int) -> None:
        super().__init__(what, fix=f"try again in {seconds} s")
        self.seconds = seconds


class Turns:
    """The queue.

    Args:
        waiting: How many may wait.
    """

    def __init__(self, waiting: int) -> None:
        self._most = waiting
        self._queues: OrderedDict[str, deque[Ticket]] = OrderedDict()  # in the order of the clients' next turns
        self._held: Ticket | None = None
        self._seconds = 1.0  # that a turn takes, smoothed

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._queues.values()))

    def ticket(self, client: str, *, bounded: bool = True) -> Ticket:
        """Return a place in the queue, to be entered with `async with` or given back with `discard`.

        Args:
            client: Who asks.
            bounded: Whether it may be refused; not so for more work on what was taken on already.

        Raises:
            Busy: Too many wait.
        """
        mine = len(self._queues.get(client, ()))
        if bounded and self._held and (self.waiting >= self._most or mine >= max(1, self._most // 2)):
            raise Busy(f"{self.waiting} requests wait for the model already", self.come_again())
        ticket = Ticket(self, client)
        self._queues.setdefault(client, deque()).append(ticket)
        self._call_next()
        return ticket

    def come_again(self) -> int:
        """Return in how many seconds about half of those who wait now will have had their turn."""
        return min(LONGEST_S, max(1, math.ceil(self.waiting / 2 * self._seconds)))

    def ahead(self, ticket: Ticket) -> int:
        """Return how many turns there are before a ticket's, as things stand; 0 if it is its turn."""
        if ticket is self._held or ticket.client not in self._queues:
            return 0
        place = self._queues[ticket.client].index(ticket)
        clients = list(self._queues)
        mine = clients.index(ticket.client)
        others = (min(len(self._queues[c]), place + (i < mine)) for i, c in enumerate(clients) if i != mine)
        return place + sum(others) + (self._held is not None)

    def free(self, ticket: Ticket) -> None:
        """Take a ticket out of the queue, or its turn from it."""
        if ticket is self._held:
            self._held = None
            if ticket.entered is not None:
                self._seconds += 0.2 * (time.monotonic() - ticket.entered - self._seconds)
            self._call_next()
        elif ticket in (queue := self._queues.get(ticket.client, deque())):
            queue.remove(ticket)
            if not queue:
                del self._queues[ticket.client]

    def _call_next(self) -> None:
        if self._held or not self._queues:
            return
        client, queue = self._queues.popitem(last=False)
        self._held = queue.popleft()
        if queue:
            self._queues[client] = queue  # after all others
        self._held.called.set()


class Ticket:
    """A place in the queue, then a turn."""

    def __init__(self, turns: Turns, client: str) -> None:
        self._turns, self.client = turns, client
        self.called = asyncio.Event()
        self.entered: float | None = None  # when its turn began, by the monotonic clock

    async def __aenter__(self) -> Self:
        """Wait for the turn."""
        try:
            await self.called.wait()
        except asyncio.CancelledError:
            self.discard()
            raise
        self.entered = time.monotonic()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the turn."""
        self.discard()

    def discard(self) -> None:
        """Give the place or the turn back; once is enough."""
        self._turns.free(self)
