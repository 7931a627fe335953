"""Migrations on both engines: the declared tables, data that stays, many processes that start at once."""

from __future__ import annotations

import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from tests.mariadb_server import fresh_database, run

from tradepost.infra.storage.migrate import (
    load_tables,
    schema_fits,
    schema_is_current,
    schema_version,
    upgrade,
)
from tradepost.infra.storage.migrations import REVISIONS
from tradepost.infra.storage.mysql_target import connect, parse_url
from tradepost.infra.storage.tables.columns import METADATA
from tradepost.kernel.errors import Refusal

pytestmark = pytest.mark.server("mariadb")
PUT_STOCK = (
    "INSERT INTO stock (gene, sku_id, location_id, pool, on_hand) VALUES (7, 'sku_1', 'loc_a', 'shop', 41)",
    "INSERT INTO idempotency (gene, scope, idem_key, request_hash, status, response, at_ms)"
    " VALUES (7, 'party', 'kéy', 'h', 201, x'00ff', 5)",
)
LOOK = "SELECT on_hand, held, version, (SELECT response FROM idempotency WHERE idem_key = 'kéy') FROM stock"


def schema(url: str) -> list[tuple[Any, ...]]:
    """Every column and index of a database, as the server describes them."""
    columns = run(
        url,
        "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, COLLATION_NAME"
        " FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME <> 'alembic_version'",
    )
    indexes = run(
        url,
        "SELECT TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, NON_UNIQUE FROM information_schema.STATISTICS"
        " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME <> 'alembic_version'",
    )
    return sorted([*columns, *indexes], key=str)


def test_revisions_give_the_declared_tables_on_mariadb(mariadb: str) -> None:
    migrated, declared = [fresh_database(mariadb, f"tradepost_{name}") for name in ("migrated", "declared")]
    assert upgrade(migrated)
    assert not upgrade(migrated)
    assert schema_is_current(migrated)
    load_tables()
    engine = create_engine("mysql+pymysql://", creator=lambda: connect(parse_url(declared)))
    METADATA.create_all(engine)
    engine.dispose()
    assert schema(migrated) == schema(declared)


@pytest.mark.parametrize("engine", ["sqlite", "mariadb"])
def test_data_of_the_first_revision_stays(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where: Any = tmp_path / "shop.db"
    if engine == "mariadb":
        where = fresh_database(request.getfixturevalue("mariadb"), "tradepost_first")
    assert upgrade(where, REVISIONS[0])
    assert schema_version(where) == REVISIONS[0]
    assert not schema_is_current(where)
    assert sql(where, *PUT_STOCK, LOOK) == [(41, 0, 1, b"\x00\xff")]
    assert upgrade(where)
    assert schema_is_current(where)
    assert sql(where, LOOK) == [(41, 0, 1, b"\x00\xff")]
    assert sql(where, "SELECT COUNT(*) FROM event_counters") == [(0,)]


def sql(where: Any, *statements: str) -> list[Any]:
    if isinstance(where, str):
        return run(where, *statements)
    with contextlib.closing(sqlite3.connect(where, isolation_level=None)) as connection:
        return [connection.execute(statement).fetchall() for statement in statements][-1]


def test_of_many_that_start_at_once_one_migrates(mariadb: str) -> None:
    url = fresh_database(mariadb, "tradepost_together")
    with ThreadPoolExecutor(4) as pool:
        changed = list(pool.map(lambda _: upgrade(url), range(4)))
    assert sorted(changed) == [False, False, False, True]
    assert schema_is_current(url)


def test_a_database_of_a_newer_version_is_used_until_something_is_taken_away(mariadb: str) -> None:
    url = fresh_database(mariadb, "tradepost_newer")
    upgrade(url)
    run(url, "UPDATE alembic_version SET version_num = '9999'")
    assert not upgrade(url)
    assert schema_fits(url)
    run(url, "UPDATE alembic_version SET version_num = '9999.9998'")
    assert not schema_fits(url)
    with pytest.raises(Refusal) as refused:
        upgrade(url)
    assert refused.value.code == "storage.schema_newer"
    assert parse_url(url).password not in refused.value.detail
