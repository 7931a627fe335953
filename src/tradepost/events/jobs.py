"""Retention: what was consumed, answered and published long enough ago is forgotten, a bounded piece at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tradepost.events import inbox, store
from tradepost.events.relay import RELAY, SLOW
from tradepost.kernel.events import Sweep
from tradepost.kernel.ids import GENES, PREFIXES
from tradepost.kernel.tx import Row, Storage, Tx

KEPT_MS = 30 * 86_400_000
EVERY_MS = 60_000
LOOKED_AT_MAX = 2_000
"""Events looked at in one turn of the sweep that forgets them."""
TIMELINES = tuple(
    f"{PREFIXES[kind]}_" for kind in ("order", "payment", "refund", "dispute", "package", "return")
)
"""Logs that belong to an order: they leave with it, into the archive."""

OldRows = Callable[[Tx, int, int, int], list[Row]]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """How long each kind of row stays, in milliseconds; 0 keeps events for ever."""

    inbox_ms: int = KEPT_MS
    answers_ms: int = KEPT_MS
    events_ms: int = 0


def gene_in_turn(now_ms: int) -> int:
    """The gene whose rows are looked through in this minute: all in turn, so no index by time is needed."""
    return now_ms // EVERY_MS % GENES


def sweeps(db: Storage, kept: Kept) -> list[Sweep]:
    """The retention sweeps, which the runtime always runs."""
    found = [
        _retention("events.forget_inbox", db, kept.inbox_ms, inbox.old_inbox, inbox.drop_inbox),
        _retention(
            "events.forget_answers", db, kept.answers_ms, store.old_idempotency, store.drop_idempotency
        ),
    ]
    return [*found, _forget_events(db, kept.events_ms)] if kept.events_ms else found


def _retention(
    name: str, db: Storage, kept_ms: int, old: OldRows, drop: Callable[[Tx, Sequence[Row]], int]
) -> Sweep:
    def due(tx: Any, now_ms: int, limit: int) -> list[Row]:
        gene = gene_in_turn(now_ms)
        return old(tx, gene, now_ms - kept_ms, limit) if tx.keeps(gene) else []

    async def act(rows: Sequence[Any]) -> None:
        await db.transact(db.shard_of(rows[0][0]), drop, rows)

    return Sweep(name, due, act, EVERY_MS)


def _forget_events(db: Storage, kept_ms: int) -> Sweep:
    """Walk the stream once, from its start to the age limit, and on as events grow old; a restart walks it again."""
    passed: dict[int, int] = {}

    def due(tx: Any, now_ms: int, limit: int) -> list[Row]:
        doomed, upto = old_events(tx, passed.get(tx.shard, 0), now_ms - kept_ms, limit)
        if not doomed:
            passed[tx.shard] = upto
        return doomed

    async def act(rows: Sequence[Any]) -> None:
        shard = db.shard_of(rows[0][0])
        await db.transact(shard, store.drop_events, rows)
        passed[shard] = rows[-1][3]

    return Sweep("events.forget_events", due, act, EVERY_MS)


def old_events(tx: Tx, after: int, before_ms: int, limit: int) -> tuple[list[Row], int]:
    """(gene, aggregate id, version, sequence) of delivered events older than a moment that no timeline needs.

    At most 2,000 events behind `after` are looked at; how far that went comes second. What a relay has not passed
    stays, what still waits for a consumer too, and the newest event always: it numbers the stream.
    """
    upto = min([sequence for _, sequence in store.cursors(tx, (RELAY, SLOW))], default=0)
    rows = store.ages(tx, after, min(upto, store.head(tx) - 1), LOOKED_AT_MAX)
    waiting = store.owed_aggregates(tx) if rows else set()
    doomed: list[Row] = []
    for gene, aggregate_id, version, sequence, at_ms in rows:
        if at_ms >= before_ms or len(doomed) == limit:
            break
        after = sequence
        if not aggregate_id.startswith(TIMELINES) and aggregate_id not in waiting:
            doomed.append((gene, aggregate_id, version, sequence))
    return doomed, after
