"""Runtime: everything that happens because something happened before: relay, deferred deliveries, timers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from tradepost.events import jobs
from tradepost.events.bus import Bus, Deliver, DirectBus, Moment, Reminder
from tradepost.events.deferred import Deferred
from tradepost.events.intake import Intake, noting
from tradepost.events.local import Local, is_local
from tradepost.events.model import LeaseLost, Retry
from tradepost.events.relay import RELAY as MAIN
from tradepost.events.relay import SLOW, Relay
from tradepost.events.subscriber import ConsumerSubscriber, TaskSubscriber
from tradepost.events.sweeps import Sweeps
from tradepost.kernel.events import Consumer, Sweep, Task, event_types
from tradepost.kernel.tx import Signal, Storage
from tradepost.kernel.world import World

IDLE_S = 0.05
LIVELY_S = 0.005
"""How soon a relay looks again while events come from other processes, whose commits wake nobody here."""
LIVELY_FOR_S = 2.0
REST_LONGEST_S = 5.0
TASK_TIMEOUT_S = 60.0

log = logging.getLogger("tradepost.events")


class Runtime:
    """Delivers every event of every shard to its subscriptions, and runs the sweeps.

    Without a bus, or with one that this process has to itself, delivery stays in this process. With a shared one the
    relay's work ends at the bus: every event goes there, and `run` takes part in every subscription beside other
    processes. `slow` names consumers that wait while `held()` says so.
    `moments` tell which events name a sweep's next work, for a bus that reminds.

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
        moments: Sequence[Moment] = (),
        slow: Collection[str] = (),
        held: Callable[[], bool] = lambda: False,
        kept: jobs.Kept | None = None,
    ) -> None:
        owner = owner or f"{world.chance(64):016x}"
        self._db = db
        self._world = world
        self._retry = retry or Retry()
        self._bus = bus or DirectBus()
        self._deferred = Deferred(db, world, self._retry)
        self._events_wake = asyncio.Event()
        self._deferred_wake = asyncio.Event()
        types: set[str] = set(event_types()) if self._bus.is_shared else set()
        local: list[ConsumerSubscriber] = []
        unhurried: list[ConsumerSubscriber] = []
        for consumer in consumers:
            subscriber = ConsumerSubscriber(db, world, consumer, self._deferred)
            self._deferred.register(consumer.name, subscriber)
            if bus is None and is_local(db, subscriber):
                (unhurried if consumer.name in slow else local).append(subscriber)
            else:
                self._subscribe(consumer, subscriber.deliver, holds_back=True)
                types.update(consumer.types)
        for task in tasks:
            acting = TaskSubscriber(task, self._deferred, TASK_TIMEOUT_S)
            self._deferred.register(task.name, acting)
            self._subscribe(noting(task), acting.deliver, holds_back=False)
            types.update(task.types)
        self._relays = self._make_relays(owner, local, sorted(types), MAIN)
        self._slow_relays = self._make_relays(owner, unhurried, (), SLOW) if unhurried else []
        self._held = held
        self._sweeps = Sweeps(db, world, [*sweeps, *jobs.sweeps(db, kept or jobs.Kept())])
        self._bus.listen(moments, self._remind)
        db.listen(self._hear)

    def _make_relays(
        self, owner: str, local: Sequence[ConsumerSubscriber], types: Sequence[str], name: str
    ) -> list[Relay]:
        together = Local(self._db, self._deferred, local)
        return [
            Relay(self._db, self._world, shard, owner, self._bus, together, self._deferred, types, name)
            for shard in range(self._db.shards)
        ]

    def _subscribe(self, consumer: Consumer, deliver: Deliver, *, holds_back: bool) -> None:
        if self._bus.is_shared:
            wake = self._deferred_wake.set
            intake = Intake(self._db, self._world, self._retry, consumer, wake, holds_back=holds_back)
            deliver = intake.deliver
        self._bus.subscribe(consumer.name, consumer.types, deliver)

    def wake(self) -> None:
        """Look for events now."""
        self._events_wake.set()

    def cursor(self, shard: int) -> int:
        """The last event of a shard that was passed here, 0 while another process relays it."""
        relay = self._relays[shard]
        return relay.cursor if relay.leads else 0

    def bus_gauges(self) -> Mapping[str, int]:
        """The numbers of the bus, see `Bus.gauges`."""
        return self._bus.gauges()

    async def step(self) -> int:
        """One pass: a page of every shard, deliveries that are due, sweeps that are due; the number of things done.

        Raises Refusal `storage.*` when the database cannot take it; the next step goes on from there.
        """
        return sum([await self._step_on(relay) for relay in self._relays])

    async def _step_on(self, relay: Relay) -> int:
        done = await self._relay(relay) + await self._relay_slowly(relay)
        if relay.leads:
            done += await self._deferred.step(relay.shard)
            done += await self._sweeps.step(relay.shard)
        return done

    async def sweep_now(self, name: str) -> None:
        """Run one timer on every shard without waiting for its turn; acts are idempotent, so any process may."""
        for shard in range(self._db.shards):
            await self._sweeps.now(name, shard)

    async def drain(self, limit: int = 100_000, *, side_by_side: bool = False) -> int:
        """Step until nothing is left to do at this moment; the number of things done. Stops after `limit` steps.

        The shards take turns, or with `side_by_side` all step at once.
        """
        total = 0
        for _ in range(limit):
            if side_by_side:
                done = sum(await asyncio.gather(*(self._step_on(relay) for relay in self._relays)))
            else:
                done = await self.step()
            if not done:
                break
            total += done
        return total

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set: woken by commits with events, at least every 50 ms; then free the leases.

        Behind a shared bus it looks every 5 ms for 2 s after the last event: whoever committed may be elsewhere.

        Raises Refusal `messaging.missing` when the bus lacks topics or groups.
        """
        loops = [
            asyncio.ensure_future(
                self._loop(stop, self._events_wake, self._relay_all, lively=self._bus.is_shared)
            ),
            asyncio.ensure_future(self._loop(stop, self._deferred_wake, self._start_deferred)),
            asyncio.ensure_future(self._loop(stop, asyncio.Event(), self._sweep_all)),
            asyncio.ensure_future(self._bus.run(stop)),
        ]
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({stopping, *loops}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():  # only the bus ends by itself: it lacks what it needs
                await loops[-1]
            self._events_wake.set()
            self._deferred_wake.set()
            await asyncio.gather(*loops)
        finally:
            for loop in (stopping, *loops):
                if not loop.get_loop().is_closed():  # else this was dropped with the loop it ran on
                    loop.cancel()
        await self._deferred.finish()
        await self._sweeps.finish()
        for relay in (*self._slow_relays, *self._relays):
            with contextlib.suppress(Exception):  # the lease ends by itself
                await relay.release()

    async def _loop(
        self,
        stop: asyncio.Event,
        woken: asyncio.Event,
        step: Callable[[], Awaitable[int]],
        *,
        lively: bool = False,
    ) -> None:
        wait_s = IDLE_S
        busy_until = 0.0
        clock = asyncio.get_running_loop().time
        while not stop.is_set():
            woken.clear()
            try:
                done = await step()
                wait_s = IDLE_S
                if done and lively:
                    busy_until = clock() + LIVELY_FOR_S
            except Exception as error:
                wait_s = min(wait_s * 2, REST_LONGEST_S)
                log.warning("the runtime rests for %.2f s: %s", wait_s, error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), wait_s)
                continue
            if not done:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), LIVELY_S if clock() < busy_until else IDLE_S)

    async def _relay(self, relay: Relay) -> int:
        try:
            return await relay.step()
        except LeaseLost as error:
            log.warning("%s", error)
            return 0

    async def _relay_slowly(self, relay: Relay) -> int:
        """The slow lane of a shard moves in the process that leads it, and not while it is held."""
        if not self._slow_relays or not relay.leads or self._held():
            return 0
        return await self._relay(self._slow_relays[relay.shard])

    async def _relay_all(self) -> int:
        passed = 0
        for relay in self._relays:
            passed += await self._relay(relay) + await self._relay_slowly(relay)
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

    async def _remind(self, reminder: Reminder) -> None:
        if reminder.shard < self._db.shards:
            await self._sweeps.now(reminder.sweep, reminder.shard)

    def _hear(self, signal: Signal) -> None:
        if signal.topic == "events":
            self._events_wake.set()
