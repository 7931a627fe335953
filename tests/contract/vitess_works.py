"""Works of the suite on four shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tradepost.app import consumers
from tradepost.infra.storage.vitess_schema import vschema
from tradepost.kernel.events import EventRow

_ROW = (
    "INSERT INTO idempotency (gene, scope, idem_key, request_hash, status, response, at_ms)"
    " VALUES (?,'t',?,'',?,?,0)"
)
_LOOK = "SELECT idem_key, status, response FROM idempotency WHERE {keys}"


def keep(tx: Any, gene: int) -> None:
    tx.execute(_ROW, (gene, f"g{gene}", 0, b""))


def keep_both(tx: Any, one: int, other: int) -> None:
    keep(tx, one)
    keep(tx, other)


def kept(tx: Any) -> list[int]:
    return [row[0] for row in tx.query("SELECT gene FROM idempotency ORDER BY gene")]


def note(tx: Any, gene: int) -> None:
    count = tx.query("SELECT COUNT(*) FROM events WHERE gene = ?", (gene,))[0][0]
    tx.emit([EventRow(gene, f"a{gene}", count + 1, "noted.v1", 0, b"{}")])


def change_many(tx: Any, texts: Sequence[str]) -> list[str]:
    """Insert rows of gene 3 and 7 and give each another value in one change; the values as they are found."""
    keys = [(3 + 4 * (n % 2), "t", f"k{n:02}é" if n % 3 else f"k{n:02}") for n in range(len(texts) * 4)]
    tx.execute_many(_ROW, [(gene, key, 0, b"") for gene, _, key in keys])
    sql = (
        "UPDATE idempotency SET response = ?, status = status + ?, request_hash = ?"
        " WHERE gene = ? AND scope = ? AND idem_key = ?"
    )
    rows = [(texts[n % len(texts)].encode(), n, f"h{n}", *key) for n, key in enumerate(keys)]
    assert tx.execute_many(sql, rows) == len(rows)
    assert tx.execute_many(sql, [(b"", 1, "", 3, "t", f"none{n}") for n in range(20)]) == 0
    found = {row[0]: row for row in tx.query_keys(_LOOK, ("gene", "scope", "idem_key"), keys)}
    assert [found[key[2]][1] for key in keys] == list(range(len(keys)))
    return [bytes(found[key[2]][2]).decode() for key in keys[: len(texts)]]


def count_orders(tx: Any) -> int:
    return int(tx.query("SELECT COUNT(*) FROM orders")[0][0])


def strays(tx: Any, shards: int) -> list[str]:
    """Tables with a row that belongs to another shard."""
    found = []
    routing = vschema()["tables"]
    for name in [row[0] for row in tx.query("SHOW TABLES")]:
        for vindex in routing[name].get("column_vindexes", ()):
            if vindex["name"] == "gene":
                sql = f"SELECT 1 FROM {name} WHERE {vindex['column']} % ? <> ? LIMIT 1"
                found += [name] if tx.query(sql, (shards, tx.shard)) else []
    return found


def heads(tx: Any) -> tuple[int, int]:
    """This shard's newest event, and where its relay stands."""
    [(newest,)] = tx.query("SELECT COALESCE(MAX(sequence), 0) FROM events")
    relayed = tx.query("SELECT sequence FROM relay_cursors WHERE shard = ? AND relay = 'main'", (tx.shard,))
    return newest, relayed[0][0] if relayed else 0


def left_behind(tx: Any) -> list[str]:
    """The types of events past the relay that somebody wants; it may leave others for later."""
    wanted = {name for consumer in consumers() for name in consumer.types}
    rows = tx.query("SELECT DISTINCT type FROM events WHERE sequence > ?", (heads(tx)[1],))
    return sorted({str(name) for (name,) in rows} & wanted)


def counted(tx: Any) -> int:
    """The last number that this shard's counter gave."""
    return int(tx.query("SELECT sequence FROM event_counters WHERE shard = ?", (tx.shard,))[0][0])
