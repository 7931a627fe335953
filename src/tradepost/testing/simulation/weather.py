"""The weather: every delay and fault of a run, drawn from the seed of the step that is under way."""

from __future__ import annotations

import random
from collections.abc import Iterable

import msgspec

FAULTS = ("crash", "duplicate", "reorder", "delay", "provider_silent")
"""What may be switched on: see `--faults`."""

UNHEARD = "unheard"
UNANSWERED = "unanswered"


class CallPlan(msgspec.Struct, frozen=True):
    """How one call to the provider goes: seconds out and back, and whether it or its answer is lost."""

    out_s: float
    back_s: float
    lost: str


class PostPlan(msgspec.Struct, frozen=True):
    """How one webhook goes: seconds under way, how often it arrives (0: never), and whether the sender learns it."""

    under_way_s: float
    copies: int
    told: bool


class Weather:
    """Asked at every port. Calm weather still takes a little time, so that things overlap."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = frozenset(faults)
        self._random = random.Random(0)

    def reseed(self, seed: int) -> None:
        """Begin the weather of a step."""
        self._random.seed(seed)

    def calm(self) -> None:
        """No faults from here on."""
        self.faults = frozenset()

    def _happens(self, fault: str, one_in: int) -> bool:
        return fault in self.faults and self._random.random() * one_in < 1

    def gap_s(self) -> float:
        """Seconds until the next step begins."""
        return self._random.random() * 0.012

    def commit_s(self) -> float:
        """Seconds a call waits for its group."""
        if self._happens("delay", 50):
            return self._random.random() * 0.2
        return self._random.random() * 0.002

    def answer_s(self) -> float:
        """Seconds from a commit to its answers."""
        if self._happens("delay", 50):
            return self._random.random() * 0.2
        return self._random.random() * 0.001

    def read_s(self) -> float:
        """Seconds a query waits; mostly none."""
        if self._happens("reorder", 12):
            return self._random.random() * 0.01
        return 0.0

    def group_size(self, waiting: int) -> int:
        """How many of the waiting calls share the next commit."""
        if waiting > 1 and self._happens("reorder", 4):
            return self._random.randrange(1, waiting)
        return waiting

    def call_plan(self) -> CallPlan:
        """The fate of a call to the provider."""
        out_s, back_s = self._random.random() * 0.01, self._random.random() * 0.01
        if self._happens("delay", 15):
            out_s += self._random.random() * 0.5
        if self._happens("reorder", 10):
            back_s += self._random.random() * 0.15
        lost = self._random.choice((UNHEARD, UNANSWERED)) if self._happens("provider_silent", 6) else ""
        return CallPlan(out_s, back_s, lost)

    def hang_s(self) -> float:
        """Seconds a silent line takes to break, sometimes longer than anybody waits."""
        return 5.0 if self._random.random() < 0.1 else 0.02

    def post_plan(self) -> PostPlan:
        """The fate of a webhook."""
        under_way_s = self._random.random() * 0.01
        if self._happens("delay", 8):
            under_way_s += self._random.random() * 2
        if self._happens("reorder", 5):
            return PostPlan(under_way_s, 0, False)
        if self._happens("duplicate", 4):
            return PostPlan(under_way_s, 2, self._random.random() < 0.5)
        return PostPlan(under_way_s, 1, True)
