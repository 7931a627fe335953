"""The proof can see: a settled shop passes it, and each planted wrong is complained about."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path
from typing import NamedTuple

import pytest

from tradepost.testing.torture import proof
from tradepost.testing.torture.client import Ask, Client
from tradepost.testing.torture.crowd import Visitor, look_around
from tradepost.testing.torture.report import Report
from tradepost.testing.torture.shop import ShopProcess, free_port


class Settled(NamedTuple):
    """A shop's files after some trade, at rest, and what its client was told."""

    database: Path
    provider_book: Path
    asks: list[Ask]


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Settled:
    shop = ShopProcess(tmp_path_factory.mktemp("shop"), free_port(random.Random()))
    try:
        shop.start()
        visitor = Visitor(Client(shop.port), look_around(Client(shop.port), buyers=2), "v", 5)
        for _ in range(40):
            visitor.buy()
        assert proof.settle(shop, 60, Report(torture="settle"))
        assert shop.stop() == 0
    finally:
        shop.kill(whole_group=True)
    return Settled(shop.database, shop.provider_book, visitor.client.journal)


def prove(database: Path, shop: Settled) -> Report:
    report = Report(torture="proof")
    proof.prove_standing(database, shop.asks, report)
    proof.prove_settled(database, shop.provider_book, report)
    return report


def test_a_settled_shop_passes(settled: Settled) -> None:
    report = prove(settled.database, settled)
    assert report.held, report.complaints()
    assert all(check.looked_at for check in report.checks.values())


PAID = "(SELECT payment_id FROM payments WHERE captured_minor > 0 LIMIT 1)"
ONE = "(SELECT order_id FROM orders WHERE state = 'AWAITING_SHIPMENT' LIMIT 1)"
PLANTED = {
    "an acknowledged checkout stands with its orders": f"DELETE FROM orders WHERE order_id = {ONE}",
    "one request made one checkout": f"UPDATE orders SET checkout_id = 'chk_other' WHERE order_id = {ONE}",
    "an acknowledged payment stands": f"UPDATE payments SET captured_minor = 0 WHERE payment_id = {PAID}",
    "each success is kept once under its key": "DELETE FROM idempotency WHERE idem_key = 'v-7'",
    "nothing falls back behind what was shown": "UPDATE payments SET version = 0",
    "every event log is gapless": f"DELETE FROM events WHERE aggregate_id = {ONE} AND version = 1",
    "no hold without an order": f"UPDATE holds SET owner_id = 'ord_lost' WHERE owner_id = {ONE}",
    "orders, payments and ledger agree": f"UPDATE payments SET refunded_minor = 1 WHERE payment_id = {PAID}",
    "stock agrees with its log, its holds and its limits": "UPDATE stock SET on_hand = on_hand + 1",
    "open holds are what orders still wait for": f"UPDATE holds SET state = 'HELD' WHERE owner_id = {ONE}",
    "what was captured is paid for or given back": f"UPDATE orders SET state = 'UNPAID' WHERE order_id = {ONE}",
    "the provider's book agrees with ours": f"UPDATE payments SET captured_minor = 7 WHERE payment_id = {PAID}",
    "no dead letter": "INSERT INTO deliveries (gene, consumer, aggregate_id, version, state, attempts, next_at_ms,"
    " at_ms) VALUES (1, 'c', 'ord_x', 1, 'DEAD', 9, 0, 0)",
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_wrong_is_seen(name: str, settled: Settled, tmp_path: Path) -> None:
    spoiled = tmp_path / "tradepost.db"
    shutil.copy(settled.database, spoiled)
    with sqlite3.connect(spoiled) as connection:
        assert connection.execute(PLANTED[name]).rowcount
    connection.close()
    assert prove(spoiled, settled).checks[name].broken


def test_a_second_order_of_one_request_is_seen(settled: Settled, tmp_path: Path) -> None:
    """What a repeat under a key would leave if nothing kept it single."""
    spoiled = tmp_path / "tradepost.db"
    shutil.copy(settled.database, spoiled)
    with sqlite3.connect(spoiled) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(orders)")]
        other = {"order_id": "substr(order_id, 1, 26) || 'zzzz'", "checkout_id": "'chk_twice'"}
        values = ", ".join(other.get(column, column) for column in columns)
        connection.execute(f"INSERT INTO orders SELECT {values} FROM orders WHERE order_id = {ONE}")
    connection.close()
    assert prove(spoiled, settled).checks["one request made one checkout"].broken


def test_a_refused_request_that_made_something_is_seen(settled: Settled) -> None:
    refused = Ask(kind="x", method="POST", path=proof.CHECKOUTS, body=b"", key="v-3", token="", status=409)
    refused.answer = b'{"code":"inventory.sold_out"}'
    report = prove(settled.database, Settled(settled.database, settled.provider_book, [refused]))
    assert report.checks["a refused request made nothing"].broken
