"""How many requests may be under way so that the slowest hundredth stays inside its target: windowed AIMD.

Additive increase, multiplicative decrease (Chiu and Jain 1989) on the share of a window's requests that came
near the target. Gradient and per-request AIMD were measured against it (docs/adr/0026).
"""

from __future__ import annotations

import msgspec


class ConcurrencyTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the limit, and the p99 it defends. `aim_pct` of the target is where it begins to give way.

    The minimum lets 256 connections in, each with an order, past the tenth that payments keep: two writers in whole
    groups of 64, two more groups being gathered. Below it a server that is slow for reasons of its own, such as a
    machine that others use, would answer fewer and none of them sooner, and refusals that callers repeat at once
    would take the time that orders lack.
    """

    limit_min: int = 288
    limit_max: int = 2_000
    limit_first: int = 288
    target_ms: int = 100
    aim_pct: int = 80
    window_ms: int = 100
    samples_min: int = 10


class Window(msgspec.Struct):
    """What was seen since the limit was last judged; `full` when most of the limit was in use."""

    since_s: float = 0.0
    samples: int = 0
    slow: int = 0
    full: bool = False


def judge_limit(limit: int, terms: ConcurrencyTerms, samples: int, slow: int, full: bool) -> int:
    """The limit after a window with so many requests, `slow` of them past the aim.

    More than one in fifty slow takes a tenth away, more than one in four three tenths; none slow and the limit in
    use adds an eighth. Unused, it stays.
    """
    if slow * 4 > samples:
        return max(terms.limit_min, limit * 7 // 10)
    if slow * 50 > samples:
        return max(terms.limit_min, limit * 9 // 10)
    if full and not slow:
        return min(terms.limit_max, limit + max(1, limit // 8))
    return limit


class ConcurrencyLimit:
    """The limit in force, moved once a window."""

    def __init__(self, terms: ConcurrencyTerms) -> None:
        self.terms = terms
        self.limit = terms.limit_first
        self._window = Window()
        self._aim_s = terms.target_ms * terms.aim_pct / 100_000

    def note(self, seconds: float, under_way: int, now_s: float) -> bool:
        """Count one finished request; True when the limit was judged and may have changed."""
        window, terms = self._window, self.terms
        window.samples += 1
        if seconds > self._aim_s:
            window.slow += 1
        if under_way * 10 >= self.limit * 9:
            window.full = True
        if (now_s - window.since_s) * 1000 < terms.window_ms or window.samples < terms.samples_min:
            return False
        self.limit = judge_limit(self.limit, terms, window.samples, window.slow, window.full)
        self._window = Window(since_s=now_s)
        return True
