"""Metrics: every one is declared once with its sentence, and a board per process counts and shows them."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

PREFIX = "tradepost_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
DELAYS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
SERIES_MAX = 2_000
"""Samples that all sources together may give to one scrape; further ones are left out and counted."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each counter, which nobody asks for
log = logging.getLogger("tradepost.telemetry")
Kind = Literal["counter", "gauge", "histogram"]


class Family(msgspec.Struct, frozen=True):
    """One metric: its name without prefix and ending, what it says, its labels and upper bounds.

    `shared` tells that it is a fact of the installation, the same from whichever process it is asked.
    """

    name: str
    kind: Kind
    sentence: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    shared: bool = False

    @property
    def exposed(self) -> str:
        """The name that Prometheus stores: a counter's ends in `_total`."""
        return PREFIX + self.name + ("_total" if self.kind == "counter" else "")


class Sample(NamedTuple):
    """One number of a source."""

    name: str
    value: float
    labels: Mapping[str, str] = {}


Numbers = Mapping[str, int] | Iterable[Sample]
Source = Callable[[], Numbers]
"""What a room registers: called at every scrape, answers at once from memory, and may raise."""

_FAMILIES: dict[str, Family] = {}


def declare_metrics(families: Iterable[Family]) -> None:
    """Add metrics to the table. Raises ValueError when a name is declared twice with another meaning."""
    for family in families:
        if _FAMILIES.setdefault(family.name, family) != family:
            raise ValueError(f"metric {family.name} is declared twice")


def metric_table() -> dict[str, Family]:
    """Every declared metric by name: the source of the reference page and of the dashboard's test."""
    return dict(sorted(_FAMILIES.items()))


class Board:
    """The metrics of one process. Counters and histograms live here, everything else is asked for at a scrape."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._sources: list[Source] = []
        self._asked = _Asked()
        self._registry.register(self._asked)

    def add(self, source: Source) -> None:
        """Ask this callable at every scrape. One that raises is left out, logged and counted."""
        self._sources.append(source)

    def counter(self, name: str) -> Counter:
        """The counter of a declared name. Raises KeyError for another."""
        if name not in self._counters:
            family = _FAMILIES[name]
            self._counters[name] = Counter(
                PREFIX + name, family.sentence, family.labels, registry=self._registry
            )
        return self._counters[name]

    def histogram(self, name: str) -> Histogram:
        """The histogram of a declared name. Raises KeyError for another."""
        if name not in self._histograms:
            family = _FAMILIES[name]
            self._histograms[name] = Histogram(
                PREFIX + name,
                family.sentence,
                family.labels,
                buckets=family.bounds or SECONDS,
                registry=self._registry,
            )
        return self._histograms[name]

    def text(self, further: Numbers = (), metrics: Sequence[Metric] = ()) -> bytes:
        """Everything in the text format that Prometheus scrapes, with `further` numbers read for this scrape."""
        found = list(_samples(further))
        failed = 0
        for source in self._sources:
            try:
                found += _samples(source())
            except Exception as error:
                failed += 1
                log.warning("a metric source failed: %s", error)
        left_out = max(0, len(found) - SERIES_MAX)
        del found[SERIES_MAX:]
        found += [Sample("metric_sources_failed", failed), Sample("metric_samples_left_out", left_out)]
        self._asked.metrics = [*_families(found), *metrics]
        return generate_latest(self._registry)


class _Asked(Collector):
    """What was read for this scrape."""

    def __init__(self) -> None:
        self.metrics: Sequence[Metric] = ()

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def _samples(numbers: Numbers) -> Iterable[Sample]:
    if isinstance(numbers, Mapping):
        return [_folded(name, value) for name, value in numbers.items()]
    return numbers


_FOLDS: list[tuple[re.Pattern[str], str, str]] = []


def fold_names(pattern: str, name: str, label: str) -> None:
    """Show the plain names of a source that fit a pattern as one metric; the pattern's group is the label's value.

    With `switch_(.+)` a source that says `switch_read_only: 1` is shown as `switch_on{switch="read_only"} 1`.
    """
    _FOLDS.append((re.compile(pattern), name, label))


@functools.lru_cache(maxsize=SERIES_MAX)
def _fold(name: str) -> tuple[str, dict[str, str]]:
    for pattern, family, label in _FOLDS:
        found = pattern.fullmatch(name)
        if found is not None:
            return family, {label: found[1]}
    return name, {}


def _folded(name: str, value: float) -> Sample:
    family, labels = _fold(name)
    return Sample(family, value, labels)


def _families(samples: Iterable[Sample]) -> list[Metric]:
    """Samples as families, in order of name; the last of two samples with the same labels counts."""
    rows: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for sample in samples:
        labels = tuple(sorted(sample.labels.items()))
        rows.setdefault(sample.name, {})[labels] = sample.value
    return [_family(name, found) for name, found in sorted(rows.items())]


def _family(name: str, found: Mapping[tuple[tuple[str, str], ...], float]) -> Metric:
    declared = _FAMILIES.get(name) or Family(name, "gauge", name.replace("_", " "))
    names = sorted({label for labels in found for label, _ in labels})
    shape = CounterMetricFamily if declared.kind == "counter" else GaugeMetricFamily
    family: Metric = shape(PREFIX + name, declared.sentence, labels=names)
    for labels, value in found.items():
        given = dict(labels)
        family.add_metric([given.get(label, "") for label in names], value)  # type: ignore[attr-defined]
    return family


declare_metrics(
    [
        Family("metric_sources_failed", "gauge", "Sources of numbers that raised at this scrape."),
        Family("metric_samples_left_out", "gauge", "Samples beyond the bound of one scrape."),
    ]
)
