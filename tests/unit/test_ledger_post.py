"""Posting to the journal: one row per refusal, repeats, pending money, the check that sees what is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.infra.storage.sqlite_engine import driven
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.trade import ledger
from tradepost.trade.ledger import Entry, Transaction, store


def transaction(name: str, amount: int, **more: Any) -> Transaction:
    facts: dict[str, Any] = {
        "transaction_id": name,
        "gene": 5,
        "kind": "capture",
        "currency": "GBP",
        "entries": (Entry("provider:sandbox", amount), Entry("seller:sel_1", -amount)),
        "reference": "pay_1",
        "at_ms": 1,
    }
    return Transaction(**{**facts, **more})


PENDING = transaction("pay_1.auth.1", 100, kind="authorization", state="pending")


def posting(name: str, amount: int, **more: Any) -> Transaction:
    return transaction(name, amount, pending_id=PENDING.transaction_id, **more)


REFUSALS: list[tuple[str, list[Transaction]]] = [
    ("ledger.unbalanced", [transaction("a", 1, entries=(Entry("seller:s", 1), Entry("tax:GB", -2)))]),
    ("ledger.unbalanced", [transaction("a", 1, entries=())]),
    ("ledger.id_too_long", [transaction("a" * 65, 1)]),
    ("ledger.account_unknown", [transaction("a", 1, entries=(Entry("till:1", 1), Entry("tax:GB", -1)))]),
    ("ledger.account_unknown", [transaction("a", 1, entries=(Entry("seller:", 1), Entry("tax:GB", -1)))]),
    ("ledger.account_unknown", [transaction("a", 1, entries=(Entry("seller", 1), Entry("tax:GB", -1)))]),
    ("ledger.transaction_conflict", [transaction("kept", 2)]),
    ("ledger.transaction_conflict", [transaction("a", 2), transaction("a", 3)]),
    ("ledger.transaction_conflict", [transaction("kept", 1, reference="pay_2")]),
    ("ledger.state_invalid", [transaction("a", 1, state="voided")]),
    ("ledger.state_invalid", [transaction("a", 1, state="half")]),
    ("ledger.state_invalid", [posting("a", 1, state="pending")]),
    ("ledger.pending_unknown", [transaction("a", 1, pending_id="nobody")]),
    ("ledger.pending_unknown", [transaction("a", 1, pending_id="kept")]),
    ("ledger.pending_unknown", [posting("a", 1, gene=6)]),
    ("ledger.pending_unknown", [posting("a", 1, currency="USD")]),
    ("ledger.pending_exceeded", [posting("a", 101)]),
    ("ledger.pending_exceeded", [posting("a", 60), posting("b", 41, state="voided")]),
]


@pytest.mark.parametrize(("code", "transactions"), REFUSALS)
async def test_every_refusal_changes_nothing(
    db: SqliteStorage, code: str, transactions: list[Transaction]
) -> None:
    await db.transact(0, ledger.post, [transaction("kept", 1), PENDING])
    with pytest.raises(Refusal) as refused:
        await db.transact(0, ledger.post, [transaction("fine", 9), *transactions])
    assert refused.value.code == code
    assert refused.value.problem.title
    report = await db.read(0, ledger.check_ledger)
    assert (report.transactions, report.balanced) == (2, True)


async def test_a_repeat_with_the_same_content_does_nothing(db: SqliteStorage) -> None:
    rows = [transaction("a", 3), transaction("b", 4)]
    await db.transact(0, ledger.post, rows)
    again = [msgspec.structs.replace(row, at_ms=99) for row in rows]
    await db.transact(0, ledger.post, [*again, transaction("c", 5), transaction("c", 5)])
    report = await db.read(0, ledger.check_ledger)
    assert (report.transactions, report.captured, report.balanced) == (3, {"pay_1": 12}, True)


async def test_pending_money_is_posted_or_voided_once(db: SqliteStorage) -> None:
    await db.transact(0, ledger.post, [PENDING])
    await db.transact(0, ledger.post, [posting("pay_1.capture.1", 60)])
    await db.transact(0, ledger.post, [posting("pay_1.capture.1", 60)])
    balances = await db.read(0, ledger.account_balances)
    assert (
        balances["provider:sandbox", "GBP"].posted_minor,
        balances["provider:sandbox", "GBP"].pending_minor,
    ) == (
        60,
        40,
    )
    await db.transact(0, ledger.post, [posting("pay_1.void.1", 40, state="voided")])
    with pytest.raises(Refusal, match="pending_exceeded"):
        await db.transact(0, ledger.post, [posting("pay_1.capture.2", 1)])
    balances = await db.read(0, ledger.account_balances)
    assert balances["seller:sel_1", "GBP"].pending_minor == 0
    names = [t.transaction_id for t in await db.read(0, ledger.transactions_of, 5, "pay_1")]
    assert names == ["pay_1.auth.1", "pay_1.capture.1", "pay_1.void.1"]
    assert (await db.read(0, ledger.check_ledger)).balanced


async def test_captures_and_refunds_are_summed_by_payment(db: SqliteStorage) -> None:
    refund = (Entry("seller:sel_1", 30), Entry("provider:sandbox", -30))
    rows = [
        transaction("pay_1.capture.1", 100),
        transaction("pay_2.capture.1", 50, gene=900, reference="pay_2"),
        transaction("pay_1.refund.1", 30, kind="refund", entries=refund),
    ]
    await db.transact(0, ledger.post, rows)
    assert await db.read(0, ledger.captured_by_payment) == {"pay_1": 100, "pay_2": 50}
    assert await db.read(0, ledger.refunded_by_payment) == {"pay_1": 30}
    report = await db.read(0, ledger.check_ledger)
    assert report.kinds == {("capture", "GBP"): 150, ("refund", "GBP"): 30}
    both = ledger.merge_reports([report, report])
    assert (both.transactions, both.captured["pay_2"], both.balanced) == (6, 100, True)
    assert both.balances["provider:sandbox", "GBP"].posted_minor == 240


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (
            "UPDATE journal SET entries = '[[\"seller:s\",5]]' WHERE transaction_id = 'kept'",
            "ledger.unbalanced",
        ),
        ("UPDATE journal_pending SET resolved_minor = 7 WHERE gene = 5", "pending"),
        ("DELETE FROM journal_pending WHERE gene = 5", "pending"),
        ("UPDATE journal SET kind = 'refund' WHERE transaction_id = 'back'", "refund"),
    ],
)
async def test_the_check_sees_damage(db: SqliteStorage, damage: str, kind: str) -> None:
    back = transaction("back", 9, kind="adjustment", entries=(Entry("seller:s", 9), Entry("provider:x", -9)))
    await db.transact(0, ledger.post, [transaction("kept", 1), PENDING, back])

    def spoil(tx: Tx) -> int:
        return tx.execute(damage)

    assert await db.transact(0, spoil) == 1
    report = await db.read(0, ledger.check_ledger)
    assert [finding.kind for finding in report.findings] == [kind]
    assert not report.balanced


async def test_a_scan_goes_through_pages_and_genes(
    db: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PAGE_ROWS", 2)
    rows = [transaction(f"t{n}", 1, gene=gene) for gene in (0, 3, 1023) for n in range(gene % 3 + 2)]
    await db.transact(0, ledger.post, rows)
    assert (await db.read(0, ledger.check_ledger)).transactions == len(rows)


async def test_statements_do_not_grow_with_transactions(db: SqliteStorage) -> None:
    def counted(tx: Any, rows: list[Transaction]) -> int:
        before: int = tx.statements
        ledger.post(tx, rows)
        return int(tx.statements) - before

    rows = [transaction(f"pay_{n}.capture.1", n) for n in range(256)]
    assert await db.transact(0, counted, rows[:1]) == 2
    assert await db.transact(0, counted, rows[1:]) == 2
    assert await db.transact(0, counted, []) == 0


@pytest.mark.parametrize("sql", [store.BY_ID, store.PENDING_BY_ID])
async def test_selects_use_the_primary_key(db: SqliteStorage, sql: str) -> None:
    def plan(tx: Tx) -> list[str]:
        columns = ("gene", "transaction_id")
        keys = [(1, "a"), (2, "b")]
        values = [value for key in keys for value in key]
        return [
            str(row[3]) for row in tx.query("EXPLAIN QUERY PLAN " + driven(sql, columns, len(keys)), values)
        ]

    lines = await db.read(0, plan)
    keys = ("PRIMARY KEY (gene=? AND transaction_id=?)", "PRIMARY KEY (transaction_id=? AND gene=?)")
    assert any(key in line for line in lines for key in keys), lines
    assert {line for line in lines if line.startswith("SCAN")} == {"SCAN wanted", "SCAN 2 CONSTANT ROWS"}, (
        lines
    )


async def test_append_asks_nothing_and_refuses_what_is_there(db: SqliteStorage) -> None:
    def counted(tx: Any, rows: list[Transaction]) -> int:
        before: int = tx.statements
        ledger.append(tx, rows)
        return int(tx.statements) - before

    rows = [transaction(f"pay_{n}.capture.1", n + 1) for n in range(3)]
    assert await db.transact(0, counted, rows) == 1
    for there in (rows[1], transaction("pay_1.capture.1", 77)):
        with pytest.raises(Refusal) as refused:
            await db.transact(0, ledger.append, [transaction("pay_9.capture.1", 9), there])
        assert refused.value.code == "ledger.transaction_conflict"
    report = await db.read(0, ledger.check_ledger)
    assert (report.transactions, report.balanced) == (3, True)
