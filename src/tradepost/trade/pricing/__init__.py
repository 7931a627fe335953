"""Pricing: one pure function from lines, market and moment to a total with tax, fees and a trace."""

from tradepost.trade.pricing.fx import (
    FrozenRate,
    Quoted,
    booked_difference,
    convert_currency,
    exact_rate,
    percent_of,
    quote_price,
)
from tradepost.trade.pricing.giving import goods_of
from tradepost.trade.pricing.model import (
    ADJUSTMENTS,
    QUANTITY_MAX,
    Adjust,
    BuyerFacts,
    GiftLine,
    Priced,
    PricedLine,
    PriceLine,
    Proposal,
    SendRule,
    Sent,
    ShippingCharge,
    no_adjustments,
)
from tradepost.trade.pricing.rates import RATES, PublishedRate, Rates, rates_in_force
from tradepost.trade.pricing.rules import list_price, price
from tradepost.trade.promotion import Adjustment, Basket, BasketLine, Funder, Outcome, Promotions

__all__ = [
    "ADJUSTMENTS",
    "QUANTITY_MAX",
    "RATES",
    "Adjust",
    "Adjustment",
    "Basket",
    "BasketLine",
    "BuyerFacts",
    "FrozenRate",
    "Funder",
    "GiftLine",
    "Outcome",
    "PriceLine",
    "Priced",
    "PricedLine",
    "Promotions",
    "Proposal",
    "PublishedRate",
    "Quoted",
    "Rates",
    "SendRule",
    "Sent",
    "ShippingCharge",
    "booked_difference",
    "convert_currency",
    "exact_rate",
    "goods_of",
    "list_price",
    "no_adjustments",
    "percent_of",
    "price",
    "quote_price",
    "rates_in_force",
]
