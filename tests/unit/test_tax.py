"""Tax and shipping arithmetic by example."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import TaxLevel
from tradepost.kernel.money import Rounding, line_total, price_from_major
from tradepost.markets import market
from tradepost.trade import shipping, tax
from tradepost.trade.tax import Rate, Taxable, TaxPolicy, tax_order

CASES = json.loads((Path(__file__).parent.parent / "data" / "one_amount.json").read_text())["vectors"]


def bps(percent: str) -> int:
    """A whole percentage in basis points."""
    return int(percent) * 100


def answer(given: dict[str, Any], kind: str) -> dict[str, Any]:
    """What our calculators say to a case of another engine."""
    if kind == "to_psp_minor":
        return {"minor": line_total(price_from_major(given["amount_major"], given["currency"]), 1)}
    if kind == "price_restated_for_destination":
        net = given["gross_price"] - tax.included_tax(given["gross_price"], bps(given["home_tax_percent"]))
        added = tax.added_tax(net, bps(given["destination_tax_percent"]))
        return {"net": net, "gross": net + added, "tax_included": added}
    rates = [bps(percent) for percent in given.get("tax_percents", [given.get("tax_percent")])]
    base = given.get("base") or line_total(price_from_major(given["base_major"], given["currency"]), 1)
    reckon = tax.included_tax if given["included"] else tax.added_tax
    total = reckon(base, sum(rates))
    return {
        "tax": total,
        "gross": base + (0 if given["included"] else total),
        "taxes": tax.share_of_rates(total, rates),
    }


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_other_engines_get_the_same(case: dict[str, Any]) -> None:
    ours = answer(case["input"], case["kind"])
    assert {name: ours[name] for name in case["expected"]} == case["expected"]


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


@pytest.mark.parametrize(
    ("amounts", "taxes"),
    [
        ((1000, -500), (190, -95)),
        ((3593, -96), (682, -18)),  # 6.64 on 34.97 in one rounding; the credit alone is 0.18
        ((-1000, -500), (-190, -95)),
        ((100, -100), (19, -19)),
        ((0, -100), (0, -19)),
        ((0, 0), (0, 0)),
    ],
)
@pytest.mark.parametrize("included", [False, True])
def test_a_credit_in_an_order_carries_its_own_tax(
    amounts: tuple[int, ...], taxes: tuple[int, ...], included: bool
) -> None:
    rate = (Rate(share=Fraction(19, 100), included=included),)
    policy = TaxPolicy(level=TaxLevel.ORDER)
    found = tax_order([Taxable(amount=amount, rates=rate) for amount in amounts], policy)
    whole = tax_order([Taxable(amount=sum(amounts), rates=rate)], policy)[0]
    assert sum(one.tax for one in found) == whole.tax
    for amount, one in zip(amounts, found, strict=True):
        assert one.net + one.tax == one.gross
        assert one.tax * amount >= 0
    if not included:
        assert tuple(one.tax for one in found) == taxes
