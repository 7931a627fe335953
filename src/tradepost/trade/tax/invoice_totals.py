"""Invoice arithmetic: from lines, discounts, charges and taxes to the sums an invoice prints. Pure, exact decimals.

Every amount is a decimal with a fixed number of digits. A product keeps the digits of its amount and is rounded
half away from zero; sums take the digits of their most precise term. Under PRECISE amounts carry two digits more
than the currency and are cut at the very end, each printed sum by itself; under CURRENCY every line, discount and
charge is cut first, so the printed amounts always add up.
"""

from __future__ import annotations

import decimal
from collections.abc import Iterable, Sequence
from decimal import Decimal

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.money import exponent_of
from tradepost.trade.tax.invoice_model import (
    Change,
    Invoice,
    InvoiceLine,
    InvoiceSums,
    InvoiceTax,
    InvoiceTotals,
    LineAmounts,
    RateAmounts,
    RoundingModel,
    SurchargeAmount,
    TaxAmounts,
)

__all__ = ["EXTRA_DIGITS", "total_invoice"]

EXTRA_DIGITS = 2
"""Digits beyond the currency's own that PRECISE carries."""
_INCLUDED_DIGITS = 4
_EXACT = decimal.Context(prec=80, rounding=decimal.ROUND_HALF_UP)
"""80 digits: no sum of invoices of this world is ever cut by the context itself."""

declare_problems(
    {
        "tax.invoice_invalid": (
            Kind.INVALID,
            "Not an invoice that can be added up",
            "Give plain decimal strings, a percentage or an amount for each change, and one kind of tax in prices.",
        )
    }
)


def _number(text: str) -> Decimal:
    try:
        found = Decimal(text.removesuffix("%").strip())
    except decimal.InvalidOperation:
        raise Refusal("tax.invoice_invalid", f"{text[:40]!r} is no decimal number.") from None
    if not found.is_finite() or len(found.as_tuple().digits) > 40 or abs(found.adjusted()) > 40:
        raise Refusal("tax.invoice_invalid", f"{text[:40]!r} is no amount that an invoice can carry.")
    return found


def _digits(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def _cut(value: Decimal, digits: int) -> Decimal:
    rounded = value.quantize(Decimal(1).scaleb(-digits), context=_EXACT)
    return rounded if rounded else abs(rounded)  # a rate of nothing on goods taken back is no "-0.00"


def _at_least(value: Decimal, digits: int) -> Decimal:
    return _cut(value, max(digits, _digits(value)))


def _at_most(value: Decimal, digits: int) -> Decimal:
    return _cut(value, min(digits, _digits(value)))


def _times(amount: Decimal, factor: Decimal) -> Decimal:
    return _cut(_EXACT.multiply(amount, factor), _digits(amount))


def _percent_of(amount: Decimal, percent: str) -> Decimal:
    return _times(amount, _EXACT.divide(_number(percent), Decimal(100)))


def _without(amount: Decimal, percent: str) -> Decimal:
    """The base of an amount that has this percentage inside, in the amount's own digits."""
    return _cut(_EXACT.divide(_EXACT.multiply(amount, Decimal(100)), 100 + _number(percent)), _digits(amount))


def _sum(values: Iterable[Decimal], digits: int) -> Decimal:
    total = _cut(Decimal(0), digits)
    for value in values:
        total = _EXACT.add(total, value)
    return total


class _Rate:
    """One row of the breakdown while it grows."""

    def __init__(self, tax: InvoiceTax, digits: int) -> None:
        self.tax = tax
        self.base = _cut(Decimal(0), digits)
        self.amount = self.base
        self.surcharge: Decimal | None = None

    def covers(self, tax: InvoiceTax) -> bool:
        """Whether a tax belongs in this row: the same percentage and surcharge, and no other key."""
        mine, other = self.tax, tax
        if mine.key and other.key and mine.key != other.key:
            return False
        return _same(mine.percent, other.percent) and _same(mine.surcharge_percent, other.surcharge_percent)


def _same(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    return _number(one) == _number(other)


class _Sheet:
    """The breakdown of one invoice: rows by kind, in the order in which they first occur."""

    def __init__(self, invoice: Invoice, digits: int) -> None:
        self.invoice = invoice
        self.digits = digits
        self.kinds: dict[str, list[_Rate]] = {}

    def row(self, tax: InvoiceTax) -> _Rate:
        """The row of a tax, new when it is the first of its rate. Raises Refusal `tax.invoice_invalid`."""
        rows = self.kinds.setdefault(tax.kind, [])
        if rows and rows[0].tax.retained != tax.retained:
            raise Refusal("tax.invoice_invalid", f"{tax.kind} is both levied and retained.")
        for row in rows:
            if row.covers(tax):
                return row
        rows.append(_Rate(tax, self.digits))
        return rows[-1]

    def included(self, taxes: Sequence[InvoiceTax]) -> InvoiceTax | None:
        """The tax inside the prices, where a line has it with a percentage."""
        kind = self.invoice.prices_include
        for tax in taxes:
            if kind and tax.kind == kind and tax.percent is not None:
                if tax.retained:
                    raise Refusal("tax.invoice_invalid", f"{kind} is retained, so prices cannot include it.")
                if _number(tax.percent) <= -100:
                    raise Refusal("tax.invoice_invalid", f"No price includes {kind} of {tax.percent[:40]}.")
                return tax
        return None

    def precise(self, rows: Sequence[tuple[Decimal, Sequence[InvoiceTax]]]) -> None:
        """Bases with extra digits, every line stripped of its included tax by itself."""
        for listed, taxes in rows:
            total = _at_least(listed, self.digits + EXTRA_DIGITS)
            inside = self.included(taxes)
            if inside is not None and inside.percent is not None:
                total = _without(total, inside.percent)
            for tax in taxes:
                row = self.row(tax)
                row.base = _EXACT.add(row.base, total)

    def cut(self, rows: Sequence[tuple[Decimal, Sequence[InvoiceTax]]]) -> None:
        """Bases in whole minor units. An included tax is worked out on each rate's running sum, and each line
        bears the growth, so that bases and taxes add up to what was listed."""
        totals = []
        for listed, taxes in rows:
            total = _cut(listed, self.digits)
            inside = self.included(taxes)
            if inside is not None and inside.percent is not None:
                row = self.row(inside)
                row.base = _EXACT.add(row.base, total)
                fine = _cut(row.base, self.digits + _INCLUDED_DIGITS)
                within = _cut(_EXACT.subtract(fine, _without(fine, inside.percent)), self.digits)
                total = _EXACT.subtract(total, _EXACT.subtract(within, row.amount))
                row.amount = within
            totals.append((total, taxes, inside))
        for row in self.kinds.get(self.invoice.prices_include, ()):
            row.base = _EXACT.subtract(row.base, row.amount)
        for total, taxes, inside in totals:
            for tax in taxes:
                if tax is not inside:
                    row = self.row(tax)
                    row.base = _EXACT.add(row.base, total)

    def levy(self, *, keep_included: bool) -> None:
        """Each row's tax and surcharge from its base."""
        for kind, rows in self.kinds.items():
            for row in rows:
                if row.tax.percent is not None and not (
                    keep_included and kind == self.invoice.prices_include
                ):
                    row.amount = _percent_of(row.base, row.tax.percent)
                if row.tax.surcharge_percent is not None:
                    row.surcharge = _percent_of(row.base, row.tax.surcharge_percent)

    def all_of(self, *, retained: bool) -> Decimal:
        """Taxes and surcharges that are levied, or that the buyer keeps back."""
        rows = [
            row
            for found in self.kinds.values()
            for row in found
            if row.tax.retained is retained and not row.tax.informative
        ]
        return _sum([part for row in rows for part in (row.amount, row.surcharge or Decimal(0))], self.digits)


def total_invoice(invoice: Invoice) -> InvoiceTotals:
    """Add an invoice up. Raises Refusal `tax.invoice_invalid` or `money.currency_unknown`."""
    digits = exponent_of(invoice.currency)
    lines = [_line(line, digits, invoice.model) for line in invoice.lines]
    goods = _sum([total for _, total in lines], digits)
    discounts = [_change(change, goods, digits, invoice.model) for change in invoice.discounts]
    charges = [_change(change, goods, digits, invoice.model) for change in invoice.charges]
    sheet = _Sheet(invoice, digits)
    rows: list[tuple[Decimal, Sequence[InvoiceTax]]] = [
        *((total, line.taxes) for (_, total), line in zip(lines, invoice.lines, strict=True)),
        *((-amount, change.taxes) for amount, change in zip(discounts, invoice.discounts, strict=True)),
        *((amount, change.taxes) for amount, change in zip(charges, invoice.charges, strict=True)),
    ]
    by_currency = invoice.model is RoundingModel.CURRENCY
    if by_currency:
        sheet.cut(rows)
    else:
        sheet.precise(rows)
    sheet.levy(keep_included=by_currency)
    return InvoiceTotals(
        lines=tuple(
            LineAmounts(sum=_shown_line(total, line, digits), total=_shown_line(left, line, digits))
            for (total, left), line in zip(lines, invoice.lines, strict=True)
        ),
        totals=_foot(invoice, sheet, goods, discounts, charges),
        taxes=tuple(_breakdown(kind, found, digits) for kind, found in sheet.kinds.items()),
    )


def _line(line: InvoiceLine, digits: int, model: RoundingModel) -> tuple[Decimal, Decimal]:
    """(price times quantity, what the line's own discounts and charges leave of it)."""
    extra = EXTRA_DIGITS if model is RoundingModel.PRECISE else 0
    total = _times(_at_least(_number(line.unit_price), digits + extra), _number(line.quantity))
    if model is RoundingModel.CURRENCY:
        total = _cut(total, digits)
    left = total
    for change, sign in [*((one, -1) for one in line.discounts), *((one, 1) for one in line.charges)]:
        amount = _amount(change, total)
        left = _EXACT.add(left, sign * _cut(_at_least(amount, digits), _digits(left)))
    return total, left


def _amount(change: Change, of: Decimal) -> Decimal:
    if change.percent is not None:
        return _percent_of(of, change.percent)
    if change.amount is None:
        raise Refusal("tax.invoice_invalid", "A discount, charge or advance is a percentage or an amount.")
    return _number(change.amount)


def _change(change: Change, goods: Decimal, digits: int, model: RoundingModel) -> Decimal:
    amount = _amount(change, goods)
    return _cut(amount, digits) if model is RoundingModel.CURRENCY else _at_least(amount, digits)


def _shown_line(value: Decimal, line: InvoiceLine, digits: int) -> str:
    """A line shows no more digits than its price does."""
    return format(_at_most(value, max(digits, _digits(_number(line.unit_price)))), "f")


def _foot(
    invoice: Invoice, sheet: _Sheet, goods: Decimal, discounts: Sequence[Decimal], charges: Sequence[Decimal]
) -> InvoiceSums:
    digits = sheet.digits

    def shown(value: Decimal) -> str:
        return format(_cut(value, digits), "f")

    discount, charge = _sum(discounts, digits), _sum(charges, digits)
    total = _EXACT.add(_EXACT.subtract(goods, discount), charge)
    inside = sheet.kinds.get(invoice.prices_include)
    included = _sum([row.amount for row in inside or ()], digits)
    total = _EXACT.subtract(total, included)
    tax, retained = sheet.all_of(retained=False), sheet.all_of(retained=True)
    with_tax = _EXACT.add(total, tax)
    payable = _cut(_EXACT.subtract(with_tax, retained), digits)
    keeps = any(rows[0].tax.retained for rows in sheet.kinds.values() if rows)
    if invoice.rounding is not None:
        payable = _EXACT.add(payable, _number(invoice.rounding))
    advance = _sum([_cut(_amount(change, payable), digits) for change in invoice.advances], digits)
    return InvoiceSums(
        sum=shown(goods),
        discount=shown(discount) if discounts else None,
        charge=shown(charge) if charges else None,
        tax_included=shown(included) if inside else None,
        total=shown(total),
        tax=shown(tax),
        total_with_tax=shown(with_tax),
        retained_tax=shown(retained) if keeps else None,
        rounding=shown(_number(invoice.rounding)) if invoice.rounding is not None else None,
        payable=shown(payable),
        advance=shown(advance) if invoice.advances else None,
        due=shown(_EXACT.subtract(payable, advance)) if invoice.advances else None,
    )


def _breakdown(kind: str, rows: Sequence[_Rate], digits: int) -> TaxAmounts:
    return TaxAmounts(
        kind=kind,
        retained=rows[0].tax.retained,
        amount=format(_cut(_sum([row.amount for row in rows], digits), digits), "f"),
        rates=tuple(
            RateAmounts(
                key=row.tax.key,
                base=format(_cut(row.base, digits), "f"),
                percent=row.tax.percent,
                amount=format(_cut(row.amount, digits), "f"),
                surcharge=SurchargeAmount(
                    percent=row.tax.surcharge_percent, amount=format(_cut(row.surcharge, digits), "f")
                )
                if row.surcharge is not None and row.tax.surcharge_percent is not None
                else None,
            )
            for row in rows
        ),
    )
