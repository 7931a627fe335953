"""The stage of one step: what an actor has at hand, and what it touched."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.surfaces.api.platform import Platform
from tradepost.testing.simulation.network import ConnectionLost
from tradepost.testing.simulation.process import Site
from tradepost.testing.simulation.steps import Step
from tradepost.testing.simulation.town import Town

P = ParamSpec("P")
T = TypeVar("T")


class Stage:
    """One actor's view of the world during one step. `touched` are ids that are checked after it."""

    def __init__(self, site: Site, town: Town, step: Step) -> None:
        self.site = site
        self.town = town
        self.step = step
        self.chance = random.Random(step.seed)
        self.touched: dict[str, None] = {}

    def touch(self, *ids: str) -> None:
        """Let these be checked when the step is over."""
        self.touched.update(dict.fromkeys(each for each in ids if each))

    def mint(self, kind: str, like: str) -> str:
        """An id on the gene of another."""
        return self.site.world.mint(kind, gene_of(like))

    def now_ms(self) -> int:
        """The moment."""
        return self.site.world.now_ms()

    async def ask(self, story: Callable[[Platform], Coroutine[Any, Any, T]]) -> T:
        """One request; see `Site.ask`."""
        return await self.site.ask(story)

    async def insist(self, story: Callable[[Platform], Coroutine[Any, Any, T]]) -> T:
        """A request of a patient client: repeated as it is while the line breaks, three times at most."""
        for _ in range(3):
            try:
                return await self.site.ask(story)
            except ConnectionLost:
                if self.chance.random() < 0.3:
                    raise
                await self.wait(0.1)
        return await self.site.ask(story)

    async def wait(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    async def transact(
        self, like: str, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """A patient client's transaction on the shard of an id."""

        async def story(platform: Platform) -> T:
            db = platform.db
            return await db.transact(db.shard_of(gene_of(like)), work, *args, **kwargs)

        return await self.insist(story)

    async def read(
        self, like: str, query: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """A query on the shard of an id."""

        async def story(platform: Platform) -> T:
            db = platform.db
            return await db.read(db.shard_of(gene_of(like)), query, *args, **kwargs)

        return await self.insist(story)
