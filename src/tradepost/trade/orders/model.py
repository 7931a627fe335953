"""The agreement with one seller: its frozen body, its states, its events and the codes of its refusals."""

from __future__ import annotations

import msgspec

from tradepost.kernel.events import Event, EventRow, event
from tradepost.kernel.states import StateTable
from tradepost.trade.orders.basis import (
    NO_CAMPAIGNS,
    NO_SENDING,
    Conversion,
    Given,
    MissedGift,
    PricedUnder,
    Redemption,
    Sending,
)
from tradepost.trade.pricing import Adjustment

UNPAID = "UNPAID"
ON_HOLD = "ON_HOLD"
AWAITING_SHIPMENT = "AWAITING_SHIPMENT"
PARTIALLY_SHIPPING = "PARTIALLY_SHIPPING"
AWAITING_COLLECTION = "AWAITING_COLLECTION"
IN_TRANSIT = "IN_TRANSIT"
DELIVERED = "DELIVERED"
COMPLETED = "COMPLETED"
CANCELLED = "CANCELLED"

BUYER = "BUYER"
SELLER = "SELLER"
SYSTEM = "SYSTEM"
OPERATOR = "OPERATOR"

IMMEDIATE = "immediate"
ON_SHIPMENT = "on_shipment"

ORDER_STATES = StateTable(
    "order",
    UNPAID,
    (COMPLETED, CANCELLED),
    [
        (UNPAID, "pay", ON_HOLD),
        (UNPAID, "pay and release", AWAITING_SHIPMENT),
        (UNPAID, "cancel lines", UNPAID),
        (UNPAID, "cancel", CANCELLED),
        (ON_HOLD, "release", AWAITING_SHIPMENT),
        (ON_HOLD, "cancel lines", ON_HOLD),
        (ON_HOLD, "cancel", CANCELLED),
        (AWAITING_SHIPMENT, "cancel lines", AWAITING_SHIPMENT),
        (AWAITING_SHIPMENT, "cancel", CANCELLED),
        (AWAITING_SHIPMENT, "part packed", PARTIALLY_SHIPPING),
        (AWAITING_SHIPMENT, "all packed", AWAITING_COLLECTION),
        (PARTIALLY_SHIPPING, "cancel lines", PARTIALLY_SHIPPING),
        (PARTIALLY_SHIPPING, "part packed", PARTIALLY_SHIPPING),
        (PARTIALLY_SHIPPING, "all packed", AWAITING_COLLECTION),
        (PARTIALLY_SHIPPING, "all collected", IN_TRANSIT),
        (PARTIALLY_SHIPPING, "all delivered", DELIVERED),
        (PARTIALLY_SHIPPING, "return", PARTIALLY_SHIPPING),
        (AWAITING_COLLECTION, "all packed", AWAITING_COLLECTION),
        (AWAITING_COLLECTION, "all collected", IN_TRANSIT),
        (AWAITING_COLLECTION, "return", AWAITING_COLLECTION),
        (IN_TRANSIT, "all collected", IN_TRANSIT),
        (IN_TRANSIT, "all delivered", DELIVERED),
        (IN_TRANSIT, "return", IN_TRANSIT),
        (DELIVERED, "complete", COMPLETED),
        (DELIVERED, "return", DELIVERED),
        (COMPLETED, "return", COMPLETED),
        (CANCELLED, "pay late", CANCELLED),
    ],
)
"""`all packed` means nothing is left to pack, `all collected` nothing to hand over; cancelled units count for none."""


class StockItem(msgspec.Struct, frozen=True):
    """So many units of a component SKU."""

    sku_id: str
    quantity: int


class LineQuantity(msgspec.Struct, frozen=True):
    """So many units of an order line."""

    line_no: int
    quantity: int


class OrderLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line as agreed, never changed. `total_minor` is what the buyer pays for it, tax within.

    `line_no` counts from 1. `components` are the stock units of ONE unit, itself x1 when the offer is no kit. `gift`
    marks what a campaign gave; such lines come last.
    """

    line_no: int
    offer_id: str
    offer_version: int = 0
    sku_id: str
    sku_code: str
    product_id: str = ""
    title: str = ""
    quantity: int
    unit_price_e4: int
    list_minor: int
    adjustments: tuple[Adjustment, ...] = ()
    total_minor: int
    tax_minor: int = 0
    tax_rate_bps: int = 0
    tax_category: str = "standard"
    pool: str = "shop"
    limit_per_buyer: int = 0
    components: tuple[StockItem, ...]
    content_id: str = ""
    creator_id: str = ""
    fee_bps: int = 0
    fee_minor: int = 0
    floor_minor: int = 0
    groups: tuple[str, ...] = ()
    gift: Given | None = None


class OrderBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that was agreed, kept as the order row's blob. Spans are milliseconds.

    The order's total is its lines' totals plus `shipping_minor`. `address` is the checkout's own shape. `places` are
    the numbers its lines had in the whole basket, told where campaigns were in force. `missed_gifts` were quoted and
    sold out before the order was placed. `conversions` holds one where goods were sold converted, else none.
    """

    order_number: str
    lines: tuple[OrderLine, ...]
    total_minor: int
    shipping_minor: int = 0
    tax_minor: int = 0
    fee_minor: int = 0
    capture: str = IMMEDIATE
    remorse_ms: int = 0
    ship_by_ms: int = 0
    complete_after_ms: int = 0
    return_window_ms: int = 0
    address: dict[str, str] = {}
    email: str = ""
    quote_hash: str = ""
    risk: str = ""
    priced: PricedUnder = NO_CAMPAIGNS
    places: tuple[int, ...] = ()
    redemptions: tuple[Redemption, ...] = ()
    shipping_adjustments: tuple[Adjustment, ...] = ()
    sending: Sending = NO_SENDING
    missed_gifts: tuple[OrderLine, ...] = ()
    conversions: tuple[Conversion, ...] = ()


class NewOrder(msgspec.Struct, frozen=True, array_like=True):
    """An order ready to be written: `orders.new_order` makes it. `events` opens its log, from version 1."""

    order_id: str
    checkout_id: str
    buyer_id: str
    seller_id: str
    market: str
    currency: str
    scene: str
    state: str
    total_minor: int
    placed_at_ms: int
    deadline_at_ms: int
    payment_id: str
    body: bytes
    events: tuple[EventRow, ...]


class LineProgress(msgspec.Struct, frozen=True, array_like=True):
    """How far the units of one line have come. Packed, shipped and delivered count what ever got there."""

    cancelled: int = 0
    packed: int = 0
    shipped: int = 0
    delivered: int = 0
    returned: int = 0


Progress = tuple[LineProgress, ...]
"""One entry per line, in order of line number."""


class Cancellation(msgspec.Struct, frozen=True):
    """Who cancelled the whole order, why, and how much of its amount is given back or never taken."""

    initiator: str
    reason: str
    refund_minor: int


class Order(msgspec.Struct, frozen=True):
    """An order as it stands. `deadline_at_ms` is when its present state ends by itself, 0 for never."""

    order_id: str
    checkout_id: str
    buyer_id: str
    seller_id: str
    market: str
    currency: str
    scene: str
    state: str
    version: int
    total_minor: int
    placed_at_ms: int
    deadline_at_ms: int
    payment_id: str
    progress: Progress
    cancellation: Cancellation | None
    body: OrderBody


class SellerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a seller's list of orders."""

    order_id: str
    order_number: str
    seller_id: str
    state: str
    currency: str
    total_minor: int
    placed_at_ms: int
    version: int


class PlacedLine(msgspec.Struct, frozen=True):
    """A line as the event tells it."""

    line_no: int
    sku_id: str
    quantity: int
    total_minor: int


class ReleasedLine(msgspec.Struct, frozen=True):
    """A line to fulfil: `units` are the stock units of ONE unit of it."""

    line_no: int
    quantity: int
    units: tuple[StockItem, ...]


@event("order.placed.v1")
class OrderPlaced(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An order stands, with its stock held. `creators` led buyers to some of its lines.

    `missed_gifts` were quoted with it and are not in it.
    """

    order_id: str
    checkout_id: str
    payment_id: str
    buyer_id: str
    seller_id: str
    market: str
    currency: str
    total_minor: int
    state: str
    deadline_at_ms: int
    lines: tuple[PlacedLine, ...]
    creators: tuple[str, ...] = ()
    missed_gifts: tuple[MissedGift, ...] = ()


@event("order.paid.v1")
class OrderPaid(Event, frozen=True, kw_only=True):
    """The money is there (or nothing was to pay): the stock is the order's own."""

    order_id: str
    payment_id: str
    state: str
    deadline_at_ms: int
    stock: tuple[StockItem, ...]


@event("order.released.v1")
class OrderReleased(Event, frozen=True, kw_only=True):
    """The seller may ship; from here on the seller sees the address."""

    order_id: str
    state: str
    ship_by_at_ms: int
    lines: tuple[ReleasedLine, ...]


@event("order.lines_cancelled.v1")
class OrderLinesCancelled(Event, frozen=True, kw_only=True):
    """Units were taken off the order; something of it remains."""

    order_id: str
    payment_id: str
    initiator: str
    reason: str
    refund_minor: int
    state: str
    deadline_at_ms: int
    lines: tuple[LineQuantity, ...]
    stock: tuple[StockItem, ...]


@event("order.cancelled.v1")
class OrderCancelled(Event, frozen=True, kw_only=True):
    """The order ended before anything was shipped. `lines` and `stock` are what was still open of it.

    `limits` are the uses of campaigns that are given back.
    """

    order_id: str
    payment_id: str
    initiator: str
    reason: str
    refund_minor: int
    lines: tuple[LineQuantity, ...]
    stock: tuple[StockItem, ...]
    limits: tuple[StockItem, ...] = ()


@event("order.packed.v1")
class OrderPacked(Event, frozen=True, kw_only=True):
    """Units went into a package."""

    order_id: str
    package_id: str
    state: str
    deadline_at_ms: int
    lines: tuple[LineQuantity, ...]


@event("order.shipped.v1")
class OrderShipped(Event, frozen=True, kw_only=True):
    """Units were handed to the carrier."""

    order_id: str
    package_id: str
    state: str
    deadline_at_ms: int
    lines: tuple[LineQuantity, ...]


@event("order.delivered.v1")
class OrderDelivered(Event, frozen=True, kw_only=True):
    """Units reached the buyer."""

    order_id: str
    package_id: str
    state: str
    deadline_at_ms: int
    lines: tuple[LineQuantity, ...]


@event("order.completed.v1")
class OrderCompleted(Event, frozen=True, kw_only=True):
    """Nothing more is expected of the seller."""

    order_id: str


@event("order.returned.v1")
class OrderReturned(Event, frozen=True, kw_only=True):
    """Delivered units came back. `limits` are the uses of campaigns given back with the last of them."""

    order_id: str
    return_id: str
    state: str
    deadline_at_ms: int
    lines: tuple[LineQuantity, ...]
    limits: tuple[StockItem, ...] = ()


@event("order.paid_late.v1")
class OrderPaidLate(Event, frozen=True, kw_only=True):
    """Money came for an order that had been cancelled: `amount_minor` of it is to be given back."""

    order_id: str
    payment_id: str
    amount_minor: int
