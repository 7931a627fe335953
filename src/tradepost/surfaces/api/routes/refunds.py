"""Refunds that a provider refused too often: an operator asks again, or says that the buyer was paid otherwise."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.tx import Tx
from tradepost.surfaces.api.once import transact_once
from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.routes.payment_views import REFUND, RefundAnswer, view_refund
from tradepost.surfaces.api.routes.payments import MONEY
from tradepost.surfaces.api.words import Page, PageQuery
from tradepost.trade import payments
from tradepost.trade.payments import Refund

ROUTES = Routes("payments")
REFUND_CODES = (
    "payments.refund_not_found",
    "id.invalid",
    "state.conflict",
    "version.conflict",
    "idempotency.key_required",
    "idempotency.in_progress",
)


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """How the buyer was paid outside the provider; the note stays on the refund."""

    note: Annotated[str, Meta(min_length=1, max_length=200)]


class RefundTask(msgspec.Struct, frozen=True, kw_only=True):
    """A refund that waits for an operator, and what the provider said last."""

    refund: RefundAnswer
    error: str


def _retry(tx: Tx, refund_id: str, at_ms: int) -> RefundAnswer:
    return view_refund(payments.retry_refund(tx, refund_id, at_ms))


def _settle(tx: Tx, refund_id: str, note: str, at_ms: int) -> RefundAnswer:
    return view_refund(payments.settle_refund(tx, refund_id, note, at_ms))


@ROUTES.add(
    "GET",
    "/v1/refund-tasks",
    query=PageQuery,
    returns=Page[RefundTask],
    scope="payments:write",
    roles=MONEY,
    answer={
        "items": [{"refund": {**REFUND, "state": "NEEDS_OPERATOR"}, "error": "refused_by_bank"}],
        "next_cursor": "",
    },
)
async def list_refund_tasks(call: Call) -> Page[RefundTask]:
    """List refunds that wait for an operator"""
    query: PageQuery = call.query
    found: list[Refund] = []
    for shard in range(call.platform.db.shards):
        found += await call.platform.db.read(shard, payments.list_refund_tasks, query.cursor, query.limit + 1)
    found.sort(key=lambda refund: refund.refund_id)
    items = tuple(RefundTask(refund=view_refund(one), error=one.error) for one in found[: query.limit])
    return Page(items=items, next_cursor=items[-1].refund.refund_id if len(found) > query.limit else "")


@ROUTES.add(
    "POST",
    "/v1/refunds/{refund_id}/retry",
    returns=RefundAnswer,
    keyed=True,
    scope="payments:write",
    roles=MONEY,
    answer={**REFUND, "state": "REQUESTED"},
    codes=REFUND_CODES,
)
async def retry_refund(call: Call) -> Answer:
    """Ask the provider again"""
    refund_id = check_id(call.path["refund_id"], "refund")
    return await transact_once(call, gene_of(refund_id), 200, _retry, refund_id, call.now_ms())


@ROUTES.add(
    "POST",
    "/v1/refunds/{refund_id}/settle",
    body=Settlement,
    returns=RefundAnswer,
    keyed=True,
    scope="payments:write",
    roles=MONEY,
    example={"note": "bank transfer of 2026-11-20"},
    answer={**REFUND, "state": "SETTLED_BY_HAND"},
    codes=REFUND_CODES,
)
async def settle_refund(call: Call) -> Answer:
    """Say that the buyer was paid outside the provider, out of the platform's own money"""
    body: Settlement = call.body
    refund_id = check_id(call.path["refund_id"], "refund")
    return await transact_once(call, gene_of(refund_id), 200, _settle, refund_id, body.note, call.now_ms())
