"""What cases do when refunds end, banks decide, and orders of new goods are cancelled."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from tradepost.kernel.events import Consumer, EventRow
from tradepost.kernel.tx import Tx
from tradepost.trade import payments
from tradepost.trade.aftersales import casework, replacing, rules, store
from tradepost.trade.aftersales.model import GRANTED, RECEIVED, Return, ReturnOwedAgain
from tradepost.trade.payments import RefundRequest


class _Refund(msgspec.Struct):
    refund_id: str


class _Dispute(msgspec.Struct):
    dispute_id: str
    payment_id: str
    order_ids: tuple[str, ...]
    charged_back_minor: int = 0


_refund = msgspec.json.Decoder(_Refund)
_dispute = msgspec.json.Decoder(_Dispute)


def follow_refunds(tx: Tx, rows: Sequence[EventRow]) -> None:
    """Finish the cases among these refunds, and end those whose refund the bank made first."""
    found = {rules.return_id_of(_refund.decode(row.payload).refund_id): row for row in rows}
    for item in store.find_returns(tx, list(found)):
        row = found[item.return_id]
        if item.state in (RECEIVED, GRANTED) and not item.deadline_at_ms:
            end = rules.charge_back if row.type == "refund.charged_back.v1" else rules.finish
            after, fact = end(item)
            casework.save(tx, item, after, [fact], row.at_ms)


def follow_disputes(tx: Tx, rows: Sequence[EventRow]) -> None:
    """Won: what was held for the bank is refunded after all. Lost: who waited for it has it already."""
    for row in rows:
        told = _dispute.decode(row.payload)
        budget = told.charged_back_minor
        for order_id in told.order_ids:
            for case in _waiting_for(tx, order_id):
                if row.type == "dispute.lost.v1":
                    paid = min(case.held_minor, budget)
                    budget -= paid
                    _note_paid(tx, case, paid, row.at_ms)
                else:
                    _ask_again(tx, case, order_id, told, row.at_ms)


def _waiting_for(tx: Tx, order_id: str) -> list[Return]:
    """Cases that wait for money of this order's: its own, and those of goods that it paid for."""
    own = store.returns_of_order(tx, order_id)
    new = [
        case
        for root in own
        if root.replacement_id
        for case in store.returns_of_order(tx, root.replacement_id)
    ]
    return [case for case in (*own, *new) if case.held_minor]


def _note_paid(tx: Tx, case: Return, paid_minor: int, at_ms: int) -> None:
    after = replace(case, held_minor=case.held_minor - paid_minor, taken_minor=case.taken_minor + paid_minor)
    _keep_or_end(tx, case, after, at_ms)


def _ask_again(tx: Tx, case: Return, order_id: str, told: _Dispute, at_ms: int) -> None:
    derived = payments.derive_refund_id(order_id, f"{case.return_id}.{told.dispute_id}")
    request = RefundRequest(
        refund_id=derived if case.refund_minor else case.refund_id,
        payment_id=told.payment_id,
        order_id=order_id,
        amount_minor=case.held_minor,
        reason="return",
        at_ms=at_ms,
    )
    owed = payments.request_owed(tx, request)
    after = replace(
        case,
        held_minor=owed.held_minor,
        taken_minor=case.taken_minor + owed.taken_minor,
        refund_minor=case.refund_minor + owed.refund_minor,
    )
    if owed.refund_minor:
        again = ReturnOwedAgain(
            return_id=case.return_id,
            order_id=case.order_id,
            refund_id=request.refund_id,
            refund_minor=owed.refund_minor,
        )
        casework.save(tx, case, replace(after, version=case.version + 1), [again], at_ms)
    else:
        _keep_or_end(tx, case, after, at_ms)


def _keep_or_end(tx: Tx, case: Return, after: Return, at_ms: int) -> None:
    """The case waits on, or ends when nothing is left to wait for."""
    if after.held_minor or after.refund_minor or case.state not in (RECEIVED, GRANTED):
        store.update_returns(tx, [(case.version, after)])
        return
    ended, fact = rules.end_without_refund(after)
    casework.save(tx, case, ended, [fact], at_ms)


def follow_new_goods(tx: Tx, rows: Sequence[EventRow]) -> None:
    """An order of new goods lost units: what the old ones paid of them goes back."""
    for order_id, at_ms in {row.aggregate_id: row.at_ms for row in rows}.items():
        replacing.undo_credit(tx, order_id, at_ms)


CONSUMERS = [
    Consumer("aftersales.refunds", ("refund.succeeded.v1", "refund.charged_back.v1"), follow_refunds),
    Consumer("aftersales.disputes", ("dispute.won.v1", "dispute.lost.v1"), follow_disputes),
    Consumer("aftersales.new_goods", ("order.cancelled.v1", "order.lines_cancelled.v1"), follow_new_goods),
]
