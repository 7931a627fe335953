"""Whatever happens to orders in whatever order, with news that come late: logs rebuild them and money fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests import order_samples
from tests.trade_floor import TradeFloor

from tradepost.kernel.errors import Refusal
from tradepost.kernel.money import divide
from tradepost.testing.world import TestWorld
from tradepost.trade import aftersales, fulfilment, orders
from tradepost.trade.fulfilment import PackLine
from tradepost.trade.orders import LineQuantity

EXPECTED = (
    "aftersales.cancel_too_late",
    "fulfilment.not_open",
    "fulfilment.nothing_open",
    "fulfilment.packed",
    "fulfilment.quantity_exceeds",
    "fulfilment.line_unknown",
    "orders.quantity_exceeds",
    "payments.refund_exceeds_captured",
    "returns.not_delivered",
    "returns.quantity_exceeds",
    "returns.window_closed",
    "state.conflict",
)
LINE = st.tuples(st.integers(1, 2), st.integers(1, 3))
PICK = st.integers(0, 7)


class OrdersMachine(RuleBasedStateMachine):
    """Two orders whose buyers, sellers, timers and provider do anything at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.floor = TradeFloor(TestWorld())
        self.ids: list[str] = []

    def teardown(self) -> None:
        self.floor.deliver()
        self.check_logs()
        for order_id in self.ids:
            self.check_agreement(order_id)
        self.floor.database.close()

    @initialize(
        remorse_ms=st.sampled_from([0, order_samples.HOUR_MS]),
        totals=st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)),
        capture=st.sampled_from(["immediate", "on_shipment"]),
        start=st.sampled_from(["placed", "paid", "packed", "shipped", "delivered", "delivered"]),
    )
    def place(self, remorse_ms: int, totals: tuple[int, int], capture: str, start: str) -> None:
        """Two orders that have come some way, so that short histories see late states too."""
        lines = [
            order_samples.line(1, 3, totals[0]),
            order_samples.line(2, 2, totals[1], order_samples.KIT),
        ]
        for shipping_minor in (0, 45):
            order = order_samples.new_order(
                self.floor.world,
                lines,
                shipping_minor=shipping_minor,
                remorse_ms=remorse_ms,
                capture=capture,
            )
            self.ids.append(self.floor.place(order))
        if start != "placed":
            for number in range(len(self.ids)):
                self.provider_speaks(number, capture == "immediate")
            self.floor.deliver()
            self.time_passes(1 if remorse_ms else 0)
            self.floor.deliver()
            for order_id in self.ids:
                self.come_to(order_id, start)

    def come_to(self, order_id: str, stage: str) -> None:
        """Pack one unit of the first line, and let that parcel come as far as told."""
        now_ms, package_id = self.floor.world.now_ms(), self.floor.mint("package")
        if stage != "paid":
            self.floor.run(fulfilment.pack, order_id, package_id, [PackLine(1, 2), PackLine(2, 1)], now_ms)
        if stage in ("shipped", "delivered"):
            self.floor.run(fulfilment.collect, order_id, package_id, "acme", "T1", now_ms)
        if stage == "delivered":
            self.floor.run(fulfilment.deliver, order_id, package_id, now_ms)
        self.floor.deliver()

    def attempt(self, work: Callable[..., Any], *args: Any) -> Any:
        """The work's result, or None when it was refused as it may be."""
        try:
            return self.floor.run(work, *args)
        except Refusal as refusal:
            if refusal.code not in EXPECTED:
                raise
            return None

    def pick(self, number: int) -> str:
        return self.ids[number % len(self.ids)]

    @rule(number=PICK, captured=st.booleans())
    def provider_speaks(self, number: int, captured: bool) -> None:
        order_id = self.pick(number)
        if self.floor.new_orders[order_id].total_minor:
            self.floor.hear(order_id, captured=captured)

    @rule(pages=st.sampled_from([1, 1_000, 1_000]))
    def news_arrive(self, pages: int) -> None:
        self.floor.deliver(pages)

    @rule(hours=st.sampled_from([0, 1, 1, 25, 50]))
    def time_passes(self, hours: int) -> None:
        self.floor.world.advance(hours * order_samples.HOUR_MS)
        self.floor.sweep()

    @rule(number=PICK, initiator=st.sampled_from(["BUYER", "SELLER", "OPERATOR"]))
    def cancel(self, number: int, initiator: str) -> None:
        self.attempt(
            aftersales.cancel_order, self.pick(number), initiator, "why_not", self.floor.world.now_ms()
        )

    @rule(number=PICK, line=LINE, initiator=st.sampled_from(["BUYER", "SELLER"]))
    def cancel_line(self, number: int, line: tuple[int, int], initiator: str) -> None:
        lines = [LineQuantity(*line)]
        now_ms = self.floor.world.now_ms()
        self.attempt(aftersales.cancel_lines, self.pick(number), lines, initiator, "less", now_ms)

    @rule(number=PICK, line=st.none() | LINE)
    def pack(self, number: int, line: tuple[int, int] | None) -> None:
        lines = [PackLine(*line)] if line else []
        package_id = self.floor.mint("package")
        self.attempt(fulfilment.pack, self.pick(number), package_id, lines, self.floor.world.now_ms())

    @rule(number=PICK, parcel=PICK, step=st.sampled_from(["collect", "deliver"]))
    def move_parcel(self, number: int, parcel: int, step: str) -> None:
        order_id, now_ms = self.pick(number), self.floor.world.now_ms()
        parcels = self.floor.run(fulfilment.list_packages, order_id)
        if parcels:
            package_id = parcels[parcel % len(parcels)].package_id
            if step == "collect":
                self.attempt(fulfilment.collect, order_id, package_id, "acme", "T1", now_ms)
            else:
                self.attempt(fulfilment.deliver, order_id, package_id, now_ms)

    @rule(number=PICK)
    def ship_and_deliver(self, number: int) -> None:
        order_id, now_ms = self.pick(number), self.floor.world.now_ms()
        self.attempt(fulfilment.ship, order_id, self.floor.mint("package"), "acme", "T1", now_ms)
        self.attempt(fulfilment.deliver_order, order_id, now_ms)

    @rule(number=PICK, line=LINE, counter=st.booleans())
    def return_goods(self, number: int, line: tuple[int, int], counter: bool) -> None:
        work = aftersales.accept_return if counter else aftersales.request_return
        return_id = self.floor.mint("return")
        now_ms = self.floor.world.now_ms()
        self.attempt(work, self.pick(number), return_id, [LineQuantity(*line)], "worn", now_ms)

    @precondition(lambda self: self.ids)
    @rule(number=PICK, which=PICK, step=st.sampled_from(["approve", "receive", "close", "refund"]))
    def move_return(self, number: int, which: int, step: str) -> None:
        order_id, now_ms = self.pick(number), self.floor.world.now_ms()
        found = self.floor.run(aftersales.list_returns, order_id)
        if not found:
            return
        item = found[which % len(found)]
        if step == "refund":
            if item.refund_minor:
                self.floor.hear(order_id, refunded=item.refund_id)
            return
        works = {
            "approve": aftersales.approve_return,
            "receive": aftersales.receive_return,
            "close": aftersales.close_return,
        }
        self.attempt(works[step], item.return_id, now_ms)

    @invariant()
    def check_logs(self) -> None:
        """Every order is what its log says, deadline included while no timer was put off."""
        for order_id in self.ids:
            order = self.floor.order(order_id)
            told = orders.rebuild(self.floor.run(orders.order_log, order_id))
            assert (told.state, told.version, told.cancellation) == (
                order.state,
                order.version,
                order.cancellation,
            )
            assert told.progress == orders.full_progress(order)
            if order.state != "AWAITING_SHIPMENT":
                assert told.deadline_at_ms == order.deadline_at_ms

    @invariant()
    def check_counts(self) -> None:
        """Units move forward only, and never more of them than were bought; nobody gets back more than was paid."""
        for order_id in self.ids:
            order = self.floor.order(order_id)
            for line, done in zip(order.body.lines, orders.full_progress(order), strict=True):
                assert line.quantity >= done.cancelled + done.packed
                assert done.packed >= done.shipped >= done.delivered >= done.returned >= 0
            if order.total_minor:
                assert self.floor.owed_minor(order_id) <= order.total_minor

    @invariant()
    def check_refunds(self) -> None:
        """All that was promised back is exactly what the units that went back cost; a dead order keeps nothing."""
        for order_id in self.ids:
            order = self.floor.order(order_id)
            log = self.floor.run(orders.order_log, order_id)
            promised = [row.data().refund_minor for row in log if "cancelled" in row.type]
            cases = self.floor.run(aftersales.list_returns, order_id)
            promised += [item.refund_minor - item.shipping_minor for item in cases]
            cost = sum(
                divide(line.total_minor * (done.cancelled + done.returned), line.quantity)
                for line, done in zip(order.body.lines, orders.full_progress(order), strict=True)
            )
            assert sum(promised) == (order.total_minor if order.state == "CANCELLED" else cost)

    def check_agreement(self, order_id: str) -> None:
        """When all news have arrived, order and fulfilment tell the same, and a closed order keeps no money."""
        order = self.floor.order(order_id)
        work = self.floor.run(fulfilment.find_fulfilment, order_id)
        progress = orders.full_progress(order)
        if work is not None:
            for line, done in zip(work.lines, work.done, strict=True):
                seen = progress[line.line_no - 1]
                moved = (done.packed, done.collected, done.delivered)
                assert moved == (seen.packed, seen.shipped, seen.delivered)
                left = order.body.lines[line.line_no - 1].quantity - seen.cancelled
                assert line.quantity - done.withdrawn == left
        if order.cancellation is not None:
            payment = self.floor.payment(order_id)
            assert payment is None or self.floor.owed_minor(order_id) == payment.captured_minor
        listed = self.floor.run(self.listed, order_id)
        assert (listed.state, listed.version) == (order.state, order.version)

    def listed(self, tx: Any, order_id: str) -> Any:
        seller_id = self.floor.new_orders[order_id].seller_id
        return orders.list_seller_orders(tx, seller_id)[0]


TestOrders = OrdersMachine.TestCase
TestOrders.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
