"""On the party's shard: every movement becomes a statement line, a change of the balance and a row of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from tradepost.kernel.events import EventRow
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.markets import market
from tradepost.trade import ledger
from tradepost.trade.ledger import Entry, Transaction, TransactionKind
from tradepost.trade.settlement import rules, store
from tradepost.trade.settlement.model import (
    TRANSIT,
    Account,
    Component,
    Components,
    Line,
    LineKind,
)
from tradepost.trade.settlement.store import AccountKey

MOVED, EXPECTED = "settlement.moved.v1", "settlement.expected.v1"


class _Moved(msgspec.Struct):
    order_id: str
    party_id: str
    market: str
    currency: str
    amount_minor: int = 0
    kind: str = ""
    components: Components = {}
    due_at_ms: int = 0
    note: str = ""


_moved = msgspec.json.Decoder(_Moved).decode


def genes_of(row: EventRow) -> list[int]:
    """Where the effect of a movement lies: with the party."""
    return [gene_of(_moved(row.payload).party_id)]


def follow_movements(tx: Tx, rows: Sequence[EventRow]) -> None:
    """Enter what arrived; constant statements, however many movements."""
    expected: dict[tuple[str, str], tuple[str, str, str, str, int, int, int]] = {}
    arrived: list[tuple[Line, Transaction | None]] = []
    due: list[tuple[str, str]] = []
    for row in rows:
        fact = _moved(row.payload)
        pair = (fact.party_id, fact.order_id)
        if row.type == EXPECTED:
            expected[pair] = (
                *pair,
                fact.market,
                fact.currency,
                fact.amount_minor,
                fact.due_at_ms,
                row.version,
            )
            continue
        expected.pop(pair, None)
        due.append(pair)
        arrived.append((_line(row, fact), _arrive(row, fact)))
    if due:
        store.drop_expected(tx, due)
    if expected:
        store.put_expected(tx, list(expected.values()))
    if arrived:
        enter(tx, [line for line, _ in arrived], [posting for _, posting in arrived if posting is not None])


def _line(row: EventRow, fact: _Moved) -> Line:
    return Line(
        party_id=fact.party_id,
        line_id=row.event_id,
        market=fact.market,
        currency=fact.currency,
        day=rules.day_of(market(fact.market), row.at_ms),
        at_ms=row.at_ms,
        kind=fact.kind,
        order_id=fact.order_id,
        amount_minor=fact.amount_minor,
        components=fact.components,
        note=fact.note,
    )


def _arrive(row: EventRow, fact: _Moved) -> Transaction | None:
    """The second half of the way: out of the account in transit, onto what the party is to be paid."""
    if not fact.amount_minor:
        return None
    return Transaction(
        transaction_id=f"{row.event_id}.arrive",
        gene=gene_of(fact.party_id),
        kind=TransactionKind.TRANSFER,
        currency=fact.currency,
        entries=(
            Entry(TRANSIT, fact.amount_minor),
            Entry(f"payable:{fact.party_id}", -fact.amount_minor),
        ),
        reference=fact.order_id,
        at_ms=row.at_ms,
    )


def key_of(line: Line) -> AccountKey:
    """The account a line belongs to."""
    return (line.party_id, line.market, line.currency)


def enter(tx: Tx, lines: Sequence[Line], postings: Sequence[Transaction]) -> list[Line]:
    """Append lines to their accounts with the postings that make them true; the lines with the days they got.

    A day whose statement is cut takes no more: such a line belongs to the first day that is open.
    """
    accounts = store.lock_accounts(tx, [key_of(line) for line in lines])
    placed = place(accounts, lines)
    store.insert_lines(tx, placed)
    store.save_accounts(tx, list(accounts.values()))
    if postings:
        ledger.append(tx, postings)
    return placed


def place(accounts: dict[AccountKey, Account], lines: Iterable[Line]) -> list[Line]:
    """Count lines on their accounts, in the dictionary, and give each an open day."""
    placed = []
    for line in lines:
        account = accounts[key_of(line)]
        day = max(line.day, account.cut_through + 1)
        look_ms = rules.end_of(market(line.market), day) + rules.CUT_GRACE_MS
        accounts[key_of(line)] = replace(
            account,
            balance_minor=account.balance_minor + line.amount_minor,
            lines=account.lines + 1,
            next_at_ms=min(account.next_at_ms or look_ms, look_ms),
        )
        placed.append(replace(line, day=day))
    return placed


def own_line(
    key: AccountKey, line_id: str, day: int, at_ms: int, kind: LineKind, component: Component, amount: int
) -> Line:
    """A line that comes from no order."""
    return Line(
        party_id=key[0],
        line_id=line_id,
        market=key[1],
        currency=key[2],
        day=day,
        at_ms=at_ms,
        kind=kind,
        amount_minor=amount,
        components={str(component): amount},
    )


def own_posting(line: Line, kind: TransactionKind, other: str) -> Transaction:
    """The ledger's side of such a line: the party's balance against another account."""
    return Transaction(
        transaction_id=line.line_id,
        gene=gene_of(line.party_id),
        kind=kind,
        currency=line.currency,
        entries=(Entry(other, line.amount_minor), Entry(f"payable:{line.party_id}", -line.amount_minor)),
        reference=line.party_id,
        at_ms=line.at_ms,
    )
