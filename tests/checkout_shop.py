"""A shop to check out in: offers in memory, stock and checkouts in a storage of one shard or of two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from tests.memory_tx import MemoryDatabase

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import BatchHandler, Signal
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout, inventory
from tradepost.trade.catalog import Component, OfferView, PriceWindow
from tradepost.trade.checkout import Address, Request, Terms, Want
from tradepost.trade.checkout.model import CheckoutView, Placement

HOME = Address(name="Ada", line1="1 Loop Lane", city="York", postcode="YO1 7HH", country="GB")
GENE = 6


class Shelf:
    """The part of the offer book that checkout asks, filled by hand."""

    def __init__(self) -> None:
        self.views: dict[str, OfferView] = {}

    def peek(self, offer_ids: Sequence[str]) -> tuple[dict[str, OfferView], list[str]]:
        found = {offer_id: self.views[offer_id] for offer_id in offer_ids if offer_id in self.views}
        return found, [offer_id for offer_id in offer_ids if offer_id not in found]

    async def get(self, offer_ids: Sequence[str]) -> dict[str, OfferView]:
        return self.peek(offer_ids)[0]


class TwoShards:
    """The storage port over two memory databases, even genes and odd ones; every call commits by itself.

    `before[name]` is awaited once before the batch of that name runs: how a test lets others come first.
    """

    shards = 2

    def __init__(self) -> None:
        self.databases = [MemoryDatabase(), MemoryDatabase()]
        self.before: dict[str, Callable[[], Any]] = {}
        self.refused: dict[str, Refusal] = {}
        for shard, database in enumerate(self.databases):
            database.engine.tx.shard, database.engine.tx.shards = shard, 2

    def shard_of(self, gene: int) -> int:
        return gene % 2

    async def transact(self, shard: int, work: Callable[..., Any], *args: Any) -> Any:
        if work.__name__ in self.refused:
            raise self.refused.pop(work.__name__)
        return self.databases[shard].run(work, *args)

    async def batch(self, shard: int, handler: BatchHandler[Any, Any], item: Any) -> Any:
        name = handler.name.rpartition(":")[2]
        meanwhile = self.before.pop(name, None)
        if meanwhile is not None:
            await meanwhile()
        if name in self.refused:
            raise self.refused.pop(name)
        [answer] = self.databases[shard].run(handler.handle, [item])
        if isinstance(answer, Refusal):
            raise answer
        return answer

    async def read(self, shard: int, query: Callable[..., Any], *args: Any) -> Any:
        return self.databases[shard].run(query, *args)

    def listen(self, listener: Callable[[Signal], None]) -> None:
        """Nobody listens here."""

    def close(self) -> None:
        for database in self.databases:
            database.close()


class Shop:
    """Offers with stock, and buyers who place them."""

    def __init__(self, db: Any, world: TestWorld, **more: Any) -> None:
        self.db = db
        self.world = world
        self.shelf = Shelf()
        facts: dict[str, Any] = {
            "db": db,
            "world": world,
            "book": self.shelf,
            "hints": inventory.SoldOutHints(db),
            "earlier": checkout.Earlier(db),
            "secret": b"a secret of thirty-two bytes and",
            "terms": Terms(),
        }
        self.context = checkout.Context(**{**facts, **more})
        self.buyer_id = world.mint("buyer", GENE)
        self.seller_id = world.mint("seller", 8)

    async def offer(
        self,
        pieces: int = 10,
        price_minor: int = 1_000,
        *,
        seller_id: str = "",
        sku_gene: int = GENE,
        components: Sequence[tuple[str, int]] = (),
        **more: Any,
    ) -> str:
        """A new offer with so many pieces in stock; its id."""
        offer_id, sku_id = self.world.mint("offer", 8), self.world.mint("sku", sku_gene)
        parts = tuple(Component(sku_id=part, quantity=number) for part, number in components or [(sku_id, 1)])
        facts: dict[str, Any] = {
            "offer_id": offer_id,
            "seller_id": seller_id or self.seller_id,
            "sku_id": sku_id,
            "sku_code": sku_id[-6:],
            "product_id": "prd_1",
            "title": "Mug",
            "description": "",
            "image": "",
            "components": parts,
            "markets": ("GB",),
            "prices": (PriceWindow(currency="GBP", price_e4=price_minor * 10_000),),
            "state": "ACTIVE",
            "seller_state": "ACTIVE",
            "fee_bps": 500,
            "version": 1,
        }
        self.shelf.views[offer_id] = OfferView(**{**facts, **more})
        if pieces and not components:
            await self.stock_up(sku_id, pieces)
        return offer_id

    def sku_of(self, offer_id: str) -> str:
        """The SKU of an offer."""
        return self.shelf.views[offer_id].sku_id

    async def stock_up(self, sku_id: str, pieces: int) -> None:
        """More pieces come in."""
        change = inventory.StockChange(
            sku_id=sku_id,
            location_id="loc_a",
            delta=pieces,
            reference=self.world.mint("transaction", 0),
            at_ms=self.world.now_ms(),
        )
        await self.db.transact(self.db.shard_of(gene_of(sku_id)), inventory.receive, [change])

    async def level(self, sku_id: str) -> inventory.Level:
        """What is on hand, held and reserved of a SKU in the shop's pool."""
        [level] = await self.db.read(self.db.shard_of(gene_of(sku_id)), inventory.levels, [sku_id])
        found: inventory.Level = level
        return found

    def request(self, key: str = "k1", **more: Any) -> Request:
        """What comes with a placement; the hash follows from the key unless it is given."""
        facts: dict[str, Any] = {
            "scope": "party",
            "key": key,
            "request_hash": f"hash of {key}",
            "buyer_id": self.buyer_id,
            "address": HOME,
            "method": "card",
        }
        return Request(**{**facts, **more})

    async def quote(self, *lines: tuple[str, int], **more: Any) -> tuple[Any, str]:
        """A quote for these (offer, quantity) and its token."""
        return await checkout.make_quote(
            self.context, "GB", wants(lines), **{"buyer_id": self.buyer_id, **more}
        )

    async def accept(self, *lines: tuple[str, int], key: str = "k1", **more: Any) -> Placement:
        """The placement of buying these now."""
        request = self.request(key, **more)
        return await checkout.accept_buy_now(self.context, "GB", wants(lines), request)

    async def buy(self, *lines: tuple[str, int], key: str = "k1", **more: Any) -> tuple[CheckoutView, bool]:
        """Buy these now."""
        return await checkout.place_order(self.context, await self.accept(*lines, key=key, **more))

    async def place(self, token: str, key: str = "k1", **more: Any) -> tuple[CheckoutView, bool]:
        """Place a quote."""
        placement = await checkout.accept_quote(self.context, token, self.request(key, **more))
        return await checkout.place_order(self.context, placement)


def wants(lines: Sequence[tuple[str, int]]) -> list[Want]:
    """Lines as a buyer asks for them."""
    return [Want(offer_id=offer_id, quantity=quantity) for offer_id, quantity in lines]


def rename(placement: Placement, **fields: Any) -> Placement:
    """A placement with other fields."""
    return msgspec.structs.replace(placement, **fields)
