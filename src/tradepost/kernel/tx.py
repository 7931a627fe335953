"""Tx and the storage port: transactions are plain functions of a Tx, so none can await while it holds a lock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow

P = ParamSpec("P")
T = TypeVar("T")
I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

BATCH_ITEMS_MAX = 256
Value = str | int | bytes | None
Row = tuple[Any, ...]


def marks(count: int) -> str:
    """`?,?,?` for an IN list or a VALUES row of this many values."""
    return ",".join("?" * count)


class Signal(msgspec.Struct, frozen=True):
    """A note for this process's caches, delivered after the commit, in commit order, before any answer."""

    topic: str
    key: str
    value: int = 0


class Tx(Protocol):
    """One work's view of the open database transaction. Statements use `?` and run on SQLite and MySQL alike."""

    shard: int
    time_first: bool
    """Whether ids that sort by time lead the keys here, as in one file, and not the gene, as where rows are spread: for
    scans of a whole table, which have to follow its key."""

    def keeps(self, gene: int) -> bool:
        """Whether this transaction's shard keeps the rows of a gene."""
        ...

    def query(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """All rows of a SELECT."""
        ...

    def query_in(self, sql: str, values: Iterable[Value], params: Sequence[Value] = ()) -> list[Row]:
        """All rows of a SELECT whose text has `{in}` where the placeholders of `values` go.

        `params` stand before the list in the text. Long lists are asked for in slices of 500.
        """
        ...

    def query_keys(
        self,
        sql: str,
        columns: Sequence[str],
        keys: Sequence[Sequence[Value]],
        params: Sequence[Value] = (),
        *,
        lock: bool = False,
    ) -> list[Row]:
        """All rows whose key `columns` equal one of `keys`; the text has `{keys}` where that condition goes.

        Use it for composite keys: an IN list a column would ask for the cross product. `params` stand before
        the condition in the text. Asked for in slices of 512 (two lines each of a whole batch) on SQLite. With
        `lock` no other writer changes these rows before this transaction ends; they are locked in ascending order,
        so that writers wait in one line.
        """
        ...

    def execute(self, sql: str, params: Sequence[Value] = ()) -> int:
        """Rows matched by one statement. A unique key that is taken raises `Taken`."""
        ...

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> int:
        """One statement for many rows; the total of rows matched. A unique key that is taken raises `Taken`."""
        ...

    def emit(self, rows: Iterable[EventRow]) -> None:
        """Write events in this transaction; they are inserted together when the work ends."""
        ...

    def signal(self, topic: str, key: str, value: int = 0) -> None:
        """Tell this process's caches something after the commit; see `Signal`."""
        ...


class Taken(Exception):
    """A unique key is already there: somebody did this before."""


class BatchHandler(msgspec.Struct, Generic[I, R], frozen=True):
    """A hot command: `handle(tx, items)` answers each item with its result or a Refusal, in a few statements.

    Refusals are results and change nothing; an unexpected exception makes the storage roll the batch back and
    split it until the bad item stands alone. Item and result are msgspec types, so the writer may be a process.
    """

    name: str
    handle: Callable[[Tx, Sequence[I]], Sequence[R | Refusal]]
    item_type: Any
    result_type: Any
    rows_of: Callable[[I], int] | None = None


class Storage(Protocol):
    """The storage port. `transact`, `batch` and `read` name a shard; `shard_of` tells it from a gene."""

    shards: int

    def shard_of(self, gene: int) -> int:
        """The shard that keeps this gene's rows."""
        ...

    def transact(
        self, shard: int, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """Run `work(tx, ...)` and answer after its durable commit.

        `work` is a function at module level, may run more than once, and has no effect but through its tx. Its
        Refusal rolls back this work alone and is raised to its caller. Raises Refusal `storage.overloaded` at
        once when the queue is full and `storage.unavailable` when nothing can be committed.
        """
        ...

    def batch(self, shard: int, handler: BatchHandler[I, R], item: I) -> Awaitable[R]:
        """Queue one item for a set-based handler and answer after the durable commit of its batch."""
        ...

    def read(
        self, shard: int, query: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """Run a query on a reader connection: it sees what was committed before it started, and cannot write."""
        ...

    def listen(self, listener: Callable[[Signal], None]) -> None:
        """Deliver every signal to this callable, in commit order, before the answers of that commit."""
        ...

    async def close(self) -> None:
        """Finish what is queued, then release files and threads."""
        ...
