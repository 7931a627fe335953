"""Shipping: what a seller's parcels cost the buyer, as a pure strategy; free by default."""

from tradepost.trade.shipping.rules import RATES, flat_rate, free

__all__ = ["RATES", "flat_rate", "free"]
