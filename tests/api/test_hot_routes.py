"""Hot routes: what the front finds by itself is what Litestar's router finds, and both ways answer alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.utils import normalize_path
from tests.api.conftest import Client, Reply, Shop

from tradepost.surfaces.api import Platform
from tradepost.surfaces.api.front import Front, Templates, create_litestar
from tradepost.surfaces.api.operation import Operation
from tradepost.surfaces.api.routes import OPERATIONS
from tradepost.surfaces.api.serve import Server
from tradepost.trade import cart as carts


def _operation(method: str, path: str, name: str) -> Operation:
    async def act(call: Any) -> None:
        """Do nothing"""

    act.__name__ = name
    return Operation(method=method, path=path, act=act, summary="", description="", tag="", hot="{" in path)


SIBLINGS = (
    _operation("GET", "/v1/things/{thing_id}", "one"),
    _operation("GET", "/v1/things/newest", "newest"),
    _operation("PUT", "/v1/things/{thing_id}/parts/{part_id}", "part"),
    _operation("GET", "/v1/things/{other_id}/parts/all", "parts"),
    _operation("GET", "/v1/things/oldest/lines", "oldest"),
    _operation("PUT", "/v1/things/{thing_id}/lines", "lines"),
)
WORDS = [
    "v1",
    "things",
    "carts",
    "orders",
    "checkouts",
    "lines",
    "select",
    "parts",
    "newest",
    "oldest",
    "all",
]
PARTS = st.sampled_from([*WORDS, "", "x", "{cart_id}", "a b", "é", "%2F", "..", "."])
PATHS = st.one_of(
    st.lists(PARTS, max_size=7).map("/".join),
    st.lists(PARTS, max_size=5).map(lambda parts: "/".join(["", "v1", *parts])),
    st.lists(PARTS, max_size=3).map(lambda parts: "/".join(["", "v1", "things", *parts])),
    st.lists(PARTS, max_size=2).map(lambda parts: "/".join(["", "v1", "carts", *parts])),
)


def _routed(router: Litestar, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
    try:
        found = router.asgi_router.handle_routing(path=normalize_path(path), method=method)
    except HTTPException:
        return None
    return str(found[1].name), dict(found[3])


@pytest.fixture(scope="module", params=["own", "siblings"])
def table(request: pytest.FixtureRequest) -> tuple[Templates, Litestar]:
    operations = OPERATIONS if request.param == "own" else SIBLINGS
    router = create_litestar(object(), operations)  # type: ignore[arg-type]
    return Templates([one for one in operations if one.hot], operations), router


@settings(max_examples=400, deadline=None)
@given(method=st.sampled_from(["GET", "PUT", "POST", "HEAD", "OPTIONS", "get"]), path=PATHS)
@example(method="GET", path="/v1/things/newest")
@example(method="PUT", path="/v1/things/oldest/lines")
@example(method="PUT", path="/v1/things/x/parts/all")
@example(method="PUT", path="/v1/things/x/parts/y")
@example(method="PUT", path="/v1/carts/x/lines")
@example(method="PUT", path="/v1/carts//lines")
@example(method="PUT", path="/v1/carts/x/lines/")
@example(method="PUT", path="//v1/carts/x/lines")
@example(method="GET", path="/v1/orders/x")
def test_what_the_front_finds_the_router_finds_too(
    table: tuple[Templates, Litestar], method: str, path: str
) -> None:
    templates, router = table
    found = templates.find(method, path)
    if found is not None:
        assert _routed(router, method, path) == (found[0].name, found[1])


def test_plain_paths_are_found_without_the_router(table: tuple[Templates, Litestar]) -> None:
    templates, _ = table
    for methods in templates._by_size.values():
        for template in methods:
            path = "/".join(
                "x" if part.startswith("{") else part for part in template.operation.path.split("/")
            )
            found = templates.find(template.operation.method, path)
            assert found is not None
            assert found[0] is template.operation


def both(platform: Platform, token: str) -> tuple[Client, Client]:
    """A client through the front, one through the router alone."""
    server = Server(platform)
    router = create_litestar(server, OPERATIONS)
    return (
        Client(Front(server, OPERATIONS, router), token),  # type: ignore[arg-type]
        Client(Front(server, (), router), token),  # type: ignore[arg-type]
    )


def same(one: Reply, other: Reply) -> None:
    if one.headers["content-type"] == "application/problem+json":
        assert {**one.json, "trace_id": ""} == {**other.json, "trace_id": ""}
    else:
        assert one.body == other.body
    assert (one.status, one.headers.keys()) == (other.status, other.headers.keys())


async def test_both_ways_answer_alike(shop: Shop) -> None:
    cart_id = (await shop.buyer.post("/v1/carts", {"market": "GB"})).json["cart_id"]
    placed = await shop.buy()
    order_id = placed["orders"][0]["order_id"]
    wish = {"lines": [{"offer_id": shop.offer_id, "quantity": 2}]}
    unknown = {"lines": [{"offer_id": shop.offer_id[:-1] + "7", "quantity": 2}]}
    rows: list[tuple[str, str, Any]] = [
        ("PUT", f"/v1/carts/{cart_id}/lines", wish),
        ("PUT", f"/v1/carts/{cart_id}/lines", {"lines": []}),
        ("PUT", f"/v1/carts/{cart_id}/lines", {**wish, "version": 99}),
        ("PUT", f"/v1/carts/{cart_id}/lines", unknown),
        ("PUT", f"/v1/carts/{cart_id}/lines", {"lines": [{"offer_id": "x", "quantity": 2}]}),
        ("PUT", f"/v1/carts/{cart_id}/lines?buyer_id=byr_x", wish),
        ("PUT", f"/v1/carts/{cart_id}/lines/", wish),
        ("PUT", f"/v1//carts/{cart_id}/lines", wish),
        ("PUT", "/v1/carts//lines", wish),
        ("PUT", "/v1/carts/crt_x/lines", wish),
        ("PUT", "/v1/carts/é x%/lines", wish),
        ("PATCH", f"/v1/carts/{cart_id}/lines", wish),
        ("HEAD", f"/v1/carts/{cart_id}", None),
        ("POST", f"/v1/carts/{cart_id}/select", {"selected": True}),
        ("GET", f"/v1/carts/{cart_id}", None),
        ("GET", f"/v1/carts/{cart_id}/lines", None),
        ("GET", f"/v1/orders/{order_id}", None),
        ("GET", f"/v1/orders/{order_id}x", None),
        ("GET", f"/v1/checkouts/{placed['checkout_id']}", None),
        ("GET", f"/v1/checkouts/{placed['checkout_id']}?buyer_id=x&buyer_id=", None),
    ]
    front, routed = both(shop.platform, shop.buyer.token)
    await front.put(f"/v1/carts/{cart_id}/lines", wish)  # later ones change nothing
    for method, path, body in rows:
        same(await front.request(method, path, body), await routed.request(method, path, body))


async def test_a_cart_that_is_remembered_may_be_gone(shop: Shop) -> None:
    cart_id = (await shop.buyer.post("/v1/carts", {"market": "GB"})).json["cart_id"]
    platform, path = shop.platform, f"/v1/carts/{cart_id}/lines"
    assert platform.carts.market_of(cart_id, shop.buyer_id) == "GB"
    wish = {"lines": [{"offer_id": shop.offer_id, "quantity": 2}]}
    assert (await shop.other_buyer.put(path, wish)).code == "cart.not_found"
    await platform.db.transact(0, _forget, cart_id)
    assert (await shop.buyer.put(path, wish)).code == "cart.not_found"
    for offer_id in ("x", shop.offer_id[:-1] + "7"):
        bad = {"lines": [{"offer_id": offer_id, "quantity": 2}]}
        assert (await shop.buyer.put(path, bad)).code == "cart.not_found"


def _forget(tx: Any, cart_id: str) -> None:
    tx.execute("DELETE FROM carts WHERE cart_id = ?", (cart_id,))


async def test_warnings_come_from_one_answer_or_from_a_further_read(shop: Shop) -> None:
    cart_id = (await shop.buyer.post("/v1/carts", {"market": "GB"})).json["cart_id"]
    path = f"/v1/carts/{cart_id}/lines"
    first = await shop.buyer.put(path, {"lines": [{"offer_id": shop.offer_id, "quantity": 25}]})
    assert [(one["code"], one["available"]) for one in first.json["warnings"]] == [("low_stock", 20)]
    second = await shop.buyer.put(path, {"lines": [{"offer_id": shop.other_offer_id, "quantity": 99}]})
    assert [one["available"] for one in second.json["warnings"]] == [20, 20]
    assert second.json["warnings"] == (await shop.buyer.get(f"/v1/carts/{cart_id}")).json["warnings"]


def test_memory_of_carts_is_bounded() -> None:
    memory = carts.CartMemory(2)
    for number in range(3):
        memory.note(carts.Cart(cart_id=f"crt_{number}", buyer_id="byr_1", market="GB"))
    assert [memory.market_of(f"crt_{number}", "byr_1") for number in range(3)] == ["", "GB", "GB"]
    assert memory.market_of("crt_2", "byr_2") == ""
