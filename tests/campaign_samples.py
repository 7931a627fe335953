"""Campaigns for tests: small ones, published in a shop in memory."""

from __future__ import annotations

from typing import Any

from tests.checkout_shop import Shop

from tradepost.kernel.ids import mint_id
from tradepost.testing.world import START_MS
from tradepost.trade import promotion
from tradepost.trade.promotion import (
    Campaign,
    CampaignBook,
    Fixed,
    Funder,
    Gift,
    Percentage,
    Rule,
    Share,
    StoredCampaign,
)

PLATFORM = (Share(funder=Funder.PLATFORM, bps=10_000),)
HALF = (Share(funder=Funder.PLATFORM, bps=5_000), Share(funder=Funder.SELLER, bps=5_000))
SELLER = (Share(funder=Funder.SELLER, bps=10_000),)


def campaign(number: int = 1, **more: Any) -> Campaign:
    """Ten percent off every line in GBP, by the platform, unless told otherwise."""
    facts: dict[str, Any] = {
        "campaign_id": mint_id("cmp", 0, START_MS, 0, number),
        "rules": (percent(),),
        "currency": "GBP",
        "title": f"Campaign {number}",
    }
    return Campaign(**{**facts, **more})


def percent(ppm: int = 100_000, code: str = "ten", **more: Any) -> Rule:
    """A percentage off each line."""
    return Rule(code=code, effect=Percentage(percent_ppm=ppm), **more)


def fixed(amount_minor: int, code: str = "off", **more: Any) -> Rule:
    """An amount off."""
    return Rule(code=code, effect=Fixed(amount_minor=amount_minor), **more)


def gift(offer_id: str, quantity: int = 1, code: str = "gift", **more: Any) -> Rule:
    facts: dict[str, Any] = {"funding": HALF, "title": "A present", **more}
    return Rule(code=code, effect=Gift(offer_id=offer_id, quantity=quantity), **facts)


def coupon(code: str, number: int = 1, **more: Any) -> Campaign:
    """A campaign for those who know a code."""
    return campaign(number, needs_code=True, codes=(code,), **more)


async def publish(shop: Shop, one: Campaign) -> StoredCampaign:
    """Enter and publish a campaign in a shop."""
    shard = shop.db.shard_of(promotion.GENE)
    at_ms = shop.world.now_ms()
    await shop.db.transact(shard, promotion.create_campaign, one, "opr_1", at_ms)
    found: StoredCampaign = await shop.db.transact(
        shard, promotion.move_campaign, one.campaign_id, "publish", at_ms
    )
    forget(shop)
    return found


def forget(shop: Shop) -> None:
    """What a signal does to the book, for storages in tests that deliver none."""
    if shop.context.campaigns is not None:
        shop.context.campaigns.present = None


def promoted(db: Any, world: Any, **more: Any) -> Shop:
    """A shop with a campaign book."""
    return Shop(db, world, campaigns=CampaignBook(db), **more)
