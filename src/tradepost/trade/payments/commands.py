"""Pure decisions about what we ask of a payment: open, try, capture, give up, close. The facts are in rules."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.money import divide, split
from tradepost.trade.payments import rules, tenders
from tradepost.trade.payments.funding import Side
from tradepost.trade.payments.model import (
    IMMEDIATE,
    PAYMENT,
    Body,
    NewIntent,
    Payment,
    PortionLine,
    Share,
    Take,
)
from tradepost.trade.payments.rules import Change

EXPIRE_AFTER_MS = 7 * 86_400_000
BEFORE_EXPIRY = "before_expiry"
"""The reference of what is taken because the money would be let go else."""
_CAPTURABLE = ("AUTHORIZED", "PARTIALLY_CAPTURED")


def open_payment(intent: NewIntent) -> Payment:
    """The row of a new intent. Raises Refusal `payments.amount_invalid` when the portions do not sum to it."""
    if intent.amount_minor <= 0 or sum([p.amount_minor for p in intent.portions]) != intent.amount_minor:
        raise amount_invalid(intent.amount_minor)
    shares = tuple(
        [
            Share(p.order_id, p.seller_id, p.amount_minor, p.fee_minor, p.tax_minor, p.market, lines=p.lines)
            for p in intent.portions
        ]
    )
    return Payment(
        payment_id=intent.payment_id,
        checkout_id=intent.checkout_id,
        buyer_id=intent.buyer_id,
        provider=intent.provider,
        currency=intent.currency,
        amount_minor=intent.amount_minor,
        state="PROCESSING" if intent.confirm else "CREATED",
        ask_at_ms=intent.at_ms + rules.ASK_FIRST_MS if intent.confirm else 0,
        opened_at_ms=intent.at_ms,
        body=Body(
            intent.method,
            intent.capture,
            shares,
            rank=rules.PROCESSING if intent.confirm else rules.CREATED,
        ),
        sides=tenders.open_sides(intent)
        if intent.stored_minor
        else tuple([Side(p.order_id, p.funded) for p in intent.portions if p.funded]),
    )


def begin_attempt(payment: Payment, method: str, at_ms: int) -> Payment:
    """CREATED or FAILED to PROCESSING. Raises Refusal `state.conflict` for any other and for a closed one."""
    PAYMENT.next("VOIDED" if rules.is_closed(payment) else payment.state, "confirm")
    body = payment.body
    attempt = body.attempt + (payment.state == "FAILED")
    body = replace(
        body,
        method=method or body.method,
        attempt=attempt,
        rank=rules.PROCESSING,
        asks=0,
        reason="",
        redirect_url="",
    )
    return replace(payment, state="PROCESSING", ask_at_ms=at_ms + rules.ASK_FIRST_MS, body=body)


def close_portion(payment: Payment, order_id: str, minor: int | None, at_ms: int) -> Change | None:
    """An order was cancelled by `minor` more (None: whole): what was taken goes back, what was not never is.

    None when this changes nothing. Raises Refusal `payments.order_unknown`.
    """
    share = rules.share_of(payment, order_id)
    cancelled = share.amount if minor is None else min(share.amount, share.cancelled + minor)
    if cancelled == share.cancelled:
        return None
    return _give_up(payment, rules.with_share(payment, replace(share, cancelled=cancelled)), at_ms)


def _give_up(before: Payment, after: Payment, at_ms: int) -> Change:
    if before.state == "CREATED" and rules.derive_state(after) == "VOIDED":
        after = replace(after, body=replace(after.body, voided=True))  # the provider never heard of it
    after = rules.settle_state(replace(after, body=replace(after.body, asks=0)), at_ms)
    after, owed = rules.settle_owed(after)
    if rules.next_call(after) is not None:
        after = replace(after, ask_at_ms=at_ms)
    released = rules.released_by(before, after)
    return Change(after, (released,) if released else (), (), owed)


def give_up_rest(payment: Payment, at_ms: int) -> Change | None:
    """Give up what is neither taken nor about to be. None when that is so already. Raises `state.conflict`."""
    shares = tuple(
        replace(
            share, cancelled=max(share.cancelled, share.amount - rules.planned_of(payment, share.order_id))
        )
        for share in payment.body.shares
    )
    if payment.state == "VOIDED" and shares == payment.body.shares:
        return None
    if payment.state != "PARTIALLY_CAPTURED":
        PAYMENT.next(payment.state, "void")
    return _give_up(payment, replace(payment, body=replace(payment.body, shares=shares)), at_ms)


def plan_capture(payment: Payment, order_id: str, amount: int, reference: str, at_ms: int) -> Payment | None:
    """Ask for money of an authorized payment, for one order or ("") split over all by what is left of them.

    None when `reference` asked before. Raises Refusal `state.conflict`, `payments.amount_invalid`,
    `payments.order_unknown`, `payments.capture_exceeds_authorized`.
    """
    if any(take.reference == reference for take in payment.body.plan):
        return None
    if payment.state not in _CAPTURABLE:
        raise Refusal(
            "state.conflict",
            f"A payment in state {payment.state} cannot be captured.",
            expected=" or ".join(_CAPTURABLE),
            extra={"state": payment.state, "allowed": PAYMENT.allowed(payment.state)},
        )
    if amount <= 0:
        raise amount_invalid(amount)
    shares = [rules.share_of(payment, order_id)] if order_id else list(payment.body.shares)
    left = [left_of(payment, share) for share in shares]
    if amount > sum(left):
        raise Refusal(
            "payments.capture_exceeds_authorized",
            f"{amount} was asked for, {sum(left)} is authorized and not yet captured.",
            field="amount_minor",
            expected=f"at most {sum(left)}",
            extra={"available_minor": sum(left)},
        )
    parts = split(amount, left)
    takes = tuple(Take(s.order_id, part, reference) for s, part in zip(shares, parts, strict=True) if part)
    planned = replace(payment, body=replace(payment.body, plan=(*payment.body.plan, *takes), asks=0))
    due = rules.next_call(planned) is not None
    return replace(planned, ask_at_ms=at_ms if due else rules.wake_at(planned, at_ms))


def plan_shipment(
    payment: Payment, order_id: str, units: Mapping[int, int], last: bool, reference: str, at_ms: int
) -> Payment | None:
    """Plan the capture of what left: units by line number, and with the `last` package all that is left.

    A line's units cost their cumulative share of its total, so all of them cost exactly the total. Without lines
    in the portion all is captured with the last package. None when there is nothing to plan.
    """
    share = rules.share_of(payment, order_id)
    amount, lines = 0, []
    for line in share.lines:
        after = min(line.quantity, line.collected + units.get(line.line_no, 0))
        amount += divide(line.total_minor * after, line.quantity) - divide(
            line.total_minor * line.collected, line.quantity
        )
        lines.append(PortionLine(line.line_no, line.quantity, line.total_minor, after))
    left = left_of(payment, share)
    amount = left if last else min(amount, left)
    noted = rules.with_share(payment, replace(share, lines=tuple(lines)))
    if amount <= 0:
        return noted if noted != payment else None
    return plan_capture(noted, order_id, amount, reference, at_ms)


def left_of(payment: Payment, share: Share) -> int:
    """Minor units of a share that may still be captured: not cancelled, not planned, and not released."""
    if payment.body.voided:
        return 0
    return max(0, share.amount - share.cancelled - rules.planned_of(payment, share.order_id))


def note_silence(payment: Payment, at_ms: int) -> Change | None:
    """The provider was asked and told nothing new: ask later, and give the intent up after seven days.

    Captures that wait for the last parcel wait on, and take everything shortly before the money is let go.
    """
    if not payment.ask_at_ms:
        return None
    if rules.waits_for_last(payment):
        return Change(_take_the_rest(payment, at_ms))
    asks = payment.body.asks + 1
    change = Change(payment)
    if payment.state in rules.OPEN and at_ms - payment.opened_at_ms > EXPIRE_AFTER_MS:
        change = give_up_rest(payment, at_ms) or change
    waiting = replace(change.payment, body=replace(change.payment.body, asks=asks))
    waiting = replace(waiting, ask_at_ms=at_ms + rules.ask_delay(asks))
    return replace(change, payment=waiting)


def _take_the_rest(payment: Payment, at_ms: int) -> Payment:
    """Everything planned when the moment has come: what never leaves is given back like any other cancelled line."""
    if at_ms < rules.capture_by_ms(payment):
        return replace(payment, ask_at_ms=rules.wake_at(payment, at_ms))
    left = sum(left_of(payment, share) for share in payment.body.shares)
    return plan_capture(payment, "", left, BEFORE_EXPIRY, at_ms) or payment


def captures_at_once(payment: Payment) -> bool:
    """Whether authorizing shall take the money too."""
    return payment.body.capture == IMMEDIATE


def amount_invalid(amount: int) -> Refusal:
    """The refusal of an amount that is not positive or not the sum of its portions."""
    return Refusal(
        "payments.amount_invalid",
        f"{amount} is not an amount that can be moved.",
        field="amount_minor",
        expected="a positive integer that the portions sum to",
    )
