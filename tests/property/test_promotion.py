"""The promotion engine under hypothesis: whatever the rules and the basket, no money appears or is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.promotion_goods import campaign

from tradepost.kernel.market import Market
from tradepost.kernel.money import Rounding
from tradepost.kernel.splitting import Remainder
from tradepost.trade import pricing, promotion, shipping, tax
from tradepost.trade.catalog import Component, OfferView, PriceWindow
from tradepost.trade.pricing import PriceLine
from tradepost.trade.promotion import (
    Basis,
    Basket,
    BasketLine,
    BundlePart,
    BundlePrice,
    BuyGet,
    Campaign,
    CheapestFree,
    Condition,
    Filter,
    Fixed,
    Funder,
    Gift,
    Level,
    NthUnit,
    Outcome,
    Percentage,
    Policy,
    Promotions,
    Rule,
    RuleClass,
    SetTotal,
    Share,
    Tier,
    TierBasis,
    TieredFlat,
    TieredPercent,
    Units,
)
from tradepost.trade.promotion.spreading import fund, spread

SELLERS, SKUS, GROUPS = ("sel_1", "sel_2"), ("a", "b", "c", "d"), ("g", "h")
PPM = st.integers(1, 1_000_000)
SMALL = st.integers(1, 5)
AMOUNT = st.integers(1, 5_000)
FILTERS = st.one_of(
    st.just(Filter()),
    st.builds(Filter, skus=st.lists(st.sampled_from(SKUS), max_size=3, unique=True).map(tuple)),
    st.builds(Filter, groups=st.sampled_from(GROUPS).map(lambda group: (group,))),
    st.builds(Filter, sellers=st.sampled_from(SELLERS).map(lambda seller: (seller,))),
    st.builds(Filter, unit_price_min=st.integers(0, 2_000), except_skus=st.just(("a",))),
)
TIERS = st.lists(AMOUNT, min_size=1, max_size=3, unique=True).map(sorted)
LINE_EFFECTS = st.one_of(
    st.builds(Percentage, percent_ppm=PPM, max_units=st.integers(0, 4), units=st.sampled_from(Units)),
    st.builds(Fixed, amount_minor=AMOUNT, max_units=st.integers(0, 4), units=st.sampled_from(Units)),
    st.builds(SetTotal, amount_minor=AMOUNT),
    st.builds(
        TieredPercent,
        tiers=TIERS.map(lambda bounds: tuple(Tier(at_least=one, percent_ppm=one * 100) for one in bounds)),
        basis=st.sampled_from(TierBasis),
    ),
    st.builds(
        TieredFlat,
        tiers=TIERS.map(lambda bounds: tuple(Tier(at_least=one, amount_minor=one) for one in bounds)),
        basis=st.sampled_from(TierBasis),
    ),
)
EFFECTS = st.one_of(
    LINE_EFFECTS,
    st.builds(
        BuyGet,
        buy_quantity=SMALL,
        get_quantity=SMALL,
        buy=FILTERS,
        get=FILTERS,
        percent_ppm=PPM,
        units=st.sampled_from(Units),
        rounds_max=st.integers(0, 3),
    ),
    st.builds(CheapestFree, every=st.integers(0, 4), rounds_max=st.integers(0, 2)),
    st.builds(
        BundlePrice,
        price_minor=AMOUNT,
        parts=st.lists(st.builds(BundlePart, quantity=SMALL, of=FILTERS), min_size=1, max_size=2).map(tuple),
    ),
    st.builds(Gift, sku_id=st.sampled_from(SKUS), quantity=SMALL),
    st.builds(NthUnit, first_minor=AMOUNT, additional_minor=AMOUNT, max_units=st.integers(0, 4)),
)
FUNDINGS = st.sampled_from(
    [
        (Share(funder=Funder.SELLER, bps=10_000),),
        (Share(funder=Funder.SELLER, bps=3_333), Share(funder=Funder.PLATFORM, bps=6_667)),
        (Share(funder=Funder.PLATFORM, bps=10_000),),
    ]
)
POLICIES = st.builds(
    Policy,
    rounding=st.sampled_from(Rounding),
    line_level=st.sampled_from([Level.UNIT, Level.LINE]),
    order_level=st.sampled_from(Level),
    remainder=st.sampled_from([one for one in Remainder if one not in (Remainder.APART, Remainder.BLOCKS)]),
    sequence=st.sampled_from(promotion.Sequence),
    conditions_see=st.sampled_from(Basis),
)


@st.composite
def rules(draw: st.DrawFn, number: int) -> Rule:
    """Any rule; shipping rules have the effects that shipping has."""
    rule_class = draw(st.sampled_from(RuleClass))
    return Rule(
        code=f"r{number}",
        rule_class=rule_class,
        effect=draw(LINE_EFFECTS if rule_class is RuleClass.SHIPPING else EFFECTS),
        filter=draw(FILTERS),
        conditions=tuple(
            draw(st.lists(st.builds(Condition, quantity_at_least=SMALL, among=FILTERS), max_size=1))
        ),
        cap_minor=draw(st.sampled_from([0, 0, 777])),
        priority=draw(st.integers(0, 2)),
        exclusive=draw(st.integers(0, 9)) == 0,
        best_of=draw(st.sampled_from(["", "", "g"])),
        stop_after=draw(st.integers(0, 9)) == 0,
        basis=draw(st.sampled_from(Basis)),
        funding=draw(FUNDINGS),
    )


@st.composite
def offers(draw: st.DrawFn) -> list[Campaign]:
    """Up to six campaigns of one or two rules, all of which a check lets pass."""
    made = []
    for number in range(draw(st.integers(0, 6))):
        members = tuple(draw(rules(which)) for which in range(draw(st.integers(1, 2))))
        made.append(campaign(*members, campaign_id=f"c{number}"))
        promotion.check_campaign(made[-1])
    return made


@st.composite
def baskets(draw: st.DrawFn) -> Basket:
    """Up to eight lines; some lie at or under their floor, some cost nothing."""
    lines = []
    for number in range(1, draw(st.integers(1, 8)) + 1):
        price, quantity = draw(st.integers(0, 3_000)), draw(st.integers(1, 12))
        sku = draw(st.sampled_from(SKUS))
        lines.append(
            BasketLine(
                line_no=number,
                offer_id=f"off_{number}",
                seller_id=draw(st.sampled_from(SELLERS)),
                sku_id=sku,
                product_id=sku,
                quantity=quantity,
                unit_price_e4=price * 10_000,
                list_minor=price * quantity,
                groups=draw(st.sampled_from([(), ("g",), ("g", "h")])),
                floor_minor=draw(st.sampled_from([0, 0, 500])),
            )
        )
    return Basket(
        market="GB",
        currency="GBP",
        scene="shop",
        at_ms=5,
        buyer_id="b",
        codes=(),
        lines=tuple(lines),
    )


def off(outcome: Outcome) -> list[int]:
    return [-sum(change.amount_minor for change in changes) for changes in outcome.lines]


@given(baskets(), offers(), POLICIES)
def test_nothing_falls_below_zero_or_its_floor_and_all_sums_agree(
    basket: Basket, campaigns: list[Campaign], policy: Policy
) -> None:
    engine = Promotions(campaigns, policy, explain=True)
    charges = [promotion.Charge(seller_id=seller, amount_minor=499) for seller in SELLERS]
    found = engine.ship(basket, engine(basket), charges)
    assert found == engine.ship(basket, engine(basket), charges)
    for line, lowered in zip(basket.lines, off(found), strict=True):
        assert 0 <= lowered <= max(0, line.list_minor - line.floor_minor * line.quantity)
    for charge, changes in zip(charges, found.shipping, strict=True):
        assert -charge.amount_minor <= sum(change.amount_minor for change in changes) <= 0
    changes = [change for part in (*found.lines, *found.shipping) for change in part]
    assert all(change.amount_minor < 0 for change in changes)
    given_by: Counter[tuple[str, str]] = Counter()
    for change in changes:
        given_by[change.campaign_id, change.code] -= change.amount_minor
    told = {(one.campaign_id, one.code): one.amount_minor for one in found.verdicts if one.applied}
    assert told == dict(given_by)
    assert all(sum(one.lines.values()) == one.amount_minor for one in found.verdicts)
    caps = {(one.campaign_id, rule.code): rule.cap_minor for one in campaigns for rule in one.rules}
    assert all(amount <= caps[key] for key, amount in told.items() if caps[key])
    used: Counter[str] = Counter()
    for (campaign_id, _), amount in told.items():
        used[campaign_id] += amount
    assert {use.campaign_id: use.discount_minor for use in found.uses} == dict(used)
    assert len({(one.campaign_id, one.code) for one in found.verdicts}) == sum(
        len(one.rules) for one in campaigns
    )


@given(baskets(), offers(), POLICIES, st.randoms(use_true_random=False))
def test_the_order_of_lines_and_of_campaigns_never_matters(
    basket: Basket, campaigns: list[Campaign], policy: Policy, chance: object
) -> None:
    shuffled, offered = list(basket.lines), list(campaigns)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    chance.shuffle(offered)  # type: ignore[attr-defined]
    renumbered = [msgspec.structs.replace(line, line_no=number) for number, line in enumerate(shuffled, 1)]
    other = msgspec.structs.replace(basket, lines=tuple(renumbered))
    one, two = Promotions(campaigns, policy)(basket), Promotions(offered, policy)(other)
    first = {line.offer_id: changes for line, changes in zip(basket.lines, one.lines, strict=True)}
    second = {line.offer_id: changes for line, changes in zip(shuffled, two.lines, strict=True)}
    assert first == second
    assert one.uses == two.uses


@given(
    baskets(),
    st.lists(st.tuples(LINE_EFFECTS, st.sampled_from(Basis)), min_size=1, max_size=1),
    st.sampled_from([RuleClass.LINE, RuleClass.ORDER]),
    st.data(),
)
def test_splitting_a_line_never_changes_a_total(
    basket: Basket, effects: Sequence[tuple[object, Basis]], rule_class: RuleClass, data: st.DataObject
) -> None:
    """Under rounding per unit for line rules and per order for order rules: exactly. Tiers by line are by line."""
    ((effect, basis),) = effects
    if isinstance(effect, TieredPercent | TieredFlat) and effect.basis in (
        TierBasis.LINE_AMOUNT,
        TierBasis.LINE_QUANTITY,
    ):
        effect = msgspec.structs.replace(effect, basis=TierBasis.AMOUNT)
    one = campaign(Rule(code="r", effect=effect, rule_class=rule_class, basis=basis))  # type: ignore[arg-type]
    policy = Policy(line_level=Level.UNIT, order_level=Level.ORDER)
    place = data.draw(st.integers(0, len(basket.lines) - 1))
    line = basket.lines[place]
    part = data.draw(st.integers(0, line.quantity))
    price = line.list_minor // line.quantity
    halves = [
        msgspec.structs.replace(line, quantity=quantity, list_minor=price * quantity, line_no=number)
        for quantity, number in ((part, line.line_no), (line.quantity - part, len(basket.lines) + 1))
        if quantity
    ]
    others = [one for number, one in enumerate(basket.lines) if number != place]
    split = msgspec.structs.replace(basket, lines=(*others, *halves))
    engine = Promotions([one], policy)
    assert sum(off(engine(basket))) == sum(off(engine(split)))


@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 10**4)), min_size=1, max_size=12),
    POLICIES,
)
def test_a_spread_fills_rooms_and_sums(amount: int, parts: list[tuple[int, int]], policy: Policy) -> None:
    weights, rooms = [weight for weight, _ in parts], [room for _, room in parts]
    found = spread(amount, weights, rooms, policy.remainder)
    assert sum(found) == min(amount, sum(rooms))
    assert all(0 <= part <= room for part, room in zip(found, rooms, strict=True))


@given(st.lists(st.integers(0, 10**4), max_size=20), FUNDINGS)
def test_funders_are_told_apart_exactly(amounts: list[int], shares: tuple[Share, ...]) -> None:
    rows = fund(amounts, shares)
    assert [sum(row) for row in rows] == amounts
    assert all(part >= 0 for row in rows for part in row)
    whole = sum(amounts)
    for place, share in enumerate(shares):
        borne = sum(row[place] for row in rows)
        assert abs(borne * 10_000 - whole * share.bps) <= 10_000  # a minor unit at most


MARKETS = st.builds(
    lambda inside, standard: Market(
        code="GB",
        name="Somewhere",
        currency="GBP",
        locale="en",
        time_zone="UTC",
        prices_include_tax=inside,
        tax_rates_bps={"standard": standard},
    ),
    st.booleans(),
    st.integers(0, 3_000),
)


@given(baskets(), offers(), POLICIES, MARKETS, st.integers(0, 700))
def test_a_price_with_promotions_is_its_parts(
    basket: Basket, campaigns: list[Campaign], policy: Policy, market: Market, postage: int
) -> None:
    lines = [_price_line(line) for line in basket.lines]
    priced = pricing.price(
        lines,
        market,
        5,
        tax=tax.by_category,
        ship=shipping.flat_rate(postage),
        scene="shop",
        adjust=Promotions(campaigns, policy),
    )
    for line in priced.lines:
        final = line.list_minor + sum(change.amount_minor for change in line.adjustments)
        net = line.total_minor - line.tax_minor
        assert final == (line.total_minor if market.prices_include_tax else net)
        assert 0 <= net <= line.total_minor
    for charge in priced.shipping:
        final = charge.list_minor + sum(change.amount_minor for change in charge.adjustments)
        assert final == charge.amount_minor - (0 if market.prices_include_tax else charge.tax_minor)
        assert final >= 0
    assert priced.outcome is not None
    everything = [*priced.lines, *priced.shipping]
    given_away = -sum(change.amount_minor for part in everything for change in part.adjustments)
    assert sum(use.discount_minor for use in priced.outcome.uses) == given_away
    assert priced.total_minor == sum(line.total_minor for line in priced.lines) + priced.shipping_minor


def _price_line(line: BasketLine) -> PriceLine:
    offer = OfferView(
        offer_id=line.offer_id,
        seller_id=line.seller_id,
        sku_id=line.sku_id,
        sku_code=line.sku_id,
        product_id=line.product_id,
        title="",
        description="",
        image="",
        components=(Component(sku_id=line.sku_id, quantity=1),),
        markets=("GB",),
        prices=(PriceWindow(currency="GBP", price_e4=line.unit_price_e4),),
        state="ACTIVE",
        seller_state="ACTIVE",
        fee_bps=0,
        version=1,
    )
    return PriceLine(offer=offer, quantity=line.quantity, groups=line.groups, floor_minor=line.floor_minor)
