"""Money: exponents, exact prices, named rounding, exact splitting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tradepost.kernel.currency import EXPONENTS
from tradepost.kernel.errors import Refusal
from tradepost.kernel.money import (
    Money,
    Rounding,
    divide,
    exponent_of,
    line_total,
    price_from_major,
    price_to_major,
    split,
    to_major,
)

DATA = Path(__file__).parent.parent / "data"
ISO = json.loads((DATA / "currency_exponents.json").read_text())["exponents"]
ALLOCATE = json.loads((DATA / "allocate.json").read_text())["vectors"]


def test_exponents_are_those_of_iso_4217() -> None:
    assert {code: digits for code, digits in ISO.items() if digits is not None} == EXPONENTS


@pytest.mark.parametrize(
    "code", [code for code, digits in ISO.items() if digits is None] + ["gbp", "", "XYZ"]
)
def test_a_code_without_a_minor_unit_is_refused(code: str) -> None:
    with pytest.raises(Refusal) as refused:
        exponent_of(code)
    assert refused.value.code == "money.currency_unknown"
    with pytest.raises(Refusal):
        Money(1, code)


@pytest.mark.parametrize("case", ALLOCATE, ids=[case["id"] for case in ALLOCATE])
def test_split_agrees_with_other_engines_of_its_convention(case: dict[str, Any]) -> None:
    step = case["input"].get("cash_step", 1)
    given = case["input"]
    assert given["amount"] % step == 0
    parts = [part * step for part in split(given["amount"] // step, given["weights"])]
    assert sum(parts) == given["amount"]
    if "parts" in case["expected"]:
        assert parts == case["expected"]["parts"]
    else:
        assert sorted(parts) == sorted(case["expected"]["parts_any_order"])


def test_split_of_zero_weights_is_even() -> None:
    assert split(5, [0, 0, 0]) == [2, 2, 1]
    assert Money(-5, "GBP").split([1, 1]) == [Money(-3, "GBP"), Money(-2, "GBP")]


@pytest.mark.parametrize("weights", [[], [1, -1]])
def test_split_without_usable_weights_is_refused(weights: list[int]) -> None:
    with pytest.raises(Refusal) as refused:
        split(10, weights)
    assert refused.value.code == "money.weights_invalid"


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        # quotients 2.5, -2.5, 3.5, 2.4, -2.6
        (Rounding.HALF_UP, [3, -3, 4, 2, -3]),
        (Rounding.HALF_DOWN, [2, -2, 3, 2, -3]),
        (Rounding.HALF_EVEN, [2, -2, 4, 2, -3]),
        (Rounding.UP, [3, -3, 4, 3, -3]),
        (Rounding.DOWN, [2, -2, 3, 2, -2]),
        (Rounding.CEILING, [3, -2, 4, 3, -2]),
        (Rounding.FLOOR, [2, -3, 3, 2, -3]),
    ],
)
def test_roundings(rounding: Rounding, expected: list[int]) -> None:
    assert [divide(tenths, 10, rounding) for tenths in (25, -25, 35, 24, -26)] == expected
    assert [divide(-tenths, -10, rounding) for tenths in (25, -25, 35, 24, -26)] == expected


def test_a_zero_denominator_is_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)


@pytest.mark.parametrize(
    ("text", "currency", "price_e4", "shown"),
    [
        ("2.555", "GBP", 2_555_000, "2.555"),
        ("2.5", "GBP", 2_500_000, "2.50"),
        ("0.001", "GBP", 1_000, "0.001"),
        ("0.000001", "GBP", 1, "0.000001"),
        ("-3", "GBP", -3_000_000, "-3.00"),
        ("500", "JPY", 5_000_000, "500"),
        ("0.5", "JPY", 5_000, "0.5"),
        ("1.2345", "KWD", 12_345_000, "1.2345"),
        ("1.50000000", "GBP", 1_500_000, "1.50"),
    ],
)
def test_unit_prices_are_exact(text: str, currency: str, price_e4: int, shown: str) -> None:
    assert price_from_major(text, currency) == price_e4
    assert price_to_major(price_e4, currency) == shown


@pytest.mark.parametrize(
    "text", ["", "1,5", "1e3", "NaN", ".5", "1.", "0.0000001", " 1", "1\n", "1.123456789"]
)
def test_an_inexact_price_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        price_from_major(text, "GBP")
    assert refused.value.code == "money.price_invalid"


@pytest.mark.parametrize(
    ("price_e4", "quantity", "expected"),
    [
        (2_555_000, 1, 256),
        (2_555_000, 2, 511),
        (1_000, 4, 0),
        (1_000, 5, 1),
        (0, 9, 0),
        (50_000_000, 3, 15_000),
    ],
)
def test_a_line_is_rounded_once_half_up(price_e4: int, quantity: int, expected: int) -> None:
    assert line_total(price_e4, quantity) == expected


def test_amounts_read_in_major_units() -> None:
    assert [to_major(5, "GBP"), to_major(-1230, "GBP"), to_major(7, "JPY"), to_major(1, "KWD")] == [
        "0.05",
        "-12.30",
        "7",
        "0.001",
    ]
    assert str(Money(1230, "GBP")) == "12.30 GBP"


def test_two_currencies_never_meet() -> None:
    assert Money(3, "GBP") + Money(4, "GBP") - Money(2, "GBP") == -Money(-5, "GBP")
    for operation in (Money.__add__, Money.__sub__):
        with pytest.raises(Refusal) as refused:
            operation(Money(1, "GBP"), Money(1, "USD"))
        assert refused.value.code == "money.currency_mixed"
