"""The short way: consumers whose effects lie on the shard of their events take them there, in one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tradepost.events import store
from tradepost.events.consuming import Lease, consume_here
from tradepost.events.deferred import Deferred
from tradepost.events.model import LeaseLost, is_storage_trouble
from tradepost.events.subscriber import ConsumerSubscriber
from tradepost.kernel.tx import Storage


def is_local(db: Storage, subscriber: ConsumerSubscriber) -> bool:
    """Whether every effect of this consumer lies on the shard of its event."""
    return subscriber.consumer.genes is None or db.shards == 1


class Local:
    """Gives local consumers a stretch of the stream together; when one of them fails, to each alone by its rows."""

    def __init__(self, db: Storage, deferred: Deferred, subscribers: Sequence[ConsumerSubscriber]) -> None:
        self._db = db
        self._deferred = deferred
        self._subscribers = tuple(subscribers)

    @property
    def types(self) -> frozenset[str]:
        """What they want to hear."""
        return frozenset(kind for each in self._subscribers for kind in each.consumer.types)

    async def take(
        self, shard: int, after: int, stretch: store.Stretch, limit: int, lease: Lease | None
    ) -> bool:
        """Consume a stretch behind `after`, or let it wait durably; whether the cursor moved in the same commit.

        Raises LeaseLost, and Refusal `storage.*` when the storage cannot commit: give it again.
        """
        wanted = [each for each in self._subscribers if not stretch.types.isdisjoint(each.consumer.types)]
        if not wanted:
            return False
        if not any(self._deferred.holds_any(each.consumer.name) for each in wanted):
            consumers = [each.consumer for each in wanted]
            try:
                await self._db.transact(shard, consume_here, consumers, after, stretch.upto, limit, lease)
                return lease is not None
            except LeaseLost:
                raise
            except Exception as error:
                if is_storage_trouble(error):
                    raise
        await self._one_by_one(shard, wanted, after, stretch, limit)
        return False

    async def _one_by_one(
        self, shard: int, wanted: Sequence[ConsumerSubscriber], after: int, stretch: store.Stretch, limit: int
    ) -> None:
        types = sorted(stretch.types & self.types)
        rows = await self._db.read(shard, store.scan, after, stretch.upto, limit, types)
        deliveries = []
        for each in wanted:
            mine = [row for row in rows if row.type in each.consumer.types]
            deliveries.append(each.deliver(shard, mine, stretch.upto))
        for answer in await asyncio.gather(*deliveries, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
