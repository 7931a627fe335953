"""The only SQL of invoicing. Everything lies on the seller's gene."""

from __future__ import annotations

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.trade.invoicing.model import Invoice, LegalParty

_decode = msgspec.json.Decoder(Invoice).decode
_encode = msgspec.json.Encoder().encode
_party = msgspec.json.Decoder(LegalParty).decode


def draw_number(tx: Tx, seller_id: str, series: str) -> int:
    """The next number of a series, locked until the commit that uses it."""
    key = (gene_of(seller_id), seller_id, series)
    moved = tx.execute(
        "UPDATE invoice_counters SET last = last + 1 WHERE gene = ? AND seller_id = ? AND series = ?", key
    )
    if not moved:
        tx.execute("INSERT INTO invoice_counters (gene, seller_id, series, last) VALUES (?,?,?,1)", key)
        return 1
    last: int = tx.query(
        "SELECT last FROM invoice_counters WHERE gene = ? AND seller_id = ? AND series = ?", key
    )[0][0]
    return last


def insert(tx: Tx, invoice: Invoice, series: str, count: int) -> None:
    """Write a document. Raises Taken when its source has one."""
    tx.execute(
        "INSERT INTO invoices (gene, seller_id, series, count, invoice_id, order_id, source, issued_at_ms, body)"
        " VALUES (?,?,?,?,?,?,?,?,?)",
        (
            gene_of(invoice.seller_id),
            invoice.seller_id,
            series,
            count,
            invoice.invoice_id,
            invoice.order_id,
            invoice.source,
            invoice.issued_at_ms,
            _encode(invoice),
        ),
    )


def by_source(tx: Tx, seller_id: str, source: str) -> Invoice | None:
    """The document made for this source, if it was."""
    rows = tx.query("SELECT body FROM invoices WHERE gene = ? AND source = ?", (gene_of(seller_id), source))
    return _decode(rows[0][0]) if rows else None


def by_id(tx: Tx, invoice_id: str) -> Invoice | None:
    """The document with this id."""
    rows = tx.query(
        "SELECT body FROM invoices WHERE gene = ? AND invoice_id = ?", (gene_of(invoice_id), invoice_id)
    )
    return _decode(rows[0][0]) if rows else None


def of_order(tx: Tx, seller_id: str, order_id: str) -> list[Invoice]:
    """The documents of an order in the order they were issued."""
    rows = tx.query(
        "SELECT body FROM invoices WHERE gene = ? AND order_id = ?", (gene_of(seller_id), order_id)
    )
    found = [_decode(row[0]) for row in rows]
    return sorted(
        found, key=lambda invoice: (invoice.issued_at_ms, invoice.kind != "invoice", invoice.number)
    )


def of_seller(tx: Tx, seller_id: str, series: str, after: int, limit: int) -> list[tuple[int, Invoice]]:
    """(number, document) of a series behind a number, in order."""
    rows = tx.query(
        "SELECT count, body FROM invoices WHERE gene = ? AND seller_id = ? AND series = ? AND count > ?"
        " ORDER BY count LIMIT ?",
        (gene_of(seller_id), seller_id, series, after, limit),
    )
    return [(row[0], _decode(row[1])) for row in rows]


def find_party(tx: Tx, seller_id: str) -> tuple[LegalParty | None, int]:
    """The seller's legal party and its version, (None, 0) before it was entered."""
    rows = tx.query(
        "SELECT body, version FROM legal_parties WHERE gene = ? AND seller_id = ?",
        (gene_of(seller_id), seller_id),
    )
    return (_party(rows[0][0]), rows[0][1]) if rows else (None, 0)


def put_party(tx: Tx, seller_id: str, party: LegalParty, before: int) -> None:
    """Write it over this version. Raises Refusal `version.conflict` when another one stands."""
    if before:
        moved = tx.execute(
            "UPDATE legal_parties SET body = ?, version = ? WHERE gene = ? AND seller_id = ? AND version = ?",
            (_encode(party), before + 1, gene_of(seller_id), seller_id, before),
        )
        if not moved:
            raise Refusal("version.conflict", "The legal party was changed meanwhile.")
        return
    tx.execute(
        "INSERT INTO legal_parties (gene, seller_id, version, body) VALUES (?,?,1,?)",
        (gene_of(seller_id), seller_id, _encode(party)),
    )
