"""What a payment is: intents, their portions per order, refunds, states and refusals."""

from __future__ import annotations

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.states import StateTable
from tradepost.trade.payments.funding import Division, Funding, Side

IMMEDIATE, ON_SHIPMENT = "immediate", "on_shipment"
"""When money is taken."""
LATE_PAYMENT, ORDER_CANCELLED, LINES_CANCELLED = "late_payment", "order_cancelled", "lines_cancelled"
"""Reasons of refunds that nobody asked for by hand."""

_TAKEN = (("authorize", "AUTHORIZED"), ("capture_part", "PARTIALLY_CAPTURED"), ("capture", "CAPTURED"))
_OUTCOMES = (*_TAKEN, ("decline", "FAILED"), ("void", "VOIDED"))

PAYMENT = StateTable(
    "payment",
    "CREATED",
    ("CAPTURED", "FAILED", "VOIDED"),
    [
        ("CREATED", "confirm", "PROCESSING"),
        ("CREATED", "void", "VOIDED"),
        ("PROCESSING", "redirect", "REQUIRES_ACTION"),
        ("PROCESSING", "pend", "PENDING"),
        *(("PROCESSING", given, state) for given, state in _OUTCOMES),
        ("REQUIRES_ACTION", "pend", "PENDING"),
        *(("REQUIRES_ACTION", given, state) for given, state in _OUTCOMES),
        *(("PENDING", given, state) for given, state in _OUTCOMES),
        ("AUTHORIZED", "capture_part", "PARTIALLY_CAPTURED"),
        ("AUTHORIZED", "capture", "CAPTURED"),
        ("AUTHORIZED", "void", "VOIDED"),
        ("PARTIALLY_CAPTURED", "capture", "CAPTURED"),
        ("FAILED", "confirm", "PROCESSING"),
        *(("FAILED", given, state) for given, state in _TAKEN),
        ("FAILED", "void", "VOIDED"),
        *(("VOIDED", given, state) for given, state in _TAKEN),
    ],
)
"""FAILED and VOIDED accept what a provider takes late: money that moved is always booked."""

UNSETTLED = ("REQUESTED", "REFUSED", "NEEDS_OPERATOR", "CONTESTED")
"""Refunds that are owed and not under way: a lost dispute takes their place."""

REFUND = StateTable(
    "refund",
    "REQUESTED",
    ("SUCCEEDED", "SETTLED_BY_HAND", "CHARGED_BACK"),
    [
        ("REQUESTED", "call", "PROCESSING"),
        ("REFUSED", "call", "PROCESSING"),
        ("PROCESSING", "refuse", "REFUSED"),
        ("PROCESSING", "give_up", "NEEDS_OPERATOR"),
        *(
            (state, "succeed", "SUCCEEDED")
            for state in ("REQUESTED", "PROCESSING", "REFUSED", "NEEDS_OPERATOR", "CONTESTED")
        ),
        ("NEEDS_OPERATOR", "retry", "REQUESTED"),
        ("NEEDS_OPERATOR", "settle", "SETTLED_BY_HAND"),
        ("PROCESSING", "contest", "CONTESTED"),
        ("CONTESTED", "retry", "REQUESTED"),
        ("CONTESTED", "call", "PROCESSING"),
        *((state, "charge_back", "CHARGED_BACK") for state in UNSETTLED),
    ],
)

declare_problems(
    {
        "payments.not_found": (Kind.NOT_FOUND, "No such payment", "Copy the payment id from the checkout."),
        "payments.refund_not_found": (
            Kind.NOT_FOUND,
            "No such refund",
            "Copy the refund id from the payment.",
        ),
        "payments.amount_invalid": (
            Kind.INVALID,
            "Not an amount that can be moved",
            "Send a positive integer in minor units.",
        ),
        "payments.order_unknown": (
            Kind.UNPROCESSABLE,
            "The payment has no portion for this order",
            "Name an order of this payment's checkout.",
        ),
        "payments.capture_exceeds_authorized": (
            Kind.UNPROCESSABLE,
            "More than is authorized",
            "Capture at most `available_minor`.",
        ),
        "payments.refund_exceeds_captured": (
            Kind.UNPROCESSABLE,
            "More than was captured and not yet refunded",
            "Refund at most `available_minor`.",
        ),
        "payments.charged_back": (
            Kind.CONFLICT,
            "The buyer's bank has this money",
            "Wait for the end of the dispute: a chargeback and a refund would pay the buyer twice.",
        ),
        "payments.refund_differs": (
            Kind.CONFLICT,
            "This refund id names another refund",
            "Use a new refund id for a new refund.",
        ),
        "payments.provider_unknown": (
            Kind.NOT_FOUND,
            "No such payment provider",
            "Use a provider that is configured here.",
        ),
        "payments.webhook_unsigned": (
            Kind.UNAUTHENTICATED,
            "The webhook is not signed by the provider",
            "Sign as Standard Webhooks describes, with the shared secret and a clock within 5 minutes.",
        ),
        "payments.webhook_invalid": (
            Kind.INVALID,
            "The webhook's body cannot be read",
            "Send the provider's event document.",
        ),
        "payments.fact_mismatch": (
            Kind.UNPROCESSABLE,
            "The provider reports another amount or currency than was agreed",
            "Compare with the provider's own books; nothing was recorded.",
        ),
    }
)


class PortionLine(msgspec.Struct, frozen=True, array_like=True):
    """What one order line costs within a portion: needed only to capture on shipment line by line."""

    line_no: int
    quantity: int
    total_minor: int
    collected: int = 0


class Portion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One order's part of a payment. Fee and tax lie inside `amount_minor`; the rest is the seller's, and `funded`.

    `stored_minor` of it is paid with the buyer's stored value."""

    order_id: str
    seller_id: str
    amount_minor: int
    fee_minor: int
    tax_minor: int
    market: str
    lines: tuple[PortionLine, ...] = ()
    funded: tuple[Funding, ...] = ()
    stored_minor: int = 0


class NewIntent(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One try to be paid for one checkout. `capture` is immediate or on_shipment.

    With `confirm` the intent is opened in PROCESSING, so `charge` may call the provider without another commit.
    `stored_minor`, the sum of its portions' own, leaves the buyer's stored value in the commit that opens it.
    """

    payment_id: str
    checkout_id: str
    buyer_id: str
    provider: str
    method: str
    currency: str
    amount_minor: int
    capture: str
    portions: tuple[Portion, ...]
    at_ms: int
    confirm: bool = False
    stored_minor: int = 0


class Share(msgspec.Struct, frozen=True, array_like=True):
    """A portion and its progress. `cancelled` shall not be kept; `returning` is asked back and not yet done.

    `cancel_returns` is what was asked back because of cancellation, ever. `disputed` is held by open disputes,
    `lost` went back to the buyer through the bank, and `spent` of both was set off against money owed back.
    """

    order_id: str
    seller_id: str
    amount: int
    fee: int
    tax: int
    market: str
    captured: int = 0
    refunded: int = 0
    returning: int = 0
    cancelled: int = 0
    cancel_returns: int = 0
    lines: tuple[PortionLine, ...] = ()
    disputed: int = 0
    lost: int = 0
    spent: int = 0


class Take(msgspec.Struct, frozen=True, array_like=True):
    """One planned capture for one order; `reference` names who asked, so that asking twice plans it once."""

    order_id: str
    amount: int
    reference: str


class Body(msgspec.Struct, frozen=True, array_like=True):
    """The part of a payment row that is never queried by its inside.

    `rank` is the progress of the present attempt, `plan` the captures in their order, `asks` how often the
    provider was asked in vain, `postings` the ledger transactions so far, `held` whether a pending one stands.
    `once` and `capture_before_ms` are the provider's `captures_once` and `capture_before_ms`.
    """

    method: str
    capture: str
    shares: tuple[Share, ...]
    plan: tuple[Take, ...] = ()
    attempt: int = 1
    rank: int = 0
    voided: bool = False
    reason: str = ""
    redirect_url: str = ""
    reference: str = ""
    asks: int = 0
    postings: int = 0
    held: bool = False
    once: bool = False
    capture_before_ms: int = 0


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """One payment row. `version` counts its events, `revision` every change; `ask_at_ms` 0 waits for nothing."""

    payment_id: str
    checkout_id: str
    buyer_id: str
    provider: str
    currency: str
    amount_minor: int
    state: str
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    ask_at_ms: int = 0
    version: int = 0
    revision: int = 1
    opened_at_ms: int = 0
    body: Body
    sides: tuple[Side, ...] = ()


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """One refund row. `next_at_ms` 0 waits for nothing.

    `stored_minor` of it goes back to the buyer's stored value, the rest through the provider: fixed when it is asked.
    """

    refund_id: str
    payment_id: str
    order_id: str
    amount_minor: int
    currency: str
    reason: str
    state: str = "REQUESTED"
    attempts: int = 0
    next_at_ms: int = 0
    error: str = ""
    version: int = 0
    revision: int = 1
    requested_at_ms: int = 0
    stored_minor: int = 0

    @property
    def card_minor(self) -> int:
        """What goes back through the provider."""
        return self.amount_minor - self.stored_minor


class RefundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Money to be given back of one order's portion. The same refund id twice is one refund.

    `division` tells its parts where the cause knows them; without it they are in proportion.
    """

    refund_id: str
    payment_id: str
    order_id: str
    amount_minor: int
    reason: str
    at_ms: int
    division: Division | None = None


class Owed(msgspec.Struct, frozen=True):
    """What became of money owed back: asked for now, held while the buyer's bank may award it, taken by the bank."""

    refund_minor: int
    held_minor: int
    taken_minor: int = 0


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What the buyer of an order has back: refunds of cancelled parts, and those `beside`; `ordered_minor` is what
    the order costs without its cancelled parts."""

    ordered_minor: int
    cancelled: tuple[Refund, ...]
    beside: tuple[Refund, ...]


class RefundCallDue(msgspec.Struct, frozen=True, kw_only=True):
    """A refund whose call is under way. `repeated`: an earlier call of this attempt was never answered."""

    refund: Refund
    provider: str
    repeated: bool


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A payment and whether the provider is to be called for its present attempt."""

    payment: Payment
    call: bool


class PortionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One order's part as shown to those it concerns. Amounts in minor units.

    Of `stored_minor`, the buyer's stored value in it, `stored_captured_minor` was taken, `stored_refunded_minor` of
    that given back, and `stored_released_minor` came back untaken.
    """

    order_id: str
    seller_id: str
    amount_minor: int
    captured_minor: int
    refunded_minor: int
    cancelled_minor: int
    disputed_minor: int = 0
    charged_back_minor: int = 0
    stored_minor: int = 0
    stored_captured_minor: int = 0
    stored_refunded_minor: int = 0
    stored_released_minor: int = 0


class PaymentView(msgspec.Struct, frozen=True):
    """A payment as others may see it. Amounts in minor units."""

    payment_id: str
    checkout_id: str
    buyer_id: str
    provider: str
    method: str
    currency: str
    capture: str
    state: str
    amount_minor: int
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    redirect_url: str
    reason: str
    version: int
    portions: tuple[PortionView, ...]
