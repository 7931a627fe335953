"""What a campaign may give is said before it is published."""

from __future__ import annotations

from typing import Any

import pytest
from tests.campaign_samples import HALF, PLATFORM, SELLER, campaign, gift, promoted

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout, promotion
from tradepost.trade.promotion import Filter, Owner

UNFIT = [
    ({"floors": {"GBP": 10}}, {}, "without a floor"),
    ({"components": (("sku_a", 1), ("sku_b", 1))}, {}, "not a kit"),
    ({"quantity_max": 1}, {}, "at most 1"),
    ({"seller_id": "sel_b"}, {"owner": Owner.SELLER}, "own seller"),
    ({}, {"funding": HALF}, "funding by the platform alone"),
    ({"prices": ()}, {}, "a price in GBP"),
]


@pytest.mark.parametrize(("offered", "told", "expected"), UNFIT)
async def test_what_cannot_be_given_is_not_published(
    db: SqliteStorage, world: TestWorld, offered: dict[str, Any], told: dict[str, Any], expected: str
) -> None:
    shop = promoted(db, world)
    towel = await shop.offer(5, 450, **offered)
    by_seller = told.get("owner") is Owner.SELLER
    rule = gift(towel, 2, funding=told.get("funding", SELLER if by_seller else PLATFORM))
    facts: dict[str, Any] = {"owner": Owner.SELLER, "seller_id": shop.seller_id} if by_seller else {}
    one = campaign(rules=(rule,), **facts)
    promotion.check_campaign(one)
    with pytest.raises(Refusal, match=r"promotion\.gift_unfit") as refused:
        await checkout.check_prices(shop.context, one)
    assert expected in refused.value.expected


async def test_a_seller_that_pays_names_its_own_goods(db: SqliteStorage, world: TestWorld) -> None:
    shop = promoted(db, world)
    towel = await shop.offer(5, 450)
    own = gift(towel, filter=Filter(sellers=(shop.seller_id,)))
    await checkout.check_prices(shop.context, campaign(rules=(own,), markets=("XX",)))
    with pytest.raises(Refusal, match=r"promotion\.gift_unfit"):
        await checkout.check_prices(shop.context, campaign(rules=(gift("off_unknown", funding=PLATFORM),)))
