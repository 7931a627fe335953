"""What is priced, what comes out, and the point where a promotion engine takes part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.market import Market
from tradepost.kernel.points import Point
from tradepost.trade.catalog import OfferView
from tradepost.trade.promotion import Adjustment, Basket, Funder, Outcome

LINES_MAX = 5_000
"""Lines of one basket unless the caller sets another bound; real invoices have over 1,000."""
QUANTITY_MAX = 1_000_000
"""Units of one line where the offer sets no bound of its own."""
AMOUNT_MAX_MINOR = 10**15
"""The largest basket total; beyond it sums could leave 64 bits."""


class PriceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line to price. `currency` is the one the buyer saw, empty when nobody said.

    `groups` are the groups of goods that promotions may name, `floor_minor` the least one unit may cost.
    """

    offer: OfferView
    quantity: int
    content_id: str = ""
    creator_id: str = ""
    currency: str = ""
    groups: tuple[str, ...] = ()
    floor_minor: int = 0


class GiftLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units of an offer that a campaign may give as a line of their own; `missing` is why they cannot be given."""

    offer: OfferView
    quantity: int
    missing: str = ""


class BuyerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What promotions may know of a buyer: groups they belong to, whether they ever bought, campaigns their
    codes opened (as the caller found them in its table)."""

    segments: tuple[str, ...] = ()
    first_order: bool = False
    unlocked: tuple[str, ...] = ()


NOBODY = BuyerFacts()


class PricedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line priced. `total_minor` is what the buyer pays for it, tax within, adjustments applied.

    `list_minor` is unit price times quantity rounded once, in the market's own sense (with or without tax).
    """

    line_no: int
    offer_id: str
    seller_id: str
    unit_price_e4: int
    quantity: int
    list_minor: int
    adjustments: tuple[Adjustment, ...]
    total_minor: int
    tax_minor: int
    tax_rate_bps: int
    tax_category: str
    fee_bps: int
    fee_minor: int
    content_id: str = ""
    creator_id: str = ""


class ShippingCharge(msgspec.Struct, frozen=True, kw_only=True):
    """What one seller's parcels cost the buyer; `amount_minor` has its `tax_minor` within.

    `list_minor` is the rate before `adjustments`, both in the market's own sense.
    """

    seller_id: str
    amount_minor: int
    tax_minor: int
    tax_rate_bps: int
    list_minor: int = 0
    adjustments: tuple[Adjustment, ...] = ()


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """A basket priced: `total_minor` is the lines' totals plus `shipping_minor`; `tax_minor` lies within it.

    `shipping` has one charge per seller, in order of their first line. `trace` tells what was applied, `outcome`
    what a promotion engine answered: uses, gifts, verdicts (None where a plain strategy or none was asked). `gifts` are
    the lines that campaigns give beside those asked for; they cost nothing, and their numbers count on.
    """

    currency: str
    lines: tuple[PricedLine, ...]
    shipping: tuple[ShippingCharge, ...]
    total_minor: int
    shipping_minor: int
    tax_minor: int
    trace: tuple[str, ...]
    outcome: Outcome | None = None
    gifts: tuple[PricedLine, ...] = ()


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """An adjustment proposed by a strategy, applied in the order given.

    `line_nos` of one line is a line-level change; several, or none at all (every line), is one amount that is
    split exactly in proportion to what the lines still cost. No line falls below zero: the excess is dropped.
    """

    code: str
    reason: str
    funder: Funder
    amount_minor: int
    line_nos: tuple[int, ...] = ()


Adjust = Callable[[Basket], Sequence[Proposal] | Outcome]
"""Proposals that pricing spreads and caps, or the exact outcome of a promotion engine."""
TaxRule = Callable[[int, str, Market], tuple[int, int]]
"""(amount_minor in the market's sense, category, market) -> (rate_bps, tax_minor); see `trade.tax`."""
ShippingRule = Callable[[Market, str, int, int], int]
"""(market, seller_id, goods_minor, units) -> minor units in the market's sense; see `trade.shipping`."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What one seller's parcels cost by terms of their own: the rate, and what is taken off it before campaigns."""

    listed_minor: int
    adjustments: tuple[Adjustment, ...] = ()


SendRule = Callable[[Sequence[PricedLine]], Mapping[str, Sent]]
"""The priced lines of a basket -> what sending costs, by seller; sellers that it leaves out have no terms."""


def no_adjustments(basket: Basket) -> Sequence[Proposal]:
    """The default strategy: everybody pays the list price."""
    return ()


ADJUSTMENTS: Point[Adjust] = Point(
    "pricing.adjustments", "Which discounts and surcharges apply to this basket, and who funds them?"
)
ADJUSTMENTS.register(no_adjustments, code="list_price")

declare_problems(
    {
        "pricing.no_price": (
            Kind.UNPROCESSABLE,
            "No price at this moment",
            "Read the offer: it lists its prices by currency and the windows they hold in.",
        ),
        "pricing.offer_not_in_market": (
            Kind.UNPROCESSABLE,
            "Not offered in this market",
            "Choose one of the offer's markets.",
        ),
        "pricing.quantity_invalid": (
            Kind.INVALID,
            "Quantity out of range",
            "Send a whole number within the range that `expected` tells.",
        ),
        "pricing.lines_invalid": (
            Kind.INVALID,
            "Too few or too many lines",
            "Send a number of lines within the range that `expected` tells.",
        ),
        "pricing.currency_mixed": (
            Kind.UNPROCESSABLE,
            "A line in another currency",
            "Price every line in the market's currency; nothing is converted silently.",
        ),
        "pricing.amount_too_large": (
            Kind.UNPROCESSABLE,
            "Total beyond what can be booked",
            "Order less at once.",
        ),
    }
)
