"""Commissions when goods are replaced or exchanged: they follow the value that stays paid."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import Client, Shop, make_offer
from tests.api.test_cases import ask, balances, case_of, settle, take
from tests.api.test_commissions import DAY, creator, earnings, later, led, owed
from tests.api.test_journey import release

from tradepost.trade import ledger, settlement
from tradepost.trade.settlement import TRANSIT

UNIT = 895
PAYS = {"method": "sandbox_succeeds"}
NET = 746
"""A unit without tax."""


async def begun(shop: Shop, quantity: int = 2, *, settled: bool = True) -> tuple[str, str, Client]:
    """(order, creator, its client) of a delivered order that earns a tenth."""
    creator_id, client = await creator(shop)
    terms = {"rate_bps": 1_000, "settle_after_ms": DAY}
    assert (await shop.seller.post("/v1/commission-plans", terms)).status == 201
    order_id = await led(shop, creator_id, quantity)
    if settled:
        await later(shop, 2)
    return order_id, creator_id, client


async def line_of(client: Client, order_id: str) -> dict[str, Any]:
    return next(one for one in await earnings(client) if one["order_id"] == order_id)


async def books_hold(shop: Shop, creator_id: str, earned: int) -> None:
    """The creator is owed this, nothing is on its way, and all of it adds up."""
    assert await owed(shop, f"payable:{creator_id}") == earned
    assert await owed(shop, TRANSIT) == 0
    report = await shop.platform.db.read(0, ledger.check_ledger)
    assert report.balanced
    assert list(report.findings) == []
    assert sum((await balances(shop)).values()) == 0
    assert list((await shop.platform.db.read(0, settlement.check_settlement)).findings) == []


async def exchange_for(shop: Shop, order_id: str, price: str) -> str:
    """One unit exchanged for an offer at this price: the case."""
    sku_id, offer_id = await make_offer(shop.seller, f"other-{price}", 5)
    terms = {"sku_id": sku_id, "markets": ["GB"], "prices": [{"currency": "GBP", "price": price}]}
    assert (await shop.seller.put(f"/v1/offers/{offer_id}", terms)).status == 200
    await release(shop)
    case = await ask(shop, order_id, kind="exchange", wanted=[{"offer_id": offer_id, "quantity": 1}])
    await take(shop.seller, case, "approve")
    await take(shop.seller, case, "receive")
    return case


@pytest.mark.parametrize("settled", [True, False], ids=["settled", "estimated"])
async def test_a_replacement_keeps_the_commission(shop: Shop, settled: bool) -> None:
    order_id, creator_id, client = await begun(shop, settled=settled)
    before = await line_of(client, order_id)
    case = await ask(shop, order_id, kind="replacement")
    await take(shop.seller, case, "approve")
    await settle(shop)
    assert (await case_of(shop, case))["state"] == "REPLACED"
    await later(shop, 2)
    after = await line_of(client, order_id)
    assert (after["base_minor"], after["amount_minor"]) == (before["base_minor"], before["amount_minor"])
    assert after["state"] == "SETTLED"
    new = (await case_of(shop, case))["replacement_id"]
    assert (await line_of(client, new))["amount_minor"] == 0, "the same sale is not paid for twice"
    await books_hold(shop, creator_id, after["amount_minor"])


async def test_nothing_is_taken_back_while_new_goods_are_awaited(shop: Shop) -> None:
    order_id, creator_id, client = await begun(shop)
    before = await line_of(client, order_id)
    case = await ask(shop, order_id, kind="exchange")
    await take(shop.seller, case, "approve")
    await take(shop.seller, case, "receive")
    await shop.platform.runtime.drain()
    assert (await line_of(client, order_id))["base_minor"] == before["base_minor"]
    await settle(shop)
    assert (await line_of(client, order_id))["base_minor"] == before["base_minor"]
    await books_hold(shop, creator_id, before["amount_minor"])


@pytest.mark.parametrize(("price", "kept"), [("10.95", UNIT), ("8.95", UNIT), ("5.00", 500)])
async def test_an_exchange_keeps_what_stays_bought(shop: Shop, price: str, kept: int) -> None:
    order_id, creator_id, client = await begun(shop)
    before = await line_of(client, order_id)
    case = await exchange_for(shop, order_id, price)
    await settle(shop)
    new = (await shop.buyer.get(f"/v1/orders/{(await case_of(shop, case))['replacement_id']}")).json
    if new["total"]["amount_minor"]:
        assert (await shop.buyer.post(f"/v1/payments/{new['payment_id']}/confirm", PAYS)).status == 200
    await later(shop, 1)
    after = await line_of(client, order_id)
    wanted = before["base_minor"] // 2 + kept * before["base_minor"] // (2 * UNIT)
    assert abs(after["base_minor"] - wanted) <= 1
    assert (after["base_minor"] == before["base_minor"]) == (kept == UNIT)
    await books_hold(shop, creator_id, after["base_minor"] // 10)


async def test_new_goods_that_go_back_take_the_commission_along(shop: Shop) -> None:
    order_id, creator_id, client = await begun(shop, quantity=1)
    case = await exchange_for(shop, order_id, "5.00")
    await settle(shop)
    new = (await case_of(shop, case))["replacement_id"]
    gone = await shop.seller.post(f"/v1/orders/{new}/cancel", {"reason": "sold_out"})
    assert gone.status == 200, gone.body
    await settle(shop)
    await later(shop, 1)
    line = await line_of(client, order_id)
    assert (line["state"], line["amount_minor"]) == ("CLAWED_BACK", 0)
    await books_hold(shop, creator_id, 0)


async def test_money_the_bank_took_before_the_new_goods_were_cancelled_earns_nothing(shop: Shop) -> None:
    order_id, creator_id, client = await begun(shop, quantity=1)
    case = await exchange_for(shop, order_id, "8.95")
    payment_id = (await shop.buyer.get(f"/v1/orders/{order_id}")).json["payment_id"]
    form = {"content-type": "application/x-www-form-urlencoded"}
    path = f"/sandbox/disputes/{payment_id}"
    raised = await shop.buyer.request("POST", path, b"outcome=lost", headers=form)
    assert raised.status == 200, raised.body
    await later(shop, 1)
    new = (await case_of(shop, case))["replacement_id"]
    assert (await shop.seller.post(f"/v1/orders/{new}/cancel", {"reason": "sold_out"})).status == 200
    await settle(shop)
    refunds = await shop.operator.get(f"/v1/payments/{payment_id}/refunds")
    assert refunds.json.get("items", []) == [], "the buyer has the money from the bank"
    await later(shop, 1)
    assert (await line_of(client, order_id))["amount_minor"] == 0
    await books_hold(shop, creator_id, 0)


async def test_a_difference_that_is_never_paid_takes_the_commission_along(shop: Shop) -> None:
    order_id, creator_id, client = await begun(shop)
    before = await line_of(client, order_id)
    await exchange_for(shop, order_id, "10.95")
    await settle(shop)
    assert (await line_of(client, order_id))["base_minor"] == before["base_minor"]
    await later(shop, 1)
    line = await line_of(client, order_id)
    assert line["base_minor"] == before["base_minor"] // 2
    await books_hold(shop, creator_id, line["amount_minor"])


async def test_goodwill_after_an_exchange_is_taken_off_too(shop: Shop) -> None:
    order_id, creator_id, client = await begun(shop, quantity=1)
    await exchange_for(shop, order_id, "5.00")
    await settle(shop)
    await later(shop, 1)
    first = await line_of(client, order_id)
    order = (await shop.buyer.get(f"/v1/orders/{order_id}")).json
    refund = {"order_id": order_id, "amount_minor": 100, "reason": "goodwill"}
    given = await shop.operator.post(f"/v1/payments/{order['payment_id']}/refunds", refund)
    assert given.json["state"] == "SUCCEEDED", given.body
    await later(shop, 1)
    second = await line_of(client, order_id)
    assert first["base_minor"] - second["base_minor"] == 100 * NET // UNIT
    await books_hold(shop, creator_id, second["amount_minor"])


async def test_without_the_new_goods_it_is_a_return(shop: Shop) -> None:
    order_id, creator_id, client = await begun(shop)
    before = await line_of(client, order_id)
    free = 18
    off = await shop.seller.post(f"/v1/stock/{shop.sku_id}/write-off", {"quantity": free, "reason": "flood"})
    assert off.status == 200, off.body
    case = await ask(shop, order_id, kind="replacement")
    await take(shop.seller, case, "approve")
    await settle(shop)
    assert (await case_of(shop, case))["state"] == "REFUNDED"
    await later(shop, 1)
    after = await line_of(client, order_id)
    assert after["base_minor"] == before["base_minor"] // 2
    await books_hold(shop, creator_id, after["amount_minor"])
