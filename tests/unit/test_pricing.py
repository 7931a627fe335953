"""Pricing by example: windows, refusals, adjustments, tax, fees, shipping, trace, speed."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import Market
from tradepost.trade import pricing, shipping, tax
from tradepost.trade.catalog import Component, OfferView, PriceWindow
from tradepost.trade.pricing import Basket, Funder, Priced, PriceLine, Proposal

GB = Market(
    code="GB",
    name="United Kingdom",
    currency="GBP",
    locale="en_GB",
    time_zone="Europe/London",
    prices_include_tax=True,
    tax_rates_bps={"standard": 2_000, "reduced": 500, "zero": 0},
)
US = Market(
    code="US",
    name="United States",
    currency="USD",
    locale="en_US",
    time_zone="America/New_York",
    prices_include_tax=False,
    tax_rates_bps={"standard": 825, "shipping": 400},
)
AT = 1_000


def offer(price_e4: int = 9_990_000, **facts: Any) -> OfferView:
    """An offer sold in both markets at one price unless `facts` say otherwise."""
    known: dict[str, Any] = {
        "offer_id": "off_1",
        "seller_id": "sel_1",
        "sku_id": "sku_1",
        "sku_code": "A",
        "product_id": "prd_1",
        "title": "A lamp",
        "description": "",
        "image": "",
        "components": (Component(sku_id="sku_1", quantity=1),),
        "markets": ("GB", "US"),
        "prices": tuple(PriceWindow(currency=currency, price_e4=price_e4) for currency in ("GBP", "USD")),
        "state": "ACTIVE",
        "seller_state": "ACTIVE",
        "fee_bps": 0,
        "version": 1,
    }
    return OfferView(**{**known, **facts})


def run(*lines: PriceLine, market: Market = GB, **choices: Any) -> Priced:
    chosen: dict[str, Any] = {"tax": tax.by_category, "ship": shipping.free, **choices}
    return pricing.price(lines, market, AT, **chosen)


def one(quantity: int = 1, price_e4: int = 9_990_000, **facts: Any) -> PriceLine:
    return PriceLine(offer=offer(price_e4, **facts), quantity=quantity)


def window(price_e4: int, from_ms: int = 0, until_ms: int = 0, currency: str = "GBP") -> PriceWindow:
    return PriceWindow(currency=currency, price_e4=price_e4, from_ms=from_ms, until_ms=until_ms)


@pytest.mark.parametrize(
    ("windows", "at_ms", "expected"),
    [
        ([window(5)], 0, 5),
        ([window(5, 10)], 9, None),
        ([window(5, 10)], 10, 5),
        ([window(5, 0, 10)], 9, 5),
        ([window(5, 0, 10)], 10, None),
        ([window(5, 0, 10), window(3, 10, 20), window(5, 20)], 9, 5),
        ([window(5, 0, 10), window(3, 10, 20), window(5, 20)], 10, 3),
        ([window(5, 0, 10), window(3, 10, 20), window(5, 20)], 20, 5),
        ([window(5, currency="USD")], 0, None),
        ([window(4, currency="USD"), window(5)], 0, 5),
        ([window(0)], 0, 0),
        ([], 0, None),
    ],
)
def test_the_list_price_by_currency_and_moment(
    windows: list[PriceWindow], at_ms: int, expected: int | None
) -> None:
    assert pricing.list_price(offer(prices=tuple(windows)), GB, at_ms) == expected


@pytest.mark.parametrize(
    ("lines", "code", "field"),
    [
        ([one(), one(prices=())], "pricing.no_price", "lines[1].offer_id"),
        ([one(prices=(window(5, 2_000),))], "pricing.no_price", "lines[0].offer_id"),
        ([one(markets=("US",))], "pricing.offer_not_in_market", "lines[0].offer_id"),
        ([one(0)], "pricing.quantity_invalid", "lines[0].quantity"),
        ([one(-1)], "pricing.quantity_invalid", "lines[0].quantity"),
        ([one(4, quantity_max=3)], "pricing.quantity_invalid", "lines[0].quantity"),
        ([one(1_000_001)], "pricing.quantity_invalid", "lines[0].quantity"),
        (
            [PriceLine(offer=offer(), quantity=1, currency="USD")],
            "pricing.currency_mixed",
            "lines[0].currency",
        ),
        ([], "pricing.lines_invalid", "lines"),
        ([one()] * 4, "pricing.lines_invalid", "lines"),
        ([one(1_000_000, 10**14)], "pricing.amount_too_large", "lines"),
        ([one(tax_category="cars")], "tax.category_unknown", "tax_category"),
    ],
)
def test_refusals(lines: list[PriceLine], code: str, field: str) -> None:
    with pytest.raises(Refusal) as refused:
        run(*lines, lines_max=3)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.problem.remedy


@pytest.mark.parametrize(
    ("market", "price_e4", "quantity", "category", "listed", "tax_minor", "total"),
    [
        (GB, 9_990_000, 1, "standard", 999, 167, 999),  # 166.5 up
        (GB, 9_990_000, 1, "reduced", 999, 48, 999),  # 47.57
        (GB, 9_990_000, 1, "zero", 999, 0, 999),
        (GB, 2_555_000, 1, "standard", 256, 43, 256),  # three-decimal price, rounded once a line
        (GB, 2_555_000, 2, "standard", 511, 85, 511),
        (GB, 0, 7, "standard", 0, 0, 0),
        (US, 9_990_000, 1, "standard", 999, 82, 1_081),  # 82.42 on top
        (US, 10_000_000, 2, "standard", 2_000, 165, 2_165),
    ],
)
def test_tax_inside_and_on_top(
    market: Market, price_e4: int, quantity: int, category: str, listed: int, tax_minor: int, total: int
) -> None:
    priced = run(one(quantity, price_e4, tax_category=category), market=market)
    (line,) = priced.lines
    assert (line.list_minor, line.tax_minor, line.total_minor) == (listed, tax_minor, total)
    assert (priced.total_minor, priced.tax_minor, priced.shipping_minor) == (total, tax_minor, 0)
    assert priced.currency == market.currency


@pytest.mark.parametrize(
    ("market", "fee_bps", "fee_minor"), [(GB, 500, 42), (US, 500, 50), (GB, 0, 0), (GB, 10_000, 832)]
)
def test_the_platform_fee_is_taken_on_the_total_without_tax(
    market: Market, fee_bps: int, fee_minor: int
) -> None:
    (line,) = run(one(fee_bps=fee_bps), market=market).lines
    assert (line.fee_bps, line.fee_minor) == (fee_bps, fee_minor)


def test_content_and_creator_stay_on_the_line() -> None:
    (line,) = run(PriceLine(offer=offer(), quantity=1, content_id="vid_9", creator_id="cre_9")).lines
    assert (line.content_id, line.creator_id) == ("vid_9", "cre_9")


def propose(*proposals: Proposal) -> Any:
    def strategy(basket: Basket) -> Sequence[Proposal]:
        return proposals

    return strategy


def cut(amount_minor: int, *line_nos: int, code: str = "SUMMER") -> Proposal:
    return Proposal(
        code=code, reason="Summer sale", funder=Funder.SELLER, amount_minor=amount_minor, line_nos=line_nos
    )


@pytest.mark.parametrize(
    ("proposals", "totals"),
    [
        ([], [1_000, 500, 0]),
        ([cut(-100, 2)], [1_000, 400, 0]),
        ([cut(-100)], [933, 467, 0]),
        ([cut(-100, 1, 3)], [900, 500, 0]),
        ([cut(-100, 2), cut(-140)], [900, 360, 0]),
        ([cut(-9_999, 2)], [1_000, 0, 0]),
        ([cut(-9_999)], [0, 0, 0]),
        ([cut(-500, 2), cut(-10, 2)], [1_000, 0, 0]),
        ([cut(-10, 3)], [1_000, 500, 0]),
        ([cut(25, 1)], [1_025, 500, 0]),
        ([cut(30)], [1_020, 510, 0]),
        ([cut(-100, 2, 2)], [1_000, 400, 0]),
    ],
)
def test_adjustments_in_order_and_never_below_zero(proposals: list[Proposal], totals: list[int]) -> None:
    lines = [one(price_e4=10_000_000), one(price_e4=5_000_000), one(price_e4=0)]
    priced = run(*lines, adjust=propose(*proposals))
    assert [line.total_minor for line in priced.lines] == totals
    for line in priced.lines:
        assert line.list_minor + sum(a.amount_minor for a in line.adjustments) == line.total_minor
        assert all(a.amount_minor and a.funder is Funder.SELLER and a.reason for a in line.adjustments)


def test_an_adjustment_of_a_line_that_is_not_there_is_a_bug_of_the_strategy() -> None:
    with pytest.raises(KeyError):
        run(one(), adjust=propose(cut(-1, 2)))


def test_tax_is_reckoned_after_adjustments() -> None:
    (line,) = run(one(price_e4=12_000_000), adjust=propose(cut(-600))).lines
    assert (line.total_minor, line.tax_minor) == (600, 100)
    (line,) = run(one(price_e4=10_000_000), market=US, adjust=propose(cut(-500))).lines
    assert (line.total_minor, line.tax_minor) == (541, 41)


def test_the_scene_chooses_the_strategy_and_the_basket_tells_it_all() -> None:
    seen: list[Basket] = []

    def strategy(basket: Basket) -> Sequence[Proposal]:
        seen.append(basket)
        return [cut(-9, 1)]

    pricing.ADJUSTMENTS.register(strategy, code="test", scene="test_scene")
    try:
        choices = {"buyer_id": "byr_1", "codes": ("TEN",), "scene": "test_scene.deep"}
        assert run(one(), **choices).total_minor == 990
        assert run(one(), scene="elsewhere").total_minor == 999
    finally:
        del pricing.ADJUSTMENTS._strategies["test_scene"]
    (basket,) = seen
    assert (basket.market, basket.currency, basket.scene) == ("GB", "GBP", "test_scene.deep")
    assert (basket.at_ms, basket.buyer_id, basket.codes) == (AT, "byr_1", ("TEN",))
    assert (basket.lines[0].line_no, basket.lines[0].list_minor, basket.lines[0].sku_id) == (1, 999, "sku_1")


def test_shipping_is_charged_per_seller_and_taxed() -> None:
    lines = [one(seller_id="sel_1"), one(seller_id="sel_2"), one(seller_id="sel_1")]
    priced = run(*lines, ship=shipping.flat_rate(300, free_from_minor=1_500))
    assert [(charge.seller_id, charge.amount_minor, charge.tax_minor) for charge in priced.shipping] == [
        ("sel_1", 0, 0),
        ("sel_2", 300, 50),
    ]
    assert (priced.shipping_minor, priced.total_minor, priced.tax_minor) == (300, 3_297, 3 * 167 + 50)
    (charge,) = run(one(), market=US, ship=shipping.flat_rate(300)).shipping
    assert (charge.amount_minor, charge.tax_minor, charge.tax_rate_bps) == (312, 12, 400)


def test_the_trace_tells_what_was_applied() -> None:
    priced = run(one(2, fee_bps=500), adjust=propose(cut(-5_000), cut(100, 1)), ship=shipping.flat_rate(300))
    assert priced.trace == (
        "adjust SUMMER capped -5000 to -1998",
        "adjust 1 SUMMER seller -1998",
        "adjust 1 SUMMER seller 100",
        "line 1 list 9990000*2=1998 tax standard 2000=17 fee 500=4",
        "shipping sel_1 300 tax 2000=50",
    )


def calls_of(count: int, quantity: int) -> int:
    """Function calls that pricing so many lines takes: work, counted instead of timed."""
    lines = [one(quantity, price_e4=2_555_000, fee_bps=500)] * count
    run(*lines)  # the first time fills what is made once
    calls = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    gc.disable()  # a collection in the middle would run the finalizers of strangers
    sys.setprofile(note)
    try:
        run(*lines)
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


def test_pricing_is_as_much_work_whatever_the_quantity() -> None:
    assert calls_of(100, 1) == calls_of(100, 1_000_000)
    assert calls_of(100, 1) < 100 * calls_of(1, 1)
