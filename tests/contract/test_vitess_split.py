"""Two shards become four while orders are on their way: what a Reshard copies is copied by hand, the rest is ours."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pymysql
import pytest
from tests.api.conftest import SECRET, Shop, make_platform
from tests.contract.test_vitess import open_shop, prove
from tests.contract.vitess_works import counted, heads, left_behind

from tradepost import services
from tradepost.infra.storage.migrate import schema_version, upgrade
from tradepost.infra.storage.vitess import VitessStorage
from tradepost.infra.storage.vitess_schema import vschema
from tradepost.kernel.ids import gene_of
from tradepost.services.credentials import secret_of
from tradepost.surfaces.api import create_asgi
from tradepost.testing.world import TestWorld

pytestmark = pytest.mark.server("vitess")

KEY_RANGES = {2: ("-80", "80-"), 4: ("-40", "80-c0", "40-80", "c0-")}
"""Of each number, with so many shards."""


def copy_like_reshard(connection: Any, before: int, after: int) -> None:
    """Schemas everywhere, then rows by the vindex of their table; reference tables stay empty."""
    routing = vschema()["tables"]
    with connection.cursor() as cursor:
        for number, name in enumerate(KEY_RANGES[after]):
            source, target = f"`vt_tradepost_{KEY_RANGES[before][number % before]}`", f"`vt_tradepost_{name}`"
            cursor.execute(f"SHOW TABLES FROM {source}")
            for (table,) in cursor.fetchall():
                cursor.execute(f"CREATE TABLE {target}.{table} LIKE {source}.{table}")
                for vindex in routing[table].get("column_vindexes", ()):
                    column = vindex["column"]
                    here = f"{column} % {after} = {number}" if vindex["name"] == "gene" else f"0 = {number}"
                    cursor.execute(
                        f"INSERT INTO {target}.{table} SELECT * FROM {source}.{table} WHERE {here}"
                    )


async def test_a_split_shop_goes_on_where_it_was(tmp_path: Path) -> None:
    world = TestWorld(1)
    with services.running("vitess", folder=tmp_path, options={"vitess": {"shards": "2"}}) as servers:
        url = servers["vitess"].url
        upgrade(url)
        db = VitessStorage(url, strict=True)
        shop = await open_shop(db, world)
        settled = (await shop.buy())["orders"][0]["order_id"]
        world.advance(1_000)
        await shop.platform.runtime.drain()
        clients = (shop.buyer, shop.other_buyer)
        placed = [
            (client, (await shop.buy(client=client))["orders"][0]["order_id"]) for client in clients * 3
        ]
        assert len({db.shard_of(gene_of(order_id)) for _, order_id in placed}) == 2
        old_heads = [await db.read(shard, heads) for shard in range(2)]
        assert all(cursor < head for head, cursor in old_heads)
        old_counters = [await db.read(shard, counted) for shard in range(2)]
        await db.close()
    with services.running("vitess", folder=tmp_path, options={"vitess": {"shards": "4"}}) as servers:
        server = servers["vitess"]
        password = secret_of(tmp_path / "vitess")
        below = pymysql.connect(
            host="127.0.0.1",
            port=server.ports["mariadb"],
            user="tradepost",
            password=password,
            autocommit=True,
        )
        with contextlib.closing(below):
            copy_like_reshard(below, 2, 4)
        assert schema_version(server.url) == ""
        upgrade(server.url)
        assert schema_version(server.url) != ""
        assert upgrade(server.url) is False
        db = VitessStorage(server.url, strict=True)
        new_heads = [await db.read(shard, heads) for shard in range(4)]
        assert [cursor for _, cursor in new_heads] == [cursor for _, cursor in old_heads] * 2
        assert [await db.read(shard, counted) for shard in range(4)] == old_counters * 2
        later = await open_again(db, world, shop)
        world.advance(1_000)
        await later.platform.runtime.drain()
        for client, order_id in [(shop.buyer, settled), *placed]:
            order = await client.using(client.token).get(f"/v1/orders/{order_id}")
            assert order.json["state"] not in ("UNPAID", "PENDING"), order.json
        for shard in range(4):
            assert await db.read(shard, left_behind) == []
        await prove(db, world)
        await db.close()


async def open_again(db: VitessStorage, world: TestWorld, shop: Shop) -> Shop:
    """The same shop over the new shards; its clients ask there from now on."""
    platform = make_platform(db, world, SECRET)
    app = create_asgi(platform)
    for client in (
        shop.operator,
        shop.seller,
        shop.other_seller,
        shop.buyer,
        shop.other_buyer,
        shop.storefront,
    ):
        client.app = app
    return shop._replace(platform=platform)
