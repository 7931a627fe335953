"""When a transaction is sound, what it adds to its accounts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.trade.ledger.model import (
    ACCOUNTS,
    GUARDED,
    PENDING,
    POSTED,
    VOIDED,
    Balance,
    Pending,
    Transaction,
)

Key = tuple[int, str]
"""(gene, transaction_id)."""

_STATES = frozenset({PENDING, POSTED, VOIDED})
ID_LETTERS_MAX = 64
"""What the column takes; SQLite would take more, MySQL would refuse it in the middle of a refund."""


def find_fault(transaction: Transaction) -> Refusal | None:
    """Why a transaction is not sound by itself, or None."""
    if max(len(transaction.transaction_id), len(transaction.pending_id)) > ID_LETTERS_MAX:
        return _refuse("ledger.id_too_long", transaction, f"An id of more than {ID_LETTERS_MAX} letters.")
    total = 0
    for entry in transaction.entries:
        total += entry.amount_minor
        kind, colon, name = entry.account.partition(":")
        if kind not in ACCOUNTS or not colon or not name:
            return _refuse("ledger.account_unknown", transaction, f"{entry.account!r} is no account.")
    if total or not transaction.entries:
        return _refuse("ledger.unbalanced", transaction, f"The entries sum to {total}.")
    wants_pending = transaction.state == VOIDED
    if (
        transaction.state not in _STATES
        or (wants_pending and not transaction.pending_id)
        or (transaction.state == PENDING and transaction.pending_id)
    ):
        return _refuse(
            "ledger.state_invalid",
            transaction,
            f"state {transaction.state!r} with pending_id {transaction.pending_id!r}",
        )
    return None


def select_new(transactions: Sequence[Transaction], known: Mapping[Key, Transaction]) -> list[Transaction]:
    """The sound transactions that are not there yet, once each.

    Raises Refusal `ledger.unbalanced`, `.account_unknown`, `.state_invalid`, or `.transaction_conflict` when an
    id is there with other content; only the moment may differ.
    """
    fresh: dict[Key, Transaction] = {}
    for transaction in transactions:
        fault = find_fault(transaction)
        if fault is not None:
            raise fault
        key = (transaction.gene, transaction.transaction_id)
        there = known.get(key) or fresh.get(key)
        if there is None:
            fresh[key] = transaction
        elif msgspec.structs.replace(there, at_ms=transaction.at_ms) != transaction:
            raise _refuse("ledger.transaction_conflict", transaction, "It exists with other content.")
    return list(fresh.values())


def resolve(
    resolving: Iterable[Transaction],
    pending: Mapping[Key, Pending],
    originals: Mapping[Key, Transaction],
) -> dict[Key, int]:
    """How much each pending transaction is resolved by these.

    Raises Refusal `ledger.pending_unknown` or `ledger.pending_exceeded` (extra left_minor).
    """
    added: dict[Key, int] = {}
    for transaction in resolving:
        key = (transaction.gene, transaction.pending_id)
        waiting, original = pending.get(key), originals.get(key)
        if waiting is None or original is None or original.currency != transaction.currency:
            raise _refuse(
                "ledger.pending_unknown", transaction, f"{transaction.pending_id} is not pending here."
            )
        left = waiting.amount_minor - waiting.resolved_minor - added.get(key, 0)
        if transaction.amount_minor > left:
            raise _refuse(
                "ledger.pending_exceeded",
                transaction,
                f"{transaction.amount_minor} is more than the {left} left of {transaction.pending_id}.",
                left_minor=left,
            )
        added[key] = added.get(key, 0) + transaction.amount_minor
    return added


def floor_moves(transactions: Iterable[Transaction]) -> dict[tuple[int, str, str], int]:
    """By how much posted entries change what is owed on guarded accounts, by (gene, account, currency)."""
    moves: dict[tuple[int, str, str], int] = {}
    for t in transactions:
        for entry in t.entries:
            if entry.account.startswith(GUARDED) and t.state == POSTED:
                key = (t.gene, entry.account, t.currency)
                moves[key] = moves.get(key, 0) - entry.amount_minor
    return moves


def balances(transactions: Iterable[Transaction]) -> dict[tuple[str, str], Balance]:
    """Balances by (account, currency). A row that resolves a pending one takes its own entries off pending."""
    sums: dict[tuple[str, str], list[int]] = {}
    for transaction in transactions:
        for entry in transaction.entries:
            pair = sums.setdefault((entry.account, transaction.currency), [0, 0])
            if transaction.state == POSTED:
                pair[0] += entry.amount_minor
            if transaction.state == PENDING:
                pair[1] += entry.amount_minor
            elif transaction.pending_id:
                pair[1] -= entry.amount_minor
    return {key: Balance(*key, posted, pending) for key, (posted, pending) in sorted(sums.items())}


def amount_on(transaction: Transaction, account_kind: str) -> int:
    """The sum of a transaction's entries on accounts of one kind, minor units, debit positive."""
    start = account_kind + ":"
    return sum(entry.amount_minor for entry in transaction.entries if entry.account.startswith(start))


def refuse_taken(transactions: Sequence[Transaction]) -> Refusal:
    """The refusal of new movements of which one is there already."""
    return _refuse("ledger.transaction_conflict", transactions[0], "It or one written with it exists.")


def _refuse(code: str, transaction: Transaction, detail: str, **extra: int) -> Refusal:
    return Refusal(
        code,
        f"Transaction {transaction.transaction_id}: {detail}",
        extra={"transaction_id": transaction.transaction_id, **extra},
    )
