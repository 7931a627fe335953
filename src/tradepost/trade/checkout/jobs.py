"""Tombstones of checkouts that were given up are forgotten once no quote for them can be placed any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tradepost.kernel.events import Sweep
from tradepost.kernel.ids import GENES
from tradepost.kernel.tx import Row, Storage
from tradepost.trade.checkout import store

KEPT_MS = 30 * 86_400_000
EVERY_MS = 60_000


def sweeps(db: Storage, kept_ms: int = KEPT_MS) -> list[Sweep]:
    """The timer of checkouts: one gene a minute, all in turn, so no index by time is needed."""

    def due(tx: Any, now_ms: int, limit: int) -> list[Row]:
        gene = now_ms // EVERY_MS % GENES
        return store.old_tombstones(tx, gene, now_ms - kept_ms, limit) if tx.keeps(gene) else []

    async def act(rows: Sequence[Any]) -> None:
        await db.transact(db.shard_of(rows[0][0]), store.delete_tombstones, rows)

    return [Sweep("checkout.forget_tombstones", due, act, EVERY_MS)]
