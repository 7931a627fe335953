"""Races that the simulation's invariants describe and that need a moment no seed can be asked to hit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.testing.simulation.audit import Audit
from tradepost.testing.simulation.loop import VirtualLoop
from tradepost.testing.simulation.process import Site
from tradepost.testing.simulation.storage import Databases
from tradepost.testing.simulation.town import ADDRESS, Town, open_town
from tradepost.testing.simulation.weather import Weather
from tradepost.testing.simulation.world import SimWorld
from tradepost.trade import catalog, checkout, inventory
from tradepost.trade.checkout import Context, Request, Want


def request(buyer_id: str, key: str) -> Request:
    return Request(scope=buyer_id, key=key, request_hash=key, buyer_id=buyer_id, address=ADDRESS, method="")


class Slow:
    """A storage on which one kind of work waits for a gate."""

    def __init__(self, db: Any, work: Callable[..., Any], gate: asyncio.Event) -> None:
        self._db, self._work, self._gate = db, work, gate
        self.reached = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    async def transact(self, shard: int, work: Callable[..., Any], *args: Any) -> Any:
        if work is self._work:
            self.reached.set()
            await self._gate.wait()
        return await self._db.transact(shard, work, *args)


async def place_twice(site: Site, town: Town) -> list[str]:
    """One quote over two shards, clicked twice; stock comes between the two, and the first lets go last."""
    assert site.living is not None
    context = site.living.platform.checkout
    db = context.db
    buyer_id = town.buyers[0]
    goods = [good for good in town.plain() if good.terms.pool == "shop"]
    homes = {db.shard_of(gene_of(good.sku_id)): good for good in goods}
    first, second = homes[min(homes)], homes[max(homes)]
    wants = [Want(offer_id=first.offer_id, quantity=1), Want(offer_id=second.offer_id, quantity=500)]
    _, token = await checkout.make_quote(context, "GB", wants, buyer_id=buyer_id)
    gate = asyncio.Event()
    slow = Slow(db, inventory.release, gate)
    held_up = Context(
        db=slow,
        world=context.world,
        book=context.book,
        hints=inventory.SoldOutHints(db),
        earlier=checkout.Earlier(db),
        secret=context.secret,
        terms=context.terms,
    )
    one = await checkout.accept_quote(context, token, request(buyer_id, "one"))
    two = await checkout.accept_quote(context, token, request(buyer_id, "two"))
    refused = asyncio.ensure_future(checkout.place_order(held_up, one))
    await slow.reached.wait()
    change = inventory.StockChange(
        sku_id=second.sku_id,
        location_id=second.locations[0],
        delta=1_000,
        reference="late",
        at_ms=context.world.now_ms(),
    )
    await db.transact(db.shard_of(gene_of(second.sku_id)), inventory.receive, [change])
    outcomes = []
    placing = asyncio.ensure_future(checkout.place_order(context, two))
    await asyncio.sleep(1)
    gate.set()
    for task in (refused, placing):
        try:
            await task
            outcomes.append("placed")
        except Refusal as refusal:
            outcomes.append(refusal.code)
    return outcomes


def test_a_refused_click_does_not_give_away_the_stock_of_its_twin() -> None:
    loop = VirtualLoop()
    databases = Databases(4)
    world = SimWorld(loop, "twins")
    site = Site(loop, world, Weather(()), databases, print)

    async def story() -> list[str]:
        site.start()
        assert site.living is not None
        town = await open_town(site.living.storage, world, random.Random(1))
        outcomes = await place_twice(site, town)
        audit = Audit(databases.readers, catalog.CONSUMERS, world.now_ms())
        audit.look([], {})
        site.living.die()
        await asyncio.sleep(0.1)
        return [*outcomes, *audit.findings]

    assert loop.run_until_complete(story()) == ["inventory.sold_out", "checkout.abandoned"]
    loop.close()
    databases.close()
