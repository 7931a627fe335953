"""What others may do with the ledger: post, and ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tradepost.kernel.tx import Taken, Tx
from tradepost.trade.ledger import rules, store
from tradepost.trade.ledger.model import PENDING, POSTED, Balance, Transaction, TransactionKind


def post(tx: Tx, transactions: Sequence[Transaction]) -> None:
    """Write movements of money, many at once: all of them or, by its Refusal, none.

    An id that is there with the same content is done already. Raises Refusal `ledger.unbalanced`,
    `.account_unknown`, `.state_invalid`, `.transaction_conflict`, and for those with a `pending_id`
    `.pending_unknown` and `.pending_exceeded`; for guarded accounts `.insufficient`.
    """
    if not transactions:
        return
    keys = {(t.gene, t.transaction_id): None for t in transactions}
    _write(tx, rules.select_new(transactions, store.find(tx, list(keys))))


def append(tx: Tx, transactions: Sequence[Transaction]) -> None:
    """Write movements that cannot be there yet, because a guarded row of the caller's counts them: `post` unasked.

    Raises what `post` raises; an id that is there is `ledger.transaction_conflict`, whatever it says.
    """
    try:
        _write(tx, rules.select_new(transactions, {}))
    except Taken as taken:
        raise rules.refuse_taken(transactions) from taken


def _write(tx: Tx, fresh: Sequence[Transaction]) -> None:
    store.insert(tx, fresh)
    moves = rules.floor_moves(fresh)
    if moves:
        store.move_floors(tx, moves)
    opened = [t for t in fresh if t.state == PENDING]
    if opened:
        store.insert_pending(tx, opened)
    resolving = [t for t in fresh if t.pending_id]
    if resolving:
        named = list({(t.gene, t.pending_id): None for t in resolving})
        store.resolve(tx, rules.resolve(resolving, store.find_pending(tx, named), store.find(tx, named)))


def transactions_of(tx: Tx, gene: int, prefix: str) -> list[Transaction]:
    """The transactions whose id begins with `<prefix>.`, such as a payment id, in order of id."""
    return store.starting_with(tx, gene, prefix)


def all_transactions(tx: Tx) -> Iterator[Transaction]:
    """Every row of this shard's journal in order of its key, some thousands in memory at a time."""
    return store.scan(tx)


def account_balances(tx: Tx) -> dict[tuple[str, str], Balance]:
    """Balances by (account, currency) of this shard, aggregated from its journal: it reads every row."""
    return rules.balances(store.scan(tx))


def captured_by_payment(tx: Tx) -> dict[str, int]:
    """Minor units taken by posted captures, by reference (the payment id), on this shard."""
    return _provider_amounts(tx, TransactionKind.CAPTURE, 1)


def refunded_by_payment(tx: Tx) -> dict[str, int]:
    """Minor units given back by posted refunds, by reference (the payment id), on this shard."""
    return _provider_amounts(tx, TransactionKind.REFUND, -1)


def _provider_amounts(tx: Tx, kind: str, sign: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for t in store.scan(tx):
        if t.kind == kind and t.state == POSTED:
            found[t.reference] = found.get(t.reference, 0) + sign * rules.amount_on(t, "provider")
    return found
