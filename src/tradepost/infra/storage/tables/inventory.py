"""Stock by SKU, location and pool; the holds on it; the movement log; buyers' limits; deadlines of open holds."""

from __future__ import annotations

from sqlalchemy import Index, Table

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, small, text

STOCK = Table(
    "stock",
    METADATA,
    gene(),
    ident("sku_id", primary_key=True),
    ident("location_id", primary_key=True),
    ident("pool", primary_key=True),
    number("on_hand"),
    number("held", default=0),
    number("reserved", default=0),
    small("version", default=1),
    sqlite_with_rowid=False,
)

HOLDS = Table(
    "holds",
    METADATA,
    gene(),
    ident("owner_id", primary_key=True),
    ident("sku_id", primary_key=True),
    ident("location_id", primary_key=True),
    ident("pool", primary_key=True),
    ident("checkout_id"),
    ident("buyer_id"),
    text("state", 8),
    number("quantity"),
    number("open_quantity"),
    number("shipped"),
    number("returned"),
    small("limited"),
    number("at_ms"),
    sqlite_with_rowid=False,
)

MOVEMENTS = Table(
    "movements",
    METADATA,
    gene(),
    text("reference", 80, primary_key=True),
    ident("sku_id", primary_key=True),
    text("kind", 12, primary_key=True),
    ident("location_id", primary_key=True),
    ident("pool", primary_key=True),
    number("on_hand"),
    number("held"),
    number("reserved"),
    number("at_ms"),
    sqlite_with_rowid=False,
)

MOVEMENT_SPANS = Table(
    "movement_spans",
    METADATA,
    gene(),
    ident("sku_id", primary_key=True),
    text("span", 16, primary_key=True),
    sqlite_with_rowid=False,
)

BUYER_LIMITS = Table(
    "buyer_limits",
    METADATA,
    gene(),
    ident("sku_id", primary_key=True),
    ident("buyer_id", primary_key=True),
    number("taken"),
    sqlite_with_rowid=False,
)

HOLD_DEADLINES = Table(
    "hold_deadlines",
    METADATA,
    gene(),
    ident("checkout_id", primary_key=True),
    ident("buyer_id"),
    blob("owners"),
    number("expires_at_ms"),
    Index("hold_deadlines_by_expiry", "expires_at_ms"),
    sqlite_with_rowid=False,
)
