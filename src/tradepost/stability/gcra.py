"""GCRA, the generic cell rate algorithm: one moment per limit says everything about a caller's past.

It is the virtual scheduling form of ITU-T I.371 (annex A) and the ATM Forum's Traffic Management 4.0, section 4.4:
every admitted cell moves the theoretical arrival time (TAT) on by one interval, and a cell conforms when that
leaves its TAT at most a burst ahead of now. So in any stretch of time t at most burst + t / interval cells pass.
"""

from __future__ import annotations

from typing import NamedTuple

US_PER_MS = 1_000


class Cell(NamedTuple):
    """What one limit asks of one request: whose TAT, microseconds per request, microseconds of a full burst."""

    key: str
    interval_us: int
    span_us: int
    name: str = ""


def interval_of(requests: int, per_ms: int) -> int:
    """Microseconds between requests, rounded up, so that rounding never admits more than was allowed."""
    return -(-per_ms * US_PER_MS // requests)


def spend(tat_us: int, now_us: int, interval_us: int, span_us: int) -> tuple[int, int]:
    """(TAT after one more request, microseconds to wait): it conforms when the wait is 0, and then the TAT counts.

    A TAT further ahead than a full burst comes from a clock that jumped or a limit that was narrowed: it is
    brought back to the burst, so nobody is locked out for longer than that.
    """
    after = min(max(tat_us, now_us), now_us + span_us) + interval_us
    return after, max(0, after - span_us - now_us)
