"""What Stripe's documents mean in the port's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tradepost.infra.payments.stripe_money import from_stripe
from tradepost.infra.payments.stripe_shapes import ATTEMPT, REFUND_ID, Charge, Dispute, Intent, Refund
from tradepost.kernel.errors import Refusal
from tradepost.trade.payments import (
    DisputeFact,
    DisputeStatus,
    ProviderFact,
    RefundFact,
    RefundStatus,
    Status,
)

_STATUSES = {
    "requires_confirmation": Status.PROCESSING,
    "requires_action": Status.REQUIRES_ACTION,
    "processing": Status.PENDING,
    "requires_capture": Status.AUTHORIZED,
    "succeeded": Status.AUTHORIZED,
    "canceled": Status.VOIDED,
    "requires_payment_method": Status.DECLINED,
}
_REFUNDS = {
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.REFUSED,
    "canceled": RefundStatus.REFUSED,
}
_LINKS = (
    "url",
    "hosted_voucher_url",
    "hosted_instructions_url",
    "mobile_auth_url",
    "hosted_verification_url",
)
_DISPUTES = {
    "needs_response": DisputeStatus.OPEN,
    "under_review": DisputeStatus.OPEN,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
}
LINK_LETTERS_MAX = 2_048


def fact_of(
    intent: Intent, refunds: Iterable[RefundFact] = (), disputes: Iterable[DisputeFact] = ()
) -> ProviderFact:
    """All that an intent says. Raises Refusal `payments.stripe_inexact` for an amount we could not have agreed.

    VOIDED with something captured means that the rest of what was set aside is released: after a final capture
    of a part, or when the authorization ran out.
    """
    if intent.is_tombstone:
        return ProviderFact(payment_id=intent.payment_id, status=Status.VOIDED, reference=intent.id)
    amount, captured = (
        from_stripe(value, intent.currency) for value in (intent.amount, intent.amount_received)
    )
    status = _STATUSES.get(intent.status, Status.PROCESSING)
    if intent.is_idle:
        status = Status.PROCESSING
    elif intent.status == "succeeded" and captured < amount:
        status = Status.VOIDED
    holds = captured or intent.status in ("requires_capture", "succeeded")
    charge = intent.latest_charge
    waiting = charge if isinstance(charge, Charge) and intent.status == "requires_capture" else None
    return ProviderFact(
        payment_id=intent.payment_id,
        status=status,
        attempt=intent.attempt,
        authorized_minor=amount if holds else 0,
        captured_minor=captured,
        currency=intent.currency.upper(),
        redirect_url=link_of(intent.next_action) if status is Status.REQUIRES_ACTION else "",
        reference=intent.id,
        reason=_reason(intent) if status is Status.DECLINED else "",
        refunds=tuple(refunds),
        disputes=tuple(disputes),
        captures_once=waiting is not None and not waiting.takes_several(),
        capture_before_ms=waiting.capture_before_ms if waiting else 0,
    )


def _reason(intent: Intent) -> str:
    return intent.last_payment_error.reason() if intent.last_payment_error else "declined"


def link_of(action: Mapping[str, Any] | None) -> str:
    """Where a buyer has to go next, or "" when Stripe names no https page for it."""
    inner = (action or {}).get(str((action or {}).get("type", "")))
    found = [inner.get(name) for name in _LINKS] if isinstance(inner, dict) else []
    for link in found:
        if isinstance(link, str) and link.startswith(("https://", "http://127.0.0.1")):
            return link if len(link) <= LINK_LETTERS_MAX else ""
    return ""


def refund_fact_of(refund: Refund) -> RefundFact | None:
    """What a refund says of one of ours; None when somebody else made it."""
    metadata = refund.metadata or {}
    refund_id, attempt = metadata.get(REFUND_ID, ""), metadata.get(ATTEMPT, "")
    if not refund_id or not (attempt.isascii() and attempt.isdigit() and len(attempt) < 10):
        return None
    status = _REFUNDS.get(refund.status or "", RefundStatus.PENDING)
    refused = status is RefundStatus.REFUSED
    return RefundFact(
        refund_id=refund_id,
        attempt=int(attempt),
        status=status,
        reason=(refund.failure_reason or refund.status or "failed") if refused else "",
    )


def _by_money(dispute: Dispute) -> DisputeStatus | None:
    """What a status without a verdict comes to: an inquiry, or `prevented`, which was settled before it began."""
    if not dispute.balance_transactions:
        return None
    if not dispute.is_withdrawn:
        return DisputeStatus.WON
    return DisputeStatus.LOST if dispute.status in ("prevented", "warning_closed") else DisputeStatus.OPEN


def dispute_fact_of(dispute: Dispute, currency: str) -> DisputeFact | None:
    """What a dispute about a payment in this currency says; None for an inquiry, which moves no money.

    Raises Refusal `payments.stripe_currency` or `payments.stripe_inexact` for an amount that our books cannot hold,
    and for one in another currency.
    """
    status = _DISPUTES.get(dispute.status) or _by_money(dispute)
    if status is None:
        return None
    if dispute.currency.lower() != currency.lower():
        raise Refusal(
            "payments.stripe_currency",
            f"The dispute is in {dispute.currency[:8]!r}, the payment in {currency[:8]!r}.",
            field="currency",
        )
    moves = [move for move in dispute.balance_transactions if move.fee]
    fee_currency = moves[0].currency if moves else ""
    own = [move.fee for move in moves if move.currency == fee_currency]
    return DisputeFact(
        dispute_ref=dispute.id,
        amount_minor=from_stripe(dispute.amount, dispute.currency),
        status=status,
        reason=dispute.reason or "",
        fee_minor=from_stripe(sum(fee for fee in own if fee > 0), fee_currency) if own else 0,
        fee_back_minor=from_stripe(-sum(fee for fee in own if fee < 0), fee_currency) if own else 0,
        fee_currency=fee_currency.upper(),
    )


def refund_facts_of(refunds: Iterable[Refund]) -> list[RefundFact]:
    """What a list of refunds says of ours, oldest first."""
    ordered = sorted(refunds, key=lambda refund: (refund.created, refund.id))
    return [fact for fact in map(refund_fact_of, ordered) if fact is not None]
