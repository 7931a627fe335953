"""What a quote says of each seller's lines, as carts and offers show it too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tradepost.kernel.money import Money
from tradepost.surfaces.api.routes.shipping_views import OptionsView, view_options
from tradepost.surfaces.api.words import money, unit_price
from tradepost.trade.checkout import QuotedOrder
from tradepost.trade.orders import Conversion, MissedGift
from tradepost.trade.pricing import Adjustment, percent_of

GBP = {"amount_minor": 1790, "currency": "GBP"}
TAX = {"amount_minor": 298, "currency": "GBP"}
NONE = {"amount_minor": 0, "currency": "GBP"}
QUOTE_ORDERS = [
    {
        "order_id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x",
        "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
        "total": GBP,
        "lines": [
            {
                "line_no": 1,
                "offer_id": "off_01m4xk9v0c7s8p2q3r4t5v6w7x",
                "title": "Stoneware mug, blue",
                "quantity": 2,
                "unit_price": "8.95",
                "list": GBP,
                "total": GBP,
                "tax": TAX,
                "adjustments": [],
                "gift_of": "",
            },
            {
                "line_no": 2,
                "offer_id": "off_01m4xk9v0c7s8p2q3r4t5v6w7y",
                "title": "Cotton tea towel",
                "quantity": 1,
                "unit_price": "4.50",
                "list": {"amount_minor": 450, "currency": "GBP"},
                "total": NONE,
                "tax": NONE,
                "adjustments": [
                    {
                        "code": "towel",
                        "reason": "A towel with two mugs",
                        "funder": "seller",
                        "amount": {"amount_minor": -450, "currency": "GBP"},
                        "campaign_id": "cmp_01m4xk9v0c7s8p2q3r4t5v6w7x",
                        "campaign_version": 1,
                    }
                ],
                "gift_of": "cmp_01m4xk9v0c7s8p2q3r4t5v6w7x",
            },
        ],
    }
]
MISSED_GIFT = {
    "campaign_id": "cmp_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "code": "sticker",
    "offer_id": "off_01m4xk9v0c7s8p2q3r4t5v6w7z",
    "title": "Sticker",
    "quantity": 1,
    "why": "gift_sold_out",
}


class AdjustmentView(msgspec.Struct, frozen=True, kw_only=True):
    """A signed change to a line or to shipping: why, who pays for it, and which version of which campaign gave it."""

    code: str
    reason: str
    funder: str
    amount: Money
    campaign_id: str = ""
    campaign_version: int = 0


class QuoteLine(msgspec.Struct, frozen=True, kw_only=True):
    """A priced line. `gift_of` is the campaign that gives it; nothing is paid for it."""

    line_no: int
    offer_id: str
    title: str
    quantity: int
    unit_price: str
    list: Money
    total: Money
    tax: Money
    adjustments: tuple[AdjustmentView, ...]
    gift_of: str = ""


class MissedGiftView(msgspec.Struct, frozen=True, kw_only=True):
    """A gift that was earned and is not there; `why` is a stable word such as `gift_sold_out`."""

    campaign_id: str
    code: str
    offer_id: str
    title: str
    quantity: int
    why: str


class ConversionView(msgspec.Struct, frozen=True, kw_only=True):
    """The rate that prices were converted at, as it was frozen: one unit of `sold` cost `rate` of `paid` and
    `margin_percent` on top. `prices` has the seller's own unit price of each line; empty where it had one in `paid`."""

    sold: str
    paid: str
    rate: str
    margin_percent: str
    source: str
    published_ms: int
    prices: tuple[str, ...]


def view_conversion(found: Sequence[Conversion]) -> ConversionView | None:
    """The conversion of an order as shown; None where nothing was sold converted."""
    if not found:
        return None
    rate, sold_e4 = found[0].rate, found[0].sold_e4
    return ConversionView(
        sold=rate.sold,
        paid=rate.paid,
        rate=rate.written(),
        margin_percent=percent_of(rate.margin_ppm),
        source=rate.source,
        published_ms=rate.published_ms,
        prices=tuple([unit_price(price, rate.sold) if price else "" for price in sold_e4]),
    )


class QuoteOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What one seller would be owed; `sending` are the ways to send it, of a seller with shipping terms, `conversion`
    the rate where the seller had no price in this currency."""

    order_id: str
    seller_id: str
    total: Money
    lines: tuple[QuoteLine, ...]
    shipping_adjustments: tuple[AdjustmentView, ...] = ()
    sending: OptionsView | None = None
    conversion: ConversionView | None = None


def view_quoted(order: QuotedOrder, currency: str) -> QuoteOrder:
    """What one seller would be owed, as shown."""
    lines = [
        QuoteLine(
            line_no=line.line_no,
            offer_id=line.offer_id,
            title=line.title,
            quantity=line.quantity,
            unit_price=unit_price(line.unit_price_e4, currency),
            list=money(line.list_minor, currency),
            total=money(line.total_minor, currency),
            tax=money(line.tax_minor, currency),
            adjustments=view_adjusted(line.adjustments, currency),
            gift_of=line.gift.campaign_id if line.gift is not None else "",
        )
        for line in order.lines
    ]
    return QuoteOrder(
        order_id=order.order_id,
        seller_id=order.seller_id,
        total=money(order.total_minor, currency),
        lines=tuple(lines),
        shipping_adjustments=view_adjusted(order.shipping_adjustments, currency),
        sending=view_options(order, currency),
        conversion=view_conversion(order.conversions),
    )


def view_missed(gifts: Iterable[MissedGift]) -> tuple[MissedGiftView, ...]:
    """Gifts that are not there, as shown."""
    return tuple(
        [
            MissedGiftView(
                campaign_id=one.campaign_id,
                code=one.code,
                offer_id=one.offer_id,
                title=one.title,
                quantity=one.quantity,
                why=one.why,
            )
            for one in gifts
        ]
    )


def view_adjusted(changes: tuple[Adjustment, ...], currency: str) -> tuple[AdjustmentView, ...]:
    """Changes of a price as shown."""
    return tuple(
        [
            AdjustmentView(
                code=change.code,
                reason=change.reason,
                funder=change.funder,
                amount=money(change.amount_minor, currency),
                campaign_id=change.campaign_id,
                campaign_version=change.version,
            )
            for change in changes
        ]
    )
