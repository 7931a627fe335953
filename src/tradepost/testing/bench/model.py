"""What a bench run is made of: figures with their goals, series for plots, and the machine it ran on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from tradepost.testing.histogram import Latency

REACHED, MET, MISSED, TOLD, BROKEN = "reach", "must", "missed", "told", "broken"
"""Verdicts: the goal to reach, the goal that must be, neither, no goal at all, unexpected answers."""


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """What a figure is measured against. `less` says that a smaller value is the better one; 0 is no goal."""

    title: str
    unit: str
    must: float = 0
    reach: float = 0
    less: bool = False


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured figure: the median of its rounds, their lowest and highest, and how the answers came.

    `answers` counts by status, problem code or cause; `unexpected` is the part of them that breaks the figure.
    `details` are further numbers of the same rounds.
    """

    name: str
    title: str
    unit: str
    value: float
    low: float
    high: float
    must: float
    reach: float
    less: bool
    verdict: str
    latency: Latency | None = None
    answers: dict[str, int] = {}
    unexpected: dict[str, int] = {}
    details: dict[str, float] = {}
    note: str = ""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Points of a plot: what stands under each, and the values by line."""

    name: str
    title: str
    unit: str
    under: tuple[str, ...]
    lines: dict[str, tuple[float, ...]]
    note: str = ""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it ran. Loads are the averages over 1, 5 and 15 minutes before the run."""

    cpu: str
    cores: int
    memory_mb: int
    kernel: str
    python: str
    sqlite: str
    load_before: tuple[float, ...]
    fsync_per_s: float
    load_generator: str
    writer: str


class Bench(msgspec.Struct, kw_only=True):
    """A whole run. CPU shares are of one core, over the time in which load was driven; others are strangers."""

    version: str
    started_at: str
    quick: bool
    machine: Machine
    elapsed_s: float = 0
    server_cpu_s: float = 0
    generator_cpu_s: float = 0
    others_cpu_s: float = 0
    driven_s: float = 0
    figures: list[Figure] = []
    series: list[Series] = []
    failures: dict[str, str] = {}


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how often to measure."""

    round_s: float
    rounds: int
    starts: int
    storage_s: float

    @classmethod
    def of(cls, quick: bool) -> Pace:
        """The pace of a quick or a whole run."""
        if quick:
            return cls(round_s=1.2, rounds=1, starts=3, storage_s=0.5)
        return cls(round_s=4, rounds=3, starts=5, storage_s=1.5)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure and where to write. `only` names measurements; empty means all.

    `servers` says whether figures are measured that need servers to be started; None: in a whole run.
    """

    out: Path
    quick: bool = False
    only: tuple[str, ...] = ()
    servers: bool | None = None


Heard = Callable[[str, int, int], None]
"""Told what is measured now, and how many measurements of how many are done."""


def judge(goal: Goal, value: float, unexpected: dict[str, int]) -> str:
    """The verdict of a value under its goal."""
    if unexpected:
        return BROKEN
    if not goal.must:
        return TOLD
    sign = -1 if goal.less else 1
    if goal.reach and value * sign >= goal.reach * sign:
        return REACHED
    return MET if value * sign >= goal.must * sign else MISSED
