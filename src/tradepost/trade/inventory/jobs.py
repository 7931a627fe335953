"""The reaper: holds that committed alone and whose checkout never came go back on sale."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tradepost.kernel.events import Sweep
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World
from tradepost.trade.inventory import store
from tradepost.trade.inventory.api import settle_deadlines
from tradepost.trade.inventory.model import Deadline

ClaimCheckout = Callable[[str, str], Awaitable[bool]]
"""(buyer_id, checkout_id) to True when the checkout exists, False when a tombstone now keeps it from existing."""


def sweeps(db: Storage, world: World, claim_checkout: ClaimCheckout) -> list[Sweep]:
    """The reaper as a sweep. The tombstone is durable on the buyer's shard before anything is released."""

    async def reap(deadlines: Sequence[Deadline]) -> None:
        asked = dict.fromkeys((d.buyer_id, d.checkout_id) for d in deadlines)
        answers = await asyncio.gather(*(claim_checkout(buyer_id, checkout) for buyer_id, checkout in asked))
        exists = dict(zip(asked, answers, strict=True))
        by_shard: dict[int, tuple[list[Deadline], list[Deadline]]] = {}
        for deadline in deadlines:
            kept, freed = by_shard.setdefault(db.shard_of(deadline.gene), ([], []))
            (kept if exists[(deadline.buyer_id, deadline.checkout_id)] else freed).append(deadline)
        now_ms = world.now_ms()
        for shard, (kept, freed) in sorted(by_shard.items()):
            await db.transact(shard, settle_deadlines, kept, freed, now_ms)

    return [Sweep("inventory.reap_holds", due_deadlines, reap)]


def due_deadlines(tx: Tx, now_ms: int, limit: int) -> list[Deadline]:
    """Holds of this shard past their deadline, oldest first."""
    return store.deadlines_due(tx, now_ms, limit)
