"""What others see of payments."""

from __future__ import annotations

from msgspec.structs import replace

from tradepost.trade.payments.model import Payment, PaymentView, PortionView
from tradepost.trade.payments.tenders import is_split, stored_of


def view_payment(payment: Payment) -> PaymentView:
    """The public view of a payment row."""
    body = payment.body
    view = PaymentView(
        payment.payment_id,
        payment.checkout_id,
        buyer_id=payment.buyer_id,
        provider=payment.provider,
        method=body.method,
        currency=payment.currency,
        capture=body.capture,
        state=payment.state,
        amount_minor=payment.amount_minor,
        authorized_minor=payment.authorized_minor,
        captured_minor=payment.captured_minor,
        refunded_minor=payment.refunded_minor,
        redirect_url=body.redirect_url,
        reason=body.reason,
        version=payment.version,
        portions=tuple(
            [
                PortionView(
                    order_id=share.order_id,
                    seller_id=share.seller_id,
                    amount_minor=share.amount,
                    captured_minor=share.captured,
                    refunded_minor=share.refunded,
                    cancelled_minor=share.cancelled,
                    disputed_minor=share.disputed,
                    charged_back_minor=share.lost,
                )
                for share in body.shares
            ]
        ),
    )
    return _with_stored(payment, view) if payment.sides and is_split(payment) else view


def _with_stored(payment: Payment, view: PaymentView) -> PaymentView:
    """The view that tells what stored value pays."""
    portions = []
    for portion in view.portions:
        stored = stored_of(payment, portion.order_id)
        portions.append(
            replace(
                portion,
                stored_minor=stored.part,
                stored_captured_minor=min(portion.captured_minor, stored.held),
                stored_refunded_minor=stored.given,
                stored_released_minor=stored.released,
            )
        )
    return replace(view, portions=tuple(portions))
