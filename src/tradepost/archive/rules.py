"""Which checkouts may leave, and what the journal keeps of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tradepost.archive.model import Facts, Record, Rows
from tradepost.kernel.states import state_tables
from tradepost.trade import aftersales, ledger, orders, payments

_body = msgspec.json.Decoder(orders.OrderBody).decode
_return = msgspec.json.Decoder(aftersales.Return).decode
_dispute = msgspec.json.Decoder(payments.Dispute).decode
_entries = msgspec.json.Decoder(tuple[ledger.Entry, ...]).decode


def reason_to_stay(record: Record, facts: Facts) -> str:
    """Why a checkout stays in the database, "" when nothing more can happen to it and it is old enough."""
    rows = record.rows
    reasons = (
        ("orders_open", _unfinished("order", rows["orders"])),
        (
            "payment_open",
            _unfinished("payment", rows["payments"]) or any(p["ask_at_ms"] for p in rows["payments"]),
        ),
        ("refund_open", _unfinished("refund", rows["refunds"])),
        (
            "dispute_open",
            _unfinished("dispute", [{"state": _dispute(r["body"]).state} for r in rows["disputes"]]),
        ),
        (
            "return_open",
            _unfinished("return", [{"state": _return(r["body"]).state} for r in rows["returns"]]),
        ),
        ("incomplete", not rows["orders"] or not _payments_are_there(rows)),
        ("young", last_touched_ms(rows) >= facts.before_ms),
        ("returnable", _returnable_until_ms(rows) > facts.now_ms),
        ("not_settled", any(row["state"] != "SETTLED" or row["due_at_ms"] for row in rows["settlements"])),
        ("money_pending", any(balance.pending_minor for balance in balances(rows).values())),
        (
            "not_relayed",
            any(e["sequence"] > facts.relayed or e["sequence"] == facts.head for e in rows["events"]),
        ),
        ("delivery_waits", any(e["aggregate_id"] in facts.waiting for e in rows["events"])),
    )
    return next((reason for reason, stays in reasons if stays), "")


def _unfinished(machine: str, rows: Iterable[Mapping[str, Any]]) -> bool:
    final = state_tables()[machine].final
    return any(row["state"] not in final for row in rows)


def _payments_are_there(rows: Rows) -> bool:
    owed = {row["payment_id"] for row in rows["orders"] if row["total_minor"]}
    return owed <= {row["payment_id"] for row in rows["payments"]}


def last_touched_ms(rows: Rows) -> int:
    """The moment of the last thing that happened to a checkout."""
    placed = [int(row["placed_at_ms"]) for row in rows["orders"]]
    return max(placed + [int(row["at_ms"]) for row in rows["events"]], default=0)


def _returnable_until_ms(rows: Rows) -> int:
    window_ms = max((_body(row["body"]).return_window_ms for row in rows["orders"]), default=0)
    return (
        last_touched_ms(rows) + window_ms if any(row["state"] == "COMPLETED" for row in rows["orders"]) else 0
    )


def transactions(rows: Rows) -> list[ledger.Transaction]:
    """The journal rows of a record as the ledger knows them."""
    return [
        ledger.Transaction(**{**row, "entries": _entries(row["entries"])}) for row in rows.get("journal", ())
    ]


def balances(rows: Rows) -> dict[tuple[str, str], ledger.Balance]:
    """What the journal rows of a record come to, by account and currency."""
    return ledger.balances(transactions(rows))


def closings(records: Iterable[Record], gene: int, name: str, at_ms: int) -> list[ledger.Transaction]:
    """The journal rows that stand for those of the records from now on: one a currency, of their posted balances."""
    moved = [t for record in records for t in transactions(record.rows)]
    by_currency: dict[str, list[ledger.Entry]] = {}
    for balance in ledger.balances(moved).values():
        if balance.posted_minor:
            entry = ledger.Entry(balance.account, balance.posted_minor)
            by_currency.setdefault(balance.currency, []).append(entry)
    return [
        ledger.Transaction(
            transaction_id=f"closing.{name}.{currency}",
            gene=gene,
            kind=ledger.TransactionKind.CLOSING,
            currency=currency,
            entries=tuple(entries),
            reference=name,
            at_ms=at_ms,
        )
        for currency, entries in sorted(by_currency.items())
    ]


def totals_of(records: Iterable[Record]) -> dict[str, int]:
    """Minor units of orders that were not cancelled, by currency."""
    sums: dict[str, int] = {}
    for record in records:
        for row in record.rows["orders"]:
            if row["state"] != "CANCELLED":
                sums[row["currency"]] = sums.get(row["currency"], 0) + row["total_minor"]
    return sums
