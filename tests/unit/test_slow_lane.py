"""The slow lane of events: while it is held its consumers wait, the others do not, and nothing is lost after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tradepost.events import Runtime
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.events import Consumer, EventRow
from tradepost.kernel.tx import Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import parties

GOT: dict[str, list[str]] = {"fast": [], "slow": []}


def take_fast(tx: Any, rows: Sequence[EventRow]) -> None:
    GOT["fast"] += [row.event_id for row in rows]


def take_slow(tx: Any, rows: Sequence[EventRow]) -> None:
    GOT["slow"] += [row.event_id for row in rows]


def open_seller(tx: Tx, seller_id: str, at_ms: int) -> None:
    parties.open_seller(tx, seller_id, at_ms, name="Kiln", fee_bps=800, active=True)


CONSUMERS = [
    Consumer("test.fast", ("seller.opened.v1",), take_fast),
    Consumer("test.slow", ("seller.opened.v1",), take_slow),
]


class Held:
    """A switch for the test."""

    on = False

    def __call__(self) -> bool:
        return self.on


@pytest.fixture(autouse=True)
def nothing_got() -> None:
    for got in GOT.values():
        got.clear()


async def open_some(db: SqliteStorage, world: TestWorld, count: int) -> None:
    for _ in range(count):
        await db.transact(0, open_seller, parties.mint_party(world, "seller"), world.now_ms())


async def test_held_consumers_wait_alone_and_catch_up_in_order(db: SqliteStorage, world: TestWorld) -> None:
    held = Held()
    runtime = Runtime(db, world, consumers=CONSUMERS, owner="one", slow=frozenset({"test.slow"}), held=held)
    await open_some(db, world, 3)
    await runtime.drain()
    assert len(GOT["fast"]) == 3
    assert GOT["slow"] == GOT["fast"]
    held.on = True
    await open_some(db, world, 4)
    await runtime.drain()
    assert (len(GOT["fast"]), len(GOT["slow"])) == (7, 3)
    held.on = False
    await runtime.drain()
    assert GOT["slow"] == GOT["fast"]


async def test_a_restart_while_it_is_held_loses_nothing(db: SqliteStorage, world: TestWorld) -> None:
    held = Held()
    held.on = True
    for _ in range(2):
        runtime = Runtime(
            db, world, consumers=CONSUMERS, owner="one", slow=frozenset({"test.slow"}), held=held
        )
        await open_some(db, world, 2)
        await runtime.drain()
    assert (len(GOT["fast"]), GOT["slow"]) == (4, [])
    held.on = False
    await runtime.drain()
    assert GOT["slow"] == GOT["fast"]


async def test_a_consumer_that_moves_to_the_slow_lane_gets_nothing_twice(
    db: SqliteStorage, world: TestWorld
) -> None:
    before = Runtime(db, world, consumers=CONSUMERS, owner="one")
    await open_some(db, world, 3)
    await before.drain()
    after = Runtime(db, world, consumers=CONSUMERS, owner="one", slow=frozenset({"test.slow"}))
    await open_some(db, world, 1)
    await after.drain()
    assert GOT["slow"] == GOT["fast"]
    assert len(GOT["slow"]) == 4
