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

ACCOUNT_FLOORS = Table(
    "account_floors",
    METADATA,
    gene(),
    text("account", 80, primary_key=True),
    text("currency", 3, primary_key=True),
    number("owed_minor"),
    sqlite_with_rowid=False,
)
"""What is owed on accounts that may never go below zero: kept beside the journal, and proved against it."""

JOURNAL_SEALS = Table(
    "journal_seals",
    METADATA,
    gene(),
    number("day", primary_key=True),
    number("row_count"),
    text("row_sum", 64),
    text("previous", 64),
    text("digest", 64),
    number("at_ms"),
    sqlite_with_rowid=False,
)
"""A day of a gene's journal, closed: the sum of its rows' hashes, chained to the day before."""

JOURNAL_DEPARTED = Table(
    "journal_departed",
    METADATA,
    gene(),
    number("day", primary_key=True),
    number("row_count"),
    text("row_sum", 64),
    sqlite_with_rowid=False,
)
"""What left a sealed day for the archive, written in the commit that deleted it."""
