"""The engine's switches: where it rounds, who gets an odd unit of money, what runs before what. Data, never code."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tradepost.kernel.market import Market
from tradepost.kernel.money import Rounding
from tradepost.kernel.splitting import Remainder
from tradepost.trade.promotion.model import Basis


class Level(StrEnum):
    """What one rounding of a percentage covers."""

    UNIT = "unit"
    LINE = "line"
    ORDER = "order"


class Sequence(StrEnum):
    """What runs first among rules of several classes and priorities."""

    CLASS = "class"
    """Line rules, then order rules, then shipping rules; by priority within a class."""
    PRIORITY = "priority"
    """By priority over all classes; line rules before order rules of the same priority."""


class Ties(StrEnum):
    """Which line counts as the earlier one where two are alike: it gets the odd unit, it gives the free piece."""

    IDENTITY = "identity"
    """By SKU, offer, price and quantity, so that the order in which lines were put in never matters."""
    LISTED = "listed"
    """As listed in the basket."""
    DEAREST = "dearest"
    """The line whose unit is listed dearest; as listed among equals."""


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a market lets its promotions be reckoned.

    `line_level` and `order_level` say what one rounding of a percentage covers for rules of that class;
    `remainder` who gets what a spread leaves over. `conditions_see` LIST judges thresholds by list prices, LEFT by
    what the rules before left. Remainders that would keep money apart (APART, BLOCKS) are refused by `check_policy`.
    """

    rounding: Rounding = Rounding.HALF_UP
    line_level: Level = Level.LINE
    order_level: Level = Level.ORDER
    remainder: Remainder = Remainder.LARGEST_FRACTION
    sequence: Sequence = Sequence.CLASS
    conditions_see: Basis = Basis.LIST
    ties: Ties = Ties.IDENTITY


STANDARD = Policy()
"""Rounded half up once a line or order, the odd unit to the largest fraction, line rules first."""


def policy_of(market: Market) -> Policy:
    """The policy of a market's data: its rounding, what one rounding of a line's percentage covers, who gets odd cents.

    An order rule's percentage rounds once for the order unless the market rounds discounts unit by unit.
    """
    level = Level(market.discount_level.value)
    return Policy(
        rounding=market.rounding,
        line_level=level,
        order_level=Level.UNIT if level is Level.UNIT else Level.ORDER,
        remainder=market.discount_remainder,
    )
