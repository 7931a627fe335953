"""Risk verdicts by example."""

from __future__ import annotations

from typing import Any

import pytest

from tradepost.trade.risk import CHECK, Decision, RiskFacts, Verdict, refusal_of, refuse_velocity


def facts(**given: Any) -> RiskFacts:
    known: dict[str, Any] = {
        "buyer_id": "byr_1",
        "market": "GB",
        "currency": "GBP",
        "total_minor": 5_000,
        "at_ms": 0,
        "placed_in_window": 0,
    }
    return RiskFacts(**{**known, **given})


@pytest.mark.parametrize(
    ("given", "decision", "code"),
    [
        ({}, Decision.ALLOW, ""),
        ({"placed_in_window": 999}, Decision.ALLOW, ""),
        ({"orders_max": 3, "placed_in_window": 2}, Decision.ALLOW, ""),
        ({"orders_max": 3, "placed_in_window": 3}, Decision.REFUSE, "risk.velocity"),
        ({"amount_max_minor": 5_000}, Decision.ALLOW, ""),
        ({"amount_max_minor": 4_999}, Decision.REFUSE, "risk.amount"),
        ({"amount_review_minor": 4_999}, Decision.REVIEW, "risk.amount"),
        ({"amount_review_minor": 1, "amount_max_minor": 2}, Decision.REFUSE, "risk.amount"),
        (
            {"amount_review_minor": 1, "orders_max": 1, "placed_in_window": 1},
            Decision.REFUSE,
            "risk.velocity",
        ),
    ],
)
def test_verdicts(given: dict[str, int], decision: Decision, code: str) -> None:
    verdict = CHECK.choose("live")(facts(**given))
    assert (verdict.decision, verdict.code) == (decision, code)
    refusal = refusal_of(verdict)
    assert (refusal.code if refusal else "") == (code if decision is Decision.REFUSE else "")


def test_velocity_says_when_to_come_back() -> None:
    by_verdict = refusal_of(CHECK.choose("default")(facts(orders_max=1, placed_in_window=1, window_ms=1_500)))
    assert by_verdict is not None
    assert by_verdict.extra == {"retry_after_s": 2}
    assert refuse_velocity(1, 1, 1_500) == by_verdict


@pytest.mark.parametrize(
    ("placed", "orders_max", "refused"),
    [(0, 0, False), (9, 0, False), (1, 2, False), (2, 2, True), (3, 2, True)],
)
def test_velocity_alone(placed: int, orders_max: int, refused: bool) -> None:
    assert (refuse_velocity(placed, orders_max, 10) is not None) is refused


def test_a_plugins_code_is_carried_by_a_declared_one() -> None:
    refusal = refusal_of(Verdict(decision=Decision.REFUSE, code="acme.stolen_card", reason="No."))
    assert refusal is not None
    assert (refusal.code, refusal.extra) == ("risk.refused", {"rule": "acme.stolen_card"})
    assert refusal.problem.title
