"""The catalogue: what is refused, what an offer view carries, what follows what."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Event, record
from tradepost.testing.world import TestWorld
from tradepost.trade import catalog
from tradepost.trade.catalog import (
    Component,
    OfferTerms,
    PriceWindow,
    Product,
    SellerFacts,
    Sku,
    offer_book,
)
from tradepost.trade.parties.model import SellerStateChanged

AT = 1_790_000_000_000
GBP = PriceWindow(currency="GBP", price_e4=2_555_000)
TERMS = OfferTerms(markets=("GB",), prices=(GBP,))


async def refused(problem: str, call: Any, /, *args: Any, **kwargs: Any) -> Refusal:
    """The refusal an awaitable call raises, whose code must be declared."""
    with pytest.raises(Refusal) as caught:
        await call(*args, **kwargs)
    assert caught.value.code == problem
    assert caught.value.problem.remedy
    return caught.value


class Shop(msgspec.Struct):
    """A seller with a product, on one database."""

    db: Any
    world: TestWorld
    seller_id: str
    product: Product

    async def sku(self, code: str, *components: tuple[str, int]) -> Sku:
        sku = Sku(
            sku_id=self.world.mint("sku", self.world.gene()),
            seller_id=self.seller_id,
            product_id=self.product.product_id,
            code=code,
            title=f"Title of {code}",
        )
        return await catalog.add_sku(self.db, sku, AT, components=components)

    async def offer(self, sku: Sku, terms: OfferTerms = TERMS, **options: Any) -> catalog.Offer:
        offer_id = self.world.mint("offer", 5)
        return await self.db.transact(
            0, catalog.create_offer, self.seller_id, sku.sku_id, offer_id, terms, AT, **options
        )

    async def view(self, offer_id: str) -> catalog.OfferView:
        return (await self.db.read(0, catalog.offer_views, [offer_id]))[offer_id]


@pytest.fixture
async def shop(db: Any, world: TestWorld) -> Shop:
    seller_id = world.mint("seller", 5)
    facts = SellerFacts(seller_id=seller_id, state="ACTIVE", fee_bps=800, version=1)
    await db.transact(0, catalog.note_sellers, [facts])
    product = Product(
        product_id=world.mint("product", 5),
        seller_id=seller_id,
        code="P1",
        title="Lantern",
        description="Bright",
        image="/lantern.png",
        tax_category="zero",
    )
    await db.transact(0, catalog.create_product, product, AT)
    return Shop(db=db, world=world, seller_id=seller_id, product=product)


async def test_offer_view_carries_what_a_line_freezes(shop: Shop) -> None:
    sku = await shop.sku("85123A")
    terms = OfferTerms(
        markets=("US", "GB"), prices=(msgspec.structs.replace(GBP, currency="USD"), GBP), quantity_max=9
    )
    offer = await shop.offer(sku, terms)
    view = await shop.view(offer.offer_id)
    assert (view.seller_state, view.fee_bps, view.state, view.version) == ("ACTIVE", 800, "ACTIVE", 1)
    assert (view.title, view.description, view.image) == ("Title of 85123A", "Bright", "/lantern.png")
    assert (view.tax_category, view.sku_code, view.product_id) == ("zero", "85123A", shop.product.product_id)
    assert view.components == (Component(sku_id=sku.sku_id, quantity=1),)
    assert (view.markets, view.quantity_max) == (("GB", "US"), 9)
    assert catalog.price_at(view, "GBP", AT) == 2_555_000
    assert catalog.price_at(view, "JPY", AT) is None
    homes = await shop.db.read(0, catalog.sku_homes, [sku.sku_id, shop.world.mint("sku", 1)])
    assert [(home.seller_id, home.code) for home in homes.values()] == [(shop.seller_id, "85123A")]


async def test_codes_tell_capitals_apart(shop: Shop) -> None:
    upper, lower = await shop.sku("85123A"), await shop.sku("85123a")
    found = await shop.db.read(0, catalog.skus_by_code, shop.seller_id, ["85123a", "85123A", "85123B"])
    assert {code: sku.sku_id for code, sku in found.items()} == {
        "85123A": upper.sku_id,
        "85123a": lower.sku_id,
    }
    await refused("catalog.code_taken", shop.sku, "85123A")


async def test_kits_are_flattened_and_fixed(shop: Shop) -> None:
    cup, plate = await shop.sku("CUP"), await shop.sku("PLATE")
    kit = await shop.sku("SET", ("CUP", 2), ("PLATE", 1))
    big = await shop.sku("BIG", ("SET", 3), ("CUP", 1))
    quantities = {part.sku_id: part.quantity for part in big.components}
    assert quantities == {cup.sku_id: 7, plate.sku_id: 3}
    offer = await shop.offer(kit)
    assert (await shop.view(offer.offer_id)).components == kit.components
    for code, parts in (
        ("catalog.component_unknown", [("NONE", 1)]),
        ("catalog.component_unknown", [("cup", 1)]),
        ("catalog.components_invalid", [("SELF", 1)]),
        ("catalog.components_invalid", [("CUP", 0)]),
        ("catalog.components_invalid", [("CUP", 1001)]),
    ):
        await refused(code, shop.sku, "SELF", *parts)


async def test_component_of_another_seller_is_unknown(shop: Shop) -> None:
    await shop.sku("CUP")
    other_id = shop.world.mint("seller", 5)
    other = Product(product_id=shop.world.mint("product", 5), seller_id=other_id, code="P1", title="T")
    await shop.db.transact(0, catalog.create_product, other, AT)
    stranger = Shop(db=shop.db, world=shop.world, seller_id=other_id, product=other)
    await refused("catalog.component_unknown", stranger.sku, "SET", ("CUP", 1))
    await stranger.sku("CUP")


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("catalog.markets_invalid", {"markets": ()}),
        ("catalog.markets_invalid", {"markets": ("GB", "GB")}),
        ("market.unknown", {"markets": ("XX",)}),
        ("catalog.market_without_price", {"markets": ("US",)}),
        ("catalog.market_without_price", {"prices": ()}),
        ("money.currency_unknown", {"prices": (GBP, msgspec.structs.replace(GBP, currency="gbp"))}),
        ("catalog.price_negative", {"prices": (msgspec.structs.replace(GBP, price_e4=-1),)}),
        ("catalog.price_negative", {"prices": (msgspec.structs.replace(GBP, price_e4=10**15),)}),
        ("catalog.prices_too_many", {"prices": (GBP,) * 65}),
        ("catalog.price_window_empty", {"prices": (msgspec.structs.replace(GBP, from_ms=5, until_ms=5),)}),
        ("catalog.price_window_empty", {"prices": (msgspec.structs.replace(GBP, from_ms=-1),)}),
        ("catalog.price_windows_overlap", {"prices": (GBP, msgspec.structs.replace(GBP, from_ms=7))}),
        ("catalog.pool_invalid", {"pool": ""}),
        ("catalog.pool_invalid", {"pool": "Shop"}),
        ("catalog.limit_invalid", {"limit_per_buyer": -1}),
        ("catalog.limit_invalid", {"quantity_max": 1_000_001}),
    ],
)
async def test_terms_refused(shop: Shop, code: str, change: dict[str, Any]) -> None:
    sku = await shop.sku("A")
    await refused(code, shop.offer, sku, msgspec.structs.replace(TERMS, **change))


async def test_price_windows_that_touch_are_fine(shop: Shop) -> None:
    windows = (
        PriceWindow(currency="GBP", price_e4=3, from_ms=20),
        PriceWindow(currency="GBP", price_e4=0, until_ms=10),
        PriceWindow(currency="GBP", price_e4=2, from_ms=10, until_ms=20),
    )
    offer = await shop.offer(await shop.sku("A"), msgspec.structs.replace(TERMS, prices=windows))
    view = await shop.view(offer.offer_id)
    assert [catalog.price_at(view, "GBP", at) for at in (0, 9, 10, 19, 20, AT)] == [0, 0, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("catalog.code_taken", {}),
        ("catalog.code_invalid", {"code": ""}),
        ("catalog.code_invalid", {"code": "a "}),
        ("catalog.code_invalid", {"code": "a;b"}),
        ("catalog.code_invalid", {"code": "x" * 65}),
        ("catalog.code_invalid", {"code": "a\nb"}),
        ("catalog.text_invalid", {"code": "P2", "title": " "}),
        ("catalog.text_invalid", {"code": "P2", "title": "x" * 301}),
        ("catalog.text_invalid", {"code": "P2", "description": "a\x00"}),
        ("catalog.text_invalid", {"code": "P2", "tax_category": "Zero Rate"}),
        ("catalog.image_invalid", {"code": "P2", "image": "javascript:x"}),
        ("catalog.group_invalid", {"code": "P2", "groups": ("Summer",)}),
        ("catalog.group_invalid", {"code": "P2", "groups": tuple(f"g{n}" for n in range(17))}),
        ("id.invalid", {"code": "P2", "product_id": "prd_01kdvdna00e0fr09hq86v79egd"}),
    ],
)
async def test_products_refused(shop: Shop, code: str, change: dict[str, Any]) -> None:
    product = msgspec.structs.replace(shop.product, product_id=shop.world.mint("product", 5))
    await refused(
        code, shop.db.transact, 0, catalog.create_product, msgspec.structs.replace(product, **change), AT
    )


async def test_offers_refused(shop: Shop) -> None:
    sku = await shop.sku("A")
    offer = await shop.offer(sku)
    await refused("catalog.offer_exists", shop.offer, sku)
    await shop.offer(sku, code="campaign")
    await refused("catalog.code_invalid", shop.offer, sku, code=" ")
    await refused("catalog.state_invalid", shop.offer, sku, code="x", state="GONE")
    ghost = msgspec.structs.replace(sku, sku_id=shop.world.mint("sku", 1))
    await refused("catalog.sku_unknown", shop.offer, ghost)
    stranger = shop.world.mint("seller", 5)
    for work, args in (
        (catalog.change_offer, (stranger, offer.offer_id, TERMS, 1, AT)),
        (catalog.move_offer, (stranger, offer.offer_id, "pause", 1, AT)),
    ):
        await refused("catalog.offer_unknown", shop.db.transact, 0, work, *args)
    gone = msgspec.structs.replace(shop.product, product_id=shop.world.mint("product", 5))
    await refused("catalog.product_unknown", shop.db.transact, 0, catalog.change_product, gone, AT)
    await refused("catalog.product_unknown", Shop.sku, msgspec.structs.replace(shop, product=gone), "B")


async def test_offer_states_and_versions(shop: Shop) -> None:
    offer = await shop.offer(await shop.sku("A"))
    move, change = catalog.move_offer, catalog.change_offer
    args = (shop.seller_id, offer.offer_id)
    paused = await shop.db.transact(0, move, *args, "pause", 1, AT)
    assert (paused.state, paused.version) == ("PAUSED", 2)
    await refused("version.conflict", shop.db.transact, 0, move, *args, "resume", 1, AT)
    await refused("version.conflict", shop.db.transact, 0, change, *args, TERMS, 1, AT)
    await refused("state.conflict", shop.db.transact, 0, move, *args, "pause", 2, AT)
    cheaper = msgspec.structs.replace(TERMS, prices=(msgspec.structs.replace(GBP, price_e4=1),))
    assert (await shop.db.transact(0, change, *args, cheaper, 2, AT)).version == 3
    await shop.db.transact(0, move, *args, "end", 0, AT)
    await refused("state.conflict", shop.db.transact, 0, change, *args, TERMS, 4, AT)
    await refused("state.conflict", shop.db.transact, 0, move, *args, "resume", 4, AT)


async def test_offers_follow_their_sku_and_product(shop: Shop) -> None:
    sku = await shop.sku("A")
    offer = await shop.offer(sku)
    await shop.db.transact(0, catalog.rename_sku, shop.seller_id, sku.sku_id, "New title", 1, AT)
    await refused(
        "version.conflict", shop.db.transact, 0, catalog.rename_sku, shop.seller_id, sku.sku_id, "T", 1, AT
    )
    brighter = msgspec.structs.replace(shop.product, description="Brighter")
    await shop.db.transact(0, catalog.change_product, brighter, AT)
    await refused("version.conflict", shop.db.transact, 0, catalog.change_product, brighter, AT)
    view = await shop.view(offer.offer_id)
    assert (view.title, view.description, view.version) == ("New title", "Brighter", 3)


async def test_offers_follow_their_seller(shop: Shop) -> None:
    offer = await shop.offer(await shop.sku("A"))
    consumer = catalog.CONSUMERS[0]

    def heard(version: int, state: str) -> Any:
        fact: Event = SellerStateChanged(seller_id=shop.seller_id, state=state, reason="r", fee_bps=900)
        return record(fact, shop.seller_id, version, AT)

    await shop.db.transact(0, consumer.consume, [heard(3, "SUSPENDED"), heard(2, "ACTIVE")])
    assert (await shop.view(offer.offer_id)).seller_state == "SUSPENDED"
    assert (await catalog.offers_in_market(shop.db, "GB")).offers == ()
    await shop.db.transact(0, consumer.consume, [heard(2, "ACTIVE")])
    assert (await shop.view(offer.offer_id)).seller_state == "SUSPENDED", "late news is no news"
    await shop.db.transact(0, consumer.consume, [heard(4, "ACTIVE")])
    view = await shop.view(offer.offer_id)
    assert (view.seller_state, view.fee_bps) == ("ACTIVE", 900)


async def test_offer_of_an_unheard_seller_is_not_for_sale(shop: Shop) -> None:
    other_id = shop.world.mint("seller", 5)
    other = Product(product_id=shop.world.mint("product", 5), seller_id=other_id, code="P1", title="T")
    await shop.db.transact(0, catalog.create_product, other, AT)
    stranger = Shop(db=shop.db, world=shop.world, seller_id=other_id, product=other)
    offer = await stranger.offer(await stranger.sku("A"))
    view = await shop.view(offer.offer_id)
    assert (view.seller_state, view.fee_bps) == ("PENDING", 0)


async def test_lists_page_by_cursor(shop: Shop) -> None:
    offers = [await shop.offer(await shop.sku(f"S{n}")) for n in range(5)]
    await shop.db.transact(0, catalog.move_offer, shop.seller_id, offers[1].offer_id, "pause", 1, AT)
    every = sorted(offer.offer_id for offer in offers)
    listed = [offer_id for offer_id in every if offer_id != offers[1].offer_id]
    for expected, is_market in ((every, False), (listed, True)):
        found: list[str] = []
        after = ""
        while True:
            if is_market:
                page = await catalog.offers_in_market(shop.db, "GB", after, 2)
            else:
                page = await shop.db.read(0, catalog.offers_of_seller, shop.seller_id, after, 2)
            found += [offer.offer_id for offer in page.offers]
            after = page.after
            if not after:
                break
        assert found == expected
    assert (await catalog.offers_in_market(shop.db, "US")).offers == ()
    of_codes = await shop.db.read(0, catalog.offers_of_codes, shop.seller_id, ["S0", "none"])
    assert {code: [offer.offer_id for offer in found] for code, found in of_codes.items()} == {
        "S0": [offers[0].offer_id]
    }


async def test_offer_book_forgets_what_changes(shop: Shop) -> None:
    book = catalog.OfferBook(shop.db)
    offer = await shop.offer(await shop.sku("A"))
    unknown = shop.world.mint("offer", 5)
    assert book.peek([offer.offer_id]) == ({}, [offer.offer_id])
    assert set(await book.get([offer.offer_id, unknown, offer.offer_id])) == {offer.offer_id}
    assert book.peek([offer.offer_id, unknown])[1] == [unknown]
    await shop.db.transact(0, catalog.move_offer, shop.seller_id, offer.offer_id, "pause", 1, AT)
    assert book.peek([offer.offer_id])[1] == [offer.offer_id]
    assert (await book.get([offer.offer_id]))[offer.offer_id].state == "PAUSED"
    facts = SellerFacts(seller_id=shop.seller_id, state="CLOSED", fee_bps=1, version=2)
    await shop.db.transact(0, catalog.note_sellers, [facts])
    assert (await book.get([offer.offer_id]))[offer.offer_id].seller_state == "CLOSED"
    await refused("id.invalid", book.get, ["nonsense"])


async def test_offer_book_is_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offer_book, "OFFERS_MAX", 2)
    book = catalog.OfferBook(shop.db)
    ids = [(await shop.offer(await shop.sku(f"S{n}"))).offer_id for n in range(3)]
    await book.get(ids[:2])
    book.peek(ids[:1])
    await book.get(ids[2:])
    assert book.peek(ids)[1] == [ids[1]], "the one used longest ago goes first"


async def test_offer_book_does_not_remember_what_changed_while_it_was_read(shop: Shop) -> None:
    book = catalog.OfferBook(shop.db)
    offer = await shop.offer(await shop.sku("A"))
    original = shop.db.read

    async def slow(*args: Any) -> Any:
        read = await original(*args)
        await shop.db.transact(0, catalog.move_offer, shop.seller_id, offer.offer_id, "pause", 1, AT)
        return read

    shop.db.read = slow
    assert (await book.get([offer.offer_id]))[offer.offer_id].state == "ACTIVE"
    shop.db.read = original
    assert (await book.get([offer.offer_id]))[offer.offer_id].state == "PAUSED"
