"""Price layers over HTTP: the same price in the offer, the cart and the quote, and what a layer may not be bound to."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import Shop


def terms(*prices: dict[str, Any]) -> dict[str, Any]:
    return {"markets": ["GB"], "prices": [{"currency": "GBP", **price} for price in prices]}


async def test_one_question_has_one_answer_in_offer_cart_and_quote(shop: Shop) -> None:
    path = f"/v1/offers/{shop.offer_id}"
    changed = await shop.seller.put(
        path,
        terms(
            {"price": "8.95"},
            {"price": "7.00", "layer": "market", "market": "GB"},
            {"price": "5.00", "layer": "room", "content_id": "room_1"},
            {"price": "1.00", "layer": "flash", "until_ms": 1},
        ),
    )
    assert changed.status == 200, changed.body
    assert [(one["layer"], one["price"]) for one in changed.json["prices"]] == [
        ("room", "5.00"),
        ("flash", "1.00"),
        ("market", "7.00"),
        ("list", "8.95"),
    ]
    for content_id, expected in (("", 700), ("room_1", 500), ("room_2", 700)):
        line = {"offer_id": shop.offer_id, "quantity": 1, "content_id": content_id}
        quote = await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": [line]})
        assert quote.status == 200, quote.body
        assert quote.json["total"]["amount_minor"] == expected
        cart = (await shop.buyer.post("/v1/carts", {"market": "GB"})).json["cart_id"]
        filled = await shop.buyer.put(f"/v1/carts/{cart}/lines", {"lines": [line]})
        assert filled.status == 200, filled.body
        assert filled.json["warnings"] == []
        (seen,) = filled.json["lines"]
        assert seen["seen_price"] == f"{expected // 100}.00"


async def test_a_price_that_does_not_fit_its_layer_is_refused(shop: Shop) -> None:
    path = f"/v1/offers/{shop.offer_id}"
    wrong = terms({"price": "8.95"}, {"price": "7.00", "layer": "member"})
    answer = await shop.seller.put(path, wrong)
    assert (answer.status, answer.code) == (400, "catalog.price_layer_invalid")
    bound = terms({"price": "8.95", "segment": "gold"})
    assert (await shop.seller.put(path, bound)).code == "catalog.price_layer_invalid"
    unlisted = terms({"price": "7.00", "layer": "market", "market": "GB"})
    assert (await shop.seller.put(path, unlisted)).code == "catalog.market_without_price"
