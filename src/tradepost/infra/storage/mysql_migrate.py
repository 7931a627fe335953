"""Migrations on MySQL: Alembic over our own connection, one process at a time."""

from __future__ import annotations

import contextlib
from typing import Any

from tradepost.infra.storage.group import TransactionLost
from tradepost.infra.storage.migrations import bears
from tradepost.infra.storage.mysql_checks import unreachable
from tradepost.infra.storage.mysql_target import Target, connect, parse_url
from tradepost.kernel.errors import Refusal

LOCK_WAIT_S = 120
STATEMENT_S = 3_600
"""Longest wait for one statement: a large table may take long to alter."""


def schema_version(url: str) -> str:
    """The revision of a database, "" for an empty one. Raises Refusal `storage.unreachable`."""
    with _opened(parse_url(url)) as connection:
        return _version(connection)


def upgrade(url: str, revision: str) -> bool:
    """Run the revisions the database lacks; False when another process did meanwhile.

    Raises Refusal `storage.unavailable` when another process has been migrating for two minutes.
    """
    target = parse_url(url)
    with _opened(target) as connection, _alone(connection, target):
        if bears(_version(connection)):
            return False
        _run(connection, revision)
        return True


@contextlib.contextmanager
def _opened(target: Target) -> Any:
    try:
        connection = connect(target, timeout_s=STATEMENT_S)
    except TransactionLost as error:
        raise unreachable(target, error) from error
    with contextlib.closing(connection):
        yield connection


@contextlib.contextmanager
def _alone(connection: Any, target: Target) -> Any:
    """Hold the server's lock of this database's migrations; it ends with the connection at the latest."""
    name = f"tradepost migrates {target.database}"[:64]
    with connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, %s)", (name, LOCK_WAIT_S))
        if cursor.fetchone() != (1,):
            raise Refusal(
                "storage.unavailable",
                f"Another process has been migrating {target.place} for {LOCK_WAIT_S} s.",
                extra={"retry_after_s": LOCK_WAIT_S},
            )
        try:
            yield
        finally:
            cursor.execute("SELECT RELEASE_LOCK(%s)", (name,))


def _version(connection: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM information_schema.TABLES"
            " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'alembic_version'"
        )
        if not cursor.fetchall():
            return ""
        cursor.execute("SELECT version_num FROM alembic_version")
        rows = cursor.fetchall()
    return str(rows[0][0]) if rows else ""


def _run(connection: Any, revision: str) -> None:
    from alembic import command  # noqa: PLC0415 - slow to load and rarely needed
    from sqlalchemy import create_engine  # noqa: PLC0415 - slow to load and rarely needed
    from sqlalchemy.pool import StaticPool  # noqa: PLC0415 - slow to load and rarely needed

    from tradepost.infra.storage.migrate import configuration  # noqa: PLC0415 - it imports this module

    engine = create_engine("mysql+pymysql://", creator=lambda: connection, poolclass=StaticPool)
    connection.autocommit(False)  # rows that a revision changes belong together
    try:
        with engine.begin() as bound:
            command.upgrade(configuration(bound), revision)
    finally:
        connection.autocommit(True)
