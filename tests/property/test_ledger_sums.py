"""The ledger under any mixture of sound, unsound, repeated and resolving transactions."""

from __future__ import annotations

import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from tradepost.infra.storage.sqlite_engine import SqliteTx
from tradepost.infra.storage.tables import ledger as tables
from tradepost.kernel.errors import Refusal
from tradepost.trade import ledger
from tradepost.trade.ledger import Entry, Transaction

DDL = [
    str(CreateTable(table).compile(dialect=sqlite.dialect()))
    for table in (
        tables.JOURNAL,
        tables.JOURNAL_PENDING,
        tables.ACCOUNT_FLOORS,
        tables.JOURNAL_SEALS,
        tables.JOURNAL_DEPARTED,
    )
]
ACCOUNTS = ["provider:sandbox", "seller:sel_1", "seller:sel_2", "platform:fees", "tax:GB"]

entries = st.lists(st.tuples(st.sampled_from(ACCOUNTS), st.integers(-500, 500)), min_size=1, max_size=4).map(
    lambda parts: tuple(Entry(*part) for part in parts)
)


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    """Mostly balanced, of few ids, so that repeats, conflicts and resolutions happen."""
    parts = draw(entries)
    if draw(st.integers(0, 9)):
        parts = (*parts, Entry("buyer:clearing", -sum(entry.amount_minor for entry in parts)))
    state = draw(st.sampled_from(["posted", "posted", "pending", "voided"]))
    name = draw(st.sampled_from(["a", "b", "c", "d", "e", "f"]))
    resolves = draw(st.sampled_from(["", "a", "b", "c"])) if state == "posted" else "a"
    return Transaction(
        transaction_id=name,
        gene=draw(st.integers(0, 1)),
        kind="adjustment",
        state=state,
        currency=draw(st.sampled_from(["GBP", "GBP", "JPY"])),
        entries=parts,
        reference="ord_1",
        pending_id="" if state == "pending" else resolves,
        at_ms=1,
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(transactions(), min_size=1, max_size=3), max_size=12))
def test_whatever_was_accepted_sums_to_zero(groups: list[list[Transaction]]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in DDL:
        connection.execute(statement)
    tx = SqliteTx(connection, 0)
    accepted: dict[tuple[int, str], Transaction] = {}
    for group in groups:
        connection.execute("BEGIN")
        try:
            ledger.post(tx, group)
            connection.execute("COMMIT")
            accepted |= {(t.gene, t.transaction_id): t for t in group}
        except Refusal:
            connection.execute("ROLLBACK")
    report = ledger.check_ledger(tx)
    assert report.balanced, report.findings
    assert report.transactions == len(accepted)
    assert report.balances == ledger.balances(accepted.values())
    for key, opened in accepted.items():
        resolved = sum(
            t.amount_minor for t in accepted.values() if (t.gene, t.pending_id) == key and t.pending_id
        )
        assert resolved <= opened.amount_minor or opened.state != "pending"
    connection.close()


@given(st.lists(transactions(), max_size=20), st.randoms())
def test_balances_do_not_depend_on_order(rows: list[Transaction], chance: object) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert ledger.balances(rows) == ledger.balances(shuffled)
