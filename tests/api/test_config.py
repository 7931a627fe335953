"""The config routes and what switches do to the others: a row for every refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.api.conftest import SECRET, Client, Reply, Shop, make_platform
from tests.memory_centre import MemoryCentre

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.stability.desk import ConfigDesk
from tradepost.stability.keys import declare_key
from tradepost.stability.live import LiveConfig
from tradepost.stability.switches import Switches, declared_switches
from tradepost.surfaces.api import Platform, create_asgi
from tradepost.testing.world import TestWorld

SPEED = declare_key("test.api_speed", int, 3, "per s", None, "A number for the API tests.")
KEY = f"/v1/config/keys/{SPEED.name}"
SWITCH = "/v1/config/keys/switch."


@pytest.fixture
async def centre() -> MemoryCentre:
    return MemoryCentre()


@pytest.fixture
async def platform(database_path: Path, world: TestWorld, centre: MemoryCentre) -> AsyncIterator[Platform]:
    """A platform that follows a centre."""
    db = SqliteStorage(database_path)
    live = LiveConfig(centre, world, instance="api-1")
    await live.start()
    switches = Switches(live)
    made = make_platform(db, world, SECRET)
    yield msgspec.structs.replace(
        made,
        config=ConfigDesk(db, world, centre, live),
        switches=switches,
        checkout=msgspec.structs.replace(made.checkout, switches=switches),
    )
    await live.close()
    await db.close()


async def put(shop: Shop, path: str, value: Any, seen: int = 0, **more: Any) -> Reply:
    body = {"value": value, "seen_version": seen, "reason": "a test", **more}
    return await shop.operator.put(path, body)


async def switch(shop: Shop, name: str, *, on: bool = True) -> None:
    stands = (await shop.operator.get(SWITCH + name)).json
    reply = await put(shop, SWITCH + name, on, stands["version"])
    assert reply.status == 200, reply.body


async def test_a_key_is_set_read_compared_and_rolled_back(shop: Shop) -> None:
    before = (await shop.operator.get(KEY)).json
    assert (before["in_force"], before["version"], before["type"]) == (3, 0, "int in per s")
    first = await put(shop, KEY, 5)
    assert (first.status, first.json["version"], first.json["pushed"]) == (200, 1, True)
    await put(shop, KEY, 6, 1, rules=[{"value": 9, "markets": ["GB"]}])
    assert (await shop.operator.get(KEY)).json["in_force"] == 6
    assert (await shop.operator.get(KEY + "?market=GB")).json["in_force"] == 9
    found = (await shop.operator.get(f"{KEY}/diff?old=1&new=2")).json["items"]
    assert {"path": "value", "before": 5, "after": 6} in found
    body = {"to_version": 1, "seen_version": 2, "reason": "too much"}
    rolled = await shop.operator.post(f"{KEY}/rollback", body)
    assert (rolled.json["kind"], rolled.json["version"], rolled.json["from_version"]) == ("rollback", 3, 1)
    assert (await shop.operator.get(KEY)).json["in_force"] == 5
    history = (await shop.operator.get(f"/v1/config/history?key={SPEED.name}")).json["items"]
    assert [(one["version"], one["reason"]) for one in history] == [
        (3, "too much"),
        (2, "a test"),
        (1, "a test"),
    ]
    everything = (await shop.operator.get("/v1/config/history")).json["items"]
    assert {one["version"] for one in everything} == {1, 2, 3}
    listed = (await shop.operator.get("/v1/config")).json
    assert (listed["instance"], listed["reachable"], listed["alarms"]) == ("api-1", True, [])
    assert {"test.api_speed", "switch.read_only"} <= {one["key"] for one in listed["items"]}


async def test_a_document_without_a_value_is_the_default(shop: Shop) -> None:
    await put(shop, KEY, 5)
    reply = await shop.operator.put(KEY, {"seen_version": 1, "reason": "back"})
    assert (reply.status, (await shop.operator.get(KEY)).json["in_force"]) == (200, 3)


async def test_a_repeated_write_is_answered_again_and_done_once(shop: Shop) -> None:
    body = {"value": 5, "seen_version": 0, "reason": "a test"}
    first = await shop.operator.put(KEY, body, key="same")
    again = await shop.operator.put(KEY, body, key="same")
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["idempotency-replayed"] == "true"
    assert (await shop.operator.get(KEY)).json["version"] == 1


ROWS: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/v1/config/keys/no.such_key", None, 404, "config.key_unknown"),
    ("GET", "/v1/config/history?key=no.such_key", None, 404, "config.key_unknown"),
    ("PUT", "/v1/config/keys/no.such_key", {"seen_version": 0, "reason": "x"}, 404, "config.key_unknown"),
    ("PUT", KEY, {"value": "x", "seen_version": 0, "reason": "x"}, 422, "config.value_invalid"),
    ("PUT", KEY, {"value": 1, "seen_version": 7, "reason": "x"}, 409, "config.version_conflict"),
    ("PUT", KEY, {"value": 1, "seen_version": 0}, 400, "input.invalid"),
    ("PUT", KEY, {"value": 1, "seen_version": 0, "reason": " "}, 400, "config.reason_missing"),
    (
        "PUT",
        SWITCH + "read_only",
        {"seen_version": 0, "reason": "x", "rules": [{"value": True, "markets": ["GB"]}]},
        422,
        "config.audience_not_allowed",
    ),
    (
        "POST",
        f"{KEY}/rollback",
        {"to_version": 4, "seen_version": 0, "reason": "x"},
        404,
        "config.version_unknown",
    ),
    ("GET", f"{KEY}/diff?old=0&new=1", None, 404, "config.version_unknown"),
    (
        "POST",
        "/v1/config/switches/nothing/drills",
        {"passed": True, "started_at_ms": 1, "took_ms": 1},
        404,
        "switch.unknown",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), ROWS)
async def test_a_refusal_has_its_code(
    shop: Shop, method: str, path: str, body: Any, status: int, code: str
) -> None:
    reply = await shop.operator.request(method, path, body)
    assert (reply.status, reply.code) == (status, code)


async def test_while_the_centre_is_away_writes_are_refused_and_reads_answer(
    shop: Shop, centre: MemoryCentre
) -> None:
    await put(shop, KEY, 5)
    centre.leave()
    reply = await put(shop, KEY, 6, 1)
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "config.centre_unavailable", "1")
    assert (await shop.operator.get(KEY)).json["in_force"] == 5


@pytest.mark.parametrize("who", ["seller", "buyer", "storefront"])
@pytest.mark.parametrize("path", ["/v1/config", KEY, "/v1/config/history", "/v1/config/switches"])
async def test_the_config_is_for_operators_alone(shop: Shop, who: str, path: str) -> None:
    client: Client = getattr(shop, who)
    assert (await client.get(path)).code == "auth.forbidden"
    assert (await shop.operator.using("").get(path)).code == "auth.missing"


async def test_a_process_without_a_centre_says_so(shop: Shop) -> None:
    bare = create_asgi(msgspec.structs.replace(shop.platform, config=None))
    reply = await Client(bare, shop.operator.token).get("/v1/config")
    assert (reply.status, reply.code) == (404, "config.unavailable")


async def test_a_watch_answers_when_something_changed(shop: Shop) -> None:
    revision = (await shop.operator.get("/v1/config")).json["revision"]
    waiting = asyncio.ensure_future(shop.operator.get(f"/v1/config?after={revision}&wait_ms=20000"))
    await put(shop, KEY, 5)
    found = (await asyncio.wait_for(waiting, 10)).json
    assert next(one["in_force"] for one in found["items"] if one["key"] == SPEED.name) == 5
    unchanged = await shop.operator.get(f"/v1/config?after={found['revision']}&wait_ms=1")
    assert unchanged.json["revision"] == found["revision"]


async def test_switches_tell_their_promise_and_their_last_drill(shop: Shop) -> None:
    body = {
        "passed": True,
        "started_at_ms": 1_790_000_000_000,
        "took_ms": 9_000,
        "checks": {"writes_refused": True},
        "figures": {"felt_ms": 40},
    }
    written = await shop.operator.post("/v1/config/switches/read_only/drills", body)
    assert written.status == 201
    found = {one["switch"]: one for one in (await shop.operator.get("/v1/config/switches")).json["items"]}
    assert set(found) == set(declared_switches())
    assert found["read_only"]["last_drill"] == written.json
    assert found["timeline_off"]["last_drill"] is None
    assert found["read_only"]["on"] is False


async def test_read_only_refuses_writes_and_takes_payment_results(shop: Shop) -> None:
    placed = await shop.buy(method="sandbox_redirect")
    await switch(shop, "read_only")
    refused = await shop.buyer.post("/v1/carts", {"market": "GB"})
    assert (refused.status, refused.code) == (503, "switch.read_only")
    assert (refused.headers["retry-after"], refused.json["switch"]) == ("5", "read_only")
    assert refused.headers["tradepost-degraded"] == "read_only"
    stock = await shop.seller.post(f"/v1/stock/{shop.sku_id}/receive", {"quantity": 1})
    assert stock.code == "switch.read_only"
    lines = [{"offer_id": shop.offer_id, "quantity": 1}]
    assert (await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": lines})).status == 200
    assert (await shop.buyer.get(f"/v1/orders/{placed['orders'][0]['order_id']}")).status == 200
    assert (await shop.buyer.post("/v1/webhooks/sandbox", {})).code == "payments.webhook_unsigned"
    confirmed = await shop.buyer.post(
        f"/v1/payments/{placed['payment_id']}/confirm", {"method": "sandbox_succeeds"}
    )
    assert confirmed.code != "switch.read_only" if confirmed.status >= 400 else confirmed.status == 200
    await switch(shop, "read_only", on=False)
    opened = await shop.buyer.post("/v1/carts", {"market": "GB"})
    assert (opened.status, "tradepost-degraded" in opened.headers) == (201, False)


async def test_new_carts_off_keeps_older_carts(shop: Shop) -> None:
    cart = (await shop.buyer.post("/v1/carts", {"market": "GB"})).json
    await switch(shop, "new_carts_off")
    assert (await shop.buyer.post("/v1/carts", {"market": "GB"})).code == "switch.new_carts_off"
    lines = {"lines": [{"offer_id": shop.offer_id, "quantity": 2}]}
    path = f"/v1/carts/{cart['cart_id']}/lines?buyer_id={shop.buyer_id}"
    assert (await shop.buyer.put(path, lines)).status == 200
    await shop.buy()


async def test_timeline_off_leaves_the_timeline_out(shop: Shop) -> None:
    order_id = (await shop.buy())["orders"][0]["order_id"]
    whole = (await shop.buyer.get(f"/v1/orders/{order_id}")).json
    await switch(shop, "timeline_off")
    reply = await shop.buyer.get(f"/v1/orders/{order_id}")
    assert reply.headers["tradepost-degraded"] == "timeline_off"
    assert {**reply.json, "timeline": whole["timeline"]} == whole
    assert (reply.json["timeline"], bool(whole["timeline"])) == ([], True)


async def test_quote_cache_only_prices_remembered_offers(shop: Shop) -> None:
    total = await shop.total(1)
    await switch(shop, "quote_cache_only")
    assert await shop.total(1) == total
    lines = [{"offer_id": shop.other_offer_id, "quantity": 1}]
    refused = await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": lines})
    assert (refused.status, refused.code) == (503, "switch.quote_cache_only")
    assert refused.json["offer_ids"] == [shop.other_offer_id]
    await switch(shop, "quote_cache_only", on=False)
    assert (await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": lines})).status == 200


async def test_coupons_off_prices_at_the_list(shop: Shop) -> None:
    await switch(shop, "coupons_off")
    lines = [{"offer_id": shop.offer_id, "quantity": 2}]
    quoted = (await shop.buyer.post("/v1/quotes", {"market": "GB", "lines": lines})).json
    [line] = quoted["orders"][0]["lines"]
    assert (line["adjustments"], line["total"]) == ([], line["list"])


async def test_health_names_switches_and_alarms_and_stays_as_it_was(shop: Shop, centre: MemoryCentre) -> None:
    well = (await shop.operator.get("/health/ready")).json
    assert (well["degraded"], well["alarms"]) == ([], {})
    await switch(shop, "timeline_off")
    centre.leave()
    async with asyncio.timeout(10):
        while not (found := (await shop.operator.get("/health/ready")).json)["alarms"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert found["degraded"] == ["timeline_off"]
    assert "centre_unreachable" in found["alarms"]
    assert found["status"] == well["status"]
