"""The schema's laws: the gene in every key, first where tables are sharded; no word that an engine keeps for itself."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Table
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.schema import CreateTable

from tradepost.infra.storage.migrate import load_tables
from tradepost.infra.storage.tables.columns import METADATA, TIME_FIRST

UNSHARDED = {"relay_cursors", "consumer_positions", "event_counters", "commit_marks"}
"""A row a shard, a shard and consumer, or a writer: they do not grow."""


def tables() -> list[Table]:
    load_tables()
    return list(METADATA.sorted_tables)


def key_of(table: Table, dialect: object) -> list[str]:
    text = str(CreateTable(table).compile(dialect=dialect))  # type: ignore[arg-type]
    found = re.search(r"PRIMARY KEY \(([^)]*)\)", text)
    assert found is not None, table.name
    return [column.strip() for column in found.group(1).split(",")]


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.name)
def test_the_gene_leads_every_key_where_tables_are_sharded(table: Table) -> None:
    if table.name not in UNSHARDED:
        assert key_of(table, mysql.dialect())[0] == "gene"


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.name)
def test_one_file_keeps_ids_that_sort_by_time_in_that_order(table: Table) -> None:
    sharded, single = key_of(table, mysql.dialect()), key_of(table, sqlite.dialect())
    if table.name in TIME_FIRST:
        assert single == [*sharded[1:], "gene"]
    else:
        assert single == sharded


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.name)
def test_no_column_needs_quotes_on_mysql(table: Table) -> None:
    reserved = mysql.dialect().identifier_preparer.reserved_words
    assert [column.name for column in table.columns if column.name in reserved] == []
