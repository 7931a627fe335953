"""The words of the ledger: accounts, entries, transactions, and the codes of refusal."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.states import StateTable

PENDING = "pending"
POSTED = "posted"
VOIDED = "voided"

TRANSACTION_STATES = StateTable(
    "ledger transaction",
    PENDING,
    (POSTED, VOIDED),
    [(PENDING, "post", POSTED), (PENDING, "void", VOIDED)],
)
"""Of the money, not of a row: rows never change. A posted or voided row names the pending row it resolves."""

ACCOUNTS: dict[str, str] = {
    "provider": "money at a payment provider",
    "buyer": "what buyers are owed or owe (buyer:clearing)",
    "seller": "what a seller is owed",
    "creator": "what a creator is owed",
    "platform": "the platform's own: fees, adjustments, promotions it funds",
    "tax": "tax collected, by market",
    "writeoff": "losses: bad debt, goods",
    "dispute": "money a bank has withdrawn and not yet awarded",
    "stored": "what we owe on a gift card or as store credit; never below zero",
    "transit": "money between two shards; drains to zero",
    "payable": "what a seller or creator is to be paid: settled, on its own shard",
    "reserve": "held back of what a seller is to be paid",
    "bank": "payouts under way (bank:clearing) and what a bank paid out",
    "fx": "set aside in one currency for what is owed in another, by pair (fx:USD.EUR); fx:gain, fx:loss, fx:rounding",
}
"""Kinds of account: the word before the colon."""

GUARDED = ("stored:", "reserve:")
"""Accounts on which we may never owe less than nothing: a row beside the journal says so in the same commit."""


class TransactionKind(StrEnum):
    """What moved the money."""

    CAPTURE = "capture"
    REFUND = "refund"
    FEE = "fee"
    WRITE_OFF = "write_off"
    ADJUSTMENT = "adjustment"
    AUTHORIZATION = "authorization"
    TRANSFER = "transfer"
    FUNDING = "funding"
    COMMISSION = "commission"
    WITHHOLDING = "withholding"
    RESERVE = "reserve"
    PAYOUT = "payout"
    CLOSING = "closing"
    DISPUTE = "dispute"
    STORED_VALUE = "stored_value"
    EXCHANGE = "exchange"
    REVALUATION = "revaluation"


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One account's share of a transaction in minor units: debit positive, credit negative."""

    account: str
    amount_minor: int


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """A movement of money whose entries sum to zero. Immutable once posted.

    `transaction_id` is natural, such as `<payment id>.capture.1`; `gene` is that of its order's shard and
    `reference` the payment, order or return it belongs to. A `posted` or `voided` one with `pending_id`
    resolves that much of a pending one.
    """

    transaction_id: str
    gene: int
    kind: str
    state: str = POSTED
    currency: str
    entries: tuple[Entry, ...]
    reference: str
    pending_id: str = ""
    at_ms: int

    @property
    def amount_minor(self) -> int:
        """The sum of the debits."""
        return sum(entry.amount_minor for entry in self.entries if entry.amount_minor > 0)


class Pending(msgspec.Struct, frozen=True):
    """How much of a pending transaction was posted or voided, in minor units."""

    gene: int
    transaction_id: str
    amount_minor: int
    resolved_minor: int


class Balance(msgspec.Struct, frozen=True):
    """An account in one currency: posted, and pending that is not resolved; minor units, debit positive."""

    account: str
    currency: str
    posted_minor: int
    pending_minor: int


declare_problems(
    {
        "ledger.unbalanced": (
            Kind.INTERNAL,
            "Entries do not sum to zero",
            "A defect on our side: report the transaction id.",
        ),
        "ledger.id_too_long": (
            Kind.INTERNAL,
            "A transaction id that the journal cannot keep",
            "A defect on our side: report the transaction id.",
        ),
        "ledger.account_unknown": (
            Kind.INTERNAL,
            "No such kind of account",
            "A defect on our side: use an account kind of the reference.",
        ),
        "ledger.transaction_conflict": (
            Kind.CONFLICT,
            "The transaction exists with other content",
            "Use a new transaction id for a new movement of money.",
        ),
        "ledger.state_invalid": (
            Kind.INVALID,
            "A transaction cannot have this state here",
            "Send pending, posted or voided; a voided one names its pending one, a pending one names none.",
        ),
        "ledger.insufficient": (
            Kind.CONFLICT,
            "Not enough on the account",
            "Read the account's balance: it cannot go below zero.",
        ),
        "ledger.pending_unknown": (
            Kind.NOT_FOUND,
            "No such pending transaction",
            "Check pending_id: it must be on the same shard, pending, and of the same currency.",
        ),
        "ledger.pending_exceeded": (
            Kind.CONFLICT,
            "More than is still pending",
            "Post or void at most what is left of the pending transaction.",
        ),
    }
)
