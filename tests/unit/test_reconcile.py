"""Reconciliation: sides that agree are silent; every difference has a type, an age and a proposal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from tests.money_floor import DAY, HERE, MoneyFloor, discounted

from tradepost.books.income import collect_income, render_csv
from tradepost.books.reconcile import (
    Gathered,
    Reconciliation,
    ReportRow,
    Window,
    gather,
    read_report,
    reconcile,
    render_page,
)
from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade import settlement
from tradepost.trade.payments import (
    RECORD_RESULT,
    DisputeFact,
    DisputeStatus,
    Heard,
    ProviderFact,
    Status,
)
from tradepost.trade.settlement.payouts.port import BankStatus

TOTAL = 3_045


@pytest.fixture
def floor() -> Iterator[MoneyFloor]:
    made = MoneyFloor(TestWorld())
    made.run(settlement.set_destination, made.seller, HERE, 0, made.world.now_ms())
    yield made
    made.database.close()


@pytest.fixture
def sold(floor: MoneyFloor) -> str:
    """An order that was sold, settled, stated and paid out; its payment."""
    order_id = floor.sell((discounted(1, 3, 3_000),))
    floor.world.advance(7 * DAY)
    floor.settle()
    floor.world.advance(DAY)
    floor.cut()
    floor.bank(BankStatus.PAID)
    return floor.new_orders[order_id].payment_id


def look(floor: MoneyFloor) -> Gathered:
    found: Gathered = floor.run(gather, floor.world.now_ms())
    return found


def compare(
    floor: MoneyFloor,
    provider: list[ReportRow] | None = None,
    bank: list[ReportRow] | None = None,
    window: Window | None = None,
) -> Reconciliation:
    return reconcile(
        [look(floor)],
        provider=provider,
        bank=bank,
        window=window or Window(),
        day="",
        now_ms=floor.world.now_ms(),
    )


def row(name: str, amount: int, at_ms: int, kind: str = "capture") -> ReportRow:
    return ReportRow(id=name, kind=kind, amount_minor=amount, currency="GBP", at_ms=at_ms, fee_minor=7)


def kinds(found: Reconciliation) -> list[tuple[str, str]]:
    return [(one.kind, one.subject) for one in found.breaks]


def test_sides_that_agree_are_silent(floor: MoneyFloor, sold: str) -> None:
    [paid] = floor.run(settlement.list_payouts, floor.seller)
    taken_ms = look(floor).moved[0].at_ms
    found = compare(
        floor,
        [row(sold, TOTAL, taken_ms)],
        [row(paid.payout_id, paid.amount_minor, paid.requested_at_ms, "payout")],
    )
    assert found.breaks == ()
    assert found.agrees
    assert found.sides["GBP"]["ledger_capture"] == found.sides["GBP"]["provider_capture"] == TOTAL
    assert found.sides["GBP"]["payouts_paid"] == paid.amount_minor
    assert found.provider_fees == {"GBP": 7}
    assert "All sides agree" in render_page(found)


def test_what_only_one_side_knows_is_named(floor: MoneyFloor, sold: str) -> None:
    now_ms = floor.world.now_ms()
    found = compare(floor, [row("pay_of_nobody", 500, now_ms)])
    assert sorted(kinds(found)) == [("provider_missing", sold), ("provider_unknown", "pay_of_nobody")]
    by_kind = {one.kind: one for one in found.breaks}
    assert by_kind["provider_missing"].amount_minor == TOTAL
    assert by_kind["provider_missing"].age == "this month"
    assert by_kind["provider_unknown"].age == "today"
    assert sold in by_kind["provider_missing"].proposal
    assert not found.agrees
    page = render_page(found)
    assert "provider_unknown" in page
    assert "-5.00 GBP" in page
    wrong = compare(floor, [row(sold, TOTAL - 1, now_ms)])
    assert kinds(wrong) == [("provider_amount", sold)]


def test_a_neighbouring_day_is_timing(floor: MoneyFloor, sold: str) -> None:
    taken_ms = look(floor).moved[0].at_ms
    window = Window(from_ms=taken_ms // DAY * DAY, until_ms=taken_ms // DAY * DAY + DAY)
    found = compare(floor, [row(sold, TOTAL, window.until_ms + 5)], window=window)
    assert kinds(found) == [("provider_timing", sold)]
    assert found.agrees, "nothing is to be repaired"


def test_banks_are_compared(floor: MoneyFloor, sold: str) -> None:
    [paid] = floor.run(settlement.list_payouts, floor.seller)
    now_ms = floor.world.now_ms()
    assert kinds(compare(floor, bank=[])) == [("bank_missing", paid.payout_id)]
    odd = [row(paid.payout_id, 1, now_ms, "payout"), row("pyo_other", 9, now_ms, "payout")]
    assert kinds(compare(floor, bank=odd)) == [("bank_unknown", "pyo_other"), ("bank_amount", paid.payout_id)]
    assert sold


def test_what_waits_too_long_is_named(floor: MoneyFloor) -> None:
    order_id = floor.sell((discounted(1, 1, 1_000),))
    floor.world.advance(9 * DAY)
    assert kinds(compare(floor)) == [("settlement_overdue", order_id)]
    floor.settle()
    floor.world.advance(DAY)
    floor.cut()
    floor.world.advance(4 * DAY)
    [stuck] = floor.run(settlement.list_payouts, floor.seller)
    assert kinds(compare(floor)) == [("payout_stuck", stuck.payout_id)]
    floor.bank(BankStatus.FAILED, "closed")
    found = compare(floor)
    assert kinds(found) == [("payout_failed", stuck.payout_id)]
    assert found.agrees


def test_damage_in_the_rows_is_found(floor: MoneyFloor, sold: str) -> None:
    gathered = look(floor)
    broken = replace(
        gathered,
        settlement=replace(
            gathered.settlement,
            in_transit={"GBP": 5},
            findings=(settlement.SettlementFinding("balance", "sel_1", "off by one"),),
        ),
    )
    found = reconcile([broken], provider=None, bank=None, window=Window(), day="", now_ms=1)
    assert kinds(found) == [("settlement", "sel_1"), ("in_transit", "GBP")]
    assert sold


CSV = "payment_id,kind,amount,currency,at,fee_minor\npay_1,capture,12.30,gbp,2026-11-20T10:00:00Z,25\n"
LINES = '{"payout_id": "pyo_1", "kind": "payout", "amount_minor": 99, "currency": "JPY", "at": 5}\n'


def test_reports_are_csv_or_json_lines() -> None:
    assert read_report(CSV) == [
        ReportRow(
            id="pay_1",
            kind="capture",
            amount_minor=1_230,
            currency="GBP",
            at_ms=1_795_168_800_000,
            fee_minor=25,
        )
    ]
    assert read_report(LINES) == [
        ReportRow(id="pyo_1", kind="payout", amount_minor=99, currency="JPY", at_ms=5)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "payment_id,amount,currency\npay_1,1.234,GBP\n",
        "payment_id,amount,currency\n,1,GBP\n",
        "payment_id,currency\npay_1,GBP\n",
        "payment_id,kind,amount,currency\npay_1,gift,1,GBP\n",
        "payment_id,amount,currency\npay_1,1,XXZ\n",
    ],
)
def test_rows_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_report(text)
    assert refused.value.code == "reconcile.report_invalid"


def test_income_is_told_by_quarter(floor: MoneyFloor, sold: str) -> None:
    first = settlement.day_from("2000-01-01")
    [one] = floor.run(collect_income, 2026, first, 10**6, "GB")
    assert (one.orders, one.consideration_minor) == (1, TOTAL)
    assert (one.fees_minor, one.tax_minor) == (150, 500)
    assert one.paid_out_minor == TOTAL - 650
    assert floor.run(collect_income, 2026, first, 10**6, "JP") == []
    head, line = render_csv([one]).splitlines()
    assert head.startswith("party_id,market,currency,year,quarter,orders,consideration_minor")
    assert line.startswith(f"{floor.seller},GB,GBP,2026,")
    assert sold


def test_a_chargeback_is_matched_and_what_the_bank_gave_back_is_below_zero(
    floor: MoneyFloor, sold: str
) -> None:
    now_ms = floor.world.now_ms()
    dispute = DisputeFact(
        dispute_ref="du_1", amount_minor=900, status=DisputeStatus.OPEN, fee_minor=15, fee_currency="GBP"
    )

    def hear(fact: DisputeFact) -> None:
        told = ProviderFact(
            payment_id=sold,
            status=Status.AUTHORIZED,
            authorized_minor=TOTAL,
            captured_minor=TOTAL,
            currency="GBP",
            disputes=(fact,),
        )
        floor.run(RECORD_RESULT.handle, [Heard(sold, "sandbox", now_ms, told)])

    hear(dispute)
    captured, taken = row(sold, TOTAL, now_ms), row(sold, 900, now_ms, "chargeback")
    assert kinds(compare(floor, [captured, taken])) == []
    assert kinds(compare(floor, [captured])) == [("provider_missing", sold)]
    hear(replace(dispute, status=DisputeStatus.WON))
    assert kinds(compare(floor, [captured, taken])) == [("provider_unknown", sold)]
    assert kinds(compare(floor, [captured, taken, row(sold, -900, now_ms, "chargeback")])) == []
    assert floor.balance("writeoff:dispute_fees") == 15
