"""Group commit: many works and batches in one durable transaction, each failure kept to its own caller.

Adapter-neutral: it drives an Engine (begin, commit, savepoints, a Tx) and knows nothing of threads or sockets.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import BATCH_ITEMS_MAX, BatchHandler, Signal, Taken, Tx

RUNS_MAX = 3
"""Runs of a lost transaction where nobody else writes: then it is not the others that are in the way."""
log = logging.getLogger("tradepost.storage")
QUEUE_CALLS_MAX = 4096
GROUP_CALLS_MAX = 128
BATCH_ROWS_MAX = 4096
GROUP_BOUNDS = tuple(1 << power for power in range(13))
"""Upper bounds of the classes in which groups are counted by their calls."""


class Call:
    """One waiting caller: a work with its arguments, or an item for a batch handler. Answered exactly once."""

    __slots__ = ("args", "error", "handler", "item", "kwargs", "token", "value", "work")

    def __init__(
        self,
        token: Any,
        *,
        work: Callable[..., Any] | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        handler: BatchHandler[Any, Any] | None = None,
        item: Any = None,
    ) -> None:
        self.token = token
        self.work = work
        self.args = args
        self.kwargs = kwargs or {}
        self.handler = handler
        self.item = item
        self.value: Any = None
        self.error: BaseException | None = None


class TransactionLost(Exception):
    """The database dropped the whole transaction; nothing of the group stands."""


class OutcomeUnknown(Exception):
    """COMMIT was sent and nobody can tell within the time allowed what became of it."""


class Engine(Protocol):
    """What group commit needs of a database connection."""

    @property
    def tx(self) -> Tx:
        """The view that works and handlers get."""
        ...

    def begin(self, guarded: bool = False) -> None:
        """Open a write transaction. In a guarded one `flush` writes at once, so that a failure has an author."""
        ...

    def commit(self) -> list[Signal]:
        """Make it durable; the signals of everything that stands. Raises TransactionLost when it does not.

        Raises OutcomeUnknown when nobody can tell, and Taken for an event that was recorded before.
        """
        ...

    def pause(self, runs: int, lost: TransactionLost) -> bool:
        """Rest after so many lost runs, where another writer may be in the way; False when no more are worth it."""
        ...

    def rollback(self) -> None:
        """Drop the transaction if there still is one."""
        ...

    def flush(self) -> None:
        """Write what was emitted."""
        ...

    def savepoint(self) -> None:
        """Mark the place to which `undo` returns."""
        ...

    def keep(self) -> None:
        """Write what the work emitted and forget the mark."""
        ...

    def undo(self) -> None:
        """Return to the mark. Raises TransactionLost when the transaction is gone."""
        ...


def unavailable() -> Refusal:
    """The refusal of a caller whose commit failed; the cause is not theirs to read."""
    return Refusal(
        "storage.unavailable",
        "The database did not commit. Nothing of this request stands unless a repeat says so.",
        extra={"retry_after_s": 2},
    )


def outcome_unknown(why: str) -> Refusal:
    """The refusal of a caller whose commit may stand or not: a repeat under the same key finds out."""
    return Refusal(
        "storage.unavailable",
        f"{why} Whether it was committed is unknown.",
        extra={"retry_after_s": 1, "outcome": "unknown"},
    )


def refuse_group(calls: Sequence[Call], cause: BaseException, refusal: Refusal | None = None) -> None:
    """Refuse every caller of a group that could not be committed; the cause goes to the log, once."""
    log.warning("a group was not committed: %s", f"{type(cause).__name__}: {cause}")
    for call in calls:
        call.value, call.error = None, refusal or unavailable()


def overloaded() -> Refusal:
    """The refusal of a full queue: nothing was changed, come back in a second."""
    return Refusal(
        "storage.overloaded",
        f"More than {QUEUE_CALLS_MAX} calls are waiting.",
        extra={"retry_after_s": 1},
    )


def run_group(engine: Engine, calls: Sequence[Call]) -> list[Signal]:
    """Run the calls in one transaction and fill each call's value or error; the signals to deliver.

    A transaction the database drops is rerun whole, as often as the engine finds worth it, then every caller gets
    `storage.unavailable`. A group in which a batch fails is run once more with each batch behind a savepoint.
    """
    guarded, runs = False, 0
    while True:
        for call in calls:
            call.value = call.error = None
        try:
            engine.begin(guarded)
            run = _run_guarded if guarded else _run_hopeful
            answered = run(engine, calls)
            signals = engine.commit()
        except TransactionLost as error:
            engine.rollback()
            runs += 1
            if not engine.pause(runs, error):
                refuse_group(calls, error.__cause__ or error)
                return []
        except OutcomeUnknown as error:
            engine.rollback()
            refuse_group(calls, error, outcome_unknown("The connection was lost while this was committed."))
            return []
        except Exception:
            engine.rollback()
            if guarded:
                raise
            guarded = True
        else:
            for chunk, results in answered:
                _answer(chunk, results)
            return signals


Answered = list[tuple[list[Call], Sequence[Any]]]


def _run_hopeful(engine: Engine, calls: Sequence[Call]) -> Answered:
    """Batches without savepoints, so that SQLite copies no page aside; then the works, each behind its own."""
    answered: Answered = []
    for chunk in _batches(calls):
        answered.append((chunk, _handle(engine, chunk)))
        engine.flush()
    for call in calls:
        if call.handler is None:
            _run_work(engine, call)
    return answered


def _batches(calls: Sequence[Call]) -> list[list[Call]]:
    waiting: dict[str, list[Call]] = {}
    for call in calls:
        if call.handler is not None:
            waiting.setdefault(call.handler.name, []).append(call)
    return [chunk for items in waiting.values() for chunk in chunks(items)]


def _handle(engine: Engine, calls: Sequence[Call]) -> Sequence[Any]:
    handler = calls[0].handler
    assert handler is not None
    results = handler.handle(engine.tx, [call.item for call in calls])
    if len(results) != len(calls):
        raise ValueError(f"{handler.name} answered {len(results)} of {len(calls)} items")
    return results


def _run_guarded(engine: Engine, calls: Sequence[Call]) -> Answered:
    """Every batch and work behind a savepoint of its own."""
    for chunk in _batches(calls):
        _run_batch(engine, chunk)
    for call in calls:
        if call.handler is None:
            _run_work(engine, call)
    return []


def chunks(waiting: Sequence[Call]) -> list[list[Call]]:
    """Batches of at most 256 items and 4096 rows; an item larger than that stands alone."""
    found: list[list[Call]] = []
    rows = BATCH_ROWS_MAX + 1
    for call in waiting:
        assert call.handler is not None
        weight = call.handler.rows_of(call.item) if call.handler.rows_of else 1
        if rows + weight > BATCH_ROWS_MAX or len(found[-1]) == BATCH_ITEMS_MAX:
            found.append([])
            rows = 0
        found[-1].append(call)
        rows += weight
    return found


def _run_work(engine: Engine, call: Call) -> None:
    """Run one work behind a savepoint; what somebody else did since it looked is seen by a second run."""
    assert call.work is not None
    for runs_left in (1, 0):
        engine.savepoint()
        try:
            call.value = call.work(engine.tx, *call.args, **call.kwargs)
            engine.keep()
        except TransactionLost:
            raise
        except Exception as error:
            engine.undo()
            call.value, call.error = None, error
            if not isinstance(error, Taken) or not runs_left:
                return
        else:
            call.error = None
            return


def _run_batch(engine: Engine, calls: Sequence[Call], *, again: bool = True) -> None:
    """Run a batch behind a savepoint, its halves when it fails, and an item alone once more after `Taken`."""
    engine.savepoint()
    try:
        results = _handle(engine, calls)
        engine.keep()
    except TransactionLost:
        raise
    except Exception as error:
        engine.undo()
        if len(calls) == 1:
            if again and isinstance(error, Taken):
                _run_batch(engine, calls, again=False)
            else:
                calls[0].error = error
            return
        middle = len(calls) // 2
        _run_batch(engine, calls[:middle])
        _run_batch(engine, calls[middle:])
        return
    _answer(calls, results)


def _answer(calls: Sequence[Call], results: Sequence[Any]) -> None:
    for call, result in zip(calls, results, strict=True):
        if isinstance(result, Refusal):
            call.error = result
        else:
            call.value = result
