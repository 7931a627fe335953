"""Goods sold converted, over HTTP: one price for everybody at the published rate, the seller paid in its currency."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import ADDRESS, SECRET, Shop, make_platform
from tests.api.test_journey import deliver
from tests.api.test_settlement import HERE, pass_days
from tests.memory_centre import MemoryCentre

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.stability.desk import ConfigDesk
from tradepost.stability.live import LiveConfig
from tradepost.surfaces.api import Platform
from tradepost.testing.world import TestWorld

KEY = "/v1/config/keys/fx.rates"
DE = {**ADDRESS, "city": "Berlin", "postcode": "10115", "country": "DE"}
DAY = 86_400_000


@pytest.fixture
async def platform(database_path: Path, world: TestWorld) -> AsyncIterator[Platform]:
    """A platform that follows a config centre."""
    db, centre = SqliteStorage(database_path), MemoryCentre()
    live = LiveConfig(centre, world, instance="api-1")
    await live.start()
    yield make_platform(db, world, SECRET, ConfigDesk(db, world, centre, live))
    await live.close()
    await db.close()


def rate(shop: Shop, text: str, days: int = 30) -> dict[str, Any]:
    now_ms = shop.world.now_ms()
    return {
        "sold": "GBP",
        "paid": "EUR",
        "rate": text,
        "source": "ECB",
        "published_ms": now_ms,
        "until_ms": now_ms + days * DAY,
        "margin_ppm": 20_000,
    }


async def publish(shop: Shop, text: str) -> None:
    stands = (await shop.operator.get(KEY)).json
    body = {"value": [rate(shop, text)], "seen_version": stands["version"], "reason": "a test"}
    written = await shop.operator.put(KEY, body)
    assert written.status == 200, written.body


async def convert(shop: Shop) -> None:
    terms = {
        "markets": ["GB", "DE"],
        "prices": [{"currency": "GBP", "price": "10.00"}],
        "convert_from": "GBP",
    }
    changed = await shop.seller.put(f"/v1/offers/{shop.offer_id}", terms)
    assert (changed.status, changed.json.get("convert_from")) == (200, "GBP"), changed.body


def wanted(shop: Shop, quantity: int = 2) -> dict[str, Any]:
    return {"market": "DE", "lines": [{"offer_id": shop.offer_id, "quantity": quantity}]}


async def test_one_price_frozen_until_the_order(shop: Shop) -> None:
    await convert(shop)
    assert (await shop.buyer.post("/v1/quotes", wanted(shop))).code == "fx.no_rate"
    await publish(shop, "1.2")
    now = (await shop.buyer.get(f"/v1/offers/{shop.offer_id}?market=DE")).json["now"]
    assert now["amount"] == {"amount_minor": 1_224, "currency": "EUR"}
    cart_id = (await shop.buyer.post("/v1/carts", {"market": "DE"})).json["cart_id"]
    put = await shop.buyer.put(f"/v1/carts/{cart_id}/lines", {"lines": wanted(shop)["lines"]})
    assert (put.json["lines"][0]["seen_price"], put.json["warnings"]) == ("12.24", [])
    priced = (await shop.buyer.get(f"/v1/carts/{cart_id}")).json["priced"]
    quote = (await shop.buyer.post("/v1/quotes", wanted(shop))).json
    assert priced["total"] == quote["total"] == {"amount_minor": 2_448, "currency": "EUR"}
    held = {
        "sold": "GBP",
        "paid": "EUR",
        "rate": "1.2",
        "margin_percent": "2",
        "source": "ECB",
        "published_ms": shop.world.now_ms(),
        "prices": ["10.00"],
    }
    assert quote["orders"][0]["conversion"] == held
    await publish(shop, "1.3")
    moved = (await shop.buyer.get(f"/v1/carts/{cart_id}")).json
    assert [one["code"] for one in moved["warnings"]] == ["price_changed"]
    placed = await shop.buyer.post("/v1/checkouts", {"quote": quote["quote"], "address": DE})
    assert (placed.status, placed.json["total"]) == (201, quote["total"])
    order = (await shop.buyer.get(f"/v1/orders/{placed.json['orders'][0]['order_id']}")).json
    assert order["conversion"] == held
    again = await shop.buyer.post("/v1/quotes", wanted(shop))
    assert again.json["total"]["amount_minor"] == 2_652


async def sell(shop: Shop) -> tuple[str, str]:
    """(order, payment) of two pieces, paid and delivered."""
    body = {
        **wanted(shop),
        "total": {"amount_minor": 2_448, "currency": "EUR"},
        "address": DE,
        "payment": {"method": "sandbox_succeeds"},
    }
    placed = await shop.buyer.post("/v1/checkouts", body)
    assert placed.status == 201, placed.body
    order_id, _ = await deliver(shop, placed.json["orders"][0]["order_id"])
    return order_id, placed.json["payment_id"]


async def test_a_seller_is_paid_in_its_currency_and_the_books_say_what_it_cost(shop: Shop) -> None:
    await convert(shop)
    await publish(shop, "1.2")
    order_id, _ = await sell(shop)
    path = f"/v1/sellers/{shop.seller_id}"
    [expected] = (await shop.seller.get(f"{path}/unsettled")).json["items"]
    assert expected["currency"] == "GBP"
    await shop.seller.put(f"{path}/payout-account", HERE)
    await publish(shop, "1.25")
    accrued = (await shop.operator.post("/v1/settlement/revaluations")).json["items"]
    assert [(one["outcome"], one["difference"]["currency"]) for one in accrued] == [("posted", "EUR")]
    await pass_days(shop, 9)
    await pass_days(shop, 1)
    [paid] = (await shop.seller.get(f"{path}/payouts")).json["items"]
    assert (paid["state"], paid["currency"], paid["amount_minor"]) == (
        "PAID",
        "GBP",
        expected["amount_minor"],
    )
    statement = (await shop.seller.get(f"{path}/statements")).json["items"][-1]
    page = await shop.seller.get(f"{path}/statements/DE/GBP/{statement['date']}")
    [line] = page.json["lines"]
    assert (line["order_id"], line["amount_minor"]) == (order_id, sum(line["components"].values()))
    assert "EUR at 1.2 EUR for 1 GBP (ECB" in line["note"]
    assert "the platform's loss" in line["note"]
    again = (await shop.operator.post("/v1/settlement/revaluations")).json["items"]
    assert [one["outcome"] for one in again] == ["posted"], "what was accrued is a result now"
    [found] = (await shop.operator.post("/v1/settlement/revaluations")).json["items"]
    assert (found["outcome"], found["difference"]["amount_minor"]) == ("unchanged", 0)
    assert found["owed"] == {"amount_minor": expected["amount_minor"], "currency": "GBP"}


async def test_a_refund_is_what_was_paid(shop: Shop) -> None:
    await convert(shop)
    await publish(shop, "1.2")
    order_id, payment_id = await sell(shop)
    await publish(shop, "2")
    body = {"order_id": order_id, "amount_minor": 2_448, "reason": "goodwill"}
    given = await shop.operator.post(f"/v1/payments/{payment_id}/refunds", body)
    assert given.json["amount"] == {"amount_minor": 2_448, "currency": "EUR"}


async def test_only_operators_publish_and_revalue(shop: Shop) -> None:
    body: dict[str, Any] = {"value": [rate(shop, "1.2")], "seen_version": 0, "reason": "mine"}
    for client in (shop.seller, shop.buyer, shop.storefront):
        assert (await client.put(KEY, body)).code == "auth.forbidden"
        assert (await client.post("/v1/settlement/revaluations")).code == "auth.forbidden"
    wrong = await shop.operator.put(KEY, {**body, "value": [{**body["value"][0], "rate": "0"}]})
    assert wrong.code == "config.value_invalid"


async def test_a_currency_to_convert_needs_a_price(shop: Shop) -> None:
    terms = {
        "markets": ["GB"],
        "prices": [{"currency": "GBP", "price": "10.00"}],
        "convert_from": "USD",
    }
    refused = await shop.seller.put(f"/v1/offers/{shop.offer_id}", terms)
    assert (refused.code, refused.json["field"]) == ("catalog.market_without_price", "convert_from")
