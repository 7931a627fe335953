"""The only SQL of shipping: terms on their seller's gene."""

from __future__ import annotations

import msgspec

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Row, Tx
from tradepost.trade.shipping.model import StoredTerms, Terms

_SELECT = (
    "SELECT document, version, author, updated_at_ms FROM shipping_terms WHERE gene = ? AND seller_id = ?"
)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Terms).decode


def _stored(row: Row) -> StoredTerms:
    return StoredTerms(terms=_decode(row[0]), version=row[1], author=row[2], updated_at_ms=row[3])


def select_terms(tx: Tx, seller_id: str) -> list[StoredTerms]:
    """A seller's terms in order of currency."""
    rows = tx.query(f"{_SELECT} ORDER BY currency", (gene_of(seller_id), seller_id))
    return [_stored(row) for row in rows]


def insert_terms(tx: Tx, stored: StoredTerms) -> None:
    """Terms of a currency that had none. Raises Taken when it has some."""
    terms = stored.terms
    tx.execute(
        "INSERT INTO shipping_terms (gene, seller_id, currency, version, document, author, updated_at_ms)"
        " VALUES (?,?,?,?,?,?,?)",
        (
            gene_of(terms.seller_id),
            terms.seller_id,
            terms.currency,
            stored.version,
            _encode(terms),
            stored.author,
            stored.updated_at_ms,
        ),
    )


def update_terms(tx: Tx, stored: StoredTerms) -> int:
    """Write terms whose version counts one more than their row's; rows matched."""
    terms = stored.terms
    return tx.execute(
        "UPDATE shipping_terms SET version = ?, document = ?, author = ?, updated_at_ms = ?"
        " WHERE gene = ? AND seller_id = ? AND currency = ? AND version = ?",
        (
            *(stored.version, _encode(terms), stored.author, stored.updated_at_ms),
            *(gene_of(terms.seller_id), terms.seller_id, terms.currency, stored.version - 1),
        ),
    )


def delete_terms(tx: Tx, seller_id: str, currency: str) -> int:
    """Take a seller's terms of a currency away; rows matched."""
    return tx.execute(
        "DELETE FROM shipping_terms WHERE gene = ? AND seller_id = ? AND currency = ?",
        (gene_of(seller_id), seller_id, currency),
    )
