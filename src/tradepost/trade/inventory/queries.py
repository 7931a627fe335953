"""Questions about stock: levels, totals, the movement log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.trade.inventory import store
from tradepost.trade.inventory.model import Level, MovementRow, StockTotal


def levels(tx: Tx, sku_ids: Iterable[str]) -> list[Level]:
    """Every stock unit of these SKUs that this shard keeps, by SKU, location and pool."""
    wanted = {(gene_of(sku_id), sku_id): None for sku_id in sku_ids}
    found = store.units_of(tx, [key for key in wanted if tx.keeps(key[0])])
    return [level for _, level in sorted(found.items())]


def totals(found: Iterable[Level]) -> dict[str, StockTotal]:
    """Balances by SKU over all locations and pools."""
    by_sku: dict[str, list[Level]] = {}
    for level in found:
        by_sku.setdefault(level.sku_id, []).append(level)
    return {sku_id: _total(sku_id, units) for sku_id, units in by_sku.items()}


def _total(sku_id: str, units: list[Level]) -> StockTotal:
    by_pool: dict[str, int] = {}
    for unit in units:
        by_pool[unit.pool] = by_pool.get(unit.pool, 0) + unit.available
    return StockTotal(
        sku_id,
        sum(unit.on_hand for unit in units),
        sum(unit.held for unit in units),
        sum(unit.reserved for unit in units),
        sum(by_pool.values()),
        by_pool,
    )


def taken_by(tx: Tx, buyer_id: str, sku_ids: Iterable[str]) -> dict[str, int]:
    """What a buyer took of limited SKUs that this shard keeps, as counted with their holds; 0 is left out."""
    keys = [(gene_of(sku_id), sku_id, buyer_id) for sku_id in dict.fromkeys(sku_ids)]
    found = store.taken_of(tx, [key for key in keys if tx.keeps(key[0])])
    return {key[1]: count for key, count in found.items() if count}


def available(tx: Tx, sku_ids: Iterable[str]) -> Mapping[tuple[str, str], int]:
    """Pieces that can be promised now, by (sku_id, pool): for warnings, never for decisions."""
    found: dict[tuple[str, str], int] = {}
    for level in levels(tx, sku_ids):
        key = (level.sku_id, level.pool)
        found[key] = found.get(key, 0) + level.available
    return found


def movements(tx: Tx, sku_id: str, after: tuple[str, str] = ("", ""), limit: int = 100) -> list[MovementRow]:
    """The movement log of a SKU after (reference, kind), in that order; a page is `limit` rows.

    References of orders begin with a time-sorted id, so the log reads roughly in order of time.
    """
    return store.movement_page(tx, gene_of(sku_id), sku_id, after, limit)
