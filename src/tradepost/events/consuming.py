"""The works that run a consumer: in each, the test whether an event is new, its effect and the note are one commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tradepost.events import inbox, store
from tradepost.events.inbox import DONE, OWED, Position, Routed
from tradepost.events.model import LeaseLost
from tradepost.kernel.events import Consumer, EventRow
from tradepost.kernel.tx import Tx

Consume = Callable[[Any, Sequence[EventRow]], None]
Lease = tuple[str, str, int]
"""(relay, owner, until when its lease is prolonged)."""


def unseen(position: Position, said: dict[str, str], pairs: Routed) -> list[tuple[int, EventRow]]:
    """Those of the pairs whose effect is not committed here, each event once."""
    fresh: dict[str, tuple[int, EventRow]] = {}
    for pair in pairs:
        event_id = pair[1].event_id
        verdict = said.get(event_id)
        if verdict == OWED or (verdict is None and pair[1].sequence > position.sequence):
            fresh.setdefault(event_id, pair)
    return list(fresh.values())


def _said(tx: Tx, name: str, position: Position, pairs: Routed) -> dict[str, str]:
    """The inbox is asked only about events at or before what this consumer has seen: none on an ordinary page."""
    doubtful = [pair for pair in pairs if pair[1].sequence <= position.seen]
    return inbox.verdicts(tx, name, doubtful) if doubtful else {}


def consume_page(
    tx: Tx,
    name: str,
    consume: Consume,
    source: int,
    upto: int,
    rows: Routed,
    held: Routed,
    now_ms: int,
) -> int:
    """Run a consumer over all its events of a source shard up to a sequence; how many were new.

    The consumer does not get what is `held`: it stays owed. The position moves to `upto`.
    """
    position = inbox.positions(tx, source, [name])[name]
    said = _said(tx, name, position, [*rows, *held])
    fresh = unseen(position, said, rows)
    inbox.unsay(tx, name, [pair for pair in fresh if said.get(pair[1].event_id) == OWED])
    _owe(tx, name, position, said, held, now_ms)
    inbox.move(tx, source, [(name, position, upto, 0)])
    if fresh:
        consume(tx, [row for _, row in fresh])
    return len(fresh)


def consume_alone(tx: Tx, name: str, consume: Consume, source: int, rows: Routed, now_ms: int) -> int:
    """Run a consumer over events taken out of their order in the stream; how many were new. The position stays."""
    position = inbox.positions(tx, source, [name])[name]
    said = _said(tx, name, position, rows)
    fresh = unseen(position, said, rows)
    if fresh:
        inbox.unsay(tx, name, [pair for pair in fresh if said.get(pair[1].event_id) == OWED])
        ahead = [pair for pair in fresh if pair[1].sequence > position.sequence]
        inbox.note(tx, name, ahead, DONE, now_ms)
        inbox.move(tx, source, [(name, position, 0, max((row.sequence for _, row in ahead), default=0))])
        consume(tx, [row for _, row in fresh])
    return len(fresh)


def pass_page(tx: Tx, name: str, source: int, upto: int, rows: Routed, now_ms: int) -> None:
    """Move the position behind a page that was consumed one by one; what of it failed stays owed."""
    position = inbox.positions(tx, source, [name])[name]
    _owe(tx, name, position, _said(tx, name, position, rows), rows, now_ms)
    inbox.move(tx, source, [(name, position, upto, 0)])


def _owe(tx: Tx, name: str, position: Position, said: dict[str, str], pairs: Routed, now_ms: int) -> None:
    owed = [pair for pair in unseen(position, said, pairs) if pair[1].event_id not in said]
    inbox.note(tx, name, owed, OWED, now_ms)


def consume_here(
    tx: Tx, consumers: Sequence[Consumer], after: int, upto: int, limit: int, lease: Lease | None
) -> None:
    """Run consumers whose effects lie on this shard over their events of a stretch of its own stream.

    The rows are read here, so they travel nowhere. All of it stands or none: a consumer that fails takes the others
    with it, and the stretch has to be given to each alone. With a lease the relay's cursor moves as well; raises
    LeaseLost when somebody else has it, Overtaken when a position moved meanwhile.
    """
    rows: dict[str, list[EventRow]] = {consumer.name: [] for consumer in consumers}
    takers: dict[str, list[list[EventRow]]] = {}
    for consumer in consumers:
        for kind in set(consumer.types):
            takers.setdefault(kind, []).append(rows[consumer.name])
    for row in store.scan(tx, after, upto, limit, sorted(takers)):
        for taker in takers[row.type]:
            taker.append(row)
    busy = [consumer for consumer in consumers if rows[consumer.name]]
    stand = inbox.positions(tx, tx.shard, [consumer.name for consumer in busy])
    fresh = [_fresh_here(tx, consumer, stand[consumer.name], rows[consumer.name]) for consumer in busy]
    inbox.move(tx, tx.shard, [(consumer.name, stand[consumer.name], upto, 0) for consumer in busy])
    for consumer, wanted in zip(busy, fresh, strict=True):
        if wanted:
            consumer.consume(tx, wanted)
    if lease is not None and not store.advance(tx, lease[0], lease[1], upto, lease[2]):
        raise LeaseLost(f"shard {tx.shard} is relayed by another process")


def _fresh_here(tx: Tx, consumer: Consumer, position: Position, rows: list[EventRow]) -> Sequence[EventRow]:
    if not rows or rows[0].sequence > position.seen:
        return rows
    pairs = [(gene, row) for row in rows for gene in genes_here(consumer, row, tx.keeps)[:1]]
    said = _said(tx, consumer.name, position, pairs)
    fresh = unseen(position, said, pairs)
    inbox.unsay(tx, consumer.name, [pair for pair in fresh if said.get(pair[1].event_id) == OWED])
    return [row for _, row in fresh]


def genes_here(consumer: Consumer, row: EventRow, keeps: Callable[[int], bool]) -> list[int]:
    """The genes of an event's effect that lie on one shard, smallest first."""
    genes = (row.gene,) if consumer.genes is None else sorted(set(consumer.genes(row)))
    return [gene for gene in genes if keeps(gene)]
