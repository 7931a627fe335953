"""The quote, the command to place it, and what stands afterwards."""

from __future__ import annotations

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.trade.checkout.limits import LimitUse
from tradepost.trade.inventory import HoldRequest
from tradepost.trade.orders import (
    NO_CAMPAIGNS,
    NO_SENDING,
    Conversion,
    MissedGift,
    NewOrder,
    OrderLine,
    PricedUnder,
    Sending,
)
from tradepost.trade.payments import NewIntent
from tradepost.trade.pricing import Adjustment
from tradepost.trade.risk import RiskFacts
from tradepost.trade.shipping import NOWHERE, Destination, Option

PLACED = "PLACED"
TOMBSTONE = "TOMBSTONE"

declare_problems(
    {
        "checkout.lines_empty": (Kind.INVALID, "Nothing to buy", "Send at least one line."),
        "checkout.too_many_lines": (
            Kind.TOO_LARGE,
            "Too many lines",
            "Split the request; the bound is the setting limits.lines_max.",
        ),
        "checkout.offer_unknown": (
            Kind.UNPROCESSABLE,
            "Unknown offer",
            "Read the offer again; it may have been removed.",
        ),
        "checkout.offer_unavailable": (
            Kind.UNPROCESSABLE,
            "The offer is not for sale now",
            "Take the line out; the offer is paused or ended, or its seller may not sell.",
        ),
        "checkout.quote_forged": (
            Kind.UNPROCESSABLE,
            "Not a quote of ours",
            "Send the token exactly as POST /v1/quotes returned it.",
        ),
        "checkout.quote_expired": (
            Kind.UNPROCESSABLE,
            "The quote's deadline has passed",
            "Ask for a new quote and show its total.",
        ),
        "checkout.quote_of_another_buyer": (
            Kind.FORBIDDEN,
            "The quote was made for another buyer",
            "Ask for a quote as this buyer.",
        ),
        "checkout.total_changed": (
            Kind.CONFLICT,
            "The total is no longer what the buyer saw",
            "Show the new total to the buyer, and send it when it is accepted.",
        ),
        "checkout.region_changed": (
            Kind.CONFLICT,
            "The goods go where other taxes hold",
            "Ask for a quote with the address's region, and show its total.",
        ),
        "checkout.currency_mixed": (
            Kind.UNPROCESSABLE,
            "The currency is not the market's",
            "Send the total in the market's currency.",
        ),
        "checkout.address_incomplete": (
            Kind.INVALID,
            "The address lacks a part",
            "Fill the named field.",
        ),
        "checkout.abandoned": (
            Kind.CONFLICT,
            "This checkout was given up",
            "Its hold ran out before the order was written; ask for a new quote.",
        ),
        "checkout.not_found": (Kind.NOT_FOUND, "No such checkout", "Copy the id as the API returned it."),
    }
)


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """One line a buyer asks for, and the content and creator that led to it."""

    offer_id: str
    quantity: int
    content_id: str = ""
    creator_id: str = ""


class QuotedOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one seller would be owed: lines frozen as they will stand on the order.

    `places` are the numbers of its lines in the whole basket, told where campaigns were in force. `options` are all
    ways to send it by the seller's terms: shown with a new quote, and no part of its token. `conversions` holds one
    where goods are sold converted, else none.
    """

    order_id: str
    seller_id: str
    lines: tuple[OrderLine, ...]
    total_minor: int
    tax_minor: int
    shipping_minor: int
    fee_minor: int
    places: tuple[int, ...] = ()
    shipping_adjustments: tuple[Adjustment, ...] = ()
    sending: Sending = NO_SENDING
    options: tuple[Option, ...] = ()
    conversions: tuple[Conversion, ...] = ()


class Quote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A priced promise with a deadline. Ids are minted with it, so placing it twice names the same orders.

    `limits` are the uses of campaigns that placing it takes, `priced` what decided its discounts, `region` where the
    goods go when that decided the tax, `destination` what of it decided the shipping. `missed_gifts` were earned and
    cannot be had: shown with a new quote, and no part of its token.
    """

    checkout_id: str
    payment_id: str
    buyer_id: str
    market: str
    currency: str
    scene: str
    made_at_ms: int
    expires_at_ms: int
    orders: tuple[QuotedOrder, ...]
    total_minor: int
    shipping_minor: int
    tax_minor: int
    trace: tuple[str, ...] = ()
    limits: tuple[LimitUse, ...] = ()
    priced: PricedUnder = NO_CAMPAIGNS
    region: str = ""
    destination: Destination = NOWHERE
    missed_gifts: tuple[MissedGift, ...] = ()


class Address(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the goods go. Which parts are required is the market's data."""

    name: str = ""
    line1: str = ""
    line2: str = ""
    city: str = ""
    region: str = ""
    postcode: str = ""
    country: str = ""
    phone: str = ""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings decide about a placement. A span of -1 leaves it to the market, an amount of 0 is no rule."""

    velocity_orders_max: int = 0
    velocity_window_ms: int = 60_000
    amount_review_minor: int = 0
    amount_max_minor: int = 0
    remorse_ms: int = -1
    complete_after_ms: int = -1
    return_window_ms: int = -1
    capture_on_shipment_scenes: tuple[str, ...] = ()
    provider: str = "sandbox"


class Particulars(msgspec.Struct, frozen=True, kw_only=True):
    """What the request adds to the quote: where to, how it is paid, and under which key it is placed.

    `stored_minor` of the total is paid with the buyer's stored value, the rest by `method`.
    """

    address: dict[str, str]
    email: str
    method: str
    confirm: bool
    scope: str
    key: str
    request_hash: str
    quote_hash: str
    quoted: bool
    new_buyer: bool
    at_ms: int
    stored_minor: int = 0


class PromisedGift(msgspec.Struct, frozen=True, array_like=True):
    """A gift's line of an order to be placed: what it takes of the stock and counts in its campaign's budget."""

    order_id: str
    line_no: int
    sku_id: str
    pool: str
    quantity: int
    campaign_id: str
    list_minor: int


class Placement(msgspec.Struct, frozen=True, array_like=True):
    """One item of the place batch: everything is priced, minted and encoded; only stock and limits are open."""

    checkout_id: str
    buyer_id: str
    gene: int
    scope: str
    key: str
    request_hash: str
    quote_hash: str
    at_ms: int
    quoted: bool
    new_buyer: bool
    expires_at_ms: int
    risk: RiskFacts
    hold: HoldRequest
    orders: tuple[NewOrder, ...]
    intent: NewIntent | None
    body: bytes
    limits: tuple[LimitUse, ...] = ()
    gifts: tuple[PromisedGift, ...] = ()


class Placed(msgspec.Struct, frozen=True, array_like=True):
    """The checkout that stands; `replayed` when an earlier request with this key or quote had placed it."""

    buyer_id: str
    checkout_id: str
    replayed: bool


class OrderSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One order of a checkout as answered to the buyer."""

    order_id: str
    order_number: str
    seller_id: str
    total_minor: int


class CheckoutView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A placed checkout: kept as its row's body, answered to the buyer, the same at every replay.

    `missed_gifts` were quoted and sold out before it was placed.
    """

    checkout_id: str
    buyer_id: str
    market: str
    currency: str
    total_minor: int
    tax_minor: int
    shipping_minor: int
    orders: tuple[OrderSummary, ...]
    payment_id: str
    placed_at_ms: int
    missed_gifts: tuple[MissedGift, ...] = ()
