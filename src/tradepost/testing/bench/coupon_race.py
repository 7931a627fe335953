"""The coupon race: everybody places with the same coupon at once, and exactly as many orders have it as it allows."""

from __future__ import annotations

import asyncio
import shutil
import time
from statistics import median

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.testing.bench.driving import Tally
from tradepost.testing.bench.goals import make_figure
from tradepost.testing.bench.in_process import ADDRESS, CALLERS
from tradepost.testing.bench.model import Pace
from tradepost.testing.bench.over_http import Found
from tradepost.testing.bench.shop import MARKET, Shop, opened
from tradepost.trade import checkout, promotion
from tradepost.trade.promotion import Campaign, Fixed, Limits, Rule, RuleClass

CODE = "RACE"
GRABBED, WANTED = 2_000, 3_000


def measure_coupon_race(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """Orders a second of 256 callers who all want one coupon; a third of them comes too late."""
    share = 4 if pace.rounds == 1 else 1
    laps = [asyncio.run(_race(shop, GRABBED // share, WANTED // share)) for _ in range(pace.rounds)]
    return [
        make_figure(
            "coupon_race",
            [rate for rate, _, _ in laps],
            details={
                "uses": laps[0][1],
                "too_late": laps[0][2],
                "limit": GRABBED // share,
                "placed_per_s": round(median(rate * used / (used + late) for rate, used, late in laps)),
            },
            note="In process, SQLite; every order takes its use in the commit that opens it. Uses equal the limit.",
        )
    ], []


async def _race(shop: Shop, limit: int, wanted: int) -> tuple[float, int, int]:
    folder = shop.fresh()
    async with opened(folder) as app:
        context, world = app.platform.checkout, app.platform.world
        one = Campaign(
            campaign_id=world.mint("campaign", promotion.GENE),
            currency="GBP",
            rules=(Rule(code="race", effect=Fixed(amount_minor=1), rule_class=RuleClass.ORDER),),
            needs_code=True,
            codes=(CODE,),
            limits=Limits(total=limit, per_buyer=wanted),
        )
        shard = app.platform.db.shard_of(promotion.GENE)
        await app.platform.db.transact(shard, _publish, one, world.now_ms())
        waiting = iter(range(wanted))
        answers: list[bool] = []

        async def call() -> None:
            for number in waiting:
                answers.append(await _buy(context, shop, number))

        began = time.perf_counter()
        await asyncio.gather(*[call() for _ in range(CALLERS)])
        took = time.perf_counter() - began
    shutil.rmtree(folder)
    used = sum(answers)
    if used != limit:
        raise AssertionError(f"{used} orders have a coupon of {limit} uses")
    return len(answers) / took, used, len(answers) - used


def _publish(tx: Tx, one: Campaign, at_ms: int) -> None:
    promotion.create_campaign(tx, one, "opr_bench", at_ms)
    promotion.move_campaign(tx, one.campaign_id, "publish", at_ms)


async def _buy(context: checkout.Context, shop: Shop, number: int) -> bool:
    basket = shop.plan.baskets[number % len(shop.plan.baskets)]
    request = checkout.Request(
        scope="bench",
        key=f"race-{number}",
        request_hash=f"{number:032x}",
        buyer_id=shop.plan.buyers[number % len(shop.plan.buyers)],
        address=ADDRESS,
        method="sandbox_succeeds",
        codes=(CODE,),
    )
    wants = [checkout.Want(offer_id=offer_id, quantity=1) for offer_id in basket.offers]
    try:
        placement = await checkout.accept_buy_now(context, MARKET, wants, request)
        await checkout.place_order(context, placement)
    except Refusal as refusal:
        if refusal.code != "promotion.limit_reached":
            raise
        return False
    return True
