"""Commissions follow orders: begun when one is placed, looked at again whenever something happens to it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.events import Consumer, EventRow
from tradepost.kernel.tx import Tx
from tradepost.trade.creators import api

PLACED = "order.placed.v1"
_MARK = b'"creators"'
"""An order that no creator led to is told from its bytes: decoding each would cost every shop."""


class _Placed(msgspec.Struct):
    order_id: str
    seller_id: str
    payment_id: str
    market: str


class _Fact(msgspec.Struct):
    order_id: str = ""
    order_ids: tuple[str, ...] = ()
    state: str = ""


_placed = msgspec.json.Decoder(_Placed).decode
_fact = msgspec.json.Decoder(_Fact).decode


def follow_orders(tx: Tx, rows: Sequence[EventRow]) -> None:
    """Constant statements, however many; none at all for a page of orders without creators."""
    begun: list[tuple[str, str, str, str]] = []
    moved: list[tuple[str, int, bool]] = []
    at_ms = 0
    for row in rows:
        if row.type == PLACED:
            if _MARK in row.payload:
                fact = _placed(row.payload)
                begun.append((fact.order_id, fact.seller_id, fact.payment_id, fact.market))
                at_ms = row.at_ms
            continue
        told = _fact(row.payload)
        delivered = row.type == "order.completed.v1" or told.state in ("DELIVERED", "COMPLETED")
        moved += [(order_id, row.at_ms, delivered) for order_id in told.order_ids or (told.order_id,)]
    if begun:
        api.begin(tx, begun, at_ms)
    if moved:
        api.touch(tx, moved)


CONSUMERS = [
    Consumer(
        "creators.orders",
        (
            PLACED,
            "order.lines_cancelled.v1",
            "order.cancelled.v1",
            "order.delivered.v1",
            "order.completed.v1",
            "order.returned.v1",
            "return.replaced.v1",
            "return.refunded.v1",
            "return.owed_again.v1",
            "refund.succeeded.v1",
            "dispute.opened.v1",
            "dispute.won.v1",
            "dispute.lost.v1",
        ),
        follow_orders,
    ),
    Consumer("creators.earnings", ("commission.changed.v1",), api.show, api.genes_of_earners),
]
