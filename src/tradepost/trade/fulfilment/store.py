"""The only SQL of fulfilment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Row, Tx
from tradepost.trade.fulfilment.model import OPEN, Done, Fulfilment, NewFulfilment, OpenLine, Package

_COLUMNS = "order_id, buyer_id, seller_id, state, version, ship_by_at_ms, open_lines, done"
_lines = msgspec.json.Decoder(tuple[OpenLine, ...])
_done = msgspec.json.Decoder(tuple[Done, ...])
_package = msgspec.json.Decoder(Package)
_encode = msgspec.json.Encoder().encode


def known_orders(tx: Tx, order_ids: Iterable[str]) -> set[str]:
    """Those of the orders that have a fulfilment."""
    keys = [(gene_of(order_id), order_id) for order_id in order_ids]
    rows = tx.query_keys("SELECT order_id FROM fulfilments WHERE {keys}", ("gene", "order_id"), keys)
    return {row[0] for row in rows}


def insert_fulfilments(tx: Tx, works: Sequence[NewFulfilment]) -> None:
    """One statement for all. Raises Taken when an order has one already."""
    tx.execute_many(
        f"INSERT INTO fulfilments (gene, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)",
        [
            (
                gene_of(work.order_id),
                work.order_id,
                work.buyer_id,
                work.seller_id,
                OPEN,
                1,
                work.ship_by_at_ms,
                _encode(work.lines),
                b"",
            )
            for work in works
        ],
    )


def find_fulfilment(tx: Tx, order_id: str) -> Fulfilment | None:
    """The fulfilment of an order, None before its release."""
    rows = tx.query(
        f"SELECT {_COLUMNS} FROM fulfilments WHERE gene=? AND order_id=?", (gene_of(order_id), order_id)
    )
    return _fulfilment(rows[0]) if rows else None


def _fulfilment(row: Row) -> Fulfilment:
    lines = _lines.decode(row[6])
    return Fulfilment(
        order_id=row[0],
        buyer_id=row[1],
        seller_id=row[2],
        state=row[3],
        version=row[4],
        ship_by_at_ms=row[5],
        lines=lines,
        done=_done.decode(row[7]) if row[7] else (Done(),) * len(lines),
    )


def update_fulfilment(tx: Tx, before: int, work: Fulfilment) -> None:
    """Write state and counts. Raises Refusal `version.conflict` when it moved since version `before`."""
    matched = tx.execute(
        "UPDATE fulfilments SET state=?, version=?, done=? WHERE gene=? AND order_id=? AND version=?",
        (work.state, work.version, _encode(work.done), gene_of(work.order_id), work.order_id, before),
    )
    if matched != 1:
        raise Refusal("version.conflict", "The fulfilment was changed meanwhile.")


def insert_package(tx: Tx, package: Package) -> None:
    """Raises Taken when the id is known."""
    tx.execute(
        "INSERT INTO packages (gene, order_id, package_id, version, body) VALUES (?,?,?,?,?)",
        (
            gene_of(package.order_id),
            package.order_id,
            package.package_id,
            package.version,
            _encode(package),
        ),
    )


def update_package(tx: Tx, before: int, package: Package) -> None:
    """Write a package. Raises Refusal `version.conflict` when it moved since version `before`."""
    matched = tx.execute(
        "UPDATE packages SET version=?, body=? WHERE gene=? AND order_id=? AND package_id=? AND version=?",
        (
            package.version,
            _encode(package),
            gene_of(package.order_id),
            package.order_id,
            package.package_id,
            before,
        ),
    )
    if matched != 1:
        raise Refusal("version.conflict", "The package was changed meanwhile.")


def find_packages(tx: Tx, order_id: str) -> list[Package]:
    """The packages of an order, oldest first."""
    rows = tx.query(
        "SELECT body FROM packages WHERE gene=? AND order_id=? ORDER BY package_id",
        (gene_of(order_id), order_id),
    )
    return [_package.decode(row[0]) for row in rows]
