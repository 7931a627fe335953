"""Intake: the database alone knows what waits, for other processes put it there too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from tests.contract.messaging_floor import NOTED, RETRY, Effects, emit, row_of, seen

from tradepost.events import Outbox, OutboxAlarm, Runtime, read_outbox, read_stream, store
from tradepost.events.intake import OVERTAKEN_MAX, Intake, noting
from tradepost.events.model import Overtaken
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.events import Consumer, EventRow, Task
from tradepost.testing.world import TestWorld


def intake_of(db: SqliteStorage, world: TestWorld, consumer: Consumer) -> Intake:
    return Intake(db, world, RETRY, consumer, lambda: None)


async def rows_of(db: SqliteStorage, *wanted: tuple[str, int]) -> list[EventRow]:
    """Committed events, as a bus would bring them."""
    await db.transact(0, emit, [row_of(*each) for each in wanted])
    return await db.read(0, read_stream, 0, 1_000)


def waiting(tx: Any) -> list[tuple[str, int, str]]:
    rows = tx.query("SELECT aggregate_id, version, state FROM deliveries ORDER BY aggregate_id, version")
    return [(row[0], row[1], row[2]) for row in rows]


async def test_what_another_process_set_apart_holds_back_its_aggregate_here(
    db: SqliteStorage, world: TestWorld
) -> None:
    effects = Effects()
    effects.poison = {"a.1"}
    rows = await rows_of(db, ("a", 1), ("b", 1), ("a", 2), ("b", 2))
    await intake_of(db, world, effects.consumer).deliver(0, rows[:2], 0)
    effects.poison.clear()
    await intake_of(db, world, effects.consumer).deliver(0, rows[2:], 0)
    assert await db.read(0, seen, "effects") == ["b.1", "b.2"]
    assert await db.read(0, waiting) == [("a", 1, "WAITING"), ("a", 2, "QUEUED")]
    world.advance(60_000)
    await Runtime(db, world, consumers=[effects.consumer], retry=RETRY).drain()
    assert await db.read(0, seen, "effects") == ["b.1", "b.2", "a.1", "a.2"]


async def test_an_event_whose_place_cannot_be_told_waits_alone(db: SqliteStorage, world: TestWorld) -> None:
    effects = Effects()

    def genes(row: EventRow) -> Iterable[int]:
        if row.aggregate_id == "bad":
            raise KeyError("sku_id")
        return (row.gene,)

    consumer = Consumer("effects", (NOTED,), effects.consumer.consume, genes)
    rows = await rows_of(db, ("good", 1), ("bad", 1), ("bad", 2), ("good", 2))
    await intake_of(db, world, consumer).deliver(0, rows, 0)
    assert await db.read(0, seen, "effects") == ["good.1", "good.2"]
    assert await db.read(0, waiting) == [("bad", 1, "WAITING"), ("bad", 2, "QUEUED")]


async def test_a_task_is_noted_once_however_often_its_event_arrives(
    db: SqliteStorage, world: TestWorld
) -> None:
    async def act(_row: EventRow) -> None:
        pass

    woken: list[int] = []
    task = Task("calls", (NOTED,), act)
    intake = Intake(db, world, RETRY, noting(task), lambda: woken.append(1), holds_back=False)
    rows = await rows_of(db, ("a", 1), ("a", 2))
    await intake.deliver(0, rows, 0)
    assert await db.read(0, waiting) == [("a", 1, "WAITING"), ("a", 2, "QUEUED")]
    await db.transact(0, store.settle, [(1, "calls", "a", 1), (1, "calls", "a", 2)], None, world.now_ms())
    await intake.deliver(0, rows, 0)
    assert await db.read(0, waiting) == []
    assert len(woken) == 2


async def test_who_is_overtaken_looks_again_and_gives_up_in_the_end(
    db: SqliteStorage, world: TestWorld
) -> None:
    calls = 0
    left = 3

    def consume(_tx: Any, _rows: Sequence[EventRow]) -> None:
        nonlocal calls, left
        calls += 1
        left -= 1
        if left >= 0:
            raise Overtaken

    intake = intake_of(db, world, Consumer("c", (NOTED,), consume))
    rows = await rows_of(db, ("a", 1))
    await intake.deliver(0, rows, 0)
    assert calls == 4
    left = 1_000
    more = await rows_of(db, ("b", 1))
    with pytest.raises(Overtaken):
        await intake.deliver(0, more[1:], 0)
    assert calls == 4 + OVERTAKEN_MAX + 1


async def test_the_outbox_tells_how_much_waits_and_since_when(db: SqliteStorage, world: TestWorld) -> None:
    assert await db.read(0, read_outbox) == Outbox(0, 0)
    rows = await rows_of(db, ("a", 1), ("a", 2))
    assert await db.read(0, read_outbox) == Outbox(2, rows[0].at_ms)


def test_the_alarm_rings_once_and_says_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    alarm = OutboxAlarm(age_ms_max=1_000, events_max=10)
    fine = {"outbox_events": 3, "outbox_age_ms": 500, "outbox_alarm": 0}
    assert alarm.look([Outbox(3, 500), Outbox(0, 0)], 1_000) == fine
    for _ in range(2):
        assert alarm.look([Outbox(1, 500)], 1_501)["outbox_alarm"] == 1
    assert alarm.look([Outbox(11, 1_500)], 1_501)["outbox_alarm"] == 1
    assert alarm.look([], 2_000) == {"outbox_events": 0, "outbox_age_ms": 0, "outbox_alarm": 0}
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
