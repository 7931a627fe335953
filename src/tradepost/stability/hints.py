"""Sold-out hints that processes share: what the database refused, until anything may have made it wrong.

A hint is never the truth. It is set in three steps whose order makes it safe: take the lease of its key, read the
database anew, fill under that lease. Every increase drops key and lease after its commit, so what was read before
the increase can never be set after it. See docs/adr/0027.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Signal
from tradepost.stability.cache import KEYS_MAX, LEASE_MS, Cache, CacheDown, Fill
from tradepost.stability.gathering import Crowded, Gathering

SOLD_OUT = "sold_out"
STOCK_UP = "stock_up"
PREFIX = "hint/"
HINT_MS = 1_000
HINTS_MAX = 100_000
WAITING_MAX = 10_000
REST_S = 0.05


class SharedHints:
    """What this process knows of the shared hints: a mapping from `sku_id/pool` to pieces available at most.

    `listen(hints.note)` on the storage feeds it; `read(keys)` asks the database how many pieces each key has now.
    Empty while the cache cannot be heard. A hint lives 1 s and is then earned anew by one refusal of the database,
    so whatever goes wrong with a process or a link, nobody is refused by one older than 1.5 s.
    """

    def __init__(
        self,
        cache: Cache,
        read: Callable[[Sequence[str]], Awaitable[Mapping[str, int]]],
        *,
        now_ms: Callable[[], int],
        origin: str,
    ) -> None:
        self._cache = cache
        self._read = read
        self._now_ms = now_ms
        self._origin = origin
        self._known: dict[str, tuple[int, int]] = {}
        self._rising: dict[str, tuple[str, int]] = {}
        """Increases of ours that the cache has not told back yet: the mark they are told with, and since when."""
        self._risen: dict[str, None] = {}
        self._sold: dict[str, None] = {}
        self._marks = 0
        self._work = asyncio.Event()
        self._looking: Gathering[str, bytes | None] = Gathering(self._look)
        cache.follow(self)

    def __len__(self) -> int:
        """Hints that may be used now, ended ones too; 0 while the cache cannot be heard."""
        return len(self._known) if self._cache.is_heard() else 0

    def get(self, key: str) -> int | None:
        """At most so many pieces are available, or None: ask the database."""
        known = self._known.get(key)
        if known is None or self._is_rising(key) or not self._cache.is_heard():
            return None
        available, until_ms = known
        if self._now_ms() >= until_ms:
            self._known.pop(key, None)
            return None
        return available

    async def ask(self, keys: Iterable[str]) -> dict[str, int]:
        """Those of the hints that stand in the cache, asked after this call began; none when it cannot tell.

        The last word before a refusal: it makes any increase that has reached the cache count, whatever this
        process has heard of it.
        """
        wanted = list(keys)
        try:
            found = await asyncio.gather(*[self._looking.ask(PREFIX + key) for key in wanted])
        except (CacheDown, Crowded):
            return {}
        return {
            key: int(value)
            for key, value in zip(wanted, found, strict=True)
            if value is not None and not self._is_rising(key)
        }

    async def _look(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        return await self._cache.look(keys)

    def note(self, signal: Signal) -> None:
        """A commit of this process refused or increased something."""
        key = signal.key
        if signal.topic == STOCK_UP:
            self._known.pop(key, None)
            self._sold.pop(key, None)
            self._rising[key] = ("", self._now_ms())
            self._risen[key] = None
            self._forget_oldest()
        elif signal.topic == SOLD_OUT and len(self._sold) < WAITING_MAX and self.get(key) is None:
            self._sold[key] = None
        else:
            return
        self._work.set()

    def _forget_oldest(self) -> None:
        """Beyond 10,000 unsent increases the oldest is left to the end of the hints it would have dropped."""
        if len(self._rising) > WAITING_MAX:
            oldest = next(iter(self._rising))
            del self._rising[oldest]
            self._risen.pop(oldest, None)

    async def run(self, stop: asyncio.Event) -> None:
        """Tell increases first, then publish what was sold out, until told to stop."""
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                working = asyncio.ensure_future(self._work.wait())
                await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
                working.cancel()
                self._work.clear()
                if not await self.publish():
                    await asyncio.wait([stopping], timeout=REST_S)
                    self._work.set()
        finally:
            stopping.cancel()

    async def publish(self) -> bool:
        """Send what is waiting; False when the cache was down and increases still wait."""
        try:
            while self._risen:
                await self._tell_increases()
            while self._sold:
                await self._tell_sold_out()
        except CacheDown:
            self._sold.clear()  # the database will say it again
            return not self._risen
        return True

    async def _tell_increases(self) -> None:
        keys = list(self._risen)[:KEYS_MAX]
        self._marks += 1
        mark = f"{self._origin}.{self._marks}"
        telling = (mark, self._now_ms())
        for key in keys:
            self._rising[key] = telling
        await self._cache.drop([PREFIX + key for key in keys], mark)
        for key in keys:
            if self._rising.get(key, telling) is telling:  # else it rose once more meanwhile
                self._risen.pop(key, None)

    async def _tell_sold_out(self) -> None:
        keys = list(self._sold)[:KEYS_MAX]
        for key in keys:
            del self._sold[key]
        keys = [key for key in keys if not self._is_rising(key)]
        leases = await self._cache.fetch([PREFIX + key for key in keys])
        free = {key: copy.lease for key, copy in zip(keys, leases, strict=True) if copy.value is None}
        if (
            not free
        ):  # they are filled, and a copy read here could be older than a drop that was heard meanwhile
            return
        try:
            available = await self._read(list(free))
        except Refusal:
            return  # the database cannot say it now
        await self._cache.fill(
            [
                Fill(PREFIX + key, b"%d" % available.get(key, 0), lease, HINT_MS, tell=True)
                for key, lease in free.items()
            ]
        )

    def heard(self, key: str, value: bytes | None, mark: str) -> None:
        """What happened to a key of the cache."""
        if not key.startswith(PREFIX):
            return
        key = key[len(PREFIX) :]
        if value is not None:
            self._learn(key, value)
            return
        self._known.pop(key, None)
        if mark and self._rising.get(key, ("", 0))[0] == mark:
            del self._rising[key]

    def _learn(self, key: str, value: bytes) -> None:
        if self._is_rising(key):
            return
        self._known.pop(key, None)
        self._known[key] = (int(value), self._now_ms() + HINT_MS)
        if len(self._known) > HINTS_MAX:
            del self._known[next(iter(self._known))]

    def _is_rising(self, key: str) -> bool:
        """Whether an increase of ours is on its way; one whose echo got lost ends with the hints it dropped."""
        rising = self._rising.get(key)
        if rising is None:
            return False
        if key in self._risen or self._now_ms() - rising[1] <= HINT_MS + LEASE_MS:
            return True
        del self._rising[key]
        return False

    def lost(self) -> None:
        """Forget every hint; increases go on waiting to be told."""
        self._known.clear()

    def resumed(self) -> None:
        """Start from nothing; what is waiting may be told."""
        self._known.clear()
        self._work.set()
