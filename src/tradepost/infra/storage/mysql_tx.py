"""The Tx over one MySQL connection: house statements with `?`, few round trips, matched rows counted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pymysql

from tradepost.infra.storage import mysql_text as text
from tradepost.infra.storage.group import TransactionLost
from tradepost.infra.storage.mysql_target import Dialect, is_gone, told
from tradepost.kernel.events import EventRow
from tradepost.kernel.tx import Row, Signal, Value

IN_SLICE = 500
KEYS_SLICE = 512


class MysqlTx:
    """The Tx port over one connection, which its engine replaces when it is lost.

    Texts put into `ahead` go in one packet with the next statement: BEGIN and savepoints cost no round trip of
    their own, and none at all where nothing follows. Counts statements as the other adapters do.
    """

    time_first = False

    def __init__(
        self, shard: int, keeps: Callable[[int], bool], dialect: Dialect, *, locks: bool, home: str = ""
    ) -> None:
        self.connection: Any = None
        self.shard = shard
        self.keeps = keeps
        self.statements = 0
        self.events: list[EventRow] = []
        self.signals: list[Signal] = []
        self.ahead: list[str] = []
        self.wrote = False
        self.derived = dialect.derived or ""
        self._routes = dialect.routes
        self._home = home
        self._facing = home
        self._joined = dialect.joined
        self._locks = locks

    def run(self, texts: Sequence[str], *, routed: bool = False) -> tuple[Sequence[Row], int]:
        """Send what waits in `ahead` and then these texts: (rows of the last, rows matched by all of these).

        Raises Taken, TransactionLost, or what the driver says.
        """
        connection = self.connection
        if connection is None:
            raise TransactionLost("the connection was lost")
        waiting, self.ahead = self.ahead, []
        if self._routes:
            waiting = [*self._turn(routed), *waiting]
        try:
            with connection.cursor() as cursor:
                if self._joined:
                    return _run_joined(cursor, [*waiting, *texts], len(waiting))
                matched = 0
                for sql in waiting:
                    cursor.execute(sql)
                for sql in texts:
                    matched += cursor.execute(sql)
                return cursor.fetchall(), matched
        except (pymysql.err.MySQLError, OSError) as error:
            self._facing = ""
            if is_gone(error):
                self.drop()
            raise told(error) from error

    def _turn(self, routed: bool) -> list[str]:
        """Turn from the shard to the engine's own routing and back, where the last statement left it otherwise."""
        wanted = self._routes if routed else self._home
        if wanted == self._facing:
            return []
        self._facing = wanted
        return [f"USE `{wanted}`"]

    def drop(self) -> None:
        """Give the connection up; the server rolls back what was open on it."""
        self._facing = ""
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def query(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """See `kernel.tx.Tx.query`."""
        self.statements += 1
        return list(self.run([text.bind(sql, params)])[0])

    def query_in(self, sql: str, values: Iterable[Value], params: Sequence[Value] = ()) -> list[Row]:
        """See `kernel.tx.Tx.query_in`."""
        wanted = list(values)
        rows: list[Row] = []
        for start in range(0, len(wanted), IN_SLICE):
            self.statements += 1
            rows += self.run([text.bind_in(sql, wanted[start : start + IN_SLICE], params)])[0]
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
        """See `kernel.tx.Tx.query_keys`."""
        wanted = text.in_order(keys)
        locks = lock and self._locks
        rows: list[Row] = []
        for start in range(0, len(wanted), KEYS_SLICE):
            self.statements += 1
            piece = wanted[start : start + KEYS_SLICE]
            # a list is locked key by key in its order; a join may lock more, in an order of its own
            if locks:
                bound = text.lock_keys(sql, columns, piece, params)
            elif self.derived != "-" and len(piece) >= text.DRIVEN_ROWS_MIN:
                bound = text.driven_keys(sql, columns, piece, params, self.derived)
            else:
                bound = text.bind_keys(sql, columns, piece, params)
            rows += self.run([bound])[0]
        return rows

    def execute(self, sql: str, params: Sequence[Value] = ()) -> int:
        """See `kernel.tx.Tx.execute`."""
        self.statements += 1
        self.wrote = True
        inserts = sql.startswith("INSERT")
        if inserts:
            self._expect_home(sql, [params])
        return self.run([text.bind(sql, params)], routed=inserts)[1]

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> int:
        """See `kernel.tx.Tx.execute_many`: one INSERT, or the fewest statements that change the rows, one packet."""
        if not rows:
            return 0
        self.statements += 1
        self.wrote = True
        many = text.take_apart(sql)
        if many.verb == "INSERT":
            return sum([self.run([one], routed=True)[1] for one in self.insert_texts(sql, rows)])
        return sum([self.run(packet)[1] for packet in _packets(text.change_texts(many, rows, self.derived))])

    def insert_texts(self, sql: str, rows: Sequence[Sequence[Value]]) -> Iterator[str]:
        """The fewest INSERTs for all rows. Raises ValueError for a row that another shard keeps."""
        self._expect_home(sql, rows)
        driven = self.derived == "JSON" and not self._routes and len(rows) >= text.DRIVEN_ROWS_MIN
        return (text.json_insert_texts if driven else text.insert_texts)(sql, rows)

    def _expect_home(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        """Raise ValueError for a row that another shard keeps; where the engine routes, it sees to that itself."""
        if self._routes or not self._home:
            return
        place = text.gene_place(sql)
        if place >= 0:
            for row in rows:
                gene = row[place]
                if not isinstance(gene, int) or not self.keeps(gene):
                    raise ValueError(f"gene {gene!r} does not lie on shard {self.shard}: {sql[:60]}")

    def emit(self, rows: Iterable[EventRow]) -> None:
        """See `kernel.tx.Tx.emit`."""
        self.events.extend(rows)

    def signal(self, topic: str, key: str, value: int = 0) -> None:
        """See `kernel.tx.Tx.signal`."""
        self.signals.append(Signal(topic, key, value))


def _run_joined(cursor: Any, texts: Sequence[str], waiting: int) -> tuple[Sequence[Row], int]:
    matched = cursor.execute(";".join(texts))
    counts = [matched]
    for _ in range(len(texts) - 1):
        cursor.nextset()
        counts.append(cursor.rowcount)
    return cursor.fetchall(), sum(counts[waiting:])


def _packets(texts: Sequence[str]) -> list[list[str]]:
    """Statements in packets of about TEXT_CHARS_MAX."""
    found: list[list[str]] = []
    length = text.TEXT_CHARS_MAX
    for one in texts:
        if length + len(one) > text.TEXT_CHARS_MAX:
            found.append([])
            length = 0
        found[-1].append(one)
        length += len(one)
    return found
