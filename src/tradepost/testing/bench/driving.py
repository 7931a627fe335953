"""Rounds of load on a running server: the driver in a process of its own, CPU counted on both sides."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import msgspec

from tradepost.testing.bench.goals import make_figure
from tradepost.testing.bench.machine import busy_seconds
from tradepost.testing.bench.model import Figure
from tradepost.testing.bench.shop import Served
from tradepost.testing.histogram import Latency
from tradepost.testing.load import LoadReport
from tradepost.testing.wire import write_requests

CONNECTIONS = 256
_LOAD = (sys.executable, "-m", "tradepost.testing.load", "--codes", "--port")


class Driven(msgspec.Struct, frozen=True, kw_only=True):
    """One round. `extra_s` had to be waited for after the last answer; `others_cpu_s` is the CPU time of strangers."""

    load: LoadReport
    server_cpu_s: float
    others_cpu_s: float = 0
    extra_s: float = 0
    done: int = 0

    @property
    def per_second(self) -> float:
        """What was done a second, the waiting after included."""
        return (self.done or self.load.answered) / (self.load.elapsed_s + self.extra_s)


class Tally:
    """CPU and time of every round so far."""

    def __init__(self) -> None:
        self.server_cpu_s = self.generator_cpu_s = self.others_cpu_s = self.driven_s = 0.0

    def note(self, driven: Driven) -> Driven:
        """Count one round."""
        self.server_cpu_s += driven.server_cpu_s
        self.generator_cpu_s += driven.load.cpu_s
        self.others_cpu_s += driven.others_cpu_s
        self.driven_s += driven.load.elapsed_s
        return driven


def send(
    server: Served,
    requests: Iterable[bytes],
    *,
    connections: int = CONNECTIONS,
    seconds: float = 0,
    rate: float = 0,
) -> Driven:
    """Send these requests, for so many seconds at most; with a `rate` so many a second, answered or not."""
    path = server.process.folder / "requests.bin"
    write_requests(path, requests)
    options = ["--requests", str(path), *(["--rate", str(rate)] if rate else [])]
    return _drive(server, options, connections, seconds)


def repeat(server: Served, request: bytes, *, connections: int, seconds: float) -> Driven:
    """Send the same request again and again."""
    path = server.process.folder / "requests.bin"
    write_requests(path, [request])
    return _drive(server, ["--requests", str(path), "--repeat"], connections, seconds)


def talk(server: Served, source: str, environment: Mapping[str, str], seconds: float) -> Driven:
    """Hold the conversations of `module:function`."""
    return _drive(server, ["--conversations", source], CONNECTIONS, seconds, environment)


def _drive(
    server: Served,
    options: Sequence[str],
    connections: int,
    seconds: float,
    environment: Mapping[str, str] | None = None,
) -> Driven:
    cpu_s, busy_s, own = server.cpu_s(), busy_seconds(), resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    load = run_driver(server.process.port, options, connections, seconds, environment)
    server_cpu_s, now = server.cpu_s() - cpu_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    driver_cpu_s = now.ru_utime + now.ru_stime - own.ru_utime - own.ru_stime
    others_s = max(busy_seconds() - busy_s - server_cpu_s - driver_cpu_s, 0)
    # the driver's own start lies in between: what strangers took is told for the time of the load alone
    others_s *= load.elapsed_s / (time.perf_counter() - began)
    return Driven(load=load, server_cpu_s=server_cpu_s, others_cpu_s=others_s)


def run_driver(
    port: int,
    options: Sequence[str],
    connections: int,
    seconds: float,
    environment: Mapping[str, str] | None = None,
) -> LoadReport:
    """One run of the load driver in a process of its own."""
    command = [*_LOAD, str(port), "--connections", str(connections), *options]
    if seconds:
        command += ["--seconds", str(seconds)]
    done = subprocess.run(  # noqa: S603 - our own module
        command, check=True, stdout=subprocess.PIPE, env={**os.environ, **(environment or {})}
    )
    return msgspec.json.decode(done.stdout, type=LoadReport)


def figure_of(name: str, rounds: Sequence[Driven], expected: Sequence[str], *, note: str = "") -> Figure:
    """The figure of these rounds: the median rate, with the latencies of the round that had it."""
    answers = sum((answers_of(driven.load) for driven in rounds), Counter())
    middle = sorted(rounds, key=lambda driven: driven.per_second)[len(rounds) // 2]
    latency: Latency = middle.load.conversations if middle.load.conversations.count else middle.load.latency
    each_us = [driven.server_cpu_s * 1e6 / (driven.done or driven.load.answered or 1) for driven in rounds]
    return make_figure(
        name,
        [driven.per_second for driven in rounds],
        latency=latency,
        answers=dict(answers),
        unexpected={what: count for what, count in answers.items() if what not in expected},
        details={
            "server_cpu_us_each": round(median(each_us), 1),
            "server_cpu_share": round(middle.server_cpu_s / middle.load.elapsed_s, 3),
            "generator_cpu_share": middle.load.cpu_share,
            "others_cpu_share": round(middle.others_cpu_s / middle.load.elapsed_s, 3),
        },
        note=note,
    )


def answers_of(load: LoadReport) -> Counter[str]:
    """Successes by status, refusals by code, requests without an answer by cause."""
    good = {status: count for status, count in load.statuses.items() if status < "400"}
    untold = sum(load.statuses.values()) - sum(good.values()) - sum(load.codes.values())
    told = {**good, **load.codes, **load.failures, "refused without a code": untold}
    return Counter({what: count for what, count in told.items() if count})
