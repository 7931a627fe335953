"""The schema's laws: the gene in every key, first where tables are sharded; no word that an engine keeps for itself."""

from __future__ import annotations

import ast
import re

import pytest
from sqlalchemy import Table
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.schema import CreateTable
from tests.arch.tree import modules

from tradepost.infra.storage.migrate import load_tables
from tradepost.infra.storage.mysql_text import key_hint, take_apart
from tradepost.infra.storage.tables.columns import METADATA, TIME_FIRST

FOUND_BY_ANOTHER_KEY = {"api_keys"}
"""Tables with a statement that changes one row alone (never a list of them) by a second key."""
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


def statements() -> list[tuple[str, str]]:
    """(module, text) of every UPDATE and DELETE that is written out; what is put in stands there as `x`."""
    found = []
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(p.value) if isinstance(p, ast.Constant) else "x" for p in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            if re.match(r"(UPDATE \w+ SET|DELETE FROM \w+ WHERE) ", text):
                found.append((module.name, text))
    return found


def test_keys_that_begin_with_the_gene_are_primary_keys() -> None:
    """Then `key_hint` makes a server look them up by the primary key, which has to begin with them."""
    keys = {table.name: key_of(table, mysql.dialect()) for table in tables()}
    hinted = 0
    for module, text in statements():
        many = take_apart(text)
        if many.keys and key_hint(many.columns) and many.table not in FOUND_BY_ANOTHER_KEY:
            hinted += 1
            assert set(keys[many.table][:2]) <= set(many.columns), f"{module}: {text}"
    assert hinted >= 10
