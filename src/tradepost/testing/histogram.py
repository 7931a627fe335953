"""Latencies in bounded memory: a histogram of integer microseconds, exact below 2,048 us, within 0.1 % above."""

from __future__ import annotations

import msgspec

_SUB = 10
_EXACT = 2 << _SUB
_SHIFTS = 26
CURVE = (0, 10, 25, 50, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.5, 99.9, 99.95, 99.99, 100)


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """What a histogram says, in microseconds. `curve` pairs percentiles with latencies, for a plot."""

    count: int = 0
    mean_us: int = 0
    p50_us: int = 0
    p90_us: int = 0
    p99_us: int = 0
    p999_us: int = 0
    max_us: int = 0
    curve: tuple[tuple[float, int], ...] = ()


class Histogram:
    """Counts by value; noting one costs a shift and an addition."""

    def __init__(self) -> None:
        self.counts = [0] * ((_SHIFTS + 2) << _SUB)
        self.count = 0
        self.total_us = 0
        self.max_us = 0

    def note(self, value_us: int) -> None:
        """Count one latency; anything above 2^36 us counts as that."""
        if value_us < _EXACT:
            index = max(value_us, 0)
        else:
            shift = min(value_us.bit_length() - _SUB - 1, _SHIFTS)
            index = (shift << _SUB) + min(value_us >> shift, _EXACT - 1)
        self.counts[index] += 1
        self.count += 1
        self.total_us += value_us
        self.max_us = max(self.max_us, value_us)

    def at(self, percentile: float) -> int:
        """The smallest latency that this share of all noted ones does not exceed; 0 when none was noted."""
        wanted = max(1, -int(-self.count * percentile // 100)) if self.count else 0
        seen = 0
        for index, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return min(_highest_in(index), self.max_us)
        return 0

    def latency(self) -> Latency:
        """The summary of everything noted so far."""
        return Latency(
            count=self.count,
            mean_us=self.total_us // self.count if self.count else 0,
            p50_us=self.at(50),
            p90_us=self.at(90),
            p99_us=self.at(99),
            p999_us=self.at(99.9),
            max_us=self.max_us,
            curve=tuple((percentile, self.at(percentile)) for percentile in CURVE),
        )


def _highest_in(index: int) -> int:
    if index < _EXACT:
        return index
    shift = (index >> _SUB) - 1
    return (((index & ((1 << _SUB) - 1)) + (1 << _SUB)) << shift) + (1 << shift) - 1
