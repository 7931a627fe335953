"""What giving back is worth: one pure function, which a preview shows and a refund pays.

Units follow the scale that orders use for cancelled units: a line's total is shared out once, so all of its units
together give exactly what was paid. Amounts given back without units come off what is left of their line. Whatever
the rounds were, everything given back is everything that was paid, and never a minor unit more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tradepost.kernel.money import divide, split
from tradepost.trade.aftersales.gifts import due_gifts, keep_for
from tradepost.trade.aftersales.model import NEW_GOODS, SETTLED, Discount, KeptGift, LineValue, Return
from tradepost.trade.aftersales.policy import FAULT, NEVER, Policy, blames_seller
from tradepost.trade.orders import LineQuantity, Order, OrderLine, full_progress, share
from tradepost.trade.pricing import Funder

CREDIT = "exchange_credit"
"""The adjustment of a line that was paid with goods given back."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be valued: units, or an amount about these lines (none: about the whole order)."""

    kind: str
    reason: str
    lines: tuple[LineQuantity, ...]
    amount_minor: int = 0
    deduction_minor: int = 0


class Valuation(msgspec.Struct, frozen=True, kw_only=True):
    """The worth of it. `owed_minor` is the order's own money: the lines' totals and shipping, less the deduction.

    `credit_minor` is money of an earlier order. `tax_minor` and `fee_minor` lie within the owed, shipping's included.
    What is kept for `gifts` lies within the deduction; `gift_discounts` are what funders get back of that.
    """

    lines: tuple[LineValue, ...]
    shipping_minor: int
    deduction_minor: int
    owed_minor: int
    credit_minor: int
    tax_minor: int
    fee_minor: int
    gifts: tuple[KeptGift, ...] = ()
    gift_discounts: tuple[Discount, ...] = ()


def value_case(order: Order, cases: Iterable[Return], asked: Asked, policy: Policy) -> Valuation:
    """What is owed for this now, with what the settled ones among the order's `cases` gave back already."""
    known = list(cases)
    settled = [case for case in known if case.state in SETTLED]
    if asked.amount_minor:
        lines = _value_amount(order, settled, asked)
        shipping = 0
    else:
        lines = _value_units(order, settled, asked.lines)
        shipping = 0 if asked.kind in NEW_GOODS else _shipping_back(order, settled, asked, policy)
    total = sum(line.total_minor for line in lines) + shipping
    credit = sum(line.credit_minor for line in lines)
    due = () if asked.amount_minor else due_gifts(order, known, asked.kind, asked.reason, asked.lines, policy)
    deduction = min(asked.deduction_minor, total + credit)
    kept_gifts, funders = keep_for(order, due, total + credit - deduction) if due else ((), ())
    deduction += sum(one.kept_minor for one in kept_gifts)
    from_own = min(deduction, total)
    tax = sum(line.tax_minor for line in lines) + _part_of_shipping(order, shipping, _shipping_tax(order))
    fee = sum(line.fee_minor for line in lines) + _part_of_shipping(order, shipping, _shipping_fee(order))
    kept = total - from_own
    return Valuation(
        lines=lines,
        shipping_minor=shipping,
        deduction_minor=deduction,
        owed_minor=kept,
        credit_minor=credit - (deduction - from_own),
        tax_minor=divide(tax * kept, total) if from_own else tax,
        fee_minor=divide(fee * kept, total) if from_own else fee,
        gifts=kept_gifts,
        gift_discounts=funders,
    )


def left_minor(order: Order, cases: Iterable[Return]) -> dict[int, int]:
    """By line: the buyer's money that no unit and no amount has given back yet."""
    given = _amounts(case for case in cases if case.state in SETTLED)
    return {
        line.line_no: line.total_minor
        - share(line.total_minor, line.quantity, done.cancelled + done.returned)
        - given.get(line.line_no, 0)
        for line, done in zip(order.body.lines, full_progress(order), strict=True)
    }


def _amounts(settled: Iterable[Return]) -> dict[int, int]:
    found: dict[int, int] = {}
    for case in settled:
        for value in case.values:
            if not value.quantity:
                found[value.line_no] = found.get(value.line_no, 0) + value.total_minor
    return found


def _value_units(
    order: Order, settled: Sequence[Return], lines: Sequence[LineQuantity]
) -> tuple[LineValue, ...]:
    left, progress = left_minor(order, settled), full_progress(order)
    found = []
    for item in lines:
        line, done = order.body.lines[item.line_no - 1], progress[item.line_no - 1]
        before = done.cancelled + done.returned
        found.append(_value_line(line, before, item.quantity, left[item.line_no]))
    return tuple(found)


def _value_line(line: OrderLine, before: int, quantity: int, left: int) -> LineValue:
    def step(amount: int) -> int:
        after = min(line.quantity, before + quantity)
        return share(amount, line.quantity, after) - share(amount, line.quantity, before)

    total = min(step(line.total_minor), max(0, left))
    sums: dict[Funder, int] = {}
    credit = 0
    for adjustment in line.adjustments:
        part = step(adjustment.amount_minor)
        if adjustment.code == CREDIT:
            credit -= part
        else:
            sums[adjustment.funder] = sums.get(adjustment.funder, 0) + part
    tax, fee = step(line.tax_minor), step(line.fee_minor)
    whole = step(line.total_minor)
    if total < whole:  # an amount came first: what is left has its share of everything
        tax, fee = divide(tax * total, whole), divide(fee * total, whole)
        sums = {funder: divide(part * total, whole) for funder, part in sums.items()}
    discounts = tuple(Discount(funder, part) for funder, part in sums.items() if part)
    return LineValue(
        line_no=line.line_no,
        quantity=quantity,
        goods_minor=total + credit - sum(one.amount_minor for one in discounts),
        discounts=discounts,
        total_minor=total,
        tax_minor=tax,
        fee_minor=fee,
        credit_minor=credit,
    )


def _value_amount(order: Order, settled: Sequence[Return], asked: Asked) -> tuple[LineValue, ...]:
    left = left_minor(order, settled)
    named = [item.line_no for item in asked.lines] or list(left)
    rest = [max(0, left[line_no]) for line_no in named]
    amount = min(asked.amount_minor, sum(rest))
    parts = split(amount, rest) if amount else [0] * len(rest)
    found = []
    for line_no, part in zip(named, parts, strict=True):
        line = order.body.lines[line_no - 1]
        if part:
            tax, fee = (divide(each * part, line.total_minor) for each in (line.tax_minor, line.fee_minor))
            found.append(
                LineValue(line_no=line_no, goods_minor=part, total_minor=part, tax_minor=tax, fee_minor=fee)
            )
    return tuple(found)


def _shipping_back(order: Order, settled: Sequence[Return], asked: Asked, policy: Policy) -> int:
    """The delivery fee: all that is left of it with the last unit, the lines' share at the seller's fault."""
    shipping = order.body.shipping_minor
    left = shipping - sum(case.shipping_minor for case in settled)
    if left <= 0 or policy.shipping_back == NEVER:
        return 0
    fault = blames_seller(asked.kind, asked.reason)
    back = {item.line_no: item.quantity for item in asked.lines}
    progress = full_progress(order)
    whole = all(
        line.gift is not None or done.cancelled + done.returned + back.get(line.line_no, 0) >= line.quantity
        for line, done in zip(order.body.lines, progress, strict=True)
    )
    if whole and (fault or policy.shipping_back != FAULT):
        return left
    if not (fault and policy.fault_shipping):
        return 0
    return min(left, _line_share(order, asked.lines))


def _line_share(order: Order, lines: Sequence[LineQuantity]) -> int:
    """The lines' share of shipping by what they cost; by units where nothing costs anything."""
    goods = sum(line.total_minor for line in order.body.lines)
    named = {item.line_no: item.quantity for item in lines}
    if goods:
        worth = sum(
            share(order.body.lines[number - 1].total_minor, order.body.lines[number - 1].quantity, quantity)
            for number, quantity in named.items()
        )
        return divide(order.body.shipping_minor * worth, goods)
    units = sum(line.quantity for line in order.body.lines)
    return divide(order.body.shipping_minor * sum(named.values()), units)


def _shipping_tax(order: Order) -> int:
    return order.body.tax_minor - sum(line.tax_minor for line in order.body.lines)


def _shipping_fee(order: Order) -> int:
    return order.body.fee_minor - sum(line.fee_minor for line in order.body.lines)


def _part_of_shipping(order: Order, part: int, amount: int) -> int:
    return divide(amount * part, order.body.shipping_minor) if part and amount > 0 else 0
