"""Pricing: one pure function from lines, market and moment to a total with tax, fees and a trace."""

from tradepost.trade.pricing.model import (
    ADJUSTMENTS,
    Adjust,
    Adjustment,
    Basket,
    BasketLine,
    Funder,
    Priced,
    PricedLine,
    PriceLine,
    Proposal,
    ShippingCharge,
    no_adjustments,
)
from tradepost.trade.pricing.rules import list_price, price

__all__ = [
    "ADJUSTMENTS",
    "Adjust",
    "Adjustment",
    "Basket",
    "BasketLine",
    "Funder",
    "PriceLine",
    "Priced",
    "PricedLine",
    "Proposal",
    "ShippingCharge",
    "list_price",
    "no_adjustments",
    "price",
]
