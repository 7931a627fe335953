"""What users saw, request by request, and when it was as usual again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

BIN_MS = 250
STEADY_MS = 1_500
"""So long nobody may be turned away before it counts as usual."""
USUAL_PERCENT = 60
"""Share of the rate from before the fault that counts as usual."""
AWAY = (429, 503)


class Sample(msgspec.Struct, frozen=True):
    """One request: when it was sent and how long it took, ms on the run's own clock. Status 0: no answer came."""

    sent_ms: int
    took_ms: int
    status: int
    code: str = ""

    @property
    def name(self) -> str:
        """The answer in words."""
        if not self.status:
            return "no answer"
        return f"{self.status} {self.code}".strip()

    @property
    def is_fine(self) -> bool:
        """Whether somebody got a proper answer: yes, or a no with a reason that is theirs."""
        return 0 < self.status < 500 and self.status not in AWAY


class Bins(msgspec.Struct, kw_only=True):
    """Counts in steps of BIN_MS by the moment of the answer: done, refused for a reason, sent away, broken."""

    done: list[int] = []
    refused: list[int] = []
    away: list[int] = []
    broken: list[int] = []
    worst_ms: list[int] = []


def bins_of(samples: Sequence[Sample]) -> Bins:
    """The whole run in steps."""
    count = max((one.sent_ms + one.took_ms for one in samples), default=0) // BIN_MS + 1
    bins = Bins(**{name: [0] * count for name in Bins.__struct_fields__})
    for one in samples:
        at = (one.sent_ms + one.took_ms) // BIN_MS
        if 0 < one.status < 400:
            bins.done[at] += 1
        elif one.status in AWAY:
            bins.away[at] += 1
        elif one.is_fine:
            bins.refused[at] += 1
        else:
            bins.broken[at] += 1
        bins.worst_ms[at] = max(bins.worst_ms[at], one.took_ms)
    return bins


def rate_per_s(samples: Sequence[Sample], from_ms: int, to_ms: int) -> float:
    """Proper answers a second between two moments."""
    fine = sum(one.is_fine for one in samples if from_ms <= one.sent_ms + one.took_ms < to_ms)
    return fine * 1000 / max(to_ms - from_ms, 1)


def usual_from(samples: Sequence[Sample], after_ms: int, now_ms: int, usual_per_s: float) -> int | None:
    """The moment from which all was as usual for STEADY_MS: not before `after_ms`, and behind all trouble.

    None when it is not as usual yet.
    """
    at = after_ms + trouble_ms(samples, after_ms)
    answered = [one.sent_ms + one.took_ms for one in samples if one.is_fine]
    while at + STEADY_MS <= now_ms:
        count = sum(at <= one < at + STEADY_MS for one in answered)
        if count * 1000 / STEADY_MS * 100 >= usual_per_s * USUAL_PERCENT:
            return at
        at += BIN_MS
    return None


def trouble_ms(samples: Sequence[Sample], from_ms: int) -> int:
    """From a moment to the last answer that was none of a proper kind; 0 when there was none."""
    ends = [one.sent_ms + one.took_ms for one in samples if not one.is_fine]
    return max((end - from_ms for end in ends if end >= from_ms), default=0)


def touched(samples: Sequence[Sample], from_ms: int, to_ms: int) -> list[Sample]:
    """Requests that were under way between two moments."""
    return [one for one in samples if one.sent_ms <= to_ms and one.sent_ms + one.took_ms >= from_ms]


def answers(samples: Sequence[Sample]) -> dict[str, int]:
    """Answers by name, most frequent first."""
    return dict(Counter(one.name for one in samples).most_common())


def worst_ms(samples: Sequence[Sample]) -> int:
    """The longest wait for an answer."""
    return max((one.took_ms for one in samples), default=0)
