"""Pure decisions about one payment: what a fact changes, what is owed back, whom to call next.

Facts are merged as maxima and flags, and the state is derived from the merged whole. So any order and any
repetition of the same facts ends in the same payment.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Event
from tradepost.trade.ledger import Transaction
from tradepost.trade.payments import booking, tenders
from tradepost.trade.payments.model import (
    PAYMENT,
    Payment,
    Share,
    Take,
)
from tradepost.trade.payments.port import ProviderFact, Status
from tradepost.trade.payments.taking import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentFailed,
    PaymentVoided,
)

CREATED, PROCESSING, REQUIRES_ACTION, PENDING, DECLINED = range(5)
_RANKS = {
    Status.PROCESSING: PROCESSING,
    Status.REQUIRES_ACTION: REQUIRES_ACTION,
    Status.PENDING: PENDING,
    Status.AUTHORIZED: PENDING,
    Status.VOIDED: PROCESSING,
    Status.DECLINED: DECLINED,
}
_BY_RANK = ("CREATED", "PROCESSING", "REQUIRES_ACTION", "PENDING", "FAILED")
_INPUT_TO = {
    "PROCESSING": "confirm",
    "REQUIRES_ACTION": "redirect",
    "PENDING": "pend",
    "AUTHORIZED": "authorize",
    "PARTIALLY_CAPTURED": "capture_part",
    "CAPTURED": "capture",
    "FAILED": "decline",
    "VOIDED": "void",
}
OPEN = frozenset({"PROCESSING", "REQUIRES_ACTION", "PENDING"})
TAKING = frozenset({"AUTHORIZED", "PARTIALLY_CAPTURED", "CAPTURED"})

ASK_FIRST_MS = 15_000
ASK_LAST_MS = 3_600_000
HELD_MS = 7 * 86_400_000
"""How long money stays set aside where the provider does not say."""
CAPTURE_AHEAD_MS = 86_400_000
"""One capture that waits for the last parcel is made at the latest this long before the money is let go."""


class Todo(msgspec.Struct, frozen=True, array_like=True):
    """The next call to the provider: authorize, capture number `number`, or void. The key repeats safely.

    `own` concerns stored value alone: nothing is asked of the provider, it only has to be written down.
    """

    call: str
    number: int = 0
    amount_minor: int = 0
    last: bool = False
    own: bool = False


class Change(msgspec.Struct, frozen=True):
    """A payment after a decision, with what has to be written beside it in the same commit.

    `owed` are (order id, amount, cumulative cancel returns before) for which a refund is requested.
    """

    payment: Payment
    events: tuple[Event, ...] = ()
    postings: tuple[Transaction, ...] = ()
    owed: tuple[tuple[str, int, int], ...] = ()


def ask_delay(asks: int) -> int:
    """Milliseconds until the provider is asked again: 15 s, doubling up to an hour."""
    return min(ASK_LAST_MS, ASK_FIRST_MS << min(asks, 10))


def share_of(payment: Payment, order_id: str) -> Share:
    """The order's share. Raises Refusal `payments.order_unknown`."""
    for share in payment.body.shares:
        if share.order_id == order_id:
            return share
    raise Refusal(
        "payments.order_unknown",
        f"Payment {payment.payment_id} has no portion for order {order_id[:60]!r}.",
        field="order_id",
        expected=" or ".join(share.order_id for share in payment.body.shares),
    )


def with_share(payment: Payment, changed: Share) -> Payment:
    """The payment with one share put in the place of the one with its order id."""
    shares = tuple(changed if share.order_id == changed.order_id else share for share in payment.body.shares)
    return replace(payment, body=replace(payment.body, shares=shares))


def planned_of(payment: Payment, order_id: str) -> int:
    """Minor units of all captures planned for an order so far, taken or not."""
    return sum(take.amount for take in payment.body.plan if take.order_id == order_id)


def is_closed(payment: Payment) -> bool:
    """Whether no order of this payment is to be paid any more."""
    return all(share.cancelled >= share.amount for share in payment.body.shares)


def wants_release(payment: Payment) -> bool:
    """Whether all that may be taken is planned, so that what remains set aside is to be given up."""
    return all(
        planned_of(payment, share.order_id) >= share.amount - share.cancelled for share in payment.body.shares
    )


def next_call(payment: Payment) -> Todo | None:
    """What the provider has to be called for next, or nothing. Captures go one after the other,
    what one request planned for several orders in one call."""
    todo = _next_step(payment)
    if todo is None or not tenders.is_split(payment):
        return todo
    if todo.call == "void":
        return replace(
            todo, own=payment.state in TAKING and tenders.card_taken(payment) >= tenders.asked_minor(payment)
        )
    card = tenders.card_ahead(payment, todo.amount_minor)
    return replace(todo, amount_minor=card, own=not card)


def _next_step(payment: Payment) -> Todo | None:
    """The next call in totals of the payment."""
    body, planned = payment.body, 0
    if payment.state == "CAPTURED":
        return None
    if payment.state in TAKING and not body.voided:
        if body.once and not payment.captured_minor and body.plan:
            return _take_once(payment)
        for _, takes in itertools.groupby(enumerate(body.plan, 1), lambda item: item[1].reference):
            group = list(takes)
            amount = sum(take.amount for _, take in group)
            planned += amount
            if planned > payment.captured_minor:
                return Todo("capture", group[0][0], min(amount, planned - payment.captured_minor))
        if payment.authorized_minor > payment.captured_minor and wants_release(payment):
            return Todo("void")
        return None
    # VOIDED without the provider's word: the intent was closed while its outcome was unknown
    closed_blindly = payment.state == "VOIDED" and not body.voided and body.rank != DECLINED
    return Todo("void") if closed_blindly else None


def _take_once(payment: Payment) -> Todo | None:
    """One capture for everything, when all that may be taken is planned: a first one of a part would be the last."""
    if not wants_release(payment):
        return None
    planned = sum(take.amount for take in payment.body.plan)
    return Todo("capture", 1, min(planned, payment.authorized_minor), last=True)


def waits_for_last(payment: Payment) -> bool:
    """Whether captures are planned that wait for those of the parcels still to come."""
    body = payment.body
    waiting = body.once and body.plan and not body.voided and payment.state == "AUTHORIZED"
    return bool(waiting) and not wants_release(payment)


def capture_by_ms(payment: Payment) -> int:
    """When captures that wait are made at the latest."""
    before_ms = payment.body.capture_before_ms or payment.opened_at_ms + HELD_MS
    return before_ms - CAPTURE_AHEAD_MS


def wake_at(payment: Payment, at_ms: int) -> int:
    """The moment this payment has to be looked at again; 0 for never."""
    if payment.state in OPEN or next_call(payment) is not None:
        return at_ms + ask_delay(payment.body.asks)
    return capture_by_ms(payment) if waits_for_last(payment) else 0


def derive_state(payment: Payment) -> str:
    """The state that the merged totals, flags and rank of a payment amount to."""
    body = payment.body
    if payment.captured_minor:
        whole = body.voided or payment.captured_minor >= payment.authorized_minor
        return "CAPTURED" if whole else "PARTIALLY_CAPTURED"
    if body.voided:
        return "VOIDED"
    if payment.authorized_minor:
        return "AUTHORIZED"
    return "VOIDED" if is_closed(payment) else _BY_RANK[body.rank]


def settle_state(payment: Payment, at_ms: int) -> Payment:
    """The payment in the state its totals say, waiting for what it now has to wait for."""
    state = derive_state(payment)
    if state != payment.state:
        payment = replace(payment, state=PAYMENT.next(payment.state, _INPUT_TO[state]))
    return replace(payment, ask_at_ms=wake_at(payment, at_ms))


def _check_fact(payment: Payment, fact: ProviderFact) -> None:
    if (
        fact.authorized_minor not in (0, payment.amount_minor)
        or not 0 <= fact.captured_minor <= fact.authorized_minor
        or (fact.currency and fact.currency != payment.currency)
    ):
        raise Refusal(
            "payments.fact_mismatch",
            f"{payment.provider} reports {fact.captured_minor} of {fact.authorized_minor} {fact.currency} "
            f"for {payment.payment_id} over {payment.amount_minor} {payment.currency}.",
            extra={"payment_id": payment.payment_id},
        )


def _merge(payment: Payment, fact: ProviderFact) -> Payment:
    body = payment.body
    facts: dict[str, Any] = {}
    if fact.status is Status.VOIDED and not body.voided:
        facts["voided"] = True
    if fact.attempt == body.attempt and _RANKS[fact.status] > body.rank:
        facts["rank"] = _RANKS[fact.status]
        facts["reason"] = fact.reason
        facts["redirect_url"] = fact.redirect_url if fact.status is Status.REQUIRES_ACTION else ""
    if fact.reference and fact.reference != body.reference:
        facts["reference"] = fact.reference
    if fact.captures_once and not body.once:
        facts["once"] = True
    if fact.capture_before_ms > body.capture_before_ms:
        facts["capture_before_ms"] = fact.capture_before_ms
    return replace(
        payment,
        authorized_minor=max(payment.authorized_minor, fact.authorized_minor),
        captured_minor=max(payment.captured_minor, fact.captured_minor),
        body=replace(body, **facts) if facts else body,
    )


def apply_fact(payment: Payment, fact: ProviderFact, at_ms: int) -> Change | None:
    """What a provider's fact changes, or None when it is known already.

    Raises Refusal `payments.fact_mismatch` for an amount or currency that was never agreed.
    """
    _check_fact(payment, fact)
    merged = _merge(payment, fact)
    if merged == payment:
        return None
    merged = replace(merged, body=replace(merged.body, asks=0))
    events: list[Event] = []
    postings: list[Transaction] = []
    taken = merged.captured_minor - payment.captured_minor
    if merged.authorized_minor > payment.authorized_minor and not taken:
        events.append(_authorized(merged))
        merged, posting = booking.book_authorization(merged, at_ms)
        postings.append(posting)
    if taken:
        merged, now = _allot(merged, taken)
        events.append(_captured(merged, taken, [order_id for order_id, _ in now]))
        merged, posting = booking.book_capture(merged, now, at_ms)
        postings.append(posting)
        if merged.sides:
            postings += booking.book_funding(merged, now, at_ms)
    merged = settle_state(merged, at_ms)
    if merged.state == "FAILED" and payment.state != "FAILED":
        events.append(_failed(merged))
    released = released_by(payment, merged)
    if released is not None:
        events.append(released)
    merged, voiding = booking.book_release(merged, at_ms)
    merged, owed = settle_owed(merged)
    return Change(merged, tuple(events), (*postings, *voiding), owed)


def released_by(before: Payment, after: Payment) -> PaymentVoided | None:
    """The event of giving up: once, when the provider says so or the intent is closed with nothing taken."""
    if after.state == "VOIDED":
        return _voided(after) if before.state != "VOIDED" else None
    return _voided(after) if after.body.voided and not before.body.voided else None


def _order_ids(payment: Payment) -> tuple[str, ...]:
    return tuple(share.order_id for share in payment.body.shares)


def _authorized(payment: Payment) -> PaymentAuthorized:
    return PaymentAuthorized(
        payment_id=payment.payment_id,
        checkout_id=payment.checkout_id,
        order_ids=_order_ids(payment),
        amount_minor=payment.authorized_minor,
        currency=payment.currency,
    )


def _captured(payment: Payment, taken: int, order_ids: Sequence[str]) -> PaymentCaptured:
    return PaymentCaptured(
        payment_id=payment.payment_id,
        checkout_id=payment.checkout_id,
        order_ids=tuple(dict.fromkeys(order_ids)),
        amount_minor=taken,
        captured_minor=payment.captured_minor,
        currency=payment.currency,
    )


def _failed(payment: Payment) -> PaymentFailed:
    return PaymentFailed(
        payment_id=payment.payment_id,
        checkout_id=payment.checkout_id,
        order_ids=_order_ids(payment),
        attempt=payment.body.attempt,
        reason=payment.body.reason,
    )


def _voided(payment: Payment) -> PaymentVoided:
    return PaymentVoided(
        payment_id=payment.payment_id,
        checkout_id=payment.checkout_id,
        order_ids=_order_ids(payment),
        amount_minor=max(0, payment.authorized_minor - payment.captured_minor),
        currency=payment.currency,
    )


def _allot(payment: Payment, taken: int) -> tuple[Payment, list[tuple[str, int]]]:
    """Which orders the money taken now belongs to: the plan in its order, what exceeds it in portion order.

    The excess is written into the plan, so what was allotted once stays so.
    """
    body = payment.body
    plan = list(body.plan)
    surplus = payment.captured_minor - sum(take.amount for take in plan)
    for share in body.shares if surplus > 0 else ():
        part = min(surplus, tenders.whole_of(payment, share) - planned_of(payment, share.order_id))
        if part > 0:
            plan.append(Take(share.order_id, part, "provider"))
            surplus -= part
    start, end, position = payment.captured_minor - taken, payment.captured_minor, 0
    now: dict[str, int] = {}
    for take in plan:
        part = min(end, position + take.amount) - max(start, position)
        position += take.amount
        if part > 0:
            now[take.order_id] = now.get(take.order_id, 0) + part
    shares = tuple(
        replace(share, captured=share.captured + now[share.order_id]) if share.order_id in now else share
        for share in body.shares
    )
    return replace(payment, body=replace(body, plan=tuple(plan), shares=shares)), list(now.items())


def owed_back(share: Share) -> tuple[int, int]:
    """(minor units that cancellation obliges us to return now, what a lost dispute returned of them already).

    What an open dispute holds is not returned meanwhile: the buyer would have it twice, should the bank decide so.
    """
    kept = max(0, share.amount - share.cancelled)
    due = max(0, share.captured - kept - share.cancel_returns)
    taken = share.disputed + share.lost
    if not due or not taken:
        return min(due, share.captured - share.refunded - share.returning), 0
    set_off = min(due, max(0, share.lost - share.spent))
    held = min(due, max(0, taken - share.spent))
    return max(0, min(due - held, share.captured - share.refunded - share.returning - taken)), set_off


def settle_owed(payment: Payment) -> tuple[Payment, tuple[tuple[str, int, int], ...]]:
    """Note the refunds that cancelled portions now call for."""
    owed: list[tuple[str, int, int]] = []
    for share in payment.body.shares:
        amount, set_off = owed_back(share)
        if amount > 0:
            owed.append((share.order_id, amount, share.cancel_returns))
        if amount > 0 or set_off:
            changed = replace(
                share,
                returning=share.returning + max(0, amount),
                cancel_returns=share.cancel_returns + max(0, amount) + set_off,
                spent=share.spent + set_off,
            )
            payment = with_share(payment, changed)
    return payment, tuple(owed)
