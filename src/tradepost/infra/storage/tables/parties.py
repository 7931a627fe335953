"""Who takes part: buyers, sellers, the other parties, and their API keys."""

from __future__ import annotations

from sqlalchemy import Index, Table

from tradepost.infra.storage.tables.columns import METADATA, gene, ident, number, small, text

BUYERS = Table(
    "buyers",
    METADATA,
    gene(),
    ident("buyer_id", primary_key=True),
    text("name", 200),
    text("email", 254),
    number("created_at_ms"),
    small("version"),
)

SELLERS = Table(
    "sellers",
    METADATA,
    gene(),
    ident("seller_id", primary_key=True),
    text("name", 200),
    text("state", 12),
    text("reason", 40, default=""),
    small("fee_bps"),
    number("created_at_ms"),
    small("version"),
)

MEMBERS = Table(
    "members",
    METADATA,
    gene(),
    ident("party_id", primary_key=True),
    text("party_role", 12),
    text("name", 200),
    number("created_at_ms"),
    small("version"),
)

API_KEYS = Table(
    "api_keys",
    METADATA,
    gene(),
    ident("token_hash", primary_key=True),
    ident("key_id"),
    ident("party_id"),
    text("party_role", 12),
    text("scopes", 200),
    number("created_at_ms"),
    number("expires_at_ms", default=0),
    number("revoked_at_ms", default=0),
    ident("replaced_by", default=""),
    Index("api_keys_by_id", "gene", "key_id", unique=True),
    Index("api_keys_by_party", "party_id", "key_id"),
)
