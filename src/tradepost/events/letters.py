"""Dead letters: deliveries that failed too often, kept until an operator replays them."""

from __future__ import annotations

from tradepost.events import store
from tradepost.events.store import Delivery
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx

LETTERS_MAX = 1_000


def dead_letters(tx: Tx, limit: int = 200) -> list[Delivery]:
    """Dead letters of this shard, newest first, at most 1,000."""
    return store.dead_rows(tx, max(1, min(limit, LETTERS_MAX)))


def replay_dead_letter(tx: Tx, consumer: str, aggregate_id: str, version: int, now_ms: int) -> None:
    """Let a dead letter be delivered again, with all its attempts; later events went on without it.

    Raises Refusal `events.dead_letter_unknown` when there is no such dead letter.
    """
    if not store.revive(tx, (gene_of(aggregate_id), consumer, aggregate_id, version), now_ms):
        raise Refusal(
            "events.dead_letter_unknown",
            f"{consumer} has no dead letter {aggregate_id}.{version}.",
            field="event_id",
        )
    tx.signal("events", str(tx.shard))
