"""What the messaging contract runs on: a database, one or more runtimes over a bus, and effects that can be counted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tradepost.events import Bus, Moment, Retry, Runtime
from tradepost.infra.messaging.rocketmq import RocketBus
from tradepost.infra.messaging.rocketmq_admin import create
from tradepost.infra.messaging.rocketmq_link import Endpoint
from tradepost.infra.messaging.topics import Names, groups
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.events import Consumer, EventRow, Sweep, Task
from tradepost.kernel.world import SystemWorld

if TYPE_CHECKING:
    from tradepost.services.model import Server

NOTED = "noted.v1"
OTHER = "other.v1"
PATIENCE_S = 60.0
RETRY = Retry(attempts_max=3, first_ms=50, factor=2, longest_ms=200)


def row_of(aggregate_id: str, version: int, kind: str = NOTED, payload: bytes = b"{}") -> EventRow:
    """One event."""
    return EventRow(1, aggregate_id, version, kind, time.time_ns() // 1_000_000, payload)


def emit(tx: Any, rows: Sequence[EventRow]) -> None:
    """Write events."""
    tx.emit(rows)


def seen(tx: Any, scope: str) -> list[str]:
    """Event ids in the order in which their effect was committed."""
    sql = (
        "SELECT request_hash FROM idempotency WHERE gene = 1 AND scope = ? ORDER BY CAST(idem_key AS INTEGER)"
    )
    return [row[0] for row in tx.query(sql, (scope,))]


class Effects:
    """A consumer whose effect is a row of the database: what is there twice was consumed twice."""

    def __init__(self, name: str = "effects", types: Sequence[str] = (NOTED,)) -> None:
        self.poison: set[str] = set()
        self.consumer = Consumer(name, tuple(types), self._consume)

    def _consume(self, tx: Any, rows: Sequence[EventRow]) -> None:
        for row in rows:
            tx.execute(
                "INSERT INTO idempotency (gene, scope, idem_key, request_hash, status, response, at_ms)"
                " SELECT 1, ?, COUNT(*) || '', ?, 0, x'', 0 FROM idempotency",
                (self.consumer.name, row.event_id),
            )
            if row.event_id in self.poison:
                raise ValueError(f"cannot take {row.event_id}")


def by_aggregate(event_ids: Sequence[str]) -> dict[str, list[int]]:
    """The versions of each aggregate in the order given."""
    found: dict[str, list[int]] = defaultdict(list)
    for event_id in event_ids:
        aggregate_id, _, version = event_id.rpartition(".")
        found[aggregate_id].append(int(version))
    return found


class Floor:
    """One database and the runtimes on it: in this process alone, or sharing a broker under names of their own."""

    def __init__(self, db: SqliteStorage, broker: Server | None) -> None:
        self.db = db
        self.broker = broker
        self.names = Names(f"t{uuid4().hex[:12]}")
        self.world = SystemWorld()
        self._running: dict[Runtime, tuple[asyncio.Task[None], asyncio.Event, Bus | None]] = {}

    @property
    def endpoint(self) -> Endpoint:
        """Where the broker listens."""
        assert self.broker is not None
        return Endpoint(address=f"127.0.0.1:{self.broker.ports['grpc']}")

    async def declare(self, *subscriptions: str) -> None:
        """Create this floor's topics and groups."""
        if self.broker is not None:
            address = f"127.0.0.1:{self.broker.ports['broker']}"
            wanted = groups(self.names, subscriptions)
            await asyncio.to_thread(create, address, self.names, wanted_groups=wanted)

    async def start(
        self,
        consumers: Sequence[Consumer] = (),
        tasks: Sequence[Task] = (),
        sweeps: Sequence[Sweep] = (),
        moments: Sequence[Moment] = (),
        *,
        owner: str = "",
        retry: Retry = RETRY,
    ) -> Runtime:
        """A runtime at work, taking part in every subscription."""
        names = [each.name for each in (*consumers, *tasks)]
        await self.declare(*names)
        bus = RocketBus(self.endpoint, self.world, self.names) if self.broker else None
        runtime = Runtime(
            self.db,
            self.world,
            consumers=consumers,
            tasks=tasks,
            sweeps=sweeps,
            bus=bus,
            retry=retry,
            moments=moments,
            owner=owner,
        )
        stop = asyncio.Event()
        self._running[runtime] = (asyncio.ensure_future(runtime.run(stop)), stop, bus)
        if bus is not None:
            await until(lambda: bus.gauges()["messaging_groups_reading"] == len(names))
        return runtime

    async def stop(self, runtime: Runtime) -> None:
        """End a runtime as a process ends that is told to."""
        work, stop, bus = self._running.pop(runtime)
        stop.set()
        await work
        if bus is not None:
            await bus.close()

    async def kill(self, runtime: Runtime) -> None:
        """End a runtime as a process ends that is killed: nothing is finished, nothing given back."""
        work, _, bus = self._running.pop(runtime)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        if bus is not None:
            await bus.close()

    async def close(self) -> None:
        """End what still runs."""
        for runtime in list(self._running):
            await self.stop(runtime)

    async def emit(self, *rows: EventRow) -> None:
        """Commit events."""
        await self.db.transact(0, emit, rows)

    async def effects(self, name: str = "effects") -> list[str]:
        """The effects committed so far, in order."""
        return await self.db.read(0, seen, name)

    async def arrived(self, count: int, name: str = "effects") -> list[str]:
        """Wait until so many effects stand, and a little longer for one too many; all of them."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_S
        while len(found := await self.effects(name)) < count:
            if loop.time() > end:
                raise AssertionError(f"{len(found)} of {count} effects after {PATIENCE_S:.0f} s")
            await asyncio.sleep(0.02)
        return found


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        await asyncio.sleep(0.02)
