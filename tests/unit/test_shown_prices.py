"""Prices of lists: remembered while nothing begins or ends, never a moment longer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.campaign_samples import campaign, percent, promoted, publish
from tests.checkout_shop import Shop, TwoShards

from tradepost.markets import market
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout, pricing
from tradepost.trade.catalog import PriceWindow
from tradepost.trade.checkout.remembering import Remembered


@pytest.fixture
def shop(world: TestWorld) -> Iterator[Shop]:
    shards = TwoShards()
    yield promoted(shards, world)
    shards.close()


async def price(shop: Shop, *offers: str, segments: tuple[str, ...] = ()) -> list[tuple[int, int]]:
    views = [shop.shelf.views[one] for one in offers]
    found = await checkout.price_offers(shop.context, views, market("GB"), segments=segments)
    return [(found[one].amount_minor, found[one].changes_at_ms) for one in offers]


async def test_a_price_changes_at_its_instant_though_it_is_remembered(shop: Shop) -> None:
    mug, now_ms = await shop.offer(), shop.world.now_ms()
    await publish(shop, campaign(from_ms=now_ms + 100, until_ms=now_ms + 200))
    await publish(shop, campaign(2, rules=(percent(500_000),), from_ms=now_ms + 150, until_ms=now_ms + 160))
    expected = []
    for step in (0, 99, 1, 49, 1, 9, 1, 39, 1):
        shop.world.advance(step)
        at_ms = shop.world.now_ms() - now_ms
        halved, tenth = 150 <= at_ms < 160, 100 <= at_ms < 200
        expected.append((1_000 - 100 * tenth) // (2 if halved else 1))
        first, second = await price(shop, mug), await price(shop, mug)
        assert (first, first[0][0]) == (second, expected[-1])
        fresh = Shop.__new__(Shop)
        fresh.__dict__.update(shop.__dict__)
        fresh.context = msgspec.structs.replace(shop.context, shown=Remembered())
        assert await price(fresh, mug) == first
    assert expected == [1_000, 1_000, 900, 900, 450, 450, 900, 900, 1_000]


async def test_what_decides_is_asked_again(shop: Shop) -> None:
    mug = await shop.offer()
    assert await price(shop, mug) == [(1_000, 0)]
    await publish(shop, campaign())
    assert await price(shop, mug) == [(900, 0)]
    window = PriceWindow(currency="GBP", price_e4=20_000_000)
    shop.shelf.views[mug] = msgspec.structs.replace(shop.shelf.views[mug], prices=(window,))
    assert await price(shop, mug) == [(1_800, 0)]
    member = promoted(shop.db, shop.world)
    assert (await price(shop, mug, segments=("vip",)), len(member.context.shown)) == ([(1_800, 0)], 0)


async def test_it_is_priced_once_and_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    mug, cup = await shop.offer(), await shop.offer(price_minor=500)
    few: Remembered[checkout.PriceNow] = Remembered(1)
    shop.context = msgspec.structs.replace(shop.context, shown=few)
    asked: list[object] = []
    real = pricing.price

    def count(lines: Any, *facts: Any, **more: Any) -> pricing.Priced:
        asked.append(lines)
        return real(lines, *facts, **more)

    monkeypatch.setattr(pricing, "price", count)
    assert await price(shop, mug) == await price(shop, mug) == [(1_000, 0)]
    assert (len(asked), len(few)) == (1, 1)
    assert await price(shop, mug, cup) == [(1_000, 0), (500, 0)]
    assert await price(shop, mug) == [(1_000, 0)]
    assert (len(asked), len(few)) == (3, 1)
