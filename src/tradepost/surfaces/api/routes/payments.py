"""Payments: confirm, capture, void, refund; and what providers send by themselves."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import cell_of, check_id, gene_of, mint_id, time_of
from tradepost.kernel.tx import Tx
from tradepost.stability.admission import Priority
from tradepost.surfaces.api.once import story_once
from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.routes.carts import BUYING
from tradepost.surfaces.api.routes.order_views import Reason
from tradepost.surfaces.api.routes.payment_views import (
    NONE,
    PAYMENT,
    REFUND,
    PaymentAnswer,
    RefundAnswer,
    view_payment,
    view_refund,
)
from tradepost.surfaces.api.routes.stock import reference_of
from tradepost.surfaces.api.words import Id, Name, home
from tradepost.trade import parties, payments
from tradepost.trade.parties import Principal, Role

ROUTES = Routes("payments")
MONEY = (Role.OPERATOR,)
WEBHOOK_BYTES_MAX = 256 << 10
PAY_CODES = (
    "payments.not_found",
    "payments.provider_unknown",
    "payments.amount_invalid",
    "payments.order_unknown",
    "state.conflict",
    "version.conflict",
    "idempotency.key_required",
    "idempotency.in_progress",
)
Amount = Annotated[int, Meta(ge=1, le=10**15, description="Money in the currency's minor unit.")]


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """How to pay; empty keeps the method chosen at checkout."""

    method: Name = ""


class CaptureRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How much to take, of one order or split over all that are open."""

    amount_minor: Amount
    order_id: Annotated[str, Meta(max_length=64)] = ""


class RefundOrder(msgspec.Struct, frozen=True, kw_only=True):
    """How much to give back of one order, and why."""

    order_id: Id
    amount_minor: Amount
    reason: Reason


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What the webhook was taken for."""

    payment_id: str
    state: str


def read_payment(tx: Tx, principal: Principal, payment_id: str) -> PaymentAnswer:
    """A payment of the principal's. Raises Refusal `payments.not_found`, also for somebody else's."""
    view = payments.find_payment(tx, payment_id)
    if not parties.may_see(principal, buyer_id=view.buyer_id):
        raise Refusal("payments.not_found", f"There is no payment {payment_id!r}.", field="payment_id")
    return view_payment(view, tuple(payments.find_refunds(tx, payment_id)))


async def _own(call: Call) -> str:
    payment_id = check_id(call.path["payment_id"], "payment")
    shard = call.shard(gene_of(payment_id))
    await call.platform.db.read(shard, read_payment, call.principal, payment_id)
    return payment_id


@ROUTES.add(
    "GET",
    "/v1/payments/{payment_id}",
    returns=PaymentAnswer,
    scope="orders:read",
    roles=BUYING,
    answer=PAYMENT,
    codes=("payments.not_found",),
)
async def get_payment(call: Call) -> PaymentAnswer:
    """Read a payment"""
    payment_id = call.path["payment_id"]
    shard = home(call.platform.db, payment_id, "payment")
    return await call.platform.db.read(shard, read_payment, call.principal, payment_id)


@ROUTES.add(
    "POST",
    "/v1/payments/{payment_id}/confirm",
    priority=Priority.PAYMENT,
    body=Confirmation,
    returns=PaymentAnswer,
    keyed=True,
    scope="payments:write",
    roles=BUYING,
    example={"method": "sandbox_succeeds"},
    answer=PAYMENT,
    codes=PAY_CODES,
)
async def confirm_payment(call: Call) -> Answer:
    """Pay, or come back from the provider's page

    A payment that failed may be tried again with another method, under a new key.
    """
    body: Confirmation = call.body
    platform, payment_id = call.platform, await _own(call)

    async def story() -> PaymentAnswer:
        return view_payment(
            await payments.confirm(platform.db, platform.world, platform.providers, payment_id, body.method)
        )

    return await story_once(call, gene_of(payment_id), 200, story)


@ROUTES.add(
    "POST",
    "/v1/payments/{payment_id}/capture",
    priority=Priority.PAYMENT,
    body=CaptureRequest,
    returns=PaymentAnswer,
    keyed=True,
    scope="payments:write",
    roles=MONEY,
    example={"amount_minor": 1790},
    answer=PAYMENT,
    codes=(*PAY_CODES, "payments.capture_exceeds_authorized"),
)
async def capture_payment(call: Call) -> Answer:
    """Take part or all of what is authorized"""
    body: CaptureRequest = call.body
    platform, payment_id = call.platform, await _own(call)

    async def story() -> PaymentAnswer:
        return view_payment(
            await payments.capture(
                platform.db,
                platform.world,
                platform.providers,
                payment_id,
                body.amount_minor,
                reference_of(call),
                body.order_id,
            )
        )

    return await story_once(call, gene_of(payment_id), 200, story)


@ROUTES.add(
    "POST",
    "/v1/payments/{payment_id}/void",
    priority=Priority.PAYMENT,
    returns=PaymentAnswer,
    keyed=True,
    scope="payments:write",
    roles=MONEY,
    answer={**PAYMENT, "state": "VOIDED", "captured": NONE},
    codes=PAY_CODES,
)
async def void_payment(call: Call) -> Answer:
    """Give up what is not taken yet"""
    platform, payment_id = call.platform, await _own(call)

    async def story() -> PaymentAnswer:
        return view_payment(await payments.void(platform.db, platform.world, platform.providers, payment_id))

    return await story_once(call, gene_of(payment_id), 200, story)


@ROUTES.add(
    "POST",
    "/v1/payments/{payment_id}/refunds",
    body=RefundOrder,
    returns=RefundAnswer,
    status=201,
    keyed=True,
    scope="payments:write",
    roles=MONEY,
    example={"order_id": REFUND["order_id"], "amount_minor": 895, "reason": "goodwill"},
    answer=REFUND,
    codes=(*PAY_CODES, "payments.refund_exceeds_captured"),
)
async def refund_payment(call: Call) -> Answer:
    """Give money back"""
    body: RefundOrder = call.body
    platform, payment_id = call.platform, await _own(call)
    gene = gene_of(payment_id)

    async def story() -> RefundAnswer:
        # The id comes from the key, so a crash between refund and kept answer cannot refund twice.
        request = payments.RefundRequest(
            refund_id=derive_refund_id(payment_id, reference_of(call)),
            payment_id=payment_id,
            order_id=body.order_id,
            amount_minor=body.amount_minor,
            reason=body.reason,
            at_ms=call.now_ms(),
        )
        return view_refund(await payments.refund(platform.db, platform.world, platform.providers, request))

    return await story_once(call, gene, 201, story)


def derive_refund_id(payment_id: str, reference: str) -> str:
    """The refund id that belongs to a payment and a key: the payment's own, its random end drawn from the key."""
    chance = int(reference.rpartition(".")[2][:14], 16)
    return mint_id("ref", gene_of(payment_id), time_of(payment_id), cell_of(payment_id), chance)


@ROUTES.add(
    "POST",
    "/v1/webhooks/{provider}",
    priority=Priority.PAYMENT,
    accepts=("application/json", "text/plain"),
    returns=Heard,
    public=True,
    body_bytes_max=WEBHOOK_BYTES_MAX,
    example={"type": "payment.captured", "data": {"payment_id": PAYMENT["payment_id"]}},
    answer={"payment_id": PAYMENT["payment_id"], "state": "CAPTURED"},
    codes=(
        "payments.provider_unknown",
        "payments.webhook_unsigned",
        "payments.webhook_invalid",
        "payments.webhook_unanswered",
        "payments.not_found",
        "payments.fact_mismatch",
    ),
)
async def hear_webhook(call: Call) -> Heard:
    """Take what a payment provider sends by itself

    Signed as Standard Webhooks describes; sent twice it counts once.
    """
    platform = call.platform
    try:
        view = await payments.handle_webhook(
            platform.db, platform.world, platform.providers, call.path["provider"], call.headers, call.raw
        )
    except Refusal as refusal:
        if refusal.code != "payments.webhook_ignored":
            raise
        return Heard(
            payment_id="", state="IGNORED"
        )  # genuine and of no concern: the provider need not repeat it
    return Heard(payment_id=view.payment_id, state=view.state)
