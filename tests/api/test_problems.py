"""One row a problem code of the surface, and what every problem document has in common."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec
import pytest
from tests.api.conftest import ADDRESS, Client, Reply, Shop

from tradepost.kernel.errors import Kind, Refusal, problem_table
from tradepost.surfaces.api import Platform, create_asgi
from tradepost.surfaces.api.problems import STATUSES, render_problem
from tradepost.surfaces.api.routes import OPERATIONS
from tradepost.trade import checkout


async def test_every_document_has_the_same_members(shop: Shop) -> None:
    reply = await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": [{"offer_id": shop.offer_id}]})
    assert reply.status == 400
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json
    assert problem.pop("trace_id")
    assert problem == {
        "type": "/problems/input.invalid",
        "title": "The request does not fit the schema",
        "status": 400,
        "code": "input.invalid",
        "detail": "Object missing required field `quantity`",
        "field": "lines[0].quantity",
    }


QUOTE = {"market": "GB", "lines": [{"offer_id": "off_x", "quantity": 1}]}
ROWS: list[tuple[str, str, str, dict[str, Any], int, str, str]] = [
    ("buyer", "GET", "/v1/nothing", {}, 404, "route.unknown", ""),
    ("buyer", "GET", "/v1/quotes/x", {}, 404, "route.unknown", ""),
    ("buyer", "DELETE", "/v1/quotes", {}, 405, "route.method_not_allowed", ""),
    ("buyer", "POST", "/v1/quotes", {"body": b"{nonsense"}, 400, "input.malformed_json", ""),
    ("buyer", "POST", "/v1/quotes", {"body": b""}, 400, "input.malformed_json", ""),
    ("buyer", "POST", "/v1/quotes", {"body": b'{"market":"\xff"}'}, 400, "input.malformed_json", ""),
    ("buyer", "POST", "/v1/quotes", {"body": b"[" * 100_000}, 400, "input.invalid", ""),
    ("buyer", "POST", "/v1/quotes", {"body": {"market": 7, "lines": []}}, 400, "input.invalid", "market"),
    (
        "buyer",
        "POST",
        "/v1/quotes",
        {"body": {"market": "GB", "lines": [{"offer_id": "off_x", "quantity": "1"}]}},
        400,
        "input.invalid",
        "lines[0].quantity",
    ),
    ("buyer", "POST", "/v1/quotes", {"body": b" " * (3 << 20)}, 413, "input.body_too_large", ""),
    ("buyer", "POST", "/v1/quotes", {"body": b" " * (3 << 20), "chunks": 9}, 413, "input.body_too_large", ""),
    (
        "buyer",
        "POST",
        "/v1/quotes",
        {"body": QUOTE, "headers": {"content-type": "text/xml"}},
        415,
        "input.media_type",
        "Content-Type",
    ),
    ("", "GET", "/v1/orders", {}, 401, "auth.missing", ""),
    ("", "POST", "/v1/quotes", {"body": QUOTE}, 401, "auth.missing", ""),
    (
        "",
        "GET",
        "/v1/orders",
        {"headers": {"authorization": "Bearer tp_buyer_0000"}},
        401,
        "auth.invalid",
        "",
    ),
    ("", "GET", "/v1/orders", {"headers": {"authorization": "Basic eDp5"}}, 401, "auth.missing", ""),
    ("seller", "POST", "/v1/quotes", {"body": QUOTE}, 403, "auth.forbidden", ""),
    (
        "buyer",
        "POST",
        "/v1/checkouts",
        {"body": QUOTE, "key": ""},
        400,
        "idempotency.key_required",
        "Idempotency-Key",
    ),
    (
        "buyer",
        "POST",
        "/v1/checkouts",
        {"body": QUOTE, "key": "a b"},
        400,
        "idempotency.key_required",
        "Idempotency-Key",
    ),
    (
        "buyer",
        "POST",
        "/v1/checkouts",
        {"body": QUOTE, "key": "k" * 256},
        400,
        "idempotency.key_required",
        "Idempotency-Key",
    ),
    ("buyer", "GET", "/v1/orders?cursor=zzz", {}, 400, "input.cursor_invalid", "cursor"),
    ("buyer", "GET", "/v1/orders?cursor=chk_1~x", {}, 400, "input.cursor_invalid", "cursor"),
    ("operator", "GET", "/v1/events?cursor=1.2", {}, 400, "input.cursor_invalid", "cursor"),
    ("buyer", "GET", "/v1/orders?limit=many", {}, 400, "input.invalid", "limit"),
    ("buyer", "GET", "/v1/orders?" + "&".join(["a=b"] * 60), {}, 400, "input.invalid", "query"),
    ("buyer", "GET", "/v1/orders/ord_nothing", {}, 400, "id.invalid", "order_id"),
    ("buyer", "GET", "/problems/no.such.code", {}, 404, "route.unknown", ""),
    ("buyer", "GET", "/docs/assets/..%2fopenapi.py", {}, 404, "route.unknown", ""),
    ("", "POST", "/v1/webhooks/nobody", {"body": {}}, 404, "payments.provider_unknown", "provider"),
    ("", "POST", "/v1/webhooks/sandbox", {"body": {}}, 401, "payments.webhook_unsigned", ""),
    (
        "operator",
        "POST",
        "/v1/dead-letters/replay",
        {"body": {"consumer": "x", "aggregate_id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x", "version": 1}},
        404,
        "events.dead_letter_unknown",
        "",
    ),
    (
        "seller",
        "POST",
        "/v1/catalog/import",
        {"body": b"a,b\n", "headers": {"content-type": "text/csv"}},
        400,
        "catalog.column_unknown",
        "",
    ),
    (
        "buyer",
        "POST",
        "/v1/quotes",
        {"body": {"market": "GB", "lines": []}},
        400,
        "checkout.lines_empty",
        "lines",
    ),
    ("buyer", "POST", "/v1/quotes", {"body": {**QUOTE, "market": "ZZ"}}, 400, "market.unknown", "market"),
]


@pytest.mark.parametrize(("who", "method", "path", "more", "status", "code", "field"), ROWS)
async def test_row(
    shop: Shop, who: str, method: str, path: str, more: dict[str, Any], status: int, code: str, field: str
) -> None:
    client: Client = getattr(shop, who) if who else shop.buyer.using("")
    reply = await client.request(method, path, **more)
    assert (reply.status, reply.code) == (status, code), reply.body
    if field:
        assert reply.json["field"] == field
    assert reply.json["type"] == f"/problems/{code}"
    assert reply.headers.get("www-authenticate") == ('Bearer realm="tradepost"' if status == 401 else None)
    assert ("allow" in reply.headers) == (status == 405)


async def test_the_allow_header_names_the_methods(shop: Shop) -> None:
    assert (await shop.buyer.request("PATCH", "/v1/offers")).headers["allow"] == "GET, POST"
    assert (await shop.buyer.request("PATCH", f"/v1/offers/{shop.offer_id}")).headers["allow"] == "GET, PUT"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_its_status(kind: Kind) -> None:
    code = next((code for code, row in problem_table().items() if row.kind is kind), None)
    if code is None:
        assert kind is Kind.LIMITED
        return
    status, body, headers = render_problem(Refusal(code, "x", extra={"available": 3}), "t")
    document = msgspec.json.decode(body)
    assert document["status"] == status
    assert document["available"] == 3
    if code not in ("input.media_type", "route.method_not_allowed"):
        assert status == STATUSES[kind]
    assert (b"retry-after" in dict(headers)) == (status in (429, 503))


async def test_extra_members_cannot_replace_the_documents_own(shop: Shop) -> None:
    _, body, _ = render_problem(Refusal("version.conflict", "x", extra={"status": 200, "version": 2}), "t")
    assert msgspec.json.decode(body)["status"] == 409


async def test_what_is_sold_out_tells_how_much_is_left(shop: Shop) -> None:
    lines = [{"offer_id": shop.offer_id, "quantity": 21}]
    total = (await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": lines})).json["total"]
    body = {"market": "GB", "lines": lines, "total": total, "address": ADDRESS}
    for _ in range(2):
        reply = await shop.buyer.post("/v1/checkouts", body)
        assert (reply.status, reply.code) == (409, "inventory.sold_out")
        assert reply.json["available"] == 20
        assert reply.json["sku_id"] == shop.sku_id


async def refuse_checkout(shop: Shop, **changes: Any) -> Reply:
    lines = [{"offer_id": shop.offer_id, "quantity": 1}]
    total = {"amount_minor": await shop.total(1), "currency": "GBP"}
    body = {"market": "GB", "lines": lines, "total": total, "address": ADDRESS} | changes
    return await shop.buyer.post(
        "/v1/checkouts", {name: value for name, value in body.items() if value is not None}
    )


CHECKOUTS: list[tuple[dict[str, Any], int, str, str]] = [
    ({"total": {"amount_minor": 1, "currency": "GBP"}}, 409, "checkout.total_changed", "total_minor"),
    ({"total": {"amount_minor": 895, "currency": "USD"}}, 422, "checkout.currency_mixed", "currency"),
    ({"total": None}, 400, "input.invalid", "total"),
    ({"lines": None}, 400, "input.invalid", "quote"),
    ({"quote": "x.y", "lines": None}, 422, "checkout.quote_forged", "quote"),
    ({"address": {**ADDRESS, "postcode": ""}}, 400, "checkout.address_incomplete", "address.postcode"),
    ({"address": {**ADDRESS, "city": "x" * 201}}, 400, "input.invalid", "address.city"),
    ({"buyer_id": "byr_01m4xk9v0c7s8p2q3r4t5v6w7x"}, 403, "auth.forbidden", "buyer_id"),
]


@pytest.mark.parametrize(("changes", "status", "code", "field"), CHECKOUTS)
async def test_a_checkout_is_refused(
    shop: Shop, changes: dict[str, Any], status: int, code: str, field: str
) -> None:
    reply = await refuse_checkout(shop, **changes)
    assert (reply.status, reply.code, reply.json.get("field", "")) == (status, code, field), reply.body


@pytest.mark.parametrize("quantity", [0, -1, 10**6])
async def test_a_quantity_that_cannot_be_bought_names_its_line(shop: Shop, quantity: int) -> None:
    lines = [{"offer_id": shop.offer_id, "quantity": 1}, {"offer_id": shop.offer_id, "quantity": quantity}]
    reply = await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": lines})
    assert reply.status == 400, reply.body
    assert reply.json["field"] == "lines[1].quantity"


async def test_too_many_lines_are_refused(shop: Shop) -> None:
    lines = [{"offer_id": shop.offer_id, "quantity": 1}] * 2_001
    reply = await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": lines})
    assert (reply.status, reply.code) == (413, "checkout.too_many_lines")
    lines = lines[:1_500]
    assert (await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": lines})).status == 200


async def test_a_defect_answers_500_and_tells_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret is swordfish")

    monkeypatch.setattr(checkout, "make_quote", broken)
    reply = await shop.buyer.post("/v1/quotes", QUOTE)
    assert (reply.status, reply.code) == (500, "internal")
    assert b"swordfish" not in reply.body
    assert reply.json["trace_id"] in caplog.text


async def test_waiting_for_the_first_of_a_key_ends(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_asgi(
        msgspec.structs.replace(
            shop.platform, limits=msgspec.structs.replace(shop.platform.limits, key_wait_ms=20)
        )
    )
    gate, entered = asyncio.Event(), asyncio.Event()
    original = checkout.place_order

    async def slow(*facts: Any) -> Any:
        entered.set()
        await gate.wait()
        return await original(*facts)

    monkeypatch.setattr(checkout, "place_order", slow)
    client = Client(app, shop.buyer.token)
    total = {"amount_minor": await shop.total(1), "currency": "GBP"}
    body = {
        "market": "GB",
        "lines": [{"offer_id": shop.offer_id, "quantity": 1}],
        "total": total,
        "address": ADDRESS,
    }
    first = asyncio.ensure_future(client.post("/v1/checkouts", body, key="one"))
    await entered.wait()
    second = await client.post("/v1/checkouts", body, key="one")
    assert (second.status, second.code) == (409, "idempotency.in_progress")
    gate.set()
    assert (await first).status == 201
    assert (await client.post("/v1/checkouts", body, key="one")).json["checkout_id"] == (await first).json[
        "checkout_id"
    ]


async def test_a_client_that_goes_away_costs_nothing(shop: Shop) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/quotes",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {shop.buyer.token}".encode())],
    }
    await shop.buyer.app(scope, receive, send)
    assert sent == []


async def test_every_code_has_a_page(shop: Shop) -> None:
    listed = (await shop.buyer.get("/problems")).body.decode()
    for code, row in problem_table().items():
        assert f'"/problems/{code}"' in listed
        page = await shop.buyer.get(f"/problems/{code}")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert row.title.split("`")[0].split("'")[0].split("<")[0] in page.body.decode()


async def test_pages_load_nothing_from_elsewhere(shop: Shop) -> None:
    page = await shop.buyer.get("/docs")
    assert b"http" not in page.body
    assert "unsafe" not in (await shop.buyer.get("/problems")).headers["content-security-policy"]
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert f"/docs/assets/{name}".encode() in page.body
        assert (await shop.buyer.get(f"/docs/assets/{name}")).status == 200


def test_vendored_assets_are_the_ones_named() -> None:
    folder = resources.files("tradepost.surfaces.api").joinpath("assets")
    manifest = json.loads(folder.joinpath("MANIFEST.json").read_text())
    assert manifest["licence"] == "Apache-2.0"
    present = {entry.name for entry in folder.iterdir()} - {"MANIFEST.json"}
    assert present == set(manifest["sha256"])
    for name, wanted in manifest["sha256"].items():
        assert hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() == wanted


async def test_health_and_metrics(shop: Shop, platform: Platform) -> None:
    assert (await shop.buyer.using("").get("/health/live")).json == {"status": "up", "checks": {}}
    assert (await shop.buyer.using("").get("/health/ready")).json["status"] == "ready"

    async def failing() -> Mapping[str, bool]:
        return {"database": False}

    async def seven() -> Mapping[str, int]:
        return {"outbox_lag": 7}

    unwell = msgspec.structs.replace(platform, checks=failing, gauges=seven)
    client = Client(create_asgi(unwell))
    reply = await client.get("/health/ready")
    assert (reply.status, reply.json["checks"]) == (503, {"database": False})
    text = (await client.get("/metrics")).body.decode()
    assert "tradepost_outbox_lag 7.0" in text
    assert 'tradepost_requests_total{route="/health/ready",status="503"} 1.0' in text


def test_examples_fit_and_codes_are_declared() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names))
    for operation in OPERATIONS:
        assert set(operation.codes) <= set(problem_table()), operation.name
        if operation.reads_body:
            assert operation.example is not None, operation.name
        if operation.body is not None:
            msgspec.convert(operation.example, operation.body)
        if operation.returns is not None:
            msgspec.json.decode(msgspec.json.encode(operation.answer), type=operation.returns)
