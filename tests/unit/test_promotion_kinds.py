"""Every kind of promotion by example, its cost, and what each refuses to do."""

from __future__ import annotations

import gc
import sys
import tomllib
from typing import Any

import msgspec
import pytest
from tests.promotion_goods import AT, basket, campaign, line, off, order_rule, outcome, rule

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import TaxLevel
from tradepost.kernel.money import Rounding
from tradepost.kernel.splitting import Remainder
from tradepost.markets import all_markets
from tradepost.trade import promotion
from tradepost.trade.inventory.rules import QUANTITY_MAX
from tradepost.trade.promotion import (
    BundlePart,
    BundlePrice,
    BuyGet,
    Campaign,
    CheapestFree,
    Condition,
    Filter,
    Fixed,
    Gift,
    Level,
    NthUnit,
    Percentage,
    Policy,
    SetTotal,
    Tier,
    TierBasis,
    TieredFlat,
    TieredPercent,
    Ties,
    Units,
)

TEN, HALF, ALL = (Percentage(percent_ppm=ppm) for ppm in (100_000, 500_000, 1_000_000))
TIERS = (Tier(at_least=2_000, percent_ppm=150_000), Tier(at_least=3_000, percent_ppm=200_000))
COUNTS = (Tier(at_least=3, percent_ppm=100_000), Tier(at_least=5, percent_ppm=200_000))
LISTED = Policy(ties=Ties.LISTED)


@pytest.mark.parametrize(
    ("lines", "effect", "expected"),
    [
        ([line(999)], TEN, [100]),
        ([line(999, 3)], HALF, [1_499]),  # 1498.5 once for the line
        ([line(200), line(100, 3)], Fixed(amount_minor=150), [150, 300]),
        ([line(200, 2), line(300, 2)], Fixed(amount_minor=50, max_units=3), [100, 50]),
        ([line(200, 2), line(300, 2)], Percentage(percent_ppm=500_000, max_units=1), [100, 0]),
        (
            [line(200, 2), line(300, 2)],
            Percentage(percent_ppm=500_000, max_units=3, units=Units.DEAREST),
            [100, 300],
        ),
        ([line(500, 2), line(100)], SetTotal(amount_minor=300), [400, 0]),
        ([line(1_000), line(1_000)], TieredPercent(tiers=TIERS, base_ppm=100_000), [150, 150]),
        ([line(1_000)], TieredPercent(tiers=TIERS, base_ppm=100_000), [100]),
        (
            [line(1_000), line(2_000)],
            TieredPercent(tiers=TIERS, base_ppm=100_000, basis=TierBasis.LINE_AMOUNT),
            [100, 300],
        ),
        ([line(100, 2), line(100, 3)], TieredPercent(tiers=COUNTS, basis=TierBasis.QUANTITY), [40, 60]),
        ([line(100, 2), line(100, 3)], TieredPercent(tiers=COUNTS, basis=TierBasis.LINE_QUANTITY), [0, 30]),
        ([line(400, 4), line(200, 4)], CheapestFree(), [0, 200]),
        ([line(400, 4), line(200, 4)], CheapestFree(every=3), [0, 400]),
        ([line(400, 4), line(200, 1)], CheapestFree(every=2), [400, 200]),
        ([line(400, 9)], CheapestFree(every=2, rounds_max=1), [400]),
        ([line(800, 4)], BundlePrice(price_minor=2_000, parts=(BundlePart(quantity=3),)), [400]),
        ([line(500, 4)], BundlePrice(price_minor=2_000, parts=(BundlePart(quantity=3),)), [0]),
        ([line(800, 7)], BundlePrice(price_minor=2_000, parts=(BundlePart(quantity=3),)), [800]),
        (
            [line(800, 7)],
            BundlePrice(price_minor=2_000, parts=(BundlePart(quantity=3),), rounds_max=1),
            [400],
        ),
        (
            [line(700), line(700), line(700)],
            BundlePrice(price_minor=2_000, parts=(BundlePart(quantity=3),)),
            [34, 33, 33],
        ),
        ([line(1_000, 5)], NthUnit(first_minor=113, additional_minor=211), [957]),
        ([line(1_000, 9)], NthUnit(first_minor=113, additional_minor=211, max_units=5), [957]),
        ([line(1_000, 1), line(50)], NthUnit(first_minor=113, additional_minor=211), [113, 50]),
    ],
)
def test_line_rules(lines: list[Any], effect: Any, expected: list[int]) -> None:
    assert off(outcome(basket(*lines), rule(effect), policy=LISTED)) == expected


@pytest.mark.parametrize(
    ("lines", "effect", "expected"),
    [
        ([line(2_000), line(3_000), line(10_000)], Fixed(amount_minor=1_500), [200, 300, 1_000]),
        ([line(100), line(150)], Fixed(amount_minor=300), [100, 150]),
        ([line(333), line(333), line(333)], TEN, [34, 33, 33]),
        ([line(1_000), line(3_000)], SetTotal(amount_minor=420), [895, 2_685]),
        ([line(100)], SetTotal(amount_minor=420), [0]),
        ([line(1_000, 2)], TieredFlat(tiers=(Tier(at_least=2_000, amount_minor=150),)), [150]),
        ([line(1_999)], TieredFlat(tiers=(Tier(at_least=2_000, amount_minor=150),), base_minor=10), [10]),
    ],
)
def test_order_rules(lines: list[Any], effect: Any, expected: list[int]) -> None:
    assert off(outcome(basket(*lines), order_rule(effect), policy=LISTED)) == expected


@pytest.mark.parametrize(
    ("lines", "effect", "expected"),
    [
        ([line(300, 3)], BuyGet(buy_quantity=2), [300]),
        ([line(300, 5)], BuyGet(buy_quantity=2), [300]),
        ([line(300, 6)], BuyGet(buy_quantity=2), [600]),
        ([line(300, 2)], BuyGet(buy_quantity=2), [0]),
        ([line(300, 4)], BuyGet(buy_quantity=1, rounds_max=1), [300]),
        ([line(300, 4)], BuyGet(buy_quantity=1, rewards_max=1), [300]),
        ([line(300, 2), line(100, 1)], BuyGet(buy_quantity=2), [0, 100]),
        (
            [line(300, 2), line(100, 1)],
            BuyGet(buy_quantity=2, units=Units.DEAREST, buy_units=Units.CHEAPEST),
            [300, 0],
        ),
        ([line(300, 2), line(100, 4)], BuyGet(buy_quantity=1, percent_ppm=500_000), [0, 150]),
        (
            [line(300, 2, groups=("a",)), line(100, 3, groups=("b",))],
            BuyGet(buy_quantity=1, buy=Filter(groups=("a",)), get=Filter(groups=("b",))),
            [0, 200],
        ),
        (  # the last round is short of a reward
            [line(300, 4, groups=("a",)), line(100, 3, groups=("b",))],
            BuyGet(buy_quantity=2, get_quantity=2, buy=Filter(groups=("a",)), get=Filter(groups=("b",))),
            [0, 300],
        ),
        (  # whole rounds only
            [line(300, 3)],
            BuyGet(buy_quantity=2, get_quantity=2, whole_rounds=True),
            [0],
        ),
        (  # a unit that could be both is bought only when the others do not suffice
            [line(300, 1, groups=("a",)), line(200, 2, groups=("a", "b"))],
            BuyGet(buy_quantity=2, buy=Filter(groups=("a",)), get=Filter(groups=("b",))),
            [0, 200],
        ),
    ],
)
def test_buy_some_get_some(lines: list[Any], effect: BuyGet, expected: list[int]) -> None:
    assert off(outcome(basket(*lines), rule(effect))) == expected


@pytest.mark.parametrize(
    ("units", "expected"), [(3, 500), (6, 1_000), (7, 1_000), (9, 1_500), (1_000, 1_500)]
)
def test_offers_with_units_of_their_own_share_no_unit(units: int, expected: int) -> None:
    """Two for one free, at most twice, then once more: three units a round (medusajs/medusa, MIT, a fact)."""
    offers = [
        rule(BuyGet(buy_quantity=2, rewards_max=most, own_units=True, whole_rounds=True)) for most in (2, 1)
    ]
    assert off(outcome(basket(line(500, units)), *offers)) == [expected]


def test_a_bundle_of_several_parts_takes_the_dearest_of_each() -> None:
    effect = BundlePrice(
        price_minor=1_000,
        parts=(
            BundlePart(quantity=1, of=Filter(groups=("shirt",))),
            BundlePart(quantity=2, of=Filter(groups=("sock",))),
        ),
    )
    goods = basket(
        line(900, 2, groups=("shirt",)), line(200, 3, groups=("sock",)), line(100, groups=("sock",))
    )
    assert sum(off(outcome(goods, rule(effect)))) == (900 + 400 - 1_000) + (900 + 300 - 1_000)


def test_a_gift_is_free_in_the_basket_and_offered_outside_it() -> None:
    gift = rule(Gift(sku_id="mug", quantity=2), conditions=(Condition(items_total_at_least=1_000),))
    found = outcome(basket(line(1_000), line(300, 1, sku="mug")), gift)
    assert off(found) == [0, 300]
    assert [(one.sku_id, one.quantity, one.taken) for one in found.gifts] == [("mug", 2, 1)]
    found = outcome(basket(line(1_000)), gift)
    assert (off(found), found.gifts[0].taken) == ([0], 0)
    assert not outcome(
        basket(line(900), line(300, 1, sku="mug")), gift
    ).gifts  # the gift itself does not count


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Filter(skus=("sku_1",)), [100, 0, 0]),
        (Filter(products=("prd_sku_2", "prd_sku_3")), [0, 200, 300]),
        (Filter(offers=("off_sku_3",)), [0, 0, 300]),
        (Filter(groups=("lamps",)), [100, 0, 300]),
        (Filter(groups=("lamps",), except_groups=("sale",)), [100, 0, 0]),
        (Filter(except_skus=("sku_1",), except_products=("prd_sku_2",)), [0, 0, 300]),
        (Filter(sellers=("sel_2",)), [0, 200, 0]),
        (Filter(contents=("vid_1",), sellers=("sel_1",)), [100, 0, 0]),
        (Filter(creators=("cre_1",)), [0, 0, 300]),
        (Filter(line_nos=(2,)), [0, 200, 0]),
        (Filter(unit_price_min=2_000), [0, 200, 300]),
        (Filter(unit_price_max=2_000), [100, 200, 0]),
        (Filter(list_price_equals=2_000), [0, 200, 0]),
        (Filter(markets=("GB",)), [100, 200, 300]),
        (Filter(markets=("JP",)), [0, 0, 0]),
        (Filter(segments=("gold",)), [100, 200, 300]),
        (Filter(segments=("new",)), [0, 0, 0]),
        (Filter(first_order=True), [0, 0, 0]),
        (Filter(first_order=False), [100, 200, 300]),
        (Filter(skus=("elsewhere",)), [0, 0, 0]),
    ],
)
def test_filters(where: Filter, expected: list[int]) -> None:
    goods = basket(
        line(1_000, groups=("lamps",), content_id="vid_1"),
        line(2_000, seller="sel_2", content_id="vid_1"),
        line(3_000, groups=("lamps", "sale"), creator_id="cre_1"),
        segments=("gold",),
    )
    assert off(outcome(goods, rule(TEN, filter=where))) == expected


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition(items_total_at_least=700), True),
        (Condition(items_total_at_least=701), False),
        (Condition(quantity_at_least=4), True),
        (Condition(quantity_at_least=5), False),
        (Condition(any_line_quantity_at_least=3), True),
        (Condition(any_line_quantity_at_least=4), False),
        (Condition(contains_groups=("x", "toys")), True),
        (Condition(contains_groups=("x",)), False),
        (Condition(contains_products=("prd_sku_2",)), True),
        (Condition(contains_products=("prd_9",)), False),
        (Condition(segments=("gold",)), True),
        (Condition(segments=("new",)), False),
        (Condition(first_order=True), False),
        (Condition(items_total_at_least=300, among=Filter(groups=("toys",))), True),
        (Condition(items_total_at_least=301, among=Filter(groups=("toys",))), False),
        (Condition(items_total_at_least=700, quantity_at_least=5), False),
    ],
)
def test_conditions(condition: Condition, holds: bool) -> None:
    goods = basket(line(400), line(100, 3, groups=("toys",)), segments=("gold",))
    assert bool(sum(off(outcome(goods, rule(TEN, conditions=(condition,)))))) is holds


def test_no_stack_undercuts_a_floor_and_a_full_line_passes_its_share_on() -> None:
    goods = basket(line(1_000, 2, floor_minor=900), line(1_000, 2))
    assert off(outcome(goods, rule(HALF))) == [200, 1_000]
    assert off(outcome(goods, order_rule(Fixed(amount_minor=1_000)))) == [200, 800]
    assert off(outcome(goods, order_rule(ALL))) == [200, 2_000]
    assert off(outcome(goods, rule(TEN), order_rule(HALF, "O"))) == [200, 2_000]
    assert off(outcome(basket(line(500, floor_minor=900)), rule(HALF))) == [0]


def test_a_cap_bounds_what_a_rule_gives_and_spreads_it_alike() -> None:
    goods = basket(line(12_000), line(23_000), line(30_000))
    fifteen = Percentage(percent_ppm=150_000)
    assert off(outcome(goods, order_rule(fifteen, cap_minor=5_000), policy=LISTED)) == [923, 1_769, 2_308]
    assert sum(off(outcome(goods, rule(fifteen, cap_minor=5_000)))) == 5_000
    first = Policy(ties=Ties.LISTED, remainder=Remainder.FIRST)
    assert off(outcome(goods, order_rule(fifteen, cap_minor=5_000), policy=first)) == [924, 1_769, 2_307]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy(), 152),  # 0.5 of 303 once
        (Policy(rounding=Rounding.DOWN), 151),
        (Policy(line_level=Level.UNIT), 153),
        (Policy(line_level=Level.UNIT, rounding=Rounding.HALF_DOWN), 150),
        (Policy(line_level=Level.UNIT, rounding=Rounding.HALF_EVEN), 150),
        (Policy(line_level=Level.UNIT, rounding=Rounding.UP), 153),
    ],
)
def test_rounding_is_a_switch(policy: Policy, expected: int) -> None:
    assert off(outcome(basket(line(101, 3)), rule(HALF), policy=policy)) == [expected]


def test_where_an_order_percentage_rounds_is_a_switch() -> None:
    goods = basket(line(101), line(101), line(101))
    assert sum(off(outcome(goods, order_rule(HALF)))) == 152
    assert sum(off(outcome(goods, order_rule(HALF), policy=Policy(order_level=Level.LINE)))) == 153


def calls_of(lines: int, quantity: int, rules: int) -> int:
    """Function calls that evaluating takes: work, counted instead of timed."""
    goods = basket(*[line(1_000 + number, quantity, groups=(f"g{number % 7}",)) for number in range(lines)])
    effects = [
        TEN,
        BuyGet(buy_quantity=2),
        CheapestFree(every=3),
        BundlePrice(price_minor=900, parts=(BundlePart(quantity=3),)),
        NthUnit(first_minor=1, additional_minor=2),
        Percentage(percent_ppm=1_000, max_units=5),
    ]
    book = promotion.compile_rules(
        campaign(rule(effects[number % len(effects)]), campaign_id=f"c{number:04}") for number in range(rules)
    )
    promotion.evaluate(book, goods)
    calls = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    gc.disable()  # a collection in the middle would run the finalizers of strangers
    sys.setprofile(note)
    try:
        promotion.evaluate(book, goods)
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


def test_the_work_does_not_grow_with_quantities() -> None:
    few, many = calls_of(20, 9, 12), calls_of(20, 9_000_000, 12)
    assert many < 1.2 * few


def test_rules_for_other_goods_cost_nothing() -> None:
    goods = basket(*[line(1_000) for _ in range(20)])
    book = promotion.compile_rules(
        campaign(rule(TEN, filter=Filter(skus=(f"other_{number}",))), campaign_id=f"c{number}")
        for number in range(5_000)
    )
    looked: list[str] = []
    calls = sys.getprofile()

    def note(frame: Any, event: str, _argument: object) -> None:
        if event == "call":
            looked.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        assert off(promotion.evaluate(book, goods)) == [0] * 20
    finally:
        sys.setprofile(calls)
    assert len(looked) < 200


WRITTEN = """
campaign_id = "cmp_summer"
title = "Summer"
currency = "GBP"
from_ms = 1000
until_ms = 2000
needs_code = true
codes = ["SUN"]
limits = { total = 100, per_buyer = 1 }

[[rules]]
code = "tenth"
class = "order"
effect = { kind = "percentage", percent_ppm = 100000 }
filter = { groups = ["lamps"] }
conditions = [ { items_total_at_least = 500, among = { sellers = ["sel_1"] } } ]
funding = [ { funder = "seller", bps = 7500 }, { funder = "platform", bps = 2500 } ]
"""


def test_a_campaign_is_a_file() -> None:
    read = msgspec.convert(tomllib.loads(WRITTEN), Campaign)
    promotion.check_campaign(read)
    assert msgspec.json.decode(msgspec.json.encode(read), type=Campaign) == read
    active = msgspec.structs.replace(read, state=promotion.CampaignState.ACTIVE)
    goods = basket(line(1_000, groups=("lamps",)), line(700), codes=("SUN",))
    (changes, nothing) = outcome(goods, active).lines
    assert [(change.funder, change.amount_minor) for change in changes] == [
        ("seller", -75),
        ("platform", -25),
    ]
    assert nothing == ()
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**tomllib.loads(WRITTEN), "colour": "red"}, Campaign)


@pytest.mark.parametrize(
    ("at_ms", "codes", "expected"),
    [
        (999, ("SUN",), 0),
        (1_000, ("SUN",), 100),
        (1_999, ("SUN",), 100),
        (2_000, ("SUN",), 0),
        (1_500, (), 0),
        (1_500, ("MOON",), 0),
    ],
)
def test_a_campaign_runs_in_its_window_for_those_who_have_its_code(
    at_ms: int, codes: tuple[str, ...], expected: int
) -> None:
    summer = campaign(rule(TEN), from_ms=1_000, until_ms=2_000, needs_code=True, codes=("SUN",))
    assert off(outcome(basket(line(1_000), at_ms=at_ms, codes=codes), summer)) == [expected]


def test_a_campaign_can_be_unlocked_bound_to_a_market_and_to_scenes() -> None:
    secret = campaign(rule(TEN), needs_code=True)
    assert off(outcome(basket(line(1_000)), secret)) == [0]
    assert off(outcome(basket(line(1_000), unlocked=("cmp_1",)), secret)) == [100]
    live = campaign(rule(TEN), scenes=("live",), markets=("GB",))
    for scene, market, expected in (
        ("live", "GB", 100),
        ("live.flash", "GB", 100),
        ("lively", "GB", 0),
        ("live", "IE", 0),
    ):
        assert off(outcome(basket(line(1_000), scene=scene, market=market), live)) == [expected]
    assert off(outcome(basket(line(1_000), currency="EUR"), campaign(rule(TEN)))) == [0]
    for state in ("DRAFT", "PAUSED", "ENDED"):
        assert off(
            outcome(basket(line(1_000)), campaign(rule(TEN), state=promotion.CampaignState(state)))
        ) == [0]


def test_a_sellers_campaign_touches_and_counts_that_sellers_lines_only() -> None:
    own = campaign(
        rule(TEN, conditions=(Condition(items_total_at_least=1_500),)),
        owner=promotion.Owner.SELLER,
        seller_id="sel_2",
    )
    assert off(outcome(basket(line(1_000), line(1_000, seller="sel_2")), own)) == [0, 0]
    assert off(outcome(basket(line(1_000), line(1_500, seller="sel_2")), own)) == [0, 150]


def test_a_seller_gives_away_own_goods_only() -> None:
    facts: dict[str, Any] = {"owner": promotion.Owner.SELLER, "campaign_id": "cmp_own"}
    goods = basket(line(1_000, sku="a", seller="sel_1"), line(700, sku="b", seller="sel_2"))
    for seller_id, sku_id, expected, taken in (
        ("sel_1", "b", [0, 0], 0),
        ("sel_1", "a", [1_000, 0], 1),
        ("sel_2", "b", [0, 700], 1),
    ):
        found = outcome(goods, campaign(rule(Gift(sku_id=sku_id)), seller_id=seller_id, **facts))
        assert (off(found), [one.taken for one in found.gifts]) == (expected, [taken])
    best = rule(Gift(sku_id="b"), best_of="x")  # weighed as it would be given: nothing
    own = campaign(best, seller_id="sel_1", **facts)
    assert off(outcome(goods, own, campaign(rule(TEN, "T", best_of="x")))) == [100, 70]


FINE = campaign(rule(TEN))
SELLERS: dict[str, Any] = {"owner": promotion.Owner.SELLER, "seller_id": "sel_1"}


def shares(*funders: promotion.Funder) -> tuple[promotion.Share, ...]:
    return tuple(promotion.Share(funder=one, bps=10_000 // len(funders)) for one in funders)


BAD: list[tuple[str, Campaign]] = [
    ("rules", campaign()),
    ("rules", campaign(rule(TEN), rule(HALF))),
    ("codes", campaign(rule(TEN), needs_code=True, codes=tuple(str(number) for number in range(1_001)))),
    ("needs_code", campaign(rule(TEN), codes=("A",))),
    ("until_ms", campaign(rule(TEN), from_ms=AT, until_ms=AT)),
    ("seller_id", campaign(rule(TEN), seller_id="sel_1")),
    ("limits", campaign(rule(TEN), limits=promotion.Limits(total=-1))),
    ("limits", campaign(rule(TEN), limits=promotion.Limits(total=1_000_000_001))),
    ("limits", campaign(rule(TEN), limits=promotion.Limits(budget_minor=1_000_000_001))),
    ("rules[0].funding", campaign(rule(TEN, funding=shares(promotion.Funder.PLATFORM)), **SELLERS)),
    ("rules[0].funding", campaign(rule(TEN, funding=shares(promotion.Funder.CREATOR)), **SELLERS)),
    (
        "rules[0].funding",
        campaign(rule(TEN, funding=shares(promotion.Funder.SELLER, promotion.Funder.CREATOR))),
    ),
    ("rules[0].exclusive", campaign(rule(TEN, exclusive=True), **SELLERS)),
    ("rules[0].exclusive", campaign(rule(TEN, stop_after=True), **SELLERS)),
    ("rules[0].exclusive", campaign(rule(TEN, best_of="x"), **SELLERS)),
    ("rules[0].code", campaign(rule(TEN, ""))),
    ("rules[0].cap_minor", campaign(rule(TEN, cap_minor=-1))),
    (
        "rules[0].funding",
        campaign(rule(TEN, funding=(promotion.Share(funder=promotion.Funder.SELLER, bps=1),))),
    ),
    ("rules[0].effect", campaign(rule(BuyGet(buy_quantity=1), rule_class=promotion.RuleClass.SHIPPING))),
    ("rules[0].effect.percent_ppm", campaign(rule(Percentage(percent_ppm=1_000_001)))),
    ("rules[0].effect.max_units", campaign(rule(Percentage(percent_ppm=1, max_units=-1)))),
    ("rules[0].effect.amount_minor", campaign(rule(Fixed(amount_minor=0)))),
    ("rules[0].effect.amount_minor", campaign(rule(SetTotal(amount_minor=-1)))),
    ("rules[0].effect.buy_quantity", campaign(rule(BuyGet(buy_quantity=0)))),
    ("rules[0].effect.rounds_max", campaign(rule(CheapestFree(rounds_max=-1)))),
    ("rules[0].effect.every", campaign(rule(CheapestFree(every=-1)))),
    ("rules[0].effect.parts", campaign(rule(BundlePrice(price_minor=1, parts=())))),
    ("rules[0].effect.sku_id", campaign(rule(Gift(sku_id="")))),
    ("rules[0].effect.first_minor", campaign(rule(NthUnit(first_minor=-1, additional_minor=0)))),
    ("rules[0].effect.tiers", campaign(rule(TieredPercent(tiers=())))),
    ("rules[0].effect.tiers", campaign(rule(TieredPercent(tiers=tuple(reversed(TIERS)))))),
    ("rules[0].effect.tiers", campaign(rule(TieredFlat(tiers=TIERS)))),
]


@pytest.mark.parametrize(("field", "bad"), BAD, ids=[field for field, _ in BAD])
def test_what_cannot_run_is_refused_before_it_is_published(field: str, bad: Campaign) -> None:
    promotion.check_campaign(FINE)
    with pytest.raises(Refusal) as refused:
        promotion.check_campaign(bad)
    assert (refused.value.code, refused.value.field) == ("promotion.campaign_invalid", field)
    assert refused.value.expected
    assert refused.value.problem.remedy


def test_a_limit_may_be_as_high_as_the_stock_that_counts_it() -> None:
    bounds = promotion.Limits(total=QUANTITY_MAX, per_buyer=QUANTITY_MAX, budget_minor=QUANTITY_MAX)
    promotion.check_campaign(campaign(rule(TEN), limits=bounds))


@pytest.mark.parametrize("remainder", [Remainder.APART, Remainder.BLOCKS])
def test_a_policy_that_leaves_money_over_is_refused(remainder: Remainder) -> None:
    promotion.check_policy(Policy(remainder=Remainder.NEAREST_FIRST))
    with pytest.raises(Refusal) as refused:
        promotion.check_policy(Policy(remainder=remainder))
    assert (refused.value.code, refused.value.field) == ("promotion.policy_invalid", "remainder")


def test_the_policy_is_the_markets_data() -> None:
    for market in all_markets().values():
        promotion.check_policy(promotion.policy_of(market))
    britain = all_markets()["GB"]
    assert promotion.policy_of(britain) == promotion.STANDARD
    other = msgspec.structs.replace(
        britain, rounding=Rounding.DOWN, discount_level=TaxLevel.UNIT, discount_remainder=Remainder.FIRST
    )
    assert promotion.policy_of(other) == Policy(
        rounding=Rounding.DOWN, line_level=Level.UNIT, order_level=Level.UNIT, remainder=Remainder.FIRST
    )
