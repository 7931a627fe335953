"""Events of money that goes back: refunds, and what banks take back through disputes."""

from __future__ import annotations

from tradepost.kernel.events import Event, event


@event("refund.requested.v1")
class RefundRequested(Event, frozen=True, kw_only=True):
    """Money is owed back and the provider shall be asked to return it."""

    refund_id: str
    payment_id: str
    order_id: str
    amount_minor: int
    currency: str
    reason: str


@event("refund.succeeded.v1")
class RefundSucceeded(Event, frozen=True, kw_only=True):
    """The buyer has it back; `by_hand` when an operator settled it outside the provider."""

    refund_id: str
    payment_id: str
    order_id: str
    amount_minor: int
    currency: str
    reason: str
    by_hand: bool = False


@event("refund.failed.v1")
class RefundFailed(Event, frozen=True, kw_only=True):
    """The provider refused as often as we ask; an operator has to look."""

    refund_id: str
    payment_id: str
    order_id: str
    amount_minor: int
    currency: str
    reason: str
    attempts: int


@event("refund.charged_back.v1")
class RefundChargedBack(Event, frozen=True, kw_only=True):
    """The bank gave the buyer this money before we did: the refund is not made any more."""

    refund_id: str
    payment_id: str
    order_id: str
    amount_minor: int
    currency: str
    reason: str


@event("dispute.opened.v1")
class DisputeOpened(Event, frozen=True, kw_only=True):
    """A bank has withdrawn `amount_minor`. `refunded_minor` of it was given back or is being given back already.

    With `refunded_minor` the answer to the bank is that: the buyer was refunded, and `refund_ids` are the proof.
    """

    dispute_id: str
    payment_id: str
    order_ids: tuple[str, ...]
    amount_minor: int
    refunded_minor: int
    currency: str
    reason: str
    refund_ids: tuple[str, ...] = ()


@event("dispute.won.v1")
class DisputeWon(Event, frozen=True, kw_only=True):
    """The bank gave the money back to us: what was held for it may be refunded again."""

    dispute_id: str
    payment_id: str
    order_ids: tuple[str, ...]
    amount_minor: int
    currency: str


@event("dispute.lost.v1")
class DisputeLost(Event, frozen=True, kw_only=True):
    """The buyer keeps the money. `charged_back_minor` of it counts as given back, the rest is our loss."""

    dispute_id: str
    payment_id: str
    order_ids: tuple[str, ...]
    amount_minor: int
    charged_back_minor: int
    currency: str
