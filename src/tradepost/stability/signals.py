"""Signals over processes: a cache that forgets by signals of its own process also hears those of the others.

Two ways, neither of which is trusted alone. The cache port tells at once and is the fast one. The database is the
true one: `poll` reads on from a cursor what changed, slowly while the fast way is open, every 250 ms while not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import BatchHandler, Signal, Storage, Tx
from tradepost.stability.cache import KEYS_MAX, Cache, CacheDown

P = ParamSpec("P")
T = TypeVar("T")
I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

FORGET = "forget"
"""Topic of a signal that says: forget everything, something may have gone unheard."""
PREFIX = "signal/"
POLL_DEAF_S = 0.25
POLL_HEARING_S = 2.0
FORGET_EVERY = 5
WAITING_MAX = 10_000
log = logging.getLogger("tradepost.stability")

Poll = Callable[[], Awaitable[Sequence[Signal]]]
"""What changed in the database since it was asked last; it keeps its own cursor. May raise Refusal."""


class SharedSignals:
    """Tells signals of these topics to every process, and theirs to the listeners of this one.

    Own signals are heard in commit order before the answers of their commit, as ever. Those of others come within
    milliseconds while the cache is up. While it is down they come with the next poll, or, without `poll`, every
    listener is told to forget everything every 250 ms: either way nothing older than 250 ms and a read is used.
    A process that dies between its commit and its word is made up for by the poll within 2 s, or, without one, by
    forgetting everything every 10 s.
    """

    def __init__(
        self, db: Storage, cache: Cache, *, topics: Sequence[str], origin: str, poll: Poll | None = None
    ) -> None:
        self._cache = cache
        self._topics = frozenset(topics)
        self._origin = origin
        self._poll = poll
        self._listeners: list[Callable[[Signal], None]] = []
        self._untold: dict[str, None] = {}
        self._work = asyncio.Event()
        self._unpolled = 0
        self.heard_count = 0
        self.polled_count = 0
        self.forgot_count = 0
        db.listen(self._own)
        cache.follow(self)

    def over(self, db: Storage) -> Storage:
        """The storage, with `listen` hearing every process: give this to a cache in place of the storage."""
        return _Listening(db, self)

    def listen(self, listener: Callable[[Signal], None]) -> None:
        """Deliver signals of every process, and `FORGET`, to this callable."""
        self._listeners.append(listener)

    def _own(self, signal: Signal) -> None:
        self._deliver(signal)
        if signal.topic in self._topics:
            self._untold[f"{PREFIX}{signal.topic}/{signal.key}"] = None
            self._work.set()

    def _deliver(self, signal: Signal) -> None:
        for listener in self._listeners:
            listener(signal)

    def heard(self, key: str, value: bytes | None, mark: str) -> None:
        """Another process committed something."""
        if mark != self._origin and key.startswith(PREFIX):
            topic, _, subject = key[len(PREFIX) :].partition("/")
            if topic == FORGET or topic in self._topics:
                self.heard_count += 1
                self._deliver(Signal(topic, subject))

    def lost(self) -> None:
        """From now on the database is asked instead."""
        self._forget()
        self._work.set()

    def resumed(self) -> None:
        """What was said meanwhile went unheard."""
        self._forget()
        self._work.set()

    def _forget(self) -> None:
        self.forgot_count += 1
        self._deliver(Signal(FORGET, ""))

    async def run(self, stop: asyncio.Event) -> None:
        """Tell, and ask the database, until told to stop."""
        stopping = asyncio.ensure_future(stop.wait())
        loop = asyncio.get_running_loop()
        next_poll_s = loop.time()
        try:
            while not stop.is_set():
                told = await self.tell()
                if loop.time() >= next_poll_s:
                    await self.catch_up()
                    next_poll_s = loop.time() + self.poll_every_s()
                next_poll_s = min(next_poll_s, loop.time() + self.poll_every_s())
                rest_s = next_poll_s - loop.time() if told else min(POLL_DEAF_S, next_poll_s - loop.time())
                working = asyncio.ensure_future(self._work.wait() if told else asyncio.sleep(rest_s))
                await asyncio.wait(
                    [working, stopping], timeout=max(0.0, rest_s), return_when=asyncio.FIRST_COMPLETED
                )
                working.cancel()
                self._work.clear()
        finally:
            stopping.cancel()

    def poll_every_s(self) -> float:
        """Seconds between two looks into the database now."""
        return POLL_HEARING_S if self._cache.is_heard() else POLL_DEAF_S

    async def tell(self) -> bool:
        """Tell what was committed here; False while the cache is down. Beyond 10,000 untold: forget everything."""
        if len(self._untold) > WAITING_MAX:
            self._untold = {f"{PREFIX}{FORGET}/": None}
        try:
            while self._untold:
                keys = list(self._untold)[:KEYS_MAX]
                for key in keys:
                    del self._untold[key]
                await self._drop(keys)
        except CacheDown:
            return False
        return True

    async def _drop(self, keys: list[str]) -> None:
        try:
            await self._cache.drop(keys, self._origin)
        except CacheDown:
            self._untold = dict.fromkeys(keys) | self._untold
            raise

    async def catch_up(self) -> None:
        """Ask the database what changed; without a poll, forget everything while nobody can be heard."""
        if self._poll is None:
            self._unpolled += 1
            if not self._cache.is_heard() or self._unpolled >= FORGET_EVERY:
                self._unpolled = 0
                self._forget()
            return
        try:
            changed = await self._poll()
        except Refusal as refusal:
            log.warning("changes cannot be read: %s", refusal.code)
            self._forget()
            return
        self.polled_count += len(changed)
        for signal in changed:
            self._deliver(signal)

    def gauges(self) -> Mapping[str, int]:
        """Numbers for /metrics, by name."""
        return {
            "signals_heard": self.heard_count,
            "signals_polled": self.polled_count,
            "signals_forgot": self.forgot_count,
            "signals_untold": len(self._untold),
            "signals_hearing": int(self._cache.is_heard()),
        }


class _Listening:
    """A storage whose listeners hear every process."""

    def __init__(self, db: Storage, signals: SharedSignals) -> None:
        self._db = db
        self._signals = signals

    @property
    def shards(self) -> int:
        """See Storage."""
        return self._db.shards

    @shards.setter
    def shards(self, shards: int) -> None:
        self._db.shards = shards

    def shard_of(self, gene: int) -> int:
        """See Storage."""
        return self._db.shard_of(gene)

    def transact(
        self, shard: int, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """See Storage."""
        return self._db.transact(shard, work, *args, **kwargs)

    def batch(self, shard: int, handler: BatchHandler[I, R], item: I) -> Awaitable[R]:
        """See Storage."""
        return self._db.batch(shard, handler, item)

    def read(
        self, shard: int, query: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """See Storage."""
        return self._db.read(shard, query, *args, **kwargs)

    def listen(self, listener: Callable[[Signal], None]) -> None:
        """See Storage; and the signals of other processes."""
        self._signals.listen(listener)

    async def close(self) -> None:
        """See Storage."""
        await self._db.close()
