"""What /health/ready and /metrics ask: can the database commit, does the relay keep up, how long are the queues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from tradepost import events
from tradepost.events import Backlog, Runtime
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.trade.inventory import SoldOutHints

ANSWER_S = 2.0
REMEMBER_S = 1.0
LAG_EVENTS_MAX = 250_000


class Vitals:
    """Reads when it is asked and not before.

    Anybody may ask for readiness, so its answer is kept for a second: it costs a commit. `further` adds checks.
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
    ) -> None:
        self._db = db
        self._world = world
        self._runtime = runtime
        self._hints = hints
        self._depth = depth
        self._further = dict(further or {})
        self._asking = asyncio.Lock()
        self._known: Mapping[str, bool] = {}
        self._known_until = 0.0

    async def checks(self) -> Mapping[str, bool]:
        """`storage` commits within 2 s, `relay` is led by somebody and not too far behind, and the further ones."""
        loop = asyncio.get_running_loop()
        async with self._asking:
            if loop.time() >= self._known_until:
                self._known = await self._check()
                self._known_until = loop.time() + REMEMBER_S
        return self._known

    async def _check(self) -> Mapping[str, bool]:
        found = {"storage": await self._commits(), "relay": False}
        try:
            async with asyncio.timeout(ANSWER_S):
                backlogs = await self._backlogs()
        except (Refusal, TimeoutError):
            found["storage"] = False
        else:
            now_ms = self._world.now_ms()
            found["relay"] = all(
                backlog.lease_until_ms > now_ms and self._lag(shard, backlog) <= LAG_EVENTS_MAX
                for shard, backlog in enumerate(backlogs)
            )
        return found | {name: holds() for name, holds in self._further.items()}

    async def _commits(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                for shard in range(self._db.shards):
                    await self._db.transact(shard, events.probe)
        except (Refusal, TimeoutError):
            return False
        return True

    async def gauges(self) -> Mapping[str, int]:
        """Queues and backlogs; those of the database are left out while it cannot be read."""
        found = {"sold_out_hints": len(self._hints)}
        if self._depth is not None:
            found["write_queue_depth"] = self._depth()
        try:
            async with asyncio.timeout(ANSWER_S):
                backlogs = await self._backlogs()
        except (Refusal, TimeoutError):
            return found
        return found | {
            "outbox_lag_events": sum(self._lag(shard, backlog) for shard, backlog in enumerate(backlogs)),
            "deliveries_waiting": sum(backlog.waiting for backlog in backlogs),
            "dead_letters": sum(backlog.dead for backlog in backlogs),
        }

    async def _backlogs(self) -> list[Backlog]:
        return [await self._db.read(shard, events.read_backlog) for shard in range(self._db.shards)]

    def _lag(self, shard: int, backlog: Backlog) -> int:
        return max(0, backlog.head - max(backlog.cursor, self._runtime.cursor(shard)))
