"""Deferred deliveries: what failed or lies outside the database, tried again in order until done or dead."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

import msgspec

from tradepost.events import store
from tradepost.events.model import Retry, is_storage_trouble
from tradepost.events.store import DEAD, WAITING, Delivery
from tradepost.kernel.events import EventRow
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World

LINE_MAX = 32
DUE_MAX = 256
SIDE_BY_SIDE = 32
ERROR_LETTERS_MAX = 500

log = logging.getLogger("tradepost.events")


class Attempting(Protocol):
    """A subscriber seen from here: it can try one event."""

    async def attempt(self, shard: int, row: EventRow) -> None:
        """Deliver one event of a shard's stream now or raise why not."""
        ...


class Deferred:
    """The ledge of one runtime: rows in `deliveries` on the event's own shard, and the workers that clear them.

    At most 32 aggregates are worked on at once, each in order. A delivery is removed after it was made, so a
    crash in between makes it once more: consumers have their inbox, tasks are safe to repeat.
    """

    def __init__(self, db: Storage, world: World, retry: Retry) -> None:
        self._db = db
        self._world = world
        self._retry = retry
        self._subscribers: dict[str, Attempting] = {}
        self._open: dict[str, dict[str, int]] = {}
        self._puts = 0
        self._working: dict[tuple[str, str], asyncio.Task[int]] = {}
        self._rests: dict[tuple[str, str], int] = {}

    def register(self, name: str, subscriber: Attempting) -> None:
        """Let a subscriber's deliveries wait here. Raises ValueError for a second one of the same name."""
        if name in self._subscribers:
            raise ValueError(f"two subscriptions are called {name}")
        self._subscribers[name] = subscriber

    async def load(self, shard: int) -> None:
        """Learn what waits on a shard whose lease was just taken."""
        for line in await self._db.read(shard, store.open_aggregates):
            self._open.setdefault(line[0], {}).setdefault(line[1], 0)

    def holds(self, name: str, aggregate_id: str) -> bool:
        """See `Ledge.holds`."""
        return aggregate_id in self._open.get(name, ())

    def holds_any(self, name: str) -> bool:
        """Whether anything waits for this subscription."""
        return bool(self._open.get(name))

    async def put(
        self, shard: int, name: str, rows: Sequence[EventRow], errors: dict[str, BaseException]
    ) -> None:
        """See `Ledge.put`; putting the same rows again changes nothing."""
        wanted = as_deliveries(name, rows, errors, self._world, self._retry)
        seen = {delivery.aggregate_id for delivery in wanted}
        self._puts += 1
        self._open.setdefault(name, {}).update(dict.fromkeys(seen, self._puts))
        await self._db.transact(shard, store.put_deliveries, wanted)

    async def step(self, shard: int) -> int:
        """Work on everything due on a shard and wait for it; how many deliveries were tried."""
        started = await self.start_due(shard)
        return sum(await asyncio.gather(*started)) if started else 0

    async def start_due(self, shard: int) -> list[asyncio.Task[int]]:
        """Start workers for aggregates that are due, as far as there is room; the workers started."""
        room = SIDE_BY_SIDE - len(self._working)
        if room <= 0:
            return []
        now_ms = self._world.now_ms()
        started: list[asyncio.Task[int]] = []
        for line in await self._db.read(shard, store.due_aggregates, now_ms, DUE_MAX):
            if len(started) == room:
                break
            rests = self._rests.get(line[1:], 0) > now_ms
            if line[1] in self._subscribers and line[1:] not in self._working and not rests:
                worker = asyncio.get_running_loop().create_task(self._work(shard, line))
                self._working[line[1:]] = worker
                started.append(worker)
        return started

    async def finish(self) -> None:
        """Wait for the workers that are under way."""
        await asyncio.gather(*self._working.values(), return_exceptions=True)

    async def _work(self, shard: int, line: tuple[int, str, str]) -> int:
        try:
            return await self._clear(shard, line)
        except Exception as error:
            log.warning("deliveries of %s to %s wait: %s", line[2], line[1], error)
            return 0
        finally:
            self._working.pop(line[1:], None)

    async def _clear(self, shard: int, line: tuple[int, str, str]) -> int:
        """Deliver one aggregate's line until it is empty, one fails, or 32 are done."""
        owed = await self._db.read(shard, store.owed, *line, LINE_MAX)
        done: list[store.Key] = []
        failed: Delivery | None = None
        for delivery, row in owed:
            if delivery.next_at_ms > self._world.now_ms() and not done:
                # a later one is due (a replayed letter, a page sent again), but it has to wait for this one
                self._rests[line[1:]] = delivery.next_at_ms
                return 0
            error = await self._try(shard, delivery, row)
            if error is not None:
                failed = self._after_failure(delivery, error)
                break
            done.append(delivery.key)
        self._rests.pop(line[1:], None)
        if not done and failed is None:
            return 0
        lines = self._open.setdefault(line[1], {})
        last_put = lines.get(line[2])
        left = await self._db.transact(shard, store.settle, done, failed, self._world.now_ms())
        if not left and lines.get(line[2]) == last_put:  # else something was put behind it meanwhile
            lines.pop(line[2], None)
        return len(done) + (failed is not None)

    async def _try(self, shard: int, delivery: Delivery, row: EventRow | None) -> Exception | None:
        if row is None:
            return LookupError(f"event {delivery.aggregate_id}.{delivery.version} is not in the log")
        try:
            await self._subscribers[delivery.consumer].attempt(shard, row)
        except Exception as error:
            if is_storage_trouble(error):
                raise
            return error
        return None

    def _after_failure(self, delivery: Delivery, error: Exception) -> Delivery:
        attempts = delivery.attempts + 1
        dead = attempts >= self._retry.attempts_max
        now_ms = self._world.now_ms()
        log.log(
            logging.ERROR if dead else logging.WARNING,
            "%s failed on %s.%s, attempt %s%s: %s",
            delivery.consumer,
            delivery.aggregate_id,
            delivery.version,
            attempts,
            ", dead letter" if dead else "",
            describe(error),
        )
        return msgspec.structs.replace(
            delivery,
            state=DEAD if dead else WAITING,
            attempts=attempts,
            next_at_ms=now_ms if dead else now_ms + self._delay_ms(attempts),
            error=describe(error),
        )

    def _delay_ms(self, attempts: int) -> int:
        return self._retry.delay_ms(attempts, self._world.chance(16))


def as_deliveries(
    name: str, rows: Sequence[EventRow], errors: dict[str, BaseException], world: World, retry: Retry
) -> list[Delivery]:
    """The deliveries that let these rows wait; the first row of an aggregate in `errors` was tried once and failed."""
    now_ms = world.now_ms()
    seen: set[str] = set()
    wanted = []
    for row in rows:
        error = errors.get(row.aggregate_id) if row.aggregate_id not in seen else None
        seen.add(row.aggregate_id)
        wanted.append(
            Delivery(
                row.gene,
                name,
                row.aggregate_id,
                row.version,
                WAITING,
                0 if error is None else 1,
                now_ms if error is None else now_ms + retry.delay_ms(1, world.chance(16)),
                "" if error is None else describe(error),
                now_ms,
            )
        )
    return wanted


def describe(error: BaseException) -> str:
    """The error in at most 500 letters."""
    return f"{type(error).__name__}: {error}"[:ERROR_LETTERS_MAX]
