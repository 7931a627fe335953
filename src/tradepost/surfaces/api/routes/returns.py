"""Returns of an order: asked for, agreed to or refused, received."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.tx import Tx
from tradepost.surfaces.api.once import transact_once
from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.routes.carts import BUYING
from tradepost.surfaces.api.routes.order_views import Reason, Units, units_of
from tradepost.surfaces.api.routes.orders import party_of, sighted
from tradepost.surfaces.api.routes.packages import SHIPPING
from tradepost.surfaces.api.words import Place, home
from tradepost.trade import aftersales
from tradepost.trade.aftersales import Return
from tradepost.trade.orders import LineQuantity
from tradepost.trade.parties import Principal, Role

ROUTES = Routes("returns")
RETURN = {
    "return_id": "rtn_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "order_id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "buyer_id": "byr_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "state": "REQUESTED",
    "version": 1,
    "lines": [{"line_no": 1, "quantity": 1}],
    "reason": "wrong_colour",
    "requested_at_ms": 1790000000000,
    "decision": "",
    "received_at_ms": 0,
    "refund_id": "",
    "refund_minor": 0,
    "kind": "return_refund",
    "market": "GB",
    "amount_minor": 0,
    "wanted": [],
    "decided_at_ms": 0,
    "deadline_at_ms": 1790172800000,
    "tracking": "",
    "evidence": [],
    "values": [],
    "shipping_minor": 0,
    "deduction_minor": 0,
    "gifts": [],
    "held_minor": 0,
    "taken_minor": 0,
    "replacement_id": "",
    "spent_minor": 0,
    "undone_minor": 0,
}
RETURN_CODES = (
    "orders.not_found",
    "orders.line_unknown",
    "orders.quantity_invalid",
    "returns.not_found",
    "returns.not_delivered",
    "returns.quantity_exceeds",
    "returns.window_closed",
    "aftersales.not_allowed",
    "payments.refund_exceeds_captured",
    "state.conflict",
    "version.conflict",
    "idempotency.key_required",
    "idempotency.in_progress",
)


class ReturnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which units come back, and why."""

    lines: Annotated[tuple[Units, ...], Meta(min_length=1, max_length=2_000)]
    reason: Reason


class ReturnRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a return is declined."""

    reason: Reason


class ReturnReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """Into which pool the goods go; `returned` is off sale."""

    restock_pool: Place = "returned"


class ReturnList(msgspec.Struct, frozen=True, kw_only=True):
    """The returns of an order, oldest first, and what can still be returned."""

    items: tuple[Return, ...]
    returnable: tuple[LineQuantity, ...]


def _list(tx: Tx, principal: Principal, order_id: str) -> ReturnList:
    sighted(tx, principal, order_id)
    return ReturnList(
        items=tuple(shown(principal, item) for item in aftersales.list_returns(tx, order_id)),
        returnable=aftersales.returnable_lines(tx, order_id),
    )


def _request(
    tx: Tx,
    principal: Principal,
    order_id: str,
    return_id: str,
    lines: tuple[LineQuantity, ...],
    reason: str,
    at_ms: int,
) -> Return:
    sighted(tx, principal, order_id)
    party = party_of(principal)
    asked = aftersales.new_case(order_id, return_id, reason, at_ms, lines=lines)
    return shown(principal, aftersales.request_case(tx, asked, party))


def _approve(tx: Tx, principal: Principal, order_id: str, return_id: str, at_ms: int) -> Return:
    own_case(tx, principal, order_id, return_id)
    return shown(principal, aftersales.approve(tx, return_id, at_ms, party_of(principal)))


def _refuse(tx: Tx, principal: Principal, order_id: str, return_id: str, reason: str, at_ms: int) -> Return:
    own_case(tx, principal, order_id, return_id)
    return shown(principal, aftersales.refuse(tx, return_id, reason, at_ms, party_of(principal)))


def _receive(tx: Tx, principal: Principal, order_id: str, return_id: str, pool: str, at_ms: int) -> Return:
    own_case(tx, principal, order_id, return_id)
    return shown(principal, aftersales.receive(tx, return_id, at_ms, pool, party=party_of(principal)))


def _close(tx: Tx, principal: Principal, order_id: str, return_id: str, at_ms: int) -> Return:
    own_case(tx, principal, order_id, return_id)
    return shown(principal, aftersales.close(tx, return_id, at_ms, party_of(principal)))


def sees_fees(principal: Principal) -> bool:
    """Whether the platform's fee is the principal's business: the seller pays it, the operator takes it."""
    return principal.role in (Role.SELLER, Role.OPERATOR)


def shown(principal: Principal, item: Return) -> Return:
    """The case as the principal may see it: to all but the seller and the operator, fees are left out."""
    if sees_fees(principal):
        return item
    values = tuple(msgspec.structs.replace(value, fee_minor=0) for value in item.values)
    return msgspec.structs.replace(item, values=values)


def own_case(tx: Tx, principal: Principal, order_id: str, return_id: str) -> None:
    """Raise Refusal `orders.not_found` or `returns.not_found` unless the case is of an order of the principal's."""
    sighted(tx, principal, order_id)
    if gene_of(return_id) != gene_of(order_id) or aftersales.get_return(tx, return_id).order_id != order_id:
        raise Refusal("returns.not_found", f"There is no return {return_id}.", field="return_id")


async def _decide(call: Call, work: Callable[..., Return], *facts: Any) -> Answer:
    order_id = check_id(call.path["order_id"], "order")
    return_id = check_id(call.path["return_id"], "return")
    return await transact_once(
        call, gene_of(order_id), 200, work, call.principal, order_id, return_id, *facts, call.now_ms()
    )


@ROUTES.add(
    "GET",
    "/v1/orders/{order_id}/returns",
    returns=ReturnList,
    scope="orders:read",
    answer={"items": [RETURN], "returnable": [{"line_no": 1, "quantity": 1}]},
    codes=("orders.not_found",),
)
async def list_returns(call: Call) -> ReturnList:
    """List the returns of an order and what can still be returned"""
    order_id = call.path["order_id"]
    shard = home(call.platform.db, order_id, "order")
    return await call.platform.db.read(shard, _list, call.principal, order_id)


@ROUTES.add(
    "POST",
    "/v1/orders/{order_id}/returns",
    body=ReturnRequest,
    returns=Return,
    status=201,
    keyed=True,
    scope="orders:write",
    roles=BUYING,
    example={"lines": [{"line_no": 1, "quantity": 1}], "reason": "wrong_colour"},
    answer=RETURN,
    codes=RETURN_CODES,
)
async def request_return(call: Call) -> Answer:
    """Ask to give units back"""
    body: ReturnRequest = call.body
    order_id = check_id(call.path["order_id"], "order")
    gene = gene_of(order_id)
    return_id = call.platform.world.mint("return", gene)
    lines = units_of(body.lines)
    return await transact_once(
        call, gene, 201, _request, call.principal, order_id, return_id, lines, body.reason, call.now_ms()
    )


@ROUTES.add(
    "POST",
    "/v1/orders/{order_id}/returns/{return_id}/approve",
    returns=Return,
    keyed=True,
    scope="orders:write",
    roles=SHIPPING,
    answer={**RETURN, "state": "APPROVED", "version": 2},
    codes=RETURN_CODES,
)
async def approve_return(call: Call) -> Answer:
    """Agree to a return"""
    return await _decide(call, _approve)


@ROUTES.add(
    "POST",
    "/v1/orders/{order_id}/returns/{return_id}/refuse",
    body=ReturnRefusal,
    returns=Return,
    keyed=True,
    scope="orders:write",
    roles=SHIPPING,
    example={"reason": "worn"},
    answer={**RETURN, "state": "REFUSED", "decision": "worn", "version": 2},
    codes=RETURN_CODES,
)
async def refuse_return(call: Call) -> Answer:
    """Decline a return"""
    body: ReturnRefusal = call.body
    return await _decide(call, _refuse, body.reason)


@ROUTES.add(
    "POST",
    "/v1/orders/{order_id}/returns/{return_id}/receive",
    body=ReturnReceipt,
    returns=Return,
    keyed=True,
    scope="orders:write",
    roles=SHIPPING,
    example={"restock_pool": "returned"},
    answer={**RETURN, "state": "RECEIVED", "refund_minor": 895, "version": 3},
    codes=RETURN_CODES,
)
async def receive_return(call: Call) -> Answer:
    """Take the goods back, restock them and ask for their refund"""
    body: ReturnReceipt = call.body
    return await _decide(call, _receive, body.restock_pool)


@ROUTES.add(
    "POST",
    "/v1/orders/{order_id}/returns/{return_id}/close",
    returns=Return,
    keyed=True,
    scope="orders:write",
    roles=BUYING,
    answer={**RETURN, "state": "CLOSED", "version": 2},
    codes=RETURN_CODES,
)
async def close_return(call: Call) -> Answer:
    """Keep the goods after all"""
    return await _decide(call, _close)
