"""The yardstick: a bare answer from the same HTTP server under the same load, to tell a slow hour from slow code."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

from tradepost.testing.bench import asking
from tradepost.testing.bench.driving import CONNECTIONS, Tally, answers_of, run_driver
from tradepost.testing.bench.goals import make_figure
from tradepost.testing.bench.model import Pace
from tradepost.testing.bench.over_http import Found
from tradepost.testing.bench.shop import Shop
from tradepost.testing.torture.shop import free_port, pause
from tradepost.testing.wire import write_requests

SERVER = "tradepost.testing.bench.bare_server"
START_S = 10.0
SHORT_S = 1.5


def measure_yardstick(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """Answer `ok` to the bytes of an order."""
    path = shop.folder / "yardstick.bin"
    write_requests(path, asking.place_requests(shop.plan, shop.plan.baskets, count=1))
    port = free_port(random.Random())
    with _serving(port):
        rounds = [
            run_driver(port, ["--requests", str(path), "--repeat"], CONNECTIONS, min(pace.round_s, SHORT_S))
            for _ in range(pace.rounds)
        ]
    middle = sorted(rounds, key=lambda load: load.per_second)[len(rounds) // 2]
    answers: Counter[str] = sum((answers_of(load) for load in rounds), Counter())
    note = "A bare ASGI answer to the same bytes, same server and driver: what the machine gave in this hour."
    figure = make_figure(
        "yardstick",
        [load.per_second for load in rounds],
        latency=middle.latency,
        answers=dict(answers),
        details={"generator_cpu_share": middle.cpu_share},
        note=note,
    )
    return [figure], []


@contextlib.contextmanager
def _serving(port: int) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", SERVER, str(port)])  # noqa: S603 - our own module
    try:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            pause(0.02)
        yield
    finally:
        process.terminate()
        process.wait()
