"""What was set in the config centre, by whom and why; and how each drill of a switch went."""

from __future__ import annotations

from sqlalchemy import Index, Table

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, small, text

CONFIG_VERSIONS = Table(
    "config_versions",
    METADATA,
    gene(),
    ident("config_key", primary_key=True),
    small("version", primary_key=True),
    text("kind", 12),
    blob("document"),
    ident("author"),
    text("reason", 500),
    small("from_version", default=0),
    number("at_ms"),
    number("pushed_at_ms", default=0),
    Index("config_versions_by_time", "gene", "at_ms"),
)

DRILLS = Table(
    "drills",
    METADATA,
    gene(),
    ident("switch_name", primary_key=True),
    number("at_ms", primary_key=True),
    small("passed"),
    number("took_ms"),
    ident("author"),
    blob("report"),
)
