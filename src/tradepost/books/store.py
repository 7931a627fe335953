"""What the auditor reads: rows as they lie, past the code that wrote them, so that its word is independent."""

from __future__ import annotations

from collections.abc import Iterator

from tradepost.kernel.tx import Row, Tx

PAGE = 5_000
_ORDERS = "SELECT gene, order_id, payment_id, state, total_minor, currency FROM orders"
_PAYMENTS = (
    "SELECT gene, payment_id, state, amount_minor, authorized_minor, captured_minor, refunded_minor, currency"
    " FROM payments"
)
ORDERS_BY_TIME = f"{_ORDERS} WHERE order_id > ? ORDER BY order_id LIMIT ?"
ORDERS_BY_GENE = f"{_ORDERS} WHERE gene >= ? AND (gene > ? OR order_id > ?) ORDER BY gene, order_id LIMIT ?"
PAYMENTS_BY_TIME = f"{_PAYMENTS} WHERE payment_id > ? ORDER BY payment_id LIMIT ?"
PAYMENTS_BY_GENE = (
    f"{_PAYMENTS} WHERE gene >= ? AND (gene > ? OR payment_id > ?) ORDER BY gene, payment_id LIMIT ?"
)


def all_orders(tx: Tx) -> Iterator[Row]:
    """(gene, order, payment, state, total, currency) of this shard, in order of the key."""
    return _pages(tx, ORDERS_BY_TIME, ORDERS_BY_GENE)


def all_payments(tx: Tx) -> Iterator[Row]:
    """(gene, payment, state, amount, authorized, captured, refunded, currency) of this shard, in order of the key."""
    return _pages(tx, PAYMENTS_BY_TIME, PAYMENTS_BY_GENE)


def _pages(tx: Tx, by_time: str, by_gene: str) -> Iterator[Row]:
    gene, after = -1, ""  # ids are unique over all genes
    while True:
        rows = (
            tx.query(by_time, (after, PAGE))
            if tx.time_first
            else tx.query(by_gene, (gene, gene, after, PAGE))
        )
        yield from rows
        if len(rows) < PAGE:
            return
        gene, after = rows[-1][0], rows[-1][1]
