"""Readiness, numbers, back pressure with Retry-After, streamed answers, and what production refuses to start with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.api.conftest import ADDRESS, SECRET, Client, Shop
from tests.api.test_journey import release

from tradepost.app import open_app
from tradepost.demo import DEMO_KEYS, load_demo
from tradepost.kernel.errors import Refusal
from tradepost.settings import Mode, Security, Server, Settings
from tradepost.surfaces.api import Platform, create_asgi
from tradepost.surfaces.api.raw import look_ahead
from tradepost.surfaces.api.vitals import REMEMBER_S, Vitals
from tradepost.surfaces.cli.serve import read_settings
from tradepost.trade import parties
from tradepost.trade.inventory import SoldOutHints

FULL = Refusal("storage.unavailable", "The commit failed (disk full).", extra={"retry_after_s": 2})
BUSY = Refusal("storage.overloaded", "More than 4096 calls are waiting.", extra={"retry_after_s": 1})


class FullDisk:
    """A storage that reads but cannot commit."""

    shards = 1

    def __init__(self, db: Any, refusal: Refusal) -> None:
        self.db, self.refusal = db, refusal

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)

    def transact(self, *_: Any, **__: Any) -> Awaitable[Any]:
        raise self.refusal


def vitals_of(
    platform: Platform, db: Any, further: Any = None, depth: Callable[[], int] = lambda: 3
) -> Vitals:
    return Vitals(db, platform.world, platform.runtime, SoldOutHints(db), depth=depth, further=further)


async def test_ready_says_what_holds(shop: Shop) -> None:
    reply = await shop.buyer.using("").get("/health/ready")
    assert (reply.status, reply.json["checks"]) == (200, {"storage": True, "relay": True})


async def test_a_disk_that_is_full_is_not_ready(shop: Shop) -> None:
    assert await vitals_of(shop.platform, FullDisk(shop.platform.db, FULL)).checks() == {
        "storage": False,
        "relay": True,
    }


async def test_a_relay_that_nobody_leads_is_not_ready(shop: Shop) -> None:
    shop.world.advance(60_000)
    assert not (await vitals_of(shop.platform, shop.platform.db).checks())["relay"]
    await shop.platform.runtime.drain()
    assert (await vitals_of(shop.platform, shop.platform.db).checks())["relay"]


async def test_an_old_schema_is_not_ready_and_an_answer_is_kept_for_a_second(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = True
    vitals = vitals_of(shop.platform, shop.platform.db, {"schema": lambda: current})
    assert (await vitals.checks())["schema"]
    current = False
    assert (await vitals.checks())["schema"]
    vitals._known_until -= REMEMBER_S  # as if the second had passed
    assert not (await vitals.checks())["schema"]


async def test_metrics_tell_queues_and_commits(shop: Shop) -> None:
    await shop.buy()
    behind = (await shop.buyer.get("/metrics")).body.decode()
    assert "tradepost_outbox_lag_events 0.0" not in behind
    await release(shop)
    fresh = msgspec.structs.replace(
        shop.platform, gauges=vitals_of(shop.platform, shop.platform.db, depth=lambda: 0).gauges
    )
    text = (await Client(create_asgi(fresh)).get("/metrics")).body.decode()
    for name in (
        "write_queue_depth",
        "outbox_lag_events",
        "deliveries_waiting",
        "dead_letters",
        "sold_out_hints",
    ):
        assert f"tradepost_{name} 0.0" in text, name
    lines = dict(
        line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("tradepost_commit_calls")
    )
    assert float(lines["tradepost_commit_calls_count"]) > 0
    assert float(lines["tradepost_commit_calls_sum"]) >= float(lines["tradepost_commit_calls_count"])
    assert lines['tradepost_commit_calls_bucket{le="+Inf"}'] == lines["tradepost_commit_calls_count"]


@pytest.mark.parametrize(("refusal", "seconds"), [(FULL, "2"), (BUSY, "1")])
async def test_503_tells_when_to_come_back(shop: Shop, refusal: Refusal, seconds: str) -> None:
    full: Any = FullDisk(shop.platform.db, refusal)
    client = Client(create_asgi(msgspec.structs.replace(shop.platform, db=full)), shop.seller.token)
    reply = await client.post(f"/v1/stock/{shop.sku_id}/receive", {"quantity": 1})
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, refusal.code, seconds)


async def test_429_tells_when_to_come_back(shop: Shop) -> None:
    terms = msgspec.structs.replace(
        shop.platform.checkout.terms, velocity_orders_max=1, velocity_window_ms=30_000
    )
    context: Any = msgspec.structs.replace(shop.platform.checkout, terms=terms)
    client = Client(create_asgi(msgspec.structs.replace(shop.platform, checkout=context)), shop.buyer.token)
    lines = [{"offer_id": shop.offer_id, "quantity": 1}]
    total = {"amount_minor": await shop.total(1), "currency": "GBP"}
    body = {"market": "GB", "lines": lines, "total": total, "address": ADDRESS}
    assert (await client.post("/v1/checkouts", body)).status == 201
    reply = await client.post("/v1/checkouts", body, key="again")
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (429, "risk.velocity", "30")
    shop.world.advance(30_001)
    assert (await client.post("/v1/checkouts", body, key="again")).status == 201


async def test_an_export_is_sent_piece_by_piece(shop: Shop) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/catalog/export",
        "query_string": b"form=csv",
        "headers": [(b"authorization", f"Bearer {shop.seller.token}".encode())],
    }
    await shop.buyer.app(
        scope | {"raw_path": b"/v1/catalog/export", "root_path": "", "state": {}}, receive, send
    )
    assert len(sent) == 4, "start, header line, rows, end"
    assert b"content-length" not in dict(sent[0]["headers"])
    assert [bool(message.get("more_body")) for message in sent[1:]] == [True, True, False]


async def test_what_fails_before_the_second_piece_is_still_refused() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"head"
        raise FULL

    with pytest.raises(Refusal, match="disk full"):
        await look_ahead(pieces())

    async def one() -> AsyncIterator[bytes]:
        yield b"only"

    assert [piece async for piece in await look_ahead(one())] == [b"only"]


async def test_an_import_that_is_not_utf8_changes_nothing(shop: Shop) -> None:
    good = b"sku_code,title,price,currency\nNEW,New,1.00,GBP\n" * 3_000
    reply = await shop.seller.post("/v1/catalog/import", good + b"\xff", headers={"content-type": "text/csv"})
    assert (reply.status, reply.code) == (400, "catalog.row_malformed")
    assert b"NEW" not in (await shop.seller.get("/v1/catalog/export")).body


def production(tmp_path: Path, **more: str) -> Settings:
    security = Security(signing_secret=SECRET.decode(), **more)
    return Settings(mode=Mode.PRODUCTION, server=Server(data_dir=str(tmp_path)), security=security)


async def test_production_refuses_a_shop_that_knows_the_demo_keys(tmp_path: Path) -> None:
    async with open_app(Settings(mode=Mode.DEMO, server=Server(data_dir=str(tmp_path)))) as app:
        await load_demo(app.platform.db)
        assert app.platform.sandbox is not None
    with pytest.raises(Refusal) as refused:
        async with open_app(production(tmp_path)):
            pass
    assert refused.value.code == "settings.demo_keys"
    async with open_app(Settings(server=Server(data_dir=str(tmp_path)))) as app:
        db, world = app.platform.db, app.platform.world
        for token in DEMO_KEYS.values():
            principal = await app.platform.keyring.find(token)
            await db.transact(0, parties.revoke_key, principal.key_id, world.now_ms())
    async with open_app(production(tmp_path)) as app:
        assert app.platform.sandbox is None


async def test_production_refuses_a_demo_key_as_its_operator_key(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refused:
        async with open_app(production(tmp_path, operator_key=DEMO_KEYS["operator"])):
            pass
    assert (refused.value.code, refused.value.field) == ("settings.demo_keys", "security.operator_key")


def test_a_demo_is_refused_where_production_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEPOST_MODE", "production")
    with pytest.raises(Refusal) as refused:
        read_settings(demo=True)
    assert refused.value.code == "settings.demo_keys"


async def test_a_check_that_cannot_be_asked_does_not_hold(shop: Shop) -> None:
    def away() -> bool:
        raise Refusal("storage.unavailable", "gone")

    assert not (await vitals_of(shop.platform, shop.platform.db, {"schema": away}).checks())["schema"]


async def test_ready_tells_parts_that_are_away_and_warnings_in_words(shop: Shop) -> None:
    words = "sync_binlog is 0: a crash may leave replicas without acknowledged orders"
    platform = msgspec.structs.replace(
        shop.platform, conditions=lambda: {"redis": False}, warnings=lambda: {"storage": words}
    )
    reply = await Client(create_asgi(platform)).get("/health/ready")
    assert (reply.status, reply.json["parts"], reply.json["alarms"]) == (
        200,
        {"redis": False},
        {"storage": words},
    )


class CountedReads:
    """A storage that counts its reads, each of which takes a turn of the loop."""

    def __init__(self, db: Any) -> None:
        self.db, self.reads = db, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)

    async def read(self, *args: Any) -> Any:
        self.reads += 1
        await asyncio.sleep(0)
        return await self.db.read(*args)


async def test_scrapes_of_one_second_share_a_look_at_the_database(shop: Shop) -> None:
    db = CountedReads(shop.platform.db)
    vitals = vitals_of(shop.platform, db)
    first = await vitals.gauges()
    alone = db.reads
    assert alone > 0
    assert await asyncio.gather(*[vitals.gauges() for _ in range(20)]) == [first] * 20
    assert db.reads == alone
    vitals._counted_until -= REMEMBER_S  # as if the second had passed
    await asyncio.gather(*[vitals.gauges() for _ in range(20)])
    assert db.reads == 2 * alone
