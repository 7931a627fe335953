"""Settlement from delivery to the bank: due, stated, paid, given back; the ledger agrees at every step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from tests import order_samples
from tests.money_floor import DAY, HERE, PROMOTIONS, MoneyFloor, discounted

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import SettlementTerms, Withholding
from tradepost.markets import market
from tradepost.testing.world import TestWorld
from tradepost.trade import payments, settlement
from tradepost.trade.settlement import Destination, adjusting, moving, rules
from tradepost.trade.settlement.payouts.port import BankStatus

LINES = (discounted(1, 3, 3_000, seller=100, platform=301), discounted(2, 2, 2_001, creator=101))


@pytest.fixture
def floor() -> Iterator[MoneyFloor]:
    made = MoneyFloor(TestWorld())
    yield made
    made.database.close()


def owed_of(order_lines: tuple[object, ...] = LINES, shipping: int = 45) -> int:
    """List less the seller's own discounts, less fee and tax: what the seller of these lines is owed."""
    total = 2_599 + 1_900 + shipping
    fee, tax = 2_599 // 20 + 1_900 // 20, 2_599 // 6 + 1_900 // 6
    return total - fee - tax + 301 + 101


def test_from_delivery_to_the_bank(floor: MoneyFloor) -> None:
    order_id = floor.sell(LINES)
    assert -floor.balance(f"seller:{floor.seller}") == owed_of()
    assert (floor.balance(PROMOTIONS), floor.balance("creator:cre_1")) == (301, 101)
    [unsettled] = floor.run(settlement.overview, floor.seller).unsettled
    assert (unsettled.orders, unsettled.amount_minor) == (1, owed_of())
    assert floor.settle() == 0, "seven days are not over"
    floor.world.advance(7 * DAY)
    assert floor.settle() == 1
    assert floor.balance(f"seller:{floor.seller}") == 0
    assert -floor.balance(f"payable:{floor.seller}") == owed_of()
    assert floor.balance("transit:settlement") == 0
    [line] = floor.lines()
    assert line.components == {
        "goods": 5_001,
        "seller_discount": -100,
        "platform_discount": -301,
        "creator_discount": -101,
        "shipping": 45,
        "tax": -(2_599 // 6 + 1_900 // 6),
        "platform_fee": -(2_599 // 20 + 1_900 // 20),
        "platform_funding": 301,
        "creator_funding": 101,
    }
    assert floor.run(settlement.overview, floor.seller).unsettled == ()
    floor.run(settlement.set_destination, floor.seller, HERE, 0, floor.world.now_ms())
    assert floor.cut() == [], "the day is not over"
    floor.world.advance(DAY)
    [statement] = floor.cut()
    assert (statement.opening_minor, statement.amount_minor, statement.closing_minor) == (
        0,
        owed_of(),
        owed_of(),
    )
    assert statement.components == line.components
    assert floor.bank(BankStatus.PAID).state == "PAID"
    assert floor.balance("bank:sandbox") == -owed_of()
    assert floor.balance(f"payable:{floor.seller}") == 0
    floor.check()
    assert floor.run(settlement.find_settlement, order_id).state == "SETTLED"


def test_a_refund_after_the_payout_is_netted_with_the_next_sale(floor: MoneyFloor) -> None:
    floor.run(settlement.set_destination, floor.seller, HERE, 0, floor.world.now_ms())
    first = floor.sell(LINES)
    floor.world.advance(7 * DAY)
    floor.settle()
    floor.world.advance(DAY)
    floor.cut()
    floor.bank(BankStatus.PAID)
    floor.refund(first, 2_599 + 1_900 + 45)
    assert floor.settle() == 1
    assert floor.balance(f"payable:{floor.seller}") == owed_of(), "the seller owes us now"
    assert (floor.balance(PROMOTIONS), floor.balance("creator:cre_1")) == (0, 0)
    change = next(line for line in floor.lines() if line.kind == "change")
    assert sum(change.components.values()) == change.amount_minor == -owed_of()
    floor.world.advance(DAY)
    floor.cut()
    second = floor.sell((discounted(1, 1, 10_000),))
    floor.world.advance(7 * DAY)
    assert floor.settle() == 1
    floor.world.advance(DAY)
    floor.cut()
    left = 10_045 - 10_000 // 20 - 10_000 // 6 - owed_of()
    assert floor.bank(BankStatus.PAID).amount_minor == left
    floor.check()
    assert second != first


def test_a_partial_refund_divides_as_its_cause_tells(floor: MoneyFloor) -> None:
    order_id = floor.sell(LINES)
    told = payments.Division(2_599 // 20, 2_599 // 6, (payments.Funding(PROMOTIONS, 301),))
    floor.refund(order_id, 2_599, told)
    assert (floor.balance(PROMOTIONS), floor.balance("creator:cre_1")) == (0, 101)
    floor.world.advance(7 * DAY)
    assert floor.settle() == 1
    [line] = floor.lines()
    assert line.amount_minor == 1_900 + 45 - 1_900 // 20 - 1_900 // 6 + 101
    assert line.components["platform_fee"] == -(1_900 // 20)
    floor.check()


def test_money_on_its_way_back_is_waited_for(floor: MoneyFloor) -> None:
    order_id = floor.sell(LINES)
    asked = payments.RefundRequest(
        refund_id=floor.mint("refund"),
        payment_id=floor.new_orders[order_id].payment_id,
        order_id=order_id,
        amount_minor=10,
        reason="asked",
        at_ms=1,
    )
    floor.run(payments.request_refund, asked)
    floor.world.advance(7 * DAY)
    assert floor.settle() == 0
    assert floor.run(settlement.find_settlement, order_id).due_at_ms == floor.world.now_ms() + moving.AGAIN_MS


def test_what_is_not_stated_yet_is_not_paid(floor: MoneyFloor) -> None:
    floor.run(settlement.set_destination, floor.seller, HERE, 0, floor.world.now_ms())
    floor.sell(LINES)
    floor.world.advance(DAY // 2)
    floor.sell((discounted(1, 1, 10_000),))
    floor.world.advance(7 * DAY - DAY // 2)
    assert floor.settle() == 1
    floor.world.advance(DAY)
    assert floor.settle() == 1, "the second is due a day later, and of the day that is not over"
    floor.cut()
    floor.cut()
    [paid] = floor.run(settlement.list_payouts, floor.seller)
    assert paid.amount_minor == owed_of()
    floor.check()


def test_a_held_order_waits_for_its_release(floor: MoneyFloor) -> None:
    order_id = floor.sell(LINES)
    floor.run(settlement.hold, order_id, "dispute")
    floor.world.advance(8 * DAY)
    assert floor.settle() == 0
    floor.run(settlement.release, order_id, floor.world.now_ms())
    assert floor.settle() == 1
    with pytest.raises(Refusal) as refused:
        floor.run(settlement.hold, order_id, "too late")
    assert refused.value.code == "state.conflict"
    with pytest.raises(Refusal) as refused:
        floor.run(settlement.find_settlement, floor.mint("order"))
    assert refused.value.code == "settlement.not_found"


def test_a_refusing_bank_is_asked_again_and_then_the_balance_has_it_back(floor: MoneyFloor) -> None:
    floor.run(settlement.set_destination, floor.seller, HERE, 0, floor.world.now_ms())
    floor.sell(LINES)
    floor.world.advance(7 * DAY)
    floor.settle()
    floor.world.advance(DAY)
    floor.cut()
    for _ in range(rules.ATTEMPTS_MAX - 1):
        refused = floor.bank(BankStatus.REFUSED, "limit")
        assert refused.state == "REFUSED"
        floor.world.set_now(refused.next_at_ms)
        floor.check()
    failed = floor.bank(BankStatus.REFUSED, "limit")
    assert failed.state == "FAILED"
    assert -floor.balance(f"payable:{floor.seller}") == owed_of()
    assert floor.run(settlement.overview, floor.seller).payout_account.blocked
    floor.world.advance(2 * DAY)
    floor.cut()
    assert len(floor.run(settlement.list_payouts, floor.seller)) == 1, "nothing is sent to a blocked account"
    other = Destination(holder="North Kiln", account="123456780000")
    with pytest.raises(Refusal) as unread:
        floor.run(settlement.set_destination, floor.seller, other, 0, floor.world.now_ms())
    assert unread.value.code == "version.conflict", "an account that stands is replaced by who has read it"
    floor.run(settlement.set_destination, floor.seller, other, 2, floor.world.now_ms())
    floor.cut()
    paid = floor.bank(BankStatus.PAID)
    back = floor.tell(paid.payout_id, paid.attempts, BankStatus.RETURNED, "no such holder")
    assert back.state == "RETURNED"
    assert floor.tell(paid.payout_id, paid.attempts, BankStatus.PAID).state == "RETURNED", "old news"
    assert -floor.balance(f"payable:{floor.seller}") == owed_of()
    assert floor.balance("bank:sandbox") == 0
    floor.check()


def test_reserve_and_withholding_are_lines_of_their_day(
    floor: MoneyFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = SettlementTerms(reserve_bps=1_000, reserve_ms=3 * DAY, payout_min_minor=100)
    kept = (Withholding(kind="income", percent="2.5"), Withholding(kind="vat", percent="50", of="tax"))
    strict = replace(market("GB"), settlement=terms, withholdings=kept)
    monkeypatch.setattr(moving, "market", lambda code: strict)
    for module in (settlement.arriving, settlement.cutting, settlement.payouts.paying):
        monkeypatch.setattr(module, "market", lambda code: strict)
    floor.run(settlement.set_destination, floor.seller, HERE, 0, floor.world.now_ms())
    floor.sell((discounted(1, 1, 6_000),), shipping_minor=0)
    floor.world.advance(7 * DAY)
    floor.settle()
    floor.world.advance(DAY)
    [statement] = floor.cut()
    assert statement.components["withholding"] == -(125 + 500)
    reserve = (6_000 - 1_000 - 300 - 625) // 10
    assert statement.components["reserve"] == -reserve
    assert floor.balance(f"reserve:{floor.seller}") == -reserve
    assert floor.bank(BankStatus.PAID).amount_minor == 4_075 - reserve
    floor.check()
    floor.world.advance(4 * DAY)
    floor.cut()
    assert floor.balance(f"reserve:{floor.seller}") == 0
    assert floor.bank(BankStatus.PAID).amount_minor == reserve
    floor.check()


def test_adjustments_are_typed(floor: MoneyFloor) -> None:
    now_ms = floor.world.now_ms()
    first = floor.mint("adjustment")
    line = floor.run(adjusting.adjust, floor.key, first, "penalty", -500, "late", now_ms)
    assert floor.run(adjusting.adjust, floor.key, first, "penalty", -500, "late", now_ms) == line
    assert floor.balance("platform:penalties") == -500
    floor.run(adjusting.adjust, floor.key, floor.mint("adjustment"), "collection", 500, "paid in", now_ms)
    assert floor.balance(f"payable:{floor.seller}") == 0
    floor.check()
    for kind, amount in (("collection", -1), ("sample_shipping", 5), ("penalty", 0), ("gift", 5)):
        with pytest.raises(Refusal) as refused:
            floor.run(adjusting.adjust, floor.key, floor.mint("adjustment"), kind, amount, "", now_ms)
        assert refused.value.code == "settlement.adjustment_invalid"


def test_a_late_line_belongs_to_the_next_open_day(floor: MoneyFloor) -> None:
    floor.sell(LINES)
    floor.world.advance(7 * DAY)
    moved = floor.run(moving.settle_due, [next(iter(floor.new_orders))], floor.world.now_ms())
    assert moved == 1  # its event is not delivered yet
    moved_day = rules.day_of(market("GB"), floor.world.now_ms())
    floor.world.advance(2 * DAY)
    floor.cut()
    floor.deliver()
    [line] = floor.lines()
    assert line.day == moved_day + 2
    floor.check()


def test_a_settlement_whose_parts_differ_is_refused(
    floor: MoneyFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = floor.sell(LINES)
    floor.world.advance(7 * DAY)
    monkeypatch.setattr(rules, "components_of", lambda *_: {"goods": 1})
    with pytest.raises(Refusal) as refused:
        floor.run(moving.settle_due, [order_id], floor.world.now_ms())
    assert refused.value.code == "settlement.unbalanced"
    floor.run(moving.set_aside, order_id, refused.value.code)
    assert floor.settle() == 0


@pytest.mark.parametrize("account", ["GB82WEST12345698765431", "12", "", "a b!c", "x" * 35])
def test_destinations_that_cannot_be_paid_are_refused(floor: MoneyFloor, account: str) -> None:
    with pytest.raises(Refusal) as refused:
        floor.run(settlement.set_destination, floor.seller, Destination(holder="A", account=account), 0, 1)
    assert refused.value.code == "settlement.destination_invalid"


def test_what_is_not_there_is_refused(floor: MoneyFloor) -> None:
    with pytest.raises(Refusal) as refused:
        floor.run(settlement.get_statement, floor.key, 20_000)
    assert refused.value.code == "settlement.statement_not_found"
    with pytest.raises(Refusal) as refused:
        floor.tell(floor.world.mint("payout", 9), 1, BankStatus.PAID)
    assert refused.value.code == "settlement.payout_not_found"
    with pytest.raises(Refusal) as refused:
        settlement.day_from("yesterday")
    assert refused.value.code == "settlement.day_invalid"


def test_days_follow_the_market() -> None:
    assert settlement.date_of(settlement.day_of(market("JP"), 1_790_010_000_000)) == "2026-09-22"
    assert settlement.date_of(settlement.day_of(market("GB"), 1_790_010_000_000)) == "2026-09-21"
    day = settlement.day_from("2026-10-25")  # clocks go back: 25 hours
    assert rules.end_of(market("GB"), day) - rules.end_of(market("GB"), day - 1) == 25 * 3_600_000
    assert order_samples.GENE == 7
