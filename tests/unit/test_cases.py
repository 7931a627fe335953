"""Cases after the sale: their steps, deadlines and verdicts, what they pay, and one row per refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests import order_samples
from tests.trade_floor import TradeFloor
from tests.unit.test_aftersales import REFUSALS as OLD
from tests.unit.test_aftersales import delivered, paid

from tradepost.kernel.errors import Refusal, problem_table
from tradepost.testing.world import TestWorld
from tradepost.trade import aftersales, fulfilment, orders
from tradepost.trade.aftersales import Asked, Evidence, Return, WantedOffer, store
from tradepost.trade.orders import LineQuantity

HOUR_MS = order_samples.HOUR_MS
ALL = (LineQuantity(1, 3), LineQuantity(2, 2))


@pytest.fixture
def floor(world: TestWorld) -> TradeFloor:
    return TradeFloor(world)


def ask(floor: TradeFloor, order_id: str, party: str = "BUYER", reason: str = "worn", **facts: Any) -> Return:
    facts.setdefault("lines", () if facts.get("amount_minor") else (LineQuantity(1, 1),))
    case = aftersales.new_case(order_id, floor.mint("return"), reason, floor.world.now_ms(), **facts)
    found: Return = floor.run(aftersales.request_case, case, party)
    return found


def step(floor: TradeFloor, work: Callable[..., Any], case: Return, *args: Any) -> Return:
    found: Return = floor.run(work, case.return_id, *args)
    return found


def sweep(floor: TradeFloor) -> None:
    now_ms = floor.world.now_ms()
    for return_id in floor.run(store.due_returns, now_ms, 100):
        floor.run(aftersales.decide_by_default, return_id, now_ms)


def now(floor: TradeFloor) -> int:
    return floor.world.now_ms()


def test_goods_stay_and_the_money_goes_back(floor: TradeFloor) -> None:
    order_id = delivered(floor)
    case = ask(floor, order_id, kind="refund_only", lines=(LineQuantity(2, 1),))
    granted = step(floor, aftersales.approve, case, now(floor))
    assert (granted.state, granted.refund_minor) == ("GRANTED", 278)
    assert floor.last("return.granted.v1").data().refund_minor == 278
    floor.hear(order_id, refunded=granted.refund_id)
    floor.deliver()
    assert step(floor, aftersales.get_return, case).state == "REFUNDED"
    assert floor.run(aftersales.returnable_lines, order_id) == (LineQuantity(1, 3), LineQuantity(2, 1))


def test_an_amount_comes_off_what_its_line_still_gives(floor: TradeFloor) -> None:
    order_id = delivered(floor)
    case = ask(floor, order_id, "SELLER", kind="refund_only", amount_minor=60, lines=(LineQuantity(1, 1),))
    assert step(floor, aftersales.approve, case, now(floor)).refund_minor == 60
    amounts = []
    for _ in range(3):
        lines = [LineQuantity(1, 1)]
        item = floor.run(aftersales.accept_return, order_id, floor.mint("return"), lines, "C", now(floor))
        amounts.append(item.refund_minor)
    assert amounts == [33, 7, 0]
    assert sum(amounts) + 60 == 100


def test_the_sellers_fault_gives_back_its_part_of_the_delivery(floor: TradeFloor) -> None:
    order_id = delivered(floor)
    case = ask(floor, order_id, reason="missing", kind="claim", lines=(LineQuantity(2, 1),))
    granted = step(floor, aftersales.approve, case, now(floor))
    assert (granted.refund_minor, granted.shipping_minor) == (278 + 19, 19)  # 45 * 278 / 655
    rest = (LineQuantity(1, 3), LineQuantity(2, 1))
    item = floor.run(
        aftersales.accept_return, order_id, floor.mint("return"), rest, "changed_mind", now(floor)
    )
    assert (item.refund_minor, item.shipping_minor) == (655 - 278 + 26, 26)
    assert floor.owed_minor(order_id) == 700


def test_worn_goods_are_worth_less_and_written_off(floor: TradeFloor) -> None:
    order_id = delivered(floor)
    case = ask(floor, order_id, lines=(LineQuantity(2, 2),))
    step(floor, aftersales.approve, case, now(floor))
    step(floor, aftersales.ship_back, case, "RM1", now(floor))
    step(floor, aftersales.arrive, case, now(floor))
    item = step(floor, aftersales.receive, case, now(floor), aftersales.WRITTEN_OFF, 155)
    assert (item.refund_minor, item.deduction_minor) == (400, 155)
    assert floor.last("return.received.v1").data().stock == ()
    counted = floor.run(aftersales.accept_return, order_id, floor.mint("return"), ALL[:1], "C", now(floor))
    assert counted.refund_minor == 100 + 45


def test_a_silent_seller_has_agreed_and_a_silent_buyer_keeps_the_goods(floor: TradeFloor) -> None:
    order_id = delivered(floor)
    asked = ask(floor, order_id)
    money = ask(floor, order_id, kind="refund_only", lines=(LineQuantity(2, 1),))
    floor.world.advance(48 * HOUR_MS - 1)
    sweep(floor)
    assert step(floor, aftersales.get_return, asked).state == "REQUESTED"
    floor.world.advance(1)
    sweep(floor)
    assert step(floor, aftersales.get_return, asked).state == "APPROVED"
    assert step(floor, aftersales.get_return, money).state == "GRANTED"
    floor.world.advance(14 * 24 * HOUR_MS)
    sweep(floor)
    assert step(floor, aftersales.get_return, asked).state == "CLOSED"
    assert floor.run(aftersales.returnable_lines, order_id)[0] == LineQuantity(1, 3)


@pytest.mark.parametrize("reach", ["SHIPPED_BACK", "INSPECTING"])
def test_goods_nobody_looked_at_count_as_accepted(floor: TradeFloor, reach: str) -> None:
    case = ask(floor, delivered(floor))
    step(floor, aftersales.approve, case, now(floor))
    step(floor, aftersales.ship_back, case, "RM1", now(floor))
    if reach == "INSPECTING":
        step(floor, aftersales.arrive, case, now(floor))
    floor.world.advance(21 * 24 * HOUR_MS)
    sweep(floor)
    assert step(floor, aftersales.get_return, case).state == "RECEIVED"


@pytest.mark.parametrize(
    ("brought", "state"),
    [((), "GRANTED"), (("BUYER",), "GRANTED"), (("SELLER",), "DISMISSED"), (("BUYER", "SELLER"), "DISPUTED")],
)
def test_when_the_time_for_evidence_is_over(floor: TradeFloor, brought: tuple[str, ...], state: str) -> None:
    case = ask(floor, delivered(floor), kind="refund_only")
    step(floor, aftersales.refuse, case, "no", now(floor))
    step(floor, aftersales.escalate, case, now(floor))
    for party in brought:
        floor.run(
            aftersales.add_evidence, case.return_id, Evidence(party=party, note="look", at_ms=now(floor))
        )
    floor.world.advance(5 * 24 * HOUR_MS)
    sweep(floor)
    sweep(floor)
    assert step(floor, aftersales.get_return, case).state == state


def test_the_operator_has_the_last_word(floor: TradeFloor) -> None:
    order_id = delivered(floor)
    case = ask(floor, order_id)
    step(floor, aftersales.refuse, case, "worn", now(floor))
    step(floor, aftersales.escalate, case, now(floor))
    ordered = floor.run(
        lambda tx: aftersales.judge(
            tx, case.return_id, "BUYER", "fair", now(floor), "OPERATOR", goods_back=True
        )
    )
    assert (ordered.state, ordered.decision) == ("APPROVED", "fair")
    step(floor, aftersales.arrive, case, now(floor))
    step(floor, aftersales.refuse, case, "an_empty_box", now(floor))
    step(floor, aftersales.escalate, case, now(floor))
    settled = step(floor, aftersales.judge, case, "BUYER", "it_was_full", now(floor), "OPERATOR")
    assert (settled.state, settled.refund_minor) == ("RECEIVED", 33)


def test_goods_that_were_sent_back_are_not_sent_back_again(floor: TradeFloor) -> None:
    case = ask(floor, delivered(floor))
    step(floor, aftersales.approve, case, now(floor))
    step(floor, aftersales.ship_back, case, "RM1", now(floor))
    step(floor, aftersales.escalate, case, now(floor), "SELLER")
    judged = step(floor, aftersales.judge, case, "BUYER", "fair", now(floor), "OPERATOR")
    assert (judged.state, judged.tracking, judged.decision) == ("SHIPPED_BACK", "RM1", "fair")
    assert floor.last("return.shipped_back.v1").version == judged.version
    floor.world.advance(21 * 24 * HOUR_MS)
    sweep(floor)
    assert step(floor, aftersales.get_return, case).state == "RECEIVED"


def test_the_rest_of_a_part_returned_order_takes_the_delivery_with_it(floor: TradeFloor) -> None:
    order_id = paid(floor)
    floor.run(fulfilment.pack, order_id, floor.mint("package"), [fulfilment.PackLine(1, 3)], 1)
    package = floor.run(fulfilment.list_packages, order_id)[0].package_id
    floor.run(fulfilment.collect, order_id, package, "acme", "T1", 2)
    floor.run(fulfilment.deliver, order_id, package, 3)
    floor.deliver()
    floor.run(aftersales.accept_return, order_id, floor.mint("return"), ALL[:1], "C", 4)
    floor.run(aftersales.cancel_lines, order_id, ALL[1:], "SELLER", "sold_out", 5)
    floor.deliver()
    assert floor.owed_minor(order_id) == 700


@pytest.mark.parametrize(
    "asked",
    [
        Asked(kind="return_refund", reason="C", lines=(LineQuantity(1, 2),)),
        Asked(kind="return_refund", reason="C", lines=ALL),
        Asked(kind="claim", reason="missing", lines=(LineQuantity(2, 1),)),
        Asked(kind="refund_only", reason="C", lines=(), amount_minor=123),
        Asked(kind="return_refund", reason="C", lines=(LineQuantity(1, 1),), deduction_minor=5),
    ],
)
def test_the_preview_is_the_refund(floor: TradeFloor, asked: Asked) -> None:
    order_id = delivered(floor)
    shown = floor.run(aftersales.preview, order_id, asked)
    assert sum(entry.amount_minor for entry in shown.entries) == 0
    assert [tender.amount_minor for tender in shown.tenders] == [shown.refund_minor]
    case = ask(
        floor,
        order_id,
        "OPERATOR",
        asked.reason,
        kind=asked.kind,
        lines=asked.lines,
        amount_minor=asked.amount_minor,
    )
    settled = step(floor, aftersales.approve, case, now(floor))
    if settled.state == "APPROVED":
        settled = step(floor, aftersales.receive, case, now(floor), "returned", asked.deduction_minor)
    assert (settled.refund_minor, settled.values, settled.shipping_minor) == (
        shown.refund_minor,
        shown.lines,
        shown.shipping_minor,
    )
    floor.hear(order_id, refunded=settled.refund_id)
    posted = floor.run(lambda tx: floor.journal(tx, order_id, f"refund.{settled.refund_id[-26:]}"))
    assert sorted(posted) == sorted((entry.account, entry.amount_minor) for entry in shown.entries)


def _late(floor: TradeFloor, order_id: str) -> object:
    case = ask(floor, order_id)
    step(floor, aftersales.refuse, case, "no", now(floor))
    floor.world.advance(14 * 24 * HOUR_MS + 1)
    return step(floor, aftersales.escalate, case, now(floor))


def _full(floor: TradeFloor, order_id: str) -> object:
    case = ask(floor, order_id)
    step(floor, aftersales.refuse, case, "no", now(floor))
    step(floor, aftersales.escalate, case, now(floor))
    for _ in range(41):
        floor.run(aftersales.add_evidence, case.return_id, Evidence(party="BUYER", note="again"))
    return case


REFUSALS: list[tuple[str, Callable[[TradeFloor, str], object]]] = [
    ("returns.amount_exceeds", lambda f, o: ask(f, o, "SELLER", kind="refund_only", amount_minor=656)),
    ("returns.kind_invalid", lambda f, o: ask(f, o, kind="barter")),
    ("returns.kind_invalid", lambda f, o: ask(f, o, amount_minor=5)),
    ("returns.kind_invalid", lambda f, o: ask(f, o, wanted=(WantedOffer("off_1", 1),))),
    ("returns.escalation_late", _late),
    ("returns.evidence_full", _full),
    ("aftersales.not_allowed", lambda f, o: step(f, aftersales.approve, ask(f, o), 1, "BUYER")),
    ("aftersales.not_allowed", lambda f, o: ask(f, o, "SELLER", kind="claim")),
    ("returns.quantity_exceeds", lambda f, o: (ask(f, o, lines=ALL), ask(f, o, kind="refund_only"))),
]


@pytest.mark.parametrize(("code", "act"), REFUSALS)
def test_refusals(floor: TradeFloor, code: str, act: Callable[[TradeFloor, str], object]) -> None:
    order_id = delivered(floor, return_window_ms=0)
    with pytest.raises(Refusal) as refused:
        act(floor, order_id)
    assert refused.value.code == code
    assert refused.value.problem


def test_goods_that_came_in_exchange_are_not_exchanged_again(floor: TradeFloor) -> None:
    new = order_samples.line(1, 1, 0)
    credit = {"code": "exchange_credit", "reason": "r", "funder": "seller", "amount_minor": -100}
    line = msgspec.convert({**msgspec.to_builtins(new), "adjustments": [credit]}, orders.OrderLine)
    order_id = floor.place(order_samples.new_order(floor.world, [line], shipping_minor=0))
    with pytest.raises(Refusal) as refused:
        ask(floor, order_id, kind="exchange")
    assert refused.value.code == "returns.exchanged_already"


def test_every_new_code_has_a_row() -> None:
    declared = {code for code in problem_table() if code.startswith(("aftersales.", "returns."))}
    rows = {code for code, *_ in (*OLD, *REFUSALS)} | {"returns.exchanged_already"}
    assert declared <= rows
