"""What a settled case costs and whom: planned once, shown by a preview, asked for by the settlement."""

from __future__ import annotations

import msgspec

from tradepost.kernel.money import divide, split
from tradepost.kernel.tx import Tx
from tradepost.trade import orders, payments
from tradepost.trade.aftersales import rules, store
from tradepost.trade.aftersales.model import NEW_GOODS, KeptGift, LineValue, Return
from tradepost.trade.aftersales.policy import policy_of
from tradepost.trade.aftersales.valuing import Asked, Valuation, value_case
from tradepost.trade.ledger import Entry
from tradepost.trade.orders import Order
from tradepost.trade.payments import Division, Funding, RefundRequest
from tradepost.trade.pricing import Funder

_ACCOUNTS = {Funder.PLATFORM: "platform:", Funder.CREATOR: "creator:"}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One order's payment, what is owed of it for a case, and how that is divided among those who had the money."""

    payment_id: str
    order_id: str
    owed_minor: int
    division: Division | None = None


class Tender(msgspec.Struct, frozen=True, kw_only=True):
    """What goes back the way it came, in minor units."""

    provider: str
    method: str
    payment_id: str
    amount_minor: int


class RefundPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What would be refunded now, and who gives it. All in minor units; a debit in `entries` is what one gives.

    `refund_minor` is what the settlement would ask for and `tenders` where it goes; `held_minor` waits for a bank's
    verdict, `taken_minor` the buyer has from the bank. `gifts` would be kept, and their value is within the deduction.
    """

    order_id: str
    currency: str
    lines: tuple[LineValue, ...]
    shipping_minor: int
    deduction_minor: int
    gifts: tuple[KeptGift, ...]
    tax_minor: int
    fee_minor: int
    refund_minor: int
    held_minor: int
    taken_minor: int
    tenders: tuple[Tender, ...]
    entries: tuple[Entry, ...]


def value_of(tx: Tx, order: Order, asked: Asked) -> Valuation:
    """What this is worth as the order's cases stand."""
    return value_case(order, store.returns_of_order(tx, order.order_id), asked, policy_of(order.market))


def sources_of(tx: Tx, order: Order, value: Valuation) -> tuple[Source, ...]:
    """Whose money it is: the order's own first, then that of the order whose goods paid for this one."""
    found = []
    if value.owed_minor and order.payment_id:
        found.append(
            Source(
                payment_id=order.payment_id,
                order_id=order.order_id,
                owed_minor=value.owed_minor,
                division=_division(tx, order, value),
            )
        )
    root = root_of(tx, order.order_id) if value.credit_minor else None
    if root is not None:
        earlier = orders.get_order(tx, root.order_id)
        if earlier.payment_id:
            found.append(
                Source(
                    payment_id=earlier.payment_id, order_id=earlier.order_id, owed_minor=value.credit_minor
                )
            )
    return tuple(found)


def root_of(tx: Tx, order_id: str) -> Return | None:
    """The case that this order's goods were the answer to, if it is such an order."""
    found = store.find_returns(tx, [rules.return_id_of(order_id)])
    return found[0] if found else None


def _division(tx: Tx, order: Order, value: Valuation) -> Division:
    """The refund's parts as the very lines have them: each funder gets back what it gave for what comes back."""
    changes = [*value.gift_discounts, *(one for line in value.lines for one in line.discounts)]
    wanted = {
        funder: -sum(one.amount_minor for one in changes if one.funder == funder) for funder in _ACCOUNTS
    }
    if value.shipping_minor:
        for one in order.body.shipping_adjustments:
            if one.funder in _ACCOUNTS:
                part = divide(one.amount_minor * value.shipping_minor, order.body.shipping_minor)
                wanted[Funder.PLATFORM] -= part
    funded: list[Funding] = []
    if any(wanted.values()):
        books = payments.find_books(tx, order.payment_id, order.order_id)
        for funder, amount in wanted.items():
            own = [one for one in books.funded if one.account.startswith(_ACCOUNTS[funder])]
            if amount and not own:  # no creator was named: the platform bore it
                own = [one for one in books.funded if one.account.startswith(_ACCOUNTS[Funder.PLATFORM])]
            if own and amount:
                parts = split(amount, [abs(one.amount_minor) for one in own])
                funded += [Funding(one.account, part) for one, part in zip(own, parts, strict=True)]
    return Division(value.fee_minor, value.tax_minor, tuple(funded))


def preview(tx: Tx, order_id: str, asked: Asked) -> RefundPreview:
    """What a case with these facts would refund if it were settled now.

    Raises `orders.not_found`, `orders.line_unknown`, `orders.quantity_invalid`.
    """
    order = orders.get_order(tx, order_id)
    if asked.lines or not asked.amount_minor:
        orders.check_lines(order, asked.lines)
    value = value_of(tx, order, asked)
    refund, held, taken = 0, 0, 0
    tenders: list[Tender] = []
    sums: dict[str, int] = {}
    for source in sources_of(tx, order, value):
        owed = payments.plan_owed(tx, source.payment_id, source.order_id, source.owed_minor)
        refund, held = refund + owed.refund_minor, held + owed.held_minor
        taken += owed.taken_minor
        if not owed.refund_minor:
            continue
        tenders += _tenders(tx, source, owed.refund_minor)
        for entry in payments.preview_entries(
            tx, source.payment_id, source.order_id, owed.refund_minor, source.division
        ):
            sums[entry.account] = sums.get(entry.account, 0) + entry.amount_minor
    return RefundPreview(
        order_id=order_id,
        currency=order.currency,
        lines=value.lines,
        shipping_minor=value.shipping_minor,
        deduction_minor=value.deduction_minor,
        gifts=value.gifts,
        tax_minor=value.tax_minor,
        fee_minor=value.fee_minor,
        refund_minor=refund,
        held_minor=held,
        taken_minor=taken,
        tenders=tuple(tenders),
        entries=tuple(Entry(account, minor) for account, minor in sums.items() if minor),
    )


def _tenders(tx: Tx, source: Source, amount_minor: int) -> list[Tender]:
    """Where a refund of this amount goes: what the provider took first, then stored value."""
    view = payments.find_payment(tx, source.payment_id)
    stored = payments.find_stored_part(tx, source.payment_id, source.order_id, amount_minor)
    parts = (
        (view.provider, view.method, amount_minor - stored),
        (payments.STORED_VALUE, payments.STORE_CREDIT, stored),
    )
    return [
        Tender(provider=provider, method=method, payment_id=source.payment_id, amount_minor=part)
        for provider, method, part in parts
        if part
    ]


def valued(item: Return, value: Valuation, at_ms: int) -> Return:
    """The case that knows what it is worth; new goods are to be ordered at once."""
    return msgspec.structs.replace(
        item,
        values=value.lines,
        shipping_minor=value.shipping_minor,
        deduction_minor=value.deduction_minor,
        gifts=value.gifts,
        refund_id=rules.refund_id_of(item.return_id),
        deadline_at_ms=at_ms if item.kind in NEW_GOODS else 0,
    )


def ask_money(tx: Tx, item: Return, sources: tuple[Source, ...], at_ms: int) -> Return:
    """Ask the sources for what they owe; the case with what was asked. The first gets the case's own refund id."""
    refund, held, taken = item.refund_minor, item.held_minor, item.taken_minor
    for source in sources:
        first = refund == 0
        request = RefundRequest(
            refund_id=item.refund_id if first else payments.derive_refund_id(source.order_id, item.return_id),
            payment_id=source.payment_id,
            order_id=source.order_id,
            amount_minor=source.owed_minor,
            reason="return",
            at_ms=at_ms,
            division=source.division,
        )
        owed = payments.request_owed(tx, request)
        refund, held = refund + owed.refund_minor, held + owed.held_minor
        taken += owed.taken_minor
    return msgspec.structs.replace(item, refund_minor=refund, held_minor=held, taken_minor=taken)
