"""Store credit in the simulation: two tenders are the total, none is spent twice, and all that is not kept is back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.testing.simulation import store
from tradepost.trade import ledger, payments
from tradepost.trade.ledger import TransactionKind
from tradepost.trade.payments import PaymentView, ProviderFact

ACCOUNT = f"provider:{payments.STORED_VALUE}"


def check_stored(readers: Sequence[Tx]) -> list[str]:
    """What is wrong at any moment with accounts of store credit and with the payments they pay for."""
    found = []
    for tx in readers:
        found += [f"stored value drifts: {one}" for one in payments.find_drift(tx)]
        balances = ledger.account_balances(tx)
        found += [
            f"stored value below zero: {account} {balance.posted_minor}"
            for (account, _), balance in balances.items()
            if account.startswith("stored:") and balance.posted_minor > 0
        ]
        held = {
            currency: -balance.posted_minor
            for (account, currency), balance in balances.items()
            if account == ACCOUNT
        }
        found += _check_held(tx, held)
    return found


def _check_held(tx: Tx, held: dict[str, int]) -> list[str]:
    """What left the buyers' accounts and is neither captured nor back is what the payments say they hold."""
    wanted: dict[str, int] = {}
    found = []
    for row in store.payment_rows(tx):
        view = payments.find_payment(tx, row[0])
        taken, back = _booked(tx, view)
        found += _check_split(view, taken, back)
        settled = sum(one.stored_captured_minor + one.stored_released_minor for one in view.portions)
        waits = _stored(view) - settled
        if waits and view.state in ("CAPTURED", "VOIDED"):
            found.append(f"stored value kept: {view.payment_id} ended with {waits} set aside")
        wanted[view.currency] = wanted.get(view.currency, 0) + waits
        if view.provider == payments.STORED_VALUE:
            wanted[view.currency] = wanted.get(view.currency, 0) + _set_aside(tx, view)
    for currency in sorted(wanted.keys() | held.keys()):
        if wanted.get(currency, 0) != held.get(currency, 0):
            found.append(
                f"stored value held: shard {tx.shard} {currency} {held.get(currency, 0)} lies there,"
                f" payments want {wanted.get(currency, 0)}"
            )
    return found


def _set_aside(tx: Tx, view: PaymentView) -> int:
    """What left the account for a payment that stored value pays whole, less what came of it by the journal."""
    rows = ledger.transactions_of(tx, gene_of(view.payment_id), view.payment_id)
    moved = [row for row in rows if row.kind == TransactionKind.STORED_VALUE]
    spent = -sum(e.amount_minor for row in moved for e in row.entries if e.account == ACCOUNT)
    taken, back = _booked(tx, view)
    return spent - taken + back


def _stored(view: PaymentView) -> int:
    return sum(one.stored_minor for one in view.portions)


def _booked(tx: Tx, view: PaymentView) -> tuple[int, int]:
    """(captured, refunded) of stored value for a payment, as the journal has it."""
    sums = {TransactionKind.CAPTURE: 0, TransactionKind.REFUND: 0}
    for row in ledger.transactions_of(tx, gene_of(view.payment_id), view.payment_id):
        if row.state == ledger.POSTED and row.kind in sums:
            sums[TransactionKind(row.kind)] += sum(
                e.amount_minor for e in row.entries if e.account == ACCOUNT
            )
    return sums[TransactionKind.CAPTURE], -sums[TransactionKind.REFUND]


def _check_split(view: PaymentView, taken: int, back: int) -> list[str]:
    """The parts of a payment add up, by portion and in the journal."""
    found = []
    for one in view.portions:
        card = one.amount_minor - one.stored_minor
        card_taken = one.captured_minor - one.stored_captured_minor
        card_back = one.refunded_minor - one.stored_refunded_minor
        sound = (
            0 <= one.stored_refunded_minor <= one.stored_captured_minor <= one.stored_minor
            and 0 <= card_back + one.charged_back_minor <= card_taken <= card
        )
        if not sound:
            found.append(f"tenders differ: {view.payment_id} {one}")
    captured = sum(one.stored_captured_minor for one in view.portions)
    refunded = sum(one.stored_refunded_minor for one in view.portions)
    if view.provider != payments.STORED_VALUE and (taken, back) != (captured, refunded):
        found.append(
            f"tenders booked otherwise: {view.payment_id} {(taken, back)} instead of {(captured, refunded)}"
        )
    return found


def card_captured(view: PaymentView) -> int:
    """What a payment says its provider took; nothing where stored value pays for all of it."""
    if view.provider == payments.STORED_VALUE:
        return 0
    return view.captured_minor - sum(one.stored_captured_minor for one in view.portions)


def count_split(facts: Mapping[str, ProviderFact], readers: Sequence[Tx]) -> int:
    """How many payments had two tenders and were captured: for tests that want to see some."""
    views = [
        payments.find_payment(readers[gene_of(each) % len(readers)], each)
        for each, fact in facts.items()
        if fact.captured_minor
    ]
    return sum(1 for view in views if _stored(view))
