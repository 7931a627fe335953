"""Gifts after the sale: cancelled, returned, kept and paid for, with what their funders get back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests import order_samples
from tests.trade_floor import TradeFloor
from tests.unit.test_aftersales import delivered, paid
from tests.unit.test_cases import ask, now, step

from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade import aftersales, fulfilment, invoicing, orders
from tradepost.trade.aftersales import Asked, policy, settling
from tradepost.trade.aftersales.model import KeptGift
from tradepost.trade.invoicing import rules as invoicing_rules
from tradepost.trade.orders import Given, LineQuantity, OrderLine
from tradepost.trade.pricing import Adjustment, Funder

GIFT_WORTH = 90


def a_gift(line_no: int = 3, quantity: int = 1, **more: Any) -> OrderLine:
    facts: dict[str, Any] = {"earned_by": (1, 2), "least_minor": 600, "least_units": 1, **more}
    plain = order_samples.line(line_no, quantity, GIFT_WORTH)
    return msgspec.structs.replace(
        plain,
        total_minor=0,
        adjustments=(
            Adjustment(code="gift", reason="", funder=Funder.PLATFORM, amount_minor=-60, campaign_id="cmp_1"),
            Adjustment(code="gift", reason="", funder=Funder.SELLER, amount_minor=-30, campaign_id="cmp_1"),
        ),
        gift=Given(campaign_id="cmp_1", code="gift", **facts),
    )


def lines(**more: Any) -> tuple[OrderLine, ...]:
    return (*order_samples.LINES, a_gift(**more))


@pytest.fixture
def floor(world: TestWorld) -> TradeFloor:
    return TradeFloor(world)


def bought(floor: TradeFloor, *, arrived: bool = True, **more: Any) -> str:
    found = (delivered if arrived else paid)(floor, lines=lines(**more))  # type: ignore[arg-type]
    return found


def preview(floor: TradeFloor, order_id: str, *back: LineQuantity, **more: Any) -> settling.RefundPreview:
    asked = Asked(kind=more.pop("kind", "return_refund"), reason=more.pop("reason", "worn"), lines=back)
    found: settling.RefundPreview = floor.run(settling.preview, order_id, asked)
    return found


def back(floor: TradeFloor, order_id: str, *units: LineQuantity, reason: str = "worn") -> aftersales.Return:
    case = ask(floor, order_id, reason=reason, lines=units)
    step(floor, aftersales.approve, case, now(floor))
    return step(floor, aftersales.receive, case, now(floor))


def test_while_enough_is_kept_nothing_is_asked(floor: TradeFloor) -> None:
    order_id = bought(floor)  # 100 and 555 were bought; 600 is to be kept
    seen = preview(floor, order_id, LineQuantity(1, 1))
    assert (seen.refund_minor, seen.deduction_minor, seen.gifts) == (33, 0, ())
    assert back(floor, order_id, LineQuantity(1, 1)).refund_minor == 33


def test_a_gift_that_is_kept_is_paid_for_once(floor: TradeFloor) -> None:
    order_id = bought(floor)
    seen = preview(floor, order_id, LineQuantity(2, 1))
    case = back(floor, order_id, LineQuantity(2, 1))
    assert (case.refund_minor, case.deduction_minor, case.gifts) == (
        278 - GIFT_WORTH,
        GIFT_WORTH,
        (KeptGift(3, 1, GIFT_WORTH),),
    )
    assert (seen.refund_minor, seen.gifts) == (case.refund_minor, case.gifts)
    again = back(floor, order_id, LineQuantity(2, 1))
    assert (again.refund_minor, again.deduction_minor, again.gifts) == (277, 0, ())
    with pytest.raises(Refusal, match=r"returns\.quantity_exceeds"):  # it is the buyer's own now
        ask(floor, order_id, lines=(LineQuantity(3, 1),))


def test_a_gift_that_comes_back_costs_nothing(floor: TradeFloor) -> None:
    order_id = bought(floor)
    case = back(floor, order_id, LineQuantity(2, 2), LineQuantity(3, 1))
    assert (case.refund_minor, case.deduction_minor) == (555, 0)
    assert [(one.line_no, one.total_minor) for one in case.values] == [(2, 555), (3, 0)]
    received = floor.last("return.received.v1").data()
    assert order_samples.line(3, 1, 1).sku_id in [one.sku_id for one in received.stock]


def test_a_gift_alone_refunds_nothing(floor: TradeFloor) -> None:
    order_id = bought(floor)
    case = back(floor, order_id, LineQuantity(3, 1))
    assert (case.state, case.refund_minor) == ("REFUNDED", 0)
    assert back(floor, order_id, LineQuantity(2, 2)).refund_minor == 555  # it came back before


def test_a_gift_on_its_way_back_is_not_paid_for(floor: TradeFloor) -> None:
    order_id = bought(floor)
    sent = ask(floor, order_id, lines=(LineQuantity(3, 1),))
    step(floor, aftersales.approve, sent, now(floor))
    waiting = ask(floor, order_id, lines=(LineQuantity(2, 1),))
    step(floor, aftersales.approve, waiting, now(floor))
    assert preview(floor, order_id, LineQuantity(2, 1)).deduction_minor == GIFT_WORTH
    step(floor, aftersales.ship_back, sent, "T1", now(floor))
    assert preview(floor, order_id, LineQuantity(2, 1)).deduction_minor == 0
    assert step(floor, aftersales.receive, waiting, now(floor)).refund_minor == 278


def test_a_gift_that_was_paid_for_is_not_sent_back(floor: TradeFloor) -> None:
    order_id = bought(floor)
    late = ask(floor, order_id, lines=(LineQuantity(3, 1),))
    step(floor, aftersales.approve, late, now(floor))
    assert back(floor, order_id, LineQuantity(2, 1)).deduction_minor == GIFT_WORTH
    with pytest.raises(Refusal, match=r"returns\.quantity_exceeds"):
        step(floor, aftersales.ship_back, late, "T1", now(floor))


@pytest.mark.parametrize("reason", ["damaged", "wrong_item"])
def test_at_the_sellers_fault_the_gift_is_the_buyers(floor: TradeFloor, reason: str) -> None:
    order_id = bought(floor)
    assert preview(floor, order_id, LineQuantity(2, 2), reason=reason).deduction_minor == 0
    assert preview(floor, order_id, LineQuantity(2, 2), kind="replacement").gifts == ()


def test_a_market_may_let_buyers_keep_gifts(floor: TradeFloor, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = bought(floor)
    kept = msgspec.structs.replace(policy.policy_of("GB"), gifts=policy.KEEP)
    monkeypatch.setattr(settling, "policy_of", lambda market: kept)
    assert preview(floor, order_id, LineQuantity(2, 2)).deduction_minor == 0


def test_all_that_was_bought_brings_the_delivery_back(floor: TradeFloor) -> None:
    order_id = bought(floor)
    case = back(floor, order_id, LineQuantity(1, 3), LineQuantity(2, 2))
    assert (case.shipping_minor, case.refund_minor) == (45, 700 - GIFT_WORTH)


def test_a_gift_dearer_than_what_comes_back_takes_no_more_than_that(floor: TradeFloor) -> None:
    order_id = bought(floor, least_minor=650)
    case = back(floor, order_id, LineQuantity(1, 1))
    assert (case.refund_minor, case.deduction_minor, case.gifts) == (0, 33, (KeptGift(3, 1, 33),))
    rest = back(floor, order_id, LineQuantity(1, 1))
    assert (rest.refund_minor, rest.gifts) == (0, (KeptGift(3, 1, 34),))
    last = back(floor, order_id, LineQuantity(2, 1))
    assert (last.refund_minor, last.gifts) == (278 - 23, (KeptGift(3, 1, 23),))
    assert back(floor, order_id, LineQuantity(2, 1)).refund_minor == 277


def test_a_buyer_who_takes_goods_off_gives_up_the_gift(floor: TradeFloor) -> None:
    for initiator, left in (("BUYER", 0), ("SELLER", 1)):
        order_id = bought(floor, arrived=False)
        units = [LineQuantity(2, 1)]
        after = floor.run(aftersales.cancel_lines, order_id, units, initiator, "less", now(floor))
        assert after.body.lines[2].quantity - after.progress[2].cancelled == left
        told = floor.last("order.lines_cancelled.v1").data()
        assert told.refund_minor == 278
        floor.deliver()
        assert floor.owed_minor(order_id) == 278


def test_the_last_thing_bought_takes_the_gift_with_it(floor: TradeFloor) -> None:
    order_id = bought(floor, arrived=False)
    units = [LineQuantity(1, 3), LineQuantity(2, 2)]
    after = floor.run(aftersales.cancel_lines, order_id, units, "SELLER", "none left", now(floor))
    assert (after.state, after.cancellation.refund_minor) == ("CANCELLED", 700)
    stock = {one.sku_id: one.quantity for one in floor.last("order.cancelled.v1").data().stock}
    assert stock[order_samples.line(3, 1, 1).sku_id] == 1


def test_a_gift_alone_can_be_cancelled(floor: TradeFloor) -> None:
    order_id = bought(floor, arrived=False)
    after = floor.run(aftersales.cancel_lines, order_id, [LineQuantity(3, 1)], "BUYER", "no", now(floor))
    floor.deliver()
    assert (after.progress[2].cancelled, floor.owed_minor(order_id)) == (1, 0)


def test_a_packed_gift_stays(floor: TradeFloor) -> None:
    order_id = bought(floor, arrived=False)
    parcel = [fulfilment.PackLine(3, 1)]
    floor.run(fulfilment.pack, order_id, floor.mint("package"), parcel, now(floor))
    floor.deliver()
    after = floor.run(
        aftersales.cancel_lines, order_id, [LineQuantity(2, 1)], "SELLER", "none left", now(floor)
    )
    assert (after.progress[2].cancelled, after.progress[2].packed) == (0, 1)


def test_the_invoice_lists_the_gift_for_nothing(floor: TradeFloor) -> None:
    order_id = bought(floor)
    order: orders.Order = floor.order(order_id)
    from tradepost.markets import market

    draft = invoicing_rules.draft_invoice(order, invoicing.LegalParty(name="S"), market("GB"), "inv_1", 5)
    given = draft.document.lines[2]
    assert (given.net_minor, given.tax_minor, given.gross_minor, given.allowance_minor) == (
        0,
        0,
        0,
        given.list_minor,
    )
    assert draft.document.gross_minor == 700
