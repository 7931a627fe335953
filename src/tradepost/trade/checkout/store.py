"""The only SQL of checkout."""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.events import idempotency
from tradepost.events.idempotency import Kept
from tradepost.kernel.ids import first_id_at, gene_of
from tradepost.kernel.tx import Row, Tx

PLACED_STATUS = 201
QUOTE_LIFE_MAX_MS = 86_400_000
_COLUMNS = "buyer_id, checkout_id, state, quote_hash, placed_at_ms, body"


def find_checkouts(tx: Tx, keys: Sequence[tuple[str, str]]) -> dict[str, Row]:
    """Rows by checkout id for (buyer id, checkout id) pairs; unknown ones are left out."""
    rows = tx.query_keys(
        f"SELECT {_COLUMNS} FROM checkouts WHERE {{keys}}",
        ("gene", "buyer_id", "checkout_id"),
        [(gene_of(buyer_id), buyer_id, checkout_id) for buyer_id, checkout_id in keys],
    )
    return {row[1]: row for row in rows}


def insert_checkouts(tx: Tx, rows: Sequence[tuple[str, str, str, str, int, bytes]]) -> None:
    """Insert rows of (buyer, checkout, state, quote hash, placed at, body). Raises Taken for a known one."""
    tx.execute_many(
        "INSERT INTO checkouts (gene, buyer_id, checkout_id, state, quote_hash, placed_at_ms, body)"
        " VALUES (?,?,?,?,?,?,?)",
        [(gene_of(row[0]), *row) for row in rows],
    )


def count_since(tx: Tx, buyer_ids: Sequence[str], since_ms: int) -> dict[str, int]:
    """How many checkouts each buyer placed since a moment.

    Ids sort by the moment of the quote, so the range of the key starts a quote's longest life earlier.
    """
    rows = tx.query_keys(
        "SELECT buyer_id, COUNT(*) FROM checkouts"
        " WHERE checkout_id >= ? AND placed_at_ms >= ? AND state = 'PLACED' AND {keys} GROUP BY gene, buyer_id",
        ("gene", "buyer_id"),
        [(gene_of(buyer_id), buyer_id) for buyer_id in buyer_ids],
        (first_id_at("chk", 0, since_ms - QUOTE_LIFE_MAX_MS), since_ms),
    )
    return dict(rows)


def list_checkouts(tx: Tx, buyer_id: str, before: str, limit: int) -> list[Row]:
    """A buyer's checkouts, newest first, older than the id `before` ("" starts at the newest)."""
    return tx.query(
        f"SELECT {_COLUMNS} FROM checkouts WHERE gene = ? AND buyer_id = ? AND checkout_id < ? AND state = 'PLACED'"
        " ORDER BY checkout_id DESC LIMIT ?",
        (gene_of(buyer_id), buyer_id, before or "chk_~", limit),
    )


def find_keys(tx: Tx, keys: Sequence[tuple[int, str, str]]) -> dict[tuple[str, str], list[str]]:
    """(scope, key) to [request hash, buyer id, checkout id] for the idempotency keys that placed something."""
    return {
        name: [kept.request_hash, *kept.response.decode().split()]
        for name, kept in idempotency.find_all(tx, keys).items()
    }


def insert_keys(tx: Tx, rows: Sequence[tuple[int, str, str, str, str, str, int]]) -> None:
    """Keep (gene, scope, key, request hash, buyer id, checkout id, at). Raises Taken for a known key."""
    idempotency.keep_all(
        tx,
        [
            Kept(gene, scope, key, hashed, PLACED_STATUS, f"{buyer_id} {checkout_id}".encode(), at_ms)
            for gene, scope, key, hashed, buyer_id, checkout_id, at_ms in rows
        ],
    )


def old_tombstones(tx: Tx, gene: int, before_ms: int, limit: int) -> list[Row]:
    """(gene, buyer id, checkout id) of one gene's tombstones from before a moment."""
    return tx.query(
        "SELECT gene, buyer_id, checkout_id FROM checkouts WHERE gene = ? AND state = 'TOMBSTONE'"
        " AND placed_at_ms < ? LIMIT ?",
        (gene, before_ms, limit),
    )


def delete_tombstones(tx: Tx, keys: Sequence[Row]) -> int:
    """Forget tombstones by key."""
    return tx.execute_many(
        "DELETE FROM checkouts WHERE gene = ? AND buyer_id = ? AND checkout_id = ? AND state = 'TOMBSTONE'",
        keys,
    )
