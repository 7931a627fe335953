"""What happens after a commit, counted and traced: deliveries over a bus, tasks, timers. None of it is on the way of
a request."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tradepost.kernel.events import EventRow, Sweep, Task
from tradepost.kernel.world import World
from tradepost.telemetry.metrics import DELAYS, Board, Family, declare_metrics
from tradepost.telemetry.trace import carried

if TYPE_CHECKING:
    from tradepost.telemetry.spans import Spans

SPANS_A_PAGE_MAX = 16
"""Recorded traces of one page that get a span of their own; the others of that page get none."""

Deliver = Callable[[int, Sequence[EventRow], int], Awaitable[None]]

declare_metrics(
    [
        Family(
            "delivered_events", "counter", "Events that a subscription has taken over a bus.", ("consumer",)
        ),
        Family("delivery_failures", "counter", "Pages that a subscription could not take.", ("consumer",)),
        Family(
            "delivery_delay_seconds",
            "histogram",
            "Time from an event's commit until a subscription had taken it; the oldest of each page.",
            ("consumer",),
            DELAYS,
        ),
        Family("task_calls", "counter", "Attempts of tasks that act outside.", ("task", "outcome")),
        Family("task_seconds", "histogram", "Time of one attempt of a task.", ("task",)),
        Family("sweep_rows", "counter", "Rows that a timer found due and dealt with.", ("sweep",)),
        Family("sweep_failures", "counter", "Turns of a timer that failed.", ("sweep",)),
        Family(
            "holds_past_deadline",
            "counter",
            "Holds that reached their deadline: expired ones went back on sale, kept ones had their order.",
            ("outcome",),
        ),
    ]
)


class Publishing(Protocol):
    """A bus as far as it is watched; see `events.bus.Bus`."""

    def subscribe(self, name: str, types: Sequence[str], deliver: Deliver) -> None:
        """Deliver events of these types under a lasting name."""
        ...

    async def publish(self, shard: int, rows: Sequence[EventRow], upto: int) -> None:
        """Take the relay's next rows."""
        ...


class WatchedBus:
    """A bus around another one; everything that is not named here is the inner bus's own."""

    def __init__(self, bus: Publishing, world: World, board: Board, spans: Spans | None = None) -> None:
        self._bus = bus
        self._world = world
        self._spans = spans
        self._delivered = board.counter("delivered_events")
        self._failures = board.counter("delivery_failures")
        self._delays = board.histogram("delivery_delay_seconds")

    def __getattr__(self, name: str) -> Any:
        """The inner bus's own."""
        return getattr(self._bus, name)

    def subscribe(self, name: str, types: Sequence[str], deliver: Deliver) -> None:
        """See `Bus.subscribe`."""
        self._bus.subscribe(name, types, self._watch(name, deliver))

    async def publish(self, shard: int, rows: Sequence[EventRow], upto: int) -> None:
        """See `Bus.publish`."""
        with _spans_of(self._spans, "publish", "producer", rows):
            await self._bus.publish(shard, rows, upto)

    def _watch(self, name: str, deliver: Deliver) -> Deliver:
        delivered, delays = self._delivered.labels(name), self._delays.labels(name)
        failures = self._failures.labels(name)

        async def take(shard: int, rows: Sequence[EventRow], upto: int) -> None:
            try:
                with _spans_of(self._spans, f"consume {name}", "consumer", rows):
                    await deliver(shard, rows, upto)
            except Exception:
                failures.inc()
                raise
            if rows:
                delivered.inc(len(rows))
                oldest_ms = min(row.at_ms for row in rows)
                delays.observe(max(0, self._world.now_ms() - oldest_ms) / 1000)

        return take


@contextlib.contextmanager
def _spans_of(spans: Spans | None, name: str, kind: str, rows: Sequence[EventRow]) -> Iterator[None]:
    """A span in each trace that these rows carry. What is done inside belongs to a trace only when all rows do."""
    if spans is None:
        yield
        return
    parents = [carried(row.payload) for row in rows]
    known = list(dict.fromkeys(parent for parent in parents if parent))
    if len(known) == 1 and all(parents):
        with spans.step(name, kind, known[0], _facts(rows)):
            yield
        return
    with contextlib.ExitStack() as stack:
        for parent in known[:SPANS_A_PAGE_MAX]:
            mine = [row for row, carries in zip(rows, parents, strict=True) if carries == parent]
            stack.enter_context(spans.aside(name, kind, parent, _facts(mine)))
        yield


def _facts(rows: Sequence[EventRow]) -> dict[str, str | int]:
    return {
        "messaging.batch.message_count": len(rows),
        "tradepost.event_id": rows[0].event_id,
        "tradepost.event_type": rows[0].type,
    }


def watch_tasks(tasks: Iterable[Task], board: Board, spans: Spans | None = None) -> list[Task]:
    """The same tasks, their attempts counted, timed, and recorded in the trace of their event."""
    calls, seconds = board.counter("task_calls"), board.histogram("task_seconds")

    def watch(task: Task) -> Task:
        timer, act = seconds.labels(task.name), task.act

        async def attempt(row: EventRow) -> None:
            started, outcome = time.perf_counter(), "failed"
            try:
                with _spans_of(spans, f"task {task.name}", "consumer", [row]):
                    await act(row)
                outcome = "done"
            finally:
                calls.labels(task.name, outcome).inc()
                timer.observe(time.perf_counter() - started)

        return msgspec.structs.replace(task, act=attempt)

    return [watch(task) for task in tasks]


def watch_sweeps(sweeps: Iterable[Sweep], board: Board) -> list[Sweep]:
    """The same timers, with what they dealt with counted."""
    rows, failures = board.counter("sweep_rows"), board.counter("sweep_failures")

    def watch(sweep: Sweep) -> Sweep:
        dealt, failed, act = rows.labels(sweep.name), failures.labels(sweep.name), sweep.act

        async def turn(items: Sequence[Any]) -> None:
            try:
                await act(items)
            except Exception:
                failed.inc()
                raise
            dealt.inc(len(items))

        return msgspec.structs.replace(sweep, act=turn)

    return [watch(sweep) for sweep in sweeps]


def watch_claims(
    claim: Callable[[str, str], Awaitable[bool]], board: Board
) -> Callable[[str, str], Awaitable[bool]]:
    """The reaper's question whether a hold's checkout exists, with the answers counted: `kept` or `expired`."""
    counted = board.counter("holds_past_deadline")
    kept, expired = counted.labels("kept"), counted.labels("expired")

    async def ask(buyer_id: str, checkout_id: str) -> bool:
        exists = await claim(buyer_id, checkout_id)
        (kept if exists else expired).inc()
        return exists

    return ask
