"""Circuit breaker: a dependency that keeps failing is left alone for a while, then probed by one call.

After M. Nygard, Release It! (2nd ed., ch. 5). The rest doubles with every failed probe and is jittered, so that
the processes of a fleet do not all knock at once.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tradepost.kernel.states import StateTable

CLOSED, OPEN, HALF_OPEN = "CLOSED", "OPEN", "HALF_OPEN"
BREAKER = StateTable(
    "breaker",
    initial=CLOSED,
    final=(),
    rows=(
        (CLOSED, "trip", OPEN),
        (OPEN, "probe", HALF_OPEN),
        (HALF_OPEN, "succeed", CLOSED),
        (HALF_OPEN, "fail", OPEN),
    ),
)


class BreakerTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Opens when `failures_max` of the last `window` calls failed; rests `rest_ms`, at most `rest_max_ms`."""

    failures_max: int = 5
    window: int = 20
    rest_ms: int = 1_000
    rest_max_ms: int = 30_000


class Standing(msgspec.Struct, frozen=True):
    """Where a breaker stands: `outcomes` has a bit for each call, set for a failure; `trips` since it last closed."""

    state: str = CLOSED
    outcomes: int = 0
    trips: int = 0
    until_ms: int = 0


def judge_call(standing: Standing, now_ms: int) -> tuple[bool, Standing]:
    """Whether a call may go out now, and the standing after it was let go. A half-open breaker has its probe out."""
    if standing.state == CLOSED:
        return True, standing
    if standing.state == OPEN and now_ms >= standing.until_ms:
        return True, msgspec.structs.replace(standing, state=BREAKER.next(OPEN, "probe"))
    return False, standing


def judge_outcome(
    standing: Standing, terms: BreakerTerms, failed: bool, now_ms: int, jitter: int
) -> Standing:
    """The standing after a call came back. `jitter` is 0..1023 of chance: the rest is half fixed, half drawn.

    What comes back late while the breaker is open says nothing new.
    """
    if standing.state == OPEN:
        return standing
    if standing.state == HALF_OPEN:
        if failed:
            return _opened(standing, terms, "fail", now_ms, jitter)
        return Standing(BREAKER.next(HALF_OPEN, "succeed"))
    outcomes = (standing.outcomes << 1 | failed) & (1 << terms.window) - 1
    if failed and outcomes.bit_count() >= terms.failures_max:
        return _opened(standing, terms, "trip", now_ms, jitter)
    return msgspec.structs.replace(standing, outcomes=outcomes)


def _opened(standing: Standing, terms: BreakerTerms, given: str, now_ms: int, jitter: int) -> Standing:
    full_ms = min(terms.rest_ms << min(standing.trips, 16), terms.rest_max_ms)
    rest_ms = full_ms // 2 + (full_ms // 2 * jitter >> 10)
    return Standing(BREAKER.next(standing.state, given), 0, standing.trips + 1, now_ms + rest_ms)


class Breaker:
    """A standing and its clock. `chance(10)` draws ten bits: give `World.chance`."""

    def __init__(self, terms: BreakerTerms, now_ms: Callable[[], int], chance: Callable[[int], int]) -> None:
        self.terms = terms
        self.standing = Standing()
        self._now_ms = now_ms
        self._chance = chance

    @property
    def is_closed(self) -> bool:
        """Whether calls go out freely."""
        return self.standing.state == CLOSED

    def allows(self) -> bool:
        """Whether a call may go out; True when open and rested makes that call the probe."""
        if self.standing.state == CLOSED:
            return True
        allowed, self.standing = judge_call(self.standing, self._now_ms())
        return allowed

    def note(self, failed: bool) -> None:
        """How a call that was allowed ended."""
        standing = self.standing
        if not failed and not standing.outcomes and standing.state == CLOSED:
            return
        self.standing = judge_outcome(standing, self.terms, failed, self._now_ms(), self._chance(10))

    def rest_ms(self) -> int:
        """Milliseconds until an open breaker lets its probe go; 0 when it is not open."""
        if self.standing.state != OPEN:
            return 0
        return max(0, self.standing.until_ms - self._now_ms())
