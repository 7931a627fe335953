"""Cases of whole orders: promotions by our engine, taxes by our engine, and every sum the vocabulary names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import msgspec

from tradepost.kernel.market import TaxLevel
from tradepost.testing.conformance.campaigns import (
    SELLER,
    as_list,
    basket_of,
    campaigns_of,
    engine_policy,
    exact_minor,
)
from tradepost.testing.conformance.model import Unsupported
from tradepost.testing.conformance.order_taxes import Named, RateBook, summarise, tax_all
from tradepost.testing.conformance.switches import only, tax_policy_of
from tradepost.trade.promotion import (
    Adjustment,
    Basket,
    Charge,
    Outcome,
    Promotions,
    RuleClass,
    Verdict,
    over_units,
)
from tradepost.trade.tax import Taxable, Taxed, TaxPolicy

__all__ = ["run_order"]

Given = Mapping[str, Any]
UNITS_SHOWN_MAX = 10_000
"""Units of one line whose discounts are listed one by one; a line of more has no `unit_discounts`."""
_INPUT = (
    "currency",
    "lines",
    "promotions",
    "prices_include_tax",
    "tax_rates",
    "shipping",
    "coupons",
    "surcharges",
    "cart_history",
)
_LINE = (
    "sku",
    "unit_price",
    "qty",
    "tax_percent",
    "tax_percents",
    "tax_category",
    "group",
    "min_price",
    "line_discount_net",
)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Something of the order that is priced and taxed: `listed` and `final` in the sense of its price."""

    listed: Fraction
    final: Fraction
    names: list[Named]
    quantity: int = 1


class Taxes(msgspec.Struct, frozen=True, kw_only=True):
    """Parts with their taxes."""

    parts: list[Part]
    taxed: list[Taxed]

    @property
    def net(self) -> int:
        """Without tax."""
        return sum(one.net for one in self.taxed)

    @property
    def gross(self) -> int:
        """With all tax."""
        return sum(one.gross for one in self.taxed)

    def tax(self, *, included: bool) -> int:
        """The taxes inside the prices, or those on top of them."""
        return sum(
            tax
            for part, one in zip(self.parts, self.taxed, strict=True)
            for named, tax in zip(part.names, one.taxes, strict=True)
            if named.rate.included is included
        )


def run_order(given: Given, policy: Given) -> dict[str, Any]:
    """Kind order. Raises Unsupported for a key, a value or a policy that the engine has no switch for."""
    only(given, _INPUT)
    if not isinstance(given.get("lines"), list):
        raise Unsupported("an order without lines")
    for line in given["lines"]:
        only(line, _LINE)
    for edit in as_list(given.get("cart_history")):
        only(edit, ("op", "sku", "qty"))  # a price has no memory: only the lines they led to count
    return _run(given, policy)


def _run(given: Given, policy: Given) -> dict[str, Any]:
    lines: Sequence[Given] = given["lines"]
    promotions = as_list(given.get("promotions"))
    switches = engine_policy(policy, promotions)
    currency = str(given.get("currency", "EUR"))
    coupons = as_list(given.get("coupons"))
    if any(isinstance(coupon, Mapping) for coupon in coupons):
        raise Unsupported("coupons that are rules themselves, in an order")
    taxing = tax_policy_of(policy)
    unit_first = taxing.level is TaxLevel.UNIT
    basket = basket_of(lines, switches, coupons, currency, unit_first=unit_first)
    shipping = as_list(given.get("shipping"))
    for one in shipping:
        only(one, ("fee", "tax_percent", "tax_percents", "tax_category", "discount_net"))
    charges = [Charge(seller_id=SELLER, amount_minor=exact_minor(one.get("fee") or 0)) for one in shipping]
    engine = Promotions(campaigns_of(promotions, policy, currency), switches, explain=True)
    outcome = engine.ship(basket, engine(basket), charges)
    rates = RateBook(given)
    before = _taxed_before(policy)
    goods = _goods(lines, basket, outcome, rates)
    parcels = [
        _less(Fraction(charge.amount_minor), changes, one.get("discount_net"), rates.of(one), 1)
        for one, charge, changes in zip(shipping, charges, outcome.shipping, strict=True)
    ]
    extras = [_surcharge(one, rates) for one in as_list(given.get("surcharges"))]
    taxes = _tax_apart(goods, parcels, extras, taxing, before)
    unreduced = [[_unreduced(part) for part in parts] for parts in (goods, parcels, extras)]
    listed = _tax_apart(unreduced[0], unreduced[1], unreduced[2], taxing, before)
    level = _tax(_goods(lines, basket, outcome, rates, level=RuleClass.LINE), taxing, before)
    return {
        **_sums(taxes, outcome),
        "original_total_gross": sum(one.gross for one in listed),
        "lines": _lines(lines, basket, outcome, taxes[0], level),
    }


def _taxed_before(policy: Given) -> bool:
    base = str(policy.get("tax_base", "after discount"))
    if base not in ("after discount", "before discount"):
        raise Unsupported(f"tax_base {base!r}")
    return base == "before discount"


def _goods(
    lines: Sequence[Given],
    basket: Basket,
    outcome: Outcome,
    rates: RateBook,
    level: RuleClass | None = None,
) -> list[Part]:
    """The lines after all discounts, or after those of one class only."""
    return [
        _less(
            Fraction(listed.list_minor),
            [change for change in changes if level in (None, change.rule_class)],
            line.get("line_discount_net"),
            rates.of(line),
            listed.quantity,
        )
        for line, listed, changes in zip(lines, basket.lines, outcome.lines, strict=True)
    ]


def _less(
    listed: Fraction, changes: Sequence[Adjustment], net: Any, names: list[Named], quantity: int
) -> Part:
    """An amount after its adjustments and a given discount without tax, which takes its own tax along."""
    given = Fraction(exact_minor(net or 0))
    inside = sum((named.rate.share for named in names if named.rate.included), Fraction())
    final = listed + sum(change.amount_minor for change in changes) - given * (1 + inside)
    if final < 0:
        raise Unsupported("a given discount above what it is taken off")
    return Part(listed=listed, final=final, names=names, quantity=quantity)


def _surcharge(given: Given, rates: RateBook) -> Part:
    only(given, ("amount", "tax_percent", "tax_percents", "tax_category", "includes_tax", "sku"))
    amount = Fraction(exact_minor(given["amount"]))
    names = rates.of(given, included=bool(given.get("includes_tax", rates.included)))
    return Part(listed=amount, final=amount, names=names)


def _unreduced(part: Part) -> Part:
    return Part(listed=part.listed, final=part.listed, names=part.names, quantity=part.quantity)


def _tax_apart(
    goods: list[Part], parcels: list[Part], extras: list[Part], policy: TaxPolicy, before: bool
) -> list[Taxes]:
    """The taxes of goods, shipping and surcharges; one rounding of an order covers goods and surcharges."""
    items, count = _tax([*goods, *extras], policy, before), len(goods)
    return [
        Taxes(parts=goods, taxed=items.taxed[:count]),
        _tax(parcels, policy, before),
        Taxes(parts=extras, taxed=items.taxed[count:]),
    ]


def _tax(parts: list[Part], policy: TaxPolicy, before: bool) -> Taxes:
    """The taxes of these parts, on what they cost or, where the policy says so, on their list price."""
    names = [part.names for part in parts]
    taxed = tax_all([_taxable(part, part.listed if before else part.final) for part in parts], names, policy)
    if before:
        exact = tax_all([_taxable(part, part.final) for part in parts], names, policy)
        taxed = [_moved(part, one, other) for part, one, other in zip(parts, taxed, exact, strict=True)]
    return Taxes(parts=parts, taxed=taxed)


def _moved(part: Part, on_list: Taxed, on_final: Taxed) -> Taxed:
    """The amount after discounts with the tax of its list price."""
    inside = sum(tax for tax, named in zip(on_final.taxes, part.names, strict=True) if named.rate.included)
    listed = on_final.net + inside
    within = sum(tax for tax, named in zip(on_list.taxes, part.names, strict=True) if named.rate.included)
    net = listed - within
    return Taxed(net=net, gross=net + sum(on_list.taxes), taxes=on_list.taxes)


def _taxable(part: Part, amount: Fraction) -> Taxable:
    return Taxable(amount=amount, rates=tuple(named.rate for named in part.names), quantity=part.quantity)


def _final(taxes: Taxes) -> int:
    """What the parts cost as their prices are listed: with the taxes inside, without those on top."""
    return taxes.gross - taxes.tax(included=False)


def _sums(taxes: Sequence[Taxes], outcome: Outcome) -> dict[str, Any]:
    goods, parcels, extras = taxes
    reduced = int(sum(part.final - part.listed for part in goods.parts))
    applied = {
        verdict.campaign_id for verdict in outcome.verdicts if verdict.applied and verdict.amount_minor
    }
    taxed = [one for part in taxes for one in part.taxed]
    names = [part.names for group in taxes for part in group.parts]
    return {
        "net_items": goods.net + extras.net,
        "gross_items": goods.gross + extras.gross,
        "items_gross": goods.gross,
        "items_tax": goods.gross - goods.net,
        "items_total": _final(goods),
        "discount_total": reduced,
        "discount_count": len(applied),
        "shipping_net": parcels.net,
        "shipping_gross": parcels.gross,
        "shipping_total": _final(parcels),
        "shipping_tax": parcels.gross - parcels.net,
        "tax_added": sum(one.tax(included=False) for one in taxes),
        "tax_included": sum(one.tax(included=True) for one in taxes),
        "total_net": sum(one.net for one in taxes),
        "total_gross": sum(one.gross for one in taxes),
        "tax_summary": summarise(taxed, names),
    }


def _lines(
    lines: Sequence[Given], basket: Basket, outcome: Outcome, taxes: Taxes, level: Taxes
) -> list[dict[str, Any]] | dict[str, dict[str, Any]]:
    rows = []
    for place, line in enumerate(lines):
        part, taxed = taxes.parts[place], taxes.taxed[place]
        row: dict[str, Any] = {
            "discount": int(part.final - part.listed),
            "line_discount": int(part.final - part.listed),
            "line_level_discount": int(level.parts[place].final - part.listed),
            "line_total": int(part.final),
            "tax": taxed.tax,
            "taxes": list(taxed.taxes),
            "gross": level.taxed[place].gross,
            "gross_after_proration": taxed.gross,
        }
        units = _units(basket.lines[place].line_no, part.quantity, outcome, line)
        if units is not None:
            row["unit_discounts"] = units
        rows.append(row)
    if not all("sku" in line for line in lines) or not lines:
        return rows
    found: dict[str, dict[str, Any]] = {}
    for line, row in zip(lines, rows, strict=True):
        name = str(line["sku"])
        found[name] = _together(found[name], row) if name in found else row
    return found


def _together(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two lines of one SKU as one: amounts and units add up, taxes rate by rate where both have the same."""
    found = {key: one[key] + other[key] for key in one if key != "taxes" and key in other}
    if len(one["taxes"]) == len(other["taxes"]):
        found["taxes"] = [tax + more for tax, more in zip(one["taxes"], other["taxes"], strict=True)]
    return found


def _units(line_no: int, quantity: int, outcome: Outcome, line: Given) -> list[int] | None:
    """What each unit is lowered by: every adjustment spread over the units it was for, odd cents to the first."""
    if not 0 < quantity <= UNITS_SHOWN_MAX or line.get("line_discount_net"):
        return None
    units = [0] * quantity
    applied: list[Verdict] = [verdict for verdict in outcome.verdicts if verdict.applied]
    for verdict in applied:
        amount = verdict.lines.get(line_no, 0)
        if not amount or verdict.rule_class is RuleClass.SHIPPING:
            continue
        place = 0
        for each, count in over_units(-amount, verdict.units.get(line_no, quantity)):
            for unit in range(place, place + count):
                units[unit] += each
            place += count
    return units
