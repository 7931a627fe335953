"""Products, SKUs, kits, offers and what a sale needs of them; the offer's state table and the refusal codes."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.events import Event, event
from tradepost.kernel.states import StateTable


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """So many of a SKU inside one kit. Plain SKUs consist of themselves, once."""

    sku_id: str
    quantity: int


class Layer(StrEnum):
    """Which list a price stands in. Where several hold, the one named last here decides, cheaper or dearer."""

    LIST = "list"
    MARKET = "market"
    SCHEDULED = "scheduled"
    FLASH = "flash"
    ROOM = "room"
    MEMBER = "member"


class PriceWindow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A unit price of one currency from a moment until just before another; 0 leaves that end open.

    Above the LIST layer it may be bound to a market, a scene (and those beneath it), the content that led to the
    line, or a group of buyers; empty is no bound.
    """

    currency: str
    price_e4: int
    from_ms: int = 0
    until_ms: int = 0
    layer: Layer = Layer.LIST
    market: str = ""
    scene: str = ""
    content_id: str = ""
    segment: str = ""


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """What is described: one text and picture for one SKU or several. `code` is unique per seller.

    `groups` are names that campaigns may speak of; the tax category is one without being listed.
    """

    product_id: str
    seller_id: str
    code: str
    title: str
    description: str = ""
    image: str = ""
    tax_category: str = "standard"
    version: int = 1
    groups: tuple[str, ...] = ()


class Sku(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted and sold. `code` is case-sensitive and unique per seller; components are those of a kit,
    flattened to plain SKUs and fixed when it is made; empty for a plain SKU. `weight_g` is what one weighs packed.
    """

    sku_id: str
    seller_id: str
    product_id: str
    code: str
    title: str
    components: tuple[Component, ...] = ()
    version: int = 1
    weight_g: int = 0


class SkuHome(msgspec.Struct, frozen=True, kw_only=True):
    """The facts on a SKU's own gene that never change: whose it is and its code."""

    sku_id: str
    seller_id: str
    code: str
    created_at_ms: int


class OfferTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a seller asks for a SKU: where, for how much, from which pool, how many. 0 is no limit.

    `floors` is the least one unit may cost after every discount, in minor units by currency. `convert_from` names the
    currency whose prices are converted for markets without a price of their own; empty sells nothing converted.
    """

    markets: tuple[str, ...]
    prices: tuple[PriceWindow, ...]
    pool: str = "shop"
    limit_per_buyer: int = 0
    quantity_max: int = 0
    floors: dict[str, int] = {}
    convert_from: str = ""


class OfferFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an offer row: its terms, and the SKU and product facts a sale freezes."""

    sku_code: str
    product_id: str
    title: str
    description: str
    image: str
    tax_category: str
    components: tuple[Component, ...]
    terms: OfferTerms
    weight_g: int = 0
    groups: tuple[str, ...] = ()


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """An offer row. `code` tells several offers of one SKU apart; most have the empty one."""

    offer_id: str
    seller_id: str
    sku_id: str
    code: str
    state: str
    facts: OfferFacts
    version: int = 1


@event("offer.changed.v1")
class OfferChanged(Event, frozen=True, kw_only=True):
    """An offer was made or reads differently now: terms, texts or state."""

    offer_id: str
    seller_id: str
    state: str


class OfferView(msgspec.Struct, frozen=True, kw_only=True):
    """All that cart, pricing and checkout need of an offer, and all an order line freezes, in one read.

    `components` is always filled: a plain SKU consists of itself, once. `shipping_version` counts how often the
    seller's shipping terms were written; 0 says that there never were any.
    """

    offer_id: str
    seller_id: str
    sku_id: str
    sku_code: str
    product_id: str
    title: str
    description: str
    image: str
    components: tuple[Component, ...]
    markets: tuple[str, ...]
    prices: tuple[PriceWindow, ...]
    state: str
    seller_state: str
    fee_bps: int
    version: int
    tax_category: str = "standard"
    pool: str = "shop"
    limit_per_buyer: int = 0
    quantity_max: int = 0
    code: str = ""
    floors: dict[str, int] = {}
    weight_g: int = 0
    shipping_version: int = 0
    groups: tuple[str, ...] = ()
    convert_from: str = ""


class SellerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What offers must know of their seller, as of a version of the seller."""

    seller_id: str
    state: str
    fee_bps: int
    version: int


UNKNOWN_SELLER_STATE = "PENDING"
"""The state of a seller the catalogue has not heard of yet: nothing of it is sold."""

OFFER_STATES = StateTable(
    "offer",
    "ACTIVE",
    ("ENDED",),
    (
        ("ACTIVE", "pause", "PAUSED"),
        ("ACTIVE", "end", "ENDED"),
        ("PAUSED", "resume", "ACTIVE"),
        ("PAUSED", "end", "ENDED"),
    ),
)

declare_problems(
    {
        "catalog.code_invalid": (
            Kind.INVALID,
            "Not a usable code",
            "Use 1 to 64 printable letters without `;` and without blanks at either end.",
        ),
        "catalog.text_invalid": (
            Kind.INVALID,
            "Text is missing, too long or not printable",
            "See `expected` for the length; leave out control characters.",
        ),
        "catalog.code_taken": (
            Kind.CONFLICT,
            "This code is in use",
            "Codes are unique per seller and tell capitals apart; change the existing one or choose another.",
        ),
        "catalog.product_unknown": (Kind.NOT_FOUND, "No such product of this seller", "Check the id."),
        "catalog.sku_unknown": (Kind.NOT_FOUND, "No such SKU of this seller", "Check the id or the code."),
        "catalog.offer_unknown": (Kind.NOT_FOUND, "No such offer", "Check the id."),
        "catalog.seller_unknown": (
            Kind.NOT_FOUND,
            "The catalogue does not know this seller",
            "Enter the seller first; a new one is known a moment later.",
        ),
        "catalog.offer_exists": (
            Kind.CONFLICT,
            "The SKU has an offer with this code",
            "Change that offer, or give the new one a code of its own.",
        ),
        "catalog.component_unknown": (
            Kind.UNPROCESSABLE,
            "A kit needs components that exist",
            "Make the component SKUs of the same seller first.",
        ),
        "catalog.components_invalid": (
            Kind.INVALID,
            "Not a usable list of components",
            "Give at most 50 SKUs with quantities from 1 to 1000; a kit cannot contain itself.",
        ),
        "catalog.components_fixed": (
            Kind.CONFLICT,
            "What a SKU consists of is fixed",
            "Stock may be held by these components: make a new SKU for another composition.",
        ),
        "catalog.markets_invalid": (
            Kind.INVALID,
            "Not a usable list of markets",
            "Name at least one market, each once.",
        ),
        "catalog.market_without_price": (
            Kind.UNPROCESSABLE,
            "A market has no price",
            "Give at least one price in the currency of each market, or name the currency to convert from.",
        ),
        "catalog.price_negative": (Kind.INVALID, "Price out of range", "Send a price from 0 to 100 million."),
        "catalog.prices_too_many": (Kind.INVALID, "Too many prices", "Send at most 64 price windows."),
        "catalog.price_window_empty": (
            Kind.INVALID,
            "Price window without time",
            "`until` must be later than `from`; 0 leaves an end open.",
        ),
        "catalog.price_layer_invalid": (
            Kind.INVALID,
            "A price does not fit its layer",
            "Bind list prices to nothing, and market, room and member prices to what `expected` names.",
        ),
        "catalog.price_windows_overlap": (
            Kind.UNPROCESSABLE,
            "Two prices at one moment",
            "Let each window of a currency end before the next begins.",
        ),
        "catalog.limit_invalid": (Kind.INVALID, "Limit out of range", "Send 0 (no limit) to 1,000,000."),
        "catalog.weight_invalid": (Kind.INVALID, "Weight out of range", "Send 0 to 10,000,000 grams."),
        "catalog.pool_invalid": (
            Kind.INVALID,
            "Not a usable pool",
            "Use 1 to 32 small letters, digits, `_`, `-` or `.`.",
        ),
        "catalog.image_invalid": (
            Kind.INVALID,
            "Not a usable image",
            "Send an http(s) address or a path from /.",
        ),
        "catalog.group_invalid": (
            Kind.INVALID,
            "Not usable groups",
            "Send at most 16 names of 1 to 32 small letters, digits, `_`, `.` or `-`.",
        ),
        "catalog.state_invalid": (Kind.INVALID, "Not an offer state", "Use ACTIVE, PAUSED or ENDED."),
        "catalog.row_malformed": (Kind.INVALID, "Row cannot be read", "Correct the row's syntax."),
        "catalog.column_unknown": (
            Kind.INVALID,
            "Unknown column",
            "Use the columns `expected` names; see the bulk format.",
        ),
        "catalog.column_missing": (Kind.INVALID, "A needed value is missing", "Fill in the named column."),
        "catalog.number_invalid": (Kind.INVALID, "Not a whole number", "Send digits only."),
        "catalog.seller_mismatch": (
            Kind.FORBIDDEN,
            "Row of another seller",
            "Leave `seller` empty or send your own id.",
        ),
        "catalog.rows_scattered": (
            Kind.INVALID,
            "The rows of one offer stand apart",
            "Let all rows of an offer follow each other.",
        ),
        "catalog.rows_disagree": (
            Kind.INVALID,
            "Rows of one offer disagree",
            "Only currency, price and window may differ between the rows of an offer.",
        ),
        "catalog.rows_withheld": (
            Kind.INVALID,
            "Another row of the same offer was refused",
            "Correct that row and import the offer again; its rows are applied together.",
        ),
        "catalog.stock_unsupported": (
            Kind.UNPROCESSABLE,
            "Stock cannot be set here",
            "Leave the column empty and set stock through the stock routes.",
        ),
    }
)
