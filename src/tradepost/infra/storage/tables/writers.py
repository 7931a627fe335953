"""What several writers of one shard need: numbers in commit order, and the last group that each has committed."""

from __future__ import annotations

from sqlalchemy import Table

from tradepost.infra.storage.tables.columns import METADATA, ident, number, small

EVENT_COUNTERS = Table(
    "event_counters",
    METADATA,
    small("shard", primary_key=True),
    number("sequence"),
    sqlite_with_rowid=False,
)
"""The last number of each shard's event stream; a SQLite file counts in memory, it has one writer."""

COMMIT_MARKS = Table(
    "commit_marks",
    METADATA,
    ident("writer", primary_key=True),
    number("number"),
    number("at_ms"),
    sqlite_with_rowid=False,
)
"""The number of the last group each writer committed, so that a commit without an answer can be looked up."""
