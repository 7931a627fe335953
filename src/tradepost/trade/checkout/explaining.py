"""Why a quote or an order costs what it costs, asked for while the shop runs."""

from __future__ import annotations

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.markets import market
from tradepost.trade import orders, promotion
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.model import Quote
from tradepost.trade.checkout.repricing import Bought, Explained, Rules, bought, explain, quoted
from tradepost.trade.checkout.views import find_checkout
from tradepost.trade.promotion import Edition


async def explain_quote(context: Context, quote: Quote) -> Explained:
    """What each rule of its moment made of a quote's lines, and why the others made nothing of them."""
    return await _explain(context, quoted(quote))


async def explain_order(context: Context, order: orders.Order) -> Explained:
    """The same for the whole basket that an order was bought in: discounts may lie over several sellers."""
    shard = context.db.shard_of(gene_of(order.order_id))
    return await _explain(context, bought(await context.db.read(shard, orders_bought_with, order)))


def orders_bought_with(tx: Tx, order: orders.Order) -> list[orders.Order]:
    """All orders of an order's checkout, as they were placed together."""
    view = find_checkout(tx, order.buyer_id, order.checkout_id)
    return orders.orders_by_ids(tx, [one.order_id for one in view.orders])


async def _explain(context: Context, basket: Bought) -> Explained:
    editions: dict[int, Edition] = {}
    if basket.priced.edition:
        shard = context.db.shard_of(promotion.GENE)
        editions = await context.db.read(shard, promotion.past_editions, [basket.priced.edition])
    return explain(basket, market(basket.market), Rules(editions))
