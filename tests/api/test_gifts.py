"""Gifts over HTTP: shown in quote, cart, checkout, order and timeline, and told when they are gone."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import ADDRESS, Client, Shop
from tests.api.test_campaigns import publish

from tradepost.trade import inventory


def present(offer_id: str, quantity: int = 1) -> dict[str, Any]:
    effect = {"kind": "gift", "offer_id": offer_id, "quantity": quantity}
    return {"code": "present", "effect": effect, "conditions": [{"quantity_at_least": 2}]}


async def quote(client: Client, offer_id: str, quantity: int) -> Any:
    lines = [{"offer_id": offer_id, "quantity": quantity}]
    found = await client.post("/v1/quotes", {"market": "GB", "lines": lines})
    assert found.status == 200, found.body
    return found.json


async def test_a_gift_from_the_quote_to_the_order(shop: Shop) -> None:
    campaign_id = await publish(shop.seller, rules=[present(shop.offer_id)])
    assert len((await quote(shop.buyer, shop.offer_id, 1))["orders"][0]["lines"]) == 1
    found = await quote(shop.buyer, shop.offer_id, 2)
    bought, given = found["orders"][0]["lines"]
    assert (found["total"], bought["gift_of"], found["missed_gifts"]) == (bought["total"], "", [])
    assert (given["gift_of"], given["total"]["amount_minor"]) == (campaign_id, 0)
    assert given["adjustments"][0]["amount"]["amount_minor"] == -given["list"]["amount_minor"] < 0
    placed = await shop.buyer.post("/v1/checkouts", {"quote": found["quote"], "address": ADDRESS})
    assert (placed.status, placed.json["missed_gifts"]) == (201, [])
    order = (await shop.buyer.get(f"/v1/orders/{placed.json['orders'][0]['order_id']}")).json
    assert [(line["quantity"], line["gift_of"]) for line in order["lines"]] == [(2, ""), (1, campaign_id)]
    assert order["missed_gifts"] == []
    cart = await shop.buyer.post("/v1/carts", {"market": "GB"})
    path = f"/v1/carts/{cart.json['cart_id']}"
    line = {"offer_id": shop.offer_id, "quantity": 2}
    await shop.buyer.put(f"{path}/lines", {"lines": [line]})
    priced = (await shop.buyer.get(path)).json["priced"]
    assert [one["gift_of"] for one in priced["orders"][0]["lines"]] == ["", campaign_id]


async def test_a_gift_that_is_gone_is_told_everywhere(shop: Shop) -> None:
    campaign_id = await publish(shop.seller, rules=[present(shop.offer_id)])
    found = await quote(shop.buyer, shop.offer_id, 2)
    db = shop.platform.db
    views = await shop.platform.checkout.book.get([shop.offer_id])
    sku_id = views[shop.offer_id].components[0].sku_id
    [level] = await db.read(0, inventory.levels, [sku_id])
    change = inventory.StockChange(
        sku_id=sku_id, location_id=level.location_id, delta=2 - level.available, reference="less", at_ms=1
    )
    await db.transact(0, inventory.adjust, [change])
    missed = {
        "campaign_id": campaign_id,
        "code": "present",
        "offer_id": shop.offer_id,
        "title": found["orders"][0]["lines"][0]["title"],
        "quantity": 1,
        "why": "gift_sold_out",
    }
    assert (await quote(shop.buyer, shop.offer_id, 2))["missed_gifts"] == [missed]
    placed = await shop.buyer.post("/v1/checkouts", {"quote": found["quote"], "address": ADDRESS})
    assert (placed.status, placed.json["missed_gifts"]) == (201, [missed])
    assert placed.json["total"] == found["total"]
    order = (await shop.buyer.get(f"/v1/orders/{placed.json['orders'][0]['order_id']}")).json
    assert (len(order["lines"]), order["missed_gifts"]) == (1, [missed])
    assert order["timeline"][0]["data"]["missed_gifts"] == [missed]


async def test_a_seller_gives_its_own_goods(shop: Shop) -> None:
    terms = {"title": "Theirs", "currency": "GBP", "rules": [present(shop.other_offer_id)]}
    made = await shop.seller.post("/v1/campaigns", terms)
    path = f"/v1/campaigns/{made.json['campaign_id']}/state"
    refused = await shop.seller.post(path, {"input": "publish"})
    assert (refused.status, refused.code) == (422, "promotion.gift_unfit")
    assert refused.json["field"] == "rules[0].effect.offer_id"
    both = {"code": "x", "effect": {"kind": "gift", "offer_id": "off_1", "sku_id": "sku_1"}}
    wrong = await shop.seller.post("/v1/campaigns", {**terms, "title": "Both", "rules": [both]})
    assert wrong.code == "promotion.campaign_invalid"
