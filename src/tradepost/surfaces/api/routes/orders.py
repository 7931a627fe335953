"""Orders: lists, one order with its timeline, cancelling."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tradepost.events import aggregate_log
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow
from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.money import Money
from tradepost.kernel.tx import Tx
from tradepost.surfaces.api.once import transact_once
from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.routes.carts import buyer_of
from tradepost.surfaces.api.words import Cursor, Limit, Page, Quantity, home, money, unit_price
from tradepost.trade import aftersales, checkout, fulfilment, orders, parties, payments
from tradepost.trade.orders import LineQuantity, Order, OrderLine
from tradepost.trade.parties import Principal, Role

ROUTES = Routes("orders")
INITIATORS = {Role.SELLER: "SELLER", Role.OPERATOR: "OPERATOR"}
Party = Annotated[str, Meta(max_length=64)]
Reason = Annotated[str, Meta(min_length=1, max_length=60)]
ORDER = {
    "order_id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "order_number": "2Q3R-4T5V-6W7X",
    "buyer_id": "byr_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "market": "GB",
    "state": "AWAITING_SHIPMENT",
    "total": {"amount_minor": 1790, "currency": "GBP"},
    "placed_at_ms": 1790000000000,
    "version": 3,
}
ORDER_ANSWER = {
    **ORDER,
    "checkout_id": "chk_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "payment_id": "pay_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "scene": "shop",
    "deadline_at_ms": 1790259200000,
    "shipping": {"amount_minor": 0, "currency": "GBP"},
    "tax": {"amount_minor": 298, "currency": "GBP"},
    "lines": [
        {
            "line_no": 1,
            "offer_id": "off_01m4xk9v0c7s8p2q3r4t5v6w7x",
            "sku_id": "sku_01m4xk9v0c7s8p2q3r4t5v6w7x",
            "sku_code": "MUG-01-BLUE",
            "title": "Stoneware mug, blue",
            "quantity": 2,
            "unit_price": "8.95",
            "total": {"amount_minor": 1790, "currency": "GBP"},
            "tax": {"amount_minor": 298, "currency": "GBP"},
            "cancelled": 0,
            "packed": 0,
            "shipped": 0,
            "delivered": 0,
            "returned": 0,
        }
    ],
    "address": {
        "name": "Ann Lee",
        "line1": "1 High Street",
        "city": "Leeds",
        "postcode": "LS1 1AA",
        "country": "GB",
    },
    "timeline": [
        {
            "event_id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x.1",
            "type": "order.placed.v1",
            "at_ms": 1790000000000,
            "data": {"state": "UNPAID"},
        }
    ],
}
CANCEL_CODES = (
    "orders.not_found",
    "orders.line_unknown",
    "orders.quantity_invalid",
    "orders.quantity_exceeds",
    "aftersales.cancel_too_late",
    "fulfilment.packed",
    "state.conflict",
    "version.conflict",
    "idempotency.key_required",
    "idempotency.in_progress",
)


class OrderQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose orders. Buyers and sellers see their own and leave both out; `state` narrows a seller's list."""

    buyer_id: Party = ""
    seller_id: Party = ""
    state: Annotated[str, Meta(max_length=30)] = ""
    cursor: Cursor = ""
    limit: Limit = 50


class OrderSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a list of orders."""

    order_id: str
    order_number: str
    seller_id: str
    state: str
    total: Money
    placed_at_ms: int
    version: int
    buyer_id: str = ""
    market: str = ""


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """A line as agreed, and how far its units have come."""

    line_no: int
    offer_id: str
    sku_id: str
    sku_code: str
    title: str
    quantity: int
    unit_price: str
    total: Money
    tax: Money
    content_id: str = ""
    creator_id: str = ""
    cancelled: int = 0
    packed: int = 0
    shipped: int = 0
    delivered: int = 0
    returned: int = 0


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to an order, its payment, parcels or returns."""

    event_id: str
    type: str
    at_ms: int
    data: msgspec.Raw


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it stands. Sellers see address and email once it is released to them."""

    order_id: str
    order_number: str
    checkout_id: str
    payment_id: str
    buyer_id: str
    seller_id: str
    market: str
    scene: str
    state: str
    version: int
    total: Money
    shipping: Money
    tax: Money
    placed_at_ms: int
    deadline_at_ms: int
    lines: tuple[LineView, ...]
    address: dict[str, str]
    email: str = ""
    cancelled_by: str = ""
    cancel_reason: str = ""
    timeline: tuple[TimelineEntry, ...] = ()


class Units(msgspec.Struct, frozen=True, kw_only=True):
    """So many units of an order line."""

    line_no: Annotated[int, Meta(ge=1, le=20_000)]
    quantity: Quantity


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Why, and of which units; no lines mean the whole order."""

    reason: Reason
    lines: Annotated[tuple[Units, ...], Meta(max_length=2_000)] = ()


def units_of(lines: tuple[Units, ...]) -> tuple[LineQuantity, ...]:
    """Lines as the trade rooms take them."""
    return tuple(LineQuantity(line.line_no, line.quantity) for line in lines)


def sighted(tx: Tx, principal: Principal, order_id: str) -> Order:
    """An order of the principal's. Raises Refusal `orders.not_found`, also for somebody else's."""
    order = orders.get_order(tx, order_id)
    if not parties.may_see(principal, buyer_id=order.buyer_id, seller_id=order.seller_id):
        raise not_found(order_id)
    return order


def not_found(order_id: str) -> Refusal:
    """The refusal of an order that is unknown or not yours: the two cannot be told apart."""
    return Refusal("orders.not_found", f"There is no order {order_id[:60]!r}.", field="order_id")


def view_order(order: Order, timeline: tuple[TimelineEntry, ...] = ()) -> OrderView:
    """An order as shown."""
    body, currency, cancelled = order.body, order.currency, order.cancellation
    progress = orders.full_progress(order)
    return OrderView(
        order_id=order.order_id,
        order_number=body.order_number,
        checkout_id=order.checkout_id,
        payment_id=order.payment_id,
        buyer_id=order.buyer_id,
        seller_id=order.seller_id,
        market=order.market,
        scene=order.scene,
        state=order.state,
        version=order.version,
        total=money(order.total_minor, currency),
        shipping=money(body.shipping_minor, currency),
        tax=money(body.tax_minor, currency),
        placed_at_ms=order.placed_at_ms,
        deadline_at_ms=order.deadline_at_ms,
        lines=tuple(_line(line, done, currency) for line, done in zip(body.lines, progress, strict=True)),
        address=body.address,
        email=body.email,
        cancelled_by=cancelled.initiator if cancelled else "",
        cancel_reason=cancelled.reason if cancelled else "",
        timeline=timeline,
    )


def _line(line: OrderLine, done: Any, currency: str) -> LineView:
    return LineView(
        line_no=line.line_no,
        offer_id=line.offer_id,
        sku_id=line.sku_id,
        sku_code=line.sku_code,
        title=line.title,
        quantity=line.quantity,
        unit_price=unit_price(line.unit_price_e4, currency),
        total=money(line.total_minor, currency),
        tax=money(line.tax_minor, currency),
        content_id=line.content_id,
        creator_id=line.creator_id,
        cancelled=done.cancelled,
        packed=done.packed,
        shipped=done.shipped,
        delivered=done.delivered,
        returned=done.returned,
    )


def seen_by(principal: Principal, order: Order) -> Order:
    """The order with what this principal may know of it."""
    return orders.seller_view(order) if principal.role == Role.SELLER else order


def read_order(tx: Tx, principal: Principal, order_id: str) -> OrderView:
    """An order with its timeline: the logs of the order, its parcels and returns and, for the buyer, the payment."""
    order = sighted(tx, principal, order_id)
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


def entry_of(row: EventRow) -> TimelineEntry:
    """An event as an entry of a timeline."""
    return TimelineEntry(
        event_id=row.event_id, type=row.type, at_ms=row.at_ms, data=msgspec.Raw(bytes(row.payload))
    )


def _summary(order: Order) -> OrderSummary:
    return OrderSummary(
        order_id=order.order_id,
        order_number=order.body.order_number,
        seller_id=order.seller_id,
        state=order.state,
        total=money(order.total_minor, order.currency),
        placed_at_ms=order.placed_at_ms,
        version=order.version,
        buyer_id=order.buyer_id,
        market=order.market,
    )


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
    return Page(items=tuple(_summary(order) for order in found), next_cursor=more)


@ROUTES.add(
    "GET",
    "/v1/orders/{order_id}",
    returns=OrderView,
    scope="orders:read",
    answer=ORDER_ANSWER,
    codes=("orders.not_found", "id.invalid"),
)
async def get_order(call: Call) -> OrderView:
    """Read an order with its timeline"""
    order_id = call.path["order_id"]
    shard = home(call.platform.db, order_id, "order")
    return await call.platform.db.read(shard, read_order, call.principal, order_id)


def _cancel(
    tx: Tx, principal: Principal, order_id: str, lines: tuple[LineQuantity, ...], reason: str, at_ms: int
) -> OrderView:
    sighted(tx, principal, order_id)
    initiator = INITIATORS.get(Role(principal.role), "BUYER")
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
