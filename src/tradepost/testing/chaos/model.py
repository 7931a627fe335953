"""What a run of faults found, as it stands in the JSON, the table and the page."""

from __future__ import annotations

import msgspec

from tradepost.testing.chaos.timeline import Bins
from tradepost.testing.torture.report import Check


class Trial(msgspec.Struct, kw_only=True):
    """One fault, or two at once, under load. Times are ms; `from_ms` and `to_ms` are the fault's on the run's clock.

    `seen` counts what users were answered from the fault's begin until all was as usual, `trouble_ms` runs from its
    begin to the last answer that was none of a proper kind, `back_ms` from its end until all was as usual again, None
    when that did not come in time. `failure` says why the trial could not be made.
    """

    faults: tuple[str, ...]
    storage: str
    sentence: str
    from_ms: int = 0
    to_ms: int = 0
    usual_per_s: float = 0
    requests: int = 0
    seen: dict[str, int] = {}
    worst_ms: int = 0
    usual_worst_ms: int = 0
    trouble_ms: int = 0
    back_ms: int | None = None
    settled_ms: int = 0
    repeated: int = 0
    checks: dict[str, Check] = {}
    bins: Bins = msgspec.field(default_factory=Bins)
    failure: str = ""

    @property
    def name(self) -> str:
        """The faults in one word each."""
        return " + ".join(self.faults)

    @property
    def held(self) -> bool:
        """Whether every invariant was looked at and held."""
        if self.failure or not self.checks:
            return False
        return all(check.looked_at and not check.broken for check in self.checks.values())

    def complaints(self, each: int = 3) -> list[str]:
        """What did not hold, some of each."""
        found = [f"{check.name}: {text}" for check in self.checks.values() for text in check.broken[:each]]
        return [self.failure, *found] if self.failure else found


class Run(msgspec.Struct, kw_only=True):
    """Every trial of a run. `disk` says what stood for a small disk."""

    started_at: str
    seed: int
    seconds: float
    rate: float
    disk: str = ""
    elapsed_s: float = 0
    trials: list[Trial] = []

    @property
    def held(self) -> bool:
        """Whether every invariant of every trial held."""
        return bool(self.trials) and all(trial.held for trial in self.trials)
