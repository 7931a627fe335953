"""Commission plans on the seller's gene, commissions on the order's, and what creators see on theirs."""

from __future__ import annotations

from sqlalchemy import Index, Table
from sqlalchemy import text as condition

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, small, text

COMMISSION_PLANS = Table(
    "commission_plans",
    METADATA,
    gene(),
    ident("seller_id", primary_key=True),
    ident("plan_id", primary_key=True),
    small("version", primary_key=True),
    number("from_ms"),
    number("until_ms"),
    blob("body"),
)
"""Every version ever in force, from its moment until the next one's (0: still)."""

COMMISSIONS = Table(
    "commissions",
    METADATA,
    gene(),
    ident("order_id", primary_key=True),
    small("version"),
    small("touches"),
    number("next_at_ms"),
    number("settle_at_ms"),
    blob("body"),
    Index("commissions_by_next", "next_at_ms", sqlite_where=condition("next_at_ms > 0")),
)
"""On the order's shard: what its lines earn, and when it is looked at next (0: nothing to wait for)."""

CREATOR_COMMISSIONS = Table(
    "creator_commissions",
    METADATA,
    gene(),
    ident("creator_id", primary_key=True),
    ident("order_id", primary_key=True),
    small("line_no", primary_key=True),
    small("version"),
    ident("plan_id"),
    text("state", 12),
    text("currency", 3),
    number("base_minor"),
    number("amount_minor"),
    number("at_ms"),
    number("settle_at_ms"),
    ident("content_id"),
    ident("seller_id"),
    Index("creator_commissions_by_plan", "gene", "creator_id", "plan_id", "at_ms"),
    Index("creator_commissions_by_state", "gene", "creator_id", "state"),
)
"""On the creator's shard: one row a line, following the order's."""
