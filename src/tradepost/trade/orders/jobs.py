"""Timers of orders: payment deadline, end of the remorse window, completion. Ship-by belongs to aftersales."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tradepost.kernel.events import Sweep
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World
from tradepost.trade.orders import api, store
from tradepost.trade.orders.model import DELIVERED, ON_HOLD, UNPAID


def due(tx: Tx, now_ms: int, limit: int) -> list[str]:
    """Ids of orders whose state ends by itself and has."""
    found: list[str] = []
    for state in (UNPAID, ON_HOLD, DELIVERED):
        if len(found) < limit:
            found += store.due_orders(tx, state, now_ms, limit - len(found))
    return found


def sweeps(db: Storage, world: World) -> list[Sweep]:
    """The timers, bound to a storage and a world."""

    async def act(order_ids: Sequence[str]) -> None:
        by_shard: dict[int, list[str]] = defaultdict(list)
        for order_id in order_ids:
            by_shard[db.shard_of(gene_of(order_id))].append(order_id)
        for shard, ids in by_shard.items():
            await db.transact(shard, api.end_deadlines, ids, world.now_ms())

    return [Sweep("orders.deadlines", due, act)]
