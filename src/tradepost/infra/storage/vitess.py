"""The storage port on Vitess: the MySQL adapter with one queue a shard, each connection bound to its shard.

A connection names `keyspace:range@primary` as its database, so what has no gene (sweeps, streams, cursors) stays on
its shard, in statements that the engine passes on without planning. See docs/adr/0023.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pymysql

from tradepost.infra.storage.group import GROUP_CALLS_MAX, TransactionLost
from tradepost.infra.storage.mysql import READERS, MysqlStorage
from tradepost.infra.storage.mysql_checks import check_server, unreachable
from tradepost.infra.storage.mysql_target import (
    STATEMENT_TIMEOUT_S,
    Dialect,
    Routing,
    Target,
    connect,
    parse_url,
)
from tradepost.infra.storage.vitess_shards import SHOW_SHARDS, Shard, read_shards
from tradepost.kernel.errors import Refusal

WRITERS_EACH = 1
"""Transactions at once on a shard: the shards already write side by side, and larger groups cost less."""
_ISOLATION = "SHOW VARIABLES LIKE '%isolation'"
_MARIADB = Dialect(derived="JSON", session=(), reading=(), optional=(), kills=False)
_MYSQL = msgspec.structs.replace(
    _MARIADB,
    session=("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",),
    reading=("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",),
)
"""What to ask of sessions by the server below: MariaDB does not know the variable that Vitess sets."""


class VitessStorage(MysqlStorage):
    """The storage port over one sharded keyspace, at `vitess://user:password@host:port/keyspace`.

    A row whose gene another shard keeps is refused before it is sent; with `strict` the engine itself routes each
    new row by its gene and refuses what would reach a second shard, at the price of its planner (docs/adr/0023).
    See `MysqlStorage` for what else can be chosen. The shard map is read once: after a reshard each process has to
    start again, and until then refuses with `storage.unavailable`, because the shards it knows serve no more.

    Raises Refusal `storage.shard_map`, `storage.url_invalid`, `storage.unreachable`, `storage.unsuitable`.
    """

    def __init__(
        self,
        url: str,
        *,
        writers: int = WRITERS_EACH,
        writer: str = "thread",
        group_max: int = GROUP_CALLS_MAX,
        readers: int = READERS,
        timeout_s: int = STATEMENT_TIMEOUT_S,
        strict: bool = False,
        check: Callable[[Target], list[str]] | None = None,
    ) -> None:
        self.shard_map, dialect = look(url)
        super().__init__(
            [target_of(url, shard, dialect, strict=strict) for shard in self.shard_map],
            routing=routing(len(self.shard_map)),
            writers=writers,
            writer=writer,
            group_max=group_max,
            readers=readers,
            timeout_s=timeout_s,
            check=check or check_shard,
        )


def keyspace_target(url: str) -> Target:
    """Where vtgate answers, the keyspace as a whole as its database. Raises Refusal `storage.url_invalid`."""
    if urlsplit(url).scheme != "vitess":
        raise Refusal("storage.url_invalid", "The scheme has to be vitess.", field="storage.url")
    target = parse_url(url.replace("vitess://", "mysql://", 1))
    return msgspec.structs.replace(target, dialect=_MARIADB)


def target_of(url: str, shard: Shard, dialect: Dialect, *, strict: bool = False) -> Target:
    """A connection to one shard; strict, its INSERTs go to the keyspace, whose vindex routes them."""
    if strict:
        dialect = msgspec.structs.replace(dialect, routes=f"{shard.keyspace}@primary")
    return msgspec.structs.replace(keyspace_target(url), database=shard.target(), dialect=dialect)


def look(url: str) -> tuple[tuple[Shard, ...], Dialect]:
    """The shards that serve a keyspace now, and how to talk to them.

    Raises Refusal `storage.shard_map`, `storage.unreachable`.
    """
    target = keyspace_target(url)
    try:
        with contextlib.closing(connect(target)) as connection, connection.cursor() as cursor:
            cursor.execute(SHOW_SHARDS)
            shards = read_shards([str(row[0]) for row in cursor.fetchall()], target.database)
            cursor.execute(f"USE `{shards[0].target()}`")
            cursor.execute(_ISOLATION)
            names = {str(row[0]) for row in cursor.fetchall()}
    except TransactionLost as error:
        raise unreachable(target, error) from error
    except pymysql.err.MySQLError as error:
        raise unreachable(target, error) from error
    return shards, _MYSQL if "transaction_isolation" in names else _MARIADB


def routing(shards: int) -> Routing:
    """The routing of so many shards, as it travels to writer processes."""
    return Routing(f"{__name__}:remainder", {"shards": shards})


def remainder(facts: dict[str, Any]) -> Callable[[int], int]:
    """A shard keeps the genes that leave its number as remainder; see `vitess_shards`."""
    shards = int(facts["shards"])
    return lambda gene: gene % shards


def check_shard(target: Target) -> list[str]:
    """What `check_server` says of a shard's primary, and whether its transactions see what was committed.

    Raises Refusal `storage.unreachable` and `storage.unsuitable`.
    """
    warnings = check_server(target)
    with contextlib.closing(connect(target)) as connection, connection.cursor() as cursor:
        cursor.execute(_ISOLATION)
        found = {str(name): str(value) for name, value in cursor.fetchall()}
    if target.dialect.session:
        return warnings
    if found.get("tx_isolation") != "READ-COMMITTED":
        raise Refusal(
            "storage.unsuitable",
            f"{target.place}: start the server below with transaction-isolation=READ-COMMITTED.",
            field="storage.url",
        )
    return [*warnings, f"{target.place}: {_NO_MOMENT}"]


_NO_MOMENT = (
    "below Vitess this server cannot give a read of several statements one moment; a report made while orders are"
    " placed may disagree with itself (MySQL 8 can)"
)
