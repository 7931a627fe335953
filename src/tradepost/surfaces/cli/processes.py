"""Many processes as one command: API workers on one port and `work` processes, kept filled by a parent.

The parent holds the listening sockets and gives them to its children, so connections wait in the port's queue while
workers come and go, and none is refused. It opens no database and answers nobody, so there is nothing in it to break.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.settings import Settings
from tradepost.surfaces.cli.child import Child
from tradepost.surfaces.cli.tally import ABSENT, Tally, open_tally
from tradepost.surfaces.cli.worker import Letter

API = "api"
WORK = "work"
STOP_ORDER = (API, WORK)
"""Nobody is taken in any more before those stop who do what the last requests left to do."""
START_WAIT_S = 180.0
PAUSE_FIRST_S = 0.1
PAUSE_LONGEST_S = 10.0
STEADY_S = 10.0
"""A worker that lived as long as this is started again at once when it dies."""
SILENT_MAX_S = 60.0
"""An event loop that was not heard of for so long is stuck; its process is killed and its place filled."""
WATCH_EVERY_S = 2.0
LINGER_S = 1.0
DRAIN_S = 10.0

log = logging.getLogger("tradepost.processes")
T = TypeVar("T")

declare_problems(
    {
        "server.one_process": (
            Kind.INVALID,
            "One database file has one server process",
            "Serve SQLite with one worker and no work process, or use a database that many processes may share.",
        ),
    }
)


class Crew(msgspec.Struct, frozen=True, kw_only=True):
    """So many places of one kind, each filled by a process that opens `factory` (`package.module:open_worker`).

    `listening` is the socket their applications are served on, None for processes that serve nobody. They are
    numbered from `first` on.
    """

    kind: str
    factory: str
    count: int
    listening: socket.socket | None = None
    first: int = 1


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a parent keeps running. `overlap` starts a successor before its predecessor ends, for what may be open
    twice; `folder` is where processes ask each other for metrics, a private one of its own when it is empty.
    `read_settings` reads them again before every process is replaced; a Refusal leaves all as it was.
    """

    settings: Settings
    crews: Sequence[Crew]
    overlap: bool = True
    folder: str = ""
    linger_s: float = LINGER_S
    drain_s: float = DRAIN_S
    start_wait_s: float = START_WAIT_S
    silent_max_s: float = SILENT_MAX_S
    read_settings: Callable[[], Settings] | None = None


def check_counts(*, shared: bool, workers: int, work: int, elsewhere: bool = False) -> None:
    """Raise Refusal `server.one_process` for more than one process on a database that only one may own.

    `elsewhere` says that relays and timers are left to another command.
    """
    if not shared and elsewhere:
        raise Refusal(
            "server.one_process",
            "Relays and timers cannot run elsewhere: the file has one owner.",
            field="server.works_elsewhere",
            expected="false",
        )
    if not shared and (workers != 1 or work != 0):
        raise Refusal(
            "server.one_process",
            f"{workers} API workers and {work} work processes cannot share one file.",
            field="server.workers",
            expected="1 worker and 0 work processes",
        )


def run_plan(plan: Plan, greeting: str = "") -> int:
    """Keep the plan running until SIGTERM or SIGINT, then stop in order; SIGHUP replaces every process in turn.

    Returns the exit status: 0, or that of a worker that could not be started when everything began. A second SIGINT
    or SIGTERM ends all at once.
    """
    with contextlib.ExitStack() as stack:
        if not plan.folder:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tradepost-"))
            plan = msgspec.structs.replace(plan, folder=folder)
        return asyncio.run(Staff(plan).run(greeting))


class Place:
    """One place to keep filled."""

    def __init__(self, crew: Crew, number: int, index: int, tally: int) -> None:
        self.index = index
        self.tally = Tally(tally, index)
        self.name = f"{crew.kind}-{number}"
        self.crew = crew
        self.number = number
        self.starts = 0
        self.child: Child | None = None
        self.once_ready = False
        self.renew = asyncio.Event()
        self.renewed = asyncio.Event()


class Staff:
    """The parent. Create it on a running event loop."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._settings = plan.settings
        self._tally = open_tally()
        numbered = [
            (crew, number) for crew in plan.crews for number in range(crew.first, crew.first + crew.count)
        ]
        self.places = [
            Place(crew, number, index, self._tally) for index, (crew, number) in enumerate(numbered)
        ]
        self._stop = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None
        self._failed = 0
        self._signals = 0

    async def run(self, greeting: str = "") -> int:
        """See `run_plan`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self.renew_all)
        keeping = [asyncio.ensure_future(self._keep(place)) for place in self.places]
        watching = asyncio.ensure_future(self._watch())
        try:
            if greeting and await self._all_ready():
                print(greeting, flush=True)
            await self._stop.wait()
            for kind in STOP_ORDER:
                await asyncio.gather(
                    *(self._retire(place) for place in self.places if place.crew.kind == kind)
                )
            await asyncio.gather(*keeping)
        finally:
            for task in (*keeping, watching, *([self._renewing] if self._renewing else [])):
                task.cancel()
            await asyncio.gather(*(place.child.kill() for place in self.places if place.child is not None))
        return self._failed

    def renew_all(self) -> None:
        """Replace every process, one after the other; asking again while that goes on changes nothing."""
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.ensure_future(self._renew_in_turn())

    def _told_to_stop(self) -> None:
        self._signals += 1
        self._stop.set()
        if self._signals > 1:
            for place in self.places:
                if place.child is not None:
                    place.child.abandon()

    async def _all_ready(self) -> bool:
        """Wait until every place was filled once, or something failed for good."""
        while not self._stop.is_set():
            waiting = [place for place in self.places if not place.once_ready]
            if not waiting:
                return True
            await asyncio.sleep(0.02)
        return False

    async def _keep(self, place: Place) -> None:
        """Keep one place filled until told to stop."""
        pause_s = 0.0
        while not self._stop.is_set():
            if place.child is None and not await self._fill(place):
                if self._stop.is_set():
                    return
            else:
                await self._until(place)
                if self._stop.is_set():
                    return
                if place.renew.is_set():
                    await self._replace(place)
                    continue
            child = place.child
            if child is None:
                continue
            lived_s, place.child = child.lived_s(), None
            place.tally.write(ABSENT)
            pause_s = (
                PAUSE_FIRST_S
                if lived_s >= STEADY_S
                else min(PAUSE_LONGEST_S, max(PAUSE_FIRST_S, 2 * pause_s))
            )
            log.error("%s ended with status %s after %.1f s; its place is filled again in %.1f s",
                      place.name, child.status, lived_s, pause_s)  # fmt: skip
            await _first(self._stop.wait(), asyncio.sleep(pause_s))

    async def _fill(self, place: Place) -> bool:
        """Start a child in an empty place; False when it did not get ready. A start-up that fails ends everything."""
        try:
            place.child = self._start(place)
        except OSError as error:  # no process, memory or file to be had: the place is tried again later
            log.error("%s could not be started: %s", place.name, error)
            if not place.once_ready:
                self._failed = 1
                self._stop.set()
            await _first(self._stop.wait(), asyncio.sleep(PAUSE_LONGEST_S))
            return False
        if await self._gets_ready(place.child):
            place.once_ready = True
            log.info("%s is ready, pid %s", place.name, place.child.pid)
            return True
        if not self._stop.is_set() and not place.once_ready:
            self._failed = place.child.status if place.child.status > 0 else 1
            log.error("%s could not be started; everything stops", place.name)
            self._stop.set()
        return False

    def _start(self, place: Place) -> Child:
        place.starts += 1
        plan, crew = self._plan, place.crew
        letter = Letter(
            name=place.name,
            number=place.number,
            factory=crew.factory,
            settings=self._settings,
            listening=-1,
            channel=-1,
            tally=-1,
            place=place.index,
            folder=plan.folder,
            starts=place.starts,
            linger_s=plan.linger_s if crew.listening is not None else 0.0,
            drain_s=plan.drain_s,
        )
        return Child(letter, -1 if crew.listening is None else crew.listening.fileno(), self._tally)

    async def _gets_ready(self, child: Child) -> bool:
        """Wait for a child's word; one that is too slow is killed. Also ends when told to stop."""
        await _first(
            child.ready.wait(), child.gone.wait(), self._stop.wait(), asyncio.sleep(self._plan.start_wait_s)
        )
        if child.ready.is_set() and not child.gone.is_set():
            return True
        if not child.gone.is_set() and not self._stop.is_set():
            log.error("%s was not ready in %.0f s and is killed", child.name, self._plan.start_wait_s)
            await child.kill()
        return False

    async def _until(self, place: Place) -> None:
        """Wait until the child has gone, a replacement is wanted, or the end is near."""
        assert place.child is not None
        await _first(place.child.gone.wait(), place.renew.wait(), self._stop.wait())

    async def _renew_in_turn(self) -> None:
        if self._plan.read_settings is not None:
            try:
                self._settings = self._plan.read_settings()
            except Refusal as refusal:
                log.error("the new settings are refused and nothing is replaced: %s", refusal)
                return
        log.info("every process is replaced in turn")
        for place in self.places:
            if self._stop.is_set():
                return
            place.renewed.clear()
            place.renew.set()
            await _first(place.renewed.wait(), self._stop.wait())
        log.info("every process was replaced")

    async def _replace(self, place: Place) -> None:
        """Put a fresh child in a place. With overlap the old one goes on serving if the fresh one cannot start."""
        old = place.child
        assert old is not None
        if not self._plan.overlap:
            await old.retire()
            place.child = None
            await self._fill(place)
        else:
            try:
                fresh = self._start(place)
            except OSError as error:
                log.error("%s keeps its old process: %s", place.name, error)
                place.renew.clear()
                place.renewed.set()
                return
            if await self._gets_ready(fresh):
                place.child = fresh
                log.info("%s is replaced: pid %s by %s", place.name, old.pid, fresh.pid)
                await old.retire()
            elif self._stop.is_set():
                await fresh.kill()
            else:
                log.error("%s keeps its old process: the fresh one ended with %s", place.name, fresh.status)
        place.renew.clear()
        place.renewed.set()

    async def _retire(self, place: Place) -> None:
        if place.child is not None:
            await place.child.retire()

    async def _watch(self) -> None:
        """Kill children whose event loops are stuck."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            for place in self.places:
                child = place.child
                if child is not None and child.ready.is_set() and child.silent_s() > self._plan.silent_max_s:
                    log.error("%s was not heard of for %.0f s and is killed", place.name, child.silent_s())
                    child.abandon()


async def _first(*awaitables: Awaitable[T]) -> None:
    """Wait for the first of them; the others are called off."""
    tasks = [asyncio.ensure_future(one) for one in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
