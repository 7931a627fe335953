"""Orders with their lines inside, and what sellers list."""

from __future__ import annotations

from sqlalchemy import Index, Table

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, small, text

ORDERS = Table(
    "orders",
    METADATA,
    gene(),
    ident("order_id", primary_key=True),
    ident("checkout_id"),
    ident("buyer_id"),
    ident("seller_id"),
    text("market", 8),
    text("currency", 3),
    text("scene", 60),
    text("state", 20),
    small("version"),
    number("total_minor"),
    number("placed_at_ms"),
    number("deadline_at_ms"),
    ident("payment_id"),
    blob("progress"),
    blob("cancellation"),
    blob("body"),
    Index("orders_by_deadline", "state", "deadline_at_ms"),
)

SELLER_ORDERS = Table(
    "seller_orders",
    METADATA,
    gene(),
    ident("seller_id", primary_key=True),
    ident("order_id", primary_key=True),
    text("number", 11),
    text("state", 20),
    text("currency", 3),
    number("total_minor"),
    number("placed_at_ms"),
    small("version"),
    Index("seller_orders_by_state", "gene", "seller_id", "state", "order_id"),
    Index("seller_orders_by_number", "gene", "seller_id", "number"),
    sqlite_with_rowid=False,
)
