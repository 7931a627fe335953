"""A private MariaDB for tests, started on first use and shared by the test processes; empty for each test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tradepost import services
from tradepost.infra.storage.migrate import upgrade
from tradepost.infra.storage.mysql_target import connect, parse_url

KEPT = {"alembic_version"}


def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements one by one, each committed; the rows of the last."""
    with contextlib.closing(connect(parse_url(url))) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


def fresh_database(server_url: str, name: str) -> str:
    """The address of a new database without tables."""
    run(
        server_url,
        f"DROP DATABASE IF EXISTS `{name}`",
        f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    )
    return server_url.rpartition("/")[0] + f"/{name}"


def empty(url: str) -> None:
    """Delete every row, the schema's version aside."""
    tables = run(url, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()")
    names = [row[0] for row in tables if row[0] not in KEPT]
    asked = " UNION ALL ".join(f"(SELECT '{name}' FROM `{name}` LIMIT 1)" for name in names)
    for (name,) in run(url, asked):
        run(url, f"DELETE FROM `{name}`")


@pytest.fixture(scope="session")
def mariadb(servers_folder: Path) -> Iterator[str]:
    """The address of a running server; its user owns the databases called `tradepost...`."""
    with services.running("mariadb", folder=servers_folder / "mariadb", shared=True) as servers:
        yield servers["mariadb"].url


@pytest.fixture(scope="session")
def mariadb_folder(mariadb: str, servers_folder: Path) -> Path:
    """Where the running server lives."""
    return servers_folder / "mariadb"


@pytest.fixture(scope="session")
def migrated_url(mariadb: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of this test process with the schema of this version."""
    name = tmp_path_factory.getbasetemp().name.replace("-", "_")
    url = fresh_database(mariadb, f"tradepost_{name}")
    upgrade(url)
    return url


@pytest.fixture
def mysql_url(migrated_url: str) -> str:
    """The same without rows."""
    empty(migrated_url)
    return migrated_url
