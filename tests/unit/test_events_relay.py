"""The relay: order per aggregate, repeated deliveries, crashes between effect and cursor, dead letters, leases."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tradepost.events import (
    Retry,
    Runtime,
    aggregate_log,
    dead_letters,
    read_stream,
    replay_dead_letter,
    store,
    stream_page,
)
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Consumer, EventRow, Sweep, Task
from tradepost.testing.world import TestWorld

NOTED = "noted.v1"


def row_of(aggregate_id: str, version: int, kind: str = NOTED, gene: int = 1, **more: str) -> EventRow:
    return EventRow(gene, aggregate_id, version, kind, 1_000, b'{"n":%d}' % version, **more)


def emit(tx: Any, rows: Sequence[EventRow]) -> None:
    tx.emit(rows)


class Effects:
    """A consumer's effect: rows in a table of the database, so a rollback takes them back as well."""

    def __init__(self) -> None:
        self.poison: set[str] = set()
        self.calls = 0

    def consume(self, tx: Any, rows: Sequence[EventRow]) -> None:
        self.calls += 1
        for row in rows:
            tx.execute(
                "INSERT INTO idempotency (gene, scope, idem_key, request_hash, status, response, at_ms)"
                " SELECT 1, 'effect', COUNT(*) || '', ?, 0, x'', 0 FROM idempotency",
                (row.event_id,),
            )
            if row.event_id in self.poison:
                raise ValueError(f"cannot take {row.event_id}")

    def consumer(self, name: str = "effects") -> Consumer:
        return Consumer(name, (NOTED,), self.consume)


def seen(tx: Any) -> list[str]:
    return [
        row[0]
        for row in tx.query(
            "SELECT request_hash FROM idempotency WHERE gene = 1 AND scope = 'effect'"
            " ORDER BY CAST(idem_key AS INTEGER)"
        )
    ]


async def arrived(db: SqliteStorage, count: int) -> None:
    """Wait until so many effects stand."""
    for _ in range(1_000):
        if len(await db.read(0, seen)) >= count:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{count} events did not arrive")


def cursor(tx: Any) -> int:
    return int(tx.query("SELECT sequence FROM relay_cursors")[0][0])


async def test_events_arrive_once_and_in_order(db: SqliteStorage, world: TestWorld) -> None:
    effects = Effects()
    runtime = Runtime(db, world, consumers=[effects.consumer()])
    await db.transact(0, emit, [row_of("a", 1), row_of("b", 1), row_of("a", 2)])
    await db.transact(0, emit, [row_of("a", 3), row_of("c", 1, "ignored.v1")])
    await runtime.drain()
    await runtime.drain()
    assert await db.read(0, seen) == ["a.1", "b.1", "a.2", "a.3"]
    assert effects.calls == 1


async def test_a_page_is_one_call_and_bounded(db: SqliteStorage, world: TestWorld) -> None:
    effects = Effects()
    runtime = Runtime(db, world, consumers=[effects.consumer()])
    await db.transact(0, emit, [row_of(f"a{n}", 1) for n in range(700)])
    assert await runtime.drain() == 700
    assert effects.calls == 2
    assert len(await db.read(0, seen)) == 700


async def test_a_crash_before_the_cursor_moves_repeats_harmlessly(
    db: SqliteStorage, world: TestWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects = Effects()

    async def act(row: EventRow) -> None:
        pass

    calls = Task("calls", (NOTED,), act)  # somebody waits besides local consumers: the cursor moves apart
    first = Runtime(db, world, consumers=[effects.consumer()], tasks=[calls], owner="one")

    async def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tradepost.events.relay.Relay._advance", crash)
    await db.transact(0, emit, [row_of("a", 1), row_of("a", 2)])
    with pytest.raises(KeyboardInterrupt):
        await first.step()
    monkeypatch.undo()
    assert await db.read(0, seen) == ["a.1", "a.2"]
    assert await db.read(0, cursor) == 0
    restarted = Runtime(db, world, consumers=[effects.consumer()], tasks=[calls], owner="one")
    await restarted.drain()
    assert await db.read(0, seen) == ["a.1", "a.2"]
    assert await db.read(0, cursor) == 2


async def test_a_failing_event_holds_back_only_its_aggregate(db: SqliteStorage, world: TestWorld) -> None:
    effects = Effects()
    effects.poison = {"a.2"}
    runtime = Runtime(db, world, consumers=[effects.consumer()])
    await db.transact(0, emit, [row_of("a", 1), row_of("a", 2), row_of("b", 1), row_of("a", 3)])
    await runtime.drain()
    assert sorted(await db.read(0, seen)) == ["a.1", "b.1"]
    await db.transact(0, emit, [row_of("a", 4), row_of("b", 2)])
    await runtime.drain()
    assert sorted(await db.read(0, seen)) == ["a.1", "b.1", "b.2"]
    effects.poison.clear()
    await runtime.drain()
    assert "a.2" not in await db.read(0, seen), "it waits for its moment"
    world.advance(1_000)
    await runtime.drain()
    assert [e for e in await db.read(0, seen) if e[0] == "a"] == ["a.1", "a.2", "a.3", "a.4"]
    await db.transact(0, emit, [row_of("a", 5)])
    await runtime.drain()
    assert (await db.read(0, seen))[-1] == "a.5"


async def test_a_dead_letter_frees_the_rest_and_can_be_replayed(db: SqliteStorage, world: TestWorld) -> None:
    effects = Effects()
    effects.poison = {"a.1"}
    runtime = Runtime(db, world, consumers=[effects.consumer()], retry=Retry(attempts_max=3))
    aggregate = world.mint("order", 1)
    effects.poison = {f"{aggregate}.1"}
    await db.transact(0, emit, [row_of(aggregate, 1), row_of(aggregate, 2)])
    for _ in range(3):
        await runtime.drain()
        world.advance(60_000)
    assert await db.read(0, seen) == [f"{aggregate}.2"]
    [letter] = await db.read(0, dead_letters)
    assert (letter.consumer, letter.version, letter.attempts) == ("effects", 1, 3)
    assert "cannot take" in letter.error
    effects.poison.clear()
    await db.transact(0, replay_dead_letter, "effects", aggregate, 1, world.now_ms())
    await runtime.drain()
    assert await db.read(0, seen) == [f"{aggregate}.2", f"{aggregate}.1"]
    assert await db.read(0, dead_letters) == []
    with pytest.raises(Refusal) as refused:
        await db.transact(0, replay_dead_letter, "effects", aggregate, 1, world.now_ms())
    assert refused.value.code == "events.dead_letter_unknown"


async def test_waiting_deliveries_survive_a_restart(db: SqliteStorage, world: TestWorld) -> None:
    effects = Effects()
    effects.poison = {"a.1"}
    await db.transact(0, emit, [row_of("a", 1)])
    await Runtime(db, world, consumers=[effects.consumer()], owner="one").drain()
    effects.poison.clear()
    await db.transact(0, emit, [row_of("a", 2)])
    restarted = Runtime(db, world, consumers=[effects.consumer()], owner="one")
    await restarted.drain()
    assert await db.read(0, seen) == [], "the second queues behind the first"
    world.advance(1_000)
    await restarted.drain()
    assert await db.read(0, seen) == ["a.1", "a.2"]


async def test_the_lease_keeps_a_second_relay_out(db: SqliteStorage, world: TestWorld) -> None:
    one, two = Effects(), Effects()
    first = Runtime(db, world, consumers=[one.consumer()], owner="one")
    second = Runtime(db, world, consumers=[two.consumer()], owner="two")
    await first.step()
    await db.transact(0, emit, [row_of("a", 1)])
    assert await second.drain() == 0
    world.advance(60_000)
    await second.drain()
    assert two.calls == 1
    await db.transact(0, emit, [row_of("a", 2)])
    await first.drain()
    assert one.calls == 0


async def test_a_lease_from_a_clock_that_was_wrong_is_taken_over(db: SqliteStorage, world: TestWorld) -> None:
    ahead, effects = TestWorld(), Effects()
    ahead.advance(world.now_ms() - ahead.now_ms() + 3_600_000)
    await Runtime(db, ahead, consumers=[Effects().consumer()], owner="ahead").step()
    heir = Runtime(db, world, consumers=[effects.consumer()], owner="heir")
    await db.transact(0, emit, [row_of("a", 1)])
    assert await heir.drain() == 0
    world.advance(29_000)
    assert await heir.drain() == 0, "its holder may still prolong it"
    world.advance(2_000)
    await heir.drain()
    assert effects.calls == 1


async def test_a_lease_that_moves_is_not_taken_over(db: SqliteStorage, world: TestWorld) -> None:
    ahead, effects = TestWorld(), Effects()
    ahead.advance(world.now_ms() - ahead.now_ms() + 3_600_000)
    holder = Runtime(db, ahead, consumers=[Effects().consumer()], owner="ahead")
    heir = Runtime(db, world, consumers=[effects.consumer()], owner="heir")
    for _ in range(10):
        await holder.step()
        await db.transact(0, emit, [])
        assert await heir.drain() == 0
        world.advance(8_000)
        ahead.advance(8_000)
    assert effects.calls == 0


async def test_a_relay_whose_lease_went_does_not_move_the_cursor(
    db: SqliteStorage, world: TestWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects = Effects()
    first = Runtime(db, world, consumers=[effects.consumer()], owner="one")
    await db.transact(0, emit, [row_of("a", 1)])
    await first.drain()

    def steal(tx: Any) -> None:
        tx.execute("UPDATE relay_cursors SET owner = 'two', lease_until_ms = 99999999999999")

    await db.transact(0, steal)
    await db.transact(0, emit, [row_of("a", 2)])
    assert await first.drain() == 0
    assert await db.read(0, cursor) == 1


async def test_tasks_act_in_order_and_are_retried(db: SqliteStorage, world: TestWorld) -> None:
    acted: list[str] = []
    broken = {"a.1"}

    async def act(row: EventRow) -> None:
        await asyncio.sleep(0)
        if row.event_id in broken:
            raise ConnectionError("no answer")
        acted.append(row.event_id)

    runtime = Runtime(db, world, tasks=[Task("calls", (NOTED,), act)])
    await db.transact(0, emit, [row_of("a", 1), row_of("a", 2), row_of("b", 1)])
    await runtime.drain()
    assert acted == ["b.1"]
    broken.clear()
    world.advance(1_000)
    await runtime.drain()
    assert acted == ["b.1", "a.1", "a.2"]


async def test_a_slow_task_does_not_hold_back_the_relay(db: SqliteStorage, world: TestWorld) -> None:
    effects = Effects()
    slow = asyncio.Event()

    async def act(row: EventRow) -> None:
        await slow.wait()

    runtime = Runtime(db, world, consumers=[effects.consumer()], tasks=[Task("calls", (NOTED,), act)])
    stop = asyncio.Event()
    running = asyncio.create_task(runtime.run(stop))
    await db.transact(0, emit, [row_of("a", 1)])
    await asyncio.sleep(0.05)
    await db.transact(0, emit, [row_of("a", 2)])
    await arrived(db, 2)
    slow.set()
    stop.set()
    await asyncio.wait_for(running, 5)
    assert (await db.read(0, lambda tx: tx.query("SELECT owner FROM relay_cursors")))[0][0] == ""


async def test_run_is_woken_by_a_commit(db: SqliteStorage, world: TestWorld) -> None:
    effects = Effects()
    runtime = Runtime(db, world, consumers=[effects.consumer()])
    stop = asyncio.Event()
    running = asyncio.create_task(runtime.run(stop))
    for version in range(1, 20):
        await db.transact(0, emit, [row_of("a", version)])
        await arrived(db, version)
    stop.set()
    await running


async def test_skipped_types_cost_no_commit(db: SqliteStorage, world: TestWorld) -> None:
    runtime = Runtime(db, world, consumers=[Effects().consumer()])
    await runtime.step()
    await db.transact(0, emit, [row_of(f"a{n}", 1, "ignored.v1") for n in range(500)])
    before = await db.transact(0, lambda tx: tx.statements)
    assert await runtime.drain() == 500
    assert await db.transact(0, lambda tx: tx.statements) == before


async def test_sweeps_run_when_due_and_repeat_full_pages(db: SqliteStorage, world: TestWorld) -> None:
    rows = list(range(600))
    acted: list[int] = []

    def due(tx: Any, now_ms: int, limit: int) -> list[int]:
        return rows[:limit]

    async def act(items: Sequence[int]) -> None:
        acted.extend(items)
        del rows[: len(items)]

    runtime = Runtime(db, world, sweeps=[Sweep("tidy", due, act, 500)])
    await runtime.drain()
    assert acted == list(range(600))
    rows.append(600)
    assert await runtime.drain() == 0
    world.advance(500)
    assert await runtime.drain() == 1


async def test_a_sweep_that_gets_nowhere_does_not_spin(db: SqliteStorage, world: TestWorld) -> None:
    calls = 0

    async def act(items: Sequence[int]) -> None:
        nonlocal calls
        calls += 1

    runtime = Runtime(db, world, sweeps=[Sweep("stuck", lambda tx, now, limit: list(range(limit)), act)])
    await runtime.drain()
    assert calls == 2


async def test_a_failing_sweep_leaves_the_others_running(db: SqliteStorage, world: TestWorld) -> None:
    acted: list[int] = []

    async def fail(items: Sequence[int]) -> None:
        raise ValueError("broken")

    async def act(items: Sequence[int]) -> None:
        acted.extend(items)

    def due(tx: Any, now_ms: int, limit: int) -> list[int]:
        return [1]

    runtime = Runtime(db, world, sweeps=[Sweep("bad", due, fail), Sweep("good", due, act)])
    await runtime.drain()
    assert acted == [1]


async def test_two_subscriptions_of_one_name_are_refused(db: SqliteStorage, world: TestWorld) -> None:
    with pytest.raises(ValueError, match="two subscriptions"):
        Runtime(db, world, consumers=[Effects().consumer(), Effects().consumer()])


async def test_the_stream_pages_and_filters(db: SqliteStorage) -> None:
    rows = [row_of(f"a{n}", 1, buyer_id="byr_1" if n % 2 else "byr_2", seller_id="sel_1") for n in range(10)]
    await db.transact(0, emit, rows)
    first = await db.read(0, stream_page, 0, 4)
    assert [row.sequence for row in first.rows] == [1, 2, 3, 4]
    assert (first.next_sequence, first.more) == (4, True)
    last = await db.read(0, stream_page, 8, 4)
    assert (last.next_sequence, last.more, len(last.rows)) == (10, False, 2)
    mine = await db.read(0, read_stream, 0, 100, (NOTED,), "byr_1", "sel_1")
    assert [row.aggregate_id for row in mine] == ["a1", "a3", "a5", "a7", "a9"]
    assert await db.read(0, read_stream, 0, 100, ("other.v1",)) == []


async def test_the_log_of_one_aggregate(db: SqliteStorage, world: TestWorld) -> None:
    order = world.mint("order", 7)
    await db.transact(0, emit, [row_of(order, 1, gene=7), row_of("x", 1), row_of(order, 2, gene=7)])
    assert [row.version for row in await db.read(0, aggregate_log, order)] == [1, 2]


async def test_a_page_read_at_once_is_the_page_told_and_then_read(db: SqliteStorage) -> None:
    kinds = [NOTED, "other.v1", "third.v1"]
    await db.transact(0, emit, [row_of(f"a{n}", 1, kinds[n % 3]) for n in range(12)])
    wanted = kinds[:2]
    for after, span, limit in [
        (0, 100, 100),
        (0, 5, 100),
        (0, 100, 3),
        (7, 100, 3),
        (12, 100, 3),
        (20, 9, 9),
    ]:
        stretch = await db.read(0, store.look_ahead, after, wanted, span, limit)
        rows = await db.read(0, store.scan, after, stretch.upto, limit, wanted)
        assert await db.read(0, store.scan_ahead, after, wanted, span, limit) == (rows, stretch.upto)
    assert await db.read(0, store.scan_ahead, 0, (), 100, 100) == ([], 12)
