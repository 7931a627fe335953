"""How far a shard's deliveries are behind, and whether the shard can be written: for health and metrics."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.events import store
from tradepost.events.relay import RELAY
from tradepost.events.store import DEAD, QUEUED, WAITING
from tradepost.kernel.tx import Tx

COUNT_MAX = 10_000
PROBE = "probe"


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """One shard: the newest event, the cursor as written, until when somebody relays, and what waits or is dead.

    The two counts end at 10,000.
    """

    head: int
    cursor: int
    lease_until_ms: int
    waiting: int
    dead: int


def read_backlog(tx: Tx) -> Backlog:
    """The backlog of this shard, by indexes only."""
    cursor, lease_until_ms = store.relay_position(tx, RELAY)
    return Backlog(
        head=store.head(tx),
        cursor=cursor,
        lease_until_ms=lease_until_ms,
        waiting=store.count_deliveries(tx, (WAITING, QUEUED), COUNT_MAX),
        dead=store.count_deliveries(tx, (DEAD,), COUNT_MAX),
    )


def has_passed(tx: Tx, upto: int, types: Sequence[str]) -> bool:
    """Whether the relay has passed on every event of these types up to a sequence.

    Its cursor is written with what it carries, so behind it there may be events that nobody wants.
    """
    cursor, _ = store.relay_position(tx, RELAY)
    return cursor >= upto or not store.scan(tx, cursor, upto, 1, types)


def probe(tx: Tx) -> None:
    """Write a row that nobody reads; refused with `storage.*` where nothing can be committed."""
    store.beat(tx, PROBE)
