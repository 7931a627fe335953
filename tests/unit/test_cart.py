"""Carts on storage: edits, refusals, merge over genes, warnings, expiry."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.markets import market
from tradepost.testing.world import TestWorld
from tradepost.trade import cart as carts
from tradepost.trade.cart import Cart, CartCommand, PutLine, RemoveLines, SeePrices, SelectLines, store
from tradepost.trade.cart.rules import apply
from tradepost.trade.catalog import Component, OfferView, PriceWindow

DAY_MS = 86_400_000
GB = market("GB")


def put(offer_id: str = "off_1", quantity: int = 1, **facts: Any) -> PutLine:
    known = {"seller_id": "sel_1", "seen_price_e4": 5_000_000, **facts}
    return PutLine(offer_id=offer_id, quantity=quantity, **known)


class Shopper:
    """A buyer with one cart, driving the batch handler."""

    def __init__(self, db: SqliteStorage, world: TestWorld, gene: int = 7) -> None:
        self.db, self.world = db, world
        self.buyer_id, self.cart_id = world.mint("buyer", gene), world.mint("cart", gene)

    async def edit(self, *changes: Any, **given: Any) -> Cart:
        known = {"cart_id": self.cart_id, "buyer_id": self.buyer_id, "market": "GB", "create": True, **given}
        command = CartCommand(at_ms=self.world.advance(1), changes=changes, **known)
        return (await self.db.batch(self.db.shard_of(gene_of(command.cart_id)), carts.EDIT, command)).cart

    async def find(self, **given: str) -> Cart:
        named = {"buyer_id": self.buyer_id, "cart_id": self.cart_id, **given}
        return await self.db.read(0, carts.find, named["buyer_id"], named["cart_id"])


@pytest.fixture
def shopper(db: SqliteStorage, world: TestWorld) -> Shopper:
    return Shopper(db, world)


async def test_lines_are_put_added_set_selected_and_removed(shopper: Shopper) -> None:
    opened = await shopper.edit()
    assert (opened.lines, opened.market, opened.state, opened.version) == ((), "GB", "OPEN", 1)
    await shopper.edit(
        put(quantity=2, content_id="vid_1", creator_id="cre_1"), put("off_2", seller_id="sel_2")
    )
    await shopper.edit(put(quantity=3))
    cart = await shopper.edit(put("off_2", 9, add=False, seller_id="sel_2", content_id="vid_2"))
    assert [(line.offer_id, line.quantity, line.content_id) for line in cart.lines] == [
        ("off_1", 5, "vid_1"),
        ("off_2", 9, "vid_2"),
    ]
    assert cart.lines[0].creator_id == "cre_1"
    cart = await shopper.edit(SelectLines(selected=False), SelectLines(offer_ids=("off_2",)))
    assert {
        seller: [line.offer_id for line in lines] for seller, lines in carts.lines_for_checkout(cart).items()
    } == {"sel_2": ["off_2"]}
    cart = await shopper.edit(RemoveLines(offer_ids=("off_2", "off_9")))
    assert [line.offer_id for line in cart.lines] == ["off_1"]
    assert await shopper.find() == cart
    assert await shopper.db.read(0, carts.carts_of, shopper.buyer_id) == [cart]


async def test_selected_lines_are_grouped_by_seller_in_cart_order(shopper: Shopper) -> None:
    cart = await shopper.edit(
        put("off_1", seller_id="sel_2"), put("off_2", seller_id="sel_1"), put("off_3", seller_id="sel_2")
    )
    grouped = carts.lines_for_checkout(cart)
    assert list(grouped) == ["sel_2", "sel_1"]
    assert [line.offer_id for line in grouped["sel_2"]] == ["off_1", "off_3"]


@pytest.mark.parametrize(
    ("changes", "given", "code", "field"),
    [
        ((put(quantity=0),), {}, "cart.quantity_invalid", "quantity"),
        ((put(quantity=-1),), {}, "cart.quantity_invalid", "quantity"),
        ((put(quantity=100_001),), {}, "cart.quantity_invalid", "quantity"),
        ((put(quantity=4, quantity_max=5),), {}, "cart.quantity_invalid", "quantity"),
        ((put("off_2"), put("off_3")), {"lines_max": 2}, "cart.too_many_lines", "changes"),
        ((SelectLines(offer_ids=("off_9",)),), {}, "cart.line_unknown", "offer_ids"),
        ((put("off_2"),), {"version": 1}, "version.conflict", "version"),
        ((put("off_2"),), {"buyer_id": "other"}, "cart.not_found", "cart_id"),
        ((put("off_2"),), {"cart_id": "missing", "create": False}, "cart.not_found", "cart_id"),
        ((put("off_2"),), {"cart_id": "foreign gene"}, "id.invalid", "cart_id"),
    ],
)
async def test_a_refused_edit_changes_nothing(
    shopper: Shopper, changes: tuple[Any, ...], given: dict[str, Any], code: str, field: str
) -> None:
    before = await shopper.edit(put(quantity=2))
    named = {
        "missing": shopper.world.mint("cart", 7),
        "foreign gene": shopper.world.mint("cart", 8),
        "other": shopper.world.mint("buyer", 7),
    }
    with pytest.raises(Refusal) as refused:
        await shopper.edit(
            put("off_8"), *changes, **{key: named.get(value, value) for key, value in given.items()}
        )
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.problem.title
    assert await shopper.find() == before


async def test_no_selected_line_and_no_cart_are_refused(shopper: Shopper) -> None:
    cart = await shopper.edit(put(), SelectLines(selected=False))
    with pytest.raises(Refusal) as refused:
        carts.lines_for_checkout(cart)
    assert refused.value.code == "cart.nothing_selected"
    for given in ({"buyer_id": shopper.world.mint("buyer", 7)}, {"cart_id": shopper.world.mint("cart", 7)}):
        with pytest.raises(Refusal) as refused:
            await shopper.find(**given)
        assert refused.value.code == "cart.not_found"


async def test_an_edit_that_changes_nothing_leaves_the_version(shopper: Shopper) -> None:
    cart = await shopper.edit(put())
    assert await shopper.edit(RemoveLines(offer_ids=("off_9",)), version=cart.version) == cart


async def test_a_batch_edits_many_carts_and_one_cart_twice(db: SqliteStorage, world: TestWorld) -> None:
    one, two = Shopper(db, world, 1), Shopper(db, world, 2)

    def command(shopper: Shopper, *changes: Any) -> CartCommand:
        return CartCommand(
            cart_id=shopper.cart_id,
            buyer_id=shopper.buyer_id,
            market="GB",
            at_ms=5,
            changes=changes,
            create=True,
        )

    batch = [command(one, put()), command(two, put()), command(one, put(quantity=0)), command(one, put())]
    answers = await db.transact(0, carts.edit, batch)
    assert isinstance(answers[2], Refusal)
    assert [one.cart.lines[0].quantity for one in answers if isinstance(one, carts.Edited)] == [1, 1, 2]
    assert (await one.find()).lines[0].quantity == 2
    again = await db.transact(0, carts.edit, batch)
    assert isinstance(again[3], carts.Edited)
    assert again[3].cart.lines[0].quantity == 4


async def test_a_cart_that_moved_on_meanwhile_is_not_overwritten(shopper: Shopper) -> None:
    """Another process may hold the same shard; the guard is the version in the row."""
    cart = await shopper.edit(put())
    newer = msgspec.structs.replace(cart, lines=(), version=cart.version + 1)
    assert not await shopper.db.transact(0, store.update, [(newer, cart.version - 1)])
    assert await shopper.find() == cart
    assert await shopper.db.transact(0, store.update, [(newer, cart.version)])
    assert await shopper.find() == newer


async def test_a_guests_cart_is_merged_once_and_closed(db: SqliteStorage, world: TestWorld) -> None:
    guest, buyer = Shopper(db, world, 900), Shopper(db, world, 7)
    await buyer.edit(put(quantity=3, content_id="old"), put("off_2"))
    await guest.edit(put(quantity=4, content_id="new", quantity_max=6), put("off_3"))
    names = {
        "guest_id": guest.buyer_id,
        "guest_cart_id": guest.cart_id,
        "buyer_id": buyer.buyer_id,
        "cart_id": buyer.cart_id,
    }
    merged = await carts.merge(db, world, **names)
    assert [(line.offer_id, line.quantity, line.content_id) for line in merged.lines] == [
        ("off_1", 6, "new"),
        ("off_2", 1, ""),
        ("off_3", 1, ""),
    ]
    assert await carts.merge(db, world, **names) == merged == await buyer.find()
    closed = await guest.find()
    assert (closed.state, closed.merged_into, len(closed.lines)) == ("MERGED", buyer.cart_id, 2)
    with pytest.raises(Refusal) as refused:
        await guest.edit(put())
    assert (refused.value.code, refused.value.extra) == ("cart.closed", {"merged_into": buyer.cart_id})


async def test_a_merge_opens_the_buyers_cart(db: SqliteStorage, world: TestWorld) -> None:
    guest, buyer = Shopper(db, world, 900), Shopper(db, world, 7)
    cart = await guest.edit(put())
    merged = await carts.merge(
        db,
        world,
        guest_id=guest.buyer_id,
        guest_cart_id=guest.cart_id,
        buyer_id=buyer.buyer_id,
        cart_id=buyer.cart_id,
    )
    assert (merged.buyer_id, merged.lines, merged.market) == (buyer.buyer_id, cart.lines, "GB")


@pytest.mark.parametrize(
    "wrong", ["itself", "foreign target", "merged target", "taken", "not the guest's", "foreign gene"]
)
async def test_a_merge_that_cannot_be_changes_nothing(
    db: SqliteStorage, world: TestWorld, wrong: str
) -> None:
    guest, buyer, other = Shopper(db, world, 900), Shopper(db, world, 7), Shopper(db, world, 7)
    for shopper in (guest, buyer, other):
        await shopper.edit(put())
    names = {
        "guest_id": guest.buyer_id,
        "guest_cart_id": guest.cart_id,
        "buyer_id": buyer.buyer_id,
        "cart_id": buyer.cart_id,
    }
    code = "cart.closed"
    if wrong == "itself":
        names["cart_id"] = guest.cart_id
    elif wrong == "foreign target":
        names["cart_id"], code = other.cart_id, "cart.not_found"
    elif wrong == "foreign gene":
        names["cart_id"], code = world.mint("cart", 8), "id.invalid"
    elif wrong == "not the guest's":
        names["guest_id"], code = other.buyer_id, "cart.not_found"
    else:
        source = other if wrong == "taken" else buyer
        mine = {"guest_id": source.buyer_id, "guest_cart_id": source.cart_id}
        if wrong == "taken":
            await carts.merge(
                db,
                world,
                **{**names, "guest_id": guest.buyer_id, "cart_id": other.cart_id, "buyer_id": other.buyer_id},
            )
        else:
            await carts.merge(
                db, world, **{**names, **mine, "buyer_id": other.buyer_id, "cart_id": other.cart_id}
            )
    before = await guest.find(), await buyer.find()
    with pytest.raises(Refusal) as refused:
        await carts.merge(db, world, **names)
    assert refused.value.code == code
    assert (await guest.find(), await buyer.find()) == before


async def test_untouched_carts_go_after_90_days(db: SqliteStorage, world: TestWorld) -> None:
    old, young = Shopper(db, world, 3), Shopper(db, world, 4)
    await old.edit(put())
    world.advance(2 * DAY_MS)
    await young.edit(put())
    (sweep,) = carts.sweeps(db, world)
    world.advance(88 * DAY_MS)
    assert await db.read(0, sweep.due, world.now_ms(), 10) == []
    world.advance(DAY_MS)
    due = await db.read(0, sweep.due, world.now_ms(), 10)
    assert due == [(3, old.cart_id)]
    for _ in range(2):
        await sweep.act(due)
    with pytest.raises(Refusal):
        await old.find()
    assert (await young.find()).lines


def offer(**facts: Any) -> OfferView:
    known: dict[str, Any] = {
        "offer_id": "off_1",
        "seller_id": "sel_1",
        "sku_id": "sku_1",
        "sku_code": "A",
        "product_id": "prd_1",
        "title": "",
        "description": "",
        "image": "",
        "components": (Component(sku_id="sku_1", quantity=1),),
        "markets": ("GB",),
        "prices": (PriceWindow(currency="GBP", price_e4=5_000_000),),
        "state": "ACTIVE",
        "seller_state": "ACTIVE",
        "fee_bps": 0,
        "version": 1,
    }
    return OfferView(**{**known, **facts})


KIT = (Component(sku_id="sku_1", quantity=1), Component(sku_id="sku_2", quantity=4))


@pytest.mark.parametrize(
    ("facts", "available", "expected"),
    [
        ({}, {"sku_1": 3}, []),
        ({}, {}, []),
        ({}, {"sku_1": 2}, [{"code": "low_stock", "offer_id": "off_1", "available": 2}]),
        ({}, {"sku_1": 0}, [{"code": "sold_out", "offer_id": "off_1"}]),
        ({"components": KIT}, {"sku_1": 9, "sku_2": 12}, []),
        (
            {"components": KIT},
            {"sku_1": 9, "sku_2": 11},
            [{"code": "low_stock", "offer_id": "off_1", "available": 2}],
        ),
        ({"components": KIT}, {"sku_1": 9, "sku_2": 3}, [{"code": "sold_out", "offer_id": "off_1"}]),
        ({"state": "PAUSED"}, {}, [{"code": "offer_paused", "offer_id": "off_1"}]),
        ({"seller_state": "SUSPENDED"}, {}, [{"code": "offer_paused", "offer_id": "off_1"}]),
        ({"prices": ()}, {}, [{"code": "offer_paused", "offer_id": "off_1"}]),
        ({"markets": ("US",)}, {}, [{"code": "offer_paused", "offer_id": "off_1"}]),
        ({"state": "ENDED"}, {"sku_1": 0}, [{"code": "offer_ended", "offer_id": "off_1"}]),
        (
            {"prices": (PriceWindow(currency="GBP", price_e4=6_000_000),)},
            {"sku_1": 1},
            [
                {
                    "code": "price_changed",
                    "offer_id": "off_1",
                    "old_price_e4": 5_000_000,
                    "new_price_e4": 6_000_000,
                },
                {"code": "low_stock", "offer_id": "off_1", "available": 1},
            ],
        ),
    ],
)
def test_warnings(facts: dict[str, Any], available: dict[str, int], expected: list[dict[str, Any]]) -> None:
    now = offer(**facts)
    cart = filled()
    assert list(msgspec.to_builtins(carts.warn(cart, {"off_1": now}, available, GB, 10))) == expected


def filled() -> Cart:
    change = carts.put_line(offer(), 3, GB, 10, content_id="vid_1", creator_id="cre_1")
    assert (change.seen_price_e4, change.content_id, change.creator_id) == (5_000_000, "vid_1", "cre_1")
    empty = Cart(cart_id="crt_1", buyer_id="byr_1", market="GB")
    command = CartCommand(cart_id="crt_1", buyer_id="byr_1", market="GB", at_ms=10, changes=(change,))
    return apply(empty, command)


def test_an_offer_that_is_gone_has_ended_and_a_seen_price_warns_no_more() -> None:
    cart = filled()
    assert carts.warn(cart, {}, {}, GB, 10) == (carts.OfferEnded(offer_id="off_1"),)
    see = SeePrices(prices_e4={"off_1": 6_000_000, "off_9": 1})
    seen = apply(cart, CartCommand(cart_id="crt_1", buyer_id="byr_1", market="GB", at_ms=11, changes=(see,)))
    dearer = offer(prices=(PriceWindow(currency="GBP", price_e4=6_000_000),))
    assert carts.warn(seen, {"off_1": dearer}, {}, GB, 10) == ()
