"""The demo shop: loads fast, once, and with the same ids everywhere."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tradepost.demo import DEMO_KEYS, load_demo
from tradepost.demo.goods import KITS, LIMIT_PER_BUYER, SCARCE_STOCK, SELLERS, goods, prices_of, seller_of
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.ids import check_id
from tradepost.testing.world import TestWorld
from tradepost.trade import catalog, inventory, parties

SECRET = b"a secret of sixteen bytes or more"


async def test_demo_shop_is_complete(db: Any, world: TestWorld) -> None:
    shop = await load_demo(db)
    assert shop.loaded
    ring = parties.KeyRing(db, world, SECRET)
    for name, token in DEMO_KEYS.items():
        assert (await ring.find(token)).role == name.split("_")[0]
    sellers = await db.read(0, parties.seller_views, shop.sellers.values())
    assert {seller.state for seller in sellers.values()} == {"ACTIVE"}
    offers: list[catalog.OfferView] = []
    after = ""
    while True:
        page = await catalog.offers_in_market(db, "JP", after, 400)
        offers += page.offers
        after = page.after
        if not after:
            break
    assert len(offers) == len(goods()) + len(KITS)
    assert all(
        catalog.price_at(offer, currency, world.now_ms())
        for offer in offers
        for currency in ("GBP", "USD", "JPY")
    )
    available = await db.read(0, inventory.available, [offer.components[0].sku_id for offer in offers])
    by_code = {offer.sku_code: available[offer.components[0].sku_id, "shop"] for offer in offers}
    assert Counter(by_code.values()) == {500: len(offers) - 1, SCARCE_STOCK: 1}
    featured = await db.read(0, catalog.offer_views, shop.offers.values())
    assert featured[shop.offers["first"]].limit_per_buyer == LIMIT_PER_BUYER
    assert len(featured[shop.offers["kit"]].components) == 2
    assert featured[shop.offers["party_kit"]].seller_id == shop.sellers["Paper Lane"]


@pytest.fixture
def other_path(tmp_path: Path, empty_database: Path) -> Path:
    """A second empty database."""
    return Path(shutil.copy(empty_database, tmp_path / "other.db"))


async def test_demo_is_loaded_once_and_ids_are_stable(db: Any, other_path: Path) -> None:
    first = await load_demo(db)
    again = await load_demo(db)
    assert not again.loaded
    assert (again.offers, again.sellers) == (first.offers, first.sellers)
    other = SqliteStorage(other_path)
    try:
        assert (await load_demo(other)).offers == first.offers
    finally:
        await other.close()
    for offer_id in first.offers.values():
        check_id(offer_id, "offer")


def test_goods_are_real_and_spread_over_the_sellers() -> None:
    assert len(goods()) == 1_000
    assert all(good.title and good.pence > 0 for good in goods())
    spread = Counter(seller_of(good) for good in goods())
    assert set(spread) == set(SELLERS)
    assert min(spread.values()) > 100


def test_prices_are_explicit_per_currency() -> None:
    assert prices_of(295) == {"GBP": "2.95", "USD": "3.89", "JPY": "560"}
    assert prices_of(5) == {"GBP": "0.05", "USD": "0.09", "JPY": "10"}
