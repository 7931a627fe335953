"""The figures that a client sees: orders, captures, refusals and whole checkouts over HTTP."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from tradepost.testing.bench import asking
from tradepost.testing.bench.driving import (
    CONNECTIONS,
    Driven,
    Tally,
    answers_of,
    figure_of,
    repeat,
    send,
    talk,
)
from tradepost.testing.bench.goals import make_figure
from tradepost.testing.bench.model import Figure, Pace, Series
from tradepost.testing.bench.shop import Basket, Served, Shop
from tradepost.testing.torture import rows
from tradepost.testing.torture.shop import pause

PLACED = ("201",)
SOLD_OUT = "inventory.sold_out"
WARM_UP = 2_000
DRAIN_S = 30.0
SWEEP = (16, 64, 256)
Found = tuple[list[Figure], list[Series]]
UNPAID = "UNPAID"
_UNPAID = "SELECT COUNT(*) FROM orders WHERE state = ?"


class Stand:
    """One server under load. The first requests warm it up and tell how many the rounds will need."""

    def __init__(self, server: Served, tally: Tally, pace: Pace) -> None:
        self.server = server
        self._tally = tally
        self._pace = pace
        self._rate = 0.0

    def round(
        self, baskets: Sequence[Basket], *, confirm: bool = False, connections: int = CONNECTIONS
    ) -> Driven:
        """Place orders of these baskets for one round."""
        plan = self.server.plan
        if not self._rate:
            warm = asking.place_requests(plan, baskets, confirm=confirm, count=WARM_UP)
            self._rate = send(self.server, warm).load.per_second
        count = int(self._rate * self._pace.round_s * 2) + 1_000
        requests = asking.place_requests(plan, baskets, confirm=confirm, count=count)
        driven = send(self.server, requests, connections=connections, seconds=self._pace.round_s)
        self._rate = max(self._rate, driven.load.per_second)
        return self._tally.note(driven)


def measure_placing(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """Spread and hot in turns on one server, so that both see the same machine."""
    plan = shop.plan
    with shop.serving() as server:
        stand = Stand(server, tally, pace)
        pairs = [(stand.round(plan.baskets), stand.round([plan.hot])) for _ in range(pace.rounds)]
    ratios = [hot.per_second / spread.per_second for spread, hot in pairs]
    return [
        figure_of(
            "place_spread",
            [spread for spread, _ in pairs],
            PLACED,
            note="Two lines of one seller, 1,000 offers, 20,000 buyers, every rule on, not paid yet.",
        ),
        figure_of("place_hot", [hot for _, hot in pairs], PLACED, note="The same two offers for everybody."),
        make_figure("hot_over_spread", ratios, note="Rounds in turns on one server."),
    ], []


def measure_naive(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """The same requests with one commit for each."""
    with shop.serving(group_max=1) as server:
        stand = Stand(server, tally, pace)
        rounds = [stand.round(shop.plan.baskets) for _ in range(pace.rounds)]
    return [figure_of("place_naive", rounds, PLACED, note="storage.group_max = 1")], []


def measure_capture(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """Buy now with the payment confirmed in the same call."""
    with shop.serving() as server:
        stand = Stand(server, tally, pace)
        rounds = [stand.round(shop.plan.baskets, confirm=True) for _ in range(pace.rounds)]
    note = "Sandbox provider; the answer tells the captured payment, its ledger entries committed."
    return [figure_of("place_capture", rounds, PLACED, note=note)], []


def measure_sold_out(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """Everybody wants what is gone."""
    with shop.serving() as server:
        stand = Stand(server, tally, pace)
        warm = send(server, asking.place_requests(shop.plan, [shop.plan.scarce], count=WARM_UP))
        sold = answers_of(warm.load).get("201", 0)
        rounds = [stand.round([shop.plan.scarce]) for _ in range(pace.rounds)]
    note = f"The last {sold} pieces were sold in the warm-up. Each refusal looks for an earlier order of its key."
    return [figure_of("sold_out", rounds, (SOLD_OUT,), note=note)], []


def measure_whole(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """Cart, quote, place and pay, until the captured event is consumed; the backlog's time counts."""
    rounds: list[Driven] = []
    with shop.serving() as server:
        path = server.process.folder / "plan.json"
        asking.write_plan(shop.plan, path)
        source = f"{asking.__name__}:conversations"
        talk(server, source, {asking.PLAN_FILE: str(path)}, 1)
        for _ in range(pace.rounds):
            before, cpu_s = _paid(server), server.cpu_s()
            driven = tally.note(talk(server, source, {asking.PLAN_FILE: str(path)}, pace.round_s))
            drain_s = _drain(server)
            drained = {
                "extra_s": drain_s,
                "done": _paid(server) - before,
                "server_cpu_s": server.cpu_s() - cpu_s,
            }
            rounds.append(msgspec.structs.replace(driven, **drained))
    waited = max(driven.extra_s for driven in rounds)
    note = (
        "Open a cart with two lines (2 requests), quote, place and pay (1 request), until the order is paid. "
        f"The backlog took {waited:.2f} s at most after the last answer; it counts."
    )
    return [figure_of("whole_checkout", rounds, ("200", "201"), note=note)], []


def _paid(server: Served) -> int:
    with rows.opened(server.process.database) as tx:
        every = int(tx.query("SELECT COUNT(*) FROM orders")[0][0])
        return every - int(tx.query(_UNPAID, [UNPAID])[0][0])


def _drain(server: Served) -> float:
    """Seconds until no order waits for its payment's event."""
    began = time.perf_counter()
    while time.perf_counter() - began < DRAIN_S:
        with rows.opened(server.process.database) as tx:
            if not tx.query(_UNPAID, [UNPAID])[0][0]:
                break
        pause(0.01)
    return time.perf_counter() - began


def measure_connections(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """Orders a second and latency by open connections."""
    driven: dict[int, list[Driven]] = {width: [] for width in SWEEP}
    with shop.serving() as server:
        stand = Stand(server, tally, pace)
        for _ in range(min(pace.rounds, 2)):
            for width in SWEEP:
                driven[width].append(stand.round(shop.plan.baskets, connections=width))
    under = tuple(str(width) for width in SWEEP)
    best = [max(driven[width], key=lambda one: one.per_second) for width in SWEEP]
    p50, p99 = ([getattr(one.load.latency, name) / 1000 for one in best] for name in ("p50_us", "p99_us"))
    return [], [
        Series(
            name="connections",
            title="Place order by open connections",
            unit="/s",
            under=under,
            lines={"orders a second": tuple(round(one.per_second) for one in best)},
        ),
        Series(
            name="connections_latency",
            title="Latency by open connections",
            unit="ms",
            under=under,
            lines={"p50": tuple(p50), "p99": tuple(p99)},
        ),
    ]


def measure_writers(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """The writer as a thread of the server, and as a process of its own."""
    kinds = ("thread", "process")
    found: dict[str, list[float]] = {"place": [], "place and capture": []}
    for kind in kinds:
        with shop.serving(writer=kind) as server:
            for name, confirm in (("place", False), ("place and capture", True)):
                stand = Stand(server, tally, pace)
                rounds = [stand.round(shop.plan.baskets, confirm=confirm) for _ in range(min(pace.rounds, 2))]
                found[name].append(round(max(one.per_second for one in rounds)))
    lines = {name: tuple(values) for name, values in found.items()}
    return [], [Series(name="writers", title="Where the writer runs", unit="/s", under=kinds, lines=lines)]


def measure_quote_http(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """A quote of 100 lines, one client alone: decode, price, sign, encode."""
    request = next(asking.quote_requests(shop.plan, shop.plan.hundred))
    with shop.serving() as server:
        repeat(server, request, connections=1, seconds=0.3)
        driven = tally.note(repeat(server, request, connections=1, seconds=min(pace.round_s, 2)))
    latency, answers = driven.load.latency, answers_of(driven.load)
    unexpected = {what: count for what, count in answers.items() if what != "200"}
    figure = make_figure(
        "quote_100_http",
        [latency.p50_us / 1000],
        latency=latency,
        answers=dict(answers),
        unexpected=unexpected,
        note="One connection; decoding, signing and the whole answer included.",
    )
    return [figure], []
