"""The bus port on RocketMQ 5: events go out by lanes, come in by consumer groups, and reminders by delay messages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tradepost.events import envelope
from tradepost.events.bus import Deliver, Hear, Moment
from tradepost.infra.messaging.rocketmq_checks import look_for
from tradepost.infra.messaging.rocketmq_link import BrokerTrouble, Endpoint, Link
from tradepost.infra.messaging.rocketmq_member import INVISIBLE_S, Arrived, Member
from tradepost.infra.messaging.rocketmq_reader import Reader, Weather
from tradepost.infra.messaging.rocketmq_reminders import Reminding
from tradepost.infra.messaging.rocketmq_sending import Sender
from tradepost.infra.messaging.topics import Names
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow
from tradepost.kernel.world import World

PAGE_ROWS = 512
PATIENCE_S = INVISIBLE_S - 2
PAUSE_S = 0.1

log = logging.getLogger("tradepost.messaging")


class RocketBus:
    """See `events.Bus`. Everything runs on one event loop; `run` reads, `publish` works without it.

    A page that the database cannot take is tried again for 8 s, then the broker repeats it after 10 s; no event is
    given up by the broker. What cannot be read at all goes to the dead-letter topic. While `held(subscription)` says
    so a subscription reads nothing more, and what it wants waits in the broker.
    """

    is_shared = True

    def __init__(
        self,
        endpoint: Endpoint,
        world: World,
        names: Names | None = None,
        *,
        held: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._endpoint = endpoint
        self._held = held
        self._world = world
        self._names = names or Names()
        self._weather = Weather(world.now_ms)
        self._opened: Link | None = None
        self._sender = Sender(self._link, self._names, self._weather)
        self._subscriptions: list[tuple[str, tuple[str, ...], Deliver]] = []
        self._reminding = Reminding(self._sender, self._names, world)
        self._readers: list[Reader] = []
        self._counts: dict[str, int] = defaultdict(int)
        self._checked = False

    def subscribe(self, name: str, types: Sequence[str], deliver: Deliver) -> None:
        """See `Bus.subscribe`."""
        self._subscriptions.append((name, tuple(types), deliver))

    def listen(self, moments: Sequence[Moment], hear: Hear) -> None:
        """See `Bus.listen`."""
        self._reminding.listen(moments, hear)

    async def publish(self, shard: int, rows: Sequence[EventRow], upto: int) -> None:
        """See `Bus.publish`. Raises BrokerTrouble when the broker does not have all of them for certain."""
        await self._sender.send_events(shard, rows)
        self._counts["published"] += len(rows)
        self._reminding.note(shard, rows)

    async def run(self, stop: asyncio.Event) -> None:
        """See `Bus.run`."""
        if not self._checked:
            await self.check()
        self._readers = [self._reader(*subscription) for subscription in self._subscriptions]
        reminders = self._group(
            self._names.reminders, self._names.reminding, (), self._reminding.take, lambda: False
        )
        works = [
            *(reader.run(stop) for reader in self._readers),
            reminders.run(stop),
            self._reminding.run(stop),
        ]
        await asyncio.gather(*works)

    async def check(self) -> None:
        """Raise Refusal `messaging.missing` naming the topics and groups this process needs and the broker lacks.

        A broker that does not answer is no reason to refuse: it may come back. Call it when all have subscribed.
        """
        self._checked = True
        groups = [self._names.group(name) for name, _, _ in self._subscriptions]
        try:
            await look_for(self._link(), self._names, groups)
        except BrokerTrouble as error:
            self._weather.trouble(error)

    async def close(self) -> None:
        """Give the connection back; nothing may be under way."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    def gauges(self) -> Mapping[str, int]:
        """See `Bus.gauges`."""
        return {
            "messaging_up": int(self._weather.is_fair),
            "messaging_troubles": self._weather.troubles,
            "messaging_groups_reading": sum(reader.is_reading for reader in self._readers),
            "messaging_groups": len(self._subscriptions),
            **{
                f"messaging_{name}": self._counts[name]
                for name in ("published", "received", "repeated", "unreadable")
            },
            **self._reminding.gauges(),
        }

    def _link(self) -> Link:
        if self._opened is None:
            self._opened = Link(self._endpoint, self._world)
        return self._opened

    def _reader(self, name: str, types: tuple[str, ...], deliver: Deliver) -> Reader:
        take = partial(self._take, name, deliver)
        return self._group(self._names.events, self._names.group(name), types, take, lambda: self._held(name))

    def _group(
        self, topic: str, group: str, tags: tuple[str, ...], take: Any, held: Callable[[], bool]
    ) -> Reader:
        def member() -> Member:
            return Member(self._link(), topic, group, tags, is_ordered=topic == self._names.events)

        return Reader(group, member, take, self._weather, self._world.chance, held)

    async def _take(self, name: str, deliver: Deliver, page: Sequence[Arrived]) -> Sequence[Arrived]:
        """Deliver a page; the messages that are dealt with, none of them when the database cannot take it."""
        rows: dict[int, list[EventRow]] = defaultdict(list)
        done: list[Arrived] = []
        for arrived in page:
            self._counts["repeated"] += arrived.attempt > 1
            try:
                events = envelope.unwrap(arrived.body)
            except ValueError as error:
                if await self._set_aside(name, arrived, error):
                    done.append(arrived)
            else:
                done.append(arrived)
                self._counts["received"] += len(events)
                for shard, row in events:
                    rows[shard].append(row)
        for shard, of_shard in sorted(rows.items()):
            for start in range(0, len(of_shard), PAGE_ROWS):
                if not await self._deliver(name, deliver, shard, of_shard[start : start + PAGE_ROWS]):
                    return ()  # consumers know what they had, so the whole page may come again
        return done

    async def _deliver(self, name: str, deliver: Deliver, shard: int, rows: Sequence[EventRow]) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_S
        pause_s = PAUSE_S
        while True:
            try:
                await deliver(shard, rows, 0)
                return True
            except Exception as error:
                if loop.time() + pause_s > until:
                    log.warning("%s waits to be delivered again: %s", name, error)
                    return False
                await asyncio.sleep(pause_s)
                pause_s *= 2

    async def _set_aside(self, name: str, arrived: Arrived, error: Exception) -> bool:
        try:
            await self._sender.send_letter(name, arrived.body, arrived.tag, str(error))
        except BrokerTrouble as trouble:
            self._weather.trouble(trouble)
            return False
        self._counts["unreadable"] += 1
        log.error("%s got a message that nobody can read; it is a dead letter now: %s", name, error)
        return True


@contextlib.asynccontextmanager
async def linked(endpoint: Endpoint, world: World) -> AsyncIterator[Link]:
    """A connection for a command. Raises Refusal `messaging.unavailable` when the broker fails in between."""
    link = Link(endpoint, world)
    try:
        yield link
    except BrokerTrouble as error:
        raise Refusal("messaging.unavailable", str(error)) from error
    finally:
        await link.close()
