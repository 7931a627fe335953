"""Gifts as lines of an order: quoted, held with the rest or left out, never a lost sale, never a piece too many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.campaign_samples import (
    HALF,
    PLATFORM,
    campaign,
    coupon,
    fixed,
    gift,
    percent,
    promoted,
    publish,
)
from tests.checkout_shop import Shop, TwoShards, wants

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.markets import all_markets
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout, inventory, orders, payments, promotion
from tradepost.trade.checkout import Rules, forgoing
from tradepost.trade.payments import Heard, ProviderFact, Status
from tradepost.trade.promotion import (
    Campaign,
    Condition,
    Filter,
    Limits,
    RuleClass,
)
from tradepost.trade.settlement import rules as settlement_rules

EVEN, ODD = 6, 7


@pytest.fixture(params=["one file", "two shards"])
async def shop(request: pytest.FixtureRequest, db: SqliteStorage, world: TestWorld) -> AsyncIterator[Shop]:
    if request.param == "one file":
        yield promoted(db, world)
    else:
        shards = TwoShards()
        yield promoted(shards, world)
        shards.close()


async def order_of(shop: Shop, order_id: str) -> orders.Order:
    shard = shop.db.shard_of(gene_of(order_id))
    found: orders.Order = await shop.db.read(shard, orders.get_order, order_id)
    return found


async def free(shop: Shop, offer_id: str) -> int:
    return (await shop.level(shop.sku_of(offer_id))).available


async def prove(shop: Shop) -> None:
    """Stock is conserved, and every held piece is a line of an order that stands."""
    for shard in range(shop.db.shards):
        report = await shop.db.read(shard, inventory.check_stock, shop.world.now_ms())
        assert report.conserved, report.findings


async def again(shop: Shop, *order_ids: str, drafts: tuple[Campaign, ...] = ()) -> checkout.Comparison:
    found = [await order_of(shop, one) for one in order_ids]
    basket = checkout.bought(found)
    home = shop.db.shard_of(promotion.GENE)
    editions = await shop.db.read(home, promotion.past_editions, [basket.priced.edition])
    return checkout.compare([basket], all_markets(), Rules(editions, drafts))


async def test_a_gift_is_a_line_of_the_quote_and_of_the_order(shop: Shop) -> None:
    mug, towel = await shop.offer(sku_gene=EVEN), await shop.offer(3, 450, title="Towel", sku_gene=ODD)
    enough = Condition(items_total_at_least=2_000)
    one = campaign(rules=(gift(towel, 2, conditions=(enough,)),))
    await publish(shop, one)
    small, _ = await shop.quote((mug, 1))
    assert [len(each.lines) for each in small.orders] == [1]
    quote, token = await shop.quote((mug, 2))
    [ordered] = quote.orders
    _, line = ordered.lines
    assert (quote.total_minor, line.offer_id, line.quantity, line.line_no) == (2_000, towel, 2, 2)
    assert (line.list_minor, line.total_minor, line.tax_minor, line.fee_minor) == (900, 0, 0, 0)
    assert [(a.funder, a.amount_minor) for a in line.adjustments] == [("platform", -450), ("seller", -450)]
    assert line.gift == orders.Given(
        campaign_id=one.campaign_id, code="gift", earned_by=(1,), least_minor=2_000, least_units=1
    )
    assert (ordered.places, quote.missed_gifts) == ((1, 2), ())
    view, _ = await shop.place(token)
    assert view.missed_gifts == ()
    order = await order_of(shop, view.orders[0].order_id)
    assert order.body.lines == ordered.lines
    assert (await free(shop, towel), await free(shop, mug)) == (1, 8)
    assert (await shop.place(token))[1]  # a second click takes no second gift
    assert await free(shop, towel) == 1
    await prove(shop)


async def test_an_order_without_a_gift_is_written_as_before(shop: Shop) -> None:
    mug = await shop.offer()
    _, token = await shop.quote((mug, 1))
    view, _ = await shop.place(token)
    order = await order_of(shop, view.orders[0].order_id)
    assert b"gift" not in msgspec.json.encode(order.body)


async def test_a_gift_earns_nothing_and_counts_for_nothing(shop: Shop) -> None:
    mug, towel = await shop.offer(), await shop.offer(9, 900)
    await publish(shop, campaign(1, rules=(gift(towel),)))
    threshold = Condition(items_total_at_least=1_500)
    await publish(shop, campaign(2, rules=(percent(100_000, conditions=(threshold,)),)))
    await publish(shop, campaign(3, rules=(fixed(100, rule_class=RuleClass.ORDER, code="off"),)))
    quote, _ = await shop.quote((mug, 1))
    bought, given = quote.orders[0].lines
    assert (quote.total_minor, bought.total_minor, given.total_minor) == (900, 900, 0)
    assert [a.code for a in given.adjustments] == ["gift", "gift"]


async def test_what_is_sold_out_at_the_quote_is_told_and_left_out(shop: Shop) -> None:
    mug, towel = await shop.offer(), await shop.offer(1, 450, title="Towel")
    one = coupon("TOWEL", rules=(gift(towel, 2),))
    await publish(shop, one)
    quote, token = await shop.quote((mug, 1), codes=("TOWEL",))
    assert [len(each.lines) for each in quote.orders] == [1]
    [missed] = quote.missed_gifts
    assert (missed.offer_id, missed.title, missed.quantity, missed.why) == (
        towel,
        "Towel",
        2,
        "gift_sold_out",
    )
    assert missed.campaign_id == one.campaign_id
    assert checkout.read_quote(token, shop.context.secret).missed_gifts == ()
    view, _ = await shop.place(token)
    found = await again(shop, view.orders[0].order_id)
    assert (found.equal, found.baskets) == (1, 1)


async def test_what_is_bought_of_the_same_goods_comes_before_the_gift(shop: Shop) -> None:
    mug = await shop.offer(3)
    await publish(shop, campaign(rules=(gift(mug),)))
    assert [line.quantity for line in (await shop.quote((mug, 2)))[0].orders[0].lines] == [2, 1]
    quote, _ = await shop.quote((mug, 3))
    assert (len(quote.orders[0].lines), quote.missed_gifts[0].why) == (1, "gift_sold_out")


async def test_a_gift_that_sells_out_after_the_quote_never_costs_the_order(shop: Shop) -> None:
    mug, towel = await shop.offer(sku_gene=EVEN), await shop.offer(1, 450, sku_gene=ODD)
    one = campaign(rules=(gift(towel, funding=PLATFORM), percent(100_000, code="ten")))
    await publish(shop, one)
    _, token = await shop.quote((mug, 1))
    await shop.buy((towel, 1), key="other", buyer_id=shop.world.mint("buyer", EVEN))
    view, replayed = await shop.place(token)
    assert (replayed, view.total_minor) == (False, 900)
    [missed] = view.missed_gifts
    assert (missed.offer_id, missed.campaign_id, missed.why) == (towel, one.campaign_id, "gift_sold_out")
    order_id = view.orders[0].order_id
    order = await order_of(shop, order_id)
    assert [line.offer_id for line in order.body.lines] == [mug]
    assert [line.offer_id for line in order.body.missed_gifts] == [towel]
    assert (await shop.place(token)) == (view, True)
    shard = shop.db.shard_of(gene_of(order_id))
    placed = (await shop.db.read(shard, orders.order_log, order_id))[0].data()
    assert (len(placed.lines), placed.missed_gifts) == (1, view.missed_gifts)
    found = await again(shop, order_id)
    assert (found.equal, found.by_funder["GBP"]) == (1, {"seller": (100, 100)})
    assert (await free(shop, towel), await free(shop, mug)) == (0, 9)
    await prove(shop)


async def test_without_its_gift_an_order_has_other_funders_and_uses(shop: Shop) -> None:
    mug, towel, card = await shop.offer(), await shop.offer(1, 450), await shop.offer(1, 80)
    rules = (gift(towel, funding=PLATFORM), gift(card, code="card"), fixed(10, code="off", funding=HALF))
    await publish(shop, campaign(rules=rules, limits=Limits(total=5, budget_minor=10_000)))
    placement = await shop.accept((mug, 1))
    assert [(one.sku_id, one.line_no) for one in placement.gifts] == [
        (shop.sku_of(card), 2),
        (shop.sku_of(towel), 3),
    ]
    refusal = Refusal("inventory.sold_out", "", extra={"sku_id": shop.sku_of(card), "available": 0})
    fewer = forgoing.without_refused(placement, refusal)
    assert fewer is not None
    assert fewer.intent is not None
    assert [(one.sku_id, one.line_no) for one in fewer.gifts] == [(shop.sku_of(towel), 2)]
    [portion] = fewer.intent.portions
    assert [(one.account, one.amount_minor) for one in portion.funded] == [("platform:promotions", 455)]
    assert [(use.kind, use.quantity) for use in fewer.limits] == [("total", 1), ("budget", 460)]
    assert [demand.sku_id for demand in fewer.hold.demands] == [shop.sku_of(mug), shop.sku_of(towel)]
    body = orders.body_of(fewer.orders[0])
    assert [line.line_no for line in body.lines] == [1, 2]
    assert (body.places, [line.offer_id for line in body.missed_gifts]) == ((1, 3), [card])
    other = Refusal("inventory.sold_out", "", extra={"sku_id": shop.sku_of(mug), "available": 0})
    assert forgoing.without_refused(placement, other) is None
    assert forgoing.without_refused(placement, Refusal("checkout.quote_expired", "")) is None
    last = forgoing.without_refused(
        fewer, Refusal("inventory.sku_unknown", "", extra={"sku_id": shop.sku_of(towel)})
    )
    assert last is not None
    assert last.gifts == ()
    assert [(use.kind, use.quantity) for use in last.limits] == [("total", 1), ("budget", 10)]
    assert forgoing.without_refused(last, refusal) is None


async def test_two_buyers_and_one_gift(shop: Shop) -> None:
    mug, towel = await shop.offer(sku_gene=EVEN), await shop.offer(1, 450, sku_gene=ODD)
    await publish(shop, campaign(rules=(gift(towel),)))
    buyers = [shop.world.mint("buyer", EVEN) for _ in range(4)]
    tokens = [(await shop.quote((mug, 1), buyer_id=buyer))[1] for buyer in buyers]
    views = await asyncio.gather(
        *[shop.place(token, key=f"k{number}", buyer_id=buyers[number]) for number, token in enumerate(tokens)]
    )
    assert sorted(len(view.missed_gifts) for view, _ in views) == [0, 1, 1, 1]
    lines = [len((await order_of(shop, view.orders[0].order_id)).body.lines) for view, _ in views]
    assert sorted(lines) == [1, 1, 1, 2]
    assert (await free(shop, towel), await free(shop, mug)) == (0, 6)
    await prove(shop)


async def test_goods_that_sell_out_refuse_the_order_and_hold_no_gift(shop: Shop) -> None:
    mug, towel = await shop.offer(1, sku_gene=ODD), await shop.offer(1, 450, sku_gene=EVEN)
    await publish(shop, campaign(rules=(gift(towel),)))
    _, token = await shop.quote((mug, 1))
    await shop.buy((mug, 1), key="other", buyer_id=shop.world.mint("buyer", EVEN), codes=())
    await shop.stock_up(shop.sku_of(towel), 1)
    with pytest.raises(Refusal, match=r"inventory\.sold_out"):
        await shop.place(token)
    assert await free(shop, towel) == 1
    await prove(shop)


async def test_a_gift_that_is_bought_too_goes_first(shop: Shop) -> None:
    mug = await shop.offer(3)
    await publish(shop, campaign(rules=(gift(mug, conditions=(Condition(quantity_at_least=2),)),)))
    _, token = await shop.quote((mug, 2))
    await shop.buy((mug, 1), key="other", buyer_id=shop.world.mint("buyer", EVEN))
    view, _ = await shop.place(token)
    assert (len(view.missed_gifts), await free(shop, mug)) == (1, 0)
    await prove(shop)


async def test_uses_count_with_the_gift_and_not_without_it(shop: Shop) -> None:
    mug, towel = await shop.offer(), await shop.offer(5, 450)
    one = campaign(rules=(gift(towel),), limits=Limits(total=2, per_buyer=1, budget_minor=900))
    await publish(shop, one)
    quote, token = await shop.quote((mug, 1))
    assert [(use.kind, use.quantity) for use in quote.limits] == [("total", 1), ("buyer", 1), ("budget", 450)]
    view, _ = await shop.place(token)
    order = await order_of(shop, view.orders[0].order_id)
    assert len(order.body.redemptions) == 3
    second, _ = await shop.quote((mug, 1))  # once for each buyer: left out, nothing refused
    assert len(second.orders[0].lines) == 1
    other = shop.world.mint("buyer", EVEN)
    _, token = await shop.quote((mug, 1), buyer_id=other)
    rest = shop.world.mint("buyer", EVEN)
    _, late = await shop.quote((mug, 1), buyer_id=rest)
    await shop.place(token, key="k2", buyer_id=other)
    view, _ = await shop.place(late, key="k3", buyer_id=rest)  # the last use went to somebody else
    order = await order_of(shop, view.orders[0].order_id)
    assert (len(view.missed_gifts), len(order.body.lines), order.body.redemptions) == (1, 1, ())
    assert await free(shop, towel) == 3
    await prove(shop)


async def test_of_two_gifts_the_last_is_left_out_with_its_use(shop: Shop) -> None:
    mug, towel = await shop.offer(), await shop.offer(2, 450)
    for number in (1, 2):
        rule = gift(towel, code=f"gift{number}", filter=Filter(offers=(mug,)))
        await publish(shop, campaign(number, rules=(rule,), limits=Limits(total=5)))
    quote, token = await shop.quote((mug, 1))
    assert [line.line_no for line in quote.orders[0].lines] == [1, 2, 3]
    await shop.buy((towel, 1), key="other", buyer_id=shop.world.mint("buyer", EVEN))
    view, _ = await shop.place(token)
    order = await order_of(shop, view.orders[0].order_id)
    assert [line.gift.code for line in order.body.lines if line.gift is not None] == ["gift1"]
    assert ([one.code for one in view.missed_gifts], len(order.body.redemptions)) == (["gift2"], 1)
    assert (await again(shop, order.order_id)).equal == 1
    assert await free(shop, towel) == 0
    await prove(shop)


async def test_the_best_of_takes_another_when_the_gift_is_sold_out(shop: Shop) -> None:
    mug, towel = await shop.offer(sku_gene=EVEN), await shop.offer(1, 450, sku_gene=ODD)
    rules = (gift(towel, best_of="x"), fixed(100, code="off", best_of="x"))
    await publish(shop, campaign(rules=rules))
    quote, token = await shop.quote((mug, 1))
    assert (quote.total_minor, len(quote.orders[0].lines)) == (1_000, 2)
    await shop.buy((towel, 1), key="other", buyer_id=shop.world.mint("buyer", EVEN))
    without, _ = await shop.quote((mug, 1))
    assert (without.total_minor, len(without.orders[0].lines)) == (900, 1)
    view, _ = await shop.place(token)  # what was promised for the mug stands
    found = await again(shop, view.orders[0].order_id)
    assert (view.total_minor, len(view.missed_gifts), found.equal) == (1_000, 1, 1)
    explained = await checkout.explain_order(shop.context, await order_of(shop, view.orders[0].order_id))
    assert (explained.agrees, len(explained.lines)) == (True, 1)


async def test_explained_and_replayed_with_the_gift(shop: Shop) -> None:
    mug, cup = await shop.offer(), await shop.offer(seller_id="sel_b", title="Cup")
    towel = await shop.offer(5, 450, title="Towel")
    await publish(shop, campaign(rules=(gift(towel, funding=PLATFORM),)))
    quote, token = await shop.quote((mug, 1), (cup, 2))
    assert [each.places for each in quote.orders] == [(1, 3), (2,)]
    view, _ = await shop.place(token)
    ids = [one.order_id for one in view.orders]
    found = await again(shop, *ids)
    assert (found.equal, found.by_funder["GBP"]) == (1, {"platform": (450, 450)})
    explained = await checkout.explain_order(shop.context, await order_of(shop, ids[0]))
    assert explained.agrees
    assert [(line.place, line.title, line.total_minor) for line in explained.lines] == [
        (1, "Mug", 1_000),
        (2, "Cup", 2_000),
        (3, "Towel", 0),
    ]
    [(verdict, amount)] = explained.lines[2].applied
    assert (verdict.code, amount, verdict.units) == ("gift", 450, {3: 1})
    draft = campaign(2, rules=(percent(500_000),), state=promotion.CampaignState.ACTIVE)
    dearer = await again(shop, *ids, drafts=(draft,))
    assert (dearer.equal, dearer.by_currency["GBP"].now_minor) == (0, 1_500)


async def test_a_gift_of_goods_under_a_purchase_limit_is_not_counted_in_it(shop: Shop) -> None:
    mug, limited = await shop.offer(), await shop.offer(9, limit_per_buyer=1)
    await publish(shop, campaign(rules=(gift(limited, 2),)))
    view, _ = await shop.buy((mug, 1))
    assert view.missed_gifts == ()
    await shop.buy((limited, 1), key="k2")  # the limit is still whole; and with it no gift of the same goods
    quote, _ = await shop.quote((limited, 1), buyer_id=shop.world.mint("buyer", EVEN))
    assert [one.why for one in quote.missed_gifts] == ["gift_limited"]


async def test_nobody_sends_a_gift_alone(shop: Shop) -> None:
    mug, towel = await shop.offer(), await shop.offer(5, 450, seller_id="sel_b")
    await publish(shop, campaign(rules=(gift(towel, funding=PLATFORM),)))
    quote, _ = await shop.quote((mug, 1))
    assert ([len(each.lines) for each in quote.orders], quote.missed_gifts) == ([1], ())
    cup = await shop.offer(seller_id="sel_b")
    both, _ = await shop.quote((mug, 1), (cup, 1))
    assert [len(each.lines) for each in both.orders] == [1, 2]
    [mark] = [line.gift for line in both.orders[1].lines if line.gift is not None]
    assert mark == orders.Given(campaign_id=mark.campaign_id, code="gift", earned_by=(1,))


async def test_no_gift_for_an_exchange_and_none_where_it_is_not_for_sale(shop: Shop) -> None:
    mug, towel = await shop.offer(), await shop.offer(5, 450, state="PAUSED")
    await publish(shop, campaign(rules=(gift(towel),)))
    quote, _ = await shop.quote((mug, 1))
    assert [one.why for one in quote.missed_gifts] == ["gift_unavailable"]
    cart = await checkout.price_cart(shop.context, "GB", wants([(mug, 1)]), buyer_id=shop.buyer_id)
    assert cart.quote is not None
    assert [one.why for one in cart.quote.missed_gifts] == ["gift_unavailable"]


async def test_the_funder_pays_the_seller_for_the_gift(db: SqliteStorage, world: TestWorld) -> None:
    shop = promoted(db, world)
    mug, towel = await shop.offer(), await shop.offer(5, 450)
    await publish(shop, campaign(rules=(gift(towel, funding=PLATFORM),)))
    _, token = await shop.quote((mug, 1))
    view, _ = await shop.place(token, confirm=True)
    fact = ProviderFact(
        payment_id=view.payment_id,
        status=Status.AUTHORIZED,
        authorized_minor=1_000,
        captured_minor=1_000,
        currency="GBP",
    )
    order_id = view.orders[0].order_id
    shard = db.shard_of(gene_of(order_id))
    await db.batch(shard, payments.RECORD_RESULT, Heard(view.payment_id, "sandbox", 5, fact))
    order = await order_of(shop, order_id)
    books = await db.read(shard, payments.find_books, view.payment_id, order_id)
    assert [(one.account, one.amount_minor) for one in books.funded] == [("platform:promotions", 450)]
    found = settlement_rules.components_of(order, books, {})
    assert (found["goods"], found["platform_discount"], found["platform_funding"]) == (1_450, -450, 450)
    assert books.fee_minor == order.body.fee_minor == order.body.lines[0].fee_minor
    assert sum(found.values()) == 1_000 - books.tax_minor - books.fee_minor + 450
