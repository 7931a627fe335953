"""A released order opens its fulfilment."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.events import Consumer, EventRow
from tradepost.kernel.tx import Tx
from tradepost.trade.fulfilment import api
from tradepost.trade.fulfilment.model import NewFulfilment, OpenLine


class _Released(msgspec.Struct):
    order_id: str
    ship_by_at_ms: int
    lines: tuple[OpenLine, ...]


_released = msgspec.json.Decoder(_Released)


def follow_orders(tx: Tx, rows: Sequence[EventRow]) -> None:
    """Open the work on each released order: two statements, however many."""
    works = []
    for row in rows:
        fact = _released.decode(row.payload)
        works.append(
            NewFulfilment(
                order_id=fact.order_id,
                buyer_id=row.buyer_id,
                seller_id=row.seller_id,
                ship_by_at_ms=fact.ship_by_at_ms,
                lines=fact.lines,
            )
        )
    api.open_fulfilments(tx, works)


CONSUMERS = [Consumer("fulfilment.orders", ("order.released.v1",), follow_orders)]
