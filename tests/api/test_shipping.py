"""Shipping terms over HTTP: written, quoted with a split preview, placed; whose they are; every refusal a row."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import ADDRESS, Client, Reply, Shop

from tradepost.kernel.errors import problem_table
from tradepost.surfaces.api.routes.shipping_views import TERMS
from tradepost.trade import ledger

PARCEL: Any = TERMS["methods"][0]
HELP = {
    "code": "help",
    "reason": "The shop helps",
    "funder": "platform",
    "share_bps": 5_000,
    "cap_minor": 100,
}
EXPRESS = {
    "code": "express",
    "title": "Express",
    "rates": [
        {
            "zone": "home",
            "basis": "units",
            "bands": [{"amount_minor": 999}],
            "days_min": 0,
            "days_max": 1,
        }
    ],
}
LEEDS = {"country": "GB", "postcode": "LS1 1AA"}


def terms(**more: Any) -> dict[str, Any]:
    return {**TERMS, **more}


async def put(client: Client, path: str = "/v1/shipping-terms", **more: Any) -> Any:
    reply = await client.put(path, terms(**more))
    assert reply.status == 200, reply.body
    return reply.json


async def quote(shop: Shop, **more: Any) -> Reply:
    lines = [{"offer_id": shop.offer_id, "quantity": 2}, {"offer_id": shop.other_offer_id, "quantity": 1}]
    body = {"market": "GB", "lines": lines, "destination": LEEDS, **more}
    return await shop.buyer.post("/v1/quotes", body)


async def test_from_terms_to_an_order_that_shows_its_promise(shop: Shop) -> None:
    sku = (await shop.seller.get(f"/v1/skus/{shop.sku_id}")).json
    weighed = {"title": "MUG", "weight_g": 420, "version": sku["version"]}
    reply = await shop.seller.request("PATCH", f"/v1/skus/{shop.sku_id}", weighed)
    assert (reply.status, reply.json["weight_g"]) == (200, 420)
    await put(
        shop.operator,
        f"/v1/shipping-terms?seller_id={shop.seller_id}",
        methods=[PARCEL, EXPRESS],
        subsidies=[HELP],
    )
    found = (await quote(shop)).json
    mine, theirs = found["orders"]
    assert theirs["sending"] is None
    assert mine["sending"]["method"] == "parcel"
    parcel, express = mine["sending"]["options"]
    gbp = {"currency": "GBP"}
    assert parcel["amount"] == {"amount_minor": 199, **gbp}
    assert parcel["listed"] == {"amount_minor": 299, **gbp}
    assert parcel["funded"] == [
        {
            "code": "help",
            "reason": "The shop helps",
            "funder": "platform",
            "amount": {"amount_minor": -100, **gbp},
        }
    ]
    assert parcel["parcels"] == [
        {
            "location_id": "",
            "weight_g": 840,
            "amount": {"amount_minor": 299, **gbp},
            "surcharge": {"amount_minor": 0, **gbp},
            "units": [{"line_no": 1, "quantity": 2}],
        }
    ]
    assert express["by_date"] < parcel["by_date"]
    assert (mine["total"]["amount_minor"], found["total"]["amount_minor"]) == (1_989, 2_884)
    assert (found["shipping"]["amount_minor"], mine["shipping_adjustments"][0]["funder"]) == (199, "platform")

    chosen = (await quote(shop, shipping={shop.seller_id: "express"})).json
    assert chosen["orders"][0]["sending"]["method"] == "express"
    assert chosen["shipping"]["amount_minor"] == 899
    elsewhere = {"quote": chosen["quote"], "address": {**ADDRESS, "postcode": "IV2 3AA"}}
    refused = await shop.buyer.post("/v1/checkouts", elsewhere)
    assert (refused.status, refused.code) == (409, "shipping.destination_changed")
    placed = await shop.buyer.post("/v1/checkouts", {"quote": chosen["quote"], "address": ADDRESS})
    assert placed.status == 201, placed.body
    order = (await shop.buyer.get(f"/v1/orders/{placed.json['orders'][0]['order_id']}")).json
    assert order["sending"] == {
        "method": "express",
        "title": "Express",
        "from_date": express["from_date"],
        "by_date": express["by_date"],
        "parcels": 1,
    }
    assert order["shipping"]["amount_minor"] == 899


async def test_what_the_platform_pays_is_booked_to_it(shop: Shop) -> None:
    await put(shop.operator, f"/v1/shipping-terms?seller_id={shop.seller_id}", subsidies=[HELP])
    total = {"amount_minor": 895 + 199, "currency": "GBP"}
    body = {
        "market": "GB",
        "lines": [{"offer_id": shop.offer_id, "quantity": 1}],
        "total": total,
        "address": ADDRESS,
        "payment": {"method": "sandbox_succeeds"},
    }
    placed = await shop.buyer.post("/v1/checkouts", body)
    assert (placed.status, placed.json["payment"]["state"]) == (201, "CAPTURED"), placed.body
    await shop.platform.runtime.drain()
    balances = await shop.platform.db.read(0, ledger.account_balances)
    assert balances[("platform:promotions", "GBP")].posted_minor == 100


async def test_the_next_quote_follows_a_change_and_the_last_one_stands(shop: Shop) -> None:
    path = "/v1/shipping-terms"
    first = await put(shop.seller)
    old = (await quote(shop)).json
    methods = [EXPRESS]
    assert (await put(shop.seller, methods=methods, version=first["version"]))["version"] == 2
    assert (await quote(shop)).json["shipping"]["amount_minor"] == 999
    placed = await shop.buyer.post("/v1/checkouts", {"quote": old["quote"], "address": ADDRESS})
    assert placed.json["shipping"]["amount_minor"] == old["shipping"]["amount_minor"] == 299
    read = (await shop.seller.get(path)).json["items"]
    assert read == [(await shop.seller.get(f"{path}/GBP")).json]
    assert (await shop.seller.request("DELETE", f"{path}/GBP")).status == 200
    assert (await quote(shop)).json["shipping"]["amount_minor"] == 0
    assert (await shop.seller.request("DELETE", f"{path}/GBP")).code == "shipping.terms_unknown"


async def test_terms_are_their_sellers_own(shop: Shop) -> None:
    await put(shop.operator, f"/v1/shipping-terms?seller_id={shop.seller_id}", subsidies=[HELP])
    kept = await put(shop.seller)
    assert kept["subsidies"] == [
        {**HELP, "goods_from_minor": 0, "methods": [], "starts_at_ms": 0, "ends_at_ms": 0}
    ]
    named = f"/v1/shipping-terms?seller_id={shop.seller_id}"
    assert (await shop.other_seller.get(named)).code == "auth.forbidden"
    assert (await shop.other_seller.put(named, terms())).code == "auth.forbidden"
    assert (await shop.other_seller.get("/v1/shipping-terms")).json == {"items": []}
    assert (await shop.other_seller.get("/v1/shipping-terms/GBP")).code == "shipping.terms_unknown"
    assert (await shop.operator.get("/v1/shipping-terms")).code == "auth.forbidden"
    for stranger in (shop.buyer, shop.storefront):
        assert (await stranger.get(named)).code == "auth.forbidden"
        assert (await stranger.put(named, terms())).code == "auth.forbidden"


ROWS: list[tuple[str, str, str, dict[str, Any], int, str, str]] = [
    ("seller", "PUT", "/v1/shipping-terms", terms(zones=[]), 400, "shipping.terms_invalid", "zones"),
    (
        "seller",
        "PUT",
        "/v1/shipping-terms",
        terms(time_zone="Sea"),
        400,
        "shipping.terms_invalid",
        "time_zone",
    ),
    (
        "seller",
        "PUT",
        "/v1/shipping-terms",
        terms(subsidies=[HELP]),
        403,
        "shipping.funder_forbidden",
        "subsidies[0].funder",
    ),
    ("seller", "PUT", "/v1/shipping-terms", terms(version=4), 409, "version.conflict", "version"),
    ("seller", "PUT", "/v1/shipping-terms", terms(currency="QQQ"), 400, "money.currency_unknown", "currency"),
    ("seller", "PUT", "/v1/shipping-terms", terms(currency="POUND"), 400, "input.invalid", "currency"),
    (
        "operator",
        "PUT",
        "/v1/shipping-terms?seller_id=sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
        terms(),
        404,
        "catalog.seller_unknown",
        "seller_id",
    ),
    ("seller", "GET", "/v1/shipping-terms/EUR", {}, 404, "shipping.terms_unknown", "currency"),
    ("seller", "DELETE", "/v1/shipping-terms/EUR", {}, 404, "shipping.terms_unknown", "currency"),
    (
        "buyer",
        "POST",
        "/v1/quotes",
        {"destination": None},
        422,
        "shipping.destination_incomplete",
        "destination.postcode",
    ),
    (
        "buyer",
        "POST",
        "/v1/quotes",
        {"destination": {"country": "FR", "postcode": "75001"}},
        422,
        "shipping.not_here",
        "destination.country",
    ),
    ("buyer", "POST", "/v1/quotes", {"quantity": 201}, 422, "shipping.too_large", "lines"),
    (
        "buyer",
        "POST",
        "/v1/quotes",
        {"shipping": {"sel_x": "parcel"}},
        422,
        "shipping.method_unavailable",
        "shipping.sel_x",
    ),
    (
        "buyer",
        "POST",
        "/v1/checkouts",
        {"postcode": "IV1 1AA"},
        409,
        "shipping.destination_changed",
        "address.postcode",
    ),
]


@pytest.mark.parametrize(("who", "method", "path", "body", "status", "code", "field"), ROWS)
async def test_refusals(
    shop: Shop, who: str, method: str, path: str, body: dict[str, Any], status: int, code: str, field: str
) -> None:
    client = {"seller": shop.seller, "operator": shop.operator, "buyer": shop.buyer}[who]
    if who == "buyer":
        await put(shop.seller, methods=[{**PARCEL, "units_max": 1}])
        asked: dict[str, Any] = {
            "market": "GB",
            "lines": [{"offer_id": shop.offer_id, "quantity": body.get("quantity", 1)}],
        }
        asked |= {"destination": LEEDS} | {
            name: body[name] for name in ("destination", "shipping") if name in body
        }
        asked = {name: value for name, value in asked.items() if value is not None}
        if path == "/v1/checkouts":
            quoted = await client.post("/v1/quotes", asked)
            asked = {"quote": quoted.json["quote"], "address": {**ADDRESS, "postcode": body["postcode"]}}
        body = asked
    reply = await client.request(method, path, body or None)
    assert (reply.status, reply.code, reply.json.get("field", "")) == (status, code, field), reply.body


def test_every_code_of_shipping_has_its_row() -> None:
    elsewhere = {"shipping.too_many_currencies"}
    codes = {code for code in problem_table() if code.startswith("shipping.")}
    assert codes - elsewhere <= {row[5] for row in ROWS}
