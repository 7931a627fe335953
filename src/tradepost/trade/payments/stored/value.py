"""Stored value: store credit and gift cards. The ledger holds it; a row beside it guards that none goes below zero.

An account `stored:<owner>` is what we owe its owner: a buyer, or whoever has the gift card. The guard row counts the
account's entries in the commit that writes them, and a spend is a guarded statement, so of two racing for the last
money one gets it. A check compares guard and ledger.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.events import Consumer, Event, EventRow, event, record
from tradepost.kernel.ids import ALPHABET, check_id, gene_of
from tradepost.kernel.money import exponent_of
from tradepost.kernel.tx import Tx
from tradepost.kernel.world import World
from tradepost.trade import ledger
from tradepost.trade.ledger import Entry, Transaction, TransactionKind
from tradepost.trade.payments.stored import store

PROVIDER = "stored_value"
"""The provider whose money stored value is, where it pays for something."""
METHOD = "store_credit"
"""The method of payment that means a buyer's own store credit."""
ISSUED = "platform:stored_value"
TRANSIT = "transit:stored_value"
AMOUNT_MAX_MINOR = 10**12
_SECRET_BITS, _SECRET_LETTERS = 100, 20

declare_problems(
    {
        "stored.amount_invalid": (
            Kind.INVALID,
            "Not an amount that can be stored",
            "Send a positive integer in minor units.",
        ),
        "stored.card_unknown": (
            Kind.NOT_FOUND,
            "No such gift card",
            "Type the code as it was given, with all of its letters.",
        ),
        "stored.card_used": (
            Kind.CONFLICT,
            "The gift card was redeemed already",
            "Its value is the store credit of whoever redeemed it.",
        ),
        "stored.buyer_needed": (
            Kind.UNPROCESSABLE,
            "A gift card needs a buyer",
            "Ask for a quote first: it names the guest whose store credit the card becomes.",
        ),
        "stored.too_little": (
            Kind.CONFLICT,
            "Not enough stored value",
            "Pay at most `available_minor` of it with stored value, and the rest with another method.",
        ),
        "stored.issue_differs": (
            Kind.CONFLICT,
            "This reference issued another amount",
            "Use a new reference for a new issue.",
        ),
    }
)


@event("stored_value.issued.v1")
class StoredValueIssued(Event, frozen=True, kw_only=True):
    """A gift card exists, with money on it."""

    card_id: str
    amount_minor: int
    currency: str


@event("stored_value.redeemed.v1")
class StoredValueRedeemed(Event, frozen=True, kw_only=True):
    """What was on a gift card is on its way to a buyer's store credit."""

    card_id: str
    buyer_id: str
    amount_minor: int
    currency: str


class GiftCard(msgspec.Struct, frozen=True, kw_only=True):
    """A card. Its code is kept as a hash; the money on it is the ledger's."""

    card_id: str
    code_hash: str
    amount_minor: int
    currency: str
    issued_at_ms: int
    redeemed_by: str = ""
    redeemed_at_ms: int = 0


class StoredBalance(msgspec.Struct, frozen=True):
    """What an owner has, in minor units of a currency."""

    currency: str
    amount_minor: int


def mint_card(world: World, gene: int) -> tuple[str, str]:
    """(card id, code) on a gene: the code holds the id and 100 bits that nobody can guess, and is told once."""
    card_id = world.mint("gift_card", gene)
    bits = world.chance(_SECRET_BITS)
    secret = "".join(ALPHABET[(bits >> shift) & 31] for shift in range(_SECRET_BITS - 5, -1, -5))
    return card_id, f"{card_id}_{secret}"


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def card_of(code: str) -> str:
    """The id inside a code. Raises Refusal `stored.card_unknown`."""
    card_id = code.rpartition("_")[0]
    try:
        return check_id(card_id, "gift_card")
    except Refusal:
        raise _card_unknown() from None


def issue_card(tx: Tx, card_id: str, code: str, amount_minor: int, currency: str, at_ms: int) -> GiftCard:
    """Put money on a new card. Raises Refusal `stored.amount_invalid`, `money.currency_unknown`."""
    _check(amount_minor, currency)
    card = GiftCard(
        card_id=card_id,
        code_hash=_hash(code),
        amount_minor=amount_minor,
        currency=currency,
        issued_at_ms=at_ms,
    )
    store.write_card(tx, card_id, msgspec.json.encode(card))
    _move(tx, card_id, f"{card_id}.issue", ISSUED, amount_minor, currency, at_ms)
    issued = StoredValueIssued(card_id=card_id, amount_minor=amount_minor, currency=currency)
    tx.emit([record(issued, card_id, 1, at_ms)])
    return card


def check_card(tx: Tx, code: str, buyer_id: str) -> GiftCard:
    """The card of a code, if this buyer may redeem it or did. Raises `stored.card_unknown`, `stored.card_used`."""
    card_id = card_of(code)
    found = store.find_card(tx, card_id)
    card = msgspec.json.decode(found, type=GiftCard) if found is not None else None
    if card is None or not hmac.compare_digest(card.code_hash, _hash(code)):
        raise _card_unknown()
    if card.redeemed_by not in ("", buyer_id):
        raise _card_used(card_id)
    return card


def redeem_card(tx: Tx, code: str, buyer_id: str, at_ms: int) -> GiftCard:
    """Take a card's money for a buyer's store credit, where an event brings it. The same buyer may ask again.

    Raises Refusal `stored.card_unknown`, `stored.card_used`.
    """
    card = check_card(tx, code, buyer_id)
    card_id = card.card_id
    if card.redeemed_by:
        return card
    if not _take(tx, card_id, card.currency, card.amount_minor):
        raise _card_used(card_id)
    ledger.append(
        tx,
        [
            _transaction(
                card_id,
                f"{card_id}.redeem",
                f"stored:{card_id}",
                TRANSIT,
                card.amount_minor,
                card.currency,
                at_ms,
            )
        ],
    )
    used = msgspec.structs.replace(card, redeemed_by=buyer_id, redeemed_at_ms=at_ms)
    store.write_card(tx, card_id, msgspec.json.encode(used))
    redeemed = StoredValueRedeemed(
        card_id=card_id, buyer_id=buyer_id, amount_minor=card.amount_minor, currency=card.currency
    )
    tx.emit([record(redeemed, card_id, 2, at_ms, buyer_id)])
    return used


def issue_credit(
    tx: Tx, buyer_id: str, reference: str, amount_minor: int, currency: str, at_ms: int
) -> StoredBalance:
    """Give a buyer store credit out of the platform's own; the same reference again gives it once.

    Raises Refusal `stored.amount_invalid`, `stored.issue_differs`, `money.currency_unknown`.
    """
    _check(amount_minor, currency)
    name = f"{buyer_id}.cr.{reference}"
    for known in ledger.transactions_of(tx, gene_of(buyer_id), f"{buyer_id}.cr"):
        if known.transaction_id == name:
            if (known.amount_minor, known.currency) != (amount_minor, currency):
                raise Refusal(
                    "stored.issue_differs", f"{reference} issued {known.amount_minor}.", field="reference"
                )
            return StoredBalance(currency, balance_of(tx, buyer_id, currency))
    _move(tx, buyer_id, name, ISSUED, amount_minor, currency, at_ms)
    return StoredBalance(currency, balance_of(tx, buyer_id, currency))


def balances_of(tx: Tx, owner_id: str) -> tuple[StoredBalance, ...]:
    """What an owner has, by currency."""
    return tuple(StoredBalance(currency, amount) for currency, amount in store.stored_values(tx, owner_id))


def balance_of(tx: Tx, owner_id: str, currency: str) -> int:
    """What an owner has of one currency, in minor units."""
    return dict(store.stored_values(tx, owner_id)).get(currency, 0)


def spend(tx: Tx, owner_id: str, name: str, amount_minor: int, currency: str, at_ms: int) -> bool:
    """Take money off an owner's account to the provider's; False, and nothing changed, when there is too little."""
    if not _take(tx, owner_id, currency, amount_minor):
        return False
    account = f"provider:{PROVIDER}"
    ledger.append(
        tx, [_transaction(owner_id, name, f"stored:{owner_id}", account, amount_minor, currency, at_ms)]
    )
    return True


def give_back(tx: Tx, owner_id: str, name: str, amount_minor: int, currency: str, at_ms: int) -> None:
    """Bring money of the provider's back to an owner's account."""
    _move(tx, owner_id, name, f"provider:{PROVIDER}", amount_minor, currency, at_ms)


def credit_redeemed(tx: Tx, rows: Sequence[EventRow]) -> None:
    """What was on gift cards arrives at the store credit of their buyers."""
    for row in rows:
        fact: StoredValueRedeemed = row.data()
        receive_card(tx, fact.card_id, fact.buyer_id, fact.amount_minor, fact.currency, row.at_ms)


def receive_card(tx: Tx, card_id: str, buyer_id: str, amount_minor: int, currency: str, at_ms: int) -> None:
    """What was on a redeemed card arrives, once: with its event, or sooner where a checkout waits for it."""
    name = f"{card_id}.arrive"
    if any(known.transaction_id == name for known in ledger.transactions_of(tx, gene_of(buyer_id), card_id)):
        return
    try:
        _move(tx, buyer_id, name, TRANSIT, amount_minor, currency, at_ms)
    except Refusal as refusal:
        if refusal.code != "ledger.transaction_conflict":
            raise
        raise Refusal("version.conflict", "It arrived by another writer meanwhile.") from refusal


CONSUMERS = [
    Consumer(
        "payments.stored_value",
        ("stored_value.redeemed.v1",),
        credit_redeemed,
        lambda row: [gene_of(row.buyer_id)],
    )
]


def find_drift(tx: Tx) -> list[str]:
    """Owners of this shard whose guard says something else than the ledger: it reads every row."""
    booked = {
        (account.removeprefix("stored:"), currency): -one.posted_minor
        for (account, currency), one in ledger.account_balances(tx).items()
        if account.startswith("stored:")
    }
    guarded = {(owner, currency): amount for owner, currency, amount in store.all_stored_values(tx)}
    return [
        f"{owner} {currency}: guard {guarded.get((owner, currency), 0)}, ledger {booked.get((owner, currency), 0)}"
        for owner, currency in sorted({*booked, *guarded})
        if guarded.get((owner, currency), 0) != booked.get((owner, currency), 0)
        or guarded.get((owner, currency), 0) < 0
    ]


def _take(tx: Tx, owner_id: str, currency: str, amount_minor: int) -> bool:
    return store.take_stored(tx, owner_id, currency, amount_minor)


def _move(
    tx: Tx, owner_id: str, name: str, source: str, amount_minor: int, currency: str, at_ms: int
) -> None:
    """Money from somewhere to an owner's account, counted by its guard in the same commit."""
    store.add_stored(tx, owner_id, currency, amount_minor)
    ledger.append(
        tx, [_transaction(owner_id, name, source, f"stored:{owner_id}", amount_minor, currency, at_ms)]
    )


def _transaction(
    owner_id: str, name: str, source: str, target: str, amount_minor: int, currency: str, at_ms: int
) -> Transaction:
    return Transaction(
        transaction_id=name,
        gene=gene_of(owner_id),
        kind=TransactionKind.STORED_VALUE,
        currency=currency,
        entries=(Entry(source, amount_minor), Entry(target, -amount_minor)),
        reference=owner_id,
        at_ms=at_ms,
    )


def _check(amount_minor: int, currency: str) -> None:
    exponent_of(currency)
    if not 0 < amount_minor <= AMOUNT_MAX_MINOR:
        raise Refusal(
            "stored.amount_invalid",
            f"{amount_minor} cannot be stored.",
            field="amount_minor",
            expected=f"1 to {AMOUNT_MAX_MINOR}",
        )


def _card_used(card_id: str) -> Refusal:
    return Refusal("stored.card_used", f"{card_id} was redeemed.", field="code")


def _card_unknown() -> Refusal:
    return Refusal("stored.card_unknown", "There is no gift card with this code.", field="code")
