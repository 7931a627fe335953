"""Sold-out hints of several processes on one real Redis, at once and with Redis dying in the middle."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from tests.contract.test_cache import chance, eventually, now_ms
from tests.redis_server import RedisServer, redis_own  # noqa: F401

from tradepost.infra.cache.redis_cache import RedisCache
from tradepost.infra.cache.redis_link import RedisLink
from tradepost.kernel.tx import Signal
from tradepost.stability.hints import HINT_MS, SOLD_OUT, STOCK_UP, SharedHints

KEYS = [f"sku_{at}/shop" for at in range(4)]


class Database:
    """Stock as a count of its increases: what a hint says is the count its reader saw."""

    def __init__(self) -> None:
        self.increases = dict.fromkeys(KEYS, 0)
        self.signalled = dict.fromkeys(KEYS, 0)

    async def read(self, keys: Sequence[str]) -> Mapping[str, int]:
        await asyncio.sleep(random.random() * 0.01)
        seen = {key: self.increases[key] for key in keys}
        await asyncio.sleep(random.random() * 0.01)
        return seen


class Process:
    """One API worker: its own connections and hints."""

    def __init__(self, database: Database, url: str, name: str) -> None:
        self.link = RedisLink(url, now_ms=now_ms, chance=chance, timeout_ms=500)
        self.cache = RedisCache(self.link, chance=chance, now_ms=now_ms)
        self.hints = SharedHints(self.cache, database.read, now_ms=now_ms, origin=name)
        self.stop = asyncio.Event()
        self.running = asyncio.ensure_future(self.hints.run(self.stop))

    async def close(self) -> None:
        self.stop.set()
        await self.running
        await self.cache.close()
        await self.link.close()


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
async def processes(
    database: Database,
    redis_own: RedisServer,  # noqa: F811
) -> AsyncIterator[list[Process]]:
    made = [Process(database, redis_own.url, f"p{at}") for at in range(3)]
    await eventually(lambda: all(one.cache.is_heard() for one in made))
    yield made
    for one in made:
        await one.close()


async def sell(process: Process, database: Database, stop: asyncio.Event, checked: list[int]) -> None:
    """Refuse as checkout does: a hint, the last word of the cache, and then what it says must be new enough."""
    while not stop.is_set():
        key = random.choice(KEYS)
        if process.hints.get(key) is None:
            process.hints.note(Signal(SOLD_OUT, key, 0))
        else:
            signalled = database.signalled[key]
            for hint in (await process.hints.ask([key])).values():
                assert hint >= signalled, "refused by what was read before an increase that was signalled"
                checked[0] += 1
        await asyncio.sleep(random.random() * 0.002)


async def restock(process: Process, database: Database, stop: asyncio.Event) -> None:
    """Commit, tell, and once the cache has it no older hint may count."""
    while not stop.is_set():
        key = random.choice(KEYS)
        database.increases[key] += 1
        mine = database.increases[key]
        process.hints.note(Signal(STOCK_UP, key))
        while key in process.hints._risen and not stop.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        if key not in process.hints._risen:
            database.signalled[key] = max(database.signalled[key], mine)
        await asyncio.sleep(random.random() * 0.03)


async def test_no_refusal_older_than_a_signalled_increase(
    database: Database, processes: list[Process]
) -> None:
    stop, checked = asyncio.Event(), [0]
    work = [asyncio.ensure_future(sell(one, database, stop, checked)) for one in processes for _ in range(3)]
    work += [asyncio.ensure_future(restock(one, database, stop)) for one in processes]
    await asyncio.wait(work, timeout=2, return_when=asyncio.FIRST_EXCEPTION)
    stop.set()
    await asyncio.gather(*work)
    assert checked[0] > 100


async def test_the_same_while_redis_is_killed_in_the_middle(
    database: Database,
    processes: list[Process],
    redis_own: RedisServer,  # noqa: F811
) -> None:
    stop, checked = asyncio.Event(), [0]
    work = [asyncio.ensure_future(sell(one, database, stop, checked)) for one in processes for _ in range(3)]
    work += [asyncio.ensure_future(restock(one, database, stop)) for one in processes]
    for _ in range(2):
        await asyncio.wait(work, timeout=0.7, return_when=asyncio.FIRST_EXCEPTION)
        redis_own.kill()
        await eventually(lambda: not any(len(one.hints) for one in processes))
        redis_own.start()
        await eventually(lambda: all(one.cache.is_heard() and one.link.is_up for one in processes), 15)
    before = checked[0]
    await asyncio.wait(work, timeout=0.7, return_when=asyncio.FIRST_EXCEPTION)
    stop.set()
    await asyncio.gather(*work)
    assert checked[0] > before


async def test_hints_travel_and_an_increase_ends_them_everywhere(
    database: Database, processes: list[Process]
) -> None:
    one, two, three = (process.hints for process in processes)
    one.note(Signal(SOLD_OUT, KEYS[0], 0))
    await eventually(lambda: all(hints.get(KEYS[0]) == 0 for hints in (one, two, three)))
    database.increases[KEYS[0]] += 1
    three.note(Signal(STOCK_UP, KEYS[0]))
    await eventually(lambda: all(hints.get(KEYS[0]) is None for hints in (one, two, three)))
    assert await one.ask([KEYS[0]]) == {}


async def test_frozen_redis_means_no_hints_and_an_increase_meanwhile_counts_afterwards(
    database: Database,
    processes: list[Process],
    redis_own: RedisServer,  # noqa: F811
) -> None:
    one, two, _ = (process.hints for process in processes)
    one.note(Signal(SOLD_OUT, KEYS[0], 0))
    await eventually(lambda: two.get(KEYS[0]) == 0)
    redis_own.freeze()
    try:
        database.increases[KEYS[0]] += 1
        one.note(Signal(STOCK_UP, KEYS[0]))
        await eventually(lambda: two.get(KEYS[0]) is None, 1 + HINT_MS / 1000)
        assert await two.ask([KEYS[0]]) == {}
    finally:
        redis_own.thaw()
    await eventually(lambda: not one._risen and processes[1].cache.is_heard(), 15)
    assert await two.ask([KEYS[0]]) == {}
