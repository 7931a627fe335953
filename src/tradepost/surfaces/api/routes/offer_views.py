"""Offers as they are shown, with what one piece costs now."""

from __future__ import annotations

import msgspec

from tradepost.kernel.money import Money
from tradepost.surfaces.api.routes.quote_views import AdjustmentView, view_adjusted
from tradepost.surfaces.api.words import PriceView, money, unit_price
from tradepost.trade import checkout
from tradepost.trade.catalog import Component, OfferView

OFFER = {
    "sku_id": "sku_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "markets": ["GB"],
    "prices": [{"currency": "GBP", "price": "8.95"}],
    "limit_per_buyer": 0,
}
OFFER_ANSWER = {
    "offer_id": "off_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "sku_id": "sku_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "sku_code": "MUG-01-BLUE",
    "product_id": "prd_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "code": "",
    "title": "Stoneware mug, blue",
    "description": "Holds 300 ml, glazed by hand.",
    "image": "https://img.example/mug.jpg",
    "tax_category": "standard",
    "components": [{"sku_id": "sku_01m4xk9v0c7s8p2q3r4t5v6w7x", "quantity": 1}],
    "markets": ["GB"],
    "prices": [{"currency": "GBP", "price": "8.95", "from_ms": 0, "until_ms": 0}],
    "pool": "shop",
    "limit_per_buyer": 0,
    "quantity_max": 0,
    "state": "ACTIVE",
    "seller_state": "ACTIVE",
    "version": 1,
}
PRICE_NOW = {
    "list": "8.95",
    "price": "8.50",
    "amount": {"amount_minor": 765, "currency": "GBP"},
    "adjustments": [
        {
            "code": "ten",
            "reason": "Ten percent in November",
            "funder": "seller",
            "amount": {"amount_minor": -85, "currency": "GBP"},
            "campaign_id": "cmp_01m4xk9v0c7s8p2q3r4t5v6w7x",
            "campaign_version": 1,
        }
    ],
    "changes_at_ms": 1790000000000,
}
PRICE_BOUNDS = ("market", "scene", "content_id", "segment")


class PriceNowView(msgspec.Struct, frozen=True, kw_only=True):
    """What one piece costs now: its list price, the price that its layers make of it, and what is left of that after
    `adjustments` of campaigns that need no code. A quote of this moment says the same. All as the market writes
    prices, with tax or before it.

    `changes_at_ms` is the next moment at which it costs something else, as far as is known now; 0 when none is known.
    """

    list: str
    price: str
    amount: Money
    adjustments: tuple[AdjustmentView, ...] = ()
    changes_at_ms: int = 0


class OfferAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An offer with its prices as decimal strings. `components` are the SKUs that one unit takes from stock."""

    offer_id: str
    seller_id: str
    sku_id: str
    sku_code: str
    product_id: str
    code: str
    title: str
    description: str
    image: str
    tax_category: str
    components: tuple[Component, ...]
    markets: tuple[str, ...]
    prices: tuple[PriceView, ...]
    pool: str
    limit_per_buyer: int
    quantity_max: int
    state: str
    seller_state: str
    version: int
    floors: dict[str, int] = {}
    convert_from: str = ""
    now: PriceNowView | None = None


_SAME = tuple(name for name in OfferAnswer.__struct_fields__ if name not in ("prices", "now"))


def view_offer(offer: OfferView, now: PriceNowView | None = None) -> OfferAnswer:
    """An offer as shown; with `now` where a market was named."""
    prices = tuple(
        PriceView(
            currency=window.currency,
            price=unit_price(window.price_e4, window.currency),
            from_ms=window.from_ms,
            until_ms=window.until_ms,
            layer=window.layer.value,
            **{bound: getattr(window, bound) for bound in PRICE_BOUNDS},
        )
        for window in offer.prices
    )
    return OfferAnswer(prices=prices, now=now, **{name: getattr(offer, name) for name in _SAME})


def view_price(found: checkout.PriceNow | None, currency: str) -> PriceNowView | None:
    """The price of this moment as shown; None where there is none."""
    if found is None:
        return None
    return PriceNowView(
        list="" if found.list_e4 is None else unit_price(found.list_e4, currency),
        price=unit_price(found.unit_e4, currency),
        amount=money(found.amount_minor, currency),
        adjustments=view_adjusted(found.changes, currency),
        changes_at_ms=found.changes_at_ms,
    )
