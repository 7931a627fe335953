"""Counting units: what is open, what stock lies behind it, and what giving units back is worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.money import divide
from tradepost.trade.orders.basis import Redemption
from tradepost.trade.orders.model import (
    LineProgress,
    LineQuantity,
    NewOrder,
    Order,
    OrderBody,
    Progress,
    StockItem,
)
from tradepost.trade.promotion import Reissue

CANCELLED, REFUNDED = Reissue.CANCELLED.value, Reissue.REFUNDED.value
_encode_body = msgspec.json.Encoder().encode
_decode_body = msgspec.json.Decoder(OrderBody).decode

declare_problems(
    {
        "orders.not_found": (Kind.NOT_FOUND, "No such order", "Copy the id as the API returned it."),
        "orders.line_unknown": (
            Kind.UNPROCESSABLE,
            "The order has no such line",
            "Use the line numbers of the order.",
        ),
        "orders.quantity_invalid": (
            Kind.INVALID,
            "Quantity out of range",
            "Send each line once, with a whole number of one or more.",
        ),
        "orders.quantity_exceeds": (
            Kind.CONFLICT,
            "More than is open on the line",
            "Read the order again: `open` is what can still be cancelled.",
        ),
        "orders.reason_missing": (
            Kind.INVALID,
            "A reason is needed",
            "Send a reason code of 1 to 60 letters.",
        ),
    }
)


def stock_of(body: OrderBody, lines: Iterable[LineQuantity]) -> tuple[StockItem, ...]:
    """The stock units behind so many units of lines: kits expanded, summed per SKU."""
    wanted = {item.line_no: item.quantity for item in lines}
    found: dict[str, int] = {}
    for line in body.lines:
        quantity = wanted.get(line.line_no, 0)
        if quantity:
            for unit in line.components:
                found[unit.sku_id] = found.get(unit.sku_id, 0) + unit.quantity * quantity
    return tuple(StockItem(sku_id, quantity) for sku_id, quantity in found.items())


def reissued(body: OrderBody, *, refunded: bool = False) -> tuple[StockItem, ...]:
    """The uses of campaigns that an order gives back when it is cancelled, or when all of it was `refunded`."""
    wanted = (REFUNDED,) if refunded else (CANCELLED, REFUNDED)
    return tuple([StockItem(one.limit_id, one.quantity) for one in body.redemptions if one.reissue in wanted])


def body_of(order: NewOrder) -> OrderBody:
    """What was agreed, of an order that is yet to be written."""
    return _decode_body(order.body)


def with_redemptions(order: NewOrder, redemptions: Sequence[Redemption]) -> NewOrder:
    """The order as it is to be written, with the uses of campaigns that were chosen for it."""
    body = msgspec.structs.replace(_decode_body(order.body), redemptions=tuple(redemptions))
    return msgspec.structs.replace(order, body=_encode_body(body))


def full_progress(order: Order) -> Progress:
    """Progress with an entry per line, also for an order that has not moved yet."""
    return order.progress or (LineProgress(),) * len(order.body.lines)


def open_lines(order: Order) -> tuple[LineQuantity, ...]:
    """What is neither cancelled nor packed, per line; lines with nothing open are left out."""
    return tuple(
        LineQuantity(line.line_no, line.quantity - done.cancelled - done.packed)
        for line, done in zip(order.body.lines, full_progress(order), strict=True)
        if line.quantity > done.cancelled + done.packed
    )


def share(total_minor: int, quantity: int, units: int) -> int:
    """What the first `units` of a line's `quantity` cost: rounded once, so that all units cost the line's total."""
    return divide(total_minor * units, quantity)


def given_back(order: Order) -> int:
    """What of the lines' totals cancelled and returned units have been worth so far, in minor units."""
    return sum(
        share(line.total_minor, line.quantity, done.cancelled + done.returned)
        for line, done in zip(order.body.lines, full_progress(order), strict=True)
    )


def refund_for(order: Order, lines: Iterable[LineQuantity]) -> int:
    """What giving these units back is worth beyond all that was given back before, in minor units."""
    progress = full_progress(order)
    amount = 0
    for item in lines:
        line, done = order.body.lines[item.line_no - 1], progress[item.line_no - 1]
        before = done.cancelled + done.returned
        amount += share(line.total_minor, line.quantity, before + item.quantity)
        amount -= share(line.total_minor, line.quantity, before)
    return amount


def check_lines(order: Order, lines: Sequence[LineQuantity]) -> None:
    """Raise a Refusal unless each line is known and named once, with one unit or more."""
    seen: set[int] = set()
    for index, item in enumerate(lines):
        if not 1 <= item.line_no <= len(order.body.lines):
            raise Refusal(
                "orders.line_unknown",
                f"Order {order.order_id} has no line {item.line_no}.",
                field=f"lines[{index}].line_no",
                expected=f"1 to {len(order.body.lines)}",
            )
        if item.quantity < 1 or item.line_no in seen:
            raise _quantity_invalid(f"lines[{index}].quantity")
        seen.add(item.line_no)
    if not lines:
        raise _quantity_invalid("lines")


def _quantity_invalid(field: str) -> Refusal:
    return Refusal(
        "orders.quantity_invalid",
        "Each line is named once, with one unit or more.",
        field=field,
        expected="1 or more",
    )


def advance(progress: Progress, stage: str, lines: Iterable[LineQuantity]) -> Progress:
    """Progress with these units counted at a stage: cancelled, packed, shipped, delivered or returned."""
    counted = list(progress)
    for item in lines:
        done = counted[item.line_no - 1]
        amount = getattr(done, stage) + item.quantity
        counted[item.line_no - 1] = msgspec.structs.replace(done, **{stage: amount})
    return tuple(counted)
