"""Move a shop from its SQLite file into a database of servers, and prove that both hold the same rows.

Rows travel as they are, table by table in order of their keys; each goes to the shard of its gene. Two digests that do
not depend on order, one of what was read and one of what the target gives back, must be equal in every table.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from tradepost.infra.storage.migrate import load_tables
from tradepost.infra.storage.sqlite_reader import SqliteReader
from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.tx import Row, Storage, Tx, Value, marks

if TYPE_CHECKING:
    from sqlalchemy import Table

PAGE_ROWS = 500
OWN = frozenset({"event_counters", "commit_marks"})
"""What each database keeps for its own writers: never copied."""
BY_SHARD = frozenset({"relay_cursors", "consumer_positions"})
"""A row a shard of the source: each shard of the target takes over where the file stood."""
_MASK = (1 << 64) - 1
_encode = msgspec.msgpack.Encoder().encode
Progress = Callable[[str, int], None]
"""Told (table, rows moved or looked at since the last call)."""

declare_problems(
    {
        "move.target_not_empty": (
            Kind.CONFLICT,
            "The target database already holds rows",
            "Move into an empty database: drop and create it, then start again. A move that was interrupted goes on"
            " with --resume.",
        ),
        "move.not_settled": (
            Kind.CONFLICT,
            "The shop has deliveries on the way",
            "Run `tradepost work` until its deliveries are made, deal with dead letters, then move.",
        ),
        "move.differs": (
            Kind.INTERNAL,
            "The copy differs from its source",
            "Do not use the target; drop it and report this with the named tables.",
        ),
    }
)


class Digest(msgspec.Struct):
    """What a set of rows comes to, in whatever order they were read: how many, and the sum of their hashes."""

    rows: int = 0
    total: int = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Count rows."""
        self.rows += len(rows)
        for row in rows:
            self.total += int.from_bytes(hashlib.blake2b(_encode(row), digest_size=8).digest(), "big")
        self.total &= _MASK


class TableReport(msgspec.Struct, frozen=True):
    """One table: rows and digest of the source, and whether the target has the same."""

    table: str
    rows: int
    digest: str
    equal: bool


class Shelf(msgspec.Struct, frozen=True):
    """One table as it is paged through: its columns, and its key in the order in which an engine keeps it."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def page_sql(self) -> str:
        """The statement of a page behind a key; with no key it starts at the beginning."""
        behind = ""
        for column in reversed(self.key):
            rest = f" OR ({column} = ? AND {behind})" if behind else ""
            behind = f"({column} > ?{rest})"
        return (
            f"SELECT {', '.join(self.columns)} FROM {self.name} WHERE {self.key[0]} >= ? AND {behind}"
            f" ORDER BY {', '.join(self.key)} LIMIT ?"
        )

    def start_sql(self) -> str:
        """The statement of the first page."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name} ORDER BY {', '.join(self.key)} LIMIT ?"

    def key_of(self, row: Row) -> tuple[Value, ...]:
        """The key of a row."""
        return tuple(row[self.columns.index(column)] for column in self.key)


def shelves(*, time_first: bool) -> list[Shelf]:
    """Every table that travels, with its key as SQLite keeps it or as servers do."""
    from tradepost.infra.storage.tables.columns import (  # noqa: PLC0415 - SQLAlchemy is slow to load
        METADATA,
        TIME_FIRST,
    )

    load_tables()
    timed = TIME_FIRST if time_first else frozenset()
    return [_shelf(table, table.name in timed) for table in METADATA.sorted_tables if table.name not in OWN]


def _shelf(table: Table, time_first: bool) -> Shelf:
    key = [column.name for column in table.primary_key.columns]
    if time_first:
        key = [*key[1:], key[0]]
    return Shelf(table.name, tuple(column.name for column in table.columns), tuple(key))


def read_page(tx: Tx, shelf: Shelf, after: tuple[Value, ...] | None, limit: int = PAGE_ROWS) -> list[Row]:
    """The rows behind a key, in order of the key."""
    if after is None:
        return tx.query(shelf.start_sql(), (limit,))
    params: list[Value] = [after[0]]
    for value in after[:-1]:
        params += [value, value]
    return tx.query(shelf.page_sql(), [*params, after[-1], limit])


def write_rows(tx: Tx, name: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows as they are."""
    tx.execute_many(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks(len(columns))})", rows)


def count_on(tx: Tx, sequence: int) -> None:
    """Let the shard's stream go on behind a number."""
    tx.execute(
        "UPDATE event_counters SET sequence = ? WHERE shard = ? AND sequence < ?",
        (sequence, tx.shard, sequence),
    )


def count_rows(tx: Tx) -> int:
    """How many rows travel, over all tables."""
    names = [shelf.name for shelf in shelves(time_first=True)]
    return sum(tx.query(f"SELECT COUNT(*) FROM {name}")[0][0] for name in names)


async def move(
    source: SqliteReader, target: Storage, progress: Progress, *, resume: bool = False
) -> list[TableReport]:
    """Copy every row and prove it. The source must be stopped; nothing of it is changed.

    With `resume` the target may hold some of the source's rows, as an interrupted move leaves them, and gets the
    rest; what is there already is compared first.

    Raises Refusal `move.target_not_empty`, `move.not_settled`, `move.differs`, and what the target refuses.
    """
    if resume:
        await _refuse_foreign(source, target)
    else:
        await _refuse_filled(target)
    _refuse_unsettled(source, target.shards)
    digests = {}
    for shelf in shelves(time_first=True):
        digests[shelf.name] = await _copy(source, target, shelf, progress, resume)
    newest = source.read(0, _newest)
    for shard in range(target.shards):
        await target.transact(shard, count_on, newest)
    return await prove(target, digests, progress)


async def prove(target: Storage, digests: dict[str, Digest], progress: Progress) -> list[TableReport]:
    """Read the target back and compare. Raises Refusal `move.differs` naming every table that differs."""
    reports = []
    for shelf in shelves(time_first=False):
        found = Digest()
        for shard in range(target.shards):
            after: tuple[Value, ...] | None = None
            while True:
                rows = await target.read(shard, read_page, shelf, after)
                found.add(rows)
                progress(shelf.name, len(rows))
                if len(rows) < PAGE_ROWS:
                    break
                after = shelf.key_of(rows[-1])
        wanted = digests[shelf.name]
        reports.append(TableReport(shelf.name, wanted.rows, f"{wanted.total:016x}", found == wanted))
    different = [report.table for report in reports if not report.equal]
    if different:
        raise Refusal("move.differs", f"These tables differ: {', '.join(different)}.")
    return reports


async def _copy(
    source: SqliteReader, target: Storage, shelf: Shelf, progress: Progress, resume: bool
) -> Digest:
    digest = Digest()
    after: tuple[Value, ...] | None = None
    while True:
        rows = source.read(0, read_page, shelf, after)
        routed = _routed(shelf, rows, target)
        for owned in routed.values():
            digest.add(owned)
        if resume:
            routed = {shard: await _missing(target, shard, shelf, owned) for shard, owned in routed.items()}
        await asyncio.gather(
            *(
                target.transact(shard, write_rows, shelf.name, shelf.columns, owned)
                for shard, owned in routed.items()
                if owned
            )
        )
        progress(shelf.name, len(rows))
        if len(rows) < PAGE_ROWS:
            return digest
        after = shelf.key_of(rows[-1])


def _routed(shelf: Shelf, rows: Sequence[Row], target: Storage) -> dict[int, list[Row]]:
    """The rows by the shard they go to; what the file kept for its one shard is given to each."""
    found: dict[int, list[Row]] = {}
    if shelf.name in BY_SHARD:
        here = shelf.columns.index("shard")
        for row in rows:
            for shard in range(target.shards):
                found.setdefault(shard, []).extend(_taken_over(shelf, row, here, shard, target.shards))
        return found
    gene = shelf.columns.index("gene")
    for row in rows:
        found.setdefault(target.shard_of(row[gene]), []).append(row)
    return found


def _taken_over(shelf: Shelf, row: Row, here: int, shard: int, shards: int) -> list[Row]:
    moved = (*row[:here], shard, *row[here + 1 :])
    if "source_shard" not in shelf.columns:
        return [moved]
    there = shelf.columns.index("source_shard")
    return [(*moved[:there], source, *moved[there + 1 :]) for source in range(shards)]


def same_keys(tx: Tx, shelf: Shelf, rows: Sequence[Row]) -> list[Row]:
    """The rows that stand under the keys of these."""
    sql = f"SELECT {', '.join(shelf.columns)} FROM {shelf.name} WHERE {{keys}}"
    return tx.query_keys(sql, shelf.key, [shelf.key_of(row) for row in rows])


async def _missing(target: Storage, shard: int, shelf: Shelf, rows: Sequence[Row]) -> list[Row]:
    there = {shelf.key_of(row) for row in await target.read(shard, same_keys, shelf, rows)}
    return [row for row in rows if shelf.key_of(row) not in there]


async def _refuse_foreign(source: SqliteReader, target: Storage) -> None:
    """Whatever the target holds has to be a row of the source, or somebody else lives there."""
    for shelf in shelves(time_first=False):
        for shard in range(target.shards):
            after: tuple[Value, ...] | None = None
            while rows := await target.read(shard, read_page, shelf, after):
                if not set(rows) <= _known(source, target, shelf, shard, rows):
                    raise Refusal(
                        "move.target_not_empty", f"Table {shelf.name} holds rows of another shop.", field="to"
                    )
                after = shelf.key_of(rows[-1])


def _known(source: SqliteReader, target: Storage, shelf: Shelf, shard: int, rows: Sequence[Row]) -> set[Row]:
    if shelf.name not in BY_SHARD:
        return set(source.read(0, same_keys, shelf, rows))
    whole = source.read(0, read_page, shelf, None, PAGE_ROWS)
    return set(_routed(shelf, whole, target).get(shard, ()))


async def _refuse_filled(target: Storage) -> None:
    for shelf in shelves(time_first=False):
        for shard in range(target.shards):
            if await target.read(shard, read_page, shelf, None, 1):
                raise Refusal("move.target_not_empty", f"Table {shelf.name} holds rows.", field="to")


def _refuse_unsettled(source: SqliteReader, shards: int) -> None:
    """What waits or is owed was noted once, for one shard: over several it would be lost on the others."""
    waiting = source.read(0, _unsettled)
    if shards > 1 and waiting:
        raise Refusal(
            "move.not_settled", f"{waiting} deliveries wait or are owed.", extra={"waiting": waiting}
        )


def _unsettled(tx: Tx) -> int:
    waiting: int = tx.query("SELECT COUNT(*) FROM deliveries")[0][0]
    owed: int = tx.query("SELECT COUNT(*) FROM inbox WHERE state = 'OWED'")[0][0]
    return waiting + owed


def _newest(tx: Tx) -> int:
    newest: int = tx.query("SELECT COALESCE(MAX(sequence), 0) FROM events")[0][0]
    return newest
