"""Payments and refunds as they are shown."""

from __future__ import annotations

from functools import lru_cache

import msgspec
from msgspec import UNSET, UnsetType

from tradepost.kernel.money import Money
from tradepost.surfaces.api.words import money
from tradepost.trade.payments import PaymentView, Refund

GBP = {"amount_minor": 1790, "currency": "GBP"}
NONE = {"amount_minor": 0, "currency": "GBP"}
PAYMENT = {
    "payment_id": "pay_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "checkout_id": "chk_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "buyer_id": "byr_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "provider": "sandbox",
    "method": "sandbox_succeeds",
    "state": "CAPTURED",
    "capture": "immediate",
    "amount": GBP,
    "authorized": GBP,
    "captured": GBP,
    "refunded": NONE,
    "redirect_url": "",
    "reason": "",
    "version": 2,
    "portions": [
        {
            "order_id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x",
            "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
            "amount": GBP,
            "captured": GBP,
            "refunded": NONE,
            "cancelled": NONE,
        }
    ],
    "refunds": [],
}
REFUND = {
    "refund_id": "ref_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "payment_id": "pay_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "order_id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "amount": {"amount_minor": 895, "currency": "GBP"},
    "reason": "goodwill",
    "state": "SUCCEEDED",
}
_money = lru_cache(maxsize=256)(money)
"""Most amounts of a payment are the same amount, or none."""


class PortionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One order's part of a payment."""

    order_id: str
    seller_id: str
    amount: Money
    captured: Money
    refunded: Money
    cancelled: Money


class RefundAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as it stands; `store_credit` of it goes back to the buyer's store credit, where that paid a part."""

    refund_id: str
    payment_id: str
    order_id: str
    amount: Money
    reason: str
    state: str
    store_credit: Money | UnsetType = UNSET


class StoredPart(msgspec.Struct, frozen=True, kw_only=True):
    """What store credit pays of a payment; the rest of each amount is the provider's.

    `released` came back untaken when the payment ended, `refunded` after it was captured."""

    amount: Money
    captured: Money
    refunded: Money
    released: Money


class PaymentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as it stands. A `redirect_url` is where the buyer has to go next.

    `store_credit` is told where the buyer's store credit pays a part; all other amounts include it."""

    payment_id: str
    checkout_id: str
    buyer_id: str
    provider: str
    method: str
    state: str
    capture: str
    amount: Money
    authorized: Money
    captured: Money
    refunded: Money
    redirect_url: str
    reason: str
    version: int
    portions: tuple[PortionAnswer, ...]
    refunds: tuple[RefundAnswer, ...] = ()
    store_credit: StoredPart | UnsetType = UNSET


def view_payment(view: PaymentView, refunds: tuple[Refund, ...] = ()) -> PaymentAnswer:
    """A payment as shown."""
    currency = view.currency
    answer = PaymentAnswer(
        payment_id=view.payment_id,
        checkout_id=view.checkout_id,
        buyer_id=view.buyer_id,
        provider=view.provider,
        method=view.method,
        state=view.state,
        capture=view.capture,
        amount=_money(view.amount_minor, currency),
        authorized=_money(view.authorized_minor, currency),
        captured=_money(view.captured_minor, currency),
        refunded=_money(view.refunded_minor, currency),
        redirect_url=view.redirect_url,
        reason=view.reason,
        version=view.version,
        portions=tuple(
            [
                PortionAnswer(
                    order_id=portion.order_id,
                    seller_id=portion.seller_id,
                    amount=_money(portion.amount_minor, currency),
                    captured=_money(portion.captured_minor, currency),
                    refunded=_money(portion.refunded_minor, currency),
                    cancelled=_money(portion.cancelled_minor, currency),
                )
                for portion in view.portions
            ]
        ),
    )
    if any([portion.stored_minor for portion in view.portions]):
        answer = msgspec.structs.replace(answer, store_credit=_view_stored(view))
    if not refunds:
        return answer
    return msgspec.structs.replace(answer, refunds=tuple([view_refund(refund) for refund in refunds]))


def _view_stored(view: PaymentView) -> StoredPart:
    portions = view.portions
    return StoredPart(
        amount=_money(sum([one.stored_minor for one in portions]), view.currency),
        captured=_money(sum([one.stored_captured_minor for one in portions]), view.currency),
        refunded=_money(sum([one.stored_refunded_minor for one in portions]), view.currency),
        released=_money(sum([one.stored_released_minor for one in portions]), view.currency),
    )


def view_refund(refund: Refund) -> RefundAnswer:
    """A refund as shown."""
    return RefundAnswer(
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        order_id=refund.order_id,
        amount=money(refund.amount_minor, refund.currency),
        reason=refund.reason,
        state=refund.state,
        store_credit=money(refund.stored_minor, refund.currency) if refund.stored_minor else UNSET,
    )
