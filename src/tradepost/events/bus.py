"""The bus port: rows go in ordered by aggregate, and every subscription gets those of its types at least once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tradepost.kernel.events import EventRow

Deliver = Callable[[int, Sequence[EventRow], int], Awaitable[None]]
"""`deliver(shard, rows, upto)` returns when it has taken rows of one shard durably; raising means: send them again.

A positive `upto` promises that the subscription was given everything of its types up to this sequence. Who cannot
promise it says 0, as a broker must, whose queues run apart; then every event is noted by itself.
"""


class Bus(Protocol):
    """At least once, in order per aggregate. A broker adapter keys its queues by aggregate id."""

    def subscribe(self, name: str, types: Sequence[str], deliver: Deliver) -> None:
        """Deliver events of these types to `deliver` under a lasting name."""
        ...

    async def publish(self, shard: int, rows: Sequence[EventRow], upto: int) -> None:
        """Take the relay's next rows, all that are wanted of a shard up to a sequence.

        Return when the bus has the rows for good; raises when it may not have them.
        """
        ...


class DirectBus:
    """Publishing is delivering: every subscription takes its rows at once and in this process."""

    def __init__(self) -> None:
        self._subscriptions: list[tuple[frozenset[str], Deliver]] = []

    def subscribe(self, name: str, types: Sequence[str], deliver: Deliver) -> None:
        """See `Bus.subscribe`."""
        self._subscriptions.append((frozenset(types), deliver))

    async def publish(self, shard: int, rows: Sequence[EventRow], upto: int) -> None:
        """See `Bus.publish`; subscriptions run side by side and share the storage's group commit."""
        deliveries = []
        for types, deliver in self._subscriptions:
            wanted = [row for row in rows if row.type in types]
            if wanted:
                deliveries.append(deliver(shard, wanted, upto))
        answers = await asyncio.gather(*deliveries, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
