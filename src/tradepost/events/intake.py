"""Intake: a subscription fed by a bus that other processes share, so what waits is looked up and not remembered."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

from tradepost.events import store
from tradepost.events.deferred import as_deliveries
from tradepost.events.model import Overtaken, Retry, is_storage_trouble
from tradepost.events.subscriber import ConsumerSubscriber
from tradepost.kernel.events import Consumer, EventRow, Task
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World

OVERTAKEN_MAX = 20
OVERTAKEN_PAUSE_S = 0.005


class SharedLedge:
    """A `Ledge` of one page: what was held when the page came, and a place in the database for what has to wait."""

    def __init__(self, db: Storage, world: World, retry: Retry, held: frozenset[str]) -> None:
        self._db = db
        self._world = world
        self._retry = retry
        self._held = held

    def holds(self, name: str, aggregate_id: str) -> bool:
        """See `Ledge.holds`."""
        return aggregate_id in self._held

    async def put(
        self, shard: int, name: str, rows: Sequence[EventRow], errors: dict[str, BaseException]
    ) -> None:
        """See `Ledge.put`. Whoever holds the shard's lease works on it from there."""
        wanted = as_deliveries(name, rows, errors, self._world, self._retry)
        await self._db.transact(shard, store.put_deliveries, wanted)


class Intake:
    """Takes pages of one subscription as they come from a bus.

    An aggregate of which something waits already is queued behind it; an event that fails is set apart with the
    later ones of its aggregate, and the page counts as taken. So the bus is never asked to repeat an event that
    failed, only one that the database could not take.
    """

    def __init__(
        self,
        db: Storage,
        world: World,
        retry: Retry,
        consumer: Consumer,
        woken: Callable[[], None],
        *,
        holds_back: bool = True,
    ) -> None:
        self._db = db
        self._world = world
        self._retry = retry
        self._consumer = consumer
        self._woken = woken
        self._holds_back = holds_back

    async def deliver(self, shard: int, rows: Sequence[EventRow], upto: int) -> None:
        """See `bus.Deliver`. Raises when the storage cannot commit."""
        for _ in range(OVERTAKEN_MAX):
            try:
                await self._take(shard, rows, upto)
                return
            except Overtaken:  # another process consumed at the same time: the rest stands in the new order
                await asyncio.sleep(OVERTAKEN_PAUSE_S * (1 + self._world.chance(8) / 64))
        await self._take(shard, rows, upto)

    async def _take(self, shard: int, rows: Sequence[EventRow], upto: int) -> None:
        ledge = await self._ledge(shard, rows)
        try:
            await ConsumerSubscriber(self._db, self._world, self._consumer, ledge).deliver(shard, rows, upto)
        except Exception as error:
            if is_storage_trouble(error):
                raise
            await self._set_apart(shard, rows, upto, ledge, error)
        if not self._holds_back:
            self._woken()

    async def _ledge(self, shard: int, rows: Sequence[EventRow]) -> SharedLedge:
        held: frozenset[str] = frozenset()
        if self._holds_back:
            keys = list(dict.fromkeys((row.gene, self._consumer.name, row.aggregate_id) for row in rows))
            held = frozenset(await self._db.read(shard, store.open_among, keys))
        return SharedLedge(self._db, self._world, self._retry, held)

    async def _set_apart(
        self, shard: int, rows: Sequence[EventRow], upto: int, ledge: SharedLedge, error: Exception
    ) -> None:
        """The page failed before the consumer saw it: find the aggregate that is to blame, and let that one wait."""
        lines: dict[str, list[EventRow]] = defaultdict(list)
        for row in rows:
            lines[row.aggregate_id].append(row)
        if len(lines) == 1:
            await ledge.put(shard, self._consumer.name, rows, {rows[0].aggregate_id: error})
            return
        for line in lines.values():
            await self._take(shard, line, upto)


def noting(task: Task) -> Consumer:
    """A consumer whose effect is that a task's events wait for the task: noted once, however often they arrive."""
    return Consumer(task.name, task.types, partial(note_events, task.name))


def note_events(name: str, tx: Tx, rows: Sequence[EventRow]) -> None:
    """Let events wait for a task, due at once."""
    store.put_deliveries(
        tx,
        [
            store.Delivery(
                row.gene, name, row.aggregate_id, row.version, store.WAITING, 0, row.at_ms, "", row.at_ms
            )
            for row in rows
        ],
    )
