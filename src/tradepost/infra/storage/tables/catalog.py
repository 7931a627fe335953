"""What is sold: products, SKU codes and offers on the seller's gene, each SKU's home on its own gene."""

from __future__ import annotations

from sqlalchemy import Index, Table

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, small, text

OFFER_SELLERS = Table(
    "offer_sellers",
    METADATA,
    gene(),
    ident("seller_id", primary_key=True),
    text("state", 12),
    small("fee_bps"),
    small("version"),
    small("shipping_version", default=0),
    sqlite_with_rowid=False,
)

PRODUCTS = Table(
    "products",
    METADATA,
    gene(),
    ident("product_id", primary_key=True),
    ident("seller_id"),
    text("code", 64),
    blob("body"),
    number("updated_at_ms"),
    small("version"),
    Index("products_by_code", "gene", "seller_id", "code", unique=True),
)

SKU_CODES = Table(
    "sku_codes",
    METADATA,
    gene(),
    ident("seller_id", primary_key=True),
    text("code", 64, primary_key=True),
    ident("sku_id"),
    ident("product_id"),
    text("title", 300),
    small("is_kit"),
    blob("components"),
    number("updated_at_ms"),
    small("version"),
    small("weight_g", default=0),
    Index("sku_codes_by_id", "gene", "sku_id", unique=True),
    Index("sku_codes_by_product", "gene", "product_id"),
)

SKUS = Table(
    "skus",
    METADATA,
    gene(),
    ident("sku_id", primary_key=True),
    ident("seller_id"),
    text("code", 64),
    number("created_at_ms"),
    sqlite_with_rowid=False,
)

OFFERS = Table(
    "offers",
    METADATA,
    gene(),
    ident("offer_id", primary_key=True),
    ident("seller_id"),
    ident("sku_id"),
    text("code", 64, default=""),
    text("state", 8),
    blob("body"),
    number("updated_at_ms"),
    small("version"),
    Index("offers_by_sku", "gene", "seller_id", "sku_id", "code", unique=True),
    Index("offers_by_seller", "gene", "seller_id", "offer_id"),
)

OFFER_MARKETS = Table(
    "offer_markets",
    METADATA,
    gene(),
    ident("offer_id", primary_key=True),
    text("market", 8, primary_key=True),
    ident("seller_id"),
    small("listed"),
    Index("offer_markets_by_market", "market", "listed", "offer_id"),
    sqlite_with_rowid=False,
)
