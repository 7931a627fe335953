"""What a payment's changes mean in the ledger: which accounts, and how partial amounts divide to the penny."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from tradepost.kernel.ids import gene_of
from tradepost.trade.ledger import PENDING, POSTED, VOIDED, Entry, Transaction, TransactionKind
from tradepost.trade.payments import tenders
from tradepost.trade.payments.funding import (
    Division,
    Parts,
    Side,
    asked_of,
    divide_rest,
    funded_of,
    note_asked,
    side_of,
    with_side,
)
from tradepost.trade.payments.model import Payment, Refund, RefundRequest, Share

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


def _entries(payment: Payment, steps: Iterable[tuple[Share, int, int]]) -> tuple[Entry, ...]:
    """The entries of taking each share from one amount to another; giving back when the second is smaller.

    What stored value pays of it comes from its own account."""
    sums: dict[str, int] = {}
    provider = f"provider:{payment.provider}"
    for share, before, after in steps:
        seller, fee, tax = divide_share(share, after)
        if before:
            old_seller, old_fee, old_tax = divide_share(share, before)
            seller, fee, tax = seller - old_seller, fee - old_fee, tax - old_tax
        paid = after - before
        if payment.sides:
            stored = tenders.stored_of(payment, share.order_id)
            paid = tenders.card_of(stored, after) - tenders.card_of(stored, before)
            if paid != after - before:
                sums[tenders.ACCOUNT] = sums.get(tenders.ACCOUNT, 0) + after - before - paid
        for account, amount in (
            (provider, paid),
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
    entries = _entries(
        payment, ((share, 0, tenders.whole_of(payment, share)) for share in payment.body.shares)
    )
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
        _entries(payment, steps),
        at_ms,
        body.held,
    )
    held = body.held and payment.captured_minor < payment.authorized_minor
    return replace(payment, body=replace(body, postings=number, held=held)), posting


def post_whole(payment: Payment, at_ms: int) -> Transaction:
    """The posted transaction of a payment whose every share was taken whole in its first capture."""
    entries = _entries(payment, [(share, 0, share.amount) for share in payment.body.shares])
    return _transaction(payment, "capture.1", TransactionKind.CAPTURE, POSTED, entries, at_ms, False)


def book_release(payment: Payment, at_ms: int) -> tuple[Payment, tuple[Transaction, ...]]:
    """The voiding of what a pending transaction still holds, once the provider has released it."""
    body = payment.body
    if not (body.held and body.voided):
        return payment, ()
    entries = _entries(
        payment, ((share, share.captured, tenders.whole_of(payment, share)) for share in body.shares)
    )
    released = replace(payment, body=replace(body, held=False))
    if not entries:
        return released, ()
    posting = _transaction(payment, "void", TransactionKind.AUTHORIZATION, VOIDED, entries, at_ms, True)
    return released, (posting,)


def book_funding(payment: Payment, now: Sequence[tuple[str, int]], at_ms: int) -> tuple[Transaction, ...]:
    """What funders owe the sellers for what was taken now by order; nothing where nobody funds anything.

    `payment` has the capture in its shares and count of postings already.
    """
    taken, sums = dict(now), dict[str, int]()
    for share in payment.body.shares:
        side = side_of(payment.sides, share.order_id) if share.order_id in taken else None
        if side is not None:
            before = funded_of(side.funded, share.amount, share.captured - taken[share.order_id])
            after = funded_of(side.funded, share.amount, share.captured)
            _add_funded(sums, share, side, [new - old for new, old in zip(after, before, strict=True)])
    return _funding(payment, f"funding.{payment.body.postings}", sums, at_ms)


def _add_funded(sums: dict[str, int], share: Share, side: Side, amounts: Iterable[int]) -> None:
    seller = f"seller:{share.seller_id}"
    for one, amount in zip(side.funded, amounts, strict=True):
        sums[one.account] = sums.get(one.account, 0) + amount
        sums[seller] = sums.get(seller, 0) - amount


def _funding(payment: Payment, name: str, sums: dict[str, int], at_ms: int) -> tuple[Transaction, ...]:
    entries = tuple([Entry(account, amount) for account, amount in sums.items() if amount])
    if not entries:
        return ()
    return (_transaction(payment, name, TransactionKind.FUNDING, POSTED, entries, at_ms, False),)


def parts_left(share: Share, side: Side | None) -> Parts:
    """What of a share's fee, tax and funding stands in the books: taken, and not given back."""
    _, fee, tax = divide_share(share, share.captured)
    if side is None:
        _, fee_back, tax_back = divide_share(share, share.refunded)
        return Parts(fee - fee_back, tax - tax_back)
    funded = funded_of(side.funded, share.amount, share.captured)
    back = side.funded_back or (0,) * len(funded)
    given = tuple([had - gone for had, gone in zip(funded, back, strict=True)])
    return Parts(fee - side.fee_back, tax - side.tax_back, given)


def divide_refund(share: Share, side: Side | None, amount: int, told: Division | None = None) -> Parts:
    """The parts of giving back `amount` now, which is what `book_refund` will book: a preview is the refund."""
    if side is None and told is None:
        _, fee, tax = divide_share(share, share.refunded)
        _, fee_after, tax_after = divide_share(share, share.refunded + amount)
        return Parts(fee_after - fee, tax_after - tax)
    names = [one.account for one in side.funded] if side is not None else []
    return divide_rest(parts_left(share, side), amount, share.captured - share.refunded, told, names)


def _give_back(side: Side, parts: Parts, refund_id: str) -> Side:
    """The side after a refund: its parts are counted, and how it was to be divided is forgotten."""
    back = side.funded_back or (0,) * len(side.funded)
    return replace(
        side,
        fee_back=side.fee_back + parts.fee,
        tax_back=side.tax_back + parts.tax,
        funded_back=tuple([had + more for had, more in zip(back, parts.funded, strict=True)]),
        asked=tuple([told for told in side.asked if told.refund_id != refund_id]),
    )


def note_division(payment: Payment, share: Share, request: RefundRequest) -> Payment:
    """The payment that remembers how a refund under way is divided."""
    told = request.division
    if told is None:
        return payment
    side = side_of(payment.sides, share.order_id)
    if side is None:
        _, fee, tax = divide_share(share, share.refunded)
        side = Side(share.order_id, fee_back=fee, tax_back=tax)
    noted = note_asked(side, replace(told, refund_id=request.refund_id))
    return replace(payment, sides=with_side(payment.sides, noted))


def _refund_entries(payment: Payment, share: Share, refund: Refund, parts: Parts) -> tuple[Entry, ...]:
    sums: dict[str, int] = {}
    amount = refund.amount_minor
    for account, back in (
        (f"provider:{payment.provider}", -refund.card_minor),
        (tenders.ACCOUNT, -refund.stored_minor),
        (f"seller:{share.seller_id}", amount - parts.fee - parts.tax),
        ("platform:fees", parts.fee),
        (f"tax:{share.market}", parts.tax),
    ):
        sums[account] = sums.get(account, 0) + back
    return tuple([Entry(account, minor) for account, minor in sums.items() if minor])


def book_refund(
    payment: Payment, share: Share, refund: Refund, at_ms: int, by_hand: bool = False
) -> tuple[Payment, list[Transaction]]:
    """The reversal of a refund, and the payment that remembers its parts; `share` is as before it.

    Every funder gets back what the refund takes off its part. Settled by hand, the platform's own money went back
    for the provider's part of it.
    """
    side = side_of(payment.sides, share.order_id)
    told = asked_of(side, refund.refund_id)
    parts = divide_refund(share, side, refund.amount_minor, told)
    name = refund.refund_id[-26:]
    entries = _refund_entries(payment, share, refund, parts)
    postings = [
        _transaction(payment, f"refund.{name}", TransactionKind.REFUND, POSTED, entries, at_ms, False)
    ]
    if side is not None:
        after = _give_back(side, parts, refund.refund_id)
        payment = replace(payment, sides=with_side(payment.sides, after))
        sums: dict[str, int] = {}
        _add_funded(sums, share, side, [-part for part in parts.funded])
        postings += _funding(payment, f"fb.{name}", sums, at_ms)
    if by_hand and refund.card_minor:
        own = (
            Entry(f"provider:{payment.provider}", refund.card_minor),
            Entry(ADJUSTMENTS, -refund.card_minor),
        )
        postings.append(
            _transaction(payment, f"hand.{name}", TransactionKind.ADJUSTMENT, POSTED, own, at_ms, False)
        )
    return payment, postings
