"""Sending: events by lanes, each lane in order and several events a message; reminders and dead letters one by one."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tradepost.events import envelope
from tradepost.infra.messaging.rocketmq_link import BrokerTrouble, Link
from tradepost.infra.messaging.rocketmq_member import new_client_id
from tradepost.infra.messaging.rocketmq_reader import Weather
from tradepost.infra.messaging.topics import Names
from tradepost.kernel.events import EventRow

MESSAGE_EVENTS = 128
MESSAGE_BYTES = 256 << 10
IN_FLIGHT = 32
KEYS_MAX = 16
GROUP_PROPERTY = "tradepost-group"
ERROR_PROPERTY = "tradepost-error"


def lane_of(shard: int) -> str:
    """The message group of a shard's events: an aggregate lies on one shard, so the broker keeps its events in order.

    One lane a shard and not one an aggregate: then a message may hold events of many, the broker orders whole queues
    anyway, and a shard is relayed and consumed page after page without a broker too. Each message costs sender,
    broker and every reader the same, whatever it holds. Another rule breaks the order of what is under way.
    """
    return f"lane-{shard:02d}"


def by_type(rows: Sequence[EventRow]) -> Iterator[list[EventRow]]:
    """A shard's rows as messages of one type each, in an order that keeps every aggregate's own.

    One type a message lets the broker leave out whom it does not concern. At most 128 events and about 256 KB each.
    """
    lines: dict[str, deque[EventRow]] = defaultdict(deque)
    for row in rows:
        lines[row.aggregate_id].append(row)
    while lines:
        kind, _ = Counter(line[0].type for line in lines.values()).most_common(1)[0]
        message: list[EventRow] = []
        size = 0
        for aggregate_id, line in list(lines.items()):
            while line and line[0].type == kind:
                if message and (
                    len(message) == MESSAGE_EVENTS or size + len(line[0].payload) > MESSAGE_BYTES
                ):
                    break
                size += len(line[0].payload)
                message.append(line.popleft())
            if not line:
                del lines[aggregate_id]
        yield message


class Sender:
    """Sends over the bus's one connection; at most 32 requests at a time."""

    def __init__(self, link: Callable[[], Link], names: Names, weather: Weather) -> None:
        self._link = link
        self._names = names
        self._weather = weather
        self._id = ""
        self._room = asyncio.Semaphore(IN_FLIGHT)

    async def send_events(self, shard: int, rows: Sequence[EventRow]) -> None:
        """Return when the broker has every row. Raises BrokerTrouble when it may lack some: send all of them again.

        Messages go side by side; one waits for those before it that hold events of the same aggregates. They are
        never sent as one request, for such a request goes to any queue.
        """
        try:
            await self._send_all(shard, rows)
        except BrokerTrouble as trouble:
            self._weather.trouble(trouble)
            raise
        self._weather.fine()

    async def send_reminder(self, body: bytes, at_s: int) -> None:
        """Have a message delivered at a moment in whole seconds."""
        definition = self._link().wire.definition
        message = self._message(self._names.reminders, body, definition.DELAY)
        message.system_properties.delivery_timestamp.seconds = at_s
        await self._send(message)

    async def send_letter(self, group: str, body: bytes, tag: str, error: str) -> None:
        """Put a message that cannot be read on the dead-letter topic."""
        message = self._message(self._names.letters, body, self._link().wire.definition.NORMAL)
        if tag:
            message.system_properties.tag = tag
        message.user_properties[GROUP_PROPERTY] = group
        message.user_properties[ERROR_PROPERTY] = error[:500]
        await self._send(message)

    async def resend(self, shard: int, content_type: str, body: bytes, tag: str) -> None:
        """Send an envelope of a shard's events to the events topic once more."""
        await self._send(self._event(shard, content_type, body, tag))

    async def _send_all(self, shard: int, rows: Sequence[EventRow]) -> None:
        last: dict[str, asyncio.Task[None]] = {}
        for of_type in by_type(rows):
            keys = list(dict.fromkeys(row.aggregate_id for row in of_type))
            message = self._event(shard, *envelope.wrap(shard, of_type), of_type[0].type)
            message.system_properties.keys.extend(keys[:KEYS_MAX])
            before = {last[key] for key in keys if key in last}
            sending = asyncio.ensure_future(self._send_after(before, message))
            last.update(dict.fromkeys(keys, sending))
        for answer in await asyncio.gather(*set(last.values()), return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def _send_after(self, before: Iterable[asyncio.Task[None]], message: Any) -> None:
        """Raises what a message before it raised: then this one is not sent, and its events keep their order."""
        for earlier in before:
            await earlier
        async with self._room:
            await self._send(message)

    async def _send(self, message: Any) -> None:
        link = self._link()
        self._id = self._id or new_client_id(link)
        request = link.wire.service.SendMessageRequest(messages=[message])
        await link.call("SendMessage", request, self._id)

    def _event(self, shard: int, content_type: str, body: bytes, tag: str) -> Any:
        message = self._message(self._names.events, body, self._link().wire.definition.FIFO)
        message.system_properties.message_group = lane_of(shard)
        message.system_properties.tag = tag
        message.user_properties["content-type"] = content_type
        return message

    def _message(self, topic: str, body: bytes, kind: int) -> Any:
        link = self._link()
        definition = link.wire.definition
        message = definition.Message(topic=link.resource(topic), body=body)
        of_system = message.system_properties
        of_system.message_id = link.new_id()
        of_system.message_type = kind
        of_system.body_encoding = definition.IDENTITY
        of_system.born_timestamp.FromMilliseconds(link.now_ms())
        of_system.born_host = "tradepost"
        return message
