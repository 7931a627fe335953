"""SQLite connections, their durable settings, and the Tx over one of them."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from tradepost.infra.storage.group import RUNS_MAX, TransactionLost
from tradepost.kernel.events import EventRow
from tradepost.kernel.tx import Row, Signal, Taken, Value, marks

IN_SLICE = 500
KEYS_SLICE = 512
_INSERT_EVENTS = (
    "INSERT INTO events (gene, aggregate_id, version, type, at_ms, payload, buyer_id, seller_id, sequence)"
    " VALUES (?,?,?,?,?,?,?,?,?)"
)


def connect_writer(path: str, *, uri: bool = False) -> sqlite3.Connection:
    """A connection for the one writer: WAL and synchronous=FULL, so a commit is on the disk before it answers."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, uri=uri)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=10000")
    connection.execute("PRAGMA cache_size=-65536")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute("PRAGMA busy_timeout=5000")
    return connection


def connect_reader(path: str) -> sqlite3.Connection:
    """A connection that cannot write."""
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA query_only=1")
    connection.execute("PRAGMA cache_size=-16384")
    connection.execute("PRAGMA busy_timeout=5000")
    return connection


class SqliteTx:
    """The Tx port over one SQLite connection. Counts its statements for the bench and the plan tests."""

    time_first = True

    def __init__(self, connection: sqlite3.Connection, shard: int, shards: int = 1) -> None:
        self.connection = connection
        self.shard = shard
        self.shards = shards
        self.statements = 0
        self.events: list[EventRow] = []
        self.signals: list[Signal] = []

    def keeps(self, gene: int) -> bool:
        """See `kernel.tx.Tx.keeps`; one file keeps every gene, virtual shards override `shards`."""
        return gene % self.shards == self.shard

    def query(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """See `kernel.tx.Tx.query`."""
        self.statements += 1
        try:
            return self.connection.execute(sql, params).fetchall()
        except sqlite3.OperationalError as error:
            raise _trouble(error) from error

    def query_in(self, sql: str, values: Iterable[Value], params: Sequence[Value] = ()) -> list[Row]:
        """See `kernel.tx.Tx.query_in`."""
        wanted = list(values)
        rows: list[Row] = []
        for start in range(0, len(wanted), IN_SLICE):
            piece = wanted[start : start + IN_SLICE]
            rows += self.query(sql.replace("{in}", marks(len(piece))), [*params, *piece])
        return rows

    def query_keys(
        self,
        sql: str,
        columns: Sequence[str],
        keys: Sequence[Sequence[Value]],
        params: Sequence[Value] = (),
        *,
        lock: bool = False,
    ) -> list[Row]:
        """See `kernel.tx.Tx.query_keys`. A join drives the look-ups: half the time of an OR of as many keys."""
        rows: list[Row] = []
        wanted = list(dict.fromkeys(map(tuple, keys)))
        nothing = (None,) * len(columns)
        for start in range(0, len(wanted), KEYS_SLICE):
            piece = wanted[start : start + KEYS_SLICE]
            size = 1 << (len(piece) - 1).bit_length()  # powers of two, so few texts serve all sizes
            values = [value for key in piece for value in key]
            values += nothing * (size - len(piece))
            rows += self.query(driven(sql, tuple(columns), size), [*values, *params])
        return rows

    def execute(self, sql: str, params: Sequence[Value] = ()) -> int:
        """See `kernel.tx.Tx.execute`."""
        self.statements += 1
        try:
            return self.connection.execute(sql, params).rowcount
        except sqlite3.IntegrityError as error:
            raise _taken(error) from error
        except sqlite3.OperationalError as error:
            raise _trouble(error) from error

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> int:
        """See `kernel.tx.Tx.execute_many`."""
        if not rows:
            return 0
        self.statements += 1
        try:
            return self.connection.executemany(sql, rows).rowcount
        except sqlite3.IntegrityError as error:
            raise _taken(error) from error
        except sqlite3.OperationalError as error:
            raise _trouble(error) from error

    def emit(self, rows: Iterable[EventRow]) -> None:
        """See `kernel.tx.Tx.emit`."""
        self.events.extend(rows)

    def signal(self, topic: str, key: str, value: int = 0) -> None:
        """See `kernel.tx.Tx.signal`."""
        self.signals.append(Signal(topic, key, value))


@functools.lru_cache(maxsize=1024)
def driven(sql: str, columns: tuple[str, ...], size: int) -> str:
    """A `{keys}` statement with its table joined to a list of keys, whose values come first of the parameters."""
    names = [f"wanted_{number}" for number in range(len(columns))]
    keys = " AND ".join(f"{column}={name}" for column, name in zip(columns, names, strict=True))
    one = "(" + marks(len(columns)) + ")"
    values = ",".join([one] * size)
    text = sql.replace(" FROM ", " FROM wanted CROSS JOIN ", 1).replace("{keys}", keys)
    return f"WITH wanted({','.join(names)}) AS (VALUES {values}) {text}"


def _taken(error: sqlite3.IntegrityError) -> Exception:
    unique = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
    return Taken(str(error)) if error.sqlite_errorcode in unique else error


_DISK_TROUBLE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
}


def _trouble(error: sqlite3.OperationalError) -> Exception:
    """What befalls the whole database is nobody's own mistake: the group is lost, not the work refused."""
    primary = (error.sqlite_errorcode or 0) & 0xFF
    return TransactionLost(str(error)) if primary in _DISK_TROUBLE else error


class SqliteEngine:
    """Begin, savepoints and commit for group commit on one SQLite connection."""

    def __init__(self, connection: sqlite3.Connection, shard: int, shards: int = 1) -> None:
        self.connection = connection
        self.tx = SqliteTx(connection, shard, shards)
        self.sequence = 0
        self._sequence_at_begin = 0
        self._signals_at_mark = 0
        self._events_written = False

    def load_sequence(self) -> None:
        """Go on counting the shard's event stream where the file left off."""
        rows = self.connection.execute("SELECT COALESCE(MAX(sequence), 0) FROM events").fetchall()
        self.sequence = rows[0][0]

    def begin(self, guarded: bool = False) -> None:
        """Take the write lock. Raises TransactionLost when the database refuses."""
        self.tx.events.clear()
        self.tx.signals.clear()
        self._events_written = False
        self._sequence_at_begin = self.sequence
        self._statement("BEGIN IMMEDIATE")

    def commit(self) -> list[Signal]:
        """Make the transaction durable. Raises TransactionLost when the disk says no."""
        self._statement("COMMIT")
        if self._events_written:
            self.tx.signals.append(Signal("events", str(self.tx.shard)))
        return list(self.tx.signals)

    def rollback(self) -> None:
        """Drop the transaction if one is open and take back the sequence numbers it used."""
        self.sequence = self._sequence_at_begin
        if self.connection.in_transaction:
            with contextlib.suppress(
                sqlite3.Error
            ):  # it is gone either way; `begin` tells if the file is too
                self.connection.execute("ROLLBACK")

    def pause(self, runs: int, lost: TransactionLost) -> bool:
        """No rest: no other writer can be in the way of a file's one writer."""
        return runs < RUNS_MAX

    def close(self) -> None:
        """Release the file."""
        self.connection.close()

    def savepoint(self) -> None:
        """Mark where `undo` returns to."""
        self._signals_at_mark = len(self.tx.signals)
        self.tx.events.clear()
        self._statement("SAVEPOINT work")

    def keep(self) -> None:
        """Write what the work emitted and release the mark. Raises Taken when an event was recorded before."""
        self.flush()
        self._statement("RELEASE work")

    def flush(self) -> None:
        """Insert the emitted events. Raises Taken when an event was recorded before."""
        if self.tx.events:
            first = self.sequence + 1
            rows = [
                (
                    e.gene,
                    e.aggregate_id,
                    e.version,
                    e.type,
                    e.at_ms,
                    e.payload,
                    e.buyer_id,
                    e.seller_id,
                    number,
                )
                for number, e in enumerate(self.tx.events, first)
            ]
            self.tx.execute_many(_INSERT_EVENTS, rows)
            self.sequence += len(rows)
            self._events_written = True
            self.tx.events.clear()

    def undo(self) -> None:
        """Return to the mark. Raises TransactionLost when SQLite dropped the whole transaction (disk full)."""
        self.tx.events.clear()
        del self.tx.signals[self._signals_at_mark :]
        if not self.connection.in_transaction:
            raise TransactionLost
        self._statement("ROLLBACK TO work")
        self._statement("RELEASE work")

    def _statement(self, sql: str) -> None:
        try:
            self.connection.execute(sql)
        except sqlite3.Error as error:
            raise TransactionLost(str(error)) from error


def open_engines(path: bytes, tickets: object) -> list[SqliteEngine]:
    """The one engine of a file, for a writer process."""
    engine = SqliteEngine(connect_writer(path.decode()), 0)
    engine.load_sequence()
    return [engine]
