"""Retention: inbox rows and kept answers are forgotten after 30 days, one gene a minute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tradepost.events import inbox, store
from tradepost.kernel.events import Sweep
from tradepost.kernel.ids import GENES
from tradepost.kernel.tx import Row, Storage, Tx

KEPT_MS = 30 * 86_400_000
EVERY_MS = 60_000

OldRows = Callable[[Tx, int, int, int], list[Row]]


def gene_in_turn(now_ms: int) -> int:
    """The gene whose rows are looked through in this minute: all in turn, so no index by time is needed."""
    return now_ms // EVERY_MS % GENES


def sweeps(db: Storage) -> list[Sweep]:
    """The retention sweeps, which the runtime always runs."""
    return [
        _retention("events.forget_inbox", db, inbox.old_inbox, inbox.drop_inbox),
        _retention("events.forget_answers", db, store.old_idempotency, store.drop_idempotency),
    ]


def _retention(name: str, db: Storage, old: OldRows, drop: Callable[[Tx, Sequence[Row]], int]) -> Sweep:
    def due(tx: Any, now_ms: int, limit: int) -> list[Row]:
        gene = gene_in_turn(now_ms)
        return old(tx, gene, now_ms - KEPT_MS, limit) if tx.keeps(gene) else []

    async def act(rows: Sequence[Any]) -> None:
        await db.transact(db.shard_of(rows[0][0]), drop, rows)

    return Sweep(name, due, act, EVERY_MS)
