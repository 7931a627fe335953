"""The only SQL of aftersales."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.trade.aftersales.model import Return

_decode = msgspec.json.Decoder(Return).decode
_encode = msgspec.json.Encoder().encode


def insert_return(tx: Tx, item: Return) -> None:
    """Raises Taken when the id is known."""
    tx.execute(
        "INSERT INTO returns (gene, return_id, order_id, version, deadline_at_ms, body) VALUES (?,?,?,?,?,?)",
        (
            gene_of(item.return_id),
            item.return_id,
            item.order_id,
            item.version,
            item.deadline_at_ms,
            _encode(item),
        ),
    )


def update_returns(tx: Tx, changed: Sequence[tuple[int, Return]]) -> None:
    """One statement for all (version before, return after). Raises Refusal `version.conflict` when one moved."""
    matched = tx.execute_many(
        "UPDATE returns SET version=?, deadline_at_ms=?, body=? WHERE gene=? AND return_id=? AND version=?",
        [
            (
                item.version,
                item.deadline_at_ms,
                _encode(item),
                gene_of(item.return_id),
                item.return_id,
                before,
            )
            for before, item in changed
        ],
    )
    if matched != len(changed):
        raise Refusal("version.conflict", "A return was changed meanwhile.")


def find_returns(tx: Tx, return_ids: Sequence[str]) -> list[Return]:
    """Returns with these ids; unknown ones are left out."""
    keys = [(gene_of(return_id), return_id) for return_id in return_ids]
    rows = tx.query_keys("SELECT body FROM returns WHERE {keys}", ("gene", "return_id"), keys)
    return [_decode(row[0]) for row in rows]


def returns_of_order(tx: Tx, order_id: str) -> list[Return]:
    """The returns of an order, oldest first."""
    rows = tx.query(  # sorted here: asked to sort, SQLite takes the primary key and reads the whole gene
        "SELECT body FROM returns WHERE gene=? AND order_id=?", (gene_of(order_id), order_id)
    )
    return sorted((_decode(row[0]) for row in rows), key=lambda item: item.return_id)


def due_returns(tx: Tx, now_ms: int, limit: int) -> list[str]:
    """Cases of this shard whose state ends by itself before now, longest overdue first."""
    rows = tx.query(
        "SELECT return_id FROM returns WHERE deadline_at_ms > 0 AND deadline_at_ms <= ?"
        " ORDER BY deadline_at_ms LIMIT ?",
        (now_ms, limit),
    )
    return [row[0] for row in rows]
