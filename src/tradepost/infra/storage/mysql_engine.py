"""Begin, savepoints and commit for group commit on MySQL: event numbers in commit order, commits that are looked up.

Two small tables make it true with any number of writers: `event_counters` gives the numbers of a shard's stream under
a row lock that is taken last and held over the commit alone; `commit_marks` keeps the number of the last group each
writer committed, in the same transaction, so that a commit whose answer was lost can be looked up.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

import msgspec
import pymysql

from tradepost.infra.storage import mysql_text as text
from tradepost.infra.storage.group import RUNS_MAX, OutcomeUnknown, TransactionLost
from tradepost.infra.storage.mysql_target import (
    NO_SAVEPOINT,
    STATEMENT_TIMEOUT_S,
    UNKNOWN,
    Routing,
    Target,
    code_of,
    connect,
    derived_of,
    is_conflict,
)
from tradepost.infra.storage.mysql_tx import MysqlTx
from tradepost.infra.storage.writers import Tickets
from tradepost.kernel.events import EventRow
from tradepost.kernel.tx import Signal, Taken

RESOLVE_S = 30.0
RETRY_PAUSE_S = 0.25
CONFLICTS_MAX = 8
RUNS_S = 6.0
PAUSE_DOUBLINGS_MAX = 6
KEEP_MARKS_MS = 7 * 86_400_000
CLOCK_DRIFT_S = 2
_INSERT_EVENTS = (
    "INSERT INTO events (gene, aggregate_id, version, type, at_ms, payload, buyer_id, seller_id, sequence)"
    " VALUES (?,?,?,?,?,?,?,?,?)"
)
_MARK = "UPDATE commit_marks SET number = ?, at_ms = UNIX_TIMESTAMP() * 1000 WHERE writer = ?"
_INSERT_MARK = "INSERT INTO commit_marks (writer, number, at_ms) VALUES (?, ?, UNIX_TIMESTAMP() * 1000)"
_LOOK = "SELECT number FROM commit_marks WHERE writer = ? FOR UPDATE"
_COUNT = "UPDATE event_counters SET sequence = sequence + ? WHERE shard = ?"
_COUNTED = "SELECT sequence FROM event_counters WHERE shard = ?"
_SAVEPOINT = "SAVEPOINT work"

log = logging.getLogger("tradepost.storage")


class MysqlEngine:
    """One writer of one shard: a connection that is replaced when it is lost. See `group.Engine`."""

    def __init__(
        self,
        target: Target,
        shard: int,
        keeps: Callable[[int], bool],
        tickets: Tickets | None = None,
        *,
        timeout_s: int = STATEMENT_TIMEOUT_S,
        resolve_s: float = RESOLVE_S,
    ) -> None:
        self.target = target
        self.tx = MysqlTx(shard, keeps, target.dialect, locks=True, home=target.database)
        self.ticket = 0
        self._tickets = tickets
        self._timeout_s = timeout_s
        self._resolve_s = resolve_s
        self._writer = ""
        self._number = 0
        self._pending: list[EventRow] = []
        self._events_written = False
        self._guarded = False
        self._signals_at_mark = 0
        self._thread_id = 0
        self._started_s = 0
        self._lost_at_s = 0.0

    def begin(self, guarded: bool = False) -> None:
        """Connect if need be. BEGIN itself travels with the first statement. Raises TransactionLost."""
        tx = self.tx
        tx.events.clear()
        tx.signals.clear()
        self._pending.clear()
        self._events_written, self._guarded, self.ticket = False, guarded, 0
        tx.wrote = False
        if tx.connection is None:
            self._connect()
        tx.ahead = ["BEGIN"]

    def commit(self) -> list[Signal]:
        """Make it durable. Raises TransactionLost, Taken for an event recorded before, OutcomeUnknown."""
        tx = self.tx
        signals = list(tx.signals)
        if tx.ahead[:1] == ["BEGIN"] and not self._pending:
            return signals  # nothing was asked of the database
        tickets = self._tickets
        if signals and tickets is not None:
            self.ticket = tickets.take()
        try:
            self._commit()
        except BaseException:
            if self.ticket and tickets is not None:
                tickets.give_back(self.ticket)
                self.ticket = 0
            raise
        if self._events_written:
            signals.append(Signal("events", str(tx.shard)))
        return signals

    def _commit(self) -> None:
        tx = self.tx
        if not tx.wrote and not self._pending:
            tx.run(["COMMIT"])
            return
        self._mark()
        texts: list[str] = []
        if self._pending:
            first = self._take_numbers(len(self._pending))
            texts = self._event_texts(self._pending, first)
            self._events_written = True
        for one in texts[:-1]:
            tx.run([one], routed=True)
        try:
            tx.run([*texts[-1:], "COMMIT"], routed=bool(texts))
        except TransactionLost as error:
            if tx.connection is not None and is_conflict(error):
                raise  # the events could not be written, COMMIT was not reached
            tx.drop()
            self._resolve(error)
        except pymysql.err.MySQLError as error:
            if code_of(error) != UNKNOWN:
                raise
            tx.drop()  # a gateway's word for anything: the shard may have committed
            self._resolve(TransactionLost(str(error)))

    def _mark(self) -> None:
        self._number += 1
        if not self.tx.run([text.bind(_MARK, (self._number, self._writer))])[1]:
            self.tx.run([text.bind(_INSERT_MARK, (self._writer, self._number))])

    def _take_numbers(self, count: int) -> int:
        """The first of so many numbers; the counter stays locked until the commit."""
        shard = self.tx.shard
        rows, _ = self.tx.run([text.bind(_COUNT, (count, shard)), text.bind(_COUNTED, (shard,))])
        return int(rows[0][0]) - count + 1

    def _event_texts(self, events: list[EventRow], first: int) -> list[str]:
        rows = [
            (e.gene, e.aggregate_id, e.version, e.type, e.at_ms, e.payload, e.buyer_id, e.seller_id, number)
            for number, e in enumerate(events, first)
        ]
        return list(self.tx.insert_texts(_INSERT_EVENTS, rows))

    def rollback(self) -> None:
        """Drop the transaction if one is open."""
        tx = self.tx
        open_here, tx.ahead = tx.ahead[:1] != ["BEGIN"], []
        if tx.connection is not None and open_here:
            try:
                tx.run(["ROLLBACK"])
            except Exception:
                tx.drop()

    def pause(self, runs: int, lost: TransactionLost) -> bool:
        """Let the other writers go first after a deadlock: some milliseconds, different ones for each writer.

        Eight runs, and none begun after some seconds: each of them may have waited for a lock until the server said no.
        Where it was not another writer who was in the way, such as on a full disk, three.
        """
        if runs == 1:
            self._lost_at_s = time.monotonic()
        if (
            runs >= (CONFLICTS_MAX if is_conflict(lost) else RUNS_MAX)
            or time.monotonic() - self._lost_at_s > RUNS_S
        ):
            return False
        jitter = time.perf_counter_ns() // 1_000 % 1_000 / 1_000
        time.sleep(0.002 * (1 << min(runs, PAUSE_DOUBLINGS_MAX)) * (0.25 + jitter))
        return True

    def savepoint(self) -> None:
        """Mark where `undo` returns to; sent with the next statement."""
        self._signals_at_mark = len(self.tx.signals)
        self.tx.events.clear()
        if _SAVEPOINT not in self.tx.ahead:
            self.tx.ahead.append(_SAVEPOINT)

    def keep(self) -> None:
        """Take over what the work emitted; the next savepoint replaces this one."""
        self.flush()

    def flush(self) -> None:
        """Hand over the emitted events: written at the commit, or here where failures are kept apart.

        Raises Taken here, in a guarded group, when an event was recorded before.
        """
        events = self.tx.events
        if not events:
            return
        if self._guarded:
            first = self._take_numbers(len(events))
            for one in self._event_texts(events, first):
                self.tx.run([one], routed=True)
            self.tx.wrote = self._events_written = True
        else:
            self._pending += events
        events.clear()

    def undo(self) -> None:
        """Return to the mark. Raises TransactionLost when the transaction is gone."""
        tx = self.tx
        tx.events.clear()
        del tx.signals[self._signals_at_mark :]
        if _SAVEPOINT in tx.ahead:
            tx.ahead.remove(_SAVEPOINT)
        else:
            try:
                tx.run(["ROLLBACK TO SAVEPOINT work"])
            except pymysql.err.OperationalError as error:
                if code_of(error) != NO_SAVEPOINT:
                    raise
                raise TransactionLost(f"{error}") from (
                    error.__context__ or error
                )  # what made the server drop it

    def close(self) -> None:
        """Say goodbye."""
        connection, self.tx.connection = self.tx.connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def _connect(self) -> None:
        """A new connection; what an older one of ours still holds is ended. Raises TransactionLost."""
        tx = self.tx
        tx.connection = connect(self.target, timeout_s=self._timeout_s)
        tx.ahead = []
        rows, _ = tx.run(["SELECT CONNECTION_ID(), UNIX_TIMESTAMP(), UUID()"])
        thread_id, now_s, unique = rows[0]
        tx.derived = derived_of(tx.connection, self.target.dialect)
        if self.target.dialect.kills:
            self._end_older(thread_id, now_s)
        if not self._writer:
            self._writer = str(unique)
            try:
                self._enter()
            except BaseException:
                self._writer = ""  # the next connection enters
                raise

    def _end_older(self, thread_id: int, now_s: int) -> None:
        """End our connection before this one, unless the server was started since: its numbers begin anew."""
        tx = self.tx
        rows, _ = tx.run(["SHOW GLOBAL STATUS LIKE 'Uptime'"])
        started_s = now_s - int(rows[0][1])
        if self._thread_id and abs(started_s - self._started_s) <= CLOCK_DRIFT_S:
            with contextlib.suppress(pymysql.err.MySQLError), tx.connection.cursor() as cursor:
                cursor.execute(f"KILL CONNECTION {self._thread_id:d}")
        self._thread_id, self._started_s = thread_id, started_s

    def _enter(self) -> None:
        """Make sure that this shard counts its events and this writer has a mark; forget marks of long ago."""
        tx, shard = self.tx, self.tx.shard
        if not tx.run([text.bind(_COUNTED, (shard,))])[0]:
            newest = tx.run(["SELECT COALESCE(MAX(sequence), 0) FROM events"])[0][0][0]
            with contextlib.suppress(Taken):
                tx.run(
                    [text.bind("INSERT INTO event_counters (shard, sequence) VALUES (?,?)", (shard, newest))]
                )
        tx.run([text.bind(_INSERT_MARK, (self._writer, self._number))])
        old, _ = tx.run(
            [
                text.bind(
                    "SELECT writer FROM commit_marks WHERE at_ms < UNIX_TIMESTAMP() * 1000 - ?",
                    (KEEP_MARKS_MS,),
                )
            ]
        )
        for (writer,) in old:
            tx.run([text.bind("DELETE FROM commit_marks WHERE writer = ?", (writer,))])

    def _resolve(self, cause: TransactionLost) -> None:
        """COMMIT was sent and no answer came: look until it is known. Returns when it was committed.

        The old connection is ended and the look waits for the lock that its transaction holds on our mark, so what
        is seen is final. Raises TransactionLost when it was not committed, OutcomeUnknown when time is up.
        """
        log.warning("a commit was not answered, looking what became of it: %s", cause)
        until = time.monotonic() + self._resolve_s
        while time.monotonic() < until:
            try:
                self._connect()
                rows, _ = self.tx.run(["BEGIN", text.bind(_LOOK, (self._writer,))])
                self.tx.run(["COMMIT"])
            except (TransactionLost, pymysql.err.MySQLError) as error:
                cause = error if isinstance(error, TransactionLost) else TransactionLost(str(error))
                self.tx.drop()
                time.sleep(RETRY_PAUSE_S)
                continue
            if rows and int(rows[0][0]) == self._number:
                log.warning("it was committed")
                return
            log.warning("it was not committed; the group runs again")
            raise TransactionLost("the connection was lost before the commit") from cause
        raise OutcomeUnknown(str(cause))


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a writer process has to know to open the engines of one shard."""

    target: Target
    routing: Routing
    shard: int
    writers: int
    timeout_s: int = STATEMENT_TIMEOUT_S


def open_engines(facts: bytes, tickets: Tickets | None) -> list[MysqlEngine]:
    """The engines of one shard, not connected yet; `facts` is `Facts` in JSON."""
    known = msgspec.json.decode(facts, type=Facts)
    shard_of, shard = known.routing.shard_of(), known.shard

    def keeps(gene: int) -> bool:
        return shard_of(gene) == shard

    return [
        MysqlEngine(known.target, shard, keeps, tickets, timeout_s=known.timeout_s)
        for _ in range(known.writers)
    ]
