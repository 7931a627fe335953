"""Store credit and gift cards: in the ledger alone, spent once, given back to where they came from."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.api.conftest import ADDRESS, Shop
from tests.api.test_cases import balances, settle

from tradepost.kernel.errors import Refusal, problem_table
from tradepost.kernel.ids import gene_of
from tradepost.surfaces.api import once
from tradepost.trade import payments
from tradepost.trade.payments import AuthorizeCall, NewIntent, Portion, Status


async def credit(shop: Shop) -> dict[str, int]:
    reply = await shop.buyer.get(f"/v1/buyers/{shop.buyer_id}/store-credit")
    assert reply.status == 200, reply.body
    return {one["currency"]: one["amount_minor"] for one in reply.json["balances"]}


async def give(shop: Shop, amount_minor: int, reference: str = "sorry", key: str | None = None) -> Any:
    body = {"amount_minor": amount_minor, "currency": "GBP", "reference": reference}
    return await shop.operator.post(f"/v1/buyers/{shop.buyer_id}/store-credit", body, key=key)


async def no_drift(shop: Shop) -> None:
    assert await shop.platform.db.read(0, payments.find_drift) == []


async def pay_with_credit(shop: Shop, quantity: int) -> Any:
    return await shop.buy(method="store_credit", quantity=quantity)


async def test_store_credit_pays_and_comes_back(shop: Shop) -> None:
    assert (await give(shop, 2_000)).status == 201
    placed = await pay_with_credit(shop, 2)
    await settle(shop)
    assert await credit(shop) == {"GBP": 2_000 - 1_790}
    order = (await shop.buyer.get(f"/v1/orders/{placed['orders'][0]['order_id']}")).json
    assert order["state"] == "AWAITING_SHIPMENT"
    await shop.buyer.post(f"/v1/orders/{order['order_id']}/cancel", {"reason": "changed_mind"})
    await settle(shop)
    assert await credit(shop) == {"GBP": 2_000}
    assert await balances(shop) == {"platform:stored_value": 2_000, f"stored:{shop.buyer_id}": -2_000}
    await no_drift(shop)


async def test_too_little_is_declined_and_nothing_is_taken(shop: Shop) -> None:
    await give(shop, 894)
    placed = await pay_with_credit(shop, 1)
    await settle(shop)
    payment = (await shop.buyer.get(f"/v1/payments/{placed['payment_id']}")).json
    assert (payment["state"], payment["reason"]) == ("FAILED", "too_little_stored_value")
    assert await credit(shop) == {"GBP": 894}
    await give(shop, 1, "a_penny")
    again = await shop.buyer.post(f"/v1/payments/{placed['payment_id']}/confirm", {"method": "store_credit"})
    assert again.json["state"] == "CAPTURED", again.body
    assert await credit(shop) == {"GBP": 0}
    await no_drift(shop)


async def test_a_gift_card_becomes_store_credit_once(shop: Shop) -> None:
    issued = (
        await shop.operator.post("/v1/gift-cards", {"amount_minor": 5_000, "currency": "GBP"}, key="c")
    ).json
    again = await shop.operator.post("/v1/gift-cards", {"amount_minor": 5_000, "currency": "GBP"}, key="c")
    assert again.json == issued
    wrong = issued["code"][:-1] + ("0" if issued["code"][-1] != "0" else "1")
    for code in (wrong, "gft_x", issued["card_id"]):
        assert (await shop.buyer.post("/v1/gift-cards/redeem", {"code": code})).code == "stored.card_unknown"
    replies = await asyncio.gather(
        *[
            client.post("/v1/gift-cards/redeem", {"code": issued["code"]})
            for client in (shop.buyer, shop.other_buyer, shop.buyer, shop.other_buyer)
        ]
    )
    won = [reply for reply in replies if reply.status == 200]
    assert {reply.json["buyer_id"] for reply in won} in ({shop.buyer_id}, {won[0].json["buyer_id"]})
    assert {reply.code for reply in replies if reply.status != 200} == {"stored.card_used"}
    await settle(shop)
    owner = won[0].json["buyer_id"]
    assert await balances(shop) == {"platform:stored_value": 5_000, f"stored:{owner}": -5_000}
    await no_drift(shop)


async def test_a_card_and_its_code_commit_together(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"amount_minor": 5_000, "currency": "GBP"}

    def crash(*_: Any) -> None:
        raise Refusal("version.conflict", "The answer could not be kept.")

    with monkeypatch.context() as broken:
        broken.setattr(once, "keep_answer", crash)
        assert (await shop.operator.post("/v1/gift-cards", body, key="c")).status == 409
    assert await balances(shop) == {}, "no card without the code that was told"
    assert (await shop.operator.post("/v1/gift-cards", body, key="c")).status == 201
    assert (await balances(shop))["platform:stored_value"] == 5_000


async def test_the_same_reference_gives_once(shop: Shop) -> None:
    for _ in range(2):
        assert (await give(shop, 500)).json["amount_minor"] == 500
    assert (await give(shop, 501)).code == "stored.issue_differs"
    assert (await shop.buyer.post(f"/v1/buyers/{shop.buyer_id}/store-credit", {})).status in (400, 403)
    other = await shop.other_buyer.get(f"/v1/buyers/{shop.buyer_id}/store-credit")
    assert other.status == 404


async def test_of_those_who_race_for_the_last_money_only_so_many_get_it(shop: Shop) -> None:
    """Forty payments at once ask for 100 each of 1,234: twelve are paid, and the account never falls below zero."""
    await give(shop, 1_234)
    db, world = shop.platform.db, shop.world
    gene = gene_of(shop.buyer_id)
    intents = []
    for _ in range(40):
        order_id = world.mint("order", gene)
        portion = Portion(
            order_id=order_id,
            seller_id=shop.seller_id,
            amount_minor=100,
            fee_minor=0,
            tax_minor=0,
            market="GB",
        )
        intents.append(
            NewIntent(
                payment_id=world.mint("payment", gene),
                checkout_id=world.mint("checkout", gene),
                buyer_id=shop.buyer_id,
                provider=payments.STORED_VALUE,
                method=payments.STORE_CREDIT,
                currency="GBP",
                amount_minor=100,
                capture="immediate",
                portions=(portion,),
                at_ms=world.now_ms(),
                confirm=True,
            )
        )
    await db.transact(0, payments.open_intents, intents)
    found = await asyncio.gather(
        *[payments.charge(db, world, shop.platform.providers, intent) for intent in intents for _ in range(2)]
    )
    states = {view.payment_id: view.state for view in found}
    assert sorted(states.values()) == ["CAPTURED"] * 12 + ["FAILED"] * 28
    assert await credit(shop) == {"GBP": 34}
    await no_drift(shop)
    assert sum((await balances(shop)).values()) == 0


async def test_what_is_set_aside_comes_back_when_it_is_not_taken(shop: Shop) -> None:
    await give(shop, 2_000)
    lines = [{"offer_id": shop.offer_id, "quantity": 2}]
    quote = await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": lines, "scene": "presale"})
    body = {"quote": quote.json["quote"], "address": ADDRESS, "payment": {"method": "store_credit"}}
    placed = (await shop.buyer.post("/v1/checkouts", body)).json
    await settle(shop)
    assert await credit(shop) == {"GBP": 210}
    taken = await shop.operator.post(f"/v1/payments/{placed['payment_id']}/capture", {"amount_minor": 790})
    assert taken.json["state"] == "PARTIALLY_CAPTURED", taken.body
    await shop.operator.post(f"/v1/payments/{placed['payment_id']}/void")
    await settle(shop)
    assert await credit(shop) == {"GBP": 1_210}
    await no_drift(shop)


@pytest.mark.parametrize(("amount", "currency"), [(0, "GBP"), (-5, "GBP"), (10**13, "GBP"), (5, "XXY")])
async def test_what_cannot_be_stored(shop: Shop, amount: int, currency: str) -> None:
    with pytest.raises(Refusal) as refused:
        await shop.platform.db.transact(0, payments.issue_credit, shop.buyer_id, "r", amount, currency, 1)
    assert refused.value.code in ("stored.amount_invalid", "money.currency_unknown")


async def test_no_more_is_spent_than_there_is(shop: Shop) -> None:
    await give(shop, 99)
    body = {
        "market": "GB",
        "lines": [{"offer_id": shop.offer_id, "quantity": 1}],
        "total": {"amount_minor": 895, "currency": "GBP"},
        "address": ADDRESS,
        "payment": {"store_credit_amount": {"amount_minor": 100, "currency": "GBP"}},
    }
    refused = await shop.buyer.post("/v1/checkouts", body)
    assert (refused.code, refused.json["available_minor"]) == ("stored.too_little", 99)
    card = {**body, "payment": {"gift_card": "gft_any"}}
    guest = await shop.storefront.post("/v1/checkouts", card)
    assert (guest.status, guest.code) == (422, "stored.buyer_needed")


async def test_the_provider_repeats_and_refuses_as_others_do(shop: Shop) -> None:
    await give(shop, 500)
    provider = shop.platform.providers.of(payments.STORED_VALUE)
    with pytest.raises(Refusal) as unsigned:
        provider.parse_webhook({}, b"{}", 1)
    assert unsigned.value.code == "payments.webhook_unsigned"
    placed = await shop.buy(method="sandbox_redirect")
    call = AuthorizeCall(
        key="k",
        payment_id=placed["payment_id"],
        attempt=1,
        amount_minor=400,
        currency="GBP",
        method="store_credit",
        capture=True,
    )
    first, second = await provider.authorize(call), await provider.authorize(call)
    assert first == second
    assert (first.status, await credit(shop)) == (Status.AUTHORIZED, {"GBP": 100})
    void = payments.VoidCall(key="v", payment_id=placed["payment_id"])
    assert (await provider.void(void)).captured_minor == 400
    refund = payments.RefundCall(
        key="r", payment_id=call.payment_id, refund_id="ref_x", attempt=1, amount_minor=401
    )
    assert (await provider.refund(refund)).refunds[0].reason == "exceeds_captured"
    assert await provider.ask("pay_" + "0" * 26) is None


def test_every_code_of_stored_value_is_provoked_here() -> None:
    codes = {code for code in problem_table() if code.startswith("stored.")}
    with open(__file__, encoding="utf-8") as file:
        text = file.read()
    assert all(f'"{code}"' in text for code in codes)
