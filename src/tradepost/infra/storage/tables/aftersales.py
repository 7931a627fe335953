"""Goods on their way back."""

from __future__ import annotations

from sqlalchemy import Index, Table

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, small

RETURNS = Table(
    "returns",
    METADATA,
    gene(),
    ident("return_id", primary_key=True),
    ident("order_id"),
    small("version"),
    blob("body"),
    Index("returns_by_order", "gene", "order_id"),
)
