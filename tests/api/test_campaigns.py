"""Campaigns over HTTP: drafts, publishing, coupons in a quote, tenants, price errors, the same price everywhere."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import ADDRESS, Client, Reply, Shop

from tradepost.trade import checkout, inventory, orders, promotion

TEN = {"code": "ten", "effect": {"kind": "percentage", "percent_ppm": 100_000}}


def terms(**more: Any) -> dict[str, Any]:
    return {"title": "Ten off", "currency": "GBP", "rules": [TEN], **more}


async def publish(client: Client, **more: Any) -> str:
    made = await client.post("/v1/campaigns", terms(**more))
    assert made.status == 201, made.body
    campaign_id = str(made.json["campaign_id"])
    moved = await client.post(f"/v1/campaigns/{campaign_id}/state", {"input": "publish"})
    assert (moved.status, moved.json["state"]) == (200, "ACTIVE"), moved.body
    return campaign_id


async def quote(shop: Shop, client: Client | None = None, **more: Any) -> Reply:
    lines = [{"offer_id": shop.offer_id, "quantity": 2}, {"offer_id": shop.other_offer_id, "quantity": 1}]
    return await (client or shop.buyer).post("/v1/quotes", {"market": "GB", "lines": lines, **more})


async def test_a_coupon_from_draft_to_a_placed_order(shop: Shop) -> None:
    campaign_id = await publish(shop.operator, needs_code=True, codes=["ten10"], limits={"total": 1})
    plain, found = await quote(shop), await quote(shop, codes=["Ten10"])
    assert plain.json["total"]["amount_minor"] == 2_685
    assert found.json["total"]["amount_minor"] == 2_685 - 179 - 90
    [change] = found.json["orders"][0]["lines"][0]["adjustments"]
    assert change == {
        "code": "ten",
        "reason": "Ten off",
        "funder": "seller",
        "amount": {"amount_minor": -179, "currency": "GBP"},
        "campaign_id": campaign_id,
        "campaign_version": 1,
    }
    body = {"quote": found.json["quote"], "address": ADDRESS}
    assert (await shop.buyer.post("/v1/checkouts", body)).status == 201
    again = await quote(shop, shop.other_buyer, codes=["TEN10"])
    body = {"quote": again.json["quote"], "address": ADDRESS}
    assert (await shop.other_buyer.post("/v1/checkouts", body)).code == "promotion.limit_reached"
    assert (await quote(shop, shop.other_buyer, codes=["TEN10"])).code == "promotion.limit_reached"


async def test_buying_now_takes_codes_too(shop: Shop) -> None:
    await publish(shop.operator, needs_code=True, codes=["NOW"])
    body: dict[str, Any] = {
        "market": "GB",
        "lines": [{"offer_id": shop.offer_id, "quantity": 1}],
        "codes": ["NOW"],
        "total": {"amount_minor": 895, "currency": "GBP"},
        "address": ADDRESS,
    }
    assert (await shop.buyer.post("/v1/checkouts", body)).code == "checkout.total_changed"
    body["total"]["amount_minor"] = 805
    assert (await shop.buyer.post("/v1/checkouts", body)).status == 201


async def test_a_sellers_campaign_touches_its_own_lines_and_is_nobody_elses(shop: Shop) -> None:
    campaign_id = await publish(shop.seller)
    found = (await quote(shop)).json
    assert [len(order["lines"][0]["adjustments"]) for order in found["orders"]] == [1, 0]
    for client, status in (
        (shop.other_seller, 404),
        (shop.buyer, 403),
        (shop.seller, 200),
        (shop.operator, 200),
    ):
        assert (await client.get(f"/v1/campaigns/{campaign_id}")).status == status
    assert (await shop.other_seller.get("/v1/campaigns")).json["items"] == []
    foreign = await shop.other_seller.post(f"/v1/campaigns/{campaign_id}/state", {"input": "end"})
    assert foreign.code == "promotion.campaign_unknown"
    paid_by = [{"funder": "platform", "bps": 10_000}]
    platform = terms(rules=[{**TEN, "funding": paid_by}])
    assert (await shop.seller.post("/v1/campaigns", platform)).code == "promotion.campaign_invalid"
    other = await shop.seller.post("/v1/campaigns", terms(seller_id="sel_01m4xk9v0c7s8p2q3r4t5v6w7x"))
    assert other.code == "auth.forbidden"


async def test_a_campaign_names_a_group_of_goods_and_a_placed_order_keeps_it(shop: Shop) -> None:
    summer = {**TEN, "filter": {"groups": ["summer-2026"]}}
    await publish(shop.operator, rules=[summer])
    assert (await quote(shop)).json["total"]["amount_minor"] == 2_685
    offer = (await shop.seller.get(f"/v1/offers/{shop.offer_id}")).json
    path = f"/v1/products/{offer['product_id']}"
    product = (await shop.seller.get(path)).json
    assert product["groups"] == []
    wanted = {"title": product["title"], "version": product["version"]}
    refused = await shop.seller.put(path, {**wanted, "groups": ["Summer 2026"]})
    assert (refused.code, refused.json["field"]) == ("catalog.group_invalid", "groups")
    changed = await shop.seller.put(path, {**wanted, "groups": ["summer-2026", "kitchen", "kitchen"]})
    assert (changed.status, changed.json["groups"]) == (200, ["kitchen", "summer-2026"])
    found = await quote(shop)
    assert found.json["total"]["amount_minor"] == 2_685 - 179
    placed = await shop.buyer.post("/v1/checkouts", {"quote": found.json["quote"], "address": ADDRESS})
    assert placed.status == 201
    db = shop.platform.db
    order_ids = [one["order_id"] for one in placed.json["orders"]]
    [first, second] = [
        (await db.read(0, orders.orders_by_ids, [order_id]))[0].body.lines[0] for order_id in order_ids
    ]
    assert (first.groups, second.groups) == (("kitchen", "summer-2026"), ())


async def test_new_rules_count_from_the_next_publishing_on(shop: Shop) -> None:
    campaign_id = await publish(shop.operator)
    path = f"/v1/campaigns/{campaign_id}"
    half = {**TEN, "effect": {"kind": "percentage", "percent_ppm": 500_000}}
    changed = await shop.operator.put(path, terms(rules=[half], version=2))
    assert (changed.status, changed.json["rules_version"], changed.json["live_version"]) == (200, 2, 1)
    assert (await shop.operator.put(path, terms(version=2))).code == "version.conflict"
    before = (await quote(shop)).json["total"]["amount_minor"]
    await shop.operator.post(f"{path}/state", {"input": "publish"})
    after = (await quote(shop)).json["total"]["amount_minor"]
    assert (before, after) == (2_416, 2_685 - 895 - 448)
    await shop.operator.post(f"{path}/state", {"input": "pause"})
    assert (await quote(shop)).json["total"]["amount_minor"] == 2_685
    kept = (await shop.operator.get(f"{path}/versions")).json["items"]
    assert [one["rules_version"] for one in kept] == [2, 1]
    resumed = await shop.operator.post(f"{path}/state", {"input": "resume"})
    ended = await shop.operator.post(f"{path}/state", {"input": "end"})
    assert (resumed.json["state"], ended.json["state"]) == ("ACTIVE", "ENDED")
    assert (await shop.operator.post(f"{path}/state", {"input": "publish"})).code == "state.conflict"


@pytest.mark.parametrize(
    ("effect", "why"),
    [
        ({"kind": "percentage", "percent_ppm": 950_000}, "discount"),
        ({"kind": "set_to_total", "amount_minor": 9}, "discount"),
        ({"kind": "fixed", "amount_minor": 700}, "floor"),
    ],
)
async def test_a_price_error_stops_publishing(shop: Shop, effect: Any, why: str) -> None:
    floors = {
        "markets": ["GB"],
        "prices": [{"currency": "GBP", "price": "8.95"}],
        "floors": {"GBP": 400},
    }
    assert (await shop.seller.put(f"/v1/offers/{shop.offer_id}", floors)).status == 200
    offers = {"offers": [shop.offer_id]}
    made = await shop.operator.post(
        "/v1/campaigns", terms(rules=[{"code": "x", "effect": effect, "filter": offers}])
    )
    path = f"/v1/campaigns/{made.json['campaign_id']}"
    stopped = await shop.operator.post(f"{path}/state", {"input": "publish"})
    assert stopped.code == "promotion.price_error"
    assert stopped.json["why"] in (why, "floor")
    assert (await shop.operator.get(path)).json["state"] == "DRAFT"


async def test_a_price_far_below_what_was_paid_lately_stops_publishing(shop: Shop) -> None:
    await shop.buy()
    cheap = {"markets": ["GB"], "prices": [{"currency": "GBP", "price": "1.80"}]}
    assert (await shop.seller.put(f"/v1/offers/{shop.offer_id}", cheap)).status == 200
    made = await shop.operator.post("/v1/campaigns", terms())
    path = f"/v1/campaigns/{made.json['campaign_id']}/state"
    stopped = await shop.operator.post(path, {"input": "publish"})
    assert (stopped.code, stopped.json["why"]) == ("promotion.price_error", "deviation")


async def test_a_price_error_of_several_campaigns_stops_placing(shop: Shop) -> None:
    for number in range(4):
        half = {"code": f"half{number}", "effect": {"kind": "percentage", "percent_ppm": 500_000}}
        await publish(shop.operator, rules=[half])
    found = (await quote(shop)).json
    assert found["total"]["amount_minor"] < 268
    body = {"quote": found["quote"], "address": ADDRESS}
    assert (await shop.buyer.post("/v1/checkouts", body)).code == "promotion.price_error"


async def test_a_limit_is_raised_and_not_lowered(shop: Shop) -> None:
    campaign_id = await publish(shop.operator, needs_code=True, codes=["LIM"], limits={"total": 1})
    path = f"/v1/campaigns/{campaign_id}"
    used = []
    for total in (1, 3):
        await shop.operator.put(path, terms(needs_code=True, codes=["LIM"], limits={"total": total}))
        assert (await shop.operator.post(f"{path}/state", {"input": "publish"})).status == 200
        for client in (shop.buyer, shop.other_buyer, shop.buyer, shop.other_buyer):
            found = await quote(shop, client, codes=["LIM"])
            if found.status == 200:
                body = {"quote": found.json["quote"], "address": ADDRESS}
                used.append((await client.post("/v1/checkouts", body)).status == 201)
    assert sum(used) == 3
    await shop.operator.put(path, terms(needs_code=True, codes=["LIM"], limits={"total": 2}))
    lowered = await shop.operator.post(f"{path}/state", {"input": "publish"})
    assert lowered.code == "promotion.limit_lowered"


async def test_segments_are_heard_from_those_who_speak_for_buyers(shop: Shop) -> None:
    vip = {**TEN, "filter": {"segments": ["vip"]}}
    await publish(shop.operator, rules=[vip])
    said = [
        (await quote(shop, client, segments=["vip"], **named)).json["total"]["amount_minor"]
        for client, named in ((shop.buyer, {}), (shop.storefront, {"buyer_id": shop.buyer_id}))
    ]
    assert said == [2_685, 2_416]


async def test_a_quote_and_its_order_are_explained(shop: Shop) -> None:
    big = {
        "code": "big",
        "effect": {"kind": "fixed", "amount_minor": 5},
        "conditions": [{"quantity_at_least": 9}],
    }
    await publish(shop.operator, rules=[TEN, big])
    found = (await quote(shop)).json
    said = await shop.buyer.post("/v1/quotes/explain", {"quote": found["quote"]})
    assert said.status == 200, said.body
    assert {rule["code"]: rule["outcome"] for rule in said.json["rules"]} == {
        "ten": "applied",
        "big": "condition_not_met",
    }
    assert [line["applied"][0]["off"]["amount_minor"] for line in said.json["lines"]] == [179, 90]
    assert (said.json["agrees"], said.json["total"]) == (True, found["total"])
    assert (await shop.other_buyer.post("/v1/quotes/explain", {"quote": found["quote"]})).status == 404
    assert (await shop.buyer.post("/v1/quotes/explain", {"quote": "x"})).code == "checkout.quote_forged"
    placed = await shop.buyer.post("/v1/checkouts", {"quote": found["quote"], "address": ADDRESS})
    order_id = placed.json["orders"][1]["order_id"]
    again = await shop.buyer.get(f"/v1/orders/{order_id}/pricing")
    assert again.json == said.json
    assert (await shop.other_buyer.get(f"/v1/orders/{order_id}/pricing")).status == 404
    assert (await shop.seller.get(f"/v1/orders/{order_id}/pricing")).status == 403


async def test_a_check_says_what_publishing_would_and_writes_nothing(shop: Shop) -> None:
    path = "/v1/campaigns/check"
    assert (await shop.operator.post(path, terms())).json == {"passes": True, "faults": []}
    cheap = {"code": "x", "effect": {"kind": "percentage", "percent_ppm": 950_000}}
    for client in (shop.operator, shop.seller):
        stopped = (await client.post(path, terms(rules=[cheap]))).json
        assert (stopped["passes"], stopped["faults"][0]["code"]) == (False, "promotion.price_error")
    wrong = (await shop.operator.post(path, terms(rules=[TEN, TEN]))).json
    assert [(one["code"], one["field"]) for one in wrong["faults"]] == [
        ("promotion.campaign_invalid", "rules")
    ]
    foreign = terms(seller_id="sel_01m4xk9v0c7s8p2q3r4t5v6w7x")
    assert (await shop.seller.post(path, foreign)).code == "auth.forbidden"
    assert (await shop.buyer.post(path, terms())).status == 403
    assert (await shop.operator.get("/v1/campaigns")).json["items"] == []


async def use_up(shop: Shop, code: str, tries: int = 5) -> int:
    """How often a code can be used by as many purchases."""
    used = 0
    for number in range(tries):
        client = (shop.buyer, shop.other_buyer)[number % 2]
        found = await quote(shop, client, codes=[code])
        if found.status == 200:
            body = {"quote": found.json["quote"], "address": ADDRESS}
            used += (await client.post("/v1/checkouts", body)).status == 201
    return used


async def publish_and_die(shop: Shop, campaign_id: str) -> None:
    """What is left when whoever publishes dies before the limits are filled."""
    db = shop.platform.db
    await db.transact(
        db.shard_of(promotion.GENE), promotion.move_campaign, campaign_id, "publish", shop.world.now_ms()
    )


async def test_a_crash_while_publishing_leaves_no_campaign_without_its_limit(shop: Shop) -> None:
    limited = terms(needs_code=True, codes=["LIM"], limits={"total": 2})
    campaign_id = str((await shop.operator.post("/v1/campaigns", limited)).json["campaign_id"])
    buckets = checkout.limit_ids(campaign_id, "total", 2)
    db, shard = shop.platform.db, 0
    assert await db.read(shard, inventory.levels, buckets) == []
    await publish_and_die(shop, campaign_id)
    assert await use_up(shop, "LIM") == 2
    await shop.platform.runtime.drain()
    assert sum(one.on_hand for one in await db.read(shard, inventory.levels, buckets)) == 2
    assert await use_up(shop, "LIM") == 0


async def test_a_crash_while_raising_a_limit_is_completed_by_the_event(shop: Shop) -> None:
    campaign_id = await publish(shop.operator, needs_code=True, codes=["LIM"], limits={"total": 1})
    raised = terms(needs_code=True, codes=["LIM"], limits={"total": 3})
    assert (await shop.operator.put(f"/v1/campaigns/{campaign_id}", raised)).status == 200
    assert await use_up(shop, "LIM") == 1  # what is not published counts for nothing
    await publish_and_die(shop, campaign_id)
    assert await use_up(shop, "LIM") == 0
    for _ in range(2):
        await shop.platform.runtime.drain()
    assert await use_up(shop, "LIM") == 2


async def test_a_limit_cannot_be_lowered_behind_a_hundred_drafts(shop: Shop) -> None:
    campaign_id = await publish(shop.operator, needs_code=True, codes=["LIM"], limits={"total": 5})
    path = f"/v1/campaigns/{campaign_id}"
    for _ in range(101):
        lower = terms(needs_code=True, codes=["LIM"], limits={"total": 1})
        assert (await shop.operator.put(path, lower)).status == 200
    lowered = await shop.operator.post(f"{path}/state", {"input": "publish"})
    assert lowered.code == "promotion.limit_lowered"
