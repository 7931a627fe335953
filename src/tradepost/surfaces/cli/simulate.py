"""`tradepost simulate`: the whole platform on virtual time, with faults, invariants and a seed that replays."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tradepost.surfaces.cli.output import FAILED, console, errors, print_facts, print_json
from tradepost.surfaces.cli.progress import bar
from tradepost.testing.simulation import FAULTS, Report, run_steps
from tradepost.testing.simulation import simulate as run


def simulate(
    *,
    seed: int = 1,
    steps: int = 20_000,
    faults: str = "",
    shards: Literal[1, 4] = 1,
    json: bool = False,
    log: Path | None = None,
    replay: Path | None = None,
) -> None:
    """Run buyers, sellers, timers and a misbehaving provider against the platform, on virtual time and in memory.

    The same arguments give the same run, byte for byte. When an invariant breaks, the seed and the shortest list
    of steps that still breaks it are printed, and the exit code is 1.

    Parameters
    ----------
    seed
        Every choice, delay and fault follows from it.
    steps
        How many steps to take; every 2,500 a new town opens.
    faults
        Faults to inject, separated by commas: crash, duplicate, reorder, delay, provider_silent; or `all`.
    shards
        Virtual shards: 1, or 4 so that orders and stock lie apart.
    json
        Print the report as JSON.
    log
        Write one line per step to this file.
    replay
        Take the steps of this file, as a failure printed them, instead of drawing new ones.
    """
    chosen = _read_faults(faults)
    lines: list[str] = []
    with bar("simulating", steps, hidden=json) as show:

        def heard() -> None:
            show(advance=1)

        if replay is not None:
            report = run_steps(
                seed, replay.read_text("utf-8"), faults=chosen, shards=shards, log=lines.append
            )
        else:
            report = run(seed, steps, faults=chosen, shards=shards, heard=heard, log=lines.append)
    if log is not None:
        log.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    _tell(report, json=json)
    if report.failure is not None:
        raise SystemExit(FAILED)


def _read_faults(text: str) -> tuple[str, ...]:
    named = [name.strip() for name in text.split(",") if name.strip()]
    chosen = FAULTS if named == ["all"] else tuple(name for name in FAULTS if name in named)
    unknown = sorted(set(named) - {*FAULTS, "all"})
    if unknown:
        errors.print(f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}", markup=False)
        raise SystemExit(2)
    return chosen


def _tell(report: Report, *, json: bool) -> None:
    if json:
        print_json(report)
        return
    facts = {
        "seed": report.seed,
        "shards": report.shards,
        "faults": ", ".join(report.faults) or "none",
        "steps": report.steps,
        "days": report.days,
        "orders": report.orders,
        "crashes": report.crashes,
        "log sha256": report.log_sha256[:32],
        "invariants": "hold" if report.failure is None else "BROKEN",
    }
    print_facts("Simulation", facts)
    if report.failure is not None:
        for finding in report.failure.findings:
            console.print(finding, markup=False, highlight=False)
        console.print(
            f"seed {report.seed}, {len(report.failure.steps)} steps (put them in a file and --replay it):"
        )
        told = f"day={report.failure.day} {' '.join(report.failure.steps)}"
        console.print(told, markup=False, highlight=False, soft_wrap=True)
