"""Campaigns: where each stands, every version of its rules, the codes it answers to, and the editions of the book."""

from __future__ import annotations

from sqlalchemy import Index, Table

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, small, text

CAMPAIGNS = Table(
    "campaigns",
    METADATA,
    gene(),
    ident("campaign_id", primary_key=True),
    ident("seller_id"),
    text("state", 10),
    small("version"),
    small("rules_version"),
    small("live_version"),
    number("ends_at_ms"),
    number("updated_at_ms"),
    Index("campaigns_by_state", "gene", "state", "campaign_id"),
    Index("campaigns_by_seller", "gene", "seller_id", "campaign_id"),
)

CAMPAIGN_VERSIONS = Table(
    "campaign_versions",
    METADATA,
    gene(),
    ident("campaign_id", primary_key=True),
    small("rules_version", primary_key=True),
    blob("document"),
    ident("author"),
    number("at_ms"),
)

CAMPAIGN_CODES = Table(
    "campaign_codes",
    METADATA,
    gene(),
    text("code", 40, primary_key=True),
    ident("campaign_id"),
)

CAMPAIGN_EDITIONS = Table(
    "campaign_editions",
    METADATA,
    gene(),
    number("edition", primary_key=True),
    blob("campaigns"),
    number("at_ms"),
)
