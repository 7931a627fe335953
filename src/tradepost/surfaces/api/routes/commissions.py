"""Commission plans of sellers, what an order's lines earn, and what creators have earned."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.tx import Tx
from tradepost.surfaces.api.operation import Call, Routes
from tradepost.surfaces.api.routes.orders import not_found
from tradepost.surfaces.api.words import Cursor, Limit, MomentMs, Name, Page, Version, home
from tradepost.trade import creators, orders, parties
from tradepost.trade.creators import Agency, Basis, Bonus, Earning, OrderCommissions, Plan, Tier
from tradepost.trade.parties import Principal, Role

ROUTES = Routes("commissions")
Bps = Annotated[int, Meta(ge=0, le=10_000, description="Basis points: 1000 is 10 %.")]
TERMS = {
    "title": "Open to everybody",
    "rate_bps": 1000,
    "tiers": [{"reached": 100, "rate_bps": 1500}],
    "bonuses": [{"code": "launch", "rate_bps": 200, "seller_share_bps": 10000}],
    "ends_at_ms": 4102444800000,
}
PLAN = TERMS | {
    "plan_id": "pln_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "version": 1,
    "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "tier_basis": "orders",
}
PLAN_CODES = ("creators.plan_invalid", "creators.plan_unknown", "version.conflict", "id.invalid")
EARNING = {
    "creator_id": "cre_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "order_id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "line_no": 1,
    "version": 1,
    "plan_id": "pln_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "state": "ESTIMATED",
    "currency": "GBP",
    "base_minor": 1275,
    "amount_minor": 127,
    "at_ms": 1790000000000,
    "settle_at_ms": 0,
    "content_id": "video_1",
    "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
}

ORDER_COMMISSIONS = {
    "order_id": EARNING["order_id"],
    "seller_id": EARNING["seller_id"],
    "payment_id": "pay_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "market": "GB",
    "version": 1,
    "touches": 1,
    "next_at_ms": 0,
    "settle_at_ms": 0,
    "planned": True,
    "lines": [],
    "booked": {},
}


class PlanTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan pays. Without `creators` it is open; `settle_after_ms` counts from the delivery."""

    title: Name = ""
    rate_bps: Bps
    creators: Annotated[tuple[Name, ...], Meta(max_length=10_000)] = ()
    products: Annotated[tuple[Name, ...], Meta(max_length=10_000)] = ()
    content_kinds: Annotated[tuple[Name, ...], Meta(max_length=20)] = ()
    tiers: Annotated[tuple[Tier, ...], Meta(max_length=10)] = ()
    tier_basis: Basis = Basis.ORDERS
    bonuses: Annotated[tuple[Bonus, ...], Meta(max_length=5)] = ()
    agency: Agency | None = None
    starts_at_ms: MomentMs = 0
    ends_at_ms: MomentMs = 0
    settle_after_ms: Annotated[int, Meta(ge=0, le=366 * 86_400_000)] = 7 * 86_400_000
    version: Version = 0


class SellerQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose; an operator names the seller."""

    seller_id: Name = ""


class EarningsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose; an operator names the creator."""

    creator_id: Name = ""
    cursor: Cursor = ""
    limit: Limit = 50


class Plans(msgspec.Struct, frozen=True, kw_only=True):
    """A seller's plans in force, newest first."""

    items: tuple[Plan, ...]


def _seller(call: Call) -> str:
    query: SellerQuery = call.query
    return check_id(parties.acting_seller(call.principal, query.seller_id), "seller")


def _plan(terms: PlanTerms, seller_id: str, plan_id: str) -> Plan:
    return Plan(plan_id=plan_id, seller_id=seller_id, **msgspec.structs.asdict(terms))


@ROUTES.add(
    "POST",
    "/v1/commission-plans",
    query=SellerQuery,
    body=PlanTerms,
    returns=Plan,
    status=201,
    scope="catalog:write",
    roles=(Role.SELLER, Role.OPERATOR),
    example=TERMS,
    answer=PLAN,
    codes=(*PLAN_CODES, "creators.too_many_plans"),
)
async def enter_plan(call: Call) -> Plan:
    """Offer creators a commission

    It is in force from now on; orders placed before are not under it.
    """
    seller_id = _seller(call)
    gene = gene_of(seller_id)
    plan = _plan(call.body, seller_id, call.platform.world.mint("plan", gene))
    enter = partial(creators.enter_plan, by_seller=call.principal.role == Role.SELLER)
    return await call.platform.db.transact(call.shard(gene), enter, plan, call.now_ms())


@ROUTES.add(
    "PUT",
    "/v1/commission-plans/{plan_id}",
    query=SellerQuery,
    body=PlanTerms,
    returns=Plan,
    scope="catalog:write",
    roles=(Role.SELLER, Role.OPERATOR),
    example=TERMS | {"version": 1},
    answer=PLAN | {"version": 2},
    codes=PLAN_CODES,
)
async def change_plan(call: Call) -> Plan:
    """Replace a plan by its next version

    `version` is the one it replaces. Orders placed before stay under the version of their day.
    """
    seller_id = _seller(call)
    plan = _plan(call.body, seller_id, check_id(call.path["plan_id"], "plan"))
    change = partial(creators.change_plan, by_seller=call.principal.role == Role.SELLER)
    return await call.platform.db.transact(call.shard(gene_of(seller_id)), change, plan, call.now_ms())


@ROUTES.add(
    "DELETE",
    "/v1/commission-plans/{plan_id}",
    query=SellerQuery,
    returns=Plan,
    scope="catalog:write",
    roles=(Role.SELLER, Role.OPERATOR),
    answer=PLAN,
    codes=PLAN_CODES,
)
async def end_plan(call: Call) -> Plan:
    """End a plan

    Orders placed from now on earn nothing under it; earlier ones keep what they earn.
    """
    seller_id = _seller(call)
    plan_id = check_id(call.path["plan_id"], "plan")
    return await call.platform.db.transact(
        call.shard(gene_of(seller_id)), creators.end_plan, seller_id, plan_id, call.now_ms()
    )


@ROUTES.add(
    "GET",
    "/v1/commission-plans",
    query=SellerQuery,
    returns=Plans,
    scope="orders:read",
    roles=(Role.SELLER, Role.OPERATOR),
    answer={"items": [PLAN]},
    codes=("id.invalid",),
)
async def list_plans(call: Call) -> Plans:
    """List a seller's commission plans in force"""
    seller_id = _seller(call)
    found = await call.platform.db.read(call.shard(gene_of(seller_id)), creators.list_plans, seller_id)
    return Plans(items=tuple(found))


def _order_commissions(tx: Tx, principal: Principal, order_id: str) -> OrderCommissions:
    order = orders.get_order(tx, order_id)
    if not parties.may_see(principal, seller_id=order.seller_id):  # what it earned others is not the buyer's
        raise not_found(order_id)
    return creators.find_commissions(tx, order_id)


@ROUTES.add(
    "GET",
    "/v1/orders/{order_id}/commissions",
    returns=OrderCommissions,
    scope="orders:read",
    roles=(Role.SELLER, Role.OPERATOR),
    answer=ORDER_COMMISSIONS,
    codes=("orders.not_found", "creators.commission_unknown", "id.invalid"),
)
async def get_order_commissions(call: Call) -> OrderCommissions:
    """Explain what an order's lines earn

    Under which plan version and attribution model, on which base, told apart into its parts, and what is booked.
    """
    order_id = call.path["order_id"]
    shard = home(call.platform.db, order_id, "order")
    return await call.platform.db.read(shard, _order_commissions, call.principal, order_id)


@ROUTES.add(
    "GET",
    "/v1/commissions",
    query=EarningsQuery,
    returns=Page[Earning],
    scope="orders:read",
    roles=(Role.CREATOR, Role.OPERATOR),
    answer={"items": [EARNING], "next_cursor": ""},
    codes=("id.invalid", "input.cursor_invalid"),
)
async def list_earnings(call: Call) -> Page[Earning]:
    """List what a creator earns, newest order first

    ESTIMATED until the goods are kept, then SETTLED; CANCELLED or CLAWED_BACK when they came back.
    """
    query: EarningsQuery = call.query
    named = query.creator_id if call.principal.role == Role.OPERATOR else call.principal.party_id
    creator_id = check_id(named, "creator")
    before = earnings_after(query.cursor)
    found = await call.platform.db.read(
        call.shard(gene_of(creator_id)), creators.list_earnings, creator_id, before, query.limit + 1
    )
    return earnings_page(found, query.limit)


def earnings_after(cursor: str) -> tuple[str, int]:
    """The line a page begins behind. Raises Refusal `input.cursor_invalid`."""
    order_id, _, line_no = cursor.partition(":")
    if cursor and not (line_no.isdecimal() and len(line_no) < 6):
        raise Refusal("input.cursor_invalid", "The cursor is not one of this list.", field="cursor")
    return order_id, int(line_no or 0)


def earnings_page(found: Sequence[Earning], limit: int) -> Page[Earning]:
    """A page of what was found with one more than the limit."""
    page = found[:limit]
    more = f"{page[-1].order_id}:{page[-1].line_no}" if len(found) > limit else ""
    return Page(items=tuple(page), next_cursor=more)
