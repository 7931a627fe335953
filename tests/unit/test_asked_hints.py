"""Hints where nobody tells: a suspicion is proven by a read before anybody is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Signal
from tradepost.stability import asked_hints
from tradepost.stability.asked_hints import AskedHints
from tradepost.stability.hints import SOLD_OUT, STOCK_UP
from tradepost.trade.inventory import Demand, SoldOutHints

KEY = "sku_1/shop"


class Database:
    """What other processes commit, and how often it was read."""

    def __init__(self) -> None:
        self.pieces: dict[str, int] = {}
        self.reads: list[list[str]] = []
        self.down = False

    async def read(self, keys: Sequence[str]) -> Mapping[str, int]:
        self.reads.append(list(keys))
        if self.down:
            raise Refusal("storage.unavailable", "It does not answer.")
        await asyncio.sleep(0)
        return {key: self.pieces[key] for key in keys if key in self.pieces}


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def known(database: Database) -> AskedHints:
    hints = AskedHints(database.read)
    hints.note(Signal(SOLD_OUT, KEY, 0))
    return hints


def wants(quantity: int = 1) -> list[Demand]:
    return [Demand(owner_id="", sku_id="sku_1", pool="shop", quantity=quantity)]


async def test_a_refusal_is_what_the_database_says_now(
    db: SqliteStorage, database: Database, known: AskedHints
) -> None:
    hints = SoldOutHints(db, shared=known)
    assert hints.refuses(wants())
    refusal = await hints.confirm(wants())
    assert refusal is not None
    assert refusal.code == "inventory.sold_out"
    assert database.reads == [[KEY]]


async def test_what_another_process_restocked_is_sold_by_the_next_request(
    db: SqliteStorage, database: Database, known: AskedHints
) -> None:
    hints = SoldOutHints(db, shared=known)
    database.pieces[KEY] = 3
    assert await hints.confirm(wants()) is None
    assert hints.refuses(wants()) is None
    assert hints.refuses(wants(4))
    assert await hints.confirm(wants(4)) is not None


async def test_the_last_word_asks_the_database_only_where_a_hint_refuses(
    db: SqliteStorage, database: Database, known: AskedHints
) -> None:
    hints = SoldOutHints(db, shared=known)
    assert await hints.last_word([Demand(owner_id="", sku_id="sku_2", pool="shop", quantity=1)]) is None
    assert database.reads == []
    refusal = await hints.last_word(wants())
    assert refusal is not None
    assert database.reads == [[KEY]]
    database.pieces[KEY] = 3
    assert await hints.last_word(wants()) is None


async def test_alone_the_memory_has_the_last_word(db: SqliteStorage) -> None:
    hints = SoldOutHints(db)
    assert await hints.last_word(wants()) is None
    hints._note(Signal(SOLD_OUT, KEY, 0))
    assert await hints.last_word(wants()) == hints.refuses(wants())
    assert hints.refuses(wants()) is not None


async def test_a_crowd_costs_few_reads(database: Database, known: AskedHints) -> None:
    answers = await asyncio.gather(*[known.ask([KEY]) for _ in range(200)])
    assert answers == [{KEY: 0}] * 200
    assert len(database.reads) <= 2
    assert all(keys == [KEY] for keys in database.reads)


async def test_an_increase_of_our_own_is_not_forgotten_for_an_older_read(known: AskedHints) -> None:
    asking = asyncio.ensure_future(known.ask([KEY]))
    await asyncio.sleep(0)
    known.note(Signal(STOCK_UP, KEY, 0))
    await asking
    assert known.get(KEY) is None


async def test_a_database_that_does_not_answer_refuses_nobody(
    db: SqliteStorage, database: Database, known: AskedHints
) -> None:
    database.down = True
    assert await SoldOutHints(db, shared=known).confirm(wants()) is None


def test_the_oldest_suspicion_goes_first(known: AskedHints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked_hints, "HINTS_MAX", 2)
    for number in (2, 3):
        known.note(Signal(SOLD_OUT, f"sku_{number}/shop", 0))
    assert [known.get(f"sku_{number}/shop") for number in (1, 2, 3)] == [None, 0, 0]
    assert len(known) == 2
