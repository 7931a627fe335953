"""RECORD_RESULT: the batch that writes down what providers say, a few statements for up to 256 payments."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import BatchHandler, Tx
from tradepost.trade.payments import commands, contests, rules, store, tenders, whole
from tradepost.trade.payments.model import LATE_PAYMENT, LINES_CANCELLED, Payment, PaymentView
from tradepost.trade.payments.port import ProviderFact
from tradepost.trade.payments.refund_rules import CHARGED_BACK_REASONS
from tradepost.trade.payments.rules import Todo
from tradepost.trade.payments.sheet import Sheet
from tradepost.trade.payments.views import view_payment


class Heard(msgspec.Struct, frozen=True, array_like=True):
    """One item: what a provider answered or sent. `fact` None is silence; `event_id` names a webhook.

    With `asked` a fact that says nothing new puts the next question off.
    """

    payment_id: str
    provider: str
    at_ms: int
    fact: ProviderFact | None
    event_id: str = ""
    asked: bool = False


class Recorded(msgspec.Struct, frozen=True, array_like=True):
    """The payment as it stands after the commit, and what the provider has to be called for next."""

    view: PaymentView
    todo: Todo | None


def record_results(tx: Tx, items: Sequence[Heard]) -> list[Recorded | Refusal]:
    """Merge each fact into its payment. Late, repeated and reordered facts change nothing.

    Answers `payments.not_found` and `payments.fact_mismatch` as results.
    """
    webhooks = [_webhook_key(item) for item in items if item.event_id]
    known = store.find_provider_events(tx, list(dict.fromkeys(webhooks))) if webhooks else set()
    payments = store.find_payments(tx, [item.payment_id for item in items])
    refund_ids = [refund.refund_id for item in items if item.fact for refund in item.fact.refunds]
    sheet = Sheet(payments, store.find_refunds(tx, refund_ids) if refund_ids else None)
    contested = [
        item.payment_id for item in items if item.fact is not None and _speaks_of_disputes(item.fact)
    ]
    if contested:
        sheet.disputes = store.disputes_of(tx, contested)
        for payment_id in dict.fromkeys(contested):
            sheet.refunds.update((one.refund_id, one) for one in store.refunds_of(tx, payment_id))
    noted: list[tuple[int, str, str, int]] = []
    answers: list[Recorded | Refusal] = []
    for item in items:
        key = _webhook_key(item) if item.event_id else None
        try:
            if key is None or key not in known:
                _hear(sheet, item)
            payment = sheet.payment(item.payment_id)
        except Refusal as refusal:
            answers.append(refusal)
            continue
        if key is not None and key not in known:
            known.add(key)
            noted.append((*key, item.at_ms))
        answers.append(Recorded(view_payment(payment), rules.next_call(payment)))
    if noted:
        store.insert_provider_events(tx, noted)
    sheet.write(tx)
    return answers


def _hear(sheet: Sheet, item: Heard) -> None:
    payment = sheet.payment(item.payment_id)
    if payment.provider != item.provider:
        raise Refusal(
            "payments.not_found", f"{item.provider} has no payment {item.payment_id}.", field="payment_id"
        )
    change = _merge(payment, item.fact, item.at_ms) if item.fact is not None else None
    if change is None and item.asked:
        change = commands.note_silence(payment, item.at_ms)
    reason = LATE_PAYMENT if change is not None and rules.is_closed(change.payment) else LINES_CANCELLED
    sheet.apply(change, reason, item.at_ms)
    for refund in item.fact.refunds if item.fact is not None else ():
        sheet.hear_refund(refund, item.at_ms)
    if item.fact is not None and _speaks_of_disputes(item.fact):
        contests.hear_disputes(sheet, item.payment_id, item.fact.disputes, item.at_ms)
        contests.settle_contested(sheet, item.payment_id, item.at_ms)


def _speaks_of_disputes(fact: ProviderFact) -> bool:
    return bool(fact.disputes) or any(refund.reason in CHARGED_BACK_REASONS for refund in fact.refunds)


def _merge(payment: Payment, fact: ProviderFact, at_ms: int) -> rules.Change | None:
    if payment.sides:
        fact = tenders.lift(payment, fact)
    return whole.capture_whole(payment, fact, at_ms) or rules.apply_fact(payment, fact, at_ms)


def _webhook_key(item: Heard) -> tuple[int, str, str]:
    return gene_of(item.payment_id), item.provider, item.event_id


RECORD_RESULT: BatchHandler[Heard, Recorded] = BatchHandler(
    name="tradepost.trade.payments.record:RECORD_RESULT",
    handle=record_results,
    item_type=Heard,
    result_type=Recorded,
    rows_of=lambda item: 4,
)
