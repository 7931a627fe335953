"""A case's policy, in the words of its source, as switches of the engine. What the engine lacks is unsupported."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tradepost.kernel.market import TaxLevel
from tradepost.kernel.money import Rounding
from tradepost.kernel.splitting import Remainder
from tradepost.testing.conformance.model import Unsupported
from tradepost.trade.tax import TaxPolicy

__all__ = ["KNOWN", "asks_exact", "known_policy", "only", "remainder_of", "rounding_of", "tax_policy_of"]

KNOWN = frozenset(
    {
        "rounding",
        "rounding_level",
        "tax_rounding_level",
        "tax_base",
        "order_discount_spread",
        "remainder",
        "promotion_evaluation",
        "coupon_base",
        "unit_order",
        "units",
        "same_priority",
        "application",
        "rule",
        "note",
    }
)
"""Every key of a policy that the vocabulary has."""

_ROUNDINGS = {
    "half_away_from_zero": Rounding.HALF_UP,
    "half up": Rounding.HALF_UP,
    "half down": Rounding.HALF_DOWN,
    "half even": Rounding.HALF_EVEN,
    "bankers": Rounding.HALF_EVEN,
    "up": Rounding.UP,
    "down": Rounding.DOWN,
    "ceiling": Rounding.CEILING,
    "floor": Rounding.FLOOR,
    "per line": Rounding.HALF_UP,
}
_REMAINDERS = {
    "largest fractional part first": Remainder.LARGEST_FRACTION,
    "largest weight first": Remainder.LARGEST_WEIGHT,
    "as listed": Remainder.FLOOR_FRACTION,
    "as listed by this library": Remainder.FLOOR_FRACTION,
    "one unit each to the first lines": Remainder.FIRST,
    "whole blocks only": Remainder.BLOCKS,
    "kept apart as last element": Remainder.APART,
    "last": Remainder.LAST,
}
_LEVELS = {
    "unit": TaxPolicy(level=TaxLevel.UNIT),
    "unit_then_multiply": TaxPolicy(level=TaxLevel.UNIT),
    "round_then_multiply": TaxPolicy(level=TaxLevel.UNIT, round_net=True),
    "line": TaxPolicy(each_rate=False),
    "multiply_then_round": TaxPolicy(each_rate=False),
    "line, each rate separately": TaxPolicy(),
    "order": TaxPolicy(level=TaxLevel.ORDER, each_rate=False),
}


def known_policy(policy: Mapping[str, Any]) -> None:
    """Raise Unsupported for a key that is not in the vocabulary."""
    for key in policy:
        if key not in KNOWN:
            raise Unsupported(f"policy key {key!r} is not one we know")
    if policy.get("same_priority", "order unspecified") != "order unspecified":
        raise Unsupported(f"same_priority {policy['same_priority']!r}")


def only(given: Mapping[str, Any], keys: Iterable[str]) -> None:
    """Raise Unsupported for an input key that this kind does not read: ignoring it would be a guess."""
    if not isinstance(given, Mapping):
        raise Unsupported(f"{str(given)[:40]!r} where an object belongs")
    for key in given:
        if key not in keys:
            raise Unsupported(f"input key {key!r}")


def _words(value: object) -> str:
    """A value of a policy without what is in brackets and without what follows its first comma."""
    return re.sub(r"\s*\(.*?\)", "", str(value)).split(",")[0].strip().lower()


def rounding_of(policy: Mapping[str, Any]) -> Rounding:
    """The rounding a case asks for; half away from zero where it asks for none."""
    if "rounding" not in policy:
        return Rounding.HALF_UP
    words = _words(policy["rounding"]).replace("half_up", "half up").replace("half_down", "half down")
    found = _ROUNDINGS.get(words.replace("half_even", "half even"))
    if found is None:
        raise Unsupported(f"rounding {policy['rounding']!r}")
    return found


def asks_exact(policy: Mapping[str, Any]) -> bool:
    """Whether a case's amounts are not to be rounded at all."""
    return "rounding" in policy and _words(policy["rounding"]) == "none"


def remainder_of(policy: Mapping[str, Any]) -> Remainder:
    """Who gets what cannot be divided; the largest fraction where a case says nothing."""
    if "remainder" not in policy and str(policy.get("order_discount_spread", "")).startswith("in proportion"):
        return Remainder.NEAREST_FIRST
    if "remainder" not in policy:
        return Remainder.LARGEST_FRACTION
    found = _REMAINDERS.get(_words(policy["remainder"]))
    if found is None:
        raise Unsupported(f"remainder {policy['remainder']!r}")
    return found


def tax_policy_of(policy: Mapping[str, Any]) -> TaxPolicy:
    """The rounding of taxes: per line and each rate by itself where a case says nothing."""
    words = re.sub(r"\s*\(.*?\)", "", str(policy.get("tax_rounding_level", "line, each rate separately")))
    found = _LEVELS.get(words.strip().lower())
    if found is None:
        raise Unsupported(f"tax_rounding_level {policy['tax_rounding_level']!r}")
    return TaxPolicy(
        rounding=rounding_of(policy),
        level=found.level,
        each_rate=found.each_rate,
        round_net=found.round_net,
    )
