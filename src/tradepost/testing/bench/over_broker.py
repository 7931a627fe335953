"""How long an event takes from its order to its consumers through RocketMQ, in the whole shop at a steady rate."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from tradepost.app import open_reader
from tradepost.kernel.tx import Tx
from tradepost.settings import Settings
from tradepost.testing.bench import asking
from tradepost.testing.bench.driving import Driven, Tally, answers_of, send
from tradepost.testing.bench.goals import make_figure
from tradepost.testing.bench.ground import Ground
from tradepost.testing.bench.model import Pace
from tradepost.testing.bench.over_http import PLACED, Found
from tradepost.testing.bench.shop import RULES_ON, Served, settings_of
from tradepost.testing.torture.shop import START_S, ShopLost, ShopProcess, free_port, pause

RATE = 200
WARM_S = 20.0
"""A broker that was started just now is still compiling itself: a shop's has run for days."""
CONNECTIONS = 32
DRAIN_S = 60.0
STEP_S = 0.1
ROWS_MAX = 500_000
_UNPAID = "SELECT COUNT(*) FROM orders WHERE state = ?"


def measure_broker(ground: Ground, tally: Tally, pace: Pace) -> Found:
    """One API process and one work process on MariaDB, orders placed and paid at 200 a second."""
    shop = ground.shop("mariadb")
    settings = settings_of(shop.template, shop.database)
    with _serving(ground) as server:
        _orders(server, WARM_S)
        rounds = []
        for _ in range(pace.rounds):
            since_ms = time.time_ns() // 1_000_000
            unpaid = server.count(_UNPAID, ["UNPAID"])  # other figures' orders, which nobody pays
            driven = tally.note(_orders(server, pace.round_s))
            drain_s = _drain(server, unpaid)
            rounds.append((driven, drain_s, _delays(settings, since_ms)))
    medians = [_share(delays, 0.5) for _, _, delays in rounds]
    _, drain_s, delays = sorted(rounds, key=lambda one: _share(one[2], 0.5))[len(rounds) // 2]
    placed = [answers_of(driven.load) for driven, _, _ in rounds]
    details = {
        "p90_ms": _share(delays, 0.9),
        "p99_ms": _share(delays, 0.99),
        "max_ms": float(delays[-1]),
        "consumed": float(len(delays)),
        "orders_per_s": round(rounds[-1][0].per_second, 1),
        "drain_s": round(drain_s, 2),
    }
    note = (
        f"{RATE} orders a second over HTTP, paid in the same call, in an open loop; one API and one work process,"
        f" durable MariaDB and broker. From the moment of the event, just before its commit, until its consumer"
        f" begins; every consumer counts. p99 {details['p99_ms']:.0f} ms."
    )
    unexpected = {what: count for answers in placed for what, count in answers.items() if what not in PLACED}
    return [make_figure("broker_event", medians, details=details, unexpected=unexpected, note=note)], []


@contextlib.contextmanager
def _serving(ground: Ground) -> Iterator[Served]:
    """An API process that only answers and a process that works, both ended after."""
    shop = ground.shop("mariadb")
    environment = {
        **RULES_ON,
        "TRADEPOST_STORAGE__URL": shop.database,
        "TRADEPOST_MESSAGING__URL": ground.url("rocketmq"),
        "TRADEPOST_SERVER__WORKS_ELSEWHERE": "true",
        "TRADEPOST_TELEMETRY__PROVE_EVERY_MS": "0",
    }
    process = ShopProcess(shop.template, free_port(random.Random()), writer="thread", environment=environment)
    server = Served(process, shop.plan, shop.database)
    try:
        process.start()
        with _working(server, environment):
            yield server
    finally:
        process.stop()


@contextlib.contextmanager
def _working(server: Served, environment: Mapping[str, str]) -> Iterator[None]:
    folder = server.process.folder
    command = [sys.executable, "-m", "tradepost.surfaces.cli", "work", "--data-dir", str(folder)]
    with (folder / "work.log").open("ab") as log:
        worker = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment, "TRADEPOST_MODE": "demo"},
        )
    try:
        began = time.monotonic()
        while not _reads(server.process.port):
            if worker.poll() is not None or time.monotonic() - began > START_S:
                words = (folder / "work.log").read_text()[-1500:]
                raise ShopLost(f"the work process does not read: {words}")
            pause(STEP_S)
        yield
    finally:
        worker.terminate()
        try:
            worker.wait(START_S)
        finally:
            worker.kill()


def _reads(port: int) -> bool:
    """Whether every subscription of the work process is a member of its group."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    reading, wanted = (
        sum(float(value) for value in re.findall(rf"^tradepost_{name}(?:{{.*}})? (\S+)$", text, re.M))
        for name in ("messaging_groups_reading", "messaging_groups")
    )
    return reading == wanted > 0


def _orders(server: Served, seconds: float) -> Driven:
    plan = server.plan
    requests = asking.place_requests(plan, plan.baskets, confirm=True, count=int(seconds * RATE * 1.1) + 1)
    return send(server, requests, connections=CONNECTIONS, seconds=seconds, rate=RATE)


def _drain(server: Served, before: int) -> float:
    """Seconds until none but the unpaid orders of before waits for its payment's event, and nothing is owed."""
    began = time.perf_counter()
    while time.perf_counter() - began < DRAIN_S:
        unpaid = server.count(_UNPAID, ["UNPAID"])
        if unpaid <= before and not server.count("SELECT COUNT(*) FROM deliveries"):
            break
        pause(STEP_S)
    pause(1.0)  # consumers that nobody can see waiting, such as the seller's view
    return time.perf_counter() - began


def _delays(settings: Settings, since_ms: int) -> list[int]:
    """Milliseconds from every event since a moment to each of its consumers, in order of length."""
    reader = open_reader(settings)
    try:
        return sorted(
            delay for shard in range(reader.shards) for delay in reader.read(shard, _pairs, since_ms)
        )
    finally:
        reader.close()


def _pairs(tx: Tx, since_ms: int) -> list[int]:
    events = tx.query(
        "SELECT aggregate_id, version, at_ms FROM events WHERE at_ms >= ? LIMIT ?", (since_ms, ROWS_MAX)
    )
    began = {f"{row[0]}.{row[1]}": row[2] for row in events}
    noted = tx.query("SELECT event_id, at_ms FROM inbox WHERE at_ms >= ? LIMIT ?", (since_ms, ROWS_MAX))
    return [row[1] - began[row[0]] for row in noted if row[0] in began]


def _share(delays: Sequence[int], share: float) -> float:
    """The delay that so many of them do not exceed; raises ShopLost when nothing was consumed."""
    if not delays:
        raise ShopLost("no event reached a consumer")
    return float(delays[min(len(delays) - 1, int(len(delays) * share))])
