"""The message broker, wired: the bus by its address, the timers it reminds of, and the watch over the outbox."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from tradepost.events import Moment, Outbox, OutboxAlarm, read_outbox
from tradepost.infra.messaging.rocketmq import RocketBus
from tradepost.infra.messaging.rocketmq_link import Endpoint
from tradepost.infra.messaging.topics import PREFIX, Names
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.settings import MessagingSettings, Settings

MOMENTS = (
    Moment("order.placed.v1", "deadline_at_ms", "orders.deadlines"),
    Moment("order.paid.v1", "deadline_at_ms", "orders.deadlines"),
    Moment("order.delivered.v1", "deadline_at_ms", "orders.deadlines"),
    Moment("order.released.v1", "ship_by_at_ms", "aftersales.ship_by"),
)
"""Events that name when a sweep of their shard has work; the column stays the truth."""
LOOK_EVERY_S = 2.0
LOOK_S = 2.0

log = logging.getLogger("tradepost.messaging")


def broker_of(settings: Settings) -> tuple[Endpoint, Names]:
    """The broker and the names on it, of `rocketmq://[access:secret@]host:port[/prefix][?tls=1&namespace=...]`.

    The prefix of topics and groups is `tradepost` where none is given. Raises Refusal `settings.invalid`.
    """
    try:
        found = urlsplit(settings.messaging.url)
        port = found.port
    except ValueError:  # its words may quote the secret
        raise _unfit("its host or port cannot be read; escape / @ and : in the secret with %") from None
    asked = {name: values[-1] for name, values in parse_qs(found.query).items()}
    if (
        found.scheme != "rocketmq"
        or not found.hostname
        or port is None
        or asked.keys() - {"tls", "namespace"}
    ):
        raise _unfit("it is not the address of a RocketMQ proxy")
    host = f"[{found.hostname}]" if ":" in found.hostname else found.hostname
    endpoint = Endpoint(
        address=f"{host}:{port}",
        access_key=unquote(found.username or ""),
        secret_key=unquote(found.password or ""),
        namespace=asked.get("namespace", ""),
        tls=asked.get("tls", "") in ("1", "true", "yes"),
    )
    return endpoint, Names(found.path.strip("/") or PREFIX)


def _unfit(words: str) -> Refusal:
    return Refusal(
        "settings.invalid",
        f"messaging.url: {words}.",
        field="messaging.url",
        expected="rocketmq://host:port of the proxy, such as rocketmq://127.0.0.1:18081",
    )


@contextlib.asynccontextmanager
async def open_bus(
    settings: Settings, world: World, *, held: Callable[[str], bool] = lambda _: False
) -> AsyncIterator[RocketBus | None]:
    """The bus of a process that works, closed in the end; None delivers inside the process.

    Nothing is connected yet: ask `check` once everything has subscribed. `held(subscription)` tells who has to wait
    for now. Raises Refusal `settings.invalid`.
    """
    if not settings.messaging.url:
        yield None
        return
    endpoint, names = broker_of(settings)
    bus = RocketBus(endpoint, world, names, held=held)
    try:
        yield bus
    finally:
        await bus.close()


class OutboxWatch:
    """Looks every 2 s how much of the outbox no bus has taken yet, and says in log, metrics and health what is late.

    Every process may have one, those that only take orders too: they go on taking them. What waited before it began
    counts from there, for a history may be entered with moments of long ago. While the database cannot be read the
    last look stands.
    """

    def __init__(self, db: Storage, world: World, bounds: MessagingSettings) -> None:
        self._db = db
        self._world = world
        self._alarm = OutboxAlarm(bounds.alarm_age_ms, bounds.alarm_events)
        self._seen: Mapping[str, int] = {}
        self._since_ms = world.now_ms()

    async def run(self, stop: asyncio.Event) -> None:
        """Look until told to stop."""
        while not stop.is_set():
            try:
                async with asyncio.timeout(LOOK_S):
                    await self.look()
            except (Refusal, TimeoutError) as error:
                log.warning("the outbox cannot be read: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_EVERY_S)

    async def look(self) -> None:
        """Look once. Raises Refusal `storage.*` while the database cannot be read."""
        found: list[Outbox] = []
        for shard in range(self._db.shards):
            outbox = await self._db.read(shard, read_outbox)
            since_ms = max(outbox.oldest_at_ms, self._since_ms) if outbox.oldest_at_ms else 0
            found.append(Outbox(outbox.waiting, since_ms))
        self._seen = self._alarm.look(found, self._world.now_ms())

    def gauges(self) -> Mapping[str, int]:
        """`outbox_alarm`: 1 while the outbox is later or longer than it should be."""
        return {"outbox_alarm": self._seen["outbox_alarm"]} if self._seen else {}

    def warnings(self) -> Mapping[str, str]:
        """What health tells although traffic is welcome, by name."""
        if not self._seen.get("outbox_alarm"):
            return {}
        events, seconds = self._seen["outbox_events"], self._seen["outbox_age_ms"] // 1_000
        return {"outbox": f"{events} events wait to be sent, the oldest for {seconds} s; orders are taken."}
