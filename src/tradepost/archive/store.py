"""What hangs on a checkout, read and deleted as rows: past the code that wrote them, as an auditor reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tradepost.archive.model import Record, Rows
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Row, Tx, Value
from tradepost.trade import settlement

COLUMNS: dict[str, tuple[str, ...]] = {
    "checkouts": ("gene", "buyer_id", "checkout_id", "state", "quote_hash", "placed_at_ms", "body"),
    "orders": (
        *("gene", "order_id", "checkout_id", "buyer_id", "seller_id", "market", "currency", "scene", "state"),
        *(
            "version",
            "total_minor",
            "placed_at_ms",
            "deadline_at_ms",
            "payment_id",
            "progress",
            "cancellation",
        ),
        "body",
    ),
    "payments": (
        *("gene", "payment_id", "checkout_id", "buyer_id", "provider", "currency", "amount_minor", "state"),
        *("authorized_minor", "captured_minor", "refunded_minor", "ask_at_ms", "version", "revision"),
        *("opened_at_ms", "body"),
    ),
    "payment_shipments": ("gene", "order_id", "payment_id"),
    "refunds": (
        *("gene", "refund_id", "payment_id", "order_id", "amount_minor", "currency", "reason", "state"),
        *("attempts", "next_at_ms", "error", "version", "revision", "requested_at_ms", "stored_minor"),
    ),
    "disputes": ("gene", "payment_id", "dispute_id", "version", "body"),
    "stored_tenders": ("gene", "payment_id", "body"),
    "fulfilments": (
        *("gene", "order_id", "buyer_id", "seller_id", "state", "version", "ship_by_at_ms", "open_lines"),
        "done",
    ),
    "packages": ("gene", "order_id", "package_id", "version", "body"),
    "returns": ("gene", "return_id", "order_id", "version", "body", "deadline_at_ms"),
    "settlements": (
        "gene",
        "order_id",
        "party_id",
        "market",
        "currency",
        "state",
        "due_at_ms",
        "version",
        "body",
    ),
    "journal": (
        *(
            "gene",
            "transaction_id",
            "kind",
            "state",
            "currency",
            "entries",
            "reference",
            "pending_id",
            "at_ms",
        ),
    ),
    "journal_pending": ("gene", "transaction_id", "amount_minor", "resolved_minor"),
    "events": (
        *("gene", "aggregate_id", "version", "type", "at_ms", "payload", "buyer_id", "seller_id", "sequence"),
    ),
}
"""Every column of the tables that leave with a checkout; a test holds them to the table definitions."""
KEYS: dict[str, tuple[str, ...]] = {
    "checkouts": ("gene", "buyer_id", "checkout_id"),
    "orders": ("gene", "order_id"),
    "payments": ("gene", "payment_id"),
    "payment_shipments": ("gene", "order_id"),
    "refunds": ("gene", "refund_id"),
    "disputes": ("gene", "payment_id", "dispute_id"),
    "stored_tenders": ("gene", "payment_id"),
    "fulfilments": ("gene", "order_id"),
    "packages": ("gene", "order_id", "package_id"),
    "returns": ("gene", "return_id"),
    "settlements": ("gene", "order_id"),
    "journal": ("gene", "transaction_id"),
    "journal_pending": ("gene", "transaction_id"),
    "events": ("gene", "aggregate_id", "version"),
}
BLOBS = frozenset(
    {"body", "progress", "cancellation", "open_lines", "done", "entries", "payload"},
)
SELLER_COLUMNS = (
    *(
        "gene",
        "seller_id",
        "order_id",
        "number",
        "state",
        "currency",
        "total_minor",
        "placed_at_ms",
        "version",
    ),
)
PAID = frozenset({"payments", "disputes", "stored_tenders"})
"""Tables whose rows belong to a payment."""
RELAYS = ("main", "slow")
PAGE = 200

Name = tuple[int, str, str]
"""A checkout: (gene, buyer id, checkout id)."""
START: Name = (0, "", "")


def put_back(tx: Tx, rows: Rows) -> None:
    """Enter the rows of a record as they lay, into a database that holds none of them: for looking at it."""
    for table, owned in rows.items():
        assert table in COLUMNS
        for row in owned:
            marks = ", ".join("?" * len(row))
            tx.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def count_placed(tx: Tx, before_ms: int) -> int:
    """Checkouts of this shard placed before a moment."""
    sql = "SELECT COUNT(*) FROM checkouts WHERE state = 'PLACED' AND placed_at_ms < ?"
    number: int = tx.query(sql, (before_ms,))[0][0]
    return number


def page(tx: Tx, after: Name, last_gene: int, before_ms: int, limit: int = PAGE) -> tuple[list[Record], Name]:
    """Checkouts of this shard placed before a moment, behind a name, with their rows; and where to go on.

    Gene by gene, for its key leads everywhere; the end has a gene behind the last one.
    """
    names: list[Name] = []
    gene, buyer_id, checkout_id = after
    while gene <= last_gene and len(names) < limit:
        rows: list[Row] = []
        if tx.keeps(gene):
            rows = tx.query(
                "SELECT gene, buyer_id, checkout_id FROM checkouts WHERE gene = ? AND buyer_id >= ?"
                " AND (buyer_id > ? OR checkout_id > ?) AND state = 'PLACED' AND placed_at_ms < ?"
                " ORDER BY buyer_id, checkout_id LIMIT ?",
                (gene, buyer_id, buyer_id, checkout_id, before_ms, limit - len(names)),
            )
            names += [(row[0], row[1], row[2]) for row in rows]
        if len(names) == limit:
            return records(tx, names), names[-1]
        gene, buyer_id, checkout_id = gene + 1, "", ""
    return records(tx, names), (gene, "", "")


def records(tx: Tx, names: Sequence[Name], *, lock: bool = False) -> list[Record]:
    """Checkouts with their rows; one that is gone is left out. With `lock` nobody changes orders and payments before
    this transaction ends."""
    found = _select(tx, "checkouts", "gene, buyer_id, checkout_id", names, lock=lock)
    by_buyer = [(row["gene"], order_id) for row in found for order_id in _order_ids(row)]
    orders = _select(tx, "orders", "gene, order_id", by_buyer, lock=lock)
    order_keys = [(row["gene"], row["order_id"]) for row in orders]
    paid = list(dict.fromkeys((row["gene"], row["payment_id"]) for row in orders if row["payment_id"]))
    tables: Rows = {
        "checkouts": found,
        "orders": orders,
        "payments": _select(tx, "payments", "gene, payment_id", paid, lock=lock),
        "refunds": _select(tx, "refunds", "gene, payment_id", paid),
        "disputes": _select(tx, "disputes", "gene, payment_id", paid),
        "stored_tenders": _select(tx, "stored_tenders", "gene, payment_id", paid),
    }
    for table in ("payment_shipments", "fulfilments", "packages", "returns", "settlements"):
        tables[table] = _select(tx, table, "gene, order_id", order_keys)
    tables["journal"] = [row for key in paid for row in _journal_of(tx, *key)]
    tables["journal_pending"] = _select(
        tx,
        "journal_pending",
        "gene, transaction_id",
        [(row["gene"], row["transaction_id"]) for row in tables["journal"] if row["state"] == "pending"],
    )
    tables["events"] = _select(tx, "events", "gene, aggregate_id", aggregates(tables))
    return _sorted_out(tables)


def _order_ids(checkout: dict[str, Any]) -> list[str]:
    return [one["order_id"] for one in msgspec.json.decode(checkout["body"])["orders"]]


def aggregates(tables: Rows) -> list[tuple[int, str]]:
    """(gene, id) of everything in these rows that has a log."""
    named = {"orders": "order_id", "payments": "payment_id", "refunds": "refund_id", "packages": "package_id"}
    named |= {"returns": "return_id", "disputes": "dispute_id"}
    owned = [(row["gene"], row[column]) for table, column in named.items() for row in tables[table]]
    return owned + [(row["gene"], settlement.settlement_id(row["order_id"])) for row in tables["settlements"]]


def _journal_of(tx: Tx, gene: int, payment_id: str) -> list[dict[str, Any]]:
    columns = COLUMNS["journal"]
    rows = tx.query(
        f"SELECT {', '.join(columns)} FROM journal WHERE gene = ? AND transaction_id >= ? AND transaction_id < ?",
        (gene, f"{payment_id}.", f"{payment_id}/"),
    )
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _select(
    tx: Tx, table: str, key: str, keys: Sequence[Sequence[Value]], *, lock: bool = False
) -> list[dict[str, Any]]:
    columns = COLUMNS[table]
    sql = f"SELECT {', '.join(columns)} FROM {table} WHERE {{keys}}"
    rows = tx.query_keys(sql, key.split(", "), keys, lock=lock) if keys else []
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _sorted_out(tables: Rows) -> list[Record]:
    """The rows of many checkouts as one record each."""
    homes: dict[str, str] = {}
    for row in tables["orders"]:
        homes[row["order_id"]] = homes[row["payment_id"]] = row["checkout_id"]
    for table, key in (("refunds", "refund_id"), ("packages", "package_id"), ("returns", "return_id")):
        homes.update({row[key]: homes[row["order_id"]] for row in tables[table]})
    homes.update({row["dispute_id"]: homes[row["payment_id"]] for row in tables["disputes"]})
    for row in tables["settlements"]:
        homes[settlement.settlement_id(row["order_id"])] = homes[row["order_id"]]
    split: dict[str, Rows] = {
        row["checkout_id"]: {table: [] for table in COLUMNS} for row in tables["checkouts"]
    }
    for table, rows in tables.items():
        for row in rows:
            split[_home(table, row, homes)][table].append(row)
    return [
        Record(
            checkout_id=row["checkout_id"],
            buyer_id=row["buyer_id"],
            gene=row["gene"],
            rows=split[row["checkout_id"]],
        )
        for row in tables["checkouts"]
    ]


def _home(table: str, row: dict[str, Any], homes: dict[str, str]) -> str:
    if table in {"checkouts", "orders"}:
        return str(row["checkout_id"])
    if table in {"journal", "journal_pending"}:
        return homes[row["transaction_id"].partition(".")[0]]
    if table == "events":
        return homes[row["aggregate_id"]]
    return homes[row["payment_id"] if table in PAID else row["order_id"]]


def relayed(tx: Tx) -> tuple[int, int]:
    """(up to which event this shard's relays have passed everything on, the newest event)."""
    rows = tx.query_in(
        "SELECT sequence FROM relay_cursors WHERE shard = ? AND relay IN ({in})", RELAYS, (tx.shard,)
    )
    head: int = tx.query("SELECT COALESCE(MAX(sequence), 0) FROM events")[0][0]
    return min((row[0] for row in rows), default=0), head


def waiting(tx: Tx, keys: Sequence[tuple[int, str]]) -> set[str]:
    """Those of the (gene, id) logs of which a delivery waits or is dead."""
    sql = "SELECT aggregate_id FROM deliveries WHERE {keys}"
    return {row[0] for row in tx.query_keys(sql, ("gene", "aggregate_id"), keys)} if keys else set()


def delete(tx: Tx, tables: Iterable[Rows]) -> None:
    """Delete rows by key."""
    doomed: dict[str, list[tuple[Value, ...]]] = {}
    for rows in tables:
        for table, owned in rows.items():
            doomed.setdefault(table, []).extend(tuple(row[c] for c in KEYS[table]) for row in owned)
    for table, keys in doomed.items():
        where = " AND ".join(f"{column} = ?" for column in KEYS[table])
        tx.execute_many(f"DELETE FROM {table} WHERE {where}", keys)


def delete_seller_rows(tx: Tx, orders: Sequence[tuple[str, str]]) -> None:
    """Take (seller, order) off the sellers' lists."""
    tx.execute_many(
        "DELETE FROM seller_orders WHERE gene = ? AND seller_id = ? AND order_id = ?",
        [(gene_of(seller_id), seller_id, order_id) for seller_id, order_id in orders],
    )
