"""One `world` and one `db`: every test stands on the same two."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sqlite3
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from tests.mariadb_server import mariadb, mariadb_folder, migrated_url, mysql_url
from tests.rocketmq_server import broker
from tests.shared_servers import last_words, servers_folder, skip_where_it_cannot_run
from tests.vitess_server import vitess, vitess_server, vitess_url
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling, Scheduling

from tradepost.infra.storage import tables
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.infra.storage.tables.columns import METADATA
from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld

__all__ = [
    "broker",
    "mariadb",
    "mariadb_folder",
    "migrated_url",
    "mysql_url",
    "servers_folder",
    "vitess",
    "vitess_server",
    "vitess_url",
]
OF_VITESS = re.compile(r"[\[-]vitess|/test_vitess(_shards)?\.py")
BY_FILE = ("tests/stress/",)
"""Where the tests of a file share servers or a load that only they need."""


class ByServer(LoadScopeScheduling):
    """Tests go wherever there is room, those that share servers to one process.

    xdist's own groups do not reach it from pytest 9.2 on: a marker cannot change the id of a test any more.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(BY_FILE):
            return nodeid.partition("::")[0]
        return "vitess" if OF_VITESS.search(nodeid) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return ByServer(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    except Refusal as refusal:
        skip_where_it_cannot_run(refusal)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    except Refusal as refusal:
        skip_where_it_cannot_run(refusal)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what its servers said last."""
    report = yield
    if report.failed:
        own: dict[str, Any] = getattr(item, "funcargs", {})
        roots = [own["tmp_path"]] if "tmp_path" in own else []
        report.sections.extend((f"log {name}", text) for name, text in last_words(call.start, *roots))
    return report


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
