"""Bring a SQLite file to the schema of this version. A current file costs one SELECT; Alembic loads only otherwise."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tradepost.infra.storage.migrations import REVISIONS
from tradepost.infra.storage.sqlite import FileOwner
from tradepost.kernel.errors import Kind, Refusal, declare_problems

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

declare_problems(
    {
        "storage.schema_newer": (
            Kind.CONFLICT,
            "The database was written by a newer version",
            "Start the version that wrote it, or a newer one; or restore a backup from before the upgrade.",
        ),
    }
)


def schema_version(path: Path | str) -> str:
    """The revision a file is at, "" for a new or empty one."""
    if not Path(path).exists():
        return ""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchall()
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall() if found else []
    return str(rows[0][0]) if rows else ""


def schema_is_current(path: Path | str) -> bool:
    """Whether a file is at this version's schema."""
    return schema_version(path) == REVISIONS[-1]


def upgrade(path: Path | str) -> bool:
    """Create or migrate a file in one transaction; whether anything was changed.

    Raises Refusal `storage.schema_newer` for a file this version does not know, and `storage.in_use` when it
    would have to change a file that another process owns.
    """
    version = schema_version(path)
    if version == REVISIONS[-1]:
        return False
    if version and version not in REVISIONS:
        raise Refusal(
            "storage.schema_newer",
            f"{path} is at revision {version}; this version knows {REVISIONS[0]} to {REVISIONS[-1]}.",
        )
    owner = FileOwner(str(path))
    try:
        with contextlib.closing(_Migration(path)) as migration:
            migration.run()
    finally:
        owner.release()
    return True


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

    def run(self) -> None:
        """Run every revision the file lacks."""
        from alembic import command  # noqa: PLC0415 - slow to load and rarely needed

        with self._engine.begin() as connection:
            command.upgrade(configuration(connection), "head")

    def close(self) -> None:
        """Release the file."""
        self._engine.dispose()
