"""Goods on their way back."""

from __future__ import annotations

from sqlalchemy import Index, Table
from sqlalchemy import text as condition

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, small

RETURNS = Table(
    "returns",
    METADATA,
    gene(),
    ident("return_id", primary_key=True),
    ident("order_id"),
    small("version"),
    blob("body"),
    number("deadline_at_ms", default=0),
    Index("returns_by_order", "gene", "order_id"),
    Index("returns_by_deadline", "deadline_at_ms", sqlite_where=condition("deadline_at_ms > 0")),
)
