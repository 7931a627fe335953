"""What orders do when payments and packages move, and how sellers' lists follow the orders."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from tradepost.kernel.events import Consumer, EventRow
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Row, Tx
from tradepost.trade.orders import api, rules
from tradepost.trade.orders.model import CANCELLED, COMPLETED, LineQuantity, Order


class _Payment(msgspec.Struct):
    order_ids: tuple[str, ...]


class _Package(msgspec.Struct):
    package_id: str
    order_id: str
    lines: tuple[LineQuantity, ...]


class _Moved(msgspec.Struct):
    state: str = ""
    currency: str = ""
    total_minor: int = 0


_payment = msgspec.json.Decoder(_Payment)
_package = msgspec.json.Decoder(_Package)
_moved = msgspec.json.Decoder(_Moved)
_STAGE_OF = {
    "package.packed.v1": "packed",
    "package.collected.v1": "shipped",
    "package.delivered.v1": "delivered",
}
_STATE_OF = {
    "order.cancelled.v1": CANCELLED,
    "order.paid_late.v1": CANCELLED,
    "order.completed.v1": COMPLETED,
}


def follow_payments(tx: Tx, rows: Sequence[EventRow]) -> None:
    """Paid, or set aside where money is taken at shipment: constant statements, however many orders."""
    inputs: list[api.Input] = []
    for row in rows:
        decide = rules.pay if row.type == "payment.captured.v1" else rules.authorize
        paid = partial(decide, at_ms=row.at_ms)
        inputs += [(order_id, row.at_ms, paid) for order_id in _payment.decode(row.payload).order_ids]
    api.change_orders(tx, inputs)


def follow_packages(tx: Tx, rows: Sequence[EventRow]) -> None:
    """Packed, collected and delivered units move the order."""
    inputs: list[api.Input] = []
    for row in rows:
        package = _package.decode(row.payload)

        def carried(
            order: Order,
            stage: str = _STAGE_OF[row.type],
            package: _Package = package,
            at_ms: int = row.at_ms,
        ) -> rules.Change:
            return rules.carry(order, stage, package.package_id, package.lines, at_ms)

        inputs.append((package.order_id, row.at_ms, carried))
    api.change_orders(tx, inputs)


def follow_orders(tx: Tx, rows: Sequence[EventRow]) -> None:
    """Keep sellers' lists: of several events of one order only the newest is written."""
    latest: dict[str, tuple[str, str, str, int]] = {}
    placed: dict[str, Row] = {}
    for row in rows:
        order_id = row.aggregate_id
        fact = _moved.decode(row.payload)
        if row.type == "order.placed.v1":
            placed[order_id] = (fact.currency, fact.total_minor, row.at_ms)
        known = latest.get(order_id)
        if known is None or known[3] < row.version:
            state = _STATE_OF.get(row.type) or fact.state
            latest[order_id] = (row.seller_id, order_id, state, row.version)
    api.project_sellers(tx, latest.values(), placed)


CONSUMERS = [
    Consumer("orders.payments", ("payment.authorized.v1", "payment.captured.v1"), follow_payments),
    Consumer("orders.packages", tuple(_STAGE_OF), follow_packages),
    Consumer(
        "orders.seller_view",
        (
            "order.placed.v1",
            "order.paid.v1",
            "order.released.v1",
            "order.lines_cancelled.v1",
            "order.cancelled.v1",
            "order.packed.v1",
            "order.shipped.v1",
            "order.delivered.v1",
            "order.completed.v1",
            "order.returned.v1",
            "order.paid_late.v1",
        ),
        follow_orders,
        lambda row: [gene_of(row.seller_id)],
    ),
]
