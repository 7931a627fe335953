"""Commission: plans, attribution models, parts, refunds, tiers with deposit and release."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.errors import Refusal
from tradepost.trade.creators import (
    Agency,
    Attribution,
    Bonus,
    Commission,
    Parts,
    Plan,
    Tier,
    Touch,
    attribute,
    check_plan,
    choose_plan,
    estimate,
    parts_of,
    release,
    settle,
    shrink,
)
from tradepost.trade.creators.model import Basis
from tradepost.trade.creators.rules import check_bonuses, counted_for, is_creator, minus, shrink_base

DAY = 86_400_000
CREATOR = "cre_01m4xk9v0c7s8p2q3r4t5v6w7x"
NOW = 100 * DAY
PLAN = Plan(plan_id="pln_1", version=1, seller_id="sel_1", rate_bps=1_000)
TIERED = msgspec.structs.replace(
    PLAN, plan_id="pln_t", tiers=(Tier(reached=10, rate_bps=1_500), Tier(reached=20, rate_bps=2_000))
)
SEEN = Attribution(
    creator_id="cre_1", content_id="vid_1", content_kind="video", model="direct", model_version=1, why="tap"
)


def earned(plan: Plan = PLAN, base: int = 9_999, units: int = 3, counted: int = 0) -> Commission:
    return estimate(
        plan,
        Agency(agency_id="agy_1", share_bps=2_500),
        SEEN,
        order_id="ord_1",
        line_no=1,
        buyer_id="buy_1",
        currency="GBP",
        base_minor=base,
        units=units,
        counted=counted,
        at_ms=NOW,
    )


def chosen(*plans: Plan, creator: str = "cre_1", product: str = "prd_1", kind: str = "video") -> str:
    found = {
        (plan.plan_id if plan else "")
        for order in itertools.permutations(plans)
        for plan in [choose_plan(order, creator_id=creator, product_id=product, content_kind=kind, at_ms=NOW)]
    }
    assert len(found) == 1, "the order of plans decides nothing"
    return found.pop()


def plan(plan_id: str, rate_bps: int, **more: object) -> Plan:
    return msgspec.structs.replace(PLAN, plan_id=plan_id, rate_bps=rate_bps, **more)


@pytest.mark.parametrize(
    ("plans", "winner"),
    [
        ((), ""),
        ((plan("a", 500), plan("b", 900)), "b"),
        ((plan("a", 900), plan("b", 900)), "a"),
        ((plan("a", 2_000), plan("b", 500, creators=("cre_1",))), "b"),
        ((plan("a", 2_000), plan("b", 500, creators=("cre_2",))), "a"),
        ((plan("a", 2_000), plan("b", 500, products=("prd_1",))), "b"),
        ((plan("a", 2_000, products=("prd_9",)),), ""),
        ((plan("a", 2_000, content_kinds=("live",)),), ""),
        ((plan("a", 2_000, starts_at_ms=NOW + 1),), ""),
        ((plan("a", 2_000, ends_at_ms=NOW),), ""),
        ((plan("a", 2_000, ends_at_ms=NOW + 1, starts_at_ms=NOW),), "a"),
    ],
)
def test_the_plan_that_pays(plans: tuple[Plan, ...], winner: str) -> None:
    assert chosen(*plans) == winner


def touch(creator: str, days_ago: int, *, direct: bool = False) -> Touch:
    return Touch(
        creator_id=creator,
        content_id=f"vid_{creator}",
        content_kind="video",
        at_ms=NOW - days_ago * DAY,
        is_direct=direct,
    )


@pytest.mark.parametrize(
    ("model", "touches", "winner"),
    [
        ("direct", [touch("a", 1)], ""),
        ("direct", [touch("a", 1), touch("b", 0, direct=True)], "b"),
        ("last_touch", [touch("a", 6), touch("b", 2)], "b"),
        ("last_touch", [touch("a", 8)], ""),
        ("last_touch", [touch("a", 6, direct=True), touch("b", 2)], "a"),
        ("first_touch", [touch("a", 29), touch("b", 2)], "a"),
        ("first_touch", [touch("a", 31), touch("b", 2)], "b"),
        ("first_touch", [], ""),
    ],
)
def test_models_of_attribution(model: str, touches: list[Touch], winner: str) -> None:
    for order in itertools.permutations(touches):
        found = attribute(order, NOW, "buy_1", (model, 1))
        assert (found.creator_id if found else "") == winner
        if found:
            assert (found.model, found.model_version) == (model, 1)
            assert found.why


def test_nobody_earns_from_themselves() -> None:
    assert attribute([touch("cre_1", 0, direct=True)], NOW, "cre_1") is None


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        attribute([], NOW, "buy_1", ("direct", 9))
    assert (refused.value.code, refused.value.field) == ("creators.model_unknown", "model")


def test_parts_of_a_plain_plan() -> None:
    assert earned().parts == Parts(creator_minor=750, agency_minor=249, seller_minor=999)


def test_a_co_funded_bonus_has_a_cap_and_a_window() -> None:
    open_bonus = Bonus(code="more", rate_bps=500, seller_share_bps=4_000, cap_minor=300)
    over = Bonus(code="over", rate_bps=500, ends_at_ms=NOW)
    parts = parts_of(msgspec.structs.replace(PLAN, bonuses=(open_bonus, over)), None, 10_000, 1_000, NOW)
    assert parts == Parts(creator_minor=1_300, seller_minor=1_120, platform_minor=180)


def test_the_deposit_is_released_by_what_was_reached() -> None:
    first = earned(TIERED, base=10_000)
    assert first.parts == Parts(creator_minor=750, agency_minor=250, deposit_minor=1_000, seller_minor=2_000)
    middle, change = release(first, counted=10)
    assert middle.parts == Parts(creator_minor=1_125, agency_minor=375, seller_minor=1_500)
    assert change == Parts(creator_minor=375, agency_minor=125, deposit_minor=-1_000, seller_minor=-500)
    top, change = release(first, counted=20)
    assert (top.parts.creator_minor, top.parts.seller_minor, change.seller_minor) == (1_500, 2_000, 0)
    nothing, change = release(first, counted=0)
    assert (nothing.parts.creator_minor, change.seller_minor) == (750, -1_000)


def test_a_later_line_is_paid_at_the_tier_reached() -> None:
    assert [earned(TIERED, counted=count).rate_bps for count in (0, 9, 10, 19, 20)] == [
        1_000,
        1_000,
        1_500,
        1_500,
        2_000,
    ]


def test_states() -> None:
    line = earned()
    some, taken = shrink(line, 2)
    assert (some.state, some.base_minor, some.units) == ("ESTIMATED", 6_666, 2)
    assert minus(line.parts, taken) == some.parts
    none, _ = shrink(some, 0)
    assert (none.state, none.parts, none.is_over) == ("CANCELLED", Parts(), True)
    settled = settle(line)
    assert settled.state == "SETTLED"
    back, taken = shrink(settled, 0)
    assert (back.state, taken) == ("CLAWED_BACK", line.parts)
    half, _ = shrink_base(settled, 5_000)
    assert (half.state, half.parts.seller_minor, half.units) == ("SETTLED", 500, 3)
    for ended in (none, back):
        with pytest.raises(Refusal, match=r"state\.conflict"):
            settle(ended)


def test_what_counts_for_a_tier() -> None:
    lines = [earned(), msgspec.structs.replace(earned(), line_no=2), shrink(earned(), 0)[0]]
    assert counted_for(Basis.ORDERS, lines) == 1
    assert counted_for(Basis.GOODS, lines) == 2 * 9_999


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rate_bps": -1}, "rate_bps"),
        ({"rate_bps": 8_001}, "rate_bps"),
        ({"tiers": (Tier(reached=0, rate_bps=2_000),)}, "tiers"),
        ({"tiers": (Tier(reached=5, rate_bps=2_000), Tier(reached=5, rate_bps=2_000))}, "tiers"),
        ({"tiers": (Tier(reached=5, rate_bps=500),)}, "tiers"),
        ({"tiers": (Tier(reached=5, rate_bps=9_000),)}, "tiers[0].rate_bps"),
        ({"tiers": (Tier(reached=5, rate_bps=2_000),) * 11}, "tiers"),
        ({"bonuses": (Bonus(code="b", rate_bps=9_000),)}, "bonuses[0].rate_bps"),
        ({"bonuses": (Bonus(code="b", rate_bps=1, seller_share_bps=20_000),)}, "bonuses[0].seller_share_bps"),
        ({"rate_bps": 8_000, "bonuses": (Bonus(code="b", rate_bps=2_001),)}, "bonuses"),
        ({"bonuses": (Bonus(code="b", rate_bps=1),) * 6}, "bonuses"),
        ({"creators": ("c",) * 10_001}, "creators"),
        ({"products": ("p",) * 10_001}, "products"),
        ({"starts_at_ms": 5, "ends_at_ms": 5}, "ends_at_ms"),
        ({"tiers": (Tier(reached=5, rate_bps=2_000),)}, "ends_at_ms"),
        ({"bonuses": (Bonus(code="b", rate_bps=1, cap_minor=-1),)}, "bonuses[0].cap_minor"),
        ({"agency": Agency(agency_id=CREATOR, share_bps=10_001)}, "agency.share_bps"),
        ({"agency": Agency(agency_id="agy", share_bps=1)}, "agency.agency_id"),
    ],
)
def test_plans_are_checked(change: dict[str, object], field: str) -> None:
    with pytest.raises(Refusal, match=r"creators\.plan_invalid") as refused:
        check_plan(msgspec.structs.replace(PLAN, **change))
    assert refused.value.field == field


def test_sound_plans_pass() -> None:
    check_plan(PLAN)
    check_plan(
        msgspec.structs.replace(TIERED, ends_at_ms=1, agency=Agency(agency_id=CREATOR, share_bps=10_000))
    )


def test_a_seller_spends_no_money_of_the_platform() -> None:
    shared = msgspec.structs.replace(PLAN, bonuses=(Bonus(code="b", rate_bps=1, seller_share_bps=9_999),))
    check_bonuses(shared, by_seller=False)
    with pytest.raises(Refusal, match=r"creators\.plan_invalid"):
        check_bonuses(shared, by_seller=True)


@pytest.mark.parametrize(
    ("word", "fits"), [(CREATOR, True), ("cre_1", False), ("", False), ("byr_" + CREATOR[4:], False)]
)
def test_who_is_a_creator(word: str, fits: bool) -> None:
    assert is_creator(word) is fits


plans = st.builds(
    lambda rate, tiers, bonuses: msgspec.structs.replace(
        PLAN,
        rate_bps=rate,
        tiers=tuple(Tier(reached=5 * (n + 1), rate_bps=rate + 100 * (n + 1)) for n in range(tiers)),
        bonuses=tuple(Bonus(code="b", rate_bps=r, seller_share_bps=s, cap_minor=c) for r, s, c in bonuses),
    ),
    st.integers(0, 3_000),
    st.integers(0, 3),
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 10_000), st.integers(0, 500)), max_size=3),
)


@given(plans, st.integers(0, 10**9), st.integers(1, 50), st.integers(0, 30), st.data())
def test_money_is_conserved_through_any_refunds(
    drawn: Plan, base: int, units: int, counted: int, data: st.DataObject
) -> None:
    line = earned(drawn, base, units, counted)
    first, taken = line.parts, Parts()
    if data.draw(st.booleans()) and not line.is_over:
        line = settle(line)
    while not line.is_over and line.units:
        line, back = shrink(line, data.draw(st.integers(0, line.units - 1)))
        taken = minus(taken, minus(Parts(), back))
        for parts in (line.parts, back, taken):
            assert parts.creator_minor + parts.agency_minor + parts.deposit_minor == (
                parts.seller_minor + parts.platform_minor
            )
            assert min(msgspec.structs.astuple(parts)) >= 0
    assert taken == first, "everything back leaves nothing"
