"""What the torture reads from the shop's file itself, past the code that wrote it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tradepost.app import consumers
from tradepost.infra.payments.sandbox_book import Account
from tradepost.infra.storage.sqlite_engine import SqliteTx, connect_reader
from tradepost.kernel.tx import Tx, marks

_WAITING = {
    "deliveries waiting": "SELECT COUNT(*) FROM deliveries WHERE state <> 'DEAD'",
    "payments to ask about": "SELECT COUNT(*) FROM payments WHERE ask_at_ms > 0",
    "refunds under way": "SELECT COUNT(*) FROM refunds WHERE next_at_ms > 0",
    "holds with a deadline": "SELECT COUNT(*) FROM hold_deadlines",
}
_decode_account = msgspec.json.Decoder(Account).decode


class _Named(msgspec.Struct):
    email: str = ""


_decode_named = msgspec.json.Decoder(_Named).decode


class OrderRow(msgspec.Struct, frozen=True):
    """An order as it lies there; `email` is the request that made it."""

    order_id: str
    checkout_id: str
    payment_id: str
    state: str
    total_minor: int
    email: str


class PaymentRow(msgspec.Struct, frozen=True):
    """A payment as it lies there, minor units."""

    payment_id: str
    state: str
    authorized: int
    captured: int
    refunded: int


@contextlib.contextmanager
def opened(path: Path) -> Iterator[SqliteTx]:
    """One consistent view of the file, also while the server runs."""
    connection = connect_reader(str(path))
    try:
        connection.execute("BEGIN")
        yield SqliteTx(connection, 0)
    finally:
        connection.close()


def waiting(tx: Tx) -> dict[str, int]:
    """What the runtime still has to do, by kind; empty when everything has settled."""
    counts = {name: int(tx.query(sql)[0][0]) for name, sql in _WAITING.items()}
    heard = sorted({kind for consumer in consumers() for kind in consumer.types} | {"refund.requested.v1"})
    # the cursor is written behind events that somebody waits for; others it may pass without a note
    counts["events not relayed"] = tx.query(
        "SELECT COUNT(*) FROM events WHERE sequence > (SELECT COALESCE(MAX(sequence), 0) FROM relay_cursors)"
        f" AND type IN ({marks(len(heard))})",
        heard,
    )[0][0]
    return {name: count for name, count in counts.items() if count}


def dead_letters(tx: Tx) -> list[str]:
    """Deliveries that were given up."""
    rows = tx.query("SELECT consumer, aggregate_id, version, error FROM deliveries WHERE state = 'DEAD'")
    return [f"{row[0]} {row[1]}.{row[2]}: {row[3]}" for row in rows]


def all_orders(tx: Tx) -> list[OrderRow]:
    """Every order."""
    rows = tx.query("SELECT order_id, checkout_id, payment_id, state, total_minor, body FROM orders")
    return [OrderRow(row[0], row[1], row[2], row[3], row[4], _decode_named(row[5]).email) for row in rows]


def all_payments(tx: Tx) -> dict[str, PaymentRow]:
    """Every payment by its id."""
    sql = "SELECT payment_id, state, authorized_minor, captured_minor, refunded_minor FROM payments"
    return {row[0]: PaymentRow(*row) for row in tx.query(sql)}


def answers_by_key(tx: Tx) -> dict[str, int]:
    """How many answers are kept under each idempotency key."""
    return dict(tx.query("SELECT idem_key, COUNT(*) FROM idempotency GROUP BY idem_key"))


def versions(tx: Tx) -> dict[str, int]:
    """The version of every order, package, return and payment by its id."""
    found: dict[str, int] = {}
    for sql in (
        "SELECT order_id, version FROM orders",
        "SELECT package_id, version FROM packages",
        "SELECT return_id, version FROM returns",
        "SELECT payment_id, version FROM payments",
    ):
        found |= dict(tx.query(sql))
    return found


def open_holds(tx: Tx) -> dict[tuple[str, str], tuple[int, int]]:
    """Open pieces by (owner, SKU) as (held, reserved)."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for owner_id, sku_id, state, pieces in tx.query(
        "SELECT owner_id, sku_id, state, open_quantity FROM holds"
    ):
        held, reserved = found.get((owner_id, sku_id), (0, 0))
        found[(owner_id, sku_id)] = (
            held + pieces * (state == "HELD"),
            reserved + pieces * (state != "HELD"),
        )
    return found


def broken_logs(tx: Tx) -> list[str]:
    """Aggregates whose versions have a gap, and numbers of the stream that were given twice."""
    sql = (
        "SELECT aggregate_id, COUNT(*), MAX(version) FROM events GROUP BY gene, aggregate_id"
        " HAVING COUNT(*) <> MAX(version) OR MIN(version) <> 1"
    )
    found = [f"{row[0]}: {row[1]} events up to version {row[2]}" for row in tx.query(sql)]
    twice = "SELECT sequence, COUNT(*) FROM events GROUP BY sequence HAVING COUNT(*) > 1"
    return found + [f"sequence {row[0]} was given {row[1]} times" for row in tx.query(twice)]


def provider_accounts(path: Path) -> dict[str, Account]:
    """What the sandbox provider has on file, by payment."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    accounts = [_decode_account(line) for line in lines if line.endswith(b"\n")]
    return {account.payment_id: account for account in accounts}
