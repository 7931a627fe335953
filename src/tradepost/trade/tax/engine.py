"""The tax of an amount under any number of rates: exact fractions inside, integers outside, rounding by policy.

Pure and free of markets: `rules.py` brings a market's rates here, the conformance command brings those of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from tradepost.kernel.market import TaxLevel
from tradepost.kernel.money import Rounding, divide, split

__all__ = ["Rate", "TaxPolicy", "Taxable", "Taxed", "restate", "tax_line", "tax_order"]


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """One tax: `share` of the base (1/5 is 20 %), inside the listed amount or on top of it.

    A `compound` tax is levied on the base and on the taxes listed before it (as Quebec's once was).
    """

    share: Fraction
    included: bool = False
    compound: bool = False
    kind: str = ""


class TaxPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How exact taxes become integers.

    `level` is what one rounding covers. `each_rate` rounds every tax by itself, otherwise their sum is rounded and
    shared. `round_net` rounds the base inside an inclusive price and calls the rest tax, otherwise the tax itself
    is rounded: they differ at an exact half only.
    """

    rounding: Rounding = Rounding.HALF_UP
    level: TaxLevel = TaxLevel.LINE
    each_rate: bool = True
    round_net: bool = False


class Taxed(msgspec.Struct, frozen=True, kw_only=True):
    """An amount with its taxes, one per rate in the order given: net + sum of taxes = gross, always."""

    net: int
    gross: int
    taxes: tuple[int, ...]

    @property
    def tax(self) -> int:
        """All taxes together."""
        return self.gross - self.net


class Taxable(msgspec.Struct, frozen=True, kw_only=True):
    """A line as listed (with its included taxes inside), and how many units it has."""

    amount: int | Fraction
    rates: tuple[Rate, ...]
    quantity: int = 1


def rounded(value: Fraction | int, rounding: Rounding) -> int:
    """An exact value as an integer by a named rule."""
    exact = Fraction(value)
    return divide(exact.numerator, exact.denominator, rounding)


def factors(rates: Sequence[Rate]) -> list[Fraction]:
    """What each tax is as a share of the base, taxes on taxes worked out."""
    found: list[Fraction] = []
    for rate in rates:
        found.append(rate.share * (1 + sum(found)) if rate.compound else rate.share)
    return found


def tax_line(line: Taxable, policy: TaxPolicy = TaxPolicy()) -> Taxed:  # noqa: B008 - frozen, so shared safely
    """The taxes of one line. Level ORDER counts one line as its own order.

    Under UNIT the line's amount is spread over its units to the minor unit first: only two different unit amounts
    occur, so the cost does not grow with the quantity.
    """
    if policy.level is not TaxLevel.UNIT or line.quantity <= 1:
        return _once(line.amount, line.rates, policy)
    each, odd = divmod(rounded(line.amount, policy.rounding), line.quantity)
    low = _once(each, line.rates, policy)
    high = _once(each + 1, line.rates, policy) if odd else low
    few, many = odd, line.quantity - odd
    return Taxed(
        net=few * high.net + many * low.net,
        gross=few * high.gross + many * low.gross,
        taxes=tuple(few * one + many * other for one, other in zip(high.taxes, low.taxes, strict=True)),
    )


def _once(amount: int | Fraction, rates: Sequence[Rate], policy: TaxPolicy) -> Taxed:
    shares = factors(rates)
    inside = sum((share for share, rate in zip(shares, rates, strict=True) if rate.included), Fraction())
    base = Fraction(amount, 1 + inside)
    exact = [base * share for share in shares]
    within = [tax for tax, rate in zip(exact, rates, strict=True) if rate.included]
    on_top = [tax for tax, rate in zip(exact, rates, strict=True) if not rate.included]
    listed = rounded(amount, policy.rounding)
    if policy.round_net and within:
        contained = _shared(listed - rounded(base, policy.rounding), within)
    else:
        contained = _round(within, policy)
    added = _round(on_top, policy)
    inner, outer = iter(contained), iter(added)
    return Taxed(
        net=listed - sum(contained),
        gross=listed + sum(added),
        taxes=tuple(next(inner if rate.included else outer) for rate in rates),
    )


def _round(exact: Sequence[Fraction], policy: TaxPolicy) -> list[int]:
    if policy.each_rate or len(exact) < 2:
        return [rounded(tax, policy.rounding) for tax in exact]
    return _shared(rounded(sum(exact, Fraction()), policy.rounding), exact)


def _shared(total: int, exact: Sequence[Fraction]) -> list[int]:
    """A rounded total told apart in the ratio of exact parts of one sign, summing to it."""
    scale = 1
    for part in exact:
        scale = scale * part.denominator
    return split(total, [abs(part.numerator * (scale // part.denominator)) for part in exact])


def tax_order(lines: Sequence[Taxable], policy: TaxPolicy = TaxPolicy()) -> list[Taxed]:  # noqa: B008 - as above
    """The taxes of every line of an order, in line order.

    Under ORDER lines of the same rates are taxed as one amount, and the result is shared among them in proportion
    to what each would exactly carry; under the other levels each line stands for itself. The order of the lines
    changes no sum.
    """
    if policy.level is not TaxLevel.ORDER:
        return [tax_line(line, policy) for line in lines]
    groups: dict[tuple[Rate, ...], list[int]] = {}
    for index, line in enumerate(lines):
        groups.setdefault(line.rates, []).append(index)
    found: dict[int, Taxed] = {}
    for rates, members in groups.items():
        amounts = [rounded(lines[index].amount, policy.rounding) for index in members]
        whole = _once(sum(amounts), rates, policy)
        alone = [_once(amount, rates, policy).taxes if amount < 0 else () for amount in amounts]
        columns = [
            _told(tax, amounts, [taxes[number] if taxes else None for taxes in alone])
            for number, tax in enumerate(whole.taxes)
        ]
        for place, (index, amount) in enumerate(zip(members, amounts, strict=True)):
            taxes = tuple(column[place] for column in columns)
            inside = sum(tax for tax, rate in zip(taxes, rates, strict=True) if rate.included)
            found[index] = Taxed(net=amount - inside, gross=amount - inside + sum(taxes), taxes=taxes)
    return [found[index] for index in range(len(lines))]


def _told(tax: int, amounts: Sequence[int], given: Sequence[int | None]) -> list[int]:
    """One tax over the amounts it was levied on: those below zero carry their own, the others share what is left.

    Where no amount is above zero, all share by size.
    """
    if not any(amount > 0 for amount in amounts):
        return split(tax, [abs(amount) for amount in amounts])
    left = tax - sum([part for part in given if part is not None])
    shared = split(left, [max(amount, 0) for amount in amounts])
    return [part if own is None else own for part, own in zip(shared, given, strict=True)]


def restate(
    gross: int, home: Fraction, destination: Fraction, rounding: Rounding = Rounding.HALF_UP
) -> Taxed:
    """A price with its home tax inside, as it reads where another rate holds: the exact base is what stays.

    The base is not rounded in between, so restating at the home rate changes nothing (Directive 2006/112/EC,
    article 33: a distance sale is taxed where the goods arrive).
    """
    exact = Fraction(gross * (1 + destination), 1 + home)
    there = rounded(exact, rounding)
    rate = Rate(share=destination, included=True)
    return _once(there, (rate,), TaxPolicy(rounding=rounding))
