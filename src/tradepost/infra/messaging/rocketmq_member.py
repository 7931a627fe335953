"""One member of a consumer group: it joins, is heard of every ten seconds, receives pages and acknowledges them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from typing import Any

import msgspec

from tradepost.infra.messaging.rocketmq_link import BrokerTrouble, Link, trouble_of

PAGE_MESSAGES = 32
INVISIBLE_S = 10
POLL_S = 10
HEARTBEAT_S = 10.0
JOIN_S = 5.0


class Arrived(msgspec.Struct, frozen=True):
    """One message as received; `attempt` counts deliveries from 1. Unacknowledged, it comes again after 10 s."""

    body: bytes
    tag: str
    message_id: str
    receipt: str
    attempt: int
    properties: dict[str, str]


def new_client_id(link: Link) -> str:
    """A name that no other client has."""
    return f"tradepost@{os.getpid()}@{link.new_id()}"


class Member:
    """A member of one group on one topic, wanting messages of some tags. After trouble, close it and make another."""

    def __init__(
        self,
        link: Link,
        topic: str,
        group: str,
        tags: Sequence[str],
        *,
        is_ordered: bool,
        poll_s: int = POLL_S,
    ) -> None:
        self._link = link
        self._topic = topic
        self._group = group
        self._expression = "||".join(tags) or "*"
        self._is_ordered = is_ordered
        self._poll_s = poll_s
        self._id = new_client_id(link)
        self._said: Any = None
        self.brokers: list[Any] = []

    async def join(self) -> None:
        """Tell the broker who this is. Raises TopicMissing, GroupMissing or other BrokerTrouble."""
        self.brokers = _one_each(await self._link.queues(self._topic, self._id))
        self._said = self._link.converse(self._id)
        aio = self._link.wire.grpc.aio
        try:
            async with asyncio.timeout(JOIN_S):
                await self._said.write(self._introduction())
                answer = await self._said.read()
        except aio.AioRpcError as error:
            raise trouble_of(error) from error
        except (TimeoutError, asyncio.InvalidStateError) as error:
            raise BrokerTrouble(f"{self._group} was not admitted: {error}") from error
        if answer is aio.EOF or not answer.HasField("settings"):
            raise BrokerTrouble(f"{self._group} was not admitted")
        if answer.settings.subscription.fifo != self._is_ordered:
            wanted = "orderly" if self._is_ordered else "not orderly"
            raise BrokerTrouble(f"the consumer group {self._group} must be {wanted}")

    async def keep(self, ended: asyncio.Event) -> None:
        """Stay a member until `ended`. Raises BrokerTrouble when the broker forgets it or moved its queues."""
        listening = asyncio.ensure_future(self._listen())
        try:
            while not ended.is_set():
                request = self._link.wire.service.HeartbeatRequest(
                    group=self._link.resource(self._group),
                    client_type=self._link.wire.definition.SIMPLE_CONSUMER,
                )
                await self._link.call("Heartbeat", request, self._id)
                now = _one_each(await self._link.queues(self._topic, self._id))
                if [queue.broker.name for queue in now] != [queue.broker.name for queue in self.brokers]:
                    raise BrokerTrouble("the brokers of the topic are others now")
                ending = asyncio.ensure_future(ended.wait())
                done, _ = await asyncio.wait(
                    {listening, ending}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
                )
                ending.cancel()
                if listening in done:
                    await listening
        finally:
            listening.cancel()

    async def receive(self, broker: Any, attempt_id: str) -> list[Arrived]:
        """Wait for messages of one broker's queues as long as a poll lasts; at most 32.

        Give up waiting as seldom as possible: the broker does not notice, and what it finds for this call is out of
        sight for a second. Asking with the `attempt_id` of a lost answer brings an ordered page again at once.
        """
        request = self._link.wire.service.ReceiveMessageRequest(
            group=self._link.resource(self._group),
            message_queue=broker,
            batch_size=PAGE_MESSAGES,
            auto_renew=False,
            attempt_id=attempt_id,
        )
        request.message_queue.id = -1  # any queue of this broker
        request.filter_expression.type = self._link.wire.definition.TAG
        request.filter_expression.expression = self._expression
        request.invisible_duration.seconds = INVISIBLE_S
        request.long_polling_timeout.seconds = self._poll_s
        page: list[Arrived] = []
        nothing = self._link.wire.definition.MESSAGE_NOT_FOUND
        async for part in self._link.stream("ReceiveMessage", request, self._id, self._poll_s + 5.0):
            if part.HasField("message"):
                page.append(_arrived(part.message))
            elif part.HasField("status") and part.status.code != nothing:
                self._link.check(part.status)
        return page

    async def acknowledge(self, page: Sequence[Arrived]) -> None:
        """Tell the broker that these need not come again. Those whose time ran out do come again."""
        request = self._link.wire.service.AckMessageRequest(
            group=self._link.resource(self._group), topic=self._link.resource(self._topic)
        )
        for arrived in page:
            request.entries.add(message_id=arrived.message_id, receipt_handle=arrived.receipt)
        await self._link.call("AckMessage", request, self._id)

    async def leave(self) -> None:
        """Say good-bye, as far as somebody listens."""
        if self._said is None:
            return
        request = self._link.wire.service.NotifyClientTerminationRequest(
            group=self._link.resource(self._group)
        )
        with contextlib.suppress(BrokerTrouble):
            await self._link.call("NotifyClientTermination", request, self._id, 1.0)
        self._said.cancel()

    async def _listen(self) -> None:
        """Read what the broker says on its own; it ends only by trouble."""
        aio = self._link.wire.grpc.aio
        try:
            while await self._said.read() is not aio.EOF:
                pass
        except aio.AioRpcError as error:
            raise trouble_of(error) from error
        except asyncio.InvalidStateError as error:
            raise BrokerTrouble(f"the stream broke: {error}") from error
        raise BrokerTrouble("the broker ended the stream")

    def _introduction(self) -> Any:
        definition = self._link.wire.definition
        settings = definition.Settings(
            client_type=definition.SIMPLE_CONSUMER, access_point=self._link.endpoints()
        )
        settings.subscription.group.CopyFrom(self._link.resource(self._group))
        entry = settings.subscription.subscriptions.add(topic=self._link.resource(self._topic))
        entry.expression.type = definition.TAG
        entry.expression.expression = self._expression
        settings.subscription.long_polling_timeout.seconds = self._poll_s
        settings.request_timeout.seconds = self._poll_s
        settings.user_agent.language = definition.PYTHON
        return self._link.wire.service.TelemetryCommand(settings=settings)


def _one_each(queues: Sequence[Any]) -> list[Any]:
    """One queue of every broker: asking it for any queue asks the whole broker."""
    return [first for _, first in sorted({queue.broker.name: queue for queue in queues}.items())]


def _arrived(message: Any) -> Arrived:
    of_system = message.system_properties
    return Arrived(
        message.body,
        of_system.tag,
        of_system.message_id,
        of_system.receipt_handle,
        of_system.delivery_attempt,
        dict(message.user_properties),
    )
