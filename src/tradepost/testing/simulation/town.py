"""The town: who trades there, what is on the shelves, and what the actors remember of their own doings."""

from __future__ import annotations

import random
from collections import deque

import msgspec

from tradepost.infra.payments.sandbox import METHODS
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage, Tx
from tradepost.testing.simulation.campaigns import open_campaigns
from tradepost.testing.simulation.earned import open_creators
from tradepost.testing.simulation.world import START_MS, SimWorld
from tradepost.trade import catalog, inventory, parties, settlement
from tradepost.trade.checkout import Address, Request, StoredWish, Want

SELLERS = 3
PLAIN = 4
BUYERS = 14
MARKETS = {"GB": "GBP", "JP": "JPY", "US": "USD"}
CONVERTED = (1, 5)
"""Of a shop's goods, by number: those whose seller has prices in dollars alone."""
TOWN_RATES = tuple(
    {
        "sold": "USD",
        "paid": paid,
        "rate": rate,
        "source": "town hall",
        "published_ms": 1,
        "until_ms": 10**14,
        "margin_ppm": 15_000,
    }
    for paid, rate in (("GBP", "0.7913"), ("JPY", "151.37"))
)
METHOD_NAMES = (*METHODS, "sandbox_succeeds", "sandbox_succeeds", "sandbox_succeeds", "sandbox_succeeds")
ACCOUNTS = ("12345678", "12340001", "12340002")
"""One is paid at once, one after a refusal, one never: see the sandbox bank."""
ADDRESS = Address(name="A", line1="1 Way", city="Town", region="CA", postcode="1", country="GB", phone="1")


class Good(msgspec.Struct, frozen=True, kw_only=True):
    """Something on offer, and where its stock lies. A kit has components of other goods."""

    seller_id: str
    sku_id: str
    code: str
    offer_id: str
    locations: tuple[str, ...]
    terms: catalog.OfferTerms
    components: tuple[tuple[str, int], ...] = ()


class Form(msgspec.Struct, kw_only=True):
    """A request to buy as the client keeps it, so that it can be sent again; `checkout_id` once it was answered."""

    key: str
    buyer_id: str
    method: str
    confirm: bool
    market: str = ""
    wants: tuple[Want, ...] = ()
    scene: str = ""
    codes: tuple[str, ...] = ()
    token: str = ""
    total_minor: int | None = None
    checkout_id: str = ""
    new_buyer: bool = False
    stored: StoredWish | None = None

    def request(self) -> Request:
        """What travels beside the lines or the quote."""
        return Request(
            scope=self.buyer_id,
            key=self.key,
            request_hash=f"hash of {self.key}",
            buyer_id=self.buyer_id,
            address=ADDRESS,
            method=self.method,
            confirm=self.confirm,
            total_minor=self.total_minor,
            new_buyer=self.new_buyer,
            codes=self.codes,
            stored=self.stored,
        )


class Town:
    """The cast of one day. Memories are short, so a long day costs no more per step than a short one."""

    def __init__(self) -> None:
        self.sellers: list[str] = []
        self.buyers: list[str] = []
        self.goods: list[Good] = []
        self.forms: deque[Form] = deque(maxlen=24)
        self.quotes: deque[Form] = deque(maxlen=16)
        self.orders: deque[str] = deque(maxlen=90)
        self.payments: deque[str] = deque(maxlen=60)
        self.returns: deque[str] = deque(maxlen=30)
        self.carts: dict[str, str] = {}
        self.codes: tuple[str, ...] = ()
        self.creators: tuple[str, ...] = ()
        self.received: list[tuple[str, str]] = []
        self.placed: dict[str, str] = {}

    def plain(self) -> list[Good]:
        """Goods that have stock of their own."""
        return [good for good in self.goods if not good.components]

    def some_order(self, chance: random.Random) -> str:
        """An order placed lately, newer ones more often; empty when there is none."""
        if not self.orders:
            return ""
        if chance.random() < 0.5:
            return self.orders[-1 - chance.randrange(min(12, len(self.orders)))]
        return chance.choice(self.orders)


def _seller_opens(tx: Tx, seller_id: str, number: int) -> None:
    fee_bps = (0, 800, 1234)[number % 3]
    parties.open_seller(tx, seller_id, START_MS, name=f"Seller {number}", fee_bps=fee_bps, active=True)
    facts = catalog.SellerFacts(seller_id=seller_id, state="ACTIVE", fee_bps=fee_bps, version=1)
    catalog.note_sellers(tx, [facts])


def _terms(
    chance: random.Random, *, pool: str = "shop", free: bool = False, limit: int = 0
) -> catalog.OfferTerms:
    unit = 0 if free else chance.choice((1_9900, 12_5000, 333, 4_0000, 99_9950))
    prices = tuple(
        catalog.PriceWindow(currency=currency, price_e4=unit * 100) for currency in MARKETS.values()
    )
    return catalog.OfferTerms(markets=tuple(MARKETS), prices=prices, pool=pool, limit_per_buyer=limit)


def _converted(terms: catalog.OfferTerms) -> catalog.OfferTerms:
    """The terms of a seller with prices in dollars alone, sold everywhere."""
    dollars = tuple(window for window in terms.prices if window.currency == "USD")
    return msgspec.structs.replace(terms, prices=dollars, convert_from="USD")


async def open_town(db: Storage, world: SimWorld, chance: random.Random) -> Town:
    """Sellers with plain goods, kits that share them, scarce and limited ones, a campaign pool, and buyers."""
    town = Town()
    for number in range(SELLERS):
        seller_id = parties.mint_party(world, "seller")
        await db.transact(db.shard_of(gene_of(seller_id)), _seller_opens, seller_id, number)
        to = settlement.Destination(holder="S", account=ACCOUNTS[number % len(ACCOUNTS)])
        shard = db.shard_of(gene_of(seller_id))
        await db.transact(shard, settlement.set_destination, seller_id, to, 0, START_MS)
        town.sellers.append(seller_id)
        await _fill_shop(db, world, chance, town, seller_id)
    gifts = [(good.seller_id, good.offer_id) for good in town.goods if good.code == "sku-0"]
    town.codes = await open_campaigns(db, town.sellers, gifts)
    for number in range(BUYERS):
        buyer_id = parties.mint_party(world, "buyer")
        town.buyers.append(buyer_id)
        if number % 2:
            await db.transact(db.shard_of(gene_of(buyer_id)), parties.create_buyer, buyer_id, START_MS)
    town.creators = await open_creators(db, world, town.sellers)
    return town


async def _fill_shop(db: Storage, world: SimWorld, chance: random.Random, town: Town, seller_id: str) -> None:
    seller_gene = gene_of(seller_id)
    locations = tuple(sorted(world.mint("location", seller_gene) for _ in range(2)))
    plain: list[str] = []
    for number in range(PLAIN + 2):
        kit = (
            tuple((plain[(number + place) % PLAIN], 1 + place) for place in range(2))
            if number >= PLAIN
            else ()
        )
        code = f"{'kit' if kit else 'sku'}-{number}"
        product_id = world.mint("product", seller_gene)
        product = catalog.Product(product_id=product_id, seller_id=seller_id, code=code, title=code)
        await db.transact(db.shard_of(seller_gene), catalog.create_product, product, START_MS)
        sku = catalog.Sku(
            sku_id=world.mint("sku", world.gene()),
            seller_id=seller_id,
            product_id=product_id,
            code=code,
            title=code,
        )
        await catalog.add_sku(db, sku, START_MS, components=kit)
        pool = "campaign" if number == 3 else "shop"
        terms = _terms(chance, pool=pool, free=number == 2, limit=6 if number == 1 else 0)
        terms = _converted(terms) if number in CONVERTED else terms
        offer_id = world.mint("offer", seller_gene)
        shard = db.shard_of(seller_gene)
        await db.transact(shard, catalog.create_offer, seller_id, sku.sku_id, offer_id, terms, START_MS)
        if not kit:
            plain.append(code)
        good = Good(
            seller_id=seller_id,
            sku_id=sku.sku_id,
            code=code,
            offer_id=offer_id,
            locations=locations,
            terms=terms,
            components=kit,
        )
        town.goods.append(good)
        if not kit:
            await _stock(db, good, 3 if number == 0 else 60)


async def _stock(db: Storage, good: Good, pieces: int) -> None:
    changes = [
        inventory.StockChange(
            sku_id=good.sku_id,
            location_id=location_id,
            pool=pool,
            delta=pieces,
            reference="opening",
            at_ms=START_MS,
        )
        for location_id in good.locations
        for pool in ("shop", "campaign")
    ]
    await db.transact(db.shard_of(gene_of(good.sku_id)), inventory.receive, changes)
