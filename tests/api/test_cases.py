"""Cases over HTTP: previews, exchanges, replacements and chargebacks on a whole platform."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.api.conftest import Shop, make_offer
from tests.api.test_journey import delivered, release

from tradepost.kernel.ids import gene_of
from tradepost.trade import aftersales, inventory, ledger


async def ask(shop: Shop, order_id: str, **body: Any) -> str:
    body.setdefault("reason", "damaged")
    if not body.get("amount_minor"):
        body.setdefault("lines", [{"line_no": 1, "quantity": 1}])
    reply = await shop.buyer.post(f"/v1/orders/{order_id}/cases", body)
    assert reply.status == 201, reply.body
    return f"/v1/orders/{order_id}/cases/{reply.json['return_id']}"


async def take(client: Any, case: str, step: str, **facts: Any) -> Any:
    reply = await client.post(f"{case}/steps", {"step": step, **facts})
    assert reply.status == 200, reply.body
    return reply.json


async def case_of(shop: Shop, case: str) -> Any:
    order_path, _, case_id = case.partition("/cases/")
    items = (await shop.buyer.get(f"{order_path}/cases")).json["items"]
    return next(item for item in items if item["return_id"] == case_id)


async def stock(shop: Shop, sku_id: str) -> dict[str, tuple[int, int, int]]:
    """(on hand, held, reserved) by pool."""
    levels = await shop.platform.db.read(
        shop.platform.db.shard_of(gene_of(sku_id)), inventory.levels, [sku_id]
    )
    return {one.pool: (one.on_hand, one.held, one.reserved) for one in levels}


async def balances(shop: Shop) -> dict[str, int]:
    found = await shop.platform.db.read(0, ledger.account_balances)
    return {account: one.posted_minor for (account, _), one in found.items() if one.posted_minor}


async def settle(shop: Shop) -> None:
    for _ in range(4):
        await release(shop)
        assert shop.platform.sandbox is not None
        await shop.platform.sandbox.run_due(shop.world.now_ms())  # type: ignore[attr-defined]
    await release(shop)


async def test_the_preview_is_the_refund_and_buyers_do_not_see_whose_money_it_is(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    wanted = {"kind": "claim", "lines": [{"line_no": 1, "quantity": 1}], "reason": "missing"}
    shown = await shop.seller.post(f"/v1/orders/{order_id}/refund-preview", wanted)
    assert shown.status == 200, shown.body
    assert sum(amount for _, amount in shown.json["entries"]) == 0
    own = (await shop.buyer.post(f"/v1/orders/{order_id}/refund-preview", wanted)).json
    assert own["entries"] == []
    assert shown.json["lines"][0]["fee_minor"] > 0
    assert own["fee_minor"] == 0
    assert "fee_minor" not in own["lines"][0]
    assert own["refund_minor"] == shown.json["refund_minor"] == shown.json["tenders"][0]["amount_minor"]
    before = await balances(shop)
    case = await ask(shop, order_id, **wanted)
    granted = await take(shop.seller, case, "approve")
    assert granted["refund_minor"] == shown.json["refund_minor"]
    assert granted["values"][0]["fee_minor"] > 0
    assert "fee_minor" not in (await case_of(shop, case))["values"][0]
    (returned,) = (await shop.buyer.get(f"/v1/orders/{order_id}/returns")).json["items"]
    assert "fee_minor" not in returned["values"][0]
    await settle(shop)
    assert (await case_of(shop, case))["state"] == "REFUNDED"
    after = await balances(shop)
    moved = {key: after.get(key, 0) - before.get(key, 0) for key in {*before, *after}}
    assert {key: amount for key, amount in moved.items() if amount} == dict(shown.json["entries"])


async def test_a_replacement_is_a_new_order_that_costs_nothing(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    before = await stock(shop, shop.sku_id)
    case = await ask(shop, order_id, kind="replacement")
    assert (await take(shop.seller, case, "approve"))["state"] == "GRANTED"
    await settle(shop)
    item = await case_of(shop, case)
    assert (item["state"], item["refund_minor"], item["spent_minor"]) == ("REPLACED", 0, 895)
    new = (await shop.buyer.get(f"/v1/orders/{item['replacement_id']}")).json
    assert (new["state"], new["total"]["amount_minor"], new["lines"][0]["quantity"]) == (
        "AWAITING_SHIPMENT",
        0,
        1,
    )
    after = await stock(shop, shop.sku_id)
    assert after["shop"] == (before["shop"][0], 0, before["shop"][2] + 1)
    # the new goods come back: the first payment pays for them
    packed = await shop.seller.post(f"/v1/orders/{item['replacement_id']}/packages", {})
    package = f"/v1/orders/{item['replacement_id']}/packages/{packed.json['package_id']}"
    await shop.seller.post(f"{package}/collect", {"carrier": "RM", "tracking_code": "2"})
    await shop.seller.post(f"{package}/deliver")
    await settle(shop)
    again = await ask(shop, item["replacement_id"], kind="return_refund", reason="changed_mind")
    await take(shop.seller, again, "approve")
    assert (await take(shop.seller, again, "receive"))["refund_minor"] == 895
    await settle(shop)
    assert (await case_of(shop, again))["state"] == "REFUNDED"
    refused = await shop.buyer.post(
        f"/v1/orders/{item['replacement_id']}/cases",
        {"kind": "replacement", "lines": [{"line_no": 1, "quantity": 1}], "reason": "x"},
    )
    assert refused.code == "returns.exchanged_already"


async def test_without_stock_a_replacement_becomes_a_refund(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    free = (await stock(shop, shop.sku_id))["shop"][0]
    off = await shop.seller.post(f"/v1/stock/{shop.sku_id}/write-off", {"quantity": free, "reason": "flood"})
    assert off.status == 200, off.body
    case = await ask(shop, order_id, kind="replacement")
    await take(shop.seller, case, "approve")
    await settle(shop)
    item = await case_of(shop, case)
    assert (item["state"], item["refund_minor"], item["replacement_id"]) == ("REFUNDED", 895, "")


@pytest.mark.parametrize(("price", "to_pay", "back"), [("10.95", 200, 0), ("8.95", 0, 0), ("5.00", 0, 395)])
async def test_an_exchange_pays_or_gives_back_the_difference(
    shop: Shop, price: str, to_pay: int, back: int
) -> None:
    order_id, _ = await delivered(shop)
    sku_id, offer_id = await make_offer(shop.seller, f"other-{price}", 5)
    changed = await shop.seller.put(
        f"/v1/offers/{offer_id}",
        {"sku_id": sku_id, "markets": ["GB"], "prices": [{"currency": "GBP", "price": price}]},
    )
    assert changed.status == 200, changed.body
    await release(shop)
    case = await ask(shop, order_id, kind="exchange", wanted=[{"offer_id": offer_id, "quantity": 1}])
    await take(shop.seller, case, "approve")
    assert (await take(shop.seller, case, "receive"))["state"] == "RECEIVED"
    await settle(shop)
    item = await case_of(shop, case)
    assert (item["state"], item["refund_minor"]) == ("REPLACED", back)
    new = (await shop.buyer.get(f"/v1/orders/{item['replacement_id']}")).json
    assert new["total"]["amount_minor"] == to_pay
    assert (await stock(shop, shop.sku_id))["returned"][0] == 1
    if to_pay:
        assert new["state"] == "UNPAID"
        paid = await shop.buyer.post(
            f"/v1/payments/{new['payment_id']}/confirm", {"method": "sandbox_succeeds"}
        )
        assert paid.status == 200, paid.body
        await settle(shop)
    assert (await shop.buyer.get(f"/v1/orders/{item['replacement_id']}")).json["state"] == "AWAITING_SHIPMENT"


async def test_new_goods_that_are_never_paid_or_sent_give_the_old_money_back(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    case = await ask(shop, order_id, kind="exchange")
    await take(shop.seller, case, "approve")
    await take(shop.seller, case, "receive")
    await settle(shop)
    item = await case_of(shop, case)
    cancelled = await shop.seller.post(f"/v1/orders/{item['replacement_id']}/cancel", {"reason": "sold_out"})
    assert cancelled.status == 200, cancelled.body
    await settle(shop)
    after = await case_of(shop, case)
    assert (after["undone_minor"], after["spent_minor"]) == (895, 895)
    order = (await shop.buyer.get(f"/v1/orders/{order_id}")).json
    payment = (await shop.buyer.get(f"/v1/payments/{order['payment_id']}")).json
    assert payment["refunded"]["amount_minor"] == 895
    assert (await stock(shop, shop.sku_id))["shop"][1:] == (0, 0)


async def test_goods_of_another_seller_are_refused_and_refunded(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    case = await ask(
        shop, order_id, kind="exchange", wanted=[{"offer_id": shop.other_offer_id, "quantity": 1}]
    )
    await take(shop.seller, case, "approve")
    await take(shop.seller, case, "receive")
    await settle(shop)
    assert (await case_of(shop, case))["state"] == "REFUNDED"


async def test_twins_order_the_new_goods_once(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    case = await ask(shop, order_id, kind="replacement")
    case_id = case.rpartition("/")[2]
    db = shop.platform.db
    await db.transact(0, aftersales.approve, case_id, shop.world.now_ms())
    found = await asyncio.gather(
        *[aftersales.replace_goods(shop.platform.checkout, case_id) for _ in range(5)], return_exceptions=True
    )
    assert any(getattr(one, "state", "") == "REPLACED" for one in found), found
    await settle(shop)
    assert (await case_of(shop, case))["state"] == "REPLACED"
    assert (await stock(shop, shop.sku_id))["shop"][2] == 1
    orders = (await shop.buyer.get("/v1/orders")).json["items"]
    assert len(orders) == 2


async def test_a_chargeback_and_a_refund_pay_the_buyer_once(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    payment_id = (await shop.buyer.get(f"/v1/orders/{order_id}")).json["payment_id"]
    raised = await shop.buyer.request(
        "POST",
        f"/sandbox/disputes/{payment_id}",
        b"outcome=lost",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert raised.status == 200, raised.body
    await settle(shop)
    (dispute,) = (await shop.seller.get(f"/v1/orders/{order_id}/disputes")).json["items"]
    assert (dispute["state"], dispute["amount_minor"]) == ("OPEN", await shop.total(2))
    asked = await shop.operator.post(
        f"/v1/payments/{payment_id}/refunds", {"order_id": order_id, "amount_minor": 5, "reason": "goodwill"}
    )
    assert asked.code == "payments.charged_back"
    case = await ask(shop, order_id, kind="refund_only")
    assert (await take(shop.seller, case, "approve"))["refund_minor"] == 0
    shop.world.advance(3_600_000)
    await settle(shop)
    assert (await case_of(shop, case))["state"] == "CHARGED_BACK"
    assert {key: amount for key, amount in (await balances(shop)).items() if amount} == {}
    assert (await shop.other_seller.get(f"/v1/orders/{order_id}/disputes")).code == "orders.not_found"


async def test_a_buyer_cannot_take_the_sellers_steps(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    case = await ask(shop, order_id, kind="refund_only")
    assert (await shop.buyer.post(f"{case}/steps", {"step": "approve"})).code == "aftersales.not_allowed"
    assert (await shop.other_buyer.post(f"{case}/steps", {"step": "close"})).code == "orders.not_found"
    await take(shop.seller, case, "refuse", reason="used")
    await take(shop.buyer, case, "escalate")
    await take(shop.buyer, case, "add_evidence", note="see the picture", url="https://pictures.example/1")
    assert (await shop.seller.post(f"{case}/steps", {"step": "judge"})).code == "aftersales.not_allowed"
    judged = await take(shop.operator, case, "judge", winner="SELLER", reason="used")
    assert (judged["state"], len(judged["evidence"])) == ("DISMISSED", 1)
