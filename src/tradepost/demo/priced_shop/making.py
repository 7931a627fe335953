"""The shop itself: its goods, its campaigns as they come and go, its purchases."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tradepost.app import open_app
from tradepost.demo.load import load_demo
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage, Tx
from tradepost.settings import Settings
from tradepost.testing.world import TestWorld
from tradepost.trade import catalog, checkout, inventory, promotion
from tradepost.trade.catalog import Layer, OfferTerms, OfferView, PriceWindow
from tradepost.trade.checkout import Address, Context, Request, Want
from tradepost.trade.promotion import (
    BuyGet,
    Campaign,
    Condition,
    Filter,
    Fixed,
    Funder,
    Gift,
    Limits,
    Percentage,
    Rule,
    RuleClass,
    Share,
)

MARKET, CURRENCY = "GB", "GBP"
GOODS, BUYERS, PIECES, LINES_MAX = 60, 200, 1_000_000, 5
RUNNING_MAX = 12
"""Campaigns in force at a time: one more and an old one ends."""
DAY_MS = 86_400_000
HOME = Address(name="Ada", line1="1 Loop Lane", city="York", postcode="YO1 7HH", country="GB")
HALF = (Share(funder=Funder.PLATFORM, bps=5_000), Share(funder=Funder.SELLER, bps=5_000))
CODE = "WELCOME"


class Told(msgspec.Struct, kw_only=True):
    """What was made. `refused` are purchases that were refused, by code: limits that were reached."""

    orders: int = 0
    checkouts: int = 0
    campaigns: int = 0
    refused: dict[str, int] = {}


class _Making:
    """One shop in the making, its clock and its chance."""

    def __init__(self, context: Context, world: TestWorld, seed: int) -> None:
        self.context, self.world, self.chance = context, world, random.Random(seed)
        self.db: Storage = context.db
        self.buyers = [world.mint("buyer", world.gene()) for _ in range(BUYERS)]
        self.running: list[str] = []
        self.gifts: list[OfferView] = []
        self.told = Told(refused={})

    async def goods(self) -> None:
        """Some offers of the demo shop with stock for all, a third of them with floors and prices in layers."""
        found = await some_offers(self.db)
        for number, offer in enumerate(found):
            for part in offer.components:
                await self.db.transact(
                    self.db.shard_of(gene_of(part.sku_id)),
                    inventory.receive,
                    [self._pieces(part.sku_id, offer)],
                )
            if number % 3 and len(offer.components) == 1:
                self.gifts.append(offer)
            if number % 3 == 0:
                shard = self.db.shard_of(gene_of(offer.seller_id))
                await self.db.transact(shard, _set_layers, offer, self.world.now_ms())

    def _pieces(self, sku_id: str, offer: OfferView) -> inventory.StockChange:
        return inventory.StockChange(
            sku_id=sku_id,
            location_id="loc_a",
            pool=offer.pool,
            delta=PIECES,
            reference=self.world.mint("transaction", 0),
            at_ms=self.world.now_ms(),
        )

    async def begin_campaign(self) -> None:
        """One more campaign, or another state of one that runs."""
        one = self._campaign()
        self.told.campaigns += 1
        shard = self.db.shard_of(promotion.GENE)
        await self.db.transact(shard, promotion.create_campaign, one, "opr_made", self.world.now_ms())
        await checkout.publish_campaign(self.context, one.campaign_id)
        self.running.append(one.campaign_id)
        if len(self.running) > RUNNING_MAX:
            ended = self.running.pop(self.chance.randrange(RUNNING_MAX))
            given = self.chance.choice(("pause", "end"))
            await self.db.transact(shard, promotion.move_campaign, ended, given, self.world.now_ms())

    def _campaign(self) -> Campaign:
        number, chance = self.told.campaigns + 1, self.chance
        coded = number % 4 == 0
        return Campaign(
            campaign_id=self.world.mint("campaign", promotion.GENE),
            title=f"Campaign {number}",
            currency=CURRENCY,
            rules=_RULES[number % len(_RULES)](chance) if number % 5 else self._present(),
            markets=chance.choice(((), (MARKET,))),
            limits=Limits(total=chance.choice((0, 40)), per_buyer=chance.choice((0, 0, 3))),
            needs_code=coded,
            codes=(f"{CODE}{number}",) if coded else (),
            until_ms=chance.choice((0, self.world.now_ms() + 2 * DAY_MS)),
        )

    def _present(self) -> tuple[Rule, ...]:
        """Something of a seller's own, with goods of the same seller for six pounds."""
        gift = self.chance.choice(self.gifts)
        own = Filter(sellers=(gift.seller_id,))
        enough = Condition(items_total_at_least=600, among=own)
        effect = Gift(offer_id=gift.offer_id, quantity=self.chance.choice((1, 2)))
        return (Rule(code="present", effect=effect, filter=own, conditions=(enough,), funding=HALF),)

    async def buy(self, offers: Sequence[OfferView]) -> None:
        """One purchase, by quote or at once, sometimes with a code."""
        chance = self.chance
        wants = [
            Want(offer_id=one.offer_id, quantity=chance.choice((1, 1, 2, 3, 7)))
            for one in chance.sample(offers, chance.randrange(1, LINES_MAX + 1))
        ]
        codes = (f"{CODE}{chance.randrange(4, self.told.campaigns + 1, 4)}",) if chance.random() < 0.2 else ()
        key = f"k{self.told.checkouts}-{sum(self.told.refused.values())}"
        asked: dict[str, Any] = {
            "codes": codes,
            "segments": chance.choice(((), ("vip",))),
            "buyer_id": chance.choice(self.buyers),
        }
        request = Request(scope="made", key=key, request_hash=key, address=HOME, method="card", **asked)
        try:
            if chance.random() < 0.5:
                _, token = await checkout.make_quote(self.context, MARKET, wants, **asked)
                placement = await checkout.accept_quote(self.context, token, request)
            else:
                placement = await checkout.accept_buy_now(self.context, MARKET, wants, request)
            view, _ = await checkout.place_order(self.context, placement)
        except Refusal as refusal:
            if not refusal.code.startswith("promotion."):
                raise
            self.told.refused[refusal.code] = self.told.refused.get(refusal.code, 0) + 1
            return
        self.told.checkouts += 1
        self.told.orders += len(view.orders)


async def some_offers(db: Storage) -> list[OfferView]:
    """Offers of every seller of the demo shop, always the same."""
    page = await catalog.offers_in_market(db, MARKET)
    found = list(page.offers)
    while page.after:
        page = await catalog.offers_in_market(db, MARKET, page.after)
        found += page.offers
    return found[:: max(1, len(found) // GOODS)]


def _set_layers(tx: Tx, offer: OfferView, at_ms: int) -> None:
    """A floor, a market price, a flash of three days from tomorrow, and a price for members."""
    listed = next(window.price_e4 for window in offer.prices if window.currency == CURRENCY)
    more = (
        PriceWindow(currency=CURRENCY, price_e4=listed * 95 // 100, layer=Layer.MARKET, market=MARKET),
        PriceWindow(
            currency=CURRENCY,
            price_e4=listed * 80 // 100,
            layer=Layer.FLASH,
            from_ms=at_ms + DAY_MS,
            until_ms=at_ms + 4 * DAY_MS,
        ),
        PriceWindow(currency=CURRENCY, price_e4=listed * 90 // 100, layer=Layer.MEMBER, segment="vip"),
    )
    terms = OfferTerms(
        markets=offer.markets,
        prices=(*offer.prices, *more),
        pool=offer.pool,
        floors={CURRENCY: listed // 20_000},
    )
    catalog.change_offer(tx, offer.seller_id, offer.offer_id, terms, 0, at_ms)


def _percent(ppm: int, code: str = "percent", **more: Any) -> Rule:
    return Rule(code=code, effect=Percentage(percent_ppm=ppm), **more)


def _off(minor: int, code: str = "off", **more: Any) -> Rule:
    return Rule(code=code, effect=Fixed(amount_minor=minor), filter=_DEAR, **more)


_DEAR = Filter(unit_price_min=200)
_ORDER: dict[str, Any] = {"rule_class": RuleClass.ORDER}
_RULES = (
    lambda chance: (_percent(chance.randrange(10_000, 150_000), funding=HALF),),
    lambda chance: (_off(chance.randrange(10, 60), funding=HALF, **_ORDER),),
    lambda chance: (_percent(70_000, conditions=(Condition(items_total_at_least=1_500),), **_ORDER),),
    lambda chance: (Rule(code="three", effect=BuyGet(buy_quantity=2, percent_ppm=500_000)),),
    lambda chance: (_off(50, "ship", rule_class=RuleClass.SHIPPING), _percent(33_333, "also", priority=5)),
    lambda chance: (_percent(111_111, filter=Filter(segments=("vip",)), exclusive=chance.random() < 0.3),),
    lambda chance: (_off(37, "first", conditions=(Condition(first_order=True),), **_ORDER),),
    lambda chance: (_percent(90_000, best_of="weekly", cap_minor=400, funding=HALF),),
)


async def make_shop(folder: Path, count: int, seed: int = 1) -> Told:
    """Make a shop of at least so many orders in a folder. Raises ValueError for a folder that has a shop."""
    if folder.exists() and any(folder.iterdir()):  # noqa: ASYNC240 - before anything is served
        raise ValueError(f"{folder} is not empty")
    world = TestWorld(seed)
    settings = Settings()
    settings = msgspec.structs.replace(
        settings, server=msgspec.structs.replace(settings.server, data_dir=str(folder))
    )
    async with open_app(settings, world=world) as app:
        await load_demo(app.platform.db)
        making = _Making(app.platform.checkout, world, seed)
        await making.goods()
        offers = await some_offers(app.platform.db)
        for _ in range(4):
            await making.begin_campaign()
        turn = 0
        while making.told.orders < count:
            turn += 1
            world.advance(making.chance.randrange(1, 240_000))
            if turn % 50 == 0:
                await making.begin_campaign()
            await making.buy(offers)
    return making.told
