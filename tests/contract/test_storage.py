"""What every storage adapter promises, run on each of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract import storage_works as works
from tests.contract.storage_works import Item

from tradepost.infra.storage import group
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.infra.storage.sqlite_engine import SqliteEngine
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Signal, Taken

ADAPTERS = ["thread", "process"]


@pytest.fixture(params=ADAPTERS)
async def storage(request: pytest.FixtureRequest, database_path: Path) -> AsyncIterator[SqliteStorage]:
    opened = SqliteStorage(database_path, writer=request.param)
    yield opened
    await opened.close()


def committed(path: Path | str) -> list[str]:
    """What another connection sees in the file."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT idem_key FROM idempotency ORDER BY idem_key").fetchall()
    return [row[0] for row in rows]


async def refusal_of(awaitable: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        await awaitable
    return refused.value


async def test_a_result_comes_after_its_commit(storage: SqliteStorage) -> None:
    assert await storage.transact(0, works.put, "a", value="x") == "x"
    assert committed(storage.path) == ["a"]


async def test_a_refused_work_rolls_back_alone(storage: SqliteStorage) -> None:
    good, refused, failed, taken, last = await asyncio.gather(
        storage.transact(0, works.put, "a"),
        storage.transact(0, works.put_and_refuse, "b"),
        storage.transact(0, works.put_and_fail, "c"),
        storage.transact(0, works.put, "a"),
        storage.transact(0, works.put, "d"),
        return_exceptions=True,
    )
    assert (good, last) == ("v", "v")
    assert refused == Refusal("input.invalid", "no", field="f", extra={"n": 1})
    assert isinstance(refused, Refusal)
    assert refused.expected == "e"
    assert isinstance(failed, ValueError)
    assert isinstance(taken, Taken)
    assert committed(storage.path) == ["a", "d"]


async def test_events_get_gapless_sequences(storage: SqliteStorage) -> None:
    answers = await asyncio.gather(
        storage.transact(0, works.emit, "a", 1),
        storage.transact(0, works.put_and_fail, "b"),
        storage.transact(0, works.emit, "a", 1),
        storage.transact(0, works.emit, "a", 2),
        return_exceptions=True,
    )
    assert isinstance(answers[2], Taken)
    assert await storage.read(0, works.sequences) == [1, 2]


async def test_the_sequence_goes_on_after_a_restart(database_path: Path) -> None:
    for version, writer in enumerate(ADAPTERS, 1):
        opened = SqliteStorage(database_path, writer=writer)
        await opened.transact(0, works.emit, "a", version)
        await opened.close()
    opened = SqliteStorage(database_path)
    assert await opened.read(0, works.sequences) == [1, 2]
    await opened.close()


async def test_batches_are_bounded_and_set_based(storage: SqliteStorage) -> None:
    waiting = [storage.batch(0, works.PUT, Item(f"k{n:04}")) for n in range(1000)]
    results = await asyncio.gather(*waiting)
    assert [result.key for result in results] == [f"k{n:04}" for n in range(1000)]
    assert max(result.batch for result in results) <= 256
    assert max(result.batch for result in results) > 50
    assert {result.statements for result in results} == {1}


async def test_batches_are_bounded_in_rows(storage: SqliteStorage) -> None:
    results = await asyncio.gather(
        *(storage.batch(0, works.PUT, Item(f"k{n}", rows=2000)) for n in range(9)),
        storage.batch(0, works.PUT, Item("huge", rows=100_000)),
    )
    assert max(result.batch for result in results) <= 2
    assert results[-1].batch == 1


async def test_a_bad_item_is_isolated_by_splitting(storage: SqliteStorage) -> None:
    items = [Item(f"k{n:03}") for n in range(100)]
    items[37] = Item("k037", "fail")
    items[80] = Item("k080", "refuse")
    items[81] = Item("k079")
    answers = await asyncio.gather(
        *(storage.batch(0, works.PUT, item) for item in items), return_exceptions=True
    )
    assert isinstance(answers[37], ValueError)
    assert answers[80] == Refusal("input.invalid", "refused")
    assert isinstance(answers[81], Taken)
    wrong = {"k037", "k080", "k081"}
    assert committed(storage.path) == [f"k{n:03}" for n in range(100) if f"k{n:03}" not in wrong]


async def test_a_full_queue_refuses_at_once(storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradepost.infra.storage.sqlite.QUEUE_CALLS_MAX", 10)
    monkeypatch.setattr("tradepost.infra.storage.writer_process.QUEUE_CALLS_MAX", 10)
    slow = storage.transact(0, works.sleep, 0.3)
    await asyncio.sleep(0.1)
    waiting: list[Any] = []

    def fill() -> None:
        for n in range(11):
            waiting.append(storage.transact(0, works.put, f"k{n}"))

    with pytest.raises(Refusal) as refused:
        fill()
    assert refused.value.code == "storage.overloaded"
    assert refused.value.extra["retry_after_s"] == 1
    assert len(waiting) >= 9
    await asyncio.gather(slow, *waiting)
    assert len(committed(storage.path)) == len(waiting)


async def test_a_full_disk_loses_nothing_acknowledged(storage: SqliteStorage) -> None:
    await storage.transact(0, works.limit_pages, 8)
    answers = await asyncio.gather(
        *(storage.transact(0, works.put_big, f"k{n}", 3_000) for n in range(40)), return_exceptions=True
    )
    for n in range(40, 60):
        answers += await asyncio.gather(
            storage.transact(0, works.put_big, f"k{n}", 3_000), return_exceptions=True
        )
    acknowledged = sorted(answer for answer in answers if isinstance(answer, str))
    refused = [answer for answer in answers if isinstance(answer, Refusal)]
    assert refused
    assert {refusal.code for refusal in refused} == {"storage.unavailable"}
    assert len(acknowledged) + len(refused) == 60
    assert committed(storage.path) == acknowledged
    await storage.transact(0, works.limit_pages, 1_000)
    assert await storage.transact(0, works.put_big, "after", 3_000) == "after"
    await storage.transact(0, works.emit, "a", 1)
    assert await storage.read(0, works.sequences) == [1]


async def test_signals_come_in_commit_order_before_the_answers(storage: SqliteStorage) -> None:
    heard: list[Signal | str] = []
    storage.listen(heard.append)

    async def put(key: str) -> None:
        await storage.transact(0, works.put_and_signal, key)
        heard.append(key)

    await asyncio.gather(
        put("a"), put("b"), storage.transact(0, works.put_and_fail, "c"), return_exceptions=True
    )
    for key in "ab":
        assert heard.index(Signal("put", key, 7)) < heard.index(key)
    assert heard.index(Signal("put", "a", 7)) < heard.index(Signal("put", "b", 7))
    assert not [note for note in heard if isinstance(note, Signal) and note.topic == "never"]


async def test_a_commit_with_events_says_so_once(storage: SqliteStorage) -> None:
    heard: list[Signal] = []
    storage.listen(heard.append)
    await storage.transact(0, works.put, "a")
    assert heard == []
    await storage.transact(0, works.emit, "a", 1)
    assert heard == [Signal("events", "0")]


async def test_a_reader_cannot_write(storage: SqliteStorage) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await storage.read(0, works.put, "a")
    assert await storage.read(0, works.keys) == []


async def test_a_read_sees_what_was_committed_before(storage: SqliteStorage) -> None:
    for n in range(20):
        await storage.transact(0, works.put, f"k{n:02}")
        assert len(await storage.read(0, works.keys)) == n + 1


async def test_a_second_owner_is_refused(storage: SqliteStorage) -> None:
    with pytest.raises(Refusal) as refused:
        SqliteStorage(storage.path)
    assert refused.value.code == "storage.in_use"


@pytest.mark.parametrize("writer", ADAPTERS)
async def test_close_finishes_what_is_queued(database_path: Path, writer: str) -> None:
    opened = SqliteStorage(database_path, writer=writer)
    waiting = [asyncio.ensure_future(opened.transact(0, works.put, f"k{n}")) for n in range(200)]
    await asyncio.sleep(0)
    await opened.close()
    assert await asyncio.gather(*waiting) == ["v"] * 200
    assert len(committed(database_path)) == 200
    with pytest.raises(Refusal) as refused:
        await opened.transact(0, works.put, "late")
    assert refused.value.code == "storage.unavailable"
    assert (await refusal_of(opened.read(0, works.keys))).code == "storage.unavailable"
    await opened.close()


async def test_a_caller_that_gave_up_harms_nobody(storage: SqliteStorage) -> None:
    gone = asyncio.ensure_future(storage.transact(0, works.put, "a"))
    await asyncio.sleep(0)
    gone.cancel()
    assert await storage.transact(0, works.put, "b") == "v"
    assert committed(storage.path)[-1] == "b"


async def test_many_bytes_travel(storage: SqliteStorage) -> None:
    sizes = [1, 100_000, 3_000_000]
    answers = await asyncio.gather(
        *(storage.transact(0, works.put, f"k{size}", "x" * size) for size in sizes)
    )
    assert [len(answer) for answer in answers] == sizes


async def test_a_lost_transaction_is_run_again(database_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = [2]
    commit = SqliteEngine.commit

    def lose(engine: SqliteEngine) -> list[Signal]:
        if losses[0]:
            losses[0] -= 1
            raise group.TransactionLost("deadlock")
        return commit(engine)

    monkeypatch.setattr(SqliteEngine, "commit", lose)
    opened = SqliteStorage(database_path)
    assert await opened.transact(0, works.put_and_signal, "a") == "v"
    await opened.transact(0, works.emit, "a", 1)
    assert await opened.read(0, works.sequences) == [1]
    losses[0] = 3
    assert (await refusal_of(opened.transact(0, works.put, "b"))).code == "storage.unavailable"
    assert committed(database_path) == ["a"]
    await opened.close()


async def test_the_writer_process_is_another_process(database_path: Path) -> None:
    opened = SqliteStorage(database_path, writer="process")
    assert await opened.transact(0, works.process_id) != os.getpid()
    await opened.close()


async def test_a_dead_writer_process_is_told_and_replaced(database_path: Path) -> None:
    opened = SqliteStorage(database_path, writer="process")
    child = await opened.transact(0, works.process_id)
    await opened.transact(0, works.put, "a")
    under_way = asyncio.ensure_future(opened.transact(0, works.sleep, 30))
    await asyncio.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    refused = await refusal_of(under_way)
    assert (refused.code, refused.extra["outcome"]) == ("storage.unavailable", "unknown")
    assert await opened.transact(0, works.put, "b") == "v"
    assert await opened.transact(0, works.process_id) != child
    assert committed(database_path) == ["a", "b"]
    await opened.close()


async def test_a_work_that_cannot_travel_is_refused_alone(database_path: Path) -> None:
    opened = SqliteStorage(database_path, writer="process")
    with pytest.raises(Exception, match="pickle"):
        await opened.transact(0, lambda tx: 1)
    assert await opened.transact(0, works.put, "a") == "v"
    await opened.close()


async def test_the_writer_process_ends_with_its_server(database_path: Path) -> None:
    script = (
        "import asyncio, os, sys, tests.contract.storage_works as w\n"
        "from tradepost.infra.storage.sqlite import SqliteStorage\n"
        "async def main():\n"
        "    db = SqliteStorage(sys.argv[1], writer='process')\n"
        "    print(await db.transact(0, w.process_id), flush=True)\n"
        "    db.transact(0, w.put, 'last'); await asyncio.sleep(0)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        str(database_path),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    printed, _ = await server.communicate()
    assert int(printed) > 0
    opened = SqliteStorage(database_path)  # the child held the lock as well: it has ended
    assert await opened.transact(0, works.put, "next") == "v"
    await opened.close()


def test_the_writer_process_works_on_uvloop(database_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> int:
        opened = SqliteStorage(database_path, writer="process")
        results = await asyncio.gather(*(opened.batch(0, works.PUT, Item(f"k{n}")) for n in range(600)))
        await opened.transact(0, works.put, "big", "x" * 2_000_000)
        await opened.close()
        return len(results)

    assert uvloop.run(main()) == 600
