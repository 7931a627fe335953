"""Pricing a basket of 100 lines under 100 active promotions, half of which give something."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from tradepost.kernel.money import PRICE_SCALE
from tradepost.markets import market
from tradepost.testing.bench.driving import Tally
from tradepost.testing.bench.goals import make_figure
from tradepost.testing.bench.model import Pace
from tradepost.testing.bench.over_http import Found
from tradepost.testing.bench.shop import MARKET, Shop
from tradepost.trade import pricing, shipping, tax
from tradepost.trade.catalog import Component, OfferView, PriceWindow
from tradepost.trade.pricing import PriceLine
from tradepost.trade.promotion import (
    BundlePart,
    BundlePrice,
    BuyGet,
    Campaign,
    CampaignState,
    CheapestFree,
    Condition,
    Filter,
    Fixed,
    Funder,
    Percentage,
    Promotions,
    Rule,
    RuleClass,
    Share,
    Tier,
    TieredPercent,
)

LINES = CAMPAIGNS = 100
ROUNDS = 60
AT_MS = 1_000
_SHARED = (Share(funder=Funder.SELLER, bps=7_000), Share(funder=Funder.PLATFORM, bps=3_000))
_RISING = (Tier(at_least=1_000, percent_ppm=20_000), Tier(at_least=5_000, percent_ppm=40_000))


def measure_promotions(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """`pricing.price` of 100 lines with no promotion, and with 100 in force; a million pieces each beside it."""
    engine = Promotions(make_campaigns())
    few, many = make_lines(1), make_lines(1_000_000)
    plain = _median_ms(lambda: price(few, None))
    promoted = _median_ms(lambda: price(few, engine))
    flat = _median_ms(lambda: price(many, engine))
    applied = price(few, engine)
    changes = sum(len(line.adjustments) for line in applied.lines)
    used = len(applied.outcome.uses) if applied.outcome else 0
    return [
        make_figure(
            "quote_promoted",
            [promoted],
            details={"without_ms": round(plain, 3), "million_pieces_ms": round(flat, 3)},
            note=f"In process, the whole price; {used} of {CAMPAIGNS} campaigns gave {changes} adjustments.",
        )
    ], []


def price(lines: list[PriceLine], engine: Promotions | None) -> pricing.Priced:
    """The lines priced in the bench's market, under an engine or under none."""
    return pricing.price(
        lines,
        market(MARKET),
        AT_MS,
        tax=tax.TAXES.choose("shop"),
        ship=shipping.RATES.choose("shop"),
        scene="shop",
        adjust=engine or pricing.no_adjustments,
    )


def _median_ms(act: Callable[[], object]) -> float:
    act()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        act()
        times.append((time.perf_counter() - began) * 1_000)
    return median(times)


def make_lines(quantity: int) -> list[PriceLine]:
    """100 lines of five sellers in ten groups, each another SKU and price."""
    currency = market(MARKET).currency
    return [
        PriceLine(
            offer=OfferView(
                offer_id=f"off_{number}",
                seller_id=f"sel_{number % 5}",
                sku_id=f"sku_{number}",
                sku_code="",
                product_id=f"prd_{number // 2}",
                title="",
                description="",
                image="",
                components=(Component(sku_id=f"sku_{number}", quantity=1),),
                markets=(MARKET,),
                prices=(PriceWindow(currency=currency, price_e4=(500 + 37 * number) * PRICE_SCALE),),
                state="ACTIVE",
                seller_state="ACTIVE",
                fee_bps=500,
                version=1,
                quantity_max=quantity,
            ),
            quantity=quantity,
            content_id=f"vid_{number % 10}",
            groups=(f"g{number % 10}",),
        )
        for number in range(LINES)
    ]


def make_campaigns() -> list[Campaign]:
    """100 campaigns, ten of each sort: for groups, sellers, products, content, SKUs, everything, shipping."""
    currency = market(MARKET).currency
    return [
        Campaign(
            campaign_id=f"cmp_{number:03d}",
            rules=(_rule(number % 10, number // 10, number),),
            currency=currency,
            state=CampaignState.ACTIVE,
        )
        for number in range(CAMPAIGNS)
    ]


def _rule(sort: int, which: int, number: int) -> Rule:
    group, seller = Filter(groups=(f"g{which}",)), Filter(sellers=(f"sel_{which % 5}",))
    bundle = BundlePrice(price_minor=900, parts=(BundlePart(quantity=3),))
    skus = Filter(skus=tuple(f"sku_{number + one}" for one in range(3)))
    enough = (Condition(items_total_at_least=10_000 * (which + 1)),)
    sorts = (
        Rule(code="r", effect=Percentage(percent_ppm=100_000), filter=group, funding=_SHARED),
        Rule(code="r", effect=Fixed(amount_minor=50), filter=seller),
        Rule(code="r", effect=BuyGet(buy_quantity=2), filter=group),
        Rule(code="r", effect=bundle, filter=Filter(products=(f"prd_{which}",))),
        Rule(code="r", effect=TieredPercent(tiers=_RISING), filter=Filter(contents=(f"vid_{which}",))),
        Rule(code="r", effect=Percentage(percent_ppm=50_000), filter=skus, conditions=enough),
        Rule(
            code="r",
            effect=Fixed(amount_minor=500),
            rule_class=RuleClass.ORDER,
            best_of="order",
            conditions=enough,
        ),
        Rule(
            code="r",
            effect=Percentage(percent_ppm=30_000),
            rule_class=RuleClass.ORDER,
            filter=seller,
            cap_minor=2_000,
        ),
        Rule(code="r", effect=CheapestFree(every=3), filter=Filter(unit_price_min=500, unit_price_max=900)),
        Rule(code="r", effect=Percentage(percent_ppm=500_000), rule_class=RuleClass.SHIPPING),
    )
    return sorts[sort]
