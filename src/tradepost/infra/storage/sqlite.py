"""The SQLite storage adapter: one file, one writer (a thread or a process), a few reader connections."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tradepost.infra.storage.answers import Answers
from tradepost.infra.storage.group import (
    GROUP_CALLS_MAX,
    QUEUE_CALLS_MAX,
    Call,
    TransactionLost,
    overloaded,
    refuse_group,
    run_group,
    unavailable,
)
from tradepost.infra.storage.sqlite_engine import SqliteEngine, SqliteTx, connect_reader, connect_writer
from tradepost.infra.storage.writers import EngineSpec, closed
from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.tx import BatchHandler, Signal

READS_MAX = 1024
READERS = 2
LOCK_TRIES = 20
LOCK_WAIT_S = 0.4

log = logging.getLogger("tradepost.storage")

declare_problems(
    {
        "storage.in_use": (
            Kind.OVERLOADED,
            "Another process owns this database file",
            "Stop the other `tradepost serve` or `work`, or give this one its own DATA_DIR.",
        ),
    }
)


class FileOwner:
    """The lock that makes one process the only writer of a database file. Released by the system on any exit."""

    def __init__(self, path: str) -> None:
        self.file = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        for pause_s in (*[LOCK_WAIT_S / LOCK_TRIES] * LOCK_TRIES, 0.0):
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(pause_s)  # the writer process of a killed server still ends its last group
        os.close(self.file)
        raise Refusal("storage.in_use", f"{path} is open in another process.")

    def release(self) -> None:
        """Let another process own the file."""
        os.close(self.file)


class ThreadWriter:
    """Runs groups of calls on its own thread; answers them on the event loop that submitted them."""

    def __init__(
        self,
        engine: SqliteEngine,
        deliver: Callable[[list[Signal], list[Call]], None],
        group_max: int = GROUP_CALLS_MAX,
    ) -> None:
        self.engine = engine
        self._group_max = group_max
        self._deliver = deliver
        self._waiting: deque[Call] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._thread.start()

    def depth(self) -> int:
        """Calls waiting for their group."""
        return len(self._waiting)

    def submit(self, call: Call) -> None:
        """Queue one call. Raises Refusal `storage.overloaded` when the queue is full."""
        if self._closing:
            raise closed()
        if len(self._waiting) >= QUEUE_CALLS_MAX:
            raise overloaded()
        with self._wake:
            self._waiting.append(call)
            self._wake.notify()

    async def close(self) -> None:
        """Run what is queued, then end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        self.engine.connection.close()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closing:
                    self._wake.wait()
                if not self._waiting:
                    return
                size = min(len(self._waiting), self._group_max)
                calls = [self._waiting.popleft() for _ in range(size)]
            try:
                signals = run_group(self.engine, calls)
            except Exception as error:
                self.engine.rollback()
                signals = []
                refuse_group(calls, error)
            self._deliver(signals, calls)


class SqliteStorage:
    """The storage port over one SQLite file. Create it on a running event loop; all calls come from that loop.

    `group_max` bounds the calls of one transaction; 1 commits each alone, the naive way the bench compares with.
    `groups` counts the groups answered by their size (see GROUP_BOUNDS), `calls` what they carried.
    """

    shards = 1

    def __init__(self, path: Path | str, *, writer: str = "thread", group_max: int = GROUP_CALLS_MAX) -> None:
        self.path = str(path)
        self._owner = FileOwner(self.path)
        self._loop = asyncio.get_running_loop()
        self._answers = Answers(self._loop)
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._reading = 0
        self._closing = False
        self.warnings: list[str] = []  # every commit is synced, whatever the file system
        try:
            self._writer = self._start_writer(writer, group_max)
        except BaseException:
            self._owner.release()
            raise

    def _start_writer(self, writer: str, group_max: int) -> Any:
        if writer == "process":
            from tradepost.infra.storage.writer_process import ProcessWriter  # noqa: PLC0415 - only where chosen

            spec = EngineSpec("tradepost.infra.storage.sqlite_engine:open_engines", self.path.encode())
            return ProcessWriter(spec, self._loop, self._answers.give, (self._owner.file,), group_max)
        engine = SqliteEngine(connect_writer(self.path), 0)
        engine.load_sequence()
        return ThreadWriter(engine, self._answers.give_from_thread, group_max)

    def shard_of(self, gene: int) -> int:
        """Always shard 0: one file keeps every gene."""
        return 0

    def depth(self) -> int:
        """Writes waiting for their group."""
        depth: int = self._writer.depth()
        return depth

    def transact(self, shard: int, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """See `kernel.tx.Storage.transact`."""
        return self._submit(Call(self._loop.create_future(), work=work, args=args, kwargs=kwargs))

    def batch(self, shard: int, handler: BatchHandler[Any, Any], item: Any) -> Awaitable[Any]:
        """See `kernel.tx.Storage.batch`."""
        return self._submit(Call(self._loop.create_future(), handler=handler, item=item))

    def _submit(self, call: Call) -> Awaitable[Any]:
        self._writer.submit(call)
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
            return await self._loop.run_in_executor(self._readers, self._query, query, args, kwargs)
        finally:
            self._reading -= 1

    def _query(self, query: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect_reader(self.path)
            self._connections.append(connection)
        try:
            connection.execute("BEGIN")
            return query(SqliteTx(connection, 0), *args, **kwargs)
        except TransactionLost as error:
            log.warning("a read failed: %s", error)
            raise unavailable() from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

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
        """Finish what is queued, answer it, then release the file."""
        if self._closing:
            return
        self._closing = True
        await self._loop.run_in_executor(None, self._readers.shutdown)
        for connection in self._connections:
            connection.close()
        await self._writer.close()  # the last connection writes the log back into the file
        await asyncio.sleep(0)
        self._owner.release()
