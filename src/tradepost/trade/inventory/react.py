"""What stock does when orders, packages and returns speak."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from tradepost.kernel.events import Consumer, EventRow
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.trade.inventory.api import put_back, release, reserve, ship
from tradepost.trade.inventory.model import RETURNED, Claim


class StockPart(msgspec.Struct, frozen=True):
    """Pieces of a component SKU."""

    sku_id: str
    quantity: int


class StockNote(msgspec.Struct, frozen=True):
    """What this room reads of another room's event."""

    order_id: str
    stock: tuple[StockPart, ...] = ()
    limits: tuple[StockPart, ...] = ()
    restock_pool: str = RETURNED


_decode = msgspec.json.Decoder(StockNote).decode


def genes_of(row: EventRow) -> Iterable[int]:
    """The genes of the SKUs an event speaks of."""
    note = _decode(row.payload)
    return {gene_of(part.sku_id) for part in (*note.stock, *note.limits)}


def read_claims(rows: Iterable[EventRow]) -> list[Claim]:
    """One claim per event that names stock; its reference is the event id."""
    claims: list[Claim] = []
    for row in rows:
        note = _decode(row.payload)
        items = tuple((part.sku_id, part.quantity) for part in (*note.stock, *note.limits) if part.quantity)
        if items:
            claims.append(
                Claim(
                    owner_id=note.order_id,
                    reference=row.event_id,
                    at_ms=row.at_ms,
                    items=items,
                    pool=note.restock_pool,
                )
            )
    return claims


def _claim(step: Callable[[Tx, Sequence[Claim]], None], tx: Tx, rows: Sequence[EventRow]) -> None:
    step(tx, read_claims(rows))


def _consumer(name: str, types: tuple[str, ...], step: Callable[[Tx, Sequence[Claim]], None]) -> Consumer:
    # a partial of module functions, not a closure: it has to travel to a writer in a process of its own
    return Consumer(f"inventory.{name}", types, partial(_claim, step), genes_of)


CONSUMERS: list[Consumer] = [
    _consumer("reserve", ("order.paid.v1",), reserve),
    _consumer("release", ("order.cancelled.v1", "order.lines_cancelled.v1", "order.returned.v1"), release),
    _consumer("ship", ("package.collected.v1",), ship),
    _consumer("put_back", ("return.received.v1",), put_back),
]
