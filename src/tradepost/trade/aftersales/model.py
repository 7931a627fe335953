"""What happens to an order against the plan: cancellations and returns, with their states, events and refusals."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.events import Event, event
from tradepost.kernel.states import StateTable
from tradepost.trade.orders import LineQuantity, StockItem
from tradepost.trade.pricing import Funder

REQUESTED, APPROVED, SHIPPED_BACK, INSPECTING = "REQUESTED", "APPROVED", "SHIPPED_BACK", "INSPECTING"
RECEIVED, GRANTED = "RECEIVED", "GRANTED"
REFUNDED, REPLACED, CHARGED_BACK = "REFUNDED", "REPLACED", "CHARGED_BACK"
REFUSED, CLOSED, DISPUTED, DISMISSED = "REFUSED", "CLOSED", "DISPUTED", "DISMISSED"

RESTOCK_POOL = "returned"
WRITTEN_OFF = "written_off"
"""In the place of a pool: the goods are of no use any more, and go into none."""
EVIDENCE_MAX = 40
"""Pieces of evidence of one case; further ones are refused."""

RETURN_STATES = StateTable(
    "return",
    REQUESTED,
    (REFUNDED, REPLACED, CHARGED_BACK, REFUSED, CLOSED, DISMISSED),
    [
        (REQUESTED, "approve", APPROVED),
        (REQUESTED, "grant", GRANTED),
        (REQUESTED, "refuse", REFUSED),
        (REQUESTED, "close", CLOSED),
        (APPROVED, "ship back", SHIPPED_BACK),
        (APPROVED, "arrive", INSPECTING),
        (APPROVED, "receive", RECEIVED),
        (APPROVED, "close", CLOSED),
        (SHIPPED_BACK, "arrive", INSPECTING),
        (SHIPPED_BACK, "receive", RECEIVED),
        (SHIPPED_BACK, "escalate", DISPUTED),
        (INSPECTING, "receive", RECEIVED),
        (INSPECTING, "refuse", REFUSED),
        (REFUSED, "escalate", DISPUTED),
        (DISPUTED, "add evidence", DISPUTED),
        (DISPUTED, "approve", APPROVED),
        (DISPUTED, "grant", GRANTED),
        (DISPUTED, "receive", RECEIVED),
        (DISPUTED, "dismiss", DISMISSED),
        *((state, "refund", REFUNDED) for state in (RECEIVED, GRANTED)),
        *((state, "replace", REPLACED) for state in (RECEIVED, GRANTED)),
        *((state, "charge back", CHARGED_BACK) for state in (RECEIVED, GRANTED)),
    ],
)
"""RECEIVED and GRANTED ask for the refund in the same commit, or for the goods that take their place; REFUNDED says
that the buyer has the money, REPLACED that the order of the new goods stands."""
SETTLED = frozenset({RECEIVED, GRANTED, REFUNDED, REPLACED, CHARGED_BACK})
"""States in which a case's units and money are counted as given back."""
WAITING = frozenset({REQUESTED, APPROVED, SHIPPED_BACK, INSPECTING, DISPUTED})
"""States in which a case keeps its units from being asked for again."""


class CaseKind(StrEnum):
    """What the buyer wants of a case after the sale."""

    REFUND_ONLY = "refund_only"
    """Money for units or an amount; the goods stay."""
    RETURN_REFUND = "return_refund"
    """Goods back, money back."""
    EXCHANGE = "exchange"
    """Goods back, other goods in their place; the difference is paid or refunded."""
    REPLACEMENT = "replacement"
    """The same goods once more; the first ones stay."""
    CLAIM = "claim"
    """Wrong or missing: money by the seller's fault; the goods stay."""


GOODS_BACK = frozenset({CaseKind.RETURN_REFUND, CaseKind.EXCHANGE})
NEW_GOODS = frozenset({CaseKind.EXCHANGE, CaseKind.REPLACEMENT})


class Discount(msgspec.Struct, frozen=True, array_like=True):
    """What one funder gives less for a line, in minor units."""

    funder: Funder
    amount_minor: int


class LineValue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What giving back of one line is worth, in minor units.

    `total_minor` is the buyer's money, `goods_minor` less `discounts` (and tax, where prices are without it); tax and
    fee lie within. `credit_minor` was paid with goods that an earlier case gave back. No `quantity`: an amount.
    """

    line_no: int
    quantity: int = 0
    goods_minor: int = 0
    discounts: tuple[Discount, ...] = ()
    total_minor: int = 0
    tax_minor: int = 0
    fee_minor: int = 0
    credit_minor: int = 0


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a party brings forward: words, and the address of a picture or paper that is kept elsewhere."""

    party: str
    note: str
    url: str = ""
    at_ms: int = 0


class WantedOffer(msgspec.Struct, frozen=True):
    """Goods to have in exchange: an offer of the same seller."""

    offer_id: str
    quantity: int


class KeptGift(msgspec.Struct, frozen=True):
    """Units of a gift's line that the buyer keeps without what earned them, and what was kept of a refund for that."""

    line_no: int
    quantity: int
    kept_minor: int


class Return(msgspec.Struct, frozen=True, kw_only=True):
    """One case after the sale. What it is worth is decided when it is settled, once.

    `lines` are the units it is about, an `amount_minor` stands in their stead. `refund_minor` is asked back of the
    payments, `held_minor` waits for a bank's verdict, `taken_minor` the bank paid. `replacement_id` is the order of
    new goods, paid with `spent_minor` of the old ones, of which `undone_minor` went back as it was cancelled. What
    was kept for `gifts` is within `deduction_minor`.
    """

    return_id: str
    order_id: str
    buyer_id: str
    seller_id: str
    state: str
    version: int
    lines: tuple[LineQuantity, ...]
    reason: str
    requested_at_ms: int
    decision: str = ""
    received_at_ms: int = 0
    refund_id: str = ""
    refund_minor: int = 0
    kind: str = CaseKind.RETURN_REFUND
    market: str = ""
    amount_minor: int = 0
    wanted: tuple[WantedOffer, ...] = ()
    decided_at_ms: int = 0
    deadline_at_ms: int = 0
    tracking: str = ""
    evidence: tuple[Evidence, ...] = ()
    values: tuple[LineValue, ...] = ()
    shipping_minor: int = 0
    deduction_minor: int = 0
    held_minor: int = 0
    taken_minor: int = 0
    replacement_id: str = ""
    spent_minor: int = 0
    undone_minor: int = 0
    gifts: tuple[KeptGift, ...] = ()


@event("return.requested.v1")
class ReturnRequested(Event, frozen=True, kw_only=True):
    """A buyer wants to give units back."""

    return_id: str
    order_id: str
    reason: str
    lines: tuple[LineQuantity, ...]
    kind: str = CaseKind.RETURN_REFUND
    amount_minor: int = 0


@event("return.approved.v1")
class ReturnApproved(Event, frozen=True, kw_only=True):
    """The seller will take the units back."""

    return_id: str
    order_id: str


@event("return.refused.v1")
class ReturnRefused(Event, frozen=True, kw_only=True):
    """The seller will not take the units back."""

    return_id: str
    order_id: str
    reason: str


@event("return.closed.v1")
class ReturnClosed(Event, frozen=True, kw_only=True):
    """The buyer keeps the units after all."""

    return_id: str
    order_id: str


@event("return.received.v1")
class ReturnReceived(Event, frozen=True, kw_only=True):
    """The units are back: `stock` goes into `restock_pool`, and the refund is asked for."""

    return_id: str
    order_id: str
    lines: tuple[LineQuantity, ...]
    stock: tuple[StockItem, ...]
    restock_pool: str
    refund_id: str
    refund_minor: int


@event("return.refunded.v1")
class ReturnRefunded(Event, frozen=True, kw_only=True):
    """The buyer has the money back."""

    return_id: str
    order_id: str
    refund_id: str
    refund_minor: int


@event("return.shipped_back.v1")
class ReturnShippedBack(Event, frozen=True, kw_only=True):
    """The buyer handed the goods to a carrier."""

    return_id: str
    order_id: str


@event("return.arrived.v1")
class ReturnArrived(Event, frozen=True, kw_only=True):
    """The parcel is there; the seller looks at the goods."""

    return_id: str
    order_id: str


@event("return.granted.v1")
class ReturnGranted(Event, frozen=True, kw_only=True):
    """Settled without goods coming back: the refund is asked for, or the new goods."""

    return_id: str
    order_id: str
    kind: str
    lines: tuple[LineQuantity, ...]
    refund_id: str
    refund_minor: int


@event("return.escalated.v1")
class ReturnEscalated(Event, frozen=True, kw_only=True):
    """The parties do not agree: the operator decides, and both may bring evidence."""

    return_id: str
    order_id: str
    party: str


@event("return.evidence_added.v1")
class ReturnEvidenceAdded(Event, frozen=True, kw_only=True):
    """A party brought something forward."""

    return_id: str
    order_id: str
    party: str


@event("return.dismissed.v1")
class ReturnDismissed(Event, frozen=True, kw_only=True):
    """The operator found for the seller."""

    return_id: str
    order_id: str
    reason: str


@event("return.replaced.v1")
class ReturnReplaced(Event, frozen=True, kw_only=True):
    """An order of new goods stands in the place of the old ones. `refund_minor` is what they cost less."""

    return_id: str
    order_id: str
    replacement_id: str
    spent_minor: int
    refund_minor: int


@event("return.charged_back.v1")
class ReturnChargedBack(Event, frozen=True, kw_only=True):
    """The buyer's bank gave the money back before we did."""

    return_id: str
    order_id: str
    refund_id: str


@event("return.owed_again.v1")
class ReturnOwedAgain(Event, frozen=True, kw_only=True):
    """A dispute was won: what it held is refunded after all."""

    return_id: str
    order_id: str
    refund_id: str
    refund_minor: int


declare_problems(
    {
        "aftersales.cancel_too_late": (
            Kind.CONFLICT,
            "Too late to cancel",
            "Wait for the delivery and return what is not wanted.",
        ),
        "aftersales.initiator_unknown": (
            Kind.INVALID,
            "Unknown initiator",
            "A cancellation comes from BUYER, SELLER, OPERATOR or SYSTEM.",
        ),
        "returns.not_found": (Kind.NOT_FOUND, "No such return", "Copy the id as the API returned it."),
        "returns.not_delivered": (
            Kind.CONFLICT,
            "Not delivered yet",
            "Cancel before shipment, or wait for the delivery.",
        ),
        "returns.quantity_exceeds": (
            Kind.CONFLICT,
            "More than was delivered and not yet returned",
            "Return at most `returnable` units of the line.",
        ),
        "returns.amount_exceeds": (
            Kind.UNPROCESSABLE,
            "More than is left of it",
            "Ask for at most `left_minor`.",
        ),
        "returns.kind_invalid": (
            Kind.INVALID,
            "These facts do not fit the kind",
            "An amount belongs to refund_only and claim, wanted offers to exchange, units to all others.",
        ),
        "returns.escalation_late": (
            Kind.CONFLICT,
            "The time to call for the operator is over",
            "Ask the seller, who may still refund.",
        ),
        "returns.evidence_full": (
            Kind.UNPROCESSABLE,
            "More evidence than can be looked at",
            "Join what belongs together; 40 pieces are kept.",
        ),
        "returns.exchanged_already": (
            Kind.CONFLICT,
            "These goods came in exchange themselves",
            "Return them for a refund.",
        ),
        "returns.window_closed": (
            Kind.CONFLICT,
            "The time for returns is over",
            "Ask the seller, who may accept it all the same.",
        ),
        "returns.id_taken": (
            Kind.CONFLICT,
            "This return id names another return",
            "Use a new id for a new return.",
        ),
    }
)
