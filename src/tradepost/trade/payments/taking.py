"""Events of money that is taken, or not: what becomes of a payment."""

from __future__ import annotations

from tradepost.kernel.events import Event, event


@event("payment.authorized.v1")
class PaymentAuthorized(Event, frozen=True, kw_only=True):
    """The whole amount is set aside by the provider."""

    payment_id: str
    checkout_id: str
    order_ids: tuple[str, ...]
    amount_minor: int
    currency: str


@event("payment.captured.v1")
class PaymentCaptured(Event, frozen=True, kw_only=True):
    """Money was taken for these orders now; `captured_minor` is the total so far."""

    payment_id: str
    checkout_id: str
    order_ids: tuple[str, ...]
    amount_minor: int
    captured_minor: int
    currency: str


@event("payment.failed.v1")
class PaymentFailed(Event, frozen=True, kw_only=True):
    """The provider declined this attempt; the buyer may try again."""

    payment_id: str
    checkout_id: str
    order_ids: tuple[str, ...]
    attempt: int
    reason: str


@event("payment.voided.v1")
class PaymentVoided(Event, frozen=True, kw_only=True):
    """Nothing more will be taken; `amount_minor` of what was set aside was released."""

    payment_id: str
    checkout_id: str
    order_ids: tuple[str, ...]
    amount_minor: int
    currency: str
