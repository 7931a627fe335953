"""Who hands the tax of a sale to the state, and what a platform keeps back from a seller. Pure, from market data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fractions import Fraction

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.market import PPM, Market, Scheme, ppm_of
from tradepost.kernel.money import divide

__all__ = ["Sale", "Withheld", "scheme_of", "withheld"]

declare_problems(
    {
        "tax.value_missing": (
            Kind.INVALID,
            "The goods' value in this currency is not known",
            "State what the goods are worth in the currency that the scheme's limit is in.",
        ),
        "tax.no_scheme": (
            Kind.UNPROCESSABLE,
            "Nobody is named who remits the tax",
            "Let the market file end with a scheme that covers any sale.",
        ),
    }
)


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """What decides about a sale: where the goods come from, who sells, and what they are worth without tax.

    `worth_minor` is the goods' value by currency: schemes count in the currency of their law.
    """

    day: date
    imported: bool
    foreign_seller: bool
    worth_minor: Mapping[str, int]
    region: str = ""


class Withheld(msgspec.Struct, frozen=True, kw_only=True):
    """One amount kept back from a seller, in minor units."""

    kind: str
    amount_minor: int


def scheme_of(market: Market, sale: Sale) -> Scheme:
    """The scheme of a sale, whose `remitter` owes the tax. Raises Refusal `tax.value_missing` or `tax.no_scheme`."""
    for scheme in market.schemes:
        if _covers(scheme, market, sale):
            return scheme
    raise Refusal("tax.no_scheme", f"{market.code} names nobody for this sale.", field="schemes")


def _covers(scheme: Scheme, market: Market, sale: Sale) -> bool:
    origin = "import" if sale.imported else "domestic"
    seller = "foreign" if sale.foreign_seller else "domestic"
    if scheme.origin not in ("any", origin) or scheme.seller not in ("any", seller):
        return False
    if scheme.regions and sale.region not in scheme.regions:
        return False
    if (scheme.since and sale.day < scheme.since) or (scheme.until and sale.day >= scheme.until):
        return False
    if not scheme.value_max_minor:
        return True
    currency = scheme.currency or market.currency
    worth = sale.worth_minor.get(currency)
    if worth is None:
        raise Refusal(
            "tax.value_missing",
            f"{scheme.code} counts in {currency}.",
            field="worth_minor",
            expected=f"the goods' value in {currency}",
        )
    return worth <= scheme.value_max_minor


def withheld(market: Market, day: date, *, net_minor: int, tax_minor: int) -> tuple[Withheld, ...]:
    """What the platform keeps back on a day from a seller's sale of goods worth `net_minor`, taxed `tax_minor`.

    Each amount is rounded by itself by the market's rule and never exceeds what it is taken of.
    """
    found = []
    for rule in market.withholdings:
        if (rule.since and day < rule.since) or (rule.until and day >= rule.until):
            continue
        exact = Fraction(ppm_of(rule.percent), PPM) * (tax_minor if rule.of == "tax" else net_minor)
        amount = divide(exact.numerator, exact.denominator, market.rounding)
        found.append(Withheld(kind=rule.kind, amount_minor=amount))
    return tuple(found)
