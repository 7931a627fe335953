"""The way back from the writers: listeners hear what was committed, callers get their answers, groups are counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from tradepost.infra.storage.group import GROUP_BOUNDS, Call
from tradepost.kernel.tx import Signal

log = logging.getLogger("tradepost.storage")


class Answers:
    """What a storage gives back on its event loop.

    `groups` counts the groups answered by their size (see GROUP_BOUNDS), `calls` what they carried.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._listeners: list[Callable[[Signal], None]] = []
        self.groups = [0] * len(GROUP_BOUNDS)
        self.calls = 0

    def listen(self, listener: Callable[[Signal], None]) -> None:
        """See `kernel.tx.Storage.listen`."""
        self._listeners.append(listener)

    def give_from_thread(self, signals: list[Signal], calls: list[Call]) -> None:
        """`give`, called by a writer thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody is left to answer
            self._loop.call_soon_threadsafe(self.give, signals, calls)

    def give(self, signals: list[Signal], calls: list[Call]) -> None:
        """Tell the listeners, then answer the callers of one group."""
        if calls:
            self.groups[min((len(calls) - 1).bit_length(), len(GROUP_BOUNDS) - 1)] += 1
            self.calls += len(calls)
        for signal in signals:
            for listener in self._listeners:
                try:
                    listener(signal)
                except Exception:
                    log.exception("a listener failed on %s", signal.topic)
        for call in calls:
            if call.token.done():
                continue
            if call.error is not None:
                call.token.set_exception(call.error)
            else:
                call.token.set_result(call.value)
