"""Timers of payments: ask about open outcomes, call what is due, retry refunds, forget old webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from tradepost.kernel.events import Sweep
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World
from tradepost.trade.payments import paying, refunding, store
from tradepost.trade.payments.port import Providers

EVENTS_KEPT_MS = 30 * 86_400_000


async def _all(calls: Sequence[Coroutine[Any, Any, object]]) -> None:
    """Run all; one that fails keeps nobody from the rest, then the first failure is raised."""
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def sweeps(
    db: Storage, world: World, providers: Providers, events_kept_ms: int = EVENTS_KEPT_MS
) -> list[Sweep]:
    """The timers; their moments are columns of the rows that wait. Webhooks are remembered so many milliseconds."""

    def forgettable(tx: Tx, now_ms: int, limit: int) -> list[tuple[int, str, str]]:
        return store.old_provider_events(tx, now_ms - events_kept_ms, limit)

    async def ask(items: Sequence[tuple[str, str]]) -> None:
        await _all([paying.ask(db, world, providers, *item) for item in items])

    async def call_refunds(refund_ids: Sequence[str]) -> None:
        await _all([refunding.run_refund(db, world, providers, refund_id) for refund_id in refund_ids])

    async def forget(keys: Sequence[tuple[int, str, str]]) -> None:
        for shard in {db.shard_of(gene) for gene, _, _ in keys}:
            own = [key for key in keys if db.shard_of(key[0]) == shard]
            await db.transact(shard, store.delete_provider_events, own)

    return [
        Sweep("payments.ask", store.due_payments, ask),
        Sweep("payments.refunds", store.due_refunds, call_refunds),
        Sweep("payments.forget_webhooks", forgettable, forget, every_ms=3_600_000),
    ]
