"""Bugs to plant: each a small change somebody could make by mistake, and none that a single test would notice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from tradepost.events import consuming, inbox
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Signal, Tx
from tradepost.testing.simulation.storage import FragileEngine
from tradepost.trade import inventory
from tradepost.trade.aftersales import valuing
from tradepost.trade.checkout import Context, limits, redeeming
from tradepost.trade.checkout.model import Placement
from tradepost.trade.creators import accounting
from tradepost.trade.inventory import store as stock
from tradepost.trade.payments import refund_rules, tenders
from tradepost.trade.payments.model import Share

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


def cent_lost(patch: pytest.MonkeyPatch) -> type[FragileEngine]:
    """Each unit of a case is worth its own rounded part: what does not divide is given back to nobody."""
    patch.setattr(valuing, "share", lambda total, quantity, units: total // quantity * units)
    return FragileEngine


def bank_forgotten(patch: pytest.MonkeyPatch) -> type[FragileEngine]:
    """What a bank holds or took may be refunded once more."""

    def available(share: Share) -> int:
        return share.captured - share.refunded - share.returning

    patch.setattr(refund_rules, "available_minor", available)
    patch.setattr(refund_rules, "hold_minor", lambda share, owed: 0)
    return FragileEngine


def limit_too_wide(patch: pytest.MonkeyPatch) -> type[FragileEngine]:
    """A coupon's limit lets one more through than it says."""
    share_of = limits.share_of
    patch.setattr(limits, "share_of", lambda bound, bucket: share_of(bound, bucket) + (bucket == 0 < bound))
    return FragileEngine


def limit_looked_at(patch: pytest.MonkeyPatch) -> type[FragileEngine]:
    """A coupon's limit is looked at before the order and counted after it: two at once or a crash: one off."""

    async def look_then_count(context: Context, placement: Placement, place: Any) -> Any:
        whole = redeeming.with_buckets(placement, {use: 0 for use in placement.limits})
        counted = whole.hold.demands[: len(placement.limits)]
        for demand in counted:
            shard = context.db.shard_of(gene_of(demand.sku_id))
            change = next(
                limits.opening_of(use, 0, placement.buyer_id, placement.at_ms)
                for use in placement.limits
                if limits.limit_id(use, 0, placement.buyer_id) == demand.sku_id
            )
            await context.db.transact(shard, inventory.receive, [change])
            [level] = await context.db.read(shard, inventory.levels, [demand.sku_id])
            if level.available < demand.quantity:
                raise redeeming.refuse_reached(placement.limits[0])
        answer = await place(context, replace(whole, hold=placement.hold, limits=()))
        for demand in counted:
            request = replace(placement.hold, demands=(demand,))
            with contextlib.suppress(Refusal):
                await context.db.batch(context.db.shard_of(gene_of(demand.sku_id)), inventory.HOLD, request)
        return answer

    patch.setattr(redeeming, "place_limited", look_then_count)
    return FragileEngine


def clawback_forgotten(patch: pytest.MonkeyPatch) -> type[FragileEngine]:
    """What a creator has is not taken back with the goods."""

    def forgetting(shrink: Any) -> Any:
        return lambda line, kept: shrink(line, kept) if line.state != "SETTLED" else (line, None)

    for way in ("shrink", "shrink_base"):  # by units, and by what is still paid
        patch.setattr(accounting, way, forgetting(getattr(accounting, way)))
    return FragileEngine


def part_kept(patch: pytest.MonkeyPatch) -> type[FragileEngine]:
    """Store credit that was set aside for a payment which ended unpaid stays where it is."""
    patch.setattr(tenders, "release", lambda payment: (payment, 0))
    return FragileEngine


def tender_forgotten(patch: pytest.MonkeyPatch) -> type[FragileEngine]:
    """A refund gives everything back through the provider, also what store credit had paid."""
    patch.setattr(tenders, "stored_part", lambda payment, share, amount: 0)
    return FragileEngine


PLANTS: dict[str, Plant] = {
    "guard removed": guard_removed,
    "inbox off": inbox_off,
    "outbox late": outbox_late,
    "cap removed": cap_removed,
    "limit too wide": limit_too_wide,
    "limit looked at": limit_looked_at,
    "cent lost in a split": cent_lost,
    "chargeback doubles a refund": bank_forgotten,
    "commission not clawed back": clawback_forgotten,
    "store credit kept": part_kept,
    "refund to the wrong tender": tender_forgotten,
}
"""All of them by name."""
