"""Stripe's named test payment methods, as far as the double knows them, and what each does."""

from __future__ import annotations

import msgspec


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """How a payment with this method goes.

    `decline` is (code, decline_code); `page` asks the buyer to go somewhere first; `slow` stays processing;
    `refunds` says what becomes of refunds.
    """

    kind: str = "card"
    brand: str = "visa"
    decline: tuple[str, str] | None = None
    page: bool = False
    slow: bool = False
    several: bool = True
    refunds: str = "succeeded"
    disputed: bool = False


METHODS: dict[str, Method] = {
    "pm_card_visa": Method(),
    "pm_card_jcb": Method(brand="jcb", several=False),
    "pm_card_chargeDeclined": Method(decline=("card_declined", "generic_decline")),
    "pm_card_visa_chargeDeclined": Method(decline=("card_declined", "generic_decline")),
    "pm_card_visa_chargeDeclinedInsufficientFunds": Method(decline=("card_declined", "insufficient_funds")),
    "pm_card_visa_chargeDeclinedLostCard": Method(decline=("card_declined", "lost_card")),
    "pm_card_chargeDeclinedExpiredCard": Method(decline=("expired_card", "")),
    "pm_card_chargeDeclinedIncorrectCvc": Method(decline=("incorrect_cvc", "")),
    "pm_card_chargeDeclinedProcessingError": Method(decline=("processing_error", "")),
    "pm_card_authenticationRequired": Method(page=True),
    "pm_card_pendingRefund": Method(refunds="pending"),
    "pm_card_refundFail": Method(refunds="fails"),
    "pm_card_createDispute": Method(disputed=True),
    "pm_usBankAccount_success": Method(kind="us_bank_account", slow=True, several=False),
    "pm_usBankAccount_insufficientFunds": Method(
        kind="us_bank_account",
        slow=True,
        several=False,
        decline=("payment_intent_payment_attempt_failed", ""),
    ),
}
"""By the names Stripe's testing page gives them."""
