"""Carts: one row each, lines in the body."""

from __future__ import annotations

from sqlalchemy import Index, Table

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, small, text

CARTS = Table(
    "carts",
    METADATA,
    gene(),
    ident("cart_id", primary_key=True),
    ident("buyer_id"),
    text("state", 10),
    small("version"),
    number("updated_at_ms"),
    small("updated_day"),
    blob("body"),
    Index("carts_by_buyer", "gene", "buyer_id"),
    Index("carts_by_day", "updated_day"),
)
