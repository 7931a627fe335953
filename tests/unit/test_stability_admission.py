"""Admission: the cap, what is kept for the more urgent, the latency limit, and what a refusal says and costs."""

from __future__ import annotations

import heapq
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.errors import Kind
from tradepost.stability.admission import (
    SHED_CAPACITY,
    SHED_LATENCY,
    Admission,
    AdmissionTerms,
    Grant,
    Priority,
)
from tradepost.stability.cache import CacheDown
from tradepost.stability.concurrency import ConcurrencyTerms, judge_limit

ROOMY = ConcurrencyTerms(limit_first=100_000, limit_max=100_000)


def capped(per_s: int, **more: object) -> Admission:
    terms = AdmissionTerms(capacity_per_s=per_s, concurrency=ROOMY, **more)  # type: ignore[arg-type]
    return Admission(lambda: terms)


def offer(admission: Admission, priority: Priority, at_s: float, times: int) -> int:
    """How many of these requests are let in at one moment; each is answered at once."""
    let_in = 0
    for _ in range(times):
        if admission.decide(priority, at_s) is None:
            admission.done(priority, at_s, at_s)
            let_in += 1
    return let_in


def test_without_a_cap_everything_is_let_in() -> None:
    assert offer(capped(0), Priority.BROWSE, 1.0, 10_000) == 10_000


def test_ten_times_the_cap_gets_the_whole_cap_and_no_more() -> None:
    admission, at_s, let_in = capped(1_000), 100.0, 0
    offer(admission, Priority.PAYMENT, at_s, 10_000)
    for _ in range(30_000):
        at_s += 0.001
        let_in += offer(admission, Priority.ORDER, at_s, 10)
    assert 0.98 * 30_000 <= let_in <= 30_000 + 200
    assert admission.gauges()["shed_order"] == 300_000 - let_in


@given(
    st.integers(10, 5_000),
    st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 300), st.sampled_from(Priority)), max_size=60),
)
def test_no_stretch_of_time_sees_more_than_burst_and_cap(
    per_s: int, asked: list[tuple[float, int, Priority]]
) -> None:
    admission, at_s, seen = capped(per_s), 50.0, []
    for step_s, times, priority in asked:
        at_s += step_s
        seen.append((at_s, offer(admission, priority, at_s, times)))
    for first, (start_s, _) in enumerate(seen):
        total = 0
        for end_s, let_in in seen[first:]:
            total += let_in
            assert total <= max(10, per_s // 5) + (end_s - start_s) * per_s + 1e-3


def test_each_priority_has_what_the_ones_above_leave() -> None:
    admission, at_s = capped(1_000), 100.0
    let_in = dict.fromkeys(Priority, 0)
    for _ in range(10_000):  # 100 payments, 500 orders and 10,000 looks a second
        at_s += 0.001
        tick = round(at_s * 1_000)
        let_in[Priority.BROWSE] += offer(admission, Priority.BROWSE, at_s, 10)
        let_in[Priority.ORDER] += offer(admission, Priority.ORDER, at_s, tick % 2)
        let_in[Priority.PAYMENT] += offer(admission, Priority.PAYMENT, at_s, tick % 10 == 0)
    assert let_in[Priority.PAYMENT] == 1_000
    assert let_in[Priority.ORDER] == 5_000
    assert 3_900 <= let_in[Priority.BROWSE] <= 4_200


def test_orders_beyond_the_cap_leave_browsing_nothing_and_payments_everything() -> None:
    admission, at_s = capped(1_000), 100.0
    let_in = dict.fromkeys(Priority, 0)
    for _ in range(5_000):
        at_s += 0.001
        let_in[Priority.BROWSE] += offer(admission, Priority.BROWSE, at_s, 5)
        let_in[Priority.ORDER] += offer(admission, Priority.ORDER, at_s, 5)
        let_in[Priority.PAYMENT] += offer(admission, Priority.PAYMENT, at_s, round(at_s * 1_000) % 4 == 0)
    assert let_in[Priority.PAYMENT] == 1_250
    assert let_in[Priority.ORDER] >= 3_600
    assert let_in[Priority.BROWSE] < 300


def test_requests_under_way_are_bounded_the_least_urgent_first() -> None:
    terms = AdmissionTerms(concurrency=ConcurrencyTerms(limit_first=100))
    admission = Admission(lambda: terms)
    let_in = {
        priority: sum(admission.decide(priority, 1.0) is None for _ in range(200))
        for priority in (Priority.BROWSE, Priority.ORDER, Priority.PAYMENT)
    }
    assert let_in == {Priority.BROWSE: 70, Priority.ORDER: 20, Priority.PAYMENT: 10}
    assert admission.decide(Priority.PAYMENT, 1.0) in SHED_LATENCY
    admission.done(Priority.PAYMENT, 1.0, 1.0)
    assert admission.decide(Priority.PAYMENT, 1.0) is None


def test_a_refusal_says_why_and_when_to_come_again_in_turn() -> None:
    admission = capped(10)
    refusals = [admission.decide(Priority.ORDER, 5.0) for _ in range(100)]
    shed = [one for one in refusals if one is not None]
    assert {one.code for one in shed} == {"admission.shed"}
    assert shed[0].problem.kind is Kind.OVERLOADED
    assert {one.extra["reason"] for one in shed} == {"capacity"}
    assert {one.extra["retry_after_s"] for one in shed} == {1, 2, 3}
    assert {id(one) for one in shed} <= {id(one) for one in SHED_CAPACITY}, (
        "made once, so its answer can be too"
    )


def test_a_refusal_costs_next_to_nothing() -> None:
    admission = capped(1)
    best = 1.0
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(10_000):
            admission.decide(Priority.ORDER, 1.0)
        best = min(best, (time.perf_counter() - began) / 10_000)
    assert best < 3e-6


def test_a_changed_cap_counts_with_the_next_look_at_the_terms() -> None:
    terms = [AdmissionTerms(concurrency=ROOMY)]
    admission = Admission(lambda: terms[0])
    terms[0] = AdmissionTerms(capacity_per_s=100, concurrency=ROOMY)
    assert offer(admission, Priority.PAYMENT, 1.0, 1_000) == 1_000
    admission.retune()
    assert offer(admission, Priority.PAYMENT, 1.0, 1_000) == 20
    terms[0] = AdmissionTerms(concurrency=ROOMY)
    admission.retune()
    assert offer(admission, Priority.PAYMENT, 1.0, 1_000) == 1_000


class Bank:
    """Shares that give what they are told to, or are down."""

    def __init__(self) -> None:
        self.grant: Grant | None = Grant(0, 2)
        self.wanted: list[int] = []

    async def take(self, wanted: int, capacity_per_s: int, burst: int) -> Grant:
        self.wanted.append(wanted)
        if self.grant is None:
            raise CacheDown
        return self.grant


async def test_shared_capacity_is_what_the_shares_grant() -> None:
    terms, bank = AdmissionTerms(capacity_per_s=1_000, concurrency=ROOMY), Bank()
    admission = Admission(lambda: terms, bank)
    await admission.refill()
    assert offer(admission, Priority.PAYMENT, 1.0, 1_000) == 100, "half of the burst: two workers"
    assert offer(admission, Priority.PAYMENT, 2.0, 1_000) == 0, "time alone grants nothing"
    bank.grant = Grant(30, 2)
    await admission.refill()
    assert bank.wanted == [0, 100] or bank.wanted[-1] == 100
    assert offer(admission, Priority.PAYMENT, 2.0, 1_000) == 30


async def test_without_shares_the_process_gives_its_part_of_the_cap() -> None:
    terms, bank = AdmissionTerms(capacity_per_s=1_000, concurrency=ROOMY), Bank()
    admission = Admission(lambda: terms, bank)
    await admission.refill()
    offer(admission, Priority.PAYMENT, 1.0, 1_000)
    bank.grant = None
    await admission.refill()
    assert 49 <= offer(admission, Priority.PAYMENT, 1.1, 1_000) <= 51
    assert admission.shared is False


@pytest.mark.parametrize(
    ("samples", "slow", "full", "limit"),
    [(100, 0, True, 112), (100, 0, False, 100), (100, 2, True, 100), (100, 3, True, 90), (100, 26, True, 70)],
)
def test_the_limit_moves_with_the_share_of_slow_requests(
    samples: int, slow: int, full: bool, limit: int
) -> None:
    assert judge_limit(100, ConcurrencyTerms(limit_min=8), samples, slow, full) == limit


def test_the_limit_keeps_its_bounds() -> None:
    terms = ConcurrencyTerms(limit_min=8, limit_max=20)
    assert judge_limit(9, terms, 10, 10, True) == 8
    assert judge_limit(20, terms, 10, 0, True) == 20


class GroupCommit:
    """A server that commits up to 64 requests together in 4 ms + 0.15 ms each, now and then 20 ms more."""

    def __init__(self, admission: Admission, offered_per_s: int, seed: int) -> None:
        self.admission = admission
        self.offered_per_s = offered_per_s
        self.chance = random.Random(seed)
        self.slower = 1
        self.answered: list[tuple[float, float]] = []
        self._waiting: list[float] = []
        self._committing: list[float] = []

    def run(self, from_s: float, to_s: float) -> None:
        """Play this stretch of time."""
        due: list[tuple[float, str]] = [(from_s, "ask")]
        if self._committing:
            heapq.heappush(due, (from_s, "commit"))
        while due:
            at_s, what = heapq.heappop(due)
            if at_s >= to_s:
                continue
            if what == "ask":
                if self.admission.decide(Priority.ORDER, at_s) is None:
                    self._waiting.append(at_s)
                heapq.heappush(due, (at_s + self.chance.expovariate(self.offered_per_s), "ask"))
            else:
                for asked_s in self._committing:
                    self.admission.done(Priority.ORDER, asked_s, at_s)
                    self.answered.append((at_s, at_s - asked_s))
                self._committing = []
            if not self._committing and self._waiting:
                self._committing, self._waiting = self._waiting[:64], self._waiting[64:]
                cost_s = (0.004 + 0.00015 * len(self._committing)) * self.slower
                cost_s += 0.02 if self.chance.random() < 0.01 else 0
                heapq.heappush(due, (at_s + cost_s, "commit"))

    def seen(self, from_s: float, to_s: float) -> tuple[float, float]:
        """(answers a second, 99th percentile of their time in ms) of a stretch."""
        times = sorted(took for at_s, took in self.answered if from_s <= at_s < to_s)
        return len(times) / (to_s - from_s), times[int(len(times) * 0.99)] * 1_000


@pytest.mark.parametrize("offered_per_s", [5_000, 10_000, 20_000])
def test_overload_keeps_the_slowest_hundredth_inside_the_target_and_the_server_busy(
    offered_per_s: int,
) -> None:
    server = GroupCommit(Admission(AdmissionTerms), offered_per_s, seed=1)
    server.run(0, 8)
    per_s, p99_ms = server.seen(3, 8)
    assert per_s > 4_300, "the server can do some 4,650"
    assert p99_ms < 110


def test_a_server_that_becomes_slow_and_well_again_is_followed() -> None:
    server = GroupCommit(Admission(AdmissionTerms), 10_000, seed=2)
    server.run(0, 4)
    server.slower = 3
    server.run(4, 9)
    per_s, p99_ms = server.seen(6, 9)
    assert per_s > 1_450  # the minimum keeps the groups whole: 1,550/s is all such a server has
    assert p99_ms < 220
    server.slower = 1
    server.run(9, 14)
    per_s, p99_ms = server.seen(11, 14)
    assert per_s > 4_300
    assert p99_ms < 110


def test_a_turn_lets_no_more_through_than_will_be_let_in() -> None:
    admission = capped(100)
    foreseen = [admission.foresee(Priority.ORDER, 1.0) for _ in range(1_000)]
    through = foreseen.count(None)
    assert 0 < through < 1_000
    assert (admission.under_way, sum(admission.shed)) == (0, 1_000 - through)
    decided = [admission.decide(Priority.ORDER, 1.0) for _ in range(through)]
    assert decided == [None] * through, "nobody whom the first look let through is refused the dear way"
    assert admission.decide(Priority.ORDER, 1.0) in SHED_CAPACITY


def test_a_full_house_counts_those_let_through_before_they_come_in() -> None:
    admission = Admission(lambda: AdmissionTerms(concurrency=ConcurrencyTerms(limit_first=100)))
    through = [admission.foresee(Priority.ORDER, 1.0) for _ in range(1_000)].count(None)
    assert through == 90, "payments keep a tenth"
    assert [admission.decide(Priority.ORDER, 1.0) for _ in range(through)] == [None] * through
    assert admission.decide(Priority.ORDER, 1.0) in SHED_LATENCY


async def test_places_of_those_who_hung_up_are_free_again_after_the_refill() -> None:
    admission = capped(100)
    while admission.foresee(Priority.ORDER, 1.0) is None:
        pass
    await admission.refill()
    assert admission.foresee(Priority.ORDER, 1.0) is None


def test_what_is_foreseen_is_what_is_decided() -> None:
    admission = capped(100)
    let_in = 0
    while admission.foresee(Priority.ORDER, 1.0) is None:
        assert admission.decide(Priority.ORDER, 1.0) is None
        let_in += 1
    assert let_in
    assert admission.decide(Priority.ORDER, 1.0) in SHED_CAPACITY
    assert admission.foresee(Priority.PAYMENT, 1.0) is None  # its part is still there
    assert admission.foresee(Priority.ORDER, 2.0) is None  # and time brings more


def test_a_full_house_is_foreseen_too() -> None:
    admission = Admission(lambda: AdmissionTerms(concurrency=ConcurrencyTerms(limit_first=100)))
    while admission.decide(Priority.ORDER, 1.0) is None:
        pass
    assert admission.foresee(Priority.ORDER, 1.0) in SHED_LATENCY
