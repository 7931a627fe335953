"""The SQL of the journal: rows are inserted and never changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Row, Tx
from tradepost.trade.ledger.model import Entry, Pending, Transaction
from tradepost.trade.ledger.rules import Key

PAGE_ROWS = 5_000
_COLUMNS = "gene, transaction_id, kind, state, currency, entries, reference, pending_id, at_ms"
BY_ID = f"SELECT {_COLUMNS} FROM journal WHERE {{keys}}"
BY_PREFIX = (
    f"SELECT {_COLUMNS} FROM journal WHERE gene = ? AND transaction_id >= ? AND transaction_id < ?"
    " ORDER BY transaction_id"
)
PAGE = (
    f"SELECT {_COLUMNS} FROM journal WHERE transaction_id >= ? AND (transaction_id > ? OR gene > ?)"
    " ORDER BY transaction_id, gene LIMIT ?"
)
PENDING_BY_ID = "SELECT gene, transaction_id, amount_minor, resolved_minor FROM journal_pending WHERE {keys}"
PAGE_BY_GENE = (
    f"SELECT {_COLUMNS} FROM journal WHERE gene >= ? AND (gene > ? OR transaction_id > ?)"
    " ORDER BY gene, transaction_id LIMIT ?"
)
_PENDING_PAGE = (
    "SELECT gene, transaction_id, amount_minor, resolved_minor FROM journal_pending"
    " WHERE gene >= ? AND (gene > ? OR transaction_id > ?) ORDER BY gene, transaction_id LIMIT ?"
)
_INSERT = f"INSERT INTO journal ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)"
_INSERT_PENDING = (
    "INSERT INTO journal_pending (gene, transaction_id, amount_minor, resolved_minor) VALUES (?,?,?,0)"
)
_RESOLVE = (
    "UPDATE journal_pending SET resolved_minor = resolved_minor + ? WHERE gene = ? AND transaction_id = ?"
    " AND resolved_minor + ? <= amount_minor"
)

_encode = msgspec.json.Encoder().encode
_entries = msgspec.json.Decoder(tuple[Entry, ...]).decode


def find(tx: Tx, keys: Sequence[Key]) -> dict[Key, Transaction]:
    """The transactions that are there of (gene, transaction_id) pairs."""
    rows = tx.query_keys(BY_ID, ("gene", "transaction_id"), keys)
    return {(row[0], row[1]): _read(row) for row in rows}


def starting_with(tx: Tx, gene: int, prefix: str) -> list[Transaction]:
    """Transactions whose id is the prefix, a dot and more, in order of id."""
    return [_read(row) for row in tx.query(BY_PREFIX, (gene, f"{prefix}.", f"{prefix}/"))]


def page(tx: Tx, after: tuple[str, int]) -> list[Transaction]:
    """A page of the journal behind a (transaction id, gene), in the order of this shard's key."""
    name, gene = after
    rows = (
        tx.query(PAGE, (name, name, gene, PAGE_ROWS))
        if tx.time_first
        else tx.query(PAGE_BY_GENE, (gene, gene, name, PAGE_ROWS))
    )
    return [_read(row) for row in rows]


def floors(tx: Tx) -> dict[tuple[str, str], int]:
    """What is owed on guarded accounts of this shard, by account and currency."""
    rows = tx.query(
        "SELECT account, currency, SUM(owed_minor) FROM account_floors GROUP BY account, currency"
    )
    return {(row[0], row[1]): int(row[2]) for row in rows}


def move_floors(tx: Tx, moves: Mapping[tuple[int, str, str], int]) -> None:
    """Change what is owed on guarded accounts. Raises Refusal `ledger.insufficient` where it would go below zero."""
    keys = sorted(moves)
    rows = tx.query_keys(
        "SELECT gene, account, currency FROM account_floors WHERE {keys}",
        ("gene", "account", "currency"),
        keys,
    )
    known = {(row[0], row[1], row[2]) for row in rows}
    fresh = [key for key in keys if key not in known]
    if fresh:
        tx.execute_many(
            "INSERT INTO account_floors (gene, account, currency, owed_minor) VALUES (?,?,?,0)", fresh
        )
    changed = [(moves[key], *key, moves[key]) for key in keys if moves[key]]
    if tx.execute_many(
        "UPDATE account_floors SET owed_minor = owed_minor + ? WHERE gene = ? AND account = ? AND currency = ?"
        " AND owed_minor + ? >= 0",
        changed,
    ) != len(changed):
        raise Refusal(
            "ledger.insufficient",
            f"One of {', '.join(key[1] for key in keys)[:120]} would owe less than nothing.",
        )


def scan(tx: Tx) -> Iterator[Transaction]:
    """Every transaction of this shard in order of its key, some thousands in memory at a time."""
    after, gene = "", -1
    while True:
        if tx.time_first:
            rows = tx.query(PAGE, (after, after, gene, PAGE_ROWS))
        else:
            rows = tx.query(PAGE_BY_GENE, (gene, gene, after, PAGE_ROWS))
        for row in rows:
            yield _read(row)
        if len(rows) < PAGE_ROWS:
            return
        gene, after = rows[-1][0], rows[-1][1]


def insert(tx: Tx, transactions: Iterable[Transaction]) -> None:
    """Append to the journal."""
    rows = [
        (
            *(t.gene, t.transaction_id, t.kind, t.state, t.currency, _encode(t.entries)),
            *(t.reference, t.pending_id, t.at_ms),
        )
        for t in transactions
    ]
    tx.execute_many(_INSERT, rows)


def insert_pending(tx: Tx, transactions: Iterable[Transaction]) -> None:
    """Remember how much of pending transactions can be resolved."""
    tx.execute_many(_INSERT_PENDING, [(t.gene, t.transaction_id, t.amount_minor) for t in transactions])


def find_pending(tx: Tx, keys: Sequence[Key]) -> dict[Key, Pending]:
    """What is left of pending transactions."""
    rows = tx.query_keys(PENDING_BY_ID, ("gene", "transaction_id"), keys)
    return {(row[0], row[1]): Pending(*row) for row in rows}


def all_pending(tx: Tx) -> Iterator[Pending]:
    """Every pending transaction of this shard, resolved ones too, in order of its key."""
    gene, after = -1, ""
    while True:
        rows = tx.query(_PENDING_PAGE, (gene, gene, after, PAGE_ROWS))
        yield from (Pending(*row) for row in rows)
        if len(rows) < PAGE_ROWS:
            return
        gene, after = rows[-1][0], rows[-1][1]


def resolve(tx: Tx, added: Mapping[Key, int]) -> None:
    """Count amounts as resolved. Raises Refusal `ledger.pending_exceeded` when another writer was faster."""
    rows = [(amount, *key, amount) for key, amount in sorted(added.items()) if amount]
    if tx.execute_many(_RESOLVE, rows) != len(rows):
        raise Refusal("ledger.pending_exceeded", "Another writer resolved it meanwhile.")


def _read(row: Row) -> Transaction:
    return Transaction(
        gene=row[0],
        transaction_id=row[1],
        kind=row[2],
        state=row[3],
        currency=row[4],
        entries=_entries(row[5]),
        reference=row[6],
        pending_id=row[7],
        at_ms=row[8],
    )
