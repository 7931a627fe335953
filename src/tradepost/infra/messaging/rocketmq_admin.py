"""Creating topics and groups: the broker's own remoting protocol, since its gRPC door has no words for it."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterable
from typing import Any

from tradepost.infra.messaging.topics import Group, Kind, Names, Topic, groups, topics
from tradepost.kernel.errors import Refusal

QUERY_OFFSET = 14
UPDATE_OFFSET = 15
UPDATE_TOPIC = 17
ALL_TOPICS = 21
MAX_OFFSET = 30
UPDATE_GROUP = 200
ALL_GROUPS = 201
SUCCESS = 0
ANSWER_S = 5.0
TRIES = 20
FRAME_MAX = 64 << 20
READ_AND_WRITE = 6


class Admin:
    """A connection to one broker (its `listenPort`, 10911 by default). Raises OSError and ValueError."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), ANSWER_S)
        self._calls = 0
        self._told: dict[str, str] = {}

    def __enter__(self) -> Admin:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def put_topic(self, topic: Topic) -> None:
        """Create a topic, or give an existing one these queues. Its kind can never be changed."""
        self._ask(
            UPDATE_TOPIC,
            {
                "topic": topic.name,
                "defaultTopic": "TBW102",
                "readQueueNums": str(topic.queues),
                "writeQueueNums": str(topic.queues),
                "perm": str(READ_AND_WRITE),
                "topicFilterType": "SINGLE_TAG",
                "topicSysFlag": "0",
                "order": "false",
                "attributes": f"+message.type={topic.kind}",
            },
        )

    def put_group(self, group: Group) -> None:
        """Create a consumer group or correct an existing one."""
        told = {
            "groupName": group.name,
            "consumeMessageOrderly": group.is_ordered,
            "retryMaxTimes": group.retries_max,
        }
        self._ask(UPDATE_GROUP, {}, json.dumps(told).encode())

    def topics(self) -> dict[str, str]:
        """The kind of every topic of the broker, by name."""
        found = json.loads(self._ask(ALL_TOPICS, {}))["topicConfigTable"]
        return {name: row.get("attributes", {}).get("message.type", "") for name, row in found.items()}

    def groups(self) -> dict[str, bool]:
        """Whether each consumer group of the broker is orderly, by name."""
        found = json.loads(self._ask(ALL_GROUPS, {}))["subscriptionGroupTable"]
        return {name: bool(row["consumeMessageOrderly"]) for name, row in found.items()}

    def start_here(self, group: Group, topic: Topic) -> None:
        """Let a group begin with what is sent from now on.

        Otherwise it begins with its first look at each queue, and what was sent before that look may be passed over.
        """
        for queue in range(topic.queues):
            place = {"topic": topic.name, "queueId": str(queue)}
            newest = self._ask_fields(MAX_OFFSET, place)["offset"]
            self._ask(UPDATE_OFFSET, {**place, "consumerGroup": group.name, "commitOffset": newest})

    def offset(self, group: str, topic: str, queue: int) -> int:
        """Where a group stands in a queue. Raises ValueError when it never looked and was never placed."""
        place = {"topic": topic, "queueId": str(queue), "consumerGroup": group}
        return int(self._ask_fields(QUERY_OFFSET, {**place, "setZeroIfNotFound": "false"})["offset"])

    def _ask_fields(self, code: int, fields: dict[str, str]) -> dict[str, str]:
        """A question that is answered in the header."""
        self._ask(code, fields)
        return self._told

    def _ask(self, code: int, fields: dict[str, str], body: bytes = b"") -> bytes:
        self._calls += 1
        header = json.dumps(
            {
                "code": code,
                "language": "PYTHON",
                "version": 0,
                "opaque": self._calls,
                "flag": 0,
                "extFields": fields,
                "serializeTypeCurrentRPC": "JSON",
            }
        ).encode()
        frame = struct.pack(">II", 4 + len(header) + len(body), len(header)) + header + body
        self._socket.sendall(frame)
        (size,) = struct.unpack(">I", self._read(4))
        if size > FRAME_MAX:
            raise ValueError(f"an answer of {size} bytes")
        answer = self._read(size)
        length = (
            struct.unpack(">I", answer[:4])[0] & 0xFFFFFF
        )  # the highest byte tells how it is written: 0, JSON
        told: dict[str, Any] = json.loads(answer[4 : 4 + length])
        if told["code"] != SUCCESS:
            raise ValueError(f"the broker refused {code}: {told['code']} {told.get('remark', '')}")
        self._told = told.get("extFields") or {}
        return answer[4 + length :]

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(size - len(parts))
            if not part:
                raise ConnectionResetError("the broker hung up")
            parts += part
        return bytes(parts)


def create(
    address: str,
    names: Names | None = None,
    *,
    wanted_topics: Iterable[Topic] | None = None,
    wanted_groups: Iterable[Group] | None = None,
) -> None:
    """Create every topic and group on the broker at this remoting address; running it again changes nothing.

    A broker that is still starting is asked for up to 10 s. Raises Refusal `messaging.unavailable` after that, and
    `messaging.missing` when a topic of the same name has another kind.
    """
    wanted_topics = list(topics(names) if wanted_topics is None else wanted_topics)
    wanted_groups = list(groups(names) if wanted_groups is None else wanted_groups)
    for left in reversed(range(TRIES)):
        try:
            with Admin(address) as admin:
                _create(admin, wanted_topics, wanted_groups)
            return
        except (OSError, ValueError) as error:
            if not left:
                raise Refusal("messaging.unavailable", f"The broker at {address}: {error}") from error
            time.sleep(0.5)


def _create(admin: Admin, wanted_topics: list[Topic], wanted_groups: list[Group]) -> None:
    kinds = admin.topics()
    for topic in wanted_topics:
        if topic.name in kinds and kinds[topic.name] != topic.kind:
            raise Refusal(
                "messaging.missing",
                f"The topic {topic.name} is {kinds[topic.name] or 'of no kind'}, which cannot be changed.",
                field=topic.name,
                expected=topic.kind,
            )
        admin.put_topic(topic)
    known = admin.groups()
    for group in wanted_groups:
        admin.put_group(group)
        if group.name not in known and group.is_ordered:
            for topic in wanted_topics:
                if topic.kind is Kind.FIFO:
                    admin.start_here(group, topic)
