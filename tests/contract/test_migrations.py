"""Migrations: the revisions give exactly the declared tables, a current file is cheap, a newer one is refused."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from tradepost.infra.storage.migrate import load_tables, schema_fits, schema_version, upgrade
from tradepost.infra.storage.migrations import REVISIONS
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.infra.storage.tables.columns import METADATA
from tradepost.kernel.errors import Refusal

VERSIONS = Path("src/tradepost/infra/storage/migrations/versions")


def schema(path: Path) -> dict[str, str]:
    """The text of every table and index, without white space."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
        ).fetchall()
    return {name: "".join(sql.split()) for name, sql in rows}


def test_revisions_give_the_declared_tables(tmp_path: Path) -> None:
    migrated, declared = tmp_path / "migrated.db", tmp_path / "declared.db"
    assert upgrade(migrated)
    load_tables()
    engine = create_engine(f"sqlite:///{declared}")
    METADATA.create_all(engine)
    engine.dispose()
    assert schema(migrated) == schema(declared), "run tools/new_migration.py"
    assert schema_version(migrated) == REVISIONS[-1]


def test_every_revision_is_listed_and_offers_no_downgrade() -> None:
    files = sorted(path for path in VERSIONS.glob("*.py") if path.name != "__init__.py")
    assert [path.name.partition("_")[0] for path in files] == list(REVISIONS)
    assert not [path.name for path in files if "def downgrade" in path.read_text("utf-8")]


def test_a_current_file_is_left_alone_without_loading_alembic(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    upgrade(path)
    code = (
        "import sys; from tradepost.infra.storage.migrate import upgrade\n"
        "assert upgrade(sys.argv[1]) is False\n"
        "assert not {'alembic', 'sqlalchemy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def mark(path: Path, version: str) -> None:
    """As if a newer release had migrated the file."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
        connection.commit()


@pytest.mark.parametrize("version", ["9999", f"9999.{REVISIONS[-1]}", f"9999.{REVISIONS[0]}"])
def test_a_file_that_a_newer_version_only_added_to_is_used_as_it_is(tmp_path: Path, version: str) -> None:
    path = tmp_path / "shop.db"
    upgrade(path)
    mark(path, version)
    assert upgrade(path) is False
    assert schema_fits(path)
    assert schema_version(path) == version


def test_a_file_that_a_newer_version_took_from_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    upgrade(path)
    mark(path, "9999.9998")
    assert not schema_fits(path)
    with pytest.raises(Refusal) as refused:
        upgrade(path)
    assert refused.value.code == "storage.schema_newer"
    assert "9999.9998" in refused.value.detail


def test_a_broken_migration_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE relay_cursors (in_the_way INTEGER)")
    with pytest.raises(Exception, match="already exists"):
        upgrade(path)
    assert schema(path).keys() == {"relay_cursors"}


async def test_an_owned_file_is_not_migrated(database_path: Path) -> None:
    storage = SqliteStorage(database_path)
    with pytest.raises(Refusal) as refused:
        upgrade(database_path)
    assert refused.value.code == "storage.in_use"
    await storage.close()
