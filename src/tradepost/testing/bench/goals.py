"""The goals of every figure, on two cores including the load generator, SQLite with synchronous=FULL."""

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
    "statements": Goal(title="SQL statements in a batch of 256", unit="", must=16, reach=10, less=True),
    "quote_100": Goal(title="Quote of 100 lines", unit="ms", must=2, reach=1, less=True),
    "quote_100_many": Goal(
        title="Quote of 100 lines, a million pieces each", unit="ms", must=2, reach=1, less=True
    ),
    "quote_100_http": Goal(title="Quote of 100 lines over HTTP, alone", unit="ms", less=True),
    "start_up": Goal(title="Start to first 200, existing data", unit="s", must=1.5, reach=1, less=True),
    "idle_memory": Goal(title="Idle memory", unit="MB", must=120, reach=90, less=True),
    "yardstick": Goal(title="Yardstick: a bare answer", unit=PER_SECOND),
    "order_in_process": Goal(title="Time of one order in process", unit="us", less=True),
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
