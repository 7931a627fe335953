"""Shipping: what sending a seller's parcels costs the buyer, who helps to pay it, and when they arrive.

Terms are kept per seller and currency; pricing them is pure.
"""

from tradepost.trade.shipping.api import end_terms, find_terms, list_terms, put_terms
from tradepost.trade.shipping.book import TermsBook
from tradepost.trade.shipping.checks import accept_terms
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
    StoredTerms,
    Subsidy,
    Terms,
    Zone,
)
from tradepost.trade.shipping.options import check_terms, options, zone_of
from tradepost.trade.shipping.places import NOWHERE, check_same, clean, deciding
from tradepost.trade.shipping.rules import RATES, flat_rate, free

__all__ = [
    "NOWHERE",
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
    "StoredTerms",
    "Subsidy",
    "Terms",
    "TermsBook",
    "Zone",
    "accept_terms",
    "check_same",
    "check_terms",
    "clean",
    "deciding",
    "end_terms",
    "find_terms",
    "flat_rate",
    "free",
    "list_terms",
    "options",
    "put_terms",
    "zone_of",
]
