"""Shipping rates: (market, seller, goods in minor units, units) -> minor units in the market's own sense."""

from __future__ import annotations

from collections.abc import Callable

from tradepost.kernel.market import Market
from tradepost.kernel.points import Point

Rate = Callable[[Market, str, int, int], int]


def free(market: Market, seller_id: str, goods_minor: int, units: int) -> int:
    """Nothing: the seller's prices carry the postage."""
    return 0


def flat_rate(amount_minor: int, free_from_minor: int = 0) -> Rate:
    """A strategy of one price per seller's parcel, free from an amount of goods on (0: never free)."""

    def rate(market: Market, seller_id: str, goods_minor: int, units: int) -> int:
        return 0 if free_from_minor and goods_minor >= free_from_minor else amount_minor

    return rate


RATES: Point[Rate] = Point("shipping.rates", "What does this seller's shipping cost in this market?")
RATES.register(free, code="free")
