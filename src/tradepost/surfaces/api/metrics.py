"""Rate, errors and duration of each route, and whatever numbers the composition root adds; Prometheus text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tradepost.surfaces.api.platform import Groups

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class _Gauges(Collector):
    """What was read for this scrape."""

    def __init__(self) -> None:
        self.gauges: Mapping[str, int] = {}
        self.groups: Groups | None = None

    def collect(self) -> Iterable[Metric]:
        for name, value in sorted(self.gauges.items()):
            yield GaugeMetricFamily(f"tradepost_{name}", name.replace("_", " "), value=value)
        if self.groups is not None:
            yield _sizes(self.groups)


def _sizes(groups: Groups) -> Metric:
    buckets, commits = [], 0
    for bound, count in zip(groups.bounds, groups.counts, strict=True):
        commits += count
        buckets.append((str(bound), commits))
    buckets.append(("+Inf", commits))
    family = HistogramMetricFamily("tradepost_commit_calls", "Calls that were committed together.")
    family.add_metric([], buckets, groups.calls)
    return family


class Meter:
    """The counters of one application; label children are looked up once a route and status."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tradepost_requests", "Answers given.", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "tradepost_request_seconds",
            "Time to answer.",
            ("route",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._gauges = _Gauges()
        self._registry.register(self._gauges)
        self._counters: dict[tuple[str, int], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def count(self, route: str, status: int, seconds: float) -> None:
        """Note one answer."""
        counter = self._counters.get((route, status))
        if counter is None:
            counter = self._counters[route, status] = self._requests.labels(route, str(status))
        timer = self._timers.get(route)
        if timer is None:
            timer = self._timers[route] = self._seconds.labels(route)
        counter.inc()
        timer.observe(seconds)

    def text(self, gauges: Mapping[str, int], groups: Groups | None = None) -> bytes:
        """Everything in the text format that Prometheus scrapes, with the numbers of this moment."""
        self._gauges.gauges, self._gauges.groups = gauges, groups
        return generate_latest(self._registry)
