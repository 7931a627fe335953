"""Every rule for what cannot be divided, by example and under hypothesis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.errors import Refusal
from tradepost.kernel.money import split
from tradepost.kernel.splitting import Remainder, allocate, to_step

APART = (Remainder.APART, Remainder.BLOCKS)
WEIGHTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("remainder", "parts"),
    [
        (Remainder.LARGEST_FRACTION, [33, 50, 17]),
        (Remainder.FLOOR_FRACTION, [33, 50, 17]),
        (Remainder.LARGEST_WEIGHT, [33, 51, 16]),
        (Remainder.FIRST, [34, 50, 16]),
        (Remainder.LAST, [33, 50, 17]),
        (Remainder.APART, [33, 50, 16, 1]),
        (Remainder.BLOCKS, [32, 48, 16, 4]),
    ],
)
def test_who_gets_the_odd_unit(remainder: Remainder, parts: list[int]) -> None:
    assert allocate(100, [2, 3, 1], remainder) == parts


def test_cutting_downwards_differs_below_zero_only() -> None:
    assert allocate(-5, [7, 3], Remainder.FLOOR_FRACTION) == [-3, -2]
    assert allocate(-5, [7, 3], Remainder.LARGEST_FRACTION) == [-4, -1]


@given(
    st.integers(-(10**9), 10**9), WEIGHTS, st.sampled_from(list(Remainder)), st.sampled_from([1, 5, 25, 100])
)
def test_parts_are_the_whole(units: int, weights: list[int], remainder: Remainder, step: int) -> None:
    parts = allocate(units * step, weights, remainder, step=step)
    assert sum(parts) == units * step
    assert len(parts) == len(weights) + (remainder in APART)
    assert all(part % step == 0 for part in parts)
    assert all(part * units >= 0 for part in parts)
    if any(weights):
        assert all(part == 0 for part, weight in zip(parts, weights, strict=False) if weight == 0)


@given(st.integers(-(10**9), 10**9), WEIGHTS)
def test_the_houses_own_split_is_the_largest_fraction(amount: int, weights: list[int]) -> None:
    assert allocate(amount, weights) == split(amount, weights)


@given(st.integers(0, 10**9), st.lists(st.integers(1, 1000), min_size=1, max_size=8))
def test_blocks_keep_the_ratio_exactly(amount: int, weights: list[int]) -> None:
    *parts, rest = allocate(amount, weights, Remainder.BLOCKS)
    assert all(a * weights[0] == parts[0] * w for a, w in zip(parts, weights, strict=True))
    assert 0 <= rest < sum(weights)


@pytest.mark.parametrize(
    ("amount", "weights", "step", "code"),
    [
        (1, [], 1, "money.weights_invalid"),
        (1, [1, -1], 1, "money.weights_invalid"),
        (7, [1], 5, "money.step_invalid"),
        (7, [1], 0, "money.step_invalid"),
    ],
)
def test_what_cannot_be_split(amount: int, weights: list[int], step: int, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        allocate(amount, weights, step=step)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("amount", "step", "expected"),
    [(1_002, 5, 1_000), (1_003, 5, 1_005), (-1_003, 5, -1_005), (125, 50, 150), (0, 5, 0), (7, 1, 7)],
)
def test_cash_is_rounded_to_the_coin(amount: int, step: int, expected: int) -> None:
    assert to_step(amount, step) == expected


def test_half_a_coin_may_go_down() -> None:
    assert to_step(125, 50, up_from_half=False) == 100


@given(st.integers(-(10**9), 10**9), st.integers(1, 500))
def test_cash_rounding_moves_by_half_a_coin_at_most(amount: int, step: int) -> None:
    assert to_step(amount, step) % step == 0
    assert abs(to_step(amount, step) - amount) * 2 <= step
