"""Filling a campaign's limit: up to its share, whoever comes first and by whatever bound."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tests.campaign_samples import coupon, promoted, publish
from tests.checkout_shop import TwoShards
from tests.unit.test_checkout_limits import buy, placed, prove

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.testing.world import TestWorld
from tradepost.trade.checkout import limits, redeeming
from tradepost.trade.checkout.campaigning import fill_limits
from tradepost.trade.checkout.limits import LimitUse
from tradepost.trade.promotion import Limits


@pytest.mark.parametrize("shards", [1, 2])
async def test_a_purchase_by_an_older_bound_adds_nothing_to_a_limit_that_was_raised_meanwhile(
    shards: int, db: SqliteStorage, world: TestWorld
) -> None:
    both = TwoShards()
    shop = promoted(db if shards == 1 else both, world)
    mug = await shop.offer(pieces=100)
    raised = coupon("ONE", limits=Limits(total=3))
    await publish(shop, raised)
    await fill_limits(shop.db, shop.world, raised)
    older = LimitUse(
        campaign_id=raised.campaign_id, kind=limits.TOTAL, key="", quantity=1, bound=2, order_id="ord_1"
    )
    buyer_id = shop.world.mint("buyer", 6)
    late: Any = SimpleNamespace(buyer_id=buyer_id, at_ms=shop.world.now_ms())
    await redeeming._open(shop.context, older, 0, late)
    answers = [await buy(shop, mug, number, gene=number) for number in range(6)]
    assert len(placed(answers)) == 3
    prove(shop)
    both.close()
