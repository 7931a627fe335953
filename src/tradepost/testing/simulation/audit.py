"""The full check: everything on every shard, and at the end that everything came to its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tradepost.app.wiring import SLOW_CONSUMERS
from tradepost.kernel.events import Consumer, EventRow
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.testing.simulation import store
from tradepost.testing.simulation.campaigns import overused
from tradepost.testing.simulation.earned import check_earned
from tradepost.testing.simulation.invariants import check_amounts, check_log, with_banks
from tradepost.testing.simulation.money import check_money, check_settled
from tradepost.testing.simulation.settled import check_cases, check_disputes
from tradepost.testing.simulation.stored import card_captured, check_stored
from tradepost.trade import aftersales, checkout, inventory, ledger, orders, payments
from tradepost.trade.payments import ProviderFact, RefundStatus

FOR_EVER_MS = 1 << 50
YOUNG_MS = 43_200_000
"""What a deadline at the very end began this lately may still be under way."""
PAYMENT_ENDS = {"CAPTURED", "FAILED", "VOIDED", "AUTHORIZED", "PARTIALLY_CAPTURED"}
REFUND_ENDS = {"SUCCEEDED", "SETTLED_BY_HAND", "CHARGED_BACK"}
WAITING_FOR_SELLER = {"AWAITING_SHIPMENT", "PARTIALLY_SHIPPING", "AWAITING_COLLECTION", "IN_TRANSIT"}


class Audit:
    """One look at the committed state of all shards. `findings` are what is not as it must be."""

    def __init__(self, readers: Sequence[Tx], consumers: Sequence[Consumer], now_ms: int) -> None:
        self.findings: list[str] = []
        self._readers = readers
        self._consumers = consumers
        self._now_ms = now_ms
        self.orders: dict[str, orders.Order] = {}
        self._logs: dict[str, list[EventRow]] = {}

    def _shard(self, identifier: str) -> Tx:
        return self._readers[gene_of(identifier) % len(self._readers)]

    def look(self, received: Iterable[tuple[str, str]], placed: dict[str, str]) -> None:
        """Every invariant that holds at every moment. `received` and `placed` is what clients were told."""
        for tx in self._readers:
            self._read(tx)
        self._check_logs()
        self._check_stock()
        self._check_money()
        self._check_checkouts(placed)
        self._check_holds()
        self._check_delivery()
        self.findings += check_cases(self._readers, self.orders)
        self.findings += overused(self._readers, self.orders)
        known = {pair for tx in self._readers for pair in store.movement_references(tx)}
        lost = [f"acknowledged goods missing: {pair}" for pair in received if pair not in known]
        self.findings += lost

    def _read(self, tx: Tx) -> None:
        for order in orders.orders_by_ids(tx, store.order_ids(tx)):
            self.orders[order.order_id] = order
        for row in store.events(tx):
            self._logs.setdefault(row.aggregate_id, []).append(row)

    def _check_logs(self) -> None:
        for order_id, order in self.orders.items():
            self.findings += check_log(order, self._logs.get(order_id, []))
        for tx in self._readers:
            for aggregate_id, version in store.aggregate_versions(tx).items():
                log = sorted(row.version for row in self._logs.get(aggregate_id, []))
                if log != list(range(1, version + 1)):
                    self.findings.append(f"event lost: {aggregate_id} version {version}, log {log[-3:]}")

    def _check_stock(self) -> None:
        for tx in self._readers:
            report = inventory.check_stock(tx, self._now_ms, FOR_EVER_MS)
            self.findings += [f"stock {f.kind}: {f.subject} {f.detail}" for f in report.findings]

    def _check_money(self) -> None:
        report = ledger.merge_reports(ledger.check_ledger(tx) for tx in self._readers)
        self.findings += [f"ledger {f.kind}: {f.transaction_id} {f.detail}" for f in report.findings]
        if not report.balanced:
            self.findings.append("ledger does not sum to zero")
        self.findings += check_money(self._readers, self.orders.values())
        self.findings += check_stored(self._readers)
        for tx in self._readers:
            asked_back = store.asked_back(tx)
            for payment_id, _, _, amount, authorized, captured, refunded, _ in store.payment_rows(tx):
                amounts = (amount, authorized, captured, refunded)
                banks = with_banks(payments.find_payment(tx, payment_id))
                self.findings += check_amounts(payment_id, amounts, asked_back.get(payment_id, 0) + banks)
                booked = (report.captured.get(payment_id, 0), report.refunded.get(payment_id, 0))
                if booked != (captured, refunded):
                    self.findings.append(f"ledger differs: {payment_id} {booked} {(captured, refunded)}")

    def _check_checkouts(self, placed: dict[str, str]) -> None:
        stand: dict[str, str] = {}
        keyed: list[str] = []
        for tx in self._readers:
            stand.update((checkout_id, buyer_id) for buyer_id, checkout_id in store.checkouts(tx))
            keyed += store.keyed_checkouts(tx)
        if len(set(keyed)) != len(keyed) or set(keyed) != set(stand):
            odd = sorted(set(keyed) ^ set(stand))[:3]
            self.findings.append(f"keys and checkouts differ: {len(keyed)} {len(stand)} {odd}")
        self.findings += [
            f"acknowledged checkout missing: {checkout_id}"
            for checkout_id in placed
            if checkout_id not in stand
        ]
        owned: dict[str, set[str]] = {}
        for order in self.orders.values():
            owned.setdefault(order.checkout_id, set()).add(order.order_id)
        for checkout_id, buyer_id in stand.items():
            view = checkout.find_checkout(self._shard(buyer_id), buyer_id, checkout_id)
            promised = {order.order_id for order in view.orders}
            if owned.pop(checkout_id, set()) != promised:
                self.findings.append(f"orders differ from their checkout: {checkout_id}")
        self.findings += [f"order without checkout: {checkout_id}" for checkout_id in owned]

    def _check_holds(self) -> None:
        sums: dict[tuple[str, str], tuple[int, int, int]] = {}
        waiting: set[str] = set()
        for tx in self._readers:
            sums.update(store.hold_sums(tx))
            waiting |= store.waiting_owners(tx)
        for order_id, order in self.orders.items():
            for sku_id, wanted in needed_stock(order).items():
                _, still_open, shipped = sums.get((order_id, sku_id), (0, 0, 0))
                if still_open + shipped < wanted:
                    self.findings.append(
                        f"order without stock: {order_id} {order.state} needs {wanted} of {sku_id},"
                        f" holds {still_open} + {shipped} shipped"
                    )
        for tx in self._readers:
            for owner_id, checkout_id in store.open_holds(tx):
                if owner_id not in self.orders and checkout_id not in waiting:
                    self.findings.append(f"hold without owner: {owner_id} {checkout_id}")

    def _check_delivery(self) -> None:
        """No event lost: what the relay passed is consumed, waits, or is a dead letter."""
        noted = [store.inbox(tx) for tx in self._readers]
        positions = [store.positions(tx) for tx in self._readers]
        waiting = [store.deliveries(tx) for tx in self._readers]
        for home, tx in enumerate(self._readers):
            cursors = store.relayed(tx)
            events = store.events(tx)
            for consumer in self._consumers:
                cursor = cursors.get(self._relay_of(consumer), 0)
                for row in (row for row in events if row.sequence <= cursor and row.type in consumer.types):
                    if (consumer.name, row.event_id) not in waiting[home]:
                        genes = [row.gene] if consumer.genes is None else consumer.genes(row)
                        for shard in {gene % len(self._readers) for gene in genes}:
                            passed = row.sequence <= positions[shard].get((consumer.name, home), 0)
                            said = noted[shard].get((consumer.name, row.event_id))
                            if said != "DONE" and not (passed and said is None):
                                self.findings.append(
                                    f"event not delivered: {row.event_id} to {consumer.name}"
                                )

    def _relay_of(self, consumer: Consumer) -> str:
        """The lane that carries a consumer: the slow one moves in commits of its own, behind the main one."""
        is_local = consumer.genes is None or len(self._readers) == 1
        return "slow" if is_local and consumer.name in SLOW_CONSUMERS else "main"

    def look_at_end(self, facts: Mapping[str, ProviderFact]) -> None:
        """What must be true once faults have stopped and time went on; `facts` is the provider's word by payment."""
        for tx in self._readers:
            for (consumer, event_id), error in store.deliveries(tx).items():
                self.findings.append(f"still waiting: {event_id} for {consumer}: {error}")
            cursors = store.relayed(tx)
            for lane in {self._relay_of(consumer) for consumer in self._consumers}:
                carried = [each for each in self._consumers if self._relay_of(each) == lane]
                wanted = {kind for consumer in carried for kind in consumer.types}
                newest = max((row.sequence for row in store.events(tx) if row.type in wanted), default=0)
                if cursors.get(lane, 0) < newest:
                    self.findings.append(f"not relayed: shard {tx.shard}, {lane} at {cursors} of {newest}")
            young = store.young_refunds(tx, self._now_ms - YOUNG_MS)
            for refund_id, state in store.refund_states(tx):
                if state not in REFUND_ENDS and refund_id not in young:
                    self.findings.append(f"refund open: {refund_id} {state}")
            waiting = store.waiting_owners(tx)
            self.findings += [f"hold deadline forgotten: {checkout_id}" for checkout_id in sorted(waiting)]
        self._check_ends()
        self._check_lists()
        self._check_provider(facts)
        self.findings += check_disputes(self._readers, facts)
        self.findings += check_earned(self._readers, self.orders, self._now_ms)
        self.findings += check_settled(self._readers, self.orders.values(), self._now_ms)

    def _check_ends(self) -> None:
        sums: dict[tuple[str, str], tuple[int, int, int]] = {}
        for tx in self._readers:
            sums.update(store.hold_sums(tx))
        for order_id, order in self.orders.items():
            if order.state not in WAITING_FOR_SELLER | {"COMPLETED", "CANCELLED"}:
                self.findings.append(f"order without end: {order_id} {order.state}")
            if order.state == "AWAITING_SHIPMENT" and not order.deadline_at_ms:
                self.findings.append(f"order without deadline: {order_id}")
            for sku_id, wanted in needed_stock(order).items():
                _, still_open, shipped = sums.get((order_id, sku_id), (0, 0, 0))
                if still_open + shipped != wanted:
                    self.findings.append(
                        f"hold too long: {order_id} {order.state} {sku_id} needs {wanted},"
                        f" holds {still_open} + {shipped} shipped"
                    )

    def _check_lists(self) -> None:
        """Sellers' lists have caught up, and every return that was received is refunded."""
        listed: dict[str, tuple[str, str, int]] = {}
        for tx in self._readers:
            listed.update(store.listed_orders(tx))
            young = store.young_refunds(tx, self._now_ms - YOUNG_MS)
            for return_id in store.return_ids(tx):
                case = aftersales.get_return(tx, return_id)
                late = case.deadline_at_ms and case.deadline_at_ms > self._now_ms - YOUNG_MS
                if case.state in ("RECEIVED", "GRANTED") and case.refund_id not in young and not late:
                    self.findings.append(f"return without refund: {return_id} {case.state}")
        for order_id, order in self.orders.items():
            known = (order.seller_id, order.state, order.version)
            if listed.get(order_id) != known:
                self.findings.append(f"list differs: {order_id} {listed.get(order_id)} {known}")

    def _check_provider(self, facts: Mapping[str, ProviderFact]) -> None:
        """Our books and the provider's own agree; what was cancelled was given back."""
        given = {(refund.refund_id, refund.status) for fact in facts.values() for refund in fact.refunds}
        for tx in self._readers:
            for payment_id, _, state, *_ in store.payment_rows(tx):
                captured = card_captured(payments.find_payment(tx, payment_id))
                taken = facts[payment_id].captured_minor if payment_id in facts else 0
                if state not in PAYMENT_ENDS:
                    self.findings.append(f"payment open: {payment_id} {state}")
                if taken != captured:
                    self.findings.append(
                        f"books differ: {payment_id} provider took {taken}, we know {captured}"
                    )
            asked = store.refunds_through_provider(tx)
            for refund_id, state in store.refund_states(tx):
                made = state == "SUCCEEDED" and refund_id in asked
                if ((refund_id, RefundStatus.SUCCEEDED) in given) != made:
                    self.findings.append(f"books differ: {refund_id} is {state}, the provider says otherwise")
            self.findings += self._check_portions(tx)

    def _check_portions(self, tx: Tx) -> list[str]:
        """What was cancelled was given back, what was completed was paid."""
        found = []
        for portion in store.portions(tx):
            state = self.orders[portion.order_id].state
            captured, refunded = portion.captured_minor, portion.refunded_minor + portion.charged_back_minor
            if state == "CANCELLED" and captured != refunded:
                found.append(f"not refunded: {portion.order_id} captured {captured}, refunded {refunded}")
            if state == "COMPLETED" and captured < portion.amount_minor - portion.cancelled_minor:
                found.append(f"not paid: {portion.order_id} captured {captured} of {portion.amount_minor}")
        return found


def needed_stock(order: orders.Order) -> dict[str, int]:
    """Pieces by SKU that the units still wanted of an order need or have had."""
    wanted: dict[str, int] = {}
    for line, done in zip(order.body.lines, orders.full_progress(order), strict=True):
        for unit in line.components:
            pieces = unit.quantity * (line.quantity - done.cancelled)
            wanted[unit.sku_id] = wanted.get(unit.sku_id, 0) + pieces
    return wanted
