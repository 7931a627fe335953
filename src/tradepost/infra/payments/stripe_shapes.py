"""The parts of Stripe's documents that are read here. Everything else in them is ignored."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

PAYMENT_ID, REFUND_ID, ATTEMPT = "payment_id", "refund_id", "attempt"
CAPTURES, TOMBSTONE = "captures", "tombstone"
"""Keys of the metadata that carries our ids."""


class _Named(msgspec.Struct, frozen=True, kw_only=True):
    status: str = ""


class CardDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What the card of a charge allows."""

    multicapture: _Named | None = None
    capture_before: int | None = None


class MethodDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The method a charge was paid with."""

    type: str = ""
    card: CardDetails | None = None


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """One try to move money. Amounts in Stripe's units."""

    id: str
    amount: int = 0
    amount_captured: int = 0
    amount_refunded: int = 0
    currency: str = ""
    disputed: bool = False
    metadata: dict[str, str] = {}
    payment_method_details: MethodDetails | None = None

    @property
    def capture_before_ms(self) -> int:
        """Until when it can be captured, 0 where Stripe does not say."""
        card = self.payment_method_details.card if self.payment_method_details else None
        return ((card and card.capture_before) or 0) * 1_000

    def takes_several(self) -> bool:
        """Whether the card lets the amount be captured in several parts."""
        card = self.payment_method_details.card if self.payment_method_details else None
        return bool(card and card.multicapture and card.multicapture.status == "available")


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Stripe's error: `decline_code` is the bank's reason, `code` Stripe's."""

    type: str | None = None
    code: str | None = None
    decline_code: str | None = None
    param: str | None = None

    def reason(self) -> str:
        """The most telling code there is."""
        return self.decline_code or self.code or self.type or "declined"


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A PaymentIntent. Amounts in Stripe's units."""

    id: str
    status: str
    amount: int = 0
    amount_received: int = 0
    amount_capturable: int = 0
    currency: str = ""
    created: int = 0
    metadata: dict[str, str] = {}
    last_payment_error: Trouble | None = None
    latest_charge: str | Charge | None = None
    next_action: dict[str, Any] | None = None

    @property
    def payment_id(self) -> str:
        """Our id, or "" when the intent is not ours."""
        return self.metadata.get(PAYMENT_ID, "")

    @property
    def attempt(self) -> int:
        """The try this intent is at; 0 when it says none."""
        text = self.metadata.get(ATTEMPT, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0

    @property
    def captures(self) -> list[str]:
        """Keys of the captures it had while more were to follow; fifty at most, by Stripe's own limit."""
        numbers = self.metadata.get(CAPTURES, "").split()
        return [f"{self.payment_id}.capture.{number}" for number in numbers]

    @property
    def is_tombstone(self) -> bool:
        """Whether it was made only so that nothing can ever be taken for its payment."""
        return TOMBSTONE in self.metadata

    @property
    def is_disputed(self) -> bool:
        """Whether a bank has a question about its charge, or had one."""
        return isinstance(self.latest_charge, Charge) and self.latest_charge.disputed

    @property
    def is_idle(self) -> bool:
        """Whether its present attempt has not begun: a method may be set, nothing was confirmed."""
        unconfirmed = self.status == "requires_payment_method" and self.last_payment_error is None
        return not self.is_tombstone and (unconfirmed or self.status == "requires_confirmation")


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way back. Amounts in Stripe's units."""

    id: str
    amount: int = 0
    currency: str = ""
    created: int = 0
    status: str | None = None
    failure_reason: str | None = None
    payment_intent: str | None = None
    metadata: dict[str, str] | None = None


class BalanceMove(msgspec.Struct, frozen=True, kw_only=True):
    """Money that moved on the account's balance, in Stripe's units of the currency the account settles in.

    `fee` is above zero for what Stripe took besides, below zero for what it gave back of that.
    """

    amount: int = 0
    fee: int = 0
    currency: str = ""


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    """A buyer's bank asks the money back. Amounts in Stripe's units."""

    id: str
    amount: int = 0
    currency: str = ""
    created: int = 0
    reason: str | None = None
    status: str = ""
    charge: str | None = None
    payment_intent: str | None = None
    balance_transactions: tuple[BalanceMove, ...] = ()

    @property
    def is_inquiry(self) -> bool:
        """Whether the bank only asks: nothing is withdrawn, and the charge can be refunded."""
        return self.status.startswith("warning_")

    @property
    def is_withdrawn(self) -> bool:
        """Whether more was taken from the account for it than was put back."""
        return sum(move.amount for move in self.balance_transactions) < 0


class IntentPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list or of a search."""

    data: tuple[Intent, ...] = ()
    has_more: bool = False


Listed = TypeVar("Listed", Refund, Dispute)


class Page(msgspec.Struct, Generic[Listed], frozen=True, kw_only=True):
    """A page of what belongs to an intent."""

    data: tuple[Listed, ...] = ()
    has_more: bool = False


class EventData(msgspec.Struct, frozen=True, kw_only=True):
    """What an event is about, not decoded yet."""

    object: msgspec.Raw


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook's document."""

    id: str
    type: str
    data: EventData
    api_version: str | None = None
    livemode: bool = False
