"""What the SQLite adapter promises beyond the port: a full disk, one owner, a writer that ends with its server."""

from __future__ import annotations

import asyncio
import contextlib
import os
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
from tradepost.kernel.tx import Signal

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


async def test_a_second_owner_is_refused(storage: SqliteStorage) -> None:
    with pytest.raises(Refusal) as refused:
        SqliteStorage(storage.path)
    assert refused.value.code == "storage.in_use"


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
