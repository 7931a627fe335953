"""What the checks read straight from the committed tables, whole tables at a time."""

from __future__ import annotations

import sqlite3

from tradepost.kernel.events import EventRow
from tradepost.kernel.tx import Row, Tx
from tradepost.trade import payments

_EVENTS = (
    "SELECT gene, aggregate_id, version, type, at_ms, payload, buyer_id, seller_id, sequence FROM events"
)


def rewind(connection: sqlite3.Connection, rows: int) -> None:
    """Put the relay's cursor back by so many events."""
    connection.execute("UPDATE relay_cursors SET sequence = MAX(0, sequence - ?)", (rows,))


def events(tx: Tx) -> list[EventRow]:
    """Every event of a shard in the order of its stream."""
    return [EventRow(*row) for row in tx.query(f"{_EVENTS} ORDER BY sequence")]


def order_ids(tx: Tx) -> list[str]:
    """Every order of a shard."""
    return [row[0] for row in tx.query("SELECT order_id FROM orders ORDER BY order_id")]


def checkouts(tx: Tx) -> list[tuple[str, str]]:
    """(buyer, checkout) of everything that was placed on a shard."""
    sql = "SELECT buyer_id, checkout_id FROM checkouts WHERE state = 'PLACED' ORDER BY checkout_id"
    return [(row[0], row[1]) for row in tx.query(sql)]


def keyed_checkouts(tx: Tx) -> list[str]:
    """The checkout each kept idempotency key stands for."""
    rows = tx.query("SELECT response FROM idempotency")
    return [bytes(row[0]).decode().split()[1] for row in rows]


def payment_rows(tx: Tx) -> list[Row]:
    """(payment, checkout, state, amount, authorized, captured, refunded, version) of a shard."""
    return tx.query(
        "SELECT payment_id, checkout_id, state, amount_minor, authorized_minor, captured_minor, refunded_minor,"
        " version FROM payments ORDER BY payment_id"
    )


def asked_back(tx: Tx) -> dict[str, int]:
    """Minor units of all refunds ever requested that no bank made instead, by payment."""
    rows = tx.query(
        "SELECT payment_id, SUM(amount_minor) FROM refunds WHERE state <> 'CHARGED_BACK' GROUP BY payment_id"
    )
    return {row[0]: int(row[1]) for row in rows}


def asked_back_of(tx: Tx, gene: int, payment_id: str) -> int:
    """The same of one payment."""
    sql = (
        "SELECT COALESCE(SUM(amount_minor), 0) FROM refunds"
        " WHERE gene = ? AND payment_id = ? AND state <> 'CHARGED_BACK'"
    )
    return int(tx.query(sql, (gene, payment_id))[0][0])


def refund_states(tx: Tx) -> list[tuple[str, str]]:
    """(refund, state) of a shard."""
    return [(row[0], row[1]) for row in tx.query("SELECT refund_id, state FROM refunds ORDER BY refund_id")]


def refunds_through_provider(tx: Tx) -> set[str]:
    """Refunds of a shard of which a provider other than stored value gives back something."""
    rows = tx.query(
        "SELECT refund_id FROM refunds JOIN payments USING (gene, payment_id)"
        " WHERE refunds.amount_minor > refunds.stored_minor AND payments.provider <> 'stored_value'"
    )
    return {row[0] for row in rows}


def young_refunds(tx: Tx, since_ms: int) -> set[str]:
    """Refunds of a shard that were asked for since a moment: they may be under way."""
    rows = tx.query("SELECT refund_id FROM refunds WHERE requested_at_ms >= ?", (since_ms,))
    return {row[0] for row in rows}


def aggregate_versions(tx: Tx) -> dict[str, int]:
    """The version that each row of an aggregate says it has."""
    found: dict[str, int] = {}
    for sql in (
        "SELECT order_id, version FROM orders",
        "SELECT payment_id, version FROM payments WHERE version > 0",
        "SELECT refund_id, version FROM refunds",
        "SELECT package_id, version FROM packages",
        "SELECT return_id, version FROM returns",
        "SELECT dispute_id, version FROM disputes",
        "SELECT seller_id, version FROM sellers",
    ):
        found.update((row[0], row[1]) for row in tx.query(sql))
    return found


def hold_sums(tx: Tx) -> dict[tuple[str, str], tuple[int, int, int]]:
    """(held at first, still open, shipped) pieces by (owner, SKU); tombstones count nothing."""
    sql = (
        "SELECT owner_id, sku_id, SUM(quantity), SUM(open_quantity), SUM(shipped) FROM holds"
        " GROUP BY owner_id, sku_id"
    )
    return {(row[0], row[1]): (int(row[2]), int(row[3]), int(row[4])) for row in tx.query(sql)}


def waiting_owners(tx: Tx) -> set[str]:
    """Checkouts whose holds still have a deadline."""
    return {row[0] for row in tx.query("SELECT checkout_id FROM hold_deadlines")}


def open_holds(tx: Tx) -> list[tuple[str, str]]:
    """(owner, checkout) of everything that is still held or reserved."""
    sql = "SELECT DISTINCT owner_id, checkout_id FROM holds WHERE open_quantity > 0 ORDER BY owner_id"
    return [(row[0], row[1]) for row in tx.query(sql)]


def movement_references(tx: Tx) -> set[tuple[str, str]]:
    """(SKU, reference) of every movement by hand."""
    rows = tx.query("SELECT DISTINCT sku_id, reference FROM movements WHERE kind = 'receive'")
    return {(row[0], row[1]) for row in rows}


def inbox(tx: Tx) -> dict[tuple[str, str], str]:
    """DONE or OWED by (consumer, event), of what departs from the positions of a shard."""
    return {(row[0], row[1]): row[2] for row in tx.query("SELECT consumer, event_id, state FROM inbox")}


def positions(tx: Tx) -> dict[tuple[str, int], int]:
    """How far each consumer is on a shard, by (consumer, source shard)."""
    rows = tx.query("SELECT consumer, source_shard, sequence FROM consumer_positions")
    return {(row[0], row[1]): row[2] for row in rows}


def deliveries(tx: Tx) -> dict[tuple[str, str], str]:
    """(consumer, event) to the last error of everything that waits or is a dead letter."""
    rows = tx.query(
        "SELECT consumer, aggregate_id, version, error FROM deliveries ORDER BY aggregate_id, version"
    )
    return {(row[0], f"{row[1]}.{row[2]}"): row[3] for row in rows}


def relayed(tx: Tx) -> dict[str, int]:
    """The cursor of each of the shard's relays, by name."""
    return {row[0]: row[1] for row in tx.query("SELECT relay, sequence FROM relay_cursors")}


def portions(tx: Tx) -> list[payments.PortionView]:
    """Every order's part of every payment of a shard."""
    rows = tx.query("SELECT payment_id FROM payments ORDER BY payment_id")
    return [portion for row in rows for portion in payments.find_payment(tx, row[0]).portions]


def return_ids(tx: Tx) -> list[str]:
    """Every return of a shard."""
    return [row[0] for row in tx.query("SELECT return_id FROM returns ORDER BY return_id")]


def listed_orders(tx: Tx) -> dict[str, tuple[str, str, int]]:
    """(seller, state, version) by order, as sellers' lists have it."""
    rows = tx.query("SELECT order_id, seller_id, state, version FROM seller_orders")
    return {row[0]: (row[1], row[2], row[3]) for row in rows}
