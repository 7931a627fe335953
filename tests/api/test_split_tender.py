"""A checkout paid with store credit and a card: asked for over HTTP, taken once, given back to each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.api.conftest import ADDRESS, Client, Reply, Shop
from tests.api.test_cases import balances, settle
from tests.api.test_stored_value import credit, give, no_drift

from tradepost.trade import payments

ALL: dict[str, Any] = {"store_credit": True}


def gbp(minor: int) -> dict[str, Any]:
    return {"amount_minor": minor, "currency": "GBP"}


async def buy(
    shop: Shop,
    payment: dict[str, Any],
    *,
    quantity: int = 2,
    client: Client | None = None,
    key: str | None = None,
) -> Reply:
    body = {
        "market": "GB",
        "lines": [{"offer_id": shop.offer_id, "quantity": quantity}],
        "total": gbp(895 * quantity),
        "address": ADDRESS,
        "payment": {"method": "sandbox_succeeds", **payment},
    }
    return await (client or shop.buyer).post("/v1/checkouts", body, key=key)


async def paid(shop: Shop, placed: Any) -> Any:
    return (await shop.buyer.get(f"/v1/payments/{placed['payment_id']}")).json


async def test_what_credit_does_not_cover_the_card_pays(shop: Shop) -> None:
    await give(shop, 1_000)
    placed = await buy(shop, ALL)
    assert placed.status == 201, placed.body
    payment = placed.json["payment"]
    assert (payment["state"], payment["provider"], payment["captured"]) == ("CAPTURED", "sandbox", gbp(1_790))
    assert payment["store_credit"] == {
        "amount": gbp(1_000),
        "captured": gbp(1_000),
        "refunded": gbp(0),
        "released": gbp(0),
    }
    await settle(shop)
    assert await credit(shop) == {"GBP": 0}
    assert (await balances(shop))["provider:sandbox"] == 790
    order_id = placed.json["orders"][0]["order_id"]
    await shop.buyer.post(f"/v1/orders/{order_id}/cancel", {"reason": "changed_mind"})
    await settle(shop)
    payment = await paid(shop, placed.json)
    assert (payment["refunded"], payment["store_credit"]["refunded"]) == (gbp(1_790), gbp(1_000))
    assert [refund["store_credit"] for refund in payment["refunds"]] == [gbp(1_000)]
    assert await credit(shop) == {"GBP": 1_000}
    assert await balances(shop) == {"platform:stored_value": 1_000, f"stored:{shop.buyer_id}": -1_000}
    await no_drift(shop)


async def test_nothing_of_it_is_told_where_nobody_asked(shop: Shop) -> None:
    await give(shop, 1_000)
    payment = (await buy(shop, {})).json["payment"]
    assert "store_credit" not in payment
    lines = [{"offer_id": shop.offer_id, "quantity": 1}]
    quote = (await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": lines})).json
    assert "store_credit" not in quote
    assert await credit(shop) == {"GBP": 1_000}


async def test_a_quote_tells_what_credit_covers_and_takes_none(shop: Shop) -> None:
    await give(shop, 1_000)
    for quantity, covered in ((1, 895), (2, 1_000)):
        lines = [{"offer_id": shop.offer_id, "quantity": quantity}]
        asked = {"market": "GB", "lines": lines, "store_credit": True}
        quote = await shop.buyer.post("/v1/quotes", asked)
        assert quote.json["store_credit"] == gbp(covered), quote.body
    assert await credit(shop) == {"GBP": 1_000}
    body = {
        "quote": quote.json["quote"],
        "address": ADDRESS,
        "payment": {"method": "sandbox_succeeds", **ALL},
    }
    placed = await shop.buyer.post("/v1/checkouts", body)
    assert placed.json["payment"]["store_credit"]["captured"] == gbp(1_000)
    again = await shop.buyer.post("/v1/checkouts", body)
    assert again.json["payment"]["payment_id"] == placed.json["payment"]["payment_id"]
    assert await credit(shop) == {"GBP": 0}
    assert (await balances(shop))["provider:sandbox"] == 790


async def test_credit_that_covers_everything_needs_no_card(shop: Shop) -> None:
    await give(shop, 2_000)
    placed = await buy(shop, {"method": "", **ALL})
    payment = placed.json["payment"]
    assert (payment["provider"], payment["state"]) == ("stored_value", "CAPTURED"), placed.body
    assert await credit(shop) == {"GBP": 210}
    replayed = await shop.buyer.get(f"/v1/payments/{payment['payment_id']}")
    assert replayed.json["state"] == "CAPTURED"
    await no_drift(shop)


async def test_no_credit_is_no_reason_to_refuse_unless_an_amount_was_named(shop: Shop) -> None:
    placed = await buy(shop, ALL)
    assert (placed.status, "store_credit" in placed.json["payment"]) == (201, False)
    refused = await buy(shop, {"store_credit_amount": gbp(1)})
    assert (refused.status, refused.code, refused.json["available_minor"]) == (409, "stored.too_little", 0)


@pytest.mark.parametrize(
    ("named", "status", "code", "left"),
    [
        (gbp(300), 201, "", 700),
        (gbp(0), 201, "", 1_000),
        (gbp(1_000), 201, "", 0),
        (gbp(1_001), 409, "stored.too_little", 1_000),
        (gbp(10**15), 409, "stored.too_little", 1_000),
        ({"amount_minor": 300, "currency": "EUR"}, 422, "checkout.currency_mixed", 1_000),
        (gbp(-1), 400, "input.invalid", 1_000),
    ],
)
async def test_a_named_amount(shop: Shop, named: dict[str, Any], status: int, code: str, left: int) -> None:
    await give(shop, 1_000)
    reply = await buy(shop, {"store_credit_amount": named})
    assert reply.status == status, reply.body
    assert not code or reply.code == code
    assert await credit(shop) == {"GBP": left}
    if code:
        assert "provider:sandbox" not in await balances(shop)


async def test_more_than_the_total_is_the_total(shop: Shop) -> None:
    await give(shop, 5_000)
    placed = await buy(shop, {"store_credit_amount": gbp(5_000)})
    assert placed.json["payment"]["provider"] == "stored_value"
    assert await credit(shop) == {"GBP": 5_000 - 1_790}


async def test_the_rest_has_to_be_paid_with_something_else(shop: Shop) -> None:
    await give(shop, 100)
    reply = await buy(shop, {"method": "store_credit", **ALL})
    assert (reply.code, reply.json["field"]) == ("input.invalid", "payment.method")


async def test_a_guest_has_no_credit_and_nobody_spends_anothers(shop: Shop) -> None:
    await give(shop, 1_000)
    named = {"store_credit_amount": gbp(100)}
    assert (await buy(shop, named, client=shop.storefront)).code == "stored.too_little"
    assert (await buy(shop, named, client=shop.other_buyer)).code == "stored.too_little"
    guest = await buy(shop, ALL, client=shop.storefront)
    assert (guest.status, "store_credit" in guest.json["payment"]) == (201, False)
    assert await credit(shop) == {"GBP": 1_000}


async def test_the_same_request_twice_takes_once(shop: Shop) -> None:
    await give(shop, 1_000)
    first, second = await asyncio.gather(*[buy(shop, ALL, key="same") for _ in range(2)])
    third = await buy(shop, ALL, key="same")
    assert {reply.json["checkout_id"] for reply in (first, second, third)} == {first.json["checkout_id"]}
    assert await credit(shop) == {"GBP": 0}
    await no_drift(shop)


async def test_many_checkouts_at_once_never_spend_it_twice(shop: Shop) -> None:
    await give(shop, 2_500)
    replies = await asyncio.gather(
        *[buy(shop, {"store_credit_amount": gbp(600)}, quantity=1) for _ in range(8)],
        *[buy(shop, ALL, quantity=1) for _ in range(8)],
    )
    parts = [
        reply.json["payment"].get("store_credit", {}).get("amount", gbp(0))["amount_minor"]
        if reply.json["payment"]["provider"] == "sandbox"
        else 895
        for reply in replies
        if reply.status == 201
    ]
    assert {reply.code for reply in replies if reply.status != 201} <= {"stored.too_little"}
    assert sum(parts) == 2_500 - (await credit(shop))["GBP"]
    assert (await credit(shop))["GBP"] < 600, "somebody wanted all that is left"
    await settle(shop)
    await no_drift(shop)
    assert sum((await balances(shop)).values()) == 0


async def test_a_sold_out_offer_takes_no_credit(shop: Shop) -> None:
    await give(shop, 1_000)
    reply = await buy(shop, ALL, quantity=60)
    assert reply.code == "inventory.sold_out"
    assert await credit(shop) == {"GBP": 1_000}


async def test_a_declined_card_leaves_the_credit_held_for_another(shop: Shop) -> None:
    await give(shop, 1_000)
    placed = (await buy(shop, {"method": "sandbox_declines", **ALL})).json
    assert placed["payment"]["state"] == "FAILED"
    assert await credit(shop) == {"GBP": 0}
    again = await shop.buyer.post(
        f"/v1/payments/{placed['payment_id']}/confirm", {"method": "sandbox_succeeds"}
    )
    assert (again.json["state"], again.json["store_credit"]["captured"]) == ("CAPTURED", gbp(1_000))


async def test_an_unpaid_order_that_expires_gives_it_back(shop: Shop) -> None:
    await give(shop, 1_000)
    placed = (await buy(shop, {"method": "sandbox_declines", **ALL})).json
    assert await credit(shop) == {"GBP": 0}
    shop.world.advance(86_400_000)
    for _ in range(3):
        await shop.platform.runtime.step()
    await settle(shop)
    assert await credit(shop) == {"GBP": 1_000}
    payment = await paid(shop, placed)
    assert (payment["state"], payment["store_credit"]["released"]) == ("VOIDED", gbp(1_000))
    await no_drift(shop)


async def test_a_preview_tells_each_tender_what_the_refund_gives_it(shop: Shop) -> None:
    await give(shop, 1_000)
    placed = (await buy(shop, ALL)).json
    await settle(shop)
    order_id = placed["orders"][0]["order_id"]
    wanted = {"kind": "claim", "lines": [{"line_no": 1, "quantity": 1}], "reason": "missing"}
    shown = (await shop.seller.post(f"/v1/orders/{order_id}/refund-preview", wanted)).json
    assert [(one["provider"], one["amount_minor"]) for one in shown["tenders"]] == [
        ("sandbox", 790),
        ("stored_value", 105),
    ]
    request = {"order_id": order_id, "amount_minor": 895, "reason": "missing"}
    refund = await shop.operator.post(f"/v1/payments/{placed['payment_id']}/refunds", request)
    assert (refund.json["state"], refund.json["store_credit"]) == ("SUCCEEDED", gbp(105)), refund.body
    assert await credit(shop) == {"GBP": 105}
    assert await shop.platform.db.read(0, payments.find_drift) == []


async def issue(shop: Shop, minor: int, currency: str = "GBP") -> str:
    reply = await shop.operator.post("/v1/gift-cards", {"amount_minor": minor, "currency": currency})
    assert reply.status == 201, reply.body
    return str(reply.json["code"])


async def test_a_gift_card_pays_a_part_at_once(shop: Shop) -> None:
    await give(shop, 1_000)
    code = await issue(shop, 500)
    first, again = await asyncio.gather(*[buy(shop, {"gift_card": code}, key="same") for _ in range(2)])
    payment = first.json["payment"]
    assert payment["store_credit"]["captured"] == gbp(500), first.body
    assert again.json["checkout_id"] == first.json["checkout_id"]
    assert await credit(shop) == {"GBP": 1_000}, "only the card was asked for"
    await settle(shop)  # its event finds that it arrived
    assert await credit(shop) == {"GBP": 1_000}
    assert (await balances(shop)).get("transit:stored_value", 0) == 0
    await no_drift(shop)


async def test_a_gift_card_beside_all_credit(shop: Shop) -> None:
    await give(shop, 1_000)
    placed = await buy(shop, {"gift_card": await issue(shop, 500), **ALL})
    assert placed.json["payment"]["store_credit"]["captured"] == gbp(1_500)
    assert await credit(shop) == {"GBP": 0}


async def test_a_gift_card_of_an_order_that_is_refused_is_the_buyers_credit(shop: Shop) -> None:
    code = await issue(shop, 500)
    assert (await buy(shop, {"gift_card": code}, quantity=60)).code == "inventory.sold_out"
    placed = await buy(shop, {"gift_card": code})
    assert placed.json["payment"]["store_credit"]["captured"] == gbp(500)
    spent = await buy(shop, {"gift_card": code})
    assert (spent.code, spent.json["available_minor"]) == ("stored.too_little", 0)


async def test_gift_cards_that_do_not_pay(shop: Shop) -> None:
    code, euros = await issue(shop, 500), await issue(shop, 500, "EUR")
    assert (await buy(shop, {"gift_card": "gft_x"})).code == "stored.card_unknown"
    foreign = await buy(shop, {"gift_card": euros})
    assert (foreign.code, foreign.json["field"]) == ("checkout.currency_mixed", "payment.gift_card")
    assert (await buy(shop, {"gift_card": code}, client=shop.storefront)).code == "stored.buyer_needed"
    assert (await buy(shop, {"gift_card": code}, client=shop.other_buyer)).status == 201
    assert (await buy(shop, {"gift_card": code})).code == "stored.card_used"
