"""Taxes that the address's region decides: quoted for it, charged for it, repriced with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from tests.checkout_shop import HOME, Shop

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.markets import market
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout, orders
from tradepost.trade.catalog import PriceWindow
from tradepost.trade.checkout import Want

USD = {"markets": ("US",), "prices": (PriceWindow(currency="USD", price_e4=10_000 * 10_000),)}


@pytest.fixture
def shop(db: SqliteStorage, world: TestWorld) -> Shop:
    return Shop(db, world)


async def quote(shop: Shop, offer_id: str, region: str) -> tuple[Any, str]:
    lines = [Want(offer_id=offer_id, quantity=1)]
    return await checkout.make_quote(shop.context, "US", lines, buyer_id=shop.buyer_id, region=region)


def at(region: str, country: str = "US") -> Any:
    return msgspec.structs.replace(HOME, country=country, region=region)


@pytest.mark.parametrize(
    ("region", "known", "total"),
    [
        ("CA", "CA", 10_725),
        ("california", "CA", 10_725),
        (" mo ", "MO", 10_423),
        ("OR", "OR", 10_000),
        ("", "", 10_000),
        ("Ontario", "", 10_000),
    ],
)
async def test_a_quote_is_for_a_region(shop: Shop, region: str, known: str, total: int) -> None:
    offered = await shop.offer(**USD)
    promised, token = await quote(shop, offered, region)
    assert (promised.region, promised.total_minor) == (known, total)
    view, _ = await shop.place(token, address=at(region))
    assert view.total_minor == total


async def test_buying_now_is_taxed_where_the_goods_go(shop: Shop) -> None:
    lines = [Want(offer_id=await shop.offer(**USD), quantity=1)]

    async def total(address: Any) -> int:
        request = shop.request(key=f"{address.country} {address.region}", address=address)
        placement = await checkout.accept_buy_now(shop.context, "US", lines, request)
        view, _ = await checkout.place_order(shop.context, placement)
        return view.total_minor

    assert [await total(at("TX")), await total(at("DE")), await total(at("TX", "CA"))] == [
        10_625,
        10_000,
        10_000,
    ]


async def test_the_total_of_another_state_is_not_charged(shop: Shop) -> None:
    lines = [Want(offer_id=await shop.offer(**USD), quantity=1)]
    request = shop.request(address=at("TX"), total_minor=10_000)
    with pytest.raises(Refusal) as refused:
        await checkout.accept_buy_now(shop.context, "US", lines, request)
    assert (refused.value.code, refused.value.expected) == ("checkout.total_changed", "10625")


async def test_an_order_is_repriced_with_its_address(shop: Shop) -> None:
    _, token = await quote(shop, await shop.offer(**USD), "CA")
    view, _ = await shop.place(token, address=at("CA"))

    def found(tx: Tx, ids: Sequence[str]) -> list[orders.Order]:
        return orders.orders_by_ids(tx, ids)

    ids = [one.order_id for one in view.orders]
    placed = await shop.db.read(shop.db.shard_of(6), found, ids)
    again = checkout.reprice(checkout.bought(placed), market("US"), checkout.Rules({}))
    assert (again.total_minor, again.tax_minor) == (10_725, 725)
