"""One run of the bench: every measurement in order, what fails noted and the rest measured all the same."""

from __future__ import annotations

import functools
import gc
import pkgutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import msgspec

from tradepost import __version__
from tradepost.testing.bench.coupon_race import measure_coupon_race
from tradepost.testing.bench.driving import Tally
from tradepost.testing.bench.ground import Ground
from tradepost.testing.bench.in_process import measure_quotes, measure_storage
from tradepost.testing.bench.layers import Layers, measure_layers, profile_placing
from tradepost.testing.bench.machine import look_at_machine
from tradepost.testing.bench.model import Bench, Heard, Options, Pace
from tradepost.testing.bench.over_http import (
    Found,
    measure_capture,
    measure_connections,
    measure_naive,
    measure_placing,
    measure_quote_http,
    measure_sold_out,
    measure_whole,
    measure_writers,
)
from tradepost.testing.bench.page import render_page
from tradepost.testing.bench.postings import measure_postings
from tradepost.testing.bench.promoting import measure_promotions
from tradepost.testing.bench.shop import Shop
from tradepost.testing.bench.starting import measure_starts
from tradepost.testing.bench.yardstick import measure_yardstick

MEASUREMENTS: dict[str, Callable[[Shop, Tally, Pace], Found]] = {
    "yardstick": measure_yardstick,
    "place": measure_placing,
    "capture": measure_capture,
    "whole": measure_whole,
    "sold-out": measure_sold_out,
    "naive": measure_naive,
    "connections": measure_connections,
    "writers": measure_writers,
    "storage": measure_storage,
    "ledger": measure_postings,
    "quote": measure_quotes,
    "promotions": measure_promotions,
    "coupon-race": measure_coupon_race,
    "quote-http": measure_quote_http,
    "start": measure_starts,
    "layers": measure_layers,
}
"""What `--only` names, in the order in which it is measured."""

_HOME = "tradepost.testing.bench"
_MYSQL, _BROKER = ("pymysql",), ("pymysql", "rocketmq")
ON_SERVERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mariadb": (f"{_HOME}.on_servers:measure_mariadb", _MYSQL),
    "mariadb-whole": (f"{_HOME}.on_servers:measure_mariadb_whole", _MYSQL),
    "mariadb-storage": (f"{_HOME}.on_servers:measure_storage_port", _MYSQL),
    "overload": (f"{_HOME}.overload:measure_overload", _MYSQL),
    "vitess": (f"{_HOME}.on_servers:measure_vitess", _MYSQL),
    "config": (f"{_HOME}.on_servers:measure_config_push", ()),
    "broker": (f"{_HOME}.over_broker:measure_broker", _BROKER),
}
"""The same for what needs servers, which are started here where they can be, and the clients it needs for them. It is
imported when its turn comes: whoever has only the clients of a file measures that."""
SERVERS_MAX_S = 900.0
"""After so long no further figure on servers is begun."""

PREPARING = "preparing the shop"


def run_bench(options: Options, heard: Heard) -> Bench:
    """Measure, then write bench.json and bench.html into the folder `out`. A missed goal is no failure.

    A figure whose servers cannot be started here, or whose clients are not installed, is named with the reason among
    the failures.
    """
    _rest_collector()
    options.out.mkdir(parents=True, exist_ok=True)
    began, tally = time.monotonic(), Tally()
    chosen = chosen_of(options)
    pace = Pace.of(options.quick)
    with tempfile.TemporaryDirectory(prefix="data-", dir=options.out) as folder:
        bench = Bench(
            version=__version__,
            started_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            quick=options.quick,
            machine=look_at_machine(Path(folder), 0.5 if options.quick else 2),
        )
        heard(PREPARING, 0, len(chosen))
        shop = functools.cache(lambda: Shop(Path(folder)))
        ground = Ground(Path(folder))
        try:
            for number, name in enumerate(chosen):
                heard(name, number, len(chosen))
                try:
                    if name in MEASUREMENTS:
                        figures, series = MEASUREMENTS[name](shop(), tally, pace)
                    elif time.monotonic() - began > SERVERS_MAX_S:
                        raise TimeoutError(f"the run had taken {SERVERS_MAX_S:.0f} s already")
                    else:
                        figures, series = _measure_on_servers(name, ground, tally, pace)
                except Exception as error:
                    bench.failures[name] = f"{type(error).__name__}: {error}"[:500]
                else:
                    bench.figures += figures
                    bench.series += series
                _sum_up(bench, tally, time.monotonic() - began)
                write_bench(bench, options.out)  # a run that is cut off leaves what it has
        finally:
            ground.close()
    heard("", len(chosen), len(chosen))
    _sum_up(bench, tally, time.monotonic() - began)
    write_bench(bench, options.out)
    return bench


def _measure_on_servers(name: str, ground: Ground, tally: Tally, pace: Pace) -> Found:
    path, clients = ON_SERVERS[name]
    lacking = [client for client in clients if find_spec(client) is None]
    if lacking:
        told = (
            f"it needs the production set, for {' and '.join(lacking)}: pip install 'tradepost[production]'"
        )
        raise ImportError(told)
    measure: Callable[[Ground, Tally, Pace], Found] = pkgutil.resolve_name(path)
    return measure(ground, tally, pace)


def _sum_up(bench: Bench, tally: Tally, elapsed_s: float) -> None:
    bench.elapsed_s = round(elapsed_s, 1)
    bench.server_cpu_s = round(tally.server_cpu_s, 2)
    bench.generator_cpu_s = round(tally.generator_cpu_s, 2)
    bench.others_cpu_s = round(tally.others_cpu_s, 2)
    bench.driven_s = round(tally.driven_s, 2)


def chosen_of(options: Options) -> list[str]:
    """The names of what is measured, in order."""
    with_servers = not options.quick if options.servers is None else options.servers
    every = [*MEASUREMENTS, *(ON_SERVERS if with_servers else ())]
    return [name for name in (*MEASUREMENTS, *ON_SERVERS) if name in (options.only or every)]


def write_bench(bench: Bench, out: Path) -> None:
    """Write both files."""
    text = msgspec.json.format(msgspec.json.encode(bench), indent=2)
    (out / "bench.json").write_bytes(text + b"\n")
    (out / "bench.html").write_text(render_page(bench), "utf-8")


def _rest_collector() -> None:
    """Collect garbage as rarely as the server does, or figures of this process would look worse than its own."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def run_profile(out: Path) -> tuple[Layers, str]:
    """Where the time of placing goes: microseconds of one order by layer, and the busiest functions."""
    _rest_collector()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="data-", dir=out) as folder:
        return profile_placing(Shop(Path(folder)))
