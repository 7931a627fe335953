"""The journal: one immutable row per movement of money with all its entries, and what is left of pending ones."""

from __future__ import annotations

from sqlalchemy import Table

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, text

JOURNAL = Table(
    "journal",
    METADATA,
    gene(),
    ident("transaction_id", primary_key=True),
    text("kind", 20),
    text("state", 8),
    text("currency", 3),
    blob("entries"),
    text("reference", 80),
    ident("pending_id"),
    number("at_ms"),
    sqlite_with_rowid=False,
)

JOURNAL_PENDING = Table(
    "journal_pending",
    METADATA,
    gene(),
    ident("transaction_id", primary_key=True),
    number("amount_minor"),
    number("resolved_minor"),
    sqlite_with_rowid=False,
)
