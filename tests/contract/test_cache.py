"""What every cache promises, in memory and on Redis."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable

import pytest
from tests.redis_server import RedisServer, redis_module  # noqa: F401

from tradepost.infra.cache.memory import MemoryCache, MemoryShares
from tradepost.infra.cache.redis_cache import RedisCache
from tradepost.infra.cache.redis_link import RedisLink
from tradepost.infra.cache.redis_shares import RedisShares
from tradepost.stability.admission import Shares
from tradepost.stability.cache import LEASE_MS, Cache, Fill


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def chance(bits: int) -> int:
    return int.from_bytes(os.urandom(16), "big") >> (128 - bits)


async def eventually(holds: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Heard:
    """A follower that writes down what it hears."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, bytes | None, str]] = []
        self.words: list[str] = []

    def heard(self, key: str, value: bytes | None, mark: str) -> None:
        self.notes.append((key, value, mark))

    def lost(self) -> None:
        self.words.append("lost")

    def resumed(self) -> None:
        self.words.append("resumed")


@pytest.fixture
async def link(redis_module: RedisServer) -> AsyncIterator[RedisLink]:  # noqa: F811
    link = RedisLink(redis_module.url, now_ms=now_ms, chance=chance, timeout_ms=2_000)
    yield link
    await link.close()


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest, link: RedisLink) -> AsyncIterator[Cache]:
    if request.param == "memory":
        yield MemoryCache(now_ms)
        return
    made = RedisCache(link, chance=chance, now_ms=now_ms, namespace=f"t{chance(40):x}")
    yield made
    await made.close()


async def fill(cache: Cache, key: str, value: bytes, ttl_ms: int = 60_000, *, tell: bool = False) -> bool:
    (copy,) = await cache.fetch([key])
    (filled,) = await cache.fill([Fill(key, value, copy.lease, ttl_ms, tell)])
    return filled


async def test_a_miss_gives_a_lease_and_the_lease_fills(cache: Cache) -> None:
    (missed,) = await cache.fetch(["a"])
    assert missed.value is None
    assert missed.lease
    assert await cache.fill([Fill("a", b"\x00\xff1", missed.lease, 60_000)]) == [True]
    assert await cache.fetch(["a", "b"]) != []
    found = await cache.fetch(["a"])
    assert (found[0].value, found[0].lease) == (b"\x00\xff1", b"")
    assert await cache.look(["a", "c"]) == [b"\x00\xff1", None]


async def test_two_that_miss_share_a_lease_and_the_first_fills(cache: Cache) -> None:
    (one,), (two,) = await cache.fetch(["a"]), await cache.fetch(["a"])
    assert one.lease == two.lease
    assert await cache.fill([Fill("a", b"1", one.lease, 60_000)]) == [True]
    assert await cache.fill([Fill("a", b"2", two.lease, 60_000)]) == [False]
    assert await cache.look(["a"]) == [b"1"]


async def test_what_was_read_before_a_drop_fills_nothing(cache: Cache) -> None:
    (old,) = await cache.fetch(["a"])
    await cache.drop(["a"])
    assert await cache.fill([Fill("a", b"old", old.lease, 60_000)]) == [False]
    (new,) = await cache.fetch(["a"])
    assert new.lease != old.lease
    assert await cache.fill([Fill("a", b"old", old.lease, 60_000)]) == [False]
    assert await cache.fill([Fill("a", b"new", new.lease, 60_000)]) == [True]


async def test_a_drop_takes_the_copy(cache: Cache) -> None:
    assert await fill(cache, "a", b"1")
    await cache.drop(["a", "never was"])
    assert await cache.look(["a"]) == [None]


async def test_a_lease_nobody_was_given_fills_nothing(cache: Cache) -> None:
    assert await cache.fill([Fill("a", b"1", b"", 60_000), Fill("b", b"1", b"made up", 60_000)]) == [
        False,
        False,
    ]


async def test_copies_and_leases_end(cache: Cache) -> None:
    assert await fill(cache, "short", b"1", 30)
    (lease,) = await cache.fetch(["leased"])
    until = now_ms() + LEASE_MS + 50
    async with asyncio.timeout(5):
        while now_ms() < until or await cache.look(["short"]) != [None]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await cache.fill([Fill("leased", b"1", lease.lease, 60_000)]) == [False]


async def test_followers_hear_drops_and_told_fills_in_order(cache: Cache) -> None:
    heard = Heard()
    cache.follow(heard)
    await eventually(lambda: heard.words == ["resumed"])
    assert cache.is_heard()
    assert await fill(cache, "sku/ünder:1", b"7:\x00", tell=True)
    assert await fill(cache, "quiet", b"1")
    await cache.drop(["sku/ünder:1", "12:3"], "me.1")
    await fill(cache, "sku/ünder:1", b"8", tell=True)
    await eventually(lambda: len(heard.notes) == 4)
    assert heard.notes == [
        ("sku/ünder:1", b"7:\x00", ""),
        ("sku/ünder:1", None, "me.1"),
        ("12:3", None, "me.1"),
        ("sku/ünder:1", b"8", ""),
    ]


async def test_nothing_asked_is_nothing_answered(cache: Cache) -> None:
    assert await cache.fetch([]) == []
    assert await cache.look([]) == []
    assert await cache.fill([]) == []
    await cache.drop([])


async def test_the_memory_is_bounded() -> None:
    cache = MemoryCache(now_ms, copies_max=3)
    for at in range(10):
        assert await fill(cache, str(at), b"1")
    assert len(cache) == 3
    assert await cache.look(["9", "0"]) == [b"1", None]


@pytest.fixture(params=["memory", "redis"])
def shares(request: pytest.FixtureRequest, link: RedisLink) -> Shares:
    if request.param == "memory":
        return MemoryShares(lambda: time.monotonic_ns() // 1_000)
    return RedisShares(link, "w1", f"t{chance(40):x}")


async def test_shares_hand_out_a_burst_and_then_the_rate(shares: Shares) -> None:
    began = time.monotonic()
    first = await shares.take(1_000, 1_000, 50)
    assert (first.tokens, first.workers) == (50, 1)
    taken = 50
    while time.monotonic() < began + 0.3:
        taken += (await shares.take(1_000, 1_000, 50)).tokens
        await asyncio.sleep(0.01)
    passed = time.monotonic() - began
    assert taken <= 50 + passed * 1_000 + 1
    assert taken >= passed * 1_000 * 0.5


async def test_shares_give_no_more_than_wanted(shares: Shares) -> None:
    assert (await shares.take(3, 10, 50)).tokens == 3
    assert (await shares.take(0, 10, 50)).tokens == 0


async def test_hungry_workers_divide_what_is_left(link: RedisLink) -> None:
    namespace = f"t{chance(40):x}"
    one, two = RedisShares(link, "one", namespace), RedisShares(link, "two", namespace)
    assert (await one.take(100, 1, 100)).tokens == 100
    grants = [await one.take(100, 1_000, 100), await two.take(100, 1_000, 100)]
    assert grants[1].workers == 2
    got = {"one": 0, "two": 0}
    end = time.monotonic() + 0.4
    while time.monotonic() < end:  # one always asks a moment earlier
        got["one"] += (await one.take(100, 1_000, 100)).tokens
        got["two"] += (await two.take(100, 1_000, 100)).tokens
        await asyncio.sleep(0.02)
    assert min(got.values()) * 3 >= max(got.values())
