"""The SQL of stored value: guards of accounts, gift cards, and what paid for which payment."""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Taken, Tx


def stored_values(tx: Tx, owner_id: str) -> list[tuple[str, int]]:
    """(currency, minor units) of an owner's stored value."""
    rows = tx.query(
        "SELECT currency, balance_minor FROM stored_values WHERE gene = ? AND owner_id = ? ORDER BY currency",
        (gene_of(owner_id), owner_id),
    )
    return [(row[0], row[1]) for row in rows]


def lock_stored(tx: Tx, owners: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Minor units by (owner, currency), held until the commit; who has none is left out."""
    keys = [(gene_of(owner_id), owner_id, currency) for owner_id, currency in owners]
    sql = "SELECT owner_id, currency, balance_minor FROM stored_values WHERE {keys}"
    rows = tx.query_keys(sql, ("gene", "owner_id", "currency"), keys, lock=True)
    return {(row[0], row[1]): row[2] for row in rows}


def all_stored_values(tx: Tx) -> list[tuple[str, str, int]]:
    """(owner, currency, minor units) of every account of this shard: for proofs."""
    return [
        (row[0], row[1], row[2])
        for row in tx.query("SELECT owner_id, currency, balance_minor FROM stored_values ORDER BY owner_id")
    ]


def take_stored(tx: Tx, owner_id: str, currency: str, amount_minor: int) -> bool:
    """Take from an account what it has; False when it has less."""
    matched = tx.execute(
        "UPDATE stored_values SET balance_minor = balance_minor - ?"
        " WHERE gene = ? AND owner_id = ? AND currency = ? AND balance_minor >= ?",
        (amount_minor, gene_of(owner_id), owner_id, currency, amount_minor),
    )
    return matched == 1


def add_stored(tx: Tx, owner_id: str, currency: str, amount_minor: int) -> None:
    """Add to an account, which the first amount opens."""
    matched = tx.execute(
        "UPDATE stored_values SET balance_minor = balance_minor + ? WHERE gene = ? AND owner_id = ? AND currency = ?",
        (amount_minor, gene_of(owner_id), owner_id, currency),
    )
    if matched:
        return
    try:
        tx.execute(
            "INSERT INTO stored_values (gene, owner_id, currency, balance_minor) VALUES (?,?,?,?)",
            (gene_of(owner_id), owner_id, currency, amount_minor),
        )
    except Taken:
        raise Refusal("version.conflict", "The account was opened by another writer meanwhile.") from None


def find_card(tx: Tx, card_id: str) -> bytes | None:
    """The body of a gift card."""
    keys = [(gene_of(card_id), card_id)]
    rows = tx.query_keys("SELECT body FROM gift_cards WHERE {keys}", ("gene", "card_id"), keys, lock=True)
    return rows[0][0] if rows else None


def write_card(tx: Tx, card_id: str, body: bytes) -> None:
    """A new card, or a changed one."""
    key = (gene_of(card_id), card_id)
    if not tx.execute("UPDATE gift_cards SET body = ? WHERE gene = ? AND card_id = ?", (body, *key)):
        tx.execute("INSERT INTO gift_cards (gene, card_id, body) VALUES (?,?,?)", (*key, body))


def find_tender(tx: Tx, payment_id: str) -> bytes | None:
    """The body of what stored value did for a payment."""
    keys = [(gene_of(payment_id), payment_id)]
    sql = "SELECT body FROM stored_tenders WHERE {keys}"
    rows = tx.query_keys(sql, ("gene", "payment_id"), keys, lock=True)
    return rows[0][0] if rows else None


def write_tender(tx: Tx, payment_id: str, body: bytes) -> None:
    """A new tender, or a changed one; the payment's row, which the caller holds or made first, keeps others out."""
    key = (gene_of(payment_id), payment_id)
    if not tx.execute("UPDATE stored_tenders SET body = ? WHERE gene = ? AND payment_id = ?", (body, *key)):
        tx.execute("INSERT INTO stored_tenders (gene, payment_id, body) VALUES (?,?,?)", (*key, body))
