"""A copy of a shop on a MySQL server, taken while it runs: one moment of it in a SQLite file that is a shop itself.

It needs no program of the database, can be opened, searched and served, and goes back to any database by the way of
`moving`. See docs/adr/0031.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

from tradepost.infra.storage.migrate import schema_is_current, upgrade
from tradepost.infra.storage.moving import PAGE_ROWS, Digest, Progress, Shelf, read_page, shelves, write_rows
from tradepost.infra.storage.mysql_reader import MysqlReader
from tradepost.infra.storage.sqlite_engine import SqliteTx
from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.tx import Tx, Value

declare_problems(
    {
        "backup.sharded": (
            Kind.CONFLICT,
            "A shop on several shards has no one moment",
            "Back up each shard with its database's own tools; docs/how-to/back-up-and-restore.md says how.",
        ),
        "backup.schema_old": (
            Kind.CONFLICT,
            "The database is not at this version's schema",
            "Start this version once, or make the copy with the version that runs.",
        ),
        "backup.differs": (
            Kind.INTERNAL,
            "The copy differs from what was read",
            "Do not use the copy; check the disk, then make another.",
        ),
    }
)


def copy_server(url: str, target: Path, progress: Progress) -> None:
    """Write what a server had committed at one moment to a new file, proved and synced before it gets its name.

    Writers go on meanwhile; the server keeps the rows of that moment until the copy is done. Raises Refusal
    `backup.target_exists`, `.sharded`, `.schema_old`, `.differs`, and `storage.*` when the server cannot be read.
    """
    if target.exists():
        raise Refusal("backup.target_exists", f"{target} exists.", field=str(target))
    if not schema_is_current(url):
        raise Refusal("backup.schema_old", "The schema is another one.", field="storage.url")
    unfinished = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        with contextlib.closing(MysqlReader(url)) as reader:
            if reader.shards > 1:
                raise Refusal("backup.sharded", f"It lies on {reader.shards} shards.", field="storage.url")
            _copy_proved(reader, unfinished / target.name, progress)
        (unfinished / target.name).rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _copy_proved(reader: MysqlReader, file: Path, progress: Progress) -> None:
    upgrade(file)
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as writing:
        wanted = reader.read(0, _copy_all, writing, progress)
        writing.execute("COMMIT")
        tx = SqliteTx(writing, 0)
        found = {shelf.name: _digest(tx, shelf, progress) for shelf in shelves(time_first=True)}
        writing.execute("PRAGMA journal_mode=DELETE")
    different = sorted(name for name in wanted if wanted[name] != found[name])
    if different:
        raise Refusal("backup.differs", f"These tables differ: {', '.join(different)}.")
    _sync(file)


def _copy_all(tx: Tx, writing: sqlite3.Connection, progress: Progress) -> dict[str, Digest]:
    """Everything in one transaction of either side; a second try, after a lost connection, starts anew."""
    if writing.in_transaction:
        writing.execute("ROLLBACK")
    writing.execute("BEGIN")
    into = SqliteTx(writing, 0)
    digests: dict[str, Digest] = {}
    for shelf in shelves(time_first=False):
        digests[shelf.name] = _digest(tx, shelf, progress, into)
    return digests


def _digest(tx: Tx, shelf: Shelf, progress: Progress, into: SqliteTx | None = None) -> Digest:
    digest = Digest()
    after: tuple[Value, ...] | None = None
    while True:
        rows = read_page(tx, shelf, after)
        digest.add(rows)
        if into is not None and rows:
            write_rows(into, shelf.name, shelf.columns, rows)
        progress(shelf.name, len(rows))
        if len(rows) < PAGE_ROWS:
            return digest
        after = shelf.key_of(rows[-1])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
