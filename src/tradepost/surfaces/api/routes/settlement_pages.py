"""Pages of one party's money, alike for sellers and creators: the routes say whose, these say what."""

from __future__ import annotations

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.surfaces.api.once import transact_once
from tradepost.surfaces.api.operation import Answer, Call
from tradepost.surfaces.api.routes.settlement_views import NewDestination, StatementPage, masked
from tradepost.surfaces.api.words import Page, PageQuery
from tradepost.trade import settlement
from tradepost.trade.settlement import Destination, Payout, PayoutAccount, Statement

DESTINATION_CODES = (
    "auth.other_tenant",
    "settlement.destination_invalid",
    "version.conflict",
    "idempotency.key_required",
    "idempotency.in_progress",
)
FIRST_PAGE_DAY = 10**6
DAY_ROWS_MAX = 100
"""More statements than a party has on one day: one for each market and currency."""


async def page_statements(call: Call, party_id: str, shard: int) -> Page[Statement]:
    """Statements, newest day first; a page ends with a whole day."""
    query: PageQuery = call.query
    before = settlement.day_from(query.cursor) if query.cursor else FIRST_PAGE_DAY
    items = await call.platform.db.read(
        shard, settlement.list_statements, party_id, before, query.limit + DAY_ROWS_MAX
    )
    shown = items[: query.limit]
    if len(items) > query.limit:
        last = items[query.limit].day
        whole = [one for one in shown if one.day != last]
        shown = whole or [one for one in items if one.day == last]
    following = shown[-1].date if shown and len(items) > len(shown) else ""
    return Page(items=tuple(shown), next_cursor=following)


async def page_statement(call: Call, party_id: str, shard: int) -> StatementPage:
    """One day's statement with a page of its lines."""
    query: PageQuery = call.query
    key = (party_id, call.path["market"], call.path["currency"])
    day = settlement.day_from(call.path["day"])
    return await call.platform.db.read(shard, _statement_page, key, day, query.cursor, query.limit)


def _statement_page(tx: Tx, key: tuple[str, str, str], day: int, after: str, limit: int) -> StatementPage:
    statement = settlement.get_statement(tx, key, day)
    lines = settlement.list_lines(tx, key, day, after, limit)
    following = lines[-1].line_id if len(lines) == limit else ""
    return StatementPage(statement=statement, lines=tuple(lines), next_cursor=following)


async def page_payouts(call: Call, party_id: str, shard: int) -> Page[Payout]:
    """Payouts, newest first, with no more of their account's number than its last letters."""
    query: PageQuery = call.query
    items = await call.platform.db.read(shard, settlement.list_payouts, party_id, query.cursor, query.limit)
    following = items[-1].payout_id if len(items) == query.limit else ""
    return Page(items=tuple(masked(item) for item in items), next_cursor=following)


async def enter_destination(call: Call, party_id: str) -> Answer:
    """Enter or replace where a party is paid, once for each key."""
    body: NewDestination = call.body
    wanted = Destination(holder=body.holder, account=body.account, bank_code=body.bank_code)
    return await transact_once(
        call, gene_of(party_id), 200, _set_destination, party_id, wanted, body.version, call.now_ms()
    )


def _set_destination(tx: Tx, party_id: str, wanted: Destination, version: int, at_ms: int) -> PayoutAccount:
    return masked(settlement.set_destination(tx, party_id, wanted, version, at_ms))
