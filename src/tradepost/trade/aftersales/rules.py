"""Pure decisions on cancellations and returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Event
from tradepost.trade.aftersales.model import (
    APPROVED,
    REQUESTED,
    RETURN_STATES,
    Return,
    ReturnApproved,
    ReturnClosed,
    ReturnReceived,
    ReturnRefunded,
    ReturnRefused,
    ReturnRequested,
)
from tradepost.trade.orders import LineQuantity, Order, check_lines, check_reason, full_progress, stock_of

INITIATORS = ("BUYER", "SELLER", "OPERATOR", "SYSTEM")
_FREE = ("UNPAID", "ON_HOLD", "AWAITING_SHIPMENT")
_SHIPPING = ("PARTIALLY_SHIPPING", "AWAITING_COLLECTION", "IN_TRANSIT", "DELIVERED")
_replace = msgspec.structs.replace


def accept_cancel(order: Order, initiator: str, *, whole: bool) -> None:
    """Whether this party may cancel now. Raises `aftersales.cancel_too_late`, `.initiator_unknown`.

    Everybody may until something is packed; then sellers and operators may still take off what is not packed.
    """
    if initiator not in INITIATORS:
        raise Refusal(
            "aftersales.initiator_unknown",
            f"{initiator[:20]!r} is no initiator.",
            field="initiator",
            expected=" or ".join(INITIATORS),
        )
    rest = order.state == "PARTIALLY_SHIPPING" and not whole and initiator != "BUYER"
    if order.state in _SHIPPING and not rest:
        raise Refusal(
            "aftersales.cancel_too_late",
            f"Order {order.order_id} is {order.state}.",
            expected=" or ".join(_FREE),
            extra={"state": order.state},
        )


def returnable(order: Order, returns: Iterable[Return]) -> dict[int, int]:
    """Units by line that were delivered, did not come back and are in no open return."""
    waiting: dict[int, int] = {}
    for item in returns:
        if item.state in (REQUESTED, APPROVED):
            for line in item.lines:
                waiting[line.line_no] = waiting.get(line.line_no, 0) + line.quantity
    return {
        line.line_no: done.delivered - done.returned - waiting.get(line.line_no, 0)
        for line, done in zip(order.body.lines, full_progress(order), strict=True)
    }


def accept_return(order: Order, returns: Sequence[Return], lines: Sequence[LineQuantity]) -> None:
    """Whether these units can come back. Raises `returns.not_delivered`, `returns.quantity_exceeds`.

    And `orders.line_unknown`, `orders.quantity_invalid`.
    """
    check_lines(order, lines)
    left = returnable(order, returns)
    progress = full_progress(order)
    for index, item in enumerate(lines):
        if progress[item.line_no - 1].delivered == 0:
            raise Refusal(
                "returns.not_delivered",
                f"Nothing of line {item.line_no} is delivered.",
                field=f"lines[{index}].line_no",
            )
        if item.quantity > left[item.line_no]:
            raise Refusal(
                "returns.quantity_exceeds",
                f"Line {item.line_no} has {left[item.line_no]} to return, not {item.quantity}.",
                field=f"lines[{index}].quantity",
                extra={"line_no": item.line_no, "returnable": left[item.line_no]},
            )


def check_window(order: Order, delivered_at_ms: int, at_ms: int) -> None:
    """Raise Refusal `returns.window_closed` after the order's window, which 0 leaves open for ever."""
    window_ms = order.body.return_window_ms
    if window_ms and at_ms > delivered_at_ms + window_ms:
        raise Refusal(
            "returns.window_closed",
            f"Order {order.order_id} could be returned until {delivered_at_ms + window_ms}.",
            extra={"closed_at_ms": delivered_at_ms + window_ms},
        )


def request(
    order: Order, return_id: str, lines: Sequence[LineQuantity], reason: str, at_ms: int
) -> tuple[Return, Event]:
    """A new return. The caller has accepted its lines. Raises `orders.reason_missing`."""
    check_reason(reason)
    wanted = Return(
        return_id=return_id,
        order_id=order.order_id,
        buyer_id=order.buyer_id,
        seller_id=order.seller_id,
        state=REQUESTED,
        version=1,
        lines=tuple(lines),
        reason=reason,
        requested_at_ms=at_ms,
    )
    fact = ReturnRequested(return_id=return_id, order_id=order.order_id, reason=reason, lines=wanted.lines)
    return wanted, fact


def approve(item: Return) -> tuple[Return, Event]:
    """The seller agrees. Raises `state.conflict`."""
    fact = ReturnApproved(return_id=item.return_id, order_id=item.order_id)
    return _move(item, "approve"), fact


def refuse(item: Return, reason: str) -> tuple[Return, Event]:
    """The seller declines, with a reason. Raises `state.conflict`, `orders.reason_missing`."""
    moved = _move(item, "refuse")
    check_reason(reason)
    fact = ReturnRefused(return_id=item.return_id, order_id=item.order_id, reason=reason)
    return _replace(moved, decision=reason), fact


def close(item: Return) -> tuple[Return, Event]:
    """The buyer thinks again before the goods are back. Raises `state.conflict`."""
    return _move(item, "close"), ReturnClosed(return_id=item.return_id, order_id=item.order_id)


def receive(
    item: Return, order: Order, refund_minor: int, restock_pool: str, at_ms: int
) -> tuple[Return, Event]:
    """The goods are back and worth `refund_minor`. Raises `state.conflict`."""
    moved = _replace(
        _move(item, "receive"),
        received_at_ms=at_ms,
        refund_id=refund_id_of(item.return_id),
        refund_minor=refund_minor,
    )
    fact = ReturnReceived(
        return_id=item.return_id,
        order_id=item.order_id,
        lines=item.lines,
        stock=stock_of(order.body, item.lines),
        restock_pool=restock_pool,
        refund_id=moved.refund_id,
        refund_minor=refund_minor,
    )
    return moved, fact


def finish(item: Return) -> tuple[Return, Event]:
    """The buyer has the money. Raises `state.conflict`."""
    fact = ReturnRefunded(
        return_id=item.return_id,
        order_id=item.order_id,
        refund_id=item.refund_id,
        refund_minor=item.refund_minor,
    )
    return _move(item, "refund"), fact


def refund_id_of(return_id: str) -> str:
    """The refund of a return has its letters, so that a return is refunded once however often it is tried."""
    return f"ref_{return_id[-26:]}"


def return_id_of(refund_id: str) -> str:
    """The return that a refund belongs to, if it belongs to one."""
    return f"rtn_{refund_id[-26:]}"


def _move(item: Return, given: str) -> Return:
    return _replace(item, state=RETURN_STATES.next(item.state, given), version=item.version + 1)
