"""What payments do when orders end and packages leave, and the calls that follow from refunds."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.events import Consumer, EventRow, Task
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World
from tradepost.trade.payments import commands, refunding, store
from tradepost.trade.payments.model import LATE_PAYMENT, LINES_CANCELLED, ORDER_CANCELLED
from tradepost.trade.payments.port import Providers
from tradepost.trade.payments.sheet import Sheet
from tradepost.trade.payments.stored import value

_REASONS = {
    "order.cancelled.v1": ORDER_CANCELLED,
    "order.lines_cancelled.v1": LINES_CANCELLED,
    "order.paid_late.v1": LATE_PAYMENT,
}


class _OrderEnded(msgspec.Struct, frozen=True):
    order_id: str
    payment_id: str = ""
    refund_minor: int = 0


class _Units(msgspec.Struct, frozen=True):
    line_no: int
    quantity: int


class _Collected(msgspec.Struct, frozen=True):
    order_id: str
    lines: tuple[_Units, ...] = ()
    all_collected: bool = False


_order_ended = msgspec.json.Decoder(_OrderEnded)
_collected = msgspec.json.Decoder(_Collected)


def follow_orders(tx: Tx, rows: Sequence[EventRow]) -> None:
    """Give back what was taken for cancelled orders, and never take the rest."""
    facts = [(row, _order_ended.decode(row.payload)) for row in rows]
    facts = [(row, fact) for row, fact in facts if fact.payment_id]
    sheet = Sheet(store.find_payments(tx, [fact.payment_id for _, fact in facts]))
    for row, fact in facts:
        minor = fact.refund_minor if row.type == "order.lines_cancelled.v1" else None
        payment = sheet.payment(fact.payment_id)
        change = commands.close_portion(payment, fact.order_id, minor, row.at_ms)
        sheet.apply(change, _REASONS[row.type], row.at_ms)
    sheet.write(tx)


def follow_packages(tx: Tx, rows: Sequence[EventRow]) -> None:
    """Plan the capture of what left, for payments that are captured on shipment."""
    facts = [(row, _collected.decode(row.payload)) for row in rows]
    payment_ids = store.find_shipments(tx, [fact.order_id for _, fact in facts])
    sheet = Sheet(store.find_payments(tx, list(payment_ids.values())))
    for row, fact in facts:
        if fact.order_id not in payment_ids:
            continue
        units: dict[int, int] = {}
        for line in fact.lines:
            units[line.line_no] = units.get(line.line_no, 0) + line.quantity
        payment = sheet.payment(payment_ids[fact.order_id])
        planned = commands.plan_shipment(
            payment, fact.order_id, units, fact.all_collected, row.event_id, row.at_ms
        )
        if planned is not None:
            sheet.put(planned)
    sheet.write(tx)


CONSUMERS = [
    Consumer("payments.orders", tuple(_REASONS), follow_orders),
    Consumer("payments.packages", ("package.collected.v1",), follow_packages),
    *value.CONSUMERS,
]


def tasks(db: Storage, world: World, providers: Providers) -> list[Task]:
    """The outside effects: a refund that was requested is asked of its provider."""

    async def call_refund(row: EventRow) -> None:
        await refunding.run_refund(db, world, providers, row.aggregate_id)

    return [Task("payments.refund", ("refund.requested.v1",), call_refund)]
