"""The goals of every figure, on two cores with the load generator: SQLite synchronous=FULL, durable servers."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tradepost.testing.bench.model import Figure, Goal, judge
from tradepost.testing.histogram import Latency

PER_SECOND = "/s"
GOALS: dict[str, Goal] = {
    "place_spread": Goal(title="Place order, spread", unit=PER_SECOND, must=4_000, reach=9_000),
    "place_hot": Goal(title="Place order, everybody wants the same", unit=PER_SECOND),
    "hot_over_spread": Goal(title="Hot over spread", unit="x", must=0.9, reach=1.0),
    "place_naive": Goal(title="Place order, one commit each (naive)", unit=PER_SECOND),
    "place_capture": Goal(title="Place and capture", unit=PER_SECOND, must=2_500, reach=5_000),
    "whole_checkout": Goal(title="Whole checkout", unit=PER_SECOND, must=1_200, reach=3_000),
    "sold_out": Goal(title="Sold-out refusal", unit=PER_SECOND, must=10_000, reach=20_000),
    "batched_over_naive": Goal(title="Batched over naive at the storage port", unit="x", must=5, reach=8),
    "coupon_race": Goal(title="Everybody wants one coupon", unit=PER_SECOND, must=1_000, reach=2_500),
    "statements": Goal(title="SQL statements in a batch of 256", unit="", must=16, reach=10, less=True),
    "quote_100": Goal(title="Quote of 100 lines", unit="ms", must=2, reach=1, less=True),
    "quote_100_many": Goal(
        title="Quote of 100 lines, a million pieces each", unit="ms", must=2, reach=1, less=True
    ),
    "quote_promoted": Goal(
        title="Price of 100 lines under 100 promotions", unit="ms", must=5, reach=2, less=True
    ),
    "quote_100_http": Goal(title="Quote of 100 lines over HTTP, alone", unit="ms", less=True),
    "start_up": Goal(title="Start to first 200, existing data", unit="s", must=1.5, reach=1, less=True),
    "idle_memory": Goal(title="Idle memory", unit="MB", must=120, reach=90, less=True),
    "ledger_postings": Goal(
        title="Ledger postings, durable, in batches", unit=PER_SECOND, must=20_000, reach=50_000
    ),
    "yardstick": Goal(title="Yardstick: a bare answer", unit=PER_SECOND),
    "order_in_process": Goal(title="Time of one order in process", unit="us", less=True),
    "place_p99": Goal(title="Placing at 80 % of that, open model, p99", unit="ms", less=True),
    "mariadb_place_spread": Goal(
        title="MariaDB: place order, spread", unit=PER_SECOND, must=3_000, reach=6_000
    ),
    "mariadb_place_hot": Goal(title="MariaDB: place order, everybody wants the same", unit=PER_SECOND),
    "mariadb_hot_over_spread": Goal(title="MariaDB: hot over spread", unit="x", must=0.9, reach=1.0),
    "mariadb_place_p99": Goal(
        title="MariaDB: placing at 80 % of that, open model, p99", unit="ms", must=100, less=True
    ),
    "mariadb_whole_checkout": Goal(title="MariaDB: whole checkout", unit=PER_SECOND, must=800, reach=1_800),
    "mariadb_batched_hot": Goal(
        title="MariaDB: batched over naive at the storage port, hot", unit="x", must=5, reach=8
    ),
    "mariadb_batched_spread": Goal(
        title="MariaDB: batched over naive at the storage port, spread", unit="x", must=2.5, reach=4
    ),
    "vitess_place_spread": Goal(
        title="Vitess, 4 shards: place order, spread", unit=PER_SECOND, must=1_500, reach=4_000
    ),
    "vitess_place_hot": Goal(title="Vitess: place order, everybody wants the same", unit=PER_SECOND),
    "vitess_hot_over_spread": Goal(title="Vitess: hot over spread", unit="x"),
    "vitess_place_p99": Goal(title="Vitess: placing at 80 % of that, open model, p99", unit="ms", less=True),
    "config_push": Goal(
        title="A config change in every process, p99", unit="ms", must=1_000, reach=100, less=True
    ),
    "overload_goodput": Goal(title="Overload: orders placed, of the cap", unit="%", must=70, reach=90),
    "overload_refusals": Goal(title="Overload: refusals, p99", unit="ms", must=50, less=True),
    "overload_answered": Goal(title="Overload: answered, of what was offered", unit="%"),
    "overload_recovery": Goal(title="Overload: until placing is as before", unit="s", must=5, less=True),
    "broker_event": Goal(
        title="An event from its commit to its consumer through RocketMQ, p50",
        unit="ms",
        must=100,
        reach=30,
        less=True,
    ),
}


def make_figure(
    name: str,
    values: Sequence[float],
    *,
    latency: Latency | None = None,
    answers: dict[str, int] | None = None,
    unexpected: dict[str, int] | None = None,
    details: dict[str, float] | None = None,
    note: str = "",
) -> Figure:
    """The figure of these rounds under its goal."""
    goal, value = GOALS[name], median(values)
    return Figure(
        name=name,
        title=goal.title,
        unit=goal.unit,
        value=_short(value),
        low=_short(min(values)),
        high=_short(max(values)),
        must=goal.must,
        reach=goal.reach,
        less=goal.less,
        verdict=judge(goal, value, unexpected or {}),
        latency=latency,
        answers=answers or {},
        unexpected=unexpected or {},
        details=details or {},
        note=note,
    )


def _short(value: float) -> float:
    return round(value, 0 if value >= 1000 else 3)
