"""Commission plans, touches of content, what an order line earns whom, and how far that has come."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.events import Event, event
from tradepost.kernel.states import StateTable

ESTIMATED = "ESTIMATED"
FROZEN = "FROZEN"
SETTLED = "SETTLED"
CLAWED_BACK = "CLAWED_BACK"
CANCELLED = "CANCELLED"

COMMISSION_STATES = StateTable(
    "commission",
    ESTIMATED,
    (CANCELLED, CLAWED_BACK),
    [
        (ESTIMATED, "settle", SETTLED),
        (ESTIMATED, "freeze", FROZEN),
        (ESTIMATED, "cancel", CANCELLED),
        (ESTIMATED, "shrink", ESTIMATED),
        (FROZEN, "thaw", ESTIMATED),
        (FROZEN, "cancel", CANCELLED),
        (FROZEN, "shrink", FROZEN),
        (SETTLED, "shrink", SETTLED),
        (SETTLED, "claw back", CLAWED_BACK),
    ],
)
"""`shrink` follows a refund of some units; `claw back` the refund of all that was settled."""

RATE_MAX_BPS = 8_000
TIERS_MAX = 10
BONUSES_MAX = 5
CREATORS_MAX = 10_000
PRODUCTS_MAX = 10_000
TOUCHES_MAX = 200
WHOLE_BPS = 10_000


class Basis(StrEnum):
    """What a tier counts over its period, for one creator and plan."""

    ORDERS = "orders"
    GOODS = "goods_minor"


class Funder(StrEnum):
    """Who pays a bonus."""

    SELLER = "seller"
    PLATFORM = "platform"


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """From so much of the basis on, this rate instead of the plan's."""

    reached: int
    rate_bps: int


class Bonus(msgspec.Struct, frozen=True, kw_only=True):
    """More on top, shared by who wants the sale: `seller_share_bps` is the seller's part of it."""

    code: str
    rate_bps: int
    seller_share_bps: int = 0
    cap_minor: int = 0
    starts_at_ms: int = 0
    ends_at_ms: int = 0


class Agency(msgspec.Struct, frozen=True, kw_only=True):
    """Who manages a creator and takes a share of what the creator earns."""

    agency_id: str
    share_bps: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A seller's offer to creators; a version never changes. Without `creators` it is open to everybody.

    With tiers the highest rate is set aside from the seller (the deposit); what the creator did not reach goes
    back when the period ends (the release).
    """

    plan_id: str
    version: int
    seller_id: str
    title: str = ""
    rate_bps: int
    creators: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    content_kinds: tuple[str, ...] = ()
    tiers: tuple[Tier, ...] = ()
    tier_basis: Basis = Basis.ORDERS
    bonuses: tuple[Bonus, ...] = ()
    agency: Agency | None = None
    starts_at_ms: int = 0
    ends_at_ms: int = 0
    settle_after_ms: int = 7 * 86_400_000

    @property
    def is_targeted(self) -> bool:
        """Whether it is for named creators only."""
        return bool(self.creators)


class Touch(msgspec.Struct, frozen=True, kw_only=True):
    """A buyer met a product in a creator's content. `is_direct` means the tap that led into this order line."""

    creator_id: str
    content_id: str
    content_kind: str
    at_ms: int
    is_direct: bool = False


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """Which content earned a line, under which model and version; kept on the line's commission for ever."""

    creator_id: str
    content_id: str
    content_kind: str
    model: str
    model_version: int
    why: str


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """One commission told apart, minor units. The seller pays `seller_minor`, the platform `platform_minor`.

    They add up to creator, agency and deposit; the deposit is the seller's money that is set aside.
    """

    creator_minor: int = 0
    agency_minor: int = 0
    deposit_minor: int = 0
    seller_minor: int = 0
    platform_minor: int = 0


class Commission(msgspec.Struct, frozen=True, kw_only=True):
    """What one order line earns. `base_minor` is the goods after discounts without tax, of units that stay sold."""

    order_id: str
    line_no: int
    seller_id: str
    buyer_id: str
    currency: str
    state: str
    version: int
    plan: Plan
    agency: Agency | None
    attribution: Attribution
    base_minor: int
    units: int
    rate_bps: int
    parts: Parts
    at_ms: int
    settle_at_ms: int = 0
    first_base_minor: int = 0
    first_units: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing can change it any more."""
        return self.state in (CANCELLED, CLAWED_BACK)


class OrderCommissions(msgspec.Struct, frozen=True, kw_only=True):
    """All commissions of one order. `booked` is what of each line the ledger holds, by line number.

    `planned` says that plans were looked up; before that there are no lines. `version` counts its events, `touches`
    what happened to the order: who writes must have seen both.
    """

    order_id: str
    seller_id: str
    payment_id: str
    market: str
    version: int
    touches: int = 0
    next_at_ms: int
    settle_at_ms: int
    planned: bool = False
    lines: tuple[Commission, ...] = ()
    booked: dict[int, Parts] = {}


class Earning(msgspec.Struct, frozen=True, kw_only=True):
    """One line as its creator sees it; `amount_minor` is the creator's part.

    An agency sees the lines of its creators so, with its own part and no base: the base is the creator's.
    """

    creator_id: str
    order_id: str
    line_no: int
    version: int
    plan_id: str
    state: str
    currency: str
    base_minor: int
    amount_minor: int
    at_ms: int
    settle_at_ms: int
    content_id: str
    seller_id: str


@event("commission.changed.v1")
class CommissionChanged(Event, frozen=True, kw_only=True):
    """What a line earns its creator is now this much, in this state."""

    creator_id: str
    order_id: str
    line_no: int
    plan_id: str
    state: str
    currency: str
    base_minor: int
    amount_minor: int
    placed_at_ms: int
    settle_at_ms: int
    content_id: str
    seller_id: str
    agency_id: str = ""
    agency_minor: int = 0


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What is sold and not yet settled, in one currency: so many lines, and so much of them for this earner."""

    currency: str
    lines: int
    amount_minor: int


declare_problems(
    {
        "creators.plan_invalid": (Kind.INVALID, "A plan that cannot pay", "Correct the field that is named."),
        "creators.too_many_plans": (
            Kind.CONFLICT,
            "Too many versions of plans",
            "Change plans less often: every version is kept for the orders that were placed under it.",
        ),
        "creators.plan_unknown": (
            Kind.NOT_FOUND,
            "No such commission plan",
            "Copy the id as the API returned it.",
        ),
        "creators.model_unknown": (
            Kind.INVALID,
            "No such attribution model",
            "Use a model and version that the reference lists.",
        ),
        "creators.commission_unknown": (
            Kind.NOT_FOUND,
            "No such commission",
            "Only lines that a creator led to have one: check the order and line number.",
        ),
    }
)
