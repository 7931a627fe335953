"""Events: facts in the past tense, written in the commit that made them true.

One append-only row per event is the aggregate's log and the outbox at once. (gene, aggregate, version) is its
key, so a log has no gaps and a fact cannot be recorded twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from tradepost.kernel.ids import gene_of


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What every event type extends: fields are ids, states and money, never personal data."""


E = TypeVar("E", bound=type[Event])

_TYPES: dict[str, type[Event]] = {}
_NAMES: dict[type[Event], str] = {}
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {}
_encode = msgspec.json.Encoder().encode


def event(name: str) -> Callable[[E], E]:
    """Declare a struct as the event type `name`, such as `order.placed.v1`. Raises ValueError for a second."""

    def declare(struct: E) -> E:
        if name in _TYPES:
            raise ValueError(f"event type {name} is declared twice")
        _TYPES[name], _NAMES[struct] = struct, name
        _DECODERS[name] = msgspec.json.Decoder(struct)
        return struct

    return declare


def event_types() -> dict[str, type[Event]]:
    """Every declared type by name: the source of the event reference."""
    return dict(sorted(_TYPES.items()))


class EventRow(msgspec.Struct, frozen=True, array_like=True):
    """One event as stored and as delivered. `sequence` is its place in the shard's stream, 0 before commit."""

    gene: int
    aggregate_id: str
    version: int
    type: str
    at_ms: int
    payload: bytes
    buyer_id: str = ""
    seller_id: str = ""
    sequence: int = 0

    @property
    def event_id(self) -> str:
        """The same for every delivery of this event: `<aggregate id>.<version>`."""
        return f"{self.aggregate_id}.{self.version}"

    def data(self) -> Any:
        """The decoded event struct."""
        return _DECODERS[self.type].decode(self.payload)


def record(
    fact: Event, aggregate_id: str, version: int, at_ms: int, buyer_id: str = "", seller_id: str = ""
) -> EventRow:
    """The row of one event, on the shard of the aggregate's gene."""
    return EventRow(
        gene_of(aggregate_id),
        aggregate_id,
        version,
        _NAMES[type(fact)],
        at_ms,
        _encode(fact),
        buyer_id,
        seller_id,
    )


class Consumer(msgspec.Struct, frozen=True):
    """A subscription whose effect lies in the database.

    `consume(tx, rows)` is set-based, gets each event at least once and in order per aggregate, and what it has
    consumed is noted in the commit of its effect (docs/adr/0020), so a second delivery changes nothing.
    `genes` tells where the effect lies (default: the aggregate's own gene); with genes on several shards the
    event is consumed once on each, and `tx.keeps(gene)` tells which part belongs here.
    An event that fails holds back only later events of the same aggregate; after bounded retries it is a dead
    letter that an operator can replay.
    """

    name: str
    types: tuple[str, ...]
    consume: Callable[[Any, Sequence[EventRow]], None]
    genes: Callable[[EventRow], Iterable[int]] | None = None


class Task(msgspec.Struct, frozen=True):
    """A subscription whose effect lies outside the database, such as a call to a payment provider.

    `act(row)` is awaited at least once per event, in order per aggregate, and must be safe to repeat.
    """

    name: str
    types: tuple[str, ...]
    act: Callable[[EventRow], Awaitable[None]]


class Sweep(msgspec.Struct, frozen=True):
    """A timer that survives restarts: the moment is a column of the row that waits.

    `due(tx, now_ms, limit)` lists what has fallen due on one shard; `act(items)` deals with them, idempotently.
    """

    name: str
    due: Callable[[Any, int, int], Sequence[Any]]
    act: Callable[[Sequence[Any]], Awaitable[None]]
    every_ms: int = 500
