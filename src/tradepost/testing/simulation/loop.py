"""An event loop whose time is a number: waiting costs nothing, and the same run ticks the same way every time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class Deadlock(RuntimeError):
    """Everybody waits and nothing is scheduled: nobody will ever wake."""


class Livelock(RuntimeError):
    """Somebody keeps busy without time passing, or for ever: on a real machine a core would burn."""


SPINS_MAX = 50_000
ROUNDS_MAX = 5_000_000
"""Turns of one loop: fifty times those of the longest day there is, some minutes of a real core."""


class _Clockwork(selectors.BaseSelector):
    """Instead of waiting for sockets it moves the clock to the next timer."""

    def __init__(self) -> None:
        self.now_us = 0
        self._spins = 0
        self._rounds = 0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, 0, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("nothing is scheduled")
        self._spins += 1
        self._rounds += 1
        if self._rounds > ROUNDS_MAX:
            raise Livelock(f"{ROUNDS_MAX} rounds, and no end")
        if self._spins > SPINS_MAX:
            raise Livelock(f"{SPINS_MAX} rounds at the same moment")
        if timeout > 0:
            self._spins = 0
            self.now_us += max(1, round(timeout * 1_000_000))
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Deterministic asyncio: callbacks run in order, timers fire at once when nothing else is to do.

    Raises out of `run_until_complete` Deadlock when nothing is scheduled any more, and Livelock when everybody is
    busy but time stands still, or when it has turned 5,000,000 times.
    """

    def __init__(self) -> None:
        self._clockwork = _Clockwork()
        super().__init__(self._clockwork)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Seconds since the loop was made, all of them virtual."""
        return self._clockwork.now_us / 1_000_000

    def now_ms(self) -> int:
        """The same in whole milliseconds."""
        return self._clockwork.now_us // 1_000

    def jump(self, by_ms: int) -> None:
        """Move the clock as a machine does that slept: every timer on the way is late and fires now."""
        self._clockwork.now_us += by_ms * 1_000
