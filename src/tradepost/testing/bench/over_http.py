"""The figures that a client sees: orders, captures, refusals and whole checkouts over HTTP."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

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
from tradepost.testing.torture.shop import pause

PLACED = ("201",)
SOLD_OUT = "inventory.sold_out"
WARM_UP = 2_000
DRAIN_S = 30.0
OPEN_SHARE = 0.8
OPEN_ROUNDS = 1.5
"""An open round takes longer than others, so that a p99 has enough behind it."""
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

    def offer(self, baskets: Sequence[Basket], per_second: float) -> Driven:
        """An open model: so many requests begin a second, however long the answers take."""
        seconds = self._pace.round_s * OPEN_ROUNDS
        count = int(per_second * seconds) + 1_000
        requests = asking.place_requests(self.server.plan, baskets, count=count)
        return self._tally.note(send(self.server, requests, seconds=seconds, rate=per_second))


def measure_placing(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """Spread and hot in turns on one server, so that both see the same machine; then 80 % of the peak, open."""
    return placing_figures(shop, tally, pace), []


def placing_figures(shop: Shop, tally: Tally, pace: Pace, prefix: str = "") -> list[Figure]:
    """Spread, hot, their ratio, and the latency at 80 % of the spread rate; the names of goals begin with `prefix`."""
    plan = shop.plan
    with shop.serving() as server:
        stand = Stand(server, tally, pace)
        pairs = [(stand.round(plan.baskets), stand.round([plan.hot])) for _ in range(pace.rounds)]
        spreads = [spread for spread, _ in pairs]
        per_second = OPEN_SHARE * median(spread.per_second for spread in spreads)
        offered = stand.offer(plan.baskets, per_second)
    ratios = [hot.per_second / spread.per_second for spread, hot in pairs]
    return [
        figure_of(
            f"{prefix}place_spread",
            spreads,
            PLACED,
            note="Two lines of one seller, 1,000 offers, 20,000 buyers, every rule on, not paid yet.",
        ),
        figure_of(
            f"{prefix}place_hot",
            [hot for _, hot in pairs],
            PLACED,
            note="The same two offers for everybody.",
        ),
        make_figure(f"{prefix}hot_over_spread", ratios, note="Rounds in turns on one server."),
        open_figure(f"{prefix}place_p99", offered, PLACED),
    ]


def open_figure(name: str, offered: Driven, expected: Sequence[str]) -> Figure:
    """The p99 of an open model in ms; a round that fell behind its schedule shows it there."""
    answers = answers_of(offered.load)
    return make_figure(
        name,
        [offered.load.latency.p99_us / 1000],
        latency=offered.load.latency,
        answers=dict(answers),
        unexpected={what: count for what, count in answers.items() if what not in expected},
        details={"offered_per_s": round(offered.load.rate), "answered_per_s": offered.load.per_second},
        note=f"{offered.load.rate:,.0f}/s offered, 80 % of the spread rate above; latency from the intended start.",
    )


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
    return [whole_figure(shop, tally, pace, "whole_checkout")], []


def whole_figure(shop: Shop, tally: Tally, pace: Pace, name: str) -> Figure:
    """The same as the figure of this name."""
    rounds: list[Driven] = []
    with shop.serving() as server:
        path = server.process.folder / "plan.json"
        asking.write_plan(shop.plan, path)
        source = f"{asking.__name__}:conversations"
        talk(server, source, {asking.PLAN_FILE: str(path)}, 1)
        unpaid = server.count(_UNPAID, [UNPAID]) if shop.database else 0  # of the figures before
        for _ in range(pace.rounds):
            before, cpu_s = _paid(server), server.cpu_s()
            driven = tally.note(talk(server, source, {asking.PLAN_FILE: str(path)}, pace.round_s))
            drain_s = _drain(server, unpaid)
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
    return figure_of(name, rounds, ("200", "201"), note=note)


def _paid(server: Served) -> int:
    return server.count("SELECT COUNT(*) FROM orders") - server.count(_UNPAID, [UNPAID])


def _drain(server: Served, unpaid: int) -> float:
    """Seconds until no order waits for its payment's event, but for so many that nobody will pay."""
    began = time.perf_counter()
    while time.perf_counter() - began < DRAIN_S and server.count(_UNPAID, [UNPAID]) > unpaid:
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
