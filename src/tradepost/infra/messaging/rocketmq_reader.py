"""Reading one subscription for as long as the process runs: a broken membership is replaced, after a growing wait."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from tradepost.infra.messaging.rocketmq_link import BrokerTrouble, GroupMissing, TopicMissing
from tradepost.infra.messaging.rocketmq_member import Arrived, Member

SIDE_BY_SIDE = 2
PAUSE_FIRST_S = 0.2
PAUSE_LONGEST_S = 5.0
PAUSE_MISSING_S = 15.0
HELD_S = 0.2

Take = Callable[[Sequence[Arrived]], Awaitable[Sequence[Arrived]]]
"""Deals with a page and says which messages need not come again; raising means none of them."""

log = logging.getLogger("tradepost.messaging")


class Weather:
    """Whether the broker does what it is asked to: one line in the log when it stops and one when it goes on."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._since_ms = 0
        self.troubles = 0

    @property
    def is_fair(self) -> bool:
        """No trouble since the last success."""
        return not self._since_ms

    def trouble(self, error: BaseException) -> None:
        """Something failed."""
        self.troubles += 1
        if not self._since_ms:
            self._since_ms = self._clock()
            log.warning("the message broker does not answer as it should: %s", error)

    def fine(self) -> None:
        """Something worked."""
        if self._since_ms:
            log.warning("the message broker answers again, after %s ms", self._clock() - self._since_ms)
            self._since_ms = 0


class Reader:
    """One subscription in this process: two pages of each broker at most are under way at a time."""

    def __init__(
        self,
        name: str,
        member: Callable[[], Member],
        take: Take,
        weather: Weather,
        chance: Callable[[int], int],
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        self._name = name
        self._member = member
        self._take = take
        self._weather = weather
        self._chance = chance
        self._held = held
        self._is_missing = False
        self._attempts: dict[tuple[str, int], str] = {}
        self.is_reading = False

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop`; pages under way are finished."""
        pause_s = PAUSE_FIRST_S
        while not stop.is_set():
            try:
                if await self._membership(stop):
                    pause_s = PAUSE_FIRST_S
                continue
            except BrokerTrouble as error:
                pause_s = self._note(error, pause_s)
            except Exception:
                log.exception("reading %s failed", self._name)
                pause_s = PAUSE_LONGEST_S
            rest_s = pause_s / 2 + pause_s / 2 * self._chance(16) / 65_536
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), rest_s)

    def _note(self, error: BrokerTrouble, pause_s: float) -> float:
        if isinstance(error, GroupMissing | TopicMissing):
            if not self._is_missing:
                log.error("%s cannot be read: %s", self._name, error)
            self._is_missing = True
            return PAUSE_MISSING_S
        self._weather.trouble(error)
        return min(PAUSE_LONGEST_S, pause_s * 2)

    async def _membership(self, stop: asyncio.Event) -> bool:
        """One membership from joining to leaving; True when it ended because of `stop`, else raises."""
        member = self._member()
        ended = asyncio.Event()
        try:
            await member.join()
            self._is_missing, self.is_reading = False, True
            self._weather.fine()
            works: list[Coroutine[Any, Any, None]] = [member.keep(ended)]
            works += [
                self._pump(member, broker, place, ended)
                for broker in member.brokers
                for place in range(SIDE_BY_SIDE)
            ]
            await _until(stop, ended, works)
            return True
        finally:
            self.is_reading = False
            await member.leave()

    async def _pump(self, member: Member, broker: Any, place: int, ended: asyncio.Event) -> None:
        """Page after page. After trouble the next membership asks with the same attempt, so none waits to be seen."""
        key = (broker.broker.name, place)
        while not ended.is_set():
            if self._held():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), HELD_S)
                continue
            attempt_id = self._attempts.setdefault(key, f"{self._chance(128):032x}")
            page = await _unless(ended, member.receive(broker, attempt_id))
            self._weather.fine()
            if page:
                done = await self._take(page)
                if done:
                    await member.acknowledge(done)
            self._attempts.pop(key)


async def _unless(ended: asyncio.Event, receiving: Coroutine[Any, Any, list[Arrived]]) -> list[Arrived]:
    """What is received, or nothing once `ended` is set."""
    work = asyncio.ensure_future(receiving)
    ending = asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait({work, ending}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else []
    finally:
        ending.cancel()
        work.cancel()


async def _until(
    stop: asyncio.Event, ended: asyncio.Event, works: Sequence[Coroutine[Any, Any, None]]
) -> None:
    """Run works side by side until `stop` or until one of them fails; then end the others and raise the failure."""
    tasks = [asyncio.ensure_future(work) for work in works]
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        ended.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        stopping.cancel()
        for task in tasks:
            task.cancel()  # only when this was cancelled itself: the others are done
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
