"""The statements of the catalogue and of keys walk an index; none scans a table that grows."""

from __future__ import annotations

from typing import Any

from tradepost.kernel.tx import Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import parties
from tradepost.trade.catalog import store
from tradepost.trade.parties import store as parties_store


class Explained:
    """A Tx that asks for the plan of every query instead of its rows."""

    def __init__(self, tx: Any) -> None:
        self.tx = tx
        self.plans: list[str] = []

    def query(self, sql: str, params: Any = ()) -> list[Any]:
        self.plans += [row[3] for row in self.tx.query("EXPLAIN QUERY PLAN " + sql, params)]
        return []

    def query_in(self, sql: str, values: Any, params: Any = ()) -> list[Any]:
        return self.query(sql.replace("{in}", "?,?"), [*params, *list(values)[:2]])

    def query_keys(self, sql: str, columns: Any, keys: Any, params: Any = ()) -> list[Any]:
        one = " AND ".join(f"{column} = ?" for column in columns)
        return self.query(sql.replace("{keys}", f"(({one}) OR ({one}))"), [*params, *keys[0], *keys[1]])


def _explain(tx: Tx, seller: str, offers: list[str], skus: list[str], key: str) -> list[str]:
    plan: Any = Explained(tx)
    store.select_views(plan, offers)
    store.select_views_of_seller(plan, seller, "", 10)
    store.select_ids_of_market(plan, "GB", "", 10)
    store.select_skus_after(plan, seller, False, "", 10)
    store.select_skus_of_product(plan, seller, offers[0])
    store.select_homes(plan, skus)
    for ids in ({"ids": skus, "codes": skus},):
        store.select_skus(plan, seller, **ids)
        store.select_products(plan, seller, **ids)
    store.select_offers(plan, seller, ids=offers, sku_ids=skus)
    parties_store.select_key_by_hash(plan, "a hash")
    parties_store.select_key(plan, key)
    parties_store.select_keys_of(plan, seller)
    found: list[str] = plan.plans
    return found


async def test_no_statement_scans(db: Any, world: TestWorld) -> None:
    seller = parties.mint_party(world, "seller")
    offers = [world.mint("offer", 1) for _ in range(2)]
    skus = [world.mint("sku", 1) for _ in range(2)]
    plans = await db.read(0, _explain, seller, offers, skus, world.mint("key", 1))
    assert len(plans) > 15
    assert [plan for plan in plans if plan.startswith("SCAN") or "TEMP B-TREE" in plan] == []
