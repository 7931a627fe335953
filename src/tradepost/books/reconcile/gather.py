"""What one shard says: its rows, read once, for whoever compares."""

from __future__ import annotations

from tradepost.books import check_books
from tradepost.books.reconcile.model import DAY_MS, Gathered, Moved
from tradepost.kernel.tx import Tx
from tradepost.trade import ledger, payments, settlement

_STORED = f"provider:{payments.STORED_VALUE}"
"""What buyers pay with stored value is in no provider's report."""
_KINDS = {"capture": ("capture", 1), "refund": ("refund", -1), "dispute": ("chargeback", -1)}
"""What a kind of ours is called in a provider's report, and the sign it has there: what a bank gave back again is
below zero."""


def gather(tx: Tx, now_ms: int) -> Gathered:
    """Read a shard. Rows of every day are kept, so that what lies on a neighbouring day can be told."""
    moved: list[Moved] = []
    for t in ledger.all_transactions(tx):
        named = _KINDS.get(t.kind)
        if named and t.state == ledger.POSTED:
            kind, sign = named
            amount = sign * ledger.amount_on(t, "provider")
            stored = sign * sum(each.amount_minor for each in t.entries if each.account == _STORED)
            if amount - stored:
                moved.append(Moved(t.reference, kind, amount - stored, t.currency, t.at_ms))
            if stored:
                moved.append(Moved(t.reference, f"stored_{kind}", stored, t.currency, t.at_ms))
    return Gathered(
        books=check_books(tx),
        settlement=settlement.check_settlement(tx),
        moved=tuple(moved),
        payouts=tuple(settlement.all_payouts(tx)),
        overdue=tuple(settlement.overdue(tx, now_ms - DAY_MS)),
    )
