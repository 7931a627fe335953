"""Timers: every sweep asks each shard what has fallen due, at most 256 rows at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from tradepost.kernel.events import Sweep
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World

SWEEP_ROWS = 256
FINISH_S = 3.0
"""A stop waits so long for sweeps that run; a proof of the books takes minutes, and comes again."""

log = logging.getLogger("tradepost.events")


class Sweeps:
    """When each sweep runs next on each shard. The moments that matter are columns, so a restart loses nothing."""

    def __init__(self, db: Storage, world: World, sweeps: Sequence[Sweep]) -> None:
        self._db = db
        self._world = world
        self._sweeps = tuple(sweeps)
        self._next_ms: dict[tuple[str, int], int] = {}
        self._last: dict[tuple[str, int], Sequence[Any]] = {}
        self._running: dict[tuple[str, int], asyncio.Task[int]] = {}

    def start(self, shard: int) -> None:
        """Start the sweeps that are due on a shard, each on its own: a slow provider holds up no reaper."""
        for sweep in self._sweeps:
            place = (sweep.name, shard)
            if place not in self._running and self._is_due(sweep, shard):
                task = asyncio.ensure_future(self._try(sweep, shard))
                self._running[place] = task
                task.add_done_callback(partial(self._forget, place))

    async def now(self, name: str, shard: int) -> None:
        """Run one sweep on a shard without waiting for its turn, unless it runs already; an unknown name is nothing.

        Any process may: acts are idempotent, so two that meet do no harm.
        """
        for sweep in self._sweeps:
            if sweep.name == name and (name, shard) not in self._running:
                await self._try(sweep, shard)

    def _forget(self, place: tuple[str, int], _: asyncio.Task[int]) -> None:
        self._running.pop(place, None)

    async def finish(self) -> None:
        """Wait for the sweeps that run, 3 s at most; then they are called off, which their acts survive."""
        running = set(self._running.values())
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=FINISH_S)
        for task in late:
            task.cancel()
        if late:
            log.warning("%s sweeps were called off", len(late))
            await asyncio.wait(late, timeout=FINISH_S)

    async def step(self, shard: int) -> int:
        """Run the sweeps that are due on a shard; how many rows they dealt with. A failing one waits its turn."""
        done = 0
        for sweep in self._sweeps:
            if self._is_due(sweep, shard):
                done += await self._try(sweep, shard)
        return done

    def _is_due(self, sweep: Sweep, shard: int) -> bool:
        return self._next_ms.get((sweep.name, shard), 0) <= self._world.now_ms()

    async def _try(self, sweep: Sweep, shard: int) -> int:
        now_ms = self._world.now_ms()
        self._next_ms[sweep.name, shard] = now_ms + sweep.every_ms
        try:
            return await self._run(sweep, shard, now_ms)
        except Exception:
            log.exception("sweep %s failed on shard %s", sweep.name, shard)
            return 0

    async def _run(self, sweep: Sweep, shard: int, now_ms: int) -> int:
        items = await self._db.read(shard, sweep.due, now_ms, SWEEP_ROWS)
        if not items:
            return 0
        await sweep.act(items)
        place = (sweep.name, shard)
        if len(items) >= SWEEP_ROWS and items != self._last.get(place):
            self._last[place] = items
            self._next_ms[place] = now_ms  # a full page: more of it may wait, unless the same rows come again
        else:
            self._last.pop(place, None)
        return len(items)
