"""Traces through the storage: a recorded request's commit is a span, and the events it writes carry its trace.

The wrapper stands only where traces are on. A request that is not recorded passes it for the price of reading one
context variable. A recorded item of a batch handler runs as a work of its own in the same group commit, because a
batch mixes the requests of many traces and could not tell whose event is whose.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow
from tradepost.kernel.tx import BatchHandler, Storage, Tx
from tradepost.telemetry.spans import Spans
from tradepost.telemetry.trace import carry, traceparent


class TracedStorage:
    """The storage port around another one; everything that is not named here is the inner storage's own."""

    def __init__(self, db: Storage, spans: Spans) -> None:
        self._db = db
        self._spans = spans

    def __getattr__(self, name: str) -> Any:
        """The inner storage's own."""
        return getattr(self._db, name)

    def transact(self, shard: int, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """See `kernel.tx.Storage.transact`."""
        parent = traceparent()
        if not parent:
            return self._db.transact(shard, work, *args, **kwargs)
        return self._commit(shard, _name_of(work, args), run_traced, work, *args, **kwargs)

    def batch(self, shard: int, handler: BatchHandler[Any, Any], item: Any) -> Awaitable[Any]:
        """See `kernel.tx.Storage.batch`."""
        if not traceparent():
            return self._db.batch(shard, handler, item)
        return self._commit(shard, handler.name, run_alone, handler.name, item)

    async def _commit(
        self, shard: int, name: str, run: Callable[..., Any], what: Any, *args: Any, **kwargs: Any
    ) -> Any:
        facts: dict[str, str | int] = {"tradepost.shard": shard}
        with self._spans.step(f"commit {name.rpartition(':')[2]}", "client", traceparent(), facts):
            return await self._db.transact(shard, run, traceparent(), what, *args, **kwargs)


def _name_of(work: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """The work's name; of one that runs another under a key, the other's as well."""
    names = [
        getattr(work, "__name__", "work"),
        *[one.__name__ for one in args if hasattr(one, "__name__")][:1],
    ]
    return " ".join(names)


class _TracedTx:
    """A Tx whose events carry a trace."""

    def __init__(self, tx: Tx, parent: str) -> None:
        self._tx = tx
        self._parent = parent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def emit(self, rows: Iterable[EventRow]) -> None:
        """See `kernel.tx.Tx.emit`."""
        self._tx.emit(
            [msgspec.structs.replace(row, payload=carry(row.payload, self._parent)) for row in rows]
        )


def run_traced(tx: Tx, parent: str, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a work so that the events it emits carry this `traceparent`."""
    return work(cast(Tx, _TracedTx(tx, parent)), *args, **kwargs)


def run_alone(tx: Tx, parent: str, name: str, item: Any) -> Any:
    """Run one item of the batch handler of this name under a trace. Raises the Refusal that the handler answers."""
    result = _find(name).handle(cast(Tx, _TracedTx(tx, parent)), [item])[0]
    if isinstance(result, Refusal):
        raise result
    return result


@functools.cache
def _find(name: str) -> BatchHandler[Any, Any]:
    """The handler called `package.module:ATTRIBUTE`."""
    module, _, attribute = name.partition(":")
    return cast(BatchHandler[Any, Any], getattr(importlib.import_module(module), attribute))
