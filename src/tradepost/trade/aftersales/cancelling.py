"""Cancel an order or some of its units: the order gives them up, fulfilment lets go of them, money goes back."""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.trade import fulfilment, orders, payments
from tradepost.trade.aftersales import rules, store
from tradepost.trade.aftersales.gifts import with_gifts_open
from tradepost.trade.orders import LineQuantity, Order

SHIP_BY_AGAIN_MS = 3_600_000


def cancel_order(tx: Tx, order_id: str, initiator: str, reason: str, at_ms: int) -> Order:
    """Cancel a whole order before anything is packed. The same cancellation again is answered as it stands.

    Raises `orders.not_found`, `orders.reason_missing`, `aftersales.cancel_too_late`,
    `aftersales.initiator_unknown`, `fulfilment.packed`, `state.conflict`.
    """
    order = orders.get_order(tx, order_id)
    known = order.cancellation
    if known is not None and (known.initiator, known.reason) == (initiator, reason):
        return order
    rules.accept_cancel(order, initiator, whole=True)
    _withdraw(tx, order, None)
    return orders.cancel_order(tx, order_id, initiator, reason, at_ms)


def cancel_lines(
    tx: Tx, order_id: str, lines: Sequence[LineQuantity], initiator: str, reason: str, at_ms: int
) -> Order:
    """Take units off an order that are not packed, with the gifts that they had earned; the last ones cancel it.

    Raises what `cancel_order` does, and `orders.line_unknown`, `orders.quantity_invalid`,
    `orders.quantity_exceeds`.
    """
    order = orders.get_order(tx, order_id)
    rules.accept_cancel(order, initiator, whole=False)
    orders.check_lines(order, lines)
    lines = with_gifts_open(order, lines, initiator)
    after = orders.cancel_lines(tx, order_id, lines, initiator, reason, at_ms)
    _withdraw(tx, order, lines)
    _give_back_shipping(tx, after, at_ms)
    return after


def _give_back_shipping(tx: Tx, order: Order, at_ms: int) -> None:
    """The rest of an order that came back in part was cancelled: with the last unit goes what is left of shipping."""
    if order.state == "CANCELLED" or not order.payment_id:
        return
    units = zip(order.body.lines, orders.full_progress(order), strict=True)
    cases = store.returns_of_order(tx, order.order_id)
    left = order.body.shipping_minor - sum(case.shipping_minor for case in cases)
    if left > 0 and all(
        line.gift is not None or line.quantity == done.cancelled + done.returned for line, done in units
    ):
        request = payments.RefundRequest(
            refund_id=payments.derive_refund_id(order.order_id, "shipping"),
            payment_id=order.payment_id,
            order_id=order.order_id,
            amount_minor=left,
            reason="shipping",
            at_ms=at_ms,
        )
        payments.request_owed(tx, request)


def cancel_unshipped(tx: Tx, order_id: str, now_ms: int) -> None:
    """End an order whose ship-by moment has passed with nothing packed; look again in an hour otherwise."""
    order = orders.get_order(tx, order_id)
    if order.state != "AWAITING_SHIPMENT" or not 0 < order.deadline_at_ms <= now_ms:
        return
    try:
        cancel_order(tx, order_id, "SYSTEM", "not_shipped", now_ms)
    except Refusal as refusal:
        if refusal.code != "fulfilment.packed":
            raise
        orders.defer_deadline(tx, order_id, now_ms + SHIP_BY_AGAIN_MS)


def _withdraw(tx: Tx, order: Order, lines: Sequence[LineQuantity] | None) -> None:
    """Fulfilment lets go. It may not have heard of the release yet: then its work is opened here, from the order."""
    if order.state not in ("AWAITING_SHIPMENT", "PARTIALLY_SHIPPING"):
        return
    progress = orders.full_progress(order)
    released = [
        fulfilment.OpenLine(
            line.line_no,
            line.quantity - done.cancelled,
            tuple(fulfilment.Unit(unit.sku_id, unit.quantity) for unit in line.components),
        )
        for line, done in zip(order.body.lines, progress, strict=True)
        if line.quantity > done.cancelled
    ]
    work = fulfilment.NewFulfilment(
        order_id=order.order_id,
        buyer_id=order.buyer_id,
        seller_id=order.seller_id,
        ship_by_at_ms=order.deadline_at_ms,
        lines=tuple(released),
    )
    fulfilment.open_fulfilments(tx, [work])
    wanted = None if lines is None else [fulfilment.PackLine(li.line_no, li.quantity) for li in lines]
    fulfilment.withdraw(tx, order.order_id, wanted)
