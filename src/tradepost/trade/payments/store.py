"""The only SQL of payments."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Row, Taken, Tx
from tradepost.trade.payments.disputes import Dispute
from tradepost.trade.payments.funding import Side
from tradepost.trade.payments.model import Body, Payment, Refund

_PAYMENT = (
    "payment_id, checkout_id, buyer_id, provider, currency, amount_minor, state, authorized_minor,"
    " captured_minor, refunded_minor, ask_at_ms, version, revision, opened_at_ms, body"
)
_REFUND = (
    "refund_id, payment_id, order_id, amount_minor, currency, reason, state, attempts, next_at_ms, error,"
    " version, revision, requested_at_ms, stored_minor"
)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Body).decode
_OBJECT = ord("{")


class _Flanked(msgspec.Struct, frozen=True):
    """The body of a payment with something beside its shares; any other is the bare array it always was."""

    body: Body
    sides: tuple[Side, ...]


_decode_flanked = msgspec.json.Decoder(_Flanked).decode


def _read_body(raw: bytes) -> tuple[Body, tuple[Side, ...]]:
    if raw[0] != _OBJECT:
        return _decode(raw), ()
    found = _decode_flanked(raw)
    return found.body, found.sides


def _write_body(payment: Payment) -> bytes:
    return _encode(_Flanked(payment.body, payment.sides) if payment.sides else payment.body)


def _payment(row: Row) -> Payment:
    body, sides = _read_body(row[14])
    payment = Payment(
        payment_id=row[0],
        checkout_id=row[1],
        buyer_id=row[2],
        provider=row[3],
        currency=row[4],
        amount_minor=row[5],
        state=row[6],
        authorized_minor=row[7],
        captured_minor=row[8],
        refunded_minor=row[9],
        ask_at_ms=row[10],
        version=row[11],
        revision=row[12],
        opened_at_ms=row[13],
        body=body,
    )
    return msgspec.structs.replace(payment, sides=sides) if sides else payment


def _refund(row: Row) -> Refund:
    return Refund(
        refund_id=row[0],
        payment_id=row[1],
        order_id=row[2],
        amount_minor=row[3],
        currency=row[4],
        reason=row[5],
        state=row[6],
        attempts=row[7],
        next_at_ms=row[8],
        error=row[9],
        version=row[10],
        revision=row[11],
        requested_at_ms=row[12],
        stored_minor=row[13],
    )


def insert_payments(tx: Tx, payments: Sequence[Payment]) -> None:
    """New rows. Raises Taken when an id is there."""
    tx.execute_many(
        f"INSERT INTO payments (gene, {_PAYMENT}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        [
            (
                gene_of(p.payment_id),
                p.payment_id,
                p.checkout_id,
                p.buyer_id,
                p.provider,
                p.currency,
                p.amount_minor,
                p.state,
                p.authorized_minor,
                p.captured_minor,
                p.refunded_minor,
                p.ask_at_ms,
                p.version,
                p.revision,
                p.opened_at_ms,
                _write_body(p),
            )
            for p in payments
        ],
    )


def find_payments(tx: Tx, payment_ids: Sequence[str]) -> dict[str, Payment]:
    """Payments by id; missing ones are left out."""
    keys = [(gene_of(payment_id), payment_id) for payment_id in dict.fromkeys(payment_ids)]
    sql = f"SELECT {_PAYMENT} FROM payments WHERE {{keys}}"
    rows = tx.query_keys(sql, ("gene", "payment_id"), keys, lock=True)
    return {row[0]: _payment(row) for row in rows}


def update_payments(tx: Tx, payments: Sequence[Payment]) -> None:
    """Write what changes. Raises Refusal `version.conflict` when another writer changed one meanwhile."""
    if not payments:
        return
    matched = tx.execute_many(
        "UPDATE payments SET state = ?, authorized_minor = ?, captured_minor = ?, refunded_minor = ?,"
        " ask_at_ms = ?, version = ?, revision = ?, body = ? WHERE gene = ? AND payment_id = ? AND revision = ?",
        [
            (
                p.state,
                p.authorized_minor,
                p.captured_minor,
                p.refunded_minor,
                p.ask_at_ms,
                p.version,
                p.revision + 1,
                _write_body(p),
                gene_of(p.payment_id),
                p.payment_id,
                p.revision,
            )
            for p in payments
        ],
    )
    if matched != len(payments):
        raise _conflict("payment")


def due_payments(tx: Tx, now_ms: int, limit: int) -> list[tuple[str, str]]:
    """(payment id, provider) of this shard that wait for an answer since before now, longest first."""
    return [
        (row[0], row[1])
        for row in tx.query(
            "SELECT payment_id, provider FROM payments WHERE ask_at_ms > 0 AND ask_at_ms <= ?"
            " ORDER BY ask_at_ms LIMIT ?",
            (now_ms, limit),
        )
    ]


def insert_shipments(tx: Tx, rows: Sequence[tuple[str, str]]) -> None:
    """(order id, payment id) of orders whose payment is captured when they leave."""
    tx.execute_many(
        "INSERT INTO payment_shipments (gene, order_id, payment_id) VALUES (?,?,?)",
        [(gene_of(order_id), order_id, payment_id) for order_id, payment_id in rows],
    )


def find_shipments(tx: Tx, order_ids: Sequence[str]) -> dict[str, str]:
    """Payment id by order id, for those that are captured on shipment."""
    keys = [(gene_of(order_id), order_id) for order_id in dict.fromkeys(order_ids)]
    rows = tx.query_keys(
        "SELECT order_id, payment_id FROM payment_shipments WHERE {keys}", ("gene", "order_id"), keys
    )
    return {row[0]: row[1] for row in rows}


def insert_refunds(tx: Tx, refunds: Sequence[Refund]) -> None:
    """New rows. Raises Taken when an id is there."""
    tx.execute_many(
        f"INSERT INTO refunds (gene, {_REFUND}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        [
            (
                gene_of(r.refund_id),
                r.refund_id,
                r.payment_id,
                r.order_id,
                r.amount_minor,
                r.currency,
                r.reason,
                r.state,
                r.attempts,
                r.next_at_ms,
                r.error,
                r.version,
                r.revision,
                r.requested_at_ms,
                r.stored_minor,
            )
            for r in refunds
        ],
    )


def find_refunds(tx: Tx, refund_ids: Sequence[str]) -> dict[str, Refund]:
    """Refunds by id; missing ones are left out."""
    keys = [(gene_of(refund_id), refund_id) for refund_id in dict.fromkeys(refund_ids)]
    sql = f"SELECT {_REFUND} FROM refunds WHERE {{keys}}"
    rows = tx.query_keys(sql, ("gene", "refund_id"), keys, lock=True)
    return {row[0]: _refund(row) for row in rows}


def refunds_of(tx: Tx, payment_id: str) -> list[Refund]:
    """All refunds of a payment, oldest first."""
    rows = tx.query(
        f"SELECT {_REFUND} FROM refunds WHERE gene = ? AND payment_id = ? ORDER BY requested_at_ms, refund_id",
        (gene_of(payment_id), payment_id),
    )
    return [_refund(row) for row in rows]


def update_refunds(tx: Tx, refunds: Sequence[Refund]) -> None:
    """Write what changes. Raises Refusal `version.conflict` when another writer changed one meanwhile."""
    if not refunds:
        return
    matched = tx.execute_many(
        "UPDATE refunds SET state = ?, attempts = ?, next_at_ms = ?, error = ?, version = ?, revision = ?"
        " WHERE gene = ? AND refund_id = ? AND revision = ?",
        [
            (
                r.state,
                r.attempts,
                r.next_at_ms,
                r.error,
                r.version,
                r.revision + 1,
                gene_of(r.refund_id),
                r.refund_id,
                r.revision,
            )
            for r in refunds
        ],
    )
    if matched != len(refunds):
        raise _conflict("refund")


def due_refunds(tx: Tx, now_ms: int, limit: int) -> list[str]:
    """Refund ids of this shard whose call or answer is due, longest first."""
    rows = tx.query(
        "SELECT refund_id FROM refunds WHERE next_at_ms > 0 AND next_at_ms <= ? ORDER BY next_at_ms LIMIT ?",
        (now_ms, limit),
    )
    return [row[0] for row in rows]


def refund_tasks(tx: Tx, after: str, limit: int) -> list[Refund]:
    """Refunds of this shard that an operator has to look at, in order of id."""
    rows = tx.query(
        f"SELECT {_REFUND} FROM refunds WHERE state = 'NEEDS_OPERATOR' AND refund_id > ?"
        " ORDER BY refund_id LIMIT ?",
        (after, limit),
    )
    return [_refund(row) for row in rows]


_read_dispute = msgspec.json.Decoder(Dispute).decode


def disputes_of(tx: Tx, payment_ids: Sequence[str]) -> dict[str, Dispute]:
    """All disputes of these payments by id."""
    keys = [(gene_of(payment_id), payment_id) for payment_id in dict.fromkeys(payment_ids)]
    rows = tx.query_keys(
        "SELECT body FROM disputes WHERE {keys}", ("gene", "payment_id"), keys
    )  # guarded by the payment's row, which the caller holds
    found = [_read_dispute(row[0]) for row in rows]
    return {dispute.dispute_id: dispute for dispute in sorted(found, key=lambda one: one.dispute_id)}


def write_disputes(tx: Tx, disputes: Sequence[Dispute]) -> None:
    """New and changed rows: the payments they belong to are written in the same commit, with their revisions."""
    tx.execute_many(
        "DELETE FROM disputes WHERE gene = ? AND payment_id = ? AND dispute_id = ?",
        [(gene_of(one.payment_id), one.payment_id, one.dispute_id) for one in disputes],
    )
    tx.execute_many(
        "INSERT INTO disputes (gene, payment_id, dispute_id, version, body) VALUES (?,?,?,?,?)",
        [
            (gene_of(one.payment_id), one.payment_id, one.dispute_id, one.version, _encode(one))
            for one in disputes
        ],
    )


def find_provider_events(tx: Tx, keys: Sequence[tuple[int, str, str]]) -> set[tuple[int, str, str]]:
    """Which of (gene, provider, event id) were heard before."""
    rows = tx.query_keys(
        "SELECT gene, provider, event_id FROM provider_events WHERE {keys}",
        ("gene", "provider", "event_id"),
        keys,
    )
    return {(row[0], row[1], row[2]) for row in rows}


def insert_provider_events(tx: Tx, rows: Sequence[tuple[int, str, str, int]]) -> None:
    """Note events as heard. Raises Refusal `version.conflict` when another writer noted one meanwhile."""
    try:
        tx.execute_many(
            "INSERT INTO provider_events (gene, provider, event_id, at_ms) VALUES (?,?,?,?)", rows
        )
    except Taken:
        raise _conflict("provider event") from None


def old_provider_events(tx: Tx, before_ms: int, limit: int) -> list[tuple[int, str, str]]:
    """Keys of events of this shard heard before a moment."""
    rows = tx.query(
        "SELECT gene, provider, event_id FROM provider_events WHERE at_ms < ? ORDER BY at_ms LIMIT ?",
        (before_ms, limit),
    )
    return [(row[0], row[1], row[2]) for row in rows]


def delete_provider_events(tx: Tx, keys: Sequence[tuple[int, str, str]]) -> None:
    """Forget events that no provider will send again."""
    tx.execute_many("DELETE FROM provider_events WHERE gene = ? AND provider = ? AND event_id = ?", keys)


def _conflict(what: str) -> Refusal:
    return Refusal("version.conflict", f"The {what} was changed by another writer meanwhile.")
