"""The only SQL of orders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow
from tradepost.kernel.ids import GENES, first_id_at, gene_of
from tradepost.kernel.tx import Row, Tx
from tradepost.trade.orders.model import Cancellation, NewOrder, Order, OrderBody, Progress

_COLUMNS = (
    "order_id, checkout_id, buyer_id, seller_id, market, currency, scene, state, version, total_minor,"
    " placed_at_ms, deadline_at_ms, payment_id, progress, cancellation, body"
)
_SELLER_COLUMNS = "order_id, seller_id, state, currency, total_minor, placed_at_ms, version"
_body = msgspec.json.Decoder(OrderBody)
_progress = msgspec.json.Decoder(Progress)
_cancellation = msgspec.json.Decoder(Cancellation)
_encode = msgspec.json.Encoder().encode
SAMPLED_EVERY = 16
"""Every how manieth gene stands for all of them where a few orders are enough."""


def insert_orders(tx: Tx, orders: Sequence[NewOrder]) -> None:
    """One statement for all. Raises Taken when an order stands already."""
    tx.execute_many(
        f"INSERT INTO orders (gene, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        [
            (
                gene_of(order.order_id),
                order.order_id,
                order.checkout_id,
                order.buyer_id,
                order.seller_id,
                order.market,
                order.currency,
                order.scene,
                order.state,
                len(order.events),
                order.total_minor,
                order.placed_at_ms,
                order.deadline_at_ms,
                order.payment_id,
                b"",
                b"",
                order.body,
            )
            for order in orders
        ],
    )


def newest_orders(tx: Tx, limit: int) -> list[Order]:
    """About so many of the newest orders: of the whole file, or, where rows are spread, of some genes of this shard."""
    if tx.time_first:
        rows = tx.query(
            f"SELECT {_COLUMNS} FROM orders WHERE gene >= ? ORDER BY order_id DESC LIMIT ?", (0, limit)
        )
        return [_order(row) for row in rows]
    genes = [gene for gene in range(0, GENES, SAMPLED_EVERY) if tx.keeps(gene)]
    sql = f"SELECT {_COLUMNS} FROM orders WHERE gene = ? ORDER BY order_id DESC LIMIT ?"
    each = limit // max(len(genes), 1) + 1
    return [_order(row) for gene in genes for row in tx.query(sql, (gene, each))]


def orders_since(tx: Tx, since_ms: int, after: tuple[int, str], limit: int) -> list[Order]:
    """A page of the orders whose quotes are from a moment on, after (gene, order id), in the order of their key."""
    gene, order_id = after
    first = (
        max(order_id, first_id_at("ord", 0, since_ms)) if tx.time_first else first_id_at("ord", 0, since_ms)
    )
    if tx.time_first:
        sql = f"SELECT {_COLUMNS} FROM orders WHERE gene >= 0 AND order_id > ? ORDER BY order_id LIMIT ?"
        return [_order(row) for row in tx.query(sql, (first, limit))]
    sql = (
        f"SELECT {_COLUMNS} FROM orders WHERE gene >= ? AND (gene > ? OR order_id > ?) AND order_id >= ?"
        " ORDER BY gene, order_id LIMIT ?"
    )
    return [_order(row) for row in tx.query(sql, (gene, gene, order_id, first, limit))]


def find_orders(tx: Tx, order_ids: Iterable[str]) -> dict[str, Order]:
    """Orders by id; unknown ones are left out."""
    keys = [(gene_of(order_id), order_id) for order_id in dict.fromkeys(order_ids)]
    sql = f"SELECT {_COLUMNS} FROM orders WHERE {{keys}}"
    rows = tx.query_keys(sql, ("gene", "order_id"), keys, lock=True)
    return {row[0]: _order(row) for row in rows}


def _order(row: Row) -> Order:
    return Order(
        row[0],
        row[1],
        buyer_id=row[2],
        seller_id=row[3],
        market=row[4],
        currency=row[5],
        scene=row[6],
        state=row[7],
        version=row[8],
        total_minor=row[9],
        placed_at_ms=row[10],
        deadline_at_ms=row[11],
        payment_id=row[12],
        progress=_progress.decode(row[13]) if row[13] else (),
        cancellation=_cancellation.decode(row[14]) if row[14] else None,
        body=_body.decode(row[15]),
    )


def update_orders(tx: Tx, changed: Sequence[tuple[int, Order]]) -> None:
    """One statement for all (version before, order after). Raises Refusal `version.conflict` when one moved."""
    matched = tx.execute_many(
        "UPDATE orders SET state=?, version=?, deadline_at_ms=?, progress=?, cancellation=?"
        " WHERE gene=? AND order_id=? AND version=?",
        [
            (
                order.state,
                order.version,
                order.deadline_at_ms,
                _encode(order.progress) if order.progress else b"",
                _encode(order.cancellation) if order.cancellation else b"",
                gene_of(order.order_id),
                order.order_id,
                before,
            )
            for before, order in changed
        ],
    )
    if matched != len(changed):
        raise Refusal("version.conflict", "An order was changed meanwhile.")


def due_orders(tx: Tx, state: str, now_ms: int, limit: int) -> list[str]:
    """Ids of orders whose present state has ended by this moment, longest overdue first."""
    rows = tx.query(
        "SELECT order_id FROM orders WHERE state=? AND deadline_at_ms BETWEEN 1 AND ?"
        " ORDER BY deadline_at_ms LIMIT ?",
        (state, now_ms, limit),
    )
    return [row[0] for row in rows]


def set_deadline(tx: Tx, order_id: str, deadline_at_ms: int) -> None:
    """Set the timer of a row that still has one."""
    tx.execute(
        "UPDATE orders SET deadline_at_ms=? WHERE gene=? AND order_id=? AND deadline_at_ms>0",
        (deadline_at_ms, gene_of(order_id), order_id),
    )


def order_log(tx: Tx, order_id: str) -> list[EventRow]:
    """The order's own events, oldest first."""
    rows = tx.query(
        "SELECT gene, aggregate_id, version, type, at_ms, payload, buyer_id, seller_id, sequence FROM events"
        " WHERE gene=? AND aggregate_id=? ORDER BY version",
        (gene_of(order_id), order_id),
    )
    return [EventRow(*row) for row in rows]


def seller_versions(tx: Tx, keys: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Order id to the version the seller's list has, for (seller id, order id) pairs it knows."""
    rows = tx.query_keys(
        "SELECT order_id, version FROM seller_orders WHERE {keys}",
        ("gene", "seller_id", "order_id"),
        [(gene_of(seller_id), seller_id, order_id) for seller_id, order_id in keys],
    )
    return dict(rows)


def insert_seller_orders(tx: Tx, rows: Sequence[tuple[str, str, str, str, str, int, int, int]]) -> None:
    """Insert rows of (seller, order, number letters, state, currency, total, placed at, version)."""
    tx.execute_many(
        "INSERT INTO seller_orders"
        " (gene, seller_id, order_id, number, state, currency, total_minor, placed_at_ms, version)"
        " VALUES (?,?,?,?,?,?,?,?,?)",
        [(gene_of(row[0]), *row) for row in rows],
    )


def update_seller_orders(tx: Tx, rows: Sequence[tuple[str, str, str, int]]) -> None:
    """Set (seller, order, state, version) where the list is older."""
    tx.execute_many(
        "UPDATE seller_orders SET state=?, version=? WHERE gene=? AND seller_id=? AND order_id=? AND version<?",
        [
            (state, version, gene_of(seller_id), seller_id, order_id, version)
            for seller_id, order_id, state, version in rows
        ],
    )


def list_seller_orders(tx: Tx, seller_id: str, state: str, before: str, limit: int) -> list[Row]:
    """A seller's orders, newest first, older than the id `before`; of one state unless that is empty."""
    where, params = ("state=? AND ", [state]) if state else ("", [])
    return tx.query(
        f"SELECT {_SELLER_COLUMNS} FROM seller_orders WHERE gene=? AND seller_id=? AND {where}order_id<?"
        " ORDER BY order_id DESC LIMIT ?",
        [gene_of(seller_id), seller_id, *params, before or "ord_~", limit],
    )


def find_by_number(tx: Tx, seller_id: str, letters: str) -> list[Row]:
    """A seller's orders whose number has these letters."""
    return tx.query(
        f"SELECT {_SELLER_COLUMNS} FROM seller_orders WHERE gene=? AND seller_id=? AND number=?",
        (gene_of(seller_id), seller_id, letters),
    )
