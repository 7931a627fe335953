"""What a consumer has consumed of a shard's stream: a position, and inbox rows for what departs from it.

On the shard of the effect an event counts as consumed when its inbox row says DONE, or when it has no row and its
sequence lies at or before the position. This is the exact set of what was consumed: a position never passes an
event that was not, without leaving an OWED row. Every write names the position it read, so two processes that
relay at once cannot both pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.events.model import Overtaken
from tradepost.kernel.events import EventRow
from tradepost.kernel.tx import Row, Taken, Tx

DONE = "DONE"
OWED = "OWED"

Routed = Sequence[tuple[int, EventRow]]
"""(gene under which the inbox notes the event, event)."""


class Position(msgspec.Struct, frozen=True):
    """Where a consumer stands in one source shard's stream; `noted` is the highest sequence noted DONE ahead of it."""

    sequence: int = 0
    noted: int = 0
    is_stored: bool = False

    @property
    def seen(self) -> int:
        """Behind this sequence nothing has been consumed yet."""
        return max(self.sequence, self.noted)


START = Position()


def positions(tx: Tx, source: int, consumers: Sequence[str]) -> dict[str, Position]:
    """The positions of these consumers, on this shard, in the stream of a source shard; START where none is stored."""
    rows = tx.query_in(
        "SELECT consumer, sequence, noted_sequence FROM consumer_positions"
        " WHERE shard = ? AND source_shard = ? AND consumer IN ({in})",
        consumers,
        (tx.shard, source),
    )
    return dict.fromkeys(consumers, START) | {row[0]: Position(row[1], row[2], True) for row in rows}


def move(tx: Tx, source: int, moves: Sequence[tuple[str, Position, int, int]]) -> None:
    """Move positions, given as (consumer, position as read, new sequence, new noted); none ever goes back.

    Raises Overtaken when one of them is not where it was read.
    """
    changed = [
        (name, was, max(sequence, was.sequence), max(noted, was.noted))
        for name, was, sequence, noted in moves
        if sequence > was.sequence or noted > was.noted
    ]
    old = [
        (sequence, noted, tx.shard, source, name, was.sequence, was.noted)
        for name, was, sequence, noted in changed
        if was.is_stored
    ]
    new = [
        (tx.shard, source, name, sequence, noted)
        for name, was, sequence, noted in changed
        if not was.is_stored
    ]
    moved = tx.execute_many(
        "UPDATE consumer_positions SET sequence = ?, noted_sequence = ?"
        " WHERE shard = ? AND source_shard = ? AND consumer = ? AND sequence = ? AND noted_sequence = ?",
        old,
    )
    if moved != len(old):
        raise Overtaken
    try:
        tx.execute_many(
            "INSERT INTO consumer_positions (shard, source_shard, consumer, sequence, noted_sequence)"
            " VALUES (?,?,?,?,?)",
            new,
        )
    except Taken as error:
        raise Overtaken from error


def verdicts(tx: Tx, consumer: str, pairs: Routed) -> dict[str, str]:
    """DONE or OWED by event id, of those events that have an inbox row."""
    rows = tx.query_keys(
        "SELECT event_id, state FROM inbox WHERE {keys}",
        ("gene", "consumer", "event_id"),
        [(gene, consumer, row.event_id) for gene, row in pairs],
    )
    return {row[0]: row[1] for row in rows}


def note(tx: Tx, consumer: str, pairs: Routed, state: str, now_ms: int) -> None:
    """Write the inbox rows of events that have none."""
    tx.execute_many(
        "INSERT INTO inbox (gene, consumer, event_id, state, at_ms) VALUES (?,?,?,?,?)",
        [(gene, consumer, row.event_id, state, now_ms) for gene, row in pairs],
    )


def unsay(tx: Tx, consumer: str, pairs: Routed) -> None:
    """Remove OWED rows: from now on the position tells the truth. Raises Overtaken when one is gone."""
    keys = [(gene, consumer, row.event_id, OWED) for gene, row in pairs]
    sql = "DELETE FROM inbox WHERE gene = ? AND consumer = ? AND event_id = ? AND state = ?"
    if tx.execute_many(sql, keys) != len(keys):
        raise Overtaken


def old_inbox(tx: Tx, gene: int, before_ms: int, limit: int) -> list[Row]:
    """Keys of one gene's DONE rows from before a moment; what is owed is never forgotten."""
    sql = "SELECT gene, consumer, event_id FROM inbox WHERE gene = ? AND at_ms < ? AND state = ? LIMIT ?"
    return tx.query(sql, (gene, before_ms, DONE, limit))


def drop_inbox(tx: Tx, keys: Sequence[Row]) -> int:
    """Delete inbox rows by key."""
    return tx.execute_many("DELETE FROM inbox WHERE gene = ? AND consumer = ? AND event_id = ?", keys)
