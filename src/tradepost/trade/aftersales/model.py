"""What happens to an order against the plan: cancellations and returns, with their states, events and refusals."""

from __future__ import annotations

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.events import Event, event
from tradepost.kernel.states import StateTable
from tradepost.trade.orders import LineQuantity, StockItem

REQUESTED = "REQUESTED"
APPROVED = "APPROVED"
RECEIVED = "RECEIVED"
REFUNDED = "REFUNDED"
REFUSED = "REFUSED"
CLOSED = "CLOSED"

RESTOCK_POOL = "returned"

RETURN_STATES = StateTable(
    "return",
    REQUESTED,
    (REFUNDED, REFUSED, CLOSED),
    [
        (REQUESTED, "approve", APPROVED),
        (REQUESTED, "refuse", REFUSED),
        (REQUESTED, "close", CLOSED),
        (APPROVED, "receive", RECEIVED),
        (APPROVED, "close", CLOSED),
        (RECEIVED, "refund", REFUNDED),
    ],
)
"""RECEIVED asks for the refund in the same commit; REFUNDED says that the buyer has it."""


class Return(msgspec.Struct, frozen=True, kw_only=True):
    """Goods on their way back. `refund_minor` is what is given back for them, known from RECEIVED on."""

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


@event("return.requested.v1")
class ReturnRequested(Event, frozen=True, kw_only=True):
    """A buyer wants to give units back."""

    return_id: str
    order_id: str
    reason: str
    lines: tuple[LineQuantity, ...]


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
