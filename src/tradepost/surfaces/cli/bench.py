"""`tradepost bench`: every figure of the hot path in one run, as JSON and as a page with plots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tradepost.surfaces.cli.output import console, errors, print_json, print_table
from tradepost.surfaces.cli.progress import bar
from tradepost.testing.bench import MEASUREMENTS, ON_SERVERS, Bench, Figure, Options, run_bench, run_profile
from tradepost.testing.bench.charts import number

_COLORS = {"reach": "green", "must": "blue", "missed": "yellow", "told": "dim", "broken": "bold red"}


def bench(
    *,
    out: Path = Path("bench-out"),
    quick: bool = False,
    only: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    servers: bool | None = None,
    json: bool = False,
    profile: bool = False,
) -> None:
    """Measure every figure in one run; write bench.json and bench.html.

    A missed goal is shown and changes nothing in the exit code: a timing is no test. Measure on a machine that
    does nothing else; the page tells the load that was there before.

    Parameters
    ----------
    out
        Folder of bench.json and bench.html; the shops that are measured lie in it meanwhile.
    quick
        Short rounds, one of each: under 90 seconds instead of some twelve minutes.
    only
        Measure these alone: yardstick, place, capture, whole, sold-out, naive, connections, writers, storage,
        quote, promotions, ledger, coupon-race, quote-http, start, layers; on servers mariadb, mariadb-whole,
        mariadb-storage, overload, vitess, config, broker.
    servers
        Start MariaDB, Vitess and etcd for the figures that need them, where this machine can; a quick run leaves
        them out unless it is told.
    json
        Print the run as JSON.
    profile
        Measure nothing; show where the time of placing an order goes.
    """
    known = (*MEASUREMENTS, *ON_SERVERS)
    unknown = sorted(set(only) - set(known))
    if unknown:
        told = f"no such measurement: {', '.join(unknown)}; there are {', '.join(known)}"
        errors.print(told, markup=False)
        raise SystemExit(2)
    if profile:
        _show_profile(out, json=json)
        return
    with bar("preparing", hidden=json) as show:

        def heard(name: str, done: int, whole: int) -> None:
            show(description=name or "done", completed=done, total=whole)

        found = run_bench(Options(out=out, quick=quick, only=only, servers=servers), heard)
    if json:
        print_json(found)
    else:
        _tell(found, out)


def _tell(found: Bench, out: Path) -> None:
    print_table(
        f"Bench on {found.machine.cpu}, {found.machine.cores} cores, "
        f"{number(found.machine.fsync_per_s)} flushes a second",
        ("figure", "value", "must", "reach", "verdict", "p50 ms", "p99 ms"),
        [_row(figure) for figure in found.figures],
    )
    for series in found.series:
        rows = [(name, *[number(value) for value in line]) for name, line in series.lines.items()]
        print_table(f"{series.title}, {series.unit}", ("", *series.under), rows)
    for figure in found.figures:
        if figure.unexpected:
            errors.print(
                f"[bold red]{figure.title} is broken[/]: unexpected {figure.unexpected}", highlight=False
            )
    for name, why in found.failures.items():
        errors.print(f"[bold red]{name} could not be measured[/]: {why}", highlight=False)
    console.print(f"{found.elapsed_s:.0f} s; the page: {out / 'bench.html'}", highlight=False)


def _row(figure: Figure) -> tuple[str, ...]:
    goals = [number(goal, figure.unit) if goal else "" for goal in (figure.must, figure.reach)]
    color = _COLORS[figure.verdict]
    times = ("", "")
    if figure.latency is not None:
        times = (number(figure.latency.p50_us / 1000), number(figure.latency.p99_us / 1000))
    value = number(figure.value, figure.unit)
    return (figure.title, value, *goals, f"[{color}]{figure.verdict}[/]", *times)


def _show_profile(out: Path, *, json: bool) -> None:
    layers, text = run_profile(out)
    if json:
        print_json({"layers_us": {name: round(us, 1) for name, us in layers.items()}, "functions": text})
        return
    whole = sum(layers.values())
    rows = [(name, f"{us:.1f}", f"{us / whole:.0%}") for name, us in layers.items()]
    print_table(
        "One order in process, batches of 256",
        ("layer", "us", "share"),
        [*rows, ("together", f"{whole:.1f}", "")],
    )
    console.print(text, markup=False, highlight=False)
