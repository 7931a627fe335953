"""Runtime: everything that happens because something happened before: relay, deferred deliveries, timers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from tradepost.events import jobs
from tradepost.events.bus import Bus, DirectBus
from tradepost.events.deferred import Deferred
from tradepost.events.local import Local, is_local
from tradepost.events.model import LeaseLost, Retry
from tradepost.events.relay import Relay
from tradepost.events.subscriber import ConsumerSubscriber, TaskSubscriber
from tradepost.events.sweeps import Sweeps
from tradepost.kernel.events import Consumer, Sweep, Task
from tradepost.kernel.tx import Signal, Storage
from tradepost.kernel.world import World

IDLE_S = 0.05
REST_LONGEST_S = 5.0
TASK_TIMEOUT_S = 60.0

log = logging.getLogger("tradepost.events")


class Runtime:
    """Delivers every event of every shard to its subscriptions, and runs the sweeps.

    `owner` names the process in the leases: give a lasting one where only one process can own the data, and a
    restart goes on at once; an empty one is drawn, and another runtime waits until the lease ends (10 s).
    """

    def __init__(
        self,
        db: Storage,
        world: World,
        *,
        consumers: Sequence[Consumer] = (),
        tasks: Sequence[Task] = (),
        sweeps: Sequence[Sweep] = (),
        owner: str = "",
        bus: Bus | None = None,
        retry: Retry | None = None,
    ) -> None:
        owner = owner or f"{world.chance(64):016x}"
        self._db = db
        self._deferred = Deferred(db, world, retry or Retry())
        local: list[ConsumerSubscriber] = []
        types: set[str] = set()
        direct = bus is None
        bus = bus or DirectBus()
        for consumer in consumers:
            subscriber = ConsumerSubscriber(db, world, consumer, self._deferred)
            self._deferred.register(consumer.name, subscriber)
            if direct and is_local(db, subscriber):
                local.append(subscriber)
            else:
                bus.subscribe(consumer.name, consumer.types, subscriber.deliver)
                types.update(consumer.types)
        for task in tasks:
            acting = TaskSubscriber(task, self._deferred, TASK_TIMEOUT_S)
            self._deferred.register(task.name, acting)
            bus.subscribe(task.name, task.types, acting.deliver)
            types.update(task.types)
        together = Local(db, self._deferred, local)
        self._relays = [
            Relay(db, world, shard, owner, bus, together, self._deferred, sorted(types))
            for shard in range(db.shards)
        ]
        self._sweeps = Sweeps(db, world, [*sweeps, *jobs.sweeps(db)])
        self._events_wake = asyncio.Event()
        self._deferred_wake = asyncio.Event()
        db.listen(self._hear)

    def wake(self) -> None:
        """Look for events now."""
        self._events_wake.set()

    def cursor(self, shard: int) -> int:
        """The last event of a shard that was passed here, 0 while another process relays it."""
        relay = self._relays[shard]
        return relay.cursor if relay.leads else 0

    async def step(self) -> int:
        """One pass: a page of every shard, deliveries that are due, sweeps that are due; the number of things done.

        Raises Refusal `storage.*` when the database cannot take it; the next step goes on from there.
        """
        done = 0
        for relay in self._relays:
            done += await self._relay(relay)
            if relay.leads:
                done += await self._deferred.step(relay.shard)
                done += await self._sweeps.step(relay.shard)
        return done

    async def drain(self, limit: int = 100_000) -> int:
        """Step until nothing is left to do at this moment; the number of things done. Stops after `limit` steps."""
        total = 0
        for _ in range(limit):
            done = await self.step()
            if not done:
                break
            total += done
        return total

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set: woken by commits with events, at least every 50 ms; then free the leases."""
        loops = [
            asyncio.ensure_future(self._loop(stop, self._events_wake, self._relay_all)),
            asyncio.ensure_future(self._loop(stop, self._deferred_wake, self._start_deferred)),
            asyncio.ensure_future(self._loop(stop, asyncio.Event(), self._sweep_all)),
        ]
        try:
            await stop.wait()
            self._events_wake.set()
            self._deferred_wake.set()
            await asyncio.gather(*loops)
        finally:
            for loop in loops:
                loop.cancel()
        await self._deferred.finish()
        await self._sweeps.finish()
        for relay in self._relays:
            with contextlib.suppress(Exception):  # the lease ends by itself
                await relay.release()

    async def _loop(
        self, stop: asyncio.Event, woken: asyncio.Event, step: Callable[[], Awaitable[int]]
    ) -> None:
        wait_s = IDLE_S
        while not stop.is_set():
            woken.clear()
            try:
                done = await step()
                wait_s = IDLE_S
            except Exception as error:
                wait_s = min(wait_s * 2, REST_LONGEST_S)
                log.warning("the runtime rests for %.2f s: %s", wait_s, error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), wait_s)
                continue
            if not done:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), IDLE_S)

    async def _relay(self, relay: Relay) -> int:
        try:
            return await relay.step()
        except LeaseLost as error:
            log.warning("%s", error)
            return 0

    async def _relay_all(self) -> int:
        passed = 0
        for relay in self._relays:
            passed += await self._relay(relay)
        if passed:
            self._deferred_wake.set()
        return passed

    async def _start_deferred(self) -> int:
        started = 0
        for relay in self._relays:
            if relay.leads:
                workers = await self._deferred.start_due(relay.shard)
                for worker in workers:
                    worker.add_done_callback(lambda _: self._deferred_wake.set())
                started += len(workers)
        return started

    async def _sweep_all(self) -> int:
        for relay in self._relays:
            if relay.leads:
                self._sweeps.start(relay.shard)
        return 0

    def _hear(self, signal: Signal) -> None:
        if signal.topic == "events":
            self._events_wake.set()
