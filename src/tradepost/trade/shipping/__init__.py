"""Shipping: what sending a seller's parcels costs the buyer, who helps to pay it, and when they arrive. Pure."""

from tradepost.trade.shipping.model import (
    Area,
    Band,
    Basis,
    Contribution,
    Destination,
    Load,
    Method,
    Option,
    Parcel,
    Rate,
    Subsidy,
    Terms,
    Zone,
)
from tradepost.trade.shipping.options import check_terms, options, zone_of
from tradepost.trade.shipping.rules import RATES, flat_rate, free

__all__ = [
    "RATES",
    "Area",
    "Band",
    "Basis",
    "Contribution",
    "Destination",
    "Load",
    "Method",
    "Option",
    "Parcel",
    "Rate",
    "Subsidy",
    "Terms",
    "Zone",
    "check_terms",
    "flat_rate",
    "free",
    "options",
    "zone_of",
]
