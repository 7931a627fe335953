"""The kit as the composition root opens it: alone, and two processes that share one Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import pytest
from tests.contract.test_cache import eventually
from tests.redis_server import RedisServer, redis_own  # noqa: F401

from tradepost.infra.cache.kit import Kit, open_kit
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.tx import Signal, Tx
from tradepost.kernel.world import SystemWorld
from tradepost.stability.admission import Priority
from tradepost.stability.hints import SOLD_OUT, STOCK_UP
from tradepost.stability.keys import Key
from tradepost.stability.limits import Asker
from tradepost.stability.signals import FORGET

RULES = [{"name": "apps", "by": "app", "requests": 1, "per_ms": 60_000, "burst": 4}]
VALUES: dict[str, Any] = {"limits.callers": RULES, "admission.capacity_per_s": 1_000}
HINT = f"{SystemWorld().mint('sku', 5)}/shop"
ASKER = Asker("POST /v1/checkouts", app="app_1")


class Keys:
    """A config centre that judges each value once, as the real one does."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)
        self._judged: dict[str, Any] = {}

    def __call__(self, key: Key[Any]) -> Any:
        if key.name not in self._judged:
            self._judged[key.name] = key.accept(self._values.get(key.name, key.default))
        return self._judged[key.name]


def none_left(tx: Tx, sku_ids: Iterable[str]) -> Mapping[tuple[str, str], int]:
    return {}


def say(tx: Tx, topic: str, key: str) -> None:
    tx.signal(topic, key)


@pytest.fixture
async def kits(db: SqliteStorage, redis_own: RedisServer) -> AsyncIterator[list[Kit]]:  # noqa: F811
    keys = Keys(VALUES)
    made = [
        open_kit(keys, db=db, world=SystemWorld(), available=none_left, redis_url=redis_own.url)
        for _ in range(2)
    ]
    stop = asyncio.Event()
    running = [asyncio.ensure_future(kit.run(stop)) for kit in made]
    await eventually(lambda: all(kit.shared is not None and kit.shared.cache.is_heard() for kit in made))
    yield made
    stop.set()
    await asyncio.gather(*running)
    for kit in made:
        await kit.close()


async def test_alone_it_limits_and_admits_without_redis(db: SqliteStorage) -> None:
    kit = open_kit(Keys(VALUES), db=db, world=SystemWorld(), available=none_left)
    cells = kit.limiter.cells(ASKER)
    refusals = [await kit.limiter.refuse(cells) for _ in range(6)]
    assert [one is None for one in refusals] == [True] * 4 + [False] * 2
    assert kit.admission.decide(Priority.ORDER, 1.0) is None
    assert (kit.conditions(), kit.over(db)) == ({}, db)
    assert kit.gauges()["limits_exceeded"] == 2
    stop = asyncio.Event()
    stop.set()
    await kit.run(stop)
    await kit.close()


async def test_several_processes_without_redis_hear_each_other_out_of_the_database(db: SqliteStorage) -> None:
    kit = open_kit(Keys(VALUES), db=db, world=SystemWorld(), available=none_left, alone=False, workers=2)
    assert kit.shared is not None
    heard: list[Signal] = []
    kit.over(db).listen(heard.append)
    stop = asyncio.Event()
    running = asyncio.ensure_future(kit.run(stop))
    try:
        await eventually(lambda: heard.count(Signal(FORGET, "")) >= 2)
        await db.transact(0, say, SOLD_OUT, HINT)
        assert kit.shared.hints.get(HINT) == 0
        assert await kit.shared.hints.ask([HINT]) == {HINT: 0}
        cells = kit.limiter.cells(ASKER)
        assert sum([await kit.limiter.refuse(cells) is None for _ in range(6)]) == 2
        assert kit.conditions() == {}
        assert "redis_up" not in kit.gauges()
    finally:
        stop.set()
        await running
        await kit.close()


async def test_two_processes_share_limits_capacity_and_hints(kits: list[Kit], db: SqliteStorage) -> None:
    one, two = kits
    assert one.shared is not None
    assert two.shared is not None
    cells = one.limiter.cells(ASKER)
    answers = [await kit.limiter.refuse(cells) for _ in range(4) for kit in kits]
    assert sum(answer is None for answer in answers) == 4
    await eventually(lambda: one.admission.workers == 2 and two.admission.workers == 2)
    assert one.admission.shared
    await db.transact(0, say, SOLD_OUT, HINT)
    hints = [kit.shared.hints for kit in kits if kit.shared is not None]
    await eventually(lambda: all(each.get(HINT) == 0 for each in hints))
    await db.transact(0, say, STOCK_UP, HINT)
    assert [each.get(HINT) for each in hints] == [None, None]
    assert one.conditions() == {"redis": True}
    assert {"redis_up", "signals_hearing", "shared_hints", "admission_limit"} <= one.gauges().keys()


async def test_without_redis_every_part_goes_on_and_says_so(
    kits: list[Kit],
    redis_own: RedisServer,  # noqa: F811
) -> None:
    one = kits[0]
    assert one.shared is not None
    redis_own.kill()
    await eventually(lambda: not one.admission.shared)
    cells = one.limiter.cells(Asker("GET /v1/offers", app="app_2"))
    answers = [await one.limiter.refuse(cells) for _ in range(6)]
    assert 1 <= sum(answer is None for answer in answers) <= 4
    await eventually(
        lambda: one.admission.decide(Priority.PAYMENT, asyncio.get_running_loop().time()) is None
    )
    assert one.shared.hints.get(HINT) is None
    assert one.conditions() == {"redis": False}
    assert one.gauges()["redis_up"] == 0
