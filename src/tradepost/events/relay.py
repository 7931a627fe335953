"""The relay of one shard: under a lease it reads on from its cursor and gives the bus page after page.

A page counts as relayed when the bus has taken it; only then the cursor moves. Dying anywhere in between repeats
the page, which positions, inbox and deliveries make harmless. Behind a shared bus the cursor is written every 200 ms
and at the end of the stream, for there nothing else would be in that commit.
"""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.events import store
from tradepost.events.bus import Bus
from tradepost.events.deferred import Deferred
from tradepost.events.local import Local
from tradepost.events.model import LeaseLost
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World

RELAY = "main"
SLOW = "slow"
"""The relay of consumers that a switch may hold back: a cursor of its own, so nobody else waits for them."""
LEASE_MS = 10_000
PAGE_ROWS = 512
SPAN = 4_096
SKIPPED_MAX = 4_096
LATE_MS = 200
DEAD_MS = 3 * LEASE_MS
"""Whoever lives prolongs a lease long before: one that stood still for so long is nobody's, whatever its end says."""


class Relay:
    """One shard's cursor. Events of types that nobody wants are passed over inside the database."""

    def __init__(
        self,
        db: Storage,
        world: World,
        shard: int,
        owner: str,
        bus: Bus,
        local: Local,
        deferred: Deferred,
        types: Sequence[str],
        name: str = RELAY,
    ) -> None:
        self._name = name
        self.shard = shard
        self._db = db
        self._world = world
        self._owner = owner
        self._bus = bus
        self._local = local
        self._deferred = deferred
        self._bus_types = frozenset(types)
        self._types = sorted(self._bus_types | local.types)
        self._lease_until_ms = 0
        self._cursor = 0
        self._written = 0
        self._written_at_ms = 0
        self._is_late = False
        self._foreign_until_ms = 0
        self._foreign_since_ms = 0

    async def step(self) -> int:
        """Relay one page; how many events it passed, 0 at the end of the stream or without the lease."""
        if not await self._hold_lease():
            return 0
        after = self._cursor
        if self._bus.is_shared and not self._local.types:
            return await self._pass_on(after)
        stretch = await self._db.read(self.shard, store.look_ahead, after, self._types, SPAN, PAGE_ROWS)
        if stretch.types:
            await self._deliver(after, stretch)
        else:
            await self._skip(after, stretch.upto)
        self._cursor = stretch.upto
        return stretch.upto - after

    async def _pass_on(self, after: int) -> int:
        """The step of a relay whose events all go to a shared bus: page and rows are one read."""
        rows, upto = await self._db.read(self.shard, store.scan_ahead, after, self._types, SPAN, PAGE_ROWS)
        if rows:
            await self._bus.publish(self.shard, rows, upto)
            await self._settle(upto)
        else:
            await self._skip(after, upto)
        self._cursor = upto
        return upto - after

    async def _skip(self, after: int, upto: int) -> None:
        if upto - self._written > SKIPPED_MAX or (self._is_late and upto == after):
            await self._advance(upto)

    async def _deliver(self, after: int, stretch: store.Stretch) -> None:
        """Local consumers first; where nobody else waits for the stretch, the cursor moves in their commit."""
        until_ms = self._world.now_ms() + LEASE_MS
        others = sorted(stretch.types & self._bus_types)
        lease = None if others else (self._name, self._owner, until_ms)
        try:
            moved = await self._local.take(self.shard, after, stretch, PAGE_ROWS, lease)
        except LeaseLost:
            self._lease_until_ms = 0
            raise
        if moved:
            self._written, self._lease_until_ms = stretch.upto, until_ms
            return
        if others:
            rows = await self._db.read(self.shard, store.scan, after, stretch.upto, PAGE_ROWS, others)
            await self._bus.publish(self.shard, rows, stretch.upto)
        await self._settle(stretch.upto)

    async def _settle(self, upto: int) -> None:
        """Write the cursor behind what was published, behind a shared bus a little later."""
        if not self._bus.is_shared or self._world.now_ms() - self._written_at_ms > LATE_MS:
            await self._advance(upto)
        else:
            self._is_late = True

    async def release(self) -> None:
        """Give the lease back."""
        if self._lease_until_ms:
            self._lease_until_ms = 0
            await self._db.transact(self.shard, store.free_lease, self._name, self._owner, self._cursor)

    @property
    def cursor(self) -> int:
        """The last event passed; it is written a little later."""
        return self._cursor

    @property
    def leads(self) -> bool:
        """Whether this process holds the shard's lease now."""
        return self._world.now_ms() < self._lease_until_ms

    async def _hold_lease(self) -> bool:
        now_ms = self._world.now_ms()
        if self._lease_until_ms - now_ms > LEASE_MS // 2:
            return True
        held = self._lease_until_ms > now_ms
        until_ms = now_ms + LEASE_MS
        dead_ms = self._foreign_until_ms if now_ms - self._foreign_since_ms > DEAD_MS else 0
        cursor = await self._db.transact(
            self.shard, store.take_lease, self._name, self._owner, now_ms, until_ms, dead_ms
        )
        if cursor is None:
            self._lease_until_ms = 0
            await self._watch_holder(now_ms)
            return False
        if not held:
            self._cursor = self._written = cursor
            await self._deferred.load(self.shard)
        self._lease_until_ms = until_ms
        return True

    async def _watch_holder(self, now_ms: int) -> None:
        """Remember since when somebody else's lease has not moved: its end may come from a clock that was wrong."""
        _, until_ms = await self._db.read(self.shard, store.relay_position, self._name)
        if until_ms != self._foreign_until_ms:
            self._foreign_until_ms, self._foreign_since_ms = until_ms, now_ms

    async def _advance(self, sequence: int) -> None:
        until_ms = self._world.now_ms() + LEASE_MS
        if not await self._db.transact(
            self.shard, store.advance, self._name, self._owner, sequence, until_ms
        ):
            self._lease_until_ms = 0
            raise LeaseLost(f"shard {self.shard} is relayed by another process")
        self._written = sequence
        self._written_at_ms = self._world.now_ms()
        self._is_late = False
        self._lease_until_ms = until_ms
