"""The bus port: rows go in ordered by aggregate, and every subscription gets those of its types at least once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tradepost.kernel.events import EventRow

Deliver = Callable[[int, Sequence[EventRow]], Awaitable[None]]
"""`deliver(shard, rows)` returns when it has taken the rows of one shard durably; raising means: send them again."""


class Bus(Protocol):
    """At least once, in order per aggregate. A broker adapter keys its queues by aggregate id."""

    def subscribe(self, name: str, types: Sequence[str], deliver: Deliver) -> None:
        """Deliver events of these types to `deliver` under a lasting name."""
        ...

    async def publish(self, shard: int, rows: Sequence[EventRow]) -> None:
        """Return when the bus has the rows for good; raises when it may not have them."""
        ...


class DirectBus:
    """Publishing is delivering: every subscription takes its rows at once and in this process."""

    def __init__(self) -> None:
        self._subscriptions: list[tuple[frozenset[str], Deliver]] = []

    def subscribe(self, name: str, types: Sequence[str], deliver: Deliver) -> None:
        """See `Bus.subscribe`."""
        self._subscriptions.append((frozenset(types), deliver))

    async def publish(self, shard: int, rows: Sequence[EventRow]) -> None:
        """See `Bus.publish`; subscriptions run side by side and share the storage's group commit."""
        deliveries = []
        for types, deliver in self._subscriptions:
            wanted = [row for row in rows if row.type in types]
            if wanted:
                deliveries.append(deliver(shard, wanted))
        answers = await asyncio.gather(*deliveries, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
