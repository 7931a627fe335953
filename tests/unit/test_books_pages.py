"""The auditor reads page after page along an index: every row once, whatever its gene."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.checkout_shop import Shop
from tests.memory_tx import MemoryDatabase

from tradepost.books import check_books, store
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.testing.world import TestWorld


@pytest.fixture
def database() -> Iterator[MemoryDatabase]:
    opened = MemoryDatabase()
    yield opened
    opened.close()


@pytest.mark.parametrize("sql", [store.ORDERS_BY_TIME, store.PAYMENTS_BY_TIME])
def test_a_page_walks_an_index(database: MemoryDatabase, sql: str) -> None:
    rows: list[Any] = database.run(lambda tx: tx.query("EXPLAIN QUERY PLAN " + sql, ("a", 10)))
    assert [row[3] for row in rows if "SEARCH" not in row[3]] == []


async def test_every_row_is_read_once(
    db: SqliteStorage, world: TestWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PAGE", 3)
    shop = Shop(db, world)
    offer_id = await shop.offer(pieces=20)
    for number in range(9):
        world.advance(1)
        await shop.buy((offer_id, 1), key=f"k{number}", buyer_id=world.mint("buyer", 1_000 - 100 * number))
    report = await db.read(0, check_books)
    assert (report.orders, report.payments, report.agree) == (9, 9, True)
    assert report.gross == {"GBP": 9_000}
