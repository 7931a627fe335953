"""What settlement does when orders are delivered, completed, returned and refunded, and where movements arrive."""

from __future__ import annotations

from tradepost.kernel.events import Consumer
from tradepost.trade.settlement.arriving import EXPECTED, MOVED, follow_movements, genes_of
from tradepost.trade.settlement.moving import follow_orders

CONSUMERS = [
    Consumer(
        "settlement.orders",
        (
            "order.delivered.v1",
            "order.completed.v1",
            "order.returned.v1",
            "refund.succeeded.v1",
            "dispute.won.v1",
            "dispute.lost.v1",
        ),
        follow_orders,
    ),
    Consumer("settlement.arrive", (MOVED, EXPECTED), follow_movements, genes_of),
]
