"""Orders, fulfilment, aftersales and payments in one memory database, events delivered when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests import order_samples
from tests.memory_tx import MemoryDatabase

from tradepost.kernel.events import EventRow
from tradepost.kernel.tx import Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import aftersales, fulfilment, ledger, orders, payments
from tradepost.trade.aftersales import cancelling
from tradepost.trade.orders import NewOrder, Order, api, jobs
from tradepost.trade.payments import Heard, ProviderFact, Status
from tradepost.trade.payments.port import RefundFact, RefundStatus

CONSUMERS = [
    *orders.CONSUMERS,
    *fulfilment.CONSUMERS,
    *aftersales.CONSUMERS,
    *payments.CONSUMERS,
]


class TradeFloor:
    """A place to trade on without HTTP, stock and provider: what a provider says is told by `hear`."""

    def __init__(self, world: TestWorld) -> None:
        self.world = world
        self.database = MemoryDatabase()
        self.cursor = 0
        self.new_orders: dict[str, NewOrder] = {}

    def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """One committed work."""
        return self.database.run(work, *args)

    def place(self, order: NewOrder) -> str:
        """Open an order and its payment; the order's id."""
        body = order.body
        portion = payments.Portion(
            order_id=order.order_id,
            seller_id=order.seller_id,
            amount_minor=order.total_minor,
            fee_minor=0,
            tax_minor=0,
            market=order.market,
        )
        intent = payments.NewIntent(
            payment_id=order.payment_id,
            checkout_id=order.checkout_id,
            buyer_id=order.buyer_id,
            provider="sandbox",
            method="card",
            currency=order.currency,
            amount_minor=order.total_minor,
            capture="on_shipment" if b'"on_shipment"' in body else "immediate",
            portions=(portion,),
            at_ms=order.placed_at_ms,
            confirm=True,
        )
        self.run(orders.open_orders, [order])
        if order.total_minor:
            self.run(payments.open_intents, [intent])
        self.new_orders[order.order_id] = order
        return order.order_id

    def hear(self, order_id: str, *, captured: bool = True, refunded: str = "") -> None:
        """The provider tells that the order's payment is authorized or captured, and maybe of a refund."""
        order = self.new_orders[order_id]
        refunds = (
            (RefundFact(refund_id=refunded, attempt=1, status=RefundStatus.SUCCEEDED),) if refunded else ()
        )
        fact = ProviderFact(
            payment_id=order.payment_id,
            status=Status.AUTHORIZED,
            authorized_minor=order.total_minor,
            captured_minor=order.total_minor if captured else 0,
            currency=order.currency,
            refunds=refunds,
        )
        heard = Heard(order.payment_id, "sandbox", self.world.now_ms(), fact)
        for answer in self.run(payments.RECORD_RESULT.handle, [heard]):
            if isinstance(answer, Exception):
                raise answer

    def deliver(self, pages: int = 1_000) -> None:
        """Hand new events to every consumer, page after page, until there is none."""
        for _ in range(pages):
            rows = self.database.events(self.cursor)
            if not rows:
                return
            self.cursor = rows[-1].sequence
            for consumer in CONSUMERS:
                mine = [row for row in rows if row.type in consumer.types]
                if mine:
                    self.run(consumer.consume, mine)

    def sweep(self) -> None:
        """Run the timers of orders and aftersales at this moment."""
        now_ms = self.world.now_ms()

        self.run(api.end_deadlines, self.run(jobs.due, now_ms, 100), now_ms)
        for order_id in self.run(orders.unshipped_orders, now_ms, 100):
            self.run(cancelling.cancel_unshipped, order_id, now_ms)

    def order(self, order_id: str) -> Order:
        """The order as it stands."""
        found: Order = self.run(orders.get_order, order_id)
        return found

    def journal(self, tx: Tx, order_id: str, name: str) -> list[tuple[str, int]]:
        """The entries of the payment's transaction of this name."""
        found = ledger.transactions_of(tx, order_samples.GENE, self.new_orders[order_id].payment_id)
        return [
            (entry.account, entry.amount_minor)
            for one in found
            if one.transaction_id.endswith(name)
            for entry in one.entries
        ]

    def mint(self, kind: str) -> str:
        """An id on the orders' gene."""
        return self.world.mint(kind, order_samples.GENE)

    def last(self, type_name: str) -> EventRow:
        """The newest event of a type."""
        return [row for row in self.database.events() if row.type == type_name][-1]

    def owed_minor(self, order_id: str) -> int:
        """What the payment has been asked to give back for the order so far, in minor units."""
        refunds = self.run(payments.find_refunds, self.new_orders[order_id].payment_id)
        return sum(refund.amount_minor for refund in refunds if refund.order_id == order_id)

    def payment(self, order_id: str) -> payments.PaymentView | None:
        """The order's payment, None when nothing was to pay."""
        order = self.new_orders[order_id]
        return self.run(payments.find_payment, order.payment_id) if order.total_minor else None
