"""The words of settlement: what is due, lines and statements, payouts, their states, events and refusals."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.events import Event, event
from tradepost.kernel.states import StateTable

WAITING, HELD, SETTLED = "WAITING", "HELD", "SETTLED"
TRANSIT = "transit:settlement"
BANK_CLEARING = "bank:clearing"

SETTLEMENT_STATES = StateTable(
    "settlement",
    WAITING,
    (SETTLED,),
    [
        (WAITING, "hold", HELD),
        (WAITING, "settle", SETTLED),
        (HELD, "hold", HELD),
        (HELD, "release", WAITING),
        (SETTLED, "settle", SETTLED),
    ],
)
"""Of one order's money. A settled one settles again whenever a refund or correction moves more of it."""

PAYOUT_STATES = StateTable(
    "payout",
    "REQUESTED",
    ("PAID", "FAILED", "RETURNED"),
    [
        ("REQUESTED", "send", "SENT"),
        ("SENT", "send", "SENT"),
        ("SENT", "pay", "PAID"),
        ("SENT", "refuse", "REFUSED"),
        ("SENT", "fail", "FAILED"),
        ("REFUSED", "send", "SENT"),
        ("REFUSED", "fail", "FAILED"),
        ("PAID", "return", "RETURNED"),
    ],
)
"""A refused one is tried again; a failed or returned one gives its amount back to the party's balance."""


class Component(StrEnum):
    """What a statement line is made of; each is signed from the party's side: what it is owed is above zero."""

    GOODS = "goods"
    SELLER_DISCOUNT = "seller_discount"
    PLATFORM_DISCOUNT = "platform_discount"
    CREATOR_DISCOUNT = "creator_discount"
    PLATFORM_FUNDING = "platform_funding"
    CREATOR_FUNDING = "creator_funding"
    SHIPPING = "shipping"
    TAX_ADDED = "tax_added"
    TAX = "tax"
    PLATFORM_FEE = "platform_fee"
    COMMISSION = "commission"
    REFUND_CORRECTION = "refund_correction"
    ADJUSTMENT = "adjustment"
    WITHHOLDING = "withholding"
    RESERVE = "reserve"
    PAYOUT = "payout"
    ROUNDING = "rounding"


Components = dict[str, int]
"""Minor units by component; zero ones are left out."""


class LineKind(StrEnum):
    """Why money moved to or from a party."""

    SALE = "sale"
    CHANGE = "change"
    COMMISSION = "commission"
    ADJUSTMENT = "adjustment"
    WITHHOLDING = "withholding"
    RESERVE_HELD = "reserve_held"
    RESERVE_FREED = "reserve_freed"
    PAYOUT = "payout"
    PAYOUT_BACK = "payout_back"


class AdjustmentKind(StrEnum):
    """Typed adjustments, each against an account of its own."""

    CHARGEBACK = "chargeback"
    LOGISTICS_REIMBURSEMENT = "logistics_reimbursement"
    PENALTY = "penalty"
    PLATFORM_COMPENSATION = "platform_compensation"
    SAMPLE_SHIPPING = "sample_shipping"
    COLLECTION = "collection"
    WRITE_OFF = "write_off"
    CORRECTION = "correction"


class AdjustmentRule(msgspec.Struct, frozen=True):
    """The account on the other side of a kind of adjustment, and which signs it may have."""

    account: str
    may_give: bool
    may_take: bool


ADJUSTMENTS: dict[str, AdjustmentRule] = {
    AdjustmentKind.CHARGEBACK: AdjustmentRule("platform:chargebacks", True, True),
    AdjustmentKind.LOGISTICS_REIMBURSEMENT: AdjustmentRule("platform:logistics", True, False),
    AdjustmentKind.PENALTY: AdjustmentRule("platform:penalties", True, True),
    AdjustmentKind.PLATFORM_COMPENSATION: AdjustmentRule("platform:adjustments", True, False),
    AdjustmentKind.SAMPLE_SHIPPING: AdjustmentRule("platform:logistics", False, True),
    AdjustmentKind.COLLECTION: AdjustmentRule("bank:collected", True, False),
    AdjustmentKind.WRITE_OFF: AdjustmentRule("writeoff:debt", True, False),
    AdjustmentKind.CORRECTION: AdjustmentRule("platform:adjustments", True, True),
}
"""`may_give` raises what the party is owed. A collection is money the party paid to us to clear what it owed."""


class Body(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went to the party so far, by component in the order's currency, and why a settlement is held.

    `converted` when the party is paid in another currency than the order's.
    """

    moved: Components = {}
    reason: str = ""
    delivered_at_ms: int = 0
    converted: bool = False


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """One order's money. `due_at_ms` 0 waits for nothing; `version` counts its events."""

    order_id: str
    party_id: str
    market: str
    currency: str
    state: str
    due_at_ms: int
    version: int
    body: Body


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What one party is to be paid in one market and currency, minor units; below zero it owes us.

    `cut_through` is the last day (days since 1970 in the market's time zone) whose statement is cut.
    """

    party_id: str
    market: str
    currency: str
    balance_minor: int = 0
    reserve_minor: int = 0
    cut_through: int = 0
    next_at_ms: int = 0
    lines: int = 0


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One movement on a party's account. Its components sum to `amount_minor`."""

    party_id: str
    line_id: str
    market: str
    currency: str
    day: int
    at_ms: int
    kind: str
    order_id: str = ""
    amount_minor: int
    components: Components
    note: str = ""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A day of one party in a market's time zone: opening + its lines = closing. Never changed once cut."""

    party_id: str
    market: str
    currency: str
    day: int
    date: str
    opening_minor: int
    amount_minor: int
    closing_minor: int
    lines: int
    cut_at_ms: int
    components: Components


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """An order's money that is on its way to being due; `amount_minor` as the order stands now."""

    order_id: str
    market: str
    currency: str
    amount_minor: int
    due_at_ms: int


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where a party's money goes: the account's holder and its number, such as an IBAN."""

    holder: str
    account: str
    bank_code: str = ""


class PayoutAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A destination as entered. `blocked`: the bank refused it for good; nothing is sent until it is replaced."""

    party_id: str
    blocked: bool
    version: int
    destination: Destination


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way to a party's bank. `next_at_ms` 0 waits for nothing; `day` is that of its statement line."""

    payout_id: str
    party_id: str
    market: str
    currency: str
    amount_minor: int
    state: str = "REQUESTED"
    attempts: int = 0
    next_at_ms: int = 0
    bank: str = ""
    error: str = ""
    version: int = 0
    requested_at_ms: int = 0
    day: int = 0
    destination: Destination


@event("settlement.expected.v1")
class SettlementExpected(Event, frozen=True, kw_only=True):
    """An order's money will be due; sent again when a refund changes it before that."""

    order_id: str
    party_id: str
    market: str
    currency: str
    amount_minor: int
    due_at_ms: int


@event("settlement.moved.v1")
class SettlementMoved(Event, frozen=True, kw_only=True, omit_defaults=True):
    """So much left the order's shard for the party's account: above zero to the party, below zero back from it.

    Of an order sold converted, currency and amounts are the seller's, and `note` says at which rate.
    """

    order_id: str
    party_id: str
    market: str
    currency: str
    amount_minor: int
    kind: str
    components: Components
    note: str = ""


@event("payout.requested.v1")
class PayoutRequested(Event, frozen=True, kw_only=True):
    """A party's balance is on its way to its bank."""

    payout_id: str
    party_id: str
    amount_minor: int
    currency: str


@event("payout.paid.v1")
class PayoutPaid(Event, frozen=True, kw_only=True):
    """The bank says the party has it."""

    payout_id: str
    party_id: str
    amount_minor: int
    currency: str


@event("payout.failed.v1")
class PayoutFailed(Event, frozen=True, kw_only=True):
    """The bank refused for good or sent it back: the amount stands on the party's balance again."""

    payout_id: str
    party_id: str
    amount_minor: int
    currency: str
    reason: str


declare_problems(
    {
        "settlement.not_found": (
            Kind.NOT_FOUND,
            "Nothing of this order is settled or due",
            "An order is settled after its delivery; copy its id from the order list.",
        ),
        "settlement.statement_not_found": (
            Kind.NOT_FOUND,
            "No such statement",
            "Name a market, currency and day of the list; a day without movements has none.",
        ),
        "settlement.unbalanced": (
            Kind.INTERNAL,
            "The parts of a settlement do not sum to what the ledger owes",
            "A defect on our side: report the order id. Nothing was moved.",
        ),
        "settlement.adjustment_invalid": (
            Kind.INVALID,
            "This kind of adjustment cannot have this amount",
            "Send a whole number of minor units that is not zero, with the sign its kind allows.",
        ),
        "settlement.payout_not_found": (
            Kind.NOT_FOUND,
            "No such payout",
            "Copy the payout id from the list of payouts.",
        ),
        "settlement.destination_invalid": (
            Kind.INVALID,
            "Not an account that can be paid to",
            "Send a holder and an account number of 4 to 34 letters and digits; an IBAN with its check digits.",
        ),
        "settlement.day_invalid": (Kind.INVALID, "Not a day", "Give a day as 2026-01-31."),
    }
)
