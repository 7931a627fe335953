"""Amounts at Stripe: exact both ways or refused, for every currency of the house."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.infra.payments.stripe_money import (
    DECIMALS,
    MAXIMUM,
    MAXIMUMS,
    MINIMUMS,
    PAYOUT_WHOLE,
    STEPS,
    from_stripe,
    to_charge,
    to_stripe,
)
from tradepost.kernel.currency import EXPONENTS
from tradepost.kernel.errors import Refusal

CURRENCIES = sorted(set(DECIMALS) & set(EXPONENTS))
ZERO = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
EXACT = [
    ("GBP", 1_000, 1_000),
    ("JPY", 500, 500),
    ("UGX", 5, 500),
    ("ISK", 5, 500),
    ("MGA", 500, 5),
    ("KWD", 5_120, 5_120),
    ("HUF", 1_045, 1_045),
    ("TWD", 80_045, 80_045),
    ("IDR", 999_999_999_999, 999_999_999_999),
]
"""(currency, the house's minor units, Stripe's integer), from the examples of docs.stripe.com/currencies."""


@pytest.mark.parametrize(("currency", "minor", "sent"), EXACT)
def test_examples(currency: str, minor: int, sent: int) -> None:
    assert to_stripe(minor, currency) == sent
    assert from_stripe(sent, currency.lower()) == minor


def test_the_lists_are_stripe_s() -> None:
    assert {code for code, decimals in DECIMALS.items() if decimals == 0} == set(ZERO.split())
    assert {code for code, decimals in DECIMALS.items() if decimals == 3} == set(
        ["BHD", "JOD", "KWD", "OMR", "TND"]
    )
    assert STEPS == {"ISK": 100, "UGX": 100, "BHD": 10, "JOD": 10, "KWD": 10, "OMR": 10, "TND": 10}
    assert {"HUF", "ISK", "TWD", "UGX"} == PAYOUT_WHOLE
    assert set(DECIMALS) <= set(EXPONENTS)
    assert set(MINIMUMS) | set(MAXIMUMS) <= set(DECIMALS)
    differ = {code for code in CURRENCIES if DECIMALS[code] != EXPONENTS[code]}
    assert differ == {"ISK", "UGX", "MGA"}


@given(st.sampled_from(CURRENCIES), st.integers(-(10**12), 10**12))
def test_out_and_back_is_the_same_or_refused(currency: str, minor: int) -> None:
    try:
        sent = to_stripe(minor, currency)
    except Refusal as refusal:
        if refusal.code != "payments.stripe_inexact":
            raise
        unit = int(refusal.expected.rpartition(" ")[2])
        assert minor % unit
        near = minor - minor % unit
        assert from_stripe(to_stripe(near, currency), currency) == near
        return
    assert from_stripe(sent, currency) == minor
    assert sent * 10 ** EXPONENTS[currency] == minor * 10 ** DECIMALS[currency]
    assert sent % STEPS.get(currency, 1) == 0


@given(st.sampled_from(CURRENCIES), st.integers(0, 10**13))
def test_back_and_out_is_the_same_or_refused(currency: str, amount: int) -> None:
    try:
        minor = from_stripe(amount, currency)
        assert to_stripe(minor, currency) == amount
    except Refusal as refusal:
        if refusal.code != "payments.stripe_inexact":
            raise
        assert amount % STEPS.get(currency, 1)


@given(st.sampled_from(CURRENCIES), st.integers(-5, 10**13))
def test_charges_lie_within_stripe_s_bounds(currency: str, minor: int) -> None:
    try:
        sent = to_charge(minor, currency)
    except Refusal as refusal:
        assert refusal.code in ("payments.stripe_inexact", "payments.stripe_bounds")  # noqa: PT017
        return
    assert max(1, MINIMUMS.get(currency, 1)) <= sent <= MAXIMUMS.get(currency, MAXIMUM)


@pytest.mark.parametrize("currency", [*sorted(set(EXPONENTS) - set(DECIMALS)), "ABC", "", "gbp"])
def test_currencies_that_stripe_does_not_present(currency: str) -> None:
    for convert in (to_stripe, to_charge):
        with pytest.raises(Refusal) as caught:
            convert(1_000, currency)
        assert caught.value.code == "payments.stripe_currency"


@pytest.mark.parametrize(
    ("minor", "currency", "fits"),
    [
        (29, "GBP", False), (30, "GBP", True), (49, "JPY", False), (50, "JPY", True), (17_500, "HUF", True),
        (99_999_999, "GBP", True), (100_000_000, "GBP", False), (999_999_999_999, "IDR", True),
        (10**12, "IDR", False), (999_999, "UGX", True), (1_000_000, "UGX", False), (0, "MGA", False),
        (100, "MGA", True),
    ],
)  # fmt: skip
def test_bounds(minor: int, currency: str, fits: bool) -> None:
    if fits:
        assert to_charge(minor, currency) == to_stripe(minor, currency)
        return
    with pytest.raises(Refusal) as caught:
        to_charge(minor, currency)
    assert caught.value.code == "payments.stripe_bounds"
