"""Subscriptions: a consumer runs behind its inbox, a task is noted before it acts; both hold one aggregate's order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from tradepost.events import store
from tradepost.events.model import is_storage_trouble
from tradepost.kernel.events import Consumer, EventRow, Task
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World

SIDE_BY_SIDE = 32

Routed = Sequence[tuple[int, EventRow]]
"""(gene under which the inbox notes the event, event)."""


def consume_page(
    tx: Tx, name: str, consume: Callable[[Any, Sequence[EventRow]], None], rows: Routed, now_ms: int
) -> int:
    """Run a consumer over the rows it has not seen, and note them, in one commit; how many those were."""
    fresh = store.inbox_unknown(tx, name, rows)
    if fresh:
        store.note_inbox(tx, name, fresh, now_ms)
        consume(tx, [row for _, row in fresh])
    return len(fresh)


class Ledge(Protocol):
    """Where deliveries wait that could not be made at once."""

    def holds(self, name: str, aggregate_id: str) -> bool:
        """Whether something of this aggregate waits already, so that later events must queue behind it."""
        ...

    async def put(
        self, shard: int, name: str, rows: Sequence[EventRow], errors: dict[str, BaseException]
    ) -> None:
        """Take rows durably. `errors` tells for which aggregates the first row was tried and failed, and why."""
        ...


def route(db: Storage, consumer: Consumer, rows: Sequence[EventRow]) -> dict[int, list[tuple[int, EventRow]]]:
    """The rows by target shard, each with the smallest gene of its effect there."""
    routed: dict[int, list[tuple[int, EventRow]]] = {}
    for row in rows:
        genes: Iterable[int] = (row.gene,) if consumer.genes is None else sorted(set(consumer.genes(row)))
        seen: set[int] = set()
        for gene in genes:
            shard = db.shard_of(gene)
            if shard not in seen:
                seen.add(shard)
                routed.setdefault(shard, []).append((gene, row))
    return routed


class ConsumerSubscriber:
    """Delivers pages to one consumer; what fails is set apart, aggregate by aggregate, and waits on the ledge."""

    def __init__(self, db: Storage, world: World, consumer: Consumer, ledge: Ledge) -> None:
        self.consumer = consumer
        self._db = db
        self._world = world
        self._ledge = ledge

    async def deliver(self, shard: int, rows: Sequence[EventRow]) -> None:
        """Take a page of one shard: consumed, or waiting durably. Raises when the storage cannot commit."""
        name = self.consumer.name
        held = {row.aggregate_id for row in rows if self._ledge.holds(name, row.aggregate_id)}
        free = [row for row in rows if row.aggregate_id not in held] if held else rows
        failures = await self._consume_all(free)
        if held or failures:
            late = [
                row
                for row in rows
                if row.aggregate_id in held
                or (row.aggregate_id in failures and row.version >= failures[row.aggregate_id][0])
            ]
            errors = {aggregate_id: error for aggregate_id, (_, error) in failures.items()}
            await self._ledge.put(shard, name, late, errors)

    async def attempt(self, row: EventRow) -> None:
        """Deliver one event now; raises what the consumer raises."""
        for shard, routed in route(self._db, self.consumer, [row]).items():
            await self._transact(shard, routed)

    async def _transact(self, shard: int, routed: Routed) -> int:
        consumer = self.consumer
        return await self._db.transact(
            shard, consume_page, consumer.name, consumer.consume, routed, self._world.now_ms()
        )

    async def _consume_all(self, rows: Sequence[EventRow]) -> dict[str, tuple[int, BaseException]]:
        """(first version that failed, error) by aggregate."""
        routed = route(self._db, self.consumer, rows)
        answers = await asyncio.gather(
            *(self._transact(shard, part) for shard, part in routed.items()), return_exceptions=True
        )
        failures: dict[str, tuple[int, BaseException]] = {}
        for (shard, part), answer in zip(routed.items(), answers, strict=True):
            if isinstance(answer, BaseException):
                if is_storage_trouble(answer) or not isinstance(answer, Exception):
                    raise answer
                await self._isolate(shard, part, failures)
        return failures

    async def _isolate(
        self, shard: int, routed: Routed, failures: dict[str, tuple[int, BaseException]]
    ) -> None:
        lines: dict[str, list[tuple[int, EventRow]]] = {}
        for gene, row in routed:
            lines.setdefault(row.aggregate_id, []).append((gene, row))
        waiting = list(lines.values())
        for start in range(0, len(waiting), SIDE_BY_SIDE):
            found = await asyncio.gather(
                *(self._in_order(shard, line) for line in waiting[start : start + SIDE_BY_SIDE])
            )
            for failure in found:
                if failure is not None:
                    row, error = failure
                    known = failures.get(row.aggregate_id)
                    if known is None or row.version < known[0]:
                        failures[row.aggregate_id] = (row.version, error)

    async def _in_order(self, shard: int, line: Routed) -> tuple[EventRow, Exception] | None:
        for gene, row in line:
            try:
                await self._transact(shard, [(gene, row)])
            except Exception as error:
                if is_storage_trouble(error):
                    raise
                return row, error
        return None


class TaskSubscriber:
    """Notes every event of a task durably; the deferred room acts on it, so a slow provider holds nobody back."""

    def __init__(self, task: Task, ledge: Ledge, timeout_s: float) -> None:
        self.task = task
        self._ledge = ledge
        self._timeout_s = timeout_s

    async def deliver(self, shard: int, rows: Sequence[EventRow]) -> None:
        """Take a page by noting it."""
        await self._ledge.put(shard, self.task.name, rows, {})

    async def attempt(self, row: EventRow) -> None:
        """Act on one event now; raises what the task raises, or TimeoutError."""
        await asyncio.wait_for(self.task.act(row), self._timeout_s)
