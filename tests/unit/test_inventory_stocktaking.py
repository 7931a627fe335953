"""Receive, adjust, count, move, write off: what they do, what they refuse, and that each counts once."""

from __future__ import annotations

from typing import Any

import pytest

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade import inventory
from tradepost.trade.inventory import Demand, HoldRequest, StockChange, StockCount, StockMove

SKU = TestWorld(seed=5).mint("sku", 3)
NEW = TestWorld(seed=6).mint("sku", 4)


def change(delta: int, reference: str = "r1", **more: Any) -> StockChange:
    facts: dict[str, Any] = {"sku_id": SKU, "location_id": "loc_a", "pool": "shop"}
    return StockChange(**{**facts, **more}, delta=delta, reference=reference, at_ms=1)


def counted(on_hand: int, version: int, reference: str = "c1", **more: Any) -> StockCount:
    facts: dict[str, Any] = {"sku_id": SKU, "location_id": "loc_a", "pool": "shop"}
    return StockCount(
        **{**facts, **more}, on_hand=on_hand, expected_version=version, reference=reference, at_ms=1
    )


def moved(quantity: int, to_pool: str = "room", reference: str = "m1", **more: Any) -> StockMove:
    facts: dict[str, Any] = {"sku_id": SKU, "location_id": "loc_a", "from_pool": "shop"}
    return StockMove(**{**facts, **more}, to_pool=to_pool, quantity=quantity, reference=reference, at_ms=1)


@pytest.fixture
async def stocked(db: SqliteStorage) -> SqliteStorage:
    """Ten pieces, four of them held, at version 1."""
    await db.transact(0, inventory.receive, [change(10, "in")])
    demand = Demand(owner_id="ord_1", sku_id=SKU, quantity=4)
    request = HoldRequest(checkout_id="chk_1", buyer_id="byr_1", at_ms=1, demands=(demand,))
    await db.transact(0, inventory.hold, [request])
    return db


async def pools(db: SqliteStorage) -> dict[str, tuple[int, int]]:
    report = await db.read(0, inventory.check_stock, 0)
    assert report.conserved, report.findings
    return {x.pool: (x.on_hand, x.version) for x in await db.read(0, inventory.levels, [SKU])}


async def test_each_change_counts_once_and_moves_the_version(stocked: SqliteStorage) -> None:
    for _ in range(2):
        [level] = await stocked.transact(0, inventory.receive, [change(5, "r1")])
        assert (level.on_hand, level.held, level.available, level.version) == (15, 4, 11, 2)
    for _ in range(2):
        [level] = await stocked.transact(0, inventory.adjust, [change(-2, "a1")])
        assert (level.on_hand, level.version) == (13, 3)
    for _ in range(2):
        [level] = await stocked.transact(0, inventory.write_off, [change(-1, "w1")])
        assert (level.on_hand, level.version) == (12, 4)
    for _ in range(2):
        [level] = await stocked.transact(0, inventory.count, [counted(20, 4)])
        assert (level.on_hand, level.version) == (20, 5)
    for _ in range(2):
        source, target = await stocked.transact(0, inventory.move, [moved(6)])
        assert (source.on_hand, source.version, target.on_hand, target.version) == (14, 6, 6, 1)
    assert await pools(stocked) == {"shop": (14, 6), "room": (6, 1)}


async def test_levels_are_those_the_next_count_needs(stocked: SqliteStorage) -> None:
    levels = await stocked.transact(0, inventory.receive, [change(1, "x"), change(2, "y"), change(2, "y")])
    assert {(level.on_hand, level.version) for level in levels} == {(13, 2)}
    [same] = await stocked.transact(0, inventory.count, [counted(13, 2, "same")])
    assert same.version == 2, "nothing changed"
    [fresh] = await stocked.transact(0, inventory.count, [counted(0, 0, sku_id=NEW)])
    assert (fresh.on_hand, fresh.version) == (0, 1)
    await pools(stocked)


async def test_totals_by_sku(stocked: SqliteStorage) -> None:
    await stocked.transact(0, inventory.move, [moved(6, to_location_id="loc_z")])
    total = inventory.totals(await stocked.read(0, inventory.levels, [SKU, NEW]))[SKU]
    assert (total.on_hand, total.held, total.reserved, total.available) == (10, 4, 0, 6)
    assert total.available_by_pool == {"shop": 0, "room": 6}


@pytest.mark.parametrize(
    ("step", "item", "code"),
    [
        (inventory.receive, change(0), "inventory.quantity_invalid"),
        (inventory.receive, change(-1), "inventory.quantity_invalid"),
        (inventory.receive, change(1_000_000_001), "inventory.quantity_invalid"),
        (inventory.receive, change(9, "in"), "inventory.reference_conflict"),
        (inventory.adjust, change(-7), "inventory.below_committed"),
        (inventory.adjust, change(-1, pool="room"), "inventory.sku_unknown"),
        (inventory.adjust, change(-1, sku_id=NEW), "inventory.sku_unknown"),
        (inventory.adjust, change(0), "inventory.quantity_invalid"),
        (inventory.write_off, change(1), "inventory.quantity_invalid"),
        (inventory.write_off, change(-7), "inventory.below_committed"),
        (inventory.count, counted(10, 2), "version.conflict"),
        (inventory.count, counted(10, 0), "version.conflict"),
        (inventory.count, counted(10, 1, sku_id=NEW), "version.conflict"),
        (inventory.count, counted(3, 1), "inventory.below_committed"),
        (inventory.count, counted(-1, 1), "inventory.quantity_invalid"),
        (inventory.move, moved(7), "inventory.below_committed"),
        (inventory.move, moved(0), "inventory.quantity_invalid"),
        (inventory.move, moved(1, "shop"), "inventory.quantity_invalid"),
        (inventory.move, moved(1, from_pool="attic"), "inventory.sku_unknown"),
        (inventory.receive, change(1, sku_id="sku_short"), "id.invalid"),
    ],
)
async def test_every_refusal_changes_nothing(stocked: SqliteStorage, step: Any, item: Any, code: str) -> None:
    before = await pools(stocked)
    with pytest.raises(Refusal) as refused:
        await stocked.transact(0, step, [item])
    assert refused.value.code == code
    assert refused.value.problem.title
    assert await pools(stocked) == before


async def test_a_list_of_changes_is_all_or_nothing(stocked: SqliteStorage) -> None:
    with pytest.raises(Refusal, match="below_committed"):
        await stocked.transact(0, inventory.adjust, [change(5, "up"), change(-12, "down")])
    assert await pools(stocked) == {"shop": (10, 1)}
    await stocked.transact(0, inventory.adjust, [change(5, "up"), change(-11, "down")])
    assert await pools(stocked) == {"shop": (4, 2)}
