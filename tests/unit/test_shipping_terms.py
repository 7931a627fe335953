"""Shipping terms kept and quoted: what may be kept, whose money it is, the book, parcels by location, the order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.checkout_shop import HOME, Shop, wants

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.markets import market
from tradepost.stability.switches import QUOTE_CACHE_ONLY
from tradepost.testing.world import TestWorld
from tradepost.trade import catalog, checkout, inventory, orders, payments, shipping
from tradepost.trade.catalog import PriceWindow
from tradepost.trade.checkout import Wish
from tradepost.trade.checkout.repricing import Rules, quoted, reprice
from tradepost.trade.shipping import (
    Area,
    Band,
    Basis,
    Destination,
    Method,
    Rate,
    StoredTerms,
    Subsidy,
    Terms,
    TermsBook,
    Zone,
    accept_terms,
)

PARCEL = Method(
    code="parcel",
    title="Parcel",
    rates=(
        Rate(
            zone="home",
            basis=Basis.WEIGHT,
            bands=(Band(upto=1_000, amount_minor=300), Band(amount_minor=500)),
            free_from_minor=10_000,
        ),
        Rate(zone="isles", basis=Basis.UNITS, bands=(Band(amount_minor=900),)),
    ),
)
EXPRESS = Method(
    code="express",
    title="Express",
    rates=(Rate(zone="home", basis=Basis.UNITS, bands=(Band(amount_minor=999),), days_min=0, days_max=1),),
)
TERMS = Terms(
    seller_id="sel_1",
    currency="GBP",
    zones=(
        Zone(code="home", countries=("GB",)),
        Zone(code="isles", countries=("GB",), postcodes=("BT",)),
    ),
    methods=(PARCEL, EXPRESS),
    time_zone="Europe/London",
)
OURS = Subsidy(code="ours", reason="The shop helps", funder="platform", share_bps=5_000, cap_minor=100)
THEIRS = Subsidy(code="theirs", reason="On us", funder="seller", share_bps=1_000)
YORK = Destination(country="GB", postcode="YO1 7HH")


class Kept:
    """A shop whose seller the catalogue knows; how often its storage was read."""

    def __init__(self, db: SqliteStorage, world: TestWorld) -> None:
        self.reads: list[str] = []
        self.shop = Shop(db, world, shipping=TermsBook(db))
        self.seller_id = self.shop.seller_id
        self.version = 0
        read = db.read

        def counted(shard: int, query: Any, *args: Any) -> Any:
            self.reads.append(query.__name__)
            return read(shard, query, *args)

        db.read = counted  # type: ignore[method-assign]

    async def know(self) -> Kept:
        facts = catalog.SellerFacts(seller_id=self.seller_id, state="ACTIVE", fee_bps=500, version=1)
        await self.shop.db.transact(0, catalog.note_sellers, [facts])
        return self

    async def put(self, terms: Terms = TERMS, *, by_seller: bool = False, version: int = 0) -> StoredTerms:
        """Write terms, and let the offers on the shelf tell of it as the offer book would."""
        stored: StoredTerms = await self.shop.db.transact(
            0,
            shipping.put_terms,
            msgspec.structs.replace(terms, seller_id=self.seller_id),
            "opr_1",
            self.shop.world.now_ms(),
            by_seller=by_seller,
            version=version,
        )
        self.version += 1
        for offer_id, view in self.shop.shelf.views.items():
            self.shop.shelf.views[offer_id] = msgspec.structs.replace(view, shipping_version=self.version)
        return stored


@pytest.fixture
async def kept(db: SqliteStorage, world: TestWorld) -> Kept:
    return await Kept(db, world).know()


def changed(**more: Any) -> Terms:
    return msgspec.structs.replace(TERMS, **more)


def method(**more: Any) -> tuple[Method, ...]:
    return (msgspec.structs.replace(PARCEL, **more),)


def rates(**more: Any) -> tuple[Method, ...]:
    return method(rates=(msgspec.structs.replace(PARCEL.rates[0], **more),))


def zones(**more: Any) -> tuple[Zone, ...]:
    return (msgspec.structs.replace(TERMS.zones[0], **more), TERMS.zones[1])


def area(**more: Any) -> tuple[Area, ...]:
    facts: dict[str, Any] = {"code": "far", "country": "GB", "postcodes": ("IV",), "amount_minor": 1}
    return (Area(**{**facts, **more}),)


def subsidy(**more: Any) -> tuple[Subsidy, ...]:
    return (msgspec.structs.replace(OURS, **more),)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"zones": ()}, "zones"),
        ({"zones": zones(code="Home")}, "methods[0].rates[0].zone"),
        ({"zones": zones(countries=())}, "zones[0].countries"),
        ({"zones": zones(countries=("GBR",))}, "zones[0].countries[0]"),
        ({"zones": zones(regions=("é",))}, "zones[0].regions[0]"),
        ({"zones": zones(postcodes=("BT_1",))}, "zones[0].postcodes[0]"),
        ({"areas": area(code="")}, "areas[0].code"),
        ({"areas": area(country="uk1")}, "areas[0].country[0]"),
        ({"areas": area(postcodes=())}, "areas[0].postcodes"),
        ({"areas": area(amount_minor=-1)}, "areas[0].amount_minor"),
        ({"areas": area(days=400)}, "areas[0].days"),
        ({"areas": area() + area()}, "areas"),
        ({"methods": (PARCEL, PARCEL)}, "methods"),
        ({"methods": method(code="Parcel!")}, "methods[0].code"),
        ({"methods": method(title="")}, "methods[0].title"),
        ({"methods": method(weight_max_g=-1)}, "methods[0].weight_max_g"),
        ({"methods": method(units_max=-1)}, "methods[0].units_max"),
        ({"methods": method(rates=())}, "methods[0].rates"),
        ({"methods": method(rates=PARCEL.rates[:1] * 2)}, "methods[0].rates"),
        ({"methods": rates(free_from_minor=-1)}, "methods[0].rates[0].free_from_minor"),
        ({"methods": rates(bands=(Band(amount_minor=10**12),))}, "methods[0].rates[0].bands[0].amount_minor"),
        (
            {"methods": rates(bands=(Band(amount_minor=1, per_step_minor=5),))},
            "methods[0].rates[0].bands[0].step",
        ),
        ({"subsidies": subsidy(funder="creator")}, "subsidies[0].funder"),
        ({"subsidies": subsidy(cap_minor=0)}, "subsidies[0].cap_minor"),
        ({"subsidies": subsidy(reason="")}, "subsidies[0].reason"),
        ({"subsidies": subsidy(methods=("pigeon",))}, "subsidies[0].methods[0]"),
        ({"subsidies": subsidy() + subsidy()}, "subsidies"),
        ({"handling_days": -1}, "handling_days"),
        ({"cut_off_minute": 1_441}, "cut_off_minute"),
        ({"workdays": (1, 1)}, "workdays"),
        ({"workdays": (8,)}, "workdays"),
        ({"holidays": ("2026-02-30",)}, "holidays[0]"),
        ({"holidays": ("20261225",)}, "holidays[0]"),
        ({"time_zone": "Moon/Sea"}, "time_zone"),
        ({"time_zone": "Europe"}, "time_zone"),
        ({"time_zone": "../../etc"}, "time_zone"),
    ],
)
def test_what_cannot_be_kept_names_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(Refusal, match=r"shipping\.terms_invalid") as refused:
        accept_terms(changed(**change), None, by_seller=False)
    assert refused.value.field == field


def test_places_are_kept_in_capitals_without_blanks() -> None:
    found = accept_terms(
        changed(
            zones=(Zone(code="home", countries=("gb", "GB"), regions=("eng land",), postcodes=("yo 1",)),),
            methods=rates(),
        ),
        None,
        by_seller=True,
    )
    assert found.zones == (Zone(code="home", countries=("GB",), regions=("ENG LAND",), postcodes=("YO1",)),)


async def test_a_seller_leaves_what_the_platform_pays_as_it_was(kept: Kept) -> None:
    await kept.put(changed(subsidies=(OURS,)))
    stored = await kept.put(changed(subsidies=(THEIRS,)), by_seller=True)
    assert stored.terms.subsidies == (OURS, THEIRS)
    again = await kept.put(stored.terms, by_seller=True)
    assert (again.terms, again.version) == (stored.terms, 3)
    for forged in (msgspec.structs.replace(OURS, cap_minor=900), msgspec.structs.replace(OURS, code="more")):
        with pytest.raises(Refusal, match=r"shipping\.funder_forbidden") as refused:
            await kept.put(changed(subsidies=(forged,)), by_seller=True)
        assert refused.value.field == "subsidies[0].funder"
    freed = await kept.put(changed(subsidies=(THEIRS,)))
    assert freed.terms.subsidies == (THEIRS,)


async def test_writers_do_not_overwrite_each_other(kept: Kept, world: TestWorld) -> None:
    await kept.put(version=0)
    for version in (2, 7):
        with pytest.raises(Refusal, match=r"version\.conflict") as refused:
            await kept.put(version=version)
        assert refused.value.extra == {"version": 1}
    assert (await kept.put(version=1)).version == 2
    stranger = changed(seller_id=world.mint("seller", 3))
    with pytest.raises(Refusal, match=r"catalog\.seller_unknown"):
        await kept.shop.db.transact(0, shipping.put_terms, stranger, "opr_1", 1, by_seller=False)


async def test_currencies_are_bounded(kept: Kept) -> None:
    codes = ["GBP", "EUR", "USD", "JPY", "CHF", "CAD", "AUD", "NZD", "SEK", "NOK"]
    codes += ["DKK", "PLN", "CZK", "HUF", "RON", "KWD", "TRY", "BRL", "MXN", "INR"]
    for code in codes:
        await kept.put(changed(currency=code))
    with pytest.raises(Refusal, match=r"shipping\.too_many_currencies"):
        await kept.put(changed(currency="ZAR"))
    ended = await kept.shop.db.transact(0, shipping.end_terms, kept.seller_id, "EUR", 5)
    assert ended.terms.currency == "EUR"
    with pytest.raises(Refusal, match=r"money\.currency_unknown"):
        await kept.put(changed(currency="QQQ"))
    found = await kept.shop.db.read(0, shipping.list_terms, kept.seller_id)
    assert [one.terms.currency for one in found] == sorted(set(codes) - {"EUR"})
    for currency in ("EUR", "ZAR"):
        with pytest.raises(Refusal, match=r"shipping\.terms_unknown"):
            await kept.shop.db.transact(0, shipping.end_terms, kept.seller_id, currency, 5)


async def test_without_terms_nothing_is_read_and_nothing_is_charged(kept: Kept) -> None:
    mug = await kept.shop.offer()
    kept.reads.clear()
    quote, token = await kept.shop.quote((mug, 2), wish=Wish(destination=YORK))
    assert kept.reads == []
    assert (quote.total_minor, quote.shipping_minor, quote.destination) == (2_000, 0, shipping.NOWHERE)
    assert quote.orders[0].sending is orders.NO_SENDING
    _, replayed = await kept.shop.place(token)
    assert not replayed


async def test_terms_are_read_once_for_each_writing(kept: Kept) -> None:
    mug = await kept.shop.offer(weight_g=400)
    await kept.put()
    kept.reads.clear()
    totals = [(await kept.shop.quote((mug, 2), wish=Wish(destination=YORK)))[0].total_minor for _ in range(3)]
    assert (totals, kept.reads) == ([2_300] * 3, ["present_terms"])
    await kept.put(changed(methods=(EXPRESS,)))
    quote, _ = await kept.shop.quote((mug, 2), wish=Wish(destination=YORK))
    assert (quote.shipping_minor, kept.reads) == (999, ["present_terms"] * 2)


async def test_a_slow_read_does_not_bring_old_terms_back(kept: Kept) -> None:
    await kept.put()
    book = TermsBook(kept.shop.db)
    first = await book.get({kept.seller_id: 1})
    await kept.put(changed(methods=(EXPRESS,)))
    second = await book.get({kept.seller_id: 2})
    assert [len(found[kept.seller_id]["GBP"].methods) for found in (first, second)] == [2, 1]
    book._remember(kept.seller_id, 1, first[kept.seller_id])
    assert book.peek({kept.seller_id: 2}) == (second, [])


async def test_cache_only_quotes_read_no_terms(kept: Kept) -> None:
    mug = await kept.shop.offer()
    await kept.put()

    class On:
        def is_on(self, switch: Any) -> bool:
            return bool(switch is QUOTE_CACHE_ONLY)

    before = kept.shop.context
    kept.shop.context = msgspec.structs.replace(before, switches=On())
    with pytest.raises(Refusal, match=r"switch\.quote_cache_only"):
        await kept.shop.quote((mug, 1), wish=Wish(destination=YORK))
    kept.shop.context = before
    await kept.shop.quote((mug, 1), wish=Wish(destination=YORK))
    kept.shop.context = msgspec.structs.replace(before, switches=On())
    assert (await kept.shop.quote((mug, 1), wish=Wish(destination=YORK)))[0].shipping_minor == 300


async def test_from_the_quote_to_the_order_and_its_funders(kept: Kept) -> None:
    mug = await kept.shop.offer(weight_g=600)
    other = await kept.shop.offer(price_minor=500, seller_id=kept.shop.world.mint("seller", 4))
    await kept.put(changed(subsidies=(OURS, THEIRS)))
    kept.shop.shelf.views[other] = msgspec.structs.replace(kept.shop.shelf.views[other], shipping_version=0)
    quote, token = await kept.shop.quote((mug, 2), (other, 1), wish=Wish(destination=YORK))
    mine, theirs = quote.orders
    # 1,200 g cost 500: the platform gives 100 of it, the seller a tenth of the 400 left.
    assert [(one.code, one.funder, one.amount_minor) for one in mine.shipping_adjustments] == [
        ("ours", "platform", -100),
        ("theirs", "seller", -40),
    ]
    assert (mine.shipping_minor, mine.total_minor, mine.tax_minor) == (360, 2_360, 333 + 60)
    assert [(one.method, one.amount_minor) for one in mine.options] == [("parcel", 360), ("express", 809)]
    assert (theirs.shipping_minor, theirs.options, theirs.sending) == (0, (), orders.NO_SENDING)
    assert quote.destination == Destination(country="GB", postcode="YO17HH")
    placement = await checkout.accept_quote(kept.shop.context, token, kept.shop.request())
    assert placement.intent is not None
    assert placement.intent.portions[0].funded == (payments.Funding("platform:promotions", 100),)
    body = msgspec.json.decode(placement.orders[0].body, type=orders.OrderBody)
    assert body.sending == mine.sending
    assert (body.sending.method, body.sending.parcels) == ("parcel", 1)
    assert body.sending.from_date <= body.sending.by_date
    assert b"sending" not in placement.orders[1].body
    priced = reprice(quoted(quote), market("GB"), Rules({}))
    assert (priced.total_minor, priced.shipping_minor) == (quote.total_minor, quote.shipping_minor)


async def test_thresholds_count_what_the_buyer_pays(kept: Kept) -> None:
    lamp = await kept.shop.offer(pieces=50, weight_g=10)
    await kept.put()
    shipped = [
        (await kept.shop.quote((lamp, units), wish=Wish(destination=YORK)))[0].shipping_minor
        for units in (9, 10)
    ]
    assert shipped == [300, 0]


async def test_a_market_without_tax_in_its_prices_adds_it_to_shipping(kept: Kept) -> None:
    mug = await kept.shop.offer(
        markets=("US",), prices=(PriceWindow(currency="USD", price_e4=10_000 * 10_000),)
    )
    there = Zone(code="home", countries=("US",), regions=("CA",))
    await kept.put(changed(currency="USD", zones=(there,), methods=rates(free_from_minor=0)))
    lines = wants([(mug, 1)])
    quote, token = await checkout.make_quote(
        kept.shop.context,
        "US",
        lines,
        buyer_id=kept.shop.buyer_id,
        wish=Wish(destination=Destination(country="US", region="California")),
    )
    ordered = quote.orders[0]
    assert (quote.region, quote.destination) == ("CA", Destination(country="US", region="CA"))
    assert ordered.shipping_minor == 300 + (ordered.tax_minor - ordered.lines[0].tax_minor)
    assert ordered.total_minor == ordered.lines[0].total_minor + ordered.shipping_minor
    at_home = msgspec.structs.replace(HOME, country="US", region="CA")
    await kept.shop.place(token, address=at_home)


async def test_parcels_leave_from_where_the_stock_lies(kept: Kept) -> None:
    mug = await kept.shop.offer(pieces=3)
    kit = await kept.shop.offer(components=[(kept.shop.sku_of(mug), 2)], pieces=0)
    sku_id = kept.shop.sku_of(mug)
    more = inventory.StockChange(sku_id=sku_id, location_id="loc_b", delta=4, reference="r2", at_ms=1)
    await kept.shop.db.transact(kept.shop.db.shard_of(gene_of(sku_id)), inventory.receive, [more])
    await kept.put(changed(by_location=True, methods=method(rates=(PARCEL.rates[0],))))
    kept.reads.clear()
    quote, _ = await kept.shop.quote((kit, 1), (mug, 4), wish=Wish(destination=YORK))
    assert sorted(kept.reads) == ["levels", "present_terms"]
    [option] = quote.orders[0].options
    assert [(one.location_id, one.units) for one in option.parcels] == [
        ("loc_a", ((1, 1), (2, 1))),
        ("loc_b", ((2, 3),)),
    ]
    assert (option.amount_minor, quote.orders[0].sending.parcels) == (600, 2)
    nowhere, _ = await kept.shop.quote((mug, 9), wish=Wish(destination=YORK))
    assert [one.location_id for one in nowhere.orders[0].options[0].parcels] == ["loc_a", "loc_b", ""]


@pytest.mark.parametrize(
    ("wish", "code", "field"),
    [
        (Wish(), "shipping.destination_incomplete", "destination.postcode"),
        (Wish(destination=Destination(country="FR")), "shipping.not_here", "destination.country"),
        (
            Wish(destination=YORK, methods={"sel_x": "parcel"}),
            "shipping.method_unavailable",
            "shipping.sel_x",
        ),
        (Wish(destination=YORK, methods={"": "pigeon"}), "shipping.method_unavailable", "shipping."),
    ],
)
async def test_what_a_quote_refuses(kept: Kept, wish: Wish, code: str, field: str) -> None:
    mug = await kept.shop.offer()
    await kept.put()
    with pytest.raises(Refusal, match=code) as refused:
        await kept.shop.quote((mug, 1), wish=wish)
    assert refused.value.field == field
    chosen = Wish(destination=YORK, methods={kept.seller_id: "pigeon"})
    with pytest.raises(Refusal, match=r"shipping\.method_unavailable") as refused:
        await kept.shop.quote((mug, 1), wish=chosen)
    assert (refused.value.expected, refused.value.extra) == (
        "parcel or express",
        {"seller_id": kept.seller_id},
    )


async def test_an_address_must_fit_what_decided_the_price(kept: Kept) -> None:
    mug = await kept.shop.offer()
    await kept.put()
    _, token = await kept.shop.quote((mug, 1), wish=Wish(destination=YORK))
    for other, field in (
        (msgspec.structs.replace(HOME, postcode="BT1 5GS"), "address.postcode"),
        (msgspec.structs.replace(HOME, country="FR"), "address.country"),
    ):
        with pytest.raises(Refusal, match=r"shipping\.destination_changed") as refused:
            await kept.shop.place(token, address=other)
        assert refused.value.field == field
    await kept.shop.place(token, address=msgspec.structs.replace(HOME, postcode=" yo17hh "))


async def test_buying_now_is_priced_to_the_address(kept: Kept) -> None:
    mug = await kept.shop.offer()
    await kept.put()
    far = msgspec.structs.replace(HOME, postcode="BT1 5GS")
    for address, total in ((HOME, 1_300), (far, 1_900)):
        placement = await kept.shop.accept((mug, 1), address=address, total_minor=total)
        assert placement.intent is not None
        assert placement.intent.amount_minor == total
    chosen = {kept.seller_id: "express"}
    await kept.shop.accept((mug, 1), total_minor=1_999, shipping=chosen)
    with pytest.raises(Refusal, match=r"shipping\.destination_incomplete") as refused:
        await kept.shop.accept((mug, 1), address=msgspec.structs.replace(HOME, postcode=""))
    assert refused.value.field == "address.postcode"
    with pytest.raises(Refusal, match=r"shipping\.method_unavailable"):
        await kept.shop.accept((mug, 1), address=far, shipping=chosen)
