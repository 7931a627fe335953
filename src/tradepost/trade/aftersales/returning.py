"""Return goods: asked for, agreed to, received, refunded."""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Event, record
from tradepost.kernel.tx import Tx
from tradepost.trade import fulfilment, orders, payments
from tradepost.trade.aftersales import rules, store
from tradepost.trade.aftersales.model import RECEIVED, RESTOCK_POOL, Return
from tradepost.trade.orders import LineQuantity


def request_return(
    tx: Tx, order_id: str, return_id: str, lines: Sequence[LineQuantity], reason: str, at_ms: int
) -> Return:
    """Ask to give units back, under a new id on the order's gene. A known id is answered as it stands.

    Raises `orders.not_found`, `orders.line_unknown`, `orders.quantity_invalid`, `orders.reason_missing`,
    `returns.not_delivered`, `returns.quantity_exceeds`, `returns.window_closed`, `returns.id_taken`.
    """
    return _request(tx, order_id, return_id, lines, reason, at_ms, goodwill=False)


def accept_return(
    tx: Tx,
    order_id: str,
    return_id: str,
    lines: Sequence[LineQuantity],
    reason: str,
    at_ms: int,
    restock_pool: str = RESTOCK_POOL,
) -> Return:
    """Goods over the counter: requested, approved, received and their refund asked for, in one step.

    The seller does this, so the window for returns does not bind. Raises what `request_return` does else.
    """
    item = _request(tx, order_id, return_id, lines, reason, at_ms, goodwill=True)
    if item.state == "REQUESTED":
        item = approve_return(tx, return_id, at_ms)
    if item.state == "APPROVED":
        item = receive_return(tx, return_id, at_ms, restock_pool)
    return item


def approve_return(tx: Tx, return_id: str, at_ms: int) -> Return:
    """The seller agrees. Raises `returns.not_found`, `state.conflict`."""
    item = get_return(tx, return_id)
    after, fact = rules.approve(item)
    return _save(tx, item, after, [fact], at_ms)


def refuse_return(tx: Tx, return_id: str, reason: str, at_ms: int) -> Return:
    """The seller declines. Raises `returns.not_found`, `orders.reason_missing`, `state.conflict`."""
    item = get_return(tx, return_id)
    after, fact = rules.refuse(item, reason)
    return _save(tx, item, after, [fact], at_ms)


def close_return(tx: Tx, return_id: str, at_ms: int) -> Return:
    """The buyer keeps the goods. Raises `returns.not_found`, `state.conflict`."""
    item = get_return(tx, return_id)
    after, fact = rules.close(item)
    return _save(tx, item, after, [fact], at_ms)


def receive_return(tx: Tx, return_id: str, at_ms: int, restock_pool: str = RESTOCK_POOL) -> Return:
    """The goods are back: count them, restock them, ask for their refund, all in this commit.

    Raises `returns.not_found`, `state.conflict` and what `payments.request_refund` refuses.
    """
    item = get_return(tx, return_id)
    order = orders.get_order(tx, item.order_id)
    refund_minor = orders.refund_for(order, item.lines)
    if order.payment_id and refund_minor:
        left = payments.find_refundable(tx, order.payment_id, order.order_id)
        refund_minor = (
            refund_minor if left is None else min(refund_minor, left)
        )  # a goodwill refund came first
    after, fact = rules.receive(item, order, refund_minor, restock_pool, at_ms)
    facts = [fact]
    if refund_minor == 0:
        after, refunded = rules.finish(after)
        facts.append(refunded)
    orders.record_returned(tx, order.order_id, return_id, item.lines, at_ms)
    saved = _save(tx, item, after, facts, at_ms)
    if refund_minor:
        request = payments.RefundRequest(
            refund_id=after.refund_id,
            payment_id=order.payment_id,
            order_id=order.order_id,
            amount_minor=refund_minor,
            reason="return",
            at_ms=at_ms,
        )
        payments.request_refund(tx, request)
    return saved


def finish_returns(tx: Tx, refund_ids: Sequence[tuple[str, int]]) -> None:
    """The buyer has these (refund id, moment) back; refunds of something else than returns are left alone."""
    moments = {rules.return_id_of(refund_id): at_ms for refund_id, at_ms in refund_ids}
    changed: list[tuple[int, Return]] = []
    for item in store.find_returns(tx, list(moments)):
        if item.state == RECEIVED:
            after, fact = rules.finish(item)
            changed.append((item.version, after))
            at_ms = moments[item.return_id]
            tx.emit([record(fact, item.return_id, after.version, at_ms, item.buyer_id, item.seller_id)])
    if changed:
        store.update_returns(tx, changed)


def get_return(tx: Tx, return_id: str) -> Return:
    """One return. Raises Refusal `returns.not_found`."""
    found = store.find_returns(tx, [return_id])
    if not found:
        raise Refusal("returns.not_found", f"There is no return {return_id[:60]!r}.", field="return_id")
    return found[0]


def list_returns(tx: Tx, order_id: str) -> list[Return]:
    """The returns of an order, oldest first."""
    return store.returns_of_order(tx, order_id)


def returnable_lines(tx: Tx, order_id: str) -> tuple[LineQuantity, ...]:
    """What can be returned of an order now, by line. Raises `orders.not_found`."""
    order = orders.get_order(tx, order_id)
    left = rules.returnable(order, store.returns_of_order(tx, order_id))
    return tuple(LineQuantity(line_no, quantity) for line_no, quantity in left.items() if quantity)


def _request(
    tx: Tx,
    order_id: str,
    return_id: str,
    lines: Sequence[LineQuantity],
    reason: str,
    at_ms: int,
    *,
    goodwill: bool,
) -> Return:
    order = orders.get_order(tx, order_id)
    known = store.returns_of_order(tx, order_id)
    for item in known:
        if item.return_id == return_id:
            if item.lines != tuple(lines):
                raise Refusal("returns.id_taken", f"{return_id} names a return of other lines.")
            return item
    rules.accept_return(order, known, lines)
    if not goodwill:
        named = {line.line_no for line in lines}
        parcels = fulfilment.list_packages(tx, order_id)
        delivered_at_ms = max(
            parcel.delivered_at_ms
            for parcel in parcels
            if parcel.delivered_at_ms and named & {line.line_no for line in parcel.lines}
        )
        rules.check_window(order, delivered_at_ms, at_ms)
    wanted, fact = rules.request(order, return_id, lines, reason, at_ms)
    store.insert_return(tx, wanted)
    _emit(tx, wanted, [fact], at_ms)
    return wanted


def _save(tx: Tx, before: Return, after: Return, facts: Sequence[Event], at_ms: int) -> Return:
    store.update_returns(tx, [(before.version, after)])
    _emit(tx, after, facts, at_ms)
    return after


def _emit(tx: Tx, item: Return, facts: Sequence[Event], at_ms: int) -> None:
    first = item.version - len(facts) + 1
    tx.emit(
        record(fact, item.return_id, version, at_ms, item.buyer_id, item.seller_id)
        for version, fact in enumerate(facts, first)
    )
