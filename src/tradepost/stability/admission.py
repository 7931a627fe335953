"""Admission: refuse early and cheaply what could not be answered in time, the least urgent first.

Two bounds, asked before a body is read: requests under way (adaptive, holds the p99) and requests a second (a cap
that operators set). Both keep a part free that less urgent requests may not touch, as trunk reservation does in
telephony, so each priority uses what those above it leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Protocol

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.stability.cache import CacheDown
from tradepost.stability.concurrency import ConcurrencyLimit, ConcurrencyTerms

declare_problems(
    {
        "admission.shed": (
            Kind.OVERLOADED,
            "The shop is full just now",
            "You did nothing wrong: repeat the same request with the same key after Retry-After seconds.",
        ),
    }
)
RETRIES_S = (1, 2, 3)
EVERY_S = 0.02
TOKENS_MIN = 10
ROUNDS_UNCAPPED = 50
"""Without a cap the shares are asked once a second, only to be counted as a worker."""

log = logging.getLogger("tradepost.stability")


class Priority(IntEnum):
    """What goes first when there is not room for all: results of payments, then new orders, then browsing."""

    PAYMENT = 0
    ORDER = 1
    BROWSE = 2


_ORDER = Priority.ORDER


class AdmissionTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`capacity_per_s` requests a second over all processes, 0 for no cap, with `burst_ms` of it at once.

    `kept_pct` of both bounds is out of reach of each priority: 0, then what payments keep from orders, then what
    payments and orders keep from browsing.
    """

    capacity_per_s: int = 0
    burst_ms: int = 200
    kept_pct: tuple[int, int, int] = (0, 10, 30)
    concurrency: ConcurrencyTerms = ConcurrencyTerms()


class Grant(msgspec.Struct, frozen=True):
    """Tokens of the shared capacity, and how many processes take part in it."""

    tokens: int
    workers: int


class Shares(Protocol):
    """The port of the shared capacity: one bucket for every process of the shop."""

    async def take(self, wanted: int, capacity_per_s: int, burst: int) -> Grant:
        """Up to `wanted` tokens at once. Raises CacheDown when nobody can tell; then none were taken."""
        ...


def _shed(reason: str, detail: str) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(
            "admission.shed",
            detail,
            expected=f"a repeat after {seconds} s",
            extra={"reason": reason, "retry_after_s": seconds},
        )
        for seconds in RETRIES_S
    )


SHED_CAPACITY = _shed("capacity", "More is asked than the capacity that operators set.")
SHED_LATENCY = _shed("latency", "One more request would make all of them late.")
"""Made once: a refusal under overload must cost next to nothing. They are given, never raised with a frame."""


class Admission:
    """`decide` before anything else of a request, `done` once for each that was let in. Of one event loop.

    `terms()` is read again while `run` runs. Without `shares`, or while they are down, this process gives its
    part of the capacity: all of it divided by the workers last seen.
    """

    def __init__(
        self, terms: Callable[[], AdmissionTerms], shares: Shares | None = None, workers: int = 1
    ) -> None:
        self._read_terms = terms
        self._shares = shares
        self.workers = workers
        self.terms = terms()
        self.concurrency = ConcurrencyLimit(self.terms.concurrency)
        self.under_way = 0
        self.shared = False
        self.admitted = [0, 0, 0]
        self.shed = [0, 0, 0]
        self._ahead = 0
        self._turn = 0
        self._round = 0
        self._at_s = 0.0
        self._level = 0.0
        self._tune()
        self._level = self._size

    def decide(self, priority: int, now_s: float) -> Refusal | None:
        """None and the request is counted as under way, or the refusal `admission.shed`: one of six, made before.

        `now_s` is a monotonic clock in seconds; a few hundred nanoseconds either way.
        """
        if self._ahead:
            self._ahead -= 1
        if self.under_way >= self._rooms[priority]:
            return self._refuse(SHED_LATENCY, priority)
        if self._capped:
            level = self._level + (now_s - self._at_s) * self._rate
            if level > self._size:  # noqa: PLR1730 - a call of min() costs a tenth of the whole decision
                level = self._size
            self._at_s = now_s
            if level < self._floors[priority]:
                self._level = level
                return self._refuse(SHED_CAPACITY, priority)
            self._level = level - 1
        self.under_way += 1
        self.admitted[priority] += 1
        return None

    def foresee(self, priority: int, now_s: float) -> Refusal | None:
        """The refusal `decide` would give soon, counted as given; None and a place is kept for it until the refill.

        One turn of the loop reads many requests before the first of them comes to `decide`: without the places kept
        for those let through, all of them would be, and be refused the dear way.
        """
        if self.under_way + self._ahead >= self._rooms[priority]:
            return self._refuse(SHED_LATENCY, priority)
        if self._capped:
            level = min(self._level + (now_s - self._at_s) * self._rate, self._size)
            if level - self._ahead < self._floors[priority]:
                return self._refuse(SHED_CAPACITY, priority)
        self._ahead += 1
        return None

    def _refuse(self, refusals: tuple[Refusal, ...], priority: int) -> Refusal:
        self.shed[priority] += 1
        self._turn = turn = (self._turn + 1) % len(refusals)
        return refusals[turn]

    def done(self, priority: int, started_s: float, now_s: float, outside_s: float = 0.0) -> None:
        """A request that was let in has been answered. `outside_s` of its time was spent waiting for others, such
        as a payment provider: more room here would not have made that shorter. Orders are what is judged."""
        self.under_way -= 1
        if priority == _ORDER and self.concurrency.note(
            now_s - started_s - outside_s, self.under_way + 1, now_s
        ):
            self._make_rooms()

    def _tune(self) -> None:
        terms = self.terms
        self._capped = terms.capacity_per_s > 0
        whole = max(TOKENS_MIN, terms.capacity_per_s * terms.burst_ms // 1000)
        self._size = float(max(TOKENS_MIN, whole // self.workers))
        self._burst = whole
        self._floors = [1 + self._size * kept / 100 for kept in terms.kept_pct]
        self._rate = 0.0 if self.shared else terms.capacity_per_s / self.workers
        self._level = min(self._level, self._size)
        self._make_rooms()

    def _make_rooms(self) -> None:
        limit = self.concurrency.limit
        self._rooms = [max(1, limit - limit * kept // 100) for kept in self.terms.kept_pct]

    def retune(self) -> None:
        """Take over terms that changed; the concurrency limit starts anew only when its own terms did."""
        terms = self._read_terms()
        if terms is self.terms or terms == self.terms:
            return
        if terms.concurrency != self.terms.concurrency:
            self.concurrency = ConcurrencyLimit(terms.concurrency)
        raised = terms.capacity_per_s != self.terms.capacity_per_s
        self.terms = terms
        self._tune()
        if raised:
            self._level = self._size

    async def refill(self) -> None:
        """One round: new terms, then the tokens this process lacks out of the shared capacity."""
        self.retune()
        self._ahead = 0  # whoever hung up in between never came to `decide`
        self._round += 1
        if self._shares is None or (not self._capped and self._round % ROUNDS_UNCAPPED != 1):
            return
        wanted = int(self._size - self._level) if self._capped else 0
        try:
            grant = await self._shares.take(wanted, self.terms.capacity_per_s, self._burst)
        except CacheDown:
            self._share(False, self.workers)
            return
        self._share(True, grant.workers)
        self._level = min(self._size, self._level + grant.tokens)

    def _share(self, shared: bool, workers: int) -> None:
        workers = max(1, workers)
        if (shared, workers) == (self.shared, self.workers):
            return
        if shared != self.shared:
            log.warning(
                "capacity is %s", "shared again" if shared else f"divided by {workers}: shares are down"
            )
        self.shared, self.workers = shared, workers
        self._tune()

    async def run(self, stop: asyncio.Event) -> None:
        """Refill every 20 ms until told to stop."""
        while not stop.is_set():
            await self.refill()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), EVERY_S)

    def gauges(self) -> Mapping[str, int]:
        """Numbers for /metrics, by name."""
        names = [priority.name.lower() for priority in Priority]
        return {
            "admission_under_way": self.under_way,
            "admission_limit": self.concurrency.limit,
            "admission_capacity_per_s": self.terms.capacity_per_s,
            "admission_workers": self.workers,
            **{f"admitted_{name}": count for name, count in zip(names, self.admitted, strict=True)},
            **{f"shed_{name}": count for name, count in zip(names, self.shed, strict=True)},
        }
