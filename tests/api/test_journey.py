"""The whole way of an order over HTTP, and who may see it."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.api.conftest import ADDRESS, Shop


async def release(shop: Shop) -> None:
    """Let everything that follows happen."""
    shop.world.advance(1_000)
    await shop.platform.runtime.drain()


async def delivered(shop: Shop, quantity: int = 2) -> tuple[str, str]:
    """An order that reached its buyer: (order id, package id)."""
    placed = await shop.buy(quantity=quantity)
    return await deliver(shop, placed["orders"][0]["order_id"])


async def place_and_deliver(shop: Shop, body: dict[str, Any]) -> str:
    """The order of a checkout of the test's own that reached its buyer."""
    placed = await shop.buyer.post("/v1/checkouts", body)
    assert placed.status == 201, placed.body
    order_id, _ = await deliver(shop, placed.json["orders"][0]["order_id"])
    return order_id


async def deliver(shop: Shop, order_id: str) -> tuple[str, str]:
    """Pack, hand over and deliver a placed order: (order id, package id)."""
    await release(shop)
    packed = await shop.seller.post(f"/v1/orders/{order_id}/packages", {})
    assert packed.status == 201, packed.body
    package = f"/v1/orders/{order_id}/packages/{packed.json['package_id']}"
    handed = await shop.seller.post(f"{package}/collect", {"carrier": "RM", "tracking_code": "1"})
    assert handed.status == 200, handed.body
    assert (await shop.seller.post(f"{package}/tracking", {"code": "in_transit"})).status == 200
    assert (await shop.seller.post(f"{package}/deliver")).json["state"] == "DELIVERED"
    await release(shop)
    return order_id, packed.json["package_id"]


async def test_an_order_goes_all_the_way(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    order = (await shop.buyer.get(f"/v1/orders/{order_id}")).json
    assert order["state"] == "DELIVERED"
    assert order["total"] == {"amount_minor": await shop.total(2), "currency": "GBP"}
    assert order["lines"][0]["unit_price"] == "8.95"
    assert order["lines"][0]["delivered"] == 2
    types = [entry["type"] for entry in order["timeline"]]
    assert types[0] == "order.placed.v1"
    assert {"payment.captured.v1", "package.delivered.v1", "order.delivered.v1"} <= set(types)
    wanted = await shop.buyer.post(
        f"/v1/orders/{order_id}/returns", {"lines": [{"line_no": 1, "quantity": 1}], "reason": "colour"}
    )
    assert wanted.status == 201, wanted.body
    path = f"/v1/orders/{order_id}/returns/{wanted.json['return_id']}"
    assert (await shop.seller.post(f"{path}/approve")).json["state"] == "APPROVED"
    received = await shop.seller.post(f"{path}/receive", {})
    assert received.status == 200, received.body
    await release(shop)
    payment = (await shop.buyer.get(f"/v1/payments/{order['payment_id']}")).json
    assert payment["refunded"]["amount_minor"] > 0
    assert payment["refunds"][0]["state"] == "SUCCEEDED"


async def test_others_cannot_tell_an_order_from_nothing(shop: Shop) -> None:
    order_id, package_id = await delivered(shop)
    unknown = order_id[:-1] + ("0" if order_id[-1] != "0" else "1")
    for client in (shop.other_buyer, shop.other_seller):
        theirs = await client.get(f"/v1/orders/{order_id}")
        nothing = await client.get(f"/v1/orders/{unknown}")
        assert theirs.status == nothing.status == 404
        assert theirs.code == nothing.code == "orders.not_found"
        assert (await client.post(f"/v1/orders/{order_id}/cancel", {"reason": "x"})).status == 404
        assert (await client.get(f"/v1/orders/{order_id}/packages")).status == 404
        assert (await client.get(f"/v1/orders/{order_id}/returns")).status == 404
    deliver = f"/v1/orders/{order_id}/packages/{package_id}/deliver"
    assert (await shop.other_seller.post(deliver)).code == "orders.not_found"
    assert (await shop.buyer.post(deliver)).code == "auth.forbidden"
    assert (await shop.seller.get(f"/v1/orders/{order_id}")).json["address"]["postcode"] == "LS1 1AA"
    assert (await shop.storefront.get(f"/v1/orders/{order_id}")).status == 200
    assert (await shop.operator.get(f"/v1/orders/{order_id}")).status == 200


async def test_payments_stock_carts_and_keys_are_their_owners(shop: Shop) -> None:
    placed = await shop.buy()
    payment = f"/v1/payments/{placed['payment_id']}"
    assert (await shop.other_buyer.get(payment)).code == "payments.not_found"
    assert (await shop.seller.get(payment)).code == "auth.forbidden"
    checkout = f"/v1/checkouts/{placed['checkout_id']}"
    assert (await shop.buyer.get(checkout)).json["orders"] == placed["orders"]
    assert (await shop.other_buyer.get(checkout)).code == "checkout.not_found"
    assert (await shop.other_seller.get(f"/v1/stock/{shop.sku_id}")).code == "catalog.sku_unknown"
    stolen = await shop.other_seller.post(f"/v1/stock/{shop.sku_id}/receive", {"quantity": 1})
    assert stolen.code == "catalog.sku_unknown"
    cart = (await shop.buyer.post("/v1/carts", {"market": "GB"})).json["cart_id"]
    assert (await shop.other_buyer.get(f"/v1/carts/{cart}")).code == "cart.not_found"
    key = (await shop.buyer.post("/v1/keys", {})).json
    assert key["token"].startswith("tp_buyer_")
    assert (
        await shop.other_buyer.request("DELETE", f"/v1/keys/{key['key_id']}")
    ).code == "parties.key_unknown"
    assert (await shop.buyer.request("DELETE", f"/v1/keys/{key['key_id']}")).json["revoked_at_ms"]
    assert (await shop.buyer.using(key["token"]).get("/v1/orders")).code == "auth.revoked"
    assert (await shop.buyer.get(f"/v1/buyers/{shop.buyer_id}")).status == 200
    assert (await shop.other_buyer.get(f"/v1/buyers/{shop.buyer_id}")).code == "auth.other_tenant"


async def test_a_repeat_is_answered_with_the_first_answer(shop: Shop) -> None:
    path, body = f"/v1/stock/{shop.sku_id}/receive", {"quantity": 5}
    first = await shop.seller.post(path, body, key="k1")
    again = await shop.seller.post(path, body, key="k1")
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert (await shop.seller.post(path, {"quantity": 6}, key="k1")).code == "idempotency.key_reused"
    assert (await shop.seller.post(path, body, key="k2")).json["levels"][0]["on_hand"] == 30
    # Keys of two callers never meet.
    placed = await shop.buy()
    order = f"/v1/orders/{placed['orders'][0]['order_id']}"
    assert (await shop.buyer.post(f"{order}/cancel", {"reason": "x"}, key="k1")).status == 200


async def test_many_at_once_under_one_key_are_one(shop: Shop) -> None:
    path, body = f"/v1/stock/{shop.sku_id}/receive", {"quantity": 5}
    replies = await asyncio.gather(*[shop.seller.post(path, body, key="same") for _ in range(20)])
    assert {reply.body for reply in replies} == {replies[0].body}
    assert (await shop.seller.get(f"/v1/stock/{shop.sku_id}")).json["levels"][0]["on_hand"] == 25


async def test_placing_twice_under_one_key_is_one_order(shop: Shop) -> None:
    body: dict[str, Any] = {
        "market": "GB",
        "lines": [
            {"offer_id": shop.offer_id, "quantity": 1},
            {"offer_id": shop.other_offer_id, "quantity": 1},
        ],
        "address": ADDRESS,
        "payment": {"method": "sandbox_succeeds"},
    }
    quote = (await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": body["lines"]})).json
    body["total"] = quote["total"]
    replies = await asyncio.gather(*[shop.buyer.post("/v1/checkouts", body, key="one") for _ in range(5)])
    assert {reply.status for reply in replies} == {201}
    assert len({reply.json["checkout_id"] for reply in replies}) == 1
    assert len(replies[0].json["orders"]) == 2
    assert (await shop.buyer.post("/v1/checkouts", {**body, "email": "a@b.cc"}, key="one")).code == (
        "idempotency.key_reused"
    )
    listed = (await shop.buyer.get("/v1/orders")).json["items"]
    assert len(listed) == 2


async def test_a_guest_of_a_storefront_sees_the_order_with_its_token(shop: Shop) -> None:
    placed = await shop.buy(client=shop.storefront)
    guest = shop.buyer.using(placed["guest_token"])
    order_id = placed["orders"][0]["order_id"]
    assert (await guest.get(f"/v1/orders/{order_id}")).status == 200
    assert (await guest.get("/v1/orders")).json["items"][0]["order_id"] == order_id
    other = (await shop.storefront.post("/v1/guests")).json["guest_token"]
    assert (await guest.using(other).get(f"/v1/orders/{order_id}")).code == "orders.not_found"


async def test_a_failed_payment_is_tried_again(shop: Shop) -> None:
    placed = await shop.buy(method="sandbox_declines")
    assert placed["payment"]["state"] == "FAILED"
    confirmed = await shop.buyer.post(
        f"/v1/payments/{placed['payment_id']}/confirm", {"method": "sandbox_succeeds"}
    )
    assert confirmed.json["state"] == "CAPTURED", confirmed.body
    refund = {"order_id": placed["orders"][0]["order_id"], "amount_minor": 100, "reason": "goodwill"}
    path = f"/v1/payments/{placed['payment_id']}/refunds"
    first = await shop.operator.post(path, refund, key="r")
    assert first.status == 201, first.body
    assert (await shop.operator.post(path, refund, key="r")).body == first.body
    assert (await shop.operator.post(path, {**refund, "amount_minor": 10**9})).code == (
        "payments.refund_exceeds_captured"
    )


async def test_carts_carry_lines_warnings_and_merge(shop: Shop) -> None:
    guest = (await shop.storefront.post("/v1/carts", {"market": "GB"})).json
    as_guest = shop.buyer.using(guest["guest_token"])
    lines = {"lines": [{"offer_id": shop.offer_id, "quantity": 25}]}
    filled = (await as_guest.put(f"/v1/carts/{guest['cart_id']}/lines", lines)).json
    assert filled["lines"][0]["seen_price"] == "8.95"
    assert filled["warnings"] == [
        {"code": "low_stock", "offer_id": shop.offer_id, "old_price": "", "new_price": "", "available": 20}
    ]
    mine = (await shop.buyer.post("/v1/carts", {"market": "GB"})).json["cart_id"]
    request = {"guest_token": guest["guest_token"], "guest_cart_id": guest["cart_id"]}
    merged = await shop.buyer.post(f"/v1/carts/{mine}/merge", request)
    assert merged.json["lines"][0]["quantity"] == 25, merged.body
    chosen = await shop.buyer.post(f"/v1/carts/{mine}/select", {"selected": False})
    assert not chosen.json["lines"][0]["selected"]
    gone = {"lines": [{"offer_id": shop.offer_id, "quantity": 0}]}
    assert (await shop.buyer.put(f"/v1/carts/{mine}/lines", gone)).json["lines"] == []
    assert len((await shop.buyer.get("/v1/carts")).json["items"]) == 1


async def test_stock_is_counted_moved_and_written_off(shop: Shop) -> None:
    path = f"/v1/stock/{shop.sku_id}"
    level = (await shop.seller.get(path)).json["levels"][0]
    counted = await shop.seller.post(f"{path}/set", {"on_hand": 18, "expected_version": level["version"]})
    assert counted.json["levels"][0]["on_hand"] == 18
    assert (await shop.seller.post(f"{path}/set", {"on_hand": 9, "expected_version": 99})).code == (
        "version.conflict"
    )
    assert (await shop.seller.post(f"{path}/adjust", {"delta": -1})).json["levels"][0]["on_hand"] == 17
    moved = await shop.seller.post(
        f"{path}/move", {"quantity": 7, "from_pool": "shop", "to_pool": "campaign"}
    )
    assert {one["pool"]: one["on_hand"] for one in moved.json["levels"]} == {"campaign": 7, "shop": 10}
    assert (await shop.seller.post(f"{path}/write-off", {"quantity": 99})).code == "inventory.below_committed"
    log = (await shop.seller.get(f"{path}/movements?limit=2")).json
    rest = (await shop.seller.get(f"{path}/movements?limit=200&cursor={log['next_cursor']}")).json
    assert len(log["items"]) == 2
    assert sum(one["on_hand"] for one in log["items"] + rest["items"]) == 17
    assert rest["next_cursor"] == ""


async def test_pages_of_orders_are_complete_and_bounded(shop: Shop) -> None:
    both = [{"offer_id": shop.offer_id, "quantity": 1}, {"offer_id": shop.other_offer_id, "quantity": 1}]
    total = (await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": both})).json["total"]
    placed = []
    for _ in range(4):
        shop.world.advance(5)
        reply = await shop.buyer.post(
            "/v1/checkouts", {"market": "GB", "lines": both, "total": total, "address": ADDRESS}
        )
        placed += [order["order_id"] for order in reply.json["orders"]]
    await release(shop)
    for limit in (1, 2, 3, 8, 200):
        seen: list[str] = []
        cursor = ""
        while True:
            page = (await shop.buyer.get(f"/v1/orders?limit={limit}&cursor={cursor}")).json
            assert len(page["items"]) <= limit
            seen += [order["order_id"] for order in page["items"]]
            cursor = page["next_cursor"]
            if not cursor:
                break
        assert sorted(seen) == sorted(placed)
        assert len(seen) == len(set(seen))
    assert (await shop.buyer.get("/v1/orders?limit=201")).code == "input.invalid"
    assert (await shop.buyer.get("/v1/orders?limit=0")).code == "input.invalid"
    sold = (await shop.seller.get("/v1/orders?limit=3")).json
    assert len(sold["items"]) == 3
    rest = (await shop.seller.get(f"/v1/orders?limit=3&cursor={sold['next_cursor']}")).json
    assert len(rest["items"]) == 1
    assert rest["next_cursor"] == ""


async def test_events_are_read_by_cursor_by_those_they_concern(shop: Shop) -> None:
    await shop.buy()
    await release(shop)
    everything: list[Any] = []
    cursor = ""
    while True:
        page = (await shop.operator.get(f"/v1/events?limit=3&cursor={cursor}")).json
        assert len(page["items"]) <= 3
        everything += page["items"]
        cursor = page["next_cursor"]
        if not page["more"]:
            break
    assert len({one["id"] for one in everything}) == len(everything)
    assert "order.placed.v1" in {one["type"] for one in everything}
    mine = (await shop.buyer.get("/v1/events?types=order.placed.v1")).json["items"]
    assert [one["type"] for one in mine] == ["order.placed.v1"]
    assert (await shop.other_buyer.get("/v1/events")).json["items"] == []
    theirs = (await shop.other_seller.get("/v1/events")).json["items"]
    assert not [one for one in theirs if one["type"].startswith("order.")]
    sellers = (await shop.seller.get("/v1/events?limit=200")).json["items"]
    assert "order.placed.v1" in {one["type"] for one in sellers}
    assert not [one for one in sellers if one["type"].startswith("payment.")]


async def test_catalogues_go_out_and_come_in(shop: Shop) -> None:
    for form, media_type in (("csv", "text/csv"), ("jsonl", "application/x-ndjson")):
        out = await shop.seller.get(f"/v1/catalog/export?form={form}")
        assert "MUG" in out.body.decode()
        again = await shop.seller.post("/v1/catalog/import", out.body, headers={"content-type": media_type})
        assert again.status == 200, again.body
        assert again.json["rows_refused"] == 0
        assert again.json["items_unchanged"] == 1
        changed = out.body.replace(b"8.95", b"9.95").replace(b"20", b"33")
        report = await shop.seller.post("/v1/catalog/import", changed, headers={"content-type": media_type})
        assert report.json["rows_applied"] == 1, report.body
        assert (await shop.seller.get(f"/v1/stock/{shop.sku_id}")).json["levels"][0]["on_hand"] == 33
        back = await shop.seller.post("/v1/catalog/import", out.body, headers={"content-type": media_type})
        assert back.json["rows_applied"] == 1
    broken = b"sku_code,title,price,currency\nNEW,,1.00,GBP\n"
    report = await shop.seller.post("/v1/catalog/import", broken, headers={"content-type": "text/csv"})
    assert report.json["rows_refused"] == 1
    assert report.json["refused"][0]["line_no"] == 2


async def test_an_import_refuses_stock_below_what_is_promised_and_applies_the_rest(shop: Shop) -> None:
    await shop.buy(quantity=5)
    out = (await shop.seller.get("/v1/catalog/export")).body
    two = out.replace(b",20", b",3") + b"".join(
        line.replace(b"MUG", b"POT").replace(b",20", b",7") for line in out.splitlines(keepends=True)[1:]
    )
    report = await shop.seller.post("/v1/catalog/import", two, headers={"content-type": "text/csv"})
    assert report.status == 200, report.body
    assert (report.json["rows_applied"], report.json["rows_refused"]) == (1, 1)
    assert report.json["refused"][0]["code"] == "inventory.below_committed"
    assert (await shop.seller.get(f"/v1/stock/{shop.sku_id}")).json["levels"][0]["on_hand"] == 20


async def test_offers_are_listed_changed_and_ended(shop: Shop) -> None:
    offers = (await shop.buyer.get("/v1/offers?market=GB&limit=1")).json
    assert len(offers["items"]) == 1
    rest = (await shop.buyer.get(f"/v1/offers?market=GB&cursor={offers['next_cursor']}")).json
    assert len(rest["items"]) == 1
    path = f"/v1/offers/{shop.offer_id}"
    terms = {"markets": ["GB"], "prices": [{"currency": "GBP", "price": "2.555"}], "version": 1}
    changed = await shop.seller.put(path, terms)
    assert changed.json["prices"][0]["price"] == "2.555", changed.body
    assert (await shop.seller.put(path, terms)).code == "version.conflict"
    assert (await shop.other_seller.put(path, {**terms, "version": 2})).code == "catalog.offer_unknown"
    assert (await shop.seller.post(f"{path}/state", {"input": "pause"})).json["state"] == "PAUSED"
    assert (await shop.seller.post(f"{path}/state", {"input": "pause"})).code == "state.conflict"
    assert (await shop.seller.post(f"{path}/state", {"input": "end"})).json["state"] == "ENDED"
    assert (await shop.buyer.get(path)).code == "catalog.offer_unknown"


async def test_sellers_are_entered_and_moved_by_operators(shop: Shop) -> None:
    made = await shop.operator.post("/v1/sellers", {"name": "New", "fee_bps": 500})
    path = f"/v1/sellers/{made.json['seller_id']}"
    assert made.json["state"] == "PENDING"
    assert (await shop.operator.post(f"{path}/state", {"input": "activate"})).json["state"] == "ACTIVE"
    assert (await shop.operator.post(f"{path}/fee", {"fee_bps": 400})).json["fee_bps"] == 400
    assert (await shop.operator.post(f"{path}/state", {"input": "suspend"})).code == "parties.reason_required"
    assert (await shop.seller.post("/v1/sellers", {"name": "Me"})).code == "auth.forbidden"
    listed = (await shop.operator.get("/v1/sellers?limit=2")).json
    assert len(listed["items"]) == 2
    assert listed["next_cursor"]
    key = {"party_id": made.json["seller_id"], "role": "seller", "scopes": ["orders:read"]}
    token = (await shop.operator.post("/v1/keys", key)).json["token"]
    narrow = shop.seller.using(token)
    assert (await narrow.get(path)).json["name"] == "New"
    assert (await narrow.post("/v1/products", {"title": "x", "code": "x"})).code == "auth.forbidden"
    assert (await narrow.post("/v1/keys", {"scopes": ["stock:write"]})).code == "auth.forbidden"
    member = await shop.operator.post("/v1/members", {"role": "creator", "name": "Mia"})
    assert member.json["party_id"].startswith("cre_")
