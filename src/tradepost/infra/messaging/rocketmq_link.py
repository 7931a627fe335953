"""RocketMQ's gRPC protocol: one connection, its calls with deadlines, and what can go wrong in words of ours.

The generated messages come from `rocketmq-python-client`; its own clients are not used (see ADR 0025).
"""

from __future__ import annotations

import hmac
import importlib
import logging
import os
import sys
import types
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.world import World

CALL_S = 5.0
CLIENT_VERSION = "5.1.2"
CHANNEL = (
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", 32 << 20),
)
_LOG_MODULE = "rocketmq.v5.log"

declare_problems(
    {
        "messaging.client_missing": (
            Kind.INTERNAL,
            "The RocketMQ client is not installed",
            "Install the extra: pip install 'tradepost[rocketmq]'.",
        ),
        "messaging.missing": (
            Kind.CONFLICT,
            "The broker lacks topics or consumer groups",
            "Create them with `tradepost services up rocketmq`, or let your broker's operator do it.",
        ),
        "messaging.unavailable": (
            Kind.OVERLOADED,
            "The message broker does not answer",
            "Try again; orders are taken meanwhile. Operators: see `tradepost services status`.",
        ),
    }
)


class BrokerTrouble(Exception):
    """The broker did not do what it was asked to, or did and could not say so."""


class GroupMissing(BrokerTrouble):
    """The broker has no such consumer group."""


class TopicMissing(BrokerTrouble):
    """The broker has no such topic."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker's gRPC proxy listens (`host:port`) and who asks; empty keys for a broker without accounts."""

    address: str
    access_key: str = ""
    secret_key: str = ""
    namespace: str = ""
    tls: bool = False


class Wire(msgspec.Struct, frozen=True):
    """The generated modules, and gRPC itself."""

    service: Any
    definition: Any
    stub: Any
    grpc: Any


@cache
def wire() -> Wire:
    """Import the generated protocol once. Raises Refusal `messaging.client_missing`.

    The client's log module would open a file in the home directory as it is imported: a plain logger stands in.
    """
    os.environ.setdefault(
        "GRPC_VERBOSITY", "NONE"
    )  # its C core writes to stderr whatever Python's logging says
    if _LOG_MODULE not in sys.modules:
        quiet = types.ModuleType(_LOG_MODULE)
        logger = logging.getLogger("rocketmq-python-client")
        logger.addHandler(logging.NullHandler())
        quiet.logger = logger  # type: ignore[attr-defined]
        sys.modules[_LOG_MODULE] = quiet
    try:
        load = importlib.import_module
        return Wire(
            load("rocketmq.grpc_protocol.service_pb2"),
            load("rocketmq.grpc_protocol.definition_pb2"),
            load("rocketmq.grpc_protocol.service_pb2_grpc").MessagingServiceStub,
            load("grpc"),
        )
    except ImportError as error:
        raise Refusal("messaging.client_missing", str(error)) from error


class Link:
    """One connection to the proxy, shared by everything in this process. It mends itself; calls fail meanwhile.

    Every call raises BrokerTrouble when it is not answered as it should be. Belongs to the event loop it is made on.
    """

    def __init__(self, endpoint: Endpoint, world: World) -> None:
        self._endpoint = endpoint
        self._world = world
        self.wire = wire()
        aio = self.wire.grpc.aio
        if endpoint.tls:
            credentials = self.wire.grpc.ssl_channel_credentials()
            self._channel = aio.secure_channel(endpoint.address, credentials, options=CHANNEL)
        else:
            self._channel = aio.insecure_channel(endpoint.address, options=CHANNEL)
        self._stub = self.wire.stub(self._channel)

    async def call(self, method: str, request: Any, client_id: str, timeout_s: float = CALL_S) -> Any:
        """One request and its answer, whose status and entries are all well."""
        try:
            answer = await getattr(self._stub, method)(
                request, metadata=self._metadata(client_id), timeout=timeout_s
            )
        except self.wire.grpc.aio.AioRpcError as error:
            raise trouble_of(error) from error
        self.check(answer.status)
        for entry in getattr(answer, "entries", ()):
            self.check(entry.status)
        return answer

    async def stream(self, method: str, request: Any, client_id: str, timeout_s: float) -> AsyncIterator[Any]:
        """One request and everything that comes back until the server ends it."""
        call = getattr(self._stub, method)(request, metadata=self._metadata(client_id), timeout=timeout_s)
        try:
            async for part in call:
                yield part
        except self.wire.grpc.aio.AioRpcError as error:
            raise trouble_of(error) from error
        finally:
            call.cancel()

    def converse(self, client_id: str) -> Any:
        """The stream over which a client says what it is and the broker answers."""
        return self._stub.Telemetry(metadata=self._metadata(client_id))

    def check(self, status: Any) -> None:
        """Raise what a status that is not well means."""
        codes = self.wire.definition
        if status.code in (codes.OK, codes.MULTIPLE_RESULTS):
            return
        words = f"{codes.Code.Name(status.code)}: {status.message.splitlines()[0] if status.message else ''}"
        if status.code == codes.TOPIC_NOT_FOUND:
            raise TopicMissing(words)
        if status.code == codes.CONSUMER_GROUP_NOT_FOUND:
            raise GroupMissing(words)
        raise BrokerTrouble(words)

    def new_id(self) -> str:
        """An id that nothing else has, as the broker writes those of messages."""
        return f"01{self._world.chance(128):032X}"

    def now_ms(self) -> int:
        """The clock of this process."""
        return self._world.now_ms()

    def endpoints(self) -> Any:
        """The address as the protocol writes it."""
        host, _, port = self._endpoint.address.rpartition(":")
        definition = self.wire.definition
        found = definition.Endpoints(
            scheme=definition.IPv4 if host.replace(".", "").isdigit() else definition.DOMAIN_NAME
        )
        found.addresses.add(host=host, port=int(port))
        return found

    def resource(self, name: str) -> Any:
        """A topic or group by name, in the namespace."""
        return self.wire.definition.Resource(name=name, resource_namespace=self._endpoint.namespace)

    async def queues(self, topic: str, client_id: str) -> Sequence[Any]:
        """The readable queues of a topic. Raises TopicMissing when there is none."""
        request = self.wire.service.QueryRouteRequest(topic=self.resource(topic), endpoints=self.endpoints())
        answer = await self.call("QueryRoute", request, client_id)
        if not answer.message_queues:
            raise TopicMissing(f"{topic} has no queue")
        queues: Sequence[Any] = answer.message_queues
        return queues

    async def close(self) -> None:
        """Give the connection back; calls under way are cancelled."""
        await self._channel.close()

    def _metadata(self, client_id: str) -> tuple[tuple[str, str], ...]:
        where = self._endpoint
        said: tuple[tuple[str, str], ...] = (
            ("x-mq-language", "PYTHON"),
            ("x-mq-protocol", "GRPC_V2"),
            ("x-mq-client-version", CLIENT_VERSION),
            ("x-mq-client-id", client_id),
            ("x-mq-namespace", where.namespace),
        )
        if not where.access_key:
            return said
        now = f"{datetime.fromtimestamp(self._world.now_ms() // 1_000, UTC):%Y%m%dT%H%M%SZ}"
        signature = hmac.digest(where.secret_key.encode(), now.encode(), "sha1").hex()
        words = f"MQv2-HMAC-SHA1 Credential={where.access_key}, SignedHeaders=x-mq-date-time, Signature={signature}"
        return (*said, ("x-mq-date-time", now), ("authorization", words))


def trouble_of(error: Any) -> BrokerTrouble:
    """A failed call in our words: its code and the first line of what the other side said."""
    details = (error.details() or "").splitlines()
    words = f"{error.code().name}: {details[0] if details else ''}"
    return GroupMissing(words) if "group not found" in words else BrokerTrouble(words)
