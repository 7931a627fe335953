"""Shipping terms: one document per seller and currency, on the seller's gene."""

from __future__ import annotations

from sqlalchemy import Table

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, small, text

SHIPPING_TERMS = Table(
    "shipping_terms",
    METADATA,
    gene(),
    ident("seller_id", primary_key=True),
    text("currency", 3, primary_key=True),
    small("version"),
    blob("document"),
    ident("author"),
    number("updated_at_ms"),
)
