"""Where a shard's database answers, how its server differs, and connections to it that never wait for ever."""

from __future__ import annotations

import importlib
import re
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
import pymysql
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.converters import conversions

from tradepost.infra.storage.group import TransactionLost
from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.tx import Taken

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 10
LOCK_WAIT_S = 5
IDLE_TRANSACTION_S = 30

declare_problems(
    {
        "storage.url_invalid": (
            Kind.INVALID,
            "The database address cannot be read",
            "Give mysql://user:password@host:port/database, or ?socket=/path in place of host and port.",
        ),
        "storage.unreachable": (
            Kind.OVERLOADED,
            "No database server lets us in there",
            "Start the server, or correct host, port, user, password and database of its address.",
        ),
        "storage.unsuitable": (
            Kind.CONFLICT,
            "The database server's settings would break correctness",
            "Change the named setting of the server, then start again.",
        ),
    }
)

_SESSION = (
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION sql_mode='PIPES_AS_CONCAT,STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,"
    "ONLY_FULL_GROUP_BY'",
    "SET SESSION time_zone='+00:00'",
    f"SET SESSION innodb_lock_wait_timeout={LOCK_WAIT_S}",
)
_READING = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
_WHERE_KNOWN = (f"SET SESSION idle_transaction_timeout={IDLE_TRANSACTION_S}",)  # MariaDB


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """What a server of the family can do. The defaults fit MySQL and MariaDB.

    `joined`: several statements may go in one packet. `derived`: a row of VALUES in a FROM is led by "" (MariaDB)
    or "ROW" (MySQL); "JSON" where rows come as one JSON text, "-" where there is neither; None asks the server.
    `session` is sent after connecting, then `optional` and, on connections for looking only, `reading`: there
    unknown variables are forgiven. `kills`: a connection may end an older one of ours. `routes`: the database in
    which an INSERT finds its shard by itself, "" where the connection's own is meant.
    """

    joined: bool = True
    derived: str | None = None
    session: tuple[str, ...] = _SESSION
    reading: tuple[str, ...] = (_READING,)
    optional: tuple[str, ...] = _WHERE_KNOWN
    kills: bool = True
    routes: str = ""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One database to connect to: over `socket` where given, else over host and port."""

    host: str = "127.0.0.1"
    port: int = 3306
    socket: str = ""
    user: str = ""
    password: str = ""
    database: str = ""
    ssl_ca: str = ""
    dialect: Dialect = Dialect()

    @property
    def place(self) -> str:
        """The target in words, without its password."""
        return f"{self.socket or f'{self.host}:{self.port}'}/{self.database}"


class Routing(msgspec.Struct, frozen=True):
    """How genes find their shard, in a form that travels to a writer process.

    `maker` names a function `package.module:name`; called with `facts` it gives `shard_of(gene)`.
    """

    maker: str = ""
    facts: dict[str, Any] = {}

    def shard_of(self) -> Callable[[int], int]:
        """The function itself; every gene on shard 0 without a maker."""
        if not self.maker:
            return one_shard
        module, _, name = self.maker.partition(":")
        made: Callable[[int], int] = getattr(importlib.import_module(module), name)(self.facts)
        return made


def one_shard(gene: int) -> int:
    """Shard 0 keeps every gene."""
    return 0


def parse_url(url: str) -> Target:
    """The target of `mysql://user:password@host:port/database?socket=PATH&ssl_ca=PATH`.

    Raises Refusal `storage.url_invalid`, which never repeats the password.
    """
    try:
        parts = urlsplit(url)
        port, options = parts.port or 3306, dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise _invalid(str(error)) from None
    if parts.scheme not in ("mysql", "mariadb"):
        raise _invalid(f"the scheme is {parts.scheme!r}")
    if unknown := sorted(set(options) - {"socket", "ssl_ca"}):
        raise _invalid(f"unknown options {', '.join(unknown)}")
    database = unquote(parts.path.removeprefix("/"))
    if not database:
        raise _invalid("it names no database")
    return Target(
        host=parts.hostname or "127.0.0.1",
        port=port,
        socket=options.get("socket", ""),
        ssl_ca=options.get("ssl_ca", ""),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=database,
    )


def _invalid(why: str) -> Refusal:
    return Refusal("storage.url_invalid", f"The database address does not fit: {why}.", field="storage.url")


def _whole(value: str) -> int | str:
    return value if "." in value else int(value)  # sums of integers come as DECIMAL


_CONVERSIONS: Any = {**conversions, FIELD_TYPE.NEWDECIMAL: _whole, FIELD_TYPE.DECIMAL: _whole}


def connect(target: Target, *, reading: bool = False, timeout_s: int = STATEMENT_TIMEOUT_S) -> Any:
    """An open connection in autocommit with the session settings of the house; counts matched rows.

    Writers read what is committed at each statement (READ COMMITTED), readers one moment for a whole query
    (REPEATABLE READ). Raises TransactionLost when nobody answers or lets us in.
    """
    try:
        connection = pymysql.connect(
            host=target.host,
            port=target.port,
            unix_socket=target.socket or None,
            user=target.user,
            password=target.password,
            database=target.database,
            charset="utf8mb4",
            collation="utf8mb4_bin",
            client_flag=CLIENT.FOUND_ROWS | (CLIENT.MULTI_STATEMENTS if target.dialect.joined else 0),
            autocommit=True,
            conv=_CONVERSIONS,
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=timeout_s,
            write_timeout=timeout_s,
            ssl=ssl.create_default_context(cafile=target.ssl_ca) if target.ssl_ca else None,
        )
    except (pymysql.err.MySQLError, OSError) as error:
        raise TransactionLost(f"no connection to {target.place}: {error}") from error
    try:
        with connection.cursor() as cursor:
            for sql in target.dialect.session:
                cursor.execute(sql)
            for sql in (*target.dialect.optional, *(target.dialect.reading if reading else ())):
                try:
                    cursor.execute(sql)
                except pymysql.err.OperationalError as error:
                    if code_of(error) != UNKNOWN_VARIABLE:
                        raise
    except (pymysql.err.MySQLError, OSError) as error:
        connection.close()
        raise TransactionLost(f"no session at {target.place}: {error}") from error
    return connection


def derived_of(connection: Any, dialect: Dialect) -> str:
    """How the server of an open connection writes rows of VALUES in a FROM; see `Dialect`."""
    if dialect.derived is not None:
        return dialect.derived
    return "" if "MariaDB" in connection.get_server_info() else "ROW"


UNKNOWN_VARIABLE = 1193
UNKNOWN = 1105
NO_SAVEPOINT = 1305
_TAKEN = {1062, 1586}
_LOST = {1205, 1206, 1213, 3572, 4020}
"""Deadlocks and waits for locks: the connection lives, the transaction is dropped and run again."""
_TROUBLE = {1021, 1037, 1038, 1041, 1114, 1180, 1030, 1026, 1034, 1290, 1836, 1969, 3024, 3100, 1135}
"""What befalls the database and is nobody's own mistake: disk, memory, a server that became read-only."""
_GONE = {
    0,
    1040,
    1053,
    1077,
    1152,
    1158,
    1159,
    1160,
    1161,
    1184,
    1317,
    1927,
    2002,
    2003,
    2006,
    2013,
    2014,
    2055,
    4031,
}
"""The connection is of no more use."""


def code_of(error: BaseException) -> int:
    """The server's or client's error number, 0 when there is none."""
    code = error.args[0] if error.args else 0
    return code if isinstance(code, int) else 0


_CROSSED = "multi-db transaction attempted"
_SHARD_AWAY = re.compile(
    r"code = (Unavailable|ClusterEvent|Aborted)|no healthy tablet|not serving|not connected|transaction pool|reparent",
    re.IGNORECASE,
)
"""What Vitess says, under no number of its own, while a shard is away."""


def is_gone(error: BaseException) -> bool:
    """Whether the connection is lost with the transaction."""
    if _CROSSED in str(error):
        return False
    if isinstance(error, OSError | pymysql.err.InterfaceError):
        return True
    return (
        isinstance(error, pymysql.err.OperationalError | pymysql.err.InternalError)
        and code_of(error) in _GONE
    )


def is_conflict(error: TransactionLost) -> bool:
    """Whether the transaction fell to another one: a deadlock, or a lock not given in time."""
    return error.__cause__ is not None and code_of(error.__cause__) in _LOST


def told(error: BaseException) -> Exception:
    """The error as group commit knows it: Taken, TransactionLost, or itself."""
    code = code_of(error)
    if isinstance(error, pymysql.err.IntegrityError) and code in _TAKEN:
        return Taken(str(error))
    if (
        code in _LOST
        or code in _TROUBLE
        or is_gone(error)
        or (code == UNKNOWN and _SHARD_AWAY.search(str(error)))
    ):
        return TransactionLost(f"{code}: {error}")
    assert isinstance(error, Exception)
    return error
