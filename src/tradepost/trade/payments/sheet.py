"""A sheet: what one commit will write about payments, gathered first and written in a few statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Event, EventRow, record
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.trade import ledger
from tradepost.trade.ledger import Transaction
from tradepost.trade.payments import booking, refund_rules, rules, store, tenders
from tradepost.trade.payments.disputes import Dispute
from tradepost.trade.payments.giving_back import RefundFailed, RefundRequested, RefundSucceeded
from tradepost.trade.payments.model import Payment, Refund, RefundRequest
from tradepost.trade.payments.port import RefundFact
from tradepost.trade.payments.stored import value


class Credit(NamedTuple):
    """Money on its way back to a buyer's stored value."""

    owner_id: str
    name: str
    amount_minor: int
    currency: str
    at_ms: int


class Sheet:
    """Payments and refunds as read, changed in memory by decisions, written back at once.

    Several decisions about the same payment in one commit see each other's outcome.
    """

    def __init__(self, payments: dict[str, Payment], refunds: dict[str, Refund] | None = None) -> None:
        self.payments = payments
        self.refunds = refunds or {}
        self._changed: dict[str, None] = {}
        self._changed_refunds: dict[str, None] = {}
        self._new_refunds: dict[str, None] = {}
        self._events: list[EventRow] = []
        self._postings: list[Transaction] = []
        self._credits: list[Credit] = []
        self.disputes: dict[str, Dispute] = {}
        """Those of the payments whose facts speak of disputes; see `contests`."""
        self._changed_disputes: dict[str, None] = {}

    def payment(self, payment_id: str) -> Payment:
        """As it stands on this sheet. Raises Refusal `payments.not_found`."""
        found = self.payments.get(payment_id)
        if found is None:
            raise Refusal(
                "payments.not_found", f"There is no payment {payment_id[:60]!r}.", field="payment_id"
            )
        return found

    def refund(self, refund_id: str) -> Refund:
        """As it stands on this sheet. Raises Refusal `payments.refund_not_found`."""
        found = self.refunds.get(refund_id)
        if found is None:
            raise Refusal(
                "payments.refund_not_found", f"There is no refund {refund_id[:60]!r}.", field="refund_id"
            )
        return found

    def put(self, payment: Payment, events: Sequence[Event] = (), at_ms: int = 0) -> None:
        """A payment that changed, with what happened to it."""
        for number, fact in enumerate(events, payment.version + 1):
            self._events.append(record(fact, payment.payment_id, number, at_ms, buyer_id=payment.buyer_id))
        if events:
            payment = replace(payment, version=payment.version + len(events))
        self.payments[payment.payment_id] = payment
        self._changed[payment.payment_id] = None

    def apply(self, change: rules.Change | None, reason: str, at_ms: int) -> None:
        """A decision's whole outcome; what it owes back becomes refunds with this reason."""
        if change is None:
            return
        payment, untaken = tenders.release(change.payment)
        self.put(payment, change.events, at_ms)
        self._postings += change.postings
        if untaken:
            self._credit(payment, f"{payment.payment_id}.stored.void", untaken, at_ms)
        for order_id, amount, before in change.owed:
            refund = Refund(
                refund_id=refund_rules.derive_refund_id(order_id, f"cancel.{before}"),
                payment_id=change.payment.payment_id,
                order_id=order_id,
                amount_minor=amount,
                currency=change.payment.currency,
                reason=reason,
                requested_at_ms=at_ms,
            )
            self._open_refund(refund, at_ms)

    def request(self, request: RefundRequest) -> Refund:
        """A refund somebody asks for, or the same one asked for before. Raises the refusals of refunds."""
        known = self.refunds.get(request.refund_id)
        if known is not None:
            if refund_rules.is_same(request, known):
                return known
            raise Refusal(
                "payments.refund_differs",
                f"{request.refund_id} refunds {known.amount_minor} of order {known.order_id}.",
                field="refund_id",
            )
        if gene_of(request.refund_id) != gene_of(request.payment_id):
            raise Refusal(
                "id.invalid",
                f"{request.refund_id} does not lie on the shard of {request.payment_id}.",
                field="refund_id",
                expected="a refund id minted on the payment's gene",
            )
        payment = self.payment(request.payment_id)
        share = rules.share_of(payment, request.order_id)
        refund_rules.accept_request(request, share)
        payment = rules.with_share(payment, replace(share, returning=share.returning + request.amount_minor))
        if request.division is not None:
            payment = booking.note_division(payment, refund_rules.as_booked(share), request)
        self.put(payment)
        refund = Refund(
            refund_id=request.refund_id,
            payment_id=request.payment_id,
            order_id=request.order_id,
            amount_minor=request.amount_minor,
            currency=payment.currency,
            reason=request.reason,
            requested_at_ms=request.at_ms,
        )
        return self._open_refund(refund, request.at_ms)

    def _open_refund(self, refund: Refund, at_ms: int) -> Refund:
        # the task calls at once; the moment is for the case that it never ran
        waiting = replace(refund, next_at_ms=at_ms + refund_rules.ASK_AFTER_MS)
        payment = self.payments[refund.payment_id]
        if payment.sides:
            share = rules.share_of(payment, refund.order_id)
            share = replace(share, returning=share.returning - refund.amount_minor)  # as before this one
            stored = tenders.stored_part(payment, share, refund.amount_minor)
            waiting = replace(waiting, stored_minor=stored)
            self.put(tenders.note_back(payment, refund.order_id, stored))
        self._new_refunds[refund.refund_id] = None
        return self._put_refund(waiting, self._requested(waiting), at_ms)

    def _put_refund(self, refund: Refund, fact: Event | None, at_ms: int) -> Refund:
        if fact is not None:
            refund = replace(refund, version=refund.version + 1)
            payment = self.payments[refund.payment_id]
            seller_id = rules.share_of(payment, refund.order_id).seller_id
            self._events.append(
                record(fact, refund.refund_id, refund.version, at_ms, payment.buyer_id, seller_id)
            )
        self.refunds[refund.refund_id] = refund
        if refund.refund_id not in self._new_refunds:
            self._changed_refunds[refund.refund_id] = None
        return refund

    def book(self, *postings: Transaction) -> None:
        """Movements of money that commit with the rest."""
        self._postings += postings

    def put_dispute(self, dispute: Dispute, fact: Event | None, at_ms: int) -> Dispute:
        """A dispute that is new or changed, with what happened to it."""
        if fact is not None:
            dispute = replace(dispute, version=dispute.version + 1)
            buyer_id = self.payments[dispute.payment_id].buyer_id
            self._events.append(record(fact, dispute.dispute_id, dispute.version, at_ms, buyer_id))
        self.disputes[dispute.dispute_id] = dispute
        self._changed_disputes[dispute.dispute_id] = None
        return dispute

    def open_refund(self, refund: Refund, at_ms: int) -> Refund:
        """A refund that follows from a decision; its amount is counted as returning already."""
        return self._open_refund(refund, at_ms)

    def end_refund(self, refund: Refund, fact: Event | None, at_ms: int) -> Refund:
        """A refund that changed without money going back."""
        return self._put_refund(refund, fact, at_ms)

    def move_refund(self, refund: Refund, at_ms: int, *, ask_again: bool = False) -> Refund:
        """A refund whose waiting changed; with `ask_again` it is requested anew."""
        return self._put_refund(refund, self._requested(refund) if ask_again else None, at_ms)

    def hear_refund(self, fact: RefundFact, at_ms: int) -> None:
        """The provider's word about a refund; unknown ones and old news change nothing."""
        known = self.refunds.get(fact.refund_id)
        if known is None or known.payment_id not in self.payments:
            return
        heard = refund_rules.hear(known, fact, at_ms)
        if heard is None:
            return
        if heard.state == "SUCCEEDED":
            self.finish_refund(heard, at_ms)
        elif heard.state == "NEEDS_OPERATOR":
            self._put_refund(heard, _failed(heard), at_ms)
        else:
            self._put_refund(heard, None, at_ms)

    def finish_refund(self, refund: Refund, at_ms: int, *, by_hand: bool = False) -> Refund:
        """The buyer has the money: book it and tell."""
        payment = self.payments[refund.payment_id]
        share = rules.share_of(payment, refund.order_id)
        amount = refund.amount_minor
        payment, postings = booking.book_refund(
            payment, refund_rules.as_booked(share), refund, at_ms, by_hand
        )
        self._postings += postings
        share = replace(share, refunded=share.refunded + amount, returning=share.returning - amount)
        payment = rules.with_share(payment, share)
        if refund.stored_minor:
            payment = tenders.note_back(payment, refund.order_id, 0, refund.stored_minor)
            name = f"{refund.payment_id}.sref.{refund.refund_id[-26:]}"
            self._credit(payment, name, refund.stored_minor, at_ms)
        self.put(replace(payment, refunded_minor=payment.refunded_minor + amount))
        return self._put_refund(refund, _succeeded(refund, by_hand), at_ms)

    def _credit(self, payment: Payment, name: str, amount_minor: int, at_ms: int) -> None:
        self._credits.append(Credit(payment.buyer_id, name, amount_minor, payment.currency, at_ms))

    def _requested(self, refund: Refund) -> RefundRequested:
        return RefundRequested(
            refund_id=refund.refund_id,
            payment_id=refund.payment_id,
            order_id=refund.order_id,
            amount_minor=refund.amount_minor,
            currency=refund.currency,
            reason=refund.reason,
        )

    def write(self, tx: Tx) -> None:
        """Everything in a number of statements that does not grow with the payments, but for stored value's."""
        store.update_payments(tx, [self.payments[key] for key in self._changed])
        if self._new_refunds:
            store.insert_refunds(tx, [self.refunds[key] for key in self._new_refunds])
        store.update_refunds(tx, [self.refunds[key] for key in self._changed_refunds])
        if self._postings:
            ledger.append(tx, self._postings)
        for one in sorted(
            self._credits
        ):  # in one order everywhere, so that two writers never wait for each other
            value.give_back(tx, one.owner_id, one.name, one.amount_minor, one.currency, one.at_ms)
        if self._changed_disputes:
            store.write_disputes(tx, [self.disputes[key] for key in self._changed_disputes])
        tx.emit(self._events)


def _failed(refund: Refund) -> RefundFailed:
    return RefundFailed(
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        order_id=refund.order_id,
        amount_minor=refund.amount_minor,
        currency=refund.currency,
        reason=refund.error,
        attempts=refund.attempts,
    )


def _succeeded(refund: Refund, by_hand: bool) -> RefundSucceeded:
    return RefundSucceeded(
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        order_id=refund.order_id,
        amount_minor=refund.amount_minor,
        currency=refund.currency,
        reason=refund.reason,
        by_hand=by_hand,
    )
