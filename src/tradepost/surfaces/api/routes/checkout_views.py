"""Quotes and checkouts as they are asked for and shown."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tradepost.kernel.money import Money
from tradepost.surfaces.api.routes.payment_views import PAYMENT, PaymentAnswer
from tradepost.surfaces.api.routes.quote_views import (
    GBP,
    MISSED_GIFT,
    NONE,
    QUOTE_ORDERS,
    TAX,
    MissedGiftView,
    QuoteOrder,
    view_missed,
    view_quoted,
)
from tradepost.surfaces.api.routes.shipping_views import DestinationInput, Methods
from tradepost.surfaces.api.words import Code, Id, Name, money
from tradepost.trade.checkout import CheckoutView, Quote

Party = Annotated[str, Meta(max_length=64)]
LINES = [{"offer_id": "off_01m4xk9v0c7s8p2q3r4t5v6w7x", "quantity": 2}]
ADDRESS = {
    "name": "Ann Lee",
    "line1": "1 High Street",
    "city": "Leeds",
    "postcode": "LS1 1AA",
    "country": "GB",
}
QUOTE_ANSWER = {
    "quote": "eJzT0yMAAGTvBe8.q3V5dGVfc2lnbmF0dXJl",
    "checkout_id": "chk_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "buyer_id": "byr_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "market": "GB",
    "expires_at_ms": 1790000900000,
    "total": GBP,
    "tax": TAX,
    "shipping": NONE,
    "orders": QUOTE_ORDERS,
    "guest_token": "",
    "missed_gifts": [MISSED_GIFT],
}
CHECKOUT_ANSWER = {
    "checkout_id": "chk_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "buyer_id": "byr_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "market": "GB",
    "total": GBP,
    "tax": TAX,
    "shipping": NONE,
    "orders": [
        {
            "order_id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x",
            "order_number": "2Q3R-4T5V-6W7X",
            "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
            "total": GBP,
        }
    ],
    "payment_id": "pay_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "placed_at_ms": 1790000000000,
    "payment": PAYMENT,
    "guest_token": "",
    "missed_gifts": [],
}
QUOTE_CODES = (
    "market.unknown",
    "checkout.lines_empty",
    "checkout.too_many_lines",
    "checkout.offer_unknown",
    "checkout.offer_unavailable",
    "pricing.quantity_invalid",
    "fx.no_rate",
    "fx.rate_stale",
    "fx.mixed",
    "promotion.codes_invalid",
    "promotion.code_unknown",
    "promotion.code_early",
    "promotion.code_expired",
    "promotion.code_not_applicable",
    "promotion.limit_reached",
    "shipping.destination_incomplete",
    "shipping.method_unavailable",
    "shipping.not_here",
    "shipping.too_large",
)
PLACE_CODES = (
    *QUOTE_CODES,
    "inventory.sold_out",
    "inventory.limit_reached",
    "checkout.quote_forged",
    "checkout.quote_expired",
    "checkout.quote_of_another_buyer",
    "checkout.total_changed",
    "checkout.region_changed",
    "shipping.destination_changed",
    "checkout.currency_mixed",
    "stored.too_little",
    "stored.card_unknown",
    "stored.card_used",
    "stored.buyer_needed",
    "checkout.address_incomplete",
    "idempotency.key_reused",
    "checkout.abandoned",
    "promotion.limit_contended",
    "promotion.price_error",
    "idempotency.key_required",
    "idempotency.in_progress",
)


class LineWant(msgspec.Struct, frozen=True, kw_only=True):
    """One line to buy, and the content and creator that led to it."""

    offer_id: Id
    quantity: Annotated[int, Meta(ge=-(2**31), le=2**31)]
    content_id: Party = ""
    creator_id: Party = ""


Coupons = Annotated[
    tuple[Annotated[str, Meta(max_length=40)], ...],
    Meta(
        max_length=10, description="Coupon codes, in any letters. One that gives nothing refuses the request."
    ),
]
Segments = Annotated[
    tuple[Code, ...],
    Meta(
        max_length=20,
        description="Groups the buyer is in, as a storefront or operator says; from others unheard.",
    ),
]


class QuoteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to price, where. Storefronts name the buyer, or leave it out for a new guest. A `region` (a state's code or
    name) is needed where taxes differ by region, a `destination` where sellers' shipping does. With `store_credit` the
    answer tells how much of the total the buyer's store credit would pay."""

    market: Code
    lines: tuple[LineWant, ...]
    buyer_id: Party = ""
    scene: Code = ""
    codes: Coupons = ()
    segments: Segments = ()
    region: Name = ""
    destination: DestinationInput | None = None
    shipping: Methods = {}
    store_credit: bool = False


class AddressInput(msgspec.Struct, frozen=True, kw_only=True):
    """Where the goods go; which parts are needed is the market's rule."""

    name: Name = ""
    line1: Name = ""
    line2: Name = ""
    city: Name = ""
    region: Name = ""
    postcode: Code = ""
    country: Code = ""
    phone: Code = ""


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """The total that the buyer saw, in the currency's minor unit."""

    amount_minor: Annotated[int, Meta(ge=0, le=10**15)]
    currency: Code


class PayChoice(msgspec.Struct, frozen=True, kw_only=True):
    """How to pay. With a method and `confirm` the provider is asked at once, else by POST /v1/payments/{id}/confirm.

    With `store_credit` the buyer's store credit pays what it covers, and the method the rest; `store_credit_amount`
    names how much of it, at most the total. It leaves the buyer's account with the order. A `gift_card`, by its code,
    becomes store credit of the buyer's first, whether or not the order is placed, and pays as well."""

    method: Name = ""
    confirm: bool = True
    store_credit: bool = False
    store_credit_amount: Total | None = None
    gift_card: Annotated[str, Meta(max_length=80)] = ""


class PlaceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Place a quote (`quote`), or buy now (`market`, `lines` and the `total` the buyer saw)."""

    address: AddressInput
    quote: Annotated[str, Meta(max_length=4_000_000)] = ""
    market: Code = ""
    lines: tuple[LineWant, ...] = ()
    total: Total | None = None
    payment: PayChoice = PayChoice()
    email: Name = ""
    buyer_id: Party = ""
    scene: Code = ""
    codes: Coupons = ()
    segments: Segments = ()
    shipping: Methods = {}


class QuoteAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A priced promise until a deadline. `quote` is the signed token to place; nothing is held yet.

    `missed_gifts` were earned and are not there. `store_credit` is what the buyer's store credit covers now, where that
    was asked.
    """

    quote: str
    checkout_id: str
    buyer_id: str
    market: str
    expires_at_ms: int
    total: Money
    tax: Money
    shipping: Money
    orders: tuple[QuoteOrder, ...]
    guest_token: str = ""
    missed_gifts: tuple[MissedGiftView, ...] = ()
    store_credit: Money | UnsetType = UNSET


class PlacedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order of a checkout."""

    order_id: str
    order_number: str
    seller_id: str
    total: Money


class CheckoutAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A placed checkout: one order a seller, one payment for all. `payment` is as it stood after placing.

    `missed_gifts` were quoted and sold out before it was placed.
    """

    checkout_id: str
    buyer_id: str
    market: str
    total: Money
    tax: Money
    shipping: Money
    orders: tuple[PlacedOrder, ...]
    payment_id: str
    placed_at_ms: int
    payment: PaymentAnswer | None = None
    guest_token: str = ""
    missed_gifts: tuple[MissedGiftView, ...] = ()


def view_quote(quote: Quote, token: str, guest_token: str) -> QuoteAnswer:
    """A quote as shown."""
    currency = quote.currency
    return QuoteAnswer(
        quote=token,
        checkout_id=quote.checkout_id,
        buyer_id=quote.buyer_id,
        market=quote.market,
        expires_at_ms=quote.expires_at_ms,
        total=money(quote.total_minor, currency),
        tax=money(quote.tax_minor, currency),
        shipping=money(quote.shipping_minor, currency),
        orders=tuple([view_quoted(order, currency) for order in quote.orders]),
        guest_token=guest_token,
        missed_gifts=view_missed(quote.missed_gifts),
    )


def view_checkout(
    view: CheckoutView, payment: PaymentAnswer | None = None, guest_token: str = ""
) -> CheckoutAnswer:
    """A checkout as shown."""
    currency = view.currency
    return CheckoutAnswer(
        checkout_id=view.checkout_id,
        buyer_id=view.buyer_id,
        market=view.market,
        total=money(view.total_minor, currency),
        tax=money(view.tax_minor, currency),
        shipping=money(view.shipping_minor, currency),
        orders=tuple(
            [
                PlacedOrder(
                    order_id=order.order_id,
                    order_number=order.order_number,
                    seller_id=order.seller_id,
                    total=money(order.total_minor, currency),
                )
                for order in view.orders
            ]
        ),
        payment_id=view.payment_id,
        placed_at_ms=view.placed_at_ms,
        payment=payment,
        guest_token=guest_token,
        missed_gifts=view_missed(view.missed_gifts) if view.missed_gifts else (),
    )
