"""Checkout: quote, place order, buy now. The only conductor of stock, orders and payment."""

from tradepost.trade.checkout.buy import Request, accept_buy_now, accept_quote, make_quote
from tradepost.trade.checkout.campaigning import check_prices, publish_campaign, tasks
from tradepost.trade.checkout.comparing import Comparison, Sums, compare
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.converting import shown_in
from tradepost.trade.checkout.earlier import Earlier
from tradepost.trade.checkout.explaining import explain_order, explain_quote
from tradepost.trade.checkout.jobs import sweeps
from tradepost.trade.checkout.limits import limit_ids
from tradepost.trade.checkout.model import Address, CheckoutView, Placement, Quote, QuotedOrder, Terms, Want
from tradepost.trade.checkout.place_order import claim_checkout, place_order
from tradepost.trade.checkout.promoting import clean_campaign_codes
from tradepost.trade.checkout.replacing import Replacement, place_replacement
from tradepost.trade.checkout.repricing import Bought, Explained, Rules, bought, explain, quoted, reprice
from tradepost.trade.checkout.sending import Wish
from tradepost.trade.checkout.showing import CartPrices, PriceNow, price_cart, price_offers
from tradepost.trade.checkout.tendering import StoredWish, find_part, place_funded
from tradepost.trade.checkout.tokens import read_quote
from tradepost.trade.checkout.views import find_checkout, list_checkouts

__all__ = [
    "Address",
    "Bought",
    "CartPrices",
    "CheckoutView",
    "Comparison",
    "Context",
    "Earlier",
    "Explained",
    "Placement",
    "PriceNow",
    "Quote",
    "QuotedOrder",
    "Replacement",
    "Request",
    "Rules",
    "StoredWish",
    "Sums",
    "Terms",
    "Want",
    "Wish",
    "accept_buy_now",
    "accept_quote",
    "bought",
    "check_prices",
    "claim_checkout",
    "clean_campaign_codes",
    "compare",
    "explain",
    "explain_order",
    "explain_quote",
    "find_checkout",
    "find_part",
    "limit_ids",
    "list_checkouts",
    "make_quote",
    "place_funded",
    "place_order",
    "place_replacement",
    "price_cart",
    "price_offers",
    "publish_campaign",
    "quoted",
    "read_quote",
    "reprice",
    "shown_in",
    "sweeps",
    "tasks",
]
