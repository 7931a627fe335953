"""Closed days of the journal: what is changed, added or taken away later is found; guarded accounts have a floor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.memory_tx import MemoryDatabase

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import ledger
from tradepost.trade.ledger import Entry, Transaction
from tradepost.trade.ledger.seals import sealing, store

DAY = 86_400_000


@pytest.fixture
def database() -> Iterator[MemoryDatabase]:
    made = MemoryDatabase()
    yield made
    made.close()


def row(name: str, gene: int, day: int, amount: int = 5, account: str = "seller:sel_1") -> Transaction:
    return Transaction(
        transaction_id=name,
        gene=gene,
        kind="adjustment",
        currency="GBP",
        entries=(Entry("platform:fees", amount), Entry(account, -amount)),
        reference="x",
        at_ms=day * DAY + 7,
    )


def seal(database: MemoryDatabase, through: int) -> int:
    tallies, after = database.run(sealing.page_tallies, ("", -1))
    assert after is None
    written: int = database.run(sealing.write_seals, tallies, through, 1)
    return written


def findings(database: MemoryDatabase) -> list[tuple[str, str]]:
    report = database.run(ledger.check_ledger)
    return [(one.transaction_id, one.detail) for one in report.findings]


def change(tx: Tx, sql: str) -> None:
    assert tx.execute(sql)


def test_days_are_sealed_once_and_chained(database: MemoryDatabase) -> None:
    database.run(ledger.append, [row("a", 1, 3), row("b", 1, 4), row("c", 2, 4), row("d", 1, 9)])
    assert seal(database, 4) == 3
    assert seal(database, 4) == 0
    first, second, _ = database.run(store.all_seals)
    assert (first.day, second.day, second.previous) == (3, 4, first.digest)
    database.run(ledger.append, [row("e", 1, 9)])
    assert findings(database) == []
    assert seal(database, 9) == 1
    assert findings(database) == []


@pytest.mark.parametrize(
    ("sql", "about", "what"),
    [
        (
            "UPDATE journal SET reference = 'y' WHERE transaction_id = 'b'",
            "gene 1 day 4",
            "a row was changed",
        ),
        ("DELETE FROM journal WHERE transaction_id = 'b'", "gene 1 day 4", "0 rows now, 1"),
        (
            "UPDATE journal SET at_ms = at_ms - 86400000 WHERE transaction_id = 'b'",
            "gene 1 day 3",
            "2 rows now, 1",
        ),
        (
            "UPDATE journal_seals SET row_count = 7 WHERE gene = 1 AND day = 4",
            "gene 1 day 4",
            "1 rows now, 7",
        ),
        (
            "UPDATE journal_seals SET digest = previous WHERE gene = 1 AND day = 3",
            "gene 1 day 4",
            "does not fit",
        ),
    ],
)
def test_what_is_changed_behind_a_seal_is_found(
    database: MemoryDatabase, sql: str, about: str, what: str
) -> None:
    database.run(ledger.append, [row("a", 1, 3), row("b", 1, 4)])
    seal(database, 4)
    database.run(change, sql)
    assert any(name == about and what in detail for name, detail in findings(database))


def test_a_row_that_comes_late_is_found(database: MemoryDatabase) -> None:
    database.run(ledger.append, [row("a", 1, 3)])
    seal(database, 3)
    database.run(ledger.append, [row("late", 1, 3)])
    assert findings(database) == [("gene 1 day 3", "2 rows now, 1 when it was sealed")]


def test_what_leaves_for_the_archive_still_counts(database: MemoryDatabase) -> None:
    kept, gone, later = row("a", 1, 3), row("b", 1, 3), row("c", 1, 5)
    database.run(ledger.append, [kept, gone, later])
    seal(database, 3)
    for one in (gone, later):
        database.run(change, f"DELETE FROM journal WHERE transaction_id = '{one.transaction_id}'")
        database.run(ledger.depart, [one])
    assert findings(database) == []
    assert seal(database, 5) == 1, "a day whose rows all left is sealed too"
    assert findings(database) == []


async def test_a_shard_is_sealed_page_by_page(database_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from tradepost.trade.ledger import store as journal

    monkeypatch.setattr(journal, "PAGE_ROWS", 4)
    db = SqliteStorage(database_path)  # type: ignore[arg-type]
    world = TestWorld()
    today = world.now_ms() // DAY
    rows = [row(f"t{number:02}", number % 3, today - 20 + number % 5) for number in range(21)]
    await db.transact(0, ledger.append, rows)
    [sweep] = ledger.sweeps(db, world)
    assert await db.read(0, sweep.due, world.now_ms(), 9) == [0]
    await sweep.act([0])
    assert await db.read(0, sweep.due, world.now_ms(), 9) == []
    assert len(await db.read(0, store.all_seals)) == 15
    assert (await db.read(0, ledger.check_ledger)).balanced
    await db.close()


def test_a_guarded_account_never_goes_below_zero(database: MemoryDatabase) -> None:
    card = "stored:card_1"
    database.run(ledger.append, [row("load", 1, 3, 500, card)])
    database.run(ledger.append, [row("spend", 1, 3, -300, card)])
    with pytest.raises(Refusal) as refused:
        database.run(ledger.append, [row("over", 1, 3, -201, card)])
    assert refused.value.code == "ledger.insufficient"
    assert findings(database) == []
    database.run(change, "UPDATE account_floors SET owed_minor = 1")
    assert findings(database) == [(card, "journal 200 GBP, kept 1")]
