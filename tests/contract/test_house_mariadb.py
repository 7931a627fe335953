"""The house's own SQL on MariaDB: the journeys of the API tests, and a crowd that buys, cancels and sends back."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.api import test_after_the_order, test_journey, test_split_tender
from tests.api.conftest import ADDRESS, SECRET, Client, Shop, make_offer, make_platform, shop

from tradepost.books import check_books
from tradepost.infra.storage.mysql import MysqlStorage
from tradepost.surfaces.api import Platform
from tradepost.testing.world import TestWorld
from tradepost.trade import inventory

pytestmark = pytest.mark.server("mariadb")
CALLERS = 256
__all__ = ["shop"]

for module in (test_journey, test_after_the_order, test_split_tender):
    for name, found in vars(module).items():
        if name.startswith("test_") and inspect.iscoroutinefunction(found):
            globals()[f"{name}_on_mariadb"] = found


@pytest.fixture(params=["thread", "process"])
async def platform(
    request: pytest.FixtureRequest, mysql_url: str, world: TestWorld
) -> AsyncIterator[Platform]:
    """A platform on MariaDB with two writers, its runtime stepped by hand."""
    db = MysqlStorage(mysql_url, writer=request.param)
    yield make_platform(db, world, SECRET)
    await db.close()


def body_of(
    offer_ids: list[str], price_minor: int, buyer_id: str = "", method: str = "sandbox_succeeds"
) -> Any:
    """A checkout of one piece of each."""
    return {
        "market": "GB",
        "lines": [{"offer_id": offer_id, "quantity": 1} for offer_id in offer_ids],
        "total": {"amount_minor": price_minor, "currency": "GBP"},
        "address": ADDRESS,
        "payment": {"method": method, "confirm": True},
        **({"buyer_id": buyer_id} if buyer_id else {}),
    }


async def everybody(callers: list[Any], at_once: int = CALLERS) -> list[Any]:
    """Run all, so many at once."""
    gate = asyncio.Semaphore(at_once)

    async def one(caller: Any) -> Any:
        async with gate:
            return await caller

    return list(await asyncio.gather(*[one(caller) for caller in callers]))


async def proof(shop: Shop) -> inventory.StockReport:
    """Books and stock agree with themselves, and nothing was given up."""
    db = shop.platform.db
    books = await db.read(0, check_books)
    assert books.agree, books.findings
    stock: inventory.StockReport = await db.read(0, inventory.check_stock, 0, 1023, shop.world.now_ms())
    assert not stock.findings, stock.findings
    assert (await shop.operator.get("/v1/dead-letters")).json["items"] == []
    return stock


async def test_a_crowd_takes_exactly_what_is_there(shop: Shop) -> None:
    _, scarce = await make_offer(shop.seller, "RARE", 100)
    one = await total_of(shop, scarce)
    buyers = [shop.world.mint("buyer", shop.world.gene()) for _ in range(400)]
    answers = await everybody(
        [shop.storefront.post("/v1/checkouts", body_of([scarce], one, buyer_id)) for buyer_id in buyers]
    )
    assert sorted({reply.status for reply in answers}) == [201, 409], [
        r.body for r in answers if r.status > 409
    ][:2]
    assert sum(reply.status == 201 for reply in answers) == 100
    assert {reply.code for reply in answers if reply.status == 409} == {"inventory.sold_out"}
    shop.world.advance(1_000)
    await shop.platform.runtime.drain()
    await proof(shop)


async def test_a_crowd_buys_cancels_and_sends_back(shop: Shop) -> None:
    offers = [await make_offer(shop.seller, f"SKU-{n}", 1_000) for n in range(12)]
    both = await total_of(shop, offers[0][1], offers[1][1])
    buyers = [shop.world.mint("buyer", shop.world.gene()) for _ in range(300)]
    pairs = [[offers[n % 12][1], offers[(n * 5 + 1) % 12][1]] for n in range(300)]
    pairs = [pair if pair[0] != pair[1] else [offers[0][1], offers[1][1]] for pair in pairs]
    answers = await everybody(
        [
            shop.storefront.post("/v1/checkouts", body_of(pair, both, buyer_id))
            for pair, buyer_id in zip(pairs, buyers, strict=True)
        ]
    )
    assert {reply.status for reply in answers} == {201}, [r.body for r in answers if r.status != 201][:2]
    order_ids = [reply.json["orders"][0]["order_id"] for reply in answers]
    shop.world.advance(1_000)
    await shop.platform.runtime.drain()
    gone = await everybody(
        [
            shop.operator.post(f"/v1/orders/{order_id}/cancel", {"reason": "buyer"})
            for order_id in order_ids[:60]
        ]
    )
    assert {reply.status for reply in gone} == {200}, [r.body for r in gone if r.status != 200][:2]
    shop.world.advance(1_000)
    await shop.platform.runtime.drain()
    await everybody([deliver(shop, order_id) for order_id in order_ids[60:90]])
    await shop.platform.runtime.drain()
    await everybody([send_back(shop, order_id) for order_id in order_ids[60:90]])
    for _ in range(4):
        shop.world.advance(60_000)
        await shop.platform.runtime.drain()
    await proof(shop)
    levels = await shop.platform.db.read(0, inventory.levels, [sku_id for sku_id, _ in offers])
    sold = sum(level.reserved + level.held for level in levels)
    assert sold == 2 * (300 - 60 - 30)


async def total_of(shop: Shop, *offer_ids: str) -> int:
    """What a piece of each costs together."""
    lines = [{"offer_id": offer_id, "quantity": 1} for offer_id in offer_ids]
    reply = await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": lines})
    return int(reply.json["total"]["amount_minor"])


async def deliver(shop: Shop, order_id: str) -> None:
    """Pack it and bring it."""
    packed = await good(shop.seller, f"/v1/orders/{order_id}/packages", {})
    package = f"/v1/orders/{order_id}/packages/{packed['package_id']}"
    await good(shop.seller, f"{package}/collect", {"carrier": "RM", "tracking_code": "1"})
    await good(shop.seller, f"{package}/tracking", {"code": "in_transit"})
    await good(shop.seller, f"{package}/deliver")


async def send_back(shop: Shop, order_id: str) -> None:
    """Take both pieces back."""
    lines = [{"line_no": number, "quantity": 1} for number in (1, 2)]
    wanted = await good(shop.operator, f"/v1/orders/{order_id}/returns", {"lines": lines, "reason": "colour"})
    path = f"/v1/orders/{order_id}/returns/{wanted['return_id']}"
    await good(shop.seller, f"{path}/approve")
    await good(shop.seller, f"{path}/receive", {})


async def good(client: Client, path: str, body: Any = None) -> Any:
    """The answer of a request that must work, asked again where a race was lost."""
    for _ in range(5):
        reply = await client.post(path, body)
        if reply.status in (200, 201):
            return reply.json
        assert reply.code in ("version.conflict", "inventory.contended"), reply.body
    raise AssertionError(f"{path} goes on losing races")
