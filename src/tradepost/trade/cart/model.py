"""Carts, the changes they accept and the warnings they carry."""

from __future__ import annotations

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.states import StateTable

OPEN = "OPEN"
MERGED = "MERGED"
CART_STATES = StateTable("cart", OPEN, [MERGED], [(OPEN, "edit", OPEN), (OPEN, "merge", MERGED)])
LINES_MAX = 2_000
QUANTITY_MAX = 100_000
MERGED_FROM_MAX = 100
"""Guest carts a cart remembers, so that merging one of them again adds nothing."""
DAY_MS = 86_400_000
KEPT_DAYS = 90


class CartLine(msgspec.Struct, frozen=True, kw_only=True):
    """One offer in a cart; there is at most one line an offer.

    `seen_price_e4` is the unit price the buyer saw last; `quantity_max` the offer's own bound then, 0 for none.
    """

    offer_id: str
    seller_id: str
    quantity: int
    selected: bool = True
    content_id: str = ""
    creator_id: str = ""
    seen_price_e4: int = 0
    quantity_max: int = 0
    added_at_ms: int = 0
    touched_at_ms: int = 0


class Cart(msgspec.Struct, frozen=True, kw_only=True):
    """A cart of a buyer or guest in one market. `merged_into` names the cart that took a guest's lines."""

    cart_id: str
    buyer_id: str
    market: str
    state: str = OPEN
    version: int = 1
    lines: tuple[CartLine, ...] = ()
    merged_into: str = ""
    merged_from: tuple[str, ...] = ()
    updated_at_ms: int = 0


class PutLine(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="put"):
    """Add to a line (`add` true) or set its quantity; a new offer becomes a new, selected line.

    An empty content and creator leave those of the line.
    """

    offer_id: str
    seller_id: str
    quantity: int
    add: bool = True
    content_id: str = ""
    creator_id: str = ""
    seen_price_e4: int = 0
    quantity_max: int = 0


class RemoveLines(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="remove"):
    """Take lines out; an offer that is not in the cart changes nothing."""

    offer_ids: tuple[str, ...]


class SelectLines(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="select"):
    """Mark lines for the next checkout, or not; no offers named means every line."""

    offer_ids: tuple[str, ...] = ()
    selected: bool = True


class SeePrices(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="see"):
    """The buyer has seen these unit prices: no warning about them any more."""

    prices_e4: dict[str, int]


Change = PutLine | RemoveLines | SelectLines | SeePrices


class CartCommand(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Changes to one cart, all or none. `version` 0 takes any; `create` opens a cart that is not there.

    `sku_ids` are SKUs of the cart's shard whose available pieces the answer shall tell.
    """

    cart_id: str
    buyer_id: str
    market: str
    at_ms: int
    changes: tuple[Change, ...] = ()
    version: int = 0
    create: bool = False
    lines_max: int = LINES_MAX
    sku_ids: tuple[str, ...] = ()


class Edited(msgspec.Struct, frozen=True, array_like=True):
    """A cart after a command, and (SKU, pool, available pieces) of the stock that the command asked for."""

    cart: Cart
    available: tuple[tuple[str, str, int], ...] = ()


class PriceChanged(msgspec.Struct, frozen=True, kw_only=True, tag_field="code", tag="price_changed"):
    """The unit price is not the one the buyer saw last."""

    offer_id: str
    old_price_e4: int
    new_price_e4: int


class SoldOut(msgspec.Struct, frozen=True, kw_only=True, tag_field="code", tag="sold_out"):
    """Nothing is left."""

    offer_id: str


class LowStock(msgspec.Struct, frozen=True, kw_only=True, tag_field="code", tag="low_stock"):
    """Less is left than the line asks for."""

    offer_id: str
    available: int


class OfferEnded(msgspec.Struct, frozen=True, kw_only=True, tag_field="code", tag="offer_ended"):
    """The offer will not come back."""

    offer_id: str


class OfferPaused(msgspec.Struct, frozen=True, kw_only=True, tag_field="code", tag="offer_paused"):
    """The offer cannot be bought now: paused, its seller is not active, or it has no price here now."""

    offer_id: str


Warnings = PriceChanged | SoldOut | LowStock | OfferEnded | OfferPaused

declare_problems(
    {
        "cart.not_found": (Kind.NOT_FOUND, "No such cart", "Use the id of one of this buyer's carts."),
        "cart.closed": (Kind.CONFLICT, "The cart was merged into another", "Use the cart it names."),
        "cart.line_unknown": (
            Kind.NOT_FOUND,
            "No such line in the cart",
            "Read the cart and name its lines.",
        ),
        "cart.quantity_invalid": (
            Kind.INVALID,
            "Quantity out of range",
            "Send a whole number within the range that `expected` tells.",
        ),
        "cart.too_many_lines": (Kind.UNPROCESSABLE, "The cart is full", "Remove lines or check some out."),
        "cart.nothing_selected": (
            Kind.UNPROCESSABLE,
            "No line is selected",
            "Select the lines to check out.",
        ),
    }
)
