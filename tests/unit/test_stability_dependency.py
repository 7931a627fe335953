"""Breaker, bulkhead and time limit: who is let through, who waits, who is turned away."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.errors import Refusal
from tradepost.stability.breaker import (
    CLOSED,
    HALF_OPEN,
    OPEN,
    BreakerTerms,
    Standing,
    judge_call,
    judge_outcome,
)
from tradepost.stability.dependency import Bulkhead, Dependency, DependencyTerms

TERMS = BreakerTerms(failures_max=3, window=5, rest_ms=1_000, rest_max_ms=8_000)


def after(outcomes: str, terms: BreakerTerms = TERMS) -> Standing:
    """The standing after calls that failed (x) or not (.), all at moment 0."""
    standing = Standing()
    for outcome in outcomes:
        standing = judge_outcome(standing, terms, outcome == "x", 0, 1023)
    return standing


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [("", CLOSED), ("xx", CLOSED), ("xxx", OPEN), ("x.x.x", OPEN), ("x..x.x", CLOSED), ("xx....x", CLOSED)],
)
def test_a_breaker_opens_on_failures_within_its_window(outcomes: str, state: str) -> None:
    assert after(outcomes).state == state


def test_an_open_breaker_lets_one_probe_through_after_its_rest() -> None:
    standing = after("xxx")
    assert judge_call(standing, standing.until_ms - 1) == (False, standing)
    allowed, probing = judge_call(standing, standing.until_ms)
    assert (allowed, probing.state) == (True, HALF_OPEN)
    assert judge_call(probing, standing.until_ms + 60_000)[0] is False
    assert judge_outcome(probing, TERMS, False, 5_000, 0) == Standing()


def test_the_rest_doubles_up_to_its_bound_and_is_jittered_by_half() -> None:
    standing, rests = after("xxx"), []
    for _ in range(6):
        rests.append(standing.until_ms)
        _, probing = judge_call(standing, standing.until_ms)
        standing = judge_outcome(probing, TERMS, True, 0, 0)
    assert rests[1:] == [1_000, 2_000, 4_000, 4_000, 4_000]
    assert 500 < rests[0] < 1_000


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3_000), st.integers(0, 1023)), max_size=60))
def test_whatever_happens_a_breaker_can_close_again(steps: list[tuple[bool, int, int]]) -> None:
    standing, now_ms = Standing(), 0
    for failed, step, jitter in steps:
        now_ms += step
        allowed, standing = judge_call(standing, now_ms)
        if allowed:
            standing = judge_outcome(standing, TERMS, failed, now_ms, jitter)
        assert standing.state != HALF_OPEN
        assert standing.until_ms <= now_ms + TERMS.rest_max_ms
    now_ms += TERMS.rest_max_ms
    allowed, standing = judge_call(standing, now_ms)
    assert allowed
    assert judge_outcome(standing, TERMS, False, now_ms, 0).state == CLOSED


async def test_places_are_given_in_order_and_the_queue_is_bounded() -> None:
    bulkhead, order = Bulkhead(1, 2), []

    async def pass_through(name: str) -> None:
        assert await bulkhead.enter()
        order.append(name)
        await asyncio.sleep(0)
        bulkhead.leave()

    assert bulkhead.enter_now()
    waiting = [asyncio.ensure_future(pass_through(name)) for name in "ab"]
    await asyncio.sleep(0)
    assert await bulkhead.enter() is False
    bulkhead.leave()
    await asyncio.gather(*waiting)
    assert (order, bulkhead.free, bulkhead.waiting) == (["a", "b"], 1, 0)


async def test_a_cancelled_waiter_takes_no_place_with_it() -> None:
    bulkhead = Bulkhead(1, 5)
    assert bulkhead.enter_now()
    waiters = [asyncio.ensure_future(bulkhead.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    bulkhead.leave()  # given to the second
    waiters[1].cancel()  # in the same moment
    assert await waiters[2]
    bulkhead.leave()
    assert (bulkhead.free, bulkhead.waiting) == (1, 0)


class Clock:
    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> int:
        return self.ms


def dependency(clock: Clock, **terms: int) -> Dependency:
    return Dependency("bank", DependencyTerms(breaker=TERMS, **terms), clock, lambda bits: 0)


async def fail() -> None:
    raise OSError("gone")


async def succeed() -> str:
    return "paid"


async def test_failures_open_it_and_a_good_probe_closes_it() -> None:
    clock = Clock()
    bank = dependency(clock)
    for _ in range(3):
        with pytest.raises(OSError, match="gone"):
            await bank.run(fail)
    with pytest.raises(Refusal) as resting:
        await bank.run(succeed)
    assert (resting.value.code, bank.calls) == ("dependency.resting", 3)
    clock.ms += 1_000
    assert await bank.run(succeed) == "paid"
    assert bank.gauges() == {
        "dependency_bank_calls": 4,
        "dependency_bank_failures": 3,
        "dependency_bank_turned_away": 1,
        "dependency_bank_under_way": 0,
        "dependency_bank_open": 0,
    }


async def test_a_refusal_is_an_answer_and_no_failure() -> None:
    bank = dependency(Clock())

    async def refuse() -> None:
        raise Refusal("state.conflict", "no")

    for _ in range(5):
        with pytest.raises(Refusal, match=r"state\.conflict"):
            await bank.run(refuse)
    assert bank.breaker.is_closed


async def test_late_is_a_failure_with_an_unknown_outcome_and_frees_its_place() -> None:
    bank = dependency(Clock(), timeout_ms=10, calls_max=1)
    with pytest.raises(Refusal) as late:
        await bank.run(asyncio.Event().wait)
    assert (late.value.code, bank.failures, bank.bulkhead.free) == ("dependency.late", 1, 1)


async def test_who_finds_no_place_is_turned_away_and_the_call_is_not_made() -> None:
    bank = dependency(Clock(), calls_max=1, waiting_max=1, timeout_ms=50)
    hold = asyncio.Event()
    first = asyncio.ensure_future(bank.run(hold.wait))
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(bank.run(succeed))
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as full:
        await bank.run(succeed)
    assert full.value.code == "dependency.full"
    results = await asyncio.gather(first, waiting, return_exceptions=True)
    assert [getattr(one, "code", one) for one in results] in (
        ["dependency.late", "dependency.full"],
        ["dependency.late", "paid"],
    )
    assert bank.bulkhead.free == 1
