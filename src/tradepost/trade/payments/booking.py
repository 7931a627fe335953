"""What a payment's changes mean in the ledger: which accounts, and how partial amounts divide to the penny."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from tradepost.kernel.ids import gene_of
from tradepost.trade.ledger import PENDING, POSTED, VOIDED, Entry, Transaction, TransactionKind
from tradepost.trade.payments.model import Payment, Refund, Share

ADJUSTMENTS = "platform:adjustments"


def divide_share(share: Share, taken: int) -> tuple[int, int, int]:
    """(seller, fee, tax) of the first `taken` minor units of a share.

    Each part grows with `taken` and never shrinks, and the whole share gives exactly its fee and tax; so the
    differences of two calls are the parts of any step in between, whatever the steps were.
    """
    if not share.amount:
        return 0, 0, 0
    both = share.fee + share.tax
    withheld = both * taken // share.amount
    fee = share.fee * withheld // both if both else 0
    return taken - withheld, fee, withheld - fee


def _entries(provider: str, steps: Iterable[tuple[Share, int, int]]) -> tuple[Entry, ...]:
    """The entries of taking each share from one amount to another; giving back when the second is smaller."""
    sums: dict[str, int] = {}
    for share, before, after in steps:
        seller, fee, tax = divide_share(share, after)
        if before:
            old_seller, old_fee, old_tax = divide_share(share, before)
            seller, fee, tax = seller - old_seller, fee - old_fee, tax - old_tax
        for account, amount in (
            (f"provider:{provider}", after - before),
            (f"seller:{share.seller_id}", -seller),
            ("platform:fees", -fee),
            (f"tax:{share.market}", -tax),
        ):
            if amount:
                sums[account] = sums.get(account, 0) + amount
    return tuple([Entry(account, amount) for account, amount in sums.items() if amount])


def _transaction(
    payment: Payment, name: str, kind: str, state: str, entries: tuple[Entry, ...], at_ms: int, resolves: bool
) -> Transaction:
    return Transaction(
        transaction_id=f"{payment.payment_id}.{name}",
        gene=gene_of(payment.payment_id),
        kind=kind,
        state=state,
        currency=payment.currency,
        entries=entries,
        reference=payment.payment_id,
        pending_id=f"{payment.payment_id}.authorize" if resolves else "",
        at_ms=at_ms,
    )


def book_authorization(payment: Payment, at_ms: int) -> tuple[Payment, Transaction]:
    """The pending transaction of an amount set aside, and the payment that remembers it."""
    entries = _entries(payment.provider, ((share, 0, share.amount) for share in payment.body.shares))
    posting = _transaction(
        payment, "authorize", TransactionKind.AUTHORIZATION, PENDING, entries, at_ms, False
    )
    return replace(payment, body=replace(payment.body, held=True)), posting


def book_capture(payment: Payment, now: Sequence[tuple[str, int]], at_ms: int) -> tuple[Payment, Transaction]:
    """The posted transaction of what was taken now by order; `payment` has it in its shares already."""
    body, taken = payment.body, dict(now)
    steps = (
        (share, share.captured - taken[share.order_id], share.captured)
        for share in body.shares
        if share.order_id in taken
    )
    number = body.postings + 1
    posting = _transaction(
        payment,
        f"capture.{number}",
        TransactionKind.CAPTURE,
        POSTED,
        _entries(payment.provider, steps),
        at_ms,
        body.held,
    )
    held = body.held and payment.captured_minor < payment.authorized_minor
    return replace(payment, body=replace(body, postings=number, held=held)), posting


def post_whole(payment: Payment, at_ms: int) -> Transaction:
    """The posted transaction of a payment whose every share was taken whole in its first capture."""
    entries = _entries(payment.provider, [(share, 0, share.amount) for share in payment.body.shares])
    return _transaction(payment, "capture.1", TransactionKind.CAPTURE, POSTED, entries, at_ms, False)


def book_release(payment: Payment, at_ms: int) -> tuple[Payment, tuple[Transaction, ...]]:
    """The voiding of what a pending transaction still holds, once the provider has released it."""
    body = payment.body
    if not (body.held and body.voided):
        return payment, ()
    steps = ((share, share.captured, share.amount) for share in body.shares)
    posting = _transaction(
        payment,
        "void",
        TransactionKind.AUTHORIZATION,
        VOIDED,
        _entries(payment.provider, steps),
        at_ms,
        True,
    )
    return replace(payment, body=replace(body, held=False)), (posting,)


def book_refund(
    payment: Payment, share: Share, refund: Refund, at_ms: int, by_hand: bool = False
) -> list[Transaction]:
    """The reversal of a refund; `share` is as before it. Settled by hand, the platform's own money went back."""
    before = share.captured - share.refunded
    entries = _entries(payment.provider, ((share, before, before - refund.amount_minor),))
    name = f"refund.{refund.refund_id[-26:]}"
    postings = [_transaction(payment, name, TransactionKind.REFUND, POSTED, entries, at_ms, False)]
    if by_hand:
        own = (
            Entry(f"provider:{payment.provider}", refund.amount_minor),
            Entry(ADJUSTMENTS, -refund.amount_minor),
        )
        postings.append(
            _transaction(
                payment,
                f"hand.{refund.refund_id[-26:]}",
                TransactionKind.ADJUSTMENT,
                POSTED,
                own,
                at_ms,
                False,
            )
        )
    return postings
