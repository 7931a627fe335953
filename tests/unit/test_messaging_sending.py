"""What goes to the broker: lanes, messages of one type, names, and reminders within bounds."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost import app
from tradepost.events import Moment, Reminder
from tradepost.infra.messaging import rocketmq_link, rocketmq_sending
from tradepost.infra.messaging.rocketmq_link import BrokerTrouble, GroupMissing, wire
from tradepost.infra.messaging.rocketmq_member import Arrived, Member
from tradepost.infra.messaging.rocketmq_reader import Reader, Weather
from tradepost.infra.messaging.rocketmq_reminders import AHEAD_MS, QUEUE_MAX, Reminding
from tradepost.infra.messaging.rocketmq_sending import by_type, lane_of
from tradepost.infra.messaging.topics import SUBSCRIPTIONS, Names, as_options, groups, topics
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout, invoicing, payments


def row_of(aggregate_id: str, version: int, kind: str = "a", payload: bytes = b"{}") -> EventRow:
    return EventRow(1, aggregate_id, version, kind, 1_000, payload, sequence=1)


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("abc")), max_size=60))
def test_a_lane_keeps_the_order_of_every_aggregate(draws: list[tuple[str, str]]) -> None:
    counts: dict[str, int] = defaultdict(int)
    rows = []
    for aggregate_id, kind in draws:
        counts[aggregate_id] += 1
        rows.append(row_of(aggregate_id, counts[aggregate_id], kind))
    messages = list(by_type(rows))
    assert all(len({row.type for row in message}) == 1 for message in messages)
    sent = [row for message in messages for row in message]
    assert sorted(sent, key=lambda row: row.event_id) == sorted(rows, key=lambda row: row.event_id)
    for aggregate_id, count in counts.items():
        assert [row.version for row in sent if row.aggregate_id == aggregate_id] == list(range(1, count + 1))


def test_a_message_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rocketmq_sending, "MESSAGE_BYTES", 100)
    assert [len(message) for message in by_type([row_of(f"a{n}", 1) for n in range(300)])] == [50] * 6
    monkeypatch.undo()
    assert [len(message) for message in by_type([row_of(f"a{n}", 1) for n in range(300)])] == [128, 128, 44]
    huge = [row_of("a", n, payload=b"x" * (300 << 10)) for n in (1, 2)]
    assert [len(message) for message in by_type(huge)] == [1, 1]


def test_a_shard_keeps_its_lane() -> None:
    lanes = [lane_of(shard) for shard in (0, 3, 15, 256)]
    # a change would break the order of what is under way
    assert lanes == ["lane-00", "lane-03", "lane-15", "lane-256"]


def test_the_declared_subscriptions_are_those_of_the_rooms() -> None:
    nothing = cast(Any, None)
    names = {each.name for each in app.consumers()}
    names |= {task.name for task in checkout.tasks(nothing, nothing)}
    names |= {task.name for task in payments.tasks(nothing, nothing, nothing)}
    names |= {task.name for task in invoicing.tasks(nothing, nothing, nothing)}
    assert sorted(names) == sorted(SUBSCRIPTIONS)


def test_names_are_what_a_broker_allows() -> None:
    names = [each.name for each in (*topics(), *groups())]
    assert len(set(names)) == len(names) - 2  # two topics share their name with the group that reads them
    assert all(name.replace("-", "").replace("_", "").isalnum() and len(name) < 100 for name in names)
    assert {topic.name for topic in topics(Names("other"))}.isdisjoint(topic.name for topic in topics())


def test_the_same_in_words() -> None:
    words = as_options(Names("t"), ["a.b"])
    assert words["topics"] == "t-events=FIFO/8 t-reminders=DELAY/4 t-dead-letters=NORMAL/1"
    assert words["groups"].split()[0] == "t-a-b=fifo/1000000"


class Sent:
    """A sender that only notes."""

    def __init__(self) -> None:
        self.sent: list[tuple[Reminder, int]] = []
        self.fails = False

    async def send_reminder(self, body: bytes, at_s: int) -> None:
        if self.fails:
            raise BrokerTrouble("away")
        self.sent.append((msgspec.json.decode(body, type=Reminder), at_s))


def reminding(world: TestWorld, sender: Sent) -> Reminding:
    found = Reminding(cast(Any, sender), Names(), world)
    found.listen([Moment("a", "due_at_ms", "sweep")], _hear)
    return found


async def _hear(_reminder: Reminder) -> None:
    pass


async def sent_by(reminders: Reminding) -> None:
    """Send what is queued."""
    stop = asyncio.Event()
    work = asyncio.ensure_future(reminders.run(stop))
    for _ in range(10_000):
        if reminders._waiting:
            await asyncio.sleep(0)
    stop.set()
    reminders._wake.set()
    await work


def due(at_ms: object) -> EventRow:
    return row_of("x", 1, payload=msgspec.json.encode({"due_at_ms": at_ms}))


async def test_moments_of_one_second_are_one_reminder(world: TestWorld) -> None:
    sender = Sent()
    reminders = reminding(world, sender)
    now_ms = world.now_ms() // 1_000 * 1_000
    reminders.note(0, [due(now_ms + 5_001), due(now_ms + 5_900), due(now_ms + 6_000), due(now_ms + 6_001)])
    reminders.note(1, [due(now_ms + 5_500)])
    await sent_by(reminders)
    assert [(each.shard, at_s - now_ms // 1_000) for each, at_s in sender.sent] == [(0, 6), (0, 7), (1, 6)]


async def test_a_moment_beyond_a_day_is_sent_on_from_there(world: TestWorld) -> None:
    sender = Sent()
    reminders = reminding(world, sender)
    at_ms = world.now_ms() + 3 * AHEAD_MS
    reminders.note(0, [due(at_ms), due(at_ms + 1)])
    await sent_by(reminders)
    (first,) = sender.sent
    assert first[0].at_ms % 60_000 == 0
    assert first[0].at_ms >= at_ms
    assert first[1] * 1_000 <= world.now_ms() + 86_400_000
    arrived = Arrived(msgspec.json.encode(first[0]), "", "", "", 1, {})
    assert await reminders.take([arrived]) == [arrived]
    assert reminders.gauges()["messaging_reminders_heard"] == 0


async def test_reminders_are_bounded_and_a_lost_one_is_nothing(world: TestWorld) -> None:
    sender = Sent()
    reminders = reminding(world, sender)
    reminders.note(0, [due(None), due("soon"), due(-1), row_of("x", 1, payload=b"[]"), row_of("x", 1)])
    assert not reminders._waiting
    reminders.note(0, [due(world.now_ms() + second * 1_000) for second in range(1, QUEUE_MAX + 11)])
    assert reminders.gauges()["messaging_reminders_dropped"] >= 9
    await sent_by(reminders)
    assert len(sender.sent) == QUEUE_MAX
    unreadable = Arrived(b"{", "", "", "", 1, {})
    assert await reminders.take([unreadable]) == [unreadable]


def test_a_missing_client_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ImportError(f"no {name}")

    monkeypatch.setattr(rocketmq_link, "importlib", SimpleNamespace(import_module=missing))
    wire.cache_clear()
    with pytest.raises(Refusal) as caught:
        wire()
    assert caught.value.code == "messaging.client_missing"
    wire.cache_clear()


def test_the_client_opens_no_file_in_the_home_folder() -> None:
    import logging
    import sys

    wire()
    assert sys.modules["rocketmq.v5.log"].__spec__ is None  # ours, not the one that opens a file
    handlers = logging.getLogger("rocketmq-python-client").handlers
    assert all(isinstance(handler, logging.NullHandler) for handler in handlers)


async def test_a_reader_rests_longer_while_the_broker_is_away(
    world: TestWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    stop = asyncio.Event()

    async def rest(waiting: Any, timeout_s: float) -> None:
        waiting.close()
        rests.append(timeout_s)
        if len(rests) == 8:
            stop.set()

    class Away:
        async def join(self) -> None:
            raise GroupMissing("no group") if len(rests) > 6 else BrokerTrouble("away")

        async def leave(self) -> None:
            pass

    monkeypatch.setattr(asyncio, "wait_for", rest)
    weather = Weather(world.now_ms)
    await Reader("g", lambda: cast(Member, Away()), cast(Any, None), weather, world.chance).run(stop)
    assert all(0.15 <= rest_s <= 5 for rest_s in rests[:7])
    assert rests[0] < 0.5 < rests[6]
    assert 7.5 <= rests[7] <= 15
    assert (weather.troubles, weather.is_fair) == (7, False)
    weather.fine()
    assert weather.is_fair
