"""Cart: what a buyer or guest means to buy, over all sellers; an intent without promises."""

from tradepost.trade.cart.api import EDIT, carts_of, edit, find, merge
from tradepost.trade.cart.jobs import sweeps
from tradepost.trade.cart.memory import CartMemory
from tradepost.trade.cart.model import (
    CART_STATES,
    Cart,
    CartCommand,
    CartLine,
    Edited,
    LowStock,
    OfferEnded,
    OfferPaused,
    PriceChanged,
    PutLine,
    RemoveLines,
    SeePrices,
    SelectLines,
    SoldOut,
    Warnings,
)
from tradepost.trade.cart.rules import lines_for_checkout, put_line, warn

__all__ = [
    "CART_STATES",
    "EDIT",
    "Cart",
    "CartCommand",
    "CartLine",
    "CartMemory",
    "Edited",
    "LowStock",
    "OfferEnded",
    "OfferPaused",
    "PriceChanged",
    "PutLine",
    "RemoveLines",
    "SeePrices",
    "SelectLines",
    "SoldOut",
    "Warnings",
    "carts_of",
    "edit",
    "find",
    "lines_for_checkout",
    "merge",
    "put_line",
    "sweeps",
    "warn",
]
