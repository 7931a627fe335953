"""RocketMQ alone: a broker that dies, what it lacks, what nobody can read, and reminders."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.contract.messaging_floor import NOTED, Effects, Floor, by_aggregate, row_of, until

from tradepost.events import Moment, OutboxAlarm, envelope, read_outbox
from tradepost.infra.messaging.rocketmq import RocketBus
from tradepost.infra.messaging.rocketmq_admin import Admin, create
from tradepost.infra.messaging.rocketmq_letters import discard_unread, replay_unread, unread_letters
from tradepost.infra.messaging.rocketmq_link import Endpoint, Link
from tradepost.infra.messaging.rocketmq_reader import Weather
from tradepost.infra.messaging.rocketmq_sending import Sender
from tradepost.infra.messaging.topics import Group, Kind, Names, Topic, groups, topics
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Sweep
from tradepost.services import running
from tradepost.services.model import Server
from tradepost.services.testing import pids, start

pytestmark = pytest.mark.server("rocketmq")


@pytest.fixture
async def floor(db: SqliteStorage, broker: Server) -> AsyncIterator[Floor]:
    """A floor on the shared broker."""
    stage = Floor(db, broker)
    yield stage
    await stage.close()


async def test_a_broker_killed_under_load_loses_nothing_and_keeps_the_order(
    db: SqliteStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    with running("rocketmq", folder=tmp_path) as servers:
        floor = Floor(db, servers["rocketmq"])
        effects = Effects()
        runtime = await floor.start([effects.consumer])
        stop = asyncio.Event()
        load = asyncio.ensure_future(_emit_until(floor, stop))
        await floor.arrived(50)
        killed_at_ms = floor.world.now_ms()
        for pid in pids("rocketmq", tmp_path).values():
            os.kill(pid, signal.SIGKILL)
        await until(lambda: not runtime.bus_gauges()["messaging_up"])
        await _outbox_holds(floor, 100)  # orders go on being taken
        alarm = OutboxAlarm(age_ms_max=500)
        gauges = alarm.look([await db.read(0, read_outbox)], floor.world.now_ms() + 500)
        assert gauges["outbox_alarm"] == 1
        await asyncio.to_thread(start, "rocketmq", tmp_path)
        await until(lambda: runtime.bus_gauges()["messaging_up"])
        stop.set()
        versions = await load
        found = await floor.arrived(20 * versions)
        assert len(found) == len(set(found)) == 20 * versions
        assert by_aggregate(found) == {f"a{n}": list(range(1, versions + 1)) for n in range(20)}
        gauges = alarm.look([await db.read(0, read_outbox)], floor.world.now_ms())
        assert gauges == {"outbox_events": 0, "outbox_age_ms": 0, "outbox_alarm": 0}
        down_ms = floor.world.now_ms() - killed_at_ms
        await floor.close()
    said = [line for line in caplog.records if line.name.startswith("tradepost")]
    assert len(said) < 20 + down_ms / 1_000, [line.getMessage() for line in said]  # no hot loop
    assert "Traceback" not in capfd.readouterr().err


async def _emit_until(floor: Floor, stop: asyncio.Event) -> int:
    version = 0
    while not stop.is_set():
        version += 1
        await floor.emit(*(row_of(f"a{n}", version) for n in range(20)))
        await asyncio.sleep(0.1)
    return version


async def _outbox_holds(floor: Floor, events: int) -> None:
    for _ in range(1_000):
        if (await floor.db.read(0, read_outbox)).waiting >= events:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the outbox does not grow")


async def test_a_start_says_what_the_broker_lacks(floor: Floor) -> None:
    nothing = Names(f"{floor.names.prefix}x")
    bus = RocketBus(floor.endpoint, floor.world, nothing)
    with pytest.raises(Refusal) as caught:
        await bus.run(asyncio.Event())
    await bus.close()
    assert caught.value.code == "messaging.missing"
    assert f"{nothing.events} (FIFO)" in caught.value.detail
    bus = RocketBus(floor.endpoint, floor.world, floor.names)
    bus.subscribe("some.consumer", [NOTED], _deliver)
    await floor.declare("another.consumer")
    with pytest.raises(Refusal) as caught:
        await bus.check()
    assert caught.value.extra["missing"] == [f"the group {floor.names.prefix}-some-consumer"]
    await asyncio.to_thread(
        create,
        f"127.0.0.1:{_port(floor, 'broker')}",
        floor.names,
        wanted_groups=[Group(floor.names.group("some.consumer"), is_ordered=False)],
    )
    with pytest.raises(Refusal, match="the order of the group"):
        await bus.check()
    await floor.declare("some.consumer")
    await bus.check()
    await bus.close()


async def _deliver(_shard: int, _rows: Sequence[Any], _upto: int) -> None:
    pass


def _port(floor: Floor, purpose: str) -> int:
    assert floor.broker is not None
    return floor.broker.ports[purpose]


async def test_a_broker_that_is_away_at_the_start_is_waited_for(floor: Floor) -> None:
    bus = RocketBus(Endpoint(address="127.0.0.1:9"), floor.world, floor.names)
    await bus.check()
    assert bus.gauges()["messaging_up"] == 0
    await bus.close()
    with pytest.raises(Refusal, match=r"messaging\.unavailable"):
        await unread_letters(Endpoint(address="127.0.0.1:9"))


async def test_topics_and_groups_are_created_twice_without_harm(floor: Floor) -> None:
    address = f"127.0.0.1:{_port(floor, 'broker')}"
    for _ in range(2):
        await floor.declare("a.consumer", "another")
    with Admin(address) as admin:
        kinds, ordered = admin.topics(), admin.groups()
        assert admin.offset(floor.names.group("a.consumer"), floor.names.events, 0) == 0
    assert {topic.name: kinds[topic.name] for topic in topics(floor.names)} == {
        floor.names.events: "FIFO",
        floor.names.reminders: "DELAY",
        floor.names.letters: "NORMAL",
    }
    for group in groups(floor.names, ["a.consumer", "another"]):
        assert ordered[group.name] is group.is_ordered
    wrong = [Topic(floor.names.events, Kind.NORMAL, 1)]
    with pytest.raises(Refusal, match="cannot be changed"):
        await asyncio.to_thread(create, address, floor.names, wanted_topics=wrong, wanted_groups=[])


async def test_a_group_misses_nothing_that_was_sent_before_it_looked(floor: Floor) -> None:
    await floor.start([Effects("first").consumer])
    await floor.emit(*(row_of(f"a{n}", 1) for n in range(20)))
    await floor.arrived(20, "first")
    await floor.declare("second")
    await floor.emit(*(row_of(f"a{n}", 2) for n in range(20)))
    await floor.arrived(40, "first")
    await floor.start([Effects("second").consumer], owner="late")
    assert by_aggregate(await floor.arrived(20, "second")) == {f"a{n}": [2] for n in range(20)}


async def test_what_nobody_can_read_is_a_dead_letter_of_the_broker(floor: Floor) -> None:
    await floor.start([Effects().consumer])
    link = Link(floor.endpoint, floor.world)
    sender = Sender(lambda: link, floor.names, Weather(floor.world.now_ms))
    lost = row_of("lost", 1)
    unreadable = envelope.wrap(0, [lost])[1].replace(b'"specversion":"1.0"', b'"specversion":"9.0"')
    await sender.resend(0, envelope.ONE, unreadable, NOTED)
    await floor.emit(row_of("fine", 1))
    assert await floor.arrived(1) == ["fine.1"]
    (letter,) = await unread_letters(floor.endpoint, floor.names)
    assert (letter.subscription, letter.type, letter.body) == ("effects", NOTED, unreadable)
    assert "specversion" in letter.error
    with pytest.raises(Refusal, match=r"events\.dead_letter_unknown"):
        await discard_unread(floor.endpoint, "none", floor.names)
    assert await _again(lambda: discard_unread(floor.endpoint, letter.letter_id, floor.names))
    # one that can be read by now: it is sent again, and arrives
    body = envelope.wrap(0, [msgspec.structs.replace(lost, sequence=1_000)])[1]
    await sender.send_letter("effects", body, NOTED, "read by a newer version")
    assert await _again(lambda: replay_unread(floor.endpoint, floor.names))
    assert "lost.1" in await floor.arrived(2)
    await link.close()


async def _again(ask: Any) -> Any:
    """A letter that somebody looked at is out of sight for ten seconds."""
    for _ in range(20):
        try:
            if found := await ask():
                return found
        except Refusal as refusal:
            if refusal.code != "events.dead_letter_unknown":
                raise
    raise AssertionError("the letter did not come back")


async def test_a_reminder_starts_the_sweep_when_its_moment_comes(floor: Floor) -> None:
    swept: list[int] = []

    def due(_tx: Any, now_ms: int, _limit: int) -> list[str]:
        return ["due"] if now_ms >= at_ms else []

    async def act(_items: Sequence[Any]) -> None:
        swept.append(floor.world.now_ms())

    at_ms = floor.world.now_ms() + 3_000
    hourly = Sweep("patient", due, act, every_ms=3_600_000)
    runtime = await floor.start(
        [Effects().consumer], sweeps=[hourly], moments=[Moment(NOTED, "due_at_ms", "patient")]
    )
    payload = b'{"due_at_ms":%d}' % at_ms
    await floor.emit(*(row_of(f"a{n}", 1, payload=payload) for n in range(5)))
    await until(lambda: swept)
    assert 0 <= swept[0] - at_ms < 3_000
    assert runtime.bus_gauges()["messaging_reminders_sent"] == 1
