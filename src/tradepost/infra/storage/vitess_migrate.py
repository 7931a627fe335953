"""Migrations on Vitess: every shard is a database of its own and runs each revision; new shards are taken in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from tradepost.infra.storage.group import TransactionLost
from tradepost.infra.storage.migrations import REVISIONS, bears
from tradepost.infra.storage.mysql_checks import unreachable
from tradepost.infra.storage.mysql_migrate import LOCK_WAIT_S, STATEMENT_S
from tradepost.infra.storage.mysql_target import connect
from tradepost.infra.storage.vitess import keyspace_target, look
from tradepost.infra.storage.vitess_shards import Shard, parent_of
from tradepost.kernel.errors import Refusal

_BY_SHARD = {
    "consumer_positions": ("source_shard", "consumer", "sequence", "noted_sequence"),
    "relay_cursors": ("relay", "sequence"),
    "event_counters": ("sequence",),
}
"""What a shard knows about itself under its number, in the order in which a new shard inherits it."""


def schema_version(url: str) -> str:
    """The oldest revision among the shards, "" when one is empty. Raises Refusal `storage.unreachable`."""
    with _opened(url) as keyspace:
        return _oldest(keyspace)


def upgrade(url: str, revision: str) -> bool:
    """Run on each shard the revisions it lacks; False when another process did meanwhile.

    A shard that a reshard made has tables and rows, but no revision and nothing under its own number: it inherits
    what its parent knew. Raises Refusal `storage.unavailable` when another process has been migrating for two
    minutes.
    """
    with _opened(url) as keyspace, keyspace.alone():
        keyspace.take_in()
        if bears(_oldest(keyspace)):
            return False
        for shard in keyspace.shards:
            if not bears(keyspace.version(shard)):
                keyspace.run(shard, revision)
        return True


def _oldest(keyspace: Keyspace) -> str:
    versions = [keyspace.version(shard) for shard in keyspace.shards]
    known = {revision: place for place, revision in enumerate(REVISIONS, 1)}
    unknown = [version for version in versions if version and version not in known]
    return unknown[0] if unknown else min(versions, key=lambda version: known.get(version, 0))


@contextlib.contextmanager
def _opened(url: str) -> Iterator[Keyspace]:
    (shards, _), target = look(url), keyspace_target(url)
    try:
        connection = connect(target, timeout_s=STATEMENT_S)
    except TransactionLost as error:
        raise unreachable(target, error) from error
    with contextlib.closing(connection):
        yield Keyspace(connection, target.database, shards)


class Keyspace:
    """One connection that turns to each shard in its turn."""

    def __init__(self, connection: Any, name: str, shards: Sequence[Shard]) -> None:
        self.shards = shards
        self._connection = connection
        self._name = name

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of this keyspace's migrations; it ends with the connection at the latest."""
        name = f"tradepost migrates {self._name}"[:64]
        rows = self._ask(None, f"SELECT GET_LOCK('{name}', {LOCK_WAIT_S})")
        if rows != ((1,),):
            raise Refusal(
                "storage.unavailable",
                f"Another process has been migrating {self._name} for {LOCK_WAIT_S} s.",
                extra={"retry_after_s": LOCK_WAIT_S},
            )
        try:
            yield
        finally:
            self._ask(None, f"SELECT RELEASE_LOCK('{name}')")

    def version(self, shard: Shard) -> str:
        """The revision of one shard, "" when it has none."""
        if not self._ask(shard, "SHOW TABLES LIKE 'alembic_version'"):
            return ""
        rows = self._ask(shard, "SELECT version_num FROM alembic_version")
        return str(rows[0][0]) if rows else ""

    def take_in(self) -> None:
        """Give shards that a reshard made what their parents knew, the revision last. Safe to run again."""
        first = self.version(self.shards[0])
        new = [shard for shard in self.shards[1:] if self._is_new(shard)] if first else []
        if not new:
            return
        counted = {shard.number for shard in self.shards if self._own(shard, "event_counters")}
        heirs = {}
        for shard in new:
            parent, shards = shard.number, len(self.shards)
            while parent not in counted and shards > 1:
                parent, shards = parent_of(parent, shards), shards // 2
            if parent != shard.number and parent in counted:
                heirs[shard.number] = parent
        self._inherit(heirs)
        for shard in new:
            self._ask(shard, f"INSERT INTO alembic_version (version_num) VALUES ('{first}')")

    def _is_new(self, shard: Shard) -> bool:
        return bool(self._ask(shard, "SHOW TABLES LIKE 'events'")) and not self.version(shard)

    def _inherit(self, heirs: dict[int, int]) -> None:
        """Copy what each parent knew to its heirs, and to all shards what they knew of the parents' streams."""
        for heir, parent in heirs.items():
            for table, columns in _BY_SHARD.items():
                rows = self._own(self.shards[parent], table)
                known = {row[:-1] for row in self._own(self.shards[heir], table)}
                fresh = [(heir, *row) for row in rows if row[:-1] not in known]
                self._insert(self.shards[heir], table, ("shard", *columns), fresh)
        for shard in self.shards:
            rows = self._own(shard, "consumer_positions")
            known = {row[:2] for row in rows}
            fresh = [
                (shard.number, heir, *row[1:])
                for heir, parent in heirs.items()
                for row in rows
                if row[0] == parent and (heir, row[1]) not in known
            ]
            columns = ("shard", *_BY_SHARD["consumer_positions"])
            self._insert(shard, "consumer_positions", columns, fresh)

    def _own(self, shard: Shard, table: str) -> tuple[tuple[Any, ...], ...]:
        columns = ", ".join(_BY_SHARD[table])
        return self._ask(shard, f"SELECT {columns} FROM {table} WHERE shard = {shard.number:d}")

    def _insert(
        self, shard: Shard, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        if rows:
            with self._connection.cursor() as cursor:
                cursor.execute(f"USE `{shard.target()}`")
                marks = ",".join(["%s"] * len(columns))
                cursor.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)

    def run(self, shard: Shard, revision: str) -> None:
        """Alembic on one shard."""
        from alembic import command  # noqa: PLC0415 - slow to load and rarely needed
        from sqlalchemy import create_engine  # noqa: PLC0415 - slow to load and rarely needed
        from sqlalchemy.pool import StaticPool  # noqa: PLC0415 - slow to load and rarely needed

        from tradepost.infra.storage.migrate import configuration  # noqa: PLC0415 - it imports this module

        self._ask(None, "SELECT 1")  # SQLAlchemy asks who answers: on a shard that would be its own server
        engine = create_engine("mysql+pymysql://", creator=lambda: self._connection, poolclass=StaticPool)
        dialect: Any = engine.dialect
        dialect.get_default_isolation_level = _read_committed
        dialect.has_table = _has_table
        with engine.connect() as bound:
            bound.exec_driver_sql(f"USE `{shard.target()}`")
            command.upgrade(configuration(bound), revision)

    def _ask(self, shard: Shard | None, sql: str) -> tuple[tuple[Any, ...], ...]:
        with self._connection.cursor() as cursor:
            cursor.execute(f"USE `{shard.target() if shard else self._name}`")
            cursor.execute(sql)
            rows: tuple[tuple[Any, ...], ...] = cursor.fetchall()
            return rows


def _read_committed(_: Any) -> Any:
    return "READ COMMITTED"  # a MariaDB below does not know the variable that SQLAlchemy asks for


def _has_table(connection: Any, table_name: str, schema: str | None = None, **_: Any) -> bool:
    """Without naming a database: the shard's own is not called like the keyspace."""
    return bool(connection.exec_driver_sql(f"SHOW TABLES LIKE '{table_name}'").fetchall())
