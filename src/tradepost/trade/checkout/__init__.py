"""Checkout: quote, place order, buy now. The only conductor of stock, orders and payment."""

from tradepost.trade.checkout.buy import Request, accept_buy_now, accept_quote, make_quote
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.earlier import Earlier
from tradepost.trade.checkout.jobs import sweeps
from tradepost.trade.checkout.model import Address, CheckoutView, Quote, QuotedOrder, Terms, Want
from tradepost.trade.checkout.place_order import claim_checkout, place_order
from tradepost.trade.checkout.views import find_checkout, list_checkouts

__all__ = [
    "Address",
    "CheckoutView",
    "Context",
    "Earlier",
    "Quote",
    "QuotedOrder",
    "Request",
    "Terms",
    "Want",
    "accept_buy_now",
    "accept_quote",
    "claim_checkout",
    "find_checkout",
    "list_checkouts",
    "make_quote",
    "place_order",
    "sweeps",
]
