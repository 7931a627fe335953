"""The SQL of carts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.trade.cart.model import DAY_MS, Cart

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Cart).decode


def read(tx: Tx, cart_ids: Iterable[str]) -> dict[str, Cart]:
    """The carts that exist, by id."""
    rows = tx.query_keys(
        "SELECT body FROM carts WHERE {keys}",
        ("gene", "cart_id"),
        [(gene_of(cart_id), cart_id) for cart_id in cart_ids],
    )
    carts = [_decode(body) for (body,) in rows]
    return {cart.cart_id: cart for cart in carts}


def read_of_buyer(tx: Tx, buyer_id: str, limit: int) -> list[Cart]:
    """A buyer's carts, newest id first."""
    rows = tx.query(
        "SELECT body FROM carts WHERE gene = ? AND buyer_id = ? ORDER BY cart_id DESC LIMIT ?",
        (gene_of(buyer_id), buyer_id, limit),
    )
    return [_decode(body) for (body,) in rows]


def insert(tx: Tx, carts: Sequence[Cart]) -> None:
    """New carts. Raises Taken for one that exists."""
    tx.execute_many(
        "INSERT INTO carts (state, version, updated_at_ms, updated_day, body, buyer_id, gene, cart_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(*_columns(cart), cart.buyer_id, gene_of(cart.cart_id), cart.cart_id) for cart in carts],
    )


def update(tx: Tx, carts: Sequence[tuple[Cart, int]]) -> bool:
    """Write carts over the versions they were read at; False when one of them has moved on meanwhile."""
    matched = tx.execute_many(
        "UPDATE carts SET state = ?, version = ?, updated_at_ms = ?, updated_day = ?, body = ?"
        " WHERE gene = ? AND cart_id = ? AND version = ?",
        [(*_columns(cart), gene_of(cart.cart_id), cart.cart_id, version) for cart, version in carts],
    )
    return matched == len(carts)


def _columns(cart: Cart) -> tuple[str, int, int, int, bytes]:
    return cart.state, cart.version, cart.updated_at_ms, cart.updated_at_ms // DAY_MS, _encode(cart)


def read_older(tx: Tx, before_day: int, limit: int) -> list[tuple[int, str]]:
    """(gene, cart_id) of carts of this shard untouched since before a day."""
    rows = tx.query(
        "SELECT gene, cart_id FROM carts WHERE updated_day < ? ORDER BY updated_day LIMIT ?",
        (before_day, limit),
    )
    return [(gene, cart_id) for gene, cart_id in rows]


def delete_older(tx: Tx, keys: Sequence[tuple[int, str]], before_day: int) -> int:
    """Delete those of the carts that are still untouched; how many."""
    return tx.execute_many(
        "DELETE FROM carts WHERE gene = ? AND cart_id = ? AND updated_day < ?",
        [(gene, cart_id, before_day) for gene, cart_id in keys],
    )
