"""GCRA under hypothesis: never more than burst + t / interval, and never less than a caller who keeps to it may."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradepost.stability.gcra import Cell, interval_of, spend
from tradepost.stability.limits import LocalCells

RATES = st.tuples(st.integers(1, 5_000), st.integers(1, 5_000))
BURSTS = st.integers(1, 50)
STEPS = st.lists(st.integers(0, 3_000_000), min_size=1, max_size=120)


def admitted(steps: list[int], interval_us: int, span_us: int) -> list[int]:
    """The moments at which one caller was let in."""
    tat_us, now_us, moments = 0, 1_000_000_000, []
    for step in steps:
        now_us += step
        after, wait_us = spend(tat_us, now_us, interval_us, span_us)
        if not wait_us:
            tat_us = after
            moments.append(now_us)
    return moments


@given(rate=RATES, burst=BURSTS, steps=STEPS)
def test_no_stretch_of_time_sees_more_than_burst_and_rate(
    rate: tuple[int, int], burst: int, steps: list[int]
) -> None:
    requests, per_ms = rate
    interval_us = interval_of(requests, per_ms)
    moments = admitted(steps, interval_us, interval_us * burst)
    for first, start in enumerate(moments):
        for last in range(first, len(moments)):
            passed_us = moments[last] - start
            assert (last - first + 1 - burst) * per_ms * 1_000 <= passed_us * requests


@given(burst=BURSTS, interval_us=st.integers(1, 1_000_000), steps=STEPS)
def test_who_waits_as_told_is_let_in(burst: int, interval_us: int, steps: list[int]) -> None:
    tat_us, now_us, span_us = 0, 10**9, interval_us * burst
    for step in steps:
        now_us += step
        after, wait_us = spend(tat_us, now_us, interval_us, span_us)
        if wait_us:
            now_us += wait_us
            after, wait_us = spend(tat_us, now_us, interval_us, span_us)
        assert wait_us == 0
        tat_us = after


@given(burst=BURSTS, interval_us=st.integers(1, 1_000_000), ahead_us=st.integers(0, 10**12))
def test_a_clock_that_jumped_back_locks_nobody_out_for_longer_than_a_burst(
    burst: int, interval_us: int, ahead_us: int
) -> None:
    span_us = interval_us * burst
    _, wait_us = spend(10**9 + ahead_us, 10**9, interval_us, span_us)
    assert wait_us <= interval_us


@given(
    bursts=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    asked=st.lists(st.tuples(st.integers(0, 50_000), st.integers(1, 15)), max_size=60),
)
def test_a_request_is_charged_to_all_of_its_cells_or_to_none(
    bursts: list[int], asked: list[tuple[int, int]]
) -> None:
    cells = [Cell(f"c{at}", 10_000, 10_000 * burst) for at, burst in enumerate(bursts)]
    store, now_us = LocalCells(), 10**9
    tats = dict.fromkeys((cell.key for cell in cells), 0)
    for step, chosen in asked:
        now_us += step
        mine = [cell for at, cell in enumerate(cells) if chosen >> at & 1]
        judged = [spend(tats[cell.key], now_us, cell.interval_us, cell.span_us) for cell in mine]
        exceeded = store.decide(mine, now_us)
        assert (exceeded is None) == all(wait_us == 0 for _, wait_us in judged)
        if exceeded is None:
            tats |= {cell.key: after for cell, (after, _) in zip(mine, judged, strict=True)}
        else:
            assert exceeded.wait_us == max(wait_us for _, wait_us in judged)
