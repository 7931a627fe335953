"""Disputes: what a dispute is, and its own movements of money. What follows from one is decided in `contests`.

While a dispute is open its money lies on `dispute:<provider>`. Won, it comes back to the provider's account. Lost, it
is a loss of ours (`writeoff:chargebacks`) as far as it does not stand for something that was sold: that part is taken
back from seller, funders, fees and tax exactly as a refund of the same amount would be. What the provider charges for
the dispute itself is ours whoever wins, on `writeoff:dispute_fees`, until the provider gives it back.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec.structs import replace

from tradepost.kernel.ids import ALPHABET, PREFIXES, gene_of
from tradepost.kernel.states import StateTable
from tradepost.trade.ledger import Entry, Transaction, TransactionKind

LOSSES = "writeoff:chargebacks"
FEES = "writeoff:dispute_fees"
DISPUTE = StateTable("dispute", "OPEN", ("WON", "LOST"), [("OPEN", "win", "WON"), ("OPEN", "lose", "LOST")])


class Contested(msgspec.Struct, frozen=True, array_like=True):
    """What a dispute holds, or took, of one order's portion, in minor units."""

    order_id: str
    amount_minor: int


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    """One chargeback. Of `amount_minor` that the bank withdrew, `contested` stands for orders' money.

    `uncovered_minor` is the rest: money that was refunded or is being refunded already. `refund_ids` prove it.
    `takings` counts how often something was taken back from an order for it. The provider has charged `fee_minor` of
    `fee_currency` for it, and given `fee_back_minor` of that back.
    """

    dispute_id: str
    payment_id: str
    dispute_ref: str
    amount_minor: int
    currency: str
    reason: str
    state: str = DISPUTE.initial
    contested: tuple[Contested, ...] = ()
    uncovered_minor: int = 0
    refund_ids: tuple[str, ...] = ()
    opened_at_ms: int = 0
    ended_at_ms: int = 0
    takings: int = 0
    fee_minor: int = 0
    fee_back_minor: int = 0
    fee_currency: str = ""
    version: int = 0


def derive_dispute_id(payment_id: str, dispute_ref: str) -> str:
    """The id of the provider's dispute with this name: heard twice it is one dispute, on the payment's shard."""
    digest = hashlib.blake2b(f"{payment_id}/{dispute_ref}".encode(), digest_size=11).digest()
    return f"{PREFIXES['dispute']}_{payment_id[-26:-11]}" + "".join(ALPHABET[byte & 31] for byte in digest)


def book_dispute(dispute: Dispute, provider: str, step: str, at_ms: int) -> Transaction:
    """The movement of the whole amount: `withdrawn` by the bank, `returned` by it, or `lost`."""
    held, paid = f"dispute:{provider}", f"provider:{provider}"
    source, target = {"withdrawn": (paid, held), "returned": (held, paid), "lost": (held, LOSSES)}[step]
    return Transaction(
        transaction_id=f"{dispute.payment_id}.dispute.{dispute.dispute_id[-11:]}.{step}",
        gene=gene_of(dispute.payment_id),
        kind=TransactionKind.DISPUTE,
        currency=dispute.currency,
        entries=(Entry(target, dispute.amount_minor), Entry(source, -dispute.amount_minor)),
        reference=dispute.payment_id,
        at_ms=at_ms,
    )


def book_fee(dispute: Dispute, provider: str, change_minor: int, at_ms: int) -> Transaction:
    """What the provider took (above zero) or gave back for the dispute as it stands now, in the fee's own currency."""
    total = f"{dispute.fee_minor}.{dispute.fee_back_minor}"
    return Transaction(
        transaction_id=f"{dispute.payment_id}.dispute.{dispute.dispute_id[-11:]}.fee.{total}",
        gene=gene_of(dispute.payment_id),
        kind=TransactionKind.FEE,
        currency=dispute.fee_currency,
        entries=(Entry(FEES, change_minor), Entry(f"provider:{provider}", -change_minor)),
        reference=dispute.payment_id,
        at_ms=at_ms,
    )


def book_taking(posting: Transaction, provider: str, letters: str) -> Transaction:
    """A refund's posting as that of a lost dispute: the loss is what is made good, not the provider's account."""
    entries = tuple(
        Entry(LOSSES, entry.amount_minor) if entry.account == f"provider:{provider}" else entry
        for entry in posting.entries
    )
    payment_id = posting.reference
    return replace(
        posting,
        transaction_id=f"{payment_id}.cb.{letters}",
        kind=TransactionKind.DISPUTE,
        entries=entries,
    )
