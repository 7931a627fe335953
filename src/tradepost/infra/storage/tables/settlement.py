"""Settlement: what is due by order, accounts of those who are paid, statement lines, statements, reserves, payouts."""

from __future__ import annotations

from sqlalchemy import Index, Table
from sqlalchemy import text as condition

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, small, text

SETTLEMENTS = Table(
    "settlements",
    METADATA,
    gene(),
    ident("order_id", primary_key=True),
    ident("party_id"),
    text("market", 8),
    text("currency", 3),
    text("state", 12),
    number("due_at_ms"),
    small("version"),
    blob("body"),
    Index("settlements_by_due", "due_at_ms", sqlite_where=condition("due_at_ms > 0")),
    sqlite_with_rowid=False,
)
"""On the order's shard: when its money goes to whom it belongs to, and what went."""

SETTLEMENT_EXPECTED = Table(
    "settlement_expected",
    METADATA,
    gene(),
    ident("party_id", primary_key=True),
    ident("order_id", primary_key=True),
    text("market", 8),
    text("currency", 3),
    number("amount_minor"),
    number("due_at_ms"),
    small("version"),
    sqlite_with_rowid=False,
)
"""On the party's shard: what is delivered and not due yet."""

SETTLEMENT_ACCOUNTS = Table(
    "settlement_accounts",
    METADATA,
    gene(),
    ident("party_id", primary_key=True),
    text("market", 8, primary_key=True),
    text("currency", 3, primary_key=True),
    number("balance_minor"),
    number("reserve_minor"),
    number("cut_through"),
    number("next_at_ms"),
    number("line_count"),
    Index("settlement_accounts_by_next", "next_at_ms", sqlite_where=condition("next_at_ms > 0")),
    sqlite_with_rowid=False,
)

SETTLEMENT_LINES = Table(
    "settlement_lines",
    METADATA,
    gene(),
    ident("party_id", primary_key=True),
    ident("line_id", primary_key=True),
    text("market", 8),
    text("currency", 3),
    number("day"),
    number("at_ms"),
    text("kind", 24),
    ident("order_id"),
    number("amount_minor"),
    blob("body"),
    Index("settlement_lines_by_day", "gene", "party_id", "market", "currency", "day", "line_id"),
    sqlite_with_rowid=False,
)

STATEMENTS = Table(
    "statements",
    METADATA,
    gene(),
    ident("party_id", primary_key=True),
    text("market", 8, primary_key=True),
    text("currency", 3, primary_key=True),
    number("day", primary_key=True),
    number("opening_minor"),
    number("amount_minor"),
    number("closing_minor"),
    number("line_count"),
    number("cut_at_ms"),
    blob("body"),
    sqlite_with_rowid=False,
)

SETTLEMENT_RESERVES = Table(
    "settlement_reserves",
    METADATA,
    gene(),
    ident("party_id", primary_key=True),
    text("market", 8, primary_key=True),
    text("currency", 3, primary_key=True),
    number("day", primary_key=True),
    number("amount_minor"),
    number("release_at_ms"),
    sqlite_with_rowid=False,
)
"""What is held back of a day's sales; the row goes when it is given free."""

PAYOUT_ACCOUNTS = Table(
    "payout_accounts",
    METADATA,
    gene(),
    ident("party_id", primary_key=True),
    small("blocked"),
    small("version"),
    blob("body"),
    sqlite_with_rowid=False,
)

PAYOUTS = Table(
    "payouts",
    METADATA,
    gene(),
    ident("payout_id", primary_key=True),
    ident("party_id"),
    text("market", 8),
    text("currency", 3),
    number("amount_minor"),
    text("state", 12),
    small("attempts"),
    number("next_at_ms"),
    text("bank", 20),
    text("error", 200),
    small("version"),
    number("requested_at_ms"),
    number("day"),
    blob("body"),
    Index("payouts_by_party", "gene", "party_id", "payout_id"),
    Index("payouts_by_next", "next_at_ms", sqlite_where=condition("next_at_ms > 0")),
    sqlite_with_rowid=False,
)
