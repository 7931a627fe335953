"""Four shards: rows lie where their gene says, one transaction reaches one shard, and orders go across nevertheless."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pymysql
import pytest
from tests.api.conftest import SECRET, Client, Shop, make_key, make_offer, make_platform
from tests.api.test_journey import delivered, release
from tests.checkout_shop import Shop as Stall
from tests.contract import storage_works as works
from tests.contract import vitess_works
from tests.vitess_server import targets

from tradepost.books import check_books, merge_books
from tradepost.infra.storage.mysql_target import connect
from tradepost.infra.storage.vitess import VitessStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import GENES, gene_of
from tradepost.surfaces.api import create_asgi
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout, inventory
from tradepost.trade.inventory import jobs

pytestmark = pytest.mark.server("vitess")


async def prove(db: VitessStorage, world: TestWorld) -> None:
    """Stock, money and orders agree on every shard, and every row lies where its gene says."""
    stock = [await db.read(shard, inventory.check_stock, world.now_ms()) for shard in range(db.shards)]
    report = inventory.merge_reports(stock)
    assert report.conserved, report.findings
    books = merge_books([await db.read(shard, check_books) for shard in range(db.shards)])
    assert books.agree, books.findings
    for shard in range(db.shards):
        assert await db.read(shard, vitess_works.strays, db.shards) == []


async def test_every_gene_is_kept_by_its_shard_alone(vitess: VitessStorage) -> None:
    genes = range(0, GENES, 37)
    await asyncio.gather(*(vitess.transact(vitess.shard_of(gene), vitess_works.keep, gene) for gene in genes))
    for shard in range(vitess.shards):
        found = await vitess.read(shard, vitess_works.kept)
        assert found == [gene for gene in genes if gene % vitess.shards == shard]


async def test_the_engine_refuses_a_transaction_on_two_shards(
    vitess: VitessStorage, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Refusal, match=r"storage\.unavailable"):
        await vitess.transact(1, vitess_works.keep_both, 1, 2)
    assert "multi-db transaction attempted" in caplog.text
    await vitess.transact(1, vitess_works.keep, 9)
    assert [await vitess.read(shard, vitess_works.kept) for shard in range(4)] == [[], [9], [], []]


async def test_a_row_of_another_shard_is_refused_before_it_is_sent(vitess_url: str) -> None:
    quick = VitessStorage(vitess_url)
    for gene in (2, 6):
        with pytest.raises(ValueError, match="does not lie on shard 1"):
            await quick.transact(1, vitess_works.keep, gene)
    with pytest.raises(ValueError, match="does not lie on shard 1"):
        await quick.transact(1, vitess_works.note, 3)
    await quick.transact(1, vitess_works.keep, 1021)
    assert [await quick.read(shard, vitess_works.kept) for shard in range(4)] == [[], [1021], [], []]
    await quick.close()


async def test_a_failed_work_leaves_nothing_and_the_next_finds_its_shard(vitess: VitessStorage) -> None:
    answers = await asyncio.gather(
        vitess.transact(1, works.put_and_fail, "a"),
        vitess.transact(1, works.put, "b"),
        vitess.transact(1, works.put, "b"),
        return_exceptions=True,
    )
    assert isinstance(answers[0], ValueError)
    assert await vitess.read(1, works.keys) == ["b"]


async def test_a_reader_cannot_write(vitess: VitessStorage) -> None:
    with pytest.raises(pymysql.err.OperationalError, match="READ ONLY"):
        await vitess.read(1, works.put, "a")


async def test_streams_count_for_themselves(vitess: VitessStorage) -> None:
    for shard in (1, 2, 1):
        await vitess.transact(shard, vitess_works.note, shard)
    assert [await vitess.read(shard, works.sequences) for shard in range(4)] == [[], [1, 2], [1], []]


async def test_rows_that_differ_change_together(vitess: VitessStorage) -> None:
    texts = ["plain", "quo'te \\ back", "grüße 漢字 🙂", "", "x" * 900]
    assert await vitess.transact(3, vitess_works.change_many, texts) == texts


async def open_shop(db: VitessStorage, world: TestWorld) -> Shop:
    """A shop whose parties lie where chance put them."""
    platform = make_platform(db, world, SECRET)
    nobody = Client(create_asgi(platform))
    roles = ("operator", "seller", "seller", "buyer", "buyer", "storefront")
    made = [await make_key(platform, role) for role in roles]
    clients = [nobody.using(token) for _, token in made]
    await platform.runtime.drain()
    sku_id, offer_id = await make_offer(clients[1], "MUG", 20)
    _, other_offer_id = await make_offer(clients[2], "CUP", 20)
    return Shop(platform, world, *clients, made[1][0], made[3][0], sku_id, offer_id, other_offer_id)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_an_order_goes_all_the_way(vitess: VitessStorage, seed: int) -> None:
    world = TestWorld(seed)
    shop = await open_shop(vitess, world)
    order_id, _ = await delivered(shop)
    path = f"/v1/orders/{order_id}"
    wanted = await shop.buyer.post(
        f"{path}/returns", {"lines": [{"line_no": 1, "quantity": 1}], "reason": "colour"}
    )
    given = f"{path}/returns/{wanted.json['return_id']}"
    assert (await shop.seller.post(f"{given}/approve")).json["state"] == "APPROVED"
    assert (await shop.seller.post(f"{given}/receive", {})).status == 200
    cancelled = (await shop.buy())["orders"][0]["order_id"]
    assert (await shop.buyer.post(f"/v1/orders/{cancelled}/cancel", {"reason": "mind"})).status == 200
    await release(shop)
    order = (await shop.buyer.get(path)).json
    payment = (await shop.buyer.get(f"/v1/payments/{order['payment_id']}")).json
    assert payment["refunds"][0]["state"] == "SUCCEEDED"
    assert (await shop.buyer.get(f"/v1/orders/{cancelled}")).json["state"] == "CANCELLED"
    level = (await shop.seller.get(f"/v1/stock/{shop.sku_id}")).json
    assert level, level
    await prove(vitess, world)


def counter(db: VitessStorage, world: TestWorld, buyer_gene: int) -> Stall:
    """A counter whose buyer has this gene."""
    shop = Stall(db, world)
    shop.buyer_id = world.mint("buyer", buyer_gene)
    return shop


async def test_a_hot_sku_sells_exactly_its_stock(vitess: VitessStorage, world: TestWorld) -> None:
    shop = Stall(vitess, world)
    offer = await shop.offer(60, sku_gene=2)
    buyers = [world.mint("buyer", number) for number in range(200)]

    async def buy(buyer_id: str) -> str:
        try:
            await shop.buy((offer, 1), key=buyer_id, buyer_id=buyer_id)
        except Refusal as refusal:
            return refusal.code
        return "bought"

    answers = Counter(await asyncio.gather(*map(buy, buyers)))
    assert answers == {"bought": 60, "inventory.sold_out": 140}
    level = await shop.level(shop.sku_of(offer))
    assert (level.on_hand, level.held) == (60, 60)
    placed = [await vitess.read(shard, vitess_works.count_orders) for shard in range(4)]
    assert sum(placed) == 60
    assert sum(count > 0 for count in placed) > 1
    assert [await vitess.read(shard, jobs.due_deadlines, 1 << 60, 500) for shard in range(4)] == [[]] * 4
    await prove(vitess, world)


async def reap(db: VitessStorage, world: TestWorld) -> int:
    """What the reaper does at this moment on every shard; how many deadlines it found."""

    async def claim(buyer_id: str, checkout_id: str) -> bool:
        shard = db.shard_of(gene_of(buyer_id))
        return await db.transact(shard, checkout.claim_checkout, buyer_id, checkout_id, world.now_ms())

    [sweep] = jobs.sweeps(db, world, claim)
    found = 0
    for shard in range(db.shards):
        due = await db.read(shard, sweep.due, world.now_ms(), 100)
        found += len(due)
        if due:
            await sweep.act(due)
    return found


@pytest.mark.parametrize("at", ["held", "opened"])
async def test_killed_between_hold_and_order(
    vitess: VitessStorage, world: TestWorld, at: str, vitess_url: str
) -> None:
    shop = counter(vitess, world, 5)
    offers = [await shop.offer(3, sku_gene=2), await shop.offer(3, sku_gene=3)]
    world.advance(60_000)
    _, token = await shop.quote(*[(offer, 2) for offer in offers])
    command = [sys.executable, "-m", "tests.contract.vitess_killed", vitess_url, token, at]
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "BUYER": shop.buyer_id}
    where |= {"NOW_MS": str(world.now_ms())}
    killed = await asyncio.to_thread(
        subprocess.run, command, env=where, cwd=Path(__file__).parents[2], capture_output=True, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    levels = [await shop.level(shop.sku_of(offer)) for offer in offers]
    assert [level.held for level in levels] == [2, 2]
    assert await vitess.read(1, vitess_works.count_orders) == (1 if at == "opened" else 0)
    assert await reap(vitess, world) == 0
    world.advance(shop.context.hold_ttl_ms + 1)
    assert await reap(vitess, world) == 2
    levels = [await shop.level(shop.sku_of(offer)) for offer in offers]
    if at == "opened":
        assert [level.held for level in levels] == [2, 2]
        assert (await shop.place(token))[1]
    else:
        assert [level.held for level in levels] == [0, 0]
        with pytest.raises(Refusal, match=r"checkout\.abandoned"):
            await shop.place(token)
        _, fresh = await shop.quote(*[(offer, 3) for offer in offers])
        await shop.place(fresh, key="k2")
    with pytest.raises(Refusal, match=r"inventory\.sold_out"):
        await shop.buy((offers[0], 2), key="k3")
    assert await reap(vitess, world) == 0
    await prove(vitess, world)


async def test_a_shard_without_the_schema_or_a_moved_map_is_told(vitess_url: str) -> None:
    with pytest.raises(Refusal) as refused:
        VitessStorage(vitess_url.rpartition("/")[0] + "/nowhere")
    assert refused.value.code in ("storage.shard_map", "storage.unreachable")
    for target in targets(vitess_url):
        with contextlib.closing(connect(target)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT version_num FROM alembic_version")
            assert len(cursor.fetchall()) == 1
