"""Stripe's events: verified, decoded, and turned into what the house hears or what an operator has to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from tradepost.infra.payments import stripe_signature
from tradepost.infra.payments.stripe_facts import fact_of, refund_fact_of
from tradepost.infra.payments.stripe_money import from_stripe
from tradepost.infra.payments.stripe_notices import Notice, NoticeKind, Notify
from tradepost.infra.payments.stripe_settings import API_VERSION, StripeAccount
from tradepost.infra.payments.stripe_shapes import PAYMENT_ID, Charge, Dispute, Event, Intent, Refund
from tradepost.kernel.errors import Refusal
from tradepost.trade.payments import ProviderEvent, ProviderFact, Status

EVENTS = (
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "charge.captured",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.refunded",
    "refund.created",
    "refund.failed",
    "refund.updated",
)
"""What the endpoint is registered for."""
_REFUND_EVENTS = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})
_CHARGE_EVENTS = frozenset({"charge.captured", "charge.refunded"})
_DISPUTES = "charge.dispute."
T = TypeVar("T", bound=msgspec.Struct)


def _decode(kind: type[T], body: bytes | msgspec.Raw) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Refusal("payments.webhook_invalid", str(error), field="body") from error


def _ignored(event: Event, why: str) -> Refusal:
    return Refusal("payments.webhook_ignored", f"{event.type[:80]}: {why}.", field="type")


class EventReader:
    """Reads webhooks of one account. Disputes and foreign refunds go to `notify` before they are acknowledged."""

    def __init__(self, account: StripeAccount, notify: Notify) -> None:
        self._secrets = account.webhook_secrets
        self._live = account.live
        self._notify = notify

    def read(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> ProviderEvent:
        """The event as the house hears it.

        Raises Refusal `payments.webhook_unsigned`, `payments.webhook_invalid`, and `payments.webhook_ignored` for
        what is signed and needs nothing: other types, other systems' payments, what a notice was made of.
        """
        secrets = [secret.reveal() for secret in self._secrets]
        stripe_signature.verify(secrets, headers, body, now_ms)
        event = _decode(Event, body)
        if event.livemode is not self._live:
            raise _ignored(event, "it belongs to the other mode of the account")
        try:
            if event.type in EVENTS and event.type.startswith(_DISPUTES):
                return self._dispute(event, now_ms)
            return ProviderEvent(event_id=event.id, fact=self._fact(event, now_ms))
        except Refusal as refusal:
            if refusal.code == "payments.webhook_ignored" and event.api_version not in (None, API_VERSION):
                refusal.detail += f" It came in version {str(event.api_version)[:40]}, not {API_VERSION}."
            raise

    def _fact(self, event: Event, now_ms: int) -> ProviderFact:
        if event.type.startswith("payment_intent."):
            return _intent_fact(event)
        if event.type in _REFUND_EVENTS:
            return self._refund_fact(event, now_ms)
        if event.type in _CHARGE_EVENTS:
            return _charge_fact(event)
        raise _ignored(event, "nothing here needs it")

    def _refund_fact(self, event: Event, now_ms: int) -> ProviderFact:
        refund = _decode(Refund, event.data.object)
        payment_id, fact = (refund.metadata or {}).get(PAYMENT_ID, ""), refund_fact_of(refund)
        foreign = fact is None or not payment_id
        failed = refund.status in ("failed", "canceled")
        if foreign or failed:
            kind = NoticeKind.REFUND_FOREIGN if foreign else NoticeKind.REFUND_FAILED
            self._notify(
                Notice(
                    key=f"{kind.value}.{refund.id}.{refund.status}",
                    kind=kind,
                    at_ms=now_ms,
                    payment_id=payment_id,
                    reference=refund.payment_intent or refund.id,
                    amount=refund.amount,
                    currency=refund.currency.upper(),
                    detail=refund.failure_reason or refund.status or "",
                )
            )
        if fact is None or not payment_id:
            raise _ignored(event, "the refund was made elsewhere; kept for an operator")
        # attempt 0 is nobody's: this speaks of refunds only
        return ProviderFact(payment_id=payment_id, status=Status.PROCESSING, attempt=0, refunds=(fact,))

    def _dispute(self, event: Event, now_ms: int) -> ProviderEvent:
        """A dispute names Stripe's payment only, and its events come in any order: what is true now is asked for."""
        dispute = _decode(Dispute, event.data.object)
        task = _task_of(dispute, event)
        if task:
            self._notify(
                Notice(
                    key=f"{task}.{dispute.id}",
                    kind=NoticeKind.DISPUTE,
                    at_ms=now_ms,
                    reference=dispute.payment_intent or dispute.charge or dispute.id,
                    amount=dispute.amount,
                    currency=dispute.currency.upper(),
                    detail=f"{dispute.reason or 'no reason'}, {dispute.status}",
                )
            )
        if not dispute.payment_intent:
            raise _ignored(event, "its charge has no payment of ours")
        nothing = ProviderFact(payment_id="", status=Status.PROCESSING, attempt=0)
        return ProviderEvent(event_id=event.id, fact=nothing, unnamed=dispute.payment_intent)


def _task_of(dispute: Dispute, event: Event) -> str:
    """What an operator has to do about a dispute, as the beginning of the task's key: nothing for most events."""
    if dispute.status == "lost" and event.type == "charge.dispute.funds_reinstated":
        return "reinstated"  # money came back for what our books count as lost
    if dispute.status in ("needs_response", "warning_needs_response"):
        return "inquiry" if dispute.is_inquiry else "dispute"
    return ""


def _intent_fact(event: Event) -> ProviderFact:
    intent = _decode(Intent, event.data.object)
    if not intent.payment_id:
        raise _ignored(event, "another system made this payment")
    if intent.is_idle:
        raise _ignored(event, "its attempt has not begun")
    return fact_of(intent)


def _charge_fact(event: Event) -> ProviderFact:
    charge = _decode(Charge, event.data.object)
    payment_id = charge.metadata.get(PAYMENT_ID, "")
    if not payment_id:
        raise _ignored(event, "another system made this charge")
    captured = from_stripe(charge.amount_captured, charge.currency)
    return ProviderFact(
        payment_id=payment_id,
        status=Status.PROCESSING,
        attempt=0,  # nobody's: this speaks of totals only
        authorized_minor=from_stripe(charge.amount, charge.currency) if captured else 0,
        captured_minor=captured,
        currency=charge.currency.upper(),
    )
