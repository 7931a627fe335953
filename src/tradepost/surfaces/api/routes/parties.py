"""Buyers, guests, sellers, members and their keys."""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.surfaces.api.operation import Call, Routes
from tradepost.surfaces.api.words import Name, Page, PageQuery, Version, home
from tradepost.trade import parties
from tradepost.trade.parties import Buyer, Member, Role, Seller

P = TypeVar("P")

ROUTES = Routes("parties")
SHOPS = (Role.STOREFRONT, Role.OPERATOR)
OPERATORS = (Role.OPERATOR,)
BUYER = {"buyer_id": "byr_01m4xk9v0c7s8p2q3r4t5v6w7x", "name": "Ann Lee", "email": "ann@example.org"}
SELLER = {"name": "North Kiln Pottery", "fee_bps": 800}
SELLER_ANSWER = {
    "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "name": "North Kiln Pottery",
    "state": "PENDING",
    "fee_bps": 800,
    "created_at_ms": 1790000000000,
    "reason": "",
    "version": 1,
}


class NewBuyer(msgspec.Struct, frozen=True, kw_only=True):
    """A buyer to enter; both may be empty."""

    name: Name = ""
    email: Name = ""


class GuestView(msgspec.Struct, frozen=True, kw_only=True):
    """A new guest and the token to act and look as this guest."""

    buyer_id: str
    guest_token: str


class NewSeller(msgspec.Struct, frozen=True, kw_only=True):
    """A seller to enter. `fee_bps` is the platform's share in basis points."""

    name: Name
    fee_bps: int = 0
    active: bool = False


class SellerInput(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with a seller; suspending and closing need a reason code. `version` 0 takes it as it is."""

    input: Literal["activate", "suspend", "reinstate", "close"]
    reason: Name = ""
    version: Version = 0


class NewFee(msgspec.Struct, frozen=True, kw_only=True):
    """The platform's share of later sales in basis points."""

    fee_bps: int
    version: Version = 0


class NewMember(msgspec.Struct, frozen=True, kw_only=True):
    """A creator, a storefront or an operator to enter."""

    role: Literal["creator", "storefront", "operator"]
    name: Name


@ROUTES.add(
    "POST",
    "/v1/buyers",
    body=NewBuyer,
    returns=Buyer,
    status=201,
    roles=SHOPS,
    example={"name": "Ann Lee", "email": "ann@example.org"},
    answer={**BUYER, "created_at_ms": 1790000000000, "version": 1},
    codes=("parties.name_invalid", "parties.email_invalid"),
)
async def create_buyer(call: Call) -> Buyer:
    """Enter a buyer"""
    body: NewBuyer = call.body
    world = call.platform.world
    buyer_id = parties.mint_party(world, Role.BUYER)
    return await call.platform.db.transact(
        call.shard(gene_of(buyer_id)),
        parties.create_buyer,
        buyer_id,
        world.now_ms(),
        name=body.name,
        email=body.email,
    )


@ROUTES.add(
    "GET",
    "/v1/buyers/{buyer_id}",
    returns=Buyer,
    answer={**BUYER, "created_at_ms": 1790000000000, "version": 1},
    codes=("parties.unknown", "auth.other_tenant"),
)
async def get_buyer(call: Call) -> Buyer:
    """Read a buyer"""
    buyer_id = call.path["buyer_id"]
    shard = home(call.platform.db, buyer_id, "buyer")
    parties.require_sight(call.principal, buyer_id=buyer_id)
    found = await call.platform.db.read(shard, parties.buyer_views, [buyer_id])
    return _known(found.get(buyer_id), buyer_id)


@ROUTES.add(
    "POST",
    "/v1/guests",
    returns=GuestView,
    status=201,
    roles=SHOPS,
    answer={"buyer_id": BUYER["buyer_id"], "guest_token": "gst_byr_01m4xk9v0c7s8p2q3r4t5v6w7x_5f4d..."},
)
async def create_guest(call: Call) -> GuestView:
    """Make a guest

    Nothing is written: the guest is an id and a token that only this installation can have signed.
    """
    buyer_id = parties.mint_party(call.platform.world, Role.GUEST)
    return GuestView(buyer_id=buyer_id, guest_token=call.platform.keyring.guest_token(buyer_id))


@ROUTES.add(
    "POST",
    "/v1/sellers",
    body=NewSeller,
    returns=Seller,
    status=201,
    scope="admin",
    roles=OPERATORS,
    example=SELLER,
    answer=SELLER_ANSWER,
    codes=("parties.name_invalid", "parties.fee_invalid"),
)
async def create_seller(call: Call) -> Seller:
    """Enter a seller"""
    body: NewSeller = call.body
    world = call.platform.world
    seller_id = parties.mint_party(world, Role.SELLER)
    return await call.platform.db.transact(
        call.shard(gene_of(seller_id)),
        parties.open_seller,
        seller_id,
        world.now_ms(),
        name=body.name,
        fee_bps=body.fee_bps,
        active=body.active,
    )


@ROUTES.add(
    "GET",
    "/v1/sellers",
    query=PageQuery,
    returns=Page[Seller],
    scope="admin",
    roles=OPERATORS,
    answer={"items": [SELLER_ANSWER], "next_cursor": ""},
)
async def list_sellers(call: Call) -> Page[Seller]:
    """List the sellers"""
    query: PageQuery = call.query
    found: list[Seller] = []
    for shard in range(call.platform.db.shards):
        found += await call.platform.db.read(shard, parties.list_sellers, query.cursor, query.limit + 1)
    found.sort(key=lambda seller: seller.seller_id)
    items = tuple(found[: query.limit])
    return Page(items=items, next_cursor=items[-1].seller_id if len(found) > query.limit else "")


@ROUTES.add(
    "GET",
    "/v1/sellers/{seller_id}",
    returns=Seller,
    answer=SELLER_ANSWER,
    codes=("parties.unknown", "auth.other_tenant"),
)
async def get_seller(call: Call) -> Seller:
    """Read a seller"""
    seller_id = call.path["seller_id"]
    shard = home(call.platform.db, seller_id, "seller")
    parties.require_sight(call.principal, seller_id=seller_id)
    found = await call.platform.db.read(shard, parties.seller_views, [seller_id])
    return _known(found.get(seller_id), seller_id)


@ROUTES.add(
    "POST",
    "/v1/sellers/{seller_id}/state",
    body=SellerInput,
    returns=Seller,
    scope="admin",
    roles=OPERATORS,
    example={"input": "suspend", "reason": "late_shipments"},
    answer={**SELLER_ANSWER, "state": "SUSPENDED", "reason": "late_shipments", "version": 2},
    codes=("parties.unknown", "parties.reason_required", "state.conflict", "version.conflict"),
)
async def move_seller(call: Call) -> Seller:
    """Activate, suspend, reinstate or close a seller"""
    body: SellerInput = call.body
    seller_id = call.path["seller_id"]
    return await call.platform.db.transact(
        home(call.platform.db, seller_id, "seller"),
        parties.move_seller,
        seller_id,
        body.input,
        call.now_ms(),
        reason=body.reason,
        version=body.version,
    )


@ROUTES.add(
    "POST",
    "/v1/sellers/{seller_id}/fee",
    body=NewFee,
    returns=Seller,
    scope="admin",
    roles=OPERATORS,
    example={"fee_bps": 750},
    answer={**SELLER_ANSWER, "fee_bps": 750, "version": 2},
    codes=("parties.unknown", "parties.fee_invalid", "version.conflict"),
)
async def set_fee(call: Call) -> Seller:
    """Change the platform's share of a seller's later sales"""
    body: NewFee = call.body
    seller_id = call.path["seller_id"]
    shard = home(call.platform.db, seller_id, "seller")
    return await call.platform.db.transact(
        shard, parties.set_fee, seller_id, body.fee_bps, call.now_ms(), version=body.version
    )


@ROUTES.add(
    "POST",
    "/v1/members",
    body=NewMember,
    returns=Member,
    status=201,
    scope="admin",
    roles=OPERATORS,
    example={"role": "creator", "name": "Mia cooks"},
    answer={
        "party_id": "cre_01m4xk9v0c7s8p2q3r4t5v6w7x",
        "role": "creator",
        "name": "Mia cooks",
        "created_at_ms": 1790000000000,
        "version": 1,
    },
    codes=("parties.name_invalid",),
)
async def create_member(call: Call) -> Member:
    """Enter a creator, a storefront or an operator"""
    body: NewMember = call.body
    world = call.platform.world
    party_id = parties.mint_party(world, body.role)
    return await call.platform.db.transact(
        call.shard(gene_of(party_id)),
        parties.create_member,
        party_id,
        body.role,
        world.now_ms(),
        name=body.name,
    )


def _known(found: P | None, identifier: str) -> P:
    if found is None:
        raise Refusal("parties.unknown", f"There is no party {identifier}.", field="id")
    return found
