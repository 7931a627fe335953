"""The life of a dispute, as docs.stripe.com describes it: an inquiry or a chargeback, its money, its end."""

from __future__ import annotations

from tradepost.testing.stripe_double.books import Books, Document

FEE = 1_500
"""What the double takes for a chargeback, in the units of the charge's currency, which it settles in."""


def begin(books: Books, charge: Document, amount: int = 0, *, inquiry: bool = False) -> Document:
    """A bank asks the money of a charge back, or only asks why it was taken (an inquiry)."""
    dispute = books.new(
        "dispute",
        "du",
        amount=amount or charge["amount_captured"],
        currency=charge["currency"],
        payment_intent=charge["payment_intent"],
        charge=charge["id"],
        reason="fraudulent",
        status="warning_needs_response" if inquiry else "needs_response",
        is_charge_refundable=inquiry,
    )
    books.disputes[dispute["id"]] = dispute
    charge["disputed"] = True
    books.tell("charge.dispute.created", dispute)
    if not inquiry:
        withdraw(books, dispute)
    return dispute


def withdraw(books: Books, dispute: Document) -> None:
    """The money leaves the account, the fee with it; an inquiry becomes a chargeback that way."""
    dispute.update(status="needs_response", is_charge_refundable=False)
    _move(books, dispute, -dispute["amount"], FEE)
    books.tell("charge.dispute.funds_withdrawn", dispute)


def answer(books: Books, dispute: Document) -> None:
    """Somebody sent evidence: the bank looks at it."""
    dispute["status"] = "warning_under_review" if dispute["is_charge_refundable"] else "under_review"
    books.tell("charge.dispute.updated", dispute)


def end(books: Books, dispute: Document, *, won: bool, fee_back: bool = False) -> None:
    """The bank's verdict. An inquiry is closed and moves nothing."""
    if dispute["is_charge_refundable"]:
        dispute["status"] = "warning_closed"
    else:
        dispute["status"] = "won" if won else "lost"
        if won:
            _move(books, dispute, dispute["amount"], -FEE if fee_back else 0)
            books.tell("charge.dispute.funds_reinstated", dispute)
    books.tell("charge.dispute.closed", dispute)


def is_held(books: Books, charge: Document) -> bool:
    """Whether a chargeback stands in the way of refunds of a charge."""
    return any(
        one["charge"] == charge["id"] and not one["is_charge_refundable"] and one["status"] != "won"
        for one in books.disputes.values()
    )


def _move(books: Books, dispute: Document, amount: int, fee: int) -> None:
    move = {
        "id": f"txn_{dispute['id']}_{len(dispute['balance_transactions'])}",
        "object": "balance_transaction",
        "amount": amount,
        "currency": dispute["currency"],
        "fee": fee,
        "net": amount - fee,
        "created": books.now_s,
        "reporting_category": "dispute" if amount < 0 else "dispute_reversal",
        "source": dispute["id"],
        "type": "adjustment",
    }
    dispute["balance_transactions"].append(move)
