"""The whole shop behind a real broker: processes that take orders, processes that work, and a broker that dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.broker_shop import PROBE, BrokerShop, until, versions

from tradepost.events import envelope
from tradepost.infra.messaging.rocketmq_link import Endpoint, Link
from tradepost.infra.messaging.rocketmq_member import Member
from tradepost.infra.messaging.rocketmq_reader import Weather
from tradepost.infra.messaging.rocketmq_sending import Sender
from tradepost.infra.messaging.topics import SUBSCRIPTIONS
from tradepost.kernel.events import EventRow
from tradepost.kernel.world import SystemWorld
from tradepost.services import running
from tradepost.services.model import Server
from tradepost.services.testing import pids, start

pytestmark = [pytest.mark.server("rocketmq"), pytest.mark.server("mariadb")]


@pytest.fixture
def shop(tmp_path: Path, mysql_url: str, broker: Server) -> Iterator[BrokerShop]:
    """A shop on the shared broker, its topics and groups created."""
    with_topics = BrokerShop(tmp_path, mysql_url, broker)
    with_topics.declare()
    yield with_topics
    with_topics.close()


def test_an_order_taken_by_one_process_is_worked_on_by_another_through_the_broker(shop: BrokerShop) -> None:
    shop.start_api()
    (order_id,) = shop.place(1)
    assert shop.unpaid() == 1, "nobody works yet"
    assert shop.ready() == (200, shop.ready()[1])
    shop.start_work()
    until(shop.drained, "the order is worked on")
    assert shop.sql("SELECT order_id FROM orders WHERE state <> 'UNPAID'") == [(order_id,)]
    consumed = {name for (name,) in shop.sql("SELECT DISTINCT consumer FROM inbox WHERE state = 'DONE'")}
    assert {"orders.payments", "inventory.reserve", "orders.seller_view"} <= consumed
    events = shop.sql("SELECT COUNT(*) FROM events")[0][0]
    assert shop.number("messaging_published_total") == events, "the relay gave the broker every event"
    assert shop.number("messaging_received_total") >= len(consumed)
    assert shop.number("messaging_reminders_sent_total") >= 1, "the order's deadline is a delay message too"
    assert shop.number("messaging_up") == 1
    assert shop.stop("work") == 0
    assert shop.stop("api") == 0


def test_a_work_process_says_what_the_broker_lacks_and_does_not_start(
    tmp_path: Path, mysql_url: str, broker: Server
) -> None:
    shop = BrokerShop(tmp_path, mysql_url, broker)
    ended = shop.run("work")
    assert ended.returncode == 3
    assert f"messaging.missing: The broker lacks the topic {shop.names.events} (FIFO)" in ended.stderr
    shop = BrokerShop(tmp_path, mysql_url, broker, MESSAGING__URL="kafka://127.0.0.1:9092")
    ended = shop.run("work")
    assert ended.returncode == 3
    assert "settings.invalid: messaging.url" in ended.stderr


def test_pages_that_come_again_change_nothing(shop: BrokerShop) -> None:
    shop.start_api()
    shop.start_work()
    shop.place(8)
    until(shop.drained, "the orders are worked on")
    assert shop.stop("work") == 0
    before, (events,) = shop.books(), shop.sql("SELECT COUNT(*) FROM events")[0]
    shop.sql("UPDATE relay_cursors SET sequence = 0, lease_until_ms = 0 WHERE relay = 'main'")
    shop.start_work("again")
    until(lambda: shop.number("messaging_published_total") >= events, "everything was sent again")
    until(lambda: shop.number("messaging_received_total") >= 8 * 3, "everything was read again")
    assert shop.stop("again") == 0
    assert shop.books() == before


def test_letters_of_the_broker_are_listed_and_replayed_by_command(shop: BrokerShop) -> None:
    shop.start_api()
    shop.start_work()
    shop.place(1)
    until(shop.drained, "the order is worked on")
    (row,) = shop.sql("SELECT aggregate_id, version, at_ms FROM events WHERE type = 'order.paid.v1'")
    fact = EventRow(1, row[0], row[1], "order.paid.v1", row[2], b"{}")
    unreadable = envelope.wrap(0, [fact])[1].replace(b'"specversion":"1.0"', b'"specversion":"9.0"')
    asyncio.run(_send(shop, unreadable))
    until(lambda: shop.number("messaging_unreadable_total") >= 1, "somebody met what nobody can read")
    found: list[dict[str, str]] = []

    def listed() -> bool:
        ended = shop.run("letters", "list", "--broker", "--json")
        assert ended.returncode == 0, ended.stderr
        found[:] = msgspec.json.decode(ended.stdout)
        return bool(found)

    until(listed, "the letter is listed")
    assert (found[0]["type"], found[0]["body"]) == ("order.paid.v1", unreadable.decode())
    ended = shop.run("letters", "replay", "--broker", "--json")
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), "this version cannot read it either"
    letter_id = found[0]["letter_id"]  # out of sight for 10 s after each look
    until(lambda: shop.run("letters", "discard", letter_id).returncode == 0, "it is taken off")
    ended = shop.run("letters", "list", "--json", "--server", _address(shop))
    assert msgspec.json.decode(ended.stdout) == {"items": []}, "the database has no dead letters"


def _address(shop: BrokerShop) -> str:
    return f"http://127.0.0.1:{shop.port}"


def _endpoint(shop: BrokerShop) -> Endpoint:
    return Endpoint(address=f"127.0.0.1:{shop.broker.ports['grpc']}")


async def _send(shop: BrokerShop, body: bytes) -> None:
    world = SystemWorld()
    link = Link(_endpoint(shop), world)
    sender = Sender(lambda: link, shop.names, Weather(world.now_ms))
    await sender.resend(0, envelope.ONE, body, "order.paid.v1")
    await link.close()


def test_a_killed_broker_stops_no_order_and_loses_no_event(tmp_path: Path, mysql_url: str) -> None:
    with running("rocketmq", folder=tmp_path / "broker") as servers:
        shop = BrokerShop(tmp_path, mysql_url, servers["rocketmq"], MESSAGING__ALARM_AGE_MS="500")
        shop.declare()
        try:
            shop.start_api()
            shop.start_work()
            shop.place(5)
            until(shop.drained, "the first orders are worked on")
            for pid in pids("rocketmq", tmp_path / "broker").values():
                os.kill(pid, signal.SIGKILL)
            shop.place(30)
            assert shop.unpaid() == 30, "orders are taken, and what follows waits"
            assert shop.number("outbox_lag_events") >= 60
            until(lambda: shop.number("outbox_alarm") == 1, "the alarm rings")
            until(lambda: shop.number("messaging_up") == 0, "the broker is said to be away")
            status, told = shop.ready()
            assert status == 200, "traffic is welcome"
            assert "orders are taken" in told["alarms"]["outbox"]
            assert "the outbox is behind" in shop.words("api")
            start("rocketmq", tmp_path / "broker")
            shop.place(5)
            until(shop.drained, "everything is worked on", 120)
            until(lambda: shop.number("outbox_alarm") == 0, "the alarm is over")
            until(lambda: shop.number("messaging_groups_reading") == len(SUBSCRIPTIONS), "every group reads")
            assert shop.sql("SELECT COUNT(*) FROM orders") == [(40,)]
            _compare(shop, asyncio.run(_everything(shop)))
            assert shop.number("dead_letters") == 0
        finally:
            shop.close()


def _compare(shop: BrokerShop, read: list[tuple[str, int]]) -> None:
    """Somebody who reads the topic has every event of the database, each aggregate's in order."""
    written = shop.sql("SELECT aggregate_id, version FROM events ORDER BY sequence")
    assert versions(read) == {one: sorted(found) for one, found in versions(written).items()}


async def _everything(shop: BrokerShop) -> list[tuple[str, int]]:
    """(aggregate, version) of all that a group of its own is given, as it comes."""
    link = Link(_endpoint(shop), SystemWorld())
    member = Member(link, shop.names.events, shop.names.group(PROBE), (), is_ordered=True, poll_s=2)
    found: list[tuple[str, int]] = []
    try:
        await member.join()
        while page := await member.receive(member.brokers[0], ""):
            for arrived in page:
                found += [(row.aggregate_id, row.version) for _, row in envelope.unwrap(arrived.body)]
            await member.acknowledge(page)
    finally:
        await member.leave()
        await link.close()
    return found
