"""What stored value pays of new payments: judged for a whole batch, and taken in the commit that opens them."""

from __future__ import annotations

from collections.abc import Iterable

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.trade.payments.model import IMMEDIATE, NewIntent
from tradepost.trade.payments.port import AuthorizeCall, Status
from tradepost.trade.payments.stored import provider, store, value
from tradepost.trade.payments.tenders import held_minor


class Purse:
    """What some buyers have of stored value, as one commit goes on spending it."""

    def __init__(self, left: dict[tuple[str, str], int]) -> None:
        self._left = left

    def refuse_or_take(self, intent: NewIntent) -> Refusal | None:
        """Count what an intent wants as spent; the refusal `stored.too_little` when there is less."""
        key = (intent.buyer_id, intent.currency)
        left = self._left.get(key, 0)
        if intent.stored_minor > left:
            return Refusal(
                "stored.too_little",
                f"{intent.stored_minor} was to be paid with stored value, {left} is there.",
                field="payment.store_credit_amount",
                expected=f"at most {left}",
                extra={"available_minor": left},
            )
        self._left[key] = left - intent.stored_minor
        return None


def open_purse(tx: Tx, intents: Iterable[NewIntent]) -> Purse:
    """What the buyers of these intents have, their accounts held until the commit: one statement."""
    owners = sorted({(intent.buyer_id, intent.currency) for intent in intents})
    return Purse(store.lock_stored(tx, owners))


def hold(tx: Tx, intent: NewIntent) -> None:
    """Take an intent's stored value off the buyer's account. Raises `version.conflict` when another was quicker.

    Beside a provider it lies with the payment; where it pays for everything it is set aside as the provider's call
    would, which finds it done.
    """
    if held_minor(intent):
        name = f"{intent.payment_id}.stored.hold"
        taken = value.spend(tx, intent.buyer_id, name, intent.stored_minor, intent.currency, intent.at_ms)
    else:
        fact = provider.authorize(tx, first_call(intent), intent.at_ms)
        taken = fact.status is Status.AUTHORIZED
    if not taken:
        raise Refusal("version.conflict", "The stored value was spent by another writer meanwhile.")


def first_call(intent: NewIntent) -> AuthorizeCall:
    """What the provider of an intent is asked first."""
    return AuthorizeCall(
        key=f"{intent.payment_id}.authorize.1",
        payment_id=intent.payment_id,
        attempt=1,
        amount_minor=intent.amount_minor - held_minor(intent),
        currency=intent.currency,
        method=intent.method,
        capture=intent.capture == IMMEDIATE,
    )
