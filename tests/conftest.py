"""One `world` and one `db`: every test stands on the same two."""

from __future__ import annotations

import importlib
import pkgutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from tradepost.infra.storage import tables
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.infra.storage.tables.columns import METADATA
from tradepost.testing.world import TestWorld


def create_tables(path: Path) -> None:
    """Create every declared table in a new SQLite file."""
    for module in pkgutil.iter_modules(tables.__path__):
        importlib.import_module(f"{tables.__name__}.{module.name}")
    engine = create_engine(f"sqlite:///{path}")
    METADATA.create_all(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with every table and no row, made once and copied by each test."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    create_tables(path)
    return path


@pytest.fixture
def database_path(tmp_path: Path, empty_database: Path) -> Path:
    """A fresh database file of this test's own."""
    path = tmp_path / "tradepost.db"
    with sqlite3.connect(empty_database) as source, sqlite3.connect(path) as target:
        source.backup(target)
    return path


@pytest.fixture
async def db(database_path: Path) -> AsyncIterator[SqliteStorage]:
    """The SQLite storage on a fresh file."""
    storage = SqliteStorage(database_path)
    yield storage
    await storage.close()


@pytest.fixture
def world() -> TestWorld:
    """A world whose clock stands until it is moved."""
    return TestWorld()
