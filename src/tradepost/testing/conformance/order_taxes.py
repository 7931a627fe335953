"""The taxes of an order's case: which rates a line has, and the order taxed by the production engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from tradepost.kernel.market import TaxLevel
from tradepost.testing.conformance.amounts import percent
from tradepost.testing.conformance.campaigns import as_list
from tradepost.testing.conformance.model import Unsupported
from tradepost.testing.conformance.switches import only
from tradepost.trade.tax import Rate, Taxable, Taxed, TaxPolicy, tax_order

__all__ = ["Named", "RateBook", "summarise", "tax_all"]

Given = Mapping[str, Any]


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A rate of a case: ours, as it was written, and whether it is rounded once over all lines that carry it."""

    rate: Rate
    written: str
    summed: bool | None = None


class RateBook:
    """The rates of a case by category, and how its prices carry tax."""

    def __init__(self, given: Given) -> None:
        self.included = bool(given.get("prices_include_tax", False))
        self.categories: dict[str, list[Named]] = {}
        rates = given.get("tax_rates")
        if rates is not None and not isinstance(rates, Mapping | list | tuple):
            raise Unsupported(f"tax_rates {str(rates)[:40]!r}")
        self.closed = rates is not None
        if isinstance(rates, Mapping):
            for category, written in rates.items():
                self.categories[str(category)] = [self._named(one, None, None) for one in as_list(written)]
        for row in rates if isinstance(rates, list | tuple) else ():
            only(row, ("category", "percent", "included", "sum_then_round"))
            self.categories.setdefault(str(row.get("category")), []).append(
                self._named(row["percent"], row.get("included"), row.get("sum_then_round"))
            )

    def _named(self, written: Any, included: bool | None, summed: bool | None) -> Named:
        inside = self.included if included is None else bool(included)
        text = str(written).strip().removesuffix("%").strip()
        return Named(rate=Rate(share=percent(written), included=inside), written=text, summed=summed)

    def of(self, line: Given, *, included: bool | None = None) -> list[Named]:
        """The rates of a line, a shipping charge or a surcharge; none where it names none."""
        named = [key for key in ("tax_percent", "tax_percents", "tax_category") if line.get(key) is not None]
        if len(named) > 1:
            raise Unsupported(f"a line with {' and '.join(named)}")
        if not named:
            return []
        if named[0] == "tax_category":
            found = self.categories.get(str(line["tax_category"]))
            if found is None and self.closed:
                return []  # the rates are all there are: what none of them names is untaxed
            if found is None:
                raise Unsupported(f"no rate of the category {line['tax_category']!r}")
            return found
        return [self._named(written, included, None) for written in as_list(line[named[0]])]


def tax_all(lines: Sequence[Taxable], names: Sequence[Sequence[Named]], policy: TaxPolicy) -> list[Taxed]:
    """Every line's taxes. A rate that says so itself is rounded once over its lines, or line by line."""
    plain = tax_order(lines, policy)
    if all(named.summed is None for row in names for named in row):
        return plain
    summed = tax_order(lines, replace(policy, level=TaxLevel.ORDER, each_rate=True))
    alone = tax_order(lines, replace(policy, level=TaxLevel.LINE, each_rate=True))
    found = []
    for place, row in enumerate(names):
        taxes = tuple(
            (plain, summed, alone)[0 if named.summed is None else 1 if named.summed else 2][place].taxes[
                index
            ]
            for index, named in enumerate(row)
        )
        listed = plain[place].net + sum(
            tax for tax, named in zip(plain[place].taxes, row, strict=True) if named.rate.included
        )
        inside = sum(tax for tax, named in zip(taxes, row, strict=True) if named.rate.included)
        found.append(Taxed(net=listed - inside, gross=listed - inside + sum(taxes), taxes=taxes))
    return found


def summarise(taxed: Sequence[Taxed], names: Sequence[Sequence[Named]]) -> list[dict[str, Any]]:
    """Base and tax by rate, in order of appearance."""
    rows: dict[str, dict[str, Any]] = {}
    for one, row in zip(taxed, names, strict=True):
        for named, tax in zip(row, one.taxes, strict=True):
            known = rows.setdefault(named.written, {"rate": named.written, "base": 0, "tax": 0})
            known["base"] += one.net
            known["tax"] += tax
    return list(rows.values())
