"""Redis dies, freezes and comes back: nobody waits, nobody gets an exception, and it is said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from tests.contract.test_cache import Heard, chance, eventually, now_ms
from tests.redis_server import RedisServer, redis_own  # noqa: F401

from tradepost.infra.cache.redis_cache import RedisCache
from tradepost.infra.cache.redis_cells import RedisCells
from tradepost.infra.cache.redis_link import RedisLink
from tradepost.infra.cache.redis_shares import RedisShares
from tradepost.stability.admission import Admission, AdmissionTerms, Priority
from tradepost.stability.cache import CacheDown, Fill
from tradepost.stability.gcra import Cell
from tradepost.stability.limiter import Limiter

TIMEOUT_MS = 150
"""Longer than in production: the machine of a test is busy, and what is tested is that the wait is bounded."""
SLACK_S = 0.5


@pytest.fixture
async def link(redis_own: RedisServer) -> AsyncIterator[RedisLink]:  # noqa: F811
    link = RedisLink(redis_own.url, now_ms=now_ms, chance=chance, timeout_ms=TIMEOUT_MS)
    yield link
    await link.close()


def limiter(link: RedisLink) -> Limiter:
    return Limiter(lambda: (), lambda: time.monotonic_ns() // 1_000, RedisCells(link))


def cells(burst: int = 1_000) -> list[Cell]:
    return [Cell("a", 3_600_000_000, 3_600_000_000 * burst, "a")]


async def longest_wait(limiter: Limiter, times: int) -> float:
    longest = 0.0
    for _ in range(times):
        began = time.monotonic()
        assert await limiter.refuse(cells()) is None
        longest = max(longest, time.monotonic() - began)
    return longest


async def test_killed_redis_costs_one_request_at_most_and_comes_back_by_itself(
    redis_own: RedisServer,  # noqa: F811
    link: RedisLink,
) -> None:
    limits = limiter(link)
    await longest_wait(limits, 10)
    assert (link.is_up, limits.alone) == (True, 0)
    redis_own.kill()
    assert await longest_wait(limits, 50) < TIMEOUT_MS / 1000 + SLACK_S
    assert not link.is_up
    assert link.gauges()["redis_up"] == 0
    assert limits.alone == 50
    assert link.failures <= 2
    redis_own.start()
    await eventually(lambda: link.is_up, 10)
    await longest_wait(limits, 10)
    assert limits.alone == 50


async def test_frozen_redis_is_waited_for_twice_at_most(
    redis_own: RedisServer,  # noqa: F811
    link: RedisLink,
) -> None:
    limits = limiter(link)
    await longest_wait(limits, 10)
    redis_own.freeze()
    try:
        began = time.monotonic()
        assert await longest_wait(limits, 200) < TIMEOUT_MS / 1000 + SLACK_S
        assert time.monotonic() - began < 2 * TIMEOUT_MS / 1000 + 2 * SLACK_S
        assert not link.is_up
        assert link.failures == 2
    finally:
        redis_own.thaw()
    await eventually(lambda: link.is_up, 10)


async def test_redis_that_was_never_there_is_no_error(tmp_path: object) -> None:
    link = RedisLink("redis://127.0.0.1:1/0", now_ms=now_ms, chance=chance)
    try:
        limits = limiter(link)
        assert await limits.refuse(cells(1)) is None
        assert await limits.refuse(cells(1)) is not None
        cache = RedisCache(link, chance=chance, now_ms=now_ms)
        with pytest.raises(CacheDown):
            await cache.look(["a"])
    finally:
        await link.close()


async def test_followers_are_told_of_the_loss_and_of_the_return(
    redis_own: RedisServer,  # noqa: F811
    link: RedisLink,
) -> None:
    cache = RedisCache(link, chance=chance, now_ms=now_ms)
    heard = Heard()
    cache.follow(heard)
    await eventually(lambda: heard.words == ["resumed"])
    redis_own.freeze()
    try:
        began = time.monotonic()
        await eventually(lambda: not cache.is_heard())
        assert time.monotonic() - began < 1.5
        await eventually(lambda: heard.words == ["resumed", "lost"])
    finally:
        redis_own.thaw()
    await eventually(lambda: heard.words[:3] == ["resumed", "lost", "resumed"], 10)
    redis_own.kill()
    await eventually(lambda: not cache.is_heard())
    redis_own.start()
    await eventually(cache.is_heard, 10)
    await cache.drop(["a"], "m")
    await eventually(lambda: ("a", None, "m") in heard.notes)
    await cache.close()


async def test_capacity_goes_on_in_parts_while_redis_is_down(
    redis_own: RedisServer,  # noqa: F811
    link: RedisLink,
) -> None:
    terms = AdmissionTerms(capacity_per_s=1_000)
    admission = Admission(lambda: terms, RedisShares(link, "one"))
    others = RedisShares(link, "two")
    await others.take(0, 1_000, 200)
    await admission.refill()
    assert (admission.shared, admission.workers) == (True, 2)
    redis_own.kill()
    await admission.refill()
    assert admission.shared is False
    drained = time.perf_counter()
    while admission.decide(Priority.PAYMENT, drained) is None:
        admission.done(Priority.PAYMENT, drained, drained)
    let_in = 0
    while admission.decide(Priority.PAYMENT, drained + 0.1) is None:
        admission.done(Priority.PAYMENT, drained, drained)
        let_in += 1
    assert 45 <= let_in <= 51
    redis_own.start()
    await eventually(lambda: link.is_up, 10)
    await admission.refill()
    assert admission.shared


async def fill_up(link: RedisLink) -> None:
    """Write until Redis says no."""
    for at in range(400):
        await link.call(lambda redis, at=at: redis.set(f"b{at}", b"x" * (16 << 10)))  # type: ignore[misc]


async def test_a_full_redis_that_may_evict_nothing_counts_as_down_until_there_is_room(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    options = ("--maxmemory", "4mb", "--maxmemory-policy", "noeviction")
    server = RedisServer(tmp_path_factory.mktemp("full"), options=options)
    server.start()
    link = RedisLink(server.url, now_ms=now_ms, chance=chance, timeout_ms=2_000)
    try:
        with pytest.raises(CacheDown):
            await fill_up(link)
        assert not link.is_up
        limits = limiter(link)
        assert await limits.refuse(cells(1)) is None
        assert await limits.refuse(cells(1)) is not None
        await link.redis.flushdb()
        await eventually(lambda: link.is_up, 10)
    finally:
        await link.close()
        server.kill()


async def test_eviction_loses_copies_and_nothing_else(tmp_path_factory: pytest.TempPathFactory) -> None:
    options = ("--maxmemory", "4mb", "--maxmemory-policy", "allkeys-random")
    server = RedisServer(tmp_path_factory.mktemp("small"), options=options)
    server.start()
    link = RedisLink(server.url, now_ms=now_ms, chance=chance, timeout_ms=2_000)
    cache = RedisCache(link, chance=chance, now_ms=now_ms)
    try:
        kept = 0
        for at in range(600):
            (old,) = await cache.fetch([f"k{at}"])
            await cache.drop([f"k{at}"])
            assert await cache.fill([Fill(f"k{at}", b"old", old.lease, 60_000)]) == [False]
            (new,) = await cache.fetch([f"k{at}"])
            kept += sum(await cache.fill([Fill(f"k{at}", b"x" * (16 << 10), new.lease, 60_000)]))
        there = 0
        for at in range(600):
            there += (await cache.look([f"k{at}"])) != [None]
        assert 0 < there < kept
    finally:
        await cache.close()
        await link.close()
        server.kill()


async def test_limits_are_shared_by_processes_and_decided_as_in_memory(
    redis_own: RedisServer,  # noqa: F811
    link: RedisLink,
) -> None:
    other = RedisLink(redis_own.url, now_ms=now_ms, chance=chance, timeout_ms=2_000)
    try:
        limits = [limiter(link), limiter(other)]
        asked = [
            limit.refuse([Cell("x", 3_600_000_000, 36_000_000_000, "x"), Cell(f"y{at}", 10**6, 10**6, "y")])
            for at in range(20)
            for limit in limits
        ]
        refusals = [one for one in await asyncio.gather(*asked) if one is not None]
        assert len(asked) - len(refusals) == 10
        assert {refusal.code for refusal in refusals} == {"limit.exceeded"}
        names = {str(refusal.extra["limit"]) for refusal in refusals}
        assert "x" in names
    finally:
        await other.close()
