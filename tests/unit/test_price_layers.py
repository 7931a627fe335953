"""Price layers: which price decides at a moment, in a place, for a buyer; and what a layer may not be bound to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import Market
from tradepost.trade import pricing, shipping, tax
from tradepost.trade.catalog import Component, Layer, OfferView, PriceWindow
from tradepost.trade.catalog.rules import accept_prices
from tradepost.trade.pricing import BuyerFacts, PriceLine

GB = Market(
    code="GB",
    name="United Kingdom",
    currency="GBP",
    locale="en_GB",
    time_zone="Europe/London",
    prices_include_tax=True,
    tax_rates_bps={"standard": 0},
)


def window(price: int, layer: Layer = Layer.LIST, **bound: Any) -> PriceWindow:
    return PriceWindow(currency="GBP", price_e4=price, layer=layer, **bound)


def offer(*prices: PriceWindow) -> OfferView:
    return OfferView(
        offer_id="off_1",
        seller_id="sel_1",
        sku_id="sku_1",
        sku_code="A",
        product_id="prd_1",
        title="",
        description="",
        image="",
        components=(Component(sku_id="sku_1", quantity=1),),
        markets=("GB",),
        prices=accept_prices(prices),
        state="ACTIVE",
        seller_state="ACTIVE",
        fee_bps=0,
        version=1,
    )


EVERY = (
    window(100),
    window(90, Layer.MARKET, market="GB"),
    window(80, Layer.SCHEDULED, from_ms=10, until_ms=50),
    window(85, Layer.FLASH, from_ms=20, until_ms=30),
    window(75, Layer.FLASH, from_ms=20, until_ms=30, scene="live"),
    window(70, Layer.FLASH, from_ms=20, until_ms=30, scene="live.sale"),
    window(60, Layer.ROOM, content_id="room_1", until_ms=40),
    window(95, Layer.MEMBER, segment="gold", from_ms=45),
)


@pytest.mark.parametrize(
    ("at_ms", "asking", "expected"),
    [
        (0, {}, 90),
        (9, {}, 90),
        (10, {}, 80),
        (20, {}, 85),  # the flash price decides though it is dearer: precedence is declared, not guessed
        (20, {"scene": "live"}, 75),
        (20, {"scene": "live.sale"}, 70),
        (20, {"scene": "live.sale.deep"}, 70),
        (20, {"scene": "lively"}, 85),
        (29, {"scene": "live"}, 75),
        (30, {"scene": "live"}, 80),
        (20, {"scene": "live", "content_id": "room_1"}, 60),
        (20, {"content_id": "room_2"}, 85),
        (40, {"content_id": "room_1"}, 80),
        (44, {"segments": ("gold",)}, 80),
        (45, {"segments": ("new", "gold")}, 95),
        (45, {"segments": ("new",)}, 80),
        (50, {}, 90),
    ],
)
def test_the_later_layer_decides_at_the_exact_instant(
    at_ms: int, asking: dict[str, Any], expected: int
) -> None:
    assert pricing.list_price(offer(*EVERY), GB, at_ms, **asking) == expected
    assert pricing.list_price(offer(*reversed(EVERY)), GB, at_ms, **asking) == expected


def test_another_market_of_the_currency_pays_the_list_price() -> None:
    elsewhere = msgspec.structs.replace(GB, code="GG")
    assert pricing.list_price(offer(*EVERY), elsewhere, 0) == 100


@pytest.mark.parametrize(
    ("at_ms", "scene", "content_id", "segments"),
    [(0, "shop", "", ()), (25, "live", "", ()), (25, "live", "room_1", ()), (60, "shop", "", ("gold",))],
)
def test_a_quote_asks_the_same_question_as_a_list(
    at_ms: int, scene: str, content_id: str, segments: tuple[str, ...]
) -> None:
    goods = offer(*EVERY)
    priced = pricing.price(
        [PriceLine(offer=goods, quantity=1, content_id=content_id)],
        GB,
        at_ms,
        tax=tax.by_category,
        ship=shipping.free,
        scene=scene,
        buyer=BuyerFacts(segments=segments),
    )
    listed = pricing.list_price(goods, GB, at_ms, scene=scene, content_id=content_id, segments=segments)
    assert priced.lines[0].unit_price_e4 == listed


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (window(1, market="GB"), "no market, scene, content or group"),
        (window(1, segment="gold"), "no market, scene, content or group"),
        (window(1, Layer.MARKET), "market or scene"),
        (window(1, Layer.ROOM, market="GB"), "content_id"),
        (window(1, Layer.MEMBER), "segment"),
    ],
)
def test_a_price_must_fit_its_layer(bad: PriceWindow, expected: str) -> None:
    with pytest.raises(Refusal) as refused:
        accept_prices([window(5), bad])
    assert (refused.value.code, refused.value.field) == ("catalog.price_layer_invalid", "prices[1].layer")
    assert refused.value.expected == expected


def test_windows_overlap_only_on_one_shelf() -> None:
    accept_prices([window(5), window(4, Layer.FLASH), window(3, Layer.FLASH, scene="live")])
    with pytest.raises(Refusal) as refused:
        accept_prices([window(5), window(4, Layer.FLASH), window(3, Layer.FLASH, from_ms=9)])
    assert refused.value.code == "catalog.price_windows_overlap"


def test_a_plain_window_is_kept_as_short_as_before() -> None:
    kept = msgspec.json.encode(window(5))
    assert kept == b'{"currency":"GBP","price_e4":5}'
    assert msgspec.json.decode(kept, type=PriceWindow) == window(5)
