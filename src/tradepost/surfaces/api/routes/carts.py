"""Carts: an intent without promises, over all sellers of one market."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.markets import market
from tradepost.surfaces.api.operation import Call, Routes
from tradepost.surfaces.api.routes.cart_views import (
    CART_ANSWER,
    NOTHING_ASKED,
    PRICED_CART,
    Asked,
    CartList,
    CartView,
    view_cart,
    view_prices,
)
from tradepost.surfaces.api.words import Code, Id, Name, Version, home
from tradepost.trade import cart, checkout, parties
from tradepost.trade.cart import Cart, CartCommand
from tradepost.trade.catalog import OfferView
from tradepost.trade.parties import Role
from tradepost.trade.shipping import Destination

ROUTES = Routes("carts")
BUYING: tuple[Role, ...] = (Role.BUYER, Role.GUEST, Role.STOREFRONT, Role.OPERATOR)
FOR_BUYERS = (Role.STOREFRONT, Role.OPERATOR)
"""Who may say which groups a buyer is in."""
CART_CODES = (
    "cart.not_found",
    "cart.closed",
    "cart.line_unknown",
    "cart.quantity_invalid",
    "cart.too_many_lines",
    "catalog.offer_unknown",
    "version.conflict",
)
Party = Annotated[str, Meta(max_length=64)]


class BuyerQuery(msgspec.Struct, frozen=True, kw_only=True):
    """For which buyer: buyers and guests leave it out, storefronts and operators name one."""

    buyer_id: Party = ""


class CartQuery(msgspec.Struct, frozen=True, kw_only=True):
    """For which buyer, and how the cart is priced: as POST /v1/quotes takes it, `codes` and `segments` by commas."""

    buyer_id: Party = ""
    codes: Annotated[str, Meta(max_length=500)] = ""
    segments: Annotated[str, Meta(max_length=1_300)] = ""
    scene: Code = ""
    country: Code = ""
    region: Name = ""
    postcode: Code = ""


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


def buyer_of(call: Call, named: str) -> str:
    """The buyer a call is for. Raises Refusal `auth.forbidden` or `id.invalid`; storefronts must name one."""
    buyer_id = parties.acting_buyer(call.principal, named)
    home(call.platform.db, buyer_id, "buyer")
    return buyer_id


async def _edit(call: Call, shard: int, command: CartCommand) -> tuple[Cart, Asked]:
    edited = await call.platform.db.batch(shard, cart.EDIT, command)
    call.platform.carts.note(edited.cart)
    if not command.sku_ids:
        return edited.cart, NOTHING_ASKED
    pieces = {(sku_id, pool): count for sku_id, pool, count in edited.available}
    return edited.cart, Asked(frozenset(command.sku_ids), pieces)


def _lines_max(call: Call) -> int:
    return min(call.platform.limits.lines_max, 2_000)


def _named(call: Call) -> tuple[int, str, str]:
    """Shard, buyer and cart of a call. Raises Refusal `auth.forbidden`, `id.invalid`."""
    buyer_id, cart_id = buyer_of(call, call.query.buyer_id), call.path["cart_id"]
    return home(call.platform.db, cart_id, "cart"), buyer_id, cart_id


async def _find(call: Call) -> Cart:
    shard, buyer_id, cart_id = _named(call)
    found = await call.platform.db.read(shard, cart.find, buyer_id, cart_id)
    call.platform.carts.note(found)
    return found


@ROUTES.add(
    "POST",
    "/v1/carts",
    body=NewCart,
    returns=CartView,
    status=201,
    hot=True,
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
    shard = home(call.platform.db, buyer_id, "buyer")
    command = CartCommand(
        cart_id=world.mint("cart", gene_of(buyer_id)),
        buyer_id=buyer_id,
        market=code,
        at_ms=call.now_ms(),
        create=True,
        lines_max=_lines_max(call),
    )
    opened, _ = await _edit(call, shard, command)
    return await view_cart(call, opened, token)


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
    query=CartQuery,
    returns=CartView,
    hot=True,
    scope="orders:read",
    roles=BUYING,
    answer={**CART_ANSWER, "priced": PRICED_CART},
    codes=("cart.not_found",),
)
async def get_cart(call: Call) -> CartView:
    """Read a cart: what has drifted, and what it costs now

    The selected lines are priced with the campaigns in force, as a quote of this moment would be.
    """
    found = await _find(call)
    prices = await _prices(call, found)
    shown = await view_cart(call, found)
    return msgspec.structs.replace(shown, priced=view_prices(prices, shown.currency))


async def _prices(call: Call, found: Cart) -> checkout.CartPrices:
    query: CartQuery = call.query
    given = Destination(country=query.country, region=query.region, postcode=query.postcode)
    wants = [
        checkout.Want(
            offer_id=line.offer_id,
            quantity=line.quantity,
            content_id=line.content_id,
            creator_id=line.creator_id,
        )
        for line in found.lines
        if line.selected
    ]
    return await checkout.price_cart(
        call.platform.checkout,
        found.market,
        wants,
        buyer_id=found.buyer_id,
        scene=query.scene,
        codes=_listed(query.codes),
        segments=_listed(query.segments) if call.principal.role in FOR_BUYERS else (),
        region=query.region,
        wish=checkout.Wish(destination=given if query.country or query.postcode else None),
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple([part for one in text.split(",") if (part := one.strip())])


@ROUTES.add(
    "PUT",
    "/v1/carts/{cart_id}/lines",
    body=LineWishes,
    query=BuyerQuery,
    returns=CartView,
    hot=True,
    scope="orders:write",
    roles=BUYING,
    example={"lines": [{"offer_id": "off_01m4xk9v0c7s8p2q3r4t5v6w7x", "quantity": 2}]},
    answer=CART_ANSWER,
    codes=CART_CODES,
)
async def set_lines(call: Call) -> CartView:
    """Set lines of a cart"""
    body: LineWishes = call.body
    shard, buyer_id, cart_id = _named(call)
    code = call.platform.carts.market_of(cart_id, buyer_id) or (await _find(call)).market
    gone = tuple([wish.offer_id for wish in body.lines if not wish.quantity])
    kept = [wish for wish in body.lines if wish.quantity]
    where, at_ms, db = market(code), call.now_ms(), call.platform.db
    offers = checkout.shown_in(call.platform.checkout, await _offers(call, kept), where)
    puts = [
        cart.put_line(
            offers[wish.offer_id],
            wish.quantity,
            where,
            at_ms,
            add=False,
            content_id=wish.content_id,
            creator_id=wish.creator_id,
        )
        for wish in kept
    ]
    parts = {part.sku_id: None for offer in offers.values() for part in offer.components}
    command = CartCommand(
        cart_id=cart_id,
        buyer_id=buyer_id,
        market=code,
        at_ms=at_ms,
        changes=(*([cart.RemoveLines(offer_ids=gone)] if gone else ()), *puts),
        version=body.version,
        lines_max=_lines_max(call),
        sku_ids=tuple([sku_id for sku_id in parts if db.shard_of(gene_of(sku_id)) == shard]),
    )
    edited, asked = await _edit(call, shard, command)
    return await view_cart(call, edited, asked=asked)


async def _offers(call: Call, wishes: Sequence[LineWish]) -> dict[str, OfferView]:
    """The offers wished for. Raises Refusal `catalog.offer_unknown` or `id.invalid`, after those of `_find`."""
    try:
        offers = await call.platform.checkout.book.get([wish.offer_id for wish in wishes])
        for index, wish in enumerate(wishes):
            if wish.offer_id not in offers:
                raise Refusal(
                    "catalog.offer_unknown", f"No offer {wish.offer_id}.", field=f"lines[{index}].offer_id"
                )
    except Refusal:
        await _find(call)  # a cart that is remembered may be gone, and that is said first
        raise
    return offers


@ROUTES.add(
    "POST",
    "/v1/carts/{cart_id}/select",
    body=Selection,
    query=BuyerQuery,
    returns=CartView,
    hot=True,
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
    command = CartCommand(
        cart_id=found.cart_id,
        buyer_id=found.buyer_id,
        market=found.market,
        at_ms=call.now_ms(),
        changes=(cart.SelectLines(offer_ids=body.offer_ids, selected=body.selected),),
        version=body.version,
        lines_max=_lines_max(call),
    )
    edited, _ = await _edit(call, call.shard(gene_of(found.cart_id)), command)
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
