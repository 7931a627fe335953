"""The outbox seen from outside: how much of it no bus has taken yet, how old the oldest is, and when to shout."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec

from tradepost.events import store
from tradepost.events.relay import RELAY
from tradepost.kernel.tx import Tx

AGE_MS_MAX = 60_000
EVENTS_MAX = 100_000

log = logging.getLogger("tradepost.events")


class Outbox(msgspec.Struct, frozen=True):
    """One shard: how many sequence numbers lie behind the cursor, and since when the first of them waits (0: none)."""

    waiting: int
    oldest_at_ms: int


def read_outbox(tx: Tx) -> Outbox:
    """The outbox of this shard, by indexes only. The count may contain gaps and events that nobody wants."""
    cursor, _ = store.relay_position(tx, RELAY)
    head = store.head(tx)
    first = store.scan(tx, cursor, head, 1) if head > cursor else []
    return Outbox(max(0, head - cursor), first[0].at_ms if first else 0)


class OutboxAlarm:
    """Says when the outbox is older or longer than it should be: once when it begins, once when it is over."""

    def __init__(self, age_ms_max: int = AGE_MS_MAX, events_max: int = EVENTS_MAX) -> None:
        self._age_ms_max = age_ms_max
        self._events_max = events_max
        self._rings = False

    def look(self, outboxes: Iterable[Outbox], now_ms: int) -> dict[str, int]:
        """Gauges of all shards together; `outbox_alarm` is 1 beyond the bounds. Orders are taken all the same."""
        seen = list(outboxes)
        events = sum(outbox.waiting for outbox in seen)
        age_ms = max((now_ms - outbox.oldest_at_ms for outbox in seen if outbox.oldest_at_ms), default=0)
        rings = age_ms > self._age_ms_max or events > self._events_max
        if rings != self._rings:
            level = logging.ERROR if rings else logging.WARNING
            words = "is behind" if rings else "is in time again"
            log.log(level, "the outbox %s: %s events, the oldest waits for %s ms", words, events, age_ms)
            self._rings = rings
        return {"outbox_events": events, "outbox_age_ms": max(0, age_ms), "outbox_alarm": int(rings)}
