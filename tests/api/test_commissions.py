"""From a creator's content to money on the creator's account, and back when goods come back."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import ADDRESS, Client, Shop, make_key
from tests.api.test_journey import place_and_deliver, release

from tradepost.trade import ledger, settlement
from tradepost.trade.settlement import TRANSIT

DAY = 86_400_000


async def led(shop: Shop, creator_id: str, quantity: int = 4) -> Any:
    """An order that a video led to, delivered."""
    line = {
        "offer_id": shop.offer_id,
        "quantity": quantity,
        "content_id": "video_1",
        "creator_id": creator_id,
    }
    quote = await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": [line]})
    body = {"quote": quote.json["quote"], "address": ADDRESS, "payment": {"method": "sandbox_succeeds"}}
    return await place_and_deliver(shop, body)


async def later(shop: Shop, days: int) -> None:
    """Let time pass and everything that was due happen."""
    shop.world.advance(days * DAY)
    for _ in range(4):
        await release(shop)


async def creator(shop: Shop) -> tuple[str, Client]:
    creator_id, token = await make_key(shop.platform, "creator")
    return creator_id, shop.buyer.using(token)


async def earnings(client: Client) -> list[dict[str, Any]]:
    reply = await client.get("/v1/commissions")
    assert reply.status == 200, reply.body
    return list(reply.json["items"])


async def owed(shop: Shop, account: str) -> int:
    balances = await shop.platform.db.read(0, ledger.account_balances)
    found = balances.get((account, "GBP"))
    return 0 if found is None else -found.posted_minor


async def test_a_video_earns_and_a_return_takes_back(shop: Shop) -> None:
    creator_id, client = await creator(shop)
    plan = await shop.seller.post("/v1/commission-plans", {"rate_bps": 1_000, "settle_after_ms": 2 * DAY})
    assert plan.status == 201, plan.body
    order_id = await led(shop, creator_id)
    (seen,) = await earnings(client)
    net = seen["base_minor"]
    assert (seen["state"], seen["amount_minor"], seen["plan_id"]) == (
        "ESTIMATED",
        net // 10,
        plan.json["plan_id"],
    )
    assert await owed(shop, f"payable:{creator_id}") == 0

    await later(shop, 3)
    (seen,) = await earnings(client)
    assert seen["state"] == "SETTLED"
    assert await owed(shop, f"payable:{creator_id}") == net // 10
    assert await owed(shop, f"creator:{creator_id}") == 0, "all of it left the order's books"

    lines = [{"line_no": 1, "quantity": 1}]
    wanted = await shop.buyer.post(f"/v1/orders/{order_id}/returns", {"lines": lines, "reason": "colour"})
    path = f"/v1/orders/{order_id}/returns/{wanted.json['return_id']}"
    await shop.seller.post(f"{path}/approve")
    await shop.seller.post(f"{path}/receive", {})
    await later(shop, 1)
    (seen,) = await earnings(client)
    assert (seen["state"], seen["base_minor"]) == ("SETTLED", net * 3 // 4)
    assert await owed(shop, f"payable:{creator_id}") == (net * 3 // 4) // 10

    explained = (await shop.seller.get(f"/v1/orders/{order_id}/commissions")).json
    assert explained["lines"][0]["attribution"]["why"] == "the tap that led here"
    assert explained["lines"][0]["units"] == 3
    assert await owed(shop, TRANSIT) == 0
    report = await shop.platform.db.read(0, ledger.check_ledger)
    assert report.balanced
    assert list(report.findings) == []
    checked = await shop.platform.db.read(0, settlement.check_settlement)
    assert list(checked.findings) == []


async def test_everything_back_claws_everything_back(shop: Shop) -> None:
    creator_id, client = await creator(shop)
    await shop.seller.post("/v1/commission-plans", {"rate_bps": 1_500, "settle_after_ms": DAY})
    order_id = await led(shop, creator_id, quantity=2)
    await later(shop, 2)
    assert await owed(shop, f"payable:{creator_id}") > 0
    wanted = await shop.buyer.post(
        f"/v1/orders/{order_id}/returns", {"lines": [{"line_no": 1, "quantity": 2}], "reason": "colour"}
    )
    path = f"/v1/orders/{order_id}/returns/{wanted.json['return_id']}"
    await shop.seller.post(f"{path}/approve")
    await shop.seller.post(f"{path}/receive", {})
    await later(shop, 1)
    (seen,) = await earnings(client)
    assert (seen["state"], seen["amount_minor"]) == ("CLAWED_BACK", 0)
    assert await owed(shop, f"payable:{creator_id}") == 0


async def test_an_order_is_under_the_plan_of_its_moment(shop: Shop) -> None:
    creator_id, client = await creator(shop)
    first = (await shop.seller.post("/v1/commission-plans", {"rate_bps": 1_000})).json
    order_id = await led(shop, creator_id, quantity=1)
    path = f"/v1/commission-plans/{first['plan_id']}"
    changed = await shop.seller.put(path, {"rate_bps": 2_000, "version": 1})
    assert (changed.status, changed.json["version"]) == (200, 2)
    assert (await shop.seller.put(path, {"rate_bps": 500, "version": 1})).code == "version.conflict"
    await led(shop, creator_id, quantity=1)
    newest, oldest = await earnings(client)
    assert (oldest["order_id"], oldest["amount_minor"] * 10 // oldest["base_minor"]) == (order_id, 0)
    assert newest["amount_minor"] in (2 * oldest["amount_minor"], 2 * oldest["amount_minor"] + 1)
    assert (await shop.seller.request("DELETE", path)).status == 200
    await led(shop, creator_id, quantity=1)
    assert len(await earnings(client)) == 2
    assert (await shop.seller.request("DELETE", path)).code == "creators.plan_unknown"
    assert (await shop.seller.get("/v1/commission-plans")).json["items"] == []


async def test_who_may_see_what(shop: Shop) -> None:
    creator_id, client = await creator(shop)
    _, other = await creator(shop)
    await shop.seller.post("/v1/commission-plans", {"rate_bps": 1_000})
    order_id = await led(shop, creator_id)
    assert await earnings(other) == []
    assert (await shop.other_seller.get(f"/v1/orders/{order_id}/commissions")).code == "orders.not_found"
    assert (await shop.buyer.get(f"/v1/orders/{order_id}/commissions")).code == "auth.forbidden"
    operated = await shop.operator.get(f"/v1/commissions?creator_id={creator_id}")
    assert operated.json["items"] == await earnings(client)


async def test_plans_that_cannot_pay(shop: Shop) -> None:
    refused = await shop.seller.post("/v1/commission-plans", {"rate_bps": 9_000})
    assert (refused.code, refused.json["field"]) == ("creators.plan_invalid", "rate_bps")


async def test_an_order_without_a_creator_earns_nobody_anything(shop: Shop) -> None:
    placed = await shop.buy()
    await release(shop)
    order_id = placed["orders"][0]["order_id"]
    assert (await shop.seller.get(f"/v1/orders/{order_id}/commissions")).code == "creators.commission_unknown"
