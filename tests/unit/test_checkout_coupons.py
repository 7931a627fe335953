"""Quotes with campaigns: what is taken off, who pays it, which codes are refused and why."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.campaign_samples import campaign, coupon, fixed, percent, promoted, publish
from tests.checkout_shop import Shop

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.stability.switches import Switches
from tradepost.testing.world import TestWorld
from tradepost.trade import orders, promotion
from tradepost.trade.checkout import sending
from tradepost.trade.checkout.campaigning import newest_sales
from tradepost.trade.promotion import Condition, Filter, Funder, Limits, RuleClass, Share

DAY_MS = 86_400_000


@pytest.fixture
def shop(db: SqliteStorage, world: TestWorld) -> Shop:
    return promoted(db, world)


async def total(shop: Shop, *lines: tuple[str, int], **more: Any) -> int:
    quote, _ = await shop.quote(*lines, **more)
    return int(quote.total_minor)


async def refused(shop: Shop, code: str, *lines: tuple[str, int]) -> tuple[str, Any]:
    with pytest.raises(Refusal) as found:
        await shop.quote(*lines, codes=(code,))
    return found.value.code, found.value.extra.get("why")


async def test_a_campaign_lowers_the_price_and_says_who_pays(shop: Shop) -> None:
    mug = await shop.offer(price_minor=1_000)
    assert await total(shop, (mug, 2)) == 2_000
    funding = (Share(funder=Funder.PLATFORM, bps=6_000), Share(funder=Funder.SELLER, bps=4_000))
    one = campaign(rules=(percent(funding=funding),))
    await publish(shop, one)
    quote, token = await shop.quote((mug, 2))
    [line] = quote.orders[0].lines
    assert [
        (each.funder, each.amount_minor, each.campaign_id, each.version) for each in line.adjustments
    ] == [
        (Funder.PLATFORM, -120, one.campaign_id, 1),
        (Funder.SELLER, -80, one.campaign_id, 1),
    ]
    view, _ = await shop.place(token)
    assert (quote.total_minor, view.total_minor) == (1_800, 1_800)
    order = await shop.db.read(0, orders.get_order, view.orders[0].order_id)
    assert order.body.lines == quote.orders[0].lines
    assert (order.body.priced.edition, order.body.places) == (1, (1,))


async def test_an_order_without_campaigns_says_nothing_of_them(shop: Shop) -> None:
    view, _ = await shop.buy((await shop.offer(), 1))
    [[body]] = await shop.db.read(0, lambda tx: tx.query("SELECT body FROM orders"))
    assert not {b"priced", b"places", b"redemptions", b"shipping_adjustments"} & set(bytes(body).split(b'"'))
    assert view.total_minor == 1_000


async def test_a_coupon_opens_its_campaign_whatever_its_letters(shop: Shop) -> None:
    mug = await shop.offer()
    await publish(shop, coupon("SAVE10"))
    assert await total(shop, (mug, 1)) == 1_000
    assert await total(shop, (mug, 1), codes=(" save10 ",)) == 900
    assert await shop.buy((mug, 1), codes=("SAVE10",), total_minor=900)


async def test_every_refused_code_says_why(shop: Shop) -> None:
    mug = await shop.offer()
    now = shop.world.now_ms()
    await publish(shop, coupon("LATER", 1, from_ms=now + 10))
    await publish(shop, coupon("OVER", 2, until_ms=now))
    await publish(shop, coupon("ABROAD", 3, currency="EUR"))
    big = Condition(items_total_at_least=5_000)
    await publish(shop, coupon("BIG", 4, rules=(fixed(100, conditions=(big,)),)))
    ended = coupon("ENDED", 5)
    await publish(shop, ended)
    await shop.db.transact(0, promotion.move_campaign, ended.campaign_id, "end", now)
    assert {
        code: await refused(shop, code, (mug, 1))
        for code in ("NO", "LATER", "OVER", "ABROAD", "BIG", "ENDED")
    } == {
        "NO": ("promotion.code_unknown", None),
        "LATER": ("promotion.code_early", None),
        "OVER": ("promotion.code_expired", None),
        "ABROAD": ("promotion.code_not_applicable", "not_running"),
        "BIG": ("promotion.code_not_applicable", "condition_not_met"),
        "ENDED": ("promotion.code_expired", None),
    }
    with pytest.raises(Refusal, match=r"promotion\.codes_invalid"):
        await shop.quote((mug, 1), codes=tuple(f"C{number}" for number in range(11)))


async def test_a_code_is_unknown_where_nothing_is_in_force(shop: Shop) -> None:
    assert (await refused(shop, "X", (await shop.offer(), 1)))[0] == "promotion.code_unknown"


async def test_a_price_is_a_function_of_time(shop: Shop) -> None:
    mug = await shop.offer()
    now = shop.world.now_ms()
    await publish(shop, campaign(from_ms=now + 10, until_ms=now + 20))
    prices = []
    for step in (0, 9, 1, 9, 1):
        shop.world.advance(step)
        prices.append(await total(shop, (mug, 1)))
    assert prices == [1_000, 1_000, 900, 900, 1_000]


async def test_coupons_off_prices_at_list_and_keeps_promises(db: SqliteStorage, world: TestWorld) -> None:
    shop = promoted(db, world)
    off = promoted(db, world)
    off.context = replace(shop.context, switches=Switches(on=("coupons_off",)))
    off.buyer_id = shop.buyer_id
    mug = await shop.offer()
    await publish(shop, coupon("SAVE"))
    _, token = await shop.quote((mug, 1), codes=("SAVE",))
    assert await total(off, (mug, 1), codes=("SAVE",)) == 1_000
    assert (await off.place(token))[0].total_minor == 900


async def test_first_orders_and_segments_are_facts_of_the_buyer(shop: Shop) -> None:
    mug = await shop.offer(pieces=20)
    await publish(shop, campaign(1, rules=(fixed(100, conditions=(Condition(first_order=True),)),)))
    await publish(shop, campaign(2, rules=(fixed(7, code="vip", filter=Filter(segments=("vip",))),)))
    assert await total(shop, (mug, 1)) == 900
    assert await total(shop, (mug, 1), segments=("vip",)) == 893
    _, first = await shop.quote((mug, 1))
    _, second = await shop.quote((mug, 1))
    await shop.place(first, "k1")
    assert await total(shop, (mug, 1)) == 1_000
    with pytest.raises(Refusal) as found:
        await shop.place(second, "k2")
    assert (found.value.code, found.value.extra["limit"]) == ("promotion.limit_reached", "buyer")


async def test_a_floor_holds_against_every_stack(shop: Shop) -> None:
    mug = await shop.offer(price_minor=1_000, floors={"GBP": 850})
    for number in (1, 2, 3):
        await publish(shop, campaign(number, rules=(percent(code=f"p{number}"),)))
    quote, token = await shop.quote((mug, 1))
    assert quote.total_minor == 850
    view, _ = await shop.place(token)
    order = await shop.db.read(0, orders.get_order, view.orders[0].order_id)
    assert order.body.lines[0].floor_minor == 850


async def test_one_campaign_over_two_sellers_spreads_to_the_cent(shop: Shop) -> None:
    lines = [
        (await shop.offer(price_minor=333), 1),
        (await shop.offer(price_minor=334, seller_id="sel_b"), 1),
    ]
    await publish(
        shop, coupon("ONE", rules=(fixed(100, rule_class=RuleClass.ORDER),), limits=Limits(total=5))
    )
    quote, token = await shop.quote(*lines, codes=("ONE",))
    off = [change.amount_minor for one in quote.orders for line in one.lines for change in line.adjustments]
    assert (sum(off), len(off), quote.total_minor) == (-100, 2, 567)
    assert [use.order_id for use in quote.limits] == [quote.orders[0].order_id]
    await shop.place(token)


async def test_usual_prices_are_those_of_the_campaigns_currency(shop: Shop) -> None:
    mug = await shop.offer(price_minor=1_000)
    await shop.buy((mug, 2))
    assert await shop.db.read(0, newest_sales, "GBP") == [(mug, 10_000_000)]
    assert await shop.db.read(0, newest_sales, "EUR") == []


async def test_a_quote_carries_no_trace_and_asks_no_terms_where_nobody_has_any(shop: Shop) -> None:
    mug = await shop.offer()
    quote, _ = await shop.quote((mug, 1))
    assert (quote.trace, quote.destination.country) == ((), "")
    methods = sending.Wish(methods={shop.seller_id: "express"})
    with pytest.raises(Refusal, match=r"shipping\.method_unavailable"):
        await shop.quote((mug, 1), wish=methods)
