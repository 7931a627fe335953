"""What runs with what, in which order, who pays, and what is said about it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.promotion_goods import basket, campaign, line, off, order_rule, outcome, rule

from tradepost.trade.promotion import (
    STANDARD,
    Basis,
    Charge,
    Condition,
    Filter,
    Fixed,
    Funder,
    Percentage,
    Policy,
    Promotions,
    Rule,
    RuleClass,
    Sequence,
    SetTotal,
    Share,
    TieredFlat,
    Ties,
    over_units,
)
from tradepost.trade.promotion.model import Tier

ROOT = Path(__file__).parent.parent.parent
TEN, HALF = (Percentage(percent_ppm=ppm) for ppm in (100_000, 500_000))
ONE = line(1_000)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([rule(TEN, "A"), rule(HALF, "B")], 550),  # the second on what the first left
        ([rule(TEN, "A"), rule(HALF, "B", basis=Basis.LIST)], 600),
        ([rule(TEN, "A"), rule(HALF, "B", priority=1)], 550),
        ([rule(Fixed(amount_minor=100), "A"), rule(HALF, "B")], 550),
        ([rule(Fixed(amount_minor=100), "A"), rule(HALF, "B", priority=1)], 600),
        ([order_rule(Fixed(amount_minor=100), "A", priority=9), rule(HALF, "B")], 600),  # lines before orders
        ([rule(TEN, "A", exclusive=True), rule(HALF, "B", priority=9)], 100),
        ([rule(TEN, "A", exclusive=True), rule(HALF, "B", exclusive=True, priority=1)], 500),
        ([rule(TEN, "A", exclusive=True, filter=Filter(skus=("x",))), rule(HALF, "B")], 500),
        ([rule(TEN, "A", best_of="g"), rule(HALF, "B", best_of="g")], 500),
        ([rule(TEN, "A", best_of="g"), rule(HALF, "B", best_of="g"), rule(TEN, "C")], 550),
        ([rule(TEN, "A", best_of="g"), rule(Fixed(amount_minor=100), "B", best_of="g")], 100),
        ([rule(TEN, "A", best_of="g"), order_rule(HALF, "B", best_of="g")], 500),
        ([rule(TEN, "A", stop_after=True), rule(HALF, "B")], 100),
        ([rule(TEN, "A", stop_after=True, filter=Filter(skus=("x",))), rule(HALF, "B")], 500),
        ([rule(SetTotal(amount_minor=0), "A"), rule(HALF, "B")], 1_000),
    ],
)
def test_stacking(rules: list[Rule], expected: int) -> None:
    assert sum(off(outcome(basket(ONE), *rules))) == expected


def test_priority_over_all_classes_is_a_switch() -> None:
    rules = [order_rule(Fixed(amount_minor=100), "A", priority=9), rule(HALF, "B")]
    assert sum(off(outcome(basket(ONE), *rules, policy=Policy(sequence=Sequence.PRIORITY)))) == 550


def test_what_a_condition_sees_is_a_switch() -> None:
    rules = [rule(TEN, "A"), order_rule(HALF, "B", conditions=(Condition(items_total_at_least=1_000),))]
    assert sum(off(outcome(basket(ONE), *rules))) == 550
    assert sum(off(outcome(basket(ONE), *rules, policy=Policy(conditions_see=Basis.LEFT)))) == 100


def test_an_exclusive_campaign_runs_with_all_its_own_rules() -> None:
    mine = campaign(rule(TEN, "A", exclusive=True), order_rule(TEN, "B"), campaign_id="cmp_z")
    assert sum(off(outcome(basket(ONE), mine, rule(HALF)))) == 190


def test_the_order_of_campaigns_never_matters() -> None:
    rules = [
        campaign(rule(Fixed(amount_minor=number), basis=Basis.LIST), campaign_id=f"c{number}")
        for number in range(1, 8)
    ]
    goods = basket(line(10), line(7))
    assert outcome(goods, *rules) == outcome(goods, *reversed(rules))


def test_ties_fall_by_identity_or_as_listed() -> None:
    rules = [order_rule(Fixed(amount_minor=1))]
    goods = basket(line(100, sku="b"), line(100, sku="a"))
    assert off(outcome(goods, *rules)) == [0, 1]
    assert off(outcome(goods, *rules, policy=Policy(ties=Ties.LISTED))) == [1, 0]
    dear = basket(line(100, 2), line(200, 1))
    assert off(outcome(dear, *rules, policy=Policy(ties=Ties.DEAREST))) == [0, 1]


BOTH = (Share(funder=Funder.SELLER, bps=5_000), Share(funder=Funder.PLATFORM, bps=5_000))
THREE = (
    Share(funder=Funder.SELLER, bps=3_400),
    Share(funder=Funder.PLATFORM, bps=3_300),
    Share(funder=Funder.CREATOR, bps=3_300),
)


@pytest.mark.parametrize(
    ("shares", "sums"),
    [(BOTH, {"seller": 50, "platform": 50}), (THREE, {"seller": 34, "platform": 33, "creator": 33})],
)
def test_funders_bear_their_shares_of_the_whole_and_of_every_line(
    shares: tuple[Share, ...], sums: dict[str, int]
) -> None:
    goods = basket(*[line(100) for _ in range(100)])
    found = outcome(goods, order_rule(Fixed(amount_minor=100), funding=shares))
    assert off(found) == [1] * 100
    borne: dict[str, int] = {}
    for changes in found.lines:
        for change in changes:
            assert change.amount_minor < 0
            borne[change.funder] = borne.get(change.funder, 0) - change.amount_minor
    assert borne == sums


def test_a_use_counts_once_per_campaign_with_all_it_gave() -> None:
    summer = campaign(rule(TEN, "A"), order_rule(TEN, "B"), needs_code=True, codes=("SUN",), version=3)
    (use,) = outcome(basket(ONE, codes=("X", "SUN")), summer).uses
    assert (use.campaign_id, use.version, use.coupon, use.discount_minor) == ("cmp_1", 3, "SUN", 190)
    assert outcome(basket(ONE), summer).uses == ()


def test_every_rule_is_told_what_became_of_it() -> None:
    offered = [
        campaign(rule(TEN, "A"), campaign_id="c1", title="Ten"),
        campaign(rule(TEN, "B", filter=Filter(skus=("x",))), campaign_id="c2"),
        campaign(rule(TEN, "C", conditions=(Condition(quantity_at_least=9),)), campaign_id="c3"),
        campaign(rule(TEN, "D"), campaign_id="c4", needs_code=True),
        campaign(rule(TEN, "E"), campaign_id="c5", until_ms=1),
        campaign(rule(TEN, "F", best_of="g"), campaign_id="c6"),
        campaign(rule(HALF, "G", best_of="g"), campaign_id="c7"),
        campaign(order_rule(SetTotal(amount_minor=9_999), "H"), campaign_id="c8"),
        campaign(order_rule(TEN, "I", stop_after=True), campaign_id="c9"),
        campaign(order_rule(TEN, "J", priority=-1), campaign_id="d1"),
    ]
    found = outcome(basket(ONE), *offered, explain=True)
    told = {one.code: (one.applied, one.why, one.detail, one.amount_minor) for one in found.verdicts}
    assert told == {
        "A": (True, "applied", "", 100),
        "B": (False, "no_line_matches", "", 0),
        "C": (False, "condition_not_met", "", 0),
        "D": (False, "coupon_missing", "", 0),
        "E": (False, "not_running", "", 0),
        "F": (False, "not_the_best", "G", 0),
        "G": (True, "applied", "", 450),
        "H": (False, "nothing_to_give", "", 0),
        "I": (True, "applied", "", 45),
        "J": (False, "stopped", "I", 0),
    }
    assert {one.title for one in found.verdicts} == {"Ten", ""}
    (applied,) = [one for one in found.verdicts if one.code == "A"]
    assert (applied.lines, applied.units) == ({1: 100}, {1: 1})
    quiet = outcome(basket(ONE), *offered)
    assert (quiet.lines, quiet.verdicts) == (found.lines, ())


def test_an_exclusive_rule_names_itself_to_those_it_kept_away() -> None:
    found = outcome(basket(ONE), rule(TEN, "A", exclusive=True), rule(HALF, "B"), explain=True)
    assert {one.code: (one.why, one.detail) for one in found.verdicts} == {
        "A": ("applied", ""),
        "B": ("exclusive_other", "A"),
    }


def shipping_rule(effect: object, code: str = "S", **facts: object) -> Rule:
    return Rule(code=code, effect=effect, rule_class=RuleClass.SHIPPING, **facts)  # type: ignore[arg-type]


GOODS = basket(line(1_000), line(500, seller="sel_2"))
CHARGES = (Charge(seller_id="sel_1", amount_minor=300), Charge(seller_id="sel_2", amount_minor=600))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], [0, 0]),
        ([shipping_rule(HALF)], [150, 300]),
        ([shipping_rule(Fixed(amount_minor=90))], [30, 60]),
        ([shipping_rule(Fixed(amount_minor=5_000))], [300, 600]),
        ([shipping_rule(SetTotal(amount_minor=0), filter=Filter(sellers=("sel_2",)))], [0, 600]),
        ([shipping_rule(SetTotal(amount_minor=0), filter=Filter(skus=("sku_1",)))], [300, 0]),
        ([shipping_rule(TieredFlat(tiers=(Tier(at_least=900, amount_minor=9),)))], [3, 6]),
        ([shipping_rule(HALF, conditions=(Condition(items_total_at_least=1_500),))], [150, 300]),
        ([shipping_rule(HALF, conditions=(Condition(items_total_at_least=1_501),))], [0, 0]),
        ([rule(TEN, "A", exclusive=True), shipping_rule(HALF)], [0, 0]),
        ([rule(TEN, "A", stop_after=True), shipping_rule(HALF)], [0, 0]),
        ([shipping_rule(HALF, "S", best_of="g"), shipping_rule(TEN, "T", best_of="g")], [150, 300]),
        ([shipping_rule(HALF, cap_minor=90)], [30, 60]),
    ],
)
def test_shipping(rules: list[Rule], expected: list[int]) -> None:
    campaigns = [campaign(one, campaign_id=f"c{number}") for number, one in enumerate(rules)]
    engine = Promotions(campaigns)
    found = engine.ship(GOODS, engine(GOODS), CHARGES)
    assert [-sum(change.amount_minor for change in changes) for changes in found.shipping] == expected
    assert sum(use.discount_minor for use in found.uses) == sum(off(found)) + sum(expected)


def test_a_campaign_of_goods_and_shipping_is_used_once_and_explained_in_both_halves() -> None:
    both = campaign(rule(TEN, "A", exclusive=True), shipping_rule(HALF), title="Both")
    other = campaign(shipping_rule(TEN, "T"), campaign_id="cmp_2")
    engine = Promotions([both, other], STANDARD).explained()
    found = engine.ship(GOODS, engine(GOODS), CHARGES)
    (use,) = found.uses
    assert use.discount_minor == 150 + 450
    assert [(one.code, one.why) for one in found.verdicts] == [
        ("A", "applied"),
        ("T", "exclusive_other"),
        ("S", "applied"),
    ]
    assert found.shipping[0][0].rule_class is RuleClass.SHIPPING


@pytest.mark.parametrize(
    ("amount", "quantity", "runs"),
    [
        (10, 3, ((4, 1), (3, 2))),
        (-10, 4, ((-3, 2), (-2, 2))),
        (9, 3, ((3, 3),)),
        (0, 5, ((0, 5),)),
        (1, 10**9, ((1, 1), (0, 10**9 - 1))),
    ],
)
def test_an_amount_over_units(amount: int, quantity: int, runs: tuple[tuple[int, int], ...]) -> None:
    assert over_units(amount, quantity) == runs


def test_the_picture_of_the_explanation_is_what_the_engine_computes() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "draw_pricing.py"), "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
