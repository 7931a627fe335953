"""The bus port: rows go in ordered by aggregate, and every subscription gets those of its types at least once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from tradepost.kernel.events import EventRow

Deliver = Callable[[int, Sequence[EventRow], int], Awaitable[None]]
"""`deliver(shard, rows, upto)` returns when it has taken rows of one shard durably; raising means: send them again.

A positive `upto` promises that the subscription was given everything of its types up to this sequence. Who cannot
promise it says 0, as a broker must, whose queues run apart; then every event is noted by itself.
"""


class Moment(msgspec.Struct, frozen=True):
    """Events of this type name, in milliseconds in this field of theirs, when a sweep of their shard has work."""

    type: str
    field: str
    sweep: str


class Reminder(msgspec.Struct, frozen=True):
    """A sweep of a shard has work from this moment on."""

    sweep: str
    shard: int
    at_ms: int


Hear = Callable[[Reminder], Awaitable[None]]
"""Told of a reminder whose moment has come."""


class Bus(Protocol):
    """At least once, in order per aggregate. A broker adapter keeps the events of one aggregate in one queue."""

    is_shared: bool
    """Whether other processes take part in the same subscriptions, so that no memory here is the whole truth."""

    def subscribe(self, name: str, types: Sequence[str], deliver: Deliver) -> None:
        """Deliver events of these types to `deliver` under a lasting name."""
        ...

    def listen(self, moments: Sequence[Moment], hear: Hear) -> None:
        """Call `hear` when a moment that a published event named has come.

        It may be called late, twice, in another process or not at all: the sweeps look by themselves.
        """
        ...

    async def publish(self, shard: int, rows: Sequence[EventRow], upto: int) -> None:
        """Take the relay's next rows, all that are wanted of a shard up to a sequence.

        Return when the bus has the rows for good; raises when it may not have them.
        """
        ...

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver what others and this process published until `stop` is set; pages under way are finished.

        Raises Refusal `messaging.missing` when the bus lacks what it needs.
        """
        ...

    def gauges(self) -> Mapping[str, int]:
        """Numbers for /metrics and health, from memory alone."""
        ...

    async def close(self) -> None:
        """Give connections back, after `run` has ended."""
        ...


class DirectBus:
    """Publishing is delivering: every subscription takes its rows at once and in this process."""

    is_shared = False

    def __init__(self) -> None:
        self._subscriptions: list[tuple[frozenset[str], Deliver]] = []

    def subscribe(self, name: str, types: Sequence[str], deliver: Deliver) -> None:
        """See `Bus.subscribe`."""
        self._subscriptions.append((frozenset(types), deliver))

    def listen(self, moments: Sequence[Moment], hear: Hear) -> None:
        """See `Bus.listen`; the sweeps of this process are never late, so nobody is reminded."""

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

    async def run(self, stop: asyncio.Event) -> None:
        """See `Bus.run`; everything was delivered when it was published."""
        await stop.wait()

    def gauges(self) -> Mapping[str, int]:
        """See `Bus.gauges`; there is nothing that the outbox does not tell."""
        return {}

    async def close(self) -> None:
        """See `Bus.close`."""
