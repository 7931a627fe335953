"""Tax and shipping arithmetic by example."""

from __future__ import annotations

import pytest

from tradepost.kernel.errors import Refusal
from tradepost.kernel.money import Rounding
from tradepost.markets import market
from tradepost.trade import shipping, tax


@pytest.mark.parametrize(
    ("gross", "rate_bps", "expected"),
    [
        (12_000, 2_000, 2_000),
        (999, 2_000, 167),
        (3, 2_000, 1),
        (2, 2_000, 0),
        (0, 2_000, 0),
        (110, 1_000, 10),
        (-999, 2_000, -167),
    ],
)
def test_included_tax(gross: int, rate_bps: int, expected: int) -> None:
    assert tax.included_tax(gross, rate_bps) == expected


@pytest.mark.parametrize(
    ("net", "rate_bps", "expected"),
    [(10_000, 825, 825), (1, 5_000, 1), (999, 825, 82), (0, 825, 0), (100, 0, 0), (-1, 5_000, -1)],
)
def test_added_tax(net: int, rate_bps: int, expected: int) -> None:
    assert tax.added_tax(net, rate_bps) == expected


def test_the_rounding_is_the_callers() -> None:
    assert tax.added_tax(1, 5_000, Rounding.DOWN) == 0
    assert tax.included_tax(999, 2_000, Rounding.HALF_DOWN) == 166


@pytest.mark.parametrize(
    ("amount", "rates", "parts"), [(82, [625, 200], [62, 20]), (1, [5, 5], [1, 0]), (0, [5], [0])]
)
def test_a_tax_is_told_apart_by_its_rates(amount: int, rates: list[int], parts: list[int]) -> None:
    assert tax.share_of_rates(amount, rates) == parts


def test_no_rates_to_share_by() -> None:
    with pytest.raises(Refusal) as refused:
        tax.share_of_rates(1, [])
    assert refused.value.code == "money.weights_invalid"


@pytest.mark.parametrize(
    ("code", "category", "answer"),
    [("GB", "standard", (2_000, 200)), ("GB", "zero", (0, 0)), ("JP", "standard", (1_000, 109))],
)
def test_rates_by_market(code: str, category: str, answer: tuple[int, int]) -> None:
    assert tax.TAXES.choose("default")(1_200, category, market(code)) == answer


def test_a_category_without_a_rate_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        tax.by_category(1, "yachts", market("GB"))
    assert (refused.value.code, refused.value.field) == ("tax.category_unknown", "tax_category")
    assert "standard" in refused.value.expected


@pytest.mark.parametrize(
    ("goods", "free_from", "expected"), [(10, 0, 300), (10, 11, 300), (11, 11, 0), (12, 11, 0)]
)
def test_flat_rates(goods: int, free_from: int, expected: int) -> None:
    assert shipping.flat_rate(300, free_from)(market("GB"), "sel_1", goods, 1) == expected


def test_shipping_is_free_by_default() -> None:
    assert shipping.RATES.choose("live.flash_sale")(market("GB"), "sel_1", 10, 1) == 0
