"""Orders through the real storage and runtime: events travel by the relay, deadlines by the sweeps."""

from __future__ import annotations

import pytest
from tests import order_samples

from tradepost.events import Runtime
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.events import EventRow
from tradepost.kernel.tx import Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import aftersales, fulfilment, orders
from tradepost.trade.orders import NewOrder


def runtime(db: SqliteStorage, world: TestWorld) -> Runtime:
    return Runtime(
        db,
        world,
        consumers=[*orders.CONSUMERS, *fulfilment.CONSUMERS, *aftersales.CONSUMERS],
        sweeps=[*orders.sweeps(db, world), *aftersales.sweeps(db, world)],
    )


def pay(tx: Tx, order: NewOrder, at_ms: int) -> None:
    """What payments would say."""
    payload = f'{{"order_ids":["{order.order_id}"]}}'.encode()
    tx.emit([EventRow(order_samples.GENE, order.payment_id, 1, "payment.captured.v1", at_ms, payload)])


async def state_of(db: SqliteStorage, order: NewOrder) -> str:
    return (await db.read(0, orders.get_order, order.order_id)).state


async def test_from_placed_to_completed(db: SqliteStorage, world: TestWorld) -> None:
    order = order_samples.new_order(world, remorse_ms=order_samples.HOUR_MS)
    running = runtime(db, world)
    await db.transact(0, orders.open_orders, [order])
    await db.transact(0, pay, order, world.now_ms())
    await running.drain()
    assert await state_of(db, order) == "ON_HOLD"
    world.advance(order_samples.HOUR_MS)
    await running.drain()
    assert await state_of(db, order) == "AWAITING_SHIPMENT"
    package_id = world.mint("package", order_samples.GENE)
    await db.transact(0, fulfilment.ship, order.order_id, package_id, "acme", "T1", world.now_ms())
    await running.drain()
    assert await state_of(db, order) == "IN_TRANSIT"
    await db.transact(0, fulfilment.deliver_order, order.order_id, world.now_ms())
    await running.drain()
    assert await state_of(db, order) == "DELIVERED"
    world.advance(48 * order_samples.HOUR_MS)
    await running.drain()
    found = await db.read(0, orders.get_order, order.order_id)
    log = await db.read(0, orders.order_log, order.order_id)
    told = orders.rebuild(log)
    assert (found.state, found.version) == ("COMPLETED", len(log)) == (told.state, told.version)
    listed = await db.read(0, orders.list_seller_orders, order.seller_id)
    assert [(item.state, item.version) for item in listed] == [("COMPLETED", len(log))]


@pytest.mark.parametrize(
    ("paid", "after_ms", "reason"),
    [
        (False, order_samples.PAYMENT_DEADLINE_MS, "payment_deadline"),
        (True, 24 * order_samples.HOUR_MS, "not_shipped"),
    ],
)
async def test_deadlines_cancel(
    db: SqliteStorage, world: TestWorld, paid: bool, after_ms: int, reason: str
) -> None:
    order = order_samples.new_order(world)
    running = runtime(db, world)
    await db.transact(0, orders.open_orders, [order])
    if paid:
        await db.transact(0, pay, order, world.now_ms())
    await running.drain()
    world.advance(after_ms)
    await running.drain()
    found = await db.read(0, orders.get_order, order.order_id)
    assert found.state == "CANCELLED"
    assert (found.cancellation.initiator, found.cancellation.reason) == ("SYSTEM", reason)


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (
            "SELECT body FROM orders WHERE ((gene=1 AND order_id='a') OR (gene=2 AND order_id='b'))",
            "autoindex_orders",
        ),
        (
            "SELECT order_id FROM orders WHERE state='UNPAID' AND deadline_at_ms BETWEEN 1 AND 9"
            " ORDER BY deadline_at_ms LIMIT 5",
            "orders_by_deadline",
        ),
        ("UPDATE orders SET version=2 WHERE gene=1 AND order_id='a' AND version=1", "autoindex_orders"),
        (
            "SELECT order_id FROM seller_orders WHERE gene=1 AND seller_id='s' AND state='X' AND order_id<'z'"
            " ORDER BY order_id DESC LIMIT 5",
            "seller_orders_by_state",
        ),
        (
            "SELECT order_id FROM seller_orders WHERE gene=1 AND seller_id='s' AND order_id<'z'"
            " ORDER BY order_id DESC LIMIT 5",
            "PRIMARY KEY",
        ),
        ("SELECT body FROM packages WHERE gene=1 AND order_id='a' ORDER BY package_id", "autoindex_packages"),
        ("SELECT body FROM returns WHERE gene=1 AND order_id='a'", "returns_by_order"),
    ],
)
async def test_statements_use_their_index(db: SqliteStorage, sql: str, index: str) -> None:
    def explain(tx: Tx) -> str:
        return " ".join(str(row[3]) for row in tx.query(f"EXPLAIN QUERY PLAN {sql}"))

    plan = await db.read(0, explain)
    assert index in plan
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan
