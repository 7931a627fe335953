"""The whole platform under every fault: no invariant broken, and the same seed is the same run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tradepost.testing.simulation import FAULTS, run_steps, simulate
from tradepost.testing.simulation.shrink import shrink
from tradepost.testing.simulation.steps import WEIGHTS, Step, draw_steps, read_steps

STEPS = 3_000


@pytest.mark.parametrize("shards", [1, 4])
def test_no_invariant_breaks_under_all_faults(shards: int) -> None:
    report = simulate(1, STEPS, shards=shards)
    assert report.failure is None
    assert report.steps == STEPS
    assert report.crashes > STEPS // 200
    done = {name.partition(" ")[0] for name in report.outcomes if name.endswith(" done")}
    assert done == set(WEIGHTS)


def test_no_invariant_breaks_in_calm_weather() -> None:
    report = simulate(2, 600, faults=())
    assert report.failure is None
    assert report.crashes == 0


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shards", [1, 4])
def test_no_invariant_breaks_in_a_long_run(shards: int) -> None:
    assert simulate(7, 200_000, shards=shards).failure is None


def log_of(seed: int, shards: int, hash_seed: str) -> str:
    script = f"from tradepost.testing.simulation import simulate; simulate({seed}, 400, shards={shards}, log=print)"
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    return run.stdout


@pytest.mark.parametrize("shards", [1, 4])
def test_same_seed_writes_the_same_log_byte_by_byte(shards: int) -> None:
    first = log_of(5, shards, "1")
    assert first.count("\n") == 400
    assert first == log_of(5, shards, "2")
    assert first != log_of(6, shards, "1")


def test_steps_are_read_as_they_are_printed() -> None:
    steps = draw_steps("1/0", 50, FAULTS)
    assert read_steps(" ".join(str(step) for step in steps)) == steps
    with pytest.raises(ValueError, match="no step"):
        read_steps("fly:1")


def test_without_crashes_nothing_is_drawn_that_crashes() -> None:
    kinds = {step.kind for step in draw_steps("1/0", 5_000, ("delay",))}
    assert kinds == set(WEIGHTS) - {"crash", "cut", "lose", "rewind"}


def test_a_printed_list_runs_again() -> None:
    text = "day=3/0 " + " ".join(str(step) for step in draw_steps("3/0", 120, FAULTS))
    report = run_steps(3, text)
    assert report.failure is None
    assert report.steps == 120
    assert report.log_sha256 == simulate(3, 120).log_sha256


def test_shrinking_finds_the_two_steps_that_matter() -> None:
    steps = [Step("jump", number) for number in range(200)]
    culprits = {steps[31], steps[177]}
    found = shrink(steps, lambda some: culprits <= set(some), steps_max=100_000)
    assert found == [steps[31], steps[177]]


def test_shrinking_stops_when_its_budget_is_spent() -> None:
    steps = [Step("jump", number) for number in range(200)]
    tried: list[int] = []

    def fails(some: object) -> bool:
        tried.append(1)
        return False

    assert shrink(steps, fails, steps_max=500) == steps
    assert len(tried) < 6
