"""Sold-out hints under races: once an increase is signalled, nobody is refused by what was read before it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

from hypothesis import given, settings
from hypothesis import strategies as st

from tradepost.infra.cache.memory import MemoryCache
from tradepost.kernel.tx import Signal
from tradepost.stability.cache import Fill
from tradepost.stability.hints import PREFIX, SOLD_OUT, STOCK_UP, SharedHints
from tradepost.trade import inventory
from tradepost.trade.inventory.api import SOLD_OUT as TOLD_SOLD_OUT
from tradepost.trade.inventory.api import STOCK_UP as TOLD_STOCK_UP


class Stock:
    """One SKU in the database: how often it was increased, and up to which increase the cache was told."""

    def __init__(self) -> None:
        self.increases = 0
        self.signalled = 0


Steps = Generator[None, None, None]


def now(coroutine: object) -> object:
    """The result of a coroutine of the memory cache: it never waits."""
    try:
        coroutine.send(None)  # type: ignore[attr-defined]
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


def refuse(stock: Stock, cache: MemoryCache) -> Steps:
    """A process that heard a refusal of the database: lease, read, fill, each a step of its own."""
    (copy,) = now(cache.fetch(["a"]))  # type: ignore[misc]
    yield
    read = stock.increases
    yield
    now(cache.fill([Fill("a", b"%d" % read, copy.lease, 60_000)]))
    yield


def increase(stock: Stock, cache: MemoryCache) -> Steps:
    """A restock: committed, then signalled."""
    stock.increases += 1
    mine = stock.increases
    yield
    now(cache.drop(["a"]))
    stock.signalled = max(stock.signalled, mine)
    yield


@given(
    kinds=st.lists(st.sampled_from([refuse, refuse, increase]), min_size=2, max_size=12),
    turns=st.lists(st.integers(0, 11), max_size=60),
    evicted=st.sets(st.integers(0, 60), max_size=4),
)
@settings(max_examples=500)
def test_in_any_order_of_steps_no_older_refusal_survives_a_signalled_increase(
    kinds: list[object], turns: list[int], evicted: set[int]
) -> None:
    stock, cache = Stock(), MemoryCache(lambda: 0)
    running = [kind(stock, cache) for kind in kinds]  # type: ignore[operator]
    for at, turn in enumerate([*turns, *list(range(len(running))) * 3]):
        next(running[turn % len(running)], None)
        if at in evicted:
            cache._kept.clear()
        (hint,) = now(cache.look(["a"]))  # type: ignore[misc]
        if hint is not None:
            assert int(hint) >= stock.signalled


def test_the_topics_are_those_that_inventory_signals() -> None:
    assert (SOLD_OUT, STOCK_UP) == (TOLD_SOLD_OUT, TOLD_STOCK_UP)
    assert inventory.SoldOutHints


def make_hints(cache: MemoryCache, stock: dict[str, int], clock: list[int], origin: str) -> SharedHints:
    async def read(keys: object) -> dict[str, int]:
        await asyncio.sleep(0)
        return {key: stock[key] for key in keys}  # type: ignore[attr-defined]

    return SharedHints(cache, read, now_ms=lambda: clock[0], origin=origin)


async def test_a_refusal_of_one_process_is_a_hint_of_all() -> None:
    clock, stock = [0], {"a/shop": 2}
    cache = MemoryCache(lambda: clock[0])
    one, two = (make_hints(cache, stock, clock, origin) for origin in "12")
    one.note(Signal(SOLD_OUT, "a/shop", 2))
    assert await one.publish()
    assert (one.get("a/shop"), two.get("a/shop")) == (2, 2)
    assert await two.ask(["a/shop", "b/shop"]) == {"a/shop": 2}
    assert (len(one), len(two)) == (1, 1)


async def test_an_increase_anywhere_ends_the_hint_everywhere() -> None:
    clock, stock = [0], {"a/shop": 0}
    cache = MemoryCache(lambda: clock[0])
    one, two = (make_hints(cache, stock, clock, origin) for origin in "12")
    one.note(Signal(SOLD_OUT, "a/shop"))
    await one.publish()
    two.note(Signal(STOCK_UP, "a/shop"))
    assert two.get("a/shop") is None, "its own process knows at once"
    assert await two.ask(["a/shop"]) == {}
    await two.publish()
    assert one.get("a/shop") is None
    assert await one.ask(["a/shop"]) == {}


async def test_a_hint_ends_after_a_second() -> None:
    clock, stock = [0], {"a/shop": 0}
    cache = MemoryCache(lambda: clock[0])
    hints = make_hints(cache, stock, clock, "1")
    hints.note(Signal(SOLD_OUT, "a/shop"))
    await hints.publish()
    clock[0] = 999
    assert hints.get("a/shop") == 0
    clock[0] = 1_000
    assert hints.get("a/shop") is None
    assert await hints.ask(["a/shop"]) == {}


async def test_a_hint_says_what_the_database_says_when_it_is_set() -> None:
    clock, stock = [0], {"a/shop": 0}
    cache = MemoryCache(lambda: clock[0])
    hints = make_hints(cache, stock, clock, "1")
    hints.note(Signal(SOLD_OUT, "a/shop", 0))
    stock["a/shop"] = 7
    await hints.publish()
    assert hints.get("a/shop") == 7


async def test_increases_wait_for_a_cache_that_is_down_and_are_bounded() -> None:
    from tradepost.stability.cache import CacheDown

    class Down(MemoryCache):
        down = True

        async def drop(self, keys: object, mark: str = "") -> None:
            if self.down:
                raise CacheDown
            await super().drop(keys, mark)  # type: ignore[arg-type]

    cache = Down(lambda: 0)
    hints = make_hints(cache, {}, [0], "1")
    for at in range(10_050):
        hints.note(Signal(STOCK_UP, f"{at}/shop"))
    assert await hints.publish() is False
    assert hints.get("10049/shop") is None
    cache.down = False
    assert await hints.publish() is True
    assert PREFIX not in cache._kept
