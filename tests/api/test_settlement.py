"""Settlement over HTTP: a seller sees its own money and nobody else's, an operator acts, the days go by."""

from __future__ import annotations

from tests.api.conftest import Shop
from tests.api.test_journey import delivered, release

DAY = 86_400_000
HERE = {"holder": "Seller", "account": "GB82WEST12345698765432"}


async def pass_days(shop: Shop, days: int) -> None:
    for _ in range(days):
        shop.world.advance(DAY)
        await release(shop)
    ran = await shop.operator.post("/v1/settlement/runs")
    assert ran.status == 200, ran.body
    await release(shop)


async def test_a_seller_follows_the_money_to_the_bank(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    await release(shop)
    path = f"/v1/sellers/{shop.seller_id}"
    unsettled = (await shop.seller.get(f"{path}/unsettled")).json["items"]
    assert [one["order_id"] for one in unsettled] == [order_id]
    owed = unsettled[0]["amount_minor"]
    assert owed > 0
    entered = await shop.seller.request("PUT", f"{path}/payout-account", HERE)
    assert (entered.status, entered.json["version"]) == (200, 1)
    again = await shop.seller.request("PUT", f"{path}/payout-account", HERE)
    assert again.code == "version.conflict", "an account that stands is replaced by who has read it"
    refused = await shop.seller.request(
        "PUT", f"{path}/payout-account", {**HERE, "account": "GB00 0000 0000 0000"}
    )
    assert refused.code == "settlement.destination_invalid"
    await pass_days(shop, 9)
    await pass_days(shop, 1)
    overview = (await shop.seller.get(f"{path}/settlement")).json
    assert overview["unsettled"] == []
    assert overview["accounts"][0]["balance_minor"] == 0
    [paid] = (await shop.seller.get(f"{path}/payouts")).json["items"]
    assert (paid["state"], paid["amount_minor"]) == ("PAID", owed)
    told = (entered.json, overview["payout_account"], paid)
    assert [one["destination"]["account"] for one in told] == ["****5432"] * 3
    statements = (await shop.seller.get(f"{path}/statements")).json["items"]
    first = statements[-1]
    assert first["closing_minor"] == owed
    page = await shop.seller.get(f"{path}/statements/GB/GBP/{first['date']}")
    [line] = page.json["lines"]
    assert line["order_id"] == order_id
    assert sum(line["components"].values()) == line["amount_minor"] == owed
    newer = (await shop.seller.get(f"{path}/statements?limit=1")).json
    assert newer["items"][0]["date"] > first["date"]
    older = (await shop.seller.get(f"{path}/statements?cursor={newer['next_cursor']}")).json["items"]
    assert first in older
    assert (
        await shop.seller.get(f"{path}/statements/GB/GBP/2001-01-01")
    ).code == "settlement.statement_not_found"
    assert (await shop.seller.get(f"{path}/statements/GB/GBP/soon")).code == "settlement.day_invalid"


async def test_an_operator_adjusts_and_tells_what_the_bank_said(shop: Shop) -> None:
    path = f"/v1/sellers/{shop.seller_id}"
    body = {"kind": "platform_compensation", "market": "GB", "currency": "GBP", "amount_minor": 700}
    first = await shop.operator.post(f"{path}/adjustments", body, key="once")
    assert (first.status, first.json["amount_minor"]) == (201, 700)
    assert (await shop.operator.post(f"{path}/adjustments", body, key="once")).body == first.body
    wrong = await shop.operator.post(f"{path}/adjustments", {**body, "amount_minor": -700})
    assert wrong.code == "settlement.adjustment_invalid"
    entered = await shop.seller.request("PUT", f"{path}/payout-account", HERE, key="account")
    replayed = await shop.seller.request("PUT", f"{path}/payout-account", HERE, key="account")
    assert replayed.body == entered.body
    assert HERE["account"].encode() not in entered.body, "what is kept under a key holds no number either"
    await pass_days(shop, 2)
    [paid] = (await shop.seller.get(f"{path}/payouts")).json["items"]
    assert paid["state"] == "PAID"
    back = await shop.operator.post(f"/v1/payouts/{paid['payout_id']}/word", {"status": "returned"})
    assert (back.status, back.json["state"]) == (200, "RETURNED")
    assert back.json["destination"]["account"] == "****5432"
    overview = (await shop.seller.get(f"{path}/settlement")).json
    assert overview["accounts"][0]["balance_minor"] == 700
    assert overview["payout_account"]["blocked"] is True


async def test_a_sellers_money_is_nobody_elses_business(shop: Shop) -> None:
    path = f"/v1/sellers/{shop.seller_id}"
    for what in ("settlement", "statements", "payouts", "unsettled"):
        assert (await shop.buyer.get(f"{path}/{what}")).code in ("auth.forbidden", "auth.other_tenant")
        assert (await shop.other_seller.get(f"{path}/{what}")).code == "auth.other_tenant"
    assert (await shop.seller.post("/v1/settlement/runs")).code == "auth.forbidden"
    assert (await shop.seller.post(f"{path}/adjustments", {})).code == "auth.forbidden"
