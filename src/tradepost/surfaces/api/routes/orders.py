"""Orders: lists, one order with its timeline, cancelling."""

from __future__ import annotations

from tradepost.events import aggregate_log
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.tx import Tx
from tradepost.stability.switches import TIMELINE_OFF
from tradepost.surfaces.api.once import transact_once
from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.routes.carts import buyer_of
from tradepost.surfaces.api.routes.order_views import (
    CANCEL_CODES,
    ORDER,
    ORDER_ANSWER,
    CancelRequest,
    OrderQuery,
    OrderSummary,
    OrderView,
    entry_of,
    units_of,
    view_order,
    view_summary,
)
from tradepost.surfaces.api.words import Page, home, money
from tradepost.trade import aftersales, checkout, fulfilment, orders, parties, payments
from tradepost.trade.orders import LineQuantity, Order
from tradepost.trade.parties import Principal, Role

ROUTES = Routes("orders")
INITIATORS = {Role.SELLER: "SELLER", Role.OPERATOR: "OPERATOR"}


def sighted(tx: Tx, principal: Principal, order_id: str) -> Order:
    """An order of the principal's. Raises Refusal `orders.not_found`, also for somebody else's."""
    order = orders.get_order(tx, order_id)
    if not parties.may_see(principal, buyer_id=order.buyer_id, seller_id=order.seller_id):
        raise not_found(order_id)
    return order


def party_of(principal: Principal) -> str:
    """As whom somebody acts after the sale: storefronts and guests act for buyers."""
    return INITIATORS.get(Role(principal.role), "BUYER")


def not_found(order_id: str) -> Refusal:
    """The refusal of an order that is unknown or not yours: the two cannot be told apart."""
    return Refusal("orders.not_found", f"There is no order {order_id[:60]!r}.", field="order_id")


def seen_by(principal: Principal, order: Order) -> Order:
    """The order with what this principal may know of it."""
    return orders.seller_view(order) if principal.role == Role.SELLER else order


def read_order(tx: Tx, principal: Principal, order_id: str, timeline: bool = True) -> OrderView:
    """An order with its timeline: the logs of the order, its parcels and returns and, for the buyer, the payment."""
    order = sighted(tx, principal, order_id)
    if not timeline:
        return view_order(seen_by(principal, order))
    rows = list(orders.order_log(tx, order_id))
    for package in fulfilment.list_packages(tx, order_id):
        rows += aggregate_log(tx, package.package_id)
    for item in aftersales.list_returns(tx, order_id):
        rows += aggregate_log(tx, item.return_id)
    # One payment covers the orders of several sellers: none of them sees what the others were paid.
    if order.payment_id and principal.role != Role.SELLER:
        rows += aggregate_log(tx, order.payment_id)
        for refund in payments.find_refunds(tx, order.payment_id):
            if refund.order_id == order_id:
                rows += aggregate_log(tx, refund.refund_id)
    rows.sort(key=lambda row: (row.at_ms, row.sequence))
    return view_order(seen_by(principal, order), tuple(entry_of(row) for row in rows))


@ROUTES.add(
    "GET",
    "/v1/orders",
    query=OrderQuery,
    returns=Page[OrderSummary],
    scope="orders:read",
    answer={"items": [ORDER], "next_cursor": ""},
    codes=("input.cursor_invalid",),
)
async def list_orders(call: Call) -> Page[OrderSummary]:
    """List orders, newest first: a buyer's own, or a seller's own"""
    query: OrderQuery = call.query
    if call.principal.role == Role.SELLER or query.seller_id:
        return await _sellers_page(call, query)
    buyer_id = buyer_of(call, query.buyer_id)
    shard = call.shard(gene_of(buyer_id))
    return await call.platform.db.read(shard, _buyers_page, buyer_id, query.cursor, query.limit)


async def _sellers_page(call: Call, query: OrderQuery) -> Page[OrderSummary]:
    seller_id = parties.acting_seller(call.principal, query.seller_id)
    found = await call.platform.db.read(
        home(call.platform.db, seller_id, "seller"),
        orders.list_seller_orders,
        seller_id,
        state=query.state,
        before=query.cursor,
        limit=query.limit + 1,
    )
    items = tuple(
        OrderSummary(
            order_id=row.order_id,
            order_number=row.order_number,
            seller_id=row.seller_id,
            state=row.state,
            total=money(row.total_minor, row.currency),
            placed_at_ms=row.placed_at_ms,
            version=row.version,
        )
        for row in found[: query.limit]
    )
    return Page(items=items, next_cursor=items[-1].order_id if len(found) > query.limit else "")


def _buyers_page(tx: Tx, buyer_id: str, cursor: str, limit: int) -> Page[OrderSummary]:
    """Orders by checkout, newest first. A cursor is a checkout id and how many of its orders were shown."""
    checkout_id, _, shown_text = cursor.partition("~")
    if cursor and not (checkout_id.startswith("chk_") and shown_text.isdecimal() and len(shown_text) < 6):
        raise Refusal("input.cursor_invalid", "The cursor is not one of this list.", field="cursor")
    shown = int(shown_text or 0)
    # "~" sorts behind every letter of an id, so the page starts with the cursor's own checkout.
    views = checkout.list_checkouts(tx, buyer_id, f"{checkout_id}~" if cursor else "", limit + 2)
    places: list[tuple[str, str, int]] = []
    for view in views:
        for index, order in enumerate(view.orders):
            if view.checkout_id != checkout_id or index >= shown:
                places.append((order.order_id, view.checkout_id, index + 1))
    page = places[:limit]
    found = orders.orders_by_ids(tx, [order_id for order_id, _, _ in page])
    more = f"{page[-1][1]}~{page[-1][2]}" if len(places) > limit else ""
    return Page(items=tuple(view_summary(order) for order in found), next_cursor=more)


@ROUTES.add(
    "GET",
    "/v1/orders/{order_id}",
    returns=OrderView,
    hot=True,
    scope="orders:read",
    answer=ORDER_ANSWER,
    codes=("orders.not_found", "id.invalid"),
)
async def get_order(call: Call) -> OrderView:
    """Read an order with its timeline"""
    order_id = call.path["order_id"]
    shard = home(call.platform.db, order_id, "order")
    timeline = not call.platform.switches.is_on(TIMELINE_OFF)
    return await call.platform.db.read(shard, read_order, call.principal, order_id, timeline)


def _cancel(
    tx: Tx, principal: Principal, order_id: str, lines: tuple[LineQuantity, ...], reason: str, at_ms: int
) -> OrderView:
    sighted(tx, principal, order_id)
    initiator = party_of(principal)
    if lines:
        order = aftersales.cancel_lines(tx, order_id, lines, initiator, reason, at_ms)
    else:
        order = aftersales.cancel_order(tx, order_id, initiator, reason, at_ms)
    return view_order(seen_by(principal, order))


@ROUTES.add(
    "POST",
    "/v1/orders/{order_id}/cancel",
    body=CancelRequest,
    returns=OrderView,
    keyed=True,
    scope="orders:write",
    example={"reason": "changed_mind"},
    answer={**ORDER_ANSWER, "state": "CANCELLED", "cancelled_by": "BUYER", "cancel_reason": "changed_mind"},
    codes=CANCEL_CODES,
)
async def cancel_order(call: Call) -> Answer:
    """Cancel an order, or units of it, before shipment"""
    body: CancelRequest = call.body
    order_id = check_id(call.path["order_id"], "order")
    return await transact_once(
        call,
        gene_of(order_id),
        200,
        _cancel,
        call.principal,
        order_id,
        units_of(body.lines),
        body.reason,
        call.now_ms(),
    )
