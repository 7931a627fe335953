"""A cache of one process hears what another one committed: at once, and out of the database while Redis is down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.contract.test_cache import chance, eventually, now_ms
from tests.redis_server import RedisServer, redis_own  # noqa: F401

from tradepost.app.opening import NEWS
from tradepost.infra.cache.memory import MemoryCache
from tradepost.infra.cache.redis_cache import RedisCache
from tradepost.infra.cache.redis_link import RedisLink
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import record
from tradepost.kernel.tx import Signal, Tx
from tradepost.stability.cache import Cache, CacheDown
from tradepost.stability.news import AGAIN_MS, StreamNews
from tradepost.stability.signals import FORGET, POLL_DEAF_S, POLL_HEARING_S, SharedSignals
from tradepost.testing.world import TestWorld
from tradepost.trade import catalog
from tradepost.trade.catalog import OfferTerms, PriceWindow, Product, SellerFacts, Sku
from tradepost.trade.parties.model import SellerStateChanged
from tradepost.trade.shipping import Band, Basis, Method, Rate, Terms, Zone, put_terms

AT = 1_790_000_000_000
TERMS = OfferTerms(markets=("GB",), prices=(PriceWindow(currency="GBP", price_e4=10_000),))
TOPICS = ("offer", "seller", "key")


class Elsewhere:
    """The same database as another process sees it: nothing that is committed here is heard there."""

    def __init__(self, db: SqliteStorage) -> None:
        self._db = db

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def listen(self, listener: Callable[[Signal], None]) -> None:
        """Nothing of this process."""


class Process:
    """One API worker with an offer book."""

    def __init__(self, db: Any, cache: Cache, name: str, poll: Any = None) -> None:
        self.signals = SharedSignals(db, cache, topics=TOPICS, origin=name, poll=poll)
        over = self.signals.over(db)
        self.book = catalog.OfferBook(over)
        self.heard: list[Signal] = []
        over.listen(self.heard.append)
        self.stop = asyncio.Event()
        self.running = asyncio.ensure_future(self.signals.run(self.stop))

    async def close(self) -> None:
        self.stop.set()
        await self.running


async def make_offer(db: SqliteStorage, world: TestWorld) -> tuple[str, str]:
    """(seller, offer)."""
    seller_id, gene = world.mint("seller", 5), 5
    await db.transact(
        0, catalog.note_sellers, [SellerFacts(seller_id=seller_id, state="ACTIVE", fee_bps=1, version=1)]
    )
    product = Product(
        product_id=world.mint("product", gene),
        seller_id=seller_id,
        code="P",
        title="Lantern",
        description="",
        image="",
        tax_category="standard",
    )
    await db.transact(0, catalog.create_product, product, AT)
    sku = Sku(
        sku_id=world.mint("sku", gene),
        seller_id=seller_id,
        product_id=product.product_id,
        code="S",
        title="Lantern",
    )
    await catalog.add_sku(db, sku, AT)
    offer_id = world.mint("offer", gene)
    await db.transact(0, catalog.create_offer, seller_id, sku.sku_id, offer_id, TERMS, AT)
    return seller_id, offer_id


@pytest.fixture
async def caches(redis_own: RedisServer) -> AsyncIterator[list[RedisCache]]:  # noqa: F811
    links = [
        RedisLink(redis_own.url, now_ms=now_ms, chance=chance, timeout_ms=500),
        RedisLink(redis_own.url, now_ms=now_ms, chance=chance, timeout_ms=500),
    ]
    made = [RedisCache(link, chance=chance, now_ms=now_ms) for link in links]
    yield made
    for cache, link in zip(made, links, strict=True):
        await cache.close()
        await link.close()


async def test_an_offer_changed_in_one_process_is_forgotten_in_the_other(
    db: SqliteStorage, world: TestWorld, caches: list[RedisCache]
) -> None:
    seller_id, offer_id = await make_offer(db, world)
    here, there = Process(db, caches[0], "here"), Process(Elsewhere(db), caches[1], "there")
    try:
        await eventually(lambda: all(cache.is_heard() for cache in caches))
        for book in (here.book, there.book):
            assert (await book.get([offer_id]))[offer_id].state == "ACTIVE"
        await db.transact(0, catalog.move_offer, seller_id, offer_id, "pause", 1, AT)
        assert here.book.peek([offer_id])[1] == [offer_id], "its own process hears before the answer"
        await eventually(lambda: there.book.peek([offer_id])[1] == [offer_id])
        assert (await there.book.get([offer_id]))[offer_id].state == "PAUSED"
        await db.transact(
            0, catalog.note_sellers, [SellerFacts(seller_id=seller_id, state="CLOSED", fee_bps=1, version=2)]
        )
        await eventually(lambda: there.book.peek([offer_id])[1] == [offer_id])
        assert there.signals.gauges()["signals_heard"] == 2
        assert here.signals.gauges()["signals_heard"] == 0, "an echo of one's own is no news"
    finally:
        await here.close()
        await there.close()


async def test_while_redis_is_down_everything_is_forgotten_again_and_again(
    db: SqliteStorage,
    world: TestWorld,
    caches: list[RedisCache],
    redis_own: RedisServer,  # noqa: F811
) -> None:
    here, there = Process(db, caches[0], "here"), Process(Elsewhere(db), caches[1], "there")
    try:
        await eventually(lambda: all(cache.is_heard() for cache in caches))
        redis_own.kill()
        await eventually(lambda: not caches[1].is_heard())
        there.heard.clear()
        await eventually(lambda: there.heard.count(Signal(FORGET, "")) >= 3)
        await db.transact(0, tell_offer, "ofr_1")
        await eventually(lambda: here.signals.gauges()["signals_untold"] == 1)
        there.heard.clear()
        redis_own.start()
        await eventually(lambda: all(cache.is_heard() for cache in caches), 15)
        await eventually(lambda: here.signals.gauges()["signals_untold"] == 0, 10)
        await eventually(lambda: there.heard != [], 10)  # the signal itself, or to forget everything
        await db.transact(0, tell_offer, "ofr_2")
        await eventually(lambda: Signal("offer", "ofr_2") in there.heard)
        there.heard.clear()
        await asyncio.sleep(2 * POLL_DEAF_S)
        assert there.heard == [], "once it hears again nothing is forgotten without need"
    finally:
        await here.close()
        await there.close()


def tell_offer(tx: Tx, offer_id: str) -> None:
    """A commit that changed an offer, as far as caches are concerned."""
    tx.signal("offer", offer_id)


class Deaf(MemoryCache):
    """A cache that is down."""

    def is_heard(self) -> bool:
        return False

    async def drop(self, keys: Any, mark: str = "") -> None:
        raise CacheDown


async def test_the_database_tells_what_changed_when_nobody_else_does(
    db: SqliteStorage, world: TestWorld
) -> None:
    clock = [0]
    news = StreamNews(db, {"seller.state_changed.v1": "seller"}, now_ms=lambda: clock[0])
    seller_id = world.mint("seller", 5)
    assert await news.read() == []
    process = Process(Elsewhere(db), Deaf(now_ms), "there", poll=news.read)
    try:
        await eventually(lambda: process.signals.gauges()["signals_forgot"] >= 1)
        await db.transact(0, emit_seller_change, seller_id)
        await eventually(lambda: Signal("seller", seller_id) in process.heard)
        process.heard.clear()
        await eventually(lambda: Signal("seller", seller_id) in process.heard)
        clock[0] += AGAIN_MS + 1
        assert await news.read() == []
    finally:
        await process.close()


def emit_seller_change(tx: Tx, seller_id: str) -> None:
    """The event that the parties room writes."""
    fact = SellerStateChanged(seller_id=seller_id, state="PAUSED", reason="", fee_bps=1)
    tx.emit([record(fact, seller_id, 1, AT)])


async def test_shipping_terms_of_another_process_make_its_seller_forgotten(
    db: SqliteStorage, world: TestWorld
) -> None:
    seller_id = world.mint("seller", 5)
    facts = SellerFacts(seller_id=seller_id, state="ACTIVE", fee_bps=1, version=1)
    await db.transact(0, catalog.note_sellers, [facts])
    news = StreamNews(db, NEWS, now_ms=lambda: 0)
    assert await news.read() == []
    await db.transact(0, emit_terms_change, seller_id)
    assert await news.read() == [Signal("seller", seller_id)]


def emit_terms_change(tx: Tx, seller_id: str) -> None:
    """Terms as their seller writes them."""
    rate = Rate(zone="home", basis=Basis.UNITS, bands=(Band(amount_minor=300),))
    terms = Terms(
        seller_id=seller_id,
        currency="GBP",
        zones=(Zone(code="home", countries=("GB",)),),
        methods=(Method(code="parcel", title="Parcel", rates=(rate,)),),
    )
    put_terms(tx, terms, seller_id, AT, by_seller=True)


async def test_a_database_that_cannot_be_read_means_forgetting(db: SqliteStorage) -> None:
    async def fail() -> list[Signal]:
        raise Refusal("storage.unavailable", "gone")

    process = Process(Elsewhere(db), Deaf(now_ms), "there", poll=fail)
    try:
        await eventually(lambda: process.heard.count(Signal(FORGET, "")) >= 2)
    finally:
        await process.close()


async def test_looks_into_the_database_are_rare_while_the_cache_is_heard(db: SqliteStorage) -> None:
    signals = SharedSignals(Elsewhere(db), MemoryCache(now_ms), topics=TOPICS, origin="a")  # type: ignore[arg-type]
    assert signals.poll_every_s() == POLL_HEARING_S
    signals = SharedSignals(Elsewhere(db), Deaf(now_ms), topics=TOPICS, origin="a")  # type: ignore[arg-type]
    assert signals.poll_every_s() == POLL_DEAF_S


async def test_too_much_untold_is_told_as_forget(db: SqliteStorage) -> None:
    cache = MemoryCache(now_ms)
    here = SharedSignals(db, cache, topics=TOPICS, origin="here")
    there = SharedSignals(Elsewhere(db), cache, topics=TOPICS, origin="there")  # type: ignore[arg-type]
    heard: list[Signal] = []
    there.listen(heard.append)
    await db.transact(0, tell_many, 10_001)
    assert await here.tell()
    assert heard == [Signal(FORGET, "")]


def tell_many(tx: Tx, count: int) -> None:
    """A bulk import, as far as caches are concerned."""
    for at in range(count):
        tx.signal("offer", f"ofr_{at}")


async def test_a_price_that_ends_is_not_used_after_its_end_though_it_is_cached(
    db: SqliteStorage, world: TestWorld
) -> None:
    seller_id, offer_id = await make_offer(db, world)
    prices = (
        PriceWindow(currency="GBP", price_e4=10_000, until_ms=AT + 1_000),
        PriceWindow(currency="GBP", price_e4=20_000, from_ms=AT + 1_000),
    )
    await db.transact(
        0, catalog.change_offer, seller_id, offer_id, OfferTerms(markets=("GB",), prices=prices), 1, AT
    )
    book = catalog.OfferBook(db)
    view = (await book.get([offer_id]))[offer_id]
    assert book.peek([offer_id])[1] == []
    assert view.prices == prices, "the book keeps windows, and a quote picks the one of its moment"
