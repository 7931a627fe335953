"""What becomes of a gift when what earned it is given back: it comes back too, or its value is kept. Pure.

A gift stands for lines of its own order (`orders.Given`). While enough of them is kept nothing is asked. Once it is
not, a gift that was never packed is cancelled with them; one that is not given back by then costs what it is worth at
list price, taken off the refund once, and is the buyer's own from there on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tradepost.kernel.money import divide
from tradepost.trade.aftersales.model import GOODS_BACK, NEW_GOODS, Discount, KeptGift, Return
from tradepost.trade.aftersales.permissions import BUYER
from tradepost.trade.aftersales.policy import VALUE, Policy, blames_seller
from tradepost.trade.orders import (
    Given,
    LineProgress,
    LineQuantity,
    Order,
    OrderLine,
    full_progress,
    open_lines,
    share,
)
from tradepost.trade.pricing import Funder

ON_ITS_WAY = ("SHIPPED_BACK", "INSPECTING", "DISPUTED")
"""States in which goods of a case were sent: the buyer can no longer think again."""


class DueGift(msgspec.Struct, frozen=True):
    """Units of a gift that are kept without what earned them, and what of their worth was not kept before."""

    line_no: int
    quantity: int
    worth_minor: int
    before_minor: int


def due_gifts(
    order: Order,
    cases: Sequence[Return],
    kind: str,
    reason: str,
    back: Sequence[LineQuantity],
    policy: Policy,
) -> tuple[DueGift, ...]:
    """The gifts that the buyer keeps though a case gives back what earned them, and that are not wholly paid for.

    Those on their way in another of the order's `cases` come back. Nothing where the market lets buyers keep them,
    where the seller is at fault, and where other goods come instead.
    """
    given = [line for line in order.body.lines if line.gift is not None]
    if not given or not back or policy.gifts != VALUE or kind in NEW_GOODS or blames_seller(kind, reason):
        return ()
    coming = {item.line_no: item.quantity for item in back}
    sent = _on_their_way(cases, back)
    progress = full_progress(order)
    found = []
    for line in given:
        number, done = line.line_no, progress[line.line_no - 1]
        kept = line.quantity - done.cancelled - done.returned - coming.get(number, 0) - sent.get(number, 0)
        if kept <= 0 or line.gift is None or is_earned(order, line.gift, coming, progress):
            continue
        worth = _part(line, line.list_minor, kept)
        before = sum(one.kept_minor for case in cases for one in case.gifts if one.line_no == number)
        if before < worth:
            found.append(DueGift(number, kept, worth, before))
    return tuple(found)


def _on_their_way(cases: Iterable[Return], back: Sequence[LineQuantity]) -> dict[int, int]:
    """Units by line that were sent in other cases than the one that gives `back`."""
    found: dict[int, int] = {}
    for case in cases:
        sent = case.state in ON_ITS_WAY and case.kind in GOODS_BACK and not case.amount_minor
        for item in case.lines if sent and case.lines != tuple(back) else ():
            found[item.line_no] = found.get(item.line_no, 0) + item.quantity
    return found


def keep_for(
    order: Order, due: Iterable[DueGift], most_minor: int
) -> tuple[tuple[KeptGift, ...], tuple[Discount, ...]]:
    """What is kept of a refund for gifts, as far as it goes, and what each funder gets back of that (below zero)."""
    kept: list[KeptGift] = []
    sums: dict[Funder, int] = {}
    for gift in due:
        taken = min(gift.worth_minor - gift.before_minor, most_minor)
        if taken <= 0:
            continue
        most_minor -= taken
        kept.append(KeptGift(gift.line_no, gift.quantity, taken))
        line = order.body.lines[gift.line_no - 1]
        for change in line.adjustments:
            whole = _part(line, change.amount_minor, gift.quantity)
            part = divide(whole * (gift.before_minor + taken), gift.worth_minor)
            part -= divide(whole * gift.before_minor, gift.worth_minor)
            sums[change.funder] = sums.get(change.funder, 0) + part
    return tuple(kept), tuple([Discount(funder, part) for funder, part in sums.items() if part])


def paid_gifts(cases: Iterable[Return]) -> dict[int, int]:
    """Units of gifts by line that value was kept for: they are the buyer's own."""
    found: dict[int, int] = {}
    for case in cases:
        for item in case.gifts:
            found[item.line_no] = max(found.get(item.line_no, 0), item.quantity)
    return found


def is_earned(order: Order, gift: Given, back: Mapping[int, int], progress: Sequence[LineProgress]) -> bool:
    """Whether what is kept of an order still earns a gift, once `back` is given back as well."""
    units = minor = 0
    for number in gift.earned_by:
        line, done = order.body.lines[number - 1], progress[number - 1]
        gone = min(line.quantity, done.cancelled + done.returned + back.get(number, 0))
        units += line.quantity - gone
        minor += line.list_minor - share(line.list_minor, line.quantity, gone)
    return not gift.earned_by or (units >= gift.least_units and minor >= gift.least_minor)


def _part(line: OrderLine, amount: int, quantity: int) -> int:
    """The last units of a line, so that they and all units before them are the whole."""
    return amount - share(amount, line.quantity, line.quantity - quantity)


def with_gifts_open(order: Order, lines: Sequence[LineQuantity], initiator: str) -> tuple[LineQuantity, ...]:
    """The units to cancel, with gifts that lie unpacked and that what is left does not earn.

    A buyer who takes goods off gives up what they earned; where others do, the gift stays while anything is bought.
    """
    given = [line for line in order.body.lines if line.gift is not None]
    if not given:
        return tuple(lines)
    coming = {item.line_no: item.quantity for item in lines}
    still_open = {item.line_no: item.quantity for item in open_lines(order)}
    progress = full_progress(order)
    bought = sum(
        line.quantity - done.cancelled - done.returned - coming.get(line.line_no, 0)
        for line, done in zip(order.body.lines, progress, strict=True)
        if line.gift is None
    )
    found = list(lines)
    for line in given:
        left = still_open.get(line.line_no, 0)
        lost = bought <= 0 or (
            initiator == BUYER and line.gift is not None and not is_earned(order, line.gift, coming, progress)
        )
        if left and lost and line.line_no not in coming:
            found.append(LineQuantity(line.line_no, left))
    return tuple(found)
