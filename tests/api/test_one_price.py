"""One price at one instant: an offer in the list, the cart, the quote and the checkout, to the millisecond."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import Shop
from tests.api.test_campaigns import TEN, publish

from tradepost.testing.world import START_MS

HOUR_MS = 3_600_000
FLASH = (START_MS + HOUR_MS, START_MS + 4 * HOUR_MS)
TENTH = (START_MS + 2 * HOUR_MS, START_MS + 3 * HOUR_MS)
PLAIN, LOWERED, BOTH = 895, 600, 540


async def set_up(shop: Shop) -> None:
    """A flash price from one to four o'clock, ten percent off from two to three."""
    prices = [
        {"currency": "GBP", "price": "8.95"},
        {"currency": "GBP", "price": "6.00", "layer": "flash", "from_ms": FLASH[0], "until_ms": FLASH[1]},
    ]
    changed = await shop.seller.put(f"/v1/offers/{shop.offer_id}", {"markets": ["GB"], "prices": prices})
    assert changed.status == 200, changed.body
    await publish(shop.operator, rules=[TEN], from_ms=TENTH[0], until_ms=TENTH[1])


def at(shop: Shop, moment_ms: int) -> None:
    shop.world.advance(moment_ms - shop.world.now_ms())


async def listed(shop: Shop) -> Any:
    found = await shop.buyer.get("/v1/offers?market=GB")
    [one] = [offer for offer in found.json["items"] if offer["offer_id"] == shop.offer_id]
    alone = await shop.buyer.get(f"/v1/offers/{shop.offer_id}?market=GB")
    assert alone.json == one
    return one["now"]


async def in_cart(shop: Shop, quantity: int = 1, **query: str) -> Any:
    cart_id = (await shop.buyer.post("/v1/carts", {"market": "GB"})).json["cart_id"]
    lines = [{"offer_id": shop.offer_id, "quantity": quantity}]
    await shop.buyer.put(f"/v1/carts/{cart_id}/lines", {"lines": lines})
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    found = await shop.buyer.get(f"/v1/carts/{cart_id}?{asked}")
    assert found.status == 200, found.body
    return found.json["priced"]


@pytest.mark.parametrize(
    ("moment_ms", "amount_minor", "changes_at_ms"),
    [
        (FLASH[0] - 1, PLAIN, FLASH[0]),
        (FLASH[0], LOWERED, TENTH[0]),
        (TENTH[0] - 1, LOWERED, TENTH[0]),
        (TENTH[0], BOTH, TENTH[1]),
        (TENTH[1] - 1, BOTH, TENTH[1]),
        (TENTH[1], LOWERED, FLASH[1]),
        (FLASH[1] - 1, LOWERED, FLASH[1]),
        (FLASH[1], PLAIN, 0),
    ],
)
async def test_list_cart_quote_and_checkout_say_the_same_at_an_instant(
    shop: Shop, moment_ms: int, amount_minor: int, changes_at_ms: int
) -> None:
    await set_up(shop)
    at(shop, moment_ms)
    now = await listed(shop)
    assert (now["list"], now["amount"]["amount_minor"]) == ("8.95", amount_minor)
    assert now["changes_at_ms"] == changes_at_ms
    cart = await in_cart(shop)
    quote = (
        await shop.buyer.post(
            "/v1/quotes", {"market": "GB", "lines": [{"offer_id": shop.offer_id, "quantity": 1}]}
        )
    ).json
    [[cart_line], [quote_line]] = [one["orders"][0]["lines"] for one in (cart, quote)]
    assert cart_line == quote_line
    assert (cart["total"], cart["tax"], cart["shipping"]) == (
        quote["total"],
        quote["tax"],
        quote["shipping"],
    )
    assert cart_line["total"] == now["amount"]
    assert (cart_line["unit_price"], cart_line["adjustments"]) == (now["price"], now["adjustments"])
    placed = await shop.buy()
    assert placed["total"] == quote["total"] == now["amount"]
    assert shop.world.now_ms() == moment_ms


async def test_a_cart_takes_codes_and_is_shown_when_they_give_nothing(shop: Shop) -> None:
    await publish(shop.operator, needs_code=True, codes=["TEN10"])
    assert (await in_cart(shop, 2))["total"]["amount_minor"] == 1_790
    given = await in_cart(shop, 2, codes="ten10")
    assert (given["total"]["amount_minor"], given["refused_codes"]) == (1_611, "")
    [change] = given["orders"][0]["lines"][0]["adjustments"]
    assert (change["reason"], change["amount"]["amount_minor"]) == ("Ten off", -179)
    refused = await in_cart(shop, 2, codes="ten10,other")
    assert (refused["total"]["amount_minor"], refused["refused_codes"]) == (1_790, "promotion.code_unknown")
    unheard = await in_cart(shop, 2, segments="vip")
    assert unheard["total"]["amount_minor"] == 1_790


async def test_a_cart_leaves_out_what_cannot_be_bought(shop: Shop) -> None:
    cart_id = (await shop.buyer.post("/v1/carts", {"market": "GB"})).json["cart_id"]
    lines = [{"offer_id": offer, "quantity": 1} for offer in (shop.offer_id, shop.other_offer_id)]
    await shop.buyer.put(f"/v1/carts/{cart_id}/lines", {"lines": lines})
    await shop.seller.post(f"/v1/offers/{shop.offer_id}/state", {"input": "pause"})
    found = (await shop.buyer.get(f"/v1/carts/{cart_id}")).json["priced"]
    assert (found["total"]["amount_minor"], found["left_out"]) == (895, [shop.offer_id])
    await shop.buyer.post(f"/v1/carts/{cart_id}/select", {"selected": False})
    empty = (await shop.buyer.get(f"/v1/carts/{cart_id}")).json["priced"]
    assert (empty["total"]["amount_minor"], empty["orders"], empty["refusal"]) == (
        0,
        [],
        "checkout.lines_empty",
    )


async def test_a_cart_has_the_shipping_discount_of_its_quote(shop: Shop) -> None:
    await publish(
        shop.operator,
        rules=[
            {"code": "ship", "class": "shipping", "effect": {"kind": "percentage", "percent_ppm": 500_000}}
        ],
    )
    lines = [{"offer_id": shop.offer_id, "quantity": 2}]
    quote = (await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": lines})).json
    cart = await in_cart(shop, 2)
    [mine], [theirs] = cart["orders"], quote["orders"]
    for name in ("seller_id", "total", "lines", "shipping_adjustments"):
        assert mine[name] == theirs[name]
    assert cart["shipping"] == quote["shipping"]


async def test_a_list_shows_nothing_that_depends_on_who_buys(shop: Shop) -> None:
    first = {**TEN, "conditions": [{"first_order": True}]}
    await publish(shop.operator, rules=[first], title="First")
    mine = (await shop.buyer.get(f"/v1/offers/{shop.offer_id}?market=GB")).json["now"]
    anybody = (await shop.storefront.get(f"/v1/offers/{shop.offer_id}?market=GB")).json["now"]
    assert [one["amount"]["amount_minor"] for one in (mine, anybody)] == [805, 895]
    await shop.buy()
    again = (await shop.buyer.get(f"/v1/offers/{shop.offer_id}?market=GB")).json["now"]
    assert again["amount"]["amount_minor"] == 895
    later = {**TEN, "code": "again", "conditions": [{"first_order": False}]}
    await publish(shop.operator, rules=[later], title="Again")
    mine = (await shop.buyer.get(f"/v1/offers/{shop.offer_id}?market=GB")).json["now"]
    anybody = (await shop.storefront.get(f"/v1/offers/{shop.offer_id}?market=GB")).json["now"]
    assert [one["amount"]["amount_minor"] for one in (mine, anybody)] == [805, 895]
    nowhere = (await shop.buyer.get(f"/v1/offers/{shop.offer_id}?market=FR")).json
    assert nowhere["now"] is None


async def test_a_switch_that_stops_coupons_stops_them_in_lists_and_carts(shop: Shop) -> None:
    await publish(shop.operator)
    assert (await listed(shop))["amount"]["amount_minor"] == 805
    shop.platform.switches.active = frozenset({"coupons_off"})
    assert (await listed(shop))["amount"]["amount_minor"] == 895
    assert (await in_cart(shop))["total"]["amount_minor"] == 895
