"""What others than buyer and seller put into an order's price, and how a refund gives each its own part back.

Money that does not go through the provider is booked beside it, in transactions of its own kind, so a payment without
such money is written and booked exactly as if nobody could fund anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

ASKED_MAX = 100
"""Refunds under way whose parts were told, of one order; further ones are divided in proportion."""


class Funding(msgspec.Struct, frozen=True, array_like=True):
    """An account that pays the seller part of an order's price, in minor units of the whole order.

    Below zero the account receives it: a surcharge that is not the seller's.
    """

    account: str
    amount_minor: int


class Division(msgspec.Struct, frozen=True, array_like=True):
    """The parts of one refund as its cause knows them, such as the very lines that came back; minor units.

    `funded` names accounts with what they get back. What lies above what is left of a part is cut.
    """

    fee_minor: int
    tax_minor: int
    funded: tuple[Funding, ...] = ()
    refund_id: str = ""


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """What the buyer's stored value has to do with a share, minor units.

    `part` left the buyer's account with the order, `released` came back because it was never taken. `back` is given
    back by refunds, or asked back, `given` of it is there.
    """

    part: int
    released: int = 0
    back: int = 0
    given: int = 0

    @property
    def held(self) -> int:
        """What pays for the share: all that did not come back untaken."""
        return self.part - self.released


class Side(msgspec.Struct, frozen=True, array_like=True):
    """What stands beside a share: who funds it, which parts were given back so far, and what stored value pays."""

    order_id: str
    funded: tuple[Funding, ...] = ()
    fee_back: int = 0
    tax_back: int = 0
    funded_back: tuple[int, ...] = ()
    asked: tuple[Division, ...] = ()
    stored: Stored | None = None


class PortionBooks(msgspec.Struct, frozen=True, kw_only=True):
    """What the books hold of an order's portion, minor units: the seller's is what was taken and not given back,
    less fee and tax, plus what is funded. `returning_minor` is asked back and not yet done, `disputed_minor` held by
    the buyer's bank."""

    seller_id: str
    captured_minor: int
    refunded_minor: int
    returning_minor: int
    disputed_minor: int
    fee_minor: int
    tax_minor: int
    funded: tuple[Funding, ...] = ()


class Parts(msgspec.Struct, frozen=True, array_like=True):
    """An amount of a share by whose it is; the seller's is what fee and tax leave, plus what is funded."""

    fee: int
    tax: int
    funded: tuple[int, ...] = ()


def funded_of(funded: Sequence[Funding], amount: int, taken: int) -> tuple[int, ...]:
    """What each funder owes once the first `taken` of a share's `amount` are there; all of it at the end."""
    if not amount:
        return tuple(0 for _ in funded)
    return tuple(_part(one.amount_minor, taken, amount) for one in funded)


def _part(amount: int, taken: int, whole: int) -> int:
    """A part that grows evenly towards `amount`, whichever sign it has."""
    return amount * taken // whole if amount >= 0 else -(-amount * taken // whole)


def divide_rest(left: Parts, amount: int, rest: int, told: Division | None, names: Sequence[str]) -> Parts:
    """The parts of giving back `amount` of the `rest` that is still there, of which `left` are the parts.

    As told, as far as that is left; in proportion where nothing was told. The last refund takes all that is left, so
    any sequence of them ends at zero for everybody.
    """
    if amount >= rest:
        return left
    if told is None:
        even = tuple(_part(part, amount, rest) for part in left.funded)
        return Parts(_part(left.fee, amount, rest), _part(left.tax, amount, rest), even)
    wanted: dict[str, int] = {}
    for one in told.funded:
        wanted[one.account] = wanted.get(one.account, 0) + one.amount_minor
    funded = []
    for name, part in zip(names, left.funded, strict=True):
        given = _within(wanted.get(name, 0), part)
        wanted[name] = wanted.get(name, 0) - given
        funded.append(given)
    return Parts(_within(told.fee_minor, left.fee), _within(told.tax_minor, left.tax), tuple(funded))


def _within(amount: int, bound: int) -> int:
    """The amount between nothing and a bound of either sign."""
    return max(0, min(amount, bound)) if bound >= 0 else min(0, max(amount, bound))


def side_of(sides: Sequence[Side], order_id: str) -> Side | None:
    """What stands beside this order's share, if anything does."""
    for side in sides:
        if side.order_id == order_id:
            return side
    return None


def with_side(sides: Sequence[Side], changed: Side) -> tuple[Side, ...]:
    """The sides with one put in the place of the one with its order id, or added."""
    kept = [changed if side.order_id == changed.order_id else side for side in sides]
    return tuple(kept) if side_of(sides, changed.order_id) is not None else (*sides, changed)


def note_asked(side: Side, told: Division) -> Side:
    """The side that remembers how a refund under way is divided."""
    if len(side.asked) >= ASKED_MAX:
        return side
    return replace(side, asked=(*side.asked, told))


def asked_of(side: Side | None, refund_id: str) -> Division | None:
    """How a refund is to be divided, when somebody told."""
    for told in side.asked if side is not None else ():
        if told.refund_id == refund_id:
            return told
    return None
