"""Placing an order that uses limited campaigns: from which bucket of each limit it takes, and what is said when dry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.ids import gene_for, gene_of
from tradepost.trade import inventory, orders
from tradepost.trade.checkout import limits
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.filling import fill_up
from tradepost.trade.checkout.limits import LimitUse
from tradepost.trade.checkout.model import CheckoutView, Placement
from tradepost.trade.checkout.promoting import refuse_reached
from tradepost.trade.checkout.views import find_checkout

Place = Callable[[Context, Placement], Awaitable[tuple[CheckoutView, bool]]]
PREFIX = "lim_"
OPENINGS_MAX = 8
"""Counters that one placement opens at most: one for each limit of a few campaigns."""

declare_problems(
    {
        "promotion.limit_reached": (
            Kind.CONFLICT,
            "The campaign was used as often as it may be",
            "Ask for a new quote: the campaign is left out of it.",
        ),
        "promotion.limit_contended": (
            Kind.CONFLICT,
            "Others took the last uses at the same moment",
            "Ask for a new quote; a few uses may be left.",
        ),
    }
)


async def place_limited(context: Context, placement: Placement, place: Place) -> tuple[CheckoutView, bool]:
    """Place with the first buckets that have something left. Raises `promotion.limit_reached` when none has.

    Each try is whole: what was refused changed nothing. The tries are bounded by the buckets and the counters.
    """
    open_to = {use: candidates(context, use, placement) for use in placement.limits}
    opened = 0
    while True:
        for use, buckets in open_to.items():
            while buckets and await _is_dry(context, use, buckets[0], placement):
                buckets.pop(0)
            if not buckets:
                earlier = await context.earlier.find(placement)
                if earlier is None:
                    raise refuse_reached(use)
                shard = context.db.shard_of(gene_of(earlier.buyer_id))
                return await context.db.read(
                    shard, find_checkout, earlier.buyer_id, earlier.checkout_id
                ), True
        chosen = {use: buckets[0] for use, buckets in open_to.items()}
        try:
            return await place(context, with_buckets(placement, chosen))
        except Refusal as refusal:
            refused = _use_of(refusal, chosen, placement.buyer_id)
            if refused is None:
                raise
            if refusal.code == "inventory.sku_unknown" and opened < OPENINGS_MAX:
                opened += 1
                await _open(context, refused, chosen[refused], placement)
            elif refusal.code == "inventory.sold_out":
                open_to[refused].pop(0)
            else:
                raise refuse_reached(refused) from refusal


def candidates(context: Context, use: LimitUse, placement: Placement) -> list[int]:
    """The buckets that can serve a use, in the order this process tries them."""
    db = context.db
    buckets = limits.buckets_of(use)
    home, then = db.shard_of(placement.gene), gene_for(placement.checkout_id)
    # over shards a hold commits by itself: a second click at another process has to find the same bucket
    first = context.first_bucket if db.shards == 1 else then % limits.BUCKETS
    return limits.order_of(buckets, home, db.shard_of, first, then)


async def _is_dry(context: Context, use: LimitUse, bucket: int, placement: Placement) -> bool:
    demands = [limits.demand_of(use, bucket, placement.buyer_id)]
    return bool(context.hints.refuses(demands)) and await context.hints.confirm(demands) is not None


async def _open(context: Context, use: LimitUse, bucket: int, placement: Placement) -> None:
    change = limits.opening_of(use, bucket, placement.buyer_id, placement.at_ms)
    shard = context.db.shard_of(gene_of(change.sku_id))
    if use.kind in limits.OVER_ALL:  # a publisher may fill the same bucket, by another bound
        shares = {change.sku_id: (change.delta, use.bound)}
        await context.db.transact(shard, fill_up, shares, use.campaign_id, change.at_ms)
    else:
        await context.db.transact(shard, inventory.receive, [change])


def _use_of(refusal: Refusal, chosen: dict[LimitUse, int], buyer_id: str) -> LimitUse | None:
    """The use that a refusal of the inventory speaks of, None for goods and everything else."""
    sku_id = str(refusal.extra.get("sku_id", ""))
    if not sku_id.startswith(PREFIX):
        return None
    named = {limits.limit_id(use, bucket, buyer_id): use for use, bucket in chosen.items()}
    return named.get(sku_id)


def with_buckets(placement: Placement, chosen: dict[LimitUse, int]) -> Placement:
    """The placement whose hold takes the uses from these buckets, and whose orders know what they took."""
    buyer_id = placement.buyer_id
    demands = [limits.demand_of(use, bucket, buyer_id) for use, bucket in chosen.items()]
    taken: dict[str, list[orders.Redemption]] = {}
    for use, demand in zip(chosen, demands, strict=True):
        redemption = orders.Redemption(demand.sku_id, use.quantity, use.reissue)
        taken.setdefault(use.order_id, []).append(redemption)
    return msgspec.structs.replace(
        placement,
        hold=msgspec.structs.replace(placement.hold, demands=(*demands, *placement.hold.demands)),
        orders=tuple(
            [
                orders.with_redemptions(order, taken[order.order_id]) if order.order_id in taken else order
                for order in placement.orders
            ]
        ),
    )


def hold_order(context: Context, placement: Placement, shards: Iterable[int]) -> list[int]:
    """Shards in the order they are asked to hold: those of gifts first, which the order can do without, then those of
    limits, so that a dry bucket costs nothing."""
    if not placement.limits and not placement.gifts:
        return sorted(shards)
    limited = {context.db.shard_of(gene_of(demand.sku_id)) for demand in _limit_demands(placement)}
    given = {context.db.shard_of(gene_of(gift.sku_id)) for gift in placement.gifts}
    return sorted(shards, key=lambda shard: (shard not in given, shard not in limited, shard))


def is_of_limit(refusal: Refusal) -> bool:
    """Whether the inventory refused a campaign's limit and not goods."""
    return str(refusal.extra.get("sku_id", "")).startswith(PREFIX)


def refuse_contended(refusal: Refusal) -> Refusal:
    """The refusal of a placement that was given up because a bucket ran dry between two shards."""
    return Refusal(
        "promotion.limit_contended",
        "The last uses of a campaign went to others while this order was placed.",
        field="codes",
        extra={"limit_id": str(refusal.extra["sku_id"])},
    )


async def release_strays(context: Context, placement: Placement, home: int) -> None:
    """Give back what a twin of this quote took from other buckets than the order that stands, and gifts it lacks."""
    order_ids = [order.order_id for order in placement.orders]
    standing = await context.db.read(home, orders.orders_by_ids, order_ids)
    kept = {(order.order_id, one.limit_id) for order in standing for one in order.body.redemptions}
    kept |= {
        (order.order_id, part.sku_id)
        for order in standing
        for line in order.body.lines
        for part in line.components
    }
    given = {(gift.order_id, gift.sku_id) for gift in placement.gifts}
    strays = [
        d
        for d in placement.hold.demands
        if (d.sku_id.startswith(PREFIX) or (d.owner_id, d.sku_id) in given)
        and (d.owner_id, d.sku_id) not in kept
    ]
    for demand in strays:
        claim = inventory.Claim(
            owner_id=demand.owner_id,
            reference=f"{demand.owner_id}.stray",
            at_ms=context.world.now_ms(),
            items=((demand.sku_id, demand.quantity),),
        )
        await context.db.transact(context.db.shard_of(gene_of(demand.sku_id)), inventory.release, [claim])


def _limit_demands(placement: Placement) -> list[inventory.Demand]:
    return [demand for demand in placement.hold.demands if demand.sku_id.startswith(PREFIX)]
