"""The release before works on beside this one: what migrations may do, and what the old statements still find."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.unit.test_checkout_tokens import SECRET, make_quote

from tradepost import app
from tradepost.infra.storage.migrate import upgrade
from tradepost.infra.storage.migrations import REVISIONS, floor_of
from tradepost.kernel.events import event_types
from tradepost.trade.checkout.tokens import sign_quote

BEFORE: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "data" / "previous_release.json").read_text("utf-8")
)
"""What tools/record_release.py wrote down of the release before."""
_INSERT = re.compile(r"INSERT (?:OR \w+ )?INTO (\w+) ?\(([^)]*)\)")


class Column(NamedTuple):
    """A column as its table declares it."""

    type: str
    required: bool
    has_default: bool
    key: int


class Schema(NamedTuple):
    """Columns by table, and the columns of every unique index by its name."""

    tables: dict[str, dict[str, Column]]
    unique: dict[str, tuple[str, ...]]


def look(connection: sqlite3.Connection) -> Schema:
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    tables = {
        name: {
            row[1]: Column(row[2], bool(row[3]), row[4] is not None, row[5])
            for row in connection.execute(f"PRAGMA table_info({name})")
        }
        for name in names
    }
    unique = {
        f"{name}.{row[1]}": tuple(one[2] for one in connection.execute(f"PRAGMA index_info({row[1]})"))
        for name in names
        for row in connection.execute(f"PRAGMA index_list({name})")
        if row[2] and row[3] != "pk"
    }
    return Schema(tables, unique)


def taken_away(before: Schema, after: Schema) -> list[str]:
    """What a step from one schema to the other breaks for whoever knows the first one only."""
    found = [f"{table} is gone" for table in before.tables.keys() - after.tables.keys()]
    for table in before.tables.keys() & after.tables.keys():
        old, new = before.tables[table], after.tables[table]
        found += [f"{table}.{name} is gone" for name in old.keys() - new.keys()]
        for name in old.keys() & new.keys():
            if (old[name].type, old[name].key) != (new[name].type, new[name].key):
                found.append(f"{table}.{name} is of another type or in another key")
            if new[name].required > old[name].required:
                found.append(f"{table}.{name} must not be empty any more")
            if old[name].has_default > new[name].has_default and new[name].required:
                found.append(f"{table}.{name} has no default any more")
        for name in new.keys() - old.keys():
            if new[name].required and not new[name].has_default:
                found.append(f"{table}.{name} is new, must not be empty and has no default")
    old_tables = set(before.tables)
    found += [
        f"{name} is a new promise of uniqueness"
        for name in after.unique.keys() - before.unique.keys()
        if name.partition(".")[0] in old_tables
    ]
    return sorted(found)


def schemas(folder: Path) -> list[Schema]:
    """The schema at each revision."""
    found = []
    path = folder / "shop.db"
    for revision in REVISIONS:
        upgrade(path, revision)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            found.append(look(connection))
    return found


def test_a_revision_only_adds_or_says_whom_it_leaves_behind(tmp_path: Path) -> None:
    steps = schemas(tmp_path)
    for place in range(1, len(REVISIONS)):
        broken = taken_away(steps[place - 1], steps[place])
        marked = floor_of(REVISIONS[place]) != floor_of(REVISIONS[place - 1])
        assert marked or not broken, f"{REVISIONS[place]}: {broken}; expand now, contract one release later"


def test_the_release_before_may_still_work() -> None:
    assert floor_of(REVISIONS[-1]) <= BEFORE["revision"], "its processes would refuse this schema"
    floors = [floor_of(revision) for revision in REVISIONS]
    assert floors == sorted(floors), "a floor is carried on by later revisions"
    assert set(floors) <= set(REVISIONS)


PLANTED = {
    "ALTER TABLE orders DROP COLUMN email": ["orders.email is gone"],
    "ALTER TABLE orders RENAME COLUMN email TO mail": [
        "orders.email is gone",
    ],
    "ALTER TABLE orders RENAME TO deals": ["orders is gone"],
    "DROP TABLE orders": ["orders is gone"],
    "CREATE UNIQUE INDEX one_mail ON orders (email)": ["orders.one_mail is a new promise of uniqueness"],
}
HARMLESS = (
    "ALTER TABLE orders ADD COLUMN note TEXT",
    "ALTER TABLE orders ADD COLUMN note TEXT NOT NULL DEFAULT ''",
    "CREATE TABLE notes (order_id TEXT NOT NULL PRIMARY KEY, text TEXT NOT NULL)",
    "CREATE INDEX orders_by_mail ON orders (email)",
)


def step(*statements: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE orders (order_id TEXT NOT NULL PRIMARY KEY, email TEXT NOT NULL)")
        before = look(connection)
        for statement in statements:
            connection.execute(statement)
        return taken_away(before, look(connection))


@pytest.mark.parametrize("statement", PLANTED)
def test_what_would_break_the_release_before_is_seen(statement: str) -> None:
    assert set(PLANTED[statement]) <= set(step(statement))


@pytest.mark.parametrize("statement", HARMLESS)
def test_what_only_adds_is_let_through(statement: str) -> None:
    assert step(statement) == []


def test_a_column_that_must_be_filled_is_seen() -> None:
    made = "CREATE TABLE anew (order_id TEXT NOT NULL PRIMARY KEY, email TEXT NOT NULL, note TEXT NOT NULL)"
    assert step("DROP TABLE orders", made, "ALTER TABLE anew RENAME TO orders") == [
        "orders.note is new, must not be empty and has no default"
    ]
    loose = "CREATE TABLE anew (order_id TEXT NOT NULL PRIMARY KEY, email INTEGER)"
    assert step("DROP TABLE orders", loose, "ALTER TABLE anew RENAME TO orders") == [
        "orders.email is of another type or in another key"
    ]


def test_the_statements_of_the_release_before_find_what_they_know(tmp_path: Path) -> None:
    assert len(BEFORE["statements"]) > 150
    path = tmp_path / "shop.db"
    upgrade(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        schema = look(connection)
        for sql in BEFORE["statements"]:
            try:
                connection.execute(f"EXPLAIN {sql}", [None] * sql.count("?"))
            except sqlite3.OperationalError as error:
                pytest.fail(f"{BEFORE['release']} asks: {sql}: {error}")
    for sql in BEFORE["statements"]:
        inserted = _INSERT.match(sql)
        if inserted is None:
            continue
        table, named = inserted[1], {one.strip() for one in inserted[2].split(",")}
        needed = {name for name, one in schema.tables[table].items() if one.required and not one.has_default}
        assert needed <= named, f"{BEFORE['release']} leaves {needed - named} of {table} empty"


def test_events_keep_what_the_release_before_reads() -> None:
    assert app
    known = event_types()
    for name, fields in BEFORE["events"].items():
        assert name in known, (
            f"{name} is not told any more; tell the old one beside the new one for a release"
        )
        now = {field.encode_name for field in msgspec.structs.fields(known[name])}
        assert set(fields) <= now, f"{name} lost {set(fields) - now}"


def test_quotes_are_signed_in_a_way_that_the_release_before_reads() -> None:
    mark, dot, _ = sign_quote(make_quote(1), SECRET).partition(".")
    assert f"{mark}{dot}" in BEFORE["token_marks"], (
        "read a new mark in one release, sign with it in the next: older processes refuse what they do not know"
    )
