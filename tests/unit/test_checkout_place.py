"""Placing on one shard: replays, repeats inside one batch, guests, hints, several sellers, free orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.checkout_shop import Shop, rename

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout, orders, payments
from tradepost.trade.checkout import Terms, placing
from tradepost.trade.checkout.model import Placed, Placement


@pytest.fixture
def shop(db: SqliteStorage, world: TestWorld) -> Shop:
    return Shop(db, world)


def place(tx: Tx, items: Sequence[Placement]) -> list[Placed | Refusal]:
    return placing.place(tx, items)


async def placed_in_one_batch(shop: Shop, *items: Placement) -> list[Placed | Refusal]:
    answers: list[Placed | Refusal] = await shop.db.transact(0, place, items)
    return answers


def codes(answers: Sequence[Placed | Refusal]) -> list[str]:
    return [
        answer.code if isinstance(answer, Refusal) else "again" if answer.replayed else "placed"
        for answer in answers
    ]


async def test_the_same_request_again_answers_the_same_checkout(shop: Shop) -> None:
    offer_id = await shop.offer()
    first, replayed = await shop.buy((offer_id, 2))
    again, replayed_again = await shop.buy((offer_id, 2))
    assert again == first
    assert (replayed, replayed_again) == (False, True)
    assert (await shop.level(shop.sku_of(offer_id))).held == 2


async def test_the_same_quote_under_another_key_is_the_same_checkout(shop: Shop) -> None:
    _, token = await shop.quote((await shop.offer(), 1))
    first, _ = await shop.place(token, "k1")
    assert await shop.place(token, "k2") == (first, True)


async def test_a_placed_quote_is_found_past_its_deadline(shop: Shop) -> None:
    _, token = await shop.quote((await shop.offer(), 1))
    first, _ = await shop.place(token)
    shop.world.advance(10 * shop.context.quote_ttl_ms)
    assert await shop.place(token) == (first, True)


async def test_a_guest_who_repeats_finds_what_the_first_try_placed(shop: Shop) -> None:
    offer_id = await shop.offer()
    guests = [shop.world.mint("buyer", 6) for _ in range(2)]
    tries = [await shop.buy((offer_id, 1), buyer_id=guest, new_buyer=True) for guest in guests]
    assert tries[0][0] == tries[1][0]
    assert tries[1][0].buyer_id == guests[0]
    assert (await shop.level(shop.sku_of(offer_id))).held == 1


async def test_a_guest_places_a_quote_made_for_a_guest(shop: Shop) -> None:
    quote, token = await shop.quote((await shop.offer(), 1))
    view, _ = await shop.place(token, buyer_id="")
    assert view.buyer_id == quote.buyer_id


async def test_repeats_inside_one_batch_are_one_order(shop: Shop) -> None:
    offer_id = await shop.offer()
    first = await shop.accept((offer_id, 1))
    twin = await shop.accept((offer_id, 1))
    other_body = await shop.accept((offer_id, 3), request_hash="another body")
    fresh = await shop.accept((offer_id, 1), key="k2")
    answers = await placed_in_one_batch(shop, first, twin, other_body, fresh)
    assert codes(answers) == ["placed", "again", "idempotency.key_reused", "placed"]
    assert answers[1] == Placed(shop.buyer_id, first.checkout_id, True)
    assert (await shop.level(shop.sku_of(offer_id))).held == 2


async def test_one_quote_twice_in_one_batch_is_one_checkout(shop: Shop) -> None:
    _, token = await shop.quote((await shop.offer(), 1))
    items = [
        await checkout.accept_quote(shop.context, token, shop.request(key)) for key in ("k1", "k2", "k1")
    ]
    assert codes(await placed_in_one_batch(shop, *items)) == ["placed", "again", "again"]


async def test_a_refused_first_leaves_its_key_to_another_body(shop: Shop) -> None:
    scarce = await shop.offer(pieces=1)
    too_many = await shop.accept((scarce, 2))
    same_again = await shop.accept((scarce, 2))
    less = await shop.accept((scarce, 1), request_hash="fewer")
    answers = await placed_in_one_batch(shop, too_many, same_again, less)
    assert codes(answers) == ["inventory.sold_out", "inventory.sold_out", "placed"]


async def test_a_refused_quote_is_judged_anew_for_another_key(shop: Shop) -> None:
    _, token = await shop.quote((await shop.offer(), 1))
    late = await checkout.accept_quote(shop.context, token, shop.request("k1"))
    late = rename(late, at_ms=late.expires_at_ms + 1)
    in_time = await checkout.accept_quote(shop.context, token, shop.request("k2"))
    answers = await placed_in_one_batch(shop, late, in_time)
    assert codes(answers) == ["checkout.quote_expired", "placed"]


async def test_a_hint_refuses_but_never_hides_an_earlier_order(shop: Shop) -> None:
    offer_id = await shop.offer(pieces=2)
    first, _ = await shop.buy((offer_id, 2))
    with pytest.raises(Refusal, match=r"inventory\.sold_out"):
        await shop.buy((offer_id, 1), key="k2")
    assert len(shop.context.hints) == 1
    with pytest.raises(Refusal, match=r"inventory\.sold_out"):
        await shop.buy((offer_id, 1), key="k3")
    assert await shop.buy((offer_id, 2)) == (first, True)
    with pytest.raises(Refusal, match=r"idempotency\.key_reused"):
        await shop.buy((offer_id, 1), request_hash="another body")
    await shop.stock_up(shop.sku_of(offer_id), 1)
    assert (await shop.buy((offer_id, 1), key="k4"))[1] is False


async def test_several_sellers_are_several_orders_of_one_payment(shop: Shop) -> None:
    other = shop.world.mint("seller", 9)
    mine, free, theirs = (
        await shop.offer(price_minor=1_000),
        await shop.offer(price_minor=0, seller_id=shop.world.mint("seller", 10)),
        await shop.offer(price_minor=250, seller_id=other),
    )
    view, _ = await shop.buy((mine, 1), (theirs, 2), (free, 1), (mine, 1))
    assert [(order.seller_id, order.total_minor) for order in view.orders[:2]] == [
        (shop.seller_id, 2_000),
        (other, 500),
    ]
    payment = await shop.db.read(0, payments.find_payment, view.payment_id)
    assert [(p.order_id, p.amount_minor) for p in payment.portions] == [
        (order.order_id, order.total_minor) for order in view.orders[:2]
    ]
    found = [await shop.db.read(0, orders.get_order, order.order_id) for order in view.orders]
    assert [order.state for order in found] == ["UNPAID", "UNPAID", "ON_HOLD"]
    assert [order.payment_id for order in found] == [view.payment_id, view.payment_id, ""]
    assert len({order.order_number for order in view.orders}) == 3


async def test_a_free_checkout_needs_no_payment(shop: Shop) -> None:
    placement = await shop.accept((await shop.offer(price_minor=0), 1))
    assert placement.intent is None
    view, _ = await checkout.place_order(shop.context, placement)
    order = await shop.db.read(0, orders.get_order, view.orders[0].order_id)
    assert (view.payment_id, view.total_minor, order.state) == ("", 0, "ON_HOLD")
    log = await shop.db.read(0, orders.order_log, order.order_id)
    assert [row.type for row in log] == ["order.placed.v1", "order.paid.v1"]


async def test_a_kit_holds_its_components(shop: Shop) -> None:
    cup, spoon = await shop.offer(pieces=7), await shop.offer(pieces=9)
    kit = await shop.offer(components=[(shop.sku_of(cup), 2), (shop.sku_of(spoon), 1)])
    await shop.buy((kit, 3))
    held = [(await shop.level(shop.sku_of(each))).held for each in (cup, spoon)]
    assert held == [6, 3]
    with pytest.raises(Refusal, match=r"inventory\.sold_out"):
        await shop.buy((kit, 1), key="k2")


async def test_velocity_counts_inside_a_batch_and_passes_with_time(
    db: SqliteStorage, world: TestWorld
) -> None:
    shop = Shop(db, world, terms=Terms(velocity_orders_max=2, velocity_window_ms=60_000))
    offer_id = await shop.offer()
    items = [await shop.accept((offer_id, 1), key=f"k{number}") for number in range(3)]
    stranger = await shop.accept((offer_id, 1), key="s", buyer_id=world.mint("buyer", 6))
    answers = await placed_in_one_batch(shop, *items, stranger)
    assert codes(answers) == ["placed", "placed", "risk.velocity", "placed"]
    again = await shop.accept((offer_id, 1), key="k1")
    assert codes(await placed_in_one_batch(shop, again)) == ["again"]
    world.advance(60_001)
    late: Any = await shop.accept((offer_id, 1), key="k2")
    assert codes(await placed_in_one_batch(shop, late)) == ["placed"]


async def test_a_limit_on_a_kit_counts_kits(shop: Shop) -> None:
    cup = await shop.offer(pieces=20)
    kit = await shop.offer(components=[(shop.sku_of(cup), 3)], limit_per_buyer=2)
    await shop.buy((kit, 2))
    with pytest.raises(Refusal, match=r"inventory\.limit_reached"):
        await shop.buy((kit, 1), key="k2")


async def test_quotes_kept_for_later_count_when_they_are_placed(db: SqliteStorage, world: TestWorld) -> None:
    shop = Shop(db, world, terms=Terms(velocity_orders_max=1, velocity_window_ms=60_000))
    offer_id = await shop.offer()
    tokens = [(await shop.quote((offer_id, 1)))[1] for _ in range(2)]
    world.advance(60_001)
    await shop.place(tokens[0], "k1")
    with pytest.raises(Refusal, match=r"risk\.velocity"):
        await shop.place(tokens[1], "k2")


async def test_velocity_counts_only_what_is_placed(db: SqliteStorage, world: TestWorld) -> None:
    shop = Shop(db, world, terms=Terms(velocity_orders_max=1))
    plenty, scarce = await shop.offer(), await shop.offer(pieces=1)
    items = [await shop.accept((scarce, 2), key="k1"), await shop.accept((plenty, 1), key="k2")]
    assert codes(await placed_in_one_batch(shop, *items)) == ["inventory.sold_out", "placed"]
