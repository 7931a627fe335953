"""Placing when stock lies on another shard: hold first, open later, and everything that can come in between."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from tests.checkout_shop import Shop, TwoShards

from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout, inventory
from tradepost.trade.checkout import Terms
from tradepost.trade.inventory import jobs

EVEN, ODD = 6, 7


@pytest.fixture
def db() -> Iterator[TwoShards]:
    shards = TwoShards()
    yield shards
    shards.close()


@pytest.fixture
def shop(db: TwoShards, world: TestWorld) -> Shop:
    return Shop(db, world)


async def held(shop: Shop, *offers: str) -> list[int]:
    return [(await shop.level(shop.sku_of(offer))).held for offer in offers]


def deadlines(shop: Shop) -> int:
    late_ms = shop.world.now_ms() + 10 * shop.context.hold_ttl_ms
    found = [base.run(jobs.due_deadlines, late_ms, 100) for base in shop.db.databases]
    return sum(len(each) for each in found)


async def reap(shop: Shop) -> None:
    """What the reaper does at this moment, on both shards."""

    async def claim(buyer_id: str, checkout_id: str) -> bool:
        found: bool = await shop.db.transact(
            0, checkout.claim_checkout, buyer_id, checkout_id, shop.world.now_ms()
        )
        return found

    [sweep] = jobs.sweeps(shop.db, shop.world, claim)
    for base in shop.db.databases:
        due = base.run(sweep.due, shop.world.now_ms(), 100)
        if due:
            await sweep.act(due)


def prove(shop: Shop) -> None:
    for base in shop.db.databases:
        report = base.run(inventory.check_stock, shop.world.now_ms())
        assert report.conserved, report.findings


async def test_it_holds_on_both_and_opens_at_home(shop: Shop) -> None:
    even, odd = await shop.offer(sku_gene=EVEN), await shop.offer(sku_gene=ODD)
    view, replayed = await shop.buy((even, 1), (odd, 2))
    assert (await held(shop, even, odd), deadlines(shop), replayed) == ([1, 2], 0, False)
    assert await shop.buy((even, 1), (odd, 2)) == (view, True)
    assert await held(shop, even, odd) == [1, 2]
    prove(shop)


async def test_sold_out_on_one_shard_frees_the_other(shop: Shop) -> None:
    even, odd = await shop.offer(sku_gene=EVEN), await shop.offer(1, sku_gene=ODD)
    with pytest.raises(Refusal, match=r"inventory\.sold_out"):
        await shop.buy((even, 1), (odd, 2))
    assert await held(shop, even, odd) == [0, 0]
    shop.world.advance(shop.context.hold_ttl_ms + 1)
    await reap(shop)
    assert deadlines(shop) == 0
    prove(shop)


async def test_refused_when_opening_frees_all(world: TestWorld, db: TwoShards) -> None:
    shop = Shop(db, world, terms=Terms(velocity_orders_max=1))
    odd = await shop.offer(sku_gene=ODD)
    await shop.buy((odd, 1))
    with pytest.raises(Refusal, match=r"risk\.velocity"):
        await shop.buy((odd, 1), key="k2")
    assert await held(shop, odd) == [1]
    prove(shop)


async def test_a_double_click_is_one_order(shop: Shop, db: TwoShards) -> None:
    odd = await shop.offer(sku_gene=ODD)
    answers: list[Any] = []

    async def click_again() -> None:
        answers.append(await shop.buy((odd, 1)))

    db.before["OPEN"] = click_again
    second = await shop.buy((odd, 1))
    assert second == (answers[0][0], True)
    assert await held(shop, odd) == [1]
    prove(shop)


async def test_the_same_quote_twice_at_once_is_one_order(shop: Shop, db: TwoShards) -> None:
    odd = await shop.offer(sku_gene=ODD)
    _, token = await shop.quote((odd, 1))
    answers: list[Any] = []

    async def click_again() -> None:
        answers.append(await shop.place(token, "k2"))

    db.before["OPEN"] = click_again
    assert await shop.place(token, "k1") == (answers[0][0], True)
    assert (await held(shop, odd), deadlines(shop)) == ([1], 0)
    prove(shop)


async def test_a_hold_that_expires_first_refuses_the_order(shop: Shop, db: TwoShards) -> None:
    odd = await shop.offer(sku_gene=ODD)

    async def expire() -> None:
        shop.world.advance(shop.context.hold_ttl_ms + 1)
        await reap(shop)

    db.before["OPEN"] = expire
    with pytest.raises(Refusal, match=r"checkout\.abandoned"):
        await shop.buy((odd, 1))
    assert (await held(shop, odd), deadlines(shop)) == ([0], 0)
    prove(shop)


async def test_a_late_hold_after_the_tombstone_goes_back(shop: Shop, db: TwoShards) -> None:
    even, odd = await shop.offer(sku_gene=EVEN), await shop.offer(sku_gene=ODD)
    _, token = await shop.quote((even, 1), (odd, 1))
    db.refused["OPEN"] = Refusal("storage.unavailable", "nobody knows")
    with pytest.raises(Refusal, match=r"storage\.unavailable"):
        await shop.place(token)
    assert (await held(shop, even, odd), deadlines(shop)) == ([1, 1], 2)
    shop.world.advance(shop.context.hold_ttl_ms + 1)
    await reap(shop)
    assert await held(shop, even, odd) == [0, 0]
    with pytest.raises(Refusal, match=r"checkout\.abandoned"):
        await shop.place(token)
    assert await held(shop, even, odd) == [0, 0]
    prove(shop)


async def test_an_unknown_outcome_that_did_commit_is_kept(shop: Shop, db: TwoShards) -> None:
    odd = await shop.offer(sku_gene=ODD)
    _, token = await shop.quote((odd, 1))
    lost = Refusal("storage.unavailable", "the answer was lost")

    async def commit_and_lose_the_answer() -> None:
        placement = await checkout.accept_quote(shop.context, token, shop.request())
        db.databases[0].run(checkout.placing.open_held, [placement])
        db.refused["OPEN"] = lost

    db.before["OPEN"] = commit_and_lose_the_answer
    view, replayed = await shop.place(token)
    assert (replayed, len(view.orders)) == (True, 1)
    shop.world.advance(shop.context.hold_ttl_ms + 1)
    await reap(shop)
    assert (await held(shop, odd), deadlines(shop)) == ([1], 0)
    prove(shop)


async def test_a_lost_confirmation_is_settled_by_the_reaper(shop: Shop, db: TwoShards) -> None:
    odd = await shop.offer(sku_gene=ODD)
    db.refused["CONFIRM"] = Refusal("storage.unavailable", "nobody knows")
    with contextlib.suppress(Refusal):
        await shop.buy((odd, 1))
    assert (await shop.buy((odd, 1)))[1] is True
    assert deadlines(shop) == 1
    shop.world.advance(shop.context.hold_ttl_ms + 1)
    await reap(shop)
    assert (await held(shop, odd), deadlines(shop)) == ([1], 0)
    prove(shop)


async def test_a_reused_key_does_not_free_the_stock_of_the_order_that_stands(
    shop: Shop, db: TwoShards
) -> None:
    odd = await shop.offer(sku_gene=ODD)
    _, token = await shop.quote((odd, 1))

    async def other_body() -> None:
        await shop.place(token, request_hash="another body")

    db.before["OPEN"] = other_body
    with pytest.raises(Refusal, match=r"idempotency\.key_reused"):
        await shop.place(token)
    assert await held(shop, odd) == [1]
    prove(shop)


async def test_an_overload_does_not_free_the_stock_of_the_order_that_stands(
    shop: Shop, db: TwoShards
) -> None:
    odd = await shop.offer(sku_gene=ODD)
    _, token = await shop.quote((odd, 1))

    async def first_try_gets_through() -> None:
        await shop.place(token)
        db.refused["OPEN"] = Refusal("storage.overloaded", "the queue is full")

    db.before["OPEN"] = first_try_gets_through
    view, replayed = await shop.place(token)
    assert (replayed, len(view.orders)) == (True, 1)
    assert await held(shop, odd) == [1]
    prove(shop)


async def test_an_order_is_not_opened_on_stock_that_was_given_back(shop: Shop, db: TwoShards) -> None:
    odd = await shop.offer(sku_gene=ODD)
    _, token = await shop.quote((odd, 1))

    async def first_try_is_refused() -> None:
        db.refused["OPEN"] = Refusal("risk.velocity", "too fast")
        with pytest.raises(Refusal, match=r"risk\.velocity"):
            await shop.place(token, "k2")

    db.before["OPEN"] = first_try_is_refused
    with pytest.raises(Refusal, match=r"checkout\.abandoned"):
        await shop.place(token)
    assert await held(shop, odd) == [0]
    prove(shop)


@pytest.mark.parametrize("code", ["inventory.contended", "version.conflict"])
async def test_a_quote_that_met_another_writer_is_placed_at_the_next_try(
    shop: Shop, db: TwoShards, code: str
) -> None:
    even, odd = await shop.offer(sku_gene=EVEN), await shop.offer(sku_gene=ODD)
    _, token = await shop.quote((even, 1), (odd, 1))
    db.refused["OPEN"] = Refusal(code, "another writer was quicker")
    with pytest.raises(Refusal, match=code.replace(".", r"\.")):
        await shop.place(token)
    view, replayed = await shop.place(token)
    assert (len(view.orders), replayed) == (1, False)
    assert (await held(shop, even, odd), deadlines(shop)) == ([1, 1], 0)
    prove(shop)


async def test_buying_now_gives_back_at_once_what_it_held_when_it_met_another_writer(
    shop: Shop, db: TwoShards
) -> None:
    even, odd = await shop.offer(1, sku_gene=EVEN), await shop.offer(1, sku_gene=ODD)
    db.refused["OPEN"] = Refusal("inventory.contended", "another writer was quicker")
    with pytest.raises(Refusal, match=r"inventory\.contended"):
        await shop.buy((even, 1), (odd, 1))
    assert await held(shop, even, odd) == [0, 0]
    await shop.buy((even, 1), (odd, 1))
    assert await held(shop, even, odd) == [1, 1]
    prove(shop)
