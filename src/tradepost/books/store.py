"""What the auditor reads: rows as they lie, past the code that wrote them, so that its word is independent."""

from __future__ import annotations

from collections.abc import Iterator

from tradepost.kernel.tx import Row, Tx

PAGE = 5_000
_ORDERS = (
    "SELECT gene, order_id, payment_id, state, total_minor, currency FROM orders"
    " WHERE order_id > ? ORDER BY order_id LIMIT ?"
)
_PAYMENTS = (
    "SELECT gene, payment_id, state, amount_minor, authorized_minor, captured_minor, refunded_minor, currency"
    " FROM payments WHERE payment_id > ? ORDER BY payment_id LIMIT ?"
)


def all_orders(tx: Tx) -> Iterator[Row]:
    """(gene, order, payment, state, total, currency) of this shard, in order of id."""
    return _pages(tx, _ORDERS)


def all_payments(tx: Tx) -> Iterator[Row]:
    """(gene, payment, state, amount, authorized, captured, refunded, currency) of this shard, in order of id."""
    return _pages(tx, _PAYMENTS)


def _pages(tx: Tx, sql: str) -> Iterator[Row]:
    after = ""  # ids are unique over all genes, and a file keeps both tables in their order
    while True:
        rows = tx.query(sql, (after, PAGE))
        yield from rows
        if len(rows) < PAGE:
            return
        after = rows[-1][1]
