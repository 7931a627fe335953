"""What timers forget: events no timeline needs, tombstones; and what they must keep."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from tradepost.events import Retention, Runtime, jobs
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.events import Consumer, EventRow
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout
from tradepost.trade.checkout.jobs import EVERY_MS, KEPT_MS

DAY_MS = 86_400_000


def say(tx: Tx, logs: list[str], at_ms: int) -> None:
    tx.emit([EventRow(gene_of(log), log, 1, "noted.v1", at_ms, b"{}") for log in logs])


def hear(_tx: Tx, _rows: Sequence[EventRow]) -> None:
    """Everything is heard, nothing done: so the relay's cursor is written."""


HEARING = [Consumer("heard", ("noted.v1",), hear)]


def logs_of(tx: Tx) -> list[str]:
    return [row[0] for row in tx.query("SELECT aggregate_id FROM events ORDER BY sequence")]


async def test_events_that_no_timeline_needs_are_forgotten(db: SqliteStorage, world: TestWorld) -> None:
    offers = [world.mint("offer", gene) for gene in range(600)]
    timeline = [world.mint(kind, 1) for kind in ("order", "payment", "refund", "package", "return")]
    await db.transact(0, say, [*offers[:300], *timeline, *offers[300:]], world.now_ms())
    runtime = Runtime(db, world, consumers=HEARING, kept=Retention(events_ms=10 * DAY_MS))
    await runtime.drain()
    assert len(await db.read(0, logs_of)) == 605, "young"
    world.advance(5 * DAY_MS)
    fresh = world.mint("offer", 700)
    await db.transact(0, say, [fresh], world.now_ms())
    await runtime.drain()
    world.advance(6 * DAY_MS)
    for _ in range(4):
        world.advance(jobs.EVERY_MS)
        await runtime.drain()
    assert await db.read(0, logs_of) == [*timeline, fresh]
    world.advance(20 * DAY_MS)
    await runtime.drain()
    assert (await db.read(0, logs_of))[-1] == fresh, "the newest numbers the stream"


async def test_what_is_not_delivered_is_never_forgotten(db: SqliteStorage, world: TestWorld) -> None:
    offers = [world.mint("offer", gene) for gene in range(10)]
    await db.transact(0, say, offers, world.now_ms())
    late_ms = world.now_ms() + 100 * DAY_MS
    assert await db.read(0, jobs.old_events, 0, late_ms, 256) == ([], 0), "no relay has passed anything"
    await Runtime(db, world, consumers=HEARING).drain()
    await db.transact(0, _wait, offers[3])
    doomed, upto = await db.read(0, jobs.old_events, 0, late_ms, 256)
    assert [row[1] for row in doomed] == [*offers[:3], *offers[4:9]]
    assert upto == 9
    doomed, upto = await db.read(0, jobs.old_events, 0, late_ms, 2)
    assert ([row[1] for row in doomed], upto) == (offers[:2], 2)


def _wait(tx: sqlite3.Connection, log: str) -> None:
    tx.execute(
        "INSERT INTO deliveries (gene, consumer, aggregate_id, version, state, attempts, next_at_ms, error, at_ms)"
        " VALUES (?, 'c', ?, 1, 'WAITING', 1, 1, '', 1)",
        (gene_of(log), log),
    )


async def test_events_are_kept_for_ever_unless_told(db: SqliteStorage, world: TestWorld) -> None:
    await db.transact(0, say, [world.mint("offer", 1), world.mint("offer", 2)], world.now_ms())
    runtime = Runtime(db, world, consumers=HEARING)
    await runtime.drain()
    world.advance(5_000 * DAY_MS)
    await runtime.drain()
    assert len(await db.read(0, logs_of)) == 2


async def test_tombstones_are_forgotten_and_checkouts_are_not(db: SqliteStorage, world: TestWorld) -> None:
    buyers = [world.mint("buyer", gene) for gene in (1, 1, 5)]
    for buyer_id in buyers:
        chosen = world.mint("checkout", gene_of(buyer_id))
        assert not await db.transact(0, checkout.claim_checkout, buyer_id, chosen, world.now_ms())
    await db.transact(0, _make_placed, buyers[0])
    runtime = Runtime(db, world, sweeps=checkout.sweeps(db))

    async def turn() -> int:
        for _ in range(1024):
            world.advance(EVERY_MS)
            await runtime.step()
        rows: list[Any] = await db.read(0, lambda tx: tx.query("SELECT buyer_id FROM checkouts"))
        return len(rows)

    assert await turn() == 3
    world.advance(KEPT_MS)
    assert await turn() == 1


def _make_placed(tx: Tx, buyer_id: str) -> None:
    sql = "UPDATE checkouts SET state = 'PLACED' WHERE gene = ? AND buyer_id = ?"
    tx.execute(sql, (gene_of(buyer_id), buyer_id))
