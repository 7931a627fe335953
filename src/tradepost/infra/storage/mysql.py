"""The storage port on MySQL and MariaDB: a queue and some writers for each shard, a small pool of readers.

A plain server is one shard; a distributed engine is given as one target for each shard and a routing.
"""

from __future__ import annotations

import asyncio
import logging
import queue
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec
import pymysql

from tradepost.infra.storage.answers import Answers
from tradepost.infra.storage.group import (
    GROUP_CALLS_MAX,
    Call,
    TransactionLost,
    overloaded,
    unavailable,
)
from tradepost.infra.storage.mysql_checks import check_server
from tradepost.infra.storage.mysql_engine import Facts, MysqlEngine
from tradepost.infra.storage.mysql_target import (
    STATEMENT_TIMEOUT_S,
    Routing,
    Target,
    connect,
    derived_of,
    parse_url,
)
from tradepost.infra.storage.mysql_tx import MysqlTx
from tradepost.infra.storage.writers import EngineSpec, ThreadWriters, Tickets, closed
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import BatchHandler, Signal

READS_MAX = 1024
READERS = 4
WRITERS = 2
READ_TRIES = 2
QUERY_TIMEOUT_S = 30

log = logging.getLogger("tradepost.storage")


class MysqlStorage:
    """The storage port over MySQL. Create it on a running event loop; all calls come from that loop.

    `writers` transactions run at once for each shard, on threads of this process or, with `writer="process"`, of a
    process of its own per shard. `group_max` bounds the calls of one transaction; 1 commits each alone. Several
    processes may share the database; signals reach the process that committed. `warnings` says in words what the
    server's settings do not promise. `groups` counts the groups answered by their size, `calls` what they carried.

    Raises Refusal `storage.url_invalid`, `storage.unreachable`, `storage.unsuitable`.
    """

    def __init__(
        self,
        targets: str | Sequence[Target],
        *,
        routing: Routing | None = None,
        writers: int = WRITERS,
        writer: str = "thread",
        group_max: int = GROUP_CALLS_MAX,
        readers: int = READERS,
        timeout_s: int = STATEMENT_TIMEOUT_S,
        check: Callable[[Target], list[str]] = check_server,
    ) -> None:
        self.targets = [parse_url(targets)] if isinstance(targets, str) else list(targets)
        self.shards = len(self.targets)
        routing = routing or Routing()
        self.shard_of = routing.shard_of()
        self.warnings = [warning for target in self.targets for warning in check(target)]
        for warning in self.warnings:
            log.warning("%s", warning)
        self._loop = asyncio.get_running_loop()
        self._answers = Answers(self._loop)
        self._readers = [
            ReaderPool(self.targets[shard], shard, self._keeps(shard)) for shard in range(self.shards)
        ]
        self._reading_threads = ThreadPoolExecutor(readers * self.shards, thread_name_prefix="mysql-reader")
        self._reading = 0
        self._closing = False
        self._writers: list[Any] = [
            self._start_writers(
                Facts(target=target, routing=routing, shard=shard, writers=writers, timeout_s=timeout_s),
                writer,
                group_max,
            )
            for shard, target in enumerate(self.targets)
        ]

    def _keeps(self, shard: int) -> Callable[[int], bool]:
        return lambda gene: self.shard_of(gene) == shard

    def _start_writers(self, facts: Facts, writer: str, group_max: int) -> Any:
        if writer == "process":
            from tradepost.infra.storage.writer_process import ProcessWriter  # noqa: PLC0415 - only where chosen

            maker = f"{MysqlEngine.__module__}:open_engines"
            spec = EngineSpec(maker, msgspec.json.encode(facts), facts.writers)
            return ProcessWriter(spec, self._loop, self._answers.give, (), group_max)
        tickets = Tickets(self._answers.give_from_thread)
        engines = [
            MysqlEngine(
                facts.target, facts.shard, self._keeps(facts.shard), tickets, timeout_s=facts.timeout_s
            )
            for _ in range(facts.writers)
        ]
        return ThreadWriters(engines, tickets, group_max)

    def depth(self) -> int:
        """Writes waiting for their group."""
        return sum([writers.depth() for writers in self._writers])

    def transact(self, shard: int, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """See `kernel.tx.Storage.transact`."""
        return self._submit(shard, Call(self._loop.create_future(), work=work, args=args, kwargs=kwargs))

    def batch(self, shard: int, handler: BatchHandler[Any, Any], item: Any) -> Awaitable[Any]:
        """See `kernel.tx.Storage.batch`."""
        return self._submit(shard, Call(self._loop.create_future(), handler=handler, item=item))

    def _submit(self, shard: int, call: Call) -> Awaitable[Any]:
        self._writers[shard].submit(call)
        future: Awaitable[Any] = call.token
        return future

    async def read(self, shard: int, query: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """See `kernel.tx.Storage.read`."""
        if self._closing:
            raise closed()
        if self._reading >= READS_MAX:
            raise overloaded()
        self._reading += 1
        try:
            asked = partial(self._readers[shard].run, query, *args, **kwargs)
            return await self._loop.run_in_executor(self._reading_threads, asked)
        finally:
            self._reading -= 1

    def listen(self, listener: Callable[[Signal], None]) -> None:
        """See `kernel.tx.Storage.listen`."""
        self._answers.listen(listener)

    @property
    def groups(self) -> list[int]:
        """Groups answered, by their size."""
        return self._answers.groups

    @property
    def calls(self) -> int:
        """Calls answered."""
        return self._answers.calls

    async def close(self) -> None:
        """Finish what is queued, answer it, then close every connection."""
        if self._closing:
            return
        self._closing = True
        await self._loop.run_in_executor(None, self._reading_threads.shutdown)
        for pool in self._readers:
            pool.close()
        for writers in self._writers:
            await writers.close()
        await asyncio.sleep(0)


class ReaderPool:
    """Connections of one shard for looking only. A query sees one moment, whatever its number of statements."""

    def __init__(self, target: Target, shard: int, keeps: Callable[[int], bool]) -> None:
        self._target = target
        self._shard = shard
        self._keeps = keeps
        self._free: queue.SimpleQueue[MysqlTx] = queue.SimpleQueue()

    def run(self, query: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The query's result. A connection that turns out to be lost is replaced once.

        Raises Refusal `storage.unavailable`, and what the query raises.
        """
        for attempt in range(1, READ_TRIES + 1):
            tx = self._take()
            try:
                return self._query(tx, query, *args, **kwargs)
            except TransactionLost as error:
                if attempt == READ_TRIES:
                    log.warning("a read failed: %s", error)
                    raise _unreadable(error) from error
            finally:
                if tx.connection is not None:
                    self._free.put(tx)
        raise AssertionError("unreachable")

    def _query(self, tx: MysqlTx, query: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if tx.connection is None:
            tx.connection = connect(self._target, reading=True, timeout_s=QUERY_TIMEOUT_S)
            tx.derived = derived_of(tx.connection, self._target.dialect)
        tx.ahead = ["START TRANSACTION READ ONLY"]
        try:
            return query(tx, *args, **kwargs)
        finally:
            unasked, tx.ahead = bool(tx.ahead), []
            if tx.connection is not None and not unasked:
                try:
                    tx.run(["COMMIT"])
                except (TransactionLost, pymysql.err.MySQLError):
                    tx.drop()

    def _take(self) -> MysqlTx:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            return MysqlTx(self._shard, self._keeps, self._target.dialect, locks=False)

    def close(self) -> None:
        """Close what is open; nobody reads any more."""
        while not self._free.empty():
            self._free.get_nowait().drop()


def _unreadable(error: TransactionLost) -> Refusal:
    refusal = unavailable()
    return Refusal(refusal.code, "The database did not answer a read.", extra=refusal.extra)
