"""Pure decisions about one refund: when the provider is called, what its answer means, when people must look."""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import ALPHABET, PREFIXES
from tradepost.trade.payments.model import (
    LATE_PAYMENT,
    LINES_CANCELLED,
    ORDER_CANCELLED,
    REFUND,
    Refund,
    RefundRequest,
    Share,
)
from tradepost.trade.payments.port import CHARGED_BACK, RefundFact, RefundStatus

ATTEMPTS_MAX = 5
RETRY_FIRST_MS = 60_000
ASK_AFTER_MS = 30_000
ERROR_LETTERS_MAX = 200
CONTESTED_AGAIN_MS = 86_400_000
"""When a refund that the provider holds back for a dispute is tried again, should nobody tell how that ended."""
CHARGED_BACK_REASONS = frozenset({CHARGED_BACK, "charge_disputed"})
"""The port's word, and Stripe's."""
_CANCELLATIONS = frozenset({LATE_PAYMENT, ORDER_CANCELLED, LINES_CANCELLED})
_DONE = frozenset({"SUCCEEDED", "SETTLED_BY_HAND", "CHARGED_BACK"})


def derive_refund_id(order_id: str, tag: str) -> str:
    """The id of the refund that follows from a fact about an order: the same fact gives the same id.

    It keeps the order's time, gene and cell, so it lies on the order's shard.
    """
    digest = hashlib.blake2b(f"{order_id}/{tag}".encode(), digest_size=11).digest()
    return f"{PREFIXES['refund']}_{order_id[-26:-11]}" + "".join(ALPHABET[byte & 31] for byte in digest)


def follows_cancellation(refund: Refund) -> bool:
    """Whether it gives back what a cancellation made too much, and nobody asked for it by hand."""
    return refund.reason in _CANCELLATIONS and refund.refund_id[-26:-11] == refund.order_id[-26:-11]


def is_made(refund: Refund) -> bool:
    """Whether the buyer has the money back, from us."""
    return refund.state in ("SUCCEEDED", "SETTLED_BY_HAND")


def available_minor(share: Share) -> int:
    """What was captured of a share and is neither refunded, nor being refunded, nor in dispute or lost in one."""
    return share.captured - share.refunded - share.returning - share.disputed - share.lost


def as_booked(share: Share) -> Share:
    """The share as the books see it: what a lost dispute took is gone like what was refunded."""
    return replace(share, refunded=share.refunded + share.lost) if share.lost else share


def hold_minor(share: Share, owed_minor: int) -> int:
    """How much of money owed back the buyer's bank has already, or may yet award: it is not refunded as well."""
    return min(owed_minor, max(0, share.disputed + share.lost - share.spent))


def accept_request(request: RefundRequest, share: Share) -> None:
    """Raises Refusal `payments.amount_invalid`, `payments.refund_exceeds_captured` or `payments.charged_back`."""
    if request.amount_minor <= 0:
        raise Refusal(
            "payments.amount_invalid",
            f"{request.amount_minor} cannot be refunded.",
            field="amount_minor",
            expected="a positive integer",
        )
    available = available_minor(share)
    if available < request.amount_minor <= available + share.disputed + share.lost:
        raise Refusal(
            "payments.charged_back",
            f"{request.amount_minor} was asked back, but the buyer's bank has taken {share.disputed + share.lost}.",
            field="amount_minor",
            expected=f"at most {available}",
            extra={"available_minor": available},
        )
    if request.amount_minor > available:
        raise Refusal(
            "payments.refund_exceeds_captured",
            f"{request.amount_minor} was asked back, {available} is captured and not yet refunded.",
            field="amount_minor",
            expected=f"at most {available}",
            extra={"available_minor": available},
        )


def is_same(request: RefundRequest, refund: Refund) -> bool:
    """Whether a request repeats this refund."""
    asked = (request.payment_id, request.order_id, request.amount_minor)
    return asked == (refund.payment_id, refund.order_id, refund.amount_minor)


def begin_call(refund: Refund, at_ms: int) -> Refund | None:
    """The refund with its next attempt under way, or None when nothing is to be called now.

    PROCESSING whose answer never came keeps its attempt, so the provider recognises the call.
    """
    if refund.state == "PROCESSING":
        return replace(refund, next_at_ms=at_ms + ASK_AFTER_MS) if refund.next_at_ms <= at_ms else None
    waits = refund.state in ("REFUSED", "CONTESTED") and refund.next_at_ms > at_ms
    if not REFUND.accepts(refund.state, "call") or waits:
        return None
    return replace(refund, state="PROCESSING", attempts=refund.attempts + 1, next_at_ms=at_ms + ASK_AFTER_MS)


def hear(refund: Refund, fact: RefundFact, at_ms: int) -> Refund | None:
    """The refund after the provider's word, or None when it changes nothing. Success is heard in any order."""
    if fact.status is RefundStatus.SUCCEEDED and refund.state not in _DONE:
        return replace(refund, state=REFUND.next(refund.state, "succeed"), next_at_ms=0, error="")
    if (
        fact.status is not RefundStatus.REFUSED
        or refund.state != "PROCESSING"
        or fact.attempt != refund.attempts
    ):
        return None
    error = fact.reason[:ERROR_LETTERS_MAX]
    if fact.reason in CHARGED_BACK_REASONS:
        state = REFUND.next(refund.state, "contest")
        return replace(refund, state=state, next_at_ms=at_ms + CONTESTED_AGAIN_MS, error=error)
    if refund.attempts % ATTEMPTS_MAX == 0:
        return replace(refund, state=REFUND.next(refund.state, "give_up"), next_at_ms=0, error=error)
    next_at_ms = at_ms + (RETRY_FIRST_MS << (refund.attempts % ATTEMPTS_MAX - 1))
    return replace(refund, state=REFUND.next(refund.state, "refuse"), next_at_ms=next_at_ms, error=error)
