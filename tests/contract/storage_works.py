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
