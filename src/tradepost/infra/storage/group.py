"""Group commit: many works and batches in one durable transaction, each failure kept to its own caller.

Adapter-neutral: it drives an Engine (begin, commit, savepoints, a Tx) and knows nothing of threads or sockets.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import BATCH_ITEMS_MAX, BatchHandler, Signal, Tx

RERUNS_MAX = 3
log = logging.getLogger("tradepost.storage")
QUEUE_CALLS_MAX = 4096
GROUP_CALLS_MAX = 1024
BATCH_ROWS_MAX = 4096


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


class Engine(Protocol):
    """What group commit needs of a database connection."""

    @property
    def tx(self) -> Tx:
        """The view that works and handlers get."""
        ...

    def begin(self) -> None:
        """Open a write transaction."""
        ...

    def commit(self) -> list[Signal]:
        """Make it durable; the signals of everything that stands. Raises TransactionLost when it does not."""
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


def unavailable(error: BaseException) -> Refusal:
    """The refusal of callers whose group could not be committed; the cause goes to the log, not to them."""
    log.error("a group was not committed: %s: %s", type(error).__name__, error)
    return Refusal(
        "storage.unavailable",
        "The database did not commit. Nothing of this request stands unless a repeat says so.",
        extra={"retry_after_s": 2},
    )


def overloaded() -> Refusal:
    """The refusal of a full queue: nothing was changed, come back in a second."""
    return Refusal(
        "storage.overloaded",
        f"More than {QUEUE_CALLS_MAX} calls are waiting.",
        extra={"retry_after_s": 1},
    )


def run_group(engine: Engine, calls: Sequence[Call]) -> list[Signal]:
    """Run the calls in one transaction and fill each call's value or error; the signals to deliver.

    A transaction the database drops is rerun whole up to three times, then every caller gets
    `storage.unavailable`.
    """
    lost: BaseException = TransactionLost()
    if _is_one_batch(calls):
        signals = _run_plain(engine, calls)
        if signals is not None:
            return signals
    for _ in range(RERUNS_MAX):
        for call in calls:
            call.value = call.error = None
        try:
            engine.begin()
            _run_calls(engine, calls)
            return engine.commit()
        except TransactionLost as error:
            lost = error.__cause__ or error
            engine.rollback()
    refusal = unavailable(lost)
    for call in calls:
        call.value, call.error = None, refusal
    return []


def _is_one_batch(calls: Sequence[Call]) -> bool:
    handler = calls[0].handler
    return (
        handler is not None
        and len(calls) <= BATCH_ITEMS_MAX
        and all(call.handler is handler for call in calls)
        and len(chunks(calls)) == 1
    )


def _run_plain(engine: Engine, calls: Sequence[Call]) -> list[Signal] | None:
    """One batch alone needs no savepoint: SQLite then copies no page aside. None sends the group the guarded way."""
    handler = calls[0].handler
    assert handler is not None
    try:
        engine.begin()
        results = handler.handle(engine.tx, [call.item for call in calls])
        if len(results) != len(calls):
            raise ValueError(f"{handler.name} answered {len(results)} of {len(calls)} items")
        engine.flush()
        signals = engine.commit()
    except Exception:
        engine.rollback()
        return None
    _answer(calls, results)
    return signals


def _run_calls(engine: Engine, calls: Sequence[Call]) -> None:
    batches: dict[str, list[Call]] = {}
    for call in calls:
        if call.handler is not None:
            batches.setdefault(call.handler.name, []).append(call)
        else:
            _run_work(engine, call)
    for waiting in batches.values():
        for chunk in chunks(waiting):
            _run_batch(engine, chunk)


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
    engine.savepoint()
    try:
        assert call.work is not None
        call.value = call.work(engine.tx, *call.args, **call.kwargs)
        engine.keep()
    except TransactionLost:
        raise
    except Exception as error:
        engine.undo()
        call.value, call.error = None, error


def _run_batch(engine: Engine, calls: Sequence[Call]) -> None:
    handler = calls[0].handler
    assert handler is not None
    engine.savepoint()
    try:
        results = handler.handle(engine.tx, [call.item for call in calls])
        if len(results) != len(calls):
            raise ValueError(f"{handler.name} answered {len(results)} of {len(calls)} items")
        engine.keep()
    except TransactionLost:
        raise
    except Exception as error:
        engine.undo()
        if len(calls) == 1:
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
