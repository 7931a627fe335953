"""A coupon that everybody wants at once, on MariaDB with two writers: exactly so many orders have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.api.conftest import ADDRESS, SECRET, Shop, make_offer, make_platform, shop
from tests.contract.test_house_mariadb import everybody

from tradepost.infra.storage.mysql import MysqlStorage
from tradepost.surfaces.api import Platform
from tradepost.testing.world import TestWorld
from tradepost.trade import inventory

pytestmark = pytest.mark.server("mariadb")
__all__ = ["shop"]
LIMIT, CALLERS = 90, 160


@pytest.fixture
async def platform(mysql_url: str, world: TestWorld) -> AsyncIterator[Platform]:
    """A platform on MariaDB with two writers."""
    db = MysqlStorage(mysql_url)
    yield make_platform(db, world, SECRET)
    await db.close()


async def test_a_crowd_uses_a_coupon_exactly_so_often(shop: Shop) -> None:
    _, offer_id = await make_offer(shop.seller, "WANTED", 1_000)
    rules = [{"code": "ten", "effect": {"kind": "fixed", "amount_minor": 95}}]
    terms = {
        "currency": "GBP",
        "rules": rules,
        "needs_code": True,
        "codes": ["HOT"],
        "limits": {"total": LIMIT},
    }
    made = (await shop.operator.post("/v1/campaigns", terms)).json
    moved = await shop.operator.post(f"/v1/campaigns/{made['campaign_id']}/state", {"input": "publish"})
    assert moved.status == 200, moved.body
    buyers = [shop.world.mint("buyer", shop.world.gene()) for _ in range(CALLERS)]
    answers = await everybody(
        [shop.storefront.post("/v1/checkouts", body(offer_id, one)) for one in buyers], 64
    )
    assert Counter(answer.status if answer.status == 201 else answer.code for answer in answers) == {
        201: LIMIT,
        "promotion.limit_reached": CALLERS - LIMIT,
    }
    orders = [
        order["order_id"] for answer in answers if answer.status == 201 for order in answer.json["orders"]
    ]
    for order_id in orders[:7]:
        cancelled = await shop.storefront.post(f"/v1/orders/{order_id}/cancel", {"reason": "changed_mind"})
        assert cancelled.status == 200, cancelled.body
    await shop.platform.runtime.drain()
    again = [shop.world.mint("buyer", shop.world.gene()) for _ in range(12)]
    late = await everybody([shop.storefront.post("/v1/checkouts", body(offer_id, one)) for one in again], 12)
    assert sum(answer.status == 201 for answer in late) == 7
    stock: inventory.StockReport = await shop.platform.db.read(0, inventory.check_stock, shop.world.now_ms())
    assert stock.findings == ()


def body(offer_id: str, buyer_id: str) -> Any:
    """One piece with the coupon."""
    return {
        "market": "GB",
        "lines": [{"offer_id": offer_id, "quantity": 1}],
        "codes": ["HOT"],
        "total": {"amount_minor": 800, "currency": "GBP"},
        "address": ADDRESS,
        "buyer_id": buyer_id,
    }
