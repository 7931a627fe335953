"""Parties, catalogue and demo shop on two shards: every row lies where its gene says, and is found there."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tradepost.demo import DEMO_KEYS, load_demo
from tradepost.demo.goods import KITS, goods
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Signal, Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import catalog, parties

TABLES = (
    "sellers",
    "buyers",
    "members",
    "api_keys",
    "products",
    "sku_codes",
    "skus",
    "offers",
    "offer_markets",
)


class TwoFiles:
    """A storage of two shards: odd genes in one file, even ones in the other."""

    shards = 2

    def __init__(self, files: list[SqliteStorage]) -> None:
        self.files = files

    def shard_of(self, gene: int) -> int:
        return gene % 2

    def transact(self, shard: int, work: Any, *args: Any, **kwargs: Any) -> Any:
        return self.files[shard].transact(0, work, *args, **kwargs)

    def read(self, shard: int, query: Any, *args: Any, **kwargs: Any) -> Any:
        return self.files[shard].read(0, query, *args, **kwargs)

    def listen(self, listener: Callable[[Signal], None]) -> None:
        for file in self.files:
            file.listen(listener)


@pytest.fixture
def paths(tmp_path: Path, empty_database: Path) -> list[Path]:
    """Two empty databases."""
    return [Path(shutil.copy(empty_database, tmp_path / name)) for name in ("even.db", "odd.db")]


@pytest.fixture
async def two(paths: list[Path]) -> AsyncIterator[Any]:
    """A storage of two shards."""
    storage = TwoFiles([SqliteStorage(path) for path in paths])
    yield storage
    for file in storage.files:
        await file.close()


def _genes(tx: Tx) -> dict[str, list[int]]:
    return {table: [row[0] for row in tx.query(f"SELECT DISTINCT gene FROM {table}")] for table in TABLES}


async def test_rows_lie_on_the_shard_of_their_gene(two: Any, world: TestWorld) -> None:
    shop = await load_demo(two)
    for shard in (0, 1):
        for table, genes in (await two.read(shard, _genes)).items():
            assert all(two.shard_of(gene) == shard for gene in genes), table
    ring = parties.KeyRing(two, world, b"a secret of sixteen bytes or more")
    for token in DEMO_KEYS.values():
        assert await ring.find(token)
    assert (await ring.find(DEMO_KEYS["seller"])).party_id in shop.sellers.values()
    book = catalog.OfferBook(two)
    assert set(await book.get(shop.offers.values())) == set(shop.offers.values())


async def test_market_list_merges_the_shards_in_order(two: Any) -> None:
    await load_demo(two)
    found: list[str] = []
    after = ""
    while True:
        page = await catalog.offers_in_market(two, "US", after, 300)
        found += [offer.offer_id for offer in page.offers]
        after = page.after
        if not after:
            break
    assert found == sorted(set(found))
    assert len(found) == len(goods()) + len(KITS)
    assert {two.shard_of(gene_of(offer_id)) for offer_id in found} <= {0, 1}


async def test_bootstrap_and_rotation_cross_shards(two: Any, world: TestWorld) -> None:
    ring = parties.KeyRing(two, world, b"a secret of sixteen bytes or more")
    first = await parties.bootstrap_operator(two, world, "tp_operator_first")
    key_id = first.key_id
    for _ in range(5):
        issued = await parties.rotate_key(two, world, key_id)
        assert (await ring.find(issued.token)).party_id == first.party_id
        key_id = issued.key.key_id
    assert len(await parties.keys_of(two, first.party_id)) == 6
