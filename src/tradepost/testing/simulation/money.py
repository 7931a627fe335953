"""Money in the simulation: conserved for each order, at every moment; settled, stated and paid at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.trade import ledger, orders, payments, settlement

WAITS_FOR_NOTHING = frozenset({"COMPLETED"})

_LEAVING = (ledger.TransactionKind.TRANSFER, ledger.TransactionKind.EXCHANGE)
"""How money goes from an order to its seller."""


def check_money(
    readers: Sequence[Tx],
    found: Iterable[orders.Order],
) -> list[str]:
    """What is wrong with any order's money or with what parties are owed."""
    faults = []
    for tx in readers:
        report = settlement.check_settlement(tx)
        faults += [f"settlement {one.kind}: {one.subject} {one.detail}" for one in report.findings]
    by_payment: dict[str, list[orders.Order]] = {}
    for order in found:
        if order.payment_id:
            by_payment.setdefault(order.payment_id, []).append(order)
    for payment_id, owned in by_payment.items():
        tx = readers[gene_of(payment_id) % len(readers)]
        rows = ledger.transactions_of(tx, gene_of(payment_id), payment_id)
        if rows:
            books = [
                payments.find_books(tx, payment_id, order.order_id) for order in owned if order.total_minor
            ]
            faults += _check_funders(payment_id, books, rows)
            for order, stands in zip([each for each in owned if each.total_minor], books, strict=True):
                faults += _check_order(order, stands, rows)
    return faults


def _check_order(
    order: orders.Order, books: payments.PortionBooks, rows: Sequence[ledger.Transaction]
) -> list[str]:
    """What buyer and funders paid for an order is what seller, platform and state have of it, to the minor unit."""
    kept = books.captured_minor - books.refunded_minor
    funded = sum(one.amount_minor for one in books.funded)
    stands = settled = 0
    for row in rows:
        if row.state == ledger.POSTED and row.kind != ledger.TransactionKind.COMMISSION:
            amount = sum(e.amount_minor for e in row.entries if e.account == f"seller:{order.seller_id}")
            stands -= amount
            settled += amount if row.kind in _LEAVING else 0
    owed = kept - books.fee_minor - books.tax_minor + funded
    faults = []
    if stands + settled != owed:
        faults.append(f"money not conserved: {order.order_id} the seller has {stands + settled} of {owed}")
    promised = _funded_by_others(order)
    if books.captured_minor == order.total_minor and not books.refunded_minor and funded != promised:
        faults.append(f"funders differ: {order.order_id} agreed {promised}, booked {funded}")
    return faults


def _funded_by_others(order: orders.Order) -> int:
    lists = [*(line.adjustments for line in order.body.lines), order.body.shipping_adjustments]
    return -sum(one.amount_minor for adjustments in lists for one in adjustments if one.funder != "seller")


def _check_funders(
    payment_id: str, books: Sequence[payments.PortionBooks], rows: Sequence[ledger.Transaction]
) -> list[str]:
    """Every funder is out of exactly what it pays of the goods that were kept: a refund gave back the rest."""
    wanted: dict[str, int] = {}
    for one in (one for each in books for one in each.funded):
        wanted[one.account] = wanted.get(one.account, 0) + one.amount_minor
    booked: dict[str, int] = {}
    for row in rows:
        if row.kind == ledger.TransactionKind.FUNDING:
            for entry in row.entries:
                if not entry.account.startswith("seller:"):
                    booked[entry.account] = booked.get(entry.account, 0) + entry.amount_minor
    return [
        f"funder lost: {payment_id} {account} pays {wanted.get(account, 0)} and is out {booked.get(account, 0)}"
        for account in sorted(wanted.keys() | booked.keys())
        if wanted.get(account, 0) != booked.get(account, 0)
    ]


def check_settled(readers: Sequence[Tx], found: Iterable[orders.Order], now_ms: int) -> list[str]:
    """What is not settled though it is due, or still on its way between shards, once faults have stopped."""
    report = settlement.merge_settlement(settlement.check_settlement(tx) for tx in readers)
    faults = [f"still in transit: {amount} {currency}" for currency, amount in report.in_transit.items()]
    for order in found:
        if order.state in WAITS_FOR_NOTHING and order.payment_id and order.total_minor:
            tx = readers[gene_of(order.order_id) % len(readers)]
            stands = settlement.find_settlement(tx, order.order_id)
            if stands.state == "WAITING" and stands.due_at_ms < now_ms - 86_400_000:
                faults.append(f"not settled: {order.order_id} was due at {stands.due_at_ms}")
    return faults
