"""A run: as many days as its steps need, each with a seed of its own, until one of them fails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import msgspec

from tradepost.testing.simulation.day import Day, DayReport, run_day
from tradepost.testing.simulation.shrink import shrink
from tradepost.testing.simulation.steps import Step, draw_steps, read_steps
from tradepost.testing.simulation.storage import FragileEngine
from tradepost.testing.simulation.weather import FAULTS

DAY_STEPS = 2_500
SHRINK_STEPS = 40_000


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, and the shortest way there that was found. `day` is the seed of the day."""

    day: str
    findings: tuple[str, ...]
    steps: tuple[str, ...]


class Report(msgspec.Struct, kw_only=True):
    """What came of a run. `log_sha256` is the same for the same arguments."""

    seed: int
    shards: int
    faults: tuple[str, ...]
    steps: int = 0
    days: int = 0
    orders: int = 0
    crashes: int = 0
    outcomes: dict[str, int] = {}
    log_sha256: str = ""
    failure: Failure | None = None


def simulate(
    seed: int,
    steps: int,
    *,
    faults: Sequence[str] = FAULTS,
    shards: int = 1,
    engine: Callable[[int, int], FragileEngine] = FragileEngine,
    heard: Callable[[], None] = lambda: None,
    log: Callable[[str], None] = lambda line: None,
    shrink_steps: int = SHRINK_STEPS,
) -> Report:
    """Run buyers, sellers, timers and a misbehaving provider against the whole platform for so many steps.

    Long runs are days of 2,500 steps, each on a fresh town, so that step 200,000 costs what step 1,000 does; the
    seed of a day is `<seed>/<number>`. `heard` is called after each step, `log` with each line.
    """
    report = Report(seed=seed, shards=shards, faults=tuple(faults), outcomes={})
    digest = hashlib.sha256()
    while report.steps < steps and report.failure is None:
        count = min(DAY_STEPS, steps - report.steps)
        name = f"{seed}/{report.days}"
        drawn = tuple(draw_steps(name, count, faults))
        day = Day(seed=name, shards=shards, faults=tuple(faults), steps=drawn, engine=engine)
        lived = run_day(day, heard)
        for line in lived.log:
            digest.update(line.encode() + b"\n")
            log(line)
        _add(report, lived)
        if lived.failures:
            report.failure = _explain(day, lived, shrink_steps)
    report.log_sha256 = digest.hexdigest()
    return report


def run_steps(
    seed: int,
    text: str,
    *,
    faults: Sequence[str] = FAULTS,
    shards: int = 1,
    day: str = "",
    log: Callable[[str], None] = lambda line: None,
) -> Report:
    """Run a printed list of steps, as a failure shows it, in the town of `day` (the seed's first by default).

    A first word `day=<name>` in the text names the day too. Raises ValueError for what is no list of steps.
    """
    words = text.split()
    if words and words[0].startswith("day="):
        day = words.pop(0).partition("=")[2]
    report = Report(seed=seed, shards=shards, faults=tuple(faults), outcomes={})
    steps = tuple(read_steps(" ".join(words)))
    lived = run_day(Day(seed=day or f"{seed}/0", shards=shards, faults=tuple(faults), steps=steps))
    for line in lived.log:
        log(line)
    report.log_sha256 = hashlib.sha256("".join(f"{line}\n" for line in lived.log).encode()).hexdigest()
    _add(report, lived)
    if lived.failures:
        report.failure = Failure(
            day=day or f"{seed}/0",
            findings=tuple(lived.failures),
            steps=tuple(str(step) for step in steps),
        )
    return report


def _add(report: Report, lived: DayReport) -> None:
    report.days += 1
    report.steps += lived.steps
    report.orders += lived.orders
    report.crashes += lived.crashes
    for outcome, count in lived.outcomes.items():
        report.outcomes[outcome] = report.outcomes.get(outcome, 0) + count


def _explain(day: Day, lived: DayReport, steps_max: int) -> Failure:
    kind = lived.failures[0].partition(":")[0]

    def fails(steps: Sequence[Step]) -> bool:
        again = run_day(msgspec.structs.replace(day, steps=tuple(steps)))
        return any(finding.partition(":")[0] == kind for finding in again.failures)

    shortest = shrink(day.steps[: lived.steps], fails, steps_max=steps_max)
    return Failure(day=day.seed, findings=tuple(lived.failures), steps=tuple(str(step) for step in shortest))
