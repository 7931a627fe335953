"""The words of stock: demands and holds, claims on holds, levels, movements, and the codes of refusal."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.states import StateTable

SHOP = "shop"
RETURNED = "returned"

HELD = "HELD"
RESERVED = "RESERVED"
SHIPPED = "SHIPPED"
RELEASED = "RELEASED"

HOLD_STATES = StateTable(
    "hold",
    HELD,
    (SHIPPED, RELEASED),
    [
        (HELD, "reserve", RESERVED),
        (HELD, "release part", HELD),
        (HELD, "release", RELEASED),
        (HELD, "ship part", RESERVED),
        (HELD, "ship", SHIPPED),
        (RESERVED, "release part", RESERVED),
        (RESERVED, "release", RELEASED),
        (RESERVED, "ship part", RESERVED),
        (RESERVED, "ship", SHIPPED),
        (RESERVED, "release rest", SHIPPED),
        (SHIPPED, "put back", SHIPPED),
    ],
)
"""Of one hold row. Shipping proves payment, so it counts as reserving: the two may arrive in either order."""


class Movement(StrEnum):
    """Why a balance changed."""

    HOLD = "hold"
    RESERVE = "reserve"
    RELEASE = "release"
    SHIP = "ship"
    PUT_BACK = "put_back"
    RECEIVE = "receive"
    ADJUST = "adjust"
    COUNT = "count"
    MOVE_OUT = "move_out"
    MOVE_IN = "move_in"
    WRITE_OFF = "write_off"


class Demand(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """So many units of a component SKU from a pool for one owner (an order). A limit of 0 is no limit."""

    owner_id: str
    sku_id: str
    pool: str = SHOP
    quantity: int
    limit_per_buyer: int = 0


class HoldRequest(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """All demands of one checkout: held together or not at all.

    `expires_at_ms` is above 0 only when the hold commits alone, before its orders do: then the reaper asks for
    the checkout at that moment.
    """

    checkout_id: str
    buyer_id: str
    at_ms: int
    expires_at_ms: int = 0
    demands: tuple[Demand, ...]


class Allocation(msgspec.Struct, frozen=True):
    """Which location serves how many units of a demand."""

    owner_id: str
    sku_id: str
    location_id: str
    pool: str
    quantity: int


class Held(msgspec.Struct, frozen=True):
    """The answer to a hold that stands."""

    checkout_id: str
    allocations: tuple[Allocation, ...]


class Confirmed(msgspec.Struct, frozen=True):
    """A checkout that stands, and the genes of the SKUs it holds."""

    checkout_id: str
    genes: tuple[int, ...]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A step on what an owner holds. `reference` makes it single; `items` are (sku_id, quantity).

    `pool` matters to `put_back` only: where the goods go, `returned` when empty.
    """

    owner_id: str
    reference: str
    at_ms: int
    items: tuple[tuple[str, int], ...]
    pool: str = ""


class HoldLine(msgspec.Struct, frozen=True):
    """One row of `holds`: what an owner holds of one stock unit. A quantity of 0 is a tombstone."""

    gene: int
    owner_id: str
    sku_id: str
    location_id: str
    pool: str
    checkout_id: str
    buyer_id: str
    state: str
    quantity: int
    open_quantity: int
    shipped: int
    returned: int
    limited: int
    at_ms: int


class StockChange(msgspec.Struct, frozen=True, kw_only=True):
    """Add `delta` units to what lies at a location in a pool; `reference` makes it single."""

    sku_id: str
    location_id: str
    pool: str = SHOP
    delta: int
    reference: str
    at_ms: int


class StockCount(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody counted `on_hand` units. `expected_version` is the version last read, 0 for a new stock unit."""

    sku_id: str
    location_id: str
    pool: str = SHOP
    on_hand: int
    expected_version: int
    reference: str
    at_ms: int


class StockMove(msgspec.Struct, frozen=True, kw_only=True):
    """Take units from one pool (and location) to another. `to_location_id` empty means the same location."""

    sku_id: str
    location_id: str
    from_pool: str
    to_pool: str
    quantity: int
    reference: str
    at_ms: int
    to_location_id: str = ""


class Level(msgspec.Struct, frozen=True):
    """A stock unit's balances in pieces. `version` grows with every change of `on_hand`, not with holds."""

    sku_id: str
    location_id: str
    pool: str
    on_hand: int
    held: int
    reserved: int
    version: int

    @property
    def available(self) -> int:
        """Pieces that can still be promised."""
        return self.on_hand - self.held - self.reserved


class StockTotal(msgspec.Struct, frozen=True):
    """Balances of a SKU over all locations and pools, and what is available by pool."""

    sku_id: str
    on_hand: int
    held: int
    reserved: int
    available: int
    available_by_pool: Mapping[str, int]


class MovementRow(msgspec.Struct, frozen=True):
    """One line of the append-only log: by how many pieces each balance changed, and why."""

    sku_id: str
    reference: str
    kind: str
    location_id: str
    pool: str
    on_hand: int
    held: int
    reserved: int
    at_ms: int


class Deadline(msgspec.Struct, frozen=True):
    """A hold that committed alone and waits for its checkout."""

    gene: int
    checkout_id: str
    buyer_id: str
    owners: tuple[str, ...]
    expires_at_ms: int


declare_problems(
    {
        "inventory.sold_out": (
            Kind.CONFLICT,
            "Not enough stock",
            "Order at most `available` pieces of `sku_id`, or try again later.",
        ),
        "inventory.limit_reached": (
            Kind.CONFLICT,
            "Purchase limit per buyer reached",
            "Order at most `remaining` more pieces of `sku_id`.",
        ),
        "inventory.sku_unknown": (
            Kind.NOT_FOUND,
            "No stock is kept of this SKU",
            "Check the SKU id; its seller must receive stock first.",
        ),
        "inventory.released": (
            Kind.CONFLICT,
            "The hold was given back",
            "Start a new checkout: this one can no longer get its stock.",
        ),
        "inventory.hold_conflict": (
            Kind.CONFLICT,
            "The order already holds something else",
            "Repeat the hold with the same demands, or use another order id.",
        ),
        "inventory.hold_unknown": (
            Kind.CONFLICT,
            "The order holds nothing of this SKU",
            "Hold the stock first; an event that came too early is tried again by itself.",
        ),
        "inventory.not_held": (
            Kind.CONFLICT,
            "More than the order holds",
            "Claim at most the pieces still open on the hold.",
        ),
        "inventory.not_shipped": (
            Kind.CONFLICT,
            "More than was shipped",
            "Put back at most the pieces shipped and not yet returned.",
        ),
        "inventory.below_committed": (
            Kind.CONFLICT,
            "Stock would fall below what is promised",
            "Leave at least `committed` pieces, or cancel orders first.",
        ),
        "inventory.reference_conflict": (
            Kind.CONFLICT,
            "The reference was used for another change",
            "Use a new reference (idempotency key) for a new change.",
        ),
        "inventory.quantity_invalid": (
            Kind.INVALID,
            "The quantity is not possible",
            "Send a whole number of pieces in the stated range.",
        ),
        "inventory.contended": (
            Kind.OVERLOADED,
            "Another writer changed this stock at the same moment",
            "Repeat the same request; nothing was changed.",
        ),
    }
)
