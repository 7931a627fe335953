"""Money in integer minor units, exact unit prices, named rounding and exact splitting. No float, ever."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from tradepost.kernel.currency import EXPONENTS
from tradepost.kernel.errors import Refusal

PRICE_SCALE = 10_000
"""A unit price counts ten-thousandths of a minor unit, so 2.555 GBP is 2_555_000 and stays exact."""

_MAJOR = re.compile(r"(-?)(\d{1,15})(?:\.(\d{1,30}))?\Z")


class Rounding(StrEnum):
    """How a quotient becomes an integer. Names follow the usual accounting words; HALF_UP is away from zero."""

    HALF_UP = "half_up"
    HALF_DOWN = "half_down"
    HALF_EVEN = "half_even"
    UP = "up"
    DOWN = "down"
    CEILING = "ceiling"
    FLOOR = "floor"


_HALF_UP = Rounding.HALF_UP
"""By a name of its own: reading it off the enumeration takes as long as the division."""


def divide(numerator: int, denominator: int, rounding: Rounding = Rounding.HALF_UP) -> int:
    """The quotient rounded to an integer by the named rule. Raises ZeroDivisionError for a zero denominator."""
    if rounding is _HALF_UP and numerator >= 0 and denominator > 0:
        return (2 * numerator + denominator) // (2 * denominator)  # the way of nearly every amount
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    if rounding is Rounding.FLOOR:
        return numerator // denominator
    if rounding is Rounding.CEILING:
        return -(-numerator // denominator)
    sign = -1 if numerator < 0 else 1
    quotient, remainder = divmod(abs(numerator), denominator)
    twice = 2 * remainder
    if rounding is Rounding.HALF_UP:
        up = twice >= denominator
    elif rounding is Rounding.HALF_DOWN:
        up = twice > denominator
    elif rounding is Rounding.HALF_EVEN:
        up = twice > denominator or (twice == denominator and quotient % 2 == 1)
    else:
        up = rounding is Rounding.UP and remainder > 0
    return sign * (quotient + up)


def split(amount: int, weights: Sequence[int]) -> list[int]:
    """Parts of `amount` in proportion to `weights` that sum to it exactly (largest remainder method).

    Odd units go to the largest fractional parts, earlier parts winning ties; all-zero weights split evenly.
    Raises Refusal `money.weights_invalid` for no weights or a negative one.
    """
    if not weights or min(weights) < 0:
        raise Refusal("money.weights_invalid", "A split needs at least one weight and none below zero.")
    total = sum(weights)
    if total == 0:
        weights, total = [1] * len(weights), len(weights)
    size = abs(amount)
    parts = [size * weight // total for weight in weights]
    left = size - sum(parts)
    if left:
        by_remainder = sorted(range(len(parts)), key=lambda index: -(size * weights[index] % total))
        for index in by_remainder[:left]:
            parts[index] += 1
    return parts if amount >= 0 else [-part for part in parts]


def exponent_of(currency: str) -> int:
    """Decimal digits of the currency's minor unit (ISO 4217). Raises Refusal `money.currency_unknown`."""
    exponent = EXPONENTS.get(currency)
    if exponent is None:
        raise Refusal(
            "money.currency_unknown",
            f"{currency!r} is not an ISO 4217 currency.",
            field="currency",
            expected="a three-letter code in capitals such as GBP",
        )
    return exponent


class Money(msgspec.Struct, frozen=True, order=False):
    """An amount of one currency in its minor unit. Adding two currencies is refused, never converted."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        """Refuse a currency that ISO 4217 does not list."""
        exponent_of(self.currency)

    def __add__(self, other: Money) -> Money:
        """The sum. Raises Refusal `money.currency_mixed` for another currency."""
        self._same(other)
        return Money(self.amount_minor + other.amount_minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        """The difference. Raises Refusal `money.currency_mixed` for another currency."""
        self._same(other)
        return Money(self.amount_minor - other.amount_minor, self.currency)

    def __neg__(self) -> Money:
        """The same amount with the other sign."""
        return Money(-self.amount_minor, self.currency)

    def split(self, weights: Sequence[int]) -> list[Money]:
        """Parts in proportion to the weights that sum to this amount exactly; see `split`."""
        return [Money(part, self.currency) for part in split(self.amount_minor, weights)]

    def _same(self, other: Money) -> None:
        if other.currency != self.currency:
            raise Refusal(
                "money.currency_mixed",
                f"{self.currency} and {other.currency} cannot be added.",
                field="currency",
                expected=self.currency,
            )

    def __str__(self) -> str:
        """Major units with the currency's digits, for people and logs: `12.30 GBP`."""
        return f"{to_major(self.amount_minor, self.currency)} {self.currency}"


def to_major(amount_minor: int, currency: str) -> str:
    """The decimal string of an amount: 1230 GBP is "12.30", 1230 JPY is "1230"."""
    exponent = exponent_of(currency)
    sign, digits = ("-" if amount_minor < 0 else ""), str(abs(amount_minor)).rjust(exponent + 1, "0")
    return sign + (f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits)


def price_from_major(text: str, currency: str) -> int:
    """A unit price in ten-thousandths of a minor unit from a decimal string such as "2.555".

    Raises Refusal `money.price_invalid` when the text is no number or has more digits than can be kept exactly.
    """
    found = _MAJOR.match(text)
    digits = exponent_of(currency) + 4
    fraction = (found.group(3) or "") if found else ""
    if found is None or len(fraction.rstrip("0")) > digits:
        raise Refusal(
            "money.price_invalid",
            f"{text!r} is not an exact price in {currency}.",
            field="price",
            expected=f"a decimal number with at most {digits} digits after the point",
        )
    scale: int = 10**digits
    value = int(found.group(2)) * scale + int((fraction[:digits]).ljust(digits, "0"))
    return -value if found.group(1) else value


def price_to_major(price_e4: int, currency: str) -> str:
    """The shortest exact decimal string of a unit price, with at least the currency's own digits."""
    exponent = exponent_of(currency)
    digits = exponent + 4
    sign, text = ("-" if price_e4 < 0 else ""), str(abs(price_e4)).rjust(digits + 1, "0")
    whole, fraction = text[:-digits], text[-digits:].rstrip("0").ljust(exponent, "0")
    return sign + (f"{whole}.{fraction}" if fraction else whole)


def line_total(price_e4: int, quantity: int, rounding: Rounding = Rounding.HALF_UP) -> int:
    """Minor units for a whole line: the exact product rounded once."""
    return divide(price_e4 * quantity, PRICE_SCALE, rounding)
