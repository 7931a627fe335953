"""Currency conversion, where it is sold: exact rates, a margin that is stated, and a quote that freezes both. Pure.

A price that the seller set in the buyer's currency always comes first; a rate only answers where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.money import Rounding, divide, exponent_of

__all__ = [
    "FrozenRate",
    "Quoted",
    "booked_difference",
    "convert_currency",
    "exact_rate",
    "percent_of",
    "quote_price",
]

PPM = 1_000_000
_RATE_DIGITS_MAX = 30
_DECIMALS_MAX = 18

declare_problems(
    {
        "fx.rate_invalid": (
            Kind.INVALID,
            "Not an exchange rate",
            "Give a decimal number above zero, as units of the second currency for one of the first.",
        ),
        "fx.no_rate": (
            Kind.UNPROCESSABLE,
            "No price and no rate in this currency",
            "Set a price in the buyer's currency, or publish a rate for the pair.",
        ),
        "fx.rate_stale": (
            Kind.UNPROCESSABLE,
            "The rate is too old to sell at",
            "Publish a newer rate for the pair, then quote again.",
        ),
        "fx.mixed": (
            Kind.UNPROCESSABLE,
            "A seller's goods converted from two currencies in one order",
            "Order the goods of each currency by themselves.",
        ),
    }
)


class FrozenRate(msgspec.Struct, frozen=True, kw_only=True):
    """A rate as a quote keeps it: nobody has to look anything up again.

    One unit of `sold` is worth `numerator`/`denominator` units of `paid` before the margin, which is in millionths
    and falls on the buyer. `source` and `published_ms` say where the rate is from; `until_ms` ends the promise.
    """

    sold: str
    paid: str
    numerator: int
    denominator: int
    source: str
    published_ms: int
    until_ms: int
    margin_ppm: int = 0

    @property
    def pair(self) -> str:
        """Both currencies as account names and people write them: USD.EUR."""
        return f"{self.sold}.{self.paid}"

    def exact(self) -> Fraction:
        """Units of `paid` for one unit of `sold`, without the margin."""
        return Fraction(self.numerator, self.denominator)

    def written(self) -> str:
        """The rate without its margin as a decimal number, exactly; as a fraction where 18 decimals cannot tell it."""
        rate = self.exact()
        digits = next((each for each in range(_DECIMALS_MAX + 1) if not 10**each % rate.denominator), -1)
        if digits < 0:
            return str(rate)
        whole = str(rate.numerator * 10**digits // rate.denominator).rjust(digits + 1, "0")
        return f"{whole[: len(whole) - digits]}.{whole[len(whole) - digits :]}" if digits else whole

    def with_margin(self) -> Fraction:
        """Units of `paid` for one unit of `sold`, margin within."""
        return Fraction(self.numerator * (PPM + self.margin_ppm), self.denominator * PPM)


def percent_of(ppm: int) -> str:
    """Millionths as a percentage people write: 15000 is "1.5"."""
    whole, rest = divmod(ppm, 10_000)
    return f"{whole}.{rest:04}".rstrip("0").rstrip(".")


class Quoted(msgspec.Struct, frozen=True, kw_only=True):
    """A unit price in the buyer's currency; `rate` None where the seller set it."""

    price_e4: int
    currency: str
    rate: FrozenRate | None = None


def exact_rate(text: str) -> tuple[int, int]:
    """A decimal rate such as "0.9135" as numerator and denominator. Raises Refusal `fx.rate_invalid`."""
    whole, _, fraction = text.partition(".")
    plain = whole.isascii() and whole.isdecimal() and (not fraction or fraction.isdecimal())
    if not plain or not fraction.isascii() or len(whole) + len(fraction) > _RATE_DIGITS_MAX:
        raise Refusal("fx.rate_invalid", f"{text[:40]!r} is no rate.", field="rate")
    found = Fraction(int(whole + fraction), 10 ** len(fraction))
    if not found:
        raise Refusal("fx.rate_invalid", "A rate of nothing.", field="rate")
    return found.numerator, found.denominator


def convert_currency(
    amount: int | Fraction, sold: str, paid: str, rate: Fraction, rounding: Rounding = Rounding.HALF_UP
) -> int:
    """Minor units of `paid` for minor units of `sold` at a rate between major units, rounded once.

    The exponents of both currencies are ISO 4217's, so yen and dinars come out right. Raises Refusal
    `money.currency_unknown`.
    """
    scaled = Fraction(amount) * rate * 10 ** exponent_of(paid)
    exact = Fraction(scaled, 10 ** exponent_of(sold))
    return divide(exact.numerator, exact.denominator, rounding)


def quote_price(
    prices_e4: Mapping[str, int], currency: str, rates: Mapping[tuple[str, str], FrozenRate], at_ms: int
) -> Quoted:
    """The unit price in a currency: the seller's own where set, else converted from the first price with a rate.

    A converted price is rounded up to the currency's minor unit, so that the seller never gets less. Raises
    Refusal `fx.no_rate`, or `fx.rate_stale` where the only rates have run out.
    """
    if currency in prices_e4:
        return Quoted(price_e4=prices_e4[currency], currency=currency)
    stale = False
    for sold, price_e4 in prices_e4.items():
        rate = rates.get((sold, currency))
        if rate is None:
            continue
        if not rate.published_ms <= at_ms < rate.until_ms:
            stale = True
            continue
        minor = convert_currency(Fraction(price_e4, 10_000), sold, currency, rate.with_margin(), Rounding.UP)
        return Quoted(price_e4=minor * 10_000, currency=currency, rate=rate)
    raise Refusal(
        "fx.rate_stale" if stale else "fx.no_rate",
        f"There is no price in {currency} and no rate that holds.",
        field="currency",
        expected=" or ".join(sorted(prices_e4)),
    )


def booked_difference(
    amount_minor: int, booked: FrozenRate, now: FrozenRate, rounding: Rounding = Rounding.HALF_UP
) -> int:
    """Gain (above zero) or loss in minor units of `paid` on an amount of `sold` booked at one rate, valued at another.

    Margins play no part: they were income when the quote was sold. Both values are rounded by themselves, so what
    was posted plus this difference is exactly the new value. Raises Refusal `money.currency_mixed` for other pairs.
    """
    if (booked.sold, booked.paid) != (now.sold, now.paid):
        raise Refusal("money.currency_mixed", "The two rates are of other currencies.", field="rate")
    pair = (booked.sold, booked.paid)
    value = convert_currency(amount_minor, *pair, now.exact(), rounding)
    return value - convert_currency(amount_minor, *pair, booked.exact(), rounding)
