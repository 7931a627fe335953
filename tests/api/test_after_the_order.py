"""What happens after an order over HTTP: returns, captures at shipment, voids, refunds that need an operator."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import ADDRESS, Reply, Shop
from tests.api.test_journey import delivered, release

from tradepost.events import dead_letters
from tradepost.events.store import DEAD, WAITING, Delivery, put_deliveries
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx

WANTED = {"lines": [{"line_no": 1, "quantity": 1}], "reason": "colour"}


async def asked_back(shop: Shop) -> tuple[str, str]:
    """A return that was asked for: (its path, the order's)."""
    order_id, _ = await delivered(shop)
    wanted = await shop.buyer.post(f"/v1/orders/{order_id}/returns", WANTED)
    assert wanted.status == 201, wanted.body
    return f"/v1/orders/{order_id}/returns/{wanted.json['return_id']}", f"/v1/orders/{order_id}"


async def returnable(shop: Shop, order: str) -> int:
    return int((await shop.buyer.get(f"{order}/returns")).json["returnable"][0]["quantity"])


async def test_a_return_is_refused_and_the_goods_may_be_asked_back_again(shop: Shop) -> None:
    path, order = await asked_back(shop)
    assert await returnable(shop, order) == 1
    refused = await shop.seller.post(f"{path}/refuse", {"reason": "worn"}, key="no")
    assert (refused.status, refused.json["state"], refused.json["decision"]) == (200, "REFUSED", "worn")
    assert (await shop.seller.post(f"{path}/refuse", {"reason": "worn"}, key="no")).body == refused.body
    assert await returnable(shop, order) == 2
    assert (await shop.seller.post(f"{path}/approve")).code == "state.conflict"


@pytest.mark.parametrize("approved", [False, True])
async def test_a_buyer_keeps_the_goods_after_all(shop: Shop, approved: bool) -> None:
    path, order = await asked_back(shop)
    if approved:
        assert (await shop.seller.post(f"{path}/approve")).json["state"] == "APPROVED"
    closed = await shop.buyer.post(f"{path}/close")
    assert (closed.status, closed.json["state"]) == (200, "CLOSED")
    assert await returnable(shop, order) == 2
    assert (await shop.seller.post(f"{path}/receive", {})).code == "state.conflict"
    await release(shop)
    payment = (await shop.buyer.get(order)).json["payment_id"]
    assert (await shop.buyer.get(f"/v1/payments/{payment}")).json["refunds"] == []


async def presale(shop: Shop, quantity: int = 2) -> Any:
    """A checkout whose money is set aside until the goods leave."""
    lines = [{"offer_id": shop.offer_id, "quantity": quantity}]
    quote = await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": lines, "scene": "presale"})
    body = {"quote": quote.json["quote"], "address": ADDRESS, "payment": {"method": "sandbox_succeeds"}}
    placed = await shop.buyer.post("/v1/checkouts", body)
    assert placed.status == 201, placed.body
    await release(shop)
    return placed.json


async def payment_of(shop: Shop, placed: Any) -> Any:
    return (await shop.buyer.get(f"/v1/payments/{placed['payment_id']}")).json


async def test_what_is_set_aside_is_taken_in_parts(shop: Shop) -> None:
    placed = await presale(shop)
    payment = await payment_of(shop, placed)
    assert (payment["state"], payment["capture"]) == ("AUTHORIZED", "on_shipment")
    path = f"/v1/payments/{placed['payment_id']}/capture"
    part = await shop.operator.post(path, {"amount_minor": 100}, key="part")
    assert part.json["state"] == "PARTIALLY_CAPTURED", part.body
    assert part.json["captured"]["amount_minor"] == 100
    assert (await shop.operator.post(path, {"amount_minor": 100}, key="part")).body == part.body
    whole = payment["amount"]["amount_minor"]
    assert (await shop.operator.post(path, {"amount_minor": whole})).code == (
        "payments.capture_exceeds_authorized"
    )
    rest = await shop.operator.post(path, {"amount_minor": whole - 100})
    assert rest.json["state"] == "CAPTURED"


async def test_goods_that_leave_take_the_money(shop: Shop) -> None:
    placed = await presale(shop)
    order = f"/v1/orders/{placed['orders'][0]['order_id']}"
    package = (await shop.seller.post(f"{order}/packages", {})).json["package_id"]
    handed = await shop.seller.post(
        f"{order}/packages/{package}/collect", {"carrier": "RM", "tracking_code": "1"}
    )
    assert handed.status == 200, handed.body
    await release(shop)
    assert (await payment_of(shop, placed))["state"] == "CAPTURED"


async def test_what_is_not_taken_is_given_up(shop: Shop) -> None:
    placed = await presale(shop)
    path = f"/v1/payments/{placed['payment_id']}/void"
    voided = await shop.operator.post(path, key="v")
    assert (voided.status, voided.json["state"]) == (200, "VOIDED"), voided.body
    assert (await shop.operator.post(path, key="v")).body == voided.body
    assert (
        await shop.operator.post(f"/v1/payments/{placed['payment_id']}/capture", {"amount_minor": 1})
    ).status >= 400


async def needs_operator(shop: Shop) -> tuple[str, str]:
    """A refund that the provider refused too often: (its path, the payment's)."""
    placed = await shop.buy(method="sandbox_refund_refused")
    await release(shop)
    payment = f"/v1/payments/{placed['payment_id']}"
    refund = {"order_id": placed["orders"][0]["order_id"], "amount_minor": 100, "reason": "goodwill"}
    asked = await shop.operator.post(f"{payment}/refunds", refund)
    assert asked.status == 201, asked.body
    for _ in range(8):
        shop.world.advance(3_600_000)
        await shop.platform.runtime.drain()
    return f"/v1/refunds/{asked.json['refund_id']}", payment


async def waiting(shop: Shop) -> list[Any]:
    found = (await shop.operator.get("/v1/refund-tasks")).json
    return list(found["items"])


async def test_a_refund_that_failed_is_settled_by_hand(shop: Shop) -> None:
    path, payment = await needs_operator(shop)
    (task,) = await waiting(shop)
    assert (task["refund"]["state"], task["error"]) == ("NEEDS_OPERATOR", "refused_by_bank")
    settled = await shop.operator.post(f"{path}/settle", {"note": "bank transfer"}, key="s")
    assert settled.json["state"] == "SETTLED_BY_HAND", settled.body
    assert (
        await shop.operator.post(f"{path}/settle", {"note": "bank transfer"}, key="s")
    ).body == settled.body
    assert await waiting(shop) == []
    assert (await shop.buyer.get(payment)).json["refunded"]["amount_minor"] == 100
    assert (await shop.operator.post(f"{path}/retry")).code == "state.conflict"


async def test_a_refund_that_failed_is_asked_again(shop: Shop) -> None:
    path, _ = await needs_operator(shop)
    again = await shop.operator.post(f"{path}/retry")
    assert again.json["state"] == "REQUESTED", again.body
    assert await waiting(shop) == []
    for _ in range(8):
        shop.world.advance(3_600_000)
        await shop.platform.runtime.drain()
    assert len(await waiting(shop)) == 1, "refused again, so an operator is asked again"
    unknown = path[:-1] + ("0" if path.endswith("x") else "x")
    assert (await shop.operator.post(f"{unknown}/retry")).status in (400, 404)
    assert (await shop.seller.get("/v1/refund-tasks")).code == "auth.forbidden"


async def test_sellers_are_listed_page_by_page(shop: Shop) -> None:
    for number in range(3):
        await shop.operator.post("/v1/sellers", {"name": f"Shop {number}"})
    whole = [one["seller_id"] for one in (await shop.operator.get("/v1/sellers?limit=200")).json["items"]]
    assert len(whole) == 5
    for limit in (1, 2, 5):
        seen: list[str] = []
        cursor = ""
        while True:
            page = (await shop.operator.get(f"/v1/sellers?limit={limit}&cursor={cursor}")).json
            seen += [one["seller_id"] for one in page["items"]]
            cursor = page["next_cursor"]
            if not cursor:
                break
        assert seen == whole


async def test_a_cursor_goes_on_where_filters_let_nothing_pass(shop: Shop) -> None:
    await shop.buy()
    await release(shop)
    none = (await shop.operator.get("/v1/events?types=order.lost.v1")).json
    assert (none["items"], none["more"]) == ([], False)
    await shop.buy()
    await release(shop)
    path = f"/v1/events?types=order.placed.v1,order.paid.v1&cursor={none['next_cursor']}"
    later = (await shop.operator.get(path)).json["items"]
    assert [one["type"] for one in later] == ["order.placed.v1", "order.paid.v1"]
    mine = (await shop.seller.get("/v1/events?types=order.placed.v1&limit=1")).json
    assert mine["more"]
    rest = (await shop.seller.get(f"/v1/events?types=order.placed.v1&cursor={mine['next_cursor']}")).json
    assert len(rest["items"]) == 1
    assert rest["items"][0]["id"] != mine["items"][0]["id"]


def bury(tx: Tx, order_id: str) -> None:
    """A letter as the eighth failure leaves it."""
    facts = (gene_of(order_id), "orders.seller_view", order_id, 1)
    put_deliveries(tx, [Delivery(*facts, WAITING, 8, 1, "KeyError: 'x'", 1)])
    tx.execute("UPDATE deliveries SET state = ? WHERE aggregate_id = ?", (DEAD, order_id))


async def test_dead_letters_are_listed_and_delivered_again(shop: Shop) -> None:
    placed = await shop.buy()
    await release(shop)
    order_id = placed["orders"][0]["order_id"]
    await shop.platform.db.transact(0, bury, order_id)
    (found,) = (await shop.operator.get("/v1/dead-letters")).json["items"]
    assert (found["aggregate_id"], found["attempts"], found["error"]) == (order_id, 8, "KeyError: 'x'")
    name = {"consumer": found["consumer"], "aggregate_id": order_id, "version": 1}
    again: Reply = await shop.operator.post("/v1/dead-letters/replay", name)
    assert again.json == {"event_id": f"{order_id}.1"}
    await release(shop)
    assert await shop.platform.db.read(0, dead_letters) == []
    assert (await shop.operator.post("/v1/dead-letters/replay", name)).code == "events.dead_letter_unknown"
