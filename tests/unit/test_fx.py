"""Conversion: the seller's own price first, exact rates, a quote that keeps what it was made with."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.errors import Refusal
from tradepost.kernel.money import Rounding
from tradepost.trade.pricing import FrozenRate, booked_difference, convert_currency, exact_rate, quote_price

RATE = FrozenRate(
    sold="USD",
    paid="JPY",
    numerator=15_025,
    denominator=100,
    source="ECB reference rates",
    published_ms=1_000,
    until_ms=2_000,
    margin_ppm=20_000,
)


def rate(numerator: int, denominator: int = 1, sold: str = "USD", paid: str = "EUR") -> FrozenRate:
    return FrozenRate(
        sold=sold,
        paid=paid,
        numerator=numerator,
        denominator=denominator,
        source="test",
        published_ms=0,
        until_ms=1,
    )


@pytest.mark.parametrize(
    ("text", "expected"), [("125", (125, 1)), ("0.9135", (1827, 2000)), ("1.0", (1, 1)), ("0.5", (1, 2))]
)
def test_a_rate_is_exact(text: str, expected: tuple[int, int]) -> None:
    assert exact_rate(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-1", "1e3", "1,5", "x", "٣", "1" * 31, "1.٣"])
def test_no_rate(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        exact_rate(text)
    assert refused.value.code == "fx.rate_invalid"


@pytest.mark.parametrize(
    ("amount", "sold", "paid", "at", "rounding", "expected"),
    [
        (123, "USD", "JPY", "125", Rounding.DOWN, 153),
        (123, "USD", "JPY", "125", Rounding.UP, 154),
        (154, "JPY", "USD", "0.008", Rounding.HALF_UP, 123),
        (1_000, "KWD", "USD", "3.25", Rounding.HALF_UP, 325),
        (325, "USD", "KWD", "0.3077", Rounding.HALF_UP, 1_000),
        (-123, "USD", "JPY", "125", Rounding.HALF_UP, -154),
    ],
)
def test_exponents_of_both_currencies_count(
    amount: int, sold: str, paid: str, at: str, rounding: Rounding, expected: int
) -> None:
    assert convert_currency(amount, sold, paid, Fraction(*exact_rate(at)), rounding) == expected


def test_an_unknown_currency_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        convert_currency(1, "USD", "ABC", Fraction(1))
    assert refused.value.code == "money.currency_unknown"


def test_the_sellers_own_price_comes_first() -> None:
    quoted = quote_price({"USD": 10_000_000, "JPY": 1_500_0000}, "JPY", {("USD", "JPY"): RATE}, 1_500)
    assert (quoted.price_e4, quoted.rate) == (1_500_0000, None)


def test_a_converted_price_keeps_rate_margin_and_source() -> None:
    """10.00 dollars at 150.25 and 2 % are 1,532.55 yen, sold at 1,533."""
    quoted = quote_price({"USD": 1_000_0000}, "JPY", {("USD", "JPY"): RATE}, 1_500)
    assert (quoted.price_e4, quoted.currency, quoted.rate) == (1_533_0000, "JPY", RATE)


@pytest.mark.parametrize(
    ("currency", "at", "code"), [("JPY", 2_000, "fx.rate_stale"), ("EUR", 1, "fx.no_rate")]
)
def test_no_price(currency: str, at: int, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        quote_price({"USD": 1_000_0000}, currency, {("USD", "JPY"): RATE}, at)
    assert refused.value.code == code


def test_gain_and_loss_are_what_the_books_lack() -> None:
    """100.00 dollars booked at 0.90 are worth 92.00 euro at 0.92: a gain of 2.00, and back again a loss."""
    assert booked_difference(10_000, rate(90, 100), rate(92, 100)) == 200
    assert booked_difference(10_000, rate(92, 100), rate(90, 100)) == -200
    with pytest.raises(Refusal) as refused:
        booked_difference(1, rate(1), rate(1, paid="JPY"))
    assert refused.value.code == "money.currency_mixed"


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 10**6))
def test_what_was_posted_and_the_difference_are_the_new_value(amount: int, a: int, b: int, c: int) -> None:
    """Steps through any rates sum to the direct step: nothing is lost in between."""
    one, two, three = rate(a, 1000), rate(b, 1000), rate(c, 1000)
    steps = booked_difference(amount, one, two) + booked_difference(amount, two, three)
    assert steps == booked_difference(amount, one, three)
