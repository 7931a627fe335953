"""The event log that is the outbox, relay cursors, positions, the inbox, deferred deliveries and dead letters."""

from __future__ import annotations

from sqlalchemy import Index, Table

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, small, text

EVENTS = Table(
    "events",
    METADATA,
    gene(),
    ident("aggregate_id", primary_key=True),
    small("version", primary_key=True),
    text("type", 60),
    number("at_ms"),
    blob("payload"),
    ident("buyer_id"),
    ident("seller_id"),
    number("sequence"),
    Index("events_by_sequence", "sequence"),
)

RELAY_CURSORS = Table(
    "relay_cursors",
    METADATA,
    small("shard", primary_key=True),
    ident("relay", primary_key=True),
    number("sequence"),
    text("owner", 64, default=""),
    number("lease_until_ms", default=0),
    sqlite_with_rowid=False,
)

CONSUMER_POSITIONS = Table(
    "consumer_positions",
    METADATA,
    small("shard", primary_key=True),
    small("source_shard", primary_key=True),
    ident("consumer", primary_key=True),
    number("sequence"),
    number("noted_sequence"),
    sqlite_with_rowid=False,
)

INBOX = Table(
    "inbox",
    METADATA,
    gene(),
    ident("consumer", primary_key=True),
    text("event_id", 80, primary_key=True),
    text("state", 12),
    number("at_ms"),
    sqlite_with_rowid=False,
)

DELIVERIES = Table(
    "deliveries",
    METADATA,
    gene(),
    ident("consumer", primary_key=True),
    ident("aggregate_id", primary_key=True),
    small("version", primary_key=True),
    text("state", 12),
    small("attempts"),
    number("next_at_ms"),
    text("error", 500, default=""),
    number("at_ms"),
    Index("deliveries_by_next", "state", "next_at_ms"),
)

IDEMPOTENCY = Table(
    "idempotency",
    METADATA,
    gene(),
    ident("scope", primary_key=True),
    text("idem_key", 255, primary_key=True),
    ident("request_hash"),
    small("status"),
    blob("response"),
    number("at_ms"),
    sqlite_with_rowid=False,
)
