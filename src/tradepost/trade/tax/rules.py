"""Tax arithmetic on integers: rates in basis points, amounts in minor units, rounded once per amount."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.market import Market
from tradepost.kernel.money import Rounding, divide, split
from tradepost.kernel.points import Point

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

    Raises Refusal `tax.category_unknown`.
    """
    rate = rate_of(category, market)
    if not rate:
        return 0, 0
    reckon = included_tax if market.prices_include_tax else added_tax
    return rate, reckon(amount_minor, rate, market.rounding)


TAXES: Point[Callable[[int, str, Market], tuple[int, int]]] = Point(
    "tax.rates", "Which rate and how much tax does an amount of a category carry in a market?"
)
TAXES.register(by_category, code="by_category")
