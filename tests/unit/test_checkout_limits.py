"""Limits of campaigns as stock: exactly as many uses as there are, given back by rule, on one shard and on two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.campaign_samples import campaign, coupon, fixed, percent, promoted, publish
from tests.checkout_shop import Shop, TwoShards
from tests.order_samples import line, new_order

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow
from tradepost.kernel.ids import gene_of
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout, inventory, orders, promotion
from tradepost.trade.checkout import limits, redeeming
from tradepost.trade.checkout.limits import BUCKETS, LimitUse, share_of
from tradepost.trade.inventory import react
from tradepost.trade.orders import rules
from tradepost.trade.orders.model import LineProgress
from tradepost.trade.promotion import Limits, Owner, Reissue

DAY_MS = 86_400_000


@pytest.fixture(params=["one file", "two shards"])
async def shop(request: pytest.FixtureRequest, db: SqliteStorage, world: TestWorld) -> AsyncIterator[Shop]:
    if request.param == "one file":
        yield promoted(db, world)
    else:
        shards = TwoShards()
        yield promoted(shards, world)
        shards.close()


async def buy(shop: Shop, offer_id: str, number: int, *, gene: int = 6, **more: Any) -> str:
    """One purchase by a buyer of their own with the code; what came of it."""
    facts = {"buyer_id": shop.world.mint("buyer", gene), "codes": ("ONE",), **more}
    try:
        view, _ = await shop.buy((offer_id, 1), key=f"k{number}", **facts)
    except Refusal as refusal:
        return refusal.code
    return view.orders[0].order_id


async def consume(shop: Shop) -> None:
    """Let the inventory hear what orders said, as the relay would."""
    for shard in range(shop.db.shards):
        rows = await shop.db.read(shard, _events)
        for consumer in react.CONSUMERS:
            mine = [row for row in rows if row.type in consumer.types]
            for other in range(shop.db.shards):
                await shop.db.transact(other, hear, consumer.name, mine)


def hear(tx: Any, name: str, rows: list[EventRow]) -> None:
    [consumer] = [one for one in react.CONSUMERS if one.name == name]
    consumer.consume(tx, rows)


def _events(tx: Any) -> list[Any]:
    rows = tx.query(
        "SELECT gene, aggregate_id, version, type, at_ms, payload, buyer_id, seller_id, sequence FROM events"
        " ORDER BY sequence"
    )
    return [EventRow(*row) for row in rows]


async def cancel(shop: Shop, order_id: str) -> None:
    shard = shop.db.shard_of(gene_of(order_id))
    await shop.db.transact(shard, orders.cancel_order, order_id, "BUYER", "changed_mind", shop.world.now_ms())
    await consume(shop)


def prove(shop: Shop) -> None:
    for base in getattr(shop.db, "databases", []):
        assert base.run(inventory.check_stock, shop.world.now_ms()).findings == ()


def placed(answers: list[str]) -> list[str]:
    return [answer for answer in answers if answer.startswith("ord_")]


@pytest.mark.parametrize("limit", [1, 3, 70, 90])
async def test_a_total_is_used_exactly_so_often(shop: Shop, limit: int) -> None:
    mug = await shop.offer(pieces=1_000)
    await publish(shop, coupon("ONE", limits=Limits(total=limit)))
    answers = [await buy(shop, mug, number, gene=number % 1_024) for number in range(limit + 8)]
    assert len(placed(answers)) == limit
    assert set(answers) - set(placed(answers)) == {"promotion.limit_reached"}
    prove(shop)


async def test_a_race_uses_a_total_exactly_so_often(shop: Shop) -> None:
    mug = await shop.offer(pieces=1_000)
    await publish(shop, coupon("ONE", limits=Limits(total=90)))
    codes = ("promotion.limit_reached", "promotion.limit_contended")
    answers = await asyncio.gather(*[buy(shop, mug, number, gene=number) for number in range(140)])
    assert len(placed(answers)) <= 90
    assert set(answers) - set(placed(answers)) <= set(codes)
    again = [await buy(shop, mug, 500 + number, gene=number) for number in range(20)]
    assert len(placed([*answers, *again])) == 90
    prove(shop)


async def test_a_buyer_has_it_so_often_and_another_too(shop: Shop) -> None:
    mug = await shop.offer(pieces=100)
    await publish(shop, coupon("ONE", limits=Limits(per_buyer=2)))
    ann, bob = (shop.world.mint("buyer", gene) for gene in (6, 7))
    answers = await asyncio.gather(
        *[buy(shop, mug, number, buyer_id=buyer) for number, buyer in enumerate([ann, bob] * 4)]
    )
    assert len(placed(answers)) == 4
    assert set(answers) - set(placed(answers)) == {"promotion.limit_reached"}


async def test_a_day_and_a_content_have_counts_of_their_own(shop: Shop) -> None:
    mug = await shop.offer(pieces=100)
    await publish(shop, coupon("ONE", limits=Limits(per_day=2)))
    today = [await buy(shop, mug, number) for number in range(3)]
    shop.world.advance(DAY_MS)
    tomorrow = [await buy(shop, mug, 10 + number) for number in range(3)]
    assert (len(placed(today)), len(placed(tomorrow))) == (2, 2)


async def test_a_budget_is_never_overspent(shop: Shop) -> None:
    mug = await shop.offer(pieces=100)
    await publish(shop, coupon("ONE", rules=(fixed(30),), limits=Limits(budget_minor=100)))
    answers = [await buy(shop, mug, number) for number in range(5)]
    assert len(placed(answers)) * 30 <= 100
    assert len(placed(answers)) >= 2


async def test_a_budget_serves_what_is_larger_than_a_sixteenth_of_it(shop: Shop) -> None:
    mug = await shop.offer(pieces=100)
    await publish(shop, coupon("ONE", rules=(fixed(300),), limits=Limits(budget_minor=1_000)))
    answers = [await buy(shop, mug, number, gene=number) for number in range(5)]
    assert [answer[:4] for answer in answers] == ["ord_"] * 3 + ["prom"] * 2
    assert set(answers[3:]) == {"promotion.limit_reached"}
    prove(shop)


async def test_a_campaign_whose_budget_is_too_small_is_left_out_of_the_quote(
    db: SqliteStorage, world: TestWorld
) -> None:
    shop = promoted(db, world)
    mug, pin = await shop.offer(pieces=100), await shop.offer(pieces=100, price_minor=100)
    await publish(shop, campaign(rules=(percent(500_000),), limits=Limits(budget_minor=700)))
    quotes = [await shop.quote((mug, count)) for count in (1, 2)]
    assert [quote.total_minor for quote, _ in quotes] == [
        500,
        2_000,
    ]  # 1000 off is more than the whole budget
    second, second_token = await shop.quote((mug, 1))
    await shop.place(quotes[0][1])
    with pytest.raises(Refusal, match=r"promotion\.limit_reached"):
        await shop.place(second_token, "k2")
    again, token = await shop.quote((mug, 1))
    assert (second.total_minor, again.total_minor, again.limits) == (500, 1_000, ())
    assert len(again.priced.without) == 1
    await shop.place(token, "k3")
    small, token = await shop.quote((pin, 1))
    assert small.total_minor == 50  # 50 of the 200 that are left
    await shop.place(token, "k4")


async def test_a_code_whose_budget_is_too_small_is_refused_with_the_quote(shop: Shop) -> None:
    mug = await shop.offer(pieces=100)
    await publish(shop, coupon("ONE", rules=(fixed(300),), limits=Limits(budget_minor=200)))
    with pytest.raises(Refusal, match=r"promotion\.limit_reached"):
        await shop.quote((mug, 1), codes=("ONE",))


async def test_a_counter_not_yet_there_on_a_second_shard_is_opened(world: TestWorld) -> None:
    shards = TwoShards()
    shop = promoted(shards, world)
    mug = await shop.offer(pieces=100)
    await publish(shop, coupon("ONE", limits=Limits(total=3, per_buyer=1)))
    buyer = world.mint("buyer", 7)  # the buyer's counter lies on one shard, the total on the other
    assert placed([await buy(shop, mug, 1, buyer_id=buyer)])
    assert await buy(shop, mug, 2, buyer_id=buyer) == "promotion.limit_reached"
    answers = [await buy(shop, mug, 3 + number, gene=9 + 2 * number) for number in range(3)]
    assert [answer[:4] for answer in answers] == ["ord_", "ord_", "prom"]
    prove(shop)
    shards.close()


async def test_processes_agree_on_the_bucket_of_a_checkout_over_shards(
    db: SqliteStorage, world: TestWorld
) -> None:
    shards = TwoShards()
    for base, same in ((shards, True), (db, False)):
        shop = promoted(base, world)
        mug = await shop.offer()
        await publish(shop, coupon("ONE", limits=Limits(total=10_000)))
        _, token = await shop.quote((mug, 1), codes=("ONE",))
        found = []
        for first in (3, 8):
            context = msgspec.structs.replace(shop.context, first_bucket=first)
            await checkout.place_order(
                context, await checkout.accept_quote(context, token, shop.request(f"k{first}"))
            )
            placement = await checkout.accept_quote(context, token, shop.request())
            found.append(redeeming.candidates(context, placement.limits[0], placement))
        assert (found[0] == found[1]) is same
    shards.close()


class Listening:
    """Hints that know of one stock, of no interest here, and note who is asked for."""

    def __init__(self, known: int) -> None:
        self.known = known
        self.asked: list[str] = []

    def __len__(self) -> int:
        return self.known

    def refuses(self, demands: Any) -> None:
        self.asked += [demand.sku_id for demand in demands]

    async def last_word(self, demands: Any) -> None:
        return None


@pytest.mark.parametrize(("known", "asked"), [(0, 0), (1, 2)])
async def test_only_limits_that_may_matter_are_asked_for_and_one_bucket_says_enough(
    db: SqliteStorage, world: TestWorld, known: int, asked: int
) -> None:
    hints = Listening(known)
    shop = promoted(db, world, hints=hints)
    mug = await shop.offer()
    await publish(shop, campaign(1, limits=Limits(total=10_000)))
    for number in (2, 3):
        other = campaign(number, owner=Owner.SELLER, seller_id=world.mint("seller", 9))
        await publish(shop, msgspec.structs.replace(other, limits=Limits(total=10_000)))
    quote, _ = await shop.quote((mug, 1))
    assert quote.total_minor == 900
    assert len(hints.asked) == asked  # before and after pricing


async def test_a_use_on_the_orders_of_several_sellers_never_comes_back(shop: Shop) -> None:
    own = await shop.offer(pieces=100)
    other = await shop.offer(pieces=100, seller_id=shop.world.mint("seller", 9))
    await publish(shop, coupon("ONE", limits=Limits(total=2)))
    alone, _ = await shop.quote((own, 1), codes=("ONE",))
    both, token = await shop.quote((own, 1), (other, 1), codes=("ONE",))
    assert [alone.limits[0].reissue, both.limits[0].reissue] == ["cancelled", "never"]
    view, _ = await shop.place(token)
    for order in view.orders:
        await cancel(shop, order.order_id)
    assert placed([await buy(shop, own, 2)])
    assert await buy(shop, own, 3) == "promotion.limit_reached"


async def test_a_use_comes_back_with_a_cancelled_order(shop: Shop) -> None:
    mug = await shop.offer(pieces=100)
    await publish(shop, coupon("ONE", limits=Limits(total=1, per_buyer=1)))
    buyer = shop.world.mint("buyer", 6)
    first = await buy(shop, mug, 1, buyer_id=buyer)
    assert await buy(shop, mug, 2) == "promotion.limit_reached"
    await cancel(shop, first)
    await consume(shop)  # heard twice, given back once
    assert placed([await buy(shop, mug, 3, buyer_id=buyer)])
    assert await buy(shop, mug, 4) == "promotion.limit_reached"
    prove(shop)


@pytest.mark.parametrize(
    ("reissue", "back"), [(Reissue.CANCELLED, 0), (Reissue.REFUNDED, 1), (Reissue.NEVER, 0)]
)
def test_a_use_comes_back_with_the_last_returned_unit_by_rule(
    world: TestWorld, reissue: Reissue, back: int
) -> None:
    new = orders.with_redemptions(
        new_order(world, [line(1, 2, 100)]), [orders.Redemption("lim_x", 1, reissue.value)]
    )
    order = orders.Order(
        **{
            name: getattr(new, name)
            for name in new.__struct_fields__
            if name not in ("body", "events", "state")
        },
        state="DELIVERED",
        version=1,
        progress=(LineProgress(packed=2, shipped=2, delivered=2),),
        cancellation=None,
        body=msgspec.json.decode(new.body, type=orders.OrderBody),
    )
    one = orders.LineQuantity(1, 1)
    half = rules.give_back(order, "rtn_1", [one])
    whole = rules.give_back(half.order, "rtn_2", [one])
    assert half.facts[0].limits == ()  # type: ignore[attr-defined]
    assert len(whole.facts[0].limits) == back  # type: ignore[attr-defined]


async def test_never_keeps_a_cancelled_use(shop: Shop) -> None:
    mug = await shop.offer(pieces=100)
    await publish(shop, coupon("ONE", limits=Limits(total=1, reissue=Reissue.NEVER)))
    await cancel(shop, await buy(shop, mug, 1))
    assert await buy(shop, mug, 2) == "promotion.limit_reached"


async def test_the_same_request_again_uses_nothing_more(shop: Shop) -> None:
    mug = await shop.offer(pieces=100)
    await publish(shop, coupon("ONE", limits=Limits(total=1)))
    _, token = await shop.quote((mug, 1), codes=("ONE",))
    first = await shop.place(token, "k1")
    assert await shop.place(token, "k2") == (first[0], True)
    assert await shop.place(token, "k1") == (first[0], True)


async def test_goods_that_are_sold_out_take_no_use(shop: Shop) -> None:
    scarce, mug = await shop.offer(pieces=1), await shop.offer(pieces=9)
    await publish(shop, coupon("ONE", limits=Limits(total=2)))
    answers = [await buy(shop, scarce, 1), await buy(shop, scarce, 2), await buy(shop, mug, 3)]
    assert [answer[:4] for answer in answers] == ["ord_", "inve", "ord_"]
    assert await buy(shop, mug, 4) == "promotion.limit_reached"


async def test_goods_on_another_shard_and_a_dry_bucket(world: TestWorld) -> None:
    shards = TwoShards()
    shop = promoted(shards, world)
    far = await shop.offer(pieces=300, sku_gene=7)
    await publish(shop, coupon("ONE", limits=Limits(total=100)))
    answers = [await buy(shop, far, number) for number in range(104)]
    assert len(placed(answers)) == 100
    assert set(answers[100:]) == {"promotion.limit_reached"}
    prove(shop)
    shards.close()


@pytest.mark.parametrize("bound", [1, 63, 64, 65, 100, 1_000, 99_999])
def test_buckets_have_the_bound_together_and_only_grow(bound: int) -> None:
    assert sum(share_of(bound, bucket) for bucket in range(BUCKETS)) == bound
    assert all(share_of(bound, bucket) <= share_of(bound + 1, bucket) for bucket in range(BUCKETS))


def test_a_limit_has_one_name_for_everybody(world: TestWorld) -> None:
    use = LimitUse(
        campaign_id=world.mint("campaign", 0), kind="total", key="", quantity=1, bound=100, order_id="ord_1"
    )
    names = {limits.limit_id(use, bucket, "") for bucket in range(BUCKETS)}
    assert len(names) == BUCKETS
    assert {limits.limit_id(use, bucket, "") for bucket in range(BUCKETS)} == names
    assert len({gene_of(name) % 16 for name in names}) == BUCKETS
    assert all(name.startswith(redeeming.PREFIX) for name in names)


def test_no_total_lies_below_what_the_parts_say() -> None:
    assert limits.is_lowered(Limits(total=5), Limits(total=4))
    assert not limits.is_lowered(Limits(total=5), Limits(total=5))
    assert not limits.is_lowered(Limits(), Limits(total=5))
    assert limits.is_lowered(Limits(total=5), Limits())
    assert limits.is_lowered(Limits(budget_minor=5), Limits(budget_minor=0))
    assert promotion.Limits().reissue is Reissue.CANCELLED


async def test_a_bucket_that_runs_dry_between_two_shards_gives_the_checkout_up(world: TestWorld) -> None:
    shards = TwoShards()
    shop = promoted(shards, world)
    both = [(await shop.offer(sku_gene=gene), 1) for gene in (6, 7)]
    await publish(shop, coupon("ONE", limits=Limits(total=1)))
    _, token = await shop.quote(*both, codes=("ONE",))
    placement = await checkout.accept_quote(shop.context, token, shop.request())
    [use] = placement.limits
    opening = limits.opening_of(use, 0, placement.buyer_id, world.now_ms())
    await shards.transact(shards.shard_of(gene_of(opening.sku_id)), inventory.receive, [opening])
    chosen = msgspec.structs.replace(redeeming.with_buckets(placement, {use: 0}), limits=())
    refusal = Refusal("inventory.sold_out", "", extra={"sku_id": opening.sku_id})
    shards.before["HOLD"] = lambda: _refuse_second(shards, refusal)
    with pytest.raises(Refusal, match=r"promotion\.limit_contended"):
        await checkout.place_order(shop.context, chosen)
    assert placed([await buy(shop, both[0][0], 2)])  # nothing is left of the first hold
    shards.close()


async def _refuse_second(shards: TwoShards, refusal: Refusal) -> None:
    """The first hold goes through; the next one is told that its bucket is dry."""

    async def refuse() -> None:
        shards.refused["HOLD"] = refusal

    shards.before["HOLD"] = refuse
