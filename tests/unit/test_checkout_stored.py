"""Store credit in the commit that places: on one shard or several, under quotes, races and repeats."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.checkout_shop import Shop, TwoShards

from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout, payments
from tradepost.trade.checkout import StoredWish, placing
from tradepost.trade.checkout.model import Placed, Placement
from tradepost.trade.payments import NewIntent, Portion

EVEN, ODD = 6, 7
ALL = StoredWish()


@pytest.fixture
def db() -> Iterator[TwoShards]:
    shards = TwoShards()
    yield shards
    for base in shards.databases:
        assert base.run(payments.find_drift) == []
    shards.close()


@pytest.fixture
def shop(db: TwoShards, world: TestWorld) -> Shop:
    return Shop(db, world)


def give(shop: Shop, minor: int, reference: str = "gift") -> None:
    shop.db.databases[0].run(payments.issue_credit, shop.buyer_id, reference, minor, "GBP", 1)


def credit(shop: Shop) -> int:
    found: int = shop.db.databases[0].run(payments.balance_of, shop.buyer_id, "GBP")
    return found


def amount(minor: int) -> StoredWish:
    return StoredWish(amount_minor=minor)


def paid(shop: Shop, payment_id: str) -> payments.PaymentView:
    view: payments.PaymentView = shop.db.databases[0].run(payments.find_payment, payment_id)
    return view


async def test_stock_on_another_shard_is_held_first_and_credit_taken_with_the_order(shop: Shop) -> None:
    give(shop, 700)
    even, odd = await shop.offer(sku_gene=EVEN), await shop.offer(sku_gene=ODD)
    view, replayed = await shop.buy((even, 1), (odd, 1), stored=ALL)
    assert (replayed, credit(shop)) == (False, 0)
    assert await shop.buy((even, 1), (odd, 1), stored=ALL) == (view, True)
    assert [one.stored_minor for one in paid(shop, view.payment_id).portions] == [700]


async def test_what_is_sold_out_elsewhere_takes_no_credit(shop: Shop) -> None:
    give(shop, 700)
    even, odd = await shop.offer(sku_gene=EVEN), await shop.offer(1, sku_gene=ODD)
    with pytest.raises(Refusal, match=r"inventory\.sold_out"):
        await shop.buy((even, 1), (odd, 2), stored=ALL)
    assert credit(shop) == 700


async def test_too_little_frees_the_stock_and_a_quote_may_be_placed_again(shop: Shop) -> None:
    give(shop, 700)
    even, odd = await shop.offer(sku_gene=EVEN), await shop.offer(sku_gene=ODD)
    with pytest.raises(Refusal, match=r"stored\.too_little"):
        await shop.buy((even, 1), (odd, 1), stored=amount(701))
    assert [(await shop.level(shop.sku_of(one))).held for one in (even, odd)] == [0, 0]
    _, token = await shop.quote((even, 1), (odd, 1))
    with pytest.raises(Refusal, match=r"stored\.too_little"):
        await shop.place(token, stored=amount(701))
    view, _ = await shop.place(token, stored=amount(700))
    assert credit(shop) == 0
    assert [(await shop.level(shop.sku_of(one))).held for one in (even, odd)] == [1, 1]
    assert await shop.place(token, key="k2", stored=amount(700)) == (view, True)


async def test_all_there_is_means_what_is_left_when_the_order_is_written(shop: Shop, db: TwoShards) -> None:
    give(shop, 700)
    offer = await shop.offer()

    async def spend_some() -> None:
        await shop.buy((offer, 1), key="other", stored=amount(500))

    db.before["PLACE"] = spend_some

    async def accept() -> Placement:
        return await shop.accept((offer, 1), stored=ALL)

    _, view, _ = await checkout.place_funded(shop.context, accept, ALL)
    assert [one.stored_minor for one in paid(shop, view.payment_id).portions] == [200]
    assert credit(shop) == 0


async def test_a_batch_spends_in_its_order_and_judges_anew_whom_stock_made_room_for(shop: Shop) -> None:
    give(shop, 700)
    plenty, scarce = await shop.offer(), await shop.offer(1)
    await shop.buy((scarce, 1), key="gone")
    items = [
        await shop.accept((scarce, 1), key="a", stored=amount(600)),
        await shop.accept((plenty, 1), key="b", stored=amount(500)),
        await shop.accept((plenty, 1), key="c", stored=amount(300)),
        await shop.accept((plenty, 1), key="d", stored=amount(200)),
        await shop.accept((plenty, 1), key="e"),
    ]
    answers = shop.db.databases[0].run(placing.place, items)
    codes = [answer.code if isinstance(answer, Refusal) else "" for answer in answers]
    assert codes == ["inventory.sold_out", "", "stored.too_little", "", ""]
    assert [type(answers[index]) for index in (1, 3, 4)] == [Placed] * 3
    assert credit(shop) == 0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=12), st.data())
def test_the_parts_of_the_orders_sum_and_none_exceeds_its_order(
    amounts: list[int], data: st.DataObject
) -> None:
    total = sum(amounts)
    stored = data.draw(st.integers(1, total))
    intent = NewIntent(
        payment_id="pay",
        checkout_id="chk",
        buyer_id="byr",
        provider="sandbox",
        method="card",
        currency="GBP",
        amount_minor=total,
        capture="immediate",
        portions=tuple(
            Portion(
                order_id=f"ord_{number}",
                seller_id="sel",
                amount_minor=minor,
                fee_minor=0,
                tax_minor=0,
                market="GB",
            )
            for number, minor in enumerate(amounts)
        ),
        at_ms=1,
    )
    parts = [portion.stored_minor for portion in payments.share_stored(intent, stored).portions]
    assert sum(parts) == stored
    assert all(0 <= part <= minor for part, minor in zip(parts, amounts, strict=True))
