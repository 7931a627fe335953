"""What creators and agencies are owed: overview, unsettled lines, statements, payouts, and where they are paid."""

from __future__ import annotations

import msgspec

from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.routes.commissions import EARNING, earnings_after, earnings_page
from tradepost.surfaces.api.routes.settlement import (
    ACCOUNT,
    DESTINATION,
    LINE,
    PAYOUT,
    PAYOUT_ACCOUNT,
    STATEMENT,
)
from tradepost.surfaces.api.routes.settlement_pages import (
    DESTINATION_CODES,
    enter_destination,
    page_payouts,
    page_statement,
    page_statements,
)
from tradepost.surfaces.api.routes.settlement_views import NewDestination, StatementPage, masked
from tradepost.surfaces.api.words import Page, PageQuery, home
from tradepost.trade import creators, parties, settlement
from tradepost.trade.creators import Earning, Expected
from tradepost.trade.parties import Role
from tradepost.trade.settlement import Account, Payout, PayoutAccount, Statement

ROUTES = Routes("creator settlement", scope="orders:read", roles=(Role.CREATOR, Role.OPERATOR))
CREATOR_ID = "cre_01m4xk9v0c7s8p2q3r4t5v6w7x"
COMMISSION = {"party_id": CREATOR_ID, "components": {"commission": 127}}
AMOUNTS = {"amount_minor": 127}
OWN_STATEMENT = STATEMENT | COMMISSION | AMOUNTS | {"closing_minor": 127}
OWN_ACCOUNT = PAYOUT_ACCOUNT | {"party_id": CREATOR_ID}


class CreatorOverview(msgspec.Struct, frozen=True, kw_only=True):
    """A creator's money: what is to be paid and held back, by market; what is sold and not settled yet, by currency."""

    party_id: str
    accounts: tuple[Account, ...]
    unsettled: tuple[Expected, ...]
    payout_account: PayoutAccount | None


def _creator(call: Call) -> tuple[str, int]:
    creator_id = call.path["creator_id"]
    shard = home(call.platform.db, creator_id, "creator")
    parties.require_sight(call.principal, creator_id=creator_id)
    return creator_id, shard


@ROUTES.add(
    "GET",
    "/v1/creators/{creator_id}/settlement",
    returns=CreatorOverview,
    answer={
        "party_id": CREATOR_ID,
        "accounts": [ACCOUNT | {"party_id": CREATOR_ID, "balance_minor": 127}],
        "unsettled": [{"currency": "GBP", "lines": 3, "amount_minor": 381}],
        "payout_account": OWN_ACCOUNT,
    },
    codes=("auth.other_tenant", "id.invalid"),
)
async def get_creator_settlement(call: Call) -> CreatorOverview:
    """What a creator or agency is to be paid, what is held back and what is not settled yet

    Of an account's number every answer tells the last four letters only.
    """
    creator_id, shard = _creator(call)
    db = call.platform.db
    found = await db.read(shard, settlement.overview, creator_id)
    known = found.payout_account
    return CreatorOverview(
        party_id=creator_id,
        accounts=found.accounts,
        unsettled=tuple(await db.read(shard, creators.sum_expected, creator_id)),
        payout_account=masked(known) if known is not None else None,
    )


@ROUTES.add(
    "GET",
    "/v1/creators/{creator_id}/unsettled",
    query=PageQuery,
    returns=Page[Earning],
    answer={"items": [EARNING], "next_cursor": ""},
    codes=("auth.other_tenant", "id.invalid", "input.cursor_invalid"),
)
async def list_creator_unsettled(call: Call) -> Page[Earning]:
    """List the lines a creator or agency earns of that are not settled yet, newest order first

    ESTIMATED ones settle at `settle_at_ms` (0: not delivered yet), FROZEN ones wait for the buyer's bank.
    """
    creator_id, shard = _creator(call)
    query: PageQuery = call.query
    before = earnings_after(query.cursor)
    found = await call.platform.db.read(shard, creators.list_expected, creator_id, before, query.limit + 1)
    return earnings_page(found, query.limit)


@ROUTES.add(
    "GET",
    "/v1/creators/{creator_id}/statements",
    query=PageQuery,
    returns=Page[Statement],
    answer={"items": [OWN_STATEMENT], "next_cursor": ""},
    codes=("auth.other_tenant", "id.invalid", "settlement.day_invalid"),
)
async def list_creator_statements(call: Call) -> Page[Statement]:
    """List a creator's or agency's statements, newest day first

    A page ends with a whole day, so it may hold fewer than `limit` rows; the cursor is the day it ended with.
    """
    return await page_statements(call, *_creator(call))


@ROUTES.add(
    "GET",
    "/v1/creators/{creator_id}/statements/{market}/{currency}/{day}",
    query=PageQuery,
    returns=StatementPage,
    answer={
        "statement": OWN_STATEMENT,
        "lines": [LINE | COMMISSION | AMOUNTS | {"kind": "commission"}],
        "next_cursor": "",
    },
    codes=(
        "auth.other_tenant",
        "id.invalid",
        "settlement.day_invalid",
        "settlement.statement_not_found",
    ),
)
async def get_creator_statement(call: Call) -> StatementPage:
    """Read a creator's or agency's statement with its lines"""
    return await page_statement(call, *_creator(call))


@ROUTES.add(
    "GET",
    "/v1/creators/{creator_id}/payouts",
    query=PageQuery,
    returns=Page[Payout],
    answer={"items": [PAYOUT | AMOUNTS | {"party_id": CREATOR_ID}], "next_cursor": ""},
    codes=("auth.other_tenant", "id.invalid"),
)
async def list_creator_payouts(call: Call) -> Page[Payout]:
    """List a creator's or agency's payouts, newest first"""
    return await page_payouts(call, *_creator(call))


@ROUTES.add(
    "PUT",
    "/v1/creators/{creator_id}/payout-account",
    body=NewDestination,
    returns=PayoutAccount,
    keyed=True,
    scope="payouts:write",
    example=DESTINATION,
    answer=OWN_ACCOUNT,
    codes=(*DESTINATION_CODES, "id.invalid"),
)
async def set_creator_payout_account(call: Call) -> Answer:
    """Enter or replace the account a creator or agency is paid to; what waited for it is paid at the next look"""
    creator_id, _ = _creator(call)
    return await enter_destination(call, creator_id)
