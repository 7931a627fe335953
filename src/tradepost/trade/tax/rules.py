"""Tax arithmetic on integers: rates in basis points, amounts in minor units, rounded once per amount."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.market import PPM, Market
from tradepost.kernel.money import Rounding, divide, split
from tradepost.kernel.points import Point
from tradepost.trade.tax.engine import Rate, Taxable, Taxed, TaxPolicy, tax_line, tax_order

_WHOLE_BPS = 10_000

declare_problems(
    {
        "tax.category_unknown": (
            Kind.UNPROCESSABLE,
            "No tax rate for this category here",
            "Give the product a tax category that the market has a rate for.",
        )
    }
)


def included_tax(gross_minor: int, rate_bps: int, rounding: Rounding = Rounding.HALF_UP) -> int:
    """The tax inside a price that includes it."""
    return divide(gross_minor * rate_bps, _WHOLE_BPS + rate_bps, rounding)


def added_tax(net_minor: int, rate_bps: int, rounding: Rounding = Rounding.HALF_UP) -> int:
    """The tax that comes on top of a price without it."""
    return divide(net_minor * rate_bps, _WHOLE_BPS, rounding)


def share_of_rates(tax_minor: int, rates_bps: Sequence[int]) -> list[int]:
    """One rounded tax told apart by the rates it was made of, summing to it exactly.

    Where several rates apply to one amount (a state's and a county's), compute the tax of their sum, then share
    it. Raises Refusal `money.weights_invalid` without a rate.
    """
    return split(tax_minor, rates_bps)


def rate_of(category: str, market: Market) -> int:
    """The market's rate of a category in basis points. Raises Refusal `tax.category_unknown`."""
    rate = market.tax_rates_bps.get(category)
    if rate is None:
        raise Refusal(
            "tax.category_unknown",
            f"{market.code} has no rate for {category!r}.",
            field="tax_category",
            expected=" or ".join(market.tax_rates_bps),
        )
    return rate


def by_category(amount_minor: int, category: str, market: Market) -> tuple[int, int]:
    """(rate_bps, tax_minor) of an amount in the market's own sense, with or without tax.

    A category with several taxes or a fraction of a basis point is taxed exactly; the rate is then their sum,
    rounded for display. Raises Refusal `tax.category_unknown`.
    """
    rate = rate_of(category, market)
    if market.tax_parts and category in market.tax_parts:
        return rate, taxed(amount_minor, category, market).tax
    if not rate:
        return 0, 0
    reckon = included_tax if market.prices_include_tax else added_tax
    return rate, reckon(amount_minor, rate, market.rounding)


def rates_in(category: str, market: Market) -> tuple[Rate, ...]:
    """Every tax of a category in this view of a market. Raises Refusal `tax.category_unknown`."""
    whole = rate_of(category, market)
    parts = market.tax_parts.get(category)
    inside = market.prices_include_tax
    if parts is None:
        return (Rate(share=Fraction(whole, _WHOLE_BPS), included=inside),)
    left = PPM - sum(part.ppm for part in parts if part.of_price)
    return tuple(
        Rate(
            share=Fraction(part.ppm, left if part.of_price else PPM),
            included=inside,
            compound=part.compound,
            kind=part.kind,
        )
        for part in parts
    )


def policy_of(market: Market) -> TaxPolicy:
    """The market's rounding of taxes."""
    return TaxPolicy(rounding=market.rounding, level=market.tax_level, each_rate=market.tax_each_rate)


def taxed(amount_minor: int, category: str, market: Market, quantity: int = 1) -> Taxed:
    """An amount in the market's own sense with every tax on it. Raises Refusal `tax.category_unknown`."""
    line = Taxable(amount=amount_minor, rates=rates_in(category, market), quantity=quantity)
    return tax_line(line, policy_of(market))


def by_level(rows: Sequence[tuple[int, str, int]], market: Market) -> list[tuple[int, int]]:
    """(rate_bps, tax_minor) of each (amount, category, quantity) of one order, rounded at the market's level.

    Raises Refusal `tax.category_unknown`.
    """
    lines = [
        Taxable(amount=amount, rates=rates_in(category, market), quantity=quantity)
        for amount, category, quantity in rows
    ]
    found = tax_order(lines, policy_of(market))
    return [(rate_of(row[1], market), one.tax) for row, one in zip(rows, found, strict=True)]


TAXES: Point[Callable[[int, str, Market], tuple[int, int]]] = Point(
    "tax.rates", "Which rate and how much tax does an amount of a category carry in a market?"
)
TAXES.register(by_category, code="by_category")
