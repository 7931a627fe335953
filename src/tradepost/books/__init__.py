"""The auditor: proves that orders, payments and ledger say the same, from the rows alone."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tradepost.books import store
from tradepost.kernel.tx import Tx
from tradepost.trade import ledger

__all__ = ["BooksReport", "Finding", "check_books", "merge_books"]

UNPAID_STATES = ("UNPAID", "CANCELLED")


class Finding(msgspec.Struct, frozen=True):
    """One disagreement: its kind, what it is about, and the figures."""

    kind: str
    subject: str
    detail: str


class BooksReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared. Amounts are minor units by currency; `gross` leaves out cancelled orders."""

    orders: int
    payments: int
    transactions: int
    orders_by_state: dict[str, int]
    gross: dict[str, int]
    captured: dict[str, int]
    refunded: dict[str, int]
    ledger_captured: dict[str, int]
    ledger_refunded: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def agree(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


class _Payment(msgspec.Struct):
    state: str
    amount: int
    authorized: int
    captured: int
    refunded: int
    currency: str
    ordered: int = 0


def check_books(tx: Tx) -> BooksReport:
    """Compare every order, payment and journal row of this shard; orders lie with their payment."""
    books = ledger.check_ledger(tx)
    found = [Finding(f"ledger.{one.kind}", one.transaction_id, one.detail) for one in books.findings]
    payments = {row[1]: _Payment(*row[2:]) for row in store.all_payments(tx)}
    states: dict[str, int] = {}
    gross: dict[str, int] = {}
    count = 0
    for _, order_id, payment_id, state, total, currency in store.all_orders(tx):
        count += 1
        states[state] = states.get(state, 0) + 1
        if state != "CANCELLED":
            gross[currency] = gross.get(currency, 0) + total
        payment = payments.get(payment_id)
        if payment is not None:
            payment.ordered += total
        fault = _judge_order(state, total, payment)
        if fault:
            found.append(Finding("order", order_id, fault))
    for payment_id, payment in payments.items():
        faults = _judge_payment(payment, books.captured.get(payment_id, 0), books.refunded.get(payment_id, 0))
        found += [Finding("payment", payment_id, fault) for fault in faults]
    found += [
        Finding("ledger", reference, "the journal names a payment that does not exist")
        for reference in sorted({*books.captured, *books.refunded} - payments.keys())
    ]
    if not books.balanced and not books.findings:
        found.append(Finding("ledger", "balances", "the accounts do not sum to zero"))
    return BooksReport(
        orders=count,
        payments=len(payments),
        transactions=books.transactions,
        orders_by_state=states,
        gross=gross,
        captured=_sum(payments, "captured"),
        refunded=_sum(payments, "refunded"),
        ledger_captured=_by_currency(books.captured, payments),
        ledger_refunded=_by_currency(books.refunded, payments),
        findings=tuple(found),
    )


def _judge_order(state: str, total: int, payment: _Payment | None) -> str:
    if total == 0:
        return ""
    if payment is None:
        return "has a total but no payment"
    if state not in UNPAID_STATES and not payment.captured and not payment.authorized:
        return f"is {state}, but nothing was authorized or captured"
    return ""


def _judge_payment(payment: _Payment, captured: int, refunded: int) -> list[str]:
    facts = {
        f"captured {payment.captured}, the journal {captured}": payment.captured != captured,
        f"refunded {payment.refunded}, the journal {refunded}": payment.refunded != refunded,
        f"captured {payment.captured} of {payment.amount}": payment.captured > payment.amount,
        f"refunded {payment.refunded} of {payment.captured}": payment.refunded > payment.captured,
        f"is for {payment.amount}, its orders for {payment.ordered}": payment.amount != payment.ordered,
    }
    return [text for text, broken in facts.items() if broken]


def _sum(payments: dict[str, _Payment], name: str) -> dict[str, int]:
    return _by_currency({key: getattr(payment, name) for key, payment in payments.items()}, payments)


def _by_currency(amounts: dict[str, int], payments: dict[str, _Payment]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for payment_id, amount in amounts.items():
        if payment_id in payments:
            currency = payments[payment_id].currency
            sums[currency] = sums.get(currency, 0) + amount
    return dict(sorted(sums.items()))


def merge_books(reports: Iterable[BooksReport]) -> BooksReport:
    """One report of several shards."""
    parts = list(reports)

    def added(name: str) -> dict[str, int]:
        sums: dict[str, int] = {}
        for part in parts:
            for key, amount in getattr(part, name).items():
                sums[key] = sums.get(key, 0) + amount
        return sums

    return BooksReport(
        orders=sum(part.orders for part in parts),
        payments=sum(part.payments for part in parts),
        transactions=sum(part.transactions for part in parts),
        orders_by_state=added("orders_by_state"),
        gross=added("gross"),
        captured=added("captured"),
        refunded=added("refunded"),
        ledger_captured=added("ledger_captured"),
        ledger_refunded=added("ledger_refunded"),
        findings=tuple(finding for part in parts for finding in part.findings),
    )
