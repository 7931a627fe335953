"""What others may call: transaction functions and queries on orders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow, record
from tradepost.kernel.ids import check_order_number, order_number
from tradepost.kernel.tx import Row, Tx
from tradepost.trade.orders import rules, store
from tradepost.trade.orders.model import (
    AWAITING_SHIPMENT,
    DELIVERED,
    ON_HOLD,
    SYSTEM,
    UNPAID,
    LineQuantity,
    NewOrder,
    Order,
    SellerOrder,
)

Input = tuple[str, int, Callable[[Order], rules.Change]]
"""(order id, moment, what to decide)."""


def open_orders(tx: Tx, orders: Sequence[NewOrder]) -> None:
    """Write new orders and the events that open their logs: one statement for all of them.

    Raises Taken when one of them stands already.
    """
    store.insert_orders(tx, orders)
    tx.emit(row for order in orders for row in order.events)


def change_orders(tx: Tx, inputs: Sequence[Input]) -> dict[str, Order]:
    """Apply inputs in turn, several of one order included: one select, one update, events. The orders after.

    Raises Refusal `orders.not_found` and whatever an input refuses; then nothing is changed.
    """
    before = store.find_orders(tx, (order_id for order_id, _, _ in inputs))
    after = dict(before)
    facts: list[EventRow] = []
    for order_id, at_ms, decide in inputs:
        order = after.get(order_id)
        if order is None:
            raise not_found(order_id)
        change = decide(order)
        facts += [
            record(fact, order_id, version, at_ms, order.buyer_id, order.seller_id)
            for version, fact in enumerate(change.facts, order.version + 1)
        ]
        after[order_id] = change.order
    changed = [
        (before[order_id].version, order)
        for order_id, order in after.items()
        if order.version != before[order_id].version
    ]
    if changed:
        store.update_orders(tx, changed)
        tx.emit(facts)
    return after


def not_found(order_id: str) -> Refusal:
    """The refusal of an id that names no order."""
    return Refusal("orders.not_found", f"There is no order {order_id[:60]!r}.", field="order_id")


def get_order(tx: Tx, order_id: str) -> Order:
    """One order. Raises Refusal `orders.not_found`."""
    order = store.find_orders(tx, [order_id]).get(order_id)
    if order is None:
        raise not_found(order_id)
    return order


def orders_by_ids(tx: Tx, order_ids: Sequence[str]) -> list[Order]:
    """Orders in the order of the ids; unknown ones are left out."""
    found = store.find_orders(tx, order_ids)
    return [found[order_id] for order_id in order_ids if order_id in found]


def newest_orders(tx: Tx, limit: int) -> list[Order]:
    """About so many of this shard's newest orders, in no order that matters."""
    return store.newest_orders(tx, limit)


def orders_since(tx: Tx, since_ms: int, after: tuple[int, str] = (-1, ""), limit: int = 500) -> list[Order]:
    """A page of this shard's orders minted since a moment, after (gene, order id) of the page before."""
    return store.orders_since(tx, since_ms, after, limit)


def order_log(tx: Tx, order_id: str) -> list[EventRow]:
    """The order's own gapless log, oldest first: the spine of its timeline."""
    return store.order_log(tx, order_id)


def cancel_order(tx: Tx, order_id: str, initiator: str, reason: str, at_ms: int) -> Order:
    """End a whole order of which nothing is packed. What is packed only fulfilment knows: see aftersales.

    Raises `orders.not_found`, `orders.reason_missing`, `state.conflict`.
    """
    return change_orders(tx, [(order_id, at_ms, lambda order: rules.cancel(order, initiator, reason))])[
        order_id
    ]


def cancel_lines(
    tx: Tx, order_id: str, lines: Sequence[LineQuantity], initiator: str, reason: str, at_ms: int
) -> Order:
    """Take units off an order; the last ones cancel it. What is packed only fulfilment knows: see aftersales.

    Raises `orders.not_found`, `orders.line_unknown`, `orders.quantity_invalid`, `orders.quantity_exceeds`,
    `orders.reason_missing`, `state.conflict`.
    """

    def decide(order: Order) -> rules.Change:
        return rules.cancel_lines(order, lines, initiator, reason, at_ms)

    return change_orders(tx, [(order_id, at_ms, decide)])[order_id]


def record_returned(
    tx: Tx, order_id: str, return_id: str, lines: Sequence[LineQuantity], at_ms: int
) -> Order:
    """Count delivered units as returned. The caller has checked them. Raises `orders.not_found`."""

    def decide(order: Order) -> rules.Change:
        return rules.give_back(order, return_id, lines)

    return change_orders(tx, [(order_id, at_ms, decide)])[order_id]


def complete_orders(tx: Tx, order_ids: Sequence[str], at_ms: int) -> None:
    """Complete delivered orders now. Raises `state.conflict` when one is not delivered."""
    change_orders(tx, [(order_id, at_ms, rules.complete) for order_id in order_ids])


def end_deadlines(tx: Tx, order_ids: Sequence[str], now_ms: int) -> None:
    """What the passed deadline of each order's state asks for; an order that moved on is left alone."""

    def decide(order: Order) -> rules.Change:
        if not 0 < order.deadline_at_ms <= now_ms:
            return rules.Change(order)
        if order.state == UNPAID:
            return rules.cancel(order, SYSTEM, "payment_deadline")
        if order.state == ON_HOLD:
            return rules.release(order, now_ms)
        if order.state == DELIVERED:
            return rules.complete(order)
        return rules.Change(order)

    change_orders(tx, [(order_id, now_ms, decide) for order_id in order_ids])


def unshipped_orders(tx: Tx, now_ms: int, limit: int) -> list[str]:
    """Orders past their ship-by moment, longest overdue first."""
    return store.due_orders(tx, AWAITING_SHIPMENT, now_ms, limit)


def defer_deadline(tx: Tx, order_id: str, until_ms: int) -> None:
    """Look at an order's deadline again later. It moves the row's timer only: nothing happened to the order."""
    store.set_deadline(tx, order_id, until_ms)


def seller_view(order: Order) -> Order:
    """The order as its seller may see it: without address and email unless it is released and stands."""
    if order.state in rules.SHOWS_ADDRESS:
        return order
    return msgspec.structs.replace(order, body=msgspec.structs.replace(order.body, address={}, email=""))


def list_seller_orders(
    tx: Tx, seller_id: str, *, state: str = "", before: str = "", limit: int = 50
) -> list[SellerOrder]:
    """A page of a seller's orders, newest first; `before` is the last order id of the page before."""
    return [_listed(row) for row in store.list_seller_orders(tx, seller_id, state, before, limit)]


def find_seller_order(tx: Tx, seller_id: str, number: str) -> SellerOrder:
    """A seller's order by the number people read out. Raises `id.invalid`, `orders.not_found`."""
    rows = store.find_by_number(tx, seller_id, check_order_number(number))
    if not rows:
        raise not_found(number)
    return _listed(rows[0])


def _listed(row: Row) -> SellerOrder:
    return SellerOrder(
        order_id=row[0],
        order_number=order_number(row[0]),
        seller_id=row[1],
        state=row[2],
        currency=row[3],
        total_minor=row[4],
        placed_at_ms=row[5],
        version=row[6],
    )


def project_sellers(tx: Tx, latest: Iterable[tuple[str, str, str, int]], placed: dict[str, Row]) -> None:
    """Bring sellers' lists up to (seller, order, state, version); `placed` has the facts of a new row by order.

    Raises `orders.not_found` for an order the list has never heard of.
    """
    wanted = list(latest)
    known = store.seller_versions(tx, [(seller_id, order_id) for seller_id, order_id, _, _ in wanted])
    fresh = []
    for seller_id, order_id, state, version in wanted:
        if order_id not in known:
            if order_id not in placed:
                raise not_found(order_id)
            fresh.append((seller_id, order_id, order_id[-11:], state, *placed[order_id], version))
    store.insert_seller_orders(tx, fresh)
    older = [row for row in wanted if known.get(row[1], row[3]) < row[3]]
    store.update_seller_orders(tx, older)
