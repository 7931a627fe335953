"""Splitting an amount by weights under a named rule for what cannot be divided. Parts always sum to the amount.

`money.split` is the house's own rule (largest fraction first, earlier part wins ties); this module has the other
rules that markets, providers and other systems follow, and amounts that only exist in steps (Swiss 0.05).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

from tradepost.kernel.errors import Refusal

__all__ = ["Remainder", "allocate", "to_step"]


class Remainder(StrEnum):
    """Who gets the units that the weights leave over. Ties go to the earlier part."""

    LARGEST_FRACTION = "largest_fraction"
    """One unit each to the parts that lost most; parts are cut towards zero."""
    FLOOR_FRACTION = "floor_fraction"
    """The same, but parts are cut downwards: it differs for amounts below zero only."""
    LARGEST_WEIGHT = "largest_weight"
    """One unit each to the heaviest parts."""
    FIRST = "first"
    """One unit each to the first parts that have a weight."""
    LAST = "last"
    """All of them to the last part that has a weight."""
    NEAREST_FIRST = "nearest_first"
    """Each part to its nearest unit (a half downwards); what they then lack or exceed, one unit each from the first."""
    APART = "apart"
    """To nobody: one more element holds them."""
    BLOCKS = "blocks"
    """Parts in exactly the ratio of the weights, as large as fits; one more element holds the rest."""


def allocate(
    amount: int, weights: Sequence[int], remainder: Remainder = Remainder.LARGEST_FRACTION, *, step: int = 1
) -> list[int]:
    """Parts of `amount` in proportion to `weights`, each a multiple of `step`, summing to the amount exactly.

    APART and BLOCKS give one element more than there are weights; all-zero weights count as equal ones.
    Raises Refusal `money.weights_invalid` for no weight or one below zero, `money.step_invalid` where the amount
    is no multiple of the step.
    """
    if not weights or min(weights) < 0:
        raise Refusal("money.weights_invalid", "A split needs at least one weight and none below zero.")
    if step < 1 or amount % step:
        raise Refusal(
            "money.step_invalid",
            f"{amount} is no multiple of {step}.",
            field="amount",
            expected=f"a multiple of {step}",
        )
    shares = list(weights) if any(weights) else [1] * len(weights)
    down = remainder is Remainder.FLOOR_FRACTION
    sign = -1 if amount < 0 and not down else 1
    parts = _parts(sign * amount // step, shares, remainder)
    return [sign * step * part for part in parts]


def _parts(units: int, weights: list[int], remainder: Remainder) -> list[int]:
    total = sum(weights)
    if remainder is Remainder.BLOCKS:
        common = math.gcd(*weights)
        blocks = units // (total // common)
        parts = [blocks * (weight // common) for weight in weights]
        return [*parts, units - sum(parts)]
    cut = [divmod(units * weight, total) for weight in weights]
    parts = [part for part, _ in cut]
    if remainder is Remainder.NEAREST_FIRST:
        return _nearest(units, [part + (2 * rest > total) for part, rest in cut], weights)
    left = units - sum(parts)
    if remainder is Remainder.APART:
        return [*parts, left]
    heavy = [index for index, weight in enumerate(weights) if weight]
    if remainder is Remainder.LAST:
        parts[heavy[-1]] += left
        return parts
    if remainder is Remainder.LARGEST_WEIGHT:
        heavy.sort(key=lambda index: -weights[index])
    elif remainder is not Remainder.FIRST:
        heavy.sort(key=lambda index: -cut[index][1])
    for index in heavy[:left]:
        parts[index] += 1
    return parts


def _nearest(units: int, parts: list[int], weights: list[int]) -> list[int]:
    """Parts that were rounded each by itself, corrected from the first on until they sum to the whole."""
    left = units - sum(parts)
    unit = 1 if left > 0 else -1
    places = [place for place, weight in enumerate(weights) if weight and parts[place] + unit >= 0]
    for place in places[: abs(left)]:
        parts[place] += unit
    return parts


def to_step(amount: int, step: int, *, up_from_half: bool = True) -> int:
    """The multiple of `step` nearest to the amount: cash rounding (5 for Swiss rappen, 25 for Danish oere).

    Exactly half goes away from zero, or towards it with `up_from_half=False`. The difference to the amount is
    booked, never lost: it is the caller's rounding line.
    """
    size, rest = divmod(abs(amount), step)
    size += 2 * rest > step or (2 * rest == step and up_from_half)
    return (-1 if amount < 0 else 1) * size * step
