"""What every market file must hold: checks made from the file itself, for ours and for anyone's.

`broken_promises` says in sentences what a market does wrong. It needs no list of known countries: a made-up market
passes when its file is whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from fractions import Fraction
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tradepost.kernel.currency import EXPONENTS
from tradepost.kernel.market import Market, Scheme, TaxRow, Withholding, ppm_of
from tradepost.trade.tax import Sale, by_category, rates_in, restate, scheme_of, taxed, withheld

__all__ = ["PERCENT_MAX", "broken_promises"]

PERCENT_MAX = 1_000_000
"""A tax of more than its base is a slip of the pen, in millionths."""
_PARTS = {"name", "line1", "line2", "city", "region", "postcode", "country", "phone"}
_FIELDS = {
    "N": "name",
    "O": "",
    "A": "line1",
    "C": "city",
    "S": "region",
    "Z": "postcode",
    "D": "",
    "X": "",
    "n": "",
}
_REMITTERS = {"seller", "platform", "carrier", "buyer"}
_AMOUNTS = (0, 1, 2, 3, 99, 100, 333, 999, 1_000, 12_345, 99_999_999, -1, -999)

Promise = Callable[[Market], Iterator[str]]


def broken_promises(market: Market) -> list[str]:
    """Every promise of a market file that this one breaks; none when it is whole. Raises nothing for bad data."""
    return [sentence for promise in _PROMISES for sentence in promise(market)]


def _identity(market: Market) -> Iterator[str]:
    if not re.fullmatch(r"[A-Z]{2}", market.code):
        yield f"code {market.code!r} is not two capitals"
    if not market.name:
        yield "no name"
    if market.currency not in EXPONENTS:
        yield f"currency {market.currency!r} is not in ISO 4217"
    if not re.fullmatch(r"[a-z]{2,3}_[A-Z]{2}", market.locale):
        yield f"locale {market.locale!r} is not language_TERRITORY"
    try:
        ZoneInfo(market.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        yield f"time zone {market.time_zone!r} is unknown"
    if not re.fullmatch(r"\+[1-9]\d{0,3}", market.phone_prefix):
        yield f"phone prefix {market.phone_prefix!r}"
    if market.cash_step < 1:
        yield "a cash step below one minor unit"


def _provenance(market: Market) -> Iterator[str]:
    if market.as_of is None or not market.source:
        yield "no source, or no day on which it was read (as_of)"
    rows: list[TaxRow | Scheme | Withholding] = [*market.taxes, *market.schemes, *market.withholdings]
    for row in rows:
        if not row.source:
            yield f"a row without a source: {row}"
        if row.since and row.until and row.since >= row.until:
            yield f"a row that ends before it begins: {row}"


def _rows(market: Market) -> Iterator[str]:
    seen: set[tuple[str, str, str, date | None]] = set()
    for row in market.taxes:
        name = f"{row.kind} {row.category} {row.region} {row.since}"
        if not _percent_holds(row.percent):
            yield f"{name}: percent {row.percent!r}"
        if row.region and row.region not in market.regions:
            yield f"{name}: region {row.region!r} is not listed"
        key = (row.kind, row.category, row.region, row.since)
        if key in seen:
            yield f"{name}: twice"
        seen.add(key)
    for rule in market.withholdings:
        if not _percent_holds(rule.percent) or rule.of not in ("net", "tax"):
            yield f"withholding {rule.kind}: {rule.percent!r} of {rule.of!r}"


def _percent_holds(text: str) -> bool:
    try:
        return ppm_of(text) <= PERCENT_MAX
    except ValueError:
        return False


def _categories(market: Market) -> Iterator[str]:
    for category in ("standard", "zero"):
        if category not in market.tax_rates_bps:
            yield f"no rate for {category!r}"
    if market.tax_rates_bps.get("zero"):
        yield "zero is not zero"
    rates = {row.category for row in market.taxes}
    for goods, category in market.goods.items():
        if category not in rates:
            yield f"{goods} are taxed as {category!r}, which has no row"
        if goods in rates:
            yield f"{goods!r} is both goods and a category with rows"


def _addresses(market: Market) -> Iterator[str]:
    required = set(market.address_required)
    if not required <= _PARTS or not {"name", "line1", "country"} <= required:
        yield f"address_required {market.address_required} is not made of {sorted(_PARTS)}"
    for letter in re.findall(r"%(.)", market.address_format):
        if letter not in _FIELDS:
            yield f"address_format has %{letter}"
    for letter in "NA":
        if f"%{letter}" not in market.address_format:
            yield f"address_format lacks %{letter}"
    if market.postcode_pattern:
        pattern = re.compile(market.postcode_pattern)
        for example in market.postcode_examples:
            if not pattern.fullmatch(example):
                yield f"postcode {example!r} does not match its own pattern"
        if not market.postcode_examples:
            yield "a postcode pattern without an example"


def _views(market: Market) -> Iterator[str]:
    if list(market.eras) != sorted(set(market.eras)):
        yield "moments of change out of order"
    for moment in (*market.eras, 0):
        for region in ("", *market.regions):
            yield from _arithmetic(market.at(moment, region))
    if market.at(0, "nowhere").tax_rates_bps != market.at(0, "").tax_rates_bps:
        yield "an unknown region has rates of its own"


def _arithmetic(market: Market) -> Iterator[str]:
    for category in market.tax_rates_bps:
        for amount in _AMOUNTS:
            found = taxed(amount, category, market)
            rate, tax = by_category(amount, category, market)
            whole = f"{market.code} {market.region} {category} {amount}"
            if found.net + sum(found.taxes) != found.gross:
                yield f"{whole}: net and taxes are not gross"
            if (found.gross if market.prices_include_tax else found.net) != amount:
                yield f"{whole}: the listed amount moved"
            if abs(tax) > abs(amount) or (amount and tax * amount < 0):
                yield f"{whole}: tax {tax} is more than the amount, or of another sign"
            if tax != found.tax or rate != market.tax_rates_bps[category]:
                yield f"{whole}: the hot path says {tax}, the engine {found.tax}"
        share = sum((each.share for each in rates_in(category, market)), Fraction())
        if restate(100_000, share, share).gross != 100_000:
            yield f"{market.code} {category}: restating at home moves the price"


def _schemes(market: Market) -> Iterator[str]:
    day = market.as_of or date.min
    for scheme in market.schemes:
        if scheme.remitter not in _REMITTERS:
            yield f"{scheme.code}: remitter {scheme.remitter!r}"
    if not market.schemes or market.schemes[-1].remitter != "seller":
        yield "no last scheme that names the seller"
    for imported in (False, True):
        for foreign in (False, True):
            for worth in (0, 10**12):
                worths = {scheme.currency or market.currency: worth for scheme in market.schemes}
                sale = Sale(day=day, imported=imported, foreign_seller=foreign, worth_minor=worths)
                if market.schemes:
                    scheme_of(market, sale)
    kept = withheld(market, day, net_minor=10_000, tax_minor=1_000)
    if sum(row.amount_minor for row in kept) > 11_000:
        yield "more is withheld than was paid"


def _rates_begin(market: Market) -> Iterator[str]:
    """Rows of one kind, category and region may lack a beginning only once."""
    groups: dict[tuple[str, str, str], list[TaxRow]] = {}
    for row in market.taxes:
        groups.setdefault((row.kind, row.category, row.region), []).append(row)
    for key, rows in groups.items():
        if sum(row.since is None for row in rows) > 1:
            yield f"{key}: two rows without a beginning"


_PROMISES: tuple[Promise, ...] = (
    _identity,
    _provenance,
    _rows,
    _rates_begin,
    _categories,
    _addresses,
    _views,
    _schemes,
)
