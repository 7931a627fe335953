"""The broker in the wiring: its address, the timers it reminds of, the watch over the outbox, and who has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from tradepost import app
from tradepost.app.messaging import MOMENTS, OutboxWatch, broker_of, open_bus
from tradepost.app.wiring import SLOW_CONSUMERS
from tradepost.infra.messaging.rocketmq import RocketBus
from tradepost.infra.messaging.rocketmq_member import Arrived
from tradepost.infra.messaging.rocketmq_reader import Reader, Weather
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow, event_types
from tradepost.kernel.tx import Tx
from tradepost.settings import MessagingSettings, Settings
from tradepost.testing.world import TestWorld
from tradepost.trade import aftersales, orders


def settings_of(url: str, **bounds: int) -> Settings:
    return Settings(messaging=MessagingSettings(url=url, **bounds))


def test_an_address_names_host_account_and_prefix() -> None:
    endpoint, names = broker_of(settings_of("rocketmq://127.0.0.1:18081"))
    assert (endpoint.address, endpoint.access_key, endpoint.tls) == ("127.0.0.1:18081", "", False)
    assert names.events == "tradepost-events"
    endpoint, names = broker_of(settings_of("rocketmq://who:p%40ss@[::1]:9000/second?tls=1&namespace=eu"))
    assert endpoint.address == "[::1]:9000"
    assert (endpoint.access_key, endpoint.secret_key) == ("who", "p@ss")
    assert (endpoint.tls, endpoint.namespace, names.prefix) == (True, "eu", "second")


@pytest.mark.parametrize(
    "url",
    ["kafka://h:1", "rocketmq://h", "rocketmq://:1", "rocketmq://h:no", "rocketmq://h:1?speed=2", "nonsense"],
)
def test_another_address_is_refused_in_words(url: str) -> None:
    with pytest.raises(Refusal, match=r"settings\.invalid") as caught:
        broker_of(settings_of(url))
    assert "rocketmq://host:port" in caught.value.expected


async def test_without_an_address_there_is_no_bus_and_with_one_nothing_is_connected_yet(
    world: TestWorld,
) -> None:
    async with open_bus(Settings(), world) as bus:
        assert bus is None
    async with open_bus(settings_of("rocketmq://127.0.0.1:9"), world) as bus:
        assert isinstance(bus, RocketBus)
        assert bus.is_shared


def test_every_moment_names_a_field_of_its_event_and_a_sweep_that_there_is() -> None:
    nothing = cast(Any, None)
    known = {sweep.name for sweep in [*orders.sweeps(nothing, nothing), *aftersales.sweeps(nothing, nothing)]}
    for moment in MOMENTS:
        assert moment.field in {field.name for field in msgspec.structs.fields(event_types()[moment.type])}
        assert moment.sweep in known


def test_who_may_be_held_back_is_a_consumer_of_the_shop() -> None:
    assert {consumer.name for consumer in app.consumers()} >= SLOW_CONSUMERS


def emit(tx: Tx, rows: Sequence[EventRow]) -> None:
    tx.emit(rows)


async def test_the_outbox_watch_rings_in_words_and_numbers_and_is_silent_again(
    db: SqliteStorage, world: TestWorld
) -> None:
    watch = OutboxWatch(db, world, MessagingSettings(alarm_age_ms=1_000, alarm_events=3))
    assert (watch.gauges(), watch.warnings()) == ({}, {})
    long_ago = EventRow(1, "ord_1", 1, "noted.v1", 5, b"{}")
    await db.transact(0, emit, [long_ago])
    await watch.look()
    assert watch.gauges() == {"outbox_alarm": 0}, "a history that is entered now has not waited since then"
    world.advance(1_001)
    await watch.look()
    assert watch.gauges() == {"outbox_alarm": 1}
    assert "1 events wait to be sent, the oldest for 1 s" in watch.warnings()["outbox"]
    await db.transact(0, move, 1)
    await watch.look()
    assert (watch.gauges(), watch.warnings()) == ({"outbox_alarm": 0}, {})
    rows = [EventRow(1, "ord_1", n, "noted.v1", world.now_ms(), b"{}") for n in range(2, 6)]
    await db.transact(0, emit, rows)
    await watch.look()
    assert watch.gauges() == {"outbox_alarm": 1}, "too many are as bad as too old ones"


def move(tx: Tx, sequence: int) -> None:
    sql = "INSERT INTO relay_cursors (shard, relay, sequence, owner, lease_until_ms) VALUES (0,'main',?,'',0)"
    tx.execute(sql, (sequence,))


async def test_the_watch_outlives_a_database_that_cannot_be_read(
    db: SqliteStorage, world: TestWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch, stop = OutboxWatch(db, world, MessagingSettings()), asyncio.Event()

    async def refuse(*_: Any) -> Any:
        stop.set()
        raise Refusal("storage.unavailable", "The server is away.")

    monkeypatch.setattr(db, "read", refuse)
    await asyncio.wait_for(watch.run(stop), 5)
    assert "the outbox cannot be read" in caplog.text


class Page:
    """A member that has one page at each asking."""

    brokers = [type("Queue", (), {"broker": type("Broker", (), {"name": "a"})})]  # noqa: RUF012

    def __init__(self) -> None:
        self.asked = 0

    async def join(self) -> None: ...

    async def leave(self) -> None: ...

    async def acknowledge(self, page: Sequence[Arrived]) -> None: ...

    async def keep(self, ended: asyncio.Event) -> None:
        await ended.wait()

    async def receive(self, broker: Any, attempt_id: str) -> list[Arrived]:
        self.asked += 1
        await asyncio.sleep(0)
        return [Arrived(b"", "", "m", "r", 1, {})]


async def test_a_subscription_that_is_held_back_asks_for_nothing_until_it_may(world: TestWorld) -> None:
    held, member, stop, taken = [True], Page(), asyncio.Event(), asyncio.Event()

    async def take(page: Sequence[Arrived]) -> Sequence[Arrived]:
        taken.set()
        stop.set()
        return page

    reader = Reader(
        "slow", cast(Any, lambda: member), take, Weather(world.now_ms), world.chance, lambda: held[0]
    )
    running = asyncio.ensure_future(reader.run(stop))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(taken.wait(), 0.3)
    assert (reader.is_reading, member.asked) == (True, 0)
    held[0] = False
    await asyncio.wait_for(running, 5)
    assert taken.is_set()
