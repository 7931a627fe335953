"""Position and inbox together: the exact set of what was consumed, in whatever order works commit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from tradepost.events import DirectBus, Retry, Runtime, inbox
from tradepost.events.consuming import consume_alone, consume_here, consume_page, pass_page
from tradepost.events.deferred import Deferred
from tradepost.events.model import LeaseLost, Overtaken
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.events import Consumer, EventRow
from tradepost.testing.world import TestWorld

NOTED = "noted.v1"
PAIRS = [(1, EventRow(1, f"a{n}", 1, NOTED, 0, b"{}", "", "", n)) for n in range(1, 13)]


class Crash(BaseException):
    """The process ends here."""


class Effects:
    """Counts what it was given by event id; `poison` it cannot take."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.poison: set[str] = set()

    def consume(self, tx: Any, rows: Sequence[EventRow]) -> None:
        if any(row.aggregate_id in self.poison for row in rows):
            raise ValueError("cannot take it")
        self.given += [row.aggregate_id for row in rows]


def notes(tx: Any) -> list[tuple[str, str]]:
    return list(tx.query("SELECT event_id, state FROM inbox ORDER BY event_id"))


def emit(tx: Any, rows: Sequence[EventRow]) -> None:
    tx.emit(rows)


async def test_an_ordinary_page_writes_no_inbox_row_and_asks_once(db: SqliteStorage) -> None:
    effects = Effects()

    def work(tx: Any) -> int:
        before = tx.statements
        consume_page(tx, "c", effects.consume, 0, 12, PAIRS, [], 0)
        return int(tx.statements - before)

    assert await db.transact(0, work) == 2
    assert await db.read(0, notes) == []
    assert await db.transact(0, consume_page, "c", effects.consume, 0, 12, PAIRS, [], 0) == 0
    assert len(effects.given) == 12


async def test_what_is_held_stays_owed_behind_the_position(db: SqliteStorage) -> None:
    effects = Effects()
    await db.transact(0, consume_page, "c", effects.consume, 0, 3, PAIRS[1:3], PAIRS[:1], 0)
    assert await db.read(0, notes) == [("a1.1", "OWED")]
    assert await db.transact(0, consume_alone, "c", effects.consume, 0, PAIRS[:3], 0) == 1
    assert await db.transact(0, consume_alone, "c", effects.consume, 0, PAIRS[:3], 0) == 0
    assert effects.given == ["a2", "a3", "a1"]
    assert await db.read(0, notes) == []


async def test_any_order_of_works_consumes_each_event_once(db: SqliteStorage) -> None:
    """Pages overlap (late relays, cursors gone back), events come alone and out of order, pages are passed."""
    for seed in range(60):
        chance, effects, name = random.Random(seed), Effects(), f"c{seed}"
        reached = 0
        for _ in range(30):
            after = chance.randint(0, reached)
            upto = min(12, after + chance.randint(0, 5))
            page = PAIRS[after:upto]
            kind = chance.choice(["page", "alone", "pass"])
            if kind == "alone":
                alone = chance.sample(PAIRS, 2)
                await db.transact(0, consume_alone, name, effects.consume, 0, alone, 0)
                continue
            held = [pair for pair in page if chance.random() < 0.3]
            free = [pair for pair in page if pair not in held]
            if kind == "page":
                await db.transact(0, consume_page, name, effects.consume, 0, upto, free, held, 0)
            else:
                await db.transact(0, pass_page, name, 0, upto, page, 0)
            reached = max(reached, upto)
            assert len(set(effects.given)) == len(effects.given), seed
        await db.transact(0, consume_page, name, effects.consume, 0, 12, PAIRS, [], 0)
        await db.transact(0, consume_alone, name, effects.consume, 0, PAIRS, 0)
        assert sorted(effects.given) == sorted(pair[1].aggregate_id for pair in PAIRS), seed


async def test_a_position_that_moved_meanwhile_is_not_moved_again(db: SqliteStorage) -> None:
    was = await db.transact(0, lambda tx: inbox.positions(tx, 0, ["c"])["c"])
    await db.transact(0, inbox.move, 0, [("c", was, 5, 0)])
    with pytest.raises(Overtaken):
        await db.transact(0, inbox.move, 0, [("c", was, 7, 0)])
    now = await db.transact(0, lambda tx: inbox.positions(tx, 0, ["c"])["c"])
    await db.transact(0, inbox.move, 0, [("c", now, 6, 0)])
    with pytest.raises(Overtaken):
        await db.transact(0, inbox.move, 0, [("c", now, 8, 0)])
    ahead = await db.transact(0, lambda tx: inbox.positions(tx, 0, ["c"])["c"])
    await db.transact(0, inbox.move, 0, [("c", ahead, 3, 0)])
    assert (await db.transact(0, lambda tx: inbox.positions(tx, 0, ["c"])["c"])).sequence == 6


async def test_without_the_lease_a_stretch_leaves_nothing(db: SqliteStorage) -> None:
    effects = Effects()
    await db.transact(0, emit, [EventRow(1, "a", 1, NOTED, 0, b"{}")])
    consumers = [Consumer("c", (NOTED,), effects.consume)]
    with pytest.raises(LeaseLost):
        await db.transact(0, consume_here, consumers, 0, 1, 512, ("main", "nobody", 1))
    assert (await db.read(0, lambda tx: inbox.positions(tx, 0, ["c"])))["c"] == inbox.START


async def test_a_crash_before_the_ledge_has_what_failed_delivers_it_again(
    db: SqliteStorage, world: TestWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects = Effects()
    effects.poison = {"a1"}
    consumers = [Consumer("c", (NOTED,), effects.consume)]
    await db.transact(0, emit, [pair[1] for pair in PAIRS])

    async def crash(*_: Any) -> None:
        raise Crash

    monkeypatch.setattr(Deferred, "put", crash)
    with pytest.raises(Crash):
        await Runtime(db, world, consumers=consumers, owner="one").step()
    monkeypatch.undo()
    effects.poison.clear()
    await Runtime(db, world, consumers=consumers, owner="one").drain()
    assert sorted(effects.given) == sorted(pair[1].aggregate_id for pair in PAIRS)


async def test_a_bus_that_promises_no_order_notes_every_event(db: SqliteStorage, world: TestWorld) -> None:
    class Broker(DirectBus):
        async def publish(self, shard: int, rows: Sequence[EventRow], upto: int) -> None:
            for row in reversed([*rows, *rows]):
                await super().publish(shard, [row], 0)

    effects = Effects()
    consumers = [Consumer("c", (NOTED,), effects.consume)]
    await db.transact(0, emit, [pair[1] for pair in PAIRS])
    await Runtime(db, world, consumers=consumers, owner="one", bus=Broker(), retry=Retry()).drain()
    assert effects.given == [pair[1].aggregate_id for pair in reversed(PAIRS)]
    assert {state for _, state in await db.read(0, notes)} == {"DONE"}
