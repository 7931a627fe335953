"""An invoice before and after its arithmetic: decimal strings in major units, as invoice formats carry them.

The terms follow EN 16931-1: line net amount (BT-131), document allowances and charges (BG-20, BG-21), taxable amount
and tax per category and rate (BG-23), amount due (BT-115). Retained taxes, surcharges on a rate and prices that
include a tax are not in the standard; they follow what tax authorities of Spain, Mexico, Italy and Brazil print.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class RoundingModel(StrEnum):
    """When an invoice's amounts are rounded to the currency."""

    PRECISE = "precise"
    """At the end: two digits more than the currency has are carried through sums and taxes."""
    CURRENCY = "currency"
    """At every line, so that the printed amounts can be added up by hand (what EN 16931 validators do)."""


class InvoiceTax(msgspec.Struct, frozen=True, kw_only=True):
    """One tax of a line: `percent` None is exempt. A surcharge (Spain's recargo) is levied beside the rate.

    A `retained` tax is kept back by the buyer; an `informative` one lies inside the price by law and is only shown.
    """

    kind: str
    percent: str | None
    key: str = ""
    surcharge_percent: str | None = None
    retained: bool = False
    informative: bool = False


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A discount or charge: a percentage (of the line's or the lines' sum) or, without one, an amount."""

    percent: str | None = None
    amount: str | None = None
    taxes: tuple[InvoiceTax, ...] = ()


class InvoiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """Goods at a unit price of as many digits as were agreed."""

    quantity: str
    unit_price: str
    discounts: tuple[Change, ...] = ()
    charges: tuple[Change, ...] = ()
    taxes: tuple[InvoiceTax, ...] = ()


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """What is invoiced. `prices_include` names the tax kind inside every price, empty for none.

    `advances` are payments made already: an amount, or a percentage of what is payable. `rounding` is an agreed
    change of the amount payable (BT-114), such as cash rounding.
    """

    currency: str
    lines: tuple[InvoiceLine, ...]
    discounts: tuple[Change, ...] = ()
    charges: tuple[Change, ...] = ()
    prices_include: str = ""
    model: RoundingModel = RoundingModel.PRECISE
    advances: tuple[Change, ...] = ()
    rounding: str | None = None


class LineAmounts(msgspec.Struct, frozen=True, kw_only=True):
    """A line's price times quantity, and what is left after its own discounts and charges."""

    sum: str
    total: str


class SurchargeAmount(msgspec.Struct, frozen=True, kw_only=True):
    """The surcharge beside one rate."""

    percent: str
    amount: str


class RateAmounts(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the tax breakdown; `percent` None is exempt."""

    key: str
    base: str
    percent: str | None
    amount: str
    surcharge: SurchargeAmount | None = None


class TaxAmounts(msgspec.Struct, frozen=True, kw_only=True):
    """All rates of one tax kind; `amount` is without surcharges."""

    kind: str
    retained: bool
    amount: str
    rates: tuple[RateAmounts, ...]


class InvoiceSums(msgspec.Struct, frozen=True, kw_only=True):
    """The foot of an invoice; None where nothing of the sort occurs.

    total = sum - discount + charge - tax_included; total_with_tax = total + tax;
    payable = total_with_tax - retained_tax + rounding; due = payable - advance.
    """

    sum: str
    total: str
    tax: str
    total_with_tax: str
    payable: str
    discount: str | None = None
    charge: str | None = None
    tax_included: str | None = None
    retained_tax: str | None = None
    rounding: str | None = None
    advance: str | None = None
    due: str | None = None


class InvoiceTotals(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice's arithmetic, done."""

    lines: tuple[LineAmounts, ...]
    totals: InvoiceSums
    taxes: tuple[TaxAmounts, ...]
