"""The simulation can see: each planted bug is found within a few seeds, and without it the same seeds are clean."""

from __future__ import annotations

import pytest
from tests.simulation.planted import PLANTS

from tradepost.testing.simulation import Report, simulate

SEEDS = range(1, 6)
STEPS = 1_000
SEEDS_LONG = range(1, 21)
STEPS_LONG = 2_000


def find(
    patch: pytest.MonkeyPatch, plant: str, shards: int, seeds: range, steps: int, shrink_steps: int
) -> Report | None:
    """The first run that fails with a bug planted."""
    with patch.context() as planted:
        engine = PLANTS[plant](planted)
        for seed in seeds:
            report = simulate(seed, steps, shards=shards, engine=engine, shrink_steps=shrink_steps)
            if report.failure is not None:
                return report
    return None


@pytest.mark.parametrize("plant", PLANTS)
def test_planted_bug_is_found(plant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    report = find(monkeypatch, plant, 1, SEEDS, STEPS, shrink_steps=8_000)
    assert report is not None
    assert report.failure is not None
    assert len(report.failure.steps) < STEPS
    assert simulate(report.seed, STEPS).failure is None


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("plant", PLANTS)
def test_planted_bug_is_found_on_many_seeds(plant: str, shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The long form: each of twenty seeds is tried, and at least three quarters of them see the bug alone."""
    seen = [
        seed
        for seed in SEEDS_LONG
        if find(monkeypatch, plant, shards, range(seed, seed + 1), STEPS_LONG, shrink_steps=0) is not None
    ]
    assert len(seen) >= len(SEEDS_LONG) * 3 // 4
