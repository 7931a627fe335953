"""Invoices as issued, counters of their numbers, legal parties that issue them: all on the seller's gene."""

from __future__ import annotations

from sqlalchemy import Index, Table

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, small, text

INVOICES = Table(
    "invoices",
    METADATA,
    gene(),
    ident("seller_id", primary_key=True),
    text("series", 12, primary_key=True),
    number("count", primary_key=True),
    ident("invoice_id"),
    ident("order_id"),
    text("source", 80),
    number("issued_at_ms"),
    blob("body"),
    Index("invoices_by_id", "gene", "invoice_id", unique=True),
    Index("invoices_by_source", "gene", "source", unique=True),
    Index("invoices_by_order", "gene", "order_id"),
)

INVOICE_COUNTERS = Table(
    "invoice_counters",
    METADATA,
    gene(),
    ident("seller_id", primary_key=True),
    text("series", 12, primary_key=True),
    number("last"),
)
"""The last number given out; it moves in the commit that writes the document, so there is no gap."""

LEGAL_PARTIES = Table(
    "legal_parties",
    METADATA,
    gene(),
    ident("seller_id", primary_key=True),
    small("version"),
    blob("body"),
)
