"""Cases after the sale: refunds, returns, exchanges, replacements, claims; their steps, and what they would refund."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.tx import Tx
from tradepost.surfaces.api.once import transact_once
from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.routes.order_views import Reason, Units, units_of
from tradepost.surfaces.api.routes.orders import party_of, sighted
from tradepost.surfaces.api.routes.returns import RETURN, RETURN_CODES, own_case, sees_fees, shown
from tradepost.surfaces.api.words import Place, Quantity, home
from tradepost.trade import aftersales, payments
from tradepost.trade.aftersales import Asked, CaseKind, Evidence, RefundPreview, Return, WantedOffer
from tradepost.trade.orders import LineQuantity
from tradepost.trade.parties import Principal, Role
from tradepost.trade.payments import Dispute

ROUTES = Routes("after-sales")
ACTING = (Role.BUYER, Role.GUEST, Role.STOREFRONT, Role.SELLER, Role.OPERATOR)
Amount = Annotated[int, Meta(ge=0, le=10**15)]
Note = Annotated[str, Meta(max_length=2_000)]
Lines = Annotated[tuple[Units, ...], Meta(max_length=2_000)]
CASE_CODES = (
    *RETURN_CODES,
    "returns.kind_invalid",
    "returns.amount_exceeds",
    "returns.exchanged_already",
    "returns.escalation_late",
    "returns.evidence_full",
)
CASE = {**RETURN, "kind": "refund_only", "amount_minor": 300, "lines": [], "reason": "damaged"}
PREVIEW = {
    "order_id": RETURN["order_id"],
    "currency": "GBP",
    "lines": [
        {
            "line_no": 1,
            "quantity": 1,
            "goods_minor": 995,
            "discounts": [["platform", -100]],
            "total_minor": 895,
            "tax_minor": 149,
            "fee_minor": 72,
        }
    ],
    "shipping_minor": 0,
    "deduction_minor": 0,
    "gifts": [],
    "tax_minor": 149,
    "fee_minor": 72,
    "refund_minor": 895,
    "held_minor": 0,
    "taken_minor": 0,
    "tenders": [
        {
            "provider": "sandbox",
            "method": "sandbox_succeeds",
            "payment_id": "pay_01m4xk9v0c7s8p2q3r4t5v6w7x",
            "amount_minor": 895,
        }
    ],
    "entries": [["provider:sandbox", -895], ["seller:sel_01m4xk9v0c7s8p2q3r4t5v6w7x", 674]],
}
DISPUTE = {
    "dispute_id": "dsp_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "payment_id": "pay_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "dispute_ref": "dp_1",
    "amount_minor": 895,
    "currency": "GBP",
    "reason": "fraudulent",
    "state": "OPEN",
    "contested": [["ord_01m4xk9v0c7s8p2q3r4t5v6w7x", 895]],
    "opened_at_ms": 1790000000000,
    "fee_minor": 1500,
    "fee_currency": "GBP",
    "version": 1,
}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Other goods of the same seller, to have in exchange."""

    offer_id: Annotated[str, Meta(max_length=64)]
    quantity: Quantity


class CaseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted: units of lines, or an amount in their stead (refund_only and claim), and why."""

    kind: CaseKind
    reason: Reason
    lines: Lines = ()
    amount_minor: Amount = 0
    wanted: Annotated[tuple[Wanted, ...], Meta(max_length=100)] = ()
    note: Note = ""
    url: Annotated[str, Meta(max_length=500)] = ""


class CaseStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a case. Which facts count depends on the step; who may take it is a table."""

    step: Literal[
        "approve", "refuse", "close", "ship_back", "arrive", "receive", "escalate", "add_evidence", "judge"
    ]
    reason: Annotated[str, Meta(max_length=60)] = ""
    tracking: Annotated[str, Meta(max_length=80)] = ""
    restock_pool: Place = "returned"
    deduction_minor: Amount = 0
    note: Note = ""
    url: Annotated[str, Meta(max_length=500)] = ""
    winner: Literal["BUYER", "SELLER"] = "BUYER"
    goods_back: bool = False


class PreviewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What would be given back."""

    kind: CaseKind = CaseKind.RETURN_REFUND
    reason: Annotated[str, Meta(max_length=60)] = ""
    lines: Lines = ()
    amount_minor: Amount = 0
    deduction_minor: Amount = 0


class CaseList(msgspec.Struct, frozen=True, kw_only=True):
    """The cases of an order, oldest first, and what can still be given back."""

    items: tuple[Return, ...]
    returnable: tuple[LineQuantity, ...]


class DisputeList(msgspec.Struct, frozen=True, kw_only=True):
    """What buyers' banks took, or want to take, of an order's payment; oldest first."""

    items: tuple[Dispute, ...]


def _list(tx: Tx, principal: Principal, order_id: str) -> CaseList:
    sighted(tx, principal, order_id)
    return CaseList(
        items=tuple(shown(principal, item) for item in aftersales.list_returns(tx, order_id)),
        returnable=aftersales.returnable_lines(tx, order_id),
    )


def _request(
    tx: Tx, principal: Principal, order_id: str, case_id: str, body: CaseRequest, at_ms: int
) -> Return:
    sighted(tx, principal, order_id)
    party = party_of(principal)
    first = Evidence(party=party, note=body.note, url=body.url, at_ms=at_ms)
    asked = aftersales.new_case(
        order_id,
        case_id,
        body.reason,
        at_ms,
        lines=units_of(body.lines),
        kind=body.kind.value,
        amount_minor=body.amount_minor,
        wanted=tuple(WantedOffer(one.offer_id, one.quantity) for one in body.wanted),
        evidence=(first,) if body.note or body.url else (),
    )
    return shown(principal, aftersales.request_case(tx, asked, party))


Act = Callable[[Tx, str, CaseStep, str, int], Return]
_ACTS: dict[str, Act] = {
    "approve": lambda tx, case_id, body, party, at_ms: aftersales.approve(tx, case_id, at_ms, party),
    "refuse": lambda tx, case_id, body, party, at_ms: aftersales.refuse(
        tx, case_id, body.reason, at_ms, party
    ),
    "close": lambda tx, case_id, body, party, at_ms: aftersales.close(tx, case_id, at_ms, party),
    "ship_back": lambda tx, case_id, body, party, at_ms: aftersales.ship_back(
        tx, case_id, body.tracking, at_ms, party
    ),
    "arrive": lambda tx, case_id, body, party, at_ms: aftersales.arrive(tx, case_id, at_ms, party),
    "receive": lambda tx, case_id, body, party, at_ms: aftersales.receive(
        tx, case_id, at_ms, body.restock_pool, body.deduction_minor, party
    ),
    "escalate": lambda tx, case_id, body, party, at_ms: aftersales.escalate(tx, case_id, at_ms, party),
    "add_evidence": lambda tx, case_id, body, party, at_ms: aftersales.add_evidence(
        tx, case_id, Evidence(party=party, note=body.note, url=body.url, at_ms=at_ms)
    ),
    "judge": lambda tx, case_id, body, party, at_ms: aftersales.judge(
        tx, case_id, body.winner, body.reason, at_ms, party, goods_back=body.goods_back
    ),
}


def _step(tx: Tx, principal: Principal, order_id: str, case_id: str, body: CaseStep, at_ms: int) -> Return:
    own_case(tx, principal, order_id, case_id)
    return shown(principal, _ACTS[body.step](tx, case_id, body, party_of(principal), at_ms))


def _preview(tx: Tx, principal: Principal, order_id: str, asked: Asked) -> RefundPreview:
    sighted(tx, principal, order_id)
    found = aftersales.preview(tx, order_id, asked)
    if sees_fees(principal):
        return found
    lines = tuple(msgspec.structs.replace(line, fee_minor=0) for line in found.lines)
    # what others bear is not the buyer's to know
    return msgspec.structs.replace(found, lines=lines, entries=(), fee_minor=0)


def _disputes(tx: Tx, principal: Principal, order_id: str) -> DisputeList:
    order = sighted(tx, principal, order_id)
    found = payments.find_disputes(tx, order.payment_id) if order.payment_id else []
    if principal.role == Role.SELLER:
        own = [one for one in found if any(part.order_id == order_id for part in one.contested)]
        found = [
            msgspec.structs.replace(
                one, contested=tuple(part for part in one.contested if part.order_id == order_id)
            )
            for one in own
        ]
    return DisputeList(items=tuple(found))


@ROUTES.add(
    "GET",
    "/v1/orders/{order_id}/cases",
    returns=CaseList,
    scope="orders:read",
    answer={"items": [CASE], "returnable": [{"line_no": 1, "quantity": 1}]},
    codes=("orders.not_found",),
)
async def list_cases(call: Call) -> CaseList:
    """List the cases of an order and what can still be given back"""
    order_id = call.path["order_id"]
    shard = home(call.platform.db, order_id, "order")
    return await call.platform.db.read(shard, _list, call.principal, order_id)


@ROUTES.add(
    "POST",
    "/v1/orders/{order_id}/cases",
    body=CaseRequest,
    returns=Return,
    status=201,
    keyed=True,
    scope="orders:write",
    roles=ACTING,
    example={"kind": "refund_only", "amount_minor": 300, "reason": "damaged"},
    answer=CASE,
    codes=CASE_CODES,
)
async def request_case(call: Call) -> Answer:
    """Ask for a refund, a return, an exchange, a replacement, or make a claim

    Who may ask for what in which state is a table: see the reference of after-sales.
    """
    body: CaseRequest = call.body
    order_id = check_id(call.path["order_id"], "order")
    gene = gene_of(order_id)
    case_id = call.platform.world.mint("return", gene)
    return await transact_once(
        call, gene, 201, _request, call.principal, order_id, case_id, body, call.now_ms()
    )


@ROUTES.add(
    "POST",
    "/v1/orders/{order_id}/cases/{case_id}/steps",
    body=CaseStep,
    returns=Return,
    keyed=True,
    scope="orders:write",
    roles=ACTING,
    example={"step": "receive", "restock_pool": "returned", "deduction_minor": 0},
    answer={**CASE, "state": "RECEIVED", "refund_minor": 895, "version": 3},
    codes=CASE_CODES,
)
async def take_step(call: Call) -> Answer:
    """Take a step of a case: approve, refuse, ship back, receive, escalate, bring evidence, judge

    New goods of an exchange or a replacement are ordered at once, and by a timer where that fails.
    """
    body: CaseStep = call.body
    order_id = check_id(call.path["order_id"], "order")
    case_id = check_id(call.path["case_id"], "return")
    answer = await transact_once(
        call, gene_of(order_id), 200, _step, call.principal, order_id, case_id, body, call.now_ms()
    )
    if body.step in ("approve", "receive", "judge"):
        with contextlib.suppress(Refusal):  # the step stands; the timer tries the new goods again
            await aftersales.replace_goods(call.platform.checkout, case_id)
    return answer


@ROUTES.add(
    "POST",
    "/v1/orders/{order_id}/refund-preview",
    body=PreviewRequest,
    returns=RefundPreview,
    scope="orders:read",
    example={"lines": [{"line_no": 1, "quantity": 1}], "reason": "changed_mind"},
    answer=PREVIEW,
    codes=("orders.not_found", "orders.line_unknown", "orders.quantity_invalid"),
)
async def preview_refund(call: Call) -> RefundPreview:
    """See to the minor unit what would be refunded now, to which tender, and who gives it

    The same function decides the refund; buyers do not see whose money it is.
    """
    body: PreviewRequest = call.body
    order_id = call.path["order_id"]
    shard = home(call.platform.db, order_id, "order")
    asked = Asked(
        kind=body.kind.value,
        reason=body.reason,
        lines=units_of(body.lines),
        amount_minor=body.amount_minor,
        deduction_minor=body.deduction_minor,
    )
    return await call.platform.db.read(shard, _preview, call.principal, order_id, asked)


@ROUTES.add(
    "GET",
    "/v1/orders/{order_id}/disputes",
    returns=DisputeList,
    scope="orders:read",
    answer={"items": [DISPUTE]},
    codes=("orders.not_found",),
)
async def list_disputes(call: Call) -> DisputeList:
    """List the chargebacks about an order's payment"""
    order_id = call.path["order_id"]
    shard = home(call.platform.db, order_id, "order")
    return await call.platform.db.read(shard, _disputes, call.principal, order_id)
