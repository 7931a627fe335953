"""The limiter: one answer for all limits of a request, shared where it can be, of this process where it cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tradepost.kernel.errors import Refusal
from tradepost.stability.cache import CacheDown
from tradepost.stability.gathering import Crowded
from tradepost.stability.gcra import Cell
from tradepost.stability.limits import Asker, By, Exceeded, LimitRule, LimitTable, LocalCells, refuse_exceeded

SHUT_MAX = 10_000


class SharedCells(Protocol):
    """The port of limits that all processes share."""

    async def decide(self, cells: Sequence[Cell]) -> Exceeded | None:
        """None and every cell is charged, or the longest wait and none is. Raises CacheDown and Crowded."""
        ...


class Limiter:
    """`cells(asker)`, and when there are any, `await refuse(cells)`.

    `limits()` gives the rules in force; another tuple counts from the next request on, and a limit that keeps its
    name keeps what its callers have used. While the shared cells are down each process grants its part: the limit
    divided by `workers()`; where there are none it is divided by `divided`. `now_us` is a monotonic clock.
    """

    def __init__(
        self,
        limits: Callable[[], Sequence[LimitRule]],
        now_us: Callable[[], int],
        shared: SharedCells | None = None,
        workers: Callable[[], int] = lambda: 1,
        divided: int = 1,
    ) -> None:
        self._limits = limits
        self._now_us = now_us
        self._shared = shared
        self._workers = workers
        self._divided = divided
        self._table = LimitTable(())
        self._local = LocalCells()
        self._shut: dict[str, int] = {}
        self.exceeded = 0
        self.alone = 0

    def asks(self, route: str) -> frozenset[By]:
        """By what the limits in force count requests of a route: empty for a request that need not be looked at."""
        return self._in_force().asks(route)

    def cells(self, asker: Asker) -> list[Cell]:
        """What the limits in force ask of this request; empty when none is about it."""
        return self._in_force().cells(asker)

    def _in_force(self) -> LimitTable:
        rules = self._limits()
        if rules is not self._table.rules:
            self._table = LimitTable(rules)
            self._shut.clear()
        return self._table

    async def refuse(self, cells: Sequence[Cell]) -> Refusal | None:
        """The refusal `limit.exceeded`, or None and every cell was charged."""
        if self._shared is None:
            return self.refuse_here(cells, self._divided)
        now_us = self._now_us()
        exceeded = self._find_shut(cells, now_us)
        if exceeded is None:
            try:
                exceeded = await self._shared.decide(cells)
            except (CacheDown, Crowded):
                self.alone += 1
                return self.refuse_here(cells, max(1, self._workers()))
            if exceeded is None:
                self._local.charge(cells, now_us)
                return None
            self._shut_until(exceeded, now_us)
        self.exceeded += 1
        return refuse_exceeded(exceeded)

    def refuse_here(self, cells: Sequence[Cell], divided: int = 1) -> Refusal | None:
        """The same out of the memory of this process, without waiting."""
        exceeded = self._local.decide(cells, self._now_us(), divided)
        if exceeded is None:
            return None
        self.exceeded += 1
        return refuse_exceeded(exceeded)

    def _find_shut(self, cells: Sequence[Cell], now_us: int) -> Exceeded | None:
        """A cell that said no stays shut until its wait is over: no need to ask Redis once more."""
        shut = self._shut
        if shut:
            for cell in cells:
                until_us = shut.get(cell.key, 0)
                if until_us > now_us:
                    return Exceeded(cell, until_us - now_us)
        return None

    def _shut_until(self, exceeded: Exceeded, now_us: int) -> None:
        self._shut.pop(exceeded.cell.key, None)
        self._shut[exceeded.cell.key] = now_us + exceeded.wait_us
        if len(self._shut) > SHUT_MAX:
            del self._shut[next(iter(self._shut))]

    def gauges(self) -> Mapping[str, int]:
        """Numbers for /metrics, by name."""
        return {
            "limits_exceeded": self.exceeded,
            "limits_decided_alone": self.alone,
            "limit_cells": len(self._local),
        }
