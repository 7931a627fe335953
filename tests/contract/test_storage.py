"""What every storage adapter promises, run on each of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.contract import storage_works as works
from tests.contract.storage_works import Item
from tests.vitess_server import targets

from tradepost.infra.storage.mysql import MysqlStorage
from tradepost.infra.storage.mysql_target import connect
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Signal, Taken

WRITERS = ["thread", "process"]
ADAPTERS = [f"{engine}-{writer}" for engine in ("sqlite", "mariadb", "vitess") for writer in WRITERS]
IN_PROCESS = [name for name in ADAPTERS if name.endswith("-process")]
ONE_MOMENT = [name for name in ADAPTERS if not name.startswith("vitess")]
"""A MariaDB below Vitess cannot be told how long a read's moment lasts (docs/adr/0023)."""
Open = Callable[..., Any]


@pytest.fixture(params=ADAPTERS)
def open_storage(request: pytest.FixtureRequest) -> Open:
    """Opens the adapter on this test's own database, as often as asked; `alone` with one writer at most."""
    engine, _, writer = request.param.partition("-")
    if engine == "sqlite":
        path = request.getfixturevalue("database_path")
        return lambda alone=False: SqliteStorage(path, writer=writer)
    if engine == "vitess":  # through vtgate, on the first of its shards alone
        found = targets(request.getfixturevalue("vitess_url"))[:1]
        return lambda alone=False: MysqlStorage(found, writer=writer, writers=1 if alone else 2)
    url = request.getfixturevalue("mysql_url")
    return lambda alone=False: MysqlStorage(url, writer=writer, writers=1 if alone else 2)


@pytest.fixture
async def storage(open_storage: Open) -> AsyncIterator[Any]:
    opened = open_storage()
    yield opened
    await opened.close()


def committed(storage: Any) -> list[str]:
    """What another connection sees in the database."""
    asked = "SELECT idem_key FROM idempotency ORDER BY idem_key"
    if isinstance(storage, MysqlStorage):
        with contextlib.closing(connect(storage.targets[0])) as connection, connection.cursor() as cursor:
            cursor.execute(asked)
            return [row[0] for row in cursor.fetchall()]
    with contextlib.closing(sqlite3.connect(storage.path)) as connection:
        return [row[0] for row in connection.execute(asked).fetchall()]


async def refusal_of(awaitable: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        await awaitable
    return refused.value


async def test_a_result_comes_after_its_commit(storage: Any) -> None:
    assert await storage.transact(0, works.put, "a", value="x") == "x"
    assert committed(storage) == ["a"]


async def test_a_refused_work_rolls_back_alone(storage: Any) -> None:
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
    assert committed(storage) == ["a", "d"]


async def test_events_get_gapless_sequences(storage: Any) -> None:
    answers = await asyncio.gather(
        storage.transact(0, works.emit, "a", 1),
        storage.transact(0, works.put_and_fail, "b"),
        storage.transact(0, works.emit, "a", 1),
        storage.transact(0, works.emit, "a", 2),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Taken) for answer in (answers[0], answers[2])) == 1
    assert await storage.read(0, works.sequences) == [1, 2]


async def test_the_sequence_goes_on_after_a_restart(open_storage: Open) -> None:
    for version in (1, 2):
        opened = open_storage()
        await opened.transact(0, works.emit, "a", version)
        await opened.close()
    opened = open_storage()
    assert await opened.read(0, works.sequences) == [1, 2]
    await opened.close()


async def test_batches_are_bounded_and_set_based(storage: Any) -> None:
    waiting = [storage.batch(0, works.PUT, Item(f"k{n:04}")) for n in range(1000)]
    results = await asyncio.gather(*waiting)
    assert [result.key for result in results] == [f"k{n:04}" for n in range(1000)]
    assert max(result.batch for result in results) <= 256
    assert max(result.batch for result in results) > 50
    assert {result.statements for result in results} == {1}


async def test_batches_are_bounded_in_rows(storage: Any) -> None:
    results = await asyncio.gather(
        *(storage.batch(0, works.PUT, Item(f"k{n}", rows=2000)) for n in range(9)),
        storage.batch(0, works.PUT, Item("huge", rows=100_000)),
    )
    assert max(result.batch for result in results) <= 2
    assert results[-1].batch == 1


async def test_a_bad_item_is_isolated_by_splitting(storage: Any) -> None:
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
    assert committed(storage) == [f"k{n:03}" for n in range(100) if f"k{n:03}" not in wrong]


async def test_a_full_queue_refuses_at_once(open_storage: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sqlite", "writers", "writer_process"):
        monkeypatch.setattr(f"tradepost.infra.storage.{module}.QUEUE_CALLS_MAX", 10)
    storage = open_storage(alone=True)
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
    assert len(committed(storage)) == len(waiting)
    await storage.close()


async def test_signals_come_in_commit_order_before_the_answers(storage: Any) -> None:
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
    answers = [note for note in heard if isinstance(note, str)]
    assert [note.key for note in heard if isinstance(note, Signal) and note.topic == "put"] == answers
    assert not [note for note in heard if isinstance(note, Signal) and note.topic == "never"]


async def test_a_commit_with_events_says_so_once(storage: Any) -> None:
    heard: list[Signal] = []
    storage.listen(heard.append)
    await storage.transact(0, works.put, "a")
    assert heard == []
    await storage.transact(0, works.emit, "a", 1)
    assert heard == [Signal("events", "0")]


async def test_a_read_sees_what_was_committed_before(storage: Any) -> None:
    for n in range(20):
        await storage.transact(0, works.put, f"k{n:02}")
        assert len(await storage.read(0, works.keys)) == n + 1


async def test_close_finishes_what_is_queued(open_storage: Open) -> None:
    opened = open_storage()
    waiting = [asyncio.ensure_future(opened.transact(0, works.put, f"k{n}")) for n in range(200)]
    await asyncio.sleep(0)
    await opened.close()
    assert await asyncio.gather(*waiting) == ["v"] * 200
    assert len(committed(opened)) == 200
    with pytest.raises(Refusal) as refused:
        await opened.transact(0, works.put, "late")
    assert refused.value.code == "storage.unavailable"
    assert (await refusal_of(opened.read(0, works.keys))).code == "storage.unavailable"
    await opened.close()


async def test_a_caller_that_gave_up_harms_nobody(storage: Any) -> None:
    gone = asyncio.ensure_future(storage.transact(0, works.put, "a"))
    await asyncio.sleep(0)
    gone.cancel()
    assert await storage.transact(0, works.put, "b") == "v"
    assert committed(storage)[-1] == "b"


async def test_many_bytes_travel(storage: Any) -> None:
    sizes = [1, 100_000, 3_000_000]
    answers = await asyncio.gather(
        *(storage.transact(0, works.put_bytes, f"k{size}", b"x" * size) for size in sizes)
    )
    assert [len(answer) for answer in answers] == sizes


@pytest.mark.parametrize("open_storage", IN_PROCESS, indirect=True)
async def test_the_writer_process_is_another_process(open_storage: Open) -> None:
    opened = open_storage()
    assert await opened.transact(0, works.process_id) != os.getpid()
    await opened.close()


@pytest.mark.parametrize("open_storage", IN_PROCESS, indirect=True)
async def test_a_dead_writer_process_is_told_and_replaced(open_storage: Open) -> None:
    opened = open_storage()
    child = await opened.transact(0, works.process_id)
    await opened.transact(0, works.put, "a")
    under_way = asyncio.ensure_future(opened.transact(0, works.sleep, 30))
    await asyncio.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    refused = await refusal_of(under_way)
    assert (refused.code, refused.extra["outcome"]) == ("storage.unavailable", "unknown")
    assert await opened.transact(0, works.put, "b") == "v"
    assert await opened.transact(0, works.process_id) != child
    assert committed(opened) == ["a", "b"]
    await opened.close()


@pytest.mark.parametrize("open_storage", IN_PROCESS, indirect=True)
async def test_a_work_that_cannot_travel_is_refused_alone(open_storage: Open) -> None:
    opened = open_storage()
    with pytest.raises(Exception, match="pickle"):
        await opened.transact(0, lambda tx: 1)
    assert await opened.transact(0, works.put, "a") == "v"
    await opened.close()


async def test_a_reader_cannot_write(storage: Any) -> None:
    with pytest.raises(Exception, match=r"(?i)read.?only"):
        await storage.read(0, works.put, "a")
    assert await storage.read(0, works.keys) == []


async def test_many_rows_change_as_if_one_by_one(storage: Any) -> None:
    await storage.transact(0, works.fill, 40)
    changes = await storage.transact(0, works.change_alike, 40)
    assert changes == (40, 40, 0)
    assert await storage.transact(0, works.change_apart, 40) == (38, 38, 2)
    assert await storage.read(0, works.statuses) == {
        **{f"r{n:03}": 10 * n + 7 for n in range(38)},
        "r038": 7,
        "r039": 7,
    }
    assert await storage.transact(0, works.change_twice, 40) == 2
    assert (await storage.read(0, works.statuses))["r001"] == 17 + 3
    assert await storage.transact(0, works.drop_some, 40) == 20
    assert len(await storage.read(0, works.statuses)) == 20


async def test_letters_of_every_kind_come_back_as_they_went(storage: Any) -> None:
    texts = [
        "?",
        "'?'",
        "a\\",
        "%s",
        "%",
        "it's",
        '"',
        "\n\r\x00\x1a",
        "é ü 漢 🛒",
        "-- x",
        "; DROP",
        "a ",
        "A",
        "a",
    ]
    await storage.transact(0, works.keep_texts, texts)
    assert await storage.read(0, works.kept_texts) == texts
    every_byte = bytes(range(256)) * 3
    assert await storage.transact(0, works.keep_bytes, every_byte) == every_byte
    for number in (0, -1, 2**63 - 1, -(2**63)):
        assert await storage.transact(0, works.echo_number, number) == number


async def test_keys_are_looked_up_in_any_number(storage: Any) -> None:
    await storage.transact(0, works.fill, 700)
    found = await storage.read(0, works.find_by_keys, [f"r{n:03}" for n in range(0, 1400, 2)] * 2)
    assert found == [f"r{n:03}" for n in range(0, 700, 2)]
    assert await storage.read(0, works.find_by_keys, []) == []
    assert await storage.read(0, works.find_in, [f"r{n:03}" for n in range(1, 1400, 2)]) == 350
    assert await storage.transact(0, works.lock_keys, ["r002", "r001", "r002"]) == ["r001", "r002"]


async def test_a_sum_is_a_whole_number(storage: Any) -> None:
    await storage.transact(0, works.fill, 5)
    assert await storage.read(0, works.sum_up) == (0, 5)


@pytest.mark.parametrize("open_storage", ONE_MOMENT, indirect=True)
async def test_a_read_sees_one_moment(storage: Any) -> None:
    reading = asyncio.ensure_future(storage.read(0, works.count_twice, 0.3))
    await asyncio.sleep(0.1)
    await storage.transact(0, works.put, "meanwhile")
    assert await reading == (0, 0)
