"""What stands between us and somebody we depend on: a bulkhead, a time limit and a breaker, in that order."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.stability.breaker import Breaker, BreakerTerms

T = TypeVar("T")

declare_problems(
    {
        "dependency.full": (
            Kind.OVERLOADED,
            "Too many calls to a dependency are under way",
            "Repeat the same request after Retry-After seconds; the call was not made.",
        ),
        "dependency.resting": (
            Kind.OVERLOADED,
            "A dependency failed too often and is left alone for a moment",
            "Repeat the same request after Retry-After seconds; the call was not made.",
        ),
        "dependency.late": (
            Kind.OVERLOADED,
            "A dependency did not answer in time",
            "Repeat the same request with the same key: the call may have had its effect.",
        ),
    }
)


class DependencyTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Calls under way at once, callers waiting for a place, and milliseconds a call may take, waiting included."""

    calls_max: int = 64
    waiting_max: int = 256
    timeout_ms: int = 10_000
    breaker: BreakerTerms = BreakerTerms()


class Bulkhead:
    """A bounded number of places and a bounded queue for them, first come, first served."""

    def __init__(self, places: int, waiting_max: int) -> None:
        self.free = places
        self._waiting_max = waiting_max
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Callers in the queue."""
        return len(self._waiting)

    def enter_now(self) -> bool:
        """Take a place if one is free."""
        if self.free <= 0:
            return False
        self.free -= 1
        return True

    async def enter(self) -> bool:
        """Take a place, after waiting for one; False when the queue is full."""
        if self.enter_now():
            return True
        if len(self._waiting) >= self._waiting_max:
            return False
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # it was given the place and is cancelled in the same moment
            else:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(place)
            raise
        return True

    def leave(self) -> None:
        """Give the place to the next in the queue, or back."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.free += 1


class Dependency:
    """`await dependency.run(lambda: provider.capture(call))`.

    Raises Refusal `dependency.full` and `dependency.resting` when the call was not made, `dependency.late` when its
    outcome is unknown, and what the call raises; every exception of the call counts as a failure but a Refusal,
    which is an answer.
    """

    def __init__(
        self,
        name: str,
        terms: DependencyTerms,
        now_ms: Callable[[], int],
        chance: Callable[[int], int],
    ) -> None:
        self.name = name
        self.terms = terms
        self.bulkhead = Bulkhead(terms.calls_max, terms.waiting_max)
        self.breaker = Breaker(terms.breaker, now_ms, chance)
        self.calls = 0
        self.failures = 0
        self.turned_away = 0

    async def run(self, make: Callable[[], Awaitable[T]]) -> T:
        """The answer of the call that `make` begins."""
        late = True
        try:
            async with asyncio.timeout(self.terms.timeout_ms / 1000):
                self._check_full(await self.bulkhead.enter())
                try:
                    self._check_resting()
                    late = False
                    return await self._counted(make)
                finally:
                    self.bulkhead.leave()
        except TimeoutError:
            code = "dependency.full" if late else "dependency.late"
            raise Refusal(code, f"{self.name} took longer than {self.terms.timeout_ms} ms.") from None

    async def _counted(self, make: Callable[[], Awaitable[T]]) -> T:
        self.calls += 1
        failed = True
        try:
            answer = await make()
            failed = False
        except Refusal:
            failed = False
            raise
        finally:
            self.failures += failed
            self.breaker.note(failed)
        return answer

    def _check_full(self, entered: bool) -> None:
        if not entered:
            self.turned_away += 1
            raise Refusal("dependency.full", f"{self.terms.calls_max} calls to {self.name} are under way.")

    def _check_resting(self) -> None:
        if not self.breaker.allows():
            self.turned_away += 1
            seconds = max(1, -(-self.breaker.rest_ms() // 1000))
            raise Refusal(
                "dependency.resting",
                f"{self.name} failed too often; it is asked again in {seconds} s.",
                extra={"retry_after_s": seconds},
            )

    def gauges(self) -> Mapping[str, int]:
        """Numbers for /metrics, by name."""
        return {
            f"dependency_{self.name}_calls": self.calls,
            f"dependency_{self.name}_failures": self.failures,
            f"dependency_{self.name}_turned_away": self.turned_away,
            f"dependency_{self.name}_under_way": self.terms.calls_max - self.bulkhead.free,
            f"dependency_{self.name}_open": int(not self.breaker.is_closed),
        }
