"""An order from its log alone: the proof that every change was recorded."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.events import EventRow
from tradepost.trade.orders.model import (
    CANCELLED,
    COMPLETED,
    Cancellation,
    LineProgress,
    OrderCancelled,
    OrderCompleted,
    OrderDelivered,
    OrderLinesCancelled,
    OrderPacked,
    OrderPaid,
    OrderPaidLate,
    OrderPlaced,
    OrderReleased,
    OrderReturned,
    OrderShipped,
    Progress,
)
from tradepost.trade.orders.units import advance


class Rebuilt(msgspec.Struct, frozen=True):
    """What a log alone tells of an order."""

    state: str
    version: int
    deadline_at_ms: int
    progress: Progress
    cancellation: Cancellation | None


def rebuild(rows: Sequence[EventRow]) -> Rebuilt:
    """State, version, deadline and progress from an order's whole log, in order of version.

    Raises ValueError when the log has a gap, does not begin with the placement, or holds a foreign event.
    """
    if [row.version for row in rows] != list(range(1, len(rows) + 1)):
        raise ValueError("the log has a gap")
    placed = rows[0].data() if rows else None
    if not isinstance(placed, OrderPlaced):
        raise ValueError("the log does not begin with the placement")
    lines = (LineProgress(),) * len(placed.lines)
    order = Rebuilt(placed.state, 1, placed.deadline_at_ms, lines, None)
    for row in rows[1:]:
        order = msgspec.structs.replace(_follow(order, row.data()), version=row.version)
    return order


_STAGE_OF = {
    OrderLinesCancelled: "cancelled",
    OrderPacked: "packed",
    OrderShipped: "shipped",
    OrderDelivered: "delivered",
    OrderReturned: "returned",
}


def _follow(order: Rebuilt, fact: object) -> Rebuilt:
    replace = msgspec.structs.replace
    match fact:
        case OrderPaid():
            return replace(order, state=fact.state, deadline_at_ms=fact.deadline_at_ms)
        case OrderReleased():
            return replace(order, state=fact.state, deadline_at_ms=fact.ship_by_at_ms)
        case OrderCancelled():
            return replace(
                order,
                state=CANCELLED,
                deadline_at_ms=0,
                progress=advance(order.progress, "cancelled", fact.lines),
                cancellation=Cancellation(fact.initiator, fact.reason, fact.refund_minor),
            )
        case OrderLinesCancelled() | OrderPacked() | OrderShipped() | OrderDelivered() | OrderReturned():
            return replace(
                order,
                state=fact.state,
                deadline_at_ms=fact.deadline_at_ms,
                progress=advance(order.progress, _STAGE_OF[type(fact)], fact.lines),
            )
        case OrderCompleted():
            return replace(order, state=COMPLETED, deadline_at_ms=0)
        case OrderPaidLate():
            return order
        case _:
            raise ValueError(f"{type(fact).__name__} does not belong to an order's log")
