"""Filling the limits that count over a whole campaign: whoever fills brings a bucket up to its share, never beyond."""

from __future__ import annotations

from collections.abc import Mapping

from tradepost.kernel.tx import Tx
from tradepost.trade import inventory
from tradepost.trade.checkout import limits


def fill_up(tx: Tx, shares: Mapping[str, tuple[int, int]], campaign_id: str, at_ms: int) -> None:
    """Bring buckets up to their shares, given as (units, bound) by limit id; those that have as much are left alone.

    Publishers of two bounds and a purchase by an older one may come in any order: the levels are read under lock, and
    where a bucket is not there yet the second to make it looks again.
    """
    there = {level.sku_id: level.on_hand for level in inventory.levels(tx, shares)}
    changes = [
        inventory.StockChange(
            sku_id=sku_id,
            location_id=limits.PLACE,
            pool=limits.POOL,
            delta=share - there.get(sku_id, 0),
            reference=limits.reference_of(campaign_id, bound),
            at_ms=at_ms,
        )
        for sku_id, (share, bound) in shares.items()
        if share > there.get(sku_id, 0)
    ]
    if changes:
        inventory.receive(tx, changes)
