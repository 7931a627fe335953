"""Checks on what comes after the sale: no minor unit lost in a split, never both goods and money, no one paid twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.testing.simulation import store
from tradepost.trade import aftersales, ledger, orders, payments
from tradepost.trade.aftersales import Return
from tradepost.trade.payments import DisputeStatus, ProviderFact

SETTLED = {"RECEIVED", "GRANTED", "REFUNDED", "REPLACED", "CHARGED_BACK"}


def check_cases(readers: Sequence[Tx], known: Mapping[str, orders.Order]) -> list[str]:
    """Every case's money against its order's lines, and the new goods against the refund."""
    found: list[str] = []
    for tx in readers:
        by_order: dict[str, list[Return]] = {}
        for return_id in store.return_ids(tx):
            case = aftersales.get_return(tx, return_id)
            by_order.setdefault(case.order_id, []).append(case)
            found += _check_new_goods(case, known)
        for order_id, cases in by_order.items():
            found += _check_lines(known[order_id], [case for case in cases if case.state in SETTLED])
    return found


def _check_lines(order: orders.Order, cases: Sequence[Return]) -> list[str]:
    """A line never gives back more than it cost, and so many of its units exactly their part of it."""
    found = []
    shipping = sum(case.shipping_minor for case in cases)
    if shipping > order.body.shipping_minor:
        found.append(f"shipping twice: {order.order_id} {shipping} of {order.body.shipping_minor}")
    for line, done in zip(order.body.lines, orders.full_progress(order), strict=True):
        values = [value for case in cases for value in case.values if value.line_no == line.line_no]
        given = sum(value.total_minor for value in values)
        units = sum(value.quantity for value in values)
        if given > line.total_minor or units != done.returned:
            found.append(f"line twice: {order.order_id} line {line.line_no}: {given} of {line.total_minor}")
        plain = not done.cancelled and all(value.quantity for value in values)
        if plain and given != orders.share(line.total_minor, line.quantity, units):
            found.append(
                f"lost in a split: {order.order_id} line {line.line_no} gave {given} for {units} of {line.quantity}"
            )
    return found


def _check_new_goods(case: Return, known: Mapping[str, orders.Order]) -> list[str]:
    """The order of new goods stands where the case says so, and nothing was refunded for what it got."""
    order_id = f"ord_{case.return_id[-26:]}"
    worth = sum(value.total_minor + value.credit_minor for value in case.values) - case.deduction_minor
    found = []
    if case.replacement_id and case.replacement_id not in known:
        found.append(f"new goods missing: {case.return_id} {case.replacement_id}")
    if order_id in known and case.state not in ("REPLACED", "RECEIVED", "GRANTED"):
        found.append(f"goods and money: {case.return_id} {case.state} has order {order_id}")
    # money for new goods that were cancelled again is refunded through the case of the old ones
    if case.state == "REPLACED" and case.refund_minor + case.spent_minor - case.undone_minor > worth:
        found.append(f"goods and money: {case.return_id} {case.refund_minor} + {case.spent_minor} of {worth}")
    return found


def check_disputes(readers: Sequence[Tx], facts: Mapping[str, ProviderFact]) -> list[str]:
    """At the end every dispute is decided, as the bank says, and no money lies between us and it."""
    found: list[str] = []
    for tx in readers:
        held = sum(
            balance.posted_minor
            for (account, _), balance in ledger.account_balances(tx).items()
            if account.startswith("dispute:")
        )
        if held:
            found.append(f"dispute account: shard {tx.shard} holds {held}")
    for payment_id, fact in facts.items():
        tx = readers[gene_of(payment_id) % len(readers)]
        ours = {one.dispute_ref: one for one in payments.find_disputes(tx, payment_id)}
        for told in fact.disputes:
            known = ours.get(told.dispute_ref)
            if known is None or known.state != told.status.name:
                found.append(f"dispute unheard: {payment_id} {told.dispute_ref} {told.status}")
        lost = sum(one.amount_minor for one in fact.disputes if one.status is DisputeStatus.LOST)
        covered = sum(
            portion.charged_back_minor for portion in payments.find_payment(tx, payment_id).portions
        )
        if covered > lost:
            found.append(f"taken back beyond the bank: {payment_id} {covered} of {lost}")
    return found
