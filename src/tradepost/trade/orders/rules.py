"""Pure decisions on orders: what an input does to state, progress and money, and how a log rebuilds an order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Event, record
from tradepost.trade.orders.basis import Given, MissedGift
from tradepost.trade.orders.model import (
    AWAITING_SHIPMENT,
    CANCELLED,
    ON_HOLD,
    ON_SHIPMENT,
    ORDER_STATES,
    UNPAID,
    Cancellation,
    LineQuantity,
    NewOrder,
    Order,
    OrderBody,
    OrderCancelled,
    OrderCompleted,
    OrderDelivered,
    OrderLine,
    OrderLinesCancelled,
    OrderPacked,
    OrderPaid,
    OrderPaidLate,
    OrderPlaced,
    OrderReleased,
    OrderReturned,
    OrderShipped,
    PlacedLine,
    Progress,
    ReleasedLine,
)
from tradepost.trade.orders.units import (
    advance,
    check_lines,
    full_progress,
    given_back,
    open_lines,
    refund_for,
    reissued,
    stock_of,
)

BEFORE_SHIPMENT = (UNPAID, ON_HOLD, AWAITING_SHIPMENT)
"""States in which nothing is packed as far as the order knows."""
SHOWS_ADDRESS = frozenset(ORDER_STATES.states) - {UNPAID, ON_HOLD, CANCELLED}

encode_body = msgspec.json.Encoder().encode


def new_order(
    body: OrderBody,
    *,
    order_id: str,
    checkout_id: str,
    buyer_id: str,
    seller_id: str,
    market: str,
    currency: str,
    scene: str,
    payment_id: str,
    at_ms: int,
    payment_deadline_ms: int,
) -> NewOrder:
    """The order as it is to be written, with the events that open its log.

    A total of zero needs no payment: the order has no payment id, is placed paid, and released unless it has a
    remorse window. Raises ValueError when lines and shipping do not sum to the total: a defect of the caller.
    """
    _check_total(order_id, body)
    payment_id = payment_id if body.total_minor else ""
    state, deadline_at_ms, facts = _begin(order_id, body, at_ms, payment_deadline_ms)
    placed = OrderPlaced(
        order_id=order_id,
        checkout_id=checkout_id,
        payment_id=payment_id,
        buyer_id=buyer_id,
        seller_id=seller_id,
        market=market,
        currency=currency,
        total_minor=body.total_minor,
        state=state,
        deadline_at_ms=deadline_at_ms,
        lines=_placed_lines(body),
        creators=_creators(body),
        missed_gifts=missed_gifts(body) if body.missed_gifts else (),
    )
    log = enumerate([placed, *facts], 1)
    return NewOrder(
        order_id=order_id,
        checkout_id=checkout_id,
        buyer_id=buyer_id,
        seller_id=seller_id,
        market=market,
        currency=currency,
        scene=scene,
        state=state,
        total_minor=body.total_minor,
        placed_at_ms=at_ms,
        deadline_at_ms=deadline_at_ms,
        payment_id=payment_id,
        body=encode_body(body),
        events=tuple([record(fact, order_id, number, at_ms, buyer_id, seller_id) for number, fact in log]),
    )


def _begin(
    order_id: str, body: OrderBody, at_ms: int, payment_deadline_ms: int
) -> tuple[str, int, list[Event]]:
    if body.total_minor:
        return UNPAID, at_ms + payment_deadline_ms, []
    return _pay(order_id, "", body, _all_lines(body), at_ms)


def _all_lines(body: OrderBody) -> tuple[LineQuantity, ...]:
    return tuple([LineQuantity(line.line_no, line.quantity) for line in body.lines])


def _check_total(order_id: str, body: OrderBody) -> None:
    if sum([line.total_minor for line in body.lines]) + body.shipping_minor != body.total_minor:
        raise ValueError(f"{order_id}: the lines and shipping do not sum to {body.total_minor}")


def _creators(body: OrderBody) -> tuple[str, ...]:
    found = [line.creator_id for line in body.lines if line.creator_id]
    return tuple(dict.fromkeys(found)) if found else ()


def missed_gifts(body: OrderBody) -> tuple[MissedGift, ...]:
    """The gifts that were quoted with an order and sold out before it was placed."""
    return tuple([miss_gift(line, line.gift) for line in body.missed_gifts if line.gift is not None])


def miss_gift(line: OrderLine, gift: Given, why: str = "gift_sold_out") -> MissedGift:
    """A gift's line told as one that is not there."""
    return MissedGift(
        campaign_id=gift.campaign_id,
        code=gift.code,
        offer_id=line.offer_id,
        title=line.title,
        quantity=line.quantity,
        why=why,
    )


def _placed_lines(body: OrderBody) -> tuple[PlacedLine, ...]:
    return tuple([PlacedLine(li.line_no, li.sku_id, li.quantity, li.total_minor) for li in body.lines])


class Change(msgspec.Struct, frozen=True):
    """An order after an input, with the facts that say so (none when the input changes nothing)."""

    order: Order
    facts: tuple[Event, ...] = ()


def _moved(order: Order, facts: Sequence[Event], **fields: Any) -> Change:
    return Change(msgspec.structs.replace(order, version=order.version + len(facts), **fields), tuple(facts))


def _pay(
    order_id: str, payment_id: str, body: OrderBody, lines: Sequence[LineQuantity], at_ms: int
) -> tuple[str, int, list[Event]]:
    state, deadline_at_ms = _after_payment(body, at_ms)
    paid = OrderPaid(
        order_id=order_id,
        payment_id=payment_id,
        state=state,
        deadline_at_ms=deadline_at_ms,
        stock=stock_of(body, lines),
    )
    if state != AWAITING_SHIPMENT:
        return state, deadline_at_ms, [paid]
    return state, deadline_at_ms, [paid, _released(order_id, body, lines, deadline_at_ms)]


def _after_payment(body: OrderBody, at_ms: int) -> tuple[str, int]:
    if body.remorse_ms > 0:
        return ON_HOLD, at_ms + body.remorse_ms
    return AWAITING_SHIPMENT, _ship_by(body, at_ms)


def _ship_by(body: OrderBody, at_ms: int) -> int:
    return at_ms + body.ship_by_ms if body.ship_by_ms else 0


def _released(
    order_id: str, body: OrderBody, lines: Sequence[LineQuantity], deadline_at_ms: int
) -> OrderReleased:
    units = {line.line_no: line.components for line in body.lines}
    return OrderReleased(
        order_id=order_id,
        state=AWAITING_SHIPMENT,
        ship_by_at_ms=deadline_at_ms,
        lines=tuple(ReleasedLine(li.line_no, li.quantity, units[li.line_no]) for li in lines),
    )


def pay(order: Order, at_ms: int) -> Change:
    """The money is there. A cancelled order gives it back; one that is paid already is not changed."""
    if order.state == CANCELLED:
        ORDER_STATES.next(order.state, "pay late")
        amount = order.cancellation.refund_minor if order.cancellation else order.total_minor
        late = OrderPaidLate(order_id=order.order_id, payment_id=order.payment_id, amount_minor=amount)
        return _moved(order, [late])
    if order.state != UNPAID:
        return Change(order)
    lines = open_lines(order) if order.progress else _all_lines(order.body)
    state, deadline_at_ms, facts = _pay(order.order_id, order.payment_id, order.body, lines, at_ms)
    ORDER_STATES.next(order.state, "pay" if state == ON_HOLD else "pay and release")
    return _moved(order, facts, state=state, deadline_at_ms=deadline_at_ms)


def authorize(order: Order, at_ms: int) -> Change:
    """Funds are set aside: as good as paid when they are taken at shipment, nothing otherwise."""
    if order.body.capture != ON_SHIPMENT or order.state != UNPAID:
        return Change(order)
    return pay(order, at_ms)


def release(order: Order, at_ms: int) -> Change:
    """The remorse window is over. Raises Refusal `state.conflict` when the order is not on hold."""
    state = ORDER_STATES.next(order.state, "release")
    deadline_at_ms = _ship_by(order.body, at_ms)
    released = _released(order.order_id, order.body, open_lines(order), deadline_at_ms)
    return _moved(order, [released], state=state, deadline_at_ms=deadline_at_ms)


def cancel(order: Order, initiator: str, reason: str) -> Change:
    """End the whole order before anything is packed. Raises `state.conflict` or `orders.reason_missing`."""
    state = ORDER_STATES.next(order.state, "cancel")
    check_reason(reason)
    lines = open_lines(order)
    refund_minor = order.total_minor - given_back(order)
    cancelled = OrderCancelled(
        order_id=order.order_id,
        payment_id=order.payment_id,
        initiator=initiator,
        reason=reason,
        refund_minor=refund_minor,
        lines=lines,
        stock=stock_of(order.body, lines),
        limits=reissued(order.body) if order.body.redemptions else (),
    )
    return _moved(
        order,
        [cancelled],
        state=state,
        deadline_at_ms=0,
        progress=advance(full_progress(order), "cancelled", lines),
        cancellation=Cancellation(initiator, reason, refund_minor),
    )


def check_reason(reason: str) -> None:
    """Raise Refusal `orders.reason_missing` unless the reason has 1 to 60 letters."""
    if not 1 <= len(reason) <= 60:
        raise Refusal("orders.reason_missing", "The reason has 1 to 60 letters.", field="reason")


def cancel_lines(
    order: Order, lines: Sequence[LineQuantity], initiator: str, reason: str, at_ms: int
) -> Change:
    """Take units off the order that are not packed; the last of an order that never shipped cancels it whole.

    Raises `orders.line_unknown`, `orders.quantity_invalid`, `orders.quantity_exceeds`, `orders.reason_missing`,
    `state.conflict`.
    """
    ORDER_STATES.next(order.state, "cancel lines")
    check_reason(reason)
    check_lines(order, lines)
    still_open = {item.line_no: item.quantity for item in open_lines(order)}
    for index, item in enumerate(lines):
        if item.quantity > still_open.get(item.line_no, 0):
            raise Refusal(
                "orders.quantity_exceeds",
                f"Line {item.line_no} has {still_open.get(item.line_no, 0)} open, not {item.quantity}.",
                field=f"lines[{index}].quantity",
                extra={"line_no": item.line_no, "open": still_open.get(item.line_no, 0)},
            )
    if order.state in BEFORE_SHIPMENT and sum(still_open.values()) == sum(item.quantity for item in lines):
        return cancel(order, initiator, reason)
    progress = advance(full_progress(order), "cancelled", lines)
    state, deadline_at_ms = _where(order, progress, at_ms)
    cancelled = OrderLinesCancelled(
        order_id=order.order_id,
        payment_id=order.payment_id,
        initiator=initiator,
        reason=reason,
        refund_minor=refund_for(order, lines),
        state=state,
        deadline_at_ms=deadline_at_ms,
        lines=tuple(lines),
        stock=stock_of(order.body, lines),
    )
    return _moved(order, [cancelled], state=state, deadline_at_ms=deadline_at_ms, progress=progress)


def _where(order: Order, progress: Progress, at_ms: int) -> tuple[str, int]:
    """State and deadline that follow from progress; the state table has the last word."""
    pairs = list(zip(order.body.lines, progress, strict=True))
    packed = sum(done.packed for _, done in pairs)
    if packed == 0:
        return order.state, order.deadline_at_ms

    def all_at(stage: str) -> bool:
        return all(getattr(done, stage) == line.quantity - done.cancelled for line, done in pairs)

    stages = (("delivered", "all delivered"), ("shipped", "all collected"), ("packed", "all packed"))
    given = next((word for stage, word in stages if all_at(stage)), "part packed")
    state = ORDER_STATES.next(order.state, given)
    ends = order.body.complete_after_ms if given == "all delivered" else 0
    return state, at_ms + ends if ends else 0


_STAGES: Mapping[str, type[OrderPacked] | type[OrderShipped] | type[OrderDelivered]] = {
    "packed": OrderPacked,
    "shipped": OrderShipped,
    "delivered": OrderDelivered,
}


def carry(order: Order, stage: str, package_id: str, lines: Sequence[LineQuantity], at_ms: int) -> Change:
    """A package's units reached a stage: packed, shipped or delivered. Raises Refusal `state.conflict`."""
    progress = advance(full_progress(order), stage, lines)
    state, deadline_at_ms = _where(order, progress, at_ms)
    fact = _STAGES[stage](
        order_id=order.order_id,
        package_id=package_id,
        state=state,
        deadline_at_ms=deadline_at_ms,
        lines=tuple(lines),
    )
    return _moved(order, [fact], state=state, deadline_at_ms=deadline_at_ms, progress=progress)


def complete(order: Order) -> Change:
    """The time for complaints is over. Raises Refusal `state.conflict` when the order is not delivered."""
    state = ORDER_STATES.next(order.state, "complete")
    return _moved(order, [OrderCompleted(order_id=order.order_id)], state=state, deadline_at_ms=0)


def give_back(order: Order, return_id: str, lines: Sequence[LineQuantity]) -> Change:
    """Delivered units came back. The caller has checked them against what was delivered."""
    state = ORDER_STATES.next(order.state, "return")
    progress = advance(full_progress(order), "returned", lines)
    gone = order.body.redemptions and all(
        line.gift is not None or line.quantity == done.cancelled + done.returned
        for line, done in zip(order.body.lines, progress, strict=True)
    )
    returned = OrderReturned(
        order_id=order.order_id,
        return_id=return_id,
        state=state,
        deadline_at_ms=order.deadline_at_ms,
        lines=tuple(lines),
        limits=reissued(order.body, refunded=True) if gone else (),
    )
    return _moved(order, [returned], state=state, progress=progress)
