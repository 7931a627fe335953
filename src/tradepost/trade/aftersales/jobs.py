"""The ship-by timer: it lives here because only fulfilment knows what is packed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tradepost.kernel.events import Sweep
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.trade import orders
from tradepost.trade.aftersales import cancelling


def sweeps(db: Storage, world: World) -> list[Sweep]:
    """The timer, bound to a storage and a world."""

    async def act(order_ids: Sequence[str]) -> None:
        waiting = [
            db.transact(db.shard_of(gene_of(order_id)), cancelling.cancel_unshipped, order_id, world.now_ms())
            for order_id in order_ids
        ]
        await asyncio.gather(*waiting)

    return [Sweep("aftersales.ship_by", orders.unshipped_orders, act)]
