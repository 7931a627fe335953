"""A private Vitess of four shards for tests, started on first use and shared by the test processes; empty for each."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.mariadb_server import KEPT

from tradepost import services
from tradepost.infra.storage.migrate import upgrade
from tradepost.infra.storage.mysql_target import Target, connect
from tradepost.infra.storage.vitess import VitessStorage, look, target_of
from tradepost.services import fleet

TURN_S = 240
"""Longest wait for a test of another process that uses the shared server, in seconds."""

ROWS_MAX = 5_000


def targets(url: str) -> list[Target]:
    """Each shard's target."""
    shards, dialect = look(url)
    return [target_of(url, shard, dialect) for shard in shards]


def empty(url: str) -> None:
    """Delete every row of every shard, the schema's version aside."""
    for target in targets(url):
        with contextlib.closing(connect(target)) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW TABLES")
            names = [row[0] for row in cursor.fetchall() if row[0] not in KEPT]
            cursor.execute(" UNION ALL ".join(f"(SELECT '{name}' FROM `{name}` LIMIT 1)" for name in names))
            for (name,) in cursor.fetchall():
                while cursor.execute(f"DELETE FROM `{name}` LIMIT {ROWS_MAX}") == ROWS_MAX:
                    pass  # the engine lets no statement touch more than 10,000 rows


@pytest.fixture(scope="session")
def vitess_server(servers_folder: Path) -> Iterator[str]:
    """The address of a running vtgate with the schema of this version on its shards."""
    with services.running("vitess", folder=servers_folder / "vitess", shared=True) as servers:
        url = servers["vitess"].url
        upgrade(url)
        yield url


@pytest.fixture
def vitess_url(vitess_server: str, servers_folder: Path) -> Iterator[str]:
    """The same without rows; tests of other processes wait until this one is over."""
    with fleet.locked(servers_folder / "vitess" / "turn", patience_s=TURN_S):
        empty(vitess_server)
        yield vitess_server


@pytest.fixture
async def vitess(vitess_url: str) -> AsyncIterator[VitessStorage]:
    """The storage over four empty shards; the engine routes each row and refuses what crosses shards."""
    storage = VitessStorage(vitess_url, strict=True)
    yield storage
    await storage.close()
