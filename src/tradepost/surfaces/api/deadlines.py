"""A bound on the time a caller waits, whatever the request waits for: the work goes on, the caller is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.surfaces.api.operation import Operation
from tradepost.surfaces.api.raw import Send
from tradepost.telemetry.trace import TRACE_ID
from tradepost.trade.payments import Providers

LOOK_S_MIN = 0.01
RETRY_AFTER_S = 2

declare_problems(
    {
        "request.deadline": (
            Kind.OVERLOADED,
            "Not answered in time",
            "Repeat the same request with the same Idempotency-Key after Retry-After seconds: what the first one did or"
            " still does is done once, and its answer is given. A request that only reads is simply sent again.",
        )
    }
)


class Waiting:
    """A request under way. `late` once its caller was told that the time is up: its own answer is not sent then."""

    __slots__ = ("late", "operation", "over", "send", "started", "task", "trace")

    def __init__(self, operation: Operation, send: Send, started: float, task: Any, trace: str) -> None:
        self.operation = operation
        self.send = send
        self.started = started
        self.task = task
        self.trace = trace
        self.late = self.over = False


class Deadlines:
    """The requests under way, oldest first, and one timer for all of them: a request costs an entry, no timer.

    `tell` answers a caller whose time is up. While a payment provider is waited for, the provider's own patience is
    added: what it says is worth more to the buyer than that nobody knows. A `deadline_ms` of 0 is no bound.
    """

    def __init__(
        self, deadline_ms: int, providers: Providers, tell: Callable[[Waiting], Awaitable[None]]
    ) -> None:
        self._limit_s = deadline_ms / 1000
        self._providers = providers
        self._tell = tell
        self._waiting: dict[Waiting, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._telling: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, operation: Operation, send: Send, started: float) -> Waiting:
        """Enter a request that began at `started` (perf_counter); bulk operations take as long as they take."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # a system call; every request asks for its task
        waiting = Waiting(operation, send, started, asyncio.current_task(self._loop), TRACE_ID.get())
        if self._limit_s and not operation.bulk:
            self._waiting[waiting] = None
            if self._timer is None:
                self._watch(self._limit_s)
        return waiting

    def end(self, waiting: Waiting) -> None:
        """The request has its answer, or none at all."""
        waiting.over = True
        self._waiting.pop(waiting, None)

    def _watch(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(max(seconds, LOOK_S_MIN), self._look)

    def _look(self) -> None:
        """Tell those whose time is up; look again when that of the oldest one is."""
        self._timer = None
        last = time.perf_counter() - self._limit_s
        while self._waiting:
            oldest = next(iter(self._waiting))
            if oldest.started > last:
                self._watch(oldest.started - last)
                return
            del self._waiting[oldest]
            if self._providers.is_waited_for_by(oldest.task):
                patience_s = self._providers.call_timeout_ms / 1000
                asyncio.get_running_loop().call_later(patience_s, self._give_up, oldest)
            else:
                self._give_up(oldest)

    def _give_up(self, waiting: Waiting) -> None:
        if waiting.over:
            return
        waiting.late = True
        telling = asyncio.ensure_future(self._tell(waiting))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    def refusal(self, waiting: Waiting) -> Refusal:
        """What a caller is told whose time is up."""
        waited = f"It was not answered within {time.perf_counter() - waiting.started:.0f} s"
        retry: dict[str, Any] = {"retry_after_s": RETRY_AFTER_S}
        if waiting.operation.method == "GET":
            return Refusal("request.deadline", f"{waited}. Nothing was changed.", extra=retry)
        told = f"{waited}. Whether it is done is unknown."
        if waiting.operation.keyed:
            told += " The same Idempotency-Key gives its answer."
        return Refusal("request.deadline", told, extra={**retry, "outcome": "unknown"})
