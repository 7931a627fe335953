"""What every kind of conformance case shares: the refusal to guess, and how its numbers are read."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction

__all__ = ["DIGITS_MAX", "Unsupported", "exact", "whole"]

DIGITS_MAX = 100
"""Digits before or after the point that a number of a case may have; a longer one is unsupported."""


class Unsupported(Exception):
    """A case asks for something the engine does not have. Its text says what, in words for the person who reads it."""


def exact(value: object) -> Fraction:
    """A number of a case, written as a number or in words ("8.25", "19%" without its sign is 19), without any loss.

    Raises Unsupported for what is no number, or is longer than DIGITS_MAX on either side of the point.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise Unsupported(f"{str(value)[:40]!r} is no number")
    try:
        found = Decimal(str(value).strip().removesuffix("%").strip())
    except InvalidOperation:
        raise Unsupported(f"{str(value)[:40]!r} is no number") from None
    digits = len(found.as_tuple().digits)
    if not found.is_finite() or digits > 2 * DIGITS_MAX or (found and abs(found.adjusted()) > DIGITS_MAX):
        raise Unsupported(f"{str(value)[:40]!r} is no number that we reckon with")
    return Fraction(found)


def whole(value: object) -> int:
    """A whole number of a case: minor units, pieces, places. Raises Unsupported for a fraction of one."""
    found = exact(value)
    if found.denominator != 1:
        raise Unsupported(f"{value!r} is no whole number")
    return int(found)
