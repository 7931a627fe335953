"""The storage port in memory: real SQL and real group commit, seeded delays, and a power cord that can be pulled."""

from __future__ import annotations

import asyncio
import importlib
import logging
import pkgutil
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.schema import CreateIndex, CreateTable

from tradepost.infra.storage import tables
from tradepost.infra.storage.group import (
    GROUP_CALLS_MAX,
    QUEUE_CALLS_MAX,
    Call,
    TransactionLost,
    overloaded,
    refuse_group,
    run_group,
)
from tradepost.infra.storage.sqlite_engine import SqliteEngine, SqliteTx
from tradepost.infra.storage.tables.columns import METADATA
from tradepost.kernel.events import EventRow
from tradepost.kernel.tx import BatchHandler, Signal, Value
from tradepost.testing.simulation.weather import Weather

BEFORE = "before"
AFTER = "after"
log = logging.getLogger("tradepost.simulation")


class PowerCut(BaseException):
    """The process ends here; no handler of the platform may catch it."""


@cache
def _schema() -> tuple[str, ...]:
    for module in pkgutil.iter_modules(tables.__path__):
        importlib.import_module(f"{tables.__name__}.{module.name}")
    dialect = create_engine("sqlite://").dialect
    statements = []
    for table in METADATA.sorted_tables:
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        statements += [
            str(CreateIndex(index).compile(dialect=dialect))
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
    return tuple(statements)


class FragileEngine(SqliteEngine):
    """One shard's database. `armed` pulls the cord at the next commit, `losses` lets transactions be lost."""

    def __init__(self, shard: int, shards: int) -> None:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        for statement in _schema():
            connection.execute(statement)
        super().__init__(connection, shard, shards)
        self.armed = ""
        self.losses = 0

    def commit(self) -> list[Signal]:
        """See `SqliteEngine.commit`. Raises PowerCut before or after the commit when armed."""
        armed, self.armed = self.armed, ""
        if armed == BEFORE:
            raise PowerCut
        if self.losses:
            self.losses -= 1
            raise TransactionLost("the simulation lost it")
        signals = super().commit()
        if armed == AFTER:
            raise PowerCut
        return signals


class _ReadTx(SqliteTx):
    """A reader: writing is a defect of the query."""

    def execute(self, sql: str, params: Sequence[Value] = ()) -> int:
        raise AssertionError(f"a query writes: {sql[:60]}")

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> int:
        raise AssertionError(f"a query writes: {sql[:60]}")

    def emit(self, rows: Iterable[EventRow]) -> None:
        raise AssertionError("a query emits events")


class Databases:
    """What survives a crash: the committed state of every shard."""

    def __init__(self, shards: int, engine: Callable[[int, int], FragileEngine] = FragileEngine) -> None:
        self.shards = shards
        self.engines = [engine(shard, shards) for shard in range(shards)]
        self.readers: list[SqliteTx] = [
            _ReadTx(each.connection, shard, shards) for shard, each in enumerate(self.engines)
        ]

    def recover(self) -> None:
        """What a database does when it is opened after a crash."""
        for engine in self.engines:
            engine.armed, engine.losses = "", 0
            if engine.connection.in_transaction:
                engine.rollback()
            engine.load_sequence()

    def close(self) -> None:
        """Forget everything."""
        for engine in self.engines:
            engine.connection.close()


class MemoryStorage:
    """See `kernel.tx.Storage`, for one incarnation of the platform. A group runs after a small virtual delay.

    Answers and signals follow after another one, in commit order per shard. `on_cut` is called when the cord is
    pulled; from then on nothing of this incarnation reaches the databases.
    """

    def __init__(
        self,
        databases: Databases,
        loop: asyncio.AbstractEventLoop,
        weather: Weather,
        on_cut: Callable[[], None],
    ) -> None:
        self.shards = databases.shards
        self.dead = False
        self._databases = databases
        self._loop = loop
        self._weather = weather
        self._on_cut = on_cut
        self._queues: list[deque[Call]] = [deque() for _ in range(self.shards)]
        self._planned = [False] * self.shards
        self._answers: list[deque[tuple[list[Signal], list[Call]]]] = [deque() for _ in range(self.shards)]
        self._listeners: list[Callable[[Signal], None]] = []

    def shard_of(self, gene: int) -> int:
        """See `kernel.tx.Storage.shard_of`."""
        return gene % self.shards

    def transact(self, shard: int, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """See `kernel.tx.Storage.transact`."""
        return self._submit(shard, Call(self._loop.create_future(), work=work, args=args, kwargs=kwargs))

    def batch(self, shard: int, handler: BatchHandler[Any, Any], item: Any) -> Awaitable[Any]:
        """See `kernel.tx.Storage.batch`."""
        return self._submit(shard, Call(self._loop.create_future(), handler=handler, item=item))

    def _submit(self, shard: int, call: Call) -> Awaitable[Any]:
        if self.dead:
            raise asyncio.CancelledError
        queue = self._queues[shard]
        if len(queue) >= QUEUE_CALLS_MAX:
            raise overloaded()
        queue.append(call)
        if not self._planned[shard]:
            self._plan(shard)
        future: Awaitable[Any] = call.token
        return future

    def _plan(self, shard: int) -> None:
        self._planned[shard] = True
        self._loop.call_later(self._weather.commit_s(), self._commit, shard)

    def _commit(self, shard: int) -> None:
        self._planned[shard] = False
        if self.dead:
            return
        queue = self._queues[shard]
        size = self._weather.group_size(min(len(queue), GROUP_CALLS_MAX))
        group = [queue.popleft() for _ in range(size)]
        if queue:
            self._plan(shard)
        try:
            signals = run_group(self._databases.engines[shard], group)
        except PowerCut:
            self._on_cut()
            return
        except Exception as error:
            log.exception("group commit broke")  # a finding: see `day._Ears`
            self._databases.engines[shard].rollback()
            signals = []
            refuse_group(group, error)
        self._answers[shard].append((signals, group))
        self._loop.call_later(self._weather.answer_s(), self._answer, shard)

    def _answer(self, shard: int) -> None:
        if self.dead:
            return
        signals, calls = self._answers[shard].popleft()
        for signal in signals:
            for listener in self._listeners:
                listener(signal)
        for call in calls:
            if call.token.done():
                continue
            if call.error is not None:
                call.token.set_exception(call.error)
            else:
                call.token.set_result(call.value)

    async def read(self, shard: int, query: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """See `kernel.tx.Storage.read`."""
        await asyncio.sleep(self._weather.read_s())
        if self.dead:
            raise asyncio.CancelledError
        return query(self._databases.readers[shard], *args, **kwargs)

    def listen(self, listener: Callable[[Signal], None]) -> None:
        """See `kernel.tx.Storage.listen`."""
        self._listeners.append(listener)

    async def close(self) -> None:
        """Nothing to release: the databases belong to the run."""
        self.dead = True
