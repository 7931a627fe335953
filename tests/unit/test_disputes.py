"""Chargebacks: a bank takes money back, and nobody is ever paid twice."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests import order_samples
from tests.trade_floor import TradeFloor
from tests.unit.test_aftersales import delivered, paid

from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade import aftersales, ledger, payments
from tradepost.trade.orders import LineQuantity
from tradepost.trade.payments import (
    CHARGED_BACK,
    DisputeFact,
    DisputeStatus,
    Heard,
    ProviderFact,
    RefundFact,
    RefundRequest,
    RefundStatus,
    Status,
)
from tradepost.trade.payments.api import begin_refund_call

OPEN, WON, LOST = DisputeStatus.OPEN, DisputeStatus.WON, DisputeStatus.LOST


@pytest.fixture
def floor(world: TestWorld) -> TradeFloor:
    return TradeFloor(world)


def hear(
    floor: TradeFloor,
    order_id: str,
    *disputes: tuple[str, int, DisputeStatus],
    refunds: Sequence[tuple[str, int, RefundStatus, str]] = (),
) -> None:
    order = floor.new_orders[order_id]
    fact = ProviderFact(
        payment_id=order.payment_id,
        status=Status.AUTHORIZED,
        authorized_minor=order.total_minor,
        captured_minor=order.total_minor,
        currency=order.currency,
        disputes=tuple(
            DisputeFact(dispute_ref=ref, amount_minor=amount, status=status, reason="fraudulent")
            for ref, amount, status in disputes
        ),
        refunds=tuple(
            RefundFact(refund_id=refund_id, attempt=attempt, status=status, reason=reason)
            for refund_id, attempt, status, reason in refunds
        ),
    )
    heard = Heard(order.payment_id, "sandbox", floor.world.now_ms(), fact)
    for answer in floor.run(payments.RECORD_RESULT.handle, [heard]):
        if isinstance(answer, Exception):
            raise answer
    floor.deliver()


def balances(floor: TradeFloor) -> dict[str, int]:
    found = floor.run(ledger.account_balances)
    assert sum(one.posted_minor for one in found.values()) == 0
    return {account: one.posted_minor for (account, _), one in found.items() if one.posted_minor}


def ask(floor: TradeFloor, order_id: str, amount_minor: int) -> payments.Refund:
    request = RefundRequest(
        refund_id=floor.mint("refund"),
        payment_id=floor.new_orders[order_id].payment_id,
        order_id=order_id,
        amount_minor=amount_minor,
        reason="goodwill",
        at_ms=floor.world.now_ms(),
    )
    found: payments.Refund = floor.run(payments.request_refund, request)
    return found


def seller_of(floor: TradeFloor, order_id: str) -> str:
    return f"seller:{floor.new_orders[order_id].seller_id}"


def portion(floor: TradeFloor, order_id: str) -> payments.PortionView:
    view = floor.payment(order_id)
    assert view is not None
    return view.portions[0]


def test_withdrawn_won_and_as_if_nothing_had_been(floor: TradeFloor) -> None:
    order_id = paid(floor)
    before = balances(floor)
    hear(floor, order_id, ("d1", 700, OPEN))
    assert balances(floor)["dispute:sandbox"] == 700
    assert (portion(floor, order_id).disputed_minor, portion(floor, order_id).charged_back_minor) == (700, 0)
    hear(floor, order_id, ("d1", 700, OPEN))
    hear(floor, order_id, ("d1", 700, WON))
    hear(floor, order_id, ("d1", 700, OPEN))
    assert balances(floor) == before
    (dispute,) = floor.run(payments.find_disputes, floor.new_orders[order_id].payment_id)
    assert (dispute.state, dispute.version) == ("WON", 2)
    assert ask(floor, order_id, 700).state == "REQUESTED"


def test_lost_is_taken_back_from_those_who_had_it(floor: TradeFloor) -> None:
    order_id = paid(floor)
    hear(floor, order_id, ("d1", 300, LOST))  # the news of its opening never came
    assert balances(floor) == {"provider:sandbox": 400, seller_of(floor, order_id): -400}
    assert portion(floor, order_id).charged_back_minor == 300
    with pytest.raises(Refusal) as refused:
        ask(floor, order_id, 500)
    assert (refused.value.code, refused.value.extra["available_minor"]) == ("payments.charged_back", 400)
    ask(floor, order_id, 400)


def test_a_refund_of_what_the_bank_holds_is_refused(floor: TradeFloor) -> None:
    order_id = paid(floor)
    hear(floor, order_id, ("d1", 700, OPEN))
    with pytest.raises(Refusal) as refused:
        ask(floor, order_id, 1)
    assert refused.value.code == "payments.charged_back"
    with pytest.raises(Refusal) as more:
        ask(floor, order_id, 701)
    assert more.value.code == "payments.refund_exceeds_captured"


def test_a_chargeback_after_a_refund_is_answered_with_the_refund(floor: TradeFloor) -> None:
    order_id = paid(floor)
    refund = ask(floor, order_id, 700)
    hear(floor, order_id, refunds=[(refund.refund_id, 1, RefundStatus.SUCCEEDED, "")])
    hear(floor, order_id, ("d1", 700, OPEN))
    opened = floor.last("dispute.opened.v1").data()
    assert (opened.refunded_minor, opened.refund_ids) == (700, (refund.refund_id,))
    hear(floor, order_id, ("d1", 700, WON))
    assert balances(floor) == {}
    other = paid(floor)
    refund = ask(floor, other, 700)
    hear(floor, other, refunds=[(refund.refund_id, 1, RefundStatus.SUCCEEDED, "")])
    hear(floor, other, ("d2", 700, LOST))
    assert balances(floor) == {"provider:sandbox": -700, "writeoff:chargebacks": 700}


def test_a_waiting_refund_gives_way_to_the_bank(floor: TradeFloor) -> None:
    order_id = paid(floor)
    refund = ask(floor, order_id, 500)
    floor.run(begin_refund_call, refund.refund_id, floor.world.now_ms())
    hear(
        floor,
        order_id,
        ("d1", 600, OPEN),
        refunds=[(refund.refund_id, 1, RefundStatus.REFUSED, CHARGED_BACK)],
    )
    assert floor.run(payments.find_refund, refund.refund_id).state == "CONTESTED"
    hear(floor, order_id, ("d1", 600, LOST))
    found = floor.run(payments.find_refunds, floor.new_orders[order_id].payment_id)
    assert sorted((one.state, one.amount_minor) for one in found) == [
        ("CHARGED_BACK", 500),
        ("REQUESTED", 100),
    ]
    assert balances(floor) == {"provider:sandbox": 100, seller_of(floor, order_id): -100}
    assert portion(floor, order_id).charged_back_minor == 600


def test_a_refund_that_waited_is_made_when_the_dispute_is_won(floor: TradeFloor) -> None:
    order_id = paid(floor)
    refund = ask(floor, order_id, 500)
    floor.run(begin_refund_call, refund.refund_id, floor.world.now_ms())
    hear(
        floor,
        order_id,
        ("d1", 600, OPEN),
        refunds=[(refund.refund_id, 1, RefundStatus.REFUSED, CHARGED_BACK)],
    )
    hear(floor, order_id, ("d1", 600, WON))
    assert floor.run(payments.find_refund, refund.refund_id).state == "REQUESTED"


def test_a_hand_is_held_back_while_the_bank_decides(floor: TradeFloor) -> None:
    order_id = paid(floor)
    refund = ask(floor, order_id, 500)
    for attempt in range(1, 6):
        floor.world.advance(3_600_000)
        floor.run(begin_refund_call, refund.refund_id, floor.world.now_ms())
        hear(floor, order_id, refunds=[(refund.refund_id, attempt, RefundStatus.REFUSED, "refused_by_bank")])
    assert floor.run(payments.find_refund, refund.refund_id).state == "NEEDS_OPERATOR"
    hear(floor, order_id, ("d1", 700, OPEN))
    with pytest.raises(Refusal) as refused:
        floor.run(payments.settle_refund, refund.refund_id, "cheque", 1)
    assert refused.value.code == "payments.charged_back"
    hear(floor, order_id, ("d1", 700, LOST))
    assert floor.run(payments.find_refund, refund.refund_id).state == "CHARGED_BACK"
    assert balances(floor) == {}


def test_goods_that_come_back_after_a_chargeback_are_paid_by_the_bank(floor: TradeFloor) -> None:
    order_id = delivered(floor)
    hear(floor, order_id, ("d1", 700, OPEN))
    lines = [LineQuantity(1, 3)]
    item = floor.run(
        aftersales.accept_return, order_id, floor.mint("return"), lines, "C", floor.world.now_ms()
    )
    assert (item.state, item.refund_minor, item.held_minor) == ("RECEIVED", 0, 100)
    hear(floor, order_id, ("d1", 700, LOST))
    assert floor.run(aftersales.get_return, item.return_id).state == "CHARGED_BACK"
    assert floor.owed_minor(order_id) == 0


def test_goods_that_came_back_are_refunded_when_the_dispute_is_won(floor: TradeFloor) -> None:
    order_id = delivered(floor)
    hear(floor, order_id, ("d1", 60, OPEN))
    lines = [LineQuantity(1, 3), LineQuantity(2, 1)]
    item = floor.run(
        aftersales.accept_return, order_id, floor.mint("return"), lines, "C", floor.world.now_ms()
    )
    assert (item.refund_minor, item.held_minor) == (378 - 60, 60)
    hear(floor, order_id, ("d1", 60, WON))
    after = floor.run(aftersales.get_return, item.return_id)
    assert (after.refund_minor, after.held_minor) == (378, 0)
    assert floor.owed_minor(order_id) == 378


@pytest.mark.parametrize("verdict", [WON, LOST])
def test_an_order_cancelled_after_a_chargeback_is_paid_back_once(
    floor: TradeFloor, verdict: DisputeStatus
) -> None:
    order_id = paid(floor)
    hear(floor, order_id, ("d1", 250, OPEN))
    floor.run(aftersales.cancel_order, order_id, "SELLER", "sold_out", floor.world.now_ms())
    floor.deliver()
    assert floor.owed_minor(order_id) == 450
    hear(floor, order_id, ("d1", 250, verdict))
    assert floor.owed_minor(order_id) + portion(floor, order_id).charged_back_minor == 700
    refunds = floor.run(payments.find_refunds, floor.new_orders[order_id].payment_id)
    done = [(one.refund_id, 1, RefundStatus.SUCCEEDED, "") for one in refunds]
    hear(floor, order_id, ("d1", 250, verdict), refunds=done)
    assert balances(floor) == {}


def test_a_dispute_about_nothing_is_refused(floor: TradeFloor) -> None:
    order_id = floor.place(order_samples.new_order(floor.world))
    order = floor.new_orders[order_id]
    fact = ProviderFact(
        payment_id=order.payment_id,
        status=Status.PROCESSING,
        disputes=(DisputeFact(dispute_ref="d", amount_minor=5, status=OPEN),),
    )
    (answer,) = floor.run(payments.RECORD_RESULT.handle, [Heard(order.payment_id, "sandbox", 1, fact)])
    assert isinstance(answer, Refusal)
    assert answer.code == "payments.fact_mismatch"
