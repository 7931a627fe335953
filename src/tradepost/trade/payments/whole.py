"""The usual outcome of a payment in one step: the provider took all of it at once, and nobody had done anything."""

from __future__ import annotations

from msgspec.structs import replace

from tradepost.trade.ledger import Transaction
from tradepost.trade.payments import booking
from tradepost.trade.payments.model import PAYMENT, Body, Payment, Share, Take
from tradepost.trade.payments.port import ProviderFact, Status
from tradepost.trade.payments.rules import OPEN, PENDING, Change
from tradepost.trade.payments.taking import PaymentCaptured


def capture_whole(payment: Payment, fact: ProviderFact, at_ms: int) -> Change | None:
    """What `rules.apply_fact` comes to when the whole amount of an untouched payment was captured; None otherwise."""
    body, amount = payment.body, payment.amount_minor
    if (
        fact.status is not Status.AUTHORIZED
        or fact.captured_minor != amount
        or fact.authorized_minor != amount
        or (fact.currency and fact.currency != payment.currency)
        or fact.attempt != body.attempt
        or payment.state not in OPEN
        or not _is_untouched(payment)
    ):
        return None
    shares, plan = _take_all(body.shares)
    captured = replace(
        payment,
        state=PAYMENT.next(payment.state, "capture"),
        authorized_minor=amount,
        captured_minor=amount,
        ask_at_ms=0,
        body=Body(
            body.method,
            body.capture,
            shares,
            plan,
            body.attempt,
            PENDING,
            reason=fact.reason,
            reference=fact.reference or body.reference,
            postings=1,
        ),
    )
    told = PaymentCaptured(
        payment_id=payment.payment_id,
        checkout_id=payment.checkout_id,
        order_ids=tuple([take.order_id for take in plan]),
        amount_minor=amount,
        captured_minor=amount,
        currency=payment.currency,
    )
    postings: tuple[Transaction, ...] = (booking.post_whole(captured, at_ms),)
    if payment.sides:
        postings += booking.book_funding(captured, [(take.order_id, take.amount) for take in plan], at_ms)
    return Change(captured, (told,), postings)


def _is_untouched(payment: Payment) -> bool:
    body = payment.body
    if (
        payment.authorized_minor
        or payment.captured_minor
        or body.plan
        or body.voided
        or body.postings
        or body.held
        or body.rank >= PENDING
    ):
        return False
    return not any([share.cancelled or share.captured or share.amount <= 0 for share in body.shares])


def _take_all(shares: tuple[Share, ...]) -> tuple[tuple[Share, ...], tuple[Take, ...]]:
    taken = [replace(share, captured=share.amount) for share in shares]
    return tuple(taken), tuple([Take(share.order_id, share.amount, "provider") for share in shares])
