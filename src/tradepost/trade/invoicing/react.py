"""Documents follow the goods and the money: an invoice when goods leave, a credit note when money goes back.

The order lies on the buyer's shard and the numbers on the seller's, so this is a task: it reads the one and writes
the other. A document names its source, so a task that is repeated finds it there.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow, Task
from tradepost.kernel.ids import gene_of
from tradepost.kernel.market import Market
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World
from tradepost.trade import orders, parties, payments
from tradepost.trade.invoicing import api
from tradepost.trade.invoicing.model import Invoice

ON_SUPPLY = ("order.shipped.v1", "order.completed.v1")
ON_REFUND = ("refund.succeeded.v1",)
_NOT_DUE = frozenset({"invoicing.not_due", "orders.not_found"})


class _Refund(msgspec.Struct, frozen=True):
    order_id: str


_refund = msgspec.json.Decoder(_Refund)


async def issue(db: Storage, world: World, market_of: Callable[[str], Market], order_id: str) -> Invoice:
    """The invoice of an order, made when it is not there, and the credit notes of what was given back before it.

    Raises `orders.not_found`, `invoicing.not_due`.
    """
    order = await db.read(db.shard_of(gene_of(order_id)), orders.get_order, order_id)
    gene = gene_of(order.seller_id)
    seller = (await db.read(db.shard_of(gene), parties.seller_views, [order.seller_id])).get(order.seller_id)
    invoice = await db.transact(
        db.shard_of(gene),
        api.issue_invoice,
        order,
        market_of(order.market),
        world.mint("invoice", gene),
        seller.name if seller is not None else "",
        world.now_ms(),
    )
    # looked at anew: who gave back meanwhile found no invoice to credit
    await credit(db, world, market_of, order_id)
    return invoice


async def credit(
    db: Storage, world: World, market_of: Callable[[str], Market], order_id: str
) -> list[Invoice]:
    """The credit notes of what an order's buyer has back and that has none yet. Raises `orders.not_found`."""
    order, given = await db.read(db.shard_of(gene_of(order_id)), _stands, order_id)
    if given is None:
        return []
    gene = gene_of(order.seller_id)
    ids = [world.mint("invoice", gene) for _ in (*given.cancelled, *given.beside)]
    return await db.transact(
        db.shard_of(gene),
        api.issue_credits,
        order,
        market_of(order.market),
        given,
        ids,
        world.now_ms(),
    )


def _stands(tx: Tx, order_id: str) -> tuple[orders.Order, payments.Given | None]:
    """The order with what its buyer has back, None where that is nothing."""
    order = orders.get_order(tx, order_id)
    if not order.payment_id or not order.total_minor:
        return order, None
    given = payments.find_given(tx, order.payment_id, order_id)
    return order, given if given.cancelled or given.beside else None


def tasks(db: Storage, world: World, market_of: Callable[[str], Market]) -> list[Task]:
    """The subscriptions of this room."""

    async def supply(row: EventRow) -> None:
        try:
            await issue(db, world, market_of, row.aggregate_id)
        except Refusal as refusal:
            if refusal.code not in _NOT_DUE:  # cancelled meanwhile, or archived
                raise

    async def give_back(row: EventRow) -> None:
        await credit(db, world, market_of, _refund.decode(row.payload).order_id)

    return [Task("invoicing.supply", ON_SUPPLY, supply), Task("invoicing.refunds", ON_REFUND, give_back)]
