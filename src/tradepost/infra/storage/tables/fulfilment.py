"""The work on released orders, and parcels."""

from __future__ import annotations

from sqlalchemy import Table

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, small, text

FULFILMENTS = Table(
    "fulfilments",
    METADATA,
    gene(),
    ident("order_id", primary_key=True),
    ident("buyer_id"),
    ident("seller_id"),
    text("state", 20),
    small("version"),
    number("ship_by_at_ms"),
    blob("open_lines"),
    blob("done"),
)

PACKAGES = Table(
    "packages",
    METADATA,
    gene(),
    ident("order_id", primary_key=True),
    ident("package_id", primary_key=True),
    small("version"),
    blob("body"),
)
