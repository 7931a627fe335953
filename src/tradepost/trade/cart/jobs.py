"""Carts nobody touched for 90 days are deleted."""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.kernel.events import Sweep
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World
from tradepost.trade.cart import store
from tradepost.trade.cart.model import DAY_MS, KEPT_DAYS


def sweeps(db: Storage, world: World) -> list[Sweep]:
    """The timers of carts."""

    async def delete(keys: Sequence[tuple[int, str]]) -> None:
        by_shard: dict[int, list[tuple[int, str]]] = {}
        for key in keys:
            by_shard.setdefault(db.shard_of(key[0]), []).append(key)
        for shard, found in by_shard.items():
            await db.transact(shard, store.delete_older, found, _before_day(world.now_ms()))

    return [Sweep("cart.expire", _due, delete, every_ms=60_000)]


def _due(tx: Tx, now_ms: int, limit: int) -> list[tuple[int, str]]:
    return store.read_older(tx, _before_day(now_ms), limit)


def _before_day(now_ms: int) -> int:
    return now_ms // DAY_MS - KEPT_DAYS
