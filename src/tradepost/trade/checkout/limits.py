"""A campaign's limits as stock: which units of which buckets an order takes. Pure.

A limit is a stock unit of the inventory room, so a use is a hold: counted once under races, over shards, given back
with the order. What many share (a total, a day, a content, a budget) lies in up to 16 buckets on different genes, and
an order takes from a bucket on its own shard while there is one; only when that runs dry it goes to the others. A
budget is one bucket: an order takes any amount of it, and what sixteen have together no single one of them may have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from tradepost.kernel.ids import GENES, gene_of, mint_id, time_of
from tradepost.trade.inventory import Demand, StockChange
from tradepost.trade.promotion import Limits

POOL = "limit"
PLACE = "limit"
BUCKETS = 16
FIRST_UNITS = 64
"""What the first bucket gets before the others get anything: a small limit has one bucket."""
ENDLESS = 1_000_000_000
"""Units of a counter that bounds each buyer and not their sum."""
TOTAL, BUYER, DAY, CONTENT, BUDGET = "total", "buyer", "day", "content", "budget"
OVER_ALL = (TOTAL, BUDGET)
"""The kinds that count over a whole campaign and may be raised while it runs."""


class LimitUse(msgspec.Struct, frozen=True, kw_only=True):
    """So many units of one limit for one order. `key` is the day or content, `bound` what the limit allows."""

    campaign_id: str
    kind: str
    key: str
    quantity: int
    bound: int
    order_id: str
    reissue: str = ""


def uses_of(
    campaign_id: str,
    limits: Limits,
    *,
    order_id: str,
    day: str,
    contents: Iterable[str],
    discount_minor: int,
) -> list[LimitUse]:
    """What one order with this campaign takes of each of its limits."""
    wanted = [
        (TOTAL, "", 1, limits.total),
        (BUYER, "", 1, limits.per_buyer),
        (DAY, day, 1, limits.per_day),
        (BUDGET, "", discount_minor, limits.budget_minor),
    ]
    wanted += [(CONTENT, content_id, 1, limits.per_content) for content_id in dict.fromkeys(contents)]
    return [
        LimitUse(
            campaign_id=campaign_id,
            kind=kind,
            key=key,
            quantity=quantity,
            bound=bound,
            order_id=order_id,
            reissue=limits.reissue.value,
        )
        for kind, key, quantity, bound in wanted
        if bound > 0 and quantity > 0
    ]


def share_of(bound: int, bucket: int) -> int:
    """The units of one bucket; all buckets together have the bound, and none shrinks when the bound grows."""
    first = min(bound, FIRST_UNITS)
    rest = bound - first
    return (first if bucket == 0 else 0) + (rest + BUCKETS - 1 - bucket) // BUCKETS


def units_of(use: LimitUse, bucket: int) -> int:
    """The units that a bucket of a limit begins with."""
    if use.kind == BUYER:
        return ENDLESS
    if use.kind == BUDGET:
        return 0 if bucket else use.bound
    return share_of(use.bound, bucket)


def limit_id(use: LimitUse, bucket: int, buyer_id: str) -> str:
    """The id of the stock that a use is taken from: the same for everybody who computes it.

    A buyer's counter lies on the buyer's own gene. A new bound of a day or a content begins a new count.
    """
    gene = gene_of(buyer_id) if use.kind == BUYER else (bucket * (GENES // BUCKETS) + bucket) % GENES
    key = f"{use.key}/{use.bound}" if use.kind in (DAY, CONTENT) else use.key
    name = f"{use.campaign_id}/{use.kind}/{key}/{bucket}"
    chance = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big")
    return mint_id("lim", gene, time_of(use.campaign_id), bucket, chance)


def buckets_of(use: LimitUse) -> list[int]:
    """The buckets that can serve a use at all."""
    if use.kind in (BUYER, BUDGET):
        return [0] if units_of(use, 0) >= use.quantity else []
    return [bucket for bucket in range(BUCKETS) if share_of(use.bound, bucket) >= use.quantity]


def order_of(
    buckets: Sequence[int], home: int, shard_of: Callable[[int], int], first: int, then: int
) -> list[int]:
    """Buckets in the order they are tried: those on the home shard first, and of these the process's own `first`.

    So processes take from rows of their own while there is enough. Once one runs dry its callers go on from `then`,
    each from another, instead of all together to the next.
    """

    def distance(bucket: int) -> tuple[bool, int]:
        away = shard_of((bucket * (GENES // BUCKETS) + bucket) % GENES) != home
        return away, 0 if bucket == first else 1 + (bucket - then) % BUCKETS

    return sorted(buckets, key=distance)


def demand_of(use: LimitUse, bucket: int, buyer_id: str) -> Demand:
    """The hold that a use is."""
    return Demand(
        owner_id=use.order_id,
        sku_id=limit_id(use, bucket, buyer_id),
        pool=POOL,
        quantity=use.quantity,
        limit_per_buyer=use.bound if use.kind == BUYER else 0,
    )


def opening_of(use: LimitUse, bucket: int, buyer_id: str, at_ms: int) -> StockChange:
    """The stock that a limit begins with; opening it again changes nothing."""
    return StockChange(
        sku_id=limit_id(use, bucket, buyer_id),
        location_id=PLACE,
        pool=POOL,
        delta=units_of(use, bucket),
        reference=reference_of(use.campaign_id, use.bound),
        at_ms=at_ms,
    )


def stock_of(campaign_id: str, bounds: Limits) -> dict[str, tuple[int, int]]:
    """(units, bound) by limit id of the buckets of a campaign's total and budget: what publishing fills."""
    found: dict[str, tuple[int, int]] = {}
    for kind, bound in ((TOTAL, bounds.total), (BUDGET, bounds.budget_minor)):
        use = LimitUse(
            campaign_id=campaign_id, kind=kind, key="", quantity=1, bound=bound, order_id=campaign_id
        )
        for bucket in range(BUCKETS):
            if units := units_of(use, bucket):
                found[limit_id(use, bucket, "")] = (units, bound)
    return found


def limit_ids(campaign_id: str, kind: str, bound: int) -> list[str]:
    """The limit ids of a campaign's total or budget, in order of bucket."""
    use = LimitUse(campaign_id=campaign_id, kind=kind, key="", quantity=1, bound=bound, order_id="")
    return [limit_id(use, bucket, "") for bucket in range(BUCKETS)]


def reference_of(campaign_id: str, bound: int) -> str:
    """The reference under which a limit's stock came in: once for each bound."""
    return f"{campaign_id}.to.{bound}"


def is_lowered(before: Limits, after: Limits) -> bool:
    """Whether a bound that counts over the whole campaign became smaller, or was taken away and may come back so."""
    pairs = ((before.total, after.total), (before.budget_minor, after.budget_minor))
    return any(new < old for old, new in pairs)


def by_shard(
    stock: Mapping[str, tuple[int, int]], shard_of: Callable[[int], int]
) -> dict[int, dict[str, tuple[int, int]]]:
    """The stock of limits by the shard that keeps it."""
    found: dict[int, dict[str, tuple[int, int]]] = {}
    for name, share in stock.items():
        found.setdefault(shard_of(gene_of(name)), {})[name] = share
    return found
