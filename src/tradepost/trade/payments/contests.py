"""What a sheet does when a bank takes money back: no unit of it is ever given back twice.

A dispute holds what is left of what the provider took for the payment's portions; stored value no bank can take. What
it asks beyond that was refunded or is being refunded; should the bank take it all the same, refunds that are still
waiting are not made any more, and only what the buyer really has twice is our loss.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Event
from tradepost.kernel.money import split
from tradepost.trade.payments import booking, refund_rules, rules, tenders
from tradepost.trade.payments.disputes import (
    DISPUTE,
    Contested,
    Dispute,
    book_dispute,
    book_fee,
    book_taking,
    derive_dispute_id,
)
from tradepost.trade.payments.giving_back import DisputeLost, DisputeOpened, DisputeWon, RefundChargedBack
from tradepost.trade.payments.model import LINES_CANCELLED, REFUND, UNSETTLED, Payment, Refund
from tradepost.trade.payments.port import DisputeFact, DisputeStatus
from tradepost.trade.payments.sheet import Sheet


def hear_disputes(sheet: Sheet, payment_id: str, facts: Sequence[DisputeFact], at_ms: int) -> None:
    """Merge what the provider says about disputes; old news change nothing.

    The sheet has the payment's disputes and refunds. Raises Refusal `payments.fact_mismatch` for a dispute about
    nothing.
    """
    for fact in facts:
        dispute = sheet.disputes.get(derive_dispute_id(payment_id, fact.dispute_ref))
        if dispute is None:
            dispute = _open(sheet, sheet.payment(payment_id), fact, at_ms)
        dispute = _charge_fee(sheet, dispute, fact, at_ms)
        if dispute.state != DISPUTE.initial or fact.status is DisputeStatus.OPEN:
            continue
        if fact.status is DisputeStatus.WON:
            _win(sheet, dispute, at_ms)
        else:
            _lose(sheet, dispute, at_ms)


def settle_contested(sheet: Sheet, payment_id: str, at_ms: int) -> None:
    """Refunds that came to wait for a dispute after it was lost: the loss takes their place at once."""
    for dispute in _of(sheet, payment_id):
        if dispute.state == "LOST" and dispute.uncovered_minor:
            _take_waiting(sheet, dispute, at_ms)


def is_contested(sheet: Sheet, payment_id: str) -> bool:
    """Whether a dispute of this payment is open."""
    return any(dispute.state == DISPUTE.initial for dispute in _of(sheet, payment_id))


def _of(sheet: Sheet, payment_id: str) -> list[Dispute]:
    return [dispute for dispute in sheet.disputes.values() if dispute.payment_id == payment_id]


def _refunds_of(sheet: Sheet, payment_id: str) -> list[Refund]:
    found = [refund for refund in sheet.refunds.values() if refund.payment_id == payment_id]
    return sorted(found, key=lambda refund: (refund.requested_at_ms, refund.refund_id))


def _open(sheet: Sheet, payment: Payment, fact: DisputeFact, at_ms: int) -> Dispute:
    if fact.amount_minor <= 0 or not payment.captured_minor:
        raise Refusal(
            "payments.fact_mismatch",
            f"{payment.provider} disputes {fact.amount_minor} of {payment.payment_id}, of which"
            f" {payment.captured_minor} was taken.",
            extra={"payment_id": payment.payment_id},
        )
    shares = payment.body.shares
    left = [tenders.card_free(payment, share) for share in shares]
    held = min(fact.amount_minor, sum(left))
    parts = split(held, left) if held else [0] * len(left)
    for share, part in zip(shares, parts, strict=True):
        if part:
            payment = rules.with_share(payment, replace(share, disputed=share.disputed + part))
    sheet.put(payment)
    refunds = [refund.refund_id for refund in _refunds_of(sheet, payment.payment_id)]
    dispute = Dispute(
        dispute_id=derive_dispute_id(payment.payment_id, fact.dispute_ref),
        payment_id=payment.payment_id,
        dispute_ref=fact.dispute_ref,
        amount_minor=fact.amount_minor,
        currency=payment.currency,
        reason=fact.reason,
        contested=tuple(Contested(s.order_id, part) for s, part in zip(shares, parts, strict=True) if part),
        uncovered_minor=fact.amount_minor - held,
        refund_ids=tuple(refunds) if fact.amount_minor > held else (),
        opened_at_ms=at_ms,
    )
    sheet.book(book_dispute(dispute, payment.provider, "withdrawn", at_ms))
    opened = DisputeOpened(
        dispute_id=dispute.dispute_id,
        payment_id=payment.payment_id,
        order_ids=tuple(share.order_id for share in shares),
        amount_minor=dispute.amount_minor,
        refunded_minor=dispute.uncovered_minor,
        currency=dispute.currency,
        reason=dispute.reason,
        refund_ids=dispute.refund_ids,
    )
    return sheet.put_dispute(dispute, opened, at_ms)


def _charge_fee(sheet: Sheet, dispute: Dispute, fact: DisputeFact, at_ms: int) -> Dispute:
    """Book what the provider charged or gave back since the last word; totals only grow, so old news change nothing."""
    if not fact.fee_currency or dispute.fee_currency not in ("", fact.fee_currency):
        return dispute
    charged = replace(
        dispute,
        fee_minor=max(dispute.fee_minor, fact.fee_minor),
        fee_back_minor=max(dispute.fee_back_minor, fact.fee_back_minor),
        fee_currency=fact.fee_currency,
    )
    if charged == dispute:
        return dispute
    change = (charged.fee_minor - charged.fee_back_minor) - (dispute.fee_minor - dispute.fee_back_minor)
    if change:
        sheet.book(book_fee(charged, sheet.payment(dispute.payment_id).provider, change, at_ms))
    return sheet.put_dispute(charged, None, at_ms)


def _let_go(sheet: Sheet, dispute: Dispute) -> None:
    payment = sheet.payment(dispute.payment_id)
    for part in dispute.contested:
        share = rules.share_of(payment, part.order_id)
        payment = rules.with_share(payment, replace(share, disputed=share.disputed - part.amount_minor))
    sheet.put(payment)


def _release_held(sheet: Sheet, payment_id: str) -> None:
    """What was set off against money that came back is owed again: whoever held it asks for it anew."""
    payment = sheet.payment(payment_id)
    for share in payment.body.shares:
        spent = min(share.spent, share.disputed + share.lost)
        if spent != share.spent:
            payment = rules.with_share(payment, replace(share, spent=spent))
    sheet.put(payment)


def _settle_owed(sheet: Sheet, payment_id: str, at_ms: int) -> None:
    owing, owed = rules.settle_owed(sheet.payment(payment_id))
    sheet.apply(rules.Change(owing, (), (), owed), LINES_CANCELLED, at_ms)


def _order_ids(payment: Payment) -> tuple[str, ...]:
    return tuple(share.order_id for share in payment.body.shares)


def _win(sheet: Sheet, dispute: Dispute, at_ms: int) -> None:
    _let_go(sheet, dispute)
    payment = sheet.payment(dispute.payment_id)
    sheet.book(book_dispute(dispute, payment.provider, "returned", at_ms))
    ended = replace(
        dispute, state=DISPUTE.next(dispute.state, "win"), contested=(), uncovered_minor=0, ended_at_ms=at_ms
    )
    won = DisputeWon(
        dispute_id=dispute.dispute_id,
        payment_id=payment.payment_id,
        order_ids=_order_ids(payment),
        amount_minor=dispute.amount_minor,
        currency=dispute.currency,
    )
    sheet.put_dispute(ended, won, at_ms)
    _release_held(sheet, payment.payment_id)
    for refund in _refunds_of(sheet, payment.payment_id):
        if refund.state == "CONTESTED":
            state = REFUND.next(refund.state, "retry")
            anew = replace(refund, state=state, next_at_ms=at_ms + refund_rules.ASK_AFTER_MS, error="")
            sheet.move_refund(anew, at_ms, ask_again=True)
    _settle_owed(sheet, payment.payment_id, at_ms)


def _lose(sheet: Sheet, dispute: Dispute, at_ms: int) -> None:
    _let_go(sheet, dispute)
    payment = sheet.payment(dispute.payment_id)
    sheet.book(book_dispute(dispute, payment.provider, "lost", at_ms))
    contested = dispute.contested
    dispute = replace(dispute, state=DISPUTE.next(dispute.state, "lose"), contested=(), ended_at_ms=at_ms)
    dispute = sheet.put_dispute(dispute, None, at_ms)
    for part in contested:
        dispute = _take(sheet, dispute, part.order_id, part.amount_minor, at_ms)
    for share in sheet.payment(payment.payment_id).body.shares:
        more = min(dispute.uncovered_minor, tenders.card_free(sheet.payment(payment.payment_id), share))
        if more > 0:
            dispute = _take(sheet, dispute, share.order_id, more, at_ms, covers=True)
    dispute = _take_waiting(sheet, dispute, at_ms)
    lost = DisputeLost(
        dispute_id=dispute.dispute_id,
        payment_id=payment.payment_id,
        order_ids=_order_ids(payment),
        amount_minor=dispute.amount_minor,
        charged_back_minor=dispute.amount_minor - dispute.uncovered_minor,
        currency=dispute.currency,
    )
    sheet.put_dispute(dispute, lost, at_ms)
    _settle_owed(sheet, payment.payment_id, at_ms)


def _take_waiting(sheet: Sheet, dispute: Dispute, at_ms: int) -> Dispute:
    """Refunds that are owed and not under way give way to a loss that has nothing else to stand for it."""
    for refund in _refunds_of(sheet, dispute.payment_id):
        if not dispute.uncovered_minor:
            break
        if refund.state not in UNSETTLED or not refund.card_minor:
            continue
        payment = tenders.note_back(sheet.payment(dispute.payment_id), refund.order_id, -refund.stored_minor)
        share = rules.share_of(payment, refund.order_id)
        sheet.put(rules.with_share(payment, replace(share, returning=share.returning - refund.amount_minor)))
        state = REFUND.next(refund.state, "charge_back")
        sheet.end_refund(replace(refund, state=state, next_at_ms=0), _charged_back(refund), at_ms)
        taken = min(dispute.uncovered_minor, refund.card_minor)
        dispute = _take(sheet, dispute, refund.order_id, taken, at_ms, covers=True)
        payment = sheet.payment(dispute.payment_id)
        share = rules.share_of(payment, refund.order_id)
        sheet.put(rules.with_share(payment, replace(share, spent=share.spent + taken)))
        if refund.amount_minor > taken:
            _owe_rest(sheet, refund, refund.amount_minor - taken, at_ms)
    return dispute


def _owe_rest(sheet: Sheet, refund: Refund, amount_minor: int, at_ms: int) -> None:
    payment = sheet.payment(refund.payment_id)
    share = rules.share_of(payment, refund.order_id)
    sheet.put(rules.with_share(payment, replace(share, returning=share.returning + amount_minor)))
    rest = Refund(
        refund_id=refund_rules.derive_refund_id(refund.order_id, f"rest.{refund.refund_id}"),
        payment_id=refund.payment_id,
        order_id=refund.order_id,
        amount_minor=amount_minor,
        currency=refund.currency,
        reason=refund.reason,
        requested_at_ms=at_ms,
    )
    sheet.open_refund(rest, at_ms)


def _take(
    sheet: Sheet, dispute: Dispute, order_id: str, amount_minor: int, at_ms: int, *, covers: bool = False
) -> Dispute:
    """Take what a lost dispute costs back from those who had it, as a refund would; it counts as given back."""
    payment = sheet.payment(dispute.payment_id)
    share = rules.share_of(payment, order_id)
    letters = refund_rules.derive_refund_id(order_id, f"{dispute.dispute_id}.{dispute.takings}")
    taken = Refund(
        refund_id=letters,
        payment_id=payment.payment_id,
        order_id=order_id,
        amount_minor=amount_minor,
        currency=payment.currency,
        reason="charged_back",
    )
    payment, postings = booking.book_refund(payment, refund_rules.as_booked(share), taken, at_ms)
    sheet.book(book_taking(postings[0], payment.provider, letters[-26:]), *postings[1:])
    sheet.put(rules.with_share(payment, replace(share, lost=share.lost + amount_minor)))
    uncovered = dispute.uncovered_minor - (amount_minor if covers else 0)
    changed = replace(dispute, takings=dispute.takings + 1, uncovered_minor=uncovered)
    return sheet.put_dispute(changed, None, at_ms)


def _charged_back(refund: Refund) -> Event:
    return RefundChargedBack(
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        order_id=refund.order_id,
        amount_minor=refund.amount_minor,
        currency=refund.currency,
        reason=refund.reason,
    )
