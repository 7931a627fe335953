"""Checkouts: the orders placed and paid together, and the tombstones of those that will never be."""

from __future__ import annotations

from sqlalchemy import Table

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, text

CHECKOUTS = Table(
    "checkouts",
    METADATA,
    gene(),
    ident("buyer_id", primary_key=True),
    ident("checkout_id", primary_key=True),
    text("state", 10),
    ident("quote_hash"),
    number("placed_at_ms"),
    blob("body"),
)
