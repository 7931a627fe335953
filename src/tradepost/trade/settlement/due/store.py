"""The SQL of what is due by order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Row, Tx
from tradepost.trade.settlement.model import Body, Settlement

PAGE_ROWS = 2_000
_SETTLEMENT = "order_id, party_id, market, currency, state, due_at_ms, version, body"
_encode = msgspec.json.Encoder().encode
_body = msgspec.json.Decoder(Body).decode


def find_settlements(tx: Tx, order_ids: Sequence[str]) -> dict[str, Settlement]:
    """By order id, locked; unknown ones are left out."""
    keys = [(gene_of(each), each) for each in dict.fromkeys(order_ids)]
    sql = f"SELECT {_SETTLEMENT} FROM settlements WHERE {{keys}}"
    rows = tx.query_keys(sql, ("gene", "order_id"), keys, lock=True)
    return {row[0]: _settlement(row) for row in rows}


def _settlement(row: Row) -> Settlement:
    return Settlement(
        order_id=row[0],
        party_id=row[1],
        market=row[2],
        currency=row[3],
        state=row[4],
        due_at_ms=row[5],
        version=row[6],
        body=_body(row[7]),
    )


def insert_settlements(tx: Tx, fresh: Sequence[Settlement]) -> None:
    """New rows in one statement."""
    sql = f"INSERT INTO settlements (gene, {_SETTLEMENT}) VALUES (?,?,?,?,?,?,?,?,?)"
    tx.execute_many(
        sql,
        [
            (
                *(gene_of(s.order_id), s.order_id, s.party_id, s.market, s.currency),
                *(s.state, s.due_at_ms, s.version, _encode(s.body)),
            )
            for s in fresh
        ],
    )


def update_settlements(tx: Tx, changed: Sequence[tuple[int, Settlement]]) -> None:
    """(version before, row after) each. Raises Refusal `version.conflict` when one moved."""
    sql = (
        "UPDATE settlements SET state = ?, due_at_ms = ?, version = ?, body = ?"
        " WHERE gene = ? AND order_id = ? AND version = ?"
    )
    rows = [
        (s.state, s.due_at_ms, s.version, _encode(s.body), gene_of(s.order_id), s.order_id, before)
        for before, s in changed
    ]
    if tx.execute_many(sql, rows) != len(rows):
        raise Refusal("version.conflict", "A settlement was changed meanwhile.")


def due_settlements(tx: Tx, now_ms: int, limit: int) -> list[str]:
    """Order ids whose money is due, longest first."""
    rows = tx.query(
        "SELECT order_id FROM settlements WHERE due_at_ms > 0 AND due_at_ms <= ? ORDER BY due_at_ms LIMIT ?",
        (now_ms, limit),
    )
    return [row[0] for row in rows]


def overdue(tx: Tx, before_ms: int, limit: int = 10_000) -> list[tuple[str, int]]:
    """(order, due at) of what was due before a moment, and of what was set aside, longest first."""
    rows = tx.query(
        "SELECT order_id, due_at_ms FROM settlements WHERE due_at_ms > 0 AND due_at_ms < ?"
        " ORDER BY due_at_ms LIMIT ?",
        (before_ms, limit),
    )
    aside = tx.query(
        "SELECT order_id, due_at_ms FROM settlements WHERE state = 'WAITING' AND due_at_ms = 0 LIMIT ?",
        (limit,),
    )
    return [(row[0], row[1]) for row in [*rows, *aside]]


def all_settlements(tx: Tx) -> Iterator[Settlement]:
    """Every settlement of this shard in order of its key."""
    gene, after = -1, ""
    while True:
        rows = tx.query(
            f"SELECT gene, {_SETTLEMENT} FROM settlements WHERE gene >= ? AND (gene > ? OR order_id > ?)"
            " ORDER BY gene, order_id LIMIT ?",
            (gene, gene, after, PAGE_ROWS),
        )
        yield from (_settlement(row[1:]) for row in rows)
        if len(rows) < PAGE_ROWS:
            return
        gene, after = rows[-1][0], rows[-1][1]
