"""Works and handlers of the storage suite, in a module so that the writer process can import them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow
from tradepost.kernel.tx import BatchHandler


def put(tx: Any, key: str, value: str = "v") -> str:
    tx.execute(
        "INSERT INTO idempotency (gene, scope, idem_key, request_hash, status, response, at_ms)"
        " VALUES (1,'t',?,?,0,x'',0)",
        (key, value),
    )
    return value


def put_and_refuse(tx: Any, key: str) -> None:
    put(tx, key)
    raise Refusal("input.invalid", "no", field="f", expected="e", extra={"n": 1})


def put_and_fail(tx: Any, key: str) -> None:
    put(tx, key)
    tx.emit([event(key, 1)])
    tx.signal("never", key)
    raise ValueError(key)


def put_and_signal(tx: Any, key: str) -> str:
    tx.signal("put", key, 7)
    return put(tx, key)


def event(aggregate_id: str, version: int) -> EventRow:
    return EventRow(1, aggregate_id, version, "noted.v1", 0, b"{}")


def emit(tx: Any, aggregate_id: str, version: int) -> None:
    tx.emit([event(aggregate_id, version)])


def put_big(tx: Any, key: str, size: int) -> str:
    put(tx, key)
    tx.execute("UPDATE idempotency SET response = ? WHERE gene = 1 AND idem_key = ?", (b"x" * size, key))
    return key


def put_bytes(tx: Any, key: str, value: bytes) -> str:
    put(tx, key)
    tx.execute("UPDATE idempotency SET response = ? WHERE gene = 1 AND idem_key = ?", (value, key))
    return value.decode()


def put_raw(tx: Any, values: dict[str, bytes]) -> None:
    rows = [(key, value) for key, value in values.items()]
    for many in (rows[:1], rows[1:]):
        tx.execute_many(
            "INSERT INTO idempotency (gene, scope, idem_key, request_hash, status, response, at_ms)"
            " VALUES (1,'t',?,'',0,?,0)",
            many,
        )


def limit_pages(tx: Any, extra: int) -> None:
    pages = tx.query("PRAGMA page_count")[0][0]
    tx.query(f"PRAGMA max_page_count = {pages + extra}")


def sleep(tx: Any, seconds: float) -> None:
    time.sleep(seconds)


def process_id(tx: Any) -> int:
    return os.getpid()


def statements(tx: Any) -> int:
    return int(tx.statements)


def keys(tx: Any) -> list[str]:
    return [
        row[0]
        for row in tx.query(
            "SELECT idem_key FROM idempotency WHERE gene = 1 AND scope = 't' ORDER BY idem_key"
        )
    ]


def sequences(tx: Any) -> list[int]:
    return [row[0] for row in tx.query("SELECT sequence FROM events ORDER BY sequence")]


class Item(msgspec.Struct, frozen=True):
    key: str
    how: str = "put"
    rows: int = 1


class Put(msgspec.Struct, frozen=True):
    key: str
    batch: int
    statements: int


def put_items(tx: Any, items: Sequence[Item]) -> list[Put | Refusal]:
    before = tx.statements
    taken = [item for item in items if item.how != "refuse"]
    tx.execute_many(
        "INSERT INTO idempotency (gene, scope, idem_key, request_hash, status, response, at_ms)"
        " VALUES (1,'t',?,'',0,x'',0)",
        [(item.key,) for item in taken],
    )
    if any(item.how == "fail" for item in items):
        raise ValueError("a bad item")
    done = tx.statements - before
    return [
        Refusal("input.invalid", "refused") if item.how == "refuse" else Put(item.key, len(items), done)
        for item in items
    ]


def rows_of(item: Item) -> int:
    return item.rows


PUT = BatchHandler[Item, Put]("tests.contract.storage_works:PUT", put_items, Item, Put, rows_of)


_ROW = (
    "INSERT INTO idempotency (gene, scope, idem_key, request_hash, status, response, at_ms)"
    " VALUES (?,'t',?,'',?,?,?)"
)
_OF_KEY = " WHERE gene = ? AND scope = ? AND idem_key = ?"


def fill(tx: Any, count: int) -> int:
    return int(tx.execute_many(_ROW, [(1, f"r{n:03}", 0, b"", 1) for n in range(count)]))


def change_alike(tx: Any, count: int) -> tuple[int, int, int]:
    """Rows that share everything but the key: (matched, matched again though nothing changes, matched of none)."""
    sql = "UPDATE idempotency SET status = ?" + _OF_KEY + " AND status <= ?"
    rows = [(7, 1, "t", f"r{n:03}", 8) for n in range(count)]
    missing = [(7, 1, "x", f"r{n:03}", 8) for n in range(count)]
    return tx.execute_many(sql, rows), tx.execute_many(sql, rows), tx.execute_many(sql, missing)


def change_apart(tx: Any, count: int) -> tuple[int, int, int]:
    """Rows that differ in values and conditions: (matched, rows as they should be, conditions that did not hold)."""
    sql = "UPDATE idempotency SET status = status + ?, response = ?" + _OF_KEY + " AND status >= ?"
    matched = tx.execute_many(
        sql, [(10 * n, b"x" * n, 1, "t", f"r{n:03}", 7 if n < count - 2 else 8) for n in range(count)]
    )
    sizes = tx.query(
        "SELECT idem_key, response FROM idempotency WHERE gene = 1 AND status <> 7 OR idem_key = 'r000'"
    )
    right = sum(len(response) == int(key[1:]) for key, response in sizes)
    return matched, right, count - matched


def change_twice(tx: Any, count: int) -> int:
    """The same row twice in one list."""
    rows = [(1, 1, "t", "r001"), (2, 1, "t", "r001")]
    return int(tx.execute_many("UPDATE idempotency SET status = status + ?" + _OF_KEY, rows))


def drop_some(tx: Any, count: int) -> int:
    rows = [(1, "t", f"r{n:03}") for n in range(0, count, 2)]
    return int(tx.execute_many("DELETE FROM idempotency" + _OF_KEY, rows))


def statuses(tx: Any) -> dict[str, int]:
    return dict(tx.query("SELECT idem_key, status FROM idempotency WHERE gene = 1"))


def keep_texts(tx: Any, texts: Sequence[str]) -> None:
    sql = (
        "INSERT INTO idempotency (gene, scope, idem_key, request_hash, status, response, at_ms)"
        " VALUES (1,'?',?,'',?,x'',0)"
    )
    tx.execute_many(sql, [(f"{n:03}{text}", n) for n, text in enumerate(texts)])


def kept_texts(tx: Any) -> list[str]:
    rows = tx.query(
        "SELECT idem_key FROM idempotency WHERE scope = '?' AND status >= ? ORDER BY status", (0,)
    )
    return [row[0][3:] for row in rows]


def keep_bytes(tx: Any, value: bytes) -> bytes:
    tx.execute(_ROW, (2, "bytes", 0, value, 0))
    return bytes(
        tx.query("SELECT response FROM idempotency WHERE gene = 2 AND idem_key = ?", ("bytes",))[0][0]
    )


def echo_number(tx: Any, value: int) -> int:
    tx.execute(_ROW, (3, f"n{value}", 0, b"", value))
    return int(tx.query("SELECT at_ms FROM idempotency WHERE gene = 3 AND at_ms = ?", (value,))[0][0])


_BY_KEY = "SELECT idem_key FROM idempotency WHERE {keys}"
_KEY = ("gene", "scope", "idem_key")


def find_by_keys(tx: Any, names: Sequence[str]) -> list[str]:
    return sorted(row[0] for row in tx.query_keys(_BY_KEY, _KEY, [(1, "t", name) for name in names]))


def lock_keys(tx: Any, names: Sequence[str]) -> list[str]:
    return sorted(
        row[0] for row in tx.query_keys(_BY_KEY, _KEY, [(1, "t", name) for name in names], lock=True)
    )


def touch_but(tx: Any, left_alone: int, count: int) -> list[int]:
    """Rows matched when all but one are locked, changed alike, changed apart, and deleted: one alone, then the rest."""
    rows = [(1, "t", f"r{n:03}") for n in range(count) if n != left_alone]
    change, remove = "UPDATE idempotency SET status = ?" + _OF_KEY, "DELETE FROM idempotency" + _OF_KEY
    return [
        len(tx.query_keys("SELECT status FROM idempotency WHERE {keys}", _KEY, rows, lock=True)),
        tx.execute_many(change, [(7, *row) for row in rows]),
        tx.execute_many(change, [(n, *row) for n, row in enumerate(rows)]),
        tx.execute_many(remove, rows[:1]),
        tx.execute_many(remove, rows[1:]),
    ]


def find_in(tx: Any, names: Sequence[str]) -> int:
    sql = "SELECT idem_key FROM idempotency WHERE gene = ? AND idem_key IN ({in}) AND scope = 't'"
    return len(tx.query_in(sql, names, (1,)))


def sum_up(tx: Any) -> tuple[int, int]:
    [(total, count)] = tx.query("SELECT SUM(status), SUM(at_ms) FROM idempotency WHERE gene = 1")
    assert type(total) is int
    return total, count


def count_twice(tx: Any, between_s: float) -> tuple[int, int]:
    sql = "SELECT COUNT(*) FROM idempotency"
    first = tx.query(sql)[0][0]
    time.sleep(between_s)
    return first, tx.query(sql)[0][0]


def numbers_after(tx: Any, last: int) -> list[int]:
    return [
        row[0]
        for row in tx.query("SELECT sequence FROM events WHERE sequence > ? ORDER BY sequence", (last,))
    ]


def put_slowly(tx: Any, key: str, seconds: float) -> str:
    put(tx, key)
    time.sleep(seconds)
    tx.query("SELECT 1")
    return key


def lock_both(tx: Any, first: str, second: str, between_s: float) -> None:
    sql = "UPDATE idempotency SET status = status + 1 WHERE gene = 1 AND scope = 't' AND idem_key = ?"
    tx.execute(sql, (first,))
    time.sleep(between_s)
    tx.execute(sql, (second,))
