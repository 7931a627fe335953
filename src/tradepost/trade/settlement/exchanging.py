"""Money of orders that were sold converted: what of it the seller is owed in the currency it asked for. Pure.

The order's own money stays in the currency the buyer paid. What leaves for the seller is exchanged at the rate the
quote froze; what that costs at the rate of the day is set aside, and the difference is gain or loss of the platform.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction

from tradepost.kernel.money import to_major
from tradepost.trade.ledger import Entry
from tradepost.trade.orders import Order
from tradepost.trade.pricing import FrozenRate, Rates, booked_difference, convert_currency
from tradepost.trade.settlement.model import Component, Components

GAIN, LOSS, ROUNDING = "fx:gain", "fx:loss", "fx:rounding"
UNSETTLED = "fx:unsettled."


def rate_of(order: Order) -> FrozenRate | None:
    """The rate an order's goods were sold at; None where its seller is paid what the buyer paid."""
    return order.body.conversions[0].rate if order.body.conversions else None


def position(rate: FrozenRate) -> str:
    """The account that holds what is set aside in one currency for what is owed in the other."""
    return f"fx:{rate.pair}"


def pair_of(account: str) -> tuple[str, str] | None:
    """The currencies (sold, paid) of an account of a pair; None for other accounts."""
    name = account.removeprefix(UNSETTLED if account.startswith(UNSETTLED) else "fx:")
    sold, dot, paid = name.partition(".")
    return (sold, paid) if dot and account.startswith("fx:") else None


def exchanged(amount_minor: int, rate: FrozenRate) -> int:
    """Minor units of `rate.sold` for an amount of `rate.paid`, at the rate without its margin, rounded half up."""
    back = Fraction(rate.denominator, rate.numerator)
    return convert_currency(amount_minor, rate.paid, rate.sold, back)


def exchanged_parts(parts: Mapping[str, int], rate: FrozenRate) -> Components:
    """Components in `rate.sold`, each rounded by itself; with the odd units they sum to what their sum is worth."""
    found = {name: exchanged(amount, rate) for name, amount in parts.items()}
    found[str(Component.ROUNDING)] = exchanged(sum(parts.values()), rate) - sum(found.values())
    return {name: amount for name, amount in found.items() if amount}


def rate_now(booked: FrozenRate, rates: Rates) -> FrozenRate:
    """The rate of a pair as it is published now, however old; the booked one where none is."""
    return rates.get((booked.sold, booked.paid), booked)


def exchange(
    account: str, owed_minor: int, sold_minor: int, booked: FrozenRate, now: FrozenRate
) -> tuple[Entry, ...]:
    """The entries in `booked.paid` that take what is owed off an account for `sold_minor` of `booked.sold`.

    The position gets what those cost now, gain or loss what they cost more or less than at the booked rate, and
    rounding what one minor unit cannot tell.
    """
    at_booked = convert_currency(sold_minor, booked.sold, booked.paid, booked.exact())
    more = booked_difference(sold_minor, booked, now)
    return entries(
        (account, owed_minor),
        (position(booked), -(at_booked + more)),
        (result_account(more), more),
        (ROUNDING, at_booked - owed_minor),
    )


def entries(*wanted: tuple[str, int]) -> tuple[Entry, ...]:
    """The entries that are not zero."""
    return tuple([Entry(account, amount) for account, amount in wanted if amount])


def result_account(cost_minor: int) -> str:
    """Where a difference is booked: a loss is a debit, a gain a credit."""
    return LOSS if cost_minor > 0 else GAIN


def describe(owed_minor: int, sold_minor: int, booked: FrozenRate, now: FrozenRate) -> str:
    """What a statement says of a line that was exchanged: from what, at which rate, of whom and when."""
    day = datetime.fromtimestamp(booked.published_ms // 1000, UTC).date()
    said = (
        f"{to_major(owed_minor, booked.paid)} {booked.paid} at {booked.written()} {booked.paid} for 1 {booked.sold}"
        f" ({booked.source[:40]}, {day})"
    )
    more = booked_difference(sold_minor, booked, now)
    if not more:
        return said
    word = "loss" if more > 0 else "gain"
    return f"{said}; the platform's {word} {to_major(abs(more), booked.paid)} {booked.paid}"


def by_pair(rates: Sequence[FrozenRate]) -> dict[tuple[str, str], FrozenRate]:
    """Rates by their currencies, as they travel to a writer."""
    return {(rate.sold, rate.paid): rate for rate in rates}
