"""The link to Redis: bounded connections, bounded waiting, and a breaker that is probed beside the requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tradepost.stability.breaker import Breaker, BreakerTerms
from tradepost.stability.cache import CacheDown

T = TypeVar("T")
TIMEOUT_MS = 50
PROBE_TIMEOUT_MS = 200
CONNECTIONS_MAX = 8
GRACE_PASSES = 3
TERMS = BreakerTerms(failures_max=2, window=8, rest_ms=100, rest_max_ms=2_000)
log = logging.getLogger("tradepost.stability")


class RedisLink:
    """`await link.call(lambda redis: redis.get("key"))` within 50 ms, or CacheDown.

    A connection that is refused or breaks opens the breaker, and so do two late answers out of eight. From then on
    every call raises CacheDown at once, and a task of the link's own knocks until Redis answers again: no request
    is ever the probe.
    """

    def __init__(
        self,
        url: str,
        *,
        now_ms: Callable[[], int],
        chance: Callable[[int], int],
        timeout_ms: int = TIMEOUT_MS,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections_max,
            timeout=PROBE_TIMEOUT_MS / 1000,
            socket_connect_timeout=PROBE_TIMEOUT_MS / 1000,
            socket_timeout=None,  # the bound is below, over the whole call
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self.redis: Redis = Redis(connection_pool=pool)
        self._timeout_s = timeout_ms / 1000
        self._breaker = Breaker(TERMS, now_ms, chance)
        self._probing: asyncio.Task[None] | None = None
        self._met = False
        self.calls = 0
        self.failures = 0
        self.avoided = 0

    @property
    def is_up(self) -> bool:
        """Whether the last call or probe was answered."""
        return self._breaker.is_closed

    async def call(self, act: Callable[[Redis], Awaitable[T]]) -> T:
        """What Redis answers. Raises CacheDown when it does not within the time limit, or was resting."""
        if not self._breaker.is_closed:
            self.avoided += 1
            raise CacheDown
        self.calls += 1
        try:
            answer = await patient(act(self.redis), self._timeout_s if self._met else PROBE_TIMEOUT_MS / 1000)
        except (RedisError, OSError, TimeoutError) as error:
            self._fail(error)
            raise CacheDown from error
        self._met = True
        return answer

    def _fail(self, error: BaseException) -> None:
        self.failures += 1
        if not self._breaker.is_closed:
            return
        for _ in range(1 if isinstance(error, TimeoutError) else TERMS.failures_max):
            self._breaker.note(True)
        if self._breaker.is_closed:
            return
        log.warning("redis is down, going on without it: %r", error)
        if self._probing is None:
            self._probing = asyncio.ensure_future(self._probe())

    async def _probe(self) -> None:
        try:
            while not self._breaker.is_closed:
                await asyncio.sleep(self._breaker.rest_ms() / 1000 + 0.001)
                if not self._breaker.allows():
                    continue
                try:
                    await patient(_knock(self.redis), PROBE_TIMEOUT_MS / 1000)
                except (RedisError, OSError, TimeoutError):
                    self._breaker.note(True)
                else:
                    self._breaker.note(False)
                    log.warning("redis is back")
        finally:
            self._probing = None

    async def close(self) -> None:
        """Stop knocking and close the connections."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await self.redis.aclose(close_connection_pool=True)

    def gauges(self) -> Mapping[str, int]:
        """Numbers for /metrics, by name."""
        return {
            "redis_up": int(self.is_up),
            "redis_calls": self.calls,
            "redis_failures": self.failures,
            "redis_calls_avoided": self.avoided,
        }


async def _knock(redis: Redis) -> None:
    """A write, because a Redis that is full or a replica answers a PING and is of no use."""
    await redis.set("tp:knock", b"1", px=1_000)


async def patient(call: Awaitable[T], timeout_s: float) -> T:
    """The answer within the time limit. Raises TimeoutError.

    When this process itself was busy past the limit, an answer may wait unread: the loop gets a few passes to
    read it before the call counts as late.
    """
    task = asyncio.ensure_future(call)
    try:
        done, _ = await asyncio.wait([task], timeout=timeout_s)
        for _ in range(GRACE_PASSES):
            if done or task.done():
                break
            await asyncio.sleep(0)
    finally:
        if not task.done():
            task.cancel()
    if not task.done():
        # not awaited: ending a connection that is stuck may take as long as the call
        task.add_done_callback(_forget)
        raise TimeoutError
    return task.result()


def _forget(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()
