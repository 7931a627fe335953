"""The SQL of seals."""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.kernel.tx import Row, Tx
from tradepost.trade.ledger.seals.rules import Seal, Tally

_SEAL = "gene, day, row_count, row_sum, previous, digest, at_ms"


def all_seals(tx: Tx) -> list[Seal]:
    """Every seal of this shard, by gene and day."""
    return [Seal(*row) for row in tx.query(f"SELECT {_SEAL} FROM journal_seals ORDER BY gene, day")]


def insert_seals(tx: Tx, seals: Sequence[Seal]) -> None:
    """Append seals. Raises Taken when a day is sealed already."""
    tx.execute_many(
        f"INSERT INTO journal_seals ({_SEAL}) VALUES (?,?,?,?,?,?,?)",
        [(s.gene, s.day, s.row_count, s.row_sum, s.previous, s.digest, s.at_ms) for s in seals],
    )


def sealed_days(tx: Tx, keys: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of the (gene, day) pairs that are sealed."""
    rows = tx.query_keys("SELECT gene, day FROM journal_seals WHERE {keys}", ("gene", "day"), keys)
    return {(row[0], row[1]) for row in rows}


def departed(tx: Tx) -> dict[tuple[int, int], Tally]:
    """What left by (gene, day)."""
    rows: list[Row] = tx.query("SELECT gene, day, row_count, row_sum FROM journal_departed")
    return {(row[0], row[1]): Tally(row[2], int(row[3], 16)) for row in rows}


def add_departed(tx: Tx, left: dict[tuple[int, int], Tally]) -> None:
    """Count rows as gone, on top of what went before."""
    rows = tx.query_keys(
        "SELECT gene, day, row_count, row_sum FROM journal_departed WHERE {keys}",
        ("gene", "day"),
        list(left),
        lock=True,
    )
    known = {(row[0], row[1]): Tally(row[2], int(row[3], 16)) for row in rows}
    sums = {key: known.get(key, Tally()).plus(tally) for key, tally in left.items()}
    tx.execute_many(
        "INSERT INTO journal_departed (gene, day, row_count, row_sum) VALUES (?,?,?,?)",
        [(*key, tally.count, tally.written()) for key, tally in sums.items() if key not in known],
    )
    tx.execute_many(
        "UPDATE journal_departed SET row_count = ?, row_sum = ? WHERE gene = ? AND day = ?",
        [(tally.count, tally.written(), *key) for key, tally in sums.items() if key in known],
    )
