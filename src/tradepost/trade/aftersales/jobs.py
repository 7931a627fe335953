"""The timers: ship-by, because only fulfilment knows what is packed; and the deadlines of cases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Sweep
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World
from tradepost.trade import orders
from tradepost.trade.aftersales import cancelling, casework, replacing, store
from tradepost.trade.aftersales.model import NEW_GOODS, SETTLED
from tradepost.trade.checkout import Context

EVERY_MS = 1_000
HELD_MS = 3_600_000
"""When a case that was refused is looked at again: the others must not wait for it."""

log = logging.getLogger("tradepost.aftersales")


def sweeps(db: Storage, world: World, context: Callable[[], Context] | None = None) -> list[Sweep]:
    """The timers, bound to a storage and a world; `context` is what placing new goods needs."""
    made: list[Context] = []

    async def act(order_ids: Sequence[str]) -> None:
        waiting = [
            db.transact(db.shard_of(gene_of(order_id)), cancelling.cancel_unshipped, order_id, world.now_ms())
            for order_id in order_ids
        ]
        await asyncio.gather(*waiting)

    async def decide(return_ids: Sequence[str]) -> None:
        for return_id in return_ids:
            shard = db.shard_of(gene_of(return_id))
            try:
                await _decide(shard, return_id)
            except Refusal as refusal:
                if refusal.code.startswith("storage."):
                    raise
                log.warning("%s waits an hour: %s: %s", return_id, refusal.code, refusal.detail)
                now_ms = world.now_ms()
                await db.transact(shard, casework.postpone, return_id, now_ms, now_ms + HELD_MS)

    async def _decide(shard: int, return_id: str) -> None:
        if not await db.read(shard, wants_goods, return_id):
            await db.transact(shard, casework.decide_by_default, return_id, world.now_ms())
        elif context is not None:
            if not made:
                made.append(context())
            await replacing.replace_goods(made[0], return_id)

    return [
        Sweep("aftersales.ship_by", orders.unshipped_orders, act),
        Sweep("aftersales.cases", store.due_returns, decide, EVERY_MS),
    ]


def wants_goods(tx: Tx, return_id: str) -> bool:
    """Whether a case is settled and waits for its new goods to be ordered."""
    item = casework.get_return(tx, return_id)
    return item.state in SETTLED and item.kind in NEW_GOODS
