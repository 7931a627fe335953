"""The timer of commissions: orders that are to be looked at, because something happened or time went on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Sweep
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.trade.creators import accounting, api, store
from tradepost.trade.creators.api import Look
from tradepost.trade.creators.model import Basis, OrderCommissions, Plan
from tradepost.trade.creators.rules import is_creator

AGAIN_MS = 3_600_000
"""How long an order whose money the bank holds waits until it is looked at again."""
EVERY_MS = 1_000

log = logging.getLogger("tradepost.creators")


def sweeps(db: Storage, world: World) -> list[Sweep]:
    """The timer, bound to a storage and a world."""

    async def act(order_ids: Sequence[str]) -> None:
        for order_id in order_ids:
            try:
                await look_at(db, order_id, world.now_ms())
            except Refusal as refusal:
                if refusal.code.startswith("storage."):
                    raise
                if refusal.code == "version.conflict":  # moved meanwhile: it is due again
                    log.info("commissions of %s moved meanwhile", order_id)
                    continue
                log.error("commissions of %s wait: %s", order_id, refusal)  # the others of the shard go on
                shard = db.shard_of(gene_of(order_id))
                await db.transact(shard, api.put_off, order_id, world.now_ms() + AGAIN_MS)

    return [Sweep("creators.commissions", store.due, act, every_ms=EVERY_MS)]


async def look_at(db: Storage, order_id: str, now_ms: int) -> None:
    """Bring one order's commissions up to date. Repeating it changes nothing. Raises Refusal `version.conflict`."""
    shard = db.shard_of(gene_of(order_id))
    seen: Look | None = await db.read(shard, api.look, order_id)
    if seen is None:
        return
    if seen.order is None:
        await db.transact(shard, api.forget, seen.stands)
        return
    versions = await db.read(
        db.shard_of(gene_of(seen.stands.seller_id)), store.versions_of, seen.stands.seller_id
    )
    counts = await _stands(db, seen, [plan for plan, _, _ in versions])

    def stand(creator_id: str, plan: Plan) -> int:
        return counts.get((creator_id, plan.plan_id), 0)

    stands = seen.stands
    if not stands.planned:
        lines = accounting.open_lines(seen.order, versions, stand)
        stands = replace(stands, planned=True, lines=lines)
    after = accounting.follow(
        stands, seen.order, seen.given_beside_minor, seen.disputed, now_ms, stand, seen.swaps
    )
    next_at_ms = accounting.next_look(after, seen.disputed, now_ms, AGAIN_MS)
    await db.transact(shard, api.write, seen.stands, replace(after, next_at_ms=next_at_ms), now_ms)


async def _stands(db: Storage, seen: Look, plans: Sequence[Plan]) -> dict[tuple[str, str], int]:
    """How far each creator of the order is under each plan with tiers; asked of the creators' shards."""
    order = seen.order
    tiered = {
        plan.plan_id: plan for plan in [*plans, *(line.plan for line in seen.stands.lines)] if plan.tiers
    }
    if order is None or not tiered:
        return {}
    found: dict[tuple[str, str], int] = {}
    before_ms = _counted_until(seen.stands) or order.placed_at_ms
    for creator_id in dict.fromkeys(
        line.creator_id for line in order.body.lines if is_creator(line.creator_id)
    ):
        shard = db.shard_of(gene_of(creator_id))
        for plan in tiered.values():
            sold, goods = await db.read(shard, store.stand, creator_id, plan.plan_id, before_ms)
            found[(creator_id, plan.plan_id)] = sold if plan.tier_basis is Basis.ORDERS else goods
    return found


def _counted_until(stands: OrderCommissions) -> int:
    """A new line is paid by what was reached before it; the release counts the whole period."""
    return max((line.plan.ends_at_ms for line in stands.lines), default=0) if stands.planned else 0
