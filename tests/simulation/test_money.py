"""Money in the simulation: funded prices, settlement and payouts run in it, and a funder that loses money is found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from tradepost.kernel.tx import Tx
from tradepost.testing.simulation import audit, money, simulate
from tradepost.trade import orders, settlement
from tradepost.trade.payments import booking
from tradepost.trade.pricing import ADJUSTMENTS, Basket, Funder, Proposal

STEPS = 900


def promote(basket: Basket) -> Sequence[Proposal]:
    """A third off every second line by the platform, something off every order by the creator."""
    found = [
        Proposal(
            code="platform",
            reason="third",
            funder=Funder.PLATFORM,
            amount_minor=-(line.list_minor // 3),
            line_nos=(line.line_no,),
        )
        for line in basket.lines
        if line.line_no % 2
    ]
    return [*found, Proposal(code="creator", reason="gift", funder=Funder.CREATOR, amount_minor=-11)]


@pytest.fixture
def promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ADJUSTMENTS, "choose", lambda scene: promote)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[settlement.SettlementReport]:
    """What stood at the end of each day."""
    found: list[settlement.SettlementReport] = []

    def look(readers: Sequence[Tx], owned: Iterable[orders.Order], now_ms: int) -> list[str]:
        found.append(settlement.merge_settlement(settlement.check_settlement(tx) for tx in readers))
        return money.check_settled(readers, owned, now_ms)

    monkeypatch.setattr(audit, "check_settled", look)
    return found


@pytest.mark.usefixtures("promoted")
@pytest.mark.parametrize("shards", [1, 4])
def test_sellers_are_settled_stated_and_paid_under_all_faults(
    shards: int, seen: list[settlement.SettlementReport]
) -> None:
    report = simulate(21, 2_500, shards=shards, shrink_steps=0)
    assert report.failure is None, report.failure
    [last] = seen
    assert last.lines > 0
    assert last.statements > 0
    assert last.payouts > 0
    assert not last.in_transit


@pytest.mark.usefixtures("promoted")
def test_a_funder_lost_on_refund_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    book_refund = booking.book_refund

    def forgetful(*args: Any, **kwargs: Any) -> Any:
        payment, postings = book_refund(*args, **kwargs)
        return payment, [row for row in postings if row.kind != "funding"]

    monkeypatch.setattr(booking, "book_refund", forgetful)
    report = simulate(11, STEPS, shrink_steps=0)
    assert report.failure is not None
    told = " ".join(report.failure.findings) if hasattr(report.failure, "findings") else str(report.failure)
    assert "funder lost" in told or "money not conserved" in told


@pytest.mark.usefixtures("promoted")
def test_a_line_that_is_a_cent_off_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    components_of = settlement.rules.components_of

    def careless(*args: Any) -> dict[str, int]:
        found = components_of(*args)
        return {**found, "goods": found.get("goods", 0) + 1}

    monkeypatch.setattr(settlement.rules, "components_of", careless)
    report = simulate(11, STEPS, shrink_steps=0)
    assert report.failure is not None
