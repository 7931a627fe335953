"""What others may do with payments inside their own transaction."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.trade.ledger import Entry
from tradepost.trade.payments import booking, commands, contests, holding, refund_rules, rules, store, tenders
from tradepost.trade.payments.disputes import Dispute
from tradepost.trade.payments.funding import Division, Funding, PortionBooks, side_of
from tradepost.trade.payments.model import (
    ON_SHIPMENT,
    REFUND,
    Attempt,
    Given,
    NewIntent,
    Owed,
    Payment,
    PaymentView,
    Refund,
    RefundCallDue,
    RefundRequest,
    Share,
)
from tradepost.trade.payments.record import Recorded
from tradepost.trade.payments.sheet import Sheet
from tradepost.trade.payments.views import view_payment


def open_intents(tx: Tx, intents: Sequence[NewIntent]) -> None:
    """Write new intents in one statement, no event; what stored value pays leaves the buyers' accounts.

    Raises Refusal `payments.amount_invalid`, `version.conflict`, and Taken.
    """
    store.insert_payments(tx, [commands.open_payment(intent) for intent in intents])
    for intent in [one for one in intents if one.stored_minor]:
        holding.hold(tx, intent)
    waiting = [
        (portion.order_id, intent.payment_id)
        for intent in intents
        if intent.capture == ON_SHIPMENT
        for portion in intent.portions
    ]
    if waiting:
        store.insert_shipments(tx, waiting)


def _open_sheet(tx: Tx, payment_id: str) -> tuple[Sheet, Payment]:
    sheet = Sheet(store.find_payments(tx, [payment_id]))
    return sheet, sheet.payment(payment_id)


def find_payment(tx: Tx, payment_id: str) -> PaymentView:
    """One payment. Raises Refusal `payments.not_found`."""
    return view_payment(_open_sheet(tx, payment_id)[1])


def find_refunds(tx: Tx, payment_id: str) -> list[Refund]:
    """All refunds of a payment, oldest first."""
    return store.refunds_of(tx, payment_id)


def find_refund(tx: Tx, refund_id: str) -> Refund:
    """One refund. Raises Refusal `payments.refund_not_found`."""
    return Sheet({}, store.find_refunds(tx, [refund_id])).refund(refund_id)


def list_refund_tasks(tx: Tx, after: str = "", limit: int = 100) -> list[Refund]:
    """This shard's refunds that an operator has to retry or settle, in order of id, after a given id."""
    return store.refund_tasks(tx, after, limit)


def find_refundable(tx: Tx, payment_id: str, order_id: str) -> int | None:
    """Minor units of an order's portion that may still be given back; None while some of it is yet to be captured.

    Raises Refusal `payments.not_found`, `payments.order_unknown`.
    """
    share = rules.share_of(_open_sheet(tx, payment_id)[1], order_id)
    if share.captured < share.amount - share.cancelled:
        return None
    return refund_rules.available_minor(share)


def find_books(tx: Tx, payment_id: str, order_id: str) -> PortionBooks:
    """What the books hold of an order's portion now: taken, given back, and whose the rest is.

    Raises Refusal `payments.not_found`, `payments.order_unknown`.
    """
    payment = _open_sheet(tx, payment_id)[1]
    share, side = rules.share_of(payment, order_id), side_of(payment.sides, order_id)
    booked = refund_rules.as_booked(share)
    left = booking.parts_left(booked, side)
    funded = side.funded if side is not None else ()
    return PortionBooks(
        seller_id=share.seller_id,
        captured_minor=share.captured,
        refunded_minor=booked.refunded,
        returning_minor=share.returning,
        disputed_minor=share.disputed,
        fee_minor=left.fee,
        tax_minor=left.tax,
        funded=tuple([Funding(one.account, m) for one, m in zip(funded, left.funded, strict=True)]),
    )


def find_given(tx: Tx, payment_id: str, order_id: str) -> Given:
    """What the buyer of an order has back by now. Raises Refusal `payments.not_found`, `payments.order_unknown`."""
    share = rules.share_of(_open_sheet(tx, payment_id)[1], order_id)
    made = [
        one
        for one in store.refunds_of(tx, payment_id)
        if one.order_id == order_id and refund_rules.is_made(one)
    ]
    return Given(
        ordered_minor=share.amount - share.cancelled,
        cancelled=tuple([one for one in made if refund_rules.follows_cancellation(one)]),
        beside=tuple([one for one in made if not refund_rules.follows_cancellation(one)]),
    )


def plan_owed(tx: Tx, payment_id: str, order_id: str, owed_minor: int) -> Owed:
    """What `request_owed` would come to now. Raises Refusal `payments.not_found`, `payments.order_unknown`."""
    return _plan_owed(rules.share_of(_open_sheet(tx, payment_id)[1], order_id), owed_minor)


def _plan_owed(share: Share, owed_minor: int) -> Owed:
    withheld = refund_rules.hold_minor(share, owed_minor)
    taken = min(withheld, max(0, share.lost - share.spent))
    rest, held = owed_minor - withheld, withheld - taken
    if share.captured < share.amount - share.cancelled:
        return Owed(rest, held, taken)
    return Owed(max(0, min(rest, refund_rules.available_minor(share))), held, taken)


def request_owed(tx: Tx, request: RefundRequest) -> Owed:
    """Ask back what a buyer is owed, as far as it is still there: earlier refunds and the bank's own come first.

    What an open dispute holds is not asked for; ask again with it when the dispute is won. Raises what
    `request_refund` raises but for amounts: nothing left is an answer.
    """
    sheet, payment = _open_sheet(tx, request.payment_id)
    share = rules.share_of(payment, request.order_id)
    owed = _plan_owed(share, request.amount_minor)
    if owed.held_minor or owed.taken_minor:
        spent = share.spent + owed.held_minor + owed.taken_minor
        sheet.put(rules.with_share(payment, replace(share, spent=spent)))
    sheet.refunds = store.find_refunds(tx, [request.refund_id])
    if owed.refund_minor:
        sheet.request(replace(request, amount_minor=owed.refund_minor))
    sheet.write(tx)
    return owed


def preview_entries(
    tx: Tx, payment_id: str, order_id: str, amount_minor: int, division: Division | None = None
) -> tuple[Entry, ...]:
    """The entries that a refund of this amount would be booked with, were it the next to be made: who gives what.

    Raises Refusal `payments.not_found`, `payments.order_unknown`.
    """
    payment = _open_sheet(tx, payment_id)[1]
    stands = rules.share_of(payment, order_id)
    share = refund_rules.as_booked(stands)
    refund = Refund(
        refund_id=f"ref_{payment_id[-26:]}",
        payment_id=payment_id,
        order_id=order_id,
        amount_minor=amount_minor,
        currency=payment.currency,
        reason="",
        stored_minor=tenders.stored_part(payment, stands, amount_minor),
    )
    if division is not None:
        told = RefundRequest(
            refund_id=refund.refund_id,
            payment_id=payment_id,
            order_id=order_id,
            amount_minor=amount_minor,
            reason="",
            at_ms=0,
            division=division,
        )
        payment = booking.note_division(payment, share, told)
    _, postings = booking.book_refund(payment, share, refund, 0)
    sums: dict[str, int] = {}
    for posting in postings:
        for entry in posting.entries:
            sums[entry.account] = sums.get(entry.account, 0) + entry.amount_minor
    return tuple(Entry(account, minor) for account, minor in sums.items() if minor)


def find_stored_part(tx: Tx, payment_id: str, order_id: str, amount_minor: int) -> int:
    """What of a refund asked for now would go back to the buyer's stored value: the provider's part goes back first.

    Raises Refusal `payments.not_found`, `payments.order_unknown`.
    """
    payment = _open_sheet(tx, payment_id)[1]
    return tenders.stored_part(payment, rules.share_of(payment, order_id), amount_minor)


def find_disputes(tx: Tx, payment_id: str) -> list[Dispute]:
    """The disputes of a payment, oldest first."""
    found = store.disputes_of(tx, [payment_id]).values()
    return sorted(found, key=lambda dispute: (dispute.opened_at_ms, dispute.dispute_id))


def request_refund(tx: Tx, request: RefundRequest) -> Refund:
    """Ask money back; the same refund id again answers the same refund.

    Raises Refusal `payments.not_found`, `.order_unknown`, `.amount_invalid`, `.refund_exceeds_captured`,
    `.refund_differs`.
    """
    return request_refunds(tx, [request])[0]


def request_refunds(tx: Tx, requests: Sequence[RefundRequest]) -> list[Refund]:
    """Ask money back for several at once: all of them or, by the Refusal, none."""
    sheet = Sheet(
        store.find_payments(tx, [request.payment_id for request in requests]),
        store.find_refunds(tx, [request.refund_id for request in requests]),
    )
    refunds = [sheet.request(request) for request in requests]
    sheet.write(tx)
    return refunds


def begin_attempt(tx: Tx, payment_id: str, method: str, at_ms: int) -> Attempt:
    """Note that the provider is about to be asked for the money: CREATED, or FAILED with a new attempt.

    A payment that is further on comes back unchanged. Raises Refusal `payments.not_found`, `state.conflict`.
    """
    sheet, payment = _open_sheet(tx, payment_id)
    if payment.state in ("CREATED", "FAILED"):
        payment = commands.begin_attempt(payment, method, at_ms)
        sheet.put(payment)
        sheet.write(tx)
    return Attempt(payment=payment, call=payment.state == "PROCESSING")


def plan_capture(
    tx: Tx, payment_id: str, order_id: str, amount_minor: int, reference: str, at_ms: int
) -> Recorded:
    """Note that money is to be taken, for one order or ("") over all; see `commands.plan_capture`."""
    sheet, payment = _open_sheet(tx, payment_id)
    planned = commands.plan_capture(payment, order_id, amount_minor, reference, at_ms)
    if planned is not None:
        sheet.put(planned)
        sheet.write(tx)
    return _stands(sheet, payment_id)


def give_up(tx: Tx, payment_id: str, at_ms: int) -> Recorded:
    """Note that nothing more is to be taken. Raises Refusal `payments.not_found`, `state.conflict`."""
    sheet, payment = _open_sheet(tx, payment_id)
    sheet.apply(commands.give_up_rest(payment, at_ms), "", at_ms)
    sheet.write(tx)
    return _stands(sheet, payment_id)


def _stands(sheet: Sheet, payment_id: str) -> Recorded:
    payment = sheet.payment(payment_id)
    return Recorded(view_payment(payment), rules.next_call(payment))


def begin_refund_call(tx: Tx, refund_id: str, at_ms: int) -> RefundCallDue | None:
    """Note that the provider is about to be called for a refund; None when nothing is to be called now."""
    refunds = store.find_refunds(tx, [refund_id])
    refund = Sheet({}, refunds).refund(refund_id)
    begun = refund_rules.begin_call(refund, at_ms)
    if begun is None:
        return None
    store.update_refunds(tx, [begun])
    provider = store.find_payments(tx, [refund.payment_id])[refund.payment_id].provider
    return RefundCallDue(refund=begun, provider=provider, repeated=refund.state == "PROCESSING")


def retry_refund(tx: Tx, refund_id: str, at_ms: int) -> Refund:
    """An operator's order to ask the provider again. Raises `payments.refund_not_found`, `state.conflict`."""
    sheet, refund = _open_refund(tx, refund_id)
    state = REFUND.next(refund.state, "retry")
    anew = replace(refund, state=state, next_at_ms=at_ms + refund_rules.ASK_AFTER_MS, error="")
    anew = sheet.move_refund(anew, at_ms, ask_again=True)
    sheet.write(tx)
    return anew


def settle_refund(tx: Tx, refund_id: str, note: str, at_ms: int) -> Refund:
    """An operator's word that the buyer was paid outside the provider, out of the platform's own money.

    `note` (at most 200 letters) stays on the refund. Raises `payments.refund_not_found`, `state.conflict`, and
    `payments.charged_back` while a dispute about the payment is open.
    """
    sheet, refund = _open_refund(tx, refund_id)
    state = REFUND.next(refund.state, "settle")
    sheet.disputes = store.disputes_of(tx, [refund.payment_id])
    if contests.is_contested(sheet, refund.payment_id):
        raise Refusal(
            "payments.charged_back",
            f"A dispute about {refund.payment_id} is open: the buyer may be paid by the bank.",
            field="refund_id",
        )
    settled = replace(refund, state=state, next_at_ms=0, error=note[: refund_rules.ERROR_LETTERS_MAX])
    settled = sheet.finish_refund(settled, at_ms, by_hand=True)
    sheet.write(tx)
    return settled


def _open_refund(tx: Tx, refund_id: str) -> tuple[Sheet, Refund]:
    refunds = store.find_refunds(tx, [refund_id])
    refund = Sheet({}, refunds).refund(refund_id)
    return Sheet(store.find_payments(tx, [refund.payment_id]), refunds), refund
