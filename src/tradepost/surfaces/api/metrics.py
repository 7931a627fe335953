"""Rate, errors and duration of each route, and whatever numbers the composition root adds; Prometheus text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from tradepost.surfaces.api import families as _families  # noqa: F401  declares what other rooms count
from tradepost.surfaces.api.platform import Groups
from tradepost.telemetry.metrics import (
    CONTENT_TYPE,
    PREFIX,
    SECONDS,
    Board,
    Family,
    Numbers,
    declare_metrics,
    metric_table,
)

__all__ = ["CONTENT_TYPE", "Meter"]

REQUESTS = "requests"
REQUEST_SECONDS = "request_seconds"
COMMIT_CALLS = "commit_calls"
ROUTES_MAX = 1_000
"""Routes told apart; they are templates, so there are fewer. Past it everything is counted as `other`."""

declare_metrics(
    [
        Family(REQUESTS, "counter", "Answers given.", ("route", "status")),
        Family(REQUEST_SECONDS, "histogram", "Time to answer.", ("route",), SECONDS),
        Family(COMMIT_CALLS, "histogram", "Calls that were committed together."),
        Family("write_queue_depth", "gauge", "Writes that wait for their group."),
        Family("sold_out_hints", "gauge", "SKUs remembered as sold out."),
        Family("outbox_lag_events", "gauge", "Events not relayed yet.", shared=True),
        Family("outbox_lag_seconds", "gauge", "Age of the oldest event not relayed yet.", shared=True),
        Family("deliveries_waiting", "gauge", "Deliveries that wait or are queued behind one.", shared=True),
        Family(
            "consumer_waiting",
            "gauge",
            "Deliveries that wait, by who owes them; counting ends at 10,000 in all.",
            ("consumer",),
            shared=True,
        ),
        Family(
            "consumer_lag_seconds",
            "gauge",
            "Age of the oldest delivery that waits, by who owes it.",
            ("consumer",),
            shared=True,
        ),
        Family("dead_letters", "gauge", "Deliveries that failed too often.", shared=True),
    ]
)


class _Route:
    """Answers of one route: by status, by class of duration, and seconds in all."""

    __slots__ = ("classes", "seconds", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.classes = [0] * (len(SECONDS) + 1)
        self.seconds = 0.0


class Meter:
    """The requests of one application, counted in plain numbers: a request costs no lock and no look-up of labels.

    What else this process counts and shows stands on the `board`.
    """

    def __init__(self, board: Board | None = None) -> None:
        self.board = board or Board()
        self._routes: dict[str, _Route] = {}

    def count(self, route: str, status: int, seconds: float) -> None:
        """Note one answer. Call it on the event loop alone."""
        found = self._routes.get(route)
        if found is None:
            if len(self._routes) >= ROUTES_MAX:
                route = "other"
            found = self._routes.setdefault(route, _Route())
        statuses = found.statuses
        statuses[status] = statuses.get(status, 0) + 1
        found.classes[bisect_left(SECONDS, seconds)] += 1
        found.seconds += seconds

    def text(self, numbers: Numbers, groups: Groups | None = None) -> bytes:
        """Everything in the text format that Prometheus scrapes, with the numbers of this moment."""
        families: list[Metric] = [self._answers(), self._durations()]
        if groups is not None:
            families.append(_sizes(groups))
        return self.board.text(numbers, families)

    def _answers(self) -> Metric:
        family = CounterMetricFamily(PREFIX + REQUESTS, _sentence(REQUESTS), labels=("route", "status"))
        for route, found in self._routes.items():
            for status, count in found.statuses.items():
                family.add_metric((route, str(status)), count)
        return family

    def _durations(self) -> Metric:
        family = HistogramMetricFamily(
            PREFIX + REQUEST_SECONDS, _sentence(REQUEST_SECONDS), labels=("route",)
        )
        for route, found in self._routes.items():
            family.add_metric((route,), _summed(SECONDS, found.classes), found.seconds)
        return family


def _sizes(groups: Groups) -> Metric:
    family = HistogramMetricFamily(PREFIX + COMMIT_CALLS, _sentence(COMMIT_CALLS))
    family.add_metric([], _summed(groups.bounds, [*groups.counts, 0]), groups.calls)
    return family


def _summed(bounds: Iterable[float], classes: Sequence[int]) -> list[tuple[str, float]]:
    """Prometheus counts in each class everything below its bound as well; the last class has none."""
    buckets, total = [], 0
    for bound, count in zip([*map(str, bounds), "+Inf"], classes, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


def _sentence(name: str) -> str:
    return metric_table()[name].sentence
