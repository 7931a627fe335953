"""Amounts between the house's ISO minor units and the integers that Stripe's API takes. Exact, or refused.

Source: docs.stripe.com/currencies (presentment currencies, zero-decimal, three-decimal, special cases, minimum
and maximum amounts). HUF and TWD are charged with two decimals; only payouts, which are not made here, must be
whole. The minimum is Stripe's for settling in that currency; where Stripe converts, its own answer decides.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from tradepost.kernel.currency import EXPONENTS
from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.money import Rounding, divide

declare_problems(
    {
        "payments.stripe_currency": (
            Kind.UNPROCESSABLE,
            "Stripe does not take this currency",
            "Charge in a currency that Stripe presents, or through another provider.",
        ),
        "payments.stripe_inexact": (
            Kind.UNPROCESSABLE,
            "Stripe cannot move exactly this amount",
            "Round the price before the sale: no fractions in ISK, UGX and MGA; three-decimal currencies end in 0.",
        ),
        "payments.stripe_bounds": (
            Kind.UNPROCESSABLE,
            "Stripe does not charge so little or so much",
            "Charge at least the named minimum and at most the named maximum.",
        ),
    }
)

_BY_DECIMALS: dict[int, str] = {
    0: "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF",
    2: (
        "USD AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CNY COP "
        "CRC CVE CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK JMD "
        "KES KGS KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK "
        "NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS SRD SZL THB TJS TOP TRY "
        "TTD TWD TZS UAH UGX UYU UZS WST XCD YER ZAR ZMW"
    ),
    3: "BHD JOD KWD OMR TND",
}
DECIMALS: Final[dict[str, int]] = {
    code: decimals for decimals, codes in _BY_DECIMALS.items() for code in codes.split()
}
"""Every currency that Stripe presents, and the decimals its API counts for it."""
STEPS: Final[dict[str, int]] = {
    **dict.fromkeys(("ISK", "UGX"), 100),  # zero-decimal by now, but still sent with two decimals, always 00
    **dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 10),
}
"""What Stripe's integer must be divisible by, where that is not 1."""
PAYOUT_WHOLE: Final = frozenset({"HUF", "ISK", "TWD", "UGX"})
"""What Stripe pays out in whole units only, whatever was charged. For operators: nothing here pays out."""

MINIMUMS: Final[dict[str, int]] = {
    "USD": 50, "AED": 200, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1_500, "DKK": 250, "EUR": 50,
    "GBP": 30, "HKD": 400, "HUF": 17_500, "INR": 50, "JPY": 50, "MXN": 1_000, "MYR": 200, "NOK": 300, "NZD": 50,
    "PLN": 200, "RON": 200, "SEK": 300, "SGD": 50, "THB": 1_000,
}  # fmt: skip
"""Least amount of a charge that settles in its own currency, in Stripe's units; 1 where Stripe names none."""
MAXIMUM: Final = 99_999_999
MAXIMUMS: Final[dict[str, int]] = {"IDR": 999_999_999_999}
"""Largest amount in Stripe's units: eight digits, twelve for IDR."""


def _factors(currency: str) -> tuple[int, int]:
    """(what a minor unit is at Stripe, what Stripe's unit is in minor units): one of them is 1.

    Raises Refusal `payments.stripe_currency`.
    """
    decimals = DECIMALS.get(currency)
    if decimals is None or currency not in EXPONENTS:
        raise Refusal(
            "payments.stripe_currency", f"Stripe does not present {currency[:8]!r}.", field="currency"
        )
    up: int = 10 ** max(0, decimals - EXPONENTS[currency])
    down: int = 10 ** max(0, EXPONENTS[currency] - decimals)
    return up, down


def to_stripe(amount_minor: int, currency: str) -> int:
    """Stripe's integer for an amount in ISO minor units.

    Raises Refusal `payments.stripe_currency` or `payments.stripe_inexact`.
    """
    up, down = _factors(currency)
    sent, lost = divmod(amount_minor * up, down)
    if lost or sent % STEPS.get(currency, 1):
        raise Refusal(
            "payments.stripe_inexact",
            f"{amount_minor} minor units of {currency} have no exact amount at Stripe.",
            field="amount_minor",
            expected=f"a multiple of {max(down, STEPS.get(currency, 1) // up)}",
        )
    return sent


def from_stripe(amount: int, currency: str) -> int:
    """ISO minor units of Stripe's integer; `currency` in Stripe's small letters or in capitals.

    Raises Refusal `payments.stripe_currency` or `payments.stripe_inexact`.
    """
    currency = currency.upper()
    up, down = _factors(currency)
    minor, lost = divmod(amount * down, up)
    if lost:
        raise Refusal(
            "payments.stripe_inexact",
            f"Stripe's {amount} {currency} is no whole number of minor units.",
            field="amount",
            expected=f"a multiple of {up}",
        )
    return minor


def to_charge(amount_minor: int, currency: str) -> int:
    """Stripe's integer for a new charge: exact, not below Stripe's minimum nor above its maximum.

    Raises Refusal `payments.stripe_currency`, `payments.stripe_inexact` or `payments.stripe_bounds`.
    """
    amount = to_stripe(amount_minor, currency)
    least = max(MINIMUMS.get(currency, 1), STEPS.get(currency, 1))
    most = MAXIMUMS.get(currency, MAXIMUM)
    if not least <= amount <= most:
        raise Refusal(
            "payments.stripe_bounds",
            f"{amount_minor} minor units of {currency} cannot be charged at once.",
            field="amount_minor",
            expected=f"from {from_stripe(least, currency)} to {from_stripe(most - most % 100, currency)}",
        )
    return amount


def nearest_to_stripe(
    amount_major: Fraction,
    currency: str,
    rounding: Rounding = Rounding.HALF_UP,
    step_rounding: Rounding = Rounding.HALF_UP,
) -> int:
    """Stripe's integer nearest to an amount that need not be exact there, such as a converted price on display.

    Charges never come this way: they are exact or refused. `rounding` makes it a whole number of Stripe's units,
    `step_rounding` a multiple of what Stripe asks for. Raises Refusal `payments.stripe_currency`.
    """
    _factors(currency)
    exact = amount_major * 10 ** DECIMALS[currency]
    step = STEPS.get(currency, 1)
    return step * divide(divide(exact.numerator, exact.denominator, rounding), step, step_rounding)
