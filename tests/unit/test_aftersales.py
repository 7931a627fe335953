"""Aftersales: who may cancel when, what returns do, one row per refusal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests import order_samples
from tests.trade_floor import TradeFloor

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import aftersales, fulfilment, orders, payments
from tradepost.trade.aftersales.model import RETURN_STATES
from tradepost.trade.orders import LineQuantity


@pytest.fixture
def floor(world: TestWorld) -> TradeFloor:
    return TradeFloor(world)


def paid(floor: TradeFloor, **terms: int) -> str:
    order_id = floor.place(order_samples.new_order(floor.world, **terms))
    floor.hear(order_id)
    floor.deliver()
    return order_id


def delivered(floor: TradeFloor, **terms: int) -> str:
    order_id = paid(floor, **terms)
    floor.run(fulfilment.ship, order_id, floor.mint("package"), "acme", "T1", floor.world.now_ms())
    floor.run(fulfilment.deliver_order, order_id, floor.world.now_ms())
    floor.deliver()
    assert floor.order(order_id).state == "DELIVERED"
    return order_id


def cancel(floor: TradeFloor, order_id: str, initiator: str) -> orders.Order:
    found: orders.Order = floor.run(
        aftersales.cancel_order, order_id, initiator, "why_not", floor.world.now_ms()
    )
    return found


@pytest.mark.parametrize("initiator", ["BUYER", "SELLER", "OPERATOR", "SYSTEM"])
@pytest.mark.parametrize("reach", ["UNPAID", "ON_HOLD", "AWAITING_SHIPMENT"])
def test_everybody_may_cancel_before_packing(floor: TradeFloor, initiator: str, reach: str) -> None:
    if reach == "UNPAID":
        order_id = floor.place(order_samples.new_order(floor.world))
    else:
        order_id = paid(floor, remorse_ms=5 if reach == "ON_HOLD" else 0)
    assert floor.order(order_id).state == reach
    assert cancel(floor, order_id, initiator) == cancel(floor, order_id, initiator)
    floor.deliver()
    found = floor.order(order_id)
    assert (found.state, found.cancellation.initiator, found.cancellation.refund_minor) == (
        "CANCELLED",
        initiator,
        700,
    )
    assert floor.owed_minor(order_id) == (0 if reach == "UNPAID" else 700)
    work = floor.run(fulfilment.find_fulfilment, order_id)
    assert (work.state if work else "") == ("WITHDRAWN" if reach == "AWAITING_SHIPMENT" else "")


def test_cancel_overtakes_the_news_of_the_release(floor: TradeFloor) -> None:
    order_id = floor.place(order_samples.new_order(floor.world))
    floor.hear(order_id)
    floor.deliver(pages=1)
    assert floor.run(fulfilment.find_fulfilment, order_id) is None
    cancelled = [LineQuantity(1, 2)]
    floor.run(aftersales.cancel_lines, order_id, cancelled, "BUYER", "less", floor.world.now_ms())
    floor.deliver()
    floor.run(fulfilment.ship, order_id, floor.mint("package"), "acme", "T1", 1)
    floor.deliver()
    assert floor.order(order_id).state == "IN_TRANSIT"
    assert floor.last("package.packed.v1").data().lines[0].quantity == 1


def test_packing_wins_over_a_cancellation_that_has_not_heard_of_it(floor: TradeFloor) -> None:
    order_id = paid(floor)
    floor.run(fulfilment.pack, order_id, floor.mint("package"), [fulfilment.PackLine(1, 1)], 1)
    with pytest.raises(Refusal) as refused:
        cancel(floor, order_id, "BUYER")
    assert refused.value.code == "fulfilment.packed"
    floor.deliver()
    with pytest.raises(Refusal) as late:
        cancel(floor, order_id, "BUYER")
    assert late.value.code == "aftersales.cancel_too_late"


def test_sellers_may_take_off_what_is_not_packed(floor: TradeFloor) -> None:
    order_id = paid(floor)
    floor.run(fulfilment.pack, order_id, floor.mint("package"), [fulfilment.PackLine(1, 3)], 1)
    floor.deliver()
    rest = [LineQuantity(2, 2)]
    with pytest.raises(Refusal) as refused:
        floor.run(aftersales.cancel_lines, order_id, rest, "BUYER", "less", 2)
    assert refused.value.code == "aftersales.cancel_too_late"
    assert (
        floor.run(aftersales.cancel_lines, order_id, rest, "SELLER", "sold_out", 2).state
        == "AWAITING_COLLECTION"
    )
    floor.deliver()
    assert floor.owed_minor(order_id) == 555


def test_an_order_that_is_not_shipped_in_time_is_cancelled(floor: TradeFloor) -> None:
    order_id = paid(floor)
    floor.world.advance(24 * order_samples.HOUR_MS - 1)
    floor.sweep()
    assert floor.order(order_id).state == "AWAITING_SHIPMENT"
    floor.world.advance(1)
    floor.sweep()
    found = floor.order(order_id)
    assert (found.cancellation.initiator, found.cancellation.reason) == ("SYSTEM", "not_shipped")


def test_the_ship_by_timer_waits_for_news_of_a_packed_order(floor: TradeFloor) -> None:
    order_id = paid(floor)
    floor.run(fulfilment.pack, order_id, floor.mint("package"), (), 1)
    floor.world.advance(24 * order_samples.HOUR_MS)
    floor.sweep()
    assert floor.run(orders.unshipped_orders, floor.world.now_ms(), 9) == []
    floor.deliver()
    assert floor.order(order_id).state == "AWAITING_COLLECTION"


def test_a_return_goes_its_way(floor: TradeFloor) -> None:
    order_id = delivered(floor)
    return_id = floor.mint("return")
    lines = [LineQuantity(1, 2), LineQuantity(2, 1)]
    for _ in range(2):
        floor.run(aftersales.request_return, order_id, return_id, lines, "too_small", floor.world.now_ms())
    assert floor.run(aftersales.returnable_lines, order_id) == (LineQuantity(1, 1), LineQuantity(2, 1))
    floor.run(aftersales.approve_return, return_id, 5)
    item = floor.run(aftersales.receive_return, return_id, 6)
    assert (item.state, item.refund_minor) == ("RECEIVED", 67 + 278)
    received = floor.last("return.received.v1").data()
    assert [(unit.sku_id, unit.quantity) for unit in received.stock] == [
        (order_samples.LINES[0].sku_id, 2),
        ("sku_a", 2),
        ("sku_b", 1),
    ]
    assert floor.owed_minor(order_id) == 345
    floor.hear(order_id, refunded=item.refund_id)
    floor.deliver()
    assert floor.run(aftersales.get_return, return_id).state == "REFUNDED"
    types = [row.type for row in floor.database.events() if row.aggregate_id == return_id]
    steps = ["requested", "approved", "received", "refunded"]
    assert types == [f"return.{step}.v1" for step in steps]
    assert [item.returned for item in floor.order(order_id).progress] == [2, 1]


def test_returns_over_the_counter_give_back_exactly_what_was_paid(floor: TradeFloor) -> None:
    order_id = delivered(floor)
    floor.world.advance(1_000 * order_samples.HOUR_MS)
    amounts = []
    for line_no in (1, 2, 1, 1, 2):
        return_id = floor.mint("return")
        args = (order_id, return_id, [LineQuantity(line_no, 1)], "C", floor.world.now_ms())
        item = floor.run(aftersales.accept_return, *args)
        assert floor.run(aftersales.accept_return, *args) == item
        amounts.append(item.refund_minor)
    assert amounts == [33, 278, 34, 33, 277 + 45]  # with the last unit goes what was paid for delivery
    assert floor.owed_minor(order_id) == 700
    assert floor.run(aftersales.returnable_lines, order_id) == ()


def test_a_return_after_goodwill_gives_back_what_is_left(floor: TradeFloor) -> None:
    order_id = delivered(floor)
    goodwill = payments.RefundRequest(
        refund_id=floor.mint("refund"),
        payment_id=floor.order(order_id).payment_id,
        order_id=order_id,
        amount_minor=50,
        reason="goodwill",
        at_ms=4,
    )
    floor.run(payments.request_refund, goodwill)
    lines = [LineQuantity(1, 3), LineQuantity(2, 2)]
    paid = floor.order(order_id).total_minor
    item = floor.run(aftersales.accept_return, order_id, floor.mint("return"), lines, "C", 5)
    assert item.refund_minor == min(700, paid - 50)
    assert floor.owed_minor(order_id) <= paid


def test_a_free_unit_comes_back_without_a_refund(floor: TradeFloor) -> None:
    order = order_samples.new_order(floor.world, [order_samples.line(1, 2, 0)], shipping_minor=0)
    order_id = floor.place(order)
    floor.deliver()
    floor.run(fulfilment.ship, order_id, floor.mint("package"), "acme", "T1", 1)
    floor.run(fulfilment.deliver_order, order_id, 2)
    floor.deliver()
    item = floor.run(aftersales.accept_return, order_id, floor.mint("return"), [LineQuantity(1, 2)], "C", 3)
    assert (item.state, item.refund_minor, item.version) == ("REFUNDED", 0, 4)


def test_a_refused_return_frees_its_units(floor: TradeFloor) -> None:
    order_id = delivered(floor)
    return_id = floor.mint("return")
    floor.run(
        aftersales.request_return, order_id, return_id, [LineQuantity(1, 3)], "late", floor.world.now_ms()
    )
    floor.run(aftersales.refuse_return, return_id, "worn", 5)
    assert floor.run(aftersales.returnable_lines, order_id)[0] == LineQuantity(1, 3)
    assert [item.decision for item in floor.run(aftersales.list_returns, order_id)] == ["worn"]


Act = Callable[[TradeFloor, Tx, str], object]


def _ask(*lines: LineQuantity, reason: str = "worn") -> Act:
    def act(floor: TradeFloor, tx: Tx, order_id: str) -> object:
        return aftersales.request_return(
            tx, order_id, floor.mint("return"), list(lines), reason, floor.world.now_ms()
        )

    return act


def _ask_twice(*second: LineQuantity, same: bool = False) -> Act:
    def act(floor: TradeFloor, tx: Tx, order_id: str) -> object:
        return_id, now_ms = floor.mint("return"), floor.world.now_ms()
        aftersales.request_return(tx, order_id, return_id, [LineQuantity(1, 2)], "worn", now_ms)
        again = return_id if same else floor.mint("return")
        return aftersales.request_return(tx, order_id, again, list(second), "worn", now_ms)

    return act


def _too_late(floor: TradeFloor, tx: Tx, order_id: str) -> object:
    floor.world.advance(72 * order_samples.HOUR_MS + 1)
    return _ask(LineQuantity(1, 1))(floor, tx, order_id)


def _refuse_without_reason(floor: TradeFloor, tx: Tx, order_id: str) -> object:
    item = _ask(LineQuantity(1, 1))(floor, tx, order_id)
    return aftersales.refuse_return(tx, item.return_id, "", 1)


def _receive_unapproved(floor: TradeFloor, tx: Tx, order_id: str) -> object:
    item = _ask(LineQuantity(1, 1))(floor, tx, order_id)
    return aftersales.receive_return(tx, item.return_id, 1)


def _approve_closed(floor: TradeFloor, tx: Tx, order_id: str) -> object:
    item = _ask(LineQuantity(1, 1))(floor, tx, order_id)
    aftersales.close_return(tx, item.return_id, 1)
    return aftersales.approve_return(tx, item.return_id, 1)


REFUSALS: list[tuple[str, str, Callable[[TradeFloor], str], Act]] = [
    (
        "aftersales.cancel_too_late",
        "",
        delivered,
        lambda f, tx, o: aftersales.cancel_order(tx, o, "SELLER", "x", 1),
    ),
    (
        "aftersales.initiator_unknown",
        "initiator",
        paid,
        lambda f, tx, o: aftersales.cancel_order(tx, o, "ME", "x", 1),
    ),
    (
        "orders.reason_missing",
        "reason",
        paid,
        lambda f, tx, o: aftersales.cancel_order(tx, o, "BUYER", "", 1),
    ),
    ("orders.line_unknown", "lines[0].line_no", delivered, _ask(LineQuantity(3, 1))),
    ("orders.quantity_invalid", "lines", delivered, _ask()),
    ("orders.reason_missing", "reason", delivered, _ask(LineQuantity(1, 1), reason="")),
    ("orders.reason_missing", "reason", delivered, _refuse_without_reason),
    ("returns.not_delivered", "lines[0].line_no", paid, _ask(LineQuantity(1, 1))),
    ("returns.quantity_exceeds", "lines[0].quantity", delivered, _ask(LineQuantity(1, 4))),
    ("returns.quantity_exceeds", "lines[0].quantity", delivered, _ask_twice(LineQuantity(1, 2))),
    ("returns.id_taken", "", delivered, _ask_twice(LineQuantity(1, 1), same=True)),
    ("returns.window_closed", "", delivered, _too_late),
    (
        "returns.not_found",
        "return_id",
        paid,
        lambda f, tx, o: aftersales.approve_return(tx, f.mint("return"), 1),
    ),
    ("state.conflict", "", delivered, _receive_unapproved),
    ("state.conflict", "", delivered, _approve_closed),
]


@pytest.mark.parametrize(("code", "field", "reach", "act"), REFUSALS)
def test_refusals(
    floor: TradeFloor, code: str, field: str, reach: Callable[[TradeFloor], str], act: Act
) -> None:
    order_id = reach(floor)
    before = floor.database.events()
    with pytest.raises(Refusal) as refused:
        floor.run(lambda tx: act(floor, tx, order_id))
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.problem
    assert floor.database.events() == before


def test_the_return_table_prints() -> None:
    assert "REQUESTED --> REFUSED: refuse" in RETURN_STATES.mermaid()
