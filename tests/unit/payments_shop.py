"""A database, the sandbox and a small relay: what the tests of payments stand on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tradepost.infra.payments.sandbox import SandboxProvider
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.events import EventRow, Sweep
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import ledger, payments
from tradepost.trade.payments import (
    Heard,
    NewIntent,
    PaymentView,
    Portion,
    ProviderFact,
    Providers,
    RefundRequest,
    Status,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Shop:
    """The database, the sandbox and a relay that runs what the events room would run."""

    def __init__(self, db: SqliteStorage, world: TestWorld) -> None:
        self.db, self.world = db, world
        self.webhooks: list[tuple[Mapping[str, str], bytes]] = []
        self.down = False
        self.sandbox = SandboxProvider(world, SECRET, self.receive)
        self.providers = Providers(self.sandbox, call_timeout_ms=200)
        self.cursor = 0

    async def receive(self, headers: Mapping[str, str], body: bytes) -> None:
        if self.down:
            raise ConnectionError("we are down")
        self.webhooks.append((headers, body))
        await payments.handle_webhook(self.db, self.world, self.providers, "sandbox", headers, body)

    def intent(self, method: str = "sandbox_succeeds", **changes: Any) -> NewIntent:
        gene = self.world.gene()
        amounts = (700, 300)
        portions = tuple(
            Portion(
                order_id=self.world.mint("order", gene),
                seller_id=self.world.mint("seller", self.world.gene()),
                amount_minor=amount,
                fee_minor=amount // 20,
                tax_minor=amount // 6,
                market="GB",
            )
            for amount in amounts
        )
        facts: dict[str, Any] = {
            "payment_id": self.world.mint("payment", gene),
            "checkout_id": self.world.mint("checkout", gene),
            "buyer_id": self.world.mint("buyer", gene),
            "provider": "sandbox",
            "method": method,
            "currency": "GBP",
            "amount_minor": 1000,
            "capture": "immediate",
            "portions": portions,
            "at_ms": self.world.now_ms(),
            "confirm": True,
        }
        return NewIntent(**(facts | changes))

    async def open(self, intent: NewIntent) -> NewIntent:
        await self.db.transact(0, payments.open_intents, [intent])
        return intent

    async def pay(self, method: str = "sandbox_succeeds", **changes: Any) -> tuple[NewIntent, PaymentView]:
        intent = await self.open(self.intent(method, **changes))
        return intent, await payments.charge(self.db, self.world, self.providers, intent)

    async def view(self, payment_id: str) -> PaymentView:
        return await self.db.read(0, payments.find_payment, payment_id)

    async def events(self) -> list[EventRow]:
        return await self.db.read(0, read_events, 0)

    async def types(self, aggregate_id: str) -> list[str]:
        rows = [row for row in await self.events() if row.aggregate_id == aggregate_id]
        assert [row.version for row in rows] == list(range(1, len(rows) + 1))
        return [row.type for row in rows]

    async def tell(self, type_: str, aggregate: str, /, at: int = 1, **payload: Any) -> None:
        row = EventRow(0, aggregate, at, type_, self.world.now_ms(), msgspec.json.encode(payload))
        for consumer in payments.CONSUMERS:
            if type_ in consumer.types:
                await self.db.transact(0, consumer.consume, [row])

    async def end(
        self, intent: NewIntent, index: int, type_: str = "order.cancelled.v1", **more: Any
    ) -> None:
        portion = intent.portions[index]
        payload = {
            "order_id": portion.order_id,
            "payment_id": intent.payment_id,
            "refund_minor": portion.amount_minor,
        }
        await self.tell(type_, portion.order_id, **(payload | more))

    async def relay(self) -> None:
        """Run the tasks for new events."""
        rows = await self.db.read(0, read_events, self.cursor)
        for row in rows:
            self.cursor = row.sequence
            for task in payments.tasks(self.db, self.world, self.providers):
                if row.type in task.types:
                    await task.act(row)

    async def sweep(self, *names: str) -> int:
        """Run the timers that are due; the number of items."""
        count = 0
        for sweep in payments.sweeps(self.db, self.world, self.providers):
            if not names or sweep.name in names:
                count += await self._run(sweep)
        return count

    async def _run(self, sweep: Sweep) -> int:
        items = await self.db.read(0, sweep.due, self.world.now_ms(), 100)
        await sweep.act(items)
        return len(items)

    async def refunds(self, intent: NewIntent) -> list[payments.Refund]:
        return await self.db.read(0, payments.find_refunds, intent.payment_id)

    async def check(self) -> None:
        """Ledger balances, agrees with the payments, and no log has a gap."""
        balances = await self.db.read(0, ledger.account_balances)
        assert sum(balance.posted_minor for balance in balances.values()) == 0
        assert sum(balance.pending_minor for balance in balances.values()) == 0
        captured = await self.db.read(0, ledger.captured_by_payment)
        refunded = await self.db.read(0, ledger.refunded_by_payment)
        rows = await self.db.read(0, read_payments)
        for payment_id, taken, given in rows:
            assert captured.get(payment_id, 0) == taken
            assert refunded.get(payment_id, 0) == given
            await self.types(payment_id)


def read_events(tx: Tx, after: int) -> list[EventRow]:
    rows = tx.query(
        "SELECT gene, aggregate_id, version, type, at_ms, payload, buyer_id, seller_id, sequence"
        " FROM events WHERE sequence > ? ORDER BY sequence",
        (after,),
    )
    return [EventRow(*row) for row in rows]


def read_payments(tx: Tx) -> list[tuple[str, int, int]]:
    return [
        (row[0], row[1], row[2])
        for row in tx.query("SELECT payment_id, captured_minor, refunded_minor FROM payments")
    ]


def back(shop: Shop, intent: NewIntent, amount: int, refund_id: str = "") -> RefundRequest:
    portion = intent.portions[0]
    return RefundRequest(
        refund_id=refund_id or shop.world.mint("refund", gene_of(intent.payment_id)),
        payment_id=intent.payment_id,
        order_id=portion.order_id,
        amount_minor=amount,
        reason="return",
        at_ms=shop.world.now_ms(),
    )


def stray(provider: str, payment_id: str, captured: int = 1000) -> Heard:
    fact = ProviderFact(
        payment_id=payment_id,
        status=Status.AUTHORIZED,
        authorized_minor=1000,
        captured_minor=captured,
        currency="GBP",
    )
    return Heard(payment_id, provider, 1, fact)
