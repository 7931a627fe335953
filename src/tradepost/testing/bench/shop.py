"""The shop that is measured: the demo shop with stock that lasts, copied fresh for every figure."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from tradepost.app import App, open_app, open_reader
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx, Value
from tradepost.kernel.world import SystemWorld
from tradepost.settings import Server, Settings, StorageSettings
from tradepost.testing.bench.machine import cpu_seconds
from tradepost.testing.torture.shop import ShopProcess, child_processes, free_port
from tradepost.trade import catalog, checkout, inventory

MARKET = "GB"
PIECES = 1_000_000
BASKETS = 2_000
BUYERS = 20_000
RULES_ON = {"TRADEPOST_CHECKOUT__VELOCITY_ORDERS_MAX": "60", "TRADEPOST_CHECKOUT__REMORSE_MS": "-1"}
"""The shop's own defaults: no rule is off while it is measured."""
CHANGES_AT_ONCE = 200
FEW = 10
"""An offer with fewer pieces is what the crowd sells out."""


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
    """A folder with the stocked demo shop in `template`, and the plan made from it.

    With the address of a `database` the shop lies there, and every figure goes on with the same one: its stock lasts.
    `processes` are those of the database server.
    """

    def __init__(
        self, folder: Path, database: str = "", processes: Callable[[], Sequence[int]] = lambda: ()
    ) -> None:
        self.folder = folder
        self.database = database
        self._processes = processes
        self.template = folder / "template"
        self._numbers = itertools.count(1)
        demo = ShopProcess(self.template, free_port(random.Random()), environment=self._environment())
        demo.start()  # `serve --demo` enters the goods
        demo.stop()
        self.plan = asyncio.run(_stock_up(self.template, database))

    def _environment(self) -> Mapping[str, str]:
        return {**RULES_ON, **({"TRADEPOST_STORAGE__URL": self.database} if self.database else {})}

    def fresh(self) -> Path:
        """A new copy of the stocked shop's folder."""
        folder = self.folder / f"copy-{next(self._numbers)}"
        shutil.copytree(self.template, folder)
        return folder

    @contextlib.contextmanager
    def serving(self, *, writer: str = "", group_max: int = 0) -> Iterator[Served]:
        """A server of its own process, ended after; a file is a fresh copy, removed after."""
        folder = self.template if self.database else self.fresh()
        environment = dict(self._environment())
        if group_max:
            environment["TRADEPOST_STORAGE__GROUP_MAX"] = str(group_max)
        kind = writer or Settings().storage.writer.value
        server = Served(
            ShopProcess(folder, free_port(random.Random()), writer=kind, environment=environment),
            self.plan,
            self.database,
            self._processes(),
        )
        try:
            server.process.start()
            yield server
        finally:
            server.process.stop()
            if not self.database:
                shutil.rmtree(folder)


class Served:
    """A running server of the bench."""

    def __init__(
        self, process: ShopProcess, plan: Plan, database: str = "", processes: Sequence[int] = ()
    ) -> None:
        self.process = process
        self.plan = plan
        self._processes = processes
        self._settings = settings_of(process.folder, database)

    def count(self, sql: str, params: Sequence[Value] = ()) -> int:
        """The number that a `SELECT COUNT(*)` gives over all shards, read past the server."""
        reader = open_reader(self._settings)
        try:
            return sum(
                int(reader.read(shard, _first_value, sql, tuple(params))) for shard in range(reader.shards)
            )
        finally:
            reader.close()

    def cpu_s(self) -> float:
        """CPU time of the server, its writer process and its database server so far."""
        process_id = self.process.process_id
        return cpu_seconds((process_id, *child_processes(process_id), *self._processes))


def _first_value(tx: Tx, sql: str, params: Sequence[Value]) -> Value:
    value: Value = tx.query(sql, params)[0][0]
    return value


def settings_of(folder: Path, database: str = "") -> Settings:
    """The settings of the shop in a folder, its database at an address or a file there."""
    return Settings(server=Server(data_dir=str(folder)), storage=StorageSettings(url=database))


@contextlib.asynccontextmanager
async def opened(folder: Path, database: str = "") -> AsyncIterator[App]:
    """The shop of a folder in this process, with no runtime at work."""
    async with open_app(settings_of(folder, database)) as app:
        yield app


async def _stock_up(folder: Path, database: str) -> Plan:
    async with opened(folder, database) as app:
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
    by_shard: dict[int, list[str]] = defaultdict(list)
    for sku_id in plain:
        by_shard[db.shard_of(gene_of(sku_id))].append(sku_id)
    few: set[str] = set()
    for shard, skus in by_shard.items():
        levels = await db.read(shard, inventory.levels, skus)
        few |= {plain[level.sku_id] for level in levels if level.available < FEW}
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
        for start in range(0, len(changes), CHANGES_AT_ONCE):
            await db.transact(shard, inventory.receive, changes[start : start + CHANGES_AT_ONCE])
    return few


async def price_basket(context: checkout.Context, offers: Sequence[str]) -> Basket:
    """A piece of each at the price of this moment."""
    world = context.world
    wants = [checkout.Want(offer_id=offer_id, quantity=1) for offer_id in offers]
    buyer_id = world.mint("buyer", world.gene())
    quote, _ = await checkout.make_quote(context, MARKET, wants, buyer_id=buyer_id)
    return Basket(tuple(offers), quote.total_minor)
