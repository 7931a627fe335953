"""What sellers are owed: overview, unsettled orders, statements, payouts; and what operators do about them."""

from __future__ import annotations

from typing import Any

import msgspec

from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.tx import Tx
from tradepost.surfaces.api.once import transact_once
from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.routes.settlement_pages import (
    DESTINATION_CODES,
    enter_destination,
    page_payouts,
    page_statement,
    page_statements,
)
from tradepost.surfaces.api.routes.settlement_views import (
    BankWord,
    NewAdjustment,
    NewDestination,
    Revaluation,
    Run,
    StatementPage,
    masked,
    view_revalued,
)
from tradepost.surfaces.api.words import Page, PageQuery, home
from tradepost.trade import parties, pricing, settlement
from tradepost.trade.parties import Role
from tradepost.trade.settlement import (
    BankFact,
    BankStatus,
    Expected,
    Line,
    Overview,
    Payout,
    PayoutAccount,
    Statement,
)

ROUTES = Routes("settlement", scope="orders:read", roles=(Role.SELLER, Role.OPERATOR))
OPERATORS = (Role.OPERATOR,)
SWEEPS = ("settlement.due", "settlement.cut", "settlement.payouts")
SELLER_ID = "sel_01m4xk9v0c7s8p2q3r4t5v6w7x"
ACCOUNT = {
    "party_id": SELLER_ID,
    "market": "GB",
    "currency": "GBP",
    "balance_minor": 4_075,
    "reserve_minor": 0,
    "cut_through": 20_717,
    "next_at_ms": 1_790_035_500_000,
    "lines": 1,
}
DESTINATION = {"holder": "North Kiln Pottery", "account": "GB82WEST12345698765432"}
PAYOUT_ACCOUNT = {
    "party_id": SELLER_ID,
    "blocked": False,
    "version": 1,
    "destination": {**DESTINATION, "account": "****5432", "bank_code": ""},
}
COMPONENTS = {"goods": 5_001, "tax": -749, "platform_fee": -224}
STATEMENT = {
    "party_id": SELLER_ID,
    "market": "GB",
    "currency": "GBP",
    "day": 20_717,
    "date": "2026-09-21",
    "opening_minor": 0,
    "amount_minor": 4_028,
    "closing_minor": 4_028,
    "lines": 1,
    "cut_at_ms": 1_790_035_500_000,
    "components": COMPONENTS,
}
LINE = {
    "party_id": SELLER_ID,
    "line_id": "stl_01m4xk9v0c7s8p2q3r4t5v6w7x.2",
    "market": "GB",
    "currency": "GBP",
    "day": 20_717,
    "at_ms": 1_790_000_000_000,
    "kind": "sale",
    "order_id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "amount_minor": 4_028,
    "components": COMPONENTS,
    "note": "",
}
PAYOUT = {
    "payout_id": "pyo_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "party_id": SELLER_ID,
    "market": "GB",
    "currency": "GBP",
    "amount_minor": 4_028,
    "state": "PAID",
    "attempts": 1,
    "next_at_ms": 0,
    "bank": "sandbox",
    "error": "",
    "version": 2,
    "requested_at_ms": 1_790_035_500_000,
    "day": 20_718,
    "destination": PAYOUT_ACCOUNT["destination"],
}

REVALUED = {
    "shard": 0,
    "owed": {"amount_minor": 10_000, "currency": "USD"},
    "held": {"amount_minor": 9_000, "currency": "EUR"},
    "difference": {"amount_minor": 120, "currency": "EUR"},
    "outcome": "posted",
}


def _seller(call: Call) -> tuple[str, int]:
    seller_id = call.path["seller_id"]
    shard = home(call.platform.db, seller_id, "seller")
    parties.require_sight(call.principal, seller_id=seller_id)
    return seller_id, shard


@ROUTES.add(
    "GET",
    "/v1/sellers/{seller_id}/settlement",
    returns=Overview,
    answer={
        "party_id": SELLER_ID,
        "accounts": [ACCOUNT],
        "unsettled": [{"market": "GB", "currency": "GBP", "orders": 3, "amount_minor": 12_000}],
        "payout_account": PAYOUT_ACCOUNT,
    },
    codes=("auth.other_tenant",),
)
async def get_settlement(call: Call) -> Overview:
    """What a seller is to be paid, what is held back and what is not due yet

    Of an account's number every answer tells the last four letters only.
    """
    seller_id, shard = _seller(call)
    found = await call.platform.db.read(shard, settlement.overview, seller_id)
    known = found.payout_account
    return msgspec.structs.replace(found, payout_account=masked(known) if known is not None else None)


@ROUTES.add(
    "GET",
    "/v1/sellers/{seller_id}/unsettled",
    query=PageQuery,
    returns=Page[Expected],
    answer={
        "items": [
            {
                "order_id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x",
                "market": "GB",
                "currency": "GBP",
                "amount_minor": 4_028,
                "due_at_ms": 1_790_000_000_000,
            }
        ],
        "next_cursor": "",
    },
    codes=("auth.other_tenant",),
)
async def list_unsettled(call: Call) -> Page[Expected]:
    """List delivered orders whose money is not due yet"""
    seller_id, shard = _seller(call)
    query: PageQuery = call.query
    items = await call.platform.db.read(shard, settlement.list_expected, seller_id, query.cursor, query.limit)
    following = items[-1].order_id if len(items) == query.limit else ""
    return Page(items=tuple(items), next_cursor=following)


@ROUTES.add(
    "GET",
    "/v1/sellers/{seller_id}/statements",
    query=PageQuery,
    returns=Page[Statement],
    answer={"items": [STATEMENT], "next_cursor": ""},
    codes=("auth.other_tenant", "settlement.day_invalid"),
)
async def list_statements(call: Call) -> Page[Statement]:
    """List a seller's statements, newest day first

    A page ends with a whole day, so it may hold fewer than `limit` rows; the cursor is the day it ended with.
    """
    return await page_statements(call, *_seller(call))


@ROUTES.add(
    "GET",
    "/v1/sellers/{seller_id}/statements/{market}/{currency}/{day}",
    query=PageQuery,
    returns=StatementPage,
    answer={"statement": STATEMENT, "lines": [LINE], "next_cursor": ""},
    codes=("auth.other_tenant", "settlement.day_invalid", "settlement.statement_not_found"),
)
async def get_statement(call: Call) -> StatementPage:
    """Read a statement with its lines and what each is made of"""
    return await page_statement(call, *_seller(call))


@ROUTES.add(
    "GET",
    "/v1/sellers/{seller_id}/payouts",
    query=PageQuery,
    returns=Page[Payout],
    answer={"items": [PAYOUT], "next_cursor": ""},
    codes=("auth.other_tenant",),
)
async def list_payouts(call: Call) -> Page[Payout]:
    """List a seller's payouts, newest first"""
    return await page_payouts(call, *_seller(call))


@ROUTES.add(
    "PUT",
    "/v1/sellers/{seller_id}/payout-account",
    body=NewDestination,
    returns=PayoutAccount,
    keyed=True,
    scope="orders:write",
    example=DESTINATION,
    answer=PAYOUT_ACCOUNT,
    codes=DESTINATION_CODES,
)
async def set_payout_account(call: Call) -> Answer:
    """Enter or replace the account a seller is paid to; what waited for it is paid at the next look"""
    seller_id, _ = _seller(call)
    return await enter_destination(call, seller_id)


@ROUTES.add(
    "POST",
    "/v1/sellers/{seller_id}/adjustments",
    body=NewAdjustment,
    returns=Line,
    status=201,
    keyed=True,
    scope="payments:write",
    roles=OPERATORS,
    example={
        "kind": "penalty",
        "market": "GB",
        "currency": "GBP",
        "amount_minor": -500,
        "note": "late shipment",
    },
    answer={
        **LINE,
        "kind": "adjustment",
        "line_id": "adj_01m4xk9v0c7s8p2q3r4t5v6w7x",
        "order_id": "",
        "amount_minor": -500,
        "components": {"adjustment": -500},
        "note": "penalty: late shipment",
    },
    codes=(
        "settlement.adjustment_invalid",
        "market.unknown",
        "idempotency.key_required",
        "idempotency.in_progress",
    ),
)
async def adjust(call: Call) -> Answer:
    """Enter a typed adjustment on a seller's account"""
    seller_id, _ = _seller(call)
    body: NewAdjustment = call.body
    adjustment_id = call.platform.world.mint("adjustment", gene_of(seller_id))
    key = (seller_id, body.market, body.currency)
    facts: tuple[Any, ...] = (key, adjustment_id, body.kind, body.amount_minor, body.note, call.now_ms())
    return await transact_once(call, gene_of(seller_id), 201, settlement.adjust, *facts)


@ROUTES.add(
    "POST",
    "/v1/payouts/{payout_id}/word",
    body=BankWord,
    returns=Payout,
    keyed=True,
    scope="payments:write",
    roles=OPERATORS,
    example={"status": "paid"},
    answer=PAYOUT,
    codes=("settlement.payout_not_found", "idempotency.key_required", "idempotency.in_progress"),
)
async def tell_payout(call: Call) -> Answer:
    """Say what the bank said about a payout; news that is old changes nothing"""
    payout_id = check_id(call.path["payout_id"], "payout")
    body: BankWord = call.body
    return await transact_once(
        call,
        gene_of(payout_id),
        200,
        _tell,
        payout_id,
        body.status,
        body.reason,
        body.attempt,
        call.now_ms(),
    )


def _tell(tx: Tx, payout_id: str, status: str, reason: str, attempt: int, at_ms: int) -> Payout:
    stands = settlement.find_payout(tx, payout_id)
    fact = BankFact(
        payout_id=payout_id, attempt=attempt or stands.attempts, status=BankStatus(status), reason=reason
    )
    return masked(settlement.hear_bank(tx, fact, at_ms))


@ROUTES.add(
    "POST",
    "/v1/settlement/runs",
    returns=Run,
    scope="payments:write",
    roles=OPERATORS,
    answer={"ran": list(SWEEPS)},
)
async def run_settlement(call: Call) -> Run:
    """Settle what is due, cut the days that are over and call the bank, without waiting for the timers"""
    for name in SWEEPS:
        await call.platform.runtime.sweep_now(name)
    return Run(ran=SWEEPS)


@ROUTES.add(
    "POST",
    "/v1/settlement/revaluations",
    returns=Revaluation,
    scope="payments:write",
    roles=OPERATORS,
    answer={"items": [REVALUED]},
)
async def revalue(call: Call) -> Revaluation:
    """Post what balances open in two currencies are worth more or less at the rates in force

    For the end of a day: a pair is posted once a day (UTC), asking again changes nothing.
    """
    platform, now_ms = call.platform, call.now_ms()
    rates = pricing.rates_in_force(platform.checkout.live, now_ms)
    return view_revalued(await settlement.revalue(platform.db, rates, now_ms))
