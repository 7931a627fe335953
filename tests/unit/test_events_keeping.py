"""Kept answers, retention, retries in the table of delays, and effects on several shards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tradepost.events import Retry, Runtime, idempotency, inbox
from tradepost.events.idempotency import Kept
from tradepost.events.jobs import EVERY_MS, KEPT_MS
from tradepost.events.relay import Relay
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Consumer, EventRow
from tradepost.kernel.tx import Signal, Taken
from tradepost.testing.world import TestWorld


def kept(key: str, at_ms: int = 0) -> Kept:
    return Kept(3, "byr_1/place", key, "hash", 201, b"{}", at_ms)


async def test_a_kept_answer_is_found_and_stays_single(db: SqliteStorage) -> None:
    await db.transact(0, idempotency.keep, kept("a"))
    assert await db.read(0, idempotency.find, 3, "byr_1/place", "a") == kept("a")
    for gene, scope, key in ((3, "byr_1/place", "A"), (3, "byr_2/place", "a"), (4, "byr_1/place", "a")):
        assert await db.read(0, idempotency.find, gene, scope, key) is None
    with pytest.raises(Taken):
        await db.transact(0, idempotency.keep, kept("a"))


async def test_answers_and_inbox_are_forgotten_after_30_days(db: SqliteStorage, world: TestWorld) -> None:
    rows = [kept("old", world.now_ms()), kept("new", world.now_ms() + KEPT_MS)]
    await db.transact(0, idempotency.keep_all, rows)
    runtime = Runtime(db, world)
    done, owed = (EventRow(3, "a", version, "noted.v1", 0, b"{}") for version in (1, 2))
    await db.transact(0, inbox.note, "c", [(3, done)], inbox.DONE, world.now_ms())
    await db.transact(0, inbox.note, "c", [(3, owed)], inbox.OWED, world.now_ms())
    counts = "SELECT (SELECT COUNT(*) FROM idempotency), (SELECT COUNT(*) FROM inbox)"
    assert await db.read(0, lambda tx: tx.query(counts)) == [(2, 2)]
    world.advance(KEPT_MS + EVERY_MS)
    for _ in range(1024):
        world.advance(EVERY_MS)
        await runtime.step()
    assert await db.read(0, lambda tx: tx.query(counts)) == [(1, 1)], "what is owed is never forgotten"


@pytest.mark.parametrize(
    ("attempts", "least_ms", "most_ms"),
    [(1, 250, 500), (2, 750, 1_500), (3, 2_250, 4_500), (7, 182_250, 364_500), (8, 450_000, 900_000)],
)
def test_the_wait_grows_and_is_bounded(attempts: int, least_ms: int, most_ms: int) -> None:
    retry = Retry()
    assert retry.delay_ms(attempts, 0) == least_ms
    assert least_ms < retry.delay_ms(attempts, 0xFFFF) <= most_ms


class TwoShards:
    """Two files behind one storage port: even genes on one, odd ones on the other."""

    shards = 2

    def __init__(self, stores: Sequence[SqliteStorage]) -> None:
        self.stores = stores

    def shard_of(self, gene: int) -> int:
        return gene % 2

    def transact(self, shard: int, work: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        return self.stores[shard].transact(0, work, *args)

    def read(self, shard: int, query: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        return self.stores[shard].read(0, query, *args)

    def listen(self, listener: Callable[[Signal], None]) -> None:
        for store in self.stores:
            store.listen(listener)


async def test_an_effect_on_two_shards_is_made_once_on_each(
    tmp_path: Path, empty_database: Path, world: TestWorld
) -> None:
    paths = [tmp_path / "even.db", tmp_path / "odd.db"]
    for path in paths:
        path.write_bytes(empty_database.read_bytes())  # noqa: ASYNC240 - before the test begins
    stores = [SqliteStorage(path) for path in paths]
    made: list[tuple[str, str]] = []
    broken = {"odd.db"}

    def consume(tx: Any, rows: Sequence[EventRow]) -> None:
        name = Path(tx.query("PRAGMA database_list")[0][2]).name
        if name in broken:
            raise ValueError(name)
        made.extend((name, row.event_id) for row in rows)

    db: Any = TwoShards(stores)
    runtime = Runtime(db, world, consumers=[Consumer("c", ("noted.v1",), consume, lambda row: [5, 8, 2, 7])])
    rows = [EventRow(4, "a", version, "noted.v1", 0, b"{}") for version in (1, 2)]
    await db.transact(0, lambda tx: tx.emit(rows))
    await runtime.drain()
    assert made == [("even.db", "a.1"), ("even.db", "a.2")]
    broken.clear()
    world.advance(60_000)
    await runtime.drain()
    assert made == [("even.db", "a.1"), ("even.db", "a.2"), ("odd.db", "a.1"), ("odd.db", "a.2")]
    for store in stores:
        await store.close()


async def test_a_storage_that_cannot_commit_blames_no_event(
    db: SqliteStorage, world: TestWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    full = [True]

    def consume(tx: Any, rows: Sequence[EventRow]) -> None:
        if full[0]:
            raise Refusal("storage.unavailable", "the disk is full")
        seen.extend(row.event_id for row in rows)

    runtime = Runtime(db, world, consumers=[Consumer("c", ("noted.v1",), consume)])
    await db.transact(0, lambda tx: tx.emit([EventRow(1, "a", 1, "noted.v1", 0, b"{}")]))
    with pytest.raises(Refusal):
        await runtime.step()
    full[0] = False
    await runtime.drain()
    assert seen == ["a.1"]
    assert await db.read(0, lambda tx: tx.query("SELECT COUNT(*) FROM deliveries")) == [(0,)]


async def test_the_loop_goes_on_after_trouble(
    db: SqliteStorage, world: TestWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()
    troubles = [3]
    step = Relay.step

    async def shaky(relay: Relay) -> int:
        if troubles[0]:
            troubles[0] -= 1
            raise Refusal("storage.unavailable", "later")
        return await step(relay)

    def consume(tx: Any, rows: Sequence[EventRow]) -> None:
        loop.call_soon_threadsafe(arrived.set)

    monkeypatch.setattr(Relay, "step", shaky)
    runtime = Runtime(db, world, consumers=[Consumer("c", ("noted.v1",), consume)])
    stop = asyncio.Event()
    running = asyncio.create_task(runtime.run(stop))
    await db.transact(0, lambda tx: tx.emit([EventRow(1, "a", 1, "noted.v1", 0, b"{}")]))
    await asyncio.wait_for(arrived.wait(), 5)
    stop.set()
    await asyncio.wait_for(running, 5)
