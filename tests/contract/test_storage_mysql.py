"""What MySQL adds to the port: several writers, lost connections, a server that dies, settings that are looked at."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.contract import storage_works as works
from tests.contract.storage_works import Item
from tests.mariadb_server import empty, fresh_database, run

from tradepost import services
from tradepost.infra.storage import mysql_engine
from tradepost.infra.storage.group import Call, TransactionLost, run_group
from tradepost.infra.storage.migrate import upgrade
from tradepost.infra.storage.mysql import MysqlStorage
from tradepost.infra.storage.mysql_checks import check_server, unsuitable, warnings_of
from tradepost.infra.storage.mysql_engine import MysqlEngine
from tradepost.infra.storage.mysql_target import Target, parse_url
from tradepost.infra.storage.mysql_tx import MysqlTx
from tradepost.infra.storage.writers import Tickets
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Signal

pytestmark = pytest.mark.server("mariadb")
Sent = Callable[..., Any]


@pytest.fixture
async def storage(mysql_url: str) -> AsyncIterator[MysqlStorage]:
    opened = MysqlStorage(mysql_url)
    yield opened
    await opened.close()


def kept(url: str) -> list[str]:
    return [row[0] for row in run(url, "SELECT idem_key FROM idempotency ORDER BY idem_key")]


def numbers(url: str) -> list[int]:
    return [row[0] for row in run(url, "SELECT sequence FROM events ORDER BY sequence")]


async def test_a_reader_that_follows_the_numbers_misses_nothing(mysql_url: str) -> None:
    """Two processes' worth of writers emit; whoever reads on from the last number sees every event."""
    shops = [MysqlStorage(mysql_url, writers=2, group_max=3) for _ in range(2)]
    total, followed, done = 400, list[int](), asyncio.Event()

    async def follow() -> None:
        while not (done.is_set() and len(followed) == total):
            last, ended = followed[-1] if followed else 0, done.is_set()
            rows = await shops[0].read(0, works.numbers_after, last)
            followed.extend(rows)
            if ended and not rows:
                break

    async def write(shop: MysqlStorage, name: str) -> None:
        await asyncio.gather(*[shop.transact(0, works.emit, f"{name}{n}", 1) for n in range(total // 2)])

    following = asyncio.ensure_future(follow())
    await asyncio.gather(write(shops[0], "a"), write(shops[1], "b"))
    done.set()
    await following
    for shop in shops:
        await shop.close()
    assert followed == list(range(1, total + 1)) == numbers(mysql_url)


async def test_bytes_come_back_as_they_were(mysql_url: str, storage: MysqlStorage) -> None:
    """What is text travels as text, the rest in hexadecimal: neither changes a letter."""
    text = bytes(range(128)) + "\\'\"` ä漢😀 ?;--/*".encode()
    values = {"text": text, "not": bytes(range(256)), "empty": b"", "cut": "漢".encode()[:2], "slash": b"\\'"}
    values |= {f"more{number}": text * number for number in range(8)}
    await storage.transact(0, works.put_raw, values)
    found = run(mysql_url, "SELECT idem_key, response FROM idempotency")
    assert dict(found) == values


def losing(monkeypatch: pytest.MonkeyPatch, how: str, times: int = 1) -> list[int]:
    """Lose the connection at the next COMMIT: `before` it is sent, or `after` the server has done it."""
    left, send = [times], MysqlTx.run

    def lose(tx: MysqlTx, texts: Sequence[str], **more: Any) -> Any:
        if texts[-1] != "COMMIT" or not tx.wrote or not left[0]:
            return send(tx, texts, **more)
        left[0] -= 1
        if how == "after":
            send(tx, texts, **more)
        tx.drop()
        raise TransactionLost("2013: the test cut the connection")

    monkeypatch.setattr(MysqlTx, "run", lose)
    return left


@pytest.mark.parametrize("how", ["before", "after"])
async def test_a_commit_without_an_answer_is_looked_up(
    mysql_url: str, storage: MysqlStorage, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    heard: list[Signal] = []
    storage.listen(heard.append)
    await storage.transact(0, works.put, "first")
    left = losing(monkeypatch, how)
    assert await storage.transact(0, works.put_and_signal, "a") == "v"
    assert left == [0]
    assert kept(mysql_url) == ["a", "first"]
    assert heard == [Signal("put", "a", 7)]
    await storage.transact(0, works.emit, "e", 1)
    left[0] = 1
    await storage.transact(0, works.emit, "e", 2)
    assert numbers(mysql_url) == [1, 2]


async def test_what_cannot_be_looked_up_is_said_to_be_unknown(
    mysql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = MysqlEngine(parse_url(mysql_url), 0, lambda gene: True, resolve_s=0.6)
    run_group(engine, [Call(0, work=works.put, args=("first",))])
    losing(monkeypatch, "after")

    def nobody(*_: Any, **__: Any) -> Any:
        raise TransactionLost("nobody answers")

    monkeypatch.setattr(mysql_engine, "connect", nobody)
    call = Call(0, work=works.put, args=("a",))
    assert run_group(engine, [call]) == []
    assert isinstance(call.error, Refusal)
    assert (call.error.code, call.error.extra["outcome"]) == ("storage.unavailable", "unknown")
    again = Call(0, work=works.put, args=("b",))
    run_group(engine, [again])
    assert isinstance(again.error, Refusal)
    assert "outcome" not in again.error.extra
    assert kept(mysql_url) == ["a", "first"]
    monkeypatch.undo()
    run_group(engine, [again])
    assert again.error is None
    engine.close()


async def test_a_connection_lost_in_a_group_is_replaced(mysql_url: str, storage: MysqlStorage) -> None:
    for number in range(4):  # both writers
        await storage.transact(0, works.put, f"k{number}")
    slow = asyncio.ensure_future(storage.transact(0, works.put_slowly, "slow", 0.5))
    await asyncio.sleep(0.2)
    for (connection,) in run(
        mysql_url,
        "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()",
    ):
        run(mysql_url, f"KILL {connection}")
    assert await slow == "slow"
    assert len(await storage.read(0, works.keys)) == 5
    assert kept(mysql_url) == ["k0", "k1", "k2", "k3", "slow"]


async def test_a_deadlock_is_run_again(mysql_url: str) -> None:
    engines = [MysqlEngine(parse_url(mysql_url), 0, lambda gene: True) for _ in range(2)]
    run_group(engines[0], [Call(0, work=works.fill, args=(2,))])
    calls = [
        Call(0, work=works.lock_both, args=("r000", "r001", 0.2)),
        Call(0, work=works.lock_both, args=("r001", "r000", 0.2)),
    ]
    threads = [
        threading.Thread(target=run_group, args=(engine, [call]))
        for engine, call in zip(engines, calls, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [call.error for call in calls] == [None, None]
    assert run(mysql_url, "SELECT status FROM idempotency ORDER BY idem_key") == [(2,), (2,)]
    for engine in engines:
        engine.close()


@pytest.mark.parametrize("derived", [None, "JSON", "-"])
@pytest.mark.parametrize("count", [3, 40])
async def test_rows_of_others_are_not_waited_for(derived: str | None, count: int, mysql_url: str) -> None:
    """A small table would be scanned for many keys, and every table for one: past what another writer has locked."""
    target = parse_url(mysql_url)
    session = (*target.dialect.session, "SET SESSION innodb_lock_wait_timeout=1")
    impatient = structs.replace(
        target, dialect=structs.replace(target.dialect, derived=derived, session=session)
    )
    holder, other = [MysqlEngine(one, 0, lambda gene: True) for one in (target, impatient)]
    run_group(holder, [Call(0, work=works.fill, args=(count,))])
    holder.begin()
    works.lock_keys(holder.tx, ["r001"])
    call = Call(0, work=works.touch_but, args=(1, count))
    await asyncio.to_thread(run_group, other, [call])
    assert (call.error, call.value) == (None, [count - 1, count - 1, count - 1, 1, count - 2])
    holder.rollback()
    for engine in (holder, other):
        engine.close()


async def test_a_lock_that_is_never_given_ends_in_a_refusal(mysql_url: str) -> None:
    target = parse_url(mysql_url)
    impatient = Target(
        **{name: getattr(target, name) for name in ("host", "port", "user", "password", "database")},
        dialect=type(target.dialect)(
            session=(*target.dialect.session, "SET SESSION innodb_lock_wait_timeout=1")
        ),
    )
    holder, waiter = [MysqlEngine(one, 0, lambda gene: True) for one in (target, impatient)]
    run_group(holder, [Call(0, work=works.fill, args=(1,))])
    holder.begin()
    works.lock_keys(holder.tx, ["r000"])
    call = Call(0, work=works.change_alike, args=(1,))
    await asyncio.to_thread(run_group, waiter, [call])
    assert isinstance(call.error, Refusal)
    assert call.error.code == "storage.unavailable"
    holder.rollback()
    await asyncio.to_thread(run_group, waiter, [call])
    assert call.error is None
    for engine in (holder, waiter):
        engine.close()


async def test_events_of_a_failed_group_find_their_author(storage: MysqlStorage) -> None:
    await storage.transact(0, works.emit, "a", 1)
    answers = await asyncio.gather(
        *[storage.transact(0, works.emit, name, 1) for name in "bacd"], return_exceptions=True
    )
    assert [type(answer).__name__ for answer in answers] == ["NoneType", "Taken", "NoneType", "NoneType"]
    assert await storage.read(0, works.sequences) == [1, 2, 3, 4]


def test_groups_are_told_in_the_order_of_their_tickets() -> None:
    told: list[str] = []
    tickets = Tickets(lambda signals, calls: told.append(signals[0].key))
    first, second, third, fourth = [tickets.take() for _ in range(4)]
    tickets.deliver(second, [Signal("t", "second")], [])
    tickets.deliver(0, [Signal("t", "in no order")], [])
    tickets.deliver(fourth, [Signal("t", "fourth")], [])
    tickets.deliver(first, [Signal("t", "first")], [])
    tickets.give_back(third)
    assert told == ["in no order", "first", "second", "fourth"]


async def test_a_killed_server_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with services.running("mariadb", folder=tmp_path) as servers:
        url = fresh_database(servers["mariadb"].url, "tradepost_killed")
        upgrade(url)
        shop = MysqlStorage(url, writers=2)
        answered: list[str] = []
        refused: list[str] = []
        codes: set[str] = set()
        busy = asyncio.Event()

        async def buyer(number: int) -> None:
            for turn in range(200):
                key = f"{number:02}-{turn:03}"
                try:
                    await shop.batch(0, works.PUT, Item(key))
                    answered.append(key)
                    if len(answered) > 100:
                        busy.set()
                except Refusal as refusal:
                    assert refusal.code == "storage.unavailable"  # noqa: PT017
                    if "outcome" not in refusal.extra:
                        refused.append(key)

        buying = [asyncio.ensure_future(buyer(number)) for number in range(16)]
        while len(answered) < 100:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        [process] = services.pids("mariadb", tmp_path).values()
        os.kill(process, signal.SIGKILL)
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222
        await asyncio.to_thread(services.start, "mariadb", tmp_path)
        await asyncio.gather(*buying)
        assert codes <= {"storage.unavailable"}
        found = set(kept(url))
        assert set(answered) <= found
        assert not set(refused) & found
        await shop.batch(0, works.PUT, Item("after"))
        await shop.close()


def test_a_server_that_is_not_durable_is_told_in_words(mariadb: str) -> None:
    assert check_server(parse_url(mariadb)) == []
    assert warnings_of({}) == []
    loose = {
        "innodb_flush_log_at_trx_commit": "2",
        "log_bin": "ON",
        "sync_binlog": "0",
        "innodb_doublewrite": "OFF",
        "max_allowed_packet": str(16 << 20),
    }
    words = warnings_of(loose)
    assert [word.split()[0] for word in words] == [
        "innodb_flush_log_at_trx_commit",
        "sync_binlog",
        "innodb_doublewrite",
        "max_allowed_packet",
    ]
    assert len(warnings_of(loose | {"log_bin": "OFF"})) == 3


@pytest.mark.parametrize(
    ("facts", "others", "word"),
    [
        ({"version": "10.3.39-MariaDB"}, [], "older"),
        ({"version": "8.0.18"}, [], "older"),
        ({"version": "8.4.2", "read_only": "ON"}, [], "read-only"),
        ({"version": "8.4.2", "default_storage_engine": "MyISAM"}, [], "InnoDB"),
        ({"version": "8.4.2", "log_bin": "ON", "binlog_format": "STATEMENT"}, [], "binlog_format"),
        ({"version": "8.4.2", "max_allowed_packet": "65536"}, [], "max_allowed_packet"),
        ({"version": "8.4.2"}, ["stock"], "stock"),
        ({"version": "10.11.6-MariaDB-0+deb12u1", "log_bin": "ON", "binlog_format": "ROW"}, [], ""),
    ],
)
def test_a_server_that_would_break_correctness_is_refused(
    facts: dict[str, str], others: list[str], word: str
) -> None:
    found = unsuitable(facts, others)
    assert bool(found) == bool(word)
    assert word in found


async def test_a_table_without_transactions_stops_the_start(mariadb: str) -> None:
    url = fresh_database(mariadb, "tradepost_unsuitable")
    run(url, "CREATE TABLE stray (a INT) ENGINE=MyISAM")
    with pytest.raises(Refusal) as refused:
        MysqlStorage(url)
    assert refused.value.code == "storage.unsuitable"
    assert "stray" in refused.value.detail


async def test_a_server_that_is_not_there_stops_the_start() -> None:
    for url in (
        "mysql://nobody:secret@127.0.0.1:1/tradepost",
        "mysql://nobody:secret@h/d?socket=/nowhere.sock",
    ):
        with pytest.raises(Refusal) as refused:
            MysqlStorage(url)
        assert refused.value.code == "storage.unreachable"
        assert "secret" not in refused.value.detail


@pytest.mark.parametrize(
    "url", ["postgres://a@b/c", "mysql://a:secret@b", "mysql://a:secret@b:x/c", "mysql://a:secret@b/c?tls=1"]
)
def test_an_address_that_does_not_fit_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_url(url)
    assert refused.value.code == "storage.url_invalid"
    assert "secret" not in refused.value.detail


def test_an_address_is_read() -> None:
    target = parse_url("mysql://ann:p%40ss%2F@db.example:3307/shop")
    assert (target.host, target.port, target.user, target.password) == ("db.example", 3307, "ann", "p@ss/")
    assert target.place == "db.example:3307/shop"
    assert parse_url("mariadb://ann@localhost/shop?socket=/run/my.sock").place == "/run/my.sock/shop"


def test_a_marked_row_of_long_ago_is_forgotten(mysql_url: str) -> None:
    empty(mysql_url)
    run(mysql_url, "INSERT INTO commit_marks (writer, number, at_ms) VALUES ('old', 5, 1)")
    with contextlib.closing(MysqlEngine(parse_url(mysql_url), 0, lambda gene: True)) as engine:
        run_group(engine, [Call(0, work=works.put, args=("a",))])
        run(mysql_url, "DELETE FROM commit_marks")  # as another start would, were ours that old
        run_group(engine, [Call(0, work=works.put, args=("b",))])
    assert [row[0] for row in run(mysql_url, "SELECT number FROM commit_marks WHERE writer <> 'old'")] == [2]
