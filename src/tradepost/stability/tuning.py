"""The keys of limits and admission in the config centre, and how they become terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Meta

from tradepost.stability.admission import AdmissionTerms
from tradepost.stability.concurrency import ConcurrencyTerms
from tradepost.stability.keys import Key, declare_key
from tradepost.stability.limits import LimitRule

RULES_MAX = 200
_TERMS = AdmissionTerms()

LIMITS: Key[tuple[LimitRule, ...]] = declare_key(
    "limits.callers",
    tuple[LimitRule, ...],
    (),
    "",
    Meta(max_length=RULES_MAX),
    "Limits of callers per route, app, buyer, seller, address and SKU; all that fit a request must allow it.",
    audiences=frozenset(),
)
CAPACITY: Key[int] = declare_key(
    "admission.capacity_per_s",
    int,
    _TERMS.capacity_per_s,
    "requests/s",
    Meta(ge=0, le=1_000_000),
    "Requests a second let in by all processes together; 0 sets no cap.",
    audiences=frozenset(),
)
BURST: Key[int] = declare_key(
    "admission.burst_ms",
    int,
    _TERMS.burst_ms,
    "ms",
    Meta(ge=10, le=10_000),
    "How much of the capacity may be let in at once.",
    audiences=frozenset(),
)
KEPT_FROM_ORDERS: Key[int] = declare_key(
    "admission.kept_from_orders_pct",
    int,
    _TERMS.kept_pct[1],
    "%",
    Meta(ge=0, le=50),
    "Share of the room that new orders leave to payment results.",
    audiences=frozenset(),
)
KEPT_FROM_BROWSING: Key[int] = declare_key(
    "admission.kept_from_browsing_pct",
    int,
    _TERMS.kept_pct[2],
    "%",
    Meta(ge=0, le=90),
    "Share of the room that browsing leaves to payment results and new orders.",
    audiences=frozenset(),
)
LATENCY_TARGET: Key[int] = declare_key(
    "admission.latency_target_ms",
    int,
    _TERMS.concurrency.target_ms,
    "ms",
    Meta(ge=5, le=60_000),
    "The 99th percentile of placing an order that admission defends.",
    audiences=frozenset({"instance"}),
)
CONCURRENCY_MIN: Key[int] = declare_key(
    "admission.concurrency_min",
    int,
    _TERMS.concurrency.limit_min,
    "requests",
    Meta(ge=1, le=10_000),
    "Requests under way that a process lets in however slow the answers are.",
    audiences=frozenset({"instance"}),
)
CONCURRENCY_MAX: Key[int] = declare_key(
    "admission.concurrency_max",
    int,
    _TERMS.concurrency.limit_max,
    "requests",
    Meta(ge=1, le=100_000),
    "Requests under way that a process never exceeds.",
    audiences=frozenset({"instance"}),
)


def limit_rules(get: Callable[[Key[Any]], Any]) -> Callable[[], tuple[LimitRule, ...]]:
    """What a `Limiter` asks for; `get` reads a key, such as `LiveConfig.get`."""
    return lambda: get(LIMITS)


def admission_terms(get: Callable[[Key[Any]], Any]) -> Callable[[], AdmissionTerms]:
    """What `Admission` asks for; a minimum above the maximum counts as the maximum."""

    def read() -> AdmissionTerms:
        first = _TERMS.concurrency.limit_first
        most: int = get(CONCURRENCY_MAX)
        least = min(get(CONCURRENCY_MIN), most)
        return AdmissionTerms(
            capacity_per_s=get(CAPACITY),
            burst_ms=get(BURST),
            kept_pct=(0, get(KEPT_FROM_ORDERS), max(get(KEPT_FROM_ORDERS), get(KEPT_FROM_BROWSING))),
            concurrency=ConcurrencyTerms(
                limit_min=least,
                limit_max=most,
                limit_first=max(least, min(first, most)),
                target_ms=get(LATENCY_TARGET),
            ),
        )

    return read
