"""Goods sold in a currency their seller set no price in: one price everywhere, frozen, or a refusal that says why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.campaign_samples import campaign, promoted, publish
from tests.checkout_shop import GENE, Shop, TwoShards, wants

from tradepost.kernel.errors import Refusal
from tradepost.markets import market
from tradepost.stability.keys import Key, find_key
from tradepost.testing.world import TestWorld
from tradepost.trade import catalog, checkout, orders
from tradepost.trade.catalog import Layer, PriceWindow
from tradepost.trade.checkout import Address, Rules
from tradepost.trade.pricing import RATES, PublishedRate
from tradepost.trade.promotion import Gift, Rule

HERE = Address(name="Ada", line1="Ring 1", city="Berlin", postcode="10115", country="DE")
HOUR = 3_600_000


class Live:
    """The part of the live values that checkout asks."""

    def __init__(self) -> None:
        self.rates: tuple[PublishedRate, ...] = ()

    def get(self, key: Key[Any], **_: str) -> Any:
        return self.rates if key is RATES else key.default

    def publish(self, rate: str, from_ms: int, *, sold: str = "GBP", margin_ppm: int = 20_000) -> None:
        one = PublishedRate(
            sold=sold,
            paid="EUR",
            rate=rate,
            source="ECB",
            published_ms=from_ms,
            until_ms=from_ms + HOUR,
            margin_ppm=margin_ppm,
        )
        self.rates = (*[kept for kept in self.rates if kept.sold != sold], one)


@pytest.fixture
def live() -> Live:
    return Live()


@pytest.fixture
def shop(world: TestWorld, live: Live) -> Iterator[Shop]:
    shards = TwoShards()
    made = promoted(shards, world, live=live)
    live.publish("1.2", world.now_ms())
    yield made
    shards.close()


async def converted(shop: Shop, **more: Any) -> str:
    return await shop.offer(markets=("GB", "DE"), **{"convert_from": "GBP", **more})


async def quoted(shop: Shop, *lines: tuple[str, int]) -> tuple[checkout.Quote, str]:
    return await checkout.make_quote(shop.context, "DE", wants(lines), buyer_id=shop.buyer_id)


async def placed(shop: Shop, token: str) -> orders.Order:
    view, _ = await shop.place(token, address=HERE)
    order: orders.Order = await shop.db.read(GENE % 2, orders.get_order, view.orders[0].order_id)
    return order


async def test_the_same_price_in_list_cart_quote_buy_now_and_order(shop: Shop) -> None:
    offer_id = await converted(shop)
    where = market("DE")
    listed = await checkout.price_offers(shop.context, [shop.shelf.views[offer_id]], where)
    assert (listed[offer_id].unit_e4, listed[offer_id].list_e4) == (12_240_000, 12_240_000)
    assert listed[offer_id].changes_at_ms == shop.world.now_ms() + HOUR, "then the rate has run out"
    quote, token = await quoted(shop, (offer_id, 3))
    cart = await checkout.price_cart(shop.context, "DE", wants([(offer_id, 3)]), buyer_id=shop.buyer_id)
    assert cart.quote is not None
    assert (cart.quote.total_minor, cart.left_out) == (quote.total_minor, ()) == (3_672, ())
    order = await placed(shop, token)
    assert (order.currency, order.total_minor) == ("EUR", 3_672)
    [held] = order.body.conversions
    assert held.rate.source == "ECB"
    assert (held.rate.written(), held.rate.margin_ppm, held.sold_e4) == ("1.2", 20_000, (10_000_000,))
    request = shop.request("k2", total_minor=3_672, address=HERE)
    bought = await checkout.accept_buy_now(shop.context, "DE", wants([(offer_id, 3)]), request)
    assert bought.orders[0].total_minor == 3_672


async def test_the_margin_is_the_platforms_and_the_rest_the_sellers(shop: Shop) -> None:
    quote, _ = await quoted(shop, (await converted(shop), 3))
    [ordered] = quote.orders
    [line] = ordered.lines
    fee = (line.total_minor - line.tax_minor) * 500 // 10_000
    assert line.fee_minor == ordered.fee_minor == fee + 72, "36.72 is 36.00 and 2 percent"
    plain, _ = await quoted(shop, (await shop.offer(markets=("DE",), prices=(eur(3_672),)), 1))
    assert plain.orders[0].fee_minor == fee
    assert plain.orders[0].conversions == ()


def eur(price_minor: int, **more: Any) -> PriceWindow:
    return PriceWindow(currency="EUR", price_e4=price_minor * 10_000, **more)


def gbp(price_minor: int, **more: Any) -> PriceWindow:
    return PriceWindow(currency="GBP", price_e4=price_minor * 10_000, **more)


async def test_the_sellers_own_price_comes_first(shop: Shop, live: Live) -> None:
    both = (eur(999), gbp(1_000))
    quote, _ = await quoted(shop, (await converted(shop, prices=both), 1))
    assert (quote.total_minor, quote.orders[0].conversions) == (999, ())
    live.rates = ()
    again, _ = await quoted(shop, (await converted(shop, prices=both), 1))
    assert again.total_minor == 999, "no rate is needed where there is a price"


async def test_own_and_converted_lines_in_one_order(shop: Shop) -> None:
    first, second = await converted(shop, prices=(eur(999), gbp(1_000))), await converted(shop)
    quote, _ = await quoted(shop, (first, 1), (second, 1))
    [ordered] = quote.orders
    [held] = ordered.conversions
    assert (quote.total_minor, held.sold_e4) == (999 + 1_224, (0, 10_000_000))


async def test_a_gift_beside_converted_goods_and_the_order_without_it(shop: Shop) -> None:
    mug = await converted(shop)
    towel = await shop.offer(1, prices=(eur(450),), markets=("DE",))
    present = Rule(code="gift", effect=Gift(offer_id=towel))
    await publish(shop, campaign(currency="EUR", rules=(present,)))
    quote, token = await quoted(shop, (mug, 1))
    [ordered] = quote.orders
    assert (quote.total_minor, ordered.conversions[0].sold_e4) == (1_224, (10_000_000, 0))
    assert [line.gift is not None for line in ordered.lines] == [False, True]
    other = shop.world.mint("buyer", GENE)
    _, theirs = await checkout.make_quote(shop.context, "DE", wants([(towel, 1)]), buyer_id=other)
    await shop.place(theirs, address=HERE, buyer_id=other, key="theirs")
    order = await placed(shop, token)
    assert ([line.offer_id for line in order.body.lines], order.total_minor) == ([mug], 1_224)
    assert order.body.conversions[0].sold_e4 == (10_000_000,)
    assert len(order.body.missed_gifts) == 1


async def test_layers_decide_before_they_are_converted(shop: Shop) -> None:
    now = shop.world.now_ms()
    flash = gbp(500, layer=Layer.FLASH, from_ms=now - HOUR, until_ms=now + HOUR // 2)
    offer_id = await converted(shop, prices=(flash, gbp(1_000)))
    quote, _ = await quoted(shop, (offer_id, 1))
    assert (quote.total_minor, quote.orders[0].conversions[0].sold_e4) == (612, (5_000_000,))
    shop.world.advance(HOUR // 2)
    later, _ = await quoted(shop, (offer_id, 1))
    assert later.total_minor == 1_224


async def test_a_quote_keeps_its_rate_and_ends_with_it(shop: Shop, live: Live) -> None:
    offer_id = await converted(shop)
    start = shop.world.now_ms()
    shop.world.advance(HOUR - 60_000)
    quote, token = await quoted(shop, (offer_id, 1))
    assert quote.expires_at_ms == start + HOUR - 1, "a quarter of an hour would be longer than the rate holds"
    live.publish("1.5", shop.world.now_ms())
    newer, _ = await quoted(shop, (offer_id, 1))
    assert (quote.total_minor, newer.total_minor) == (1_224, 1_530)
    order = await placed(shop, token)
    assert (order.total_minor, order.body.conversions[0].rate.written()) == (1_224, "1.2")
    stale = shop.request("k2", total_minor=1_224, address=HERE)
    with pytest.raises(Refusal) as refused:
        await checkout.accept_buy_now(shop.context, "DE", wants([(offer_id, 1)]), stale)
    assert refused.value.code == "checkout.total_changed"


async def test_a_rate_published_for_later_takes_over_at_its_moment(shop: Shop, live: Live) -> None:
    offer_id = await converted(shop)
    [now], begins = live.rates, shop.world.now_ms() + HOUR // 2
    live.publish("1.5", begins)
    live.rates = (*live.rates, now)
    listed = await checkout.price_offers(shop.context, [shop.shelf.views[offer_id]], market("DE"))
    assert (listed[offer_id].unit_e4, listed[offer_id].changes_at_ms) == (12_240_000, begins)
    shop.world.advance(HOUR // 2 - 1)
    before, _ = await quoted(shop, (offer_id, 1))
    assert (before.total_minor, before.expires_at_ms) == (1_224, begins - 1)
    shop.world.advance(1)
    after, _ = await quoted(shop, (offer_id, 1))
    assert after.total_minor == 1_530


async def test_a_campaign_lowers_what_was_converted(shop: Shop) -> None:
    await publish(shop, campaign(currency="EUR"))
    offer_id = await converted(shop)
    quote, _ = await quoted(shop, (offer_id, 2))
    listed = await checkout.price_offers(shop.context, [shop.shelf.views[offer_id]], market("DE"))
    assert (quote.total_minor, listed[offer_id].amount_minor) == (2_448 - 245, 1_224 - 122)
    assert quote.orders[0].conversions[0].sold_e4 == (10_000_000,)


async def test_a_floor_is_converted_too(shop: Shop) -> None:
    quote, _ = await quoted(shop, (await converted(shop, floors={"GBP": 500}), 1))
    assert quote.orders[0].lines[0].floor_minor == 612


async def test_an_ordinary_order_does_not_grow(shop: Shop) -> None:
    _, token = await quoted(shop, (await shop.offer(markets=("DE",), prices=(eur(999),)), 1))
    order = await placed(shop, token)
    assert b"conversion" not in msgspec.json.encode(order.body)


async def test_a_past_order_is_priced_again_to_the_cent(shop: Shop, live: Live) -> None:
    _, token = await quoted(shop, (await converted(shop, price_minor=333), 7))
    order = await placed(shop, token)
    live.publish("9", shop.world.now_ms())
    basket = checkout.bought([order])
    assert checkout.reprice(basket, market("DE"), Rules({})).total_minor == order.total_minor
    assert checkout.explain(basket, market("DE"), Rules({})).agrees


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("not_switched_on", "pricing.no_price"),
        ("no_rate", "fx.no_rate"),
        ("run_out", "fx.rate_stale"),
        ("not_yet", "fx.no_rate"),
        ("two_currencies", "fx.mixed"),
        ("not_here", "pricing.offer_not_in_market"),
    ],
)
async def test_refusals(shop: Shop, live: Live, case: str, code: str) -> None:
    offer_id = await converted(shop, convert_from="" if case == "not_switched_on" else "GBP")
    lines = [(offer_id, 1)]
    if case == "no_rate":
        live.rates = ()
    elif case == "run_out":
        shop.world.advance(HOUR)
    elif case == "not_yet":
        live.publish("1.2", shop.world.now_ms() + 1)
    elif case == "not_here":
        shop.shelf.views[offer_id] = msgspec.structs.replace(shop.shelf.views[offer_id], markets=("GB",))
    elif case == "two_currencies":
        live.publish("0.9", shop.world.now_ms(), sold="USD")
        usd = PriceWindow(currency="USD", price_e4=10_000_000)
        lines.append((await converted(shop, prices=(usd,), convert_from="USD"), 1))
    with pytest.raises(Refusal) as refused:
        await quoted(shop, *lines)
    assert refused.value.code == code
    if case in ("no_rate", "run_out", "not_yet"):
        assert refused.value.extra["offer_id"] == offer_id
        listed = await checkout.price_offers(shop.context, [shop.shelf.views[offer_id]], market("DE"))
        cart = await checkout.price_cart(shop.context, "DE", wants(lines), buyer_id=shop.buyer_id)
        assert (listed, cart.quote, cart.left_out) == ({}, None, (offer_id,))


async def test_another_sellers_goods_convert_from_their_own_currency(shop: Shop, live: Live) -> None:
    live.publish("0.9", shop.world.now_ms(), sold="USD", margin_ppm=0)
    usd = PriceWindow(currency="USD", price_e4=10_000_000)
    other = await converted(shop, prices=(usd,), convert_from="USD", seller_id=shop.world.mint("seller", 8))
    quote, _ = await quoted(shop, (await converted(shop), 1), (other, 1))
    assert [one.conversions[0].rate.pair for one in quote.orders] == ["GBP.EUR", "USD.EUR"]
    assert quote.total_minor == 1_224 + 900


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"markets": ("DE",), "prices": (gbp(1),)}, "catalog.market_without_price"),
        ({"markets": ("DE",), "prices": (gbp(1),), "convert_from": "USD"}, "catalog.market_without_price"),
        ({"markets": ("DE",), "prices": (gbp(1),), "convert_from": "GBP"}, ""),
    ],
)
def test_terms_need_a_price_or_one_to_convert(terms: dict[str, Any], code: str) -> None:
    wanted = catalog.OfferTerms(**terms)
    if not code:
        assert catalog.rules.accept_terms(wanted).convert_from == "GBP"
        return
    with pytest.raises(Refusal) as refused:
        catalog.rules.accept_terms(wanted)
    assert refused.value.code == code


GOOD = {"sold": "GBP", "paid": "EUR", "rate": "1.2", "source": "ECB", "published_ms": 1, "until_ms": 2}


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": "0"},
        {"rate": "0.000"},
        {"rate": "-1"},
        {"rate": "1234567"},
        {"rate": "1,2"},
        {"rate": "1.1234567890123"},
        {"sold": "EUR"},
        {"sold": "XQZ"},
        {"until_ms": 1},
        {"source": ""},
        {"margin_ppm": -1},
        {"margin_ppm": 500_001},
        {"more": 1},
    ],
)
def test_what_cannot_be_published(wrong: dict[str, Any]) -> None:
    key = find_key("fx.rates")
    assert key.accept([GOOD])[0].rate == "1.2"
    with pytest.raises(Refusal) as refused:
        key.accept([{**GOOD, **wrong}])
    assert refused.value.code == "config.value_invalid"
