"""How late a shard's deliveries are, in time and by who owes them: for metrics."""

from __future__ import annotations

import msgspec

from tradepost.events.store import QUEUED, WAITING
from tradepost.kernel.tx import Tx, marks

COUNT_MAX = 10_000


class Late(msgspec.Struct, frozen=True):
    """What one subscription owes: how many deliveries, and the moment of the oldest."""

    deliveries: int
    since_ms: int


def oldest_behind(tx: Tx, cursor: int) -> int:
    """The moment of the first event behind a cursor, 0 when there is none: one row by index."""
    rows = tx.query("SELECT at_ms FROM events WHERE sequence > ? ORDER BY sequence LIMIT 1", (cursor,))
    return rows[0][0] if rows else 0


def owed_by(tx: Tx) -> dict[str, Late]:
    """What waits on this shard by subscription, dead letters left out; at most 10,000 deliveries are looked at."""
    states = (WAITING, QUEUED)
    sql = (
        "SELECT consumer, COUNT(*), MIN(at_ms) FROM"
        f" (SELECT consumer, at_ms FROM deliveries WHERE state IN ({marks(len(states))}) LIMIT ?) AS waiting"
        " GROUP BY consumer"
    )
    return {row[0]: Late(row[1], row[2]) for row in tx.query(sql, (*states, COUNT_MAX))}
