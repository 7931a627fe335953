"""Subscriptions: a consumer runs behind position and inbox, a task is noted first; both hold an aggregate's order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from tradepost.events.consuming import consume_alone, consume_page, pass_page
from tradepost.events.inbox import Routed
from tradepost.events.model import is_storage_trouble
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Consumer, EventRow, Task
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World

SIDE_BY_SIDE = 32

Failures = dict[str, tuple[int, BaseException]]
"""(first version that failed, error) by aggregate."""


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
    """The rows by target shard, each with the smallest gene of its effect there.

    Raises ValueError for a row that has no place in its stream: nobody could tell whether it was consumed.
    """
    routed: dict[int, list[tuple[int, EventRow]]] = {}
    for row in rows:
        if row.sequence < 1:
            raise ValueError(f"event {row.event_id} has no sequence")
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

    async def deliver(self, shard: int, rows: Sequence[EventRow], upto: int) -> None:
        """Take events of one shard: consumed, or waiting durably; see `Deliver` for `upto`.

        Raises when the storage cannot commit.
        """
        name = self.consumer.name
        held = {row.aggregate_id for row in rows if self._ledge.holds(name, row.aggregate_id)}
        failures = await self._consume_all(shard, rows, held, upto)
        if held or failures:
            late = [
                row
                for row in rows
                if row.aggregate_id in held
                or (row.aggregate_id in failures and row.version >= failures[row.aggregate_id][0])
            ]
            errors = {aggregate_id: error for aggregate_id, (_, error) in failures.items()}
            await self._ledge.put(shard, name, late, errors)

    async def attempt(self, shard: int, row: EventRow) -> None:
        """Deliver one event of a shard's stream now; raises what the consumer raises."""
        for target, routed in route(self._db, self.consumer, [row]).items():
            await self._consume_alone(shard, target, routed)

    async def _consume_alone(self, shard: int, target: int, routed: Routed) -> int:
        consumer, now_ms = self.consumer, self._world.now_ms()
        return await self._db.transact(
            target, consume_alone, consumer.name, consumer.consume, shard, routed, now_ms
        )

    async def _consume_part(self, shard: int, target: int, routed: Routed, held: set[str], upto: int) -> int:
        """One target shard's part of a page, all of it in one commit."""
        free = [pair for pair in routed if pair[1].aggregate_id not in held] if held else routed
        if not upto:
            return await self._consume_alone(shard, target, free)
        waiting = [pair for pair in routed if pair[1].aggregate_id in held]
        consumer, now_ms = self.consumer, self._world.now_ms()
        return await self._db.transact(
            target, consume_page, consumer.name, consumer.consume, shard, upto, free, waiting, now_ms
        )

    async def _consume_all(self, shard: int, rows: Sequence[EventRow], held: set[str], upto: int) -> Failures:
        failures: Failures = {}
        routed = self._route_what_can_be(rows, failures)
        answers = await asyncio.gather(
            *(self._consume_part(shard, target, part, held, upto) for target, part in routed.items()),
            return_exceptions=True,
        )
        for (target, part), answer in zip(routed.items(), answers, strict=True):
            if isinstance(answer, BaseException):
                if is_storage_trouble(answer) or not isinstance(answer, Exception):
                    raise answer
                await self._isolate(shard, target, part, held, failures)
                if upto:
                    await self._db.transact(
                        target, pass_page, self.consumer.name, shard, upto, part, self._world.now_ms()
                    )
        return failures

    def _route_what_can_be(self, rows: Sequence[EventRow], failures: Failures) -> dict[int, Routed]:
        """Where the rows go. One whose genes cannot be told fails with what follows it in its aggregate: it waits, is
        tried again and becomes a dead letter, and holds nobody else back.
        """
        try:
            return dict(route(self._db, self.consumer, rows))
        except Refusal:
            pass
        found: list[EventRow] = []
        for row in rows:
            try:
                if row.aggregate_id not in failures:
                    route(self._db, self.consumer, [row])
                    found.append(row)
            except Refusal as error:
                failures[row.aggregate_id] = (row.version, error)
        return dict(route(self._db, self.consumer, found))

    async def _isolate(
        self, shard: int, target: int, routed: Routed, held: set[str], failures: Failures
    ) -> None:
        lines: dict[str, list[tuple[int, EventRow]]] = {}
        for gene, row in routed:
            if row.aggregate_id not in held:
                lines.setdefault(row.aggregate_id, []).append((gene, row))
        waiting = list(lines.values())
        for start in range(0, len(waiting), SIDE_BY_SIDE):
            found = await asyncio.gather(
                *(self._in_order(shard, target, line) for line in waiting[start : start + SIDE_BY_SIDE])
            )
            for failure in found:
                if failure is not None:
                    row, error = failure
                    known = failures.get(row.aggregate_id)
                    if known is None or row.version < known[0]:
                        failures[row.aggregate_id] = (row.version, error)

    async def _in_order(self, shard: int, target: int, line: Routed) -> tuple[EventRow, Exception] | None:
        for gene, row in line:
            try:
                await self._consume_alone(shard, target, [(gene, row)])
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

    async def deliver(self, shard: int, rows: Sequence[EventRow], upto: int) -> None:
        """Take a page by noting it."""
        await self._ledge.put(shard, self.task.name, rows, {})

    async def attempt(self, shard: int, row: EventRow) -> None:
        """Act on one event now; raises what the task raises, or TimeoutError."""
        await asyncio.wait_for(self.task.act(row), self._timeout_s)
