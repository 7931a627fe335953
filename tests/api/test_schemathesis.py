"""Requests drawn from the OpenAPI document: no server error, no undocumented status, media type or shape."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.api.conftest import ADDRESS, SECRET, Client, make_key, make_offer, make_platform

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.surfaces.api import create_asgi
from tradepost.surfaces.api.openapi import document
from tradepost.testing.world import TestWorld

EXAMPLES = 30
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
schema = schemathesis.openapi.from_dict(document())
OPERATIONS = {f"{found.ok().method} {found.ok().path}": found.ok() for found in schema.get_all_operations()}


class Application:
    """The whole platform behind ASGI, made and closed on the event loop that serves the requests."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tokens: dict[str, str] = {}
        self.known: dict[str, str] = {}
        self.app: Any = None
        self.db: SqliteStorage | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError("no lifespan: it would end with each test")
        if scope["path"] == "/prepare":
            self.db = SqliteStorage(self.path)
            await self.prepare(self.db)
        elif scope["path"] == "/close":
            assert self.db is not None
            await self.db.close()
        else:
            await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def prepare(self, db: SqliteStorage) -> None:
        """A shop with an order, its ids and a key of each role."""
        platform = make_platform(db, TestWorld(), SECRET)
        self.app = create_asgi(platform)
        for role in ("operator", "seller", "buyer", "storefront", "creator"):
            self.known[f"{role}_id"], self.tokens[role] = await make_key(platform, role)
        await platform.runtime.drain()
        client = Client(self.app)
        seller, buyer = client.using(self.tokens["seller"]), client.using(self.tokens["buyer"])
        self.known["sku_id"], offer_id = await make_offer(seller, "MUG", 1_000_000)
        lines = [{"offer_id": offer_id, "quantity": 3}]
        quote = (await buyer.post("/v1/quotes", {"market": "GB", "lines": lines})).json
        placed = await buyer.post(
            "/v1/checkouts",
            {"quote": quote["quote"], "address": ADDRESS, "payment": {"method": "sandbox_succeeds"}},
        )
        await platform.runtime.drain()
        order_id = placed.json["orders"][0]["order_id"]
        packed = await seller.post(
            f"/v1/orders/{order_id}/packages", {"lines": [{"line_no": 1, "quantity": 1}]}
        )
        self.known |= {
            "offer_id": offer_id,
            "product_id": (await buyer.get(f"/v1/offers/{offer_id}")).json["product_id"],
            "order_id": order_id,
            "checkout_id": placed.json["checkout_id"],
            "payment_id": placed.json["payment_id"],
            "package_id": packed.json["package_id"],
            "cart_id": (await buyer.post("/v1/carts", {"market": "GB"})).json["cart_id"],
            "key_id": (await buyer.post("/v1/keys", {})).json["key_id"],
            "provider": "sandbox",
            "code": "input.invalid",
        }


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Application]:
    path = tmp_path_factory.mktemp("schemathesis") / "tradepost.db"
    with sqlite3.connect(empty_database) as source, sqlite3.connect(path) as target:
        source.backup(target)
    made = Application(path)
    with asgi.get_client(made) as client:
        client.get("http://testserver/prepare")
    yield made
    with asgi.get_client(made) as client:
        client.get("http://testserver/close")


def put_known(value: Any, known: dict[str, str], data: st.DataObject) -> Any:
    """The value with ids that exist in some places, so that requests get past the first check."""
    if isinstance(value, dict):
        return {
            name: known[name]
            if name in known and data.draw(st.booleans(), label=name)
            else "GB"
            if name == "market"
            else put_known(inner, known, data)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [put_known(inner, known, data) for inner in value]
    return value


@pytest.mark.parametrize("name", OPERATIONS)
def test_answers_are_as_documented(application: Application, name: str) -> None:
    operation = OPERATIONS[name]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=st.one_of([operation.as_strategy(generation_mode=mode) for mode in GenerationMode]),
        data=st.data(),
    )
    def answer(case: Any, data: st.DataObject) -> None:
        case.path_parameters = put_known(dict(case.path_parameters or {}), application.known, data)
        bodies = {name: value for name, value in application.known.items() if name != "code"}
        case.query = put_known(dict(case.query or {}), bodies, data)
        if isinstance(case.body, dict):
            case.body = put_known(case.body, bodies, data)
        role = data.draw(st.sampled_from(["operator", "seller", "buyer", "storefront", "creator", ""]))
        headers = {"Authorization": f"Bearer {application.tokens[role]}"} if role else {}
        response = case.call(app=application, headers=headers)
        case.validate_response(response, checks=list(CHECKS), headers=headers)

    answer()
