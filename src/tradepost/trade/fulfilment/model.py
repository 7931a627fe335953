"""Getting goods to the buyer: what is to be done for an order, its packages, states, events and refusals."""

from __future__ import annotations

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.events import Event, event
from tradepost.kernel.states import StateTable

TRACKING_MAX = 100
"""Tracking events kept per package."""

OPEN = "OPEN"
PARTLY_PACKED = "PARTLY_PACKED"
PACKED = "PACKED"
COLLECTED = "COLLECTED"
DELIVERED = "DELIVERED"
WITHDRAWN = "WITHDRAWN"

FULFILMENT_STATES = StateTable(
    "fulfilment",
    OPEN,
    (DELIVERED, WITHDRAWN),
    [
        (OPEN, "none packed", OPEN),
        (OPEN, "all withdrawn", WITHDRAWN),
        (OPEN, "part packed", PARTLY_PACKED),
        (OPEN, "all packed", PACKED),
        (PARTLY_PACKED, "part packed", PARTLY_PACKED),
        (PARTLY_PACKED, "all packed", PACKED),
        (PARTLY_PACKED, "all collected", COLLECTED),
        (PARTLY_PACKED, "all delivered", DELIVERED),
        (PACKED, "all packed", PACKED),
        (PACKED, "all collected", COLLECTED),
        (COLLECTED, "all collected", COLLECTED),
        (COLLECTED, "all delivered", DELIVERED),
    ],
)
"""Inputs say how far all units that were not withdrawn have come."""

PACKAGE_STATES = StateTable(
    "package",
    PACKED,
    (DELIVERED,),
    [
        (PACKED, "collect", COLLECTED),
        (COLLECTED, "track", COLLECTED),
        (COLLECTED, "deliver", DELIVERED),
        (DELIVERED, "track", DELIVERED),
    ],
)


class Unit(msgspec.Struct, frozen=True):
    """So many stock units of a SKU."""

    sku_id: str
    quantity: int


class PackLine(msgspec.Struct, frozen=True):
    """So many units of an order line."""

    line_no: int
    quantity: int


class OpenLine(msgspec.Struct, frozen=True):
    """A line to fulfil: `units` are the stock units of ONE unit of it."""

    line_no: int
    quantity: int
    units: tuple[Unit, ...]


class Done(msgspec.Struct, frozen=True, array_like=True):
    """How far the units of one line have come; collected ones count as packed too."""

    withdrawn: int = 0
    packed: int = 0
    collected: int = 0
    delivered: int = 0


class NewFulfilment(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done for one released order."""

    order_id: str
    buyer_id: str
    seller_id: str
    ship_by_at_ms: int
    lines: tuple[OpenLine, ...]


class Fulfilment(msgspec.Struct, frozen=True, kw_only=True):
    """The work on one order as it stands; `done` has one entry per line."""

    order_id: str
    buyer_id: str
    seller_id: str
    state: str
    version: int
    ship_by_at_ms: int
    lines: tuple[OpenLine, ...]
    done: tuple[Done, ...]


class Tracking(msgspec.Struct, frozen=True, kw_only=True):
    """What a carrier reported about a package."""

    code: str
    text: str = ""
    at_ms: int


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A parcel. Carrier and tracking code are known from its collection on."""

    package_id: str
    order_id: str
    state: str
    version: int
    carrier: str = ""
    tracking_code: str = ""
    lines: tuple[PackLine, ...]
    packed_at_ms: int
    collected_at_ms: int = 0
    delivered_at_ms: int = 0
    tracking: tuple[Tracking, ...] = ()


@event("package.packed.v1")
class PackagePacked(Event, frozen=True, kw_only=True):
    """Units were put into a parcel; `all_packed` when nothing is left to pack."""

    package_id: str
    order_id: str
    lines: tuple[PackLine, ...]
    all_packed: bool


@event("package.collected.v1")
class PackageCollected(Event, frozen=True, kw_only=True):
    """The carrier took the parcel: `stock` has left. `all_collected` when nothing is left to hand over."""

    package_id: str
    order_id: str
    lines: tuple[PackLine, ...]
    stock: tuple[Unit, ...]
    all_collected: bool


@event("package.tracked.v1")
class PackageTracked(Event, frozen=True, kw_only=True):
    """The carrier reported something."""

    package_id: str
    order_id: str
    code: str
    tracked_at_ms: int


@event("package.delivered.v1")
class PackageDelivered(Event, frozen=True, kw_only=True):
    """The parcel reached the buyer; `all_delivered` when the whole order has."""

    package_id: str
    order_id: str
    lines: tuple[PackLine, ...]
    all_delivered: bool


declare_problems(
    {
        "fulfilment.not_open": (
            Kind.CONFLICT,
            "The order is not released for shipment",
            "Wait for its payment and the end of its remorse window; see the order's state.",
        ),
        "fulfilment.line_unknown": (
            Kind.UNPROCESSABLE,
            "The order has no such line to ship",
            "Use the line numbers of the order.",
        ),
        "fulfilment.quantity_invalid": (
            Kind.INVALID,
            "Quantity out of range",
            "Send each line once, with a whole number of one or more.",
        ),
        "fulfilment.quantity_exceeds": (
            Kind.CONFLICT,
            "More than is open on the line",
            "Read the fulfilment again: `open` is what is neither packed nor cancelled.",
        ),
        "fulfilment.packed": (
            Kind.CONFLICT,
            "Packed already",
            "Cancel what is not packed; the rest can be returned after its delivery.",
        ),
        "fulfilment.package_unknown": (
            Kind.NOT_FOUND,
            "No such package",
            "Copy the id as the API returned it.",
        ),
        "fulfilment.tracking_full": (
            Kind.TOO_LARGE,
            "Too many tracking events",
            f"A package keeps {TRACKING_MAX} of them.",
        ),
        "fulfilment.tracking_invalid": (
            Kind.INVALID,
            "Tracking is malformed",
            "Carrier and codes have 1 to 60 letters, a text at most 200.",
        ),
        "fulfilment.nothing_open": (
            Kind.CONFLICT,
            "Nothing to do for this order",
            "Read the fulfilment: everything is there already, or was cancelled.",
        ),
    }
)
