"""Exact spreading of a discount: over lines with room, over funders by shares, over the units of a line."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from tradepost.kernel.money import divide, split
from tradepost.kernel.splitting import Remainder, allocate
from tradepost.trade.promotion.model import Share

WHOLE_BPS = 10_000


def spread(amount: int, weights: Sequence[int], rooms: Sequence[int], remainder: Remainder) -> list[int]:
    """Parts of `amount` by weight, none above its room; what a full line cannot take goes to the others by weight.

    The parts sum to `amount`, or to all the room there is. At most one round for each line that fills up.
    """
    amount = min(amount, sum(rooms))
    if amount <= 0:
        return [0] * len(weights)
    parts = _shared(amount, weights, remainder)
    if not any(map(operator.gt, parts, rooms)):
        return parts
    found = [0] * len(weights)
    still = list(range(len(weights)))
    while True:
        full = [place for place, part in zip(still, parts, strict=True) if part >= rooms[place]]
        over = [place for place, part in zip(still, parts, strict=True) if part > rooms[place]]
        if not over:
            for place, part in zip(still, parts, strict=True):
                found[place] = part
            return found
        for place in full:
            found[place] = rooms[place]
            amount -= rooms[place]
        gone = set(full)
        still = [place for place in still if place not in gone]
        if not still or amount <= 0:
            return found
        parts = _shared(amount, [weights[place] for place in still], remainder)


def _shared(amount: int, weights: Sequence[int], remainder: Remainder) -> list[int]:
    if len(weights) == 1:
        return [amount]
    if remainder is Remainder.LARGEST_FRACTION:
        return split(amount, weights)
    return allocate(amount, weights, remainder)


def fund(amounts: Sequence[int], shares: Sequence[Share]) -> list[list[int]]:
    """For each amount what each funder bears. Rows sum to the amounts, columns to the shares of the whole.

    Funders are told apart two by two on running sums, so no part is ever below zero and a cent that one line
    cannot halve is made good on the next.
    """
    rows: list[list[int]] = [[] for _ in amounts]
    rest = list(amounts)
    whole = sum([share.bps for share in shares])
    for share in shares[:-1]:
        running = given = 0
        for place, amount in enumerate(rest):
            running += amount
            mine = divide(running * share.bps, whole) if whole else 0
            rows[place].append(mine - given)
            rest[place] = amount - (mine - given)
            given = mine
        whole -= share.bps
    for row, amount in zip(rows, rest, strict=True):
        row.append(amount)
    return rows


def over_units(amount: int, quantity: int) -> tuple[tuple[int, int], ...]:
    """An amount over the units of a line as (amount of one, how many), odd units of money to the first.

    At most two entries whatever the quantity; they sum to the amount. Raises ZeroDivisionError for no unit.
    """
    sign = -1 if amount < 0 else 1
    each, odd = divmod(abs(amount), quantity)
    if not odd:
        return ((sign * each, quantity),)
    return ((sign * (each + 1), odd), (sign * each, quantity - odd))
