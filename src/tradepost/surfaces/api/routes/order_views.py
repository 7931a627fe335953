"""Orders as they are asked for and shown."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tradepost.kernel.events import EventRow
from tradepost.kernel.money import Money
from tradepost.surfaces.api.routes.quote_views import (
    ConversionView,
    MissedGiftView,
    view_conversion,
    view_missed,
)
from tradepost.surfaces.api.routes.shipping_views import SendingView, view_sending
from tradepost.surfaces.api.words import Cursor, Limit, Quantity, money, unit_price
from tradepost.trade import orders
from tradepost.trade.orders import LineQuantity, Order, OrderLine

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
            "gift_of": "",
        }
    ],
    "missed_gifts": [],
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
    """A line as agreed, and how far its units have come. `gift_of` is the campaign that gave it."""

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
    gift_of: str = ""


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to an order, its payment, parcels or returns."""

    event_id: str
    type: str
    at_ms: int
    data: msgspec.Raw


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it stands. Sellers see address and email once it is released to them.

    `missed_gifts` were quoted and sold out before it was placed.
    """

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
    sending: SendingView | None = None
    conversion: ConversionView | None = None
    timeline: tuple[TimelineEntry, ...] = ()
    missed_gifts: tuple[MissedGiftView, ...] = ()


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
        sending=view_sending(body.sending),
        conversion=view_conversion(body.conversions),
        timeline=timeline,
        missed_gifts=view_missed(orders.missed_gifts(body)) if body.missed_gifts else (),
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
        gift_of=line.gift.campaign_id if line.gift is not None else "",
    )


def entry_of(row: EventRow) -> TimelineEntry:
    """An event as an entry of a timeline."""
    return TimelineEntry(
        event_id=row.event_id, type=row.type, at_ms=row.at_ms, data=msgspec.Raw(bytes(row.payload))
    )


def view_summary(order: Order) -> OrderSummary:
    """An order as a row of a list."""
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
