"""What /health/ready and /metrics ask: can the database commit, does the relay keep up, how long are the queues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from tradepost import events
from tradepost.events import Backlog, Runtime
from tradepost.events.lag import Late, oldest_behind, owed_by
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.telemetry.metrics import Sample
from tradepost.trade.inventory import SoldOutHints

ANSWER_S = 2.0
REMEMBER_S = 1.0
LAG_EVENTS_MAX = 250_000


class Vitals:
    """Reads when it is asked and not before.

    Anybody may ask for readiness, so its answer is kept for a second: it costs a commit. So are the numbers of the
    database, and scrapes that come together share one look. `further` adds checks.
    `relay_is_vital` is for a process that must relay by itself; elsewhere events wait and traffic is welcome.
    """

    def __init__(
        self,
        db: Storage,
        world: World,
        runtime: Runtime,
        hints: SoldOutHints,
        *,
        depth: Callable[[], int] | None = None,
        further: Mapping[str, Callable[[], bool]] | None = None,
        relay_is_vital: bool = True,
    ) -> None:
        self._db = db
        self._world = world
        self._runtime = runtime
        self._hints = hints
        self._depth = depth
        self._further = dict(further or {})
        self._relay_is_vital = relay_is_vital
        self._relays = False
        self._held: dict[str, bool] = {}
        self._asking = asyncio.Lock()
        self._known: Mapping[str, bool] = {}
        self._known_until = 0.0
        self._counting = asyncio.Lock()
        self._counted: list[Sample] = []
        self._counted_until = 0.0

    async def checks(self) -> Mapping[str, bool]:
        """`storage` commits within 2 s, `relay` is led by somebody and not too far behind, and the further ones."""
        loop = asyncio.get_running_loop()
        async with self._asking:
            if loop.time() >= self._known_until:
                self._known = await self._check()
                self._known_until = loop.time() + REMEMBER_S
        return self._known

    async def _check(self) -> Mapping[str, bool]:
        found = {"storage": await self._commits()}
        self._relays = False
        try:
            async with asyncio.timeout(ANSWER_S):
                backlogs = await self._backlogs()
        except (Refusal, TimeoutError):
            found["storage"] = False
        else:
            now_ms = self._world.now_ms()
            self._relays = all(
                backlog.lease_until_ms > now_ms and self._lag(shard, backlog) <= LAG_EVENTS_MAX
                for shard, backlog in enumerate(backlogs)
            )
        vital = {"relay": self._relays} if self._relay_is_vital else {}
        return found | vital | {name: await self._holds(name) for name in self._further}

    def conditions(self) -> Mapping[str, bool]:
        """What the last look found of parts that traffic does not wait for."""
        return {} if self._relay_is_vital else {"relay": self._relays}

    async def _holds(self, name: str) -> bool:
        """The answer of a further check, which may wait for a server; while it is slow, what it said before."""
        try:
            async with asyncio.timeout(ANSWER_S):
                self._held[name] = await asyncio.to_thread(self._further[name])
        except TimeoutError:
            return self._held.get(name, False)
        except Refusal:
            return False
        return self._held[name]

    async def _commits(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                for shard in range(self._db.shards):
                    await self._db.transact(shard, events.probe)
        except (Refusal, TimeoutError):
            return False
        return True

    async def gauges(self) -> list[Sample]:
        """Queues of this moment, and backlogs of the last second; these are left out while they cannot be read."""
        found = [Sample("sold_out_hints", len(self._hints))]
        if self._depth is not None:
            found.append(Sample("write_queue_depth", self._depth()))
        loop = asyncio.get_running_loop()
        async with self._counting:
            if loop.time() >= self._counted_until:
                self._counted = await self._count()
                self._counted_until = loop.time() + REMEMBER_S
        return [*found, *self._counted]

    async def _count(self) -> list[Sample]:
        try:
            async with asyncio.timeout(ANSWER_S):
                backlogs = await self._backlogs()
                oldest = [await self._oldest(shard, backlog) for shard, backlog in enumerate(backlogs)]
                owed = [await self._db.read(shard, owed_by) for shard in range(self._db.shards)]
        except (Refusal, TimeoutError):
            return []
        now_ms = self._world.now_ms()
        since_ms = min((at_ms for at_ms in oldest if at_ms), default=now_ms)
        return [
            Sample("outbox_lag_events", sum(self._lag(shard, one) for shard, one in enumerate(backlogs))),
            Sample("outbox_lag_seconds", max(0, now_ms - since_ms) / 1000),
            Sample("deliveries_waiting", sum(backlog.waiting for backlog in backlogs)),
            Sample("dead_letters", sum(backlog.dead for backlog in backlogs)),
            *_by_consumer(owed, now_ms),
        ]

    async def _oldest(self, shard: int, backlog: Backlog) -> int:
        cursor = max(backlog.cursor, self._runtime.cursor(shard))
        return await self._db.read(shard, oldest_behind, cursor) if cursor < backlog.head else 0

    async def _backlogs(self) -> list[Backlog]:
        return [await self._db.read(shard, events.read_backlog) for shard in range(self._db.shards)]

    def _lag(self, shard: int, backlog: Backlog) -> int:
        return max(0, backlog.head - max(backlog.cursor, self._runtime.cursor(shard)))


def _by_consumer(owed: Sequence[Mapping[str, Late]], now_ms: int) -> list[Sample]:
    found: list[Sample] = []
    for name in sorted({name for shard in owed for name in shard}):
        late = [shard[name] for shard in owed if name in shard]
        labels = {"consumer": name}
        waits_ms = max(0, now_ms - min(one.since_ms for one in late))
        found.append(Sample("consumer_waiting", sum(one.deliveries for one in late), labels))
        found.append(Sample("consumer_lag_seconds", waits_ms / 1000, labels))
    return found
