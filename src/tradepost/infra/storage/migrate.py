"""Bring a database to the schema of this version: a SQLite file by its path, a MySQL database by its address.

A current one costs one SELECT; Alembic loads only otherwise.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tradepost.infra.storage.migrations import REVISIONS, bears, floor_of
from tradepost.infra.storage.sqlite import FileOwner
from tradepost.kernel.errors import Kind, Refusal, declare_problems

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

declare_problems(
    {
        "storage.schema_newer": (
            Kind.CONFLICT,
            "A newer version took away what this one needs",
            "Start the version that changed the database, or a newer one; or restore a backup from before the upgrade.",
        ),
    }
)


def schema_version(where: Path | str) -> str:
    """The revision a database is at, "" for a new or empty one."""
    if is_vitess(where):
        from tradepost.infra.storage import vitess_migrate  # noqa: PLC0415 - only where chosen

        return vitess_migrate.schema_version(str(where))
    if _is_address(where):
        from tradepost.infra.storage import mysql_migrate  # noqa: PLC0415 - only where chosen

        return mysql_migrate.schema_version(str(where))
    if not Path(where).exists():
        return ""
    with contextlib.closing(sqlite3.connect(where)) as connection:
        found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchall()
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall() if found else []
    return str(rows[0][0]) if rows else ""


def schema_is_current(where: Path | str) -> bool:
    """Whether a database is at this version's schema."""
    return schema_version(where) == REVISIONS[-1]


def schema_fits(where: Path | str) -> bool:
    """Whether this version may work on a database: at its own schema, or at a newer one that only added to it."""
    return bears(schema_version(where))


def upgrade(where: Path | str, revision: str = "head") -> bool:
    """Create or migrate a database up to a revision; whether anything was changed.

    A file is migrated in one transaction. On MySQL each statement of a schema stands by itself; of several processes
    that start at once one migrates and the others wait for it.

    A newer schema that only added to this version's is left alone, so processes of this version can be started again
    while those of the next one already work. Raises Refusal `storage.schema_newer` for one that took something away,
    `storage.in_use` when it would have to change a file that another process owns, `storage.unreachable` and
    `storage.url_invalid`.
    """
    version = schema_version(where)
    if _needs_nothing(where, version):
        return False
    if is_vitess(where):
        from tradepost.infra.storage import vitess_migrate  # noqa: PLC0415 - only where chosen

        return vitess_migrate.upgrade(str(where), revision)
    if _is_address(where):
        from tradepost.infra.storage import mysql_migrate  # noqa: PLC0415 - only where chosen

        return mysql_migrate.upgrade(str(where), revision)
    owner = FileOwner(str(where))
    try:
        with contextlib.closing(_Migration(where)) as migration:
            migration.run(revision)
    finally:
        owner.release()
    return True


def _is_address(where: Path | str) -> bool:
    return isinstance(where, str) and where.startswith(("mysql://", "mariadb://", "vitess://"))


def is_vitess(where: object) -> bool:
    """Whether an address is one of a Vitess keyspace."""
    return isinstance(where, str) and where.startswith("vitess://")


def _needs_nothing(where: Path | str, version: str) -> bool:
    if version and version not in REVISIONS and not bears(version):
        place = "The database" if _is_address(where) else str(where)  # an address holds a password
        raise Refusal(
            "storage.schema_newer",
            f"{place} is at revision {version}, for versions that know {floor_of(version)};"
            f" this one knows {REVISIONS[0]} to {REVISIONS[-1]}.",
        )
    return bears(version)


def load_tables() -> None:
    """Import every table module, so that METADATA is complete."""
    from tradepost.infra.storage import tables  # noqa: PLC0415 - SQLAlchemy is slow to load and rarely needed

    for module in pkgutil.iter_modules(tables.__path__):
        importlib.import_module(f"{tables.__name__}.{module.name}")


def configuration(connection: Connection) -> Config:
    """Alembic's configuration for a connection."""
    from alembic.config import Config  # noqa: PLC0415 - slow to load and rarely needed

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


class _Migration:
    """One SQLAlchemy connection whose DDL runs inside a real transaction."""

    def __init__(self, path: Path | str) -> None:
        from sqlalchemy import create_engine, event  # noqa: PLC0415 - slow to load and rarely needed

        self._engine = create_engine(f"sqlite:///{path}")

        @event.listens_for(self._engine, "connect")
        def _(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # else sqlite3 commits before every CREATE TABLE

        @event.listens_for(self._engine, "begin")
        def _(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    def run(self, revision: str) -> None:
        """Run every revision the file lacks, up to one."""
        from alembic import command  # noqa: PLC0415 - slow to load and rarely needed

        with self._engine.begin() as connection:
            command.upgrade(configuration(connection), revision)

    def close(self) -> None:
        """Release the file."""
        self._engine.dispose()
