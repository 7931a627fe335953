"""An event whose place cannot be told waits by itself: it holds back neither the page nor the relay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tradepost.events.subscriber import ConsumerSubscriber
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.events import Consumer, EventRow
from tradepost.kernel.ids import gene_of
from tradepost.testing.world import TestWorld


class Ledge:
    """Keeps what waits."""

    def __init__(self) -> None:
        self.waiting: list[str] = []

    def holds(self, name: str, aggregate_id: str) -> bool:
        return False

    async def put(self, shard: int, name: str, rows: Sequence[EventRow], errors: dict[str, Any]) -> None:
        self.waiting += [row.event_id for row in rows]


def row(aggregate_id: str, version: int, sequence: int, party: str) -> EventRow:
    return EventRow(1, aggregate_id, version, "noted.v1", 1, party.encode(), sequence=sequence)


@pytest.fixture
def heard() -> list[str]:
    return []


async def test_an_event_that_names_nobody_waits_alone(database_path: Path, heard: list[str]) -> None:
    world = TestWorld()
    known = world.mint("creator", 7)

    def genes(event: EventRow) -> Iterable[int]:
        return [gene_of(event.payload.decode())]

    def consume(tx: Any, rows: Sequence[EventRow]) -> None:
        heard.extend(each.event_id for each in rows)

    db = SqliteStorage(database_path)
    ledge = Ledge()
    subscriber = ConsumerSubscriber(db, world, Consumer("effects", ("noted.v1",), consume, genes), ledge)
    rows = [row("a", 1, 1, known), row("b", 1, 2, "cre_1"), row("b", 2, 3, known), row("c", 1, 4, known)]
    await subscriber.deliver(0, rows, 4)
    assert heard == ["a.1", "c.1"]
    assert ledge.waiting == ["b.1", "b.2"], "what follows it in its aggregate waits behind it"
    await db.close()
