"""The shop that is measured: the demo shop with stock that lasts, copied fresh for every figure."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec

from tradepost.app import App, open_app
from tradepost.kernel.world import SystemWorld
from tradepost.settings import Server, Settings
from tradepost.testing.bench.machine import cpu_seconds
from tradepost.testing.torture.shop import ShopProcess, child_processes, free_port
from tradepost.trade import catalog, checkout, inventory

MARKET = "GB"
PIECES = 1_000_000
BASKETS = 2_000
BUYERS = 20_000
RULES_ON = {"TRADEPOST_CHECKOUT__VELOCITY_ORDERS_MAX": "60", "TRADEPOST_CHECKOUT__REMORSE_MS": "-1"}
"""The shop's own defaults: no rule is off while it is measured."""


class Basket(msgspec.Struct, frozen=True):
    """Offers of one seller, a piece of each, and what they cost together in minor units."""

    offers: tuple[str, ...]
    total_minor: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the crowd asks for."""

    baskets: tuple[Basket, ...]
    hot: Basket
    scarce: Basket
    hundred: tuple[str, ...]
    buyers: tuple[str, ...]


class Shop:
    """A folder with the stocked demo shop in `template`, and the plan made from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.template = folder / "template"
        self._numbers = itertools.count(1)
        demo = ShopProcess(self.template, free_port(random.Random()))
        demo.start()  # `serve --demo` enters the goods
        demo.stop()
        self.plan = asyncio.run(_stock_up(self.template))

    def fresh(self) -> Path:
        """A new copy of the stocked shop's folder."""
        folder = self.folder / f"copy-{next(self._numbers)}"
        shutil.copytree(self.template, folder)
        return folder

    @contextlib.contextmanager
    def serving(self, *, writer: str = "", group_max: int = 0) -> Iterator[Served]:
        """A server of its own process on a fresh copy, ended and removed after."""
        folder = self.fresh()
        environment = dict(RULES_ON)
        if group_max:
            environment["TRADEPOST_STORAGE__GROUP_MAX"] = str(group_max)
        kind = writer or Settings().storage.writer.value
        server = Served(
            ShopProcess(folder, free_port(random.Random()), writer=kind, environment=environment), self.plan
        )
        try:
            server.process.start()
            yield server
        finally:
            server.process.stop()
            shutil.rmtree(folder)


class Served:
    """A running server of the bench."""

    def __init__(self, process: ShopProcess, plan: Plan) -> None:
        self.process = process
        self.plan = plan

    def cpu_s(self) -> float:
        """CPU time of the server and its writer process so far."""
        process_id = self.process.process_id
        return cpu_seconds((process_id, *child_processes(process_id)))


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[App]:
    """The shop of a folder in this process, with no runtime at work."""
    async with open_app(Settings(server=Server(data_dir=str(folder)))) as app:
        yield app


async def _stock_up(folder: Path) -> Plan:
    async with opened(folder) as app:
        context = app.platform.checkout
        views = await _all_offers(app)
        scarce = await _receive(app, views)
        common = [view for view in views if view.offer_id not in scarce and _is_plain(view)]
        chance = random.Random(1)
        by_seller: dict[str, list[str]] = {}
        for view in common:
            by_seller.setdefault(view.seller_id, []).append(view.offer_id)
        owned = [chance.choice(common).seller_id for _ in range(BASKETS)]
        pairs = [chance.sample(by_seller[seller_id], 2) for seller_id in owned]
        world = SystemWorld()
        return Plan(
            baskets=tuple([await price_basket(context, pair) for pair in pairs]),
            hot=await price_basket(context, pairs[0]),
            scarce=await price_basket(context, sorted(scarce)[:1]),
            hundred=tuple(view.offer_id for view in chance.sample(common, 100)),
            buyers=tuple([world.mint("buyer", world.gene()) for _ in range(BUYERS)]),
        )


def _is_plain(view: catalog.OfferView) -> bool:
    return not view.limit_per_buyer and len(view.components) == 1 and view.components[0].sku_id == view.sku_id


async def _all_offers(app: App) -> list[catalog.OfferView]:
    page = await catalog.offers_in_market(app.platform.db, MARKET, limit=200)
    views = list(page.offers)
    while page.after:
        page = await catalog.offers_in_market(app.platform.db, MARKET, page.after, 200)
        views += page.offers
    return views


async def _receive(app: App, views: Sequence[catalog.OfferView]) -> set[str]:
    """Bring in plenty of everything but what is scarce; the offers that are."""
    db, at_ms = app.platform.db, app.platform.world.now_ms()
    plain = {view.sku_id: view.offer_id for view in views if _is_plain(view)}
    levels = await db.read(0, inventory.levels, list(plain))
    few = {plain[level.sku_id] for level in levels if level.available < 10}
    changes = [
        inventory.StockChange(
            sku_id=level.sku_id,
            location_id=level.location_id,
            pool=level.pool,
            delta=PIECES,
            reference="bench",
            at_ms=at_ms,
        )
        for level in levels
        if plain[level.sku_id] not in few
    ]
    await db.transact(0, inventory.receive, changes)
    return few


async def price_basket(context: checkout.Context, offers: Sequence[str]) -> Basket:
    """A piece of each at the price of this moment."""
    world = context.world
    wants = [checkout.Want(offer_id=offer_id, quantity=1) for offer_id in offers]
    buyer_id = world.mint("buyer", world.gene())
    quote, _ = await checkout.make_quote(context, MARKET, wants, buyer_id=buyer_id)
    return Basket(tuple(offers), quote.total_minor)
