"""Limits of callers as data: per route, app, buyer, seller, address and SKU; one decision for all of a request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.stability.gcra import Cell, interval_of, spend

CELLS_MAX = 100_000
SKUS_MAX = 256
RATE_MAX_PER_MS = 100

declare_problems(
    {
        "limit.exceeded": (
            Kind.LIMITED,
            "You asked more often than you may",
            "Slow down: repeat the same request after Retry-After seconds. `limit` names the limit that said no.",
        ),
    }
)


class By(StrEnum):
    """Whose requests a limit counts together."""

    ROUTE = "route"
    APP = "app"
    BUYER = "buyer"
    SELLER = "seller"
    IP = "ip"
    SKU = "sku"


class LimitRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `requests` per `per_ms` on average, `burst` at once, for each subject of `by`.

    `routes` (such as `POST /v1/checkouts`) narrows it to these, counted together; empty is every route. A rule
    with `only` replaces, for the subjects it names, the rules of the same `by` and `routes` that name nobody.
    """

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_.-]*$")]
    by: By
    requests: Annotated[int, Meta(ge=1, le=1_000_000)]
    per_ms: Annotated[int, Meta(ge=1, le=86_400_000)] = 1_000
    burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    routes: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a rate that whole microseconds cannot tell apart."""
        if self.requests > self.per_ms * RATE_MAX_PER_MS:
            raise ValueError(f"at most {RATE_MAX_PER_MS} requests a millisecond")


class Asker(NamedTuple):
    """Who asks for what; an empty field is nobody and counted by no limit."""

    route: str
    app: str = ""
    buyer: str = ""
    seller: str = ""
    ip: str = ""
    skus: Sequence[str] = ()


_PLACES = {by: Asker._fields.index(by.value) for by in By if by is not By.SKU}


class Exceeded(NamedTuple):
    """The limit that said no, and how long until it would say yes."""

    cell: Cell
    wait_us: int


class Pace(NamedTuple):
    """A rule as its cells need it."""

    name: str
    interval_us: int
    span_us: int


Pick = tuple[By, tuple[Pace, ...], Mapping[str, tuple[Pace, ...]]]
"""How one (by, routes) is answered: paces for everybody, paces for those that are named."""


class LimitTable:
    """Rules laid out so that a request finds its cells without looking at the others."""

    def __init__(self, rules: Sequence[LimitRule]) -> None:
        self.rules = rules
        self._picks: dict[tuple[By, tuple[str, ...]], Pick] = {}
        for rule in rules:
            at = (rule.by, tuple(sorted(rule.routes)))
            by, general, named = self._picks.get(at, (rule.by, (), {}))
            pace = pace_of(rule)
            if rule.only:
                more = {subject: (*named.get(subject, ()), pace) for subject in rule.only}
                self._picks[at] = (by, general, {**named, **more})
            else:
                self._picks[at] = (by, (*general, pace), named)
        self._everywhere = [pick for (_, routes), pick in self._picks.items() if not routes]
        self._by_route: dict[str, list[Pick]] = {}
        for route in dict.fromkeys(route for _, routes in self._picks for route in routes):
            here = [pick for (_, routes), pick in self._picks.items() if route in routes]
            self._by_route[route] = [*self._everywhere, *here]
        self._asks = {route: _counted_by(picks) for route, picks in self._by_route.items()}
        self._asks_everywhere = _counted_by(self._everywhere)

    def asks(self, route: str) -> frozenset[By]:
        """By what requests of a route are counted."""
        return self._asks.get(route, self._asks_everywhere)

    def cells(self, asker: Asker) -> list[Cell]:
        """The cells of a request, each once. Of more than 256 SKUs the first 256 are counted."""
        picks = self._by_route.get(asker.route, self._everywhere)
        return [
            Cell(f"{name}/{subject}", interval_us, span_us, name)
            for by, general, named in picks
            for subject in _subjects(by, asker)
            for name, interval_us, span_us in (named.get(subject, general) if named else general)
        ]


def _counted_by(picks: Iterable[Pick]) -> frozenset[By]:
    return frozenset([by for by, _, _ in picks])


def _subjects(by: By, asker: Asker) -> Iterable[str]:
    if by is By.SKU:
        return list(dict.fromkeys(asker.skus))[:SKUS_MAX]
    subject = str(asker[_PLACES[by]])
    return (subject,) if subject else ()


def pace_of(rule: LimitRule) -> Pace:
    """The pace of a rule, its interval rounded up to whole microseconds."""
    interval_us = interval_of(rule.requests, rule.per_ms)
    return Pace(rule.name, interval_us, interval_us * rule.burst)


class LocalCells:
    """TATs of this process: at most `cells_max`; beyond, the one used longest ago is forgotten, which gives its
    caller a fresh burst."""

    def __init__(self, cells_max: int = CELLS_MAX) -> None:
        self._tats: OrderedDict[str, int] = OrderedDict()
        self._cells_max = cells_max

    def __len__(self) -> int:
        """Cells kept now."""
        return len(self._tats)

    def decide(self, cells: Sequence[Cell], now_us: int, divided: int = 1) -> Exceeded | None:
        """None and every cell is charged, or the longest wait and none is.

        `divided` is how many processes share the limits without knowing of each other: each gives its part.
        """
        tats = self._tats
        afters: list[int] = []
        exceeded: Exceeded | None = None
        for cell in cells:
            interval_us = cell.interval_us * divided
            span_us = max(cell.span_us, interval_us)
            after, wait_us = spend(tats.get(cell.key, 0), now_us, interval_us, span_us)
            if wait_us and (exceeded is None or wait_us > exceeded.wait_us):
                exceeded = Exceeded(cell, wait_us)
            afters.append(after)
        if exceeded is None:
            for cell, after in zip(cells, afters, strict=True):
                self._keep(cell.key, after)
        return exceeded

    def charge(self, cells: Iterable[Cell], now_us: int) -> None:
        """Count what somebody else admitted, so that taking over from him gives nobody a new burst."""
        for cell in cells:
            after, _ = spend(self._tats.get(cell.key, 0), now_us, cell.interval_us, cell.span_us)
            self._keep(cell.key, after)

    def _keep(self, key: str, tat_us: int) -> None:
        self._tats[key] = tat_us
        self._tats.move_to_end(key)
        if len(self._tats) > self._cells_max:
            self._tats.popitem(last=False)


def refuse_exceeded(exceeded: Exceeded) -> Refusal:
    """The refusal `limit.exceeded`, telling which limit and when to come again."""
    seconds = max(1, -(-exceeded.wait_us // 1_000_000))
    return Refusal(
        "limit.exceeded",
        f"The limit {exceeded.cell.name} is used up for {seconds} s.",
        expected=f"a repeat after {seconds} s",
        extra={"limit": exceeded.cell.name, "retry_after_s": seconds},
    )
