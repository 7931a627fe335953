"""Reminders: a due moment as a delay message. The database keeps the moment; losing a reminder costs nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping, Sequence

import msgspec

from tradepost.events.bus import Hear, Moment, Reminder
from tradepost.infra.messaging.rocketmq_link import BrokerTrouble
from tradepost.infra.messaging.rocketmq_member import Arrived
from tradepost.infra.messaging.rocketmq_sending import Sender
from tradepost.infra.messaging.topics import Names
from tradepost.kernel.events import EventRow
from tradepost.kernel.world import World

AHEAD_MS = 86_000_000
MINUTE_MS = 60_000
QUEUE_MAX = 1_024
REMEMBER_MAX = 8_192

log = logging.getLogger("tradepost.messaging")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Reminder).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Reminding:
    """Publishes moments behind the events and hands on what arrives.

    One reminder a sweep, shard and second (a minute, when it is a day away): what falls together is swept together.
    At most 1,024 wait to be sent; further ones are dropped and counted, for the sweeps look by themselves.
    """

    def __init__(self, sender: Sender, names: Names, world: World) -> None:
        self._sender = sender
        self._names = names
        self._world = world
        self._moments: dict[str, list[Moment]] = defaultdict(list)
        self._hear: Hear | None = None
        self._known: OrderedDict[Reminder, None] = OrderedDict()
        self._waiting: deque[Reminder] = deque()
        self._wake = asyncio.Event()
        self._counts = {"reminders_sent": 0, "reminders_heard": 0, "reminders_dropped": 0}

    def listen(self, moments: Sequence[Moment], hear: Hear) -> None:
        """See `Bus.listen`."""
        for moment in moments:
            self._moments[moment.type].append(moment)
        self._hear = hear

    def gauges(self) -> Mapping[str, int]:
        """How many reminders were sent, heard and dropped."""
        return {f"messaging_{name}": count for name, count in self._counts.items()}

    def note(self, shard: int, rows: Sequence[EventRow]) -> None:
        """Queue the moments these events name."""
        for row in rows:
            for moment in self._moments.get(row.type, ()):
                at_ms = _moment_in(row.payload, moment.field)
                if at_ms > self._world.now_ms():
                    self._put(Reminder(sweep=moment.sweep, shard=shard, at_ms=at_ms))

    def _put(self, reminder: Reminder) -> None:
        step_ms = MINUTE_MS if reminder.at_ms - self._world.now_ms() > AHEAD_MS else 1_000
        rounded = msgspec.structs.replace(reminder, at_ms=-(-reminder.at_ms // step_ms) * step_ms)
        if rounded in self._known:
            return
        if len(self._waiting) >= QUEUE_MAX:
            self._counts["reminders_dropped"] += 1
            return
        self._known[rounded] = None
        if len(self._known) > REMEMBER_MAX:
            self._known.popitem(last=False)
        self._waiting.append(rounded)
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Send what is queued until `stop`; a reminder that cannot be sent is dropped."""
        while not stop.is_set():
            if not self._waiting:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), 1.0)
                continue
            reminder = self._waiting.popleft()
            try:
                await self._send(reminder)
                self._counts["reminders_sent"] += 1
            except BrokerTrouble:
                self._counts["reminders_dropped"] += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 1.0)

    async def _send(self, reminder: Reminder) -> None:
        """At its moment, or as near as the broker allows: then it is sent on from there."""
        at_ms = min(reminder.at_ms, self._world.now_ms() + AHEAD_MS)
        await self._sender.send_reminder(_encode(reminder), -(-at_ms // 1_000))

    async def take(self, page: Sequence[Arrived]) -> Sequence[Arrived]:
        """Hand on reminders whose moment has come and send the others on; all of them are dealt with."""
        heard: dict[tuple[str, int], Reminder] = {}
        for arrived in page:
            try:
                reminder = _decode(arrived.body)
            except msgspec.MsgspecError as error:
                log.warning("a reminder that nobody can read: %s", error)
                continue
            if reminder.at_ms > self._world.now_ms() + 1_000:
                self._put(reminder)
            else:
                heard[reminder.sweep, reminder.shard] = reminder
        for reminder in heard.values():
            self._counts["reminders_heard"] += 1
            if self._hear is not None:
                await self._hear(reminder)
        return page


def _moment_in(payload: bytes, field: str) -> int:
    try:
        return int(msgspec.json.decode(_fields(payload).get(field, b"0"), type=int))
    except msgspec.MsgspecError:
        return 0
