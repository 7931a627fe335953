"""Ten times more than the shop may take: what is placed, how soon the others are told, how soon it is over."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tradepost.testing.bench import asking
from tradepost.testing.bench.driving import Driven, Tally, answers_of, send
from tradepost.testing.bench.goals import make_figure
from tradepost.testing.bench.ground import Ground
from tradepost.testing.bench.model import Figure, Pace
from tradepost.testing.bench.over_http import Found
from tradepost.testing.bench.shop import Served
from tradepost.testing.load import run_load
from tradepost.testing.torture.shop import KEYS, pause

CAP_PER_S = 1_000
OFFERED_PER_S = 10_000
FLOOD_S = 30.0
QUICK_FLOOD_S = 5.0
CONNECTIONS = 640
"""More than may be under way (admission's first limit is 288): else orders that wait for their commit hold every
connection, and those to be refused queue in the load driver, whose own queue would be measured."""
SHED = "admission.shed"
CAPACITY = "/v1/config/keys/admission.capacity_per_s"
CALM_PER_S = 200
CALM_S = 0.5
CALM_P99_US = 100_000
RECOVERY_MAX_S = 20.0
FELT_S = 0.2


def measure_overload(ground: Ground, tally: Tally, pace: Pace) -> Found:
    """The capacity is set by config; then a crowd in an open model asks for ten times of it."""
    shop = ground.shop("mariadb")
    flood_s = QUICK_FLOOD_S if pace.rounds == 1 else FLOOD_S
    count = int(OFFERED_PER_S * flood_s) + 1
    with shop.serving() as server, _capped(server):
        calm = asking.place_requests(shop.plan, shop.plan.baskets, count=CAP_PER_S)
        send(server, calm, rate=CAP_PER_S / 2)
        requests = asking.place_requests(shop.plan, shop.plan.baskets, count=count)
        driven = tally.note(
            send(server, requests, seconds=flood_s, rate=OFFERED_PER_S, connections=CONNECTIONS)
        )
        overhang_s = max(driven.load.elapsed_s - flood_s, 0)
        recovery_s = overhang_s + _recover(server)
    return _figures(driven, flood_s, recovery_s), []


def _figures(driven: Driven, flood_s: float, recovery_s: float) -> list[Figure]:
    load, answers = driven.load, answers_of(driven.load)
    unexpected = {what: count for what, count in answers.items() if what not in ("201", SHED)}
    goodput = 100 * answers.get("201", 0) / (CAP_PER_S * flood_s)
    answered = 100 * load.answered / (OFFERED_PER_S * flood_s)
    note = (
        f"{OFFERED_PER_S:,}/s offered for {flood_s:.0f} s over {CONNECTIONS} connections, the cap at"
        f" {CAP_PER_S:,}/s, on MariaDB."
    )
    late = f"Latency counts from the intended start; {answered:.0f} % of the requests were sent and answered."
    return [
        make_figure("overload_goodput", [goodput], answers=dict(answers), unexpected=unexpected, note=note),
        make_figure("overload_refusals", [load.refused.p99_us / 1000], latency=load.refused, note=late),
        make_figure(
            "overload_answered", [answered], details={"answered_per_s": load.per_second}, latency=load.latency
        ),
        make_figure("overload_recovery", [recovery_s], note=_CALM),
    ]


_CALM = f"Until half a second of {CALM_PER_S} orders/s is placed whole, p99 under {CALM_P99_US // 1000} ms."


def _recover(server: Served) -> float:
    """Seconds until placing is as before; the bound where it never is."""
    began, plan = time.perf_counter(), server.plan
    count = int(CALM_PER_S * CALM_S)
    while (waited := time.perf_counter() - began) < RECOVERY_MAX_S:
        requests = asking.place_requests(plan, plan.baskets, count=count)
        load = run_load(server.process.port, requests, connections=32, rate=CALM_PER_S, codes=True)
        if load.statuses == {"201": count} and load.latency.p99_us < CALM_P99_US:
            return waited
    return RECOVERY_MAX_S


@contextmanager
def _capped(server: Served) -> Iterator[None]:
    """The capacity set through the admin API, and taken back after."""
    _set_capacity(server, CAP_PER_S)
    try:
        yield
    finally:
        _set_capacity(server, 0)


def _set_capacity(server: Served, per_s: int) -> None:
    seen = _ask(server, "GET")["version"]
    _ask(server, "PUT", {"seen_version": seen, "reason": "bench", "value": per_s}, f"bench-capacity-{seen}")
    while _ask(server, "GET")["value"] != per_s:
        pause(0.01)
    pause(FELT_S)  # admission reads its terms every 20 ms


def _ask(server: Served, method: str, body: object = None, key: str = "") -> dict[str, object]:
    headers = {"Authorization": f"Bearer {KEYS['operator']}", "Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = f"{key}-{time.time_ns()}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.process.port}{CAPACITY}", data, headers, method=method
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own server
        found: dict[str, object] = json.loads(answer.read())
    return found
