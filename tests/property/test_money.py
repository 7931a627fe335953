"""Money under hypothesis: nothing is lost, nothing is invented."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.currency import EXPONENTS
from tradepost.kernel.ids import check_id, gene_of, mint_id, time_of
from tradepost.kernel.money import Rounding, divide, line_total, price_from_major, price_to_major, split

AMOUNTS = st.integers(-(10**15), 10**15)
WEIGHTS = st.lists(st.integers(0, 10**12), min_size=1, max_size=30)


@given(AMOUNTS, WEIGHTS)
def test_parts_sum_exactly_and_are_off_by_less_than_one(amount: int, weights: list[int]) -> None:
    parts = split(amount, weights)
    assert sum(parts) == amount
    total = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        exact = Fraction(amount * weight, total) if total else Fraction(amount, len(weights))
        assert abs(part - exact) < 1


@given(AMOUNTS, WEIGHTS)
def test_split_mirrors_and_leaves_nothing_on_zero_weights(amount: int, weights: list[int]) -> None:
    parts = split(amount, weights)
    assert split(-amount, weights) == [-part for part in parts]
    if sum(weights):
        assert all(part == 0 for part, weight in zip(parts, weights, strict=True) if weight == 0)


@given(WEIGHTS, st.data())
def test_a_part_of_no_more_than_the_weights_never_exceeds_its_weight(
    weights: list[int], data: st.DataObject
) -> None:
    amount = data.draw(st.integers(0, sum(weights)))
    if sum(weights):
        assert all(part <= weight for part, weight in zip(split(amount, weights), weights, strict=True))


@given(AMOUNTS, st.integers(-(10**6), 10**6).filter(bool), st.sampled_from(list(Rounding)))
def test_rounding_is_off_by_less_than_one_and_half_by_half(top: int, bottom: int, rounding: Rounding) -> None:
    exact = Fraction(top, bottom)
    off = divide(top, bottom, rounding) - exact
    assert abs(off) < 1
    if rounding.startswith("half"):
        assert abs(off) <= Fraction(1, 2)
    if rounding in (Rounding.FLOOR, Rounding.CEILING):
        assert off <= 0 if rounding is Rounding.FLOOR else off >= 0


@given(st.integers(-(10**14), 10**14), st.sampled_from(sorted(EXPONENTS)))
def test_a_price_reads_back_as_it_was_written(price_e4: int, currency: str) -> None:
    assert price_from_major(price_to_major(price_e4, currency), currency) == price_e4


@given(st.integers(0, 10**10), st.integers(1, 10**6))
def test_a_line_is_the_exact_product_rounded_once(price_e4: int, quantity: int) -> None:
    assert abs(Fraction(price_e4 * quantity, 10_000) - line_total(price_e4, quantity)) <= Fraction(1, 2)


@given(
    st.integers(0, 1023), st.integers(0, (1 << 48) - 1), st.integers(0, 255), st.integers(0, (1 << 56) - 1)
)
def test_ids_keep_time_and_gene(gene: int, at_ms: int, cell: int, chance: int) -> None:
    minted = check_id(mint_id("ord", gene, at_ms, cell, chance), "order")
    assert (gene_of(minted), time_of(minted)) == (gene, at_ms)
