"""Carts: an intent without promises, over all sellers of one market."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage
from tradepost.markets import market
from tradepost.surfaces.api.operation import Call, Routes
from tradepost.surfaces.api.words import Code, Id, Version, home, unit_price
from tradepost.trade import cart, inventory, parties
from tradepost.trade.cart import Cart, CartCommand
from tradepost.trade.catalog import OfferView
from tradepost.trade.parties import Role

ROUTES = Routes("carts")
BUYING = (Role.BUYER, Role.GUEST, Role.STOREFRONT, Role.OPERATOR)
CART_ANSWER = {
    "cart_id": "crt_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "buyer_id": "byr_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "market": "GB",
    "currency": "GBP",
    "state": "OPEN",
    "version": 2,
    "merged_into": "",
    "lines": [
        {
            "offer_id": "off_01m4xk9v0c7s8p2q3r4t5v6w7x",
            "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
            "quantity": 2,
            "selected": True,
            "seen_price": "8.95",
            "content_id": "",
            "creator_id": "",
        }
    ],
    "warnings": [],
    "guest_token": "",
}
CART_CODES = (
    "cart.not_found",
    "cart.closed",
    "cart.line_unknown",
    "cart.quantity_invalid",
    "cart.too_many_lines",
    "catalog.offer_unknown",
    "version.conflict",
)
Change = cart.PutLine | cart.RemoveLines | cart.SelectLines | cart.SeePrices
Party = Annotated[str, Meta(max_length=64)]


class BuyerQuery(msgspec.Struct, frozen=True, kw_only=True):
    """For which buyer: buyers and guests leave it out, storefronts and operators name one."""

    buyer_id: Party = ""


class NewCart(msgspec.Struct, frozen=True, kw_only=True):
    """A cart to open. A storefront that names no buyer gets a new guest with a token."""

    market: Code
    buyer_id: Party = ""


class LineWish(msgspec.Struct, frozen=True, kw_only=True):
    """How many of an offer shall lie in the cart; 0 takes the line out."""

    offer_id: Id
    quantity: Annotated[int, Meta(ge=0, le=100_000)]
    content_id: Party = ""
    creator_id: Party = ""


class LineWishes(msgspec.Struct, frozen=True, kw_only=True):
    """Lines to set; others stay. `version` 0 takes the cart as it is."""

    lines: Annotated[tuple[LineWish, ...], Meta(min_length=1, max_length=2_000)]
    version: Version = 0


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines go to the next checkout, or do not; no offers named means every line."""

    offer_ids: Annotated[tuple[Id, ...], Meta(max_length=2_000)] = ()
    selected: bool = True
    version: Version = 0


class MergeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A guest's cart to take in, with the token that proves it."""

    guest_token: Annotated[str, Meta(max_length=200)]
    guest_cart_id: Id


class CartLineView(msgspec.Struct, frozen=True, kw_only=True):
    """A line. `seen_price` is the unit price the buyer saw last."""

    offer_id: str
    seller_id: str
    quantity: int
    selected: bool
    seen_price: str
    content_id: str = ""
    creator_id: str = ""


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """What has drifted since the buyer looked; nothing of it refuses anything."""

    code: str
    offer_id: str
    old_price: str = ""
    new_price: str = ""
    available: int = 0


class CartView(msgspec.Struct, frozen=True, kw_only=True):
    """A cart with what has drifted. `guest_token` is filled where a guest was made."""

    cart_id: str
    buyer_id: str
    market: str
    currency: str
    state: str
    version: int
    lines: tuple[CartLineView, ...]
    warnings: tuple[Drift, ...] = ()
    merged_into: str = ""
    guest_token: str = ""


class CartList(msgspec.Struct, frozen=True, kw_only=True):
    """A buyer's newest carts, at most 50."""

    items: tuple[CartView, ...]


def buyer_of(call: Call, named: str) -> str:
    """The buyer a call is for. Raises Refusal `auth.forbidden` or `id.invalid`; storefronts must name one."""
    buyer_id = parties.acting_buyer(call.principal, named)
    home(call.platform.db, buyer_id, "buyer")
    return buyer_id


async def available_of(db: Storage, offers: dict[str, OfferView]) -> dict[str, int]:
    """Pieces available by SKU in the pools of these offers, over all shards."""
    wanted: dict[int, set[str]] = {}
    pools = {part.sku_id: offer.pool for offer in offers.values() for part in offer.components}
    for sku_id in pools:
        wanted.setdefault(db.shard_of(gene_of(sku_id)), set()).add(sku_id)
    found = dict.fromkeys(pools, 0)
    for shard, sku_ids in wanted.items():
        for (sku_id, pool), pieces in (await db.read(shard, inventory.available, sorted(sku_ids))).items():
            if pools[sku_id] == pool:
                found[sku_id] = pieces
    return found


async def view_cart(call: Call, found: Cart, guest_token: str = "") -> CartView:
    """A cart as shown, with its warnings."""
    platform, where = call.platform, market(found.market)
    offers = await platform.checkout.book.get([line.offer_id for line in found.lines]) if found.lines else {}
    available = await available_of(platform.db, offers)
    warnings = cart.warn(found, offers, available, where, call.now_ms())
    return CartView(
        cart_id=found.cart_id,
        buyer_id=found.buyer_id,
        market=found.market,
        currency=where.currency,
        state=found.state,
        version=found.version,
        lines=tuple(_line(line, where.currency) for line in found.lines),
        warnings=tuple(_warning(warning, where.currency) for warning in warnings),
        merged_into=found.merged_into,
        guest_token=guest_token,
    )


def _line(line: cart.CartLine, currency: str) -> CartLineView:
    return CartLineView(
        offer_id=line.offer_id,
        seller_id=line.seller_id,
        quantity=line.quantity,
        selected=line.selected,
        seen_price=unit_price(line.seen_price_e4, currency),
        content_id=line.content_id,
        creator_id=line.creator_id,
    )


def _warning(warning: cart.Warnings, currency: str) -> Drift:
    code = str(warning.__struct_config__.tag)
    if isinstance(warning, cart.PriceChanged):
        return Drift(
            code=code,
            offer_id=warning.offer_id,
            old_price=unit_price(warning.old_price_e4, currency),
            new_price=unit_price(warning.new_price_e4, currency),
        )
    if isinstance(warning, cart.LowStock):
        return Drift(code=code, offer_id=warning.offer_id, available=warning.available)
    return Drift(code=code, offer_id=warning.offer_id)


async def _edit(
    call: Call,
    buyer_id: str,
    cart_id: str,
    market_code: str,
    version: int,
    changes: tuple[Change, ...],
    *,
    create: bool = False,
) -> Cart:
    command = CartCommand(
        cart_id=cart_id,
        buyer_id=buyer_id,
        market=market_code,
        at_ms=call.now_ms(),
        changes=changes,
        version=version,
        create=create,
        lines_max=min(call.platform.limits.lines_max, 2_000),
    )
    return await call.platform.db.batch(home(call.platform.db, cart_id, "cart"), cart.EDIT, command)


async def _find(call: Call) -> Cart:
    buyer_id, cart_id = buyer_of(call, call.query.buyer_id), call.path["cart_id"]
    shard = home(call.platform.db, cart_id, "cart")
    return await call.platform.db.read(shard, cart.find, buyer_id, cart_id)


@ROUTES.add(
    "POST",
    "/v1/carts",
    body=NewCart,
    returns=CartView,
    status=201,
    scope="orders:write",
    roles=BUYING,
    example={"market": "GB"},
    answer={**CART_ANSWER, "lines": [], "version": 1},
    codes=("market.unknown",),
)
async def create_cart(call: Call) -> CartView:
    """Open a cart"""
    body: NewCart = call.body
    world, code = call.platform.world, market(body.market).code
    buyer_id, token = parties.acting_buyer(call.principal, body.buyer_id), ""
    if not buyer_id:
        buyer_id = parties.mint_party(world, Role.GUEST)
        token = call.platform.keyring.guest_token(buyer_id)
    home(call.platform.db, buyer_id, "buyer")
    cart_id = world.mint("cart", gene_of(buyer_id))
    return await view_cart(call, await _edit(call, buyer_id, cart_id, code, 0, (), create=True), token)


@ROUTES.add(
    "GET",
    "/v1/carts",
    query=BuyerQuery,
    returns=CartList,
    scope="orders:read",
    roles=BUYING,
    answer={"items": [CART_ANSWER]},
)
async def list_carts(call: Call) -> CartList:
    """List a buyer's carts, newest first"""
    buyer_id = buyer_of(call, call.query.buyer_id)
    found = await call.platform.db.read(call.shard(gene_of(buyer_id)), cart.carts_of, buyer_id)
    return CartList(items=tuple([await view_cart(call, one) for one in found]))


@ROUTES.add(
    "GET",
    "/v1/carts/{cart_id}",
    query=BuyerQuery,
    returns=CartView,
    scope="orders:read",
    roles=BUYING,
    answer=CART_ANSWER,
    codes=("cart.not_found",),
)
async def get_cart(call: Call) -> CartView:
    """Read a cart with what has drifted"""
    return await view_cart(call, await _find(call))


@ROUTES.add(
    "PUT",
    "/v1/carts/{cart_id}/lines",
    body=LineWishes,
    query=BuyerQuery,
    returns=CartView,
    scope="orders:write",
    roles=BUYING,
    example={"lines": [{"offer_id": "off_01m4xk9v0c7s8p2q3r4t5v6w7x", "quantity": 2}]},
    answer=CART_ANSWER,
    codes=CART_CODES,
)
async def set_lines(call: Call) -> CartView:
    """Set lines of a cart"""
    body: LineWishes = call.body
    found = await _find(call)
    where = market(found.market)
    gone = tuple(wish.offer_id for wish in body.lines if wish.quantity == 0)
    kept = [wish for wish in body.lines if wish.quantity]
    offers = await call.platform.checkout.book.get([wish.offer_id for wish in kept])
    puts = []
    for index, wish in enumerate(kept):
        if wish.offer_id not in offers:
            raise Refusal(
                "catalog.offer_unknown", f"No offer {wish.offer_id}.", field=f"lines[{index}].offer_id"
            )
        puts.append(
            cart.put_line(
                offers[wish.offer_id],
                wish.quantity,
                where,
                call.now_ms(),
                add=False,
                content_id=wish.content_id,
                creator_id=wish.creator_id,
            )
        )
    changes = ((cart.RemoveLines(offer_ids=gone),) if gone else ()) + tuple(puts)
    return await view_cart(
        call, await _edit(call, found.buyer_id, found.cart_id, where.code, body.version, changes)
    )


@ROUTES.add(
    "POST",
    "/v1/carts/{cart_id}/select",
    body=Selection,
    query=BuyerQuery,
    returns=CartView,
    scope="orders:write",
    roles=BUYING,
    example={"offer_ids": ["off_01m4xk9v0c7s8p2q3r4t5v6w7x"], "selected": False},
    answer=CART_ANSWER,
    codes=CART_CODES,
)
async def select_lines(call: Call) -> CartView:
    """Mark lines for the next checkout, or not"""
    body: Selection = call.body
    found = await _find(call)
    change = cart.SelectLines(offer_ids=body.offer_ids, selected=body.selected)
    edited = await _edit(call, found.buyer_id, found.cart_id, found.market, body.version, (change,))
    return await view_cart(call, edited)


@ROUTES.add(
    "POST",
    "/v1/carts/{cart_id}/merge",
    body=MergeRequest,
    query=BuyerQuery,
    returns=CartView,
    scope="orders:write",
    roles=BUYING,
    example={
        "guest_token": "gst_byr_01m4xk9v0c7s8p2q3r4t5v6w7x_5f4d...",
        "guest_cart_id": CART_ANSWER["cart_id"],
    },
    answer=CART_ANSWER,
    codes=CART_CODES,
)
async def merge_cart(call: Call) -> CartView:
    """Take in a guest's cart after logging in

    Doing it again adds nothing.
    """
    body: MergeRequest = call.body
    found = await _find(call)
    guest = parties.require(await call.platform.keyring.find(body.guest_token), roles=(Role.GUEST,))
    merged = await cart.merge(
        call.platform.db,
        call.platform.world,
        guest_id=guest.party_id,
        guest_cart_id=body.guest_cart_id,
        buyer_id=found.buyer_id,
        cart_id=found.cart_id,
    )
    return await view_cart(call, merged)
