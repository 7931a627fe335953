"""Writers of one shard: which engines they drive, the order in which their commits are told, and a pool of threads."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from tradepost.infra.storage.group import (
    GROUP_CALLS_MAX,
    QUEUE_CALLS_MAX,
    Call,
    Engine,
    overloaded,
    refuse_group,
    run_group,
)
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Signal

Deliver = Callable[[list[Signal], list[Call]], None]


class EngineSpec(msgspec.Struct, frozen=True):
    """How a writer process opens its engines: `maker` names `package.module:function`, called with `facts`.

    `writers` is how many engines that gives. It travels over the private socket, never on a command line.
    """

    maker: str
    facts: bytes
    writers: int = 1


def open_engines(spec: EngineSpec, tickets: Tickets | None) -> Sequence[Any]:
    """The engines of a spec."""
    module, _, name = spec.maker.partition(":")
    engines: Sequence[Any] = getattr(importlib.import_module(module), name)(spec.facts, tickets)
    return engines


class Tickets:
    """The order in which groups of several writers are told: that of their commits, where it matters.

    A group with signals takes a ticket while it still holds its row locks; one that conflicts with it can only
    take a later one. Delivering waits for earlier tickets; groups without signals wait for nobody.
    """

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._lock = threading.Lock()
        self._last = 0
        self._waiting: dict[int, tuple[list[Signal], list[Call]] | None] = {}

    def take(self) -> int:
        """The next place in the line."""
        with self._lock:
            self._last += 1
            self._waiting[self._last] = None
            return self._last

    def give_back(self, ticket: int) -> None:
        """The commit failed: nobody waits for it."""
        with self._lock:
            self._waiting.pop(ticket, None)
            self._pass_on()

    def deliver(self, ticket: int, signals: list[Signal], calls: list[Call]) -> None:
        """Tell a group when its turn comes; at once with ticket 0."""
        with self._lock:
            if not ticket:
                self._deliver(signals, calls)
                return
            self._waiting[ticket] = (signals, calls)
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            first = next(iter(self._waiting))
            group = self._waiting[first]
            if group is None:
                return
            del self._waiting[first]
            self._deliver(*group)


class TicketedEngine(Engine, Protocol):
    """An engine that shares its shard with others."""

    ticket: int

    def close(self) -> None:
        """Release the connection."""
        ...


class ThreadWriters:
    """Threads that drain one queue, each with an engine of its own; one group is committed while another is run."""

    def __init__(
        self,
        engines: Sequence[TicketedEngine],
        tickets: Tickets,
        group_max: int = GROUP_CALLS_MAX,
        *,
        queue_max: int = 0,
    ) -> None:
        self._tickets = tickets
        self._group_max = group_max
        self._queue_max = queue_max or QUEUE_CALLS_MAX
        self._waiting: deque[Call] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._run, args=(engine,), name=f"writer-{number}", daemon=True)
            for number, engine in enumerate(engines)
        ]
        for thread in self._threads:
            thread.start()

    def depth(self) -> int:
        """Calls waiting for their group."""
        return len(self._waiting)

    def submit(self, call: Call) -> None:
        """Queue one call. Raises Refusal `storage.overloaded` when the queue is full."""
        if self._closing:
            raise closed()
        if len(self._waiting) >= self._queue_max:
            raise overloaded()
        with self._wake:
            self._waiting.append(call)
            self._wake.notify()

    async def close(self) -> None:
        """Run what is queued, then end the threads."""
        await asyncio.get_running_loop().run_in_executor(None, self.finish)

    def finish(self) -> None:
        """The same for a caller without an event loop."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self, engine: TicketedEngine) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closing:
                    self._wake.wait()
                if not self._waiting:
                    break
                size = min(len(self._waiting), self._group_max)
                group = [self._waiting.popleft() for _ in range(size)]
            try:
                signals = run_group(engine, group)
            except Exception as error:
                engine.rollback()
                signals = []
                refuse_group(group, error)
            self._tickets.deliver(engine.ticket if signals else 0, signals, group)
        engine.close()


def closed() -> Refusal:
    """The refusal of a storage that is closing."""
    return Refusal(
        "storage.unavailable", "The storage is closing. Nothing was changed.", extra={"retry_after_s": 1}
    )
