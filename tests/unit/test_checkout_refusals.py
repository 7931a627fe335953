"""Checkout says no: one row per refusal, and each of them changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from tests.checkout_shop import HOME, Shop, wants

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout, orders
from tradepost.trade.catalog import PriceWindow
from tradepost.trade.checkout import Terms, replacing
from tradepost.trade.checkout.tokens import read_quote

Attempt = Callable[[Shop, str], Awaitable[Any]]
TABLE: list[tuple[str, str, Attempt]] = []


def row(code: str, field: str = "") -> Callable[[Attempt], Attempt]:
    def add(attempt: Attempt) -> Attempt:
        TABLE.append((code, field, attempt))
        return attempt

    return add


@row("checkout.lines_empty", "lines")
async def nothing(shop: Shop, offer_id: str) -> None:
    await shop.quote()


@row("checkout.too_many_lines", "lines")
async def too_many(shop: Shop, offer_id: str) -> None:
    await shop.quote(*[(offer_id, 1)] * 4)


@row("pricing.quantity_invalid", "lines[0].quantity")
async def no_pieces(shop: Shop, offer_id: str) -> None:
    await shop.quote((offer_id, 0))


@row("checkout.offer_unknown", "lines[1].offer_id")
async def unknown_offer(shop: Shop, offer_id: str) -> None:
    await shop.quote((offer_id, 1), (shop.world.mint("offer", 8), 1))


@row("checkout.offer_unavailable", "lines[0].offer_id")
async def paused_offer(shop: Shop, offer_id: str) -> None:
    await shop.quote((await shop.offer(state="PAUSED"), 1))


@row("checkout.offer_unavailable", "lines[0].offer_id")
async def suspended_seller(shop: Shop, offer_id: str) -> None:
    await shop.buy((await shop.offer(seller_state="SUSPENDED"), 1))


@row("checkout.quote_forged", "quote")
async def not_a_token(shop: Shop, offer_id: str) -> None:
    await shop.place("nonsense")


@row("checkout.quote_forged", "quote")
async def changed_token(shop: Shop, offer_id: str) -> None:
    _, token = await shop.quote((offer_id, 1))
    await shop.place(("A" if token[0] != "A" else "B") + token[1:])


@row("checkout.quote_forged", "quote")
async def signed_by_another(shop: Shop, offer_id: str) -> None:
    other = msgspec.structs.replace(shop.context, secret=b"another secret")
    _, token = await checkout.make_quote(
        other, "GB", [checkout.Want(offer_id=offer_id, quantity=1)], buyer_id=shop.buyer_id
    )
    await shop.place(token)


@row("checkout.quote_expired", "quote")
async def too_late(shop: Shop, offer_id: str) -> None:
    _, token = await shop.quote((offer_id, 1))
    shop.world.advance(shop.context.quote_ttl_ms + 1)
    await shop.place(token)


@row("checkout.quote_of_another_buyer", "quote")
async def anothers_quote(shop: Shop, offer_id: str) -> None:
    _, token = await shop.quote((offer_id, 1))
    await shop.place(token, buyer_id=shop.world.mint("buyer", 6))


@row("checkout.total_changed", "total_minor")
async def dearer_than_seen(shop: Shop, offer_id: str) -> None:
    await shop.buy((offer_id, 1), total_minor=999)


@row("checkout.region_changed", "address.region")
async def another_state(shop: Shop, offer_id: str) -> None:
    dollars = await shop.offer(markets=("US",), prices=(PriceWindow(currency="USD", price_e4=10_000_000),))
    _, token = await checkout.make_quote(
        shop.context,
        "US",
        [checkout.Want(offer_id=dollars, quantity=1)],
        buyer_id=shop.buyer_id,
        region="OR",
    )
    await shop.place(token, address=msgspec.structs.replace(HOME, country="US", region="California"))


@row("checkout.currency_mixed", "currency")
async def other_currency(shop: Shop, offer_id: str) -> None:
    await shop.buy((offer_id, 1), total_minor=1_000, currency="EUR")


@row("checkout.address_incomplete", "address.city")
async def no_city(shop: Shop, offer_id: str) -> None:
    await shop.buy((offer_id, 1), address=msgspec.structs.replace(HOME, city=" "))


@row("idempotency.key_reused", "Idempotency-Key")
async def other_body(shop: Shop, offer_id: str) -> None:
    await shop.buy((offer_id, 1))
    await shop.buy((offer_id, 2), request_hash="another body")


@row("checkout.abandoned")
async def given_up(shop: Shop, offer_id: str) -> None:
    quote, token = await shop.quote((offer_id, 1))
    assert not await claim(shop, quote.checkout_id)
    await shop.place(token)


@row("risk.velocity")
async def too_fast(shop: Shop, offer_id: str) -> None:
    for number in range(3):
        await shop.buy((offer_id, 1), key=f"k{number}")


@row("risk.amount")
async def too_dear(shop: Shop, offer_id: str) -> None:
    await shop.buy((await shop.offer(price_minor=10_000_01), 1))


@row("inventory.sold_out", "quantity")
async def too_few(shop: Shop, offer_id: str) -> None:
    await shop.buy((offer_id, 11))


@row("inventory.sku_unknown", "sku_id")
async def never_stocked(shop: Shop, offer_id: str) -> None:
    await shop.buy((await shop.offer(pieces=0), 1))


@row("inventory.limit_reached", "quantity")
async def more_than_allowed(shop: Shop, offer_id: str) -> None:
    limited = await shop.offer(limit_per_buyer=2)
    await shop.buy((limited, 2))
    await shop.buy((limited, 1), key="k2")


@row("checkout.not_found", "checkout_id")
async def never_placed(shop: Shop, offer_id: str) -> None:
    quote, _ = await shop.quote((offer_id, 1))
    await shop.db.read(0, checkout.find_checkout, shop.buyer_id, quote.checkout_id)


@row("checkout.not_found", "checkout_id")
async def a_tombstone(shop: Shop, offer_id: str) -> None:
    quote, _ = await shop.quote((offer_id, 1))
    await claim(shop, quote.checkout_id)
    await shop.db.read(0, checkout.find_checkout, shop.buyer_id, quote.checkout_id)


@row("checkout.exchange_foreign", "wanted")
async def goods_of_another_seller(shop: Shop, offer_id: str) -> None:
    view, _ = await shop.buy((offer_id, 1))
    order = await shop.db.read(0, orders.get_order, view.orders[0].order_id)
    other = await shop.offer(seller_id=shop.world.mint("seller", 9))
    asked = replacing.Replacement(
        order=order, letters=order.order_id[-26:], lines=(), credit_minor=0, wants=tuple(wants([(other, 1)]))
    )
    await replacing.place_replacement(shop.context, asked)


async def claim(shop: Shop, checkout_id: str) -> bool:
    shard = shop.db.shard_of(gene_of(shop.buyer_id))
    stands: bool = await shop.db.transact(
        shard, checkout.claim_checkout, shop.buyer_id, checkout_id, shop.world.now_ms()
    )
    return stands


@pytest.mark.parametrize(("code", "field", "attempt"), TABLE, ids=[each[2].__name__ for each in TABLE])
async def test_it_is_refused(
    db: SqliteStorage, world: TestWorld, code: str, field: str, attempt: Attempt
) -> None:
    terms = Terms(velocity_orders_max=2, amount_max_minor=1_000_000)
    shop = Shop(db, world, lines_max=3, terms=terms)
    offer_id = await shop.offer()
    with pytest.raises(Refusal) as refused:
        await attempt(shop, offer_id)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.problem.remedy


async def test_every_code_of_checkout_has_its_row() -> None:
    from tradepost.kernel.errors import problem_table

    codes = {code for code in problem_table() if code.startswith("checkout.")}
    assert codes <= {code for code, _, _ in TABLE}


async def test_a_refused_placement_leaves_nothing(db: SqliteStorage, world: TestWorld) -> None:
    shop = Shop(db, world)
    plenty, scarce = await shop.offer(), await shop.offer(pieces=1)
    with pytest.raises(Refusal):
        await shop.buy((plenty, 1), (scarce, 2))
    assert [(await shop.level(shop.sku_of(each))).held for each in (plenty, scarce)] == [0, 0]
    assert await db.read(0, checkout.list_checkouts, shop.buyer_id, "", 10) == []
    view, replayed = await shop.buy((plenty, 1), request_hash="the key is free still")
    assert (view.total_minor, replayed) == (1_000, False)


async def test_the_token_says_what_was_quoted(db: SqliteStorage, world: TestWorld) -> None:
    shop = Shop(db, world)
    quote, token = await shop.quote((await shop.offer(), 3))
    assert read_quote(token, shop.context.secret) == quote
    assert (quote.total_minor, quote.expires_at_ms) == (3_000, world.now_ms() + shop.context.quote_ttl_ms)
