"""Bugs to plant: each a small change somebody could make by mistake, and none that a single test would notice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tradepost.events import consuming, inbox
from tradepost.kernel.events import EventRow
from tradepost.kernel.tx import Signal, Tx
from tradepost.testing.simulation.storage import FragileEngine
from tradepost.trade.inventory import store as stock
from tradepost.trade.payments import refund_rules

Plant = Callable[[pytest.MonkeyPatch], type[FragileEngine]]


def guard_removed(patch: pytest.MonkeyPatch) -> type[FragileEngine]:
    """Stock is given away without asking how much is left: neither in memory nor in the statement."""
    free_units = stock.free_units

    def generous(tx: Tx, keys: Sequence[tuple[int, str]]) -> list[tuple[int, str, str, str, int]]:
        return [(*unit[:4], unit[4] + 1_000) for unit in free_units(tx, keys)]

    patch.setattr(stock, "free_units", generous)
    patch.setattr(stock, "_TAKE", stock._TAKE.replace("on_hand - held - reserved >= ?", "? > 0"))
    return FragileEngine


def inbox_off(patch: pytest.MonkeyPatch) -> type[FragileEngine]:
    """Consumers are called again for what they consumed before."""

    def unseen(position: Any, said: Any, pairs: Any) -> list[tuple[int, EventRow]]:
        return list(pairs)

    patch.setattr(consuming, "unseen", unseen)
    patch.setattr(inbox, "unsay", lambda tx, name, pairs: None)
    return FragileEngine


class LateOutbox(FragileEngine):
    """Writes events in a transaction of their own, after the one that made them true."""

    def begin(self, guarded: bool = False) -> None:
        self.late: list[EventRow] = []
        super().begin(guarded)

    def keep(self) -> None:
        self.late += self.tx.events
        self.tx.events.clear()
        super().keep()

    def commit(self) -> list[Signal]:
        signals = super().commit()
        if self.late:
            self._statement("BEGIN")
            self._statement("SAVEPOINT work")
            self.tx.events = self.late
            with contextlib.suppress(Exception):
                super().keep()
            self._statement("COMMIT")
            signals.append(Signal("events", str(self.tx.shard)))
        return signals


def outbox_late(patch: pytest.MonkeyPatch) -> type[FragileEngine]:
    """Events are written after the commit: a crash in between loses them."""
    return LateOutbox


def cap_removed(patch: pytest.MonkeyPatch) -> type[FragileEngine]:
    """Refunds are not held against what was taken."""
    patch.setattr(refund_rules, "accept_request", lambda request, share: None)
    return FragileEngine


PLANTS: dict[str, Plant] = {
    "guard removed": guard_removed,
    "inbox off": inbox_off,
    "outbox late": outbox_late,
    "cap removed": cap_removed,
}
"""All of them by name."""
